"""Contributions of features and past items to the score of one pair.

Input: feature rows, CSR, of one user (1, p), of the past items and of one item (1, q).
Output: the score, and the contribution of each stored value, arrays (nnz,).
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse

from sktwotower.towers._sparse_rows import SparseRows


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
    """

    user_rows: sparse.csr_matrix
    past: PastOfOne
    item_rows: sparse.csr_matrix
    user_vector: np.ndarray | None = None
    context: sparse.csr_matrix | None = None


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
        return Contributions(*(factor * each for each in self))

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
    user, item = (
        SparseRows.from_csr(rows).to(device)
        for rows in (pair.user_rows, pair.item_rows)
    )
    with torch.no_grad():
        pooled, places, past_vectors = _past(part.history, pair.past, device)
        vectors = [
            part.user_tower(user, pooled).double(),
            part.item_tower(item).double(),
        ]
        lengths = [_length(part, vector) for vector in vectors]
        user_vector = vectors[0] / lengths[0]
        if pair.user_vector is not None:
            user_vector = torch.as_tensor(pair.user_vector[None]).to(user_vector)
        added, asked = _in_context(part, user_vector, pair.context, device)
        length = 1.0 if added is None else _length(part, asked)
        user_slope = vectors[1] / np.prod([*lengths, length])
        of_tower = float((vectors[0] * user_slope).sum())
        of_user_vector = float((user_vector * user_slope).sum()) * lengths[0]
        item_slope = asked / (length * lengths[1])
        score = float((item_slope * vectors[1]).sum())
    of_user, slope = part.user_tower.gradient_times_input(user, pooled, user_slope)
    of_item, _ = part.item_tower.gradient_times_input(item, None, item_slope)
    of_user, of_item = _half(of_user), _half(of_item)
    history, of_history = np.zeros(len(pair.past.last)), of_user[:0]
    if pooled is not None:
        of_history = _half(past_vectors.double() @ slope.double())
        history[places] = of_history
    return Contributions(
        score=score,
        user=of_user,
        history=history,
        user_rest=of_tower / 2 - of_user.sum() - of_history.sum(),
        item=of_item,
        item_rest=score / 2 - of_item.sum(),
        fold_in=(of_user_vector - of_tower) / 2,
        context=0.0 if added is None else _half(added @ user_slope[0] * lengths[0]),
    )


def _in_context(part, user, context, device):
    """Return what each value of a context adds to a user vector (1, d), and the sum.

    The first is (nnz, d), or None without a context.
    """
    if context is None or part.context is None:
        return None, user
    rows = SparseRows.from_csr(context).to(device)
    added = part.context.contributions(user, rows)
    return added, user + added.sum(0, keepdim=True)


def _past(history, past, device):
    """Return what the past adds to the first layer, and which items of it how much.

    The first is (1, width), or None without a history; then places (k,) in the past
    and vectors (k, width).
    """
    if history is None:
        return None, None, None
    places = history.counted(past)
    rows = SparseRows.from_csr(past.rows[places]).to(device)
    lags = None if past.lags is None else past.lags[places]
    pooled, vectors = history.each(rows, lags)
    return pooled, places, vectors


def _length(part, vector):
    # the same lower bound as in unit_rows
    return max(float(vector.norm()), 1e-12) if part.normalize else 1.0


def _half(values):
    return values.detach().cpu().double().numpy() / 2
