"""Of which parts a model consists.

Input: a ``Recipe`` and ``Events``.
Output: a ``Plan`` for each part.
"""

from typing import NamedTuple

from sktwotower.towers._auto import WIDTH, resolved
from sktwotower.towers._recipe import Recipe
from sktwotower.towers.operators._autograd import SHAPE_STEP
from sktwotower.towers.parts._spectrum import spectrum_of
from sktwotower.towers.processes._group import current_group
from sktwotower.towers.training._optimizer import n_moments

from ._filter import LinearFilter
from ._group_popularity import WIDTH as GROUP_WIDTH
from ._group_popularity import GroupPopularity
from ._recent_popularity import OverallPopularity, RecentPopularity, raises_items
from ._start import sizes_of
from ._trained import GivenTowers, PooledTowers, RecentTowers
from ._two_towers import COPIES, check_size

# All kinds of parts, in the order in which they are asked for their share.
KINDS = [GivenTowers, RecentTowers, PooledTowers, LinearFilter, RecentPopularity]


class Plan(NamedTuple):
    """A part to be made: its kind, its share in the score, and what it is made from.

    ``before``: the events without those that are learnt last, and ``known``: what is
    known when requests ask for these; None: all events are learnt alike.
    ``divisions``: which process holds which rows of tables, or None; see `divisions`.
    """

    kind: type
    share: float
    recipe: Recipe
    events: object
    divisions: dict | None = None
    before: object = None
    known: object = None

    @property
    def n_components(self):
        """Number of singular vectors of the events that it needs, if not trained."""
        return 0 if self.kind.is_trained else self.kind.n_components(self.recipe)

    @property
    def n_weights(self):
        """Least number of its weights."""
        return self.kind.count_weights(self.recipe, self.events)

    def learning_all(self, context_weights):
        """Return a plan of which all events are learnt alike.

        ``context_weights`` (p,): how much each feature of contexts counts, or None.
        """
        events = self.events.with_context_weights(context_weights)
        return self._replace(events=events, before=None, known=None)


def with_kept_back(plans, before, known):
    """Return plans of which some ``Events`` are learnt last; see `Plan`."""
    first, *others = plans
    found = [first._replace(before=before, known=known)]
    for plan in others:
        _, seen = plan.kind.prepared(plan.recipe, before)
        _, seen_then = plan.kind.prepared(plan.recipe, known)
        found.append(plan._replace(before=seen, known=seen_then))
    return found


def main_kind(recipe):
    """Return the kind of the first part, which takes what others leave."""
    return next(kind for kind in KINDS if kind.is_main(recipe))


def plans_of(recipe, events):
    """Return the ``Plan`` of each part of a model; the first one is trained."""
    kinds, shares = [main_kind(recipe)], []
    for kind in KINDS:
        share = 0.0 if kind is kinds[0] else kind.share(recipe, events, kinds)
        if share:
            kinds.append(kind)
            shares = [(1 - share) * each for each in shares] + [share]
    first, *others = lengths(recipe.embedding_dim, kinds)
    first = resolved(recipe._replace(embedding_dim=first), events)
    plans = [Plan(kinds[0], 1 - sum(shares), first, events)]
    for kind, share, length in zip(kinds[1:], shares, others, strict=True):
        prepared, seen = kind.prepared(recipe._replace(embedding_dim=length), events)
        plans.append(Plan(kind, share, prepared, seen))
    plans += _popularity_plans(recipe, events)
    _check_size(plans)
    return plans


def _popularity_plans(recipe, events):
    """Return the ``Plan`` of each popularity whose weight is learnt.

    One is that of all times, one that among users with the same features, and the
    others have half-lives. Their shares are 0 until then.
    """
    half_lives = recipe.popularity_half_life
    if not isinstance(half_lives, tuple) or not raises_items(recipe, events):
        return []
    recipe = recipe._replace(embedding_dim=2)
    plans = [Plan(OverallPopularity, 0.0, recipe, events)]
    for half_life in half_lives:
        recent = recipe._replace(popularity_half_life=half_life)
        plans.append(Plan(RecentPopularity, 0.0, recent, events))
    if GroupPopularity.can_be(recipe, events):
        grouped = recipe._replace(embedding_dim=GROUP_WIDTH)
        plans.append(Plan(GroupPopularity, 0.0, grouped, events))
    return plans


def _check_size(plans):
    """Raise ``ValueError`` if a model cannot fit into memory, before it is begun."""
    recipe, events = plans[0].recipe, plans[0].events
    width = sum(plan.recipe.embedding_dim for plan in plans)
    # The weights of all parts; and in training gradients, moments, the best weights so
    # far and products of padded matrices, or later the vectors of items in two types.
    copies = COPIES - 1 + n_moments(recipe.optimizer) + recipe.early_stopping
    copies *= current_group() is None  # several processes divide them
    training = [copies * plan.n_weights for plan in plans if plan.kind.is_trained]
    known = None in (recipe.user_tower, recipe.item_tower)  # else of any length
    steps, vectors = SHAPE_STEP * width, 2 * events.positives.shape[1] * width
    needed = sum(plan.n_weights for plan in plans)
    needed += max(max(training) + known * steps, known * vectors)
    recipe = recipe._replace(embedding_dim=width)
    check_size(recipe, *sizes_of(recipe, events)[:2], needed)


def lengths(embedding_dim, kinds):
    """Return how long the vectors of each of some kinds of parts are together."""
    left, found = embedding_dim, []
    for kind in kinds[1:]:
        left, length = kind.widths(left)
        found.append(length)
    return [WIDTH if left == "auto" else left, *found]


class SharedSpectrum:
    """The singular vectors of events that several parts need, computed once.

    Parameters
    ----------
    chosen : CSR matrix of shape (n_users, n_items)
        Weights of the events.
    n_components : int
        Number of singular vectors that other parts need.
    seed : int
        Of the randomized algorithm.
    """

    def __init__(self, chosen, n_components, seed):
        self.chosen, self.n_components, self.seed = chosen, n_components, seed
        self.found = None

    def __call__(self, k):
        """Return a ``Spectrum`` of at least k singular vectors."""
        if self.found is None:
            self.found = spectrum_of(self.chosen, max(k, self.n_components), self.seed)
        return self.found
