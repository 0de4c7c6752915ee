"""Users or items with those of further events.

Input: ``Entities``, and a table of events (n_events, n_columns).
Output: ``Entities`` with new ones last.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._events import latest_rows
from sktwotower._tables._ids import as_type_of, check_ids, positions_of
from sktwotower.features._growing import with_ids

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
    transformer, places, fresh = with_ids(
        entities.transformer, entities.width, entities.id_column, ids.unique()
    )
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
        updated, places = _with_changed(updated, changed, places, frame, codes)
    return updated, codes, (places, updated.width), changed


def _with_changed(updated, changed, places, frame, codes):
    """Return entities with feature rows that are computed again where they changed.

    Their new levels and words get columns. ``places`` (p,): the positions of the
    feature columns so far; they are returned as well, as they are then.
    """
    own = frame[updated.features]
    if updated.features:  # then exactly the entities of X have changed
        places_of_codes = np.searchsorted(changed, codes)
        own = latest_rows(
            own, places_of_codes, len(changed), f"column {updated.label!r}"
        )
    else:
        own = pd.DataFrame(index=range(len(changed)))
    n, old = len(updated.ids), updated.rows[:-1].tocoo()
    updated, moved, rows = updated.describe_anew(changed, own)
    places = moved[places]
    before = sparse.csr_matrix(
        (old.data, (old.row, places[old.col])),
        shape=(n + 1, updated.width),
        dtype=np.float32,
    )
    source = np.arange(n + 1)
    source[changed] = n + 1 + np.arange(len(changed))
    rows = sparse.vstack([before, rows], format="csr")[source]
    return replace(updated, rows=rows), places
