"""Fold-in: vectors of new users, improved with the items they chose.

Input: unit vectors (n, d) from the user tower, and sums (n, d) of past item vectors.
Output: unit vectors (n, d), closer to those that training would have learnt.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch

from sktwotower._records import record
from sktwotower._tables._sparse import column_counts
from sktwotower.runtime._model_arrays import FoldInArrays, as_float, softmax_sample
from sktwotower.towers.parts import distinct_ones, embed_items


def fold_in_of(fitted, vectors):
    """Return the fold-in of the first part of fitted towers, or None.

    ``vectors`` (n_items, d): those of the catalog. None: the part does not fold in,
    or there are no events.
    """
    first = fitted.model.first
    if not first.folds_in or fitted.sequences is not None:
        return None
    counts = column_counts(fitted.seen)
    places, weights = softmax_sample(counts)
    if len(places) == 0:  # `forget_items` may leave no event
        return None
    if len(fitted.model.parts) > 1 or places.max() >= len(vectors):
        vectors = embed_items(first, fitted.items.rows[places])
    else:
        vectors = vectors[places]
    return FoldIn(vectors, counts[places], weights, fitted.temperature)


class FoldInOfNew(NamedTuple):
    """Folds users in who are asked for as if they were new, while a model is judged.

    Parameters
    ----------
    counts : array of shape (n_items,)
        Number of events of each item that are known by then.
    temperature : float
        Temperature of training, > 0.
    """

    counts: np.ndarray
    temperature: float

    def __call__(self, part, users, past, item_rows):
        """Return the vectors (n, d) of users of a part, those with past items moved.

        ``past``: CSR (n, n_items), of which only the places count. ``item_rows``:
        feature rows of all items.
        """
        places, weights = softmax_sample(self.counts)
        of_sample = embed_items(part, item_rows[places])
        fold_in = FoldIn(of_sample, self.counts[places], weights, self.temperature)
        n_past = np.diff(past.indptr)
        with_past = np.flatnonzero(n_past)
        chosen = distinct_ones(past[with_past])
        sums = chosen @ embed_items(part, item_rows)
        moved = users.copy()
        moved[with_past] = fold_in(users[with_past], sums, n_past=n_past[with_past])
        return moved


@record
class FoldIn(FoldInArrays):
    r"""Compute the vector of a new user from a history, with item vectors held fixed.

    Parameters
    ----------
    vectors : array of shape (m, d), float32
        Unit vectors of items.
    counts : array of shape (m,)
        Number of events of each, > 0.
    weights : array of shape (m,)
        Number of items that each represents in the softmax, > 0.
    temperature : float
        Temperature of training, > 0.

    Notes
    -----
    Let a be the output of the user tower, H the user's n past items and T the
    temperature. The unit vector u is moved towards the maximum of

    .. math::
        \sum_{i \in H} \log \frac{e^{\langle u, v_i \rangle / T}}
        {\sum_j w_j e^{\langle u, v_j \rangle / T}} - \frac{100 + n}{2} |u - a|^2

    where j runs over all items and :math:`w_j` are their ``weights``: the likelihood
    that training maximizes for the users of fit, with a penalty on the distance from
    the tower's output. Three Newton steps are taken on the unit sphere. They replace
    the covariance of items under each user's softmax by :math:`\Sigma`, the covariance
    under popularity, so that a step divides by :math:`n \Sigma / T^2 + 100 + n` along
    the eigenvectors of :math:`\Sigma`. A step costs two products of (n_users, d) and
    (d, m).

    "Folding in" is the term of latent semantic analysis (Deerwester et al., JASIS 1990)
    for adding a new row to a factorized matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.recommender import FoldIn
    >>> items = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    >>> fold_in = FoldIn(items, np.ones(3), np.ones(3), temperature=0.2)
    >>> tower = np.array([[0.6, 0.8]], dtype=np.float32)
    >>> fold_in(tower, items[[0]], np.ones(1)).round(2)  # chose the first item
    array([[0.64, 0.77]], dtype=float32)
    """

    def __init__(self, vectors, counts, weights, temperature) -> None:
        self.vectors = vectors
        self.log_weights = np.log(weights)
        self.temperature = temperature
        shares = np.asarray(counts, dtype=float) * weights
        shares /= shares.sum()
        centred = vectors - shares @ vectors
        spread, axes = np.linalg.eigh(centred.T @ (centred * shares[:, None]))
        self.spread = np.maximum(spread, 0)
        self.axes = axes.astype(np.float32)

    def _without_known(self, vectors):
        """Return a copy without its vectors, if they equal known ones, or None."""
        copied = copy.copy(self)
        if vectors is not None and np.array_equal(vectors, self.vectors):
            copied.vectors = None
        return copied

    def _expected(self, users):
        """Return the mean item vector (n, d) under the softmax of each user (n, d)."""
        if len(users) == 1:  # numpy takes two thirds of the time of torch
            return super()._expected(users)
        items = as_float(self.vectors)
        log_weights = as_float(self.log_weights)
        items = torch.from_numpy(items)
        logits = torch.from_numpy(users) @ items.T / self.temperature
        shares = torch.softmax(logits + torch.from_numpy(log_weights), 1)
        return (shares @ items).numpy()
