"""A low-pass filter of events, computed and not trained.

Input: the leading singular vectors of who chose what, and feature rows of items.
Output: a part of a model, next to towers that are trained.
"""

import numpy as np
import torch
from scipy import sparse

from sktwotower._records import instance, record, require
from sktwotower._tables._sparse import column_counts, id_columns
from sktwotower.runtime._tower_arrays import PastOnlyArrays
from sktwotower.towers._auto import FILTER_WIDTH, WIDTH
from sktwotower.towers.histories import PooledLayer
from sktwotower.towers.processes._group import summed

from ._part import Part
from ._start import MAX_SVD_NUMBERS, add_to_ids
from ._tower import Tower
from ._trained import PooledTowers
from ._two_towers import TwoTowers

# Numbers of a vector that hold no singular vector: they give all vectors length one.
N_PADS = 2
# Bias of those: the whole vector of whoever has nothing else, and nothing to others.
PAD = 1e-6
# A filter of fit knows the events of fit only: one hundredth of further ones halves its
# weight in the score. In a shop, what came next was found best with that or more.
FADE = 100.0
# In shorter vectors, all entries are better left to the towers.
MIN_LENGTH = 384
# Factor and power of the noise of events in the weight of the filter.
WEIGHT = 0.06
POWER = 1.5


@record
class PastOnly(torch.nn.Module):
    """A user tower that sees nothing of a user except the past.

    Parameters
    ----------
    bias : Tensor of shape (width,)
    """

    _stored_as = PastOnlyArrays

    is_linear = True

    def __init__(self, bias):
        super().__init__()
        self.bias = torch.nn.Parameter(bias)
        self.widths = [len(bias)]

    def _stored_parts(self):
        return {"bias_of_all": self.bias.detach().cpu().numpy()}

    @classmethod
    def _of_stored(cls, bias_of_all):
        return cls(torch.from_numpy(bias_of_all)).eval()

    def forward(self, rows, pooled, owners=None):
        """Map a pooled history (n, width) to vectors (n, width), float64."""
        return (self.bias.expand(len(rows), -1) + pooled).double()


@record
class LinearFilter(TwoTowers):
    r"""A pair of linear towers whose weights are computed, not trained.

    The parameters are those of `TwoTowers`. The user tower sees only the past.

    Notes
    -----
    Let V be the leading right singular vectors of :math:`D_u^{-1/2} R D_i^{-1/2}`, with
    the weights R of who chose what and the sums D of its rows and columns. The vector
    of a user is the sum of :math:`d_j^{-1/2} v_j` over the past items j, divided by its
    length; that of an item i is :math:`d_i^{1/2} v_i`, divided by the length of the
    longest. Two more numbers give all vectors length one; they add nothing to a score.
    An item without events has the mean of the items with its features.

    This is the ideal low-pass filter of Shen et al., How Powerful is Graph Convolution
    for Recommendation?, CIKM 2021.
    """

    user_tower: instance(PastOnly)
    item_tower: instance(Tower)
    history: instance(PooledLayer)

    in_words = "linear filter"
    is_trained = False
    # Its tables are computed, so that their size does not follow from a recipe.
    grown = Part.grown

    @classmethod
    def share(cls, recipe, events, kinds):
        """Return its share next to towers with a pooled history."""
        share = recipe.second_share
        if kinds != [PooledTowers] or share == 0 or not _can_be(recipe, events):
            return 0.0
        n_users = summed(np.count_nonzero(np.diff(events.positives.indptr)))
        n_items = np.count_nonzero(summed(column_counts(events.positives)))
        n_rows = min(n_users, n_items)
        width, filter_width = cls.widths(recipe.embedding_dim)
        if share != "auto" and filter_width < n_rows:
            return share
        if share != "auto":
            return 0.0
        if n_rows <= 2 * width or width + filter_width < MIN_LENGTH:
            return 0.0
        n_events = summed(events.positives.nnz)
        return auto_share(n_events / n_users, n_events / n_items)

    @classmethod
    def widths(cls, embedding_dim):
        """Return a third of the vectors for it, and what is left."""
        if embedding_dim == "auto":
            return WIDTH, FILTER_WIDTH
        filter_width = embedding_dim // 3
        return embedding_dim - filter_width, filter_width

    @classmethod
    def n_components(cls, recipe):
        """Return how many singular vectors it holds."""
        return recipe.embedding_dim - N_PADS

    @classmethod
    def count_weights(cls, recipe, events):
        """Return how many weights it has: two tables of items."""
        return 2 * events.items.rows.shape[1] * recipe.embedding_dim

    @classmethod
    def start(cls, plan, training, spectrum):
        """Return the filter of the events that the towers are trained on."""
        k = cls.n_components(plan.recipe)
        of_events = spectrum(k)
        vectors = of_events.vectors[:, :k]
        part = linear_filter(vectors, of_events.counts, training.item_rows)
        return part.to(plan.recipe.device)

    def _check_stored(self, place):
        super()._check_stored(place)
        fits = self.item_tower.is_linear and self.normalize
        require(fits, place, "linear towers whose vectors have length one")

    def fading(self, share_of_new):
        """Return by how much its weight is divided after further events."""
        return 1 + FADE * share_of_new

    def changed_columns(self, before, places, n_columns):
        """Return that none of the columns has changed."""
        return np.zeros(n_columns, dtype=bool)


