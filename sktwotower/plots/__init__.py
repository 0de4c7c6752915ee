"""Enters: a fitted estimator and, for most pictures, held-out events.

Leaves: Matplotlib axes (extra ``plot``), drawn as scikit-learn's displays are: what is
drawn is kept, and ``plot`` draws it again elsewhere.
Next: the reader's eyes.
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
