import numpy as np
import pandas as pd
import pytest
from sktwotower.recommender._pilots import latest_tenth

from sktwotower._tables._event_table import EventTable, users_of_events
from sktwotower.recommender import _pilots
from sktwotower.recommender._ages import popularity_half_life
from sktwotower.towers import RowwiseAdam
from tests.builders import ordered as recommender


def events_of(rows, shape):
    """Return the ``EventTable`` of rows (user, item, time)."""
    users, items, times = np.array(rows).T
    return EventTable.of(users, items, shape, times).in_order()


def test_the_latest_tenth_by_hand():
    rows = [(t % 2, t, t) for t in range(10)]
    before, truth = latest_tenth(events_of(rows, (2, 10)))
    assert before.times.tolist() == [0, 2, 4, 6, 8, 1, 3, 5, 7]
    assert list(zip(*truth.nonzero(), strict=True)) == [(1, 9)]


def test_pilots_take_whole_users_up_to_a_number_of_events():
    events = events_of([(u, i, i) for u in range(5) for i in range(u + 1)], (5, 5))
    assert users_of_events(np.diff(events.offsets), 0, 100).tolist() == [0, 1, 2, 3, 4]
    for seed in range(5):
        users = users_of_events(np.diff(events.offsets), seed, 6)
        assert len(users) and (users + 1).sum() <= 6


@pytest.mark.parametrize("drifts", [False, True])
def test_the_half_life_of_popularity(drifts):
    rng = np.random.default_rng(0)
    times = np.arange(4000)
    items = rng.integers(40, size=4000)
    if drifts:  # another ten items every 1,000 events
        items = times // 1000 * 10 + rng.integers(10, size=4000)
    users = rng.integers(50, size=4000)
    rows = pd.DataFrame({"user": users, "item": items, "time": times})
    half_life = popularity_half_life(events_of(rows.to_numpy(), (50, 40)))
    if drifts:
        assert half_life <= 4000  # four times a half-life of a quarter of the time
    else:
        assert half_life is None


@pytest.fixture
def drifting():
    """Events of 300 users, whose items are other ones every fifth of the time."""
    rng = np.random.default_rng(0)
    day = np.arange(3000) // 30
    return pd.DataFrame(
        {
            "user": rng.integers(300, size=3000),
            "item": day // 20 * 8 + rng.integers(8, size=3000),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(day, "D"),
        }
    )


@pytest.mark.slow
def test_auto_half_life_is_used_where_tastes_drift(drifting, monkeypatch):
    monkeypatch.setattr(_pilots, "MIN_USERS", 50)
    model = recommender(max_epochs=1).fit(drifting)
    assert pd.Timedelta(0) < model.half_life_ < pd.Timedelta("100D")
    monkeypatch.setattr(_pilots, "MIN_USERS", 10_000)
    assert recommender(max_epochs=1).fit(drifting).half_life_ is None


def test_an_interruption_of_a_short_fit_ends_fit(drifting, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_pilots, "MIN_USERS", 50)
    monkeypatch.setattr(RowwiseAdam, "step", interrupt)
    model = recommender(max_epochs=1)
    with pytest.warns(UserWarning, match="interrupted"):
        with pytest.raises(KeyboardInterrupt):
            model.fit(drifting)
    assert not hasattr(model, "net_")
