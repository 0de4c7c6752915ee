"""The items that are chosen most often when they are shown.

Input: events with outcomes, of which some are 0.
Output: a smoothed rate (n_items,), the same for all users.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from sktwotower._records import record
from sktwotower._sklearn_compat import Interval
from sktwotower.retrieval._fitted_state import fitted_attribute

from ._matrix_recommender import MatrixRecommender, popular_first
from ._popularity import _Popularity


@record
@dataclass(eq=False, repr=False)
class ClickRateRecommender(MatrixRecommender):
    r"""Recommend the items that are chosen most often when they are shown.

    The baseline for the order of what is shown: lists of impressions or search results
    (`sktwotower.metrics.roc_auc_by_list`). It needs events that were shown and not
    chosen, y = 0. From a whole catalog, popularity finds more.

    Parameters
    ----------
    smoothing : float, default=10.0
        Number of showings at the mean rate that are added to those of each item, >= 0,
        so that an item shown once is not the best or the worst.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. It is not
        used, but later tables may lack it.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    item_rates_ : ndarray of shape (n_items,), float32
        The smoothed rate of each item, in [0, 1].
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    sktwotower.metrics.retrieval_report : Compares the order within lists, with
        ``lists``.

    Notes
    -----
    The score of item i is :math:`(c_i + m r) / (n_i + m)`, where :math:`n_i` events of
    fit have the item, :math:`c_i` of them with y > 0, r is the share of all events with
    y > 0 and m the ``smoothing``. Repeated events count each time, and an event with a
    ``sample_weight`` as often as that says. Equal scores are ordered by the number of
    users who chose the item. Without an event of y = 0 all rates are 1, and the order
    is that of popularity.

    Examples
    --------
    >>> from sktwotower import ClickRateRecommender
    >>> X = [["ann", "tea"], ["bob", "tea"], ["cid", "tea"], ["ann", "jam"],
    ...      ["bob", "jam"]]
    >>> model = ClickRateRecommender(smoothing=0).fit(X, y=[1, 0, 0, 0, 1])
    >>> model.recommend(["zoe"], n_neighbors=2)
      user item     score  rank
    0  zoe  jam  0.500000     1
    1  zoe  tea  0.333333     2
    """

    item_rates_ = fitted_attribute("model.shares")

    _parameter_constraints = MatrixRecommender._parameter_constraints | {
        "smoothing": [Interval(Real, 0, None, closed="left")]
    }

    smoothing: float = 10.0

    def _learn(self, seen, events):
        n_items = seen.shape[1]
        chosen = np.bincount(events.items, events.weights, n_items)
        counts = events.counts
        mean = chosen.sum() / counts.sum()
        rates = (chosen + self.smoothing * mean) / (counts + self.smoothing)
        rates, first = rates.astype(np.float32), popular_first(seen)
        return _Popularity(rates, first[np.argsort(-rates[first], kind="stable")])
