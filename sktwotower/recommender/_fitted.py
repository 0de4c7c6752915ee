"""The fitted state of `TwoTowerRecommender`, as one immutable value.

Input: trained towers with the users and items they were trained on.
Output: vectors (n, d) of users and items, and the items nearest to users, (n, k).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator

from sktwotower._tables._messages import format_ids
from sktwotower._tables._on_disk import column_counts
from sktwotower._tables._schema import TableSchema
from sktwotower._tables._sequences import Sequences
from sktwotower._tables._sparse import blocks, rows_of, take_rows
from sktwotower.features._entities import Entities
from sktwotower.neighbors._indexes import build_index
from sktwotower.neighbors._one_query import nearest_to_one
from sktwotower.neighbors._search import retrieve
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._fitted import Fitted, Serving
from sktwotower.retrieval._one_user import UserVectors
from sktwotower.retrieval._requests import Query, past_of
from sktwotower.retrieval._warnings import warn_of_unknown_items
from sktwotower.towers._blend import Blend
from sktwotower.towers._filter import LinearFilter
from sktwotower.towers._forgetting import without_columns
from sktwotower.towers._net import TwoTowerNet
from sktwotower.towers._vectors import embed_items, embed_users

from ._fold_in import FoldIn, softmax_sample
from ._parts import modules_of
from ._stream import Stream

__all__ = [
    "Catalog",
    "FittedTowers",
    "IndexRecipe",
    "Learnt",
    "fitted_towers",
]

# Number of users for whom the recall of an index is measured.
MAX_SAMPLED_USERS = 500


class IndexRecipe(NamedTuple):
    """Parameters of the estimator that configure the search for nearest items."""

    neighbors: object
    n_neighbors: int


class Learnt(NamedTuple):
    """The result of training: both sides, the seen matrix and the trained net."""

    schema: TableSchema
    users: Entities
    items: Entities
    seen: sparse.csr_matrix
    sequences: Sequences | None
    half_life: object
    net: TwoTowerNet
    epochs: list
    candidate_sampling: str
    temperature: float
    stream: Stream


class Catalog(NamedTuple):
    """The vectors (n_items, d) of the catalog, their index and its recall."""

    vectors: np.ndarray
    index: BaseEstimator
    index_recall: float


@dataclass(frozen=True, eq=False)
class FittedTowers(Fitted):
    """The fitted state of a `TwoTowerRecommender`, built by ``fitted_towers``.

    Parameters
    ----------
    schema, users, items, seen, sequences, user_ids, item_ids
        As in `Fitted`.
    half_life : Timedelta, float or None
        Age at which the weight of an event was halved in training.
    net : TwoTowerNet
        The trained net.
    epochs : list of dict
        Figures of each epoch.
    candidate_sampling : str
        How candidates were sampled in training.
    temperature : float
        The temperature of training.
    stream : Stream
        What `partial_fit` goes on with.
    interrupted : bool
        Whether the last training was interrupted.
    catalog : Catalog
        Vectors and index of the first items.
    fold_in : FoldIn or None
        Computes vectors of new users with a history. None if the user tower sees no
        history, if vectors are not of unit length, or if no event is left.

    Attributes
    ----------
    user_vectors : UserVectors
        Vectors of known users that were asked for. Each state begins without any.
    """

    half_life: object
    net: TwoTowerNet
    epochs: list
    candidate_sampling: str
    temperature: float
    stream: Stream
    interrupted: bool
    catalog: Catalog
    fold_in: FoldIn | None
    user_vectors: UserVectors = field(init=False, default_factory=UserVectors)

    @property
    def history_kind(self):
        """How the user tower sees past items: "pooled", "recent" or None."""
        if not self.sees_history:
            return None
        return "pooled" if self.sequences is None else "recent"

    @property
    def filter_share(self):
        """Share of a linear filter in the score; 0 for none."""
        module = self.net.module_
        if not isinstance(getattr(module, "second", None), LinearFilter):
            return 0.0
        return module.share_now

    @property
    def sees_history(self):
        """Whether the user tower sees past items."""
        return self.net.module_.history is not None

    def fields_without(self, gone, left):
        """Return the net and the stream without some users, a dict."""
        theirs, rows = (self.users.rows[np.flatnonzero(of)] for of in (gone, ~gone))
        unused = (theirs.getnnz(axis=0) > 0) & (rows.getnnz(axis=0) == 0)
        # sequences have all events of a pair
        events = self.seen if self.sequences is None else self.sequences.lags
        return {
            "net": without_columns(self.net, "user", left, unused, rows),
            "stream": self.stream.without_users(events[np.flatnonzero(gone)], left),
        }

    def embed_users(self, query, past, serving):
        """Return vectors (n, d) of a ``Query`` of users with their past items.

        ``past``: their ``Past``.
        """
        seen = past.input if self.sees_history else None
        vectors = embed_users(self.net.module_, query.rows, seen, self.items.rows)
        new = self.fold_in_rows(query, past) if serving.fold_in else []
        if len(new):
            chosen = past.seen if len(new) == len(query) else past.seen[new]
            n_chosen = np.diff(chosen.indptr)
            vectors[new] = self._folded(vectors[new], self._sums(chosen), n_chosen)
        return vectors

    def _folded(self, vectors, sums, n_chosen):
        """Return vectors (n, d) of which the trained towers' part is folded in."""
        module = self.net.module_
        if not isinstance(module, Blend):
            return self.fold_in(vectors, sums, n_chosen)
        width = self.fold_in.vectors.shape[1]
        of_users, of_items = (module.scales(side)[0] for side in ("user", "item"))
        first = vectors[:, :width] / of_users, sums[:, :width] / of_items
        moved = self.fold_in(*first, n_chosen) * of_users
        return np.hstack([moved, vectors[:, width:]]).astype(np.float32)

    def fold_in_rows(self, query, past):
        """Return the rows to fold in: those whose history comes only from the request.

        Empty if ``fold_in`` is None.
        """
        if self.fold_in is None:
            return np.zeros(0, dtype=np.int64)
        # the last row of seen is that of unknown users
        codes = np.where(query.codes < 0, len(self.users), query.codes)
        n_seen = self.seen.indptr[codes + 1] - self.seen.indptr[codes]
        return np.flatnonzero((n_seen == 0) & (np.diff(past.seen.indptr) > 0))

    def _sums(self, past):
        """Return the sums (n, d) of the vectors of past items."""
        if past.shape[0] == 1:
            vectors = self._vectors_of_items(past.indices)
            return vectors.sum(axis=0, dtype=np.float64, keepdims=True)
        items, places = np.unique(past.indices, return_inverse=True)
        shape = past.shape[0], len(items)
        pairs = sparse.csr_matrix((np.ones(past.nnz), places, past.indptr), shape)
        return pairs @ self._vectors_of_items(items)

    def _vectors_of_items(self, codes):
        """Return the vectors (m, d) of items at positions (m,), computed if removed."""
        if codes.max(initial=-1) < self.n_items:
            return np.asarray(self.catalog.vectors).take(codes, axis=0)
        return embed_items(self.net.module_, self.items.rows[codes])

    def embed_items(self, query):
        """Return vectors (n, d) of a ``Query`` of items."""
        return embed_items(self.net.module_, query.rows)

    def users_of_events(self, frame, serving, history=None):
        """Return the vector (n_events, d) of the user of each event of a table.

        ``history``: further past events of these users, as in `recommend`.
        """

        def embed(query):
            return self.embed_users(query, past_of(self, query, history), serving)

        query = Query(*self.users.describe(frame, "X", events=True))
        # a history tells users unknown to fit apart
        keys = query.codes if history is None else pd.factorize(query.ids)[0]
        return _each_once(query, keys, self.users, embed)

    def items_of_events(self, frame):
        """Return the vector (n_events, d) of the item of each event of a table."""
        query = Query(*self.items.describe(frame, "X", events=True))
        warn_of_unknown_items(
            query,
            "They have no features either: the towers give all of them the same score "
            "for a user, which says nothing about them.",
        )
        return _each_once(query, query.codes, self.items, self.embed_items)

    def search(self, query, past, k, serving, excluded=None, allowed=None):
        """Return scores and positions (n, k) of the best items for users.

        Parameters
        ----------
        query : Query
            n users.
        past : Past
            Their past items.
        k : int
            Number of items, >= 1.
        serving : Serving
            Threads, progress bar and fold-in.
        excluded : CSR matrix of shape (n, n_items or more), default=None
            Nonzero where an item must not be returned for a user.
        allowed : array or CSR matrix, default=None
            As in a ``Request``.

        Returns
        -------
        scores : float32 array of shape (n, k)
            Descending; -inf where fewer items are left.
        indices : int64 array of shape (n, k)
            Positions in ``item_ids``; -1 where fewer items are left.
        """
        k, excluded = min(k, self.n_items), self.in_catalog(excluded)
        scores = np.full((len(query), k), -np.inf, dtype=np.float32)
        indices = np.full((len(query), k), -1, dtype=np.int64)
        with threads(serving.n_jobs):
            for block in blocks(len(query), bool(serving.verbose)):
                vectors = self.embed_users(query[block], past[block], serving)
                scores[block], indices[block] = retrieve(
                    self.catalog.index,
                    vectors,
                    self.catalog.vectors,
                    k,
                    rows_of(excluded, block),
                    rows_of(allowed, block),
                )
        return scores, indices

    def search_known(self, code, k, serving, exclude_seen):
        """Return what ``search`` does for the user of fit at position ``code``, faster.

        The parameters are those of ``search``.
        """
        hidden = self._seen_in_catalog(code) if exclude_seen else ()
        return self._nearest_to(self.vector_of(code), k, hidden, serving)

    def similar_to_known(self, code, k, serving):
        """Return what ``search_similar`` does for the item of fit at ``code``, faster.

        None if it does not belong to the catalog.
        """
        if code >= self.n_items:
            return None
        vector = np.asarray(self.catalog.vectors[code])
        return self._nearest_to(vector, k, np.array([code]), serving)

    def _nearest_to(self, vector, k, hidden, serving):
        """Return scores and positions (1, k) of the items nearest to a vector (d,).

        ``hidden``: positions (m,) of items that must not be returned.
        """
        catalog = self.catalog
        with threads(serving.n_jobs):
            scores, indices = nearest_to_one(
                catalog.index, vector, catalog.vectors, k, hidden
            )
        return scores[None].astype(np.float32), indices[None]

    def vector_of(self, code):
        """Return the vector (d,) of the user of fit at a position, computed once."""
        return self.user_vectors.get(code, self._compute_vector)

    def _compute_vector(self, code):
        codes = np.array([code])
        query = Query(self.user_ids[codes], codes, take_rows(self.users.rows, codes))
        return self.embed_users(query, self.past(query), Serving())[0]

    def _seen_in_catalog(self, code):
        """Return the positions (m,) of the items of the catalog that a user chose."""
        start, stop = self.seen.indptr[code : code + 2]
        chosen = self.seen.indices[start:stop]
        if self.seen.shape[1] == self.n_items:
            return chosen
        return chosen[chosen < self.n_items]

    def search_similar(self, query, k, itself, serving):
        """Return scores and positions (n, k) of the items most similar to others.

        ``query``: a ``Query`` of n items. ``itself``: CSR (n, n_items), nonzero at the
        position of each query item in the catalog.
        """
        with threads(serving.n_jobs):
            vectors = self.embed_items(query)
            scores, indices = retrieve(
                self.catalog.index, vectors, self.catalog.vectors, k, itself
            )
        return scores.astype(np.float32), indices


