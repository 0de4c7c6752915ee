"""Tables of ranked items, with one row per recommendation.

Input: ids (n,) of users or items, and scores and positions (n, k) of ranked items.
Output: a table of id, item, score and rank, in the library that is asked for.
"""

import functools

import numpy as np
import pandas as pd

from sktwotower._tables._output import PANDAS, table_of

__all__ = ["ranked_table"]


def ranked_table(fitted, library, ids, scores, indices, label, item_label=None):
    """Return ranked positions (n, k) as a table: id, item, score and rank."""
    found = indices >= 0
    ranks = np.broadcast_to(np.arange(1, indices.shape[1] + 1), indices.shape)
    columns = (
        np.repeat(ids, found.sum(axis=1)),
        fitted.item_ids[indices[found]],
        scores[found],
        ranks[found],
    )
    names = _names(label, item_label or fitted.items.label, "score", "rank")
    if library != PANDAS:
        return table_of(names, columns, library)
    table = pd.DataFrame(dict(enumerate(columns)), copy=False)
    table.columns = names
    return table


@functools.lru_cache(maxsize=16)
def _names(*names):
    """Return names as a pandas Index, cached since it costs as much as the table."""
    return pd.Index(names)
