"""Events that towers learn last: until then they are requests that judge the model.

Input: a ``Recipe`` and ``Events``.
Output: ``KeptBack``: the events before, and what users choose after them.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._sparse import column_counts, ones_at, rows_of
from sktwotower.towers.batches._dropout import entries_of
from sktwotower.towers.parts import shared_columns
from sktwotower.towers.processes._group import current_group, most, summed

from ._events import Events, only_new_targets
from ._last_pass import events_at

# At most this share of the events, and the events of this number of users, are kept
# back: with 2,500 users the standard error of a recall is below 0.01.
MAX_SHARE = 0.05
MAX_USERS = 2500
# Where they are not the latest, of fewer users, at most this share: the last event of a
# user says most of what comes next, and the towers learn it late.
MAX_SOME = 1000
SOME = 0.25
# With fewer users to judge by, nothing is kept back.
MIN_USERS = 20
# If fewer than this number of them are asked for latest events, these shares of the
# events are kept back from a model of its own: few requests cannot tell many weights.
ENOUGH_USERS = 100
LARGER_SHARES = 0.1, 0.2
# Up to this number of events, a model of its own is judged. It costs little, may have
# more events kept back, and the model itself learns all events from the beginning.
MAX_EVENTS_APART = 50_000
# The share of the pairs that is kept back from such a model, and that of each user.
SHARE_APART = 0.2
# Where the order is not known, at most this share of the pairs is kept back: small data
# is worth more to the towers. Of a user with five pairs or more, it is one in twenty,
# at least one.
MAX_SHARE_OF_PAIRS = 0.01
SHARE_OF_USER = 0.05
MIN_PAIRS = 5
# If this share of the latest events is of users who were there before, they come back.
MIN_RETURNING = 0.5
# The latest events are of this share of the users, at least.
MIN_ACTIVE = 0.02
# Times count the events of each user if users begin together and end apart (they wait
# for their first event this share of the time after their last one, at most), and if
# the correlation of the number of events with the time between these is so high.
MAX_WAIT = 0.25
MIN_CORRELATION = 0.6
# Of more events, those of random users say which ones are the latest.
MAX_EVENTS = 10_000_000
# Where users have features in common, at most so many of them, and this share, are not
# learnt at first: otherwise their features would be known to say what they choose.
MAX_STRANGERS = 150
SHARE_OF_STRANGERS = 0.05
MIN_STRANGERS = 10
# This share of the latest events is learnt to see how far a step may go.
FIRST_SHARE = 0.5
# Requests that were made long before the latest events are those so many times as long
# before the end as the first of these.
TIMES_AS_LONG = 2.0


class LongBefore(NamedTuple):
    """Requests of users at their last moments, long before the latest events.

    Parameters
    ----------
    near : float
        How long before the end the latest events begin.
    users, past, truth, contexts
        As of `KeptBack`. The context includes the time.
    """

    near: float
    users: np.ndarray
    past: sparse.csr_matrix
    truth: sparse.csr_matrix
    contexts: sparse.csr_matrix


class KeptBack(NamedTuple):
    """Events that are not learnt at first, and requests that they answer.

    Parameters
    ----------
    asked : {"latest", "last", "random"}
        Which events they are: the latest of all, the last of some users, or any.
    is_apart : bool
        Whether a model of its own is to be judged, which does not learn them at all.
    before : Events
        All other events.
    known : Events
        What is known when the requests come. It is more than ``before`` if the latest
        events are kept back: then only the later half of them judges.
    start : float or None
        Time of the first event that is kept back, if they are the latest.
    users : int array of shape (m,)
        Positions of the users who ask, ascending; each once for each context.
    past : CSR matrix of shape (m, n_items)
        What each of them has chosen before: lags if the order is known, else ones.
    truth : CSR matrix of shape (m, n_items)
        The rewards of what each of them chooses.
    contexts : CSR matrix of shape (m, p), default=None
        Feature rows of the contexts in which they ask. None: nothing is known of them.
    strangers : int array of shape (p,), default=None
        Positions of further users, of whom nothing but features is known. None: there
        are none.
    new_truth : CSR matrix of shape (p, n_items), default=None
        The rewards of all that each of them has chosen.
    unknown_items : int array of shape (q,), default=()
        Positions of items of which nothing is known when the requests come. They answer
        none, and no list may hold them.
    long_before : LongBefore, default=None
        Requests of others. None: there are none, or too few.
    """

    asked: str
    is_apart: bool
    before: Events
    known: Events
    start: float | None
    users: np.ndarray
    past: sparse.csr_matrix
    truth: sparse.csr_matrix
    contexts: sparse.csr_matrix | None = None
    strangers: np.ndarray | None = None
    new_truth: sparse.csr_matrix | None = None
    unknown_items: np.ndarray | tuple = ()
    long_before: LongBefore | None = None


def keep_back(recipe, events, rng):
    """Return the ``KeptBack`` of events, or None if there are too few of them."""
    if events.ordered is None:
        is_apart = summed(events.positives.nnz) <= MAX_EVENTS_APART
        kept = _random_pairs(events, is_apart, rng)
    else:
        is_apart = summed(events.ordered.n_events) <= MAX_EVENTS_APART
        kept = _events_in_order(recipe, events, is_apart, rng)
    if summed(len(kept.users)) >= MIN_USERS and len(shared_columns(events.users.rows)):
        kept = _with_strangers(kept, events, rng)
    # what is unknown before the latest events is new, and new items are to be found
    if kept.asked != "latest" and not len(shared_columns(events.items.rows)):
        kept = _with_unknown_items(kept)
    if kept.asked == "latest":
        kept = _with_long_before(recipe, events, kept, rng)
    return kept if summed(len(kept.users)) >= MIN_USERS else None


def _with_unknown_items(kept):
    """Return a ``KeptBack`` in which items without an event answer no request.

    Nothing but their ids is known of them. Once all events are learnt, each item that
    is left has some: weights that hope for what nobody has chosen yet would be wrong.
    """
    n_users_of_item = summed(column_counts(kept.known.positives))
    unknown = np.flatnonzero(n_users_of_item == 0)
    if not len(unknown):
        return kept
    truth = _without_columns(kept.truth, unknown)
    rows = np.flatnonzero(np.diff(truth.indptr))
    changed = {"users": kept.users[rows], "past": kept.past[rows]}
    changed |= {"truth": truth[rows], "contexts": rows_of(kept.contexts, rows)}
    if kept.strangers is not None:
        new_truth = _without_columns(kept.new_truth, unknown)
        rows = np.flatnonzero(np.diff(new_truth.indptr))
        changed |= {"strangers": kept.strangers[rows], "new_truth": new_truth[rows]}
    return kept._replace(unknown_items=unknown, **changed)


def _without_columns(matrix, columns):
    """Return a CSR matrix (n, n_items) without the entries of some columns (m,)."""
    return entries_of(matrix, ~np.isin(matrix.indices, columns))


def _with_strangers(kept, events, rng):
    """Return a ``KeptBack`` in which nothing is known of some users but features."""
    able = np.flatnonzero(np.diff(events.positives.indptr))
    group = current_group()
    n_strangers = min(MAX_STRANGERS, int(SHARE_OF_STRANGERS * summed(len(able))))
    if group is not None:
        n_strangers //= group.size
    strangers = np.sort(rng.permutation(able)[:n_strangers])
    if summed(len(strangers)) < MIN_STRANGERS:
        return kept
    asks = np.flatnonzero(~np.isin(kept.users, strangers))
    changed = {name: getattr(kept, name)[asks] for name in ("users", "past", "truth")}
    changed["contexts"] = rows_of(kept.contexts, asks)
    changed["before"] = _without_users(kept.before, strangers)
    changed["known"] = _without_users(kept.known, strangers)
    truth = mean_rewards(events, strangers)
    return kept._replace(strangers=strangers, new_truth=truth, **changed)


def mean_rewards(events, users):
    """Return the mean reward of all that users at some positions chose, CSR."""
    rewards = events.positives[users]
    if events.ordered is not None:
        events_of_users = events.ordered.of_users(users)._replace(weights=None)
        counts = events_of_users.pairs()
        counts.data = 1 / counts.data
        rewards = rewards.multiply(counts).tocsr()
    return rewards


def _without_users(events, users):
    """Return ``Events`` without those of users at some positions (m,)."""
    if events.ordered is not None:
        is_left = events.ordered.column(lambda part: ~np.isin(part.users, users))
        return _with_table(events, events_at(events.ordered, is_left))
    sizes = np.diff(events.positives.indptr)
    is_left = ~np.isin(np.repeat(np.arange(len(sizes)), sizes), users)
    of_pairs = events.of_pairs
    if of_pairs is not None:
        of_pairs = of_pairs.without(entries_of(events.positives, ~is_left))
    left = entries_of(events.positives, is_left)
    return events._replace(positives=left, of_pairs=of_pairs)


def _events_in_order(recipe, events, is_apart, rng):
    """Return the ``KeptBack`` of events in the order of time."""
    table = events.ordered
    targets = table
    if recipe.exclude_seen:
        targets = only_new_targets(table)
    is_target = targets.column(lambda part: part.weights > 0)
    if recipe.validation_events != "last":
        kept = _latest_events(recipe, events, is_apart, is_target)
        if kept is not None:
            return kept
    is_kept = _last_of_some(targets, is_apart, rng)
    before = _with_table(events, events_at(table, ~is_kept))
    requests = _answerable(recipe, events, before, np.flatnonzero(is_kept & is_target))
    return KeptBack("last", is_apart, before, before, None, **requests)


def _latest_events(recipe, events, is_apart, is_target):
    """Return the ``KeptBack`` of the latest events; None: the last of each user.

    ``is_target`` (n_events,): which events may be answers.
    """
    table = events.ordered
    always = recipe.validation_events == "latest"
    start = _start_of_latest(table, always)
    if start is None:
        return None
    starts = [start]
    if is_apart:
        starts += [_start_of_last_share(table, share) for share in LARGER_SHARES]
    for start in starts:
        is_kept = table.column(lambda part, start=start: part.times >= start)
        before = _with_table(events, events_at(table, ~is_kept))
        times = table.times[is_kept].astype(float)
        middle = _start_of_share(times, 1 - FIRST_SHARE)
        judges = table.column(lambda part, middle=middle: part.times >= middle)
        known = _with_table(events, events_at(table, ~judges))
        requests = _answerable(
            recipe, events, known, np.flatnonzero(judges & is_target)
        )
        n_users = summed(len(requests["users"]))
        if n_users >= ENOUGH_USERS:
            break
    if n_users < MIN_USERS and not always:
        return None
    return KeptBack("latest", is_apart, before, known, start, **requests)


def _with_long_before(recipe, events, kept, rng):
    """Return a ``KeptBack`` with requests long before its events, if there are enough.

    They need a time to be told from others.
    """
    contexts = events.contexts
    if contexts is None or contexts.context.clock is None:
        return kept
    table = events.ordered
    end = latest_time(table)
    near = end - kept.start
    until = end - TIMES_AS_LONG * near
    targets = table
    if recipe.exclude_seen:
        targets = only_new_targets(table)
    weights = targets.column(lambda part: part.weights * (part.times <= until))
    chosen = _who_asks(targets._replace(weights=weights), False, rng)
    if kept.strangers is not None:
        chosen[kept.strangers] = False

    before = _without_last(kept.before, chosen)
    known = _without_last(kept.known, chosen)
    is_target = _are_last_of(table, chosen) & (weights > 0)
    requests = _answerable(recipe, events, known, np.flatnonzero(is_target), True)
    if summed(len(requests["users"])) < ENOUGH_USERS:
        return kept
    long_before = LongBefore(near, **requests)
    return kept._replace(before=before, known=known, long_before=long_before)


def latest_time(table):
    """Return the latest time of a table of events, of all processes; or -inf."""
    latest = -np.inf
    if table.n_events:
        latest = float(table.times.max())
    return most(latest)


def _without_last(events, chosen):
    """Return ``Events`` without the last basket of chosen users, bool (n_users,)."""
    table = events.ordered
    return _with_table(events, events_at(table, ~_are_last_of(table, chosen)))


def _answerable(recipe, events, known, targets, at_times=False):
    """Return the requests, as fields of ``KeptBack``, that events at positions answer.

    ``known``: the ``Events`` of before. Users without any do not ask, nor do those
    whose choices are not new, if lists hold new items only. ``at_times``: as of
    `requests_in_order`.
    """
    asking = requests_in_order(events, targets, at_times)
    has_past = np.diff(known.positives.indptr) > 0
    truth = asking.truth
    if recipe.exclude_seen:
        truth = truth - truth.multiply(known.positives.sign()[asking.users])
        truth.eliminate_zeros()
    rows = np.flatnonzero((np.diff(truth.indptr) > 0) & has_past[asking.users])
    users = asking.users[rows]
    contexts = rows_of(asking.contexts, rows)
    requests = {"users": users, "past": known.ordered.lags()[users]}
    return requests | {"truth": truth[rows], "contexts": contexts}


class _Asking(NamedTuple):
    """Who asks, the rewards of choices, CSR (m, n_items), and in which context.

    ``contexts``: feature rows, CSR (m, p); None: there are none, or are not used.
    """

    users: np.ndarray
    truth: sparse.csr_matrix
    contexts: sparse.csr_matrix | None


def requests_in_order(events, targets, at_times=False):
    """Return what is ``_Asking`` for events at positions (n,) of the ordered table.

    There is a request for each user and each context that X names, at the time of its
    first event. ``at_times``: the time is told even if nobody has asked for it.
    """
    table = events.ordered
    contexts, codes_of_contexts = _contexts_used(events, at_times)
    users = np.searchsorted(table.offsets, targets, side="right") - 1
    codes = np.zeros(len(targets), dtype=np.int64)
    if table.contexts is not None and contexts is not None:
        codes = codes_of_contexts[np.asarray(table.contexts[targets], dtype=np.int64)]
    keys = users * (codes.max(initial=0) + 1) + codes
    _, first, places = np.unique(keys, return_index=True, return_inverse=True)
    shape = len(first), table.n_items
    chosen = places, np.asarray(table.items[targets])
    truth = sparse.csr_matrix((table.gains[targets], chosen), shape)
    # an item that is chosen twice at once is one answer
    truth.data /= ones_at(*chosen, shape).tocsr().data
    rows = None
    if contexts is not None:
        gaps = None
        if contexts.sees_gaps:
            gaps = table.gaps()[targets[first]]
        rows = contexts.rows(table, targets[first], gaps)
    return _Asking(users[first], truth, rows)


def _contexts_used(events, at_times=False):
    """Return the ``EventContexts`` in which requests are asked, and codes of them.

    Both are None without any. A time that nobody has asked for is not used unless
    ``at_times``: most requests are made without one. Nor are columns of the items that
    are chosen.
    """
    contexts = events.contexts
    if contexts is None or (contexts.context.is_auto and not at_times):
        return None, None
    return contexts.judged()


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
    start = _start_of_last_share(table, MAX_SHARE)
    end = most(times.max(initial=-np.inf))
    if not start < end:  # there are no two times, one of which could come first
        return None
    is_kept = times >= start
    long_before = start - (end - start)
    n_returning = np.count_nonzero(first[table.users[is_kept]] < long_before)
    share = summed(n_returning) / summed(np.count_nonzero(is_kept))
    # times may be a count of the events of each user
    n_active = summed(np.count_nonzero(last >= start) - np.count_nonzero(~has_events))
    is_now = n_active >= max(MIN_USERS, MIN_ACTIVE * summed(np.sum(has_events)))
    is_now = is_now and not _count_events(table, first[has_events], last[has_events])
    return start if always or (is_now and share >= MIN_RETURNING) else None


def _count_events(table, first, last):
    """Return whether times only count the events of each user.

    ``first``, ``last`` (n,): the times of the first and last event of each user with
    any, of all processes together. Then the latest times are those of the users with
    most events, and of no moment.
    """
    begin = -most(-first.min(initial=np.inf))
    end = most(last.max(initial=-np.inf))
    until_first = summed(np.sum(first - begin))
    after_last = summed(np.sum(end - last))
    if until_first > MAX_WAIT * after_last:
        return False
    sizes = np.diff(table.offsets)
    sizes = sizes[sizes > 0].astype(float)
    n_users = summed(len(sizes))
    from_mean = sizes - summed(sizes.sum()) / n_users
    spans = last - first
    spans_from_mean = spans - summed(spans.sum()) / n_users
    product = summed(np.sum(from_mean * spans_from_mean))
    squares = summed(np.sum(from_mean**2)) * summed(np.sum(spans_from_mean**2))
    return product >= MIN_CORRELATION * math.sqrt(squares)


def _start_of_last_share(table, share):
    """Return the time from which on there are a share of the events, and few users."""
    times = table.times.astype(float)
    sizes = np.diff(table.offsets)
    last = times[table.offsets[1:][sizes > 0] - 1]
    start = _start_of_share(times, share)
    return max(start, _start_of_share(last, n_kept=MAX_USERS))


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

    low = -most(-times.min(initial=np.inf))
    high = most(times.max(initial=-np.inf))
    if not fits(high):
        return np.inf
    if fits(low):
        return low
    while low < (middle := low + (high - low) / 2) < high:
        if fits(middle):
            high = middle
        else:
            low = middle
    later = in_order[np.searchsorted(in_order, high) :]
    return -most(-later.min(initial=np.inf))


def _last_of_some(table, of_all, rng):
    """Return which events (n_events,) are in the last basket of some users.

    The parameters are those of `_who_asks`.
    """
    return _are_last_of(table, _who_asks(table, of_all, rng))


def _who_asks(table, of_all, rng):
    """Return of which users (n_users,) the last basket is kept back.

    ``table``: its weights are 0 where an event is not to be predicted. ``of_all``:
    whether all users are meant, as far as their events are not too many.
    """
    n_last = []
    for part in table.blocks():
        is_last = _are_last(part)
        n_targets = np.bincount(part.users[is_last & (part.weights > 0)])
        n_targets.resize(part.n_users)
        sizes = np.bincount(part.users[is_last], minlength=part.n_users)
        n_last.append(np.where(n_targets > 0, sizes, 0))
    share = SHARE_APART if of_all else MAX_SHARE
    return _some(np.concatenate(n_last), share * table.n_events, of_all, rng)


def _are_last_of(table, chosen):
    """Return which events (n_events,) are in the last basket of chosen users."""
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


def _some(n_kept, n_most, of_all, rng):
    """Return which users (n_users,) ask, given how many events each would keep back.

    At most a quarter of those who can, unless ``of_all``, and together at most
    ``n_most`` events.
    """
    able = np.flatnonzero(n_kept)
    group = current_group()
    n_users = MAX_SOME
    if group is not None:
        n_users = MAX_SOME // group.size
    share = SOME
    if of_all:
        share = 1.0
    n_users = min(n_users, math.ceil(share * len(able)))
    able = rng.permutation(able)[:n_users]
    able = able[np.cumsum(n_kept[able]) <= n_most]
    chosen = np.zeros(len(n_kept), dtype=bool)
    chosen[able] = True
    return chosen


def _random_pairs(events, is_apart, rng):
    """Return the ``KeptBack`` of pairs whose order is not known."""
    positives = events.positives
    sizes = np.diff(positives.indptr)
    if is_apart:
        share_of_user = SHARE_APART
        share = SHARE_APART
    else:
        share_of_user = SHARE_OF_USER
        share = MAX_SHARE_OF_PAIRS
    n_kept = np.maximum(1, share_of_user * sizes).astype(int)
    n_kept[sizes < MIN_PAIRS] = 0
    chosen = _some(n_kept, share * positives.nnz, is_apart, rng)
    users = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((rng.uniform(size=len(users)), users))
    place = np.arange(len(users)) - positives.indptr[users]
    is_kept = np.zeros(len(users), dtype=bool)
    is_kept[order] = chosen[users] & (place < n_kept[users])
    before = entries_of(positives, ~is_kept)
    later = entries_of(positives, is_kept)
    of_pairs = events.of_pairs
    if of_pairs is not None:
        of_pairs = of_pairs.without(later)
    asking = requests_of_pairs(events, later)
    events = events._replace(positives=before, of_pairs=of_pairs)
    requests = asking._asdict() | {"past": before[asking.users].sign()}
    return KeptBack("random", is_apart, events, events, None, **requests)


def requests_of_pairs(events, later):
    """Return what is ``_Asking`` for pairs, stored in CSR (n_users, n_items)."""
    users = np.flatnonzero(np.diff(later.indptr))
    truth = later[users]
    of_pairs = events.of_pairs
    contexts, _ = _contexts_used(events)
    if of_pairs is None or contexts is None:
        return _Asking(users, truth, None)
    owners = of_pairs.owners
    chosen = of_pairs.positives.multiply(later[owners].sign()).tocsr()
    chosen.eliminate_zeros()
    rows = np.flatnonzero(np.diff(chosen.indptr))
    shape = later.shape[0], len(owners)
    contexts_of_users = sparse.csr_matrix(
        (np.ones(len(rows)), (owners[rows], rows)), shape
    )
    # what was chosen in no known context is asked for without one
    chosen_in_context = (contexts_of_users @ chosen)[users].sign()
    without = (truth - truth.multiply(chosen_in_context)).tocsr()
    without.eliminate_zeros()
    others = np.flatnonzero(np.diff(without.indptr))
    asking = np.append(owners[rows], users[others])
    order = np.argsort(asking, kind="stable")
    truth = sparse.vstack([chosen[rows], without[others]], format="csr")[order]
    empty = sparse.csr_matrix((len(others), of_pairs.rows.shape[1]), dtype=np.float32)
    known_rows = of_pairs.rows[rows]
    if of_pairs.of_items is not None:
        is_shown = of_pairs.of_items[known_rows.indices] == 0
        known_rows = entries_of(known_rows, is_shown)
    contexts = sparse.vstack([known_rows, empty], format="csr")[order]
    return _Asking(asking[order], truth, contexts)
