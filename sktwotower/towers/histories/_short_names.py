"""Short names of histories, and the recipe of a history with parameters.

Input: a value of the parameter ``history``, a ``Recipe``.
Output: a `History`; the ``Recipe`` with its parameters.
"""

from sktwotower import _sklearn_compat as compat
from sktwotower.towers._recipe import RecommenderParameters, plain

from ._history import AutoHistory, History, NoHistory
from ._pooled import PooledHistory
from ._recent import RecentHistory

SHORT_NAMES = {
    None: NoHistory,
    "auto": AutoHistory,
    "pooled": PooledHistory,
    "recent": RecentHistory,
}
# Names that histories have for parameters of the recommender.
OTHER_NAMES = {"max_history": "max_length"}


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


def with_history(recipe):
    """Return a ``Recipe`` with its `History`, an object, and the parameters of that.

    Raise ``ValueError`` for one that is out of range, or that the recommender has with
    another value.
    """
    history = history_of(recipe.history)
    owner = type(history).__name__
    changed = {}
    for name, given in history._of_recipe().items():
        value = plain(given)
        default = getattr(RecommenderParameters, name)
        if _same(value, default):
            continue
        shown = OTHER_NAMES.get(name, name)
        allowed = RecommenderParameters._parameter_constraints.get(name)
        if allowed is not None:
            compat.validate_parameter_constraints(
                {shown: allowed}, {shown: value}, owner
            )
        before = getattr(recipe, name)
        if not _same(before, default) and not _same(before, value):
            raise ValueError(
                f"history={owner}({shown}={value!r}) and {name}={before!r} of the "
                f"recommender differ. Give it to {owner} alone."
            )
        changed[name] = value
    return recipe._replace(history=history, **changed)


def _same(value, other):
    """Return whether two values of a parameter are the same."""
    return type(value) is type(other) and value == other
