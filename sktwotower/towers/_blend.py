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
    fade : float, default=1.0
        Factor f of what the second pair says of users, in (0, 1].

    Notes
    -----
    The vector of an item is :math:`(\sqrt{1 - s} \, a, \sqrt{s} \, b)` with its vectors
    a and b from both pairs; that of a user is :math:`(\sqrt{1 - s} \, a, f \sqrt{s} \,
    b)`, divided by its length, if a and b have unit length. So the dot product of two
    vectors is in proportion to :math:`1 - s` times the score of the first pair plus f s
    times that of the second. ``fade`` leaves the vectors of items as they are.
    """

    def __init__(self, first, second, share, fade=1.0):
        super().__init__()
        self.first = first
        self.second = second
        self.share = share
        self.fade = fade

    @property
    def pairs(self):
        """Both pairs of towers."""
        return self.first, self.second

    @property
    def parts(self):
        """Both pairs of towers, each with its factor in the score."""
        sides = zip(self._squares("user"), self._squares("item"), strict=True)
        factors = (math.sqrt(user * item) for user, item in sides)
        return tuple(zip(self.pairs, factors, strict=True))

    @property
    def share_now(self):
        """Share of the second pair in the score, with ``fade``."""
        faded = self.fade * self.share
        return faded / (1 - self.share + faded)

    def scales(self, side):
        """Return the factors of the vectors of both parts, of "user" or "item"."""
        return [math.sqrt(each) for each in self._squares(side)]

    def _squares(self, side):
        fade = self.fade if side == "user" else 1.0
        squares = 1 - self.share, fade**2 * self.share
        return [each / sum(squares) for each in squares]

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
        parts = self.pairs
        return self.joined([part.embed_items(rows) for part in parts], "item")

    def joined(self, vectors, side):
        """Return vectors (n, d) of "user" or "item", given those of both parts."""
        scaled = zip(vectors, self.scales(side), strict=True)
        return torch.cat([vector * scale for vector, scale in scaled], 1)
