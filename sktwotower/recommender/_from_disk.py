"""Events on disk, encoded and grouped by user as memory maps.

Input: a path, a pyarrow Dataset or a polars LazyFrame X (n_events, n_columns).
Output: users, items and an ``EventTable`` of memory maps.
"""

from importlib import import_module

import numpy as np

from sktwotower._tables._columns import Columns, refuse_gaps, warn_of_changes
from sktwotower._tables._event_table import EventTable
from sktwotower._tables._frames import as_frame, library_of
from sktwotower._tables._ids import refuse_missing_ids
from sktwotower._tables._outcomes import Outcome, check_outcomes, refuse_vanished
from sktwotower._tables._ratings import N_ROWS, warn_of_ratings
from sktwotower._tables._reward_scale import warn_of_heavy_tail
from sktwotower._tables._schema import TableSchema
from sktwotower._tables._sources import opened, outcome_columns
from sktwotower._tables._sparse import Column
from sktwotower._tables._time_units import (
    FIRST_DAY,
    LAST_DAY,
    RECOGNIZED,
    NumberFigures,
    TimeKind,
    kind_of_numbers,
    limits_of,
    say_times,
)
from sktwotower._tables._times import read_times
from sktwotower.features._context_columns import distinct_contexts

from ._contexts import fit_contexts, read_contexts
from ._events import fit_side
from ._processes import check_division, from_first, of_own_part, own_users, written_once

# How queries name the columns of X; y and w are read as numbers.
USER = "u"
ITEM = "i"
TIME = "t"
NAMES = {USER: "user column {!r}", ITEM: "item column {!r}"}
NAMES[TIME] = "The time column {!r} of X"
PLACED = "(select *, row_number() over () as place from events)"
REWARD = "try_cast(y as double)"
WEIGHT = "try_cast(w as double)"


def read_from_disk(tables, X, y, sample_weight, keeps_rewards=False):
    """Read events that lie on disk.

    Parameters
    ----------
    tables : TableRecipe
    X : path, pyarrow Dataset or polars LazyFrame
    y, sample_weight : str or None
        Names of columns of X.
    keeps_rewards : bool, default=False
        As of `EventTable.of`.

    Returns
    -------
    schema : TableSchema
    users, items : Entities
    contexts : EventContexts or None
    table : EventTable
    """
    with opened(X, written_once) as source:
        outcomes = outcome_columns(source, y=y, sample_weight=sample_weight)
        frame = source.empty.drop(columns=list(outcomes.values()))
        if frame.shape[1] < 2:
            raise ValueError(
                f"X has {frame.shape[1]} columns, but a user column and an item column "
                "are required."
            )
        columns = Columns(frame, tables, named=True)
        if columns.item_context:
            name = columns.item_context[0]
            raise ValueError(
                f"context names {name!r}, a column of items, which events on disk "
                f"cannot look up. Join items to the events, so that {name!r} is a "
                "column of X."
            )
        _select(source, columns, outcomes)
        outcomes = _check_outcomes(source, warns_of_tail=not keeps_rewards)
        _check_ids(source, frame)
        users, of_users, sizes = _side(source, "user", columns, tables)
        items, of_items, _ = _side(source, "item", columns, tables)
        contexts, of_contexts = _contexts(source, columns, tables)
        own = own_users(users.ids)
        sizes[~own] = 0
        of_users = of_users.filter(own[of_users["code"].to_numpy()])
        codes = of_users, of_items, of_contexts
        kind = _time_kind(source, columns, tables.time_unit)
        read = _sorted_columns(source, columns, codes, outcomes, kind, keeps_rewards)
        found, kind = read
        check_division(len(found["items"]), len(users))  # all have read the files
    table = EventTable(len(items), np.append(0, np.cumsum(sizes)), **found)
    names = frame.columns.to_numpy(dtype=object)
    library = library_of(X)
    context = tuple(columns.context)
    schema = TableSchema(frame.shape[1], names, library=library, context=context)
    if columns.time is not None:
        schema = schema.with_time(frame, columns.time, kind)
    return schema, users, items, contexts, table


def _select(source, columns, outcomes):
    """Choose the columns to read, under the names that queries use."""
    chosen = {USER: columns.user, ITEM: columns.item, TIME: columns.time}
    chosen |= {"y": outcomes.get("y"), "w": outcomes.get("sample_weight")}
    for name in ("user_features", "item_features", "context"):
        chosen |= _aliases(columns, name)
    source.refuse_durations(columns.context)
    source.select(**{alias: c for alias, c in chosen.items() if c is not None})


def _aliases(columns, kind):
    """Return columns of a kind by their names in queries, a dict."""
    return {f"{kind}_{i}": name for i, name in enumerate(getattr(columns, kind))}


def _kept(source, part=""):
    """Return the condition of the events that count, and another one."""
    weighs = ""
    if "w" in source.columns:
        weighs = f"{WEIGHT} > 0"
    found = " and ".join(filter(None, [weighs, part]))
    return found and f" where {found}"


