"""What users with the same features choose, as a part that is computed.

Input: feature rows of users, and who chose what.
Output: a part of a model, next to towers that are trained.
"""

import numpy as np
import torch
from scipy import linalg, sparse

from sktwotower._records import instance, record, require
from sktwotower._tables._sparse import id_columns
from sktwotower.runtime._model_arrays import PopularityArrays
from sktwotower.towers.processes._group import summed

from ._part import Part
from ._start import add_to_ids
from ._tower import Tower
from ._two_towers import TwoTowers
from ._vectors import distinct_ones

# Numbers of a vector that hold what features say, and those that give it length one.
RANK = 16
N_PADS = 2
WIDTH = RANK + N_PADS
# So many users without an opinion are added to those of each feature.
RIDGE = 50.0
# Events that each item has from the start, in units of the mean of all items.
PRIOR = 1.0
# Of more features of users, or numbers of features and items, there is no such part:
# it is made of dense matrices of these sizes.
MAX_FEATURES = 2_000
MAX_NUMBERS = 20_000_000


@record
class GroupPopularity(TwoTowers):
    r"""A pair of linear towers that say what is popular among users with the features.

    The parameters are those of `TwoTowers`; both towers are a linear ``Tower``.

    Notes
    -----
    With who chose what, R (n_users, n_items), the mean :math:`p_i` of its columns and
    that of all of it, :math:`\bar p`, a ridge regression predicts :math:`(R_{ui} -
    p_i) / (p_i + \bar p)` by the features of users that several of them have: for few
    features about the logarithm of how much more popular an item is among the users
    who have them. The weights have rank 16 at most.

    The vector of a user is (z, 1, 0), divided by its length, with what the features add
    up to in z; that of an item is :math:`(v, 0, \sqrt{1 - |v|^2})`. The score of a user
    without features is the same for all items.
    """

    user_tower: instance(Tower)
    item_tower: instance(Tower)

    in_words = "popularity by features of users"
    is_trained = False
    is_popularity = True
    arrays_class = PopularityArrays
    # Its tables are computed, so that their size does not follow from a recipe.
    grown = Part.grown

    @classmethod
    def can_be(cls, recipe, events):
        """Return whether users have features in common, and not too many."""
        n_features = len(shared_columns(events.users.rows))
        if not 0 < n_features <= MAX_FEATURES:
            return False
        if n_features * events.positives.shape[1] > MAX_NUMBERS:
            return False
        return recipe.normalize and id_columns(events.items.rows).any()

    @classmethod
    def widths(cls, embedding_dim):
        """Return a few numbers for it, which no other part lacks."""
        return embedding_dim, WIDTH

    @classmethod
    def count_weights(cls, recipe, events):
        """Return how many weights it has: two tables."""
        return WIDTH * (events.users.rows.shape[1] + events.items.rows.shape[1])

    @classmethod
    def start(cls, plan, training, spectrum):
        """Return the part for the events that the towers are trained on."""
        events = plan.events
        user = Tower(events.users.rows.shape[1], WIDTH)
        item = Tower(events.items.rows.shape[1], WIDTH)
        part = cls(user, item).eval()
        part._compute(events, events.positives)
        return part.to(plan.recipe.device)

    def learn_more(self, events, past, seen):
        """Compute it anew, with further events."""
        self._compute(events, seen)

    def _compute(self, events, chosen):
        """Set all weights, for who has ``chosen`` what, CSR (n_users, n_items)."""
        user_rows = events.users.rows[:-1]
        item_rows = events.items.rows[:-1]
        columns = shared_columns(events.users.rows)
        # of several processes, each has the events of users of its own
        users = np.flatnonzero(np.diff(chosen.indptr))
        features = sparse.csr_matrix(user_rows[users][:, columns])
        of_features, of_items = group_factors(features, distinct_ones(chosen[users]))

        # The last two numbers pad item vectors to length one: users have none of the
        # last one, which is all that an item without an id has.
        user_bias = np.zeros(WIDTH)
        user_bias[RANK] = 1.0
        item_bias = np.zeros(WIDTH)
        item_bias[-1] = 1.0
        squares = (of_items**2).sum(axis=1)
        item_vectors = np.zeros((len(of_items), WIDTH))
        item_vectors[:, :RANK] = of_items
        item_vectors[:, -1] = np.sqrt(np.maximum(1 - squares, 0))

        user_layer = self.user_tower.sparse
        item_layer = self.item_tower.sparse
        with torch.no_grad():
            user_layer.weight.zero_()
            item_layer.weight.zero_()
            self.user_tower.bias.copy_(torch.from_numpy(user_bias))
            self.item_tower.bias.copy_(torch.from_numpy(item_bias))
            weights = torch.from_numpy(of_features).float()
            user_layer.weight[torch.from_numpy(columns), :RANK] = weights
        add_to_ids(item_layer, item_rows, item_vectors - item_bias)

    def _check_stored(self, place):
        super()._check_stored(place)
        is_linear = self.user_tower.is_linear and self.item_tower.is_linear
        fits = is_linear and self.normalize
        fits = fits and self.width == WIDTH and self.history is None
        require(fits, place, f"linear towers with {WIDTH} numbers")


def shared_columns(rows):
    """Return which columns of rows, CSR (n, p), two or more of them have, (m,)."""
    n_rows = np.bincount(rows.indices, minlength=rows.shape[1])
    return np.flatnonzero(n_rows > 1)


def group_factors(features, chosen):
    """Return vectors (m, 16) of features and (n_items, 16) of items.

    Their products are the weights of the ridge regression in `GroupPopularity`, up to a
    factor. The longest vector of an item has length 1, and the sums of those of users
    have it on average.

    Parameters
    ----------
    features : CSR matrix of shape (n_users, m)
    chosen : CSR matrix of shape (n_users, n_items)
        Ones.

    Notes
    -----
    Several processes have different users, and compute the same.
    """
    n_users = max(1, summed(features.shape[0]))
    share = summed(np.asarray(chosen.sum(axis=0)).ravel()) / n_users
    together = summed((features.T @ features).toarray().astype(float))
    totals = summed(np.asarray(features.sum(axis=0)).ravel().astype(float))
    excess = summed((features.T @ chosen).toarray().astype(float))
    excess -= totals[:, None] * share
    scale = np.maximum(share + PRIOR * share.mean(), 1e-12)

    # The ridge regression of the excess on features, in the basis of its root
    penalized = together + RIDGE * np.eye(len(together))
    root = linalg.cholesky(penalized, lower=True)
    targets = linalg.solve_triangular(root, excess / scale, lower=True)
    # what popular items need is kept
    importance = np.sqrt(scale)
    left, sizes, right = linalg.svd(targets * importance, full_matrices=False)
    rank = min(RANK, len(sizes))
    of_features = np.zeros((features.shape[1], RANK))
    of_features[:, :rank] = linalg.solve_triangular(root.T, left[:, :rank])
    of_items = np.zeros((chosen.shape[1], RANK))
    of_items[:, :rank] = (sizes[:rank, None] * right[:rank] / importance).T

    # Users have length one in the mean, items at most
    of_users = features @ of_features
    mean_square = summed((of_users**2).sum()) / n_users
    of_features /= max(np.sqrt(mean_square), 1e-12)
    longest = np.linalg.norm(of_items, axis=1).max(initial=0)
    of_items /= max(longest, 1e-12)
    return of_features, of_items
