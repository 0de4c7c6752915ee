"""Sparse parts from disk, over interruptions, in contexts, figures and two stages."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback

from sktwotower import TwoStageRecommender
from tests.builders import small

from .habits import (
    EVENTS,
    events_of,
    fitted,
    has_sparse_parts,
    items_of,
    model_of,
    requests_of,
)

pytestmark = pytest.mark.slow

HABITS = sorted(EVENTS)
RTOL, ATOL = 1e-6, 1e-5


def few(*names):
    """Return all habits, of which all except some have the mark grid."""
    marks = {name: () if name in names else (pytest.mark.grid,) for name in HABITS}
    return [pytest.param(name, marks=marks[name]) for name in HABITS]


def assert_same(model, other):
    """Check that two models have the same weights and give the same lists."""
    pd.testing.assert_frame_equal(model.weights_, other.weights_)
    users = model.user_ids_
    pd.testing.assert_frame_equal(model.recommend(users, 5), other.recommend(users, 5))


@pytest.mark.parametrize("name", few("repeats"))
def test_a_fit_from_disk_equals_one_in_memory(name, tmp_path):
    for place, rows in enumerate(np.array_split(np.arange(len(events_of(name))), 3)):
        table = events_of(name).iloc[rows]
        table.to_parquet(tmp_path / f"part{place}.parquet", index=False)
    model = model_of(name)
    other = small(**model.get_params()).fit(tmp_path)
    assert_same(other, model)


class Killed(BaseException):
    """Ends a fit, as the end of the process would, except that the test goes on."""


class Dies(Callback):
    """Ends a fit after two epochs, once."""

    is_due = False

    def on_epoch_end(self, net, **kwargs):
        if Dies.is_due and len(net.history) == 2:
            Dies.is_due = False
            raise Killed


@pytest.mark.parametrize("name", few("repeats"))
def test_a_fit_that_goes_on_equals_one_without_a_break(name, tmp_path):
    expected = model_of(name)
    params = expected.get_params() | {"checkpoint": tmp_path, "callbacks": [Dies()]}
    model, Dies.is_due = small(**params), True
    with pytest.raises(Killed):
        model.fit(events_of(name))
    assert_same(model.fit(events_of(name)), expected)


def in_places(events):
    """Return events with the place of each request."""
    places = np.array(["home", "work", "way"])[np.arange(len(events)) % 3]
    return events.assign(place=places)


@pytest.mark.parametrize("name", few("pairs", "sequences"))
def test_in_a_context_the_same_is_added(name):
    model = small(**{**model_of(name).get_params(), "context": ["place"]})
    model.fit(in_places(events_of(name)))
    assert has_sparse_parts(model)
    users = model.user_ids_[:6].tolist()
    table = requests_of(name, users, model.item_ids_).assign(place="work")
    table = table[model.feature_names_in_]
    scores = model.predict(table).reshape(len(users), -1)
    vectors = model.embed_users(users, context={"place": "work"})
    unknown = model.embed_users(users)
    if name != "pairs":  # their towers have next to no weight
        assert np.abs(vectors - unknown).max() > 1e-4
    products = (vectors - unknown) @ model.item_embeddings_.T
    without = model.recommend(users, len(model.item_ids_), exclude_seen=False)
    without = items_of(without).loc[users, model.item_ids_]
    assert_allclose(scores - products, without, rtol=RTOL, atol=ATOL)
    asked = {"context": {"place": "work"}, "exclude_seen": False}
    lists = model.recommend(users, 5, **asked)
    best = -np.sort(-scores, axis=1)[:, :5]
    assert_allclose(lists["score"], best.ravel(), rtol=RTOL, atol=ATOL)
    alone = pd.concat([model.recommend([user], 5, **asked) for user in users])
    assert_array_equal(alone["item"], lists["item"])


def held_out():
    """Return a model of all but the last events of `sequences`, and these."""
    events = events_of("sequences")
    is_last = ~events["user"].duplicated(keep="last")
    return fitted("sequences").fit(events[~is_last]), events[is_last]


def test_figures_are_those_of_the_lists():
    model, later = held_out()
    assert has_sparse_parts(model)
    seen = set(map(tuple, model.seen_items()[["user", "item"]].to_numpy()))
    pairs = map(tuple, later[["user", "item"]].to_numpy())
    later = later[[pair not in seen for pair in pairs]]
    ranking = model.rank_held_out(later, n_neighbors=5)
    lists = model.recommend(ranking.users, 5)
    assert_array_equal(model.item_ids_[ranking.indices].ravel(), lists["item"])
    truth = later.set_index("user")["item"]
    hits = lists.groupby("user")["item"].agg(set)
    recall = np.mean([truth[user] in hits[user] for user in hits.index])
    assert recall > 0.4  # 0.7 of the events follow from the one before


@pytest.mark.parametrize("name", ["pairs", "sequences"])
def test_the_history_counts_most(name):
    model = model_of(name)
    table = EVENTS[name](seed=1).groupby("user").tail(1)
    if name == "sequences":
        model, table = held_out()
    importance = model.feature_importance(table, random_state=0)
    assert importance.iloc[0]["side"] == "history"
    lists = model.rank_held_out(table, n_neighbors=10)
    assert len(lists.users) > 20


def test_the_first_of_two_stages_has_them():
    X = events_of("sequences")
    model = TwoStageRecommender(
        fitted("sequences"), n_candidates=10, time="when", random_state=0
    ).fit(X)
    retriever = model.retriever_
    assert has_sparse_parts(retriever)
    users = model.user_ids_[:8].tolist()
    lists = model.recommend(users, 5)
    candidates = retriever.recommend(users, 10).groupby("user")["item"].agg(set)
    for user, items in lists.groupby("user")["item"]:
        assert set(items) <= candidates[user]
    why = model.explain(users[0], lists["item"].iloc[0])
    assert np.isfinite(why["contribution"]).all()


def test_scores_are_sums_of_dense_matrices_times_the_past():
    """All users have eight past items: each matrix has one weight for all of them."""
    model, events = model_of("pairs"), events_of("pairs")
    seen = pd.crosstab(events["user"], events["item"]).clip(upper=1)
    users, items, seen = (
        seen.index.tolist(),
        seen.columns.tolist(),
        seen.to_numpy(float),
    )
    inverse = np.linalg.inv(seen.T @ seen + 300 * np.eye(len(items)))
    linear = np.maximum(-inverse / np.diag(inverse), 0)
    there = (seen / seen.sum(axis=0)).T ** 0.5
    back = (seen / seen.sum(axis=1, keepdims=True)) ** 0.5
    walks = there @ back / seen.sum(axis=0) ** 0.4
    for matrix in (linear, walks):
        np.fill_diagonal(matrix, 0)
    pairs = pd.DataFrame({"user": np.repeat(users, len(items))})
    scores = model.predict(pairs.assign(item=items * len(users)))
    vectors = model.embed_users(users) @ model.embed_items(items).T
    added = scores - vectors.ravel()
    columns = np.stack([(seen @ matrix).ravel() for matrix in (linear, walks)], axis=1)
    weights, *_ = np.linalg.lstsq(columns, added, rcond=None)
    assert (weights > 0).all()
    assert_allclose(columns @ weights, added, rtol=1e-4, atol=1e-4 * added.max())
