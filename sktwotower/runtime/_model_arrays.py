"""What files hold of a model, and the vectors that it computes for one user or item.

Input: a feature ``Row``, ``PastItems``, the ``Row`` of a context.
Output: vectors (d,), float32; with the inputs of an ONNX file, operators of it.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise, starmap

import numpy as np

from sktwotower._records import UpTo, array, instance, list_of, number, require, vectors

from . import _tower_arrays as towers
from ._knots import KNOTS, knot_shares
from ._sparse_scores import SparseScoresArrays

# Larger catalogs are represented by a sample of this many items.
MAX_ITEMS = 10_000
N_STEPS = 3
# Weight of the tower's output as a prior, in pseudo-events. The history length is added
# to it, otherwise Newton's method overshoots on long histories.
EVENTS_OF_TOWER = 100.0
BLOCK = 256  # users that are moved together
LEAST_FACTOR = 1e-9  # of a part that says nothing now, and something long before


class JoinedParts:
    """How the vectors of parts are joined: ``parts`` with ``shares`` and ``fades``.

    ``by_past``: factors (n_knots, n_parts) of the vectors of users, for each number of
    past items in `KNOTS`; None: 1 for all. ``sparse``: parts without vectors; None:
    there are none. ``long_before``: factors, and weights of sparse parts, that hold for
    requests long before now, (n_knots, n_parts + n_sparse); None: the same.
    """

    @property
    def first(self):
        """The first part, which is trained."""
        return self.parts[0]

    @property
    def sees_context(self):
        """Whether the context of a request changes vectors of users."""
        return any(part.context is not None for part in self.parts)

    @property
    def shares_now(self):
        """Share of each part in the score of users with the longest pasts."""
        factors = np.array(self.fades)
        if self.by_past is not None:
            factors = factors * np.abs(self.by_past[-1])
        sizes = factors * np.array(self.shares)
        return (sizes / sizes.sum()).tolist()

    @property
    def scales_of_items(self):
        """Factors (n_parts,) of the vectors that parts give items."""
        return np.sqrt(self.shares)

    @property
    def scales_of_users(self):
        """Factors (n_sizes, n_parts) of the vectors that parts give users.

        The row is the number of past items; the last one is also that of more items.
        The squares of a row add up to 1, so that vectors keep the length 1.
        """
        return self._factors_of_users / self.lengths_of_users[:, None]

    @property
    def lengths_of_users(self):
        """Lengths (n_sizes,) that vectors of users would have without being divided."""
        return _lengths_of(self._factors_of_users)

    @property
    def _factors_of_users(self):
        """What `scales_of_users` are before they are divided."""
        if self.by_past is None:
            return (np.array(self.fades) * self.scales_of_items)[None]
        factors = self._factors_by(self.by_past)
        if self.long_before is not None:
            # so that a part that says nothing now can say something long before
            factors = np.where(factors == 0, LEAST_FACTOR, factors)
        return factors

    def _factors_by(self, by_past):
        """Return factors (n_sizes, n_parts) of users, given those of `KNOTS`."""
        sizes = np.arange(KNOTS[-1] + 1)
        factors = np.array(self.fades) * self.scales_of_items
        return factors * (knot_shares(sizes) @ by_past)

    @property
    def _factors_long_before(self):
        """What `_factors_of_users` are long before now."""
        return self._factors_by(self.long_before[:, : len(self.parts)])

    def as_asked(self, n_past, shares):
        """Return by what vectors of users change that ask before now, (n, n_parts).

        ``n_past`` (n,): numbers of past items. ``shares`` (n,): how much of the answer
        is that of long before. Vectors are then a mix of those of now and those of long
        before, and may be shorter than 1.
        """
        then = self._factors_long_before
        then = then / _lengths_of(then)[:, None]
        changes = then / self.scales_of_users - 1
        changes = changes[np.minimum(n_past, len(changes) - 1)]
        return 1 + np.asarray(shares)[:, None] * changes

    @cached_property
    def sparse_long_before(self):
        """The ``sparse`` parts with their weights long before now."""
        weights = self.long_before[:, len(self.parts) :]
        return replace(self.sparse, weights=weights)

    def sparse_weights(self, n_past, long_before=None):
        """Return how much sparse parts count for n users, (n, n_sparse).

        ``n_past`` (n,): numbers of past items. ``long_before`` (n,): how much of the
        answer is that of long before now; None: nothing.
        """
        weights = self.sparse.weights_of(n_past) / self.lengths_of(n_past)[:, None]
        if long_before is None:
            return weights
        lengths = self.lengths_long_before(n_past)
        then = self.sparse_long_before.weights_of(n_past) / lengths[:, None]
        return weights + np.asarray(long_before)[:, None] * (then - weights)

    def lengths_long_before(self, n_past):
        """Return what `lengths_of` users (n,) are long before now."""
        lengths = _lengths_of(self._factors_long_before)
        return lengths[np.minimum(n_past, len(lengths) - 1)]

    @property
    def similarity_factors(self):
        """Factors (d,) of the vector of an item whose products say what is similar.

        Popularity is left out: that two items sell alike makes them no more similar.
        The products are then means of the cosines of the other parts.
        """
        shares = np.array(self.shares)
        counts = np.array([not part.is_popularity for part in self.parts])
        of_parts = counts / (shares * counts).sum()
        return np.repeat(of_parts, [part.width for part in self.parts])

    def lengths_of(self, n_past):
        """Return the lengths (n,) of users with so many past items (n,)."""
        lengths = self.lengths_of_users
        return lengths[np.minimum(n_past, len(lengths) - 1)]

    def scales_of(self, n_past):
        """Return the factors (n, n_parts) of users with so many past items (n,)."""
        scales = self.scales_of_users
        return scales[np.minimum(n_past, len(scales) - 1)]

    def folded(self, vectors, sums, fold_in):
        """Return user vectors (n, d) of which the first part is folded in.

        ``sums`` (n, d): those of the vectors of past items. ``fold_in`` moves vectors
        of the first part.
        """
        if len(self.parts) == 1:
            return fold_in(vectors, sums)
        width = self.first.width
        # parts that fold in give vectors of length 1
        lengths = np.linalg.norm(vectors[:, :width], axis=1, keepdims=True)
        lengths = np.maximum(lengths, 1e-12)
        sums = sums[:, :width] / self.scales_of_items[0]
        moved = fold_in(vectors[:, :width] / lengths, sums)
        return np.hstack([moved * lengths, vectors[:, width:]]).astype(np.float32)

    def _check_weights(self, place):
        """Raise ``ValueError`` unless shares and factors are those of the parts."""
        require(abs(sum(self.shares) - 1) < 1e-6, f"{place}.shares", "shares of 1")
        fits = all(0 < fade <= 1 for fade in self.fades)
        require(fits, f"{place}.fades", "factors in (0, 1]")
        if self.by_past is not None:
            sizes = np.abs(self.by_past).sum(axis=1)
            fits = (sizes > 0).all() and len(sizes) == len(KNOTS)
            require(fits, f"{place}.by_past", "factors for each number of past items")
        if self.long_before is not None:
            n_weights = len(self.parts)
            if self.sparse is not None:
                n_weights += len(self.sparse.parts)
            fits = self.long_before.shape == (len(KNOTS), n_weights)
            fits = fits and self.by_past is not None
            require(fits, f"{place}.long_before", "weights of all parts, by past items")


def _lengths_of(factors):
    """Return the lengths (n,) of vectors, given the factors (n, n_parts) of parts."""
    return np.maximum(np.sqrt((factors**2).sum(axis=1)), 1e-12)


@dataclass(frozen=True, eq=False)
class PairArrays:
    """Two towers, with a history and a context if they see any."""

    user_tower: towers.TowerArrays | towers.PastOnlyArrays
    item_tower: towers.TowerArrays
    history: towers.PooledArrays | towers.RecentArrays | None
    normalize: bool
    context: towers.ContextArrays | None

    is_popularity = False

    @property
    def width(self):
        """Length of vectors."""
        return self.item_tower.widths[-1]

    @property
    def sees_past(self):
        """Whether past items of users are an input."""
        return self.history is not None

    @property
    def sees_order(self):
        """Whether the order of past items is an input."""
        return self.sees_past and self.history.sees_order

    @property
    def folds_in(self):
        """Whether vectors of new users are folded in."""
        return self.sees_past and not self.sees_order and self.normalize

    @property
    def table_sizes(self):
        """The side of each table, and how many rows it has, a list of pairs."""
        sizes = [("item", len(self.item_tower.table))]
        if self.history is not None:
            sizes.append(("item", len(self.history.table)))
        if isinstance(self.user_tower, towers.TowerArrays):
            sizes.append(("user", len(self.user_tower.table)))
        if self.context is not None:
            sizes.append(("context", len(self.context.terms)))
        return sizes

    def _check_stored(self, place):
        width = self.width
        widths = self.user_tower.widths
        same = widths[-1] == width
        require(same, place, "two towers whose vectors have the same length")
        if self.history is None:
            fits = not isinstance(self.user_tower, towers.PastOnlyArrays)
        else:
            fits = self.history.width == widths[0]
        require(fits, f"{place}.history", f"a width of {widths[0]}")
        if self.context is not None:
            fits = self.context.terms.shape[1] == width
            fits = fits and self.context.normalize == self.normalize
            require(fits, f"{place}.context", f"vectors of {width} numbers")

    def of_user(self, row, past, context=None):
        """Return the vector (d,) of a user in a context, float64."""
        pooled = 0.0
        if self.history is not None:
            pooled = self.history.pooled(past)
        output = self.user_tower.vector(row, pooled)
        user = self._normalized(output)
        if context is None or self.context is None:
            return user
        return self.context.asked(user, context)

    def of_item(self, row):
        """Return the vector (d,) of an item, float64."""
        return self._normalized(self.item_tower.vector(row))

    def _normalized(self, vector):
        """Return a vector with length one, if the model has ``normalize``."""
        if not self.normalize:
            return vector
        return towers.unit(vector)


class PopularityArrays(PairArrays):
    """Two towers that say how popular items are, to all users or those alike."""

    is_popularity = True


@dataclass(frozen=True, eq=False)
class ModelArrays(JoinedParts):
    """The parts of a model, whose scores are added."""

    parts: list_of(instance(PairArrays, PopularityArrays), "n_parts")
    shares: list_of(number(0), "n_parts")
    fades: list_of(number(0), "n_parts")
    by_past: array("float64", "n_knots n_parts", is_finite=True) | None
    sparse: SparseScoresArrays | None
    long_before: array("float64", "n_knots n_weights", is_finite=True) | None

    _older_formats = (
        UpTo(1, lacking={"by_past": None, "sparse": None, "long_before": None}),
    )

    def _check_stored(self, place):
        require(len(self.parts), place, "at least one part")
        self._check_weights(place)

    @cached_property
    def scales_of_users(self):
        """As in `JoinedParts`, computed once."""
        return super().scales_of_users

    @cached_property
    def similarity_factors(self):
        """As in `JoinedParts`, computed once."""
        return super().similarity_factors

    @cached_property
    def lengths_of_users(self):
        """As in `JoinedParts`, computed once."""
        return super().lengths_of_users

    def added_to_one(self, items, lags, n_items, long_before=None):
        """Return what sparse parts have ``Added`` to the scores of a user, or None.

        ``items``, ``lags``, ``n_items``: as of `SparseScores.of_one`. ``long_before``:
        as of `sparse_weights`, of one user.
        """
        if self.sparse is None:
            return None
        (weights,) = self.sparse_weights(np.array([len(items)]), long_before)
        return self.sparse.of_one(items, lags, weights, n_items)

    @cached_property
    def _places(self):
        """The part of a vector that each part gives, a list of slices."""
        ends = accumulate((part.width for part in self.parts), initial=0)
        return [*starmap(slice, pairwise(ends))]

    def of_user(self, row, past, context=None):
        """Return the vector (d,) of a user, whose context is unknown if None.

        ``row`` may be the rows of several users, of an ONNX file.
        """
        vectors = [part.of_user(row, past, context) for part in self.parts]
        scales = self.scales_of_users[-1]
        if past is not None:
            scales = past.taken_by_size(self.scales_of_users)
        return self._joined(vectors, scales)

    def of_item(self, row):
        """Return the vector (d,) of an item."""
        vectors = [part.of_item(row) for part in self.parts]
        return self._joined(vectors, self.scales_of_items)

    def _joined(self, vectors, scales):
        """Return vectors one after the other, times ``scales``."""
        if len(vectors) > 1:
            vectors = [v * s for v, s in zip(vectors, scales, strict=True)]
        return np.concatenate(vectors, axis=-1).astype(np.float32)

    def of_user_asked(self, user, n_past, long_before):
        """Return the vector (d,) of a user who asks before now; see `as_asked`."""
        (changes,) = self.as_asked(n_past, long_before)
        widths = [part.width for part in self.parts]
        return (user * np.repeat(changes, widths)).astype(np.float32)

    def in_context(self, user, row):
        """Return the vector (d,) of a request of a user (d,) in a context."""
        if not len(row.columns):
            return user
        asked = user.astype(float)
        scales = self.scales_of_users[0]
        for part, scale, place in zip(self.parts, scales, self._places, strict=True):
            if part.context is None:
                continue
            if self.by_past is not None:  # parts give vectors of length 1
                scale = np.linalg.norm(asked[place])
            if scale:
                of_part = part.context.asked(asked[place] / scale, row)
                asked[place] = of_part * scale
        return asked.astype(np.float32)


def softmax_sample(counts):
    """Return a sample of the items with events, and how many each item represents.

    Parameters
    ----------
    counts : array of shape (n_items,)
        Number of events of each item. Items without any are left out.

    Returns
    -------
    positions : int array of shape (m,)
        All items with events, most popular first. If there are more than 10,000: the
        5,000 most popular ones and a random 5,000 of the others, the same ones for the
        same counts.
    weights : array of shape (m,)
        Number of items that each represents, >= 1.

    Examples
    --------
    >>> from sktwotower.runtime._model_arrays import softmax_sample
    >>> positions, weights = softmax_sample([2, 0, 5])
    >>> positions.tolist(), weights.tolist()
    ([2, 0], [1.0, 1.0])
    """
    counts = np.asarray(counts)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    if len(order) <= MAX_ITEMS:
        return order, np.ones(len(order))
    half = MAX_ITEMS // 2
    most_popular = order[:half]
    others = order[half:]
    drawn = np.random.default_rng(0).choice(others, half, replace=False)
    weights = np.repeat([1.0, len(others) / half], half)
    return np.concatenate([most_popular, drawn]), weights


class FoldInArrays:
    """What files hold of a `FoldIn`, and its steps."""

    # The temperature is that of the net. None: vectors of the catalog.
    vectors: vectors("m d") | None
    log_weights: array("float64", "m")
    spread: array("float32 float64", "d")
    axes: array("float32", "d d")

    def __call__(self, users, sums, n_past):
        """Return unit vectors (n, d), float32, moved towards the users' past items.

        ``users``: unit vectors (n, d). ``sums``: (n, d), the sum of the vectors of each
        user's ``n_past`` (n,) items. Rows with n_past == 0 are returned unchanged.
        """
        parts = [users[:0]]
        for start in range(0, len(users), BLOCK):
            block = slice(start, start + BLOCK)
            parts.append(self._moved(users[block], sums[block], n_past[block]))
        return np.concatenate(parts)

    def _moved(self, users, sums, n_past):
        """Return the same for a block of users, by steps of Newton's method."""
        start = as_float(users)
        sums = as_float(sums)
        n = as_float(n_past[:, None])
        spread = as_float(self.spread)
        axes = as_float(self.axes)
        weight = (EVENTS_OF_TOWER + n) * (n > 0)  # of the tower's output as a prior
        curvature = n * spread / self.temperature**2 + weight  # along each axis
        curvature = np.maximum(curvature, 1e-12)
        vectors = start
        for _ in range(N_STEPS):
            slope = (sums - n * self._expected(vectors)) / self.temperature
            slope -= weight * (vectors - start)
            # along the sphere only: vectors keep their length
            slope -= (slope * vectors).sum(1, keepdims=True) * vectors
            step = slope @ axes / curvature
            vectors = vectors + step @ axes.T
            lengths = np.sqrt((vectors * vectors).sum(1, keepdims=True))
            vectors /= np.maximum(lengths, 1e-12)
        return vectors

    def _expected(self, users):
        """Return the mean item vector (1, d) under the softmax of a user (1, d)."""
        items = as_float(self.vectors)
        logits = items @ (users[0] / self.temperature) + as_float(self.log_weights)
        shares = np.exp(logits - logits.max())
        return (shares @ items / shares.sum())[None]


def as_float(array):
    """Return an array as float32."""
    return np.asarray(array, dtype=np.float32)
