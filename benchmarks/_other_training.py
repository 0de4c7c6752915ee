"""Training as it would be without one of its ideas, or with one that we left out.

Input: the name of a change of `CHANGES`, which no parameter makes.
Output: a context in which models are fitted with it.
"""

import copy
from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import torch

from sktwotower.towers.batches import _sequence_batches
from sktwotower.towers.batches._sequence_batches import SequenceSet
from sktwotower.towers.losses import _losses
from sktwotower.towers.parts import _filter
from sktwotower.towers.parts._two_towers import TwoTowers

# SL@K: the rank at which the loss is cut, and how soft the cut is, in cosines.
RANK, SOFTNESS = 20, 0.3
# The penalty of the filter that is a regression, where no singular value is above 1.
PENALTY = 0.1


@contextmanager
def past_items_as_negatives():
    """Let a prediction compare the next item with those of the past, too."""
    with mock.patch.object(_sequence_batches, "_seen", lambda *args: None):
        yield


@contextmanager
def tables_apart():
    """Train the vectors of past items and of candidates apart from one another."""
    with mock.patch.object(TwoTowers, "tied", lambda self: nullcontext()):
        yield


@contextmanager
def as_if_chosen_again():
    """Train with both changes above, and with -log p."""
    never = property(lambda self: False, lambda self, value: None)
    with past_items_as_negatives():
        with mock.patch.object(SequenceSet, "ties_items", never):
            yield


@contextmanager
def cut_at_rank():
    """Weigh each positive by how far its score is above that of the last place.

    The weight is the sigmoid of (score of the positive - score of place K) / softness
    (Yang et al., Breaking the top-K barrier, KDD 2025). Place K is that among the
    candidates of the batch.
    """
    of_tile = _losses._loss_of_tile

    def weighed(factors, targets, tile, loss):
        targets = copy.copy(targets)
        targets.weights = targets.weights.clone()
        own = slice(*targets.starts[[tile.start, tile.stop]].tolist())
        targets.weights[own] *= weights_at_rank(factors, targets, tile, loss)
        return of_tile(factors, targets, tile, loss)

    with mock.patch.object(_losses, "_loss_of_tile", weighed):
        yield


def weights_at_rank(factors, targets, tile, loss):
    """Return the weight (n,) of each positive of a tile of users."""
    items = factors.items[: factors.n_items]
    scores = (factors.users[tile] @ items.T).float() * loss.temperature
    last = scores.topk(min(RANK, factors.n_items)).values[:, -1]
    own = slice(*targets.starts[[tile.start, tile.stop]].tolist())
    per_user = targets.offsets[tile.start : tile.stop + 1].diff()
    rows = torch.repeat_interleave(torch.arange(len(scores)), per_user)
    chosen = scores[rows, targets.columns[own]]
    return ((chosen - last[rows]) / SOFTNESS).sigmoid().to(targets.weights.dtype)


@contextmanager
def filter_as_ease():
    """Let the linear filter be EASE of the same singular vectors.

    With the singular values s, the weights of past items are those of a regression of
    the normalized events on themselves: V diag(s^2 / (s^2 + penalty)) V^T, of which
    column j is divided by 1 minus its entry j, so that no item predicts itself.
    """
    make, scaled = _filter.linear_filter, _filter._scaled

    def start(cls, plan, training, spectrum):
        k = cls.n_components(plan.recipe)
        found = spectrum(k)
        squares = found.values[:k] ** 2
        vectors = found.vectors[:, :k] * np.sqrt(squares / (squares + PENALTY))
        own = (vectors**2).sum(axis=1, keepdims=True)

        def without_own(rows, of_lengths):
            return scaled(
                rows / (1 - own) if of_lengths is np.max else rows, of_lengths
            )

        with mock.patch.object(_filter, "_scaled", without_own):
            part = make(vectors, found.counts, training.item_rows)
        return part.to(plan.recipe.device)

    with mock.patch.object(_filter.LinearFilter, "start", classmethod(start)):
        yield


CHANGES = {
    "tables_apart": tables_apart,
    "past_items_as_negatives": past_items_as_negatives,
    "as_if_chosen_again": as_if_chosen_again,
    "cut_at_rank": cut_at_rank,
    "filter_as_ease": filter_as_ease,
}