def _check_outcomes(source, warns_of_tail):
    """Check rewards and weights; return an ``Outcome`` for each that X has, a dict.

    ``warns_of_tail``: whether a warning says that a few rewards outweigh all others.
    """
    given = {"y": (REWARD, "y"), "w": (WEIGHT, "sample_weight")}
    given = {name: pair for name, pair in given.items() if name in source.columns}
    if not given:
        return {}
    positive = " and ".join(f"{sql} > 0" for sql, _ in given.values())
    figures = [f"count_if({positive}) as n_positive"]
    for name, (sql, _) in given.items():
        figures.append(f"count_if(not coalesce(isfinite({sql}), false)) as bad_{name}")
        figures.append(f"min({sql}) as min_{name}, max({sql}) as max_{name}")
    sql = f"select {', '.join(figures)} from events"
    found = from_first(lambda: source.query(sql).to_pylist()[0])
    outcomes = {}
    for name, (_, parameter) in given.items():
        what = f"{parameter}, the column {source.columns[name]!r} of X,"
        figures = (found[f"{each}_{name}"] or 0 for each in ("bad", "min", "max"))
        outcomes[name] = Outcome(what, *figures)
    check_outcomes(outcomes.values(), found["n_positive"])
    if "y" in outcomes:
        sql = f"select {REWARD} as y from events{_kept(source)} limit {N_ROWS}"
        rewards = from_first(lambda: source.query(sql)["y"].to_numpy())
        warn_of_ratings(rewards)
        if warns_of_tail:
            warn_of_heavy_tail(rewards)
    return outcomes


def _check_ids(source, frame):
    """Check that there are events, and that none lacks an id or a time."""
    names = {a: source.columns[a] for a in NAMES if a in source.columns}
    missing = {alias: f"{alias} is null" for alias in names}
    for alias, name in names.items():
        if frame[name].dtype.kind == "f":
            missing[alias] = f"({alias} is null or isnan({alias}))"
    counts = [f"count_if({sql}) as {alias}" for alias, sql in missing.items()]
    sql = f"select count(*) as n, {', '.join(counts)} from events{_kept(source)}"
    found = from_first(lambda: source.query(sql).to_pylist()[0])
    if not found["n"]:
        raise ValueError("X holds no events: at least one is required.")
    for alias, name in names.items():
        if found[alias]:
            path = source.file_where(missing[alias])
            where = ""
            if path is not None:
                where = f" The first is in {path}."
            refuse = refuse_gaps if alias == TIME else refuse_missing_ids
            refuse(NAMES[alias].format(name), found[alias], found["n"], where)


def _side(source, side, columns, tables):
    """Return the ``Entities`` of a side, their codes by id and their numbers of events.

    Codes are an Arrow table of ids and positions; numbers are int64 (n,).
    """
    alias = {"user": USER, "item": ITEM}[side]
    id_column = getattr(columns, side)
    features = _aliases(columns, f"{side}_features")
    answer = of_own_part(
        lambda part: source.query(_distinct(source, alias, features, part)), [alias]
    )
    frame = as_frame(answer.select(["id", *features]), "X")
    frame = frame.set_axis([id_column, *features.values()], axis="columns")
    entities, codes = fit_side(tables, columns, side, frame)
    if features:
        n_changed = int(answer["changed"].to_numpy().sum())
        if n_changed:
            warn_of_changes(n_changed, len(entities), f"column {id_column!r}")
    sizes = np.zeros(len(entities), dtype=np.int64)
    sizes[codes] = answer["n"].to_numpy()
    return entities, _with_codes(answer.select(["id"]), codes), sizes


def _distinct(source, alias, features, part):
    """Return the query of distinct ids, with the features of their last event.

    ``part``: a condition of the ids, or "".
    """
    kept = _kept(source, part)
    counts = f"select {alias} as id, count(*) as n"
    if not features:
        return f"{counts} from events{kept} group by {alias}"
    last = ", ".join(f"{name} := {name}" for name in features)
    changed = " or ".join(
        f"count(distinct {name}) + max(({name} is null)::int) > 1" for name in features
    )
    last = f"unnest(arg_max(struct_pack({last}), place))"
    found = f"{counts}, ({changed})::int as changed, {last}"
    return f"{found} from {PLACED}{kept} group by {alias}"


def _contexts(source, columns, tables):
    """Return the ``EventContexts``, and the codes of distinct contexts.

    Codes are an Arrow table of contexts and their rows among the distinct ones. Both
    are None without context; codes are also if it is only the time.
    """
    aliases = list(_aliases(columns, "context"))
    if not aliases:
        return read_contexts(tables, columns, source.empty)
    # in the order of X, as in memory
    names = ", ".join(aliases)
    sql = f"select {names}, count(*) as n, min(place) as first from {PLACED}"
    answer = of_own_part(
        lambda part: source.query(f"{sql}{_kept(source, part)} group by {names}"),
        aliases,
    ).sort_by("first")
    found = answer.select(aliases)
    frame = as_frame(found, "X").set_axis(columns.context, axis="columns")
    distinct, codes, _ = distinct_contexts(frame)  # for which NaN and null are equal
    counts = np.bincount(codes, answer["n"].to_numpy(), len(distinct)).astype(np.int64)
    contexts, codes = fit_contexts(tables, columns, distinct, codes, counts)
    return contexts, _with_codes(found, codes)


