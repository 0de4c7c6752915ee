"""Tables of ranked items, with one row per recommendation, in memory or in a file.

Input: ids (n,) of users or items, and scores and positions (n, k) of ranked items.
Output: a table of id, item, score and rank, in the library that is asked for.
"""

import functools
from contextlib import ExitStack

import numpy as np
import pandas as pd

from sktwotower._records._atomic import replaced_file
from sktwotower._tables._messages import format_ids, imported
from sktwotower._tables._output import table_of


def ranked_table(fitted, library, ids, scores, indices, labels=None):
    """Return ranked positions (n, k) as a table: id, item, score and rank.

    ``labels``: what the first two columns are called; None: as in fit.
    """
    labels = labels or (fitted.users.label, fitted.items.label)
    found = indices >= 0
    owners, ranks = np.repeat(ids, found.sum(axis=1)), np.nonzero(found)[1] + 1
    columns = owners, fitted.item_ids[indices[found]], scores[found], ranks
    return table_of(_names(*labels, "score", "rank"), columns, library)


@functools.lru_cache(maxsize=16)
def _names(*names):
    """Return names as a pandas Index, cached since it costs as much as the table."""
    return pd.Index(names)


def write_parquet(tables, path):
    """Write an iterable of tables with the same columns to one Parquet file.

    The file gets its name when the last one is written (`replaced_file`).
    """
    message = "path= writes Parquet by pyarrow: pip install 'sktwotower[parquet]'."
    parquet, writer = imported("pyarrow.parquet", message), None
    with replaced_file(path) as file, ExitStack() as stack:
        for table in _with_rows(tables):
            table = _arrow_table(table)
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(file, table.schema))
            writer.write_table(table.cast(writer.schema))
        if writer is None:
            raise ValueError(f"X holds no users: there is nothing to write to {path}.")


def _with_rows(tables):
    """Yield the tables with rows; if none has any, the last: it may show no types."""
    table, has_rows = None, False
    for table in tables:
        if len(table):
            has_rows = True
            yield table
    if table is not None and not has_rows:
        yield table


def _arrow_table(table):
    """Return a pandas table as a pyarrow one; raise ``TypeError`` if ids do not fit."""
    import pyarrow

    try:
        return pyarrow.Table.from_pandas(table, preserve_index=False)
    except (pyarrow.ArrowException, OverflowError) as error:
        raise TypeError(
            "path= writes Parquet, which has no type for these ids: "
            f"{format_ids(table.iloc[:, 0], 2)} and {format_ids(table.iloc[:, 1], 2)}. "
            "Fit on text or on integers of 64 bits, or leave path out."
        ) from error
