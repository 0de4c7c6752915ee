"""Splitters of interaction tables, and the parameters to search over.

Input: an interaction table X (n_events, n_columns).
Output: row positions of train and test for ``cv=`` of scikit-learn, and distributions
of parameters for its searches.
"""

from ._search_space import search_space
from ._splitters import ColdItemSplit, ColdUserSplit, LastNSplit, TimeSplit

__all__ = [
    "ColdItemSplit",
    "ColdUserSplit",
    "LastNSplit",
    "TimeSplit",
    "search_space",
]
