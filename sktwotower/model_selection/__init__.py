"""Splitters of interaction tables, validation on a stream, parameters to search over.

Input: an interaction table X (n_events, n_columns).
Output: row positions of train and test for ``cv=`` of scikit-learn, scores over time,
and distributions of parameters for its searches.
"""

from ._prequential import prequential_validate
from ._search_space import search_space
from ._splitters import ColdItemSplit, ColdUserSplit, LastNSplit, TimeSplit

__all__ = [
    "ColdItemSplit",
    "ColdUserSplit",
    "LastNSplit",
    "TimeSplit",
    "prequential_validate",
    "search_space",
]
