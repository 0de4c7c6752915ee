"""Searches: halving, threads of workers, and the cache of transformed tables."""

import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import Memory
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from skorch.callbacks import Callback

from sktwotower import ItemKNNRecommender, TowerVectorizer, TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.model_selection import TimeSplit, search_space
from sktwotower.towers._auto import AUTO
from sktwotower.towers.parts._filter import LinearFilter
from tests.builders import small

pytestmark = pytest.mark.slow

X = make_interactions(
    30, 20, n_clusters=2, interactions_per_user=6, random_state=0
).data[["user", "item"]]
ITEMS = pd.DataFrame({"item": range(20), "tag": list("abcde") * 4})
FOLDS = KFold(2, shuffle=True, random_state=0)


def test_halving_of_scikit_learn_over_epochs():
    search = HalvingGridSearchCV(
        small(),
        {"temperature": [0.1, 0.2, 0.5]},
        resource="max_epochs",
        min_resources=1,
        max_resources=3,
        cv=FOLDS,
        random_state=0,
        error_score="raise",
    ).fit(X)
    assert search.n_resources_ == [1, 3]
    assert len(search.best_estimator_.history_) == 3


def test_halving_over_rows_names_the_resource_that_it_should_have():
    ordered, grid = X.assign(time=np.arange(len(X))), {"n_similar": [5, 10, 20]}
    model, cut = ItemKNNRecommender(time="time"), TimeSplit(0.5, time="time")
    said = "halving search over rows .* Pass resource='max_epochs', or take GridSearch"
    over_rows = HalvingGridSearchCV(model, grid, cv=cut, min_resources=60)
    with pytest.warns(UserWarning, match=said) as caught:
        over_rows.fit(ordered)
    assert {each.filename for each in caught} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GridSearchCV(model, grid, cv=cut).fit(ordered)
        resource = {"resource": "n_similar", "min_resources": 5, "max_resources": 20}
        grid = {"shrinkage": [0, 1, 10]}
        HalvingGridSearchCV(model, grid, cv=cut, random_state=0, **resource).fit(
            ordered
        )


def test_halving_of_scikit_learn_through_a_pipeline():
    name = "twotowerrecommender__"
    search = HalvingRandomSearchCV(
        make_pipeline("passthrough", small(items=ITEMS)),
        search_space(1, prefix=name),
        n_candidates=3,
        resource=f"{name}max_epochs",
        min_resources=1,
        max_resources=3,
        cv=FOLDS,
        random_state=0,
        error_score="raise",
    ).fit(X)
    assert search.n_resources_ == [1, 3]
    best = search.best_estimator_[-1]
    assert best.items is ITEMS and len(best.history_) == 3


def test_the_search_space_holds_parameters_and_their_defaults():
    space, model = search_space(8), TwoTowerRecommender()
    assert list(search_space(2)) == list(space)[:2] == ["temperature", "embedding_dim"]
    for name, values in space.items():
        default = getattr(model, name)
        if name == "temperature":
            assert values.support() == (0.05, 0.3)
            continue
        if name == "embedding_dim":
            default = sum(LinearFilter.widths(default))
        if default == "auto":  # the ranges are those of a pooled history
            default = AUTO["pooled"][name]
        if isinstance(values, list):
            assert default in values
        else:
            assert values.support()[0] < default < values.support()[1]
    prefixed = search_space(1, prefix="m__", drop="temperature")
    assert list(prefixed) == ["m__embedding_dim"]
    with pytest.raises(ValueError, match="an integer from 1 to 8. Got 9"):
        search_space(9)
    with pytest.raises(ValueError, match=r"drop must name .* Got \['tempreature'\]"):
        search_space(1, drop="tempreature")
    with pytest.raises(TypeError, match="drop must be a name or a list of names.*=3"):
        search_space(1, drop=3)


def test_the_values_of_the_search_space_are_those_that_texts_show():
    guide = Path(__file__).parents[2] / "docs" / "guide" / "tune.md"
    shown = " ".join(guide.read_text(encoding="utf-8").split())
    documented = inspect.getdoc(search_space)
    for name in ("embedding_dim", "max_epochs"):
        values = ", ".join(map(str, search_space(8)[name]))
        assert re.search(rf"^ *{name} +{values}  ", documented, re.MULTILINE)
        assert f"| `{name}` | {values} | " in shown