def _with_codes(table, codes):
    """Return an Arrow table (n_rows, n_columns) with a column of codes (n_rows,)."""
    codes = import_module("pyarrow").array(codes.astype(np.int32))
    return table.append_column("code", codes)


def _time_kind(source, columns, time_unit):
    """Return the ``TimeKind`` of times that are numbers, or None."""
    is_number = columns.time is not None
    is_number = is_number and source.empty[columns.time].dtype.kind in "iuf"
    if not is_number:
        return None
    name = NAMES[TIME].format(columns.time)
    is_day = f"{TIME} between {FIRST_DAY} and {LAST_DAY} and {TIME} % 100 between 1 "
    is_day += f"and 31 and floor({TIME} / 100) % 100 between 1 and 12"
    counts = [f"count_if({is_day}) as days"]
    for unit in RECOGNIZED:
        low, high = limits_of(unit)
        counts.append(f"count_if({TIME} >= {low} and {TIME} < {high}) as in_{unit}")
    sql = f"select count(*) as n, min({TIME}) as first, max({TIME}) as last, "
    sql += f"{', '.join(counts)} from events{_kept(source)}"
    found = from_first(lambda: source.query(sql).to_pylist()[0])
    in_unit = {unit: found[f"in_{unit}"] for unit in RECOGNIZED}
    totals = found["n"], found["first"], found["last"], found["days"]
    return kind_of_numbers(NumberFigures(*totals, in_unit), time_unit, name)


def _sorted_columns(source, columns, codes, outcomes, kind, keeps_rewards):
    """Return the columns of an ``EventTable``, a dict, and the kind of times.

    ``codes``: Arrow tables of the ids and positions of users and of items, and that of
    `_contexts`. ``kind``: that of times that are numbers, or None.
    """
    given = {}
    if columns.time is not None:
        given = {"times": TIME}
    if "y" in outcomes:
        given["chosen"] = f"{REWARD} > 0"
    given["items"] = "b.code"
    if outcomes:
        given["weights"] = _weight(outcomes)
    if keeps_rewards and "y" in outcomes:
        given["rewards"] = _scaled("y", outcomes["y"].exponent)
    tables = {"users": codes[0], "items": codes[1]}
    joined = ""
    if codes[2] is not None:
        tables["contexts"] = codes[2]
        given["contexts"] = "c.code"
        names = _aliases(columns, "context")
        same = (f"events.{name} is not distinct from c.{name}" for name in names)
        joined = f" join contexts as c on {' and '.join(same)}"
    # equal rows come in any order, all others in one that does not depend on threads
    sql = (
        f"select {', '.join(f'{sql} as {name}' for name, sql in given.items())} "
        f"from events join users as a on {USER} = a.id join items as b on {ITEM} = b.id"
        f"{joined}{_kept(source)} order by a.code, {', '.join(given.values())}"
    )
    found = {name: Column(on_disk=True) for name in given}
    for batch in source.query(sql, True, **tables):
        for name, column in found.items():
            if name == "times":
                values = as_frame(batch.select([name]), "X")[name]
                values, dates = read_times(
                    values, NAMES[TIME].format(columns.time), kind
                )
                if kind is None:
                    kind = TimeKind(dates)
            else:
                values = batch.column(name).to_numpy(zero_copy_only=False)
            if name == "weights":
                refuse_vanished(values == 0)
            column.append(values)
    found = {name: column.finish() for name, column in found.items()}
    if "chosen" in found and found["chosen"].all():
        del found["chosen"]
    if "times" in found and len(found["times"]):
        limits = found["times"].min(), found["times"].max()
        say_times(*limits, kind, NAMES[TIME].format(columns.time))
    return found, TimeKind(False) if kind is None else kind


def _weight(outcomes):
    """Return the expression of the weights of an ``EventTable``.

    They are exactly those in memory: the heaviest of equal events has the last word.
    """
    scaled = {name: _scaled(name, outcomes[name].exponent) for name in outcomes}
    weight = scaled.get("w", "1.0::double")
    if "y" not in scaled:
        return weight
    return f"case when {REWARD} > 0 then {scaled['y']} * {weight} else {weight} end"


def _scaled(name, exponent):
    """Return rewards or weights times a power of two, as of ``Outcome``."""
    sql = {"y": REWARD, "w": WEIGHT}[name]
    half = exponent // 2
    if not exponent:
        return sql
    # in two steps, as the power itself may be no double
    powers = (f"{2.0**part!r}::double" for part in (half, exponent - half))
    return f"({' * '.join([sql, *powers])})"
