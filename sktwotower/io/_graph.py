"""The graph of pynndescent as arrays.

Input: a graph of `NNDescentNeighbors`, or its arrays.
Output: the other one of both.
"""

from ._errors import refuse

__all__ = ["GRAPH"]


class GRAPH:
    """How a graph is written and read."""

    @staticmethod
    def write(graph, writer, place):
        """Return what JSON holds for a graph."""
        raise NotImplementedError

    @staticmethod
    def read(spec, reader, place):
        """Return the graph that JSON holds."""
        refuse(place, "a graph", spec)
