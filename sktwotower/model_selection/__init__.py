"""Splits of events into train and test, validation over time, and search spaces.

Split by time (`TimeSplit`) to judge a model as it will be used, by each user's last
events (`LastNSplit`) for the next item, and by whole items or users (`ColdItemSplit`,
`ColdUserSplit`) for a cold start. All of them work as ``cv=`` of scikit-learn.
`prequential_validate` follows a model over time, and `search_space` returns the
parameters that are worth a search.
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
