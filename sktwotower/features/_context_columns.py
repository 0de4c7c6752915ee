"""Columns of the context of requests, without their encoding.

Input: a table of the context columns (n, n_columns), one row for each event; a fitted
transformer of them, and a clock of the time.
Output: distinct rows (n_distinct, n_columns), so that each is encoded only once; a
transformer without columns that say nothing of later requests; names and positions of
features, and errors of what a request names.
"""

import copy
from math import ceil

import numpy as np
import pandas as pd

from sktwotower._records._reading import object_array
from sktwotower._tables._frames import array_as_frame, is_missing
from sktwotower._tables._messages import refuse_misspelled, warn
from sktwotower.runtime._context_cells import StoredContext

from ._cells import SPARSE, factorize, is_refused
from ._transformers import Described, blocks_of, without_entries

MAX_KEY = 2**62  # of int64


def distinct_contexts(table):
    """Return the distinct rows of a table, and which of them each row is.

    Parameters
    ----------
    table : DataFrame of shape (n, n_columns)
        Cells may be of any type, also lists, dicts and arrays.

    Returns
    -------
    distinct : DataFrame of shape (n_distinct, n_columns)
        The first row has only missing cells, even if no row of the table does; the
        others are in the order of the table. As no integer and no boolean is missing,
        such columns become objects.
    codes : int32 array of shape (n,)
        The distinct row that each row equals; 0 if all cells are missing.
    counts : int64 array of shape (n_distinct,)
        How many rows of the table each is.
    """
    codes = pd.factorize(_keys(table))[0].astype(np.int32)
    first = np.flatnonzero(~pd.Series(codes).duplicated())
    codes = codes[1:]
    counts = np.bincount(codes, minlength=len(first)).astype(np.int64)
    return _with_missing_row(table.iloc[first[1:] - 1]), codes, counts


def _keys(table):
    """Return a number (1 + n,) for a missing row, and for each row: equal if rows are.

    That of a row whose cells are all missing is the first one, 0.
    """
    keys = np.zeros(1 + len(table), dtype=np.int64)
    n_keys = 1
    for position, name in enumerate(table.columns):
        codes, n_levels = _codes(table.iloc[:, position], name)
        if n_keys * (n_levels + 1) > MAX_KEY:
            keys, levels = pd.factorize(keys)
            n_keys = len(levels)
        keys *= n_levels + 1
        keys[1:] += codes + 1
        n_keys *= n_levels + 1
    return keys


def _codes(column, name):
    """Return the code (n,) of each cell, -1 for missing ones, and their number."""
    try:
        codes, levels = pd.factorize(column)
    except (NotImplementedError, TypeError):  # lists have no hash
        cells = column.to_numpy(dtype=object)
        known = ~is_missing(cells, f"Column {name!r}")
        codes = np.full(len(cells), -1)
        codes[known], levels = factorize(map(_hashable, cells[known]))
    return codes, len(levels)


