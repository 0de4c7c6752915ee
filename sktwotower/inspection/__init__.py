"""Explanations of a fitted model: the parts of a score, and which columns matter.

Both functions are methods of `sktwotower.TwoTowerRecommender` as well, and `explain` of
all recommenders.
"""

from sktwotower.retrieval._explained_score import explain

from ._feature_importance import feature_importance

__all__ = ["explain", "feature_importance"]
