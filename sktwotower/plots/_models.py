"""What displays need of a recommender.

Input: a fitted estimator, which may be a Pipeline or a search around a recommender.
Output: the recommender, the X that reaches it, and what is known of its items.
"""

from sklearn.utils.validation import check_is_fitted

from sktwotower.metrics._scorers import unwrap
from sktwotower.retrieval._fitted import fitted_of


def two_towers(estimator, X=None):
    """Return the fitted two-tower recommender inside Pipelines and searches, and its X.

    X None: only the recommender is wanted.
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


# The next two are all that displays read of a recommender's fitted value.


def users_per_item(recommender):
    """Return the number of distinct users of each catalog item in fit, (n_items,)."""
    fitted = fitted_of(recommender)
    return fitted.seen.getnnz(axis=0)[: fitted.n_items]


def item_table(recommender):
    """Return the side table of the items, indexed by id, or None without one."""
    return fitted_of(recommender).items.side_table()
