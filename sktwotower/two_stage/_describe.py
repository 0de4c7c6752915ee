"""How a ``Describer`` of candidates is made of the events up to a cut.

Input: a fitted retriever, and the events that it was fitted on.
Output: a ``Describer``: the log of these events, and columns of both sides as numbers.
"""

import numpy as np

from sktwotower.retrieval._requests import Query

from ._candidate_table import Describer
from ._click_rates import rates_of_users
from ._features import pairs_of, scales_of
from ._first_stage import find_candidates
from ._log import build_log
from ._side_columns import SideColumns, learn_encoders, side_columns

# Users on whose candidates the scale of features is measured.
MAX_SAMPLED_USERS = 300


def build_describer(
    recipe, retriever, events, columns, *, by_user, context=None, before=None
):
    """Return the ``Describer`` of the events that a retriever was fitted on.

    ``columns``: ``ShownColumns``. ``before``: the describer of earlier events, whose
    context, levels and own features stay; None: ``context`` is that of the events.
    """
    fitted, frame = retriever._fitted, events.frame
    repeats = not recipe.exclude_seen
    log = build_log(retriever, events, by_user, repeats, columns.positions(frame))
    sides, own = (fitted.users, fitted.items), None
    if before is None:
        encoders = [learn_encoders(side, frame) for side in sides]
    else:
        context, encoders, own = before.context, before.encoders, before.own
    users, items = (
        side_columns(side, frame, of_side)
        for side, of_side in zip(sides, encoders, strict=True)
    )
    if log.click_rates is not None:
        users = _with_rates(users, fitted.users, events)
    return Describer(
        log=log,
        context=context,
        users=users,
        items=items,
        own=own,
        scales=_scales(recipe, retriever, log),
        fitted=fitted,
        encoders=encoders,
    )


def _with_rates(columns, users, events):
    """Return the columns of users, and the share of each one's events with y > 0."""
    codes = users.codes(events.frame[users.id_column], "X")
    rates = rates_of_users(codes, events.chosen, len(users))
    numbers = np.column_stack([columns.numbers, np.append(rates, np.float32(np.nan))])
    return SideColumns([*columns.names, "history_click_rate"], numbers)


def _scales(recipe, retriever, log):
    """Return the scales of features, measured on the candidates of some users."""
    fitted = retriever._fitted
    rng = np.random.default_rng(recipe.random_state)
    users = rng.permutation(len(fitted.user_ids))[:MAX_SAMPLED_USERS]
    query = Query(fitted.user_ids[users], users, fitted.users.rows[users])
    past = fitted.past(query)
    scores, indices = find_candidates(
        retriever, query, past, recipe.n_candidates, recipe.exclude_seen
    )
    return scales_of(log, pairs_of(log.past(query, past), indices, scores))
