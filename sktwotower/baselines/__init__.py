"""Baseline recommenders with the same methods: popularity, EASE and item-kNN.

Input: an interaction table X (n_events, n_columns).
Output: fitted estimators; rankings as arrays (n, k) or tables.
"""

from ._ease import EASERecommender
from ._item_knn import ItemKNNRecommender
from ._popularity import PopularityRecommender

__all__ = ["EASERecommender", "ItemKNNRecommender", "PopularityRecommender"]
