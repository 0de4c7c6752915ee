"""Items that have left for good."""

import pickle

import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from sktwotower import TowerVectorizer
from sktwotower.io import dump, load
from sktwotower.towers import RecentHistory
from tests.builders import chain, ordered, past_of, random_events, small
from tests.cases import for_each

GONE = ["i2", "i5"]
X = random_events()
SIDE = pd.DataFrame(
    {
        "item": [f"i{i}" for i in range(9)],
        "words": ["red tea", "red jam", "xylo tea"] * 3,
    }
)
SIDE["words"] = SIDE["words"].where(~SIDE["item"].isin(GONE), "xylophone")


@for_each("history", [None, "pooled"])
def test_nothing_is_left_of_them(history):
    model = small(history=history).fit(X)
    kept = [item for item in model.item_ids_ if item not in GONE]
    vectors = model.embed_items(kept)
    assert model.forget_items(GONE) is model
    assert model.item_ids_.tolist() == kept
    assert_allclose(model.item_embeddings_, vectors, atol=1e-6)
    assert not set(model.seen_items()["item"]) & set(GONE)
    assert model.net_.module_.first.item_tower.sparse.weight.shape[0] == 7
    assert b"i5" not in pickle.dumps(model)
    assert set(model.recommend(n_neighbors=99)["item"]) <= set(kept)


def test_scores_of_users_without_a_history_stay():
    model = small(history=None).fit(X)
    before = model.recommend(n_neighbors=9, exclude_seen=False)
    before = before[~before["item"].isin(GONE)]
    model.forget_items(GONE)
    after = model.recommend(n_neighbors=9, exclude_seen=False)
    assert_array_equal(after[["user", "item"]], before[["user", "item"]])
    assert_allclose(after["score"], before["score"], atol=1e-6)


@pytest.mark.slow
def test_they_are_unknown_and_may_come_back(tmp_path):
    model = small().fit(X).forget_items(GONE)
    model.partial_fit(X[X["item"].isin(["i1", "i2"])])
    assert model.item_ids_[-1] == "i2"
    dump(model, tmp_path / "model.sktt")
    read = load(tmp_path / "model.sktt")
    pd.testing.assert_frame_equal(read.recommend(), model.recommend())
    with pytest.warns(UserWarning, match="The item 'i5' is not known from fit"):
        model.forget_items(["i5"])


def test_the_order_of_the_other_events_stays():
    events = chain(n_users=15, noise=0.3)
    model = ordered(history=RecentHistory(second_share=0.3)).fit(events)
    before = past_of(model, "u03")
    gone = before[-1][0]
    model.forget_items([gone])
    after = past_of(model, "u03")
    kept = [item for item, _ in before if item != gone]
    assert [item for item, _ in after] == kept
    assert [lag for _, lag in after] == list(range(len(kept), 0, -1))
    model.partial_fit(events[events["item"] != gone].tail(9))


def test_the_items_left_may_have_no_event(tmp_path):
    events = pd.DataFrame({"user": ["u0", "u1"], "item": ["i2", "i5"]})
    model = small(items=SIDE).fit(events).forget_items(GONE)
    assert len(model.seen_items()) == 0
    history = {"new": ["i1"]}
    found = model.recommend(["new"], 9, history=history)
    assert set(found["item"]) == set(model.item_ids_) - {"i1"}
    dump(model, tmp_path / "model.sktt")
    read = load(tmp_path / "model.sktt")
    pd.testing.assert_frame_equal(read.recommend(["new"], 9, history=history), found)
    model.partial_fit(pd.DataFrame({"user": ["u0", "u1"], "item": ["i1", "i3"]}))
    assert not model.recommend(["new"], 9, history=history).equals(found)


@pytest.mark.slow
def test_side_tables_and_features_are_forgotten_too():
    transformer = TowerVectorizer(kinds={"words": "text"}, min_frequency=1)
    model = small(items=SIDE, item_transformer=transformer).fit(X)
    model.set_catalog(["i5", "i0", "i1"])  # i2 is in no catalog, but known
    model.forget_items(GONE)
    assert model.item_ids_.tolist() == ["i0", "i1"]
    assert not set(model.items["item"]) & set(GONE) and len(SIDE) == 9
    names = model.item_transformer_.get_feature_names_out()
    assert not any("xylophone" in name for name in names)
    assert len(names) == len(model.net_.module_.first.item_tower.sparse.weight)
    assert b"xylophone" not in pickle.dumps(model)
    model.partial_fit(X[X["item"] == "i0"])


@for_each(
    ("items", "error", "message"),
    [
        (None, TypeError, "items must be ids or a table of items. Got None"),
        ([f"i{i}" for i in range(9)], ValueError, "leave none of 9 items of the cat"),
        (pd.DataFrame({"thing": ["i1"]}), ValueError, "has no column 'item'"),
    ],
)
def test_bad_input_changes_nothing(items, error, message):
    model = small().fit(X)
    fitted = model.item_embeddings_
    with pytest.raises(error, match=message):
        model.forget_items(items)
    assert model.item_embeddings_ is fitted


@pytest.mark.slow
def test_a_tower_without_a_linear_layer_is_refused():
    class Odd(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(n, 8))

        def forward(self, rows):
            return rows @ self.weight

    model = small(item_tower=Odd).fit(X)
    with pytest.raises(ValueError, match="item_tower has no torch.nn.Linear"):
        model.forget_items(GONE)
