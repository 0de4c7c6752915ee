"""Retrieve, then rank: the estimator `TwoStageRecommender`.

Input: an interaction table X (n_events, n_columns), a recommender and a classifier.
Output: a fitted estimator that retrieves candidates and ranks them.
"""

from ._two_stage import TwoStageRecommender

__all__ = ["TwoStageRecommender"]
