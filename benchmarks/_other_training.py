"""Training as it would be without one of its ideas, or with one that we left out.

Input: the name of a change of `CHANGES`, which no parameter makes.
Output: a context in which models are fitted with it.
"""

import copy
from contextlib import contextmanager, nullcontext
from unittest import mock

import torch

from sktwotower.towers import _losses, _sequence_batches
from sktwotower.towers._sequence_batches import SequenceSet
from sktwotower.towers.parts._two_towers import TwoTowers

# SL@K: the rank at which the loss is cut, and how soft the cut is, in cosines.
RANK, SOFTNESS = 20, 0.3


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
    """Train as where users choose items again: as the two above, and with -log p."""
    with mock.patch.object(SequenceSet, "chosen_once", lambda self: False):
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


CHANGES = {
    "tables_apart": tables_apart,
    "past_items_as_negatives": past_items_as_negatives,
    "as_if_chosen_again": as_if_chosen_again,
    "cut_at_rank": cut_at_rank,
}
