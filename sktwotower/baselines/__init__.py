"""Baseline recommenders: popularity, click rate, EASE, item-kNN, RP3beta, content.

Input: an interaction table X (n_events, n_columns).
Output: fitted estimators; rankings as arrays (n, k) or tables.
"""

from ._content_recommender import ContentRecommender
from ._ease import EASERecommender
from ._nearest_items import ItemKNNRecommender, RP3betaRecommender
from ._popularity import ClickRateRecommender, PopularityRecommender

__all__ = [
    "ClickRateRecommender",
    "ContentRecommender",
    "EASERecommender",
    "ItemKNNRecommender",
    "PopularityRecommender",
    "RP3betaRecommender",
]
