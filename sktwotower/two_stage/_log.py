"""What the features of candidates are computed from: the events up to a cut.

Input: a fitted retriever, and the events that it was fitted on.
Output: a ``Log``, and the ``StagedPast`` of the users of a request.
"""

import functools
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from sktwotower._records import array, csr, finite, frozen, integer, require, vectors
from sktwotower._tables._event_table import EventTable
from sktwotower._tables._running_counts import smoothed_rates
from sktwotower._tables._sequences import Sequences
from sktwotower._tables._sparse import rows_of, slices, some_rows
from sktwotower.retrieval._fitted_state import Past, fitted_of

NANOSECONDS_PER_DAY = 86_400 * 10**9
# Entries of the vectors of items chosen together.
N_ENTRIES = 64
# An event counts as following another one up to this many events before.
MAX_STEPS = 5
# Added to the number of events of an item: rare items have followers by chance.
PRIOR = 2.0
# Rows of a matrix that are held densely at once have about this many entries together.
DENSE_ENTRIES = 1 << 20
# Added to the showings of each item, and of each position, at the mean rate of all.
PRIOR_SHOWN = 20.0
# Rates of items and of positions are computed in turn, this many times.
N_ROUNDS = 20


@frozen
class Places:
    """How much more often items are chosen at some positions than on average.

    Parameters
    ----------
    positions : float array of shape (n_positions,)
        Ascending.
    factors : float array of shape (n_positions,)
        Their mean over the showings is 1.
    """

    positions: array("float64", "n_positions", is_finite=True, order=np.greater)
    factors: array("float64", "n_positions", is_finite=True, least=0)

    def at(self, positions):
        """Return the factors (n,) at positions (n,): between others, interpolated."""
        if len(self.positions) == 0:
            return np.ones(len(positions))
        factors = np.interp(positions, self.positions, self.factors)
        return np.where(np.isnan(positions), 1.0, factors)


def click_rates(items, chosen, n_items, positions=None):
    """Return the smoothed share of showings that end in a choice, and ``Places``.

    The first is float32 (n_items,). With ``positions`` (n_events,), nan where they are
    not known, an item is chosen with the probability r(i) f(p): r(i) is its rate at an
    average position, f(p) the factor of position p. Both are fitted in turn, so that
    good items at the first positions do not pass for an effect of the position.
    """
    rates = rates_of(sums_of(items, chosen, n_items))
    if positions is None or np.isnan(positions).all():
        return rates, Places(np.zeros(0), np.zeros(0))
    has_position = ~np.isnan(positions)
    places, codes = np.unique(positions[has_position], return_inverse=True)
    n_places = len(places)
    clicked = np.bincount(codes[chosen[has_position]], minlength=n_places)
    prior = PRIOR_SHOWN * chosen.mean()
    looks = np.ones(len(items))
    for _ in range(N_ROUNDS):
        expected = np.bincount(codes, rates[items[has_position]], n_places)
        factors = (clicked + prior) / (expected + prior)
        factors /= factors[codes].mean()
        looks[has_position] = factors[codes]
        rates = rates_of(sums_of(items, chosen, n_items, looks))
    return rates, Places(places, factors)


def sums_of(codes, chosen, n, looks=None):
    """Return how often each of n was shown and chosen, (n, 2), by events (n_events,).

    ``codes``: the position of each event. ``looks``: how much each showing counts.
    """
    shown = np.bincount(codes, looks, n)
    clicked = np.bincount(codes[chosen], None, n)
    return np.column_stack([shown, clicked]).astype(float)


def rates_of(sums):
    """Return the smoothed share of showings that were chosen, float32 (n,)."""
    return smoothed_rates(sums, sums.sum(axis=0), PRIOR_SHOWN).astype(np.float32)


