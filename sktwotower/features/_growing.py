"""Users or items with those of further events, and columns for what comes after fit.

Input: ``Entities`` and a table of events (n_events, n_columns); a fitted transformer.
Output: ``Entities`` with new ones last; a transformer with more columns if it is a
``TowerVectorizer``, and where those of before are now, positions (p,).
"""

import copy
from dataclasses import replace

import numpy as np
from scipy import sparse

from sktwotower._tables._columns import latest_rows
from sktwotower._tables._ids import as_type_of, check_ids, positions_of

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
    had, has = entities.table is not None, table is not None
    if had and has and table is not entities.table:
        own = entities.own[entities.features] if entities.features else None
        updated = replace(updated, own=own)  # without what the table says anew
        listed = updated.side_table().index
        listed = listed[positions_of(listed, known) < 0]
        known = known.append(as_type_of(listed, known, f"{entities.side}s"))
    codes = known.get_indexer(ids)
    transformer, places, fresh = _with_ids(entities, ids.unique())
    width = entities.width + len(fresh)
    updated = replace(updated, ids=known, transformer=transformer, width=width)
    read = codes if entities.features else known.get_indexer(fresh)
    changed = np.union1d(read, np.arange(len(entities.ids), len(known)))
    if len(changed):
        updated, places = _with_changed(updated, changed, places, frame, codes)
    return updated, codes, (places, updated.width), changed


def _with_changed(updated, changed, places, frame, codes):
    """Return entities with feature rows that are computed again where they changed.

    Their new levels and words get columns. ``places`` (p,): the positions of the
    feature columns so far; they are returned as well, as they are then.
    """
    kept = np.isin(codes, changed)
    own, codes = frame[updated.features][kept], np.searchsorted(changed, codes[kept])
    own = latest_rows(own, codes, len(changed), f"column {updated.label!r}")
    old = updated.rows
    updated, moved, rows = updated.describe_anew(changed, own)
    places = moved[places]
    arrays = old.data, places[old.indices], old.indptr
    before = sparse.csr_matrix(arrays, shape=(old.shape[0], updated.width))
    source = np.append(np.arange(len(updated.ids)), old.shape[0] - 1)
    source[changed] = old.shape[0] + np.arange(len(changed))
    rows = sparse.vstack([before, rows], format="csr")[source]
    return replace(updated, rows=rows), places


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
    transformer, column = entities.transformer, entities.id_column
    if not isinstance(transformer, TowerVectorizer):
        return transformer, np.arange(entities.width), ids[:0]
    cells, _ = read_cells(ids.to_series(), column)
    fresh = np.zeros(len(ids), dtype=bool)

    def extended(position, encoder):
        nonlocal fresh
        if encoder.kind == "id" and encoder.name == column:
            encoder, fresh = encoder.extended(cells)
        return encoder

    transformer, places, _ = _with_grown(transformer, extended)
    return transformer, places, ids[fresh]


def with_keys(described, width, table):
    """Return a transformer with a column for each level, tag and word of a table.

    Those that ``min_frequency`` rows have get one, up to ``max_features``; none if
    there are hashed columns for them. ``described``: the ``Described`` that it is of.
    ``width`` and the first two results are those of `_with_ids`; the third one is the
    number of columns now.
    """
    if not isinstance(described.transformer, TowerVectorizer):
        return described.transformer, np.arange(width), width

    def with_frequent(position, encoder):
        takes = isinstance(encoder, VocabularyEncoder) and encoder.kind != "id"
        if not takes or encoder.n_hashed:
            return encoder
        cells, _ = read_cells(table.iloc[:, position], encoder.name)
        return encoder.grown(cells) if len(cells) else encoder

    with described.explained(table):
        return _with_grown(described.transformer, with_frequent)


def _with_grown(vectorizer, grow):
    """Return a vectorizer whose encoders are ``grow(position, encoder)``, and the rest.

    That is what `with_keys` returns. New columns follow the other keys of an encoder.
    """
    vectorizer, start = copy.copy(vectorizer), 0
    encoders, places = [], [np.zeros(0, dtype=int)]
    for position, before in vectorizer.encoders_:
        encoder = grow(position, before)
        own = start + np.arange(len(before.names))
        if encoder is not before:
            own[len(before.columns) :] += len(encoder.columns) - len(before.columns)
        places.append(own)
        encoders.append((position, encoder))
        start += len(encoder.names)
    vectorizer.encoders_ = encoders
    return vectorizer, np.concatenate(places), start
