"""Items that fit knew and nobody has chosen: how much less they count."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import NearestNeighbors

from sktwotower import TwoTowerRecommender, io, runtime
from tests.builders import small
from tests.cases import for_each

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


@for_each("weight", [0, 1.5, "best"])
def test_bad_weights_are_refused(weight):
    with pytest.raises(ValueError, match="cold_item_weight"):
        fitted(cold_item_weight=weight)


# What "auto" chooses


def shop(n_users, n_late):
    """Return events of users of four tastes, and a table of 80 items, half unsold.

    ``n_late``: so many of the latest choices are first sales of unsold items.
    """
    rng = np.random.default_rng(0)
    items = pd.DataFrame({"item": np.arange(80), "kind": np.arange(80) % 4})
    items["kind"] = items["kind"].astype(str)
    users = np.tile(np.arange(n_users), 8)
    chosen = rng.integers(10, size=len(users)) * 4 + users % 4
    events = pd.DataFrame(
        {"user": users, "item": chosen, "when": np.arange(8 * n_users)}
    )
    events = events.drop_duplicates(["user", "item"])
    late = events.index[-n_late:] if n_late else events.index[:0]
    events.loc[late, "item"] += 40
    return events, items


@pytest.mark.slow
@pytest.mark.parametrize(
    "n_users, n_late, n_items, scaled",
    [
        (1000, 0, 80, True),  # nobody wants what was never sold
        (1000, 650, 80, False),  # what was never sold is what comes next
        (1000, 0, 40, False),  # there is nothing that was never sold
        (300, 0, 80, False),  # too few users judge
    ],
)
def test_unsold_items_count_less_where_nobody_wants_them(
    n_users, n_late, n_items, scaled
):
    events, items = shop(n_users, n_late)
    params = {"embedding_dim": 8, "max_epochs": 1, "time": "when", "history": "pooled"}
    model = TwoTowerRecommender(items=items[:n_items], random_state=0, **params)
    weight = model.fit(events).cold_item_weight_
    assert (weight < 1) == scaled and weight in np.arange(3, 11) / 10
