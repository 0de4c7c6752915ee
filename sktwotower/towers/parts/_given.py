"""Towers of which the user has given at least one.

Input: events, and torch modules.
Output: the only part of a model.
"""

from sktwotower._records import record

from ._two_towers import TwoTowers


@record
class GivenTowers(TwoTowers):
    """Trained towers, one or both of them modules of the user.

    The parameters are those of `TwoTowers`.
    """

    @classmethod
    def is_main(cls, recipe):
        """Return whether it can be the first part of a model."""
        return recipe.user_tower is not None or recipe.item_tower is not None
