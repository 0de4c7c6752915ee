"""Two-tower retrieval models as scikit-learn estimators.

The logger ``sktwotower`` gets, at level INFO, what fit has read and chosen, and each
epoch. ``logging.basicConfig(level="INFO")`` shows it.
"""

import importlib.util
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors, which do not run __getattr__
    from .baselines import (
        ChebyshevFilterRecommender,
        ClickRateRecommender,
        ContentRecommender,
        EASERecommender,
        GraphFilterRecommender,
        ItemKNNRecommender,
        OrderedRidgeRecommender,
        PopularityRecommender,
        RepeatRecommender,
        RP3betaRecommender,
    )
    from .features import TowerVectorizer
    from .preprocessing import interactions_from_matrix
    from .recommender import TwoTowerRecommender
    from .two_stage import TwoStageRecommender

# Applications decide what is shown.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"
__all__ = [
    "ChebyshevFilterRecommender",
    "ClickRateRecommender",
    "ContentRecommender",
    "EASERecommender",
    "GraphFilterRecommender",
    "ItemKNNRecommender",
    "OrderedRidgeRecommender",
    "PopularityRecommender",
    "RP3betaRecommender",
    "RepeatRecommender",
    "TowerVectorizer",
    "TwoStageRecommender",
    "TwoTowerRecommender",
    "__version__",
    "interactions_from_matrix",
]

_LAZY = {
    "ChebyshevFilterRecommender": "sktwotower.baselines",
    "ClickRateRecommender": "sktwotower.baselines",
    "ContentRecommender": "sktwotower.baselines",
    "EASERecommender": "sktwotower.baselines",
    "GraphFilterRecommender": "sktwotower.baselines",
    "ItemKNNRecommender": "sktwotower.baselines",
    "OrderedRidgeRecommender": "sktwotower.baselines",
    "PopularityRecommender": "sktwotower.baselines",
    "RP3betaRecommender": "sktwotower.baselines",
    "RepeatRecommender": "sktwotower.baselines",
    "TowerVectorizer": "sktwotower.features",
    "TwoStageRecommender": "sktwotower.two_stage",
    "TwoTowerRecommender": "sktwotower.recommender",
    "interactions_from_matrix": "sktwotower.preprocessing",
}


def __getattr__(name):
    # torch costs seconds to import; metrics and data sets do without it.
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    room = f"{__name__}.{name}"  # as sklearn.metrics
    if not name.startswith("_") and importlib.util.find_spec(room):
        return importlib.import_module(room)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
