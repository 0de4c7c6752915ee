"""What a recommender of your own needs, and a check of it.

Any class with ``fit``, ``recommend`` and ``item_ids_`` takes part: as the first stage
of `TwoStageRecommender`, in `retrieval_report`, in scorers and in
`prequential_validate`. `check_recommender` says what it lacks, and `RecommenderMixin`
adds ``score``.
"""

from ._check import check_recommender
from ._mixin import RecommenderMixin

__all__ = ["RecommenderMixin", "check_recommender"]
