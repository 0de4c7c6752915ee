"""Access of displays to a fitted recommender.

Input: a fitted estimator, which may be a Pipeline or a search around a recommender.
Output: the recommender, the X that reaches it, and users per item (n_items,).
"""

from sklearn.utils.validation import check_is_fitted

from sktwotower.metrics._scorers import unwrap
from sktwotower.retrieval._fitted import fitted_of


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


# Displays read a recommender's fitted state only through the next two functions.


def users_per_item(recommender):
    """Return the number of distinct users of each catalog item in fit, (n_items,)."""
    fitted = fitted_of(recommender)
    return fitted.seen.getnnz(axis=0)[: fitted.n_items]


def item_table(recommender):
    """Return the side table of the items, indexed by id, or None without one."""
    return fitted_of(recommender).items.side_table()
