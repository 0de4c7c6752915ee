"""Enters: a fitted estimator, alone or in Pipelines and searches, and its X.

Leaves: the recommender with two towers in it, and the X that reaches it.
Next: the displays beside this file.
"""

from sklearn.utils.validation import check_is_fitted

from sktwotower.metrics._scorers import unwrap


def two_towers(estimator, X=None):
    """Return the fitted two-tower recommender inside Pipelines and searches, and its X.

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
