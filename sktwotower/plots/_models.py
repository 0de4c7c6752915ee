"""Enters: fitted estimators, alone or in Pipelines and searches, and held-out events.

Leaves: the recommenders in them, and what each ranks first, int (n_users, k).
Next: the displays beside this file.
"""

from collections.abc import Mapping
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktwotower._report import _unwrap, popular_items


def two_towers(estimator):
    """Give the fitted two-tower recommender inside Pipelines and searches."""
    while not hasattr(estimator, "embed_items"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        else:
            raise TypeError(
                f"{type(estimator).__name__} has no towers to draw. Expected a "
                "TwoTowerRecommender, a Pipeline that ends in one, or a search that "
                "was fitted with refit."
            )
    check_is_fitted(estimator)
    return estimator


def two_towers_and_events(estimator, X):
    """Give what `two_towers` does, and the X that it is given inside a Pipeline."""
    recommender, X = _unwrap(estimator, X)
    return two_towers(recommender), X


def rank_models(
    estimator, X, y, k, *, baselines=None, name=None, max_users=None, random_state=None
):
    """Rank for the users of held-out events, by the estimator and by its baselines.

    Gives the estimator's ranking, as `EvaluationMixin._held_out_ranking` does, and the
    positions (n_users, k) that each model ranks first, by its name: the estimator's,
    then those of popularity and of ``baselines``. All are positions in the estimator's
    ``item_ids_``. k is cut to the size of the catalogue.
    """
    if not isinstance(random_state, Integral):
        # one seed for all models: they must be compared on the same users
        random_state = check_random_state(random_state).randint(2**31 - 1)
    recommender, inner = _unwrap(estimator, X)
    check_is_fitted(recommender)
    options = {
        "n_neighbors": min(k, len(recommender.item_ids_)),
        "max_users": max_users,
        "random_state": random_state,
    }
    ranking = recommender._held_out_ranking(inner, y, **options)
    models = {
        type(recommender).__name__ if name is None else name: ranking.indices,
        "popularity": popular_items(ranking, options["n_neighbors"]),
    }
    for label, baseline in _named(baselines):
        other, inner = _unwrap(baseline, X)
        label = type(other).__name__ if label is None else label
        if label in models:
            raise ValueError(
                f"Two models are called {label!r}. Give baselines as a dict of other "
                "names to fitted estimators."
            )
        theirs = other._held_out_ranking(inner, y, **options)
        models[label] = _translated(label, recommender, ranking, other, theirs)
    return ranking, models


def _named(baselines):
    """Give pairs of name and estimator; the name is None in a list."""
    if baselines is None:
        return []
    if isinstance(baselines, Mapping):
        return list(baselines.items())
    if isinstance(baselines, list | tuple):
        return [(None, baseline) for baseline in baselines]
    raise TypeError(
        "baselines must be a list of fitted estimators or a dict of names to them. Got "
        f"{type(baselines).__name__}."
    )


def _translated(label, recommender, ranking, other, theirs):
    """Give a baseline's positions (n_users, k) by the estimator's users and items."""
    rows = pd.Index(theirs.users).get_indexer(pd.Index(ranking.users))
    if (rows < 0).any():
        raise ValueError(
            f"The baseline {label!r} does not rank for {(rows < 0).sum()} of the "
            f"estimator's {len(rows)} users. Fit both on the same columns."
        )
    items = pd.Index(recommender.item_ids_).get_indexer(pd.Index(other.item_ids_))
    return np.append(items, -1)[np.asarray(theirs.indices)[rows]]
