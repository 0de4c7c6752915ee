"""Explanations of a fitted model: contributions to a score, importance of columns.

Input: a fitted model with a pair of user and item, or with held-out events.
Output: tables of contributions to a score, and of the recall lost without each column.
"""

from ._explanation import explain
from ._importance import feature_importance

__all__ = ["explain", "feature_importance"]
