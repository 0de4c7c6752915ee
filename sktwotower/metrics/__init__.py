"""Metrics of ranked items, scorers for searches, and a report with intervals.

Functions such as `ndcg_at_k` take the relevant and the ranked ids of each user, from
any recommender. `make_retrieval_scorer` and `make_list_scorer` make scorers for
``cross_validate`` and the searches of scikit-learn. `retrieval_report` compares fitted
models on held-out events, by groups of users and items. Models of other libraries take
part with a small wrapper, see `HeldOutRanking`.
"""

from ._beyond_accuracy import (
    coverage_at_k,
    gini_at_k,
    intra_list_diversity_at_k,
    long_tail_share_at_k,
    novelty_at_k,
)
from ._calibration import expected_calibration_error
from ._list_scorers import make_list_scorer
from ._per_list import ndcg_by_list, reciprocal_rank_by_list, roc_auc_by_list
from ._per_user import (
    average_precision_at_k,
    hit_rate_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    reciprocal_rank_at_k,
)
from ._policy_value import off_policy_value
from ._ranking import HeldOutRanking
from ._report import retrieval_report
from ._scorers import make_retrieval_scorer
from ._truth import held_out_truth

__all__ = [
    "HeldOutRanking",
    "average_precision_at_k",
    "coverage_at_k",
    "expected_calibration_error",
    "gini_at_k",
    "held_out_truth",
    "hit_rate_at_k",
    "intra_list_diversity_at_k",
    "long_tail_share_at_k",
    "make_list_scorer",
    "make_retrieval_scorer",
    "ndcg_at_k",
    "ndcg_by_list",
    "novelty_at_k",
    "off_policy_value",
    "precision_at_k",
    "recall_at_k",
    "reciprocal_rank_at_k",
    "reciprocal_rank_by_list",
    "retrieval_report",
    "roc_auc_by_list",
]
