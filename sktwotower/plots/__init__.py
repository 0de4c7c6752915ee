"""Displays that are used like scikit-learn's (extra ``plot``).

Input: a fitted estimator and, for most displays, held-out events.
Output: Matplotlib axes. A display keeps its data, and its ``plot`` draws them again.
"""

from ._embedding import EmbeddingMapDisplay
from ._importance import FeatureImportanceDisplay
from ._lorenz import LorenzCurveDisplay
from ._prequential import PrequentialDisplay
from ._recall_by_popularity import RecallByPopularityDisplay
from ._recall_curve import RecallCurveDisplay
from ._scores import ScoreDistributionDisplay
from ._training import TrainingCurveDisplay

__all__ = [
    "EmbeddingMapDisplay",
    "FeatureImportanceDisplay",
    "LorenzCurveDisplay",
    "PrequentialDisplay",
    "RecallByPopularityDisplay",
    "RecallCurveDisplay",
    "ScoreDistributionDisplay",
    "TrainingCurveDisplay",
]
