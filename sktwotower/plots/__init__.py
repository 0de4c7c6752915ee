"""Pictures of models and data, used like the displays of scikit-learn.

``from_estimator`` computes what is shown, and draws it. The display keeps the figures:
its ``plot`` draws them again, on axes of your choice. Needs Matplotlib:
``pip install 'sktwotower[plot]'``.
"""

from ._embedding_map import EmbeddingMapDisplay
from ._importance_display import FeatureImportanceDisplay
from ._prequential_display import PrequentialDisplay
from ._recall_by_popularity import RecallByPopularityDisplay
from ._recall_curve import RecallCurveDisplay
from ._recall_diversity import RecallDiversityDisplay
from ._reliability import ReliabilityDisplay
from ._training import TrainingCurveDisplay

__all__ = [
    "EmbeddingMapDisplay",
    "FeatureImportanceDisplay",
    "PrequentialDisplay",
    "RecallByPopularityDisplay",
    "RecallCurveDisplay",
    "RecallDiversityDisplay",
    "ReliabilityDisplay",
    "TrainingCurveDisplay",
]

# Displays that are no more, and what shows the same.
_REMOVED = {
    "LorenzCurveDisplay": "sktwotower.metrics.gini_at_k",
    "ScoreDistributionDisplay": "Matplotlib's hist of the scores of predict",
}


def __getattr__(name):
    if name in _REMOVED:
        raise ImportError(f"{name} is no more. Use {_REMOVED[name]}.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
