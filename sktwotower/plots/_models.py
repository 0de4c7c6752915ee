"""Enters: fitted estimators, alone or in Pipelines and searches, and held-out events.

Leaves: the recommenders in them, and what each ranks first, int (n_users, k).
Next: the displays beside this file.
"""

from numbers import Integral

from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktwotower._competitors import competitors
from sktwotower._groups import popular_items
from sktwotower._scorers import rank, unwrap


def two_towers(estimator, X=None):
    """Give the fitted two-tower recommender inside Pipelines and searches, and its X.

    X None: the recommender alone is wanted.
    """
    recommender, X = unwrap(estimator, X)
    if not hasattr(recommender, "embed_items"):
        raise TypeError(
            f"{type(recommender).__name__} has no towers to draw. Expected a "
            "TwoTowerRecommender, a Pipeline that ends in one, or a search that was "
            "fitted with refit."
        )
    check_is_fitted(recommender)
    return recommender, X


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
    recommender, inner = unwrap(estimator, X)
    check_is_fitted(recommender)
    name = type(recommender).__name__ if name is None else name
    if not isinstance(name, str) or name == "popularity":
        raise ValueError(
            "name must be a string, and not 'popularity', which is a model already. "
            f"Got {name!r}."
        )
    params = {
        "n_neighbors": min(k, len(recommender.item_ids_)),
        "max_users": max_users,
        "random_state": random_state,
    }
    ranking = rank(recommender, inner, y, **params)
    models = {
        name: ranking.indices,
        "popularity": popular_items(ranking, params["n_neighbors"]),
    }
    params |= {"X": X, "y": y}
    models |= competitors(baselines, models, recommender, ranking, params)
    return ranking, models
