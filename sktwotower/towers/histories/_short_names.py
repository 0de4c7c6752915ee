"""Short names of histories, and the recipe of an estimator with its history.

Input: a value of the parameter ``history``; an estimator.
Output: a `History`; a ``Recipe``.
"""

from sktwotower.towers._recipe import Recipe

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
    if value is None or isinstance(value, str):
        return SHORT_NAMES[value]()
    given = repr(value)
    if isinstance(value, type) and issubclass(value, History):
        given = f"the class {value.__name__}, not an object: {value.__name__}()"
    raise TypeError(
        f"history must be one of {list(SHORT_NAMES)} or a sktwotower.towers.History. "
        f"Got {given}."
    )


def recipe_with_history(estimator):
    """Return the ``Recipe`` of an estimator, in which the history is an object.

    Raise ``ValueError`` for a parameter of the history that is out of range.
    """
    history = history_of(estimator.history)
    history._check()
    return Recipe.of(estimator, **history._of_recipe())
