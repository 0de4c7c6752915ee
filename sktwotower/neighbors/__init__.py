"""Search for the items whose vectors are nearest to a query.

Input: query vectors (n, d) and item vectors (n_items, d).
Output: positions and scores of the best items, both (n, min(k, n_items)). Public:
`ExactNeighbors` and `NNDescentNeighbors`.
"""

from ._exact import ExactNeighbors
from ._graph import NNDescentNeighbors

__all__ = ["ExactNeighbors", "NNDescentNeighbors"]
