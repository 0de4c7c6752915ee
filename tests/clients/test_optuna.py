"""Optuna: the page "Tune" of the guide, and OptunaSearchCV."""

import warnings
from pathlib import Path

import pytest

from sktwotower import TwoTowerRecommender
from sktwotower.model_selection import LastNSplit
from tests.docs.test_guide import outputs

from .builders import needs, shop

pytestmark = needs("optuna", "optuna-integration")
PAGE = Path(__file__).parents[2] / "docs" / "guide" / "tune.md"
EVENTS = shop()[["user", "item"]]


def test_the_study_of_the_guide():
    blocks = outputs.blocks(PAGE.read_text("utf-8"))
    (block,) = [block for block in blocks if block.not_run == "needs optuna"]
    assert "n_trials=20" in block.code and "[64, 256]" in block.code
    code = block.code.replace("n_trials=20", "n_trials=2").replace("[64, 256]", "[8]")
    names = {"TwoTowerRecommender": TwoTowerRecommender}
    names |= {"train": EVENTS, "split": LastNSplit(1)}
    exec(code, names)
    assert len(names["study"].trials) == 2
    assert names["best"].temperature == names["study"].best_params["temperature"]


def search(**params):
    """Return a fitted search of two trials."""
    import optuna
    from optuna_integration import OptunaSearchCV

    space = {"temperature": optuna.distributions.FloatDistribution(0.05, 0.3)}
    model = TwoTowerRecommender(max_epochs=2, embedding_dim=8, random_state=0)
    found = OptunaSearchCV(
        model, space, cv=LastNSplit(1), n_trials=2, random_state=0, **params
    )
    return found.fit(EVENTS)


def test_a_search_without_pruning_fits_once():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*count twice")
        found = search()
    top = found.best_estimator_.recommend(n_neighbors=2)
    assert found.best_score_ > 0 and len(top) == 120


def test_pruning_counts_the_rows_again_with_a_warning():
    with pytest.warns(UserWarning, match="count twice"):
        search(enable_pruning=True, max_iter=3)
