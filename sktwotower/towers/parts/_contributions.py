"""Contributions of features and past items to the score of one pair.

Input: feature rows, CSR, of one user (1, p), of the past items and of one item (1, q).
Output: the score, and the contribution of each stored value, arrays (nnz,).
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from sktwotower.towers.operators._sparse_rows import SparseRows

from ._vectors import Users


class PastOfOne(NamedTuple):
    """The past items of one user, oldest first.

    Parameters
    ----------
    rows : CSR matrix of shape (n_past, q)
        Their feature rows.
    lags : array of shape (n_past,) or None
        Their lags; None if their order is not known.
    last : bool array of shape (n_past,)
        Whether the item does not occur again.
    """

    rows: sparse.csr_matrix
    lags: np.ndarray | None
    last: np.ndarray


class Pair(NamedTuple):
    """One user and one item.

    Parameters
    ----------
    user_rows : CSR matrix of shape (1, p)
    past : PastOfOne
    item_rows : CSR matrix of shape (1, q)
    user_vector : array of shape (d,), default=None
        The user's vector after fold-in. None: the one that the towers compute.
    context : CSR matrix of shape (1, n), default=None
        Feature row of the context of the request. None: it is unknown.
    long_before : array of shape (1,), default=None
        How much of the answer is that of long before now. None: nothing.
    """

    user_rows: sparse.csr_matrix
    past: PastOfOne
    item_rows: sparse.csr_matrix
    user_vector: np.ndarray | None = None
    context: sparse.csr_matrix | None = None
    long_before: np.ndarray | None = None


class Contributions(NamedTuple):
    """Contributions that add up to the score of one pair.

    ``user`` (nnz,), ``history`` (n_past,), ``item`` (nnz,) and ``context`` (nnz,)
    belong to the stored values of the rows, ``user_rest`` and ``item_rest`` to no
    single value. ``fold_in`` is the change of the score by fold-in. ``context`` is 0 if
    the part does not see it.
    """

    score: float
    user: np.ndarray
    history: np.ndarray
    user_rest: float
    item: np.ndarray
    item_rest: float
    fold_in: float
    context: np.ndarray | float = 0.0

    def times(self, factor):
        """Return all of them multiplied by a factor."""
        return Contributions(*(factor * added for added in self))

    def plus(self, others):
        """Return the sums with those of another part."""
        return Contributions(*map(np.add, self, others))


@torch.inference_mode(False)
def contributions_of_towers(part, pair):
    """Return the contribution of each input of both towers to the score of a pair.

    Parameters
    ----------
    part : TwoTowers
    pair : Pair

    Returns
    -------
    Contributions

    Notes
    -----
    The score <a / |a|, c / |c|> is linear in a and in c if the two lengths are held
    fixed. So each side explains the whole score, by gradient times input, and each is
    divided by two so that both together add up to the score. If the lengths were not
    held fixed, the gradient would be orthogonal to the vector, and the terms of a
    linear tower would add up to zero.
    """
    part.eval()
    device = next(part.parameters()).device
    context = pair.context
    if context is None:
        context = sparse.csr_matrix((1, 0), dtype=np.float32)
    user = _with_gradient(pair.user_rows, device)
    item = _with_gradient(pair.item_rows, device)
    context = _with_gradient(context, device)

    with torch.enable_grad():
        pooled, past, places = _past(part.history, pair.past, user)
        of_user_tower = part.user_tower(user, pooled).double()
        of_item_tower = part.item_tower(item).double()
        user_output = of_user_tower.detach()
        item_output = of_item_tower.detach()
        user_length = _length(part, user_output)
        item_length = _length(part, item_output)
        user_vector = user_output / user_length
        if pair.user_vector is not None:
            user_vector = torch.as_tensor(pair.user_vector[None]).to(user_vector)
        asked = user_vector
        length = 1.0
        if pair.context is not None and part.context is not None:
            asked = part.context.unscaled(user_vector, context)
            length = _length(part, asked)
        user_slope = item_output / np.prod([user_length, item_length, length])
        item_slope = asked.detach() / (length * item_length)
        of_context = (asked - user_vector) * user_slope * user_length
        whole = of_user_tower * user_slope + of_item_tower * item_slope + of_context
    inputs = (user, item, past, context)
    of_user, of_item, of_past, of_context = _gradient_times_input(whole.sum(), inputs)
    history = np.zeros(len(pair.past.last))
    np.add.at(history, places[past.row_numbers().cpu().numpy()], of_past)

    of_tower = float((user_output * user_slope).sum())
    of_user_vector = float((user_vector * user_slope).sum()) * user_length
    score = float((item_slope * item_output).sum())
    return Contributions(
        score=score,
        user=of_user,
        history=history,
        user_rest=of_tower / 2 - of_user.sum() - history.sum(),
        item=of_item,
        item_rest=score / 2 - of_item.sum(),
        fold_in=(of_user_vector - of_tower) / 2,
        context=of_context,
    )


def _with_gradient(rows, device):
    """Return feature rows, CSR, as ``SparseRows`` whose values have gradients."""
    return SparseRows.from_csr(rows).to(device).with_gradient()


def _past(history, past, user):
    """Return what the past adds to the first layer, and the past items that do.

    The first is (1, width), or None without a history; then the feature rows of k
    items, ``SparseRows``, and their places (k,) in the past. ``user``: rows (1, p).
    """
    n_events = len(past.last)
    places = np.flatnonzero(past.last)  # each item once
    if history is None:
        return None, SparseRows.from_csr(past.rows[:0]).with_gradient(), places
    if history.sees_order:
        places = np.arange(n_events)
    lags = past.lags
    if lags is None:
        lags = np.ones(n_events, dtype=np.float32)
    events = sparse.csr_matrix((lags[places], places, [0, len(places)]), (1, n_events))
    item_rows, bag = history.seen(Users(user, events, past.rows, in_order=False))
    item_rows = item_rows.with_gradient()
    pooled = history.pool(item_rows, bag)
    n_unseen = len(places) - len(item_rows)
    return pooled, item_rows, places[n_unseen:]


def _length(part, vector):
    """Return the length of a vector (1, d) by which it is divided."""
    if not part.normalize:
        return 1.0
    # the same lower bound as in unit_rows
    return max(float(vector.detach().norm()), 1e-12)


def _gradient_times_input(total, inputs):
    """Return half of the gradient by the values of each ``SparseRows``, times these."""
    values = [rows.values for rows in inputs]
    gradients = [torch.zeros_like(tensor) for tensor in values]
    if total.requires_grad:
        gradients = torch.autograd.grad(total, values, materialize_grads=True)
    terms = []
    for value, gradient in zip(values, gradients, strict=True):
        product = (value * gradient).detach().cpu().double().numpy()
        terms.append(product / 2)
    return terms