class Pruner(Callback):
    """Stop a trial after two epochs, as Optuna's callback for skorch does."""

    _monitor = "valid_recall"

    def on_epoch_end(self, net, **kwargs):
        self.recalls = [*getattr(self, "recalls", []), net.history[-1, self._monitor]]
        if len(self.recalls) == 2:
            raise InterruptedError("pruned")


def test_a_callback_prunes_by_the_recall_of_an_epoch():
    pruner = Pruner()
    model = small(max_epochs=4, callbacks=[pruner])
    with pytest.raises(InterruptedError, match="pruned"):
        model.fit(X)
    assert len(pruner.recalls) == 2 and all(0 <= r <= 1 for r in pruner.recalls)
    assert not hasattr(model, "net_")


class Counted(OneHotEncoder):
    """Count how often it is fitted."""

    n_fits = 0

    def fit(self, X, y=None):
        Counted.n_fits += 1
        return super().fit(X)


@pytest.fixture
def counted():
    Counted.n_fits = 0
    return Counted(handle_unknown="ignore")


def test_tables_are_transformed_once_for_all_candidates(tmp_path, counted):
    grid = {"temperature": [0.1, 0.2]}
    results = {}
    for memory in (None, str(tmp_path), Memory(str(tmp_path), verbose=0)):
        before = Counted.n_fits
        model = small(items=ITEMS, item_transformer=counted, memory=memory)
        search = GridSearchCV(model, grid, cv=FOLDS, error_score="raise").fit(X)
        assert search.best_estimator_.memory is not None or memory is None
        results[type(memory)] = search.cv_results_["mean_test_score"]
        # the table is the same in all folds, and in a search that comes later
        expected = {type(None): 5, str: 1, Memory: 0}[type(memory)]
        assert Counted.n_fits - before == expected
    assert len({tuple(scores) for scores in results.values()}) == 1


def test_another_table_or_parameter_is_another_entry(tmp_path, counted):
    def fit(items, **params):
        transformer = clone(counted).set_params(**params)
        model = small(items=items, item_transformer=transformer, memory=str(tmp_path))
        return model.fit(X)

    first = fit(ITEMS)
    again = fit(ITEMS.copy())
    np.testing.assert_array_equal(again.item_embeddings_, first.item_embeddings_)
    assert Counted.n_fits == 1
    changed = ITEMS.copy()
    changed.loc[0, "tag"] = "z"
    names = first.item_transformer_.get_feature_names_out()
    assert len(fit(changed).item_transformer_.get_feature_names_out()) == len(names) + 1
    fit(ITEMS, min_frequency=2)
    assert Counted.n_fits == 3
    fit(pd.concat([ITEMS["item"].astype("int32"), ITEMS["tag"]], axis=1))
    assert Counted.n_fits == 4  # a type is part of the table


class CountedSVD(TruncatedSVD):
    """Count how often it is fitted."""

    n_fits = 0

    def fit_transform(self, X, y=None):
        CountedSVD.n_fits += 1
        return super().fit_transform(X)


def test_what_has_no_sure_key_is_fitted_each_time(tmp_path):
    table = pd.DataFrame({"item": range(20), "price": np.arange(20) % 7})
    generator = np.random.RandomState(0)
    for transformer, n_fits in [
        (CountedSVD(1, random_state=0), 1),
        (CountedSVD(1), 2),
        (CountedSVD(1, random_state=generator), 2),
        (make_pipeline(CountedSVD(1), TowerVectorizer()), 2),
        (
            make_pipeline(
                FunctionTransformer(lambda t: t), CountedSVD(1, random_state=0)
            ),
            2,
        ),
    ]:
        CountedSVD.n_fits = 0
        for _ in range(2):
            how = {"item_transformer": transformer, "memory": str(tmp_path)}
            small(items=table, **how).fit(X)
        assert CountedSVD.n_fits == n_fits, transformer


def test_memory_must_be_a_folder_or_a_cache():
    with pytest.raises(ValueError, match="'memory' should be None"):
        small(memory=3).fit(X)
    with pytest.raises(ValueError, match="memory='.*space.py' must be a folder that"):
        small(memory=__file__).fit(X)
