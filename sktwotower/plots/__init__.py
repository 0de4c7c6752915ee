"""Displays, used like those of scikit-learn (extra ``plot``).

Input: a fitted estimator and, for most displays, held-out events.
Output: Matplotlib axes; a display keeps what it has drawn, and its ``plot`` draws it
again elsewhere.
"""

from ._embedding import EmbeddingMapDisplay
from ._importance import FeatureImportanceDisplay
from ._lorenz import LorenzCurveDisplay
from ._recall_by_popularity import RecallByPopularityDisplay
from ._recall_curve import RecallCurveDisplay
from ._scores import ScoreDistributionDisplay
from ._training import TrainingCurveDisplay

__all__ = [
    "EmbeddingMapDisplay",
    "FeatureImportanceDisplay",
    "LorenzCurveDisplay",
    "RecallByPopularityDisplay",
    "RecallCurveDisplay",
    "ScoreDistributionDisplay",
    "TrainingCurveDisplay",
]
