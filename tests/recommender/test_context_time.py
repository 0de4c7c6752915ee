"""The time of a request: its hour, weekday and month, and the gap before it."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from .builders import asked_by_hand, asking, few, names_of, planted

X = planted(12, 6)
START = pd.Timestamp("2024-02-28 05:00")
X = X.drop(columns="device")
DATED = X.assign(time=START + pd.to_timedelta(X["time"] * 7, "h"))
TIMED = {"history": "recent", "time": "time", "max_epochs": 2}
HOUR = pd.Timedelta(1, "h")


@pytest.fixture(scope="module")
def dated():
    return asking(context=["time", "slot"], **TIMED).fit(DATED)


@pytest.fixture(scope="module")
def numbered():
    return asking(context="time", **TIMED).fit(X)


def hats(clock, gap):
    """Return the values of the columns of a gap in units of the clock."""
    place = np.log2(1 + gap / clock.unit)
    return np.array(
        [np.interp(place, clock.knots, row) for row in np.eye(len(clock.knots))]
    )


def row_by_hand(model, time=None, gap=None, slot=None):
    """Return the feature row of a request; ``gap`` a Timedelta or a number."""
    context = model._fitted.context
    names = context.feature_names()
    row = np.zeros(len(names))
    if slot is not None:
        row[names.index(f"slot_{slot}")] = 1
    if isinstance(time, pd.Timestamp):
        parts = {"hour": time.hour, "weekday": time.weekday(), "month": time.month}
        for part, value in parts.items():
            row[names.index(f"time_{part}_{value}")] = 0.5
    if time is not None and gap is not None:
        gap = gap.value if isinstance(gap, pd.Timedelta) else gap
        row[-len(context.clock.knots) :] = hats(context.clock, gap)
    return row


def check(model, found, user, history=None, **request):
    u = model.embed_users([user], history=history)
    expected = asked_by_hand(model, u, [row_by_hand(model, **request)])
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(found - u).max() > 0.05


def last_of(table, user):
    return table.loc[table["user"] == user, "time"].max()


def test_knots_are_quantiles_of_the_gaps_of_fit(dated):
    in_order = DATED.sort_values(["user", "time"])
    gaps = in_order.groupby("user")["time"].diff().dropna()
    places = np.log2(1 + gaps / pd.Timedelta(1, "s"))
    knots = dated._fitted.context.clock.knots
    assert knots[0] == pytest.approx(places.min())
    assert knots[-1] == pytest.approx(places.max())


def test_names_of_features_end_with_those_of_the_time(dated):
    names = dated._fitted.context.feature_names()
    assert names[:3] == [f"slot_{s}" for s in ("morning", "night", "noon")] or (
        {*names[:3]} == {f"slot_{s}" for s in ("morning", "night", "noon")}
    )
    assert names[3] == "time_hour_0" and names[3 + 24] == "time_weekday_0"


@pytest.mark.parametrize("hours", [0, 1, 30, 10**5])
def test_hour_weekday_month_and_the_gap_to_the_last_event(dated, hours):
    last = last_of(DATED, "u03")
    time = last + hours * HOUR
    table = pd.DataFrame({"user": ["u03"], "time": [time], "slot": ["noon"]})
    request = {"time": time, "gap": hours * HOUR, "slot": "noon"}
    check(dated, dated.embed_users(table), "u03", **request)
    context = {"time": time, "slot": "noon"}
    check(dated, dated.embed_users(["u03"], context=context), "u03", **request)


def test_a_time_before_the_last_event_has_no_gap(dated):
    time = last_of(DATED, "u03") - HOUR
    found = dated.embed_users(["u03"], context={"time": time})
    check(dated, found, "u03", time=time)


def test_other_time_zones_and_text_are_the_same_moment(dated):
    time = last_of(DATED, "u03") + 5 * HOUR
    expected = dated.embed_users(["u03"], context={"time": time})
    for other in (
        time.to_pydatetime(),
        time.to_datetime64(),
        time.tz_localize("UTC").tz_convert("Asia/Tokyo"),
    ):
        found = dated.embed_users(["u03"], context={"time": other})
        assert_array_equal(found, expected)


def test_each_request_has_its_own_time(dated):
    times = [last_of(DATED, "u03") + h * HOUR for h in (3, 50)] + [pd.NaT]
    table = pd.DataFrame({"user": ["u03"] * 3, "time": times})
    found = dated.embed_users(table)
    for row, (time, hours) in enumerate(zip(times[:2], (3, 50), strict=True)):
        check(dated, found[[row]], "u03", time=time, gap=hours * HOUR)
    # one user's vector is computed by numpy, several by torch
    assert_allclose(found[[2]], dated.embed_users(["u03"]), atol=1e-6)
    scores = dated.predict(table.assign(item="i00"))
    item = dated.embed_items(["i00"])[0]
    assert_allclose(scores, found @ item, atol=1e-5)


def test_events_of_a_history_are_the_last_ones(dated):
    last = last_of(DATED, "u03")
    past = pd.DataFrame(
        {"user": "u03", "item": ["i00", "i01"], "time": [last + HOUR, last + 4 * HOUR]}
    )
    time = last + 10 * HOUR
    found = dated.embed_users(["u03"], history=past, context={"time": time})
    check(dated, found, "u03", past, time=time, gap=6 * HOUR)
    early = past.assign(time=past["time"] - 30 * HOUR)  # the last event is that of fit
    found = dated.embed_users(["u03"], history=early, context={"time": time})
    check(dated, found, "u03", early, time=time, gap=10 * HOUR)
    new = past.assign(user="new")
    found = dated.embed_users(["new"], history=new, context={"time": time})
    check(dated, found, "new", new, time=time, gap=6 * HOUR)
    items = np.asarray(dated.embed_items(["i05"]))
    events = pd.DataFrame({"user": ["new", "u03"], "item": "i05", "time": [time] * 2})
    both = pd.concat([new, past])
    scores = dated.embed_users(events, history=both) @ items[0]
    for user, score in zip(events["user"], scores, strict=True):
        alone = dated.embed_users([user], history=both, context={"time": time})
        assert score == pytest.approx((alone @ items[0]).item(), abs=1e-5)


def test_lists_have_no_times_so_that_the_gap_is_unknown(dated):
    time = last_of(DATED, "u03") + 10 * HOUR
    for user in ("u03", "new"):
        past = {user: ["i00", "i01"]}
        found = dated.embed_users([user], history=past, context={"time": time})
        check(dated, found, user, past, time=time)


def test_users_without_events_have_no_gap(dated):
    found = dated.embed_users(["new"], context={"time": START})
    check(dated, found, "new", time=START)


def test_times_may_be_numbers(numbered):
    last = last_of(X, "u03")
    assert numbered._fitted.context.width == len(numbered._fitted.context.clock.knots)
    for gap in (0, 1, 2.5, 10**6):
        found = numbered.embed_users(["u03"], context={"time": last + gap})
        check(numbered, found, "u03", time=last + gap, gap=gap)
    for unknown in (last - 1, None, np.nan):
        found = numbered.embed_users(["u03"], context={"time": unknown})
        assert_array_equal(found, numbered.embed_users(["u03"]))


@pytest.mark.slow
@pytest.mark.parametrize("history", ["pooled", None])
def test_without_order_there_is_no_gap(history):
    params = TIMED | {"history": history}
    model = asking(context=["time", "slot"], **params).fit(DATED)
    assert len(model._fitted.context.clock.knots) == 0
    time = last_of(DATED, "u03") + HOUR
    found = model.embed_users(["u03"], context={"time": time, "slot": "noon"})
    check(model, found, "u03", time=time, slot="noon")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"time": 3}, "holds numbers, but in fit it held dates"),
        ({"time": "soon"}, "time"),
        ({"time": [START]}, "time"),
        ({"tim": START}, "Did you mean 'time'"),
    ],
)
def test_wrong_times(dated, given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        dated.embed_users(["u03"], context=given)


def test_dates_for_a_model_of_numbers(numbered):
    with pytest.raises(TypeError, match="holds dates, but in fit it held numbers"):
        numbered.embed_users(["u03"], context={"time": START})


@pytest.mark.slow
def test_the_gap_decides():
    """After a short gap the same item again, after a long one another."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        time, item = 0, rng.integers(2)
        for _ in range(12):
            gap = rng.choice([1, 1000])
            time += gap
            item = (item + (gap == 1000)) % 2
            rows.append((f"u{user:02}", f"i{item}{rng.integers(5)}", time))
    table = pd.DataFrame(rows, columns=["user", "item", "time"])
    model = asking(
        context="time", time="time", history="recent", max_epochs=120, lr=0.05
    ).fit(table)
    last = table.groupby("user").last()
    right = []
    for gap in (1, 1000):
        asked = last.reset_index()[["user"]].assign(time=last["time"].to_numpy() + gap)
        top = model.recommend(asked, 1).set_index("user")["item"].str[1]
        same = top.to_numpy() == last["item"].str[1].to_numpy()
        right.append((same == (gap == 1)).mean())
    assert min(right) > 0.7  # by chance 0.5
