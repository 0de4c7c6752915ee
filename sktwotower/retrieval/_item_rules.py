"""The item table, as the rules of lists read it.

Input: the ``Entities`` of items, with their features.
Output: an ``ItemTable`` of arrays (n_items,), and of a frame for functions.
"""

import numpy as np
import pandas as pd

from sktwotower._tables._frames import library_of
from sktwotower._tables._output import in_library
from sktwotower.runtime._rules import ItemTable


def item_table_of(items, n_items, library):
    """Return the ``ItemTable`` of the first ``n_items`` of ``Entities``.

    ``library``: that of tables, unless there is a side table.
    """
    table = items.feature_table(n_items)
    table = table.rename(columns={items.id_column: items.label})
    library = library_of(items.table, default=library)
    return ItemTable(
        list(table.columns),
        read=lambda name: _plain(table[name]),
        as_frame=lambda: in_library(table.copy(), library),
        n_items=n_items,
    )


def _plain(column):
    """Return a pandas Series (n_items,) as the array of an ``ItemColumn``."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert(None)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufmM":
        return column.to_numpy()
    return column.astype(object).where(column.notna(), None).to_numpy()
