"""Users or items that are removed from what fit has learnt of them.

Input: ``Entities`` of n, and which of them to forget.
Output: ``Entities`` of the others, and which feature columns are left.
"""

import copy
from dataclasses import replace

import narwhals as nw
import numpy as np
import pandas as pd

from sktwotower._tables._frames import LEVELS, as_frame, as_known
from sktwotower._tables._ids import check_ids, positions_of
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import have_entries

from ._key_encoders import VocabularyEncoder
from ._tower_vectorizer import TowerVectorizer


def without_entities(entities, gone):
    """Return entities without those where ``gone`` (n,), and the columns (p,) left.

    Their ids, feature rows and rows of the side table go, and so do the columns of ids,
    levels, tags and words that none of the others has.
    """
    kept, (unused, rows) = np.flatnonzero(~gone), unused_columns(entities.rows, gone)
    what = f"ids or features of the {entities.side}s"
    transformer, columns = without_keys(entities, unused, what)
    left = replace(
        entities,
        ids=entities.ids[kept],
        rows=rows[:, np.flatnonzero(columns)],
        width=int(columns.sum()),
        table=without_rows(
            entities.table, entities.label, entities.ids[gone], f"{entities.side}s"
        ),
        transformer=transformer,
        own=None
        if entities.own is None
        else _without_levels(entities.own[~gone].reset_index(drop=True)),
    )
    return left, columns


def unused_columns(matrix, gone):
    """Return which columns (p,) only rows where ``gone`` (n,) have, and other rows.

    ``matrix``: CSR (n + 1, p), whose last row is empty, and stays.
    """
    rows = matrix[np.append(np.flatnonzero(~gone), len(gone))]
    theirs = have_entries(matrix[np.flatnonzero(gone)], axis=0)
    return theirs & ~have_entries(rows, axis=0), rows


def without_keys(described, unused, what):
    """Return a transformer without the keys of unused columns, and what is left (p,).

    ``described``: the ``Described`` that it is of. ``unused`` (p,): output columns that
    no row has any more. Columns that are not keys, such as numbers, stay. Warn if it is
    not a ``TowerVectorizer``: it may hold ``what`` was forgotten.
    """
    vectorizer, left = described.transformer, np.ones(len(unused), dtype=bool)
    if not isinstance(vectorizer, TowerVectorizer):
        if len(unused):
            warn(
                f"{described.side}_transformer is a {type(vectorizer).__name__}, which "
                f"may hold {what} that were forgotten: it is not changed. Fit anew "
                "without them, or use a TowerVectorizer."
            )
        return vectorizer, left
    vectorizer, encoders, start = copy.copy(vectorizer), [], 0
    for position, encoder in vectorizer.encoders_:
        stop = start + len(encoder.names)
        if isinstance(encoder, VocabularyEncoder):
            n_keys = len(encoder.columns)
            left[start : start + n_keys] = ~unused[start : start + n_keys]
            encoder = encoder.restricted(left[start:stop])
        encoders.append((position, encoder))
        start = stop
    vectorizer.encoders_ = encoders
    return vectorizer, left


def parameter_without(given, before, after, gone):
    """Return a side table, a parameter, without the rows of ids where ``gone`` (n,).

    ``before``, ``after``: ``Entities`` with and without them, which may share it.
    """
    if given is before.table:
        return after.table
    return without_rows(given, before.label, before.ids[gone], f"{before.side}s")


def without_rows(table, label, ids, name="users"):
    """Return a table of any library without the rows of some ids; None stays None.

    ``label``: the column of ids; a table without it has them in its first column. The
    levels of other columns go, too, if no row has them any more. ``name``: what errors
    call the table.
    """
    if table is None:
        return None
    frame = as_frame(table, name)
    column = label if label in frame.columns else frame.columns[0]
    kept = positions_of(check_ids(frame[column], column), ids) < 0
    if isinstance(table, pd.DataFrame):
        return _without_levels(table[kept])
    rows = nw.from_native(as_known(table), eager_only=True)
    return _copied(rows.filter(kept.tolist()))


def _without_levels(table):
    """Return a table of pandas without ``attrs``, and without levels that no row has.

    The index keeps none either.
    """
    types = {}
    for name, dtype in table.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            types[name] = table[name].cat.remove_unused_categories().dtype
        elif str(dtype).startswith("dictionary"):  # of pyarrow, which keeps all levels
            types[name] = pd.ArrowDtype(dtype.pyarrow_dtype.value_type)
    table = table.astype(types).set_axis(_without_unused(table.index), axis="index")
    table.attrs = {}  # they may hold anything
    return table


def _without_unused(index):
    """Return an index of pandas without levels that none of its entries has."""
    if isinstance(index, pd.CategoricalIndex):
        return index.remove_unused_categories()
    if isinstance(index, pd.MultiIndex):
        return pd.MultiIndex.from_tuples(index, names=index.names)
    return index


def _copied(rows):
    """Return a filtered table of narwhals as a native one that holds no other rows.

    A frame of polars shares the text of the frame it was filtered from, and levels are
    kept even if no row has them.
    """
    levels = [name for name in rows.columns if isinstance(rows[name].dtype, LEVELS)]
    rows = rows.with_columns(rows[name].cast(nw.String) for name in levels)
    if rows.implementation.is_polars():
        cells = {name: rows[name].to_list() for name in rows.columns}
        rows = nw.from_dict(cells, rows.schema, backend=rows.implementation)
    return rows.to_native()
