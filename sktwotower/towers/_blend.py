"""Two pairs of towers side by side in one vector.

Input: two pairs of towers.
Output: a ``Blend``, whose vectors hold those of both.
"""

import math

import torch
from torch import nn

__all__ = ["Blend"]


class Blend(nn.Module):
    r"""Two pairs of towers whose scores are added.

    Parameters
    ----------
    first : TwoTower
        With a recent history, which predicts the next item, or with a pooled one.
    second : TwoTower
        Sees the mean of past items; predicts each from the others.
    share : float
        Share s of the second pair in the score, in [0, 1).

    Notes
    -----
    The vector of a user or an item is :math:`(\sqrt{1 - s} \, a, \sqrt{s} \, b)` with
    its vectors a and b from both pairs. So the dot product of two vectors is
    :math:`1 - s` times the score of the first pair plus s times that of the second, and
    the vector has unit length if a and b have.
    """

    def __init__(self, first, second, share):
        super().__init__()
        self.first = first
        self.second = second
        self.share = share

    @property
    def parts(self):
        """Both pairs of towers, each with its share in the score."""
        return (self.first, 1 - self.share), (self.second, self.share)

    @property
    def user_tower(self):
        """The user tower of the first pair."""
        return self.first.user_tower

    @property
    def item_tower(self):
        """The item tower of the first pair."""
        return self.first.item_tower

    @property
    def history(self):
        """The history of the first pair."""
        return self.first.history

    @property
    def normalize(self):
        """Whether vectors are of unit length."""
        return self.first.normalize

    def embed_items(self, rows):
        """Map item rows (n, q) to vectors (n, d)."""
        return self.joined(part.embed_items(rows) for part, _ in self.parts)

    def joined(self, vectors):
        """Return vectors (n, d), given those of both parts."""
        shares = (math.sqrt(share) for _, share in self.parts)
        return torch.cat([v * s for v, s in zip(vectors, shares, strict=True)], 1)