def _each_once(query, keys, entities, embed):
    """Embed each distinct user or item once, unless events hold their features.

    ``keys`` (n,) are equal for the same user or item.
    """
    if entities.features:
        return embed(query)
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    distinct = Query(query.ids[first], query.codes[first], query.rows[first])
    return embed(distinct)[place]


def fitted_towers(learnt, n_items, index, before=None, changed=None):
    """Build ``FittedTowers`` from a ``Learnt`` value: item vectors, index, fold-in.

    The first ``n_items`` items are the catalog. ``index``: an ``IndexRecipe``;
    ``before``: the previous ``Catalog``, whose index may be updated. ``changed``:
    positions (m,) of the items that are not in it, or may have another vector there;
    the others are at the same positions. None: all are computed.
    """
    vectors = _item_vectors(learnt, n_items, before, changed)
    return FittedTowers(
        learnt.schema,
        learnt.users,
        learnt.items,
        learnt.seen,
        learnt.sequences,
        user_ids=learnt.users.ids.to_numpy(),
        item_ids=learnt.items.ids[:n_items].to_numpy(),
        half_life=learnt.half_life,
        net=learnt.net,
        epochs=learnt.epochs,
        candidate_sampling=learnt.candidate_sampling,
        temperature=learnt.temperature,
        stream=learnt.stream,
        interrupted=learnt.net.interrupted_,
        catalog=_catalog(learnt, vectors, index, before, changed),
        fold_in=_fold_in(learnt, vectors),
    )


