"""How a ``Describer`` of candidates is made of the events up to a cut.

Input: a fitted retriever, and the events that it was fitted on.
Output: a ``Describer``: the log of these events, and columns of both sides as numbers.
"""

from ._candidates import Describer
from ._log import build_log
from ._side_columns import learn_encoders, side_columns

__all__ = ["build_describer"]


def build_describer(recipe, retriever, events, users, by_user, before=None):
    """Return the ``Describer`` of the events that a retriever was fitted on.

    ``users``: `ContextUsers`. ``before``: the describer of earlier events, whose levels
    and own features stay.
    """
    fitted, frame = retriever._fitted, events.frame
    log = build_log(retriever, events, by_user, not recipe.exclude_seen)
    sides = fitted.users, fitted.items
    if before is None:
        encoders = [learn_encoders(side, frame) for side in sides]
    else:
        encoders = before.encoders
    columns = map(side_columns, sides, (frame, frame), encoders)
    labels = fitted.users.label, fitted.items.label
    own = None if before is None else before.own
    return Describer(log, users, *columns, encoders, labels, fitted.item_ids, own)
