"""Content baselines by feature rows that are given.

Input: pairs (n_events, 2) of ids, ids of all items (n_items,) and their feature rows.
Output: scores (n_users, n_items) of some users and items.
"""

import numpy as np
import pandas as pd
from sklearn.preprocessing import FunctionTransformer

from sktwotower import ContentRecommender


class Rows:
    """Feature rows (n_items, q) of items by id; ``ids`` are sorted."""

    def __init__(self, ids, rows):
        self.ids, self.rows = np.asarray(ids), rows

    def __deepcopy__(self, memo):
        return self  # clones share them

    def __call__(self, table):
        """Return the rows of a table of items."""
        return self.rows[np.searchsorted(self.ids, table.iloc[:, 0])]


def fit_content(events, ids, rows, n_similar=None):
    """Fit a `ContentRecommender` of rows as they are; ``ids`` (n_items,) are sorted."""
    # a column, since ids are no features
    table = pd.DataFrame({"item": ids, "place": np.arange(len(ids))})
    model = ContentRecommender(
        table,
        n_similar,
        user_id="user",
        item_id="item",
        item_transformer=FunctionTransformer(Rows(ids, rows)),
        normalize=False,
    )
    return model.fit(events)


def scores_of(model, users, items, n_best=None):
    """Return scores (n_users, n_items) of the items, in this order; chosen ones, too.

    ``n_best``: how many of the best are scored, all others are -inf. None: all.
    """
    model.set_params(exclude_seen=False).set_catalog(items)
    n_best = len(items) if n_best is None else n_best
    distances, indices = model.kneighbors(users, n_best)
    scores = np.full((len(users), len(items)), -np.inf, dtype=np.float32)
    np.put_along_axis(scores, indices, 1 - distances, axis=1)
    return scores
