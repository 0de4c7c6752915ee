"""The importance of groups of features: the NDCG that is lost if they are shuffled.

Input: a fitted `TwoStageRecommender`, and held-out events or the users kept from fit.
Output: a table (n_groups, 5), one row per group.
"""

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sktwotower._tables._schema import read_table
from sktwotower.metrics._held_out import read_held_out
from sktwotower.metrics._hits import table_of_losses

from ._blend import ndcg_of_blended
from ._candidate_table import spread
from ._labelled import HeldOutUsers, described, retrieved


def importance(estimator, fitted, X, y, *, n_repeats, max_users, rng):
    """Return a row for each group of features, a DataFrame.

    The parameters are those of ``TwoStageRecommender.feature_importance``.
    """
    rng = check_random_state(rng)
    held_out = fitted.training.held_out
    if X is not None:
        held_out = _users_of(estimator, fitted, X, y, max_users, rng)
    elif held_out is None:
        raise ValueError(
            "All users that fit had kept for feature_importance were forgotten. Pass "
            "held-out events as X."
        )
    weight, k = fitted.weight or 1.0, estimator.n_neighbors
    features = held_out.features
    complete = _ndcg(held_out, features, weight, k)
    groups = pd.Series(fitted.describer.groups(features))
    rows = []
    for group, names in groups.groupby(groups, sort=False).groups.items():
        lost = np.zeros(len(complete))
        for _ in range(n_repeats):
            shuffled = features.copy()
            order = rng.permutation(len(features))
            shuffled[names] = features[names].to_numpy()[order]
            lost += complete - _ndcg(held_out, shuffled, weight, k)
        rows.append((group, list(names), lost / n_repeats, held_out.ids))
    return table_of_losses(rows, ["group", "features"], "ndcg", complete, k)


def _users_of(estimator, fitted, X, y, max_users, rng):
    """Return the users of held-out events as ``HeldOutUsers``."""
    frame, _ = read_table(type(estimator).__name__, X, fitted.schema)
    sample = {"max_users": max_users, "random_state": rng}
    query, past, judged = read_held_out(fitted, frame, y, exclude_seen=False, **sample)
    past = past.first
    found = retrieved(estimator, fitted.retriever, query, past, judged.truth)
    judged = np.flatnonzero(found.truth.getnnz(axis=1))
    if len(judged) == 0:
        raise ValueError(
            "X holds no positive event with an item of the catalog that its user has "
            "not chosen in fit. Pass held-out events, or X=None."
        )
    table, _ = described(fitted.describer, found.of_rows(judged))
    return HeldOutUsers.of(table, fitted.ranker)


def _ndcg(held_out, features, weight, k):
    """Return the NDCG (n,) of users, with given features of their candidates."""
    scores = spread(held_out.ranker.scores(features), held_out.indices)
    return ndcg_of_blended(held_out.indices, scores, held_out.truth, weight, k)
