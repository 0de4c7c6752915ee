"""Events on disk, encoded and grouped by user as memory maps.

Input: a path, a pyarrow Dataset or a polars LazyFrame X (n_events, n_columns).
Output: ``Events``, whose matrices and sequences are memory maps.
"""

from typing import NamedTuple

import numpy as np

from sktwotower._tables._columns import Columns
from sktwotower._tables._events import MAX_SCALE, MIN_SCALE
from sktwotower._tables._frames import as_frame
from sktwotower._tables._messages import warn
from sktwotower._tables._on_disk import Column, Rows, row_blocks
from sktwotower._tables._output import library_of
from sktwotower._tables._schema import TableSchema
from sktwotower._tables._sources import opened, outcome_columns
from sktwotower._tables._times import read_times
from sktwotower.features._entities import fit_entities

from ._events import Events, ordered_outcomes, outcome_matrices
from ._impressions import ShownRows
from ._order import OrderedRows, history_kind, kind_of_order
from ._pilots import some_users

__all__ = ["EventsByUser", "read_from_disk"]

# How queries name the columns of X; y and w are read as numbers.
USER, ITEM, TIME = "u", "i", "t"
REWARD, WEIGHT = "try_cast(y as double)", "try_cast(w as double)"


class EventsByUser(NamedTuple):
    """Events as memory maps, grouped by user.

    Parameters
    ----------
    offsets : int64 array of shape (n_users + 1,)
        Start of each user's events.
    items : int32 array of shape (n_events,)
        Positions of the items.
    times : int64 or float64 array of shape (n_events,), or None
    rewards, weights : float64 arrays of shape (n_events,), or None
        None: all are 1.
    """

    offsets: np.ndarray
    items: np.ndarray
    times: np.ndarray | None
    rewards: np.ndarray | None
    weights: np.ndarray | None

    @property
    def n_rows(self):
        """Number of events."""
        return len(self.items)

    def of_some_users(self, seed):
        """Return ``ShownRows`` of random users who have 250,000 rows together."""
        users = some_users(np.diff(self.offsets), seed)
        parts = [self.read(slice(user, user + 1)) for user in users]
        sizes = [len(items) for (_, items), _ in parts]
        columns = [(items, *outcomes) for (_, items), outcomes in parts]
        items, rewards, weights, times = (
            None if column[0] is None else np.concatenate(column)
            for column in zip(*columns, strict=True)
        )
        return ShownRows(np.repeat(users, sizes), items, rewards, weights, times)

    def blocks(self):
        """Yield slices of users with about 4,000,000 events."""
        yield from row_blocks(self.offsets, on_disk=True)

    def read(self, users):
        """Return codes of users and items, and outcomes, of a slice of the users.

        Users count from the start of the slice.
        """
        offsets = self.offsets[users.start : users.stop + 1]
        part = slice(int(offsets[0]), int(offsets[-1]))
        codes = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        ones = np.ones(len(codes))
        rewards, weights = (
            ones if column is None else column[part]
            for column in (self.rewards, self.weights)
        )
        times = None if self.times is None else self.times[part]
        return (codes, self.items[part]), (rewards, weights, times)

    def matrices(self, n_items):
        """Return positives by reward and impressions by weight, CSR (n, n_items)."""
        sides = [Rows(True, n_items) for _ in range(2)]
        for block in self.blocks():
            codes, (rewards, weights, _) = self.read(block)
            shape = block.stop - block.start, n_items
            matrices = outcome_matrices(codes, rewards, weights, shape)
            for side, matrix in zip(sides, matrices, strict=True):
                side.append(matrix)
        return [side.finish() for side in sides]

    def in_order(self, n_items):
        """Return the positives as ``Ordered``."""
        result = OrderedRows(True, n_items)
        for block in self.blocks():
            codes, outcomes = self.read(block)
            shape = block.stop - block.start, n_items
            result.append(ordered_outcomes(codes, outcomes, shape))
        return result.finish()

    def history_kind(self, history):
        """Return what ``history`` stands for: "pooled", "recent" or None."""
        if history not in ("auto", "recent") or self.times is None:
            return history_kind(history, None, None)
        n_events, first, repeated, several = 0, None, False, False
        for block in self.blocks():
            (users, _), (rewards, _, times) = self.read(block)
            chosen = times[rewards > 0]
            n_events += len(chosen)
            first = chosen[0] if first is None and len(chosen) else first
            several = several or bool((chosen != first).any())
            repeated = repeated or np.bincount(users[rewards > 0]).max(initial=0) > 1
            if several and repeated:
                break
        return kind_of_order(history, n_events, not several, repeated)


