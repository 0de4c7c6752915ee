"""Access of displays to a fitted recommender.

Input: a fitted estimator, which may be a Pipeline or a search around a recommender.
Output: the recommender and the X that reaches it.
"""

from sklearn.utils.validation import check_is_fitted

from sktwotower.metrics._scorers import unwrap


def two_towers(estimator, X=None):
    """Return the fitted two-tower recommender inside Pipelines and searches, and its X.

    X None: only the recommender is needed.
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
