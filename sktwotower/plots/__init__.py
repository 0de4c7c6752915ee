"""Pictures of models and data, used like the displays of scikit-learn.

``from_estimator`` computes what is shown, and draws it. The display keeps the figures:
its ``plot`` draws them again, on axes of your choice. Needs Matplotlib:
``pip install 'sktwotower[plot]'``.
"""

from ._embedding_map import EmbeddingMapDisplay
from ._importance_display import FeatureImportanceDisplay
from ._lorenz import LorenzCurveDisplay
from ._prequential_display import PrequentialDisplay
from ._recall_by_popularity import RecallByPopularityDisplay
from ._recall_curve import RecallCurveDisplay
from ._recall_diversity import RecallDiversityDisplay
from ._reliability import ReliabilityDisplay
from ._scores import ScoreDistributionDisplay
from ._training import TrainingCurveDisplay

__all__ = [
    "EmbeddingMapDisplay",
    "FeatureImportanceDisplay",
    "LorenzCurveDisplay",
    "PrequentialDisplay",
    "RecallByPopularityDisplay",
    "RecallCurveDisplay",
    "RecallDiversityDisplay",
    "ReliabilityDisplay",
    "ScoreDistributionDisplay",
    "TrainingCurveDisplay",
]
