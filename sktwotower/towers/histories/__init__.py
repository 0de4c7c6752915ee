"""How the user tower sees the past items of a user: the values of ``history=``.

A kind of history is one class, a `History`. It says whether training predicts each
event from those before it, and makes the layer that turns past items into an input of
the user tower. No other room asks which kind it is.
"""

from ._history import AutoHistory, History, NoHistory
from ._own_layer import OwnLayer
from ._pooled import PooledHistory, PooledLayer
from ._recent import RecentHistory, RecentLayer
from ._short_names import history_of, recipe_with_history
from ._stored_history import HistoryParameter

__all__ = [
    "AutoHistory",
    "History",
    "HistoryParameter",
    "NoHistory",
    "OwnLayer",
    "PooledHistory",
    "PooledLayer",
    "RecentHistory",
    "RecentLayer",
    "history_of",
    "recipe_with_history",
]
