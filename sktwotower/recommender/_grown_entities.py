"""Users or items with those of further events.

Input: ``Entities``, and a table of events (n_events, n_columns).
Output: ``Entities`` with new ones last.
"""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._events import latest_rows
from sktwotower._tables._ids import as_type_of, check_ids, positions_of
from sktwotower.features import TowerVectorizer
from sktwotower.features._cells import read_cells

__all__ = ["grown"]


def grown(entities, frame, table):
    """Return entities that include the ids and features of further events.

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
    unknown = positions_of(ids, entities.ids) < 0
    new = ids[unknown].unique().sort_values()
    known = entities.ids.append(as_type_of(new, entities.ids, label))
    codes = known.get_indexer(ids)
    transformer, places, fresh = _with_ids(entities, ids.unique())
    updated = replace(
        entities,
        table=table,
        ids=known,
        transformer=transformer,
        width=entities.width + len(fresh),
    )
    changed = np.zeros(len(known), dtype=bool)
    changed[known.get_indexer(fresh)] = True
    changed[len(entities.ids) :] = True
    if entities.features:
        changed[codes] = True
    changed = np.flatnonzero(changed)
    if len(changed):
        rows = _with_changed(updated, changed, places, frame, codes)
        updated = replace(updated, rows=rows)
    return updated, codes, (places, updated.width), changed


def _with_ids(entities, ids):
    """Return the transformer with a column for each id, if it is a TowerVectorizer.

    Also return the new positions of the columns so far, and the ids that got a column.
    """
    transformer, places = entities.transformer, np.arange(entities.rows.shape[1])
    if not isinstance(transformer, TowerVectorizer):
        return transformer, places, ids[:0]
    transformer = copy.copy(transformer)
    transformer.encoders_, start = [], 0
    cells, _ = read_cells(ids.to_series(), entities.id_column)
    fresh = np.zeros(len(ids), dtype=bool)
    for position, encoder in entities.transformer.encoders_:
        start += len(encoder.names)
        if encoder.kind == "id" and encoder.name == entities.id_column:
            encoder, fresh = encoder.extended(cells)
            places[start:] += fresh.sum()
        transformer.encoders_.append((position, encoder))
    return transformer, places, ids[fresh]


def _with_changed(updated, changed, places, frame, codes):
    """Return feature rows (n + 1, p), with those that changed computed again."""
    own = frame[updated.features]
    if updated.features:  # then exactly the entities of X have changed
        places_of_codes = np.searchsorted(changed, codes)
        own = latest_rows(
            own, places_of_codes, len(changed), f"column {updated.label!r}"
        )
    else:
        own = pd.DataFrame(index=range(len(changed)))
    rows = updated.describe_anew(changed, own)
    n, old = len(updated.ids), updated.rows[:-1].tocoo()
    width = rows.shape[1] if len(changed) else old.shape[1]
    before = sparse.csr_matrix(
        (old.data, (old.row, places[old.col])), shape=(n + 1, width), dtype=np.float32
    )
    source = np.arange(n + 1)
    source[changed] = n + 1 + np.arange(len(changed))
    return sparse.vstack([before, rows], format="csr")[source]
