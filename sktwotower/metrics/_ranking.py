"""The ranking of items for held-out events that scorer, report and displays read.

Input: users, ranked positions (n_users, k), and the relevant items (n_users, n_items);
a row for each request, if users have several.
Output: a `HeldOutRanking`, with checked shapes and missing fields filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import format_ids, shorten

from ._places import check_vectors

# The fields that hold integers, and all that hold numbers.
INTEGERS = "n_unreachable", "last_rows", "requests"
NUMBERS = "item_counts", "user_counts", "unreachable_weight", *INTEGERS


@dataclass(frozen=True, eq=False)
class HeldOutRanking:
    """A recommender's ranking of items for the users of held-out events.

    It is returned by ``rank_held_out``. `make_retrieval_scorer`, `retrieval_report`
    and the displays work with any estimator that has ``item_ids_``, the ids of its
    catalog, and this method::

        rank_held_out(X, y=None, sample_weight=None, *, n_neighbors,
                      max_users=None, random_state=None, history=None,
                      requests=None)

    The recommenders of this package have it. A wrapper around another library needs
    about ten lines, see the example; `held_out_truth` provides everything except the
    ranked items.

    Parameters
    ----------
    users : array of shape (n_users,)
        Ids of the users who are judged, each once, or once for each of `requests`.
    indices : int array of shape (n_users, k)
        Ranked items of each user, best first: positions in ``item_ids_``, -1 for an
        empty place. k may be smaller than the number that was asked for.
    truth : sparse matrix of shape (n_users, n_items)
        Weight of each relevant item in the user's recall, finite and >= 0, one unless
        events are weighted. Items with weight zero are not relevant.
    seen : sparse matrix of shape (n_users, n_items), default=None
        Nonzero where an item was left out of the user's ranking because the user is
        known to have it. Relevant items are never left out. None: nothing was.
    past : sparse matrix of shape (n_users, n_items), default=None
        Nonzero where the user chose an item before, whether it was left out of the
        ranking or not. None: the same as `seen`.
    item_counts : array of shape (n_items,), default=None
        Number of distinct training users of each item. None: how many of the users in
        `past` have it.
    user_counts : array of shape (n_users,), default=None
        Number of distinct training items of each user. None: those in `past`.
    n_unreachable : int array of shape (n_users,), default=None
        Number of relevant items that are not in the catalog: misses of any ranking.
        None: no such items.
    unreachable_weight : array of shape (n_users,), default=None
        Their weight in the user's recall. None: `n_unreachable`.
    last_rows : int array of shape (n_users,), default=None
        Row of X that holds each user's last positive event, which tells the context of
        a request. -1 where it is not known. None: all -1.
    left_out : dict of str to int, default=None
        Number of events or users of X that do not count, by reason. None: none.
    requests : int array of shape (n_users,), default=None
        Number of each row's request, from 0, where rows are requests and a user may
        have several: other rankings, and other items to be found. None: rows are users.

    item_vectors : array or sparse matrix of shape (n_items, d), default=None
        A vector for each item, finite, by which the intra-list diversity of rankings is
        computed. None: not known.

    Raises
    ------
    ValueError
        If the shapes do not fit together, a user is missing or occurs twice (with the
        same request), `indices` holds positions outside of the catalog, a matrix is not
        valid, or weights or counts are negative or not finite.
    TypeError
        If `indices`, `n_unreachable`, `last_rows` or `requests` does not hold integers,
        a field is not an array, or `left_out` is not a dict.

    See Also
    --------
    held_out_truth : Computes all parameters except `indices`.
    TwoTowerRecommender.rank_held_out : Returns such a ranking.

    Notes
    -----
    Matrices are copied, and their stored zeros removed. Fields cannot be assigned;
    `dataclasses.replace` makes a changed copy.

    Examples
    --------
    A model of another library, whose users and items are rows and columns of a matrix:

    >>> import numpy as np
    >>> class OtherLibrary:
    ...     def fit(self, matrix):
    ...         self.similarity = (matrix.T @ matrix).toarray()
    ...         return self
    ...     def recommend(self, rows, liked, n):
    ...         scores = rows @ self.similarity
    ...         scores[liked.nonzero()] = -1
    ...         return np.argsort(-scores, axis=1, kind="stable")[:, :n]

    The wrapper:

    >>> import pandas as pd
    >>> from scipy import sparse
    >>> from sklearn.base import BaseEstimator
    >>> from sktwotower.metrics import HeldOutRanking, held_out_truth
    >>> class Wrapper(BaseEstimator):
    ...     def fit(self, X, y=None):
    ...         users, self.user_ids_ = pd.factorize(X["user"])
    ...         items, self.item_ids_ = pd.factorize(X["item"])
    ...         self.seen_ = sparse.csr_matrix((np.ones(len(X)), (users, items)))
    ...         self.model_ = OtherLibrary().fit(self.seen_)
    ...         return self
    ...     def rank_held_out(self, X, y=None, sample_weight=None, *, n_neighbors,
    ...                       **sample):
    ...         ids = {"user_ids": self.user_ids_, "item_ids": self.item_ids_}
    ...         judged = held_out_truth(X, y, sample_weight, seen=self.seen_, **ids,
    ...                                 **sample)
    ...         found = self.model_.recommend(judged.past, judged.seen, n_neighbors)
    ...         return HeldOutRanking(indices=found, **judged)

    It works with the scorers, the report and the displays:

    >>> from sktwotower import PopularityRecommender
    >>> from sktwotower.datasets import make_interactions
    >>> from sktwotower.metrics import make_retrieval_scorer, retrieval_report
    >>> made = make_interactions(100, 50, random_state=0)
    >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
    >>> model = Wrapper().fit(X)
    >>> recall = make_retrieval_scorer("recall@10")(model, held_out)
    >>> report = retrieval_report(model, held_out, k=10)
    >>> bool(report.loc[("all", "Wrapper"), "recall@10"] == recall)
    True
    """

    users: np.ndarray
    indices: np.ndarray
    truth: sparse.csr_matrix
    seen: sparse.csr_matrix | None = None
    past: sparse.csr_matrix | None = None
    item_counts: np.ndarray | None = None
    user_counts: np.ndarray | None = None
    n_unreachable: np.ndarray | None = None
    unreachable_weight: np.ndarray | None = None
    last_rows: np.ndarray | None = None
    left_out: dict[str, int] | None = None
    requests: np.ndarray | None = None
    item_vectors: np.ndarray | sparse.csr_matrix | None = None

    def __post_init__(self):
        """Fill in missing fields, and check all of them."""
        truth = _as_csr("truth", self.truth, np.float64)
        _check_least("truth", truth.data)
        n_users, n_items = truth.shape
        seen = sparse.csr_matrix(truth.shape)
        if self.seen is not None:
            seen = self.seen
        seen = _as_csr("seen", seen)
        past = seen
        if self.past is not None:
            past = self.past
        past = _as_csr("past", past)

        # fields that are not given are counted, of the past of each user once
        past_by_user = past
        if self.requests is not None and len(self.users) == n_users:
            past_by_user = past[first_rows(self.users)]
        n_unreachable = self.n_unreachable
        if n_unreachable is None:
            n_unreachable = np.zeros(n_users, dtype=np.int64)
        numbers = {
            "item_counts": past_by_user.getnnz(axis=0),
            "user_counts": past.getnnz(axis=1),
            "n_unreachable": n_unreachable,
            "unreachable_weight": n_unreachable,
            "last_rows": np.full(n_users, -1),
        }
        for name in NUMBERS:
            if getattr(self, name) is not None:
                numbers[name] = getattr(self, name)

        fields = {
            "users": _as_array("users", self.users),
            "truth": truth,
            "seen": seen,
            "past": past,
        }
        for name, value in numbers.items():
            fields[name] = _as_numbers(name, value)
        for name, value in fields.items():
            if name == "item_counts":
                shape = (n_items,)
            elif sparse.issparse(value):
                shape = truth.shape
            else:
                shape = (n_users,)
            expected = f"have the shape {shape}, to fit to truth"
            _require(value.shape == shape, name, expected, value.shape)
        fields["indices"] = _as_positions(self.indices, n_users, n_items)
        got = type(self.left_out).__name__
        fits = isinstance(self.left_out, Mapping | None)
        _require(fits, "left_out", "be a dict of reason to number", got, TypeError)
        fields["left_out"] = dict(self.left_out or {})
        if self.item_vectors is not None:
            vectors = check_vectors(self.item_vectors, "item_vectors", range(n_items))
            fields["item_vectors"] = vectors
        _check_users(self.users, self.requests)
        # a frozen dataclass does not allow assignments
        vars(self).update(fields)


def keys_of(ranking):
    """Return an Index (n_rows,) that names each row: the user, with the request."""
    if ranking.requests is None:
        return pd.Index(ranking.users)
    return pd.MultiIndex.from_arrays([ranking.users, ranking.requests])


def first_rows(users):
    """Return the first row of each distinct user (n_rows,), int (n_users,)."""
    return np.flatnonzero(~pd.Index(users).duplicated())


def _as_csr(name, matrix, dtype=None):
    """Return a copy of a matrix as CSR, without stored zeros, after a check."""
    try:
        if sparse.issparse(matrix):
            matrix = matrix.copy()
        if np.ndim(matrix) != 2:
            raise ValueError(f"shape {np.shape(matrix)}.")
        if hasattr(matrix, "check_format"):
            matrix.check_format()  # a conversion could crash
        matrix = sparse.csr_matrix(matrix, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} of a HeldOutRanking must be a valid sparse matrix of numbers, "
            f"users times items. Got {type(matrix).__name__}: {error}"
        ) from error
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _as_array(name, values):
    """Return values as an array; those without a shape are refused."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} of a HeldOutRanking must be an array. Got lists of different "
            "lengths. Fill them up, ranked items with -1."
        ) from error
    if array.ndim == 0:
        raise TypeError(
            f"{name} of a HeldOutRanking must be an array. Got {shorten(values)}."
        )
    return array