@frozen
class Clock:
    """The times of all events, and those of each item.

    Parameters
    ----------
    times : float array of shape (n_events,)
        Times of all events in days, ascending.
    own_times : float array of shape (n_events,)
        The same sorted by item, then by time.
    keys : int array of shape (n_events,)
        Item times (n_events + 1) plus the place of the event's time among ``times``.
    offsets : int array of shape (n_items + 1,)
        Where each item's events begin in ``own_times``.
    by_user : bool
        Whether a request happens at the time of the user's last event; otherwise it
        happens at the latest time of all.
    """

    times: array("float64", "n_events", is_finite=True, order=np.greater_equal)
    own_times: array("float64", "n_events", is_finite=True)
    keys: array("int64", "n_events", order=np.greater_equal)
    offsets: array("int64", "n_items+1", order=np.greater_equal)
    by_user: bool

    def _check_stored(self, place):
        n = len(self.times)
        offsets = self.offsets
        require(n > 0, f"{place}.times", "times of events")
        fits = offsets[0] == 0 and offsets[-1] == n
        require(fits, f"{place}.offsets", f"offsets from 0 to {n}")

    @classmethod
    def of(cls, items, days, n_items, by_user):
        """Return the clock of events at times in days."""
        in_order = np.sort(days)
        places = np.searchsorted(in_order, days)
        order = np.lexsort((places, items))
        items = items[order].astype(np.int64)
        n_places = len(days) + 1
        keys = items * n_places + places[order]
        offsets = np.searchsorted(items, np.arange(n_items + 1))
        return cls(in_order, days[order], keys, offsets, by_user)

    def now(self, last):
        """Return the time (n,) of requests of users by their last event, or nan."""
        latest = self.times[-1]
        if not self.by_user:
            return np.full(len(last), latest)
        return np.where(np.isnan(last), latest, last)

    def places(self, now):
        """Return the number (n,) of events up to the times ``now``."""
        return np.searchsorted(self.times, now, side="right")

    def ends(self, items, places):
        """Return where the events of items (m,) before places (m,) end, (m,).

        They begin at ``offsets[items]`` of ``own_times``.
        """
        return np.searchsorted(self.keys, items * (len(self.times) + 1) + places)


class StagedPast(NamedTuple):
    """Past items of n users, for both stages.

    Parameters
    ----------
    lags : CSR matrix of shape (n, n_items)
        Past items in order, as in `Sequences`.
    last : float array of shape (n,)
        Time of each user's last event in days, nan without one or without dates.
    first : Past
        What the retriever reads.
    """

    lags: sparse.csr_matrix
    last: np.ndarray
    first: Past
    seen = property(attrgetter("first.seen"))
    __getitem__ = some_rows


@frozen
class Log:
    """What the features of candidates are computed from.

    Parameters
    ----------
    sequences : Sequences
        The positive events of each user in order, by row if there are no times.
    clock : Clock or None
        When items were chosen. None: times are not dates.
    counts : float array of shape (n_items,)
        Number of users who chose each item.
    n_users : int
        Number of users with an event.
    shown : float array of shape (n_items, 2) or None
        How often each item was shown and chosen, up to its place in a list. None: all
        events of fit are positive.
    places : Places or None
        How much the position in a list counts. None: all events are positive.
    vectors : dict of str to float32 arrays of shape (n_items, d)
        Unit vectors of the items, by their name.
    after : CSR matrix of shape (n_items, n_items)
        How often one item follows another one, as returned by ``followed_by``.
    repeats : bool
        Whether candidates may be items that the user has chosen before.
    """

    sequences: Sequences
    clock: Clock | None
    counts: array("float64", "n_items", is_finite=True, least=0)
    n_users: integer(1)
    shown: array("float64", "n_items 2", is_finite=True) | None
    places: Places | None
    vectors: dict[str, vectors("n_items *")]
    after: csr("n_items n_items", canonical=False, is_finite=True)
    repeats: bool

    def _check_stored(self, place):
        n = len(self.counts)
        sizes = [self.sequences.lags.shape[1]]
        if self.clock is not None:
            sizes.append(len(self.clock.offsets) - 1)
        require(set(sizes) == {n}, place, f"a log of {n} items")
        fits = list(self.vectors) in (["together"], ["vector", "together"])
        require(fits, f"{place}.vectors", "vectors of items")
        for name, unit_vectors in self.vectors.items():
            finite(unit_vectors, f"{place}.vectors.{name}")

    @functools.cached_property
    def click_rates(self):
        """Smoothed share of showings that were chosen, float32 (n_items,), or None."""
        if self.shown is None:
            return None
        return rates_of(self.shown)

    def past(self, query, past, added=None):
        """Return the ``StagedPast`` of the users of a query.

        ``past``: their ``Past``. ``added``: further events, as in `Fitted.past`.
        """
        last = np.full(len(query), np.nan)
        if self.clock is not None:
            last = self.sequences.latest(query.codes, added) / NANOSECONDS_PER_DAY
            if added is not None and added[2] is None:  # later than all others
                last[added[0]] = self.clock.times[-1]
        return StagedPast(self.sequences.rows(query.codes, added), last, past)


class Choices(NamedTuple):
    """Positive events: positions of users and of items, and times, (n_events,) each."""

    users: np.ndarray
    items: np.ndarray
    times: np.ndarray

    def followed_by(self, later):
        """Return these events and then later ones."""
        return Choices(
            np.append(self.users, later.users),
            np.append(self.items, later.items),
            np.append(self.times, later.times),
        )


class EarlierLog(NamedTuple):
    """A log of earlier events, and where its users and items are now, positions."""

    log: Log
    users: np.ndarray
    items: np.ndarray

    def choices(self):
        """Return its ``Choices``, by the positions of now."""
        users, items, times = self.log.sequences.events()
        return Choices(self.users[users], self.items[items], times)

    def clock_events(self):
        """Return items, by the positions of now, and days of the events of its clock.

        These hold what forgotten users chose as well.
        """
        clock = self.log.clock
        return np.repeat(self.items, np.diff(clock.offsets)), clock.own_times


