"""The time of asking, which every fit with dates and a recent history learns from."""

import copy
import logging
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

import sktwotower.runtime
from sktwotower import TwoTowerRecommender
from sktwotower.io import dump, load
from sktwotower.metrics import retrieval_report
from tests.cases import for_each

from .builders import planted, stirred

EVENTS = planted(12, 6)[["user", "item", "time"]]
# the first user was here at the start only
EVENTS.loc[:5, "time"] = np.arange(6)
DATES = pd.Timestamp("2024-02-28 05:00") + pd.to_timedelta(EVENTS["time"] * 7, "h")
X = EVENTS.assign(time=DATES)
PARAMS = {"time": "time", "max_epochs": 2, "embedding_dim": 8, "random_state": 0}
NOW = DATES.max()
LAST = X.groupby("user")["time"].max()
GAPS = X.sort_values(["user", "time"]).groupby("user")["time"].diff().dropna()
GAPS = GAPS.astype("timedelta64[ns]").astype("int64")
# a request comes now unless the gap before it would be longer
REACH = np.quantile(GAPS[GAPS > 0], 0.95)


def small(**params):
    return TwoTowerRecommender(**PARAMS | params)


@pytest.fixture(scope="module")
def model():
    """Return a model that contexts change much."""
    return stirred(small().fit(X))


def load_copy(model):
    return pickle.loads(pickle.dumps(model))


def users_by_gap():
    """Return a user who was here of late, and one who was not."""
    gaps = (NOW - LAST).astype("timedelta64[ns]").astype("int64")
    return gaps[gaps <= REACH].index[-1], gaps[gaps > REACH].index[0]


@pytest.fixture(scope="module")
def plain(model):
    """Return the same model, in which no context changes anything."""
    other = copy.deepcopy(model)
    for part in other.net_.module_.parts:
        if part.context is not None:
            for layer in (part.context.multiply, part.context.add):
                layer.weight.data[:] = 0
    return other


def test_without_a_time_only_a_usual_gap_until_now_is_known(model, plain):
    gaps = (NOW - LAST).astype("timedelta64[ns]").astype("int64")
    users = LAST.index.tolist()
    moved = np.abs(model.embed_users(users) - plain.embed_users(users)).max(axis=1)
    # after an unusually long gap, nothing is
    is_usual = (gaps <= REACH).to_numpy()
    assert is_usual.any() and not is_usual.all()
    assert (moved[is_usual] > 0.05).all() and (moved[~is_usual] == 0).all()
    # who names the time learns no such habit
    explicit = stirred(small(context="time").fit(X))
    late, _ = users_by_gap()
    when = NOW + pd.Timedelta(hours=1)
    asked = explicit.embed_users([late], context={"time": when})
    assert not np.allclose(asked, explicit.embed_users([late]))


@for_each(
    "params, times",
    [
        ({"context": None}, DATES),
        ({"history": "pooled"}, DATES),
        ({"time_unit": None}, DATES.astype("datetime64[s]").astype("int64")),
        ({}, EVENTS["time"]),  # an order only
    ],
)
def test_other_fits_do_not_have_it(params, times):
    model = small(max_epochs=1, **params).fit(EVENTS.assign(time=times))
    with pytest.raises(ValueError, match="context"):
        model.recommend(["u01"], 3, context={"time": times.max()})


def test_unix_times_have_it():
    seconds = DATES.astype("datetime64[s]").astype("int64")
    model, expected = small().fit(EVENTS.assign(time=seconds)), small().fit(X)
    assert_array_equal(model.item_embeddings_, expected.item_embeddings_)
    found = model.recommend(["u01", "u02"], 3)
    pd.testing.assert_frame_equal(found, expected.recommend(["u01", "u02"], 3))


def test_all_ways_of_asking_give_the_same(model):
    users = list(LAST.index)
    together = model.recommend(users, 3)
    for table in (
        pd.DataFrame({"user": users}),
        pd.DataFrame({"user": users, "time": pd.NaT}),
    ):
        pd.testing.assert_frame_equal(model.recommend(table, 3), together)
    one_by_one = [model.recommend([user], 3) for user in users]
    found = pd.concat(one_by_one, ignore_index=True)
    pd.testing.assert_frame_equal(found, together)
    scores = np.einsum(
        "nd,nd->n",
        model.embed_users(together["user"]),
        model.embed_items(together["item"]),
    )
    assert_allclose(scores, together["score"], rtol=1e-5)
    vectors = [model.embed_users([user])[0] for user in users]
    assert_allclose(vectors, model.embed_users(users), rtol=1e-5)
    late, _ = users_by_gap()
    why = model.explain(late, together["item"][0])
    assert why["contribution"].sum() == pytest.approx(
        model.predict(pd.DataFrame({"user": [late], "item": together["item"][:1]}))[0],
        rel=1e-4,
    )
    assert (why["side"] == "context").any()


