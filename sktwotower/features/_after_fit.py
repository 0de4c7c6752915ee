"""What fit has learnt of users and items as it changes: some join, some are forgotten.

Input: ``Entities`` of n, and a table of events (n_events, n_columns), or which of them
to forget.
Output: ``Entities`` with new ones last, or of the others; where the feature columns so
far are now, positions (p,), or which of them are left. Only a ``TowerVectorizer`` gets
further columns, or fewer.
"""

import copy
from dataclasses import replace

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._columns import latest_rows
from sktwotower._tables._frames import LEVELS, as_frame, as_known
from sktwotower._tables._ids import as_type_of, check_ids, positions_of
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import have_entries

from ._cells import read_cells
from ._key_encoders import VocabularyEncoder
from ._tower_vectorizer import TowerVectorizer


def grown(entities, frame, table):
    """Return entities that include the ids and features of further events.

    Those that only a new side table has join without a column for their id.

    Parameters
    ----------
    entities : Entities
    frame : DataFrame of shape (n_events, n_columns)
        The events.
    table : dataframe or None
        The side table now.

    Returns
    -------
    grown : Entities
    codes : int array of shape (n_events,)
        Position of each event's user or item.
    inputs : tuple
        The new positions (p,) of the feature columns so far, and their number now.
    changed : int array of shape (m,)
        Positions of the entities that are new, or whose features were read again.
    """
    label = f"{entities.side} column {entities.label!r}"
    ids = check_ids(frame[entities.id_column], label)
    new = ids[positions_of(ids, entities.ids) < 0].unique().sort_values()
    known = entities.ids.append(as_type_of(new, entities.ids, label))
    updated = replace(entities, table=table)
    if entities.table is not None and table is not None and table is not entities.table:
        updated = entities.with_side_table(table)
        listed = updated.side_table().index
        listed = listed[positions_of(listed, known) < 0]
        known = known.append(as_type_of(listed, known, f"{entities.side}s"))
    codes = known.get_indexer(ids)
    transformer, places, fresh = _with_ids(entities, ids.unique())
    width = entities.width + len(fresh)
    updated = replace(updated, ids=known, transformer=transformer, width=width)
    if entities.features:
        described = codes
    else:
        described = known.get_indexer(fresh)
    joined = np.arange(len(entities.ids), len(known))
    changed = np.union1d(described, joined)
    if len(changed):
        updated, places = _with_changed(updated, changed, places, frame, codes)
    return updated, codes, (places, updated.width), changed


def _with_changed(updated, changed, places, frame, codes):
    """Return entities with feature rows that are computed again where they changed.

    Their new levels and words get columns. ``places`` (p,): the positions of the
    feature columns so far; they are returned as well, as they are then.
    """
    is_read = np.isin(codes, changed)
    features = frame[updated.features][is_read]
    numbers = np.searchsorted(changed, codes[is_read])
    name = f"column {updated.label!r}"
    features = latest_rows(features, numbers, len(changed), name)
    old = updated.rows
    updated, moved, rows_of_changed = updated.describe_anew(changed, features)
    places = moved[places]
    arrays = (old.data, places[old.indices], old.indptr)
    moved_rows = sparse.csr_matrix(arrays, shape=(old.shape[0], updated.width))
    rows = sparse.vstack([moved_rows, rows_of_changed], format="csr")
    # the empty row stays the last one
    source = np.append(np.arange(len(updated.ids)), old.shape[0] - 1)
    source[changed] = old.shape[0] + np.arange(len(changed))
    return replace(updated, rows=rows[source]), places


def _with_ids(entities, ids):
    """Return the transformer with a column for each of the distinct ids (n,).

    Returns
    -------
    transformer
        The same one if it is not a ``TowerVectorizer``.
    places : int array of shape (p,)
    fresh : Index of shape (m,)
        The ids that got a column.
    """
    fresh = np.zeros(len(ids), dtype=bool)

    def extended(position, encoder):
        nonlocal fresh
        if encoder.kind == "id" and encoder.name == entities.id_column:
            cells, _ = read_cells(ids.to_series(), encoder.name)
            encoder, fresh = encoder.extended(cells)
        return encoder

    transformer, places, _ = _with_grown(entities, extended)
    return transformer, places, ids[fresh]


def with_keys(described, table):
    """Return a transformer with a column for each level, tag and word of a table.

    Those that ``min_frequency`` rows have get one, up to ``max_features``; none if
    there are hashed columns for them. ``described``: the ``Described`` that it is of.
    The first two results are those of `_with_ids`; the third one is the number of
    columns now.
    """

    def with_frequent(position, encoder):
        takes = isinstance(encoder, VocabularyEncoder) and encoder.kind != "id"
        if not takes or encoder.n_hashed:
            return encoder
        cells, _ = read_cells(table.iloc[:, position], encoder.name)
        if len(cells) == 0:
            return encoder
        return encoder.grown(cells)

    with described.explained(table):
        return _with_grown(described, with_frequent)