def build_log(retriever, events, by_user, repeats, positions, earlier):
    """Return the ``Log`` of the events that a retriever was fitted on.

    ``events``: `ReadEvents`. ``by_user``: as in ``Clock``. ``repeats``: as in ``Log``.
    ``positions``: as in ``click_rates``. ``earlier``: ``EarlierLog`` of further events,
    which count as well, or None.
    """
    fitted = fitted_of(retriever)
    n_items = len(fitted.items)
    shape = len(fitted.user_ids), n_items
    users, items = events.codes(fitted)
    chosen = events.chosen
    choices = Choices(users[chosen], items[chosen], events.times[chosen])

    clock = None
    if events.dates:
        items_chosen = choices.items
        days = choices.times / NANOSECONDS_PER_DAY
        if earlier is not None:
            earlier_items, earlier_days = earlier.clock_events()
            items_chosen = np.append(earlier_items, items_chosen)
            days = np.append(earlier_days, days)
        clock = Clock.of(items_chosen, days, n_items, by_user)

    # If all events are positive, nothing is known of what was only shown.
    places = shown = None
    if earlier is not None:
        choices = earlier.choices().followed_by(choices)
        places = earlier.log.places
    elif not chosen.all():
        _, places = click_rates(items, chosen, n_items, positions)
    if places is not None:
        shown = sums_of(items, chosen, n_items, places.at(positions))
        if earlier is not None:
            shown[earlier.items] += earlier.log.shown

    table = EventTable.of(choices.users, choices.items, shape, choices.times)
    sequences = table.in_order().sequences()
    counts = np.asarray(fitted.seen.sum(axis=0), dtype=float).ravel()
    vectors = {}
    if hasattr(retriever, "item_embeddings_"):
        vectors["vector"] = unit_rows(retriever.item_embeddings_)
    vectors["together"] = vectors_of_pairs(fitted.seen[:-1])
    return Log(
        sequences=sequences,
        clock=clock,
        counts=counts,
        n_users=int(np.count_nonzero(np.diff(fitted.seen.indptr))),
        shown=shown,
        places=places,
        vectors=vectors,
        after=followed_by(sequences, counts),
        repeats=repeats,
    )


def unit_rows(vectors):
    """Return rows (n, d) of unit length, float32; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def vectors_of_pairs(seen):
    """Return unit vectors (n_items, d) whose products say how often items share users.

    They are the leading singular vectors of the columns of unit length of ``seen``, CSR
    (n_users, n_items), times the singular values.
    """
    counts = np.asarray(seen.sum(axis=0)).ravel()
    columns = seen @ sparse.diags(1 / np.sqrt(np.maximum(counts, 1)))
    n_entries = min(N_ENTRIES, *columns.shape)
    columns = columns.astype(np.float64)
    _, values, right = randomized_svd(columns, n_entries, n_iter=2, random_state=0)
    return unit_rows(right.T * values)


def followed_by(sequences, counts):
    """Return how often one item follows another one, CSR (n_items, n_items).

    Row i, column j: the sum of 1 / s over the events of j that come s <= 5 events after
    one of i, over the number of users of i plus 2. ``sequences``: `Sequences`;
    ``counts`` (n_items,): number of users of each item.
    """
    users, items, _ = sequences.events()
    n_items = len(counts)
    after = sparse.csr_matrix((n_items, n_items))
    for n_steps in range(1, MAX_STEPS + 1):
        same_user = users[n_steps:] == users[:-n_steps]
        earlier = items[:-n_steps][same_user]
        later = items[n_steps:][same_user]
        weights = np.full(len(later), 1 / n_steps)
        after = after + sparse.csr_matrix((weights, (earlier, later)), after.shape)
    scale = sparse.diags(1 / (counts + PRIOR))
    return (scale @ after).tocsr().astype(np.float32)


def entries(matrix, rows, columns, factor=None):
    """Return the entries (m,) of a CSR matrix at rows, ascending, and columns (m,).

    ``factor``: a CSR matrix that the first one is multiplied with, block by block.
    """
    values = np.empty(len(rows), dtype=matrix.dtype)
    n_columns = matrix.shape[1]
    if factor is not None:
        n_columns = factor.shape[1]
    for block in slices(matrix.shape[0], max(1, DENSE_ENTRIES // n_columns)):
        some = rows_of(matrix, block)
        if factor is not None:
            some = some @ factor
        # scipy reads single entries of unsorted rows one after the other, and slowly
        dense = some.toarray()
        start, stop = np.searchsorted(rows, [block.start, block.stop])
        inside = slice(start, stop)
        values[inside] = dense[rows[inside] - block.start, columns[inside]]
    return values