def linear_filter(vectors, counts, item_rows):
    """Return the `LinearFilter` of singular vectors.

    Parameters
    ----------
    vectors : array of shape (n_items, k)
        Right singular vectors V, largest singular values first.
    counts : array of shape (n_items,)
        Sums D of the weights of each item.
    item_rows : CSR matrix of shape (n_items, p)
        Feature rows of these items.
    """
    width = vectors.shape[1] + N_PADS
    n_features = item_rows.shape[1]
    user_tower = PastOnly(torch.zeros(width))
    item_tower = Tower(n_features, width)
    history = PooledLayer(n_features, width)

    is_chosen = counts > 0
    root = np.sqrt(np.where(is_chosen, counts, 1))[:, None]
    past_vectors = _padded(_scaled(vectors / root, np.mean))
    item_vectors = _padded(_scaled(vectors * root, np.max))
    squares = (item_vectors**2).sum(axis=1)
    item_vectors[:, -2] = np.sqrt(np.maximum(1 - squares, 0))

    with torch.no_grad():
        for parameter in (*item_tower.parameters(), *history.parameters()):
            parameter.zero_()
        user_tower.bias[-1] = PAD
        item_tower.bias[-2] = PAD
        add_to_ids(history, item_rows, past_vectors)
        _set_features(item_tower.sparse, item_rows, item_vectors, is_chosen)
    return LinearFilter(user_tower, item_tower, history).eval()


def _scaled(vectors, of_lengths):
    """Return vectors (n, k), divided by a figure of their lengths."""
    length = of_lengths(np.linalg.norm(vectors, axis=1))
    return vectors / max(length, 1e-12)


def _padded(vectors):
    """Return vectors (n, k + 2) with zeros at the end."""
    return np.pad(vectors, [(0, 0), (0, N_PADS)]).astype(np.float32)


def _set_features(layer, rows, vectors, is_chosen):
    """Let a layer map rows (n, p) to vectors (n, width), in place.

    Of rows with shared columns, each of these adds the mean of the chosen rows that
    have it (``is_chosen``, (n,)), and the ids of chosen rows add the rest.
    """
    is_shared = ~id_columns(rows)
    shared = np.flatnonzero(is_shared)
    if len(shared):
        described = sparse.csr_matrix(rows[:, shared])
        of_chosen = described[np.flatnonzero(is_chosen)]
        weights = np.asarray(abs(of_chosen).sum(axis=0)).ravel()
        sums = of_chosen.T @ vectors[is_chosen]
        means = sums / np.maximum(weights, 1e-12)[:, None]
        layer.weight[torch.from_numpy(shared)] = torch.from_numpy(means).float()
        rest = vectors - described @ means
        vectors = np.where(is_chosen[:, None], rest, 0)
    add_to_ids(layer, rows, vectors)


def _can_be(recipe, events):
    """Return whether all that counts are pairs, and vectors have length one."""
    if not recipe.history.sees_past or recipe.history.sees_order:
        return False
    if events.ordered is not None or not recipe.normalize:
        return False
    if recipe.takes_impressions and summed(events.impressions.nnz):
        return False
    width, filter_width = LinearFilter.widths(recipe.embedding_dim)
    n_numbers = sum(events.positives.shape) * max(width, filter_width)
    if filter_width <= N_PADS or n_numbers > MAX_SVD_NUMBERS:
        return False
    is_id = id_columns(events.items.rows)
    has_ids_only = events.items.rows.nnz == is_id.sum()
    return is_id.any() and (has_ids_only or recipe.id_dropout < 1)


def auto_share(per_user, per_item):
    r"""Return the share of the filter for a mean number of events per user and item.

    The noise of the normalized events has singular values of up to about
    :math:`\sigma = n_u^{-1/2} + n_i^{-1/2}`. The filter's weight relative to the towers
    is :math:`w = 0.06 \sigma^{-3/2}`, and its share w / (1 + w): the more events there
    are, the less of what it keeps is noise. Both numbers were fitted to the best
    validated values of nine data sets.
    """
    weight = WEIGHT * (per_user**-0.5 + per_item**-0.5) ** -POWER
    return weight / (1 + weight)
