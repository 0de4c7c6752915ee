"""Where fit cuts the events: what the first stage learns from, and what came later.

Input: positions of users, and times, (n_events,) each.
Output: which events are later, bool (n_events,), and how they were cut off.
"""

import numpy as np

# "auto" cuts at one time if this share of the users with later events is known by then.
MIN_KNOWN = 0.5


def later_events(users, times, chosen, dates, cut, share):
    """Return which events are cut off, and how: "time" or "user".

    Parameters
    ----------
    users : int array of shape (n_events,)
        Positions of the users.
    times : array of shape (n_events,)
        Times that can be compared within a user and, with ``dates``, between users.
    chosen : bool array of shape (n_events,)
        Which events are positive. Others are cut off if they are as late as those.
    dates : bool
        Whether times are dates.
    cut : {"auto", "time", "user"}
        As in `TwoStageRecommender`.
    share : float
        Share of the positive events to cut off.

    Returns
    -------
    later : bool array of shape (n_events,)
    cut : {"time", "user"}
    """
    if cut == "user" or (cut == "auto" and not dates):
        return _latest_of_each_user(users, times, chosen, share), "user"
    later = _latest(times, chosen, share)
    if cut == "auto" and _share_known(users, chosen, later) < MIN_KNOWN:
        return _latest_of_each_user(users, times, chosen, share), "user"
    return later, "time"


def _latest(times, chosen, share):
    """Return which events are not before one point in time."""
    in_order = np.sort(times[chosen])
    n_later = max(1, int(share * len(in_order) + 1e-9))
    return times >= in_order[len(in_order) - n_later]


def _latest_of_each_user(users, times, chosen, share):
    """Return which events belong to the latest of their user, at least one.

    Events at equal times are on one side. Users whose positive events are all at one
    time keep them.
    """
    owners, when = users[chosen], times[chosen]
    order = np.lexsort((when, owners))
    owners, when = owners[order], when[order]
    starts = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
    sizes = np.diff(np.append(starts, len(owners)))
    n_later = np.maximum(np.floor(share * sizes + 1e-9).astype(np.int64), 1)
    limits = when[starts + sizes - n_later]
    # with all events at one time, nothing would be left before
    limited = limits > when[starts]
    limit = np.zeros(users.max() + 1, dtype=times.dtype)
    has_limit = np.zeros(len(limit), dtype=bool)
    limit[owners[starts]], has_limit[owners[starts]] = limits, limited
    return has_limit[users] & (times >= limit[users])


def _share_known(users, chosen, later):
    """Return the share of the users with later events who have earlier ones, too."""
    n_users = users.max() + 1
    before = np.bincount(users[chosen & ~later], minlength=n_users) > 0
    after = np.bincount(users[chosen & later], minlength=n_users) > 0
    return before[after].mean()
