"""DataOps of skrub around a recommender, judged by a scorer of rankings."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV, cross_validate

from sktwotower import ItemKNNRecommender, PopularityRecommender
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import LastNSplit

from .builders import needs, shop

pytestmark = needs("skrub>=0.11")
EVENTS = shop()
PAIRS = EVENTS[["user", "item"]]
FOLDS = LastNSplit(2, n_splits=2)
BOTH = make_retrieval_scorer(["recall@5", "ndcg@5"])
ONE = make_retrieval_scorer("recall@5")


def data_op(model, y=None):
    """Return DataOps in which a recommender gets other columns than the scorer."""
    import skrub

    events = skrub.var("events", EVENTS).skb.mark_as_X()
    some = events[["user", "item"]].assign(item=events["item"] + 100)
    if y is None:
        return some.skb.apply(model, unsupervised=True)
    return some.skb.apply(model, y=skrub.var("y", y).skb.mark_as_y())


def test_figures_are_those_of_scikit_learn():
    expected = cross_validate(ItemKNNRecommender(), PAIRS, cv=FOLDS, scoring=BOTH)
    found = data_op(ItemKNNRecommender()).skb.cross_validate(cv=FOLDS, scoring=BOTH)
    for name in ("test_recall@5", "test_ndcg@5"):
        assert_array_equal(found[name], expected[name])
    assert not np.array_equal(found["test_recall@5"], found["test_ndcg@5"])


def test_outcomes_reach_the_scorer():
    y = (EVENTS["item"] % 3 > 0).astype(int)
    params = {"cv": FOLDS, "scoring": ONE}
    expected = cross_validate(PopularityRecommender(), PAIRS, y, **params)
    found = data_op(PopularityRecommender(), y).skb.cross_validate(**params)
    assert_array_equal(found["test_score"], expected["test_score"])
    all_chosen = cross_validate(PopularityRecommender(), PAIRS, **params)
    assert (found["test_score"] != all_chosen["test_score"]).all()


def test_searches_alone_and_within_another_validation():
    import skrub

    model = ItemKNNRecommender(n_similar=skrub.choose_from([1, 5, 20], name="n"))
    params = {"cv": FOLDS, "scoring": ONE}
    search = data_op(model).skb.make_grid_search(**params)
    search.fit({"events": EVENTS})
    grid = GridSearchCV(ItemKNNRecommender(), {"n_similar": [1, 5, 20]}, **params)
    grid.fit(PAIRS)
    found = search.results_.sort_values("n")["mean_test_score"]
    assert_array_equal(found, grid.cv_results_["mean_test_score"])
    nested = skrub.cross_validate(search, {"events": EVENTS}, **params)
    expected = cross_validate(grid, PAIRS, **params)
    assert_array_equal(nested["test_score"], expected["test_score"])


def test_the_scorer_may_be_a_part_of_the_data_ops():
    expected = cross_validate(ItemKNNRecommender(), PAIRS, cv=FOLDS, scoring=ONE)
    scored = data_op(ItemKNNRecommender()).skb.with_scoring(ONE)
    found = scored.skb.cross_validate(cv=FOLDS)
    assert_array_equal(found["test_score"], expected["test_score"])


def test_data_ops_without_a_recommender_are_refused():
    op = data_op(DummyRegressor(), EVENTS["item"])
    with pytest.raises(TypeError, match="Learner cannot rank held-out events. Exp"):
        op.skb.cross_validate(cv=FOLDS, scoring=ONE, error_score="raise")
