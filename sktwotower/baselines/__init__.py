"""Baseline recommenders: popularity, click rate, EASE, item-kNN and RP3beta.

Input: an interaction table X (n_events, n_columns).
Output: fitted estimators; rankings as arrays (n, k) or tables.
"""

from ._click_rate import ClickRateRecommender
from ._ease import EASERecommender
from ._item_knn import ItemKNNRecommender
from ._popularity import PopularityRecommender
from ._rp3beta import RP3betaRecommender

__all__ = [
    "ClickRateRecommender",
    "EASERecommender",
    "ItemKNNRecommender",
    "PopularityRecommender",
    "RP3betaRecommender",
]
