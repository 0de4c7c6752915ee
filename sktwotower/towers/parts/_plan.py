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
        if self.kind.is_trained:
            return 0
        return self.kind.n_components(self.recipe)

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
    main, *others = plans
    kept_back = [main._replace(before=before, known=known)]
    for plan in others:
        _, events_before = plan.kind.prepared(plan.recipe, before)
        _, events_known = plan.kind.prepared(plan.recipe, known)
        kept_back.append(plan._replace(before=events_before, known=events_known))
    return kept_back


def main_kind(recipe):
    """Return the kind of the first part, which takes what others leave."""
    return next(kind for kind in KINDS if kind.is_main(recipe))


def plans_of(recipe, events):
    """Return the ``Plan`` of each part of a model; the first one is trained."""
    main = main_kind(recipe)
    kinds = [main]
    shares = []
    for kind in KINDS:
        share = 0.0
        if kind is not main:
            share = kind.share(recipe, events, kinds)
        if share:
            kinds.append(kind)
            shares = [(1 - share) * earlier for earlier in shares]
            shares.append(share)
    main_length, *other_lengths = lengths(recipe.embedding_dim, kinds)
    of_main = resolved(recipe._replace(embedding_dim=main_length), events)
    plans = [Plan(main, 1 - sum(shares), of_main, events)]
    for kind, share, length in zip(kinds[1:], shares, other_lengths, strict=True):
        of_length = recipe._replace(embedding_dim=length)
        prepared, events_of_part = kind.prepared(of_length, events)
        plans.append(Plan(kind, share, prepared, events_of_part))
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
    recipe = plans[0].recipe
    events = plans[0].events
    width = sum(plan.recipe.embedding_dim for plan in plans)
    n_weights = sum(plan.n_weights for plan in plans)

    # In training: gradients, moments, the best weights so far and products of padded
    # matrices. Several processes divide all but the last.
    copies = 0
    if current_group() is None:
        copies = COPIES - 1 + n_moments(recipe.optimizer) + recipe.early_stopping
    n_of_training = 0
    for plan in plans:
        if plan.kind.is_trained:
            n_of_training = max(n_of_training, copies * plan.n_weights)
    # Later: the vectors of items in two types.
    n_of_vectors = 2 * events.positives.shape[1] * width
    if recipe.user_tower is not None and recipe.item_tower is not None:
        n_of_vectors = 0  # they may have any length
    else:
        n_of_training += SHAPE_STEP * width
    needed = n_weights + max(n_of_training, n_of_vectors)
    recipe = recipe._replace(embedding_dim=width)
    n_user_features, n_item_features, *_ = sizes_of(recipe, events)
    check_size(recipe, n_user_features, n_item_features, needed)


def lengths(embedding_dim, kinds):
    """Return how long the vectors of each of some kinds of parts are together."""
    left = embedding_dim
    of_others = []
    for kind in kinds[1:]:
        left, length = kind.widths(left)
        of_others.append(length)
    if left == "auto":
        left = WIDTH
    return [left, *of_others]


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
        self.chosen = chosen
        self.n_components = n_components
        self.seed = seed
        self.spectrum = None

    def __call__(self, k):
        """Return a ``Spectrum`` of at least k singular vectors."""
        if self.spectrum is None:
            k = max(k, self.n_components)
            self.spectrum = spectrum_of(self.chosen, k, self.seed)
        return self.spectrum
