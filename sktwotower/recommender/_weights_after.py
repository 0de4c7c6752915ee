"""Weights of parts that follow further events, which are judged before they are learnt.

Input: ``FittedTowers`` before a call of `partial_fit`, and the events of the call.
Output: the same state with other weights of its parts.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from sktwotower._tables._sparse import without_last_row
from sktwotower.towers.training._net import with_model

from ._events import only_new_targets
from ._judge import MIN_MAIN
from ._kept_back import MIN_USERS, requests_in_order, requests_of_pairs
from ._kept_requests import KeptRequests
from ._weighing import PartToWeigh, Problem, SparsePartToWeigh, best_step, folds_of

# How many requests the weights before a call are worth.
PRIOR = 300.0
# Learnt weights are cut off: they differ from those before by at most this share of
# each, or this share of the sum of all.
MAX_CHANGE = 0.5
MIN_CHANGE = 0.1
# How far a call may go towards them. Lists of the next week of a shop and of films,
# and of the next day of films and clips, were better with whole steps than quarters.
STEPS = 0.0, 0.25, 0.5, 1.0
# Up to this number of requests is asked, and of pairs of a request and an item: with
# more than five million items, the requests are too few.
MAX_REQUESTS = 1000
MAX_PAIRS = 100_000_000


def with_weights_after(recipe, fitted, events, inputs):
    """Return the state with weights that answer further events better.

    Parameters
    ----------
    recipe : Recipe
    fitted : FittedTowers
        The state before the events; it is not changed.
    events : Events
        Further events. Their users and items are those of the state, and new ones last.
    inputs : dict
        As the last parameter of `Part.grown`.

    Returns
    -------
    FittedTowers
        The same state if weights are not learnt, or if others are not better beyond
        noise.

    Notes
    -----
    Requests are those of the users in the events: their past is that before the events,
    and what they choose for the first time are the answers. Weights are learnt by the
    convex problem of `weigh`, where the weights before, of each number of past items,
    are worth 300 requests. They may differ from those before by half of each, and small
    ones by a tenth of all weights. A call goes the whole way there, half of it, a
    quarter, or none: as far as lists of its own users are best, with weights that other
    users of it have taught.
    """
    model = fitted.model
    is_free = recipe.second_share == "auto" and recipe.validation_events is not None
    if model.by_past is None or not is_free or not recipe.lr > 0:
        return fitted
    requests = _requests_of_call(fitted, events, inputs, recipe.exclude_seen)
    if requests is None:
        return fitted
    parts = _parts_to_weigh(fitted, requests)
    before = model.weights

    rng = np.random.RandomState(0)
    problem = Problem(parts, before, fitted.temperature, requests, rng, PRIOR)
    learnt = within_bounds(before, problem.solution())
    without = []
    for rows in folds_of(requests):
        solution = problem.without(rows).solution()
        without.append(within_bounds(before, solution))
    weighing = best_step(parts, before, learnt, without, requests, STEPS)
    if np.array_equal(weighing.weights, before):
        return fitted
    model = model.with_weights(_of_size(before, weighing.weights))
    return replace(fitted, net=with_model(fitted.net, model))


def within_bounds(before, learnt):
    """Return the weights nearest to the learnt ones that are not too far from before.

    Both and the result: (n_knots, n_parts). Only proportions of a row count.
    """
    sizes = np.abs(before)
    of_all = sizes.sum(axis=1)
    largest = np.maximum(MIN_CHANGE * of_all[:, None], MAX_CHANGE * sizes)
    learnt = _of_size(before, learnt)
    weights = np.clip(learnt, before - largest, before + largest)
    # scores are divided by the length of vectors, which must not vanish: the first
    # part keeps a least weight, or that of before if it is lower
    least = np.minimum(before[:, 0], MIN_MAIN * of_all)
    weights[:, 0] = np.maximum(weights[:, 0], least)
    return weights


def _of_size(before, weights):
    """Return weights whose rows have the same sum of absolute values as before."""
    sizes = np.abs(before).sum(axis=1, keepdims=True)
    of_weights = np.abs(weights).sum(axis=1, keepdims=True)
    return weights * sizes / np.maximum(of_weights, 1e-12)


def _requests_of_call(fitted, events, inputs, exclude_seen):
    """Return the ``KeptRequests`` that further events answer, None for too few."""
    places_of_users = inputs["user"][0]
    n_users = len(fitted.users)
    n_items = fitted.n_items
    seen = sparse.csr_matrix(without_last_row(fitted.seen))  # it shares the arrays
    seen.resize(len(events.users), seen.shape[1])
    if events.ordered is None:
        chosen = events.positives[:, : seen.shape[1]]
        if exclude_seen:
            chosen = chosen - chosen.multiply(seen)
        chosen = sparse.csr_matrix(chosen)
        chosen.resize(events.positives.shape)
        asking = requests_of_pairs(events, chosen)
    else:
        table = events.ordered
        targets = table
        if exclude_seen:
            targets = only_new_targets(table)
        asking = requests_in_order(events, np.flatnonzero(targets.gains > 0))
    truth = asking.truth[:, :n_items]
    rows = np.flatnonzero(np.diff(truth.indptr))
    n_most = min(MAX_REQUESTS, MAX_PAIRS // n_items)
    if len(rows) > n_most:
        chosen = np.random.RandomState(0).permutation(rows)[:n_most]
        rows = np.sort(chosen)
    users = asking.users[rows]
    if len(np.unique(users)) < MIN_USERS:
        return None
    if fitted.sequences is None:
        past = fitted.seen
    else:
        past = fitted.sequences.lags
    # the last row is that of unknown users
    past = past[np.minimum(users, n_users)]
    if not fitted.model.sees_past:
        past = sparse.csr_matrix(past.shape)
    hidden = seen[users, :n_items]
    if not exclude_seen:
        hidden = sparse.csr_matrix(hidden.shape, dtype=hidden.dtype)
    contexts = asking.contexts
    if contexts is not None:
        contexts = contexts[rows][:, inputs["context"][0]]
    return KeptRequests(
        rows=events.users.rows[users][:, places_of_users],
        past=past,
        hidden=hidden,
        truth=truth[rows],
        n_known=len(rows),
        contexts=contexts,
    )


def _parts_to_weigh(fitted, requests):
    """Return what each part of a model says of requests, a list."""
    model = fitted.model
    to_weigh = []
    start = 0
    in_order = fitted.sequences is not None
    item_rows = without_last_row(fitted.items.rows)
    for part, scale in zip(model.parts, model.scales_of_items, strict=True):
        end = start + part.width
        items = fitted.catalog.vectors[:, start:end] / np.float32(scale)
        users = requests.users_embedded(part, item_rows)
        is_signed = in_order and part.is_signed
        to_weigh.append(PartToWeigh(users, items, 0.0, is_signed))
        start = end
    if model.sparse is not None:
        for part in model.sparse.parts:
            scores = part.scores(requests.past, in_order)[:, : fitted.n_items]
            to_weigh.append(SparsePartToWeigh(scores.tocsr()))
    return to_weigh
