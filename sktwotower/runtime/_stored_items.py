"""The item table of a file, as the rules of lists read it.

Input: the ids of items, their features, and a side table, dicts of arrays.
Output: an ``ItemTable`` of arrays (n_items,).
"""

import numpy as np

from ._id_table import IdTable
from ._rules import ItemTable


def item_table_of_arrays(items, n_items):
    """Return the ``ItemTable`` of the first ``n_items`` of the items of a file."""
    ids, own, side = items.ids[:n_items], items.own or {}, items.table or {}
    label = items.label if items.label in side else next(iter(side), None)
    others = [name for name in side if name != label and str(name) not in own]
    readers = {items.label: lambda: ids}
    readers |= {name: lambda name=name: own[name][:n_items] for name in own}
    if others:
        rows = IdTable(side[label], "item").positions(list(ids), "items")
        readers |= {str(n): lambda n=n: _taken(side[n], rows) for n in others}

    def as_frame():
        return {name: np.array(read()) for name, read in readers.items()}

    return ItemTable(list(readers), lambda name: readers[name](), as_frame, n_items)


def _taken(column, rows):
    """Return cells at positions (n,), missing ones at -1."""
    if (rows >= 0).all():
        return column[rows]
    missing = {"f": np.nan, "m": "NaT", "M": "NaT"}.get(column.dtype.kind)
    dtype = object if missing is None else column.dtype
    return np.append(column.astype(dtype), np.array(missing, dtype))[rows]
