"""The item table of a file, for rules of lists.

Input: the stored items, with columns of X and of a side table.
Output: an ``ItemTable``, whose columns are read when a rule asks for them.
"""

import numpy as np

from ._id_table import IdTable
from ._rules import ItemTable


def item_table_of(items, n_items):
    """Return the ``ItemTable`` of the first ``n_items`` of the items of a file."""
    ids = items.ids[:n_items]
    features = items.own or {}
    side = items.table or {}

    # The column of ids of the side table is its first one if none has their name.
    label = items.label
    if label not in side:
        label = next(iter(side), None)
    others = [name for name in side if name != label and str(name) not in features]

    readers = {items.label: lambda: ids}
    for name in features:
        readers[name] = lambda name=name: features[name][:n_items]
    if others:
        rows = IdTable(side[label], "item").positions(list(ids), "items")
    for name in others:
        readers[str(name)] = lambda name=name: _cells_at(side[name], rows)

    def as_frame():
        return {name: np.array(read()) for name, read in readers.items()}

    return ItemTable(list(readers), lambda name: readers[name](), as_frame, n_items)


def _cells_at(column, rows):
    """Return cells at positions (n,), missing ones at -1."""
    if (rows >= 0).all():
        return column[rows]
    missing = {"f": np.nan, "m": "NaT", "M": "NaT"}.get(column.dtype.kind)
    dtype = column.dtype
    if missing is None:
        dtype = object
    return np.append(column.astype(dtype), np.array(missing, dtype))[rows]
