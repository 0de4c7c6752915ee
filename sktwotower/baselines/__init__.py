"""Baseline recommenders, from popularity and item-kNN to EASE and graph filters.

Input: an interaction table X (n_events, n_columns).
Output: fitted estimators; rankings as arrays (n, k) or tables.
"""

from ._chebyshev_filter import ChebyshevFilterRecommender
from ._content_recommender import ContentRecommender
from ._ease import EASERecommender
from ._graph_filter import GraphFilterRecommender
from ._nearest_items import ItemKNNRecommender, RP3betaRecommender
from ._ordered_ridge import OrderedRidgeRecommender
from ._popularity import ClickRateRecommender, PopularityRecommender
from ._repeats import RepeatRecommender

__all__ = [
    "ChebyshevFilterRecommender",
    "ClickRateRecommender",
    "ContentRecommender",
    "EASERecommender",
    "GraphFilterRecommender",
    "ItemKNNRecommender",
    "OrderedRidgeRecommender",
    "PopularityRecommender",
    "RP3betaRecommender",
    "RepeatRecommender",
]
