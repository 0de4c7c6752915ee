"""What is chosen more often now than in training gets a higher score."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin

from sktwotower import io, runtime
from sktwotower.towers import RecentHistory
from sktwotower.towers.parts import log_ratios
from tests.builders import chain, dated, ordered
from tests.cases import for_each

X = chain(n_users=15, noise=0.5)
PAIR = ["user", "item"]


def popular(**params):
    """Build a recommender whose popularity halves; ``params`` also of its history."""
    names = RecentHistory().get_params()
    of_history = {n: params.pop(n) for n in list(params) if n in names}
    history = RecentHistory(**{"popularity_half_life": 2.0} | of_history)
    return ordered(history=history, **params)


def part_of(model):
    (part,) = [p for p in model.net_.module_.parts if p.half_life is not None]
    return part


def ratios_of(events, model, half_life, training=np.inf):
    """Return the logarithms of a table of events, in the order of a model's items."""
    items = pd.Index(model.item_ids_).get_indexer(events["item"])
    known = items, events["when"].to_numpy(), len(model.item_ids_)
    return log_ratios(*known, half_life, training)


def scores(model, users):
    return model.embed_users(users) @ model.item_embeddings_.T


def test_logarithms_by_hand():
    items, times = np.array([0, 0, 1]), np.array([0, 10, 10])
    found = log_ratios(items, times, 3, 10.0, np.inf)
    # now 1.5 and 1 of 2.5, in training 2 and 1 of 3; .1 / 3 more of each
    now, training = np.array([0.6, 0.4, 0]), np.array([2 / 3, 1 / 3, 0])
    assert_allclose(found, np.log((now + 0.1 / 3) / (training + 0.1 / 3)))
    assert found[2] == 0  # nobody has chosen it
    aged = log_ratios(items, times, 3, 10.0, 20.0)
    old = np.array([1 + 0.5**0.5, 1, 0])
    expected = np.log((now + 0.1 / 3) / (old / old.sum() + 0.1 / 3))
    assert_allclose(aged, expected)
    assert_array_equal(log_ratios(items, times, 3, 20.0, 20.0), 0)


def test_they_end_at_four():
    items = np.append(np.zeros(10_000, dtype=int), 1)
    times = np.append(np.zeros(10_000, dtype=int), 10**6)
    found = log_ratios(items, times, 200, 1.0, np.inf)
    assert found[:3].tolist() == [-4, 4, 0]


@for_each("half_life", [None, 3.0])
def test_scores_grow_by_the_logarithms(half_life):
    params = {"half_life": half_life, "second_share": 0.2}
    without = popular(popularity_half_life=None, **params).fit(X)
    model = popular(**params).fit(X)
    assert model.popularity_half_life_ == 2.0 and model.half_life_ == half_life
    assert without.popularity_half_life_ is None
    expected = ratios_of(X, model, 2.0, half_life or np.inf)
    assert np.ptp(expected) > 0.1
    left = 1 - model.net_.module_.shares[-1]
    users = [*model.user_ids_, "new"]
    grown = (scores(model, users) / left - scores(without, users)) / model.temperature_
    assert_allclose(grown, np.tile(expected, (len(users), 1)), atol=1e-5)
    assert model.second_share_ == pytest.approx(without.second_share_) == 0.2


def test_vectors_stay_of_length_one_and_are_two_numbers_longer():
    without, model = popular(popularity_half_life=None).fit(X), popular().fit(X)
    for vectors in (model.item_embeddings_, model.embed_users(model.user_ids_)):
        assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert model.item_embeddings_.shape[1] == without.item_embeddings_.shape[1] + 2


@for_each("by_day", [False, True])
def test_further_events_change_what_is_popular(by_day):
    more = pd.DataFrame({"user": "u03", "item": ["i01", "new"], "when": [20, 21]})
    events, both = X, pd.concat([X, more])
    half_life = 2.0
    if by_day:
        events, more, half_life = dated(X), dated(more), pd.Timedelta("2D")
    model = popular(popularity_half_life=half_life).fit(events)
    model.partial_fit(more)
    assert model.popularity_half_life_ == half_life
    expected = ratios_of(both, model, 2.0)
    scale = model.net_.module_.scales_of_items[-1]
    assert_allclose(model.item_embeddings_[:, -2] / scale, expected / 4, atol=1e-6)
    before = model.item_embeddings_.copy()
    later = more.assign(
        when=more["when"] + (more["when"].iloc[1] - more["when"].iloc[0])
    )
    model.set_params(lr=0).partial_fit(later)
    assert_array_equal(model.item_embeddings_, before)  # learns nothing


def test_new_items_of_a_catalog_are_as_popular_as_before():
    items = pd.DataFrame({"item": [*np.unique(X["item"]), "j"]})
    items["color"] = np.array(["red", "blue"])[np.arange(len(items)) % 2]
    model = popular(items=items[:-1]).fit(X)
    model.set_catalog(items)
    scale = model.net_.module_.scales_of_items[-1]
    assert_allclose(model.item_embeddings_[-1, -2:] / scale, [0, 1], atol=1e-6)


def test_files_and_serving_have_it(tmp_path):
    model = popular().fit(X)
    io.dump(model, path := tmp_path / "model.sktt")
    read, served = io.load(path), runtime.load(path)
    assert read.popularity_half_life_ == 2.0
    users = list(model.user_ids_[:5])
    expected = model.recommend(users, 4)
    pd.testing.assert_frame_equal(read.recommend(users, 4), expected)
    for user, lists in expected.groupby("user"):
        ids, found = served.recommend(user, 4)
        assert ids.tolist() == lists["item"].tolist()
        assert_allclose(found, lists["score"], atol=1e-6)
    more = pd.DataFrame({"user": "u03", "item": ["i01"], "when": [20]})
    assert_array_equal(
        read.partial_fit(more).item_embeddings_,
        model.partial_fit(more).item_embeddings_,
    )


@for_each(
    "params",
    [{"normalize": False}, {"item_transformer": "features"}],
    ids=["lengths", "no ids"],
)
def test_without_ids_or_unit_vectors_there_is_none(params):
    if "item_transformer" in params:
        params = {"items": pd.DataFrame({"item": np.unique(X["item"]), "n": 1.0})}
        params["item_transformer"] = NumbersOnly()
    text = "popularity_half_life=2.0 was not used: it needs normalize=True and an item"
    with pytest.warns(UserWarning, match=text) as record:
        model = popular(**params).fit(X)
    assert model.popularity_half_life_ is None and record[0].filename == __file__
    assert_array_equal(
        model.item_embeddings_,
        popular(popularity_half_life=None, **params).fit(X).item_embeddings_,
    )


class NumbersOnly(TransformerMixin, BaseEstimator):
    """A transformer that leaves ids out."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[["n"]].to_numpy(float) + np.arange(len(X))[:, None] % 3


def test_few_events_have_none_by_default():
    assert ordered().fit(X).popularity_half_life_ is None


@for_each(
    ("value", "message"),
    [
        (0, "popularity_half_life must be > 0 and finite. Got 0"),
        (np.nan, "popularity_half_life must be > 0 and finite. Got nan"),
        ("7D", "popularity_half_life must be a Timedelta, a number,"),
        (pd.Timedelta("7D"), "popularity_half_life must be a number, 'auto' or None"),
        (np.timedelta64(7), "popularity_half_life must be a number, 'auto' or None"),
    ],
    ids=str,
)
def test_bad_values(value, message):
    with pytest.raises((ValueError, TypeError), match=message):
        popular(popularity_half_life=value).fit(X)
