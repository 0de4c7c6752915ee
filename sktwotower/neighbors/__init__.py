"""Search for the items whose vectors are nearest to a query, exactly or by a graph.

The parameter ``neighbors`` of `sktwotower.TwoTowerRecommender` chooses between them.
Both can be used without it, on vectors from anywhere.
"""

from sktwotower.runtime._model_id import check_model_id

from ._exact import ExactNeighbors
from ._graph import NNDescentNeighbors

__all__ = ["ExactNeighbors", "NNDescentNeighbors", "check_model_id"]
