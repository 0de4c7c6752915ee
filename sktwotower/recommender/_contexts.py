"""The contexts of events: what was known when a user asked.

Input: columns of a table of events, (n_events, n_columns), and an ``EventTable``.
Output: ``EventContexts``: feature rows of contexts, CSR (n, p), of events and of pairs.
"""

from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from scipy import sparse

from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._sequences import starts
from sktwotower._tables._sparse import Rows, ones_at, pair_matrix, with_empty_row
from sktwotower.features._context_columns import distinct_contexts
from sktwotower.features._request_clock import RequestClock
from sktwotower.features._request_context import RequestContext, fit_context
from sktwotower.towers.batches._request_batches import PairContexts
from sktwotower.towers.parts._context_shares import context_shares
from sktwotower.towers.processes._group import most

from ._processes import from_first

# Of more gaps between events, so many or half as many tell how long gaps are.
MAX_GAPS = 10_000_000
# Number of events by which it is judged what contexts say.
MAX_EVENTS = 200_000


class EventContexts(NamedTuple):
    """How contexts become feature rows, and the distinct ones of an ``EventTable``.

    ``own``: CSR (n_distinct, q), those of the columns; the time of each event adds
    others. Row 0 is the unknown context. ``shares`` (p,): how much each feature counts.
    """

    context: RequestContext
    own: sparse.csr_matrix
    shares: np.ndarray | None = None

    # Number of columns p of feature rows.
    width = property(attrgetter("context.width"))
    # Whether the time since the user's last event is a feature.
    sees_gaps = property(attrgetter("context.sees_gaps"))

    def rows(self, table, events, gaps=None):
        """Return feature rows, CSR (n, p), of events at positions (n,).

        ``gaps`` (n,): the time since the last event before each.
        """
        times = None
        own = self.own[_contexts_of(table, events)]
        if self.context.clock is not None and table.times is not None:
            times = table.times[events].astype(float)
        return self.context.rows(own, times, gaps)

    def sorted(self, codes):
        """Return the same in an order that is not that of events, and their codes.

        So what is learnt does not depend on the order of the rows of X. ``codes`` (n,):
        the distinct context of each event. Those with equal features become one.
        """
        own = self.own.sorted_indices()
        keys = own @ np.random.default_rng(0).random(own.shape[1])
        _, first, places = np.unique(keys, return_index=True, return_inverse=True)
        unknown = places[0]
        places = np.where(places == unknown, 0, places + (places < unknown))
        first = np.append(first[unknown], np.delete(first, unknown))
        return self._replace(own=own[first]), places[codes]

    def learnt(self, kind, in_order, table):
        """Return the same with the time, and the share of each feature.

        ``kind``: what times are, a ``TimeKind``. ``in_order``: the table of events in
        order, whose gaps count, or None. Shares are those of a part of the events of
        ``table``. Of several processes the first one learns it, from its events.
        """
        now = 0.0
        if self.context.is_auto:
            times = in_order.times
            now = most(float(times.max()) if len(times) else -np.inf)

        def learn():
            gaps = None
            context = self.context
            if context.time is not None:
                if in_order is not None:
                    gaps = in_order.gaps()[:: 1 + in_order.n_events // MAX_GAPS]
                clock = RequestClock.learn(kind.dates, gaps, kind.unit)
                if context.is_auto and gaps is not None:
                    clock = clock.reaching(gaps, now)
                context = replace(context, clock=clock)
            users = users_of_events(np.diff(table.offsets), 0, MAX_EVENTS)
            some = table.of_users(users).chosen_events()
            rows = self._replace(context=context).rows(some, np.arange(some.n_events))
            sides = some.users, some.items
            return context, context_shares(rows, *sides, context.blocks())

        context, shares = from_first(learn)
        return self._replace(context=context, shares=shares)

    def of_pairs(self, table):
        """Return the ``PairContexts`` of the events of a table."""
        widths = (self.width, table.n_items, table.n_items)
        sizes = []
        growing = [Rows(table.on_disk, width) for width in widths]
        for block in table.blocks():
            owners, *matrices = self._of_block(block)
            sizes.append(np.bincount(owners, minlength=block.n_users))
            for rows, matrix in zip(growing, matrices, strict=True):
                rows.append(matrix)
        offsets = np.append(0, np.cumsum(np.concatenate(sizes)))
        return PairContexts(offsets, *(rows.finish() for rows in growing))

    def _of_block(self, table):
        """Return the users (n,) of contexts of a table in memory, and their matrices.

        The matrices are those of ``PairContexts``.
        """
        rows = self.rows(table, np.arange(table.n_events))
        known = np.flatnonzero(np.diff(rows.indptr))
        clock = rows[known][:, self.own.shape[1] :]
        users = table.users
        first, groups = _groups(users[known], _contexts_of(table, known), clock)
        chosen = np.ones(len(known), dtype=bool)
        if table.chosen is not None:
            # contexts in which nothing was chosen teach nothing
            chosen = table.chosen[known]
            chooses = np.bincount(groups, chosen, len(first)) > 0
            kept = chooses[groups]
            places = np.cumsum(chooses) - 1
            known = known[kept]
            chosen = chosen[kept]
            groups = places[groups[kept]]
            first = np.unique(groups, return_index=True)[1]
        n = len(first)
        shape = (len(first), table.n_items)
        weights = table.gains[known]
        items = table.items[known]
        positives, shown = (
            pair_matrix(groups[part], items[part], weights[part], shape)
            for part in (chosen, ~chosen)
        )
        if table.impressions is not None:
            sums = ones_at(groups, known, (n, table.n_events))
            shown = sparse.csr_matrix(sums @ table.impressions)
        return users[known[first]], rows[known[first]], positives, shown

    def used_by(self, table):
        """Return ones (n_users + 1, p) where a user has an event with a feature.

        The features of the time are left out: they are nobody's.
        """
        shape = table.n_users + 1, self.width
        if table.contexts is None:
            return sparse.csr_matrix(shape, dtype=np.float32)
        own = abs(self.own)
        used = Rows(table.on_disk, self.width)
        own.resize(own.shape[0], self.width)
        for block in table.blocks():
            codes = ones_at(block.users, block.contexts, (block.n_users, own.shape[0]))
            used.append(sparse.csr_matrix((codes @ own).sign()))
        return with_empty_row(used.finish())


def _contexts_of(table, events):
    """Return the number (n,) of the context of events at positions (n,); 0: unknown."""
    unknown = np.zeros(len(events), dtype=np.int64)
    return unknown if table.contexts is None else table.contexts[events]


def _groups(users, codes, clock):
    """Return the first event of each distinct context of each user, users ascending.

    Also return the number of the context of each event. ``users`` and ``codes`` (n,):
    user and columns of each event; ``clock``, CSR (n, m): its time, as one-hot columns.
    """
    # exact: the columns of hour, weekday and month are fewer than 53
    slots = clock.astype(bool) @ 2.0 ** np.arange(clock.shape[1])
    order = np.lexsort((slots, codes, users))
    first = starts(users[order], codes[order], slots[order])
    groups = np.empty(len(order), dtype=np.int64)
    groups[order] = np.cumsum(first) - 1
    return order[first], groups


def read_contexts(tables, columns, frame):
    """Return the ``EventContexts`` of a table of events, and the code of each event.

    Both are None without context; codes are also if it is only the time. ``columns``:
    a ``Columns``.
    """
    if not columns.context and not columns.asks_time:
        return None, None
    distinct, codes, counts = distinct_contexts(frame[columns.context])
    contexts, codes = fit_contexts(tables, columns, distinct, codes, counts)
    return contexts, codes if columns.context else None


def contexts_of_time(time):
    """Return the ``EventContexts`` of events of which only the time is known, by name.

    Nobody has asked for it: see ``is_auto`` of `RequestContext`.
    """
    context = RequestContext([], time, None, is_auto=True)
    return EventContexts(context, context.empty(1))


def fit_contexts(tables, columns, distinct, codes, counts):
    """Return the ``EventContexts`` of events, and the code (n,) of each of them.

    ``distinct``, ``codes`` and ``counts``: as of `distinct_contexts`.
    """
    time = None
    if columns.asks_time:
        time = columns.time
    how = {"transformer": tables.context_transformer, "memory": tables.memory}
    found = fit_context(columns.context, time, None, distinct, counts, **how)
    return EventContexts(*found).sorted(codes)


def further_contexts(context, frame):
    """Return ``EventContexts`` that include those of further events, and their codes.

    Also return where the feature columns so far are now, positions (p,). ``context``:
    that of fit; None: there is none, and so are all results.
    """
    if context is None:
        return None, None, None
    distinct, codes, counts = distinct_contexts(frame[context.columns])
    context, places, rows = context.grown(distinct, counts)
    contexts, codes = EventContexts(context, rows).sorted(codes)
    return contexts, codes if context.columns else None, places
