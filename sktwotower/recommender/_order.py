"""The order of events, as training and validation read it.

Input: an ``EventTable``.
Output: what a history stands for, and tables for training and for validation.
"""

import numpy as np

from sktwotower._tables._event_table import EventTable
from sktwotower._tables._messages import warn

__all__ = ["after", "aged", "history_kind", "hold_out_latest"]


def history_kind(history, table):
    """Return what ``history`` stands for: "pooled", "recent" or None."""
    if history not in ("auto", "recent"):
        return history
    if table.times is None:
        if history == "recent":
            raise ValueError(
                "history='recent' needs the order of events: name the column of X that "
                "says when, as in time='timestamp'. Without one, use 'pooled'."
            )
        return "pooled"
    n_events, first, several_times, repeated = 0, None, False, False
    for block in table.blocks():
        chosen = block.chosen_events()
        n_events += chosen.n_events
        first = chosen.times[:1] if first is None or not len(first) else first
        several_times = several_times or bool((chosen.times != first).any())
        repeated = repeated or np.diff(chosen.offsets).max(initial=0) > 1
        if several_times and repeated:
            return "recent"
    if not several_times:
        warn(
            f"All {n_events} positive events have the same time, so their order is "
            "unknown: history='pooled' was used. Check the time column."
        )
    else:
        warn(
            "No user has two positive events, so there is no next item to predict: "
            "history='pooled' was used."
        )
    return "pooled"


def after(before, table):
    """Return the events of a table in order, each user's earlier ones as context.

    ``before``: ``Sequences`` of the earlier events, whose weight is 0 in the result.
    Users for whom the table has nothing chosen have no events in it.
    """
    touched = np.diff(table.chosen_events().offsets) > 0
    table = table.events_at(touched[table.users])
    known = np.flatnonzero(touched[: before.lags.shape[0] - 1])
    rows, items, times = before.events(known)
    chosen = np.ones(table.n_events) if table.chosen is None else table.chosen
    users, items, times, rewards, weights = (
        np.concatenate(pair)
        for pair in (
            (known[rows], table.users),
            (items, table.items),
            (times, table.times),
            (np.ones(len(rows)), chosen),
            (np.zeros(len(rows)), table.gains),
        )
    )
    shape = table.n_users, table.n_items
    return EventTable.of(users, items, shape, times, rewards, weights).in_order()


def aged(table, half_life):
    """Return the events with weights that halve with each half-life of age."""
    if half_life is None:
        return table
    latest = float(table.times.max())

    def weighed(part):
        ages = latest - part.times.astype(float)
        by_age = part.weights * 0.5 ** (ages / half_life)
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
    if held.n_events == 0:
        return table, None, None
    kept = table.by_blocks(lambda part: part.events_at(~_is_latest(part)))
    weights = table.column(lambda part: np.where(_is_latest(part), part.weights, 0))
    validation = table._replace(weights=weights, impressions=None)
    return kept, validation, held.chosen_pairs()


def _is_latest(table):
    """Return which events are targets in the last of several baskets, (n_events,)."""
    sizes = np.diff(table.offsets)
    starts, sizes = table.offsets[:-1][sizes > 0], sizes[sizes > 0]
    first, last = table.times[starts], table.times[starts + sizes - 1]
    is_last = table.times == np.repeat(last, sizes)
    return is_last & np.repeat(first != last, sizes) & (table.weights > 0)
