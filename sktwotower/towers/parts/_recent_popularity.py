"""What is chosen more often now than in training, as a part that is computed.

Input: the item and the time of each event, two half-lives.
Output: a part of a model, next to towers that see the order of events.
"""

import numpy as np
import torch

from sktwotower._records import instance, number, record, require
from sktwotower._tables._sparse import BLOCK, column_counts, id_columns, slices
from sktwotower.runtime._model_arrays import PopularityArrays
from sktwotower.towers import _auto as auto
from sktwotower.towers.processes._group import most, summed

from ._part import Part
from ._start import add_to_ids
from ._tower import Tower
from ._two_towers import TwoTowers

# An item is raised or lowered by this logarithm at most: 55 times as many events.
MAX_LOG_RATIO = 4.0
# The same for popularity whatever the time: 3,000 times the events of the mean item.
MAX_LOG_COUNT = 8.0
# Events that each item has from the start, in shares of the mean of all items.
PRIOR = 0.1


@record
class RecentPopularity(TwoTowers):
    r"""A pair of linear towers that say how much more popular an item is now.

    Parameters
    ----------
    half_life : float
        That of popularity now, in units of the times.
    training_half_life : float or None
        That of the events in training. None: they did not age.
    towers : parameters of `TwoTowers`
        Both towers are a linear ``Tower``.

    Notes
    -----
    Item i has :math:`b_i = \log(r_i / p_i) / 4`, between -1 and 1. With the time
    :math:`a` since each event and the half-life h, :math:`r_i` is in proportion to
    :math:`\sum 2^{-a / h}` over the events of the item, plus a tenth of the mean of all
    items. :math:`p_i` is the same with the half-life of training. The vector of the
    item is :math:`(b_i, \sqrt{1 - b_i^2})`, that of all users is (1, 0). The share of
    the part makes the score, divided by the temperature, grow by
    :math:`\log(r_i / p_i)`: by the rule of Bayes, choices have this chance if users
    choose among items as before, but popularity has changed.
    """

    user_tower: instance(Tower)
    item_tower: instance(Tower)
    half_life: number(above=0)
    training_half_life: number(above=0) | None

    in_words = "recent popularity"
    is_trained = False
    is_signed = True
    is_popularity = True
    arrays_class = PopularityArrays
    # Its tables are computed, so that their size does not follow from a recipe.
    grown = Part.grown

    def __init__(self, half_life, training_half_life, **towers):
        super().__init__(**towers)
        self.half_life = half_life
        self.training_half_life = training_half_life

    @classmethod
    def share(cls, recipe, events, kinds):
        """Return its share, if there is a half-life: the order of events is known."""
        half_life = recipe.popularity_half_life
        if isinstance(half_life, tuple):  # its weights are learnt
            return 0.0
        if half_life is None or not raises_items(recipe, events):
            return 0.0
        weight = MAX_LOG_RATIO * auto.resolved(recipe, events).temperature
        return weight / (1 + weight)

    @classmethod
    def widths(cls, embedding_dim):
        """Return two numbers for it, which no other part lacks."""
        return embedding_dim, 2

    @classmethod
    def count_weights(cls, recipe, events):
        """Return how many weights it has: two tables."""
        return 2 * (events.users.rows.shape[1] + events.items.rows.shape[1])

    @classmethod
    def start(cls, plan, training, spectrum):
        """Return the part for the events that the towers are trained on."""
        events = plan.events
        towers = {
            "user_tower": Tower(events.users.rows.shape[1], 2),
            "item_tower": Tower(events.items.rows.shape[1], 2),
        }
        part = cls._of_recipe(plan.recipe, towers).eval()
        with torch.no_grad():
            for parameter in part.parameters():
                parameter.zero_()
            part.user_tower.bias[0] = 1.0
        part._start_items(events)
        return part.to(plan.recipe.device)

    @classmethod
    def _of_recipe(cls, recipe, towers):
        return cls(recipe.popularity_half_life, recipe.half_life, **towers)

    def _start_items(self, events):
        """Compute popularity for the events of fit."""
        self.learn_more(events, events.ordered, None)

    def learn_more(self, events, past, seen):
        """Compute popularity anew, as of the latest of all events ``past``."""
        rows = events.items.rows[:-1]
        training_half_life = self.training_half_life or np.inf
        ratios = log_ratios(
            past.items, past.times, rows.shape[0], self.half_life, training_half_life
        )
        self._set_items(rows, ratios / MAX_LOG_RATIO)

    def _set_items(self, rows, scores, of_new=0.0):
        """Let items have scores (n_items,), between -1 and 1, for all users.

        ``of_new``: the score of an item without an id known to fit.
        """
        bias = np.array([of_new, np.sqrt(1 - of_new**2)])
        vectors = np.column_stack([scores, np.sqrt(1 - scores**2)]) - bias
        with torch.no_grad():
            self.item_tower.bias.copy_(torch.from_numpy(bias))
            self.item_tower.sparse.weight.zero_()
        add_to_ids(self.item_tower.sparse, rows, vectors)

    def _check_stored(self, place):
        super()._check_stored(place)
        fits = self.item_tower.is_linear and self.normalize
        fits = fits and self.width == 2 and self.history is None
        require(fits, place, "linear towers with two numbers")