def _item_vectors(learnt, n_items, before, changed):
    computed = np.arange(n_items) if changed is None else changed
    vectors = embed_items(learnt.net.module_, learnt.items.rows[computed])
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        ids = learnt.items.ids[computed[~finite]]
        raise ValueError(
            f"The vectors of {len(ids)} items are not finite: {format_ids(ids)}. Lower "
            "lr, or scale or clip the features."
        )
    if changed is None:
        return vectors
    together = np.empty((n_items, vectors.shape[1]), dtype=np.float32)
    together[: len(before.vectors)] = before.vectors
    together[changed] = vectors
    return together


def _catalog(learnt, vectors, index, before, changed):
    def sample():
        users, rng = learnt.users, np.random.default_rng(0)
        n = min(len(users), MAX_SAMPLED_USERS)
        rows = np.sort(rng.choice(len(users), n, replace=False))
        past = None
        if learnt.net.module_.history is not None:
            past = learnt.seen[rows]
            if learnt.sequences is not None:
                past = learnt.sequences.rows(rows)
        return embed_users(
            learnt.net.module_, users.rows[rows], past, learnt.items.rows
        )

    return Catalog(
        vectors,
        *build_index(
            index.neighbors,
            vectors,
            learnt.net.module_.normalize,
            sample,
            index.n_neighbors,
            None if before is None else (before.index, before.index_recall),
            changed,
        ),
    )


def _fold_in(learnt, vectors):
    """Return a ``FoldIn``; None without a pooled history of unit vectors, or events.

    ``vectors`` (n_items, d): those of the catalog.
    """
    module = learnt.net.module_
    pooled = module.history is not None and learnt.sequences is None
    if not pooled or not module.normalize:
        return None
    counts = column_counts(learnt.seen)
    places, weights = softmax_sample(counts)
    if len(places) == 0:  # `forget_items` may leave no event
        return None
    first = modules_of(module)[0]
    if first is not module or places.max() >= len(vectors):
        vectors = embed_items(first, learnt.items.rows[places])
    else:
        vectors = vectors[places]
    return FoldIn(vectors, counts[places], weights, learnt.temperature)
