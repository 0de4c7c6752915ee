"""Short names of histories.

Input: a value of the parameter ``history``.
Output: a `History`.
"""

from ._history import AutoHistory, History, NoHistory
from ._pooled import PooledHistory
from ._recent import RecentHistory

SHORT_NAMES = {
    None: NoHistory,
    "auto": AutoHistory,
    "pooled": PooledHistory,
    "recent": RecentHistory,
}


def history_of(value):
    """Return the `History` that a value of the parameter stands for."""
    if isinstance(value, History):
        return value
    return SHORT_NAMES[value]()
