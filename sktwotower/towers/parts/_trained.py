"""Kinds of trained parts, by what is known of a user.

Input: events, in order or not.
Output: parts of a model.
"""

from sktwotower._records import record
from sktwotower.towers import _auto as auto
from sktwotower.towers.histories import PooledHistory
from sktwotower.towers.training._callbacks import monitors_validation

from ._two_towers import TwoTowers


@record
class GivenTowers(TwoTowers):
    """Trained towers, one or both of them modules of the user.

    The parameters are those of `TwoTowers`.
    """

    in_words = "your towers"

    @classmethod
    def is_main(cls, recipe):
        """Return whether it can be the first part of a model."""
        return recipe.user_tower is not None or recipe.item_tower is not None


@record
class RecentTowers(TwoTowers):
    """Trained towers that predict each next item of a user.

    The parameters are those of `TwoTowers`.
    """

    @property
    def in_words(self):
        """What it is, in tables of weights."""
        return f"towers, {self.history.in_words}"

    @classmethod
    def is_main(cls, recipe):
        """Return whether it can be the first part of a model."""
        return recipe.history.sees_order


@record
class PooledTowers(TwoTowers):
    """Trained towers that predict each item of a user from the others.

    Next to `RecentTowers` they have a quarter of the vectors. The parameters are those
    of `TwoTowers`.
    """

    in_words = "towers, pooled history"

    @classmethod
    def is_main(cls, recipe):
        """Return whether it can be the first part of a model."""
        return not recipe.history.sees_order

    @classmethod
    def share(cls, recipe, events, kinds):
        """Return its share next to towers that see the order of events."""
        if kinds != [RecentTowers] or recipe.embedding_dim == 1:
            return 0.0
        if events.everything_is_chosen():  # no negatives for a pooled history
            return 0.0
        return auto.values_of_kind(recipe, events).second_share

    @classmethod
    def widths(cls, embedding_dim):
        """Return three quarters of the vectors, and one for it."""
        length = embedding_dim
        if length == "auto":
            length = auto.WIDTH
        quarter = max(1, length // 4)
        return length - quarter, quarter

    @classmethod
    def prepared(cls, recipe, events):
        """Return the recipe and the events, with weights by age, of a second part.

        Callbacks belong to the first one.
        """
        if events.ordered is not None:
            of_pairs = None
            if events.contexts is not None:
                of_pairs = events.contexts.of_pairs(events.ordered)
            events = events._replace(
                positives=events.ordered.pairs(), of_pairs=of_pairs
            )
        stops = recipe.early_stopping or monitors_validation(recipe.callbacks)
        recipe = recipe._replace(
            history=PooledHistory(), callbacks=None, early_stopping=stops
        )
        recipe = auto.with_values(recipe, auto.SECOND_PAIR)
        return auto.resolved(recipe, events), events