@record
class OverallPopularity(RecentPopularity):
    r"""A pair of linear towers that say how popular an item is, whatever the time.

    Notes
    -----
    In the place of :math:`b_i` of `RecentPopularity`, item i of n has :math:`\log(n
    p_i) / 8`, between -1 and 1; :math:`p_i` is in proportion to the number of its
    events, or of its users if the order of events is not known, plus a tenth of the
    mean of all items. Items of nobody have the lowest.
    """

    half_life: instance(type(None))

    in_words = "overall popularity"

    @classmethod
    def _of_recipe(cls, recipe, towers):
        return cls(None, None, **towers)

    def _start_items(self, events):
        """Compute popularity for the events of fit."""
        self._count(events, events.ordered, events.positives)

    def learn_more(self, events, past, seen):
        """Compute popularity anew, with further events."""
        self._count(events, past, seen)

    def _count(self, events, past, seen):
        """Count the events of each item, or its users if their order is not known."""
        n_items = seen.shape[1]
        if past is None:
            counts = column_counts(seen)
        else:
            counts = np.zeros(n_items, dtype=np.int64)
            # they may be larger than memory
            for block in slices(len(past.items), BLOCK):
                counts += np.bincount(past.items[block], minlength=n_items)
        counts = summed(counts)
        of_new = PRIOR / n_items
        shares = counts / counts.sum() + of_new
        mean = shares.mean()
        scores = np.clip(np.log(shares / mean) / MAX_LOG_COUNT, -1, 1)
        score_of_new = np.clip(np.log(of_new / mean) / MAX_LOG_COUNT, -1, 1)
        self._set_items(events.items.rows[:-1], scores, of_new=score_of_new)


def raises_items(recipe, events):
    """Return whether single items can be raised: by their ids, in unit vectors."""
    return recipe.normalize and id_columns(events.items.rows).any()


def log_ratios(items, times, n_items, half_life, training_half_life):
    """Return how much more popular items are now, (n_items,), between -4 and 4.

    See `RecentPopularity`. ``items`` and ``times`` (n_events,): the item and the time
    of each event, in each of several processes.
    """
    latest = -np.inf
    if len(times):
        latest = float(times.max())
    latest = most(latest)
    recent = np.zeros(n_items)
    of_training = np.zeros(n_items)
    for block in slices(len(items), BLOCK):  # they may be larger than memory
        ages = latest - times[block].astype(float)
        recent += np.bincount(items[block], np.exp2(-ages / half_life), n_items)
        weights = np.exp2(-ages / training_half_life)
        of_training += np.bincount(items[block], weights, n_items)
    sums = summed(np.stack([recent, of_training]))
    shares = sums / sums.sum(axis=1, keepdims=True) + PRIOR / n_items
    log_ratio = np.log(shares[0] / shares[1])
    return np.clip(log_ratio, -MAX_LOG_RATIO, MAX_LOG_RATIO)
