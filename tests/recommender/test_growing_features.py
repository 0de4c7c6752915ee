"""Levels and words that come with further events, and what is learnt of them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import io
from tests.builders import random_events, small

SIDE = pd.DataFrame(
    {
        "item": [f"i{i}" for i in range(9)],
        "kind": ["tea", "jam", "ham"] * 3,
        "size": ["S", "L", "L", "S", "L", "S", "S", "L", None],
    }
)
NEW = pd.DataFrame(
    {"item": ["j1", "j2", "j3"], "kind": ["fig"] * 2 + ["elk"], "size": ["S"] * 3}
)
MORE = pd.DataFrame({"user": ["u1", "u2", "u3"], "item": ["j1", "j2", "j3"]})
NAMES = ["kind_ham", "kind_jam", "kind_tea", "size_L", "size_S", "size_missing"]


def names_of(model):
    names = model.item_transformer_.get_feature_names_out().tolist()
    return [name for name in names if not name.startswith("item_")]


def grown(lr=0.01, **params):
    """Return a model before and after two new items of a new kind, and a third.

    ``lr``: of ``partial_fit`` only.
    """
    before = small(items=SIDE, **params).fit(random_events())
    after = small(items=SIDE, **params).fit(random_events())
    after.set_params(items=pd.concat([SIDE, NEW]), lr=lr)
    return before, after.partial_fit(MORE)


def weights_of(model):
    names = model.item_transformer_.get_feature_names_out()
    table = model.net_.module_.first.item_tower.sparse.weight
    return pd.DataFrame(table.detach().numpy(), index=names)


@pytest.mark.slow
def test_a_new_level_is_learnt_and_the_others_keep_what_was_learnt(tmp_path):
    before, after = grown(lr=5e-8, weight_decay=0.0)
    assert names_of(before) == NAMES
    assert names_of(after) == [*NAMES[:3], "kind_fig", *NAMES[3:]]
    old, now = weights_of(before), weights_of(after)
    assert_allclose(now.loc[old.index], old, atol=1e-6)
    assert 0 < abs(now.loc["kind_fig"]).max() < 1e-6
    io.dump(after, tmp_path / "model.sktt")
    again = MORE.assign(item=["i1", "j1", "j3"])
    same = io.load(tmp_path / "model.sktt").partial_fit(again)
    assert_array_equal(same.item_embeddings_, after.partial_fit(again).item_embeddings_)


@pytest.mark.slow
def test_items_without_events_get_what_is_learnt_of_their_level():
    before, after = grown(lr=0.25)
    cold = pd.DataFrame({"item": ["a", "b"], "kind": ["fig", "elk"], "size": ["S"] * 2})
    fig, elk = before.embed_items(cold)
    assert_array_equal(fig, elk)
    fig, elk = after.embed_items(cold)
    assert abs(fig - elk).max() > 0.01


@pytest.mark.slow
def test_features_in_events_grow_too():
    events = random_events()
    events["city"] = np.where(events["user"] < "u5", "Rome", "Oslo")
    model = small(user_features=["city"]).fit(events)
    more = pd.DataFrame(
        {"user": ["n1", "n2"], "item": ["i1", "i2"], "city": ["Bonn", "Bonn"]}
    )
    names = model.partial_fit(more).user_transformer_.get_feature_names_out()
    assert [n for n in names if n[:4] == "city"] == [
        "city_Oslo",
        "city_Rome",
        "city_Bonn",
    ]
