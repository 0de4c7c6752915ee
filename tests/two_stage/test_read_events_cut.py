"""Where the later events are cut off: answers by hand."""

import numpy as np

from sktwotower.two_stage import _read_events as read_events
from tests.cases import for_each


def cut(users, times, cut="user", share=0.2, dates=False, chosen=None):
    users, times = np.array(users), np.array(times)
    chosen = np.ones(len(users), dtype=bool) if chosen is None else np.array(chosen)
    later, how = read_events.later_events(users, times, chosen, dates, cut, share)
    return np.flatnonzero(later).tolist(), how


def test_each_users_last_events():
    # user 0: 40 % of five events are two; user 1: at least one; user 2: a single one
    users = [0, 0, 0, 0, 0, 1, 1, 2]
    times = [5, 4, 3, 2, 1, 7, 8, 9]
    assert cut(users, times, share=0.4) == ([0, 1, 6], "user")
    assert cut(users, times, "auto", share=0.4)[1] == "user"  # not dates


def test_events_at_equal_times_stay_together():
    assert cut([0, 0, 0, 0], [1, 2, 2, 2])[0] == [1, 2, 3]
    # all at one time: nothing would be left before
    assert cut([0, 0, 0, 1, 1], [1, 1, 1, 1, 2])[0] == [4]


def test_one_time_for_all_users():
    users, times = [0, 1, 0, 1, 0], [10, 20, 30, 30, 5]
    assert cut(users, times, "time") == ([2, 3], "time")
    assert cut(users, times, "time", share=0.6)[0] == [1, 2, 3]
    assert cut(users, times, "time", share=0.01)[0] == [2, 3]


@for_each("how", ["time", "user"])
def test_what_was_only_shown_goes_with_what_was_chosen(how):
    users, times = [0, 0, 0, 0, 0], [1, 2, 3, 2, 3]
    chosen = [True, True, True, False, False]
    assert cut(users, times, how, chosen=chosen)[0] == [2, 4]


def test_auto_asks_how_many_later_users_are_known():
    # users 0 and 1 come back at the end, or two new users come
    early = [0, 1, 0, 1, 0, 1, 0, 1]
    assert cut([*early, 0, 1], range(10), "auto", dates=True) == ([8, 9], "time")
    assert cut([*early, 0, 2], range(10), "auto", dates=True)[1] == "time"  # one half
    assert cut([*early, 2, 3], range(10), "auto", dates=True)[1] == "user"