def test_a_request_at_a_time(model):
    late, _ = users_by_gap()
    when = NOW + pd.Timedelta(hours=30)
    found = model.recommend([late], 3, context={"time": when})
    table = pd.DataFrame({"user": [late, late], "time": [when, pd.NaT]})
    both = model.recommend(table, 3)
    pd.testing.assert_frame_equal(both[:3], found)
    now = model.recommend([late], 3).set_index(both.index[3:])
    pd.testing.assert_frame_equal(both[3:], now)
    assert not np.allclose(both["score"][:3], both["score"][3:])


def test_a_history_without_times_has_no_gap(model, plain):
    late, _ = users_by_gap()
    past = {late: ["i01", "i02"]}
    found = model.embed_users([late], history=past)
    assert_array_equal(found, plain.embed_users([late], history=past))


def test_new_users_ask_at_no_time(model):
    found = model.recommend(["zoe"], 3)
    table = pd.DataFrame({"user": ["zoe"], "time": [NOW]})
    assert not np.allclose(found["score"], model.recommend(table, 3)["score"])


def test_files_and_small_processes(model, tmp_path):
    path = tmp_path / "model.sktt"
    dump(model, path)
    expected = model.recommend(list(LAST.index), 3)
    pd.testing.assert_frame_equal(load(path).recommend(list(LAST.index), 3), expected)
    small = sktwotower.runtime.load(path)
    for row, user in enumerate(LAST.index):
        ids, scores = small.recommend(user, 3)
        assert_array_equal(ids, expected["item"][3 * row :][:3])
        assert_allclose(scores, expected["score"][3 * row :][:3], rtol=1e-4, atol=1e-6)
    ids, scores = small.recommend("u01", 3, context={"time": NOW})
    found = model.recommend(["u01"], 3, context={"time": NOW})
    assert_allclose(scores, found["score"], rtol=1e-4, atol=1e-6)


def test_now_moves_with_further_events(model, plain):
    late, early = users_by_gap()
    before = model.embed_users([late])
    later = pd.DataFrame({"user": ["new"], "item": ["i01"]})
    moved = load_copy(model).set_params(lr=0)
    moved.partial_fit(later.assign(time=NOW + pd.Timedelta(days=900)))
    # for nobody but the new user it is usual not to be here for so long
    assert not np.allclose(moved.embed_users([late]), before)
    assert_array_equal(moved.embed_users([late]), plain.embed_users([late]))


def test_held_out_events_are_asked_for_when_the_first_of_their_user_was(model):
    times = [NOW + pd.Timedelta(days=days) for days in (5, 1, 3)]
    later = pd.DataFrame({"user": ["u01", "u01", "u02"], "time": times})
    later["item"] = model.item_ids_[[3, 5, 7]]
    every = load_copy(model).set_params(exclude_seen=False)
    asked = pd.DataFrame({"user": ["u01", "u02"], "time": times[1:]})
    expected = every.kneighbors(asked, 3, return_distance=False)
    ranking = every.rank_held_out(later[X.columns], n_neighbors=3)
    assert ranking.users.tolist() == ["u01", "u02"]
    assert_array_equal(ranking.indices, expected)

    # what was shown and not chosen is not the first
    shown = every.rank_held_out(later[X.columns], [1, 0, 1], n_neighbors=3)
    asked["time"] = [times[0], times[2]]
    expected = every.kneighbors(asked, 3, return_distance=False)
    assert_array_equal(shown.indices, expected)


def test_each_time_may_be_a_request(model):
    later = X[X["user"] == "u01"]
    later = later.assign(time=later["time"] + pd.Timedelta(days=99))
    every = load_copy(model).set_params(exclude_seen=False)
    ranking = every.rank_held_out(later, n_neighbors=3, requests="time")
    asked = later.drop_duplicates("time")[["user", "time"]]
    expected = every.kneighbors(asked, 3, return_distance=False)
    assert_array_equal(ranking.indices, expected)


@pytest.mark.filterwarnings("ignore")
def test_reports_compare_with_fits_without_it(model):
    later = X.groupby("user").tail(1)
    without = small(context=None).fit(X)
    report = retrieval_report(model, later, k=3, baselines={"without": without})
    assert (report.loc["all", "users"] == len(LAST)).all()
    # a table may lack the time
    assert 0 <= model.score(later.drop(columns="time")) <= 1


def test_what_counts_as_now_is_said(caplog):
    with caplog.at_level(logging.INFO, "sktwotower"):
        small(max_epochs=1).fit(X)
    assert f"requests without a time are ones at {NOW:%Y-%m-%d}" in caplog.text


def test_parameter():
    model = TwoTowerRecommender()
    assert model.context == "auto" and clone(model).context == "auto"
    assert "context" not in repr(model)
