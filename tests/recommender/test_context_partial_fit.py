"""Further events with contexts: new levels, and columns that never change places."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.builders import first_fast

from .builders import Each, asked_by_hand, asking, planted, stirred

X = planted(12, 8)
DATED = X.assign(time=pd.Timestamp("2024-01-01") + pd.to_timedelta(X["time"], "h"))
TIMED = {"time": "time", "history": "recent"}
CLOCKED = TIMED | {"context": ["time", "slot", "device"]}
CASES = {
    "pooled": {"history": "pooled"},
    "recent": TIMED,
    "recent with second": TIMED | {"second_share": 0.3},
    "clock": CLOCKED,
    "clock, pooled": CLOCKED | {"history": "pooled"},
    "filtered": {"history": "pooled", "second_share": 0.3},
    "none": {"history": None},
}


def weights(model):
    """Return the rows of the weights of the context by name, of all parts."""
    names = model._fitted.context.feature_names()
    tables = [
        layer.weight.detach().numpy()
        for part in model._fitted.model.parts
        if part.context is not None
        for layer in (part.context.multiply, part.context.add)
    ]
    stacked = np.hstack(tables)
    assert len(stacked) == len(names) == len({*names})
    return dict(zip(names, stacked, strict=True))


def moments(model):
    """Return the moments of the context of the first part by name of the column."""
    names = model._fitted.context.feature_names()
    found = model._fitted.model.first.moments
    of_context = {k: v for k, v in found.items() if k.startswith("context")}
    assert of_context
    for state in of_context.values():
        for values in state.values():
            assert len(values) == len(names)
    return of_context


@pytest.fixture(scope="module")
def fitted():
    return Each(lambda name: asking(max_epochs=3, **CASES[name]).fit(DATED))


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


@pytest.mark.parametrize("case", first_fast(CASES))
def test_columns_of_before_keep_their_weights(fitted, case):
    model = stirred(copy.deepcopy(fitted[case]))
    before, width = weights(model), model._fitted.context.width
    more = later(["a", "b", "a", "c", "b", "noon"], n=12).assign(device="tv")
    # so little is learnt that the same names must have the same weights
    model.set_params(lr=1e-7).partial_fit(more)
    after = weights(model)
    new = {f"slot_{level}" for level in "abc"}
    assert {*after} - {*before} == new
    assert model._fitted.context.width == width + 3
    for name, row in before.items():
        assert_allclose(after[name], row, atol=1e-4)
    for name in new:
        assert_allclose(after[name], 0, atol=1e-4)
    moments(model)
    names = model._fitted.context.feature_names()
    row = [float(name in ("slot_night", "device_phone")) for name in names]
    asked = {"slot": "night", "device": "phone"}
    found = model.embed_users(["u04"], context=asked)
    expected = asked_by_hand(model, model.embed_users(["u04"]), [row])
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    if "clock" in case:
        assert names[-1].startswith("time_") and names[-1] in before
        assert not any(name.startswith("time") for name in names[:8])
    model.partial_fit(later(["d"] * 4))
    assert "slot_d" in weights(model)


@pytest.mark.parametrize("case", first_fast(CASES))
def test_new_levels_are_learnt(fitted, case):
    model = copy.deepcopy(fitted[case])
    more = later(["dawn"] * 5 + ["noon"], n=12)
    before = weights(model)
    u = model.embed_users(["u00"])
    dawn = {"slot": "dawn"}
    assert_array_equal(model.embed_users(["u00"], context=dawn), u)
    model.set_params(lr=0.1)
    for day in range(3):
        late = more["time"] + pd.Timedelta(day, "D")
        model.partial_fit(more.assign(time=late, item=more["item"].to_numpy()[::-1]))
        more = more.assign(item=np.roll(more["item"], 1))
    after = weights(model)
    assert np.abs(after["slot_dawn"]).max() > 1e-3
    assert_allclose(after["slot_morning"], before["slot_morning"], atol=1e-6)
    asked = model.embed_users(["u00"], context=dawn)
    assert not np.array_equal(asked, model.embed_users(["u00"]))


def test_rare_levels_get_no_column(fitted):
    model = copy.deepcopy(fitted["pooled"])
    model.partial_fit(later(["once"] + ["often"] * 5, ["u00"]))
    names = model._fitted.context.feature_names()
    assert "slot_often" in names and "slot_once" not in names


@pytest.mark.parametrize("case", first_fast(CASES))
def test_tables_without_the_columns_of_the_context(fitted, case):
    model = copy.deepcopy(fitted[case])
    before = weights(model)
    more = later(users=("u01", "new"))
    columns = ["slot", "device"] + ([] if "time" in CASES[case] else ["time"])
    model.partial_fit(more.drop(columns=columns[:2]))
    assert {*weights(model)} == {*before}
    assert "new" in model.user_ids_
    model.partial_fit(more.iloc[1:].drop(columns="device"))
    if CASES[case].get("history") != "recent" and "time" in CASES[case]:
        model.partial_fit(more.drop(columns=["time", "slot"]))
        model.partial_fit(more.assign(time=pd.NaT))
    assert np.isfinite(model.embed_users(more)).all()


@pytest.mark.parametrize("case", first_fast(CASES))
def test_new_users_items_and_levels_at_once(fitted, case):
    model = copy.deepcopy(fitted[case])
    old = {user: i for i, user in enumerate(model.user_ids_)}
    more = later(["dawn", "noon", "dusk"], ("zoe", "u03", "yan"), 9)
    more["item"] = more["item"].where(np.arange(len(more)) % 2 == 0, "new item")
    model.partial_fit(more)
    assert {"zoe", "yan"} <= {*model.user_ids_} and "new item" in model.item_ids_
    assert [*model.user_ids_[: len(old)]] == [*old]
    one = model.embed_users(more.iloc[[0]])
    assert_allclose(one, model.embed_users(more)[[0]], atol=1e-6)
    rows = model._fitted.context_users
    assert rows.shape == (len(model.user_ids_) + 1, model._fitted.context.width)
    names = model._fitted.context.feature_names()
    who = {
        user: {names[i] for i in rows[place].indices}
        for place, user in enumerate(model.user_ids_)
    }
    assert who["zoe"] == {
        "slot_dawn",
        "slot_noon",
        "slot_dusk",
        "device_tv",
        "device_phone",
    }
    mine = DATED[DATED["user"] == "u04"]
    of_fit = {f"{c}_{v}" for c in ("slot", "device") for v in mine[c]}
    assert who["u04"] == of_fit


@pytest.mark.parametrize("case", first_fast(CASES))
def test_forgotten_users_take_their_levels_along(fitted, case):
    model = copy.deepcopy(fitted[case])
    model.partial_fit(later(["dawn"] * 4, ("zoe",)))
    stirred(model)
    before = weights(model)
    asked = DATED.iloc[:5].drop(columns="item").assign(time=DATED["time"].max())
    vectors = model.embed_users(asked)
    model.forget_users(["zoe"])
    after = weights(model)
    assert {*before} - {*after} == {"slot_dawn"}
    for name, row in after.items():
        assert_array_equal(row, before[name])
    assert_allclose(model.embed_users(asked), vectors, atol=1e-6)
    moments(model)
    model.partial_fit(later())


@pytest.mark.slow
def test_set_catalog_and_forget_items_keep_contexts(fitted):
    model = stirred(copy.deepcopy(fitted["recent"]))
    asked = DATED.drop(columns=["item", "time"]).iloc[:5]
    before = model.embed_users(asked)
    model.set_catalog(model.item_ids_[3:])
    assert_allclose(model.embed_users(asked), before, atol=1e-6)
    assert np.isfinite(model.embed_users(asked)).all()


def test_a_failed_call_changes_nothing(fitted):
    model = copy.deepcopy(fitted["recent"])
    state, asked = model._fitted, DATED.drop(columns="item").iloc[:5]
    before = model.embed_users(asked)
    with pytest.raises((TypeError, ValueError)):
        model.partial_fit(later(item=[None] * 12))
    with pytest.raises((TypeError, ValueError)):
        model.partial_fit(later(time=1.5))
    assert model._fitted is state
    assert_array_equal(model.embed_users(asked), before)


@pytest.mark.parametrize("case", first_fast(CASES))
def test_impressions_only_and_no_rows_at_all(fitted, case):
    model = copy.deepcopy(fitted[case])
    asked = DATED.drop(columns="item").iloc[:5]
    before, levels = model.embed_users(asked), {*weights(model)}
    more = later(["dawn"] * 3, ("zoe", "u02"))
    model.partial_fit(more.iloc[:0])
    assert {*weights(model)} == levels
    model.partial_fit(more, np.zeros(len(more)))
    assert {*weights(model)} == {*levels, "slot_dawn"}
    assert_allclose(model.embed_users(asked), before, atol=1e-6)
    model.partial_fit(more.assign(time=more["time"] + pd.Timedelta("1D")), None)
    weighted = np.arange(len(more)) % 2
    model.partial_fit(more.iloc[1:], None, weighted[1:])
    assert np.isfinite(model.embed_users(asked)).all()
