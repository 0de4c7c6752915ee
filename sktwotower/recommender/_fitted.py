"""The fitted state of `TwoTowerRecommender`, as one immutable value.

Input: trained towers with the users and items they were trained on.
Output: what a context asked for, and the items nearest to users, (n, k).
"""

import copy
from dataclasses import field, fields
from functools import cached_property
from operator import attrgetter
from typing import Annotated

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._records import (
    UpTo,
    csr,
    frozen,
    integer,
    list_of,
    number,
    one_of,
    require,
)
from sktwotower._tables._messages import logger
from sktwotower._tables._reward_scale import SCALES
from sktwotower._tables._sparse import blocks, rows_of, slices
from sktwotower.features._after_fit import unused_columns
from sktwotower.features._request_context import RequestContext
from sktwotower.inspection._explanation import explained
from sktwotower.neighbors._catalog_index import OURS, Catalog
from sktwotower.neighbors._exact import ExactNeighbors
from sktwotower.neighbors._graph_for_many import GraphForMany
from sktwotower.neighbors._search import nearest_to_one, retrieve
from sktwotower.neighbors._threads import threads
from sktwotower.neighbors._top_k import columns_of
from sktwotower.retrieval._fitted_state import Fitted, Serving
from sktwotower.retrieval._requests import Query, past_of
from sktwotower.runtime._alignment import turned
from sktwotower.runtime._kept import Kept
from sktwotower.runtime._knots import KNOTS
from sktwotower.runtime._model_id import model_id_of, with_model_id
from sktwotower.runtime._rules import cosines_of
from sktwotower.runtime._stored_vectors import StoredVectors, vectors_of_softmax
from sktwotower.towers._stored_net import NET
from sktwotower.towers.sparse_parts import recomputed, users_at_once
from sktwotower.towers.training._net import TwoTowerNet, epochs, with_model

from ._ages import as_duration
from ._asked import AskedBefore, asked_of
from ._fold_in import FoldIn
from ._stream import Stream
from ._tower_vectors import TowerVectors
from ._versions import Alignment, Versions

# Number of users for whom the recall of an index is measured.
MAX_SAMPLED_USERS = 500


@frozen
class Judged:
    """How good lists were for events that towers had not learnt yet.

    Parameters
    ----------
    recall, ndcg : float
        Means over users, of lists of ten.
    n_users : int
    gains : list of float
        By how much NDCG@20 falls without each part of the model.
    rate : float
        Learning rate of the last pass, over the latest events, relative to that of fit.
    context_weights : list of float
        Weight of each column of the context, in [0, 1].
    near : float
        Requests up to so long before the latest event have the weights of now. 0: all.
    """

    recall: number(0)
    ndcg: number(0)
    n_users: integer(1)
    gains: list_of(number())
    rate: number(0)
    context_weights: list_of(number(0))
    near: number(0) = 0.0

    _older_formats = (UpTo(1, lacking={"context_weights": [], "near": 0.0}),)