def read_from_disk(tables, X, y, sample_weight, history):
    """Read events that lie on disk.

    Parameters
    ----------
    tables : TableRecipe
    X : path, pyarrow Dataset or polars LazyFrame
    y, sample_weight : str or None
        Names of columns of X.
    history : str or None
        As of `TwoTowerRecommender`.

    Returns
    -------
    schema : TableSchema
    events : Events
    kind : {"pooled", "recent"} or None
        What ``history`` stands for.
    by_user : EventsByUser
        The rows of X.
    """
    with opened(X) as source:
        outcomes = outcome_columns(source, y=y, sample_weight=sample_weight)
        frame = source.empty.drop(columns=list(outcomes.values()))
        if frame.shape[1] < 2:
            raise ValueError(
                f"X has {frame.shape[1]} columns, but a user column and an item column "
                "are required."
            )
        columns = Columns(frame, tables, named=True)
        _select(source, columns, outcomes)
        exponents = _check_outcomes(source, y, sample_weight)
        _check_ids(source, frame, columns)
        users, of_users, sizes = _side(source, "user", columns, tables)
        items, of_items, _ = _side(source, "item", columns, tables)
        by_user, dates = _by_user(source, columns, (of_users, of_items), exponents)
    offsets = np.append(0, np.cumsum(sizes))
    by_user = EventsByUser(offsets, *by_user)
    names = frame.columns.to_numpy(dtype=object)
    schema = TableSchema(frame.shape[1], names, library=library_of(X))
    if columns.time is not None:
        schema = schema.with_time(frame, columns.time, dates)
    kind = by_user.history_kind(history)
    positives, impressions = by_user.matrices(len(items))
    in_order = by_user.in_order(len(items)) if kind == "recent" else None
    events = Events(users, items, positives, impressions, in_order)
    return schema, events, kind, by_user


def _select(source, columns, outcomes):
    """Choose the columns to read, under the names that queries use."""
    chosen = {USER: columns.user, ITEM: columns.item, TIME: columns.time}
    chosen |= {"y": outcomes.get("y"), "w": outcomes.get("sample_weight")}
    for side in ("user", "item"):
        chosen |= dict(_features(columns, side))
    source.select(**{alias: c for alias, c in chosen.items() if c is not None})


def _features(columns, side):
    """Return pairs of the name in queries and the column, of the features of a side."""
    names = getattr(columns, f"{side}_features")
    return [(f"{side}_{i}", name) for i, name in enumerate(names)]


def _kept(source):
    """Return the condition of the events that count."""
    return f" where {WEIGHT} > 0" if "w" in source.columns else ""


def _check_outcomes(source, y, sample_weight):
    """Check rewards and weights; return the exponents that scale them, a dict."""
    given = {"y": (REWARD, "y", y), "w": (WEIGHT, "sample_weight", sample_weight)}
    given = {alias: parts for alias, parts in given.items() if alias in source.columns}
    if not given:
        return {}
    all_positive = " and ".join(f"{sql} > 0" for sql, _, _ in given.values())
    figures = [f"count_if({all_positive}) as positive"]
    for alias, (sql, _, _) in given.items():
        figures.append(f"count_if(not coalesce(isfinite({sql}), false)) as bad_{alias}")
        figures.append(f"min({sql}) as min_{alias}, max({sql}) as max_{alias}")
    found = source.query(f"select {', '.join(figures)} from events").to_pylist()[0]
    for alias, (_, parameter, column) in given.items():
        what = f"{parameter}, the column {column!r} of X,"
        if found[f"bad_{alias}"]:
            raise ValueError(
                f"{what} has {found[f'bad_{alias}']} cells that are not finite numbers "
                "(text, missing, NaN or infinity). Convert them, or drop these rows."
            )
        if (found[f"min_{alias}"] or 0) < 0:
            raise ValueError(f"{what} must be >= 0. Got {found[f'min_{alias}']}.")
    if not found["positive"]:
        raise ValueError(
            "X holds no positive event: at least one row needs y > 0 (or y=None) and "
            "a sample_weight > 0."
        )
    return {alias: _exponent(found[f"max_{alias}"]) for alias in given}


def _exponent(largest):
    """Return the exponent of two to divide by; 0 if float32 can hold the values."""
    fits = largest == 0 or MIN_SCALE <= largest <= MAX_SCALE
    return 0 if fits else int(np.frexp(largest)[1])


