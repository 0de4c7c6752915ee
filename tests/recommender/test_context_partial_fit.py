"""Further events with contexts: new levels, and columns that never change places."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower.towers import RecentHistory
from tests.shared import once

from .builders import asking, few, names_of, planted

X = planted(12, 8)
DATED = X.assign(time=pd.Timestamp("2024-01-01") + pd.to_timedelta(X["time"], "h"))
TIMED = {"time": "time", "history": "recent"}
CLOCKED = TIMED | {"context": ["time", "slot", "device"]}
CASES = {
    "pooled": {"history": "pooled"},
    "clock": CLOCKED | {"history": RecentHistory(second_share=0.3)},
    "recent": TIMED,
    "clock, pooled": CLOCKED | {"history": "pooled"},
    "none": {"history": None},
}


@pytest.fixture(scope="module")
def fitted():
    return once(lambda name: asking(**CASES[name]).fit(DATED))


def later(slots=("noon",), users=("u00", "u05"), n=6, **columns):
    """Return further events, later than those of fit."""
    n_events = n * len(users)
    table = pd.DataFrame(
        {
            "user": np.repeat(users, n),
            "item": [f"i{i % 40:02}" for i in range(0, 3 * n_events, 3)],
            "slot": np.resize(slots, n_events),
            "device": np.resize(["tv", "phone"], n_events),
            "time": DATED["time"].max() + pd.to_timedelta(1 + np.arange(n_events), "h"),
        }
    )
    return table.assign(**columns)


LEVELS = pd.MultiIndex.from_product(
    [["u00", "u04"], ["morning", "night"], ["phone", "tv"]],
    names=["user", "slot", "device"],
).to_frame(index=False)


def answers(model):
    """Return the vector of two users in each of four contexts."""
    if model.time is not None and "time" in model.context:
        return model.embed_users(LEVELS.assign(time=DATED["time"].max()))
    return model.embed_users(LEVELS)


@pytest.mark.parametrize("case", few(CASES, 2))
def test_new_levels_change_nothing_in_the_contexts_of_before(fitted, case):
    model = copy.deepcopy(fitted(case))
    before, names = answers(model), names_of(model)
    users = ("u01", "u05")  # the last event of the others stays
    more = later(["a", "b", "a", "c", "b", "noon"], users, n=12).assign(device="tv")
    # so little is learnt that the same contexts must have the same vectors
    model.set_params(lr=1e-7).partial_fit(more)
    assert {*names_of(model)} - {*names} == {f"slot_{level}" for level in "abc"}
    assert_allclose(answers(model), before, atol=1e-4)
    plain = model.embed_users(["u00"])
    assert_allclose(model.embed_users(["u00"], context={"slot": "a"}), plain, atol=1e-4)
    model.set_params(lr=0.1).partial_fit(later(["d"] * 4))
    assert "slot_d" in names_of(model)
    assert (
        np.abs(model.embed_users(["u00"], context={"slot": "d"}) - plain).max() > 0.01
    )


@pytest.mark.parametrize("case", few(CASES, 2))
def test_new_levels_are_learnt(fitted, case):
    model = copy.deepcopy(fitted(case))
    more = later(["dawn"] * 5 + ["noon"], n=12)
    u = model.embed_users(["u00"])
    dawn = {"slot": "dawn"}
    assert_array_equal(model.embed_users(["u00"], context=dawn), u)
    model.set_params(lr=0.1)
    for day in range(3):
        late = more["time"] + pd.Timedelta(day, "D")
        model.partial_fit(more.assign(time=late, item=more["item"].to_numpy()[::-1]))
        more = more.assign(item=np.roll(more["item"], 1))
    asked = pd.DataFrame({"user": ["u00"] * len(more), "slot": "dawn"})
    items = model.embed_items(more["item"])
    gain = (model.embed_users(asked) - model.embed_users(asked[["user"]])) @ items.T
    assert gain.mean() > 0.01  # what was chosen at dawn is likelier then


def test_rare_levels_get_no_column(fitted):
    model = copy.deepcopy(fitted("pooled"))
    model.partial_fit(later(["once"] + ["often"] * 5, ["u00"]))
    names = names_of(model)
    assert "slot_often" in names and "slot_once" not in names


@pytest.mark.parametrize("case", few(CASES, 2))
def test_tables_without_the_columns_of_the_context(fitted, case):
    model = copy.deepcopy(fitted(case))
    before = names_of(model)
    more = later(users=("u01", "new"))
    columns = ["slot", "device"] + ([] if "time" in CASES[case] else ["time"])
    model.partial_fit(more.drop(columns=columns[:2]))
    assert names_of(model) == before
    assert "new" in model.user_ids_
    model.partial_fit(more.iloc[1:].drop(columns="device"))
    if model.history_kind_ != "recent" and "time" in CASES[case]:
        model.partial_fit(more.drop(columns=["time", "slot"]))
        model.partial_fit(more.assign(time=pd.NaT))
    assert np.isfinite(model.embed_users(more)).all()


@pytest.mark.parametrize("case", few(CASES, 2))
def test_new_users_items_and_levels_at_once(fitted, case):
    model = copy.deepcopy(fitted(case))
    old = {user: i for i, user in enumerate(model.user_ids_)}
    more = later(["dawn", "noon", "dusk"], ("zoe", "u03", "yan"), 9)
    more["item"] = more["item"].where(np.arange(len(more)) % 2 == 0, "new item")
    model.partial_fit(more)
    assert {"zoe", "yan"} <= {*model.user_ids_} and "new item" in model.item_ids_
    assert [*model.user_ids_[: len(old)]] == [*old]
    one = model.embed_users(more.iloc[[0]])
    assert_allclose(one, model.embed_users(more)[[0]], atol=1e-6)


@pytest.mark.parametrize("case", few(CASES, 2))
def test_forgotten_users_take_their_levels_along(fitted, case):
    model = copy.deepcopy(fitted(case))
    model.partial_fit(later(["dawn"] * 4, ("zoe",)))
    before = names_of(model)
    asked = DATED.iloc[:5].drop(columns="item").assign(time=DATED["time"].max())
    vectors = model.embed_users(asked)
    model.forget_users(["zoe"])
    assert {*before} - {*names_of(model)} == {"slot_dawn"}
    assert_allclose(model.embed_users(asked), vectors, atol=1e-6)
    model.partial_fit(later())


@pytest.mark.slow
def test_another_catalog_keeps_contexts(fitted):
    model = copy.deepcopy(fitted("recent"))
    asked = DATED.drop(columns=["item", "time"]).iloc[:5]
    before = model.embed_users(asked)
    model.set_catalog(model.item_ids_[3:])
    assert_allclose(model.embed_users(asked), before, atol=1e-6)
    assert np.isfinite(model.embed_users(asked)).all()


def test_a_failed_call_changes_nothing(fitted):
    model = copy.deepcopy(fitted("recent"))
    asked = DATED.drop(columns="item").iloc[:5]
    before = model.embed_users(asked)
    with pytest.raises((TypeError, ValueError)):
        model.partial_fit(later(item=[None] * 12))
    with pytest.raises((TypeError, ValueError)):
        model.partial_fit(later(time=1.5))
    assert_array_equal(model.embed_users(asked), before)


@pytest.mark.parametrize("case", few(CASES, 2))
def test_impressions_only_and_no_rows_at_all(fitted, case):
    model = copy.deepcopy(fitted(case))
    asked = DATED.drop(columns="item").iloc[:5]
    before, levels = model.embed_users(asked), {*names_of(model)}
    more = later(["dawn"] * 3, ("zoe", "u02"))
    model.partial_fit(more.iloc[:0])
    assert {*names_of(model)} == levels
    model.partial_fit(more, np.zeros(len(more)))
    assert {*names_of(model)} == {*levels, "slot_dawn"}
    assert_allclose(model.embed_users(asked), before, atol=1e-6)
    model.partial_fit(more.assign(time=more["time"] + pd.Timedelta("1D")), None)
    weighted = np.arange(len(more)) % 2
    model.partial_fit(more.iloc[1:], None, weighted[1:])
    assert np.isfinite(model.embed_users(asked)).all()
