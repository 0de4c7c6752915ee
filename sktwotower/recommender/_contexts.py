"""The contexts of events: what was known when a user asked.

Input: columns of a table of events, (n_events, n_columns), and an ``EventTable``.
Output: ``EventContexts``: feature rows of contexts, CSR (n, p), of events and of pairs.
"""

from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._sequences import starts
from sktwotower._tables._sparse import Rows, ones_at, pair_matrix, with_empty_row
from sktwotower.features._context_columns import distinct_contexts
from sktwotower.features._request_clock import RequestClock
from sktwotower.features._request_context import RequestContext, fit_context
from sktwotower.towers.batches._dropout import entries_of
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
    ``item_columns``: names of columns that say something of the chosen item itself.
    """

    context: RequestContext
    own: sparse.csr_matrix
    shares: np.ndarray | None = None
    item_columns: tuple = ()

    # Number of columns p of feature rows.
    width = property(attrgetter("context.width"))
    # Whether the time since the user's last event is a feature.
    sees_gaps = property(attrgetter("context.sees_gaps"))

    @property
    def of_items(self):
        """Which features (p,) are of ``item_columns``, int; None if there are none.

        0: no feature of them. 1: one of them. From 2 on: tags, a number for each column
        of lists.
        """
        if not self.item_columns:
            return None
        of_items = np.zeros(self.width, dtype=np.int64)
        n_lists = 0
        for names, features in self.context.columns_out():
            if not any(name in self.item_columns for name in names):
                continue
            of_items[features] = 1
            if self.context.holds_lists(names):
                n_lists += 1
                of_items[features] += n_lists
        return of_items

    def judged(self):
        """Return the same without what is known of chosen items, and codes.

        Requests that judge a model must not say what they will choose. Codes
        (n_distinct,) are equal for contexts that are then the same. Both are None if
        nothing is left.
        """
        n_distinct = self.own.shape[0]
        if not self.item_columns:
            return self, np.arange(n_distinct)
        if set(self.item_columns) >= set(self.context.all_columns):
            return None, None
        is_shown = self.of_items[self.own.indices] == 0
        judged = self._replace(own=entries_of(self.own, is_shown))
        _, codes = judged.sorted(np.arange(n_distinct))
        return judged, codes

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
        rows = self.own.sorted_indices()
        keys = rows @ np.random.default_rng(0).random(rows.shape[1])
        _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
        # the unknown context comes first, those before it move up by one
        unknown = numbers[0]
        is_before = numbers < unknown
        numbers = np.where(numbers == unknown, 0, numbers + is_before)
        first = np.append(first[unknown], np.delete(first, unknown))
        return self._replace(own=rows[first]), numbers[codes]

    def learnt(self, kind, in_order, table):
        """Return the same with the time, and the share of each feature.

        ``kind``: what times are, a ``TimeKind``. ``in_order``: the table of events in
        order, whose gaps count, or None. Shares are those of a part of the events of
        ``table``. Of several processes the first one learns it, from its events.
        """
        now = 0.0
        if self.context.is_auto:
            now = -np.inf
            if in_order.n_events:
                now = float(in_order.times.max())
            now = most(now)

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
            blocks = context.blocks()
            return context, context_shares(rows, some.users, some.items, blocks)

        context, shares = from_first(learn)
        return self._replace(context=context, shares=shares)

    def of_pairs(self, table):
        """Return the ``PairContexts`` of the events of a table."""
        sizes = []
        features = Rows(table.on_disk, self.width)
        positives = Rows(table.on_disk, table.n_items)
        impressions = Rows(table.on_disk, table.n_items)
        for block in table.blocks():
            owners, rows, chosen, shown = self._of_block(block)
            sizes.append(np.bincount(owners, minlength=block.n_users))
            features.append(rows)
            positives.append(chosen)
            impressions.append(shown)
        offsets = np.append(0, np.cumsum(np.concatenate(sizes)))
        return PairContexts(
            offsets,
            features.finish(),
            positives.finish(),
            impressions.finish(),
            self.of_items,
        )

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
            new_numbers = np.cumsum(chooses) - 1
            known = known[kept]
            chosen = chosen[kept]
            groups = new_numbers[groups[kept]]
            first = np.unique(groups, return_index=True)[1]
        n_contexts = len(first)
        shape = n_contexts, table.n_items
        weights = table.gains[known]
        items = table.items[known]
        positives = pair_matrix(groups[chosen], items[chosen], weights[chosen], shape)
        if table.impressions is not None:
            sums = ones_at(groups, known, (n_contexts, table.n_events))
            shown = sparse.csr_matrix(sums @ table.impressions)
        else:
            rest = ~chosen
            shown = pair_matrix(groups[rest], items[rest], weights[rest], shape)
        return users[known[first]], rows[known[first]], positives, shown

    def used_by(self, table):
        """Return ones (n_users + 1, p) where a user has an event with a feature.

        The features of the time are left out: they are nobody's.
        """
        shape = table.n_users + 1, self.width
        if table.contexts is None:
            return sparse.csr_matrix(shape, dtype=np.float32)
        has_feature = abs(self.own)
        n_distinct = has_feature.shape[0]
        has_feature.resize(n_distinct, self.width)
        used = Rows(table.on_disk, self.width)
        for block in table.blocks():
            asked_in = ones_at(block.users, block.contexts, (block.n_users, n_distinct))
            used.append(sparse.csr_matrix((asked_in @ has_feature).sign()))
        return with_empty_row(used.finish())


def _contexts_of(table, events):
    """Return the number (n,) of the context of events at positions (n,); 0: unknown."""
    if table.contexts is None:
        return np.zeros(len(events), dtype=np.int64)
    return table.contexts[events]


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


def with_item_cells(frame, columns, items, codes, before=None):
    """Return a table of events with columns of the items that were chosen.

    Parameters
    ----------
    frame : DataFrame of shape (n_events, n_columns)
    columns : list
        Names of columns of the side table of the items.
    items : Entities
    codes : int array of shape (n_events,)
        Position of each event's item.
    before : Entities, default=None
        Items of before, whose side table counts where that of ``items`` has no row.
    """
    if not columns:
        return frame
    tables = [known.side_table() for known in (items, before) if known is not None]
    tables = [table for table in tables if table is not None]
    ids = items.ids[codes]
    cells = {}
    for name in columns:
        of_tables = [table[name] for table in tables if name in table.columns]
        if not of_tables:
            cells[name] = np.nan
            continue
        of_items = of_tables[0]
        for further in of_tables[1:]:
            is_new = ~further.index.isin(of_items.index)
            if is_new.any():
                of_items = pd.concat([of_items, further[is_new]])
        cells[name] = of_items.reindex(ids).set_axis(frame.index)
    return frame.assign(**cells)


def read_contexts(tables, columns, frame):
    """Return the ``EventContexts`` of a table of events, and the code of each event.

    Both are None without context; codes are also if it is only the time. ``columns``:
    a ``Columns``.
    """
    if not columns.context and not columns.asks_time:
        return None, None
    distinct, codes, counts = distinct_contexts(frame[columns.context])
    contexts, codes = fit_contexts(tables, columns, distinct, codes, counts)
    if not columns.context:
        codes = None
    return contexts, codes


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
    context, rows = fit_context(
        columns.context,
        time,
        None,
        distinct,
        counts,
        transformer=tables.context_transformer,
        memory=tables.memory,
    )
    item_columns = tuple(columns.item_context)
    return EventContexts(context, rows, item_columns=item_columns).sorted(codes)


def further_contexts(context, frame, item_columns):
    """Return ``EventContexts`` that include those of further events, and their codes.

    Also return where the feature columns so far are now, positions (p,). ``context``:
    that of fit; None: there is none, and so are all results. ``item_columns``: as of
    ``EventContexts``.
    """
    if context is None:
        return None, None, None
    distinct, codes, counts = distinct_contexts(frame[context.columns])
    context, places, rows = context.grown(distinct, counts)
    contexts = EventContexts(context, rows, item_columns=item_columns)
    contexts, codes = contexts.sorted(codes)
    if not context.columns:
        codes = None
    return contexts, codes, places
