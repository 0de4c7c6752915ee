"""Batches of which each process gets the part of its own users.

Input: a training set, the same one in all processes.
Output: per batch, a ``Share`` of its users and their ``Targets``.
"""

import numpy as np
import torch

from ._batches import UserBatches
from ._group import current_group
from ._sequence_batches import SequenceBatches


class Share:
    """The part of a batch that one process computes.

    Parameters
    ----------
    batch : Batch or None
        Inputs of both towers for its users. None: it has no users.
    n_users : int
        Number of users in the whole batch.
    """

    def __init__(self, batch, n_users):
        self.batch = batch
        self.n_users = n_users

    def __len__(self):
        return self.n_users


class _SharedSampler:
    """A ``CandidateSampler`` whose candidates are those of the whole batch."""

    def __init__(self, sampler):
        self.sampler = sampler

    def prepare(self, positives, impressions, rng):
        """Draw the candidates of a whole batch; see `CandidateSampler.draw`."""
        self.batch_size = positives.shape[0]
        self.drawn = self.sampler.draw(positives, impressions, rng)

    def draw(self, *own):
        """Return the candidates of the whole batch and their log-probabilities."""
        return self.drawn

    def log_prob(self, batch_size):
        """Return the log-probability of each item to be one of them."""
        return self.sampler.log_prob(self.batch_size)


class _Shares:
    """Mixin of batches: each process gets its own users of every batch.

    The order of users and the candidates are the same in all processes, as in a single
    one. What is hidden in training is drawn by each process for itself, anew in each
    epoch.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        group = current_group()
        self.rank, self.size = (0, 1) if group is None else (group.rank, group.size)
        self.sampler = _SharedSampler(self.sampler)

    def __iter__(self):
        # from the state of the shared generator, so that a checkpoint needs no other
        seed = [self.rank, self.rng.bit_generator.state["state"]["state"]]
        self.own_rng = np.random.default_rng(seed)
        torch.manual_seed(int(self.own_rng.integers(2**62)))
        return super().__iter__()

    def _batch(self, users):
        """Return the ``Share`` of an array of user positions, and its ``Targets``."""
        own = np.array_split(users, self.size)[self.rank]
        positives = self.dataset.positives[users]
        self.sampler.prepare(positives, self._shown(users), self.rng)
        if not len(own):
            return Share(None, len(users)), None
        shared, self.rng = self.rng, self.own_rng
        try:
            batch, targets = super()._batch(own)
        finally:
            self.rng = shared
        return Share(batch, len(users)), targets


class SharedUserBatches(_Shares, UserBatches):
    """``UserBatches`` of which each process gets the part of its own users."""

    alone = UserBatches

    def _shown(self, users):
        """Return the impressions of users (b, n_items), or None."""
        impressions = self.dataset.impressions
        return None if impressions is None else impressions[users]


class SharedSequenceBatches(_Shares, SequenceBatches):
    """``SequenceBatches`` of which each process gets the part of its own users."""

    alone = SequenceBatches

    def _shown(self, users):
        """Return the impressions at the predicted events of users, or None."""
        if self.dataset.impressions is None:
            return None
        events, real = self._events(users)
        predicted = events[real & (self.table.weights[events] > 0)]
        return self.dataset.impressions[predicted]


def shared_batches(batches):
    """Return the class whose batches are shared, for a class of batches."""
    known = {
        shared.alone: shared for shared in (SharedUserBatches, SharedSequenceBatches)
    }
    if batches not in known:
        raise ValueError(
            "Several processes can share the batches of this package only. Got "
            f"net_params={{'iterator_train': {batches!r}}}: train in one process, or "
            "leave it out."
        )
    return known[batches]