def _as_numbers(name, values):
    """Return finite numbers, not too small for the field, as an array."""
    array = _as_array(name, values)
    kinds = "iuf"
    expected = "numbers"
    if name in INTEGERS:
        kinds = "iu"
        expected = "integers"
    fits = not array.size or array.dtype.kind in kinds
    got = f"dtype {array.dtype}"
    _require(fits, name, f"hold {expected}", got, TypeError)
    least = 0
    if name == "last_rows":
        least = -1
    _check_least(name, array, least)
    if array.dtype.kind == "u":
        # counts are sorted by their negative, which unsigned integers do not have
        return array.astype(np.int64)
    return array


def _check_least(name, numbers, least=0):
    """Raise if numbers are not finite or too small."""
    if numbers.size and not (np.isfinite(numbers).all() and numbers.min() >= least):
        wrong = numbers[~(np.isfinite(numbers) & (numbers >= least))].flat[0]
        expected = "finite and >= 0"
        if least < 0:
            expected += ", or -1 where it is not known"
        raise ValueError(f"{name} of a HeldOutRanking must be {expected}. Got {wrong}.")


def _require(condition, name, expected, got, error=ValueError):
    """Raise an error about a field unless a condition holds."""
    if not condition:
        raise error(f"{name} of a HeldOutRanking must {expected}. Got {got}.")