def _hashable(cell):
    """Return a key of a dict that is equal for equal cells of one type."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, list | tuple):
        return type(cell), *map(_hashable, cell)
    if isinstance(cell, dict):
        return dict, *((key, _hashable(value)) for key, value in cell.items())
    if isinstance(cell, set):
        return frozenset(cell)
    if isinstance(cell, SPARSE):
        return cell.shape, frozenset(cell.todok().items())
    if is_refused(cell, hash):
        return id(cell)
    return cell


def _with_missing_row(table):
    """Return a table (1 + n, n_columns) with a row of missing cells before the others.

    Otherwise integers would become floats then, and other kinds of columns.
    """
    plain = {c: object for c, dtype in table.dtypes.items() if dtype.kind in "biu"}
    table = table.reset_index(drop=True).astype(plain)
    return table.reindex(np.arange(-1, len(table))).reset_index(drop=True)


def without_marks(vectorizer, columns, shares):
    """Return a TowerVectorizer that has no entries for missing and for rare cells.

    They would be known to training only: later, a context that is unknown and a level
    that fit has not seen have no entries either. Warn of ``columns`` that say nothing.
    ``shares`` (n_columns,): that of the events in which each is missing.
    """
    vectorizer = copy.copy(vectorizer)
    forced = vectorizer.kinds or {}
    kinds = dict(vectorizer.kinds_)
    encoders = []
    for position, encoder in vectorizer.encoders_:
        finding = None
        if encoder.name not in forced:
            finding = _finding(encoder)
        if finding is None:
            encoders.append((position, _without_mark(encoder)))
            continue
        kinds[encoder.name] = "drop"
        column = columns[position]
        levels = encoder.columns
        are_numbers = all(isinstance(level, int | float) for level in levels)
        other = "number" if len(levels) and are_numbers else "text"
        warn(
            f"The context column {column!r} has {finding}, so that no value says "
            "anything of a later request; it is left out. Bin it, or set its kind: "
            f"TowerVectorizer(kinds={{{encoder.name!r}: {other!r}}})."
        )
    vectorizer._shares_missing = shares
    names_and_kinds = vectorizer.kinds_.items()
    for column, share, (name, kind) in zip(
        columns, shares, names_and_kinds, strict=True
    ):
        if kind == "drop" and name not in forced:
            state = "missing in all events" if share == 1 else "constant"
            warn(f"The context column {column!r} is {state}: it says nothing.")
    vectorizer.kinds_ = kinds
    vectorizer.encoders_ = encoders
    return vectorizer


def _finding(encoder):
    """Return why nothing can be learnt from the column of an encoder, or None."""
    if encoder.kind == "id":
        return "as many values as rows"
    if encoder.kind == "category":
        n_levels = encoder.n_names
        if encoder.other >= 0:  # one is that of all rare levels
            n_levels -= 1
        if n_levels == 0:
            n_rows = ceil(encoder.settings.min_count)
            return f"no value that {n_rows} rows share"
    return None


def _without_mark(encoder):
    """Return an encoder without the columns of missing cells and of rare levels."""
    encoder = copy.copy(encoder)
    if encoder.marks_missing:
        encoder.marks_missing = False
        encoder.names = encoder.names[:-1]
    if encoder.kind == "category" and encoder.other >= 0:
        encoder.names = encoder.names[: encoder.other]
        encoder.other = -1
    return encoder


class ContextColumns(Described, StoredContext):
    """The part of a `RequestContext`, whose fields it reads, that encodes nothing."""

    @property
    def sees_gaps(self):
        """Return whether the time since the user's last event is a feature."""
        return self.clock is not None and len(self.clock.knots) > 0

    @property
    def reach(self):
        """Return that of the clock; 0 without one."""
        if self.clock is None:
            return 0.0
        return self.clock.reach

    def of_mapping(self, mapping, columns=(), name="X"):
        """Return the context of one request as a table (1, n_given).

        ``mapping``: the parameter ``context``, names of columns to cells; a list is one
        cell. ``columns``: those that the table ``name`` of requests has already.
        """
        self.check_mapping(mapping)
        for key in mapping:
            if key in columns:
                raise ValueError(
                    f"context names {key!r}, which is also a column of {name}. Pass "
                    "it once: as a column, or as one value for all."
                )
        cells = {key: object_array([cell]) for key, cell in mapping.items()}
        return array_as_frame(cells, "context").reindex([0])

    def columns_among(self, columns, known, name):
        """Return the columns of the context that a request has, a list.

        Raise if another one has almost the name of such a column that it lacks.
        ``columns``: those of the request. ``known``: further names that it may have.
        ``name``: what errors call the request.
        """
        given = [column for column in self.all_columns if column in columns]
        lacking = [column for column in self.all_columns if column not in columns]
        others = [c for c in columns if c not in known and c not in given]
        refuse_misspelled(others, lacking, "context column", name)
        return given

    def feature_names(self):
        """Return the name of each feature column, a list, or None if there are none."""
        names = []
        if self.own_width:
            names = super().feature_names()
        if names is None or self.clock is None:
            return names
        return names + self.clock.names(self.time)

    def columns_out(self):
        """Return which feature columns come from which columns without the time.

        A list of pairs: names, a list, and positions of features, an int array. Each
        column is in a pair of its own unless the transformer mixes them.
        """
        features = np.arange(self.own_width)
        blocks = []
        if self.transformer is not None:
            blocks = blocks_of(self.transformer)
        if blocks is None:
            return [(self.columns, features)]
        features_of = {column: [np.zeros(0, dtype=int)] for column in self.columns}
        for inputs, outputs in blocks:
            if len(inputs) > 1 and len(features[outputs]):
                return [(self.columns, features)]
            features_of[self.columns[inputs[0]]].append(features[outputs])
        return [
            ([column], np.concatenate(features_of[column])) for column in features_of
        ]

    def holds_lists(self, names):
        """Return whether some columns without the time are one that holds lists."""
        kinds = getattr(self.transformer, "kinds_", None)
        if len(names) != 1 or not kinds:
            return False
        return list(kinds.values())[self.columns.index(names[0])] == "list"

    def removable(self):
        """Return columns that can be removed without the others, a dict of lists.

        Each is alone, under its own name, unless the transformer mixes columns. Then
        they are together, as "context".
        """
        removable = {}
        for names, _ in self.columns_out():
            name = names[0] if len(names) == 1 else self.side
            removable[name] = names
        if self.time is not None:
            removable[self.time] = [self.time]
        return removable

    def blocks(self):
        """Return the positions of features that belong together, int arrays.

        They are those of each column, or of all if the transformer mixes them, and of
        the hour, the weekday and the month. Those of the gap are in none.
        """
        blocks = [places for _, places in self.columns_out()]
        if self.clock is not None:
            blocks += [self.own_width + part for part in self.clock.parts()]
        return [block for block in blocks if len(block)]

    def without_columns(self, rows, columns):
        """Return feature rows, CSR (n, width), without the entries of some columns.

        If there are none, the rows themselves are returned.
        """
        is_dropped = np.zeros(self.width, dtype=bool)
        is_dropped[self.own_width :] = self.time in columns
        for names, features in self.columns_out():
            of_block = [column for column in columns if column in names]
            if set(of_block) == set(names):
                is_dropped[features] = True
            elif of_block:
                raise ValueError(
                    f"Cannot remove {of_block[0]!r} from the context: "
                    "context_transformer does not encode each column on its own. "
                    "Use TowerVectorizer or ColumnTransformer."
                )
        return without_entries(rows, is_dropped[rows.indices])
