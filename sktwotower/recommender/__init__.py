"""The estimator `TwoTowerRecommender`: its parameters, training and fitted state.

Input: an interaction table X (n_events, n_columns), and side tables of users and items.
Output: a fitted estimator that recommends. Public: `TwoTowerRecommender` and `FoldIn`.
"""

from ._fold_in import FoldIn
from ._two_tower import TwoTowerRecommender

__all__ = ["FoldIn", "TwoTowerRecommender"]
