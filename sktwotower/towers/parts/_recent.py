"""Towers whose users are known by their past items in order.

Input: events in the order of time.
Output: the first part of a model.
"""

from sktwotower._records import record

from ._two_towers import TwoTowers


@record
class RecentTowers(TwoTowers):
    """Trained towers that predict each next item of a user.

    The parameters are those of `TwoTowers`.
    """

    @classmethod
    def is_main(cls, recipe):
        """Return whether it can be the first part of a model."""
        return recipe.history == "recent"
