"""What both stages keep of single users: shown, and removed from every byte."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.preprocessing import FunctionTransformer

from sktwotower import EASERecommender, TwoStageRecommender
from tests.builders import first_fast, ordered

from .builders import follows, stages

GONE = ["zelda-31", "quentin-7"]


def named_events(**params):
    """Events in which u03 and u07 are called zelda-31 and quentin-7."""
    events = follows(60, noise=0.2, **params)
    return events.replace({"user": {"u03": GONE[0], "u07": GONE[1]}})


def towns(events):
    """Return a side table of the users; nobody else lives where zelda does."""
    users = events["user"].unique()
    town = np.where(np.arange(len(users)) % 2, "Ulm", "Bonn").astype(object)
    return pd.DataFrame({"user": users, "town": town}).replace(
        {"town": {town[list(users).index(GONE[0])]: "Ulm"}}
    )


@pytest.fixture(scope="module", params=first_fast(["ease", "dates", "towers"]))
def fitted(request):
    events = named_events(dates=request.param != "ease")
    more = {"keep_training_table": True}
    if request.param == "towers":
        side = towns(events)
        side.loc[side["user"] == GONE[0], "town"] = "Zwiesel"
        # sparse parts would be computed anew without them
        retriever = ordered(users=side, sparse_parts=None, random_state=1)
        return stages(retriever, **more).fit(events)
    if request.param == "dates":
        more |= {"cut": "time", "context": ["when"]}
    return TwoStageRecommender(
        EASERecommender(), time="when", n_candidates=12, random_state=0, **more
    ).fit(events)


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


@pytest.mark.each_time("ease")
def test_seen_items_are_the_events_of_fit(model):
    found = model.seen_items([GONE[0], "nobody", "u01"])
    assert_frame_equal(found, model.retriever_.seen_items([GONE[0], "u01"]))
    events = named_events()
    for user in (GONE[0], "u01"):
        theirs = set(events["item"][events["user"] == user])
        assert set(found["item"][found["user"] == user]) == theirs


def test_they_are_in_no_byte_and_the_others_get_the_same(model):
    assert all(name.encode() in pickle.dumps(model) for name in GONE)
    kept = [user for user in model.user_ids_ if user not in GONE]
    pairs = model.recommend(kept, 9)
    features = model.candidate_features(kept)
    scores = model.predict(pairs[["user", "item"]])
    assert model.blend_ > 0
    assert model.forget_users(GONE) is model
    found = pickle.dumps(model)
    for name in [*GONE, "Zwiesel"]:
        assert name.encode() not in found and name.encode("utf-16-le") not in found
    assert model.user_ids_.tolist() == kept
    assert_frame_equal(model.recommend(kept, 9), pairs, atol=1e-6)
    assert_frame_equal(model.candidate_features(kept), features, atol=1e-5)
    np.testing.assert_allclose(model.predict(pairs[["user", "item"]]), scores, 1e-6)
    theirs, new = (model.recommend([user], 9) for user in (GONE[0], "new"))
    assert theirs["item"].tolist() == new["item"].tolist()
    assert len(model.seen_items(GONE)) == 0
    assert not model.training_table_["user"].isin(GONE).any()


def test_the_users_kept_for_importance_go_too():
    model = stages(EASERecommender(), n_candidates=12).fit(named_events())
    before = model.feature_importance(random_state=0)
    model.forget_users(model.user_ids_[::2])
    after = model.feature_importance(random_state=0)
    assert set(after["group"]) == set(before["group"])
    everyone = model.user_ids_
    new = pd.DataFrame({"user": ["new"], "item": ["i01"], "when": [99]})
    model.partial_fit(new).forget_users(everyone)
    with pytest.raises(ValueError, match="were forgotten. Pass held-out events"):
        model.feature_importance()


@pytest.mark.slow
def test_parameters_of_the_caller_are_not_changed():
    events = named_events()
    retriever = EASERecommender().fit(events)  # a fitted one would hold ids
    model = stages(retriever, n_candidates=12).fit(events)
    model.forget_users(GONE)
    assert GONE[0] in retriever.user_ids_
    assert GONE[0].encode() not in pickle.dumps(model)


@pytest.mark.slow
def test_a_transformer_of_candidates_may_hold_ids():
    events = named_events()
    own = FunctionTransformer(np.log, validate=False).set_params(func=rank_of)
    model = stages(EASERecommender(), features=own, n_candidates=12).fit(events)
    with pytest.warns(UserWarning, match="features is a FunctionTransformer, which"):
        model.forget_users(GONE)


def rank_of(table):
    """Return the rank of candidates."""
    return table[["rank"]]
