"""The events of each user in the order of time.

Input: positions of users and items, and times, (n_events,) each, sorted.
Output: ``Sequences``: CSR (n_users + 1, n_items) of lags, oldest event first in a row.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._records import array, csr, record, require
from sktwotower._records._reading import places_of

from ._sparse import by_chunks, one_row, rows_of_entries, take_rows


@record
class Sequences(NamedTuple):
    """Past items of each user, oldest first.

    Parameters
    ----------
    lags : CSR matrix of shape (n_users + 1, n_items), float32
        One entry per event, in the order of time; an item may occur more than once in
        a row. Its value is the *lag*: 1 for the user's latest time, 2 for the one
        before, and so on. Events at equal times are one basket: they have the same lag,
        and are in the order of their items. The last, empty row is for unknown users.
    times : array of shape (n_events,), int64 or float64
        Time of each entry of ``lags``.
    """

    lags: csr("n_users+1 n_items", canonical=False, empty_last=True, is_finite=True)
    times: array("int64 float64", "n_events", is_finite=True)

    def _check_stored(self, place):
        require(len(self.times) == self.lags.nnz, place, "one time for each lag")
        require((self.lags.data >= 1).all(), f"{place}.lags", "lags >= 1")

    @property
    def items(self):
        """Item of each event, (n_events,)."""
        return self.lags.indices

    def rows(self, codes, added=None):
        """Return the past of users at positions (n,), CSR (n, n_items) of lags.

        ``added``: further events, as of `Fitted.past`.
        """
        if added is None:
            return take_rows(self.lags, codes)
        n, n_items = self.lags.shape
        codes = np.where(codes < 0, n - 1, codes)
        _, items, times = added
        if len(codes) == 1 and times is None:
            return self.followed_by(codes[0], items)
        past_rows, past_items, past_times = self.events(codes)
        new_rows, new_items, new_times = added

        # Without times, the new events come after all others: that is compared first,
        # and their times only number them.
        comes_after = np.zeros(len(past_rows) + len(new_rows), dtype=bool)
        if new_times is None:
            comes_after[len(past_rows) :] = True
            new_times = np.arange(len(new_rows)).astype(past_times.dtype)
        rows = np.concatenate([past_rows, new_rows])
        items = np.concatenate([past_items, new_items])
        times = np.concatenate([past_times, new_times])

        # Sorted, each event once.
        order = np.lexsort((items, times, comes_after, rows))
        is_first = starts(rows[order], items[order], times[order], comes_after[order])
        kept = order[is_first]
        rows = rows[kept]
        lags = lags_of(rows, times[kept], comes_after[kept])
        offsets = np.searchsorted(rows, np.arange(len(codes) + 1))
        return as_rows(lags, items[kept], offsets, n_items)

    def followed_by(self, code, items):
        """Return the past (1, n_items) of a user with later items (k,), one by one."""
        start, stop = self.lags.indptr[code : code + 2]
        past_lags = self.lags.data[start:stop] + len(items)
        past_items = self.lags.indices[start:stop]
        lags = np.concatenate([past_lags, np.arange(len(items), 0, -1)])
        items = np.concatenate([past_items, items]).astype(past_items.dtype)
        return one_row(items, lags.astype(np.float32), self.lags.shape[1])

    def latest(self, codes, added=None):
        """Return the time (n,) of the latest event of each user, float64.

        It is nan for users without events. ``added``: as of `Fitted.past`; events whose
        times are not known make it nan.
        """
        starts_of_users = self.lags.indptr[:-1][codes]
        ends_of_users = self.lags.indptr[1:][codes]
        has_events = ends_of_users > starts_of_users
        latest = np.full(len(codes), np.nan)
        latest[has_events] = self.times[ends_of_users[has_events] - 1]
        if added is not None:
            rows, _, times = added
            if times is None:
                latest[rows] = np.nan
            else:
                np.fmax.at(latest, rows, times.astype(float))
        return latest

    def events(self, codes=None):
        """Return row, item and time, (m,) each, of the events of users (n,), or all."""
        if codes is None:
            return rows_of_entries(self.lags), self.lags.indices, self.times
        rows, numbers = places_of(self.lags.indptr, codes)
        return rows, self.lags.indices[numbers], self.times[numbers]

    def take(self, users):
        """Return the events of users at positions (n,), the last one the empty row."""
        _, _, times = self.events(users)
        return Sequences(self.lags[users], times)

    def with_items(self, items):
        """Return the events of items at sorted positions (m,) only."""
        rows, columns, times = self.events()
        is_kept = np.isin(columns, items)
        rows = rows[is_kept]
        times = times[is_kept]
        offsets = np.searchsorted(rows, np.arange(self.lags.shape[0] + 1))
        new_columns = np.searchsorted(items, columns[is_kept])
        lags = as_rows(lags_of(rows, times), new_columns, offsets, len(items))
        return Sequences(lags, times)

    def replaced(self, table):
        """Return sequences with the events of a table in place of its users' events.

        ``table``: an ``EventTable`` in order, of all users, also new ones.
        """
        n_known_users = self.lags.shape[0] - 1
        old_sizes = np.zeros(table.n_users, dtype=np.int64)
        old_sizes[:n_known_users] = np.diff(self.lags.indptr)[:-1]
        new_sizes = np.diff(table.offsets)
        has_new = new_sizes > 0
        stays = np.repeat(~has_new, old_sizes)  # of the old events
        sizes = np.where(has_new, new_sizes, old_sizes)
        is_new = np.repeat(has_new, sizes)  # of all events

        def joined(old, new):
            # times of fit may be integers, and later ones not
            values = np.empty(len(is_new), dtype=np.result_type(old, new))
            values[~is_new] = old[stays]
            values[is_new] = new
            return values

        lags = joined(self.lags.data, table.lags().data)
        items = joined(self.lags.indices, table.items)
        offsets = np.concatenate([[0], np.cumsum(sizes), [len(is_new)]])
        times = joined(self.times, table.times)
        return Sequences(as_rows(lags, items, offsets, table.n_items), times)

    def with_columns(self, positions, n_items):
        """Return the same events with item j at ``positions[j]`` of n_items."""
        items = positions[self.lags.indices]
        lags = as_rows(self.lags.data, items, self.lags.indptr, n_items)
        return self._replace(lags=lags)


def lags_of(users, *times):
    """Return the lag (n,), float32, of events sorted by user and by ``times``.

    The lag is 1 for the latest time of a user, 2 for the one before, and so on. Several
    arrays of times are compared together.
    """
    if len(users) == 0:
        return np.zeros(0, dtype=np.float32)
    baskets = np.cumsum(starts(users, *times))
    last_events = np.flatnonzero(np.append(starts(users)[1:], True))
    n_events = np.diff(last_events, prepend=-1)  # of each user
    last_baskets = np.repeat(baskets[last_events], n_events)
    return (last_baskets - baskets + 1).astype(np.float32)


def starts(*columns):
    """Return which entries (n,) differ from the one before in any of the columns."""
    starts = np.zeros(len(columns[0]), dtype=bool)
    starts[:1] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return starts


def as_rows(data, indices, offsets, n_items):
    """Return a CSR matrix whose rows keep their order and their repeated columns."""
    dtype = np.int64
    if max(n_items, len(indices)) < 2**31 - 1:
        dtype = np.int32
    if indices.dtype != dtype:  # scipy wants one type for both
        indices = by_chunks(lambda part: part.astype(dtype), indices)
    arrays = (data, indices, offsets.astype(dtype))
    return sparse.csr_matrix(arrays, shape=(len(offsets) - 1, n_items))
