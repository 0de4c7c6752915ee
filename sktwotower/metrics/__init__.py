"""Figures of merit of ranked items.

Input: relevant and ranked ids, or a fitted recommender and held-out events.
Output: numbers per metric, a scorer for searches, or a report by groups.
"""

from ._beyond_accuracy import coverage_at_k, novelty_at_k
from ._per_user import (
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
)
from ._report import retrieval_report
from ._scorers import make_retrieval_scorer

__all__ = [
    "average_precision_at_k",
    "coverage_at_k",
    "hit_rate_at_k",
    "make_retrieval_scorer",
    "ndcg_at_k",
    "novelty_at_k",
    "precision_at_k",
    "recall_at_k",
    "reciprocal_rank_at_k",
    "retrieval_report",
]
