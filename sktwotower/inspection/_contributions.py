"""Contributions of features and past items to the score of one pair.

Input: feature rows, CSR, of one user (1, p), of the past items and of one item (1, q).
Output: the score, and the contribution of each stored value, arrays (nnz,).
"""

from typing import NamedTuple

import numpy as np
import torch

from sktwotower.towers._modules import SparseRows, Tower, run_tower

__all__ = ["Contributions", "contributions", "contributions_of_blend", "is_linear"]


class Contributions(NamedTuple):
    """Contributions that add up to the score of one pair.

    ``user`` (nnz,), ``history`` (n_past,) and ``item`` (nnz,) belong to the stored
    values of the rows, ``user_rest`` and ``item_rest`` to no single value. ``fold_in``
    is the change of the score by fold-in.
    """

    score: float
    user: np.ndarray
    history: np.ndarray
    user_rest: float
    item: np.ndarray
    item_rest: float
    fold_in: float


@torch.inference_mode(False)
def contributions(module, user_rows, past_rows, item_rows, user_vector=None, lags=None):
    """Return the contribution of each input of both towers to the score of a pair.

    Parameters
    ----------
    module : TwoTower
    user_rows : CSR matrix of shape (1, p)
    past_rows : CSR matrix of shape (n_past, q)
        Feature rows of the user's past items.
    item_rows : CSR matrix of shape (1, q)
    user_vector : array of shape (d,), default=None
        The user's unit vector after fold-in. None: the output of the tower is used.
    lags : array of shape (n_past,), default=None
        Lags of the past items. None: all have the same weight.

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
    if module.training:
        module.eval()
    device = next(module.parameters()).device
    user, past, item = (
        SparseRows.from_csr(rows).to(device)
        for rows in (user_rows, past_rows, item_rows)
    )
    with torch.no_grad():
        past_vectors = pooled = None
        if module.history is not None:
            pooled, past_vectors = _past_vectors(module.history, past, lags, device)
        vectors = [
            module.run_user_tower(user, pooled).double(),
            run_tower(module.item_tower, item).double(),
        ]
        lengths = [_length(module, vector) for vector in vectors]
        user_slope = vectors[1] / np.prod(lengths)
        of_tower = score = float((vectors[0] * user_slope).sum())
        if user_vector is not None:
            vectors[0] = torch.as_tensor(user_vector[None]).to(vectors[0]) * lengths[0]
            score = float((vectors[0] * user_slope).sum())
        item_slope = vectors[0] / np.prod(lengths)
    own, slope = _of_values(module.user_tower, user, pooled, user_slope, "user")
    of_item, _ = _of_values(module.item_tower, item, None, item_slope, "item")
    history = own[:0] if pooled is None else past_vectors.double() @ slope.double()
    own, history, of_item = (
        part.detach().cpu().double().numpy() / 2 for part in (own, history, of_item)
    )
    return Contributions(
        score,
        own,
        history,
        of_tower / 2 - own.sum() - history.sum(),
        of_item,
        score / 2 - of_item.sum(),
        (score - of_tower) / 2,
    )


def contributions_of_blend(
    blend, user_rows, past_rows, item_rows, user_vector=None, lags=None, last=None
):
    """Return the contributions of two pairs of towers, by their shares in the score.

    Parameters
    ----------
    blend : Blend
    user_rows, past_rows, item_rows, user_vector, lags
        As in `contributions`, oldest past item first.
    last : bool array of shape (n_past,), default=None
        With ``lags``, whether the item does not occur again; the pooled history counts
        it there.

    Returns
    -------
    Contributions
    """
    n_past = past_rows.shape[0]
    counted = [np.ones(n_past, dtype=bool)] * 2
    if lags is not None:
        counted = [np.arange(n_past) >= n_past - blend.history.max_history, last]
        lags = lags[counted[0]]
    vectors = [user_vector, None]
    if user_vector is not None:  # the second pair of a folded vector is unchanged
        width = len(user_vector) - blend.second.history_table.weight.shape[1]
        vectors[0] = user_vector[:width] / blend.scales("user")[0]
    total = [0.0] * len(Contributions._fields)
    given = zip(blend.parts, counted, vectors, [lags, None], strict=True)
    for (part, share), places, vector, own_lags in given:
        rows = user_rows, past_rows[places], item_rows
        values = contributions(part, *rows, vector, own_lags)
        history = np.zeros(n_past)
        history[places] = values.history
        values = values._replace(history=history)
        total = [
            sum_ + share * value for sum_, value in zip(total, values, strict=True)
        ]
    return Contributions(*total)


def _past_vectors(history, past_items, lags, device):
    """Return what the past adds to the first layer, (1, width), and each item of it."""
    if lags is None:
        vectors = history(past_items) / max(1, len(past_items))
        return vectors.sum(dim=0, keepdim=True), vectors
    return history.each(past_items, torch.as_tensor(lags, device=device))


def is_linear(tower):
    """Return whether a tower is one of ours without hidden layers."""
    return isinstance(tower, Tower) and len(tower.layers) == 0


def _length(module, vector):
    # the same lower bound as in unit_rows
    return max(float(vector.norm()), 1e-12) if module.normalize else 1.0


def _of_values(tower, rows, pooled, slope, side):
    """Return each value's gradient times input (nnz,), and the slope of the history.

    ``slope`` (1, d) is the gradient of the score with respect to the tower's output.
    """
    if not isinstance(tower, Tower):
        return rows.values * _gradient(tower, rows, slope, side), slope[0]
    # The first layer adds up values, history and bias, so they all share the gradient
    # with respect to that sum.
    if pooled is None:
        pooled = rows.values.new_zeros(1, tower.input_width)
    with torch.enable_grad():
        joined = pooled.detach().clone().requires_grad_()
        output = tower(rows, joined)
        (gradient,) = torch.autograd.grad(output, joined, slope.to(output.dtype))
    weights = tower.sparse.weight.detach()[rows.indices].to(gradient.dtype)
    return rows.values * (weights @ gradient[0]), gradient[0]


def _gradient(tower, rows, slope, side):
    """Return gradient with respect to the stored values (nnz,) of one sparse row."""
    for dense in (False, True):  # a few operators have no gradient for sparse tensors
        with torch.enable_grad():
            values = rows.values.clone().requires_grad_()
            given = SparseRows(rows.indices, rows.offsets, values, rows.n_columns)
            given = given.to_torch()
            try:
                output = tower(given.to_dense() if dense else given)
                if not output.requires_grad:
                    return torch.zeros_like(values)
                (gradient,) = torch.autograd.grad(
                    output, values, slope.to(output.dtype), allow_unused=True
                )
            except (RuntimeError, AttributeError, TypeError) as failure:
                error = failure
                continue
        return torch.zeros_like(values) if gradient is None else gradient
    raise ValueError(
        f"{side}_tower has no gradient with respect to its input, sparse or dense, "
        "which explaining a tower of your own needs. Use torch operators with a "
        f"gradient. The error was: {error}"
    ) from error