def _check_ids(source, frame, columns):
    """Check that there are events, and that none lacks an id or a time."""
    names = {USER: columns.user, ITEM: columns.item, TIME: columns.time}
    names = {alias: name for alias, name in names.items() if name is not None}
    missing = {
        alias: f"({alias} is null or isnan({alias}))"
        if frame[name].dtype.kind == "f"
        else f"{alias} is null"
        for alias, name in names.items()
    }
    counts = [f"count_if({sql}) as {alias}" for alias, sql in missing.items()]
    sql = f"select count(*) as n, {', '.join(counts)} from events{_kept(source)}"
    found = source.query(sql).to_pylist()[0]
    if not found["n"]:
        raise ValueError("X holds no events: at least one is required.")
    for alias, name in names.items():
        if found[alias]:
            side = {USER: "user", ITEM: "item", TIME: "time"}[alias]
            path = source.file_where(missing[alias])
            where = "" if path is None else f" The first is in {path}."
            raise ValueError(
                f"{side} column {name!r} contains NaN: {found[alias]} of {found['n']} "
                f"events lack it.{where} Drop those rows, or fill them."
            )


def _side(source, side, columns, tables):
    """Return the ``Entities`` of a side, their codes by id and their numbers of events.

    Codes are an Arrow table of ids and positions; numbers are int64 (n,).
    """
    import pyarrow

    alias, features = {"user": USER, "item": ITEM}[side], _features(columns, side)
    id_column = getattr(columns, side)
    answer = source.query(_distinct(source, alias, [name for name, _ in features]))
    table = answer.select(["id"])
    for place, (_, name) in enumerate(features):
        last = answer["last"].combine_chunks().flatten()[place]
        table = table.append_column(name, last)
    frame = as_frame(table, "X").rename(columns={"id": id_column})
    entities, codes = fit_entities(
        side,
        id_column,
        id_column,
        [name for _, name in features],
        getattr(tables, f"{side}s"),
        getattr(tables, f"{side}_transformer"),
        frame,
        tables.memory,
    )
    if features:
        n_changed = int(answer["changed"].to_numpy().sum())
        if n_changed:
            warn(
                f"Rows of X disagree on the features of {n_changed} of "
                f"{len(entities)} ids in column {id_column!r}; the last row of each "
                "was used."
            )
    sizes = np.zeros(len(entities), dtype=np.int64)
    sizes[codes] = answer["n"].to_numpy()
    codes = pyarrow.array(codes.astype(np.int32))
    return entities, answer.select(["id"]).append_column("code", codes), sizes


def _distinct(source, alias, features):
    """Return the query of distinct ids, with the features of their last event."""
    if not features:
        kept = _kept(source)
        return f"select {alias} as id, count(*) as n from events{kept} group by {alias}"
    last = ", ".join(f"{name} := {name}" for name in features)
    changed = " or ".join(
        f"count(distinct {name}) + max(({name} is null)::int) > 1" for name in features
    )
    return (
        f"select {alias} as id, count(*) as n, ({changed})::int as changed, "
        f"arg_max(struct_pack({last}), place) as last "
        f"from (select *, row_number() over () as place from events){_kept(source)} "
        f"group by {alias}"
    )


def _by_user(source, columns, codes, exponents):
    """Return items, times, rewards and weights (n_events,), sorted by user.

    Also return whether times are dates. What X lacks is None. ``codes``: Arrow tables
    of the ids and positions of users and of items.
    """
    given = {"item": "b.code"}
    for name, sql in (("t", TIME), ("y", REWARD), ("w", WEIGHT)):
        if name in source.columns:
            given[name] = sql
    # equal rows come in any order, all others in one that does not depend on threads
    sql = (
        f"select {', '.join(f'{sql} as {name}' for name, sql in given.items())} "
        f"from events join users as a on {USER} = a.id join items as b on {ITEM} = b.id"
        f"{_kept(source)} order by a.code, {', '.join(given.values())}"
    )
    result, dates = {name: Column(on_disk=True) for name in given}, False
    batches = source.query(sql, True, users=codes[0], items=codes[1])
    for batch in batches:
        part = {name: batch.column(name) for name in given}
        result["item"].append(part["item"].to_numpy())
        if "t" in part:
            times = as_frame(_table(part["t"]), "X")["t"]
            name = f"The time column {columns.time!r} of X"
            times, dates = read_times(times, name)
            result["t"].append(times)
        for name in exponents:
            values = part[name].to_numpy()
            result[name].append(np.ldexp(values, -exponents[name]))
    arrays = {name: column.finish() for name, column in result.items()}
    return [arrays.get(name) for name in ("item", "t", "y", "w")], dates


def _table(times):
    import pyarrow

    return pyarrow.table({"t": times})
