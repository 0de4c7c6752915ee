"""How often each item comes in a stream of events, estimated as the stream goes on.

Input: the items of one batch after the other, (n,) each.
Output: the probability (n_items,) of each item.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sktwotower import _sklearn_compat as compat
from sktwotower._records import array, integer, record, require
from sktwotower._sklearn_compat import COUNT, parameter
from sktwotower._tables._ids import as_type_of, check_ids, positions_of
from sktwotower._tables._pickled import VersionedMixin
from sktwotower._tables._stored import index

from ._gaps import Gaps


@dataclass(eq=False, repr=False)
class FrequencyParameters(VersionedMixin, BaseEstimator):
    """Parameters of `StreamingFrequency`, which its documentation describes."""

    _parameter_constraints = compat.ParameterConstraints()
    rate: float = parameter(0.01, compat.UP_TO_1)
    _: KW_ONLY
    unit: str = parameter("batch", compat.StrOptions({"batch", "event"}))
    n_buckets: int | None = parameter(None, COUNT, None)
    n_hashes: int = parameter(1, COUNT)
    initial_gap: float | None = parameter(None, compat.POSITIVE, None)
    random_state: int | np.random.RandomState | None = parameter(0, "random_state")


@record
class StreamingFrequency(FrequencyParameters):
    r"""Estimate the probability of items in a stream from the gaps between their hits.

    No count over a window is kept, and no window has to be chosen: an item that comes
    every 50th step has the probability 1 / 50. The estimate follows a popularity that
    changes. `TwoTowerRecommender` keeps such a state from `fit` through all calls of
    `partial_fit`, and corrects sampled candidates by it.

    Parameters
    ----------
    rate : float, default=0.01
        Weight of a new gap in the running mean, in (0, 1]. Higher: the estimate follows
        changes faster, and varies more. The first ``1 / rate`` gaps of an item are
        averaged, unless there is an ``initial_gap``.
    unit : {"batch", "event"}, default="batch"
        What a step is. "batch": a call of `partial_fit`, in which repeated items count
        once; the probability is that a batch holds the item. "event": each entry of X;
        the probability is the share of the item in all events. Hits of one call are
        taken as evenly spread.
    n_buckets : int, default=None
        Number of places that ids are hashed to, >= 1, so that memory does not grow with
        the number of ids. None: each id has a place of its own.
    n_hashes : int, default=1
        Number of tables with ``n_buckets`` places each, >= 1, in each of which an id
        has one place. Ids that share a place seem more frequent, so the lowest
        probability counts. Only with ``n_buckets``.
    initial_gap : float, default=None
        Gap of all places at the start, > 0, counted from step 0, as in the paper. None:
        an item is unknown until its first hit, from which no gap is learnt.
    random_state : int, RandomState instance or None, default=0
        Seed of the hash functions.

    Attributes
    ----------
    n_steps_ : int
        Number of steps so far.
    ids_ : Index of shape (n_items,)
        Items so far, in the order of their first hits; None with ``n_buckets``.
    gaps_ : list of Gaps
        State of each table: mean gap, step of the last hit and number of gaps of each
        place.

    See Also
    --------
    SampledSoftmaxLoss : The loss that is corrected by such probabilities.

    Notes
    -----
    Let :math:`A(y)` be the step of the last hit of item y, and :math:`B(y)` its mean
    gap. At step t each item of the batch has

    .. math:: B(y) \leftarrow (1 - \alpha) B(y) + \alpha (t - A(y)), \quad A(y)
        \leftarrow t

    with the ``rate`` :math:`\alpha`, or the reciprocal of the number of gaps so far if
    that is larger. The probability is :math:`1 / B(y)`, with m hashes :math:`1 / \max_i
    B_i(h_i(y))`. From a start :math:`B_0` without averaging, the expected error after
    n gaps of mean b is :math:`(1 - \alpha)^n (B_0 - b)`; in the long run the standard
    deviation of B is :math:`\sqrt{\alpha / (2 - \alpha)}` times that of the gaps.

    An item that no longer comes keeps its last estimate: without hits nothing changes.

    References
    ----------
    Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations, RecSys 2019, algorithms 2 and 3.

    Examples
    --------
    >>> from sktwotower.towers import StreamingFrequency
    >>> frequency = StreamingFrequency()
    >>> for batch in (["tea", "jam"], ["tea"], ["tea", "egg"], ["tea", "jam"]):
    ...     frequency = frequency.partial_fit(batch)
    >>> frequency.predict(["tea", "jam", "ham"]).round(3)
    array([1.   , 0.333, 0.   ])
    """

    n_steps_: integer()
    ids_: index("n_places") | None
    gaps_: list[Gaps]
    _keys: array("int64", "n_tables 2")
    _example: index("1") | None

    def _check_stored(self, place):
        n_tables = len(self.gaps_)
        sizes = {len(gaps.gap) for gaps in self.gaps_}
        fits = len(sizes) == 1 and len(self._keys) == n_tables
        require(fits, f"{place}.gaps_", "tables of one size, and their keys")
        if self.ids_ is not None:
            fits = n_tables == 1 and {len(self.ids_)} == sizes
            require(fits, f"{place}.ids_", "a distinct id per place")

    def fit(self, X, y=None) -> Self:
        """Forget the stream so far, and begin with a first batch.

        Parameters
        ----------
        X : list, array or Series of shape (n_events,)
            Ids of items.
        y : None
            Ignored.

        Returns
        -------
        self : StreamingFrequency
            The estimator.

        Raises
        ------
        ValueError
            If ids are missing or infinite, or a parameter is out of range.
        TypeError
            If ids are of several types.

        Examples
        --------
        >>> from sktwotower.towers import StreamingFrequency
        >>> frequency = StreamingFrequency().fit(["tea", "jam"])
        >>> frequency.fit(["egg"]).predict(["tea", "egg"])  # tea is forgotten
        array([0., 1.])
        """
        return self._add_batch(X, starts=True)

    def partial_fit(self, X, y=None) -> Self:
        """Go on with a batch of the stream.

        Parameters
        ----------
        X : list, array or Series of shape (n_events,)
            Ids of items. None of them is a step, too, with ``unit="batch"``.
        y : None
            Ignored.

        Returns
        -------
        self : StreamingFrequency
            The estimator.

        Raises
        ------
        ValueError
            As in `fit`, or if ``n_buckets`` or ``n_hashes`` have changed since then.
        TypeError
            As in `fit`, or if ids are of another type than those before.

        Examples
        --------
        >>> from sktwotower.towers import StreamingFrequency
        >>> frequency = StreamingFrequency().partial_fit(["tea", "jam"])
        >>> frequency = frequency.partial_fit(["tea"]).partial_fit(["tea", "jam"])
        >>> frequency.predict(["tea", "jam"])  # every day, every second day
        array([1. , 0.5])
        """
        return self._add_batch(X, starts=not hasattr(self, "gaps_"))

    def predict(self, X) -> np.ndarray:
        """Return the probability of items.

        Parameters
        ----------
        X : list, array or Series of shape (n,)
            Ids of items.

        Returns
        -------
        ndarray of shape (n,), float64
            Probabilities in [0, 1]; 0 for an item without a hit, and one divided by the
            number of steps up to the hit for one with a single hit, unless there is an
            ``initial_gap``.

        Raises
        ------
        NotFittedError
            If neither `fit` nor `partial_fit` has been called.
        ValueError, TypeError
            As in `partial_fit`; only hashed ids must be of the type of those before,
            others are unknown.

        Examples
        --------
        >>> from sktwotower.towers import StreamingFrequency
        >>> frequency = StreamingFrequency(unit="event")  # shares of all events
        >>> for day in range(20):
        ...     frequency = frequency.partial_fit(["tea", "tea", "tea", "jam"])
        >>> frequency.predict(["tea", "jam", "ham"]).round(2)
        array([0.75, 0.25, 0.  ])
        """
        check_is_fitted(self, "gaps_")
        self._check_tables()
        ids = self._alike(check_ids(X, "X"))
        unknown = self.initial_gap
        if unknown is None:
            unknown = np.inf
        longest = np.zeros(len(ids))
        for gaps, places in zip(self.gaps_, self._places(ids), strict=True):
            gap = np.append(gaps.gap, unknown)[places]  # -1: unknown
            longest = np.maximum(longest, gap)
        return 1 / np.maximum(longest, 1)

    def _start(self):
        """Begin an empty stream."""
        self.n_steps_ = 0
        self.ids_ = None
        self._example = None
        n_tables = 1
        n_places = 0
        if self.n_buckets is not None:
            n_tables = self.n_hashes
            n_places = self.n_buckets
        self.gaps_ = [self._empty(n_places) for _ in range(n_tables)]
        rng = check_random_state(self.random_state)
        self._keys = rng.randint(1, 2**62, size=(n_tables, 2), dtype=np.int64)

    def _check_tables(self):
        """Raise ``ValueError`` if the tables have other sizes than the parameters."""
        n_places = len(self.gaps_[0].gap)
        n_buckets = None
        n_hashes = 1
        if self.ids_ is None and n_places > 0:
            n_buckets = n_places
            n_hashes = len(self.gaps_)
        n_hashes_now = 1
        if self.n_buckets is not None:
            n_hashes_now = self.n_hashes
        if self.n_buckets != n_buckets or n_hashes_now != n_hashes:
            raise ValueError(
                "n_buckets and n_hashes must be those of the first batch, "
                f"{n_buckets} and {n_hashes}. Got {self.n_buckets} and {n_hashes_now}. "
                "Restore them, or call fit to begin anew."
            )

    def _alike(self, ids):
        """Return ids of the type of the first one: others would be hashed otherwise."""
        if self.n_buckets is None or self._example is None:
            return ids
        return as_type_of(ids, self._example, "X")

    def _add_batch(self, X, starts):
        """Add a batch of ids, to an empty stream if it starts, and return self."""
        self._validate_params()
        ids = check_ids(X, "X")
        if starts:
            self._start()
        self._check_tables()
        ids = self._alike(ids)
        self._add_places(ids)
        step_before = self.n_steps_
        if self.unit == "batch":
            self.n_steps_ += 1
        else:
            self.n_steps_ += len(ids)
        steps = (step_before, self.n_steps_)
        tables = []
        for gaps, places in zip(self.gaps_, self._places(ids), strict=True):
            hit, counts = np.unique(places, return_counts=True)
            if self.unit == "batch":
                counts = np.ones_like(counts)
            gaps = gaps.copy()
            gaps.add(hit, counts, steps, self.rate, first=self.n_steps_)
            tables.append(gaps)
        self.gaps_ = tables
        return self

    def _empty(self, n):
        """Return n places without hits."""
        gaps = Gaps.empty(n)
        if self.initial_gap is None:
            return gaps
        enough = np.full(n, 1 / self.rate)  # gaps for a rate that is constant
        return Gaps(np.full(n, float(self.initial_gap)), gaps.last, enough)

    def _places(self, ids):
        """Return the place (n,) of each id in each table; -1 for unknown ids."""
        if self.n_buckets is None:
            return [positions_of(ids, self.ids_)]
        hashes = pd.util.hash_array(ids.to_numpy()).astype(np.uint64)
        n_buckets = np.uint64(self.n_buckets)
        places = []
        for factor, term in self._keys.tolist():
            keyed = hashes * np.uint64(2 * factor + 1) + np.uint64(term)
            places.append((keyed >> np.uint64(33)) % n_buckets)
        return places

    def _add_places(self, ids):
        """Add a place for each new id; of hashed ones, keep the first."""
        if self.n_buckets is not None:
            if self._example is None and len(ids):
                self._example = ids[:1]
            return
        known_ids = ids[:0]
        if self.ids_ is not None:
            known_ids = self.ids_
        new_ids = ids[positions_of(ids, known_ids) < 0].unique()
        if len(known_ids):
            new_ids = as_type_of(new_ids, known_ids, "X")
        self.ids_ = known_ids.append(new_ids)
        if len(new_ids):
            (gaps,) = self.gaps_
            self.gaps_ = [gaps.followed_by(self._empty(len(new_ids)))]