def _with_grown(described, grow):
    """Return what `with_keys` does, if encoders become ``grow(position, encoder)``.

    New columns follow the other keys of an encoder.
    """
    vectorizer = described.transformer
    if not isinstance(vectorizer, TowerVectorizer):
        return vectorizer, np.arange(described.own_width), described.own_width
    encoders = []
    places = [np.zeros(0, dtype=int)]
    start = 0
    for position, before in vectorizer.encoders_:
        encoder = grow(position, before)
        columns = start + np.arange(len(before.names))
        if encoder is not before:
            n_new = len(encoder.columns) - len(before.columns)
            columns[len(before.columns) :] += n_new
        places.append(columns)
        encoders.append((position, encoder))
        start += len(encoder.names)
    return _with_encoders(vectorizer, encoders), np.concatenate(places), start


def without_entities(entities, gone):
    """Return entities without those where ``gone`` (n,), and the columns (p,) left.

    Their ids, feature rows and rows of the side table go, and so do the columns of ids,
    levels, tags and words that none of the others has.
    """
    name = f"{entities.side}s"
    unused, rows = unused_columns(entities.rows, gone)
    what = f"ids or features of the {name}"
    transformer, columns = without_keys(entities, unused, what)
    table = without_rows(entities.table, entities.label, entities.ids[gone], name)
    features = entities.own
    if features is not None:
        features = _without_levels(features[~gone].reset_index(drop=True))
    left = replace(
        entities,
        ids=entities.ids[~gone],
        table=table,
        transformer=transformer,
        own=features,
        rows=rows[:, np.flatnonzero(columns)],
        width=int(columns.sum()),
    )
    return left, columns


def unused_columns(matrix, gone):
    """Return which columns (p,) only rows where ``gone`` (n,) have, and other rows.

    ``matrix``: CSR (n + 1, p), whose last row is empty, and stays.
    """
    left = np.append(np.flatnonzero(~gone), len(gone))  # with the empty row
    rows = matrix[left]
    is_theirs = have_entries(matrix[np.flatnonzero(gone)], axis=0)
    return is_theirs & ~have_entries(rows, axis=0), rows


def without_keys(described, unused, what):
    """Return a transformer without the keys of unused columns, and what is left (p,).

    ``described``: the ``Described`` that it is of. ``unused`` (p,): output columns that
    no row has any more. Columns that are not keys, such as numbers, stay. Warn if it is
    not a ``TowerVectorizer``: it may hold ``what`` was forgotten.
    """
    vectorizer = described.transformer
    left = np.ones(len(unused), dtype=bool)
    if not isinstance(vectorizer, TowerVectorizer):
        if len(unused):
            warn(
                f"{described.side}_transformer is a {type(vectorizer).__name__}, which "
                f"may hold {what} that were forgotten: it is not changed. Fit anew "
                "without them, or use a TowerVectorizer."
            )
        return vectorizer, left
    encoders = []
    start = 0
    for position, encoder in vectorizer.encoders_:
        stop = start + len(encoder.names)
        if isinstance(encoder, VocabularyEncoder):
            n_keys = len(encoder.columns)
            left[start : start + n_keys] = ~unused[start : start + n_keys]
            encoder = encoder.restricted(left[start:stop])
        encoders.append((position, encoder))
        start = stop
    return _with_encoders(vectorizer, encoders), left


def _with_encoders(vectorizer, encoders):
    """Return a copy of a fitted ``TowerVectorizer`` with other encoders."""
    vectorizer = copy.copy(vectorizer)
    vectorizer.encoders_ = encoders
    return vectorizer


def forget_rows(estimator, before, after, gone):
    """Replace a side table, a parameter, by one without the ids where ``gone`` (n,).

    ``before``, ``after``: ``Entities`` with and without them, which may share it.
    """
    name = f"{before.side}s"
    given = estimator.get_params(deep=False)
    if name in given:
        left = after.table
        if given[name] is not before.table:
            left = without_rows(given[name], before.label, before.ids[gone], name)
        estimator.set_params(**{name: left})


def without_rows(table, label, ids, name="users"):
    """Return a table of any library without the rows of some ids; None stays None.

    ``label``: the column of ids; a table without it has them in its first column. The
    levels of other columns go, too, if no row has them any more. ``name``: what errors
    call the table.
    """
    if table is None:
        return None
    frame = as_frame(table, name)
    column = label
    if label not in frame.columns:
        column = frame.columns[0]
    kept = positions_of(check_ids(frame[column], column), ids) < 0
    if isinstance(table, pd.DataFrame):
        return _without_levels(table[kept])
    rows = nw.from_native(as_known(table), eager_only=True).filter(kept.tolist())
    # levels are kept even if no row has them
    levels = [name for name in rows.columns if isinstance(rows[name].dtype, LEVELS)]
    rows = rows.with_columns(rows[name].cast(nw.String) for name in levels)
    # a frame of polars shares the text of the frame it was filtered from
    if rows.implementation.is_polars():
        cells = {name: rows[name].to_list() for name in rows.columns}
        rows = nw.from_dict(cells, rows.schema, backend=rows.implementation)
    return rows.to_native()


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
    table = table.astype(types)
    row_names = table.index
    if isinstance(row_names, pd.CategoricalIndex):
        table = table.set_axis(row_names.remove_unused_categories(), axis="index")
    elif isinstance(row_names, pd.MultiIndex):
        row_names = pd.MultiIndex.from_tuples(row_names, names=row_names.names)
        table = table.set_axis(row_names, axis="index")
    table.attrs = {}  # they may hold anything
    return table
