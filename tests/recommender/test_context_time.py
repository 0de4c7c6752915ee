"""The time of a request: its hour, weekday and month, and the gap before it."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.cases import for_each

from .builders import asking, planted

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


def moved(model, user, history=None, **request):
    """Return how a request at a time moves the vector of its user."""
    vectors = model.embed_users([user], history=history, context=request)
    return vectors - model.embed_users([user], history=history)


def last_of(table, user):
    return table.loc[table["user"] == user, "time"].max()


@for_each(
    ("hours", "other", "is_alike"),
    [
        (24 * 7 * 40, 24 * 7 * 40 + 0.5, True),  # the same hour, of a long gap
        (24 * 7 * 40, 24 * 7 * 40 + 1, False),  # another hour
        (24 * 7 * 40, 24 * 7 * 40 + 24, False),  # another weekday
        (24 * 7 * 40, 24 * 7 * 48, False),  # another month
        (1, 24 * 7 * 52, False),  # another gap
        (-1, -0.5, True),  # before the last event: there is no gap
    ],
)
def test_hour_weekday_month_and_the_last_gap_count(dated, hours, other, is_alike):
    last = last_of(DATED, "u03").floor("h")
    first, second = (
        moved(dated, "u03", time=last + shift * HOUR, slot="noon")
        for shift in (hours, other)
    )
    assert np.abs(first).max() > 0.05
    assert (np.abs(first - second).max() < 1e-3) == is_alike


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
    for row, time in enumerate(times[:2]):
        alone = dated.embed_users(["u03"], context={"time": time})
        assert_allclose(found[[row]], alone, atol=1e-6)
    # one user's vector is computed by numpy, several by torch
    assert_allclose(found[[2]], dated.embed_users(["u03"]), atol=1e-6)
    scores = dated.predict(table.assign(item="i00"))
    item = dated.embed_items(["i00"])[0]
    assert_allclose(scores, found @ item, atol=1e-5)


def test_events_of_a_history_are_the_last_ones(dated):
    """An early history leaves the last event of fit the last one."""
    last = last_of(DATED, "u03")
    past = pd.DataFrame({"user": ["u03"], "item": ["i00"], "time": [last + 9 * HOUR]})
    early = past.assign(time=last - 30 * HOUR)  # the last event is that of fit
    time = last + 10 * HOUR
    for user, given, other in (
        ("u03", past, early),
        ("new", past.assign(user="new"), early.assign(user="new")),
    ):
        first, second = (
            moved(dated, user, history=history, time=time) for history in (given, other)
        )
        assert np.abs(first - second).max() > 1e-3


def test_lists_and_users_without_events_have_no_gap(dated):
    last = last_of(DATED, "u03")
    same_hour = [last + weeks * 7 * 24 * HOUR for weeks in (1, 2)]
    for user, history in (("u03", {"u03": ["i00"]}), ("new", None)):
        first, second = (
            dated.embed_users([user], history=history, context={"time": time})
            for time in same_hour
        )
        if same_hour[0].month == same_hour[1].month:
            assert_allclose(first, second, atol=1e-6)


def test_times_may_be_numbers(numbered):
    last = last_of(X, "u03")
    short, long = (moved(numbered, "u03", time=last + gap) for gap in (1, 10**6))
    assert np.abs(short).max() > 0.05 and np.abs(short - long).max() > 1e-3
    for unknown in (last - 1, None, np.nan):
        assert_array_equal(moved(numbered, "u03", time=unknown), np.zeros((1, 16)))


@for_each(
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


@pytest.mark.fuzz
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
        context="time", time="time", history="recent", max_epochs=80, lr=0.1
    ).fit(table)
    last = table.groupby("user").last()
    right = []
    for gap in (1, 1000):
        asked = last.reset_index()[["user"]].assign(time=last["time"].to_numpy() + gap)
        top = model.recommend(asked, 1).set_index("user")["item"].str[1]
        same = top.to_numpy() == last["item"].str[1].to_numpy()
        right.append((same == (gap == 1)).mean())
    assert min(right) > 0.7  # by chance 0.5


@pytest.mark.slow
def test_an_event_that_comes_twice_has_the_context_of_the_heavier_one():
    rng = np.random.default_rng(0)
    keys = {"user": 20, "item": 12, "when": 50}
    once = pd.DataFrame({name: rng.integers(n, size=160) for name, n in keys.items()})
    once = once.drop_duplicates(ignore_index=True)
    once["place"] = rng.choice(["home", "work"], len(once))
    other = once[::5].assign(place=once["place"].map({"home": "work", "work": "home"}))
    twice = pd.concat([once, other], ignore_index=True)

    def vectors(X, weights):
        params = {"context": "place", "time": "when", "history": "recent"}
        return asking(**params).fit(X, None, weights).embed_users(once)

    expected = vectors(once, np.full(len(once), 4.0))
    is_fifth = np.arange(len(once)) % 5 == 0
    heavier = np.append(np.where(is_fifth, 3.0, 4.0), np.ones(len(other)))
    np.testing.assert_array_equal(vectors(twice, heavier), expected)
    lighter = np.append(np.where(is_fifth, 1.0, 4.0), np.full(len(other), 3.0))
    assert np.abs(vectors(twice, lighter) - expected).max() > 0.01
