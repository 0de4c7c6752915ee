"""Of which parts a model consists.

Input: a ``Recipe`` and ``Events``.
Output: a ``Plan`` for each part.
"""

from typing import NamedTuple

from sktwotower.towers._auto import WIDTH, resolved
from sktwotower.towers._recipe import Recipe
from sktwotower.towers._spectrum import spectrum_of

from ._filter import LinearFilter
from ._given import GivenTowers
from ._pooled import PooledTowers
from ._recent import RecentTowers

# All kinds of parts, in the order in which they are asked for their share.
KINDS = [GivenTowers, RecentTowers, PooledTowers, LinearFilter]


class Plan(NamedTuple):
    """A part to be made: its kind, its share in the score, and what it is made from.

    ``divisions``: which process holds which rows of tables, or None; see `divisions`.
    """

    kind: type
    share: float
    recipe: Recipe
    events: object
    divisions: dict | None = None

    @property
    def n_components(self):
        """Number of singular vectors of the events that it needs, if not trained."""
        return 0 if self.kind.is_trained else self.kind.n_components(self.recipe)


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
            shares.append(share)
    first, *others = lengths(recipe.embedding_dim, kinds)
    first = resolved(recipe._replace(embedding_dim=first), events)
    plans = [Plan(kinds[0], 1 - sum(shares), first, events)]
    for kind, share, length in zip(kinds[1:], shares, others, strict=True):
        prepared, seen = kind.prepared(recipe._replace(embedding_dim=length), events)
        plans.append(Plan(kind, share, prepared, seen))
    return plans


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
            size = max(k, self.n_components)
            self.found = spectrum_of(self.chosen, size, self.seed)
        return self.found
