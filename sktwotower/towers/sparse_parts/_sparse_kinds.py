"""Which sparse parts a model may have.

Input: who has chosen what, and in which order.
Output: new parts, whose weights are yet to be learnt; the same parts of other events.
"""

from dataclasses import replace

from ._ease_part import EasePart
from ._repeat_parts import HadBefore, RecentRepeats, RepeatCounts
from ._successor_part import SuccessorPart
from ._walk_part import WalkPart

KINDS = [EasePart, WalkPart, SuccessorPart]
# Kinds for lists that may hold what users had.
KINDS_OF_REPEATS = [HadBefore, RepeatCounts, RecentRepeats]


def candidates_of(seen, lags, exclude_seen):
    """Return a new part of each kind that the events allow for, a list.

    The parameters are those of `SparsePart.start`. ``exclude_seen``: whether lists
    leave out what users had.
    """
    kinds = KINDS if exclude_seen else KINDS + KINDS_OF_REPEATS
    parts = [kind.start(seen, lags) for kind in kinds]
    return [part for part in parts if part is not None]


def size_of(seen, lags):
    """Return the number of entries that parts of events are computed from."""
    return int(seen.nnz if lags is None else lags.nnz)


def recomputed(sparse_parts, seen, lags, forgets=False):
    """Return the ``SparseParts`` of other events, with the same weights.

    A part that they do not allow for stays as it is; if it ``forgets``, nothing is left
    of the events before, so that it adds nothing.
    """
    parts = []
    for old in sparse_parts.parts:
        new = type(old).start(seen, lags)
        if new is None:
            new = old.emptied() if forgets else old
        parts.append(new)
    return replace(sparse_parts, parts=parts, n_events=size_of(seen, lags))
