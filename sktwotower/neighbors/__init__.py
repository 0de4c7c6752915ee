"""Search for the items whose vectors are nearest to a query, exactly or by a graph.

The parameter ``neighbors`` of `sktwotower.TwoTowerRecommender` chooses between them.
Both can be used without it, on vectors from anywhere.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors, which do not run __getattr__
    from ._exact import ExactNeighbors
    from ._graph import NNDescentNeighbors

__all__ = ["ExactNeighbors", "NNDescentNeighbors"]


def __getattr__(name):
    # The search for one query does without torch and scikit-learn.
    if name in __all__:
        from . import _catalog_index

        return getattr(_catalog_index, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
