"""Search for the items whose vectors are nearest to a query.

Input: query vectors (n, d) and item vectors (n_items, d).
Output: positions and scores of the best items, both (n, k). Public: `ExactNeighbors`
and `NNDescentNeighbors`.
"""

from ._indexes import ExactNeighbors, NNDescentNeighbors

__all__ = ["ExactNeighbors", "NNDescentNeighbors"]
