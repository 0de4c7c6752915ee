"""Items that fit knew and nobody has chosen: how much less they count."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import NearestNeighbors

from sktwotower import TwoTowerRecommender, io, runtime
from sktwotower._tables._event_table import EventTable
from sktwotower.recommender import _cold_items, _partial_fit
from tests.builders import small

X = pd.DataFrame(
    [(u, i) for u in range(6) for i in range(8) if (u + i) % 4 < 2],
    columns=["user", "item"],
)
ITEMS = pd.DataFrame({"item": np.arange(11), "kind": list("aabbaabbabc")})
COLD = [8, 9, 10]


def fitted(**params):
    params = {"cold_item_weight": 0.5, "max_epochs": 3} | params
    return small(items=ITEMS, **params).fit(X)


@pytest.fixture(scope="module")
def model():
    return fitted()


def lengths(model, items):
    return np.linalg.norm(model.embed_items(items), axis=1)


# What all figures of a model say


def test_scores_of_cold_items_are_scaled_and_keep_their_order(model):
    alike, users = fitted(cold_item_weight=1.0), [0, 1, 5]
    factors = np.where(np.isin(ITEMS["item"], COLD), 0.5, 1)
    assert model.cold_item_weight_ == 0.5
    expected = alike.item_embeddings_ * factors[:, None]
    assert_allclose(model.item_embeddings_, expected, atol=1e-6)
    assert_allclose(model.embed_items(ITEMS["item"]), expected, atol=1e-6)
    pairs = pd.DataFrame({"user": 0, "item": ITEMS["item"]})
    scores = alike.predict(pairs) * factors
    assert_allclose(model.predict(pairs), scores, atol=1e-6)
    for item in (0, 8):
        why = model.explain(0, item)
        assert why.attrs["score"] == pytest.approx(scores[item], abs=1e-6)
        assert why["contribution"].sum() == pytest.approx(scores[item], abs=1e-6)
    asked = {"candidates": COLD, "n_neighbors": 3}
    orders = [m.recommend(users, **asked)["item"] for m in (model, alike)]
    assert_array_equal(*orders)


@pytest.mark.slow
def test_a_process_that_serves_answers_alike(model, tmp_path):
    fewer = copy.copy(model).set_catalog([9, 0, 1, 2])  # 8 and 10 are not in it
    for number, each in enumerate([model, fewer]):
        path = tmp_path / f"{number}.sktt"
        io.dump(each, path)
        served, again = runtime.load(path), io.load(path)
        table = each.recommend([0], 4, exclude_seen=False)
        ids, scores = served.recommend(0, 4, exclude_seen=False)
        assert_array_equal(ids, table["item"])
        assert_allclose(scores, table["score"], atol=1e-6)
        assert again.cold_item_weight_ == 0.5
        for item in (8, 9):
            expected = each.similar_items([item], 2)["score"]
            assert_allclose(served.similar_items(item, 2)[1], expected, atol=1e-6)
            assert_allclose(again.similar_items([item], 2)["score"], expected)


# Who is cold


def test_new_items_and_those_with_a_first_event_count_fully(model):
    more = pd.concat([ITEMS, pd.DataFrame({"item": [20, 21], "kind": ["a", "c"]})])
    added = copy.copy(model).set_catalog(more)
    assert_allclose(lengths(added, [0, *COLD, 20, 21]), [1, 0.5, 0.5, 0.5, 1, 1])
    assert_array_equal(added.embed_items(COLD), added.item_embeddings_[8:11])
    learnt = copy.copy(model).set_params(items=more)
    learnt = learnt.partial_fit(pd.DataFrame({"user": [0], "item": [8]}))
    assert_allclose(lengths(learnt, [8, 9, 10, 20, 21]), [1, 0.5, 0.5, 1, 1])
    found = np.linalg.norm(learnt.item_embeddings_[[8, 9]], axis=1)
    assert_allclose(found, [1, 0.5])


def test_a_first_event_counts_even_if_no_weight_of_the_item_changes(model, monkeypatch):
    """As training may hide its id and all its features."""
    monkeypatch.setattr(_partial_fit, "moved_items", lambda *_: np.zeros(0, np.int64))
    learnt = copy.copy(model).partial_fit(pd.DataFrame({"user": [0], "item": [8]}))
    found = np.linalg.norm(learnt.item_embeddings_[COLD], axis=1)
    assert_allclose(found, [1, 0.5, 0.5])


def test_who_forgets_leaves_no_item_that_nobody_wanted():
    events = pd.concat([X, pd.DataFrame({"user": [9], "item": [8]})])
    model = small(items=ITEMS, cold_item_weight=0.5).fit(events).forget_users([9])
    expected = [1, 0.5, 0.5]
    assert_allclose(lengths(model, COLD), expected)
    model.set_catalog(COLD[::-1])
    assert_allclose(np.linalg.norm(model.item_embeddings_, axis=1), expected[::-1])


def test_other_indexes_than_the_exact_one_need_vectors_of_one_length(model):
    other = copy.copy(model).set_params(neighbors=NearestNeighbors())
    with pytest.warns(UserWarning, match=r"cold_item_weight=0.5 needs exact search"):
        other.set_catalog(ITEMS)
    assert other.cold_item_weight_ == 1
    assert_allclose(lengths(other, COLD), 1)
    assert_allclose(np.linalg.norm(other.item_embeddings_, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("weight", [0, 1.5, "best"])
def test_bad_weights_are_refused(weight):
    with pytest.raises(ValueError, match="cold_item_weight"):
        fitted(cold_item_weight=weight)


# What "auto" chooses


@pytest.mark.parametrize(
    ("share_of_cold", "expected"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.0)]
)
def test_the_weight_that_ranks_held_out_events_best_by_hand(
    share_of_cold, expected, monkeypatch
):
    # For all users the cold item 2 scores 0.9, the warm ones 0 and 1 score 0.8 and 0.7.
    # All have chosen item 3; in the latest tenth, some choose 0 or 2, which nobody has
    # chosen before, for the first time.
    n, n_late = 180, 20
    users, items = np.append(np.arange(n), np.arange(n_late)), np.full(n + n_late, 3)
    items[-n_late:] = np.where(np.arange(n_late) < share_of_cold * n_late, 2, 0)
    items[n_late : n_late + 2] = 0, 1
    table = EventTable.of(users, items, (n, 4), np.arange(n + n_late))
    counts = np.bincount(items, minlength=4)
    vectors = np.array([[0.8], [0.7], [0.9], [0.0]], dtype=np.float32)

    def vectors_of(recipe, events, before, fit, judged):
        assert before.n_events == n and np.isin(judged, users[n:]).all()
        return np.ones((len(judged), 1), dtype=np.float32), vectors

    monkeypatch.setattr(_cold_items, "MIN_USERS", 10)
    monkeypatch.setattr(_cold_items, "vectors_of", vectors_of)
    chosen = _cold_items.cold_item_weight(None, None, table, None, counts)
    assert chosen == expected
    # an item that only users outside of the table chose is not cold: it is left out
    assert _cold_items.cold_item_weight(None, None, table, None, counts + 1) == 1
    monkeypatch.setattr(_cold_items, "MIN_USERS", 30)
    assert _cold_items.cold_item_weight(None, None, table, None, counts) == 1


@pytest.mark.slow
def test_a_short_fit_takes_the_places_of_items_that_nobody_wants(monkeypatch):
    """Half of the items of each kind never were for sale."""
    monkeypatch.setattr(_cold_items, "MIN_USERS", 50)
    rng, n_users = np.random.default_rng(0), 120
    kinds = np.arange(80) % 4
    items = pd.DataFrame({"item": np.arange(80), "kind": kinds.astype(str)})
    users = np.repeat(np.arange(n_users), 8)
    chosen = rng.integers(10, size=len(users)) * 4 + users % 4
    events = pd.DataFrame({"user": users, "item": chosen}).drop_duplicates()
    model = TwoTowerRecommender(items=items, embedding_dim=8, max_epochs=3).fit(events)
    assert model.cold_item_weight_ < 1
    params = {"embedding_dim": 8, "max_epochs": 1}
    known = TwoTowerRecommender(items=items[:40], **params).fit(events)
    assert known.cold_item_weight_ == 1