def _check_users(users, requests):
    """Raise unless users, with their requests, are distinct."""
    users = check_ids(users, "users of a HeldOutRanking")
    keys = users
    what = "distinct"
    if requests is not None:
        keys = pd.MultiIndex.from_arrays([users, requests])
        what = "distinct within each of requests"
    if not keys.is_unique:
        got = f"Got {format_ids(users[keys.duplicated()].unique(), 2)} more than once."
        raise ValueError(f"users of a HeldOutRanking must be {what}. {got}")


def _as_positions(indices, n_users, n_items):
    """Return ranked positions, int (n_users, k), after checks."""
    indices = _as_array("indices", indices)
    fits = indices.ndim == 2 and len(indices) == n_users
    expected = f"have the shape ({n_users}, k), a row of ranked items for each user"
    _require(fits, "indices", expected, indices.shape)
    fits = indices.dtype.kind in "iu"
    got = f"dtype {indices.dtype}"
    expected = "hold integers, positions in item_ids_"
    _require(fits, "indices", expected, got, TypeError)
    if indices.size and not -1 <= indices.min() <= indices.max() < n_items:
        raise ValueError(
            f"indices of a HeldOutRanking must be from 0 to {n_items - 1}, or -1 for "
            f"an empty place. Got {indices.min()} to {indices.max()}."
        )
    return indices