@frozen
class FittedTowers(TowerVectors, StoredVectors, Fitted):
    """The fitted state of a `TwoTowerRecommender`.

    Training and later changes replace some of its fields, and then `served` those that
    follow from the others: ``catalog`` and ``fold_in``.

    Parameters
    ----------
    schema, users, items, seen, sequences
        As in `Fitted`.
    half_life : Timedelta, float or None
        Age at which the weight of an event was halved in training.
    net : TwoTowerNet
        The trained net, whose module is a ``Model``.
    stream : Stream
        What `partial_fit` goes on with.
    cold_item_weight : float
        Factor of the vectors of items that nobody has chosen since fit, in (0, 1].
    catalog : Catalog, default=None
        Vectors and index of the first items. None: not computed yet.
    fold_in : FoldIn, default=None
        Computes vectors of new users with a history. None if the first part of the
        model does not fold in, or if no event is left.
    context : RequestContext, default=None
        How the context of a request becomes a feature row. None: there is none.
    context_users : CSR matrix of shape (n_users + 1, p), default=None
        Ones where a user's events have a feature of the context; the last row is empty.
    judged : Judged, default=None
        How good lists were for events that were kept back. None: none were.
    reward_scale : str, default=None
        The scale of rewards, as of `on_scale`.
    versions : Versions, default=None
        What has become of item vectors since earlier states. None: there are none.
    alignment : Alignment, default=None
        How vectors are turned before others get them. None: they are not. The vectors
        of ``catalog`` are those before.

    Attributes
    ----------
    user_vectors : Kept
        Vectors of known users that were asked for. Each state begins without any.
    added_before : Kept
        What sparse parts have ``Added`` to the scores of these, likewise.
    asked_before : AskedBefore
        Contexts that were asked in, likewise.
    graph_for_many : GraphForMany
        The graph that searches for very many users pay for, likewise.
    """

    half_life: object
    net: Annotated[TwoTowerNet, NET]
    stream: Stream
    cold_item_weight: number(0)
    catalog: Catalog | None = None
    fold_in: FoldIn | None = None
    context: RequestContext | None = None
    context_users: csr("n_users+1 p", empty_last=True) | None = None
    judged: Judged | None = None
    reward_scale: one_of(None, *SCALES) = None
    versions: Versions | None = None
    alignment: Alignment | None = None
    user_vectors: Kept = field(init=False, default_factory=Kept)
    added_before: Kept = field(init=False, default_factory=Kept)
    asked_before: AskedBefore = field(init=False, default_factory=AskedBefore)
    graph_for_many: GraphForMany = field(init=False, default_factory=GraphForMany)

    _older_formats = (
        UpTo(
            1,
            lacking={
                "judged": None,
                "reward_scale": None,
                "versions": None,
                "alignment": None,
            },
        ),
    )

    def _stored_parts(self):
        parts = {column.name: getattr(self, column.name) for column in fields(self)}
        if self.fold_in is not None:
            known = vectors_of_softmax(self.seen, self.catalog)
            parts["fold_in"] = self.fold_in._without_known(known)
        return parts

    def _check_stored(self, place):
        super()._check_stored(place)
        known = self.context is not None
        has_users = self.context_users is not None
        if known and has_users:
            shape = len(self.users) + 1, self.context.width
            at = f"{place}.context_users"
            csr(shape)(self.context_users, at)
            require((self.context_users.data == 1).all(), at, "a matrix of ones")
            # the context is made of columns of X in fit
            context = self.context
            schema = self.schema
            same = tuple(context.columns) == schema.context
            same = same and context.time in (None, schema.time)
            require(same, f"{place}.context", "the columns of the schema")
            clock = context.clock
            same = clock is None or clock.time_kind == schema.time_kind
            require(same, f"{place}.context.clock", "times of the kind of the schema")
        fits = 0 < self.cold_item_weight <= 1
        require(fits, f"{place}.cold_item_weight", "a factor in (0, 1]")
        n_items = self.seen.shape[1]
        fits = len(self.stream.gaps.gap) == n_items
        require(fits, f"{place}.stream.gaps", f"numbers of {n_items} items")
        self._check_vectors(place)
        require(known == has_users, place, "users of contexts")
        n, d = self.catalog.vectors.shape
        if self.versions is not None:
            fits = self.versions.moves.shape[1] == n
            require(fits, f"{place}.versions", f"those of {n} items")
        if self.alignment is not None:
            fits = len(self.alignment.turn) == d
            require(fits, f"{place}.alignment", f"that of vectors of {d} numbers")

    @property
    def n_items(self):
        """Number of items in the catalog."""
        return len(self.catalog.vectors)

    @cached_property
    def model_id(self):
        """Which item vectors these are, a text."""
        turn = None
        if self.alignment is not None:
            turn = self.alignment.turn
        return model_id_of(self.item_ids, self.catalog.vectors, turn)

    @cached_property
    def item_embeddings(self):
        """Vectors (n_items, d) of the catalog, as others get them."""
        return self.shown(self.catalog.vectors)

    def shown(self, vectors):
        """Return vectors (n, d) as others get them: turned, and with an id."""
        if self.alignment is not None:
            vectors = turned(np.asarray(vectors), self.alignment.turn)
        return with_model_id(vectors, self.model_id)

    @property
    def shown_index(self):
        """The index; one of vectors that are not turned refuses those that are."""
        index = self.catalog.index
        if self.alignment is None or type(index) not in OURS:
            return index
        index = copy.copy(index)
        index.model_id_ = model_id_of(self.item_ids, self.catalog.vectors)
        return index

    # The ``Model``: what is learnt of users and items.
    model = property(attrgetter("net.model"))
    # How the model sees past items: "pooled", "recent", the name of a class, or None.
    history_kind = property(attrgetter("model.history.kind"))
    # The temperature of training.
    temperature = property(attrgetter("net.temperature"))
    scores_new_items = True
    explained = explained

    @property
    def item_vectors(self):
        """Vectors (n_items, d) of the catalog, without popularity: see `cosines`."""
        factors = self.model.similarity_factors
        if factors.all():
            return self.catalog.vectors
        return self.catalog.vectors[:, factors > 0]

    @property
    def second_share(self):
        """Share of the second part in the score, apart from recent popularity."""
        pairs = zip(self.model.shares_now, self.model.parts, strict=True)
        first, *others = [s for s, part in pairs if not part.is_popularity]
        total = first + sum(others)
        if total == 0:
            return 0.0
        return sum(others) / total

    @property
    def popularity_half_life(self):
        """Half-life of recent popularity with the largest weight, or None."""
        model = self.model
        weights = model.scales_of_users[-1] * model.scales_of_items
        pairs = zip(weights, model.parts, strict=True)
        known = [(weight, part.half_life) for weight, part in pairs if part.half_life]
        _, half_life = max(known, default=(0, None))
        return as_duration(half_life, self.schema.dates)

    @property
    def validation_score(self):
        """Figures of ``judged``, a dict; None if no events were kept back."""
        if self.judged is None:
            return None
        judged = self.judged
        scores = {"recall@10": judged.recall, "ndcg@10": judged.ndcg}
        return scores | {"n_users": judged.n_users}

    @property
    def weights(self):
        """Share of each part in the score, by the number of past items, a DataFrame."""
        model = self.model
        is_same = model.by_past is None or not model.sees_past
        sizes = KNOTS
        if is_same:
            sizes = [0]
        n_past = np.array(sizes)
        scores = model.scales_of(n_past) * model.scales_of_items
        parts = list(model.parts)
        if model.sparse is not None:
            added = model.sparse.weights_of(n_past) / model.lengths_of(n_past)[:, None]
            scores = np.hstack([scores, added])
            parts += model.sparse.parts
        scores = scores / np.abs(scores).sum(axis=1, keepdims=True)
        names = []
        for part in parts:
            name = part.in_words
            if part.half_life is not None:
                half_life = as_duration(part.half_life, self.schema.dates)
                if self.schema.dates:
                    half_life = f"{half_life / pd.Timedelta(days=1):.3g} days"
                name += f", half-life {half_life}"
            names.append(name)
        columns = [f"{size} past items" for size in sizes[:-1]]
        columns += ["all users" if is_same else f"{sizes[-1]} or more"]
        table = pd.DataFrame(scores.T, index=names, columns=columns)
        if self.judged is None:
            return table
        return table.assign(**{"ndcg@20 added": self.judged.gains})

    @property
    def context_weights(self):
        """Weight of each column of the context that X names, a Series, or None."""
        if self.context is None or self.context.is_auto:
            return None
        columns = self.context.all_columns
        weights = [1.0] * len(columns)
        # others were not judged, or are of an earlier file
        if self.judged is not None and len(self.judged.context_weights) == len(columns):
            weights = self.judged.context_weights
        index = pd.Index(columns, dtype=object, name="column")
        return pd.Series(weights, index, dtype=float, name="weight")

    @property
    def epochs(self):
        """Figures of each epoch, a list of dicts."""
        return epochs(self.net)

    def log(self, call, seconds):
        """Log what a call has chosen by itself, and the last epoch; never an id."""
        epochs = self.epochs
        net = self.net
        catalog = self.catalog
        last = {}
        if epochs:
            last = epochs[-1]
        shown = [k for k in ("train_loss", "valid_recall") if k in last]
        figures = [
            f"{len(self.users)} users, {len(catalog.vectors)} items",
            f"history {self.history_kind}",
            f"candidates {net.candidate_sampling}",
            f"temperature {self.temperature:.3g}, half-life {self.half_life}",
            f"half-life of popularity {self.popularity_half_life}",
            f"impression weight {net.impression_weight}",
            f"scale of rewards {self.reward_scale}",
            f"cold item weight {self.cold_item_weight}",
            f"{len(epochs)} epochs",
            *(f"{k} {last[k]:.4f}" for k in shown),
            f"index {type(catalog.index).__name__}",
        ]
        if self.judged is not None:
            scores = self.validation_score
            text = "kept-back recall@10 {recall@10:.4f}, ndcg@10 {ndcg@10:.4f}"
            figures.append(text.format_map(scores))
            figures.append(f"rate of the latest events {self.judged.rate}")
        if self.assumes_now:
            now = pd.to_datetime(self.context.clock.now, unit="ns")
            reach = pd.to_timedelta(self.context.reach, unit="ns")
            text = (
                "requests without a time are ones at %s, the latest known, if the last "
                "event of their user is at most %s before"
            )
            logger.info(text, now.floor("s"), reach.floor("s"))
        recall = catalog.index_recall
        text = ", ".join(figures)
        logger.info("%s took %.1f s: %s with recall %.3f", call, seconds, text, recall)

    def fields_without(self, gone, left):
        """Return the net and the stream without some users, a dict."""
        # sequences have all events of a pair
        events = self.seen
        if self.sequences is not None:
            events = self.sequences.lags
        stream = self.stream.without_users(events[np.flatnonzero(gone)])
        changed = {"stream": stream}

        # the weights of features that nobody else has
        unused, rows = unused_columns(self.users.rows, gone)
        model = self.model.without("user", left, unused, rows[:-1])
        if model.sparse is not None:
            kept = np.flatnonzero(~gone)
            lags = None
            if self.sequences is not None:
                lags = self.sequences.lags[kept]
            sparse_parts = recomputed(model.sparse, self.seen[kept], lags, forgets=True)
            model = model.with_sparse(sparse_parts)
        if self.context is not None:
            unused, users = unused_columns(self.context_users, gone)
            context, left = self.context.without(unused)
            empty = sparse.csr_matrix((1, len(left)), dtype=np.float32)
            model = model.without("context", left, unused, empty)
            changed["context"] = context
            changed["context_users"] = users[:, np.flatnonzero(left)]
        changed["net"] = with_model(self.net, model)
        return changed

    @property
    def sees_gaps(self):
        """Whether the time since the user's last event counts in a request."""
        return self.context is not None and self.context.sees_gaps

    def asked(self, frame, n, given=None, name="X"):
        """Return what n requests ``Asked``; see `Fitted.asked`."""
        if self.context is None or (frame is None and given is None):
            return super().asked(frame, n, given, name)
        known = self.known_columns
        cells = None  # of one context, that of all requests
        if frame is None:
            cells = given
        elif n == 1 and given is None:
            columns = self.context.columns_among(frame.columns, known, name)
            cells = {column: frame[column].iloc[0] for column in columns}
        if cells or frame is None:
            asked = self.asked_before.get(self.context, cells, n)
            if asked is not None:
                return asked
        return asked_of(self.context, frame, n, given, name, known)

    @property
    def context_columns(self):
        """Names of the columns that describe a request, and not its user.

        Without a time that nobody has asked for: it is no reason to rank for a user
        more than once.
        """
        if self.context is None or self.context.is_auto:
            return ()
        return tuple(self.context.all_columns)

    @property
    def item_context(self):
        """Names of the ``context_columns`` that items have, and X has not."""
        return self.schema.item_context

    @property
    def asked_time(self):
        """Name of the time column if nobody has asked for it as a context, or None."""
        if self.context is None or not self.context.is_auto:
            return None
        return self.schema.time

    def shares_long_before(self, asked):
        """As in `Fitted`."""
        if self.model.long_before is None or asked is None or asked.times is None:
            return None
        clock = self.context.clock
        if clock is None or not clock.near:
            return None
        shares = clock.shares_long_before(asked.times)
        if not shares.any():
            return None
        return shares

    @property
    def assumes_now(self):
        """Whether requests without a time may be ones at the latest time of all."""
        return self.context is not None and self.context.reach > 0

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
        k = min(k, self.n_items)
        if excluded is not None and excluded.shape[1] != self.n_items:
            excluded = excluded[:, : self.n_items]
        scores = np.full((len(query), k), -np.inf, dtype=np.float32)
        indices = np.full((len(query), k), -1, dtype=np.int64)
        n_users = max(len(query), serving.n_users)
        index = self._index_for(n_users, k, serving, allowed)
        items = self.catalog.vectors
        with threads(serving.n_jobs):
            for block in blocks(len(query), serving.verbose):
                vectors = self.embed_users(query[block], past[block], serving)
                for part in self._parts_of(len(vectors)):
                    rows = slice(block.start + part.start, block.start + part.stop)
                    hidden = rows_of(excluded, rows)
                    shown = rows_of(allowed, rows)
                    added = self.added_to(past[rows])
                    scores[rows], indices[rows] = retrieve(
                        index, vectors[part], items, k, hidden, shown, added=added
                    )
        return scores, indices

    def _parts_of(self, n_users):
        """Return slices of n users, for whom items are searched at once."""
        if self.model.sparse is None:
            return [slice(0, n_users)]
        # what sparse parts add for one user may be numbers for most items
        return slices(n_users, users_at_once(self.n_items))

    def _index_for(self, n_queries, k, serving, allowed=None):
        """Return the index that a search of so many queries for k items pays for.

        ``allowed``: as in `search`.
        """
        catalog = self.catalog
        if serving.is_exact:
            return ExactNeighbors()
        is_free = serving.builds_graphs and isinstance(catalog.index, ExactNeighbors)
        if not is_free or allowed is not None:
            return catalog.index
        if not GraphForMany.pays(n_queries, len(catalog.vectors), k):
            return catalog.index
        sample = self.sampled_vectors
        return self.graph_for_many.index(catalog.vectors, k, sample) or catalog.index

    def sampled_vectors(self):
        """Return vectors (n, d) of users of fit, on which a recall is measured."""
        rng = np.random.default_rng(0)
        n_users = len(self.users)
        n = min(n_users, MAX_SAMPLED_USERS)
        rows = np.sort(rng.choice(n_users, n, replace=False))
        query = Query(self.user_ids[rows], rows, self.users.rows[rows])
        return self.without_context(query, self.past(query), Serving(fold_in=False))

    @property
    def index_recall(self):
        """Lowest recall of the searches, by the index or by a graph for many users."""
        return min(self.catalog.index_recall, self.graph_for_many.recall)

    def search_known(self, request, k, serving, exclude_seen):
        """Return what ``search`` does for a ``Request`` of one known user, faster."""
        code = request.users.codes[0]

        # items that must not be in the list, and those that may be
        hidden = ()
        if exclude_seen:
            hidden = columns_of(self.seen, code)
        if request.left_out is not None:
            hidden = np.union1d(hidden, request.left_out.indices).astype(np.int64)
        if len(hidden):
            hidden = hidden[hidden < self.n_items]
        allowed = getattr(request.allowed, "indices", request.allowed)  # of a matrix

        # the vector of the user, in the context of the request
        vector = self.vector_of(code)
        asked = request.users.asked
        long_before = self.shares_long_before(asked)
        if long_before is not None:
            past = past_of(self, request.users)
            n_past = np.diff(past.input.indptr)
            vector = self.as_asked(vector[None], n_past, long_before)[0]
        if self.context is not None:
            has_time = asked is not None and asked.times is not None
            latest = None
            if self.sees_gaps and (has_time or self.assumes_now):
                latest = self.sequences.latest(request.users.codes)
            vector = self.in_context(vector[None], asked, latest)[0]

        added = None
        if self.model.sparse is not None:
            if long_before is None:
                added = self.added_to_known(code)
            else:
                added = self.added_to(past)
        return self._nearest_to(vector, k, hidden, serving, allowed, added)

    def similar_to_known(self, code, k, serving):
        """Return what ``search_similar`` does for the item of fit at ``code``, faster.

        None if it does not belong to the catalog.
        """
        if code >= self.n_items:
            return None
        vector = self._as_similar(np.asarray(self.catalog.vectors[code]))
        return self._nearest_to(vector, k, np.array([code]), serving)

    def _as_similar(self, vectors):
        """Return vectors of items (..., d) whose products say what is similar."""
        return (vectors * self.model.similarity_factors).astype(np.float32)

    def _nearest_to(self, vector, k, hidden, serving, allowed=None, added=None):
        """Return scores and positions (1, k) of the items nearest to a vector (d,).

        ``hidden``: positions (m,) of items that must not be returned. ``allowed``:
        sorted positions of those that may be; None: all. ``added``: what is ``Added``
        to the scores of some items; None: nothing.
        """
        index = self.catalog.index
        items = self.catalog.vectors
        with threads(serving.n_jobs):
            scores, indices = nearest_to_one(
                index, vector, items, k, hidden, allowed, added=added
            )
        return scores[None].astype(np.float32), indices[None]

    @cached_property
    def unit_users(self):
        """As in `Fitted`: the vectors of users, without a context."""
        codes = np.arange(len(self.users))
        query = Query(self.user_ids, codes, self.users.rows[:-1])
        parts = []
        for block in blocks(len(query)):
            part = query[block]
            parts.append(self.unit_users_of(part, self.past(part)))
        return np.concatenate(parts)

    def unit_users_of(self, query, past):
        """As in `Fitted`."""
        vectors = self.without_context(query, past, Serving())
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)

    def cosines(self, positions):
        """As in `Fitted`: the cosines of item vectors."""
        vectors = np.asarray(self.catalog.vectors).take(positions, axis=0)
        return cosines_of(self._as_similar(vectors))

    def search_similar(self, query, k, itself, serving):
        """Return scores and positions (n, k) of the items most similar to others.

        ``query``: a ``Query`` of n items. ``itself``: CSR (n, n_items), nonzero at the
        position of each query item in the catalog.
        """
        with threads(serving.n_jobs):
            vectors = self._as_similar(self.embed_items(query))
            items = self.catalog.vectors
            index = self._index_for(len(query), k, serving)
            scores, indices = retrieve(index, vectors, items, k, itself)
        return scores.astype(np.float32), indices
