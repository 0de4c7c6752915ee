"""The parameters of an estimator that training reads, as one immutable value.

Input: an estimator with the parameters of `TwoTowerRecommender`.
Output: a ``Recipe``.
"""

from ._parameters import recipe_of

__all__ = ["Recipe"]


class Recipe(recipe_of("training")):
    """Parameters of `TwoTowerRecommender` that training uses, by the same names."""

    __slots__ = ()

    @property
    def takes_impressions(self):
        """Whether impressions count at any time."""
        return self.impression_weight > 0 and self.impression_start != 1
