"""Events that towers learn last: until then they are requests that judge the model.

Input: a ``Recipe`` and ``Events``.
Output: ``KeptBack``: the events before, and what users choose after them.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._event_table import users_of_events
from sktwotower.towers._dropout import entries_of
from sktwotower.towers._group import current_group, most, summed

from ._events import Events, only_new_targets
from ._last_pass import events_at

# At most this share of the events, and the events of this number of users, are kept
# back: with 2,500 users the standard error of a recall is below 0.01.
MAX_SHARE, MAX_USERS = 0.05, 2500
# Where they are not the latest, of fewer users, at most this share: the last event of a
# user says most of what comes next, and the towers learn it late.
MAX_SOME, SOME = 1000, 0.25
# With fewer users to judge by, nothing is kept back.
MIN_USERS = 100
# Where the order is not known, at most this share of the pairs is kept back: small data
# is worth more to the towers. Of a user with five pairs or more, it is one in twenty,
# at least one.
MAX_SHARE_OF_PAIRS, SHARE_OF_USER, MIN_PAIRS = 0.01, 0.05, 5
# If this share of the latest events is of users who were there before, they come back.
MIN_RETURNING = 0.5
# Of more events, those of random users say which ones are the latest.
MAX_EVENTS = 10_000_000
# This share of the latest events is learnt to see how far a step may go.
FIRST_SHARE = 0.5


class KeptBack(NamedTuple):
    """Events that are not learnt at first, and requests that they answer.

    Parameters
    ----------
    asked : {"latest", "last", "random"}
        Which events they are: the latest of all, the last of some users, or any.
    before : Events
        All other events.
    known : Events
        What is known when the requests come. It is more than ``before`` if the latest
        events are kept back: then only the later half of them judges.
    start : float or None
        Time of the first event that is kept back, if they are the latest.
    users : int array of shape (m,)
        Sorted positions of the users who ask.
    past : CSR matrix of shape (m, n_items)
        What each of them has chosen before: lags if the order is known, else ones.
    truth : CSR matrix of shape (m, n_items)
        Ones for what each of them chooses.
    """

    asked: str
    before: Events
    known: Events
    start: float | None
    users: np.ndarray
    past: sparse.csr_matrix
    truth: sparse.csr_matrix


def keep_back(recipe, events, rng):
    """Return the ``KeptBack`` of events, or None if there are too few of them."""
    if events.ordered is None:
        kept = _random_pairs(events, rng)
    else:
        kept = _events_in_order(recipe, events, rng)
    if summed(len(kept.users)) < MIN_USERS:
        return None
    return kept


def _events_in_order(recipe, events, rng):
    """Return the ``KeptBack`` of events in the order of time."""
    table = events.ordered
    targets = only_new_targets(table) if recipe.exclude_seen else table
    is_target = targets.column(lambda part: part.weights > 0)
    start = None
    if recipe.validation_events != "last":
        start = _start_of_latest(table, recipe.validation_events == "latest")
    if start is None:
        asked = "last"
        is_kept = _last_of_some(targets, rng)
        before = known = _with_table(events, events_at(table, ~is_kept))
        judges = is_kept
    else:
        asked = "latest"
        is_kept = table.column(lambda part: part.times >= start)
        before = _with_table(events, events_at(table, ~is_kept))
        times = table.times[is_kept].astype(float)
        middle = _start_of_share(times, 1 - FIRST_SHARE)
        judges = table.column(lambda part: part.times >= middle)
        known = _with_table(events, events_at(table, ~judges))
    truth = events_at(table, judges & is_target).chosen_pairs()
    if recipe.exclude_seen:
        truth = truth - truth.multiply(known.positives.sign())
        truth.eliminate_zeros()
    has_past = np.diff(known.positives.indptr) > 0
    users = np.flatnonzero((np.diff(truth.indptr) > 0) & has_past)
    past = known.ordered.lags()[users]
    return KeptBack(
        asked, before, known, start, users=users, past=past, truth=truth[users]
    )


def _with_table(events, table):
    """Return ``Events`` with those of another ``EventTable`` in order."""
    return events._replace(ordered=table, positives=table.pairs())


def _start_of_latest(table, always):
    """Return the time from which on events are kept back; None: the last of each user.

    The latest events are meant if users come back: most of these events are of users
    who were there long before. ``always``: also if they do not. In several processes it
    is the same.
    """
    if table.n_events > MAX_EVENTS:
        users = users_of_events(np.diff(table.offsets), 0, MAX_EVENTS)
        table = table.of_users(users)
    times = table.times.astype(float)
    has_events = np.diff(table.offsets) > 0
    first, last = np.full((2, table.n_users), np.inf)
    first[has_events] = times[table.offsets[:-1][has_events]]
    last[has_events] = times[table.offsets[1:][has_events] - 1]
    start = _start_of_share(times, MAX_SHARE)
    start = max(start, _start_of_share(last[has_events], n_kept=MAX_USERS))
    end = most(times.max(initial=-np.inf))
    if not start < end:  # there are no two times, one of which could come first
        return None
    is_kept = times >= start
    long_before = start - (end - start)
    n_returning = np.count_nonzero(first[table.users[is_kept]] < long_before)
    share = summed(n_returning) / summed(np.count_nonzero(is_kept))
    return start if always or share >= MIN_RETURNING else None


def _start_of_share(times, share=1.0, n_kept=np.inf):
    """Return the time from which on there are at most so many of some times (n,).

    It is one of them, the earliest one, and counts those of all processes; inf if there
    is none.
    """
    n_kept = min(n_kept, share * summed(len(times)))
    in_order = np.sort(times)

    def fits(time):
        n_later = len(in_order) - np.searchsorted(in_order, time)
        return summed(n_later) <= n_kept

    low, high = -most(-times.min(initial=np.inf)), most(times.max(initial=-np.inf))
    if not fits(high):
        return np.inf
    if fits(low):
        return low
    while low < (middle := low + (high - low) / 2) < high:
        low, high = (low, middle) if fits(middle) else (middle, high)
    later = in_order[np.searchsorted(in_order, high) :]
    return -most(-later.min(initial=np.inf))


def _last_of_some(table, rng):
    """Return which events (n_events,) are in the last basket of some users.

    ``table``: its weights are 0 where an event is not to be predicted.
    """
    n_last = []
    for part in table.blocks():
        is_last = _are_last(part)
        n_targets = np.bincount(part.users[is_last & (part.weights > 0)])
        n_targets.resize(part.n_users)
        sizes = np.bincount(part.users[is_last], minlength=part.n_users)
        n_last.append(np.where(n_targets > 0, sizes, 0))
    chosen = _some(np.concatenate(n_last), MAX_SHARE * table.n_events, rng)
    starts = iter(np.cumsum([0, *(part.n_users for part in table.blocks())]))

    def are_kept(part):
        start = next(starts)
        of_part = chosen[start : start + part.n_users]
        return _are_last(part) & of_part[part.users]

    return table.column(are_kept)


def _are_last(table):
    """Return which events are in the last of several baskets of their user."""
    sizes = np.diff(table.offsets)
    sizes = sizes[sizes > 0]
    ends = np.cumsum(sizes)
    first = np.repeat(table.times[ends - sizes], sizes)
    last = np.repeat(table.times[ends - 1], sizes)
    return (table.times == last) & (first != last)


def _some(n_kept, n_most, rng):
    """Return which users (n_users,) ask, given how many events each would keep back.

    At most a quarter of those who can, and together at most ``n_most`` events.
    """
    able = np.flatnonzero(n_kept)
    group = current_group()
    n_users = MAX_SOME if group is None else MAX_SOME // group.size
    able = rng.permutation(able)[: min(n_users, math.ceil(SOME * len(able)))]
    able = able[np.cumsum(n_kept[able]) <= n_most]
    chosen = np.zeros(len(n_kept), dtype=bool)
    chosen[able] = True
    return chosen


def _random_pairs(events, rng):
    """Return the ``KeptBack`` of pairs whose order is not known."""
    positives = events.positives
    sizes = np.diff(positives.indptr)
    n_kept = np.maximum(1, SHARE_OF_USER * sizes).astype(int)
    n_kept[sizes < MIN_PAIRS] = 0
    chosen = _some(n_kept, MAX_SHARE_OF_PAIRS * positives.nnz, rng)
    users = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((rng.uniform(size=len(users)), users))
    place = np.arange(len(users)) - positives.indptr[users]
    is_kept = np.zeros(len(users), dtype=bool)
    is_kept[order] = chosen[users] & (place < n_kept[users])
    before, later = entries_of(positives, ~is_kept), entries_of(positives, is_kept)
    of_pairs = events.of_pairs
    if of_pairs is not None:
        of_pairs = of_pairs.without(later)
    events = events._replace(positives=before, of_pairs=of_pairs)
    users = np.flatnonzero(chosen)
    past, truth = before[users].sign(), later[users].sign()
    return KeptBack("random", events, events, None, users=users, past=past, truth=truth)
