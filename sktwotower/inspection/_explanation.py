"""The explanation of one score of two towers.

Input: the fitted state of a `TwoTowerRecommender`, a user and an item.
Output: rows of the table of `explain`, and the score.
"""

import numpy as np
import pandas as pd

from sktwotower.features import TowerVectorizer
from sktwotower.features._kinds import features_in_words
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._explained_score import name_of, rows_of_past, rows_of_table
from sktwotower.towers.batches._sequence_batches import latest_events
from sktwotower.towers.parts import Pair, PastOfOne

# The user's id, by what it adds to the past items.
TASTE = "taste not explained by the past"
# Name of the row for what no feature and no past item explains: if a tower is linear it
# is the bias.
BIAS = "(bias)"
REST = "(rest)"


def explained(fitted, owner, chosen, past, names, estimator):
    """Return tables of contributions, a list, and their sum, the score; see `Fitted`.

    ``fitted``: ``FittedTowers``.
    """
    items = fitted.items
    serving = estimator._serving()
    with threads(serving.n_jobs):
        vector = None
        if serving.fold_in and len(fitted.fold_in_rows(owner, past)):
            vector = fitted.without_context(owner, past, serving)[0]
        seen, lags = _past_events(fitted, past)
        last = ~pd.Series(seen).duplicated(keep="last").to_numpy()
        of_past = PastOfOne(items.rows[seen], lags, last)
        context = fitted.context_rows(owner.asked, past.latest, 1)
        pair = Pair(owner.rows, of_past, chosen.rows, vector, context, past.long_before)
        contributions = fitted.model.contributions(pair)
        (factor,) = fitted.weighted(np.ones((1, 1)), chosen.codes).ravel()
        contributions = contributions.times(factor)
    tables = _rows_of_sides(fitted, owner, chosen, contributions, names)
    weights = np.ones(len(seen))
    if lags is None:  # a mean of the past
        weights /= max(1, len(seen))
    added = contributions.history
    score = contributions.score
    if fitted.model.sparse is not None:
        # vectors may see the latest events only, sparse parts see all
        events = past.input
        n_past = np.array([events.nnz])
        (of_sparse,) = fitted.model.sparse_weights(n_past, past.long_before)
        lags = None
        if fitted.sequences is not None:
            lags = events.data
        of_events = fitted.model.sparse.of_events(
            events.indices, lags, of_sparse, chosen.codes[0]
        )
        score += of_events.sum()
        n_earlier = len(of_events) - len(seen)
        seen = events.indices
        added = np.append(np.zeros(n_earlier), added) + of_events
        weights = np.append(np.zeros(n_earlier), weights)
    tables.append(rows_of_past(items.ids[seen], weights, added, names, lags))
    if context is not None:
        tables.append(_rows_of(fitted.context, context, contributions, {}))
    if vector is not None:
        added = [contributions.fold_in]
        tables.append(rows_of_table("history", ["(fold-in)"], [1.0], added))
    return tables, score


def _rows_of_sides(fitted, owner, chosen, contributions, names):
    """Return the rows of the user's and the item's features, a list of tables."""
    taste = "this user's taste"
    if fitted.model.sees_past:
        taste = TASTE
    itself = f"{name_of(chosen.ids[0], names)} itself"
    sides = (fitted.users, owner, taste), (fitted.items, chosen, itself)
    tables = []
    for entities, query, reason in sides:
        side = entities.side
        of_ids = {entities.id_column: reason}
        tables.append(_rows_of(entities, query.rows, contributions, of_ids))
        # what belongs to no feature
        name = REST
        if all(part.is_linear(side) for part in fitted.model.parts):
            name = BIAS
        added = [getattr(contributions, f"{side}_rest")]
        tables.append(rows_of_table(side, [name], [1.0], added))
    return tables


def _rows_of(described, rows, contributions, of_ids):
    """Return the rows of the table that are of the features in one feature row.

    ``described``: Entities or RequestContext. ``of_ids``: dict of columns to reasons,
    whatever is in their cells.
    """
    side = described.side
    names = described.feature_names()
    if names is None:
        names = [f"{side}_{i}" for i in range(rows.shape[1])]
    features = np.asarray(names, dtype=object)[rows.indices]
    reasons = list(features)  # also those of the time, which have no cell
    if isinstance(described.transformer, TowerVectorizer):
        words = features_in_words(described.transformer, rows.indices, rows.data)
        texts = [of_ids.get(column, text) for column, text in words]
        reasons[: len(texts)] = texts
    added = getattr(contributions, side)
    return rows_of_table(side, features, rows.data, added, reasons)


def _past_events(fitted, past):
    """Return items (n_past,) of the one user's past, and their lags or None."""
    events = past.input
    if not fitted.model.sees_past:
        return events.indices[:0], None
    if not fitted.model.sees_order:
        return events.indices, None
    limit = fitted.model.max_history
    if limit is not None:
        events = latest_events(events, limit)
    return events.indices, events.data
