"""The fixed list of types that files may hold, by room.

Input: an object, or the name of a type in a file, such as "baselines.FittedMatrix".
Output: its kind, or None. A type is added to the ``KINDS`` of its room's file.
"""

from functools import cache

from ._skops import SkopsCodec, is_foreign

__all__ = ["kind_of", "kind_of_name", "nested_types"]


def _of_features():
    from ._kinds_features import KINDS

    return KINDS


def _of_baselines():
    from ._kinds_baselines import KINDS

    return KINDS


def _of_towers():
    from ._kinds_frequency import KINDS as OF_STREAMS
    from ._kinds_towers import KINDS

    return [*KINDS, *OF_STREAMS]


def _of_neighbors():
    from ._kinds_neighbors import KINDS

    return KINDS


def _of_recommender():
    from ._kinds_recommender import KINDS

    return KINDS


def _of_two_stage():
    from ._kinds_two_stage import KINDS

    return KINDS


# They are imported when a file needs them: baselines do without torch.
GROUPS = {
    "_tables": _of_features,
    "features": _of_features,
    "baselines": _of_baselines,
    "towers": _of_towers,
    "neighbors": _of_neighbors,
    "recommender": _of_recommender,
    "two_stage": _of_two_stage,
}


@cache
def _kinds(room):
    """Return the kinds of a room, by the name of their class."""
    if room not in GROUPS:
        return {}
    found = {}
    for kind in GROUPS[room]():
        if _room_of(kind.cls) == room:
            kind.name = f"{room}.{kind.cls.__name__}"
            found[kind.cls.__name__] = kind
    return found


def _room_of(cls):
    package, _, rest = cls.__module__.partition(".")
    return rest.partition(".")[0] if package == "sktwotower" else None


def nested_types():
    """Return the names of the types that estimators of other packages may hold."""
    kinds = _kinds("features").values()
    return [f"{kind.cls.__module__}.{kind.cls.__qualname__}" for kind in kinds]


def kind_of(value):
    """Return the kind of an object of this package, or of a foreign estimator."""
    cls = type(value)
    if (room := _room_of(cls)) is not None:
        return _kinds(room).get(cls.__name__)
    if (cls.__module__, cls.__name__) == ("torch", "dtype"):
        return _dtype_of_torch()
    return SkopsCodec if is_foreign(value) else None


def _dtype_of_torch():
    from ._kinds_towers import DtypeCodec

    return DtypeCodec


def kind_of_name(name):
    """Return the kind of a name in a file, or None."""
    if name == SkopsCodec.name:
        return SkopsCodec
    if name == "torch.dtype":
        return _dtype_of_torch()
    room, _, cls = name.partition(".")
    return _kinds(room).get(cls)
