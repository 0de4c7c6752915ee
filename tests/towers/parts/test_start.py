"""The weights from which training starts."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from sktwotower import TwoTowerRecommender
from sktwotower.towers.parts import _start


def test_tags_of_a_short_fit_predict_the_vectors_of_items():
    # Two tags of four items each, which have no other: the weights of ridge regression
    # with the penalty 10 are sums divided by the number of items and 10. The last item
    # has no event, so that its vector says nothing.
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 3)).astype(np.float32)
    vectors[8] = 0
    tags = sparse.csr_matrix(np.repeat(np.eye(2), [4, 5], axis=0), dtype=np.float32)
    expected = [vectors[:4].sum(axis=0) / 14, vectors[4:8].sum(axis=0) / 14]
    np.testing.assert_allclose(_start._predicting(tags, vectors), expected, rtol=1e-5)


def test_the_regression_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    words = (rng.random((500, 40)) < 0.1).astype(np.float32)
    vectors = (words @ rng.normal(size=(40, 70)) + rng.normal(size=(500, 70))) / 10
    weights = _start._predicting(sparse.csr_matrix(words), vectors.astype(np.float32))
    found = words @ weights
    ridge = Ridge(alpha=_start.RIDGE, fit_intercept=False).fit(words, vectors)
    expected = ridge.predict(words)
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


@pytest.fixture(scope="module")
def tastes():
    """Return events of items with three tags each, and the table of the items.

    A user likes four of the tags. A third of the items is to be new.
    """
    n_users, n_items, n_tags = 150, 300, 30
    rng = np.random.default_rng(0)
    tags = rng.random((n_items, n_tags)).argsort(axis=1)[:, :3]
    liked = rng.random((n_users, n_tags)).argsort(axis=1)[:, :4]
    has, likes = np.zeros((n_items, n_tags)), np.zeros((n_users, n_tags))
    np.put_along_axis(has, tags, 1, axis=1)
    np.put_along_axis(likes, liked, 1, axis=1)
    odds = np.exp(2.5 * likes @ has.T)
    odds /= odds.sum(axis=1, keepdims=True)
    chosen = [rng.choice(n_items, 15, replace=False, p=each) for each in odds]
    events = [(user, item) for user, items in enumerate(chosen) for item in items]
    table = pd.DataFrame(
        {"item": range(n_items), "tags": [*map(list, tags.astype(str))]}
    )
    return pd.DataFrame(events, columns=["user", "item"]), table


@pytest.mark.slow
@pytest.mark.parametrize("max_epochs", [1, 5])
def test_a_short_fit_places_new_items_by_their_tags(tastes, max_epochs):
    events, items = tastes
    is_known = events["item"] < 200
    model = TwoTowerRecommender(
        items=items[:200], embedding_dim=16, max_epochs=max_epochs, random_state=0
    ).fit(events[is_known])
    model.exclude_seen = False
    of_known = model.score(events[is_known])
    of_new = model.set_catalog(items[200:]).score(events[~is_known])
    print(of_known, of_new)
    assert of_known > 0.2
    assert of_new > 0.2  # a list of 10 of 100 items has a tenth by chance
