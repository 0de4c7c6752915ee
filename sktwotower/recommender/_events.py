"""What `TwoTowerRecommender` learns from: users, items, outcomes and their order.

Input: an interaction table X (n_events, n_columns), rewards, weights and times.
Output: ``Events``: both sides, and matrices (n_users, n_items) of the outcomes; tables
for training and for validation.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._messages import warn
from sktwotower._tables._sequences import starts
from sktwotower._tables._sparse import (
    by_chunks,
    have_entries,
    pair_matrix,
    with_empty_row,
)
from sktwotower.features._entities import Entities, fit_entities
from sktwotower.towers._recipe import recipe_of
from sktwotower.towers.batches._request_batches import PairContexts
from sktwotower.towers.histories import PooledHistory, RecentHistory
from sktwotower.towers.processes._group import most, summed

from ._contexts import EventContexts, read_contexts, with_item_cells

# From so many events on, such a share of repeated ones is worth a line in the log.
MIN_EVENTS = 1_000
MIN_REPEATS = 0.25


class TableRecipe(recipe_of("tables")):
    """Parameters of `TwoTowerRecommender` on how tables are read, by the same names."""


class Events(NamedTuple):
    """Users, items, and CSR matrices (n_users, n_items) of the outcomes of events.

    ``positives`` holds summed rewards, ``impressions`` the weights of items that were
    shown and not chosen. ``ordered`` holds the positives in the order of time, with
    impressions next to them, or None if their order is not used. ``contexts`` are those
    of events, and ``of_pairs`` those of the two matrices, or None without context.
    """

    users: Entities
    items: Entities
    positives: sparse.csr_matrix
    impressions: sparse.csr_matrix
    ordered: EventTable | None
    contexts: EventContexts | None = None
    of_pairs: PairContexts | None = None

    @classmethod
    def of(cls, users, items, table, history, contexts=None, kind=None):
        """Return the events of an ``EventTable``.

        ``history``: a `History`. ``kind``: what times are, a ``TimeKind``, if
        the contexts are yet to learn from them.
        """
        in_order = None
        if history.sees_order:
            in_order = table.in_order()
        if contexts is not None and kind is not None:
            contexts = contexts.learnt(kind, in_order, table)
        of_pairs = None
        if contexts is not None and in_order is None:
            of_pairs = contexts.of_pairs(table)
        positives = table.pairs()
        impressions = table.pairs(chosen=False)
        return cls(users, items, positives, impressions, in_order, contexts, of_pairs)

    def with_context_weights(self, weights):
        """Return the same events with features of contexts that count less.

        ``weights`` (p,): factors of the features, in [0, 1]. None: they count as much.
        """
        if weights is None or self.contexts is None:
            return self
        shares = self.contexts.shares * weights
        return self._replace(contexts=self.contexts._replace(shares=shares))

    def active_items(self):
        """Return the positions (m,) of the items with at least one event."""
        chosen = have_entries(self.positives, axis=0)
        return np.flatnonzero(summed(chosen | have_entries(self.impressions, axis=0)))

    def everything_is_chosen(self):
        """Return whether all users with positives chose all items with events."""
        n_chosen = np.diff(self.positives.indptr)
        fewer = (n_chosen > 0) & (n_chosen < len(self.active_items()))
        return not summed(np.count_nonzero(fewer))


def noted_repeats(n_events, n_pairs):
    """Return the share of events that repeat an earlier one of their user and item.

    It is None if there are few events or few repeats, so that it needs no note.
    """
    if n_events < MIN_EVENTS:
        return None
    share = 1 - n_pairs / n_events
    if share < MIN_REPEATS:
        return None
    return share


def read_sides(tables, columns, frame, outcomes, keeps_rewards=False):
    """Return users, items, contexts and the ``EventTable`` of a table of events.

    ``outcomes``: rewards, weights and times (n_events,); times may be None.
    ``keeps_rewards``: as of `EventTable.of`.
    """
    users, of_users = fit_side(tables, columns, "user", frame)
    items, of_items = fit_side(tables, columns, "item", frame)
    rewards, weights, times = outcomes
    frame = with_item_cells(frame, columns.item_context, items, of_items)
    contexts, codes = read_contexts(tables, columns, frame)
    table = EventTable.of(
        of_users,
        of_items,
        (len(users), len(items)),
        times,
        rewards,
        weights,
        contexts=codes,
        keeps_rewards=keeps_rewards,
    )
    return users, items, contexts, table


def fit_side(tables, columns, side, frame):
    """Return the ``Entities`` of a side, and their positions in the rows of a frame."""
    user_label, item_label = columns.labels
    label = user_label
    if side == "item":
        label = item_label
    return fit_entities(
        side,
        getattr(columns, side),
        label,
        features=getattr(columns, f"{side}_features"),
        frame=frame,
        table=getattr(tables, f"{side}s"),
        memory=tables.memory,
        transformer=getattr(tables, f"{side}_transformer"),
    )


def seen_matrix(positives):
    """Return ones (n_users + 1, n_items) for positives; the last row is empty."""
    seen = with_empty_row(positives)
    seen.data = by_chunks(np.ones_like, positives.data)
    return seen


def history_of_events(history, table, schema):
    """Return the `History` that the events allow, in place of another one.

    ``history``: a `History`, which may be "auto". ``schema``: that of X, for messages.
    """
    is_auto = history.kind == "auto"
    if not is_auto and not history.sees_order:
        return history
    if table.times is None:
        if not is_auto:
            named = history
            if isinstance(history, RecentHistory):
                named = "'recent'"
            raise ValueError(
                f"history={named} needs the order of events: name the column of X that "
                "says when, as in time='timestamp'. Without one, use 'pooled'."
            )
        return PooledHistory()
    n_events = 0
    first = ()
    several_times = False
    repeated = False
    for block in table.blocks():
        chosen = block.chosen_events()
        n_events += chosen.n_events
        if len(first) == 0:
            first = chosen.times[:1]
        several_times = several_times or bool((chosen.times != first).any())
        repeated = repeated or np.diff(chosen.offsets).max(initial=0) > 1
        if several_times and repeated:
            break
    several_times, repeated = summed(np.array([several_times, repeated])) > 0
    if several_times and repeated and is_auto:
        return RecentHistory()
    if several_times and repeated:
        return history
    if not several_times:
        warn(
            f"All {n_events} positive events have the same time, so their order is "
            "unknown: history='pooled' was used. Check the time column "
            f"{schema.time!r}, which is read as {schema.time_kind}."
        )
    else:
        warn(
            "No user has two positive events, so there is no next item to predict: "
            "history='pooled' was used."
        )
    return PooledHistory()


def only_new_targets(table):
    """Return a table in order of which only first choices are to be predicted.

    An event that chooses an item again gets the weight 0: it stays in the past of later
    events, but a list that leaves out seen items cannot hold it. Impressions next to it
    are those of the user's next first choice or, if there is none, of the last one.
    """

    def of_block(block):
        users = block.users
        by_pair = np.lexsort((block.items, users))  # stable: the first event is first
        is_first = np.zeros(block.n_events, dtype=bool)
        is_first[by_pair] = starts(users[by_pair], block.items[by_pair])
        weights = np.where(is_first, block.weights, 0).astype(np.float32)
        if block.impressions is None or is_first.all():
            return block._replace(weights=weights)

        # impressions move to the user's next first choice, or the last one
        events = np.arange(block.n_events)
        next_first = np.where(is_first, events, block.n_events - 1)
        next_first = np.minimum.accumulate(next_first[::-1])[::-1]
        last_first = np.maximum.accumulate(np.where(is_first, events, 0))
        is_of_user = is_first[next_first] & (users[next_first] == users)
        targets = np.where(is_of_user, next_first, last_first)
        shown = block.impressions.tocoo()
        rows = targets[shown.row]
        impressions = pair_matrix(rows, shown.col, shown.data, shown.shape)
        return block._replace(weights=weights, impressions=impressions)

    return table.by_blocks(of_block)


def after(before, table):
    """Return the events of a table in order, each user's earlier ones as context.

    ``before``: ``Sequences`` of the earlier events, whose weight is 0 in the result.
    Users for whom the table has nothing chosen have no events in it.
    """
    touched = np.diff(table.chosen_events().offsets) > 0
    table = table.events_at(touched[table.users])
    known = np.flatnonzero(touched[: before.lags.shape[0] - 1])
    rows, items, times = before.events(known)
    n_earlier = len(rows)
    chosen = table.chosen
    if chosen is None:
        chosen = np.ones(table.n_events)
    contexts = table.contexts
    if contexts is not None:
        contexts = np.append(np.zeros(n_earlier), contexts)
    return EventTable.of(
        np.append(known[rows], table.users),
        np.append(items, table.items),
        (table.n_users, table.n_items),
        np.append(times, table.times),
        np.append(np.ones(n_earlier), chosen),
        np.append(np.zeros(n_earlier), table.gains),
        contexts,
    ).in_order()


def are_known(before, users, items, times):
    """Return whether events (n,) are among the ``Sequences`` before them."""
    old = np.unique(users[users < before.lags.shape[0] - 1])
    rows, *earlier = before.events(old)
    earlier = pd.MultiIndex.from_arrays([old[rows], *earlier])
    return pd.MultiIndex.from_arrays([users, items, times]).isin(earlier)


def aged(table, half_life):
    """Return the events with weights that halve with each half-life of age."""
    if half_life is None:
        return table
    latest = -np.inf
    if table.n_events:
        latest = float(table.times.max())
    latest = most(latest)

    def weighed(part):
        by_age = part.weights * 0.5 ** ((latest - part.times.astype(float)) / half_life)
        # Only proportions count; none may vanish.
        by_age = np.maximum(by_age, np.finfo(np.float32).tiny).astype(np.float32)
        by_age[part.weights == 0] = 0
        return by_age

    return table._replace(weights=table.column(weighed))


def hold_out_latest(table):
    """Hold out the last basket of each user who has two, of a table in order.

    Returns
    -------
    kept : EventTable
        The events before.
    validation : EventTable or None
        All events; only those held out have a weight. None: nothing can be held out.
    held_out : CSR matrix of shape (n_users, n_items)
        Ones for the items held out.
    """
    held = table.by_blocks(lambda part: part.events_at(_is_latest(part)))
    if summed(held.n_events) == 0:
        return table, None, None
    kept = table.by_blocks(lambda part: part.events_at(~_is_latest(part)))
    weights = table.column(lambda part: np.where(_is_latest(part), part.weights, 0))
    return kept, table._replace(weights=weights, impressions=None), held.chosen_pairs()


def _is_latest(table):
    """Return which events are targets in the last of several baskets, (n_events,)."""
    sizes = np.diff(table.offsets)
    starts_of_users = table.offsets[:-1][sizes > 0]
    sizes = sizes[sizes > 0]
    first = table.times[starts_of_users]
    last = table.times[starts_of_users + sizes - 1]
    is_last = table.times == np.repeat(last, sizes)
    has_several = np.repeat(first != last, sizes)
    return is_last & has_several & (table.weights > 0)
