"""The estimator: an interaction table X (n_events, n_columns) enters; ranked items per
user leave. It calls, in the order of the data: interactions.py, entities.py, net.py,
neighbors.py, metrics.py.
"""

import copy
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sktwotower import net
from sktwotower.entities import Entities
from sktwotower.interactions import Columns, event_table, outcomes, pair_matrix
from sktwotower.neighbors import ExactNeighbors
from sktwotower.queries import Query, read_query, threads
from sktwotower.retrieval import RetrievalMixin
from sktwotower.sampling import TrainingSet
from sktwotower.validation import ValidationRecall, hold_out

__all__ = ["TwoTowerRecommender"]

# Up to this many items every item is a candidate for every user.
FULL_SOFTMAX_ITEMS = 20_000


class TwoTowerRecommender(
    RetrievalMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Two-tower retrieval model."""

    _parameter_constraints: dict = {
        "user_id": "no_validation",
        "item_id": "no_validation",
        "user_features": "no_validation",
        "item_features": "no_validation",
        "users": "no_validation",
        "items": "no_validation",
        "user_transformer": "no_validation",
        "item_transformer": "no_validation",
        "history": [StrOptions({"pooled"}), None],
        "user_tower": "no_validation",
        "item_tower": "no_validation",
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": [tuple, list],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "normalize": ["boolean"],
        "candidate_sampling": [StrOptions({"auto", "full", "in_batch"})],
        "impression_weight": [Interval(Real, 0, None, closed="left")],
        "impression_start": [Interval(Real, 0, 1, closed="both")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "optimizer": [str, type],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "neighbors": "no_validation",
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "exclude_seen": ["boolean"],
        "callbacks": [list, tuple, None],
        "net_params": [dict, None],
        "neighbors_params": [dict, None],
        "device": [str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        user_id=None,
        item_id=None,
        user_features=None,
        item_features=None,
        users=None,
        items=None,
        user_transformer=None,
        item_transformer=None,
        history="pooled",
        user_tower=None,
        item_tower=None,
        embedding_dim=256,
        hidden_layer_sizes=(),
        dropout=0.5,
        temperature=0.15,
        normalize=True,
        candidate_sampling="auto",
        impression_weight=1.0,
        impression_start=0.5,
        max_epochs=30,
        batch_size=128,
        lr=0.005,
        weight_decay=0.01,
        optimizer="adamw",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        neighbors="auto",
        n_neighbors=10,
        exclude_seen=True,
        callbacks=None,
        net_params=None,
        neighbors_params=None,
        device="cpu",
        n_jobs=None,
        random_state=None,
        warm_start=False,
        verbose=0,
    ):
        self.user_id = user_id
        self.item_id = item_id
        self.user_features = user_features
        self.item_features = item_features
        self.users = users
        self.items = items
        self.user_transformer = user_transformer
        self.item_transformer = item_transformer
        self.history = history
        self.user_tower = user_tower
        self.item_tower = item_tower
        self.embedding_dim = embedding_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.temperature = temperature
        self.normalize = normalize
        self.candidate_sampling = candidate_sampling
        self.impression_weight = impression_weight
        self.impression_start = impression_start
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.neighbors = neighbors
        self.n_neighbors = n_neighbors
        self.exclude_seen = exclude_seen
        self.callbacks = callbacks
        self.net_params = net_params
        self.neighbors_params = neighbors_params
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose

    def fit(self, X, y=None, sample_weight=None):
        """Learn both towers from events.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            One row per event: a user, an item, perhaps features of both.
        y : array-like of shape (n_events,), default=None
            What came of each event: > 0 is its reward, 0 means shown and not chosen.
            None: all events are positive, with reward 1.
        sample_weight : array-like of shape (n_events,), default=None
            Multiplies the reward, or the weight of an impression; >= 0. A weight of 2
            is the same as the row given twice, a weight of 0 as the row left out.

        Returns
        -------
        self : TwoTowerRecommender
            The fitted estimator. A call that fails leaves it as it was before.

        Raises
        ------
        ValueError
            Missing or misspelt columns, missing ids, ids that a side table lacks or
            repeats, a negative or non-finite ``y``, no positive event, fewer than two
            items, features that are not finite, parameters out of range, or a loss
            that stopped being a number.
        TypeError
            Ids of mixed types, a tower that is no module.
        """
        before = self.__dict__.copy()
        try:
            with threads(self.n_jobs):
                self._fit(X, y, sample_weight)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X, y, sample_weight):
        self._validate_params()
        self._check_values()
        frame = event_table(self, X, reset=True)
        rewards, weights = outcomes(y, sample_weight, len(frame))
        kept = weights > 0
        frame, rewards, weights = frame[kept], rewards[kept], weights[kept]
        columns = Columns(frame, self)
        users = Entities(
            "user",
            columns.user,
            columns.labels[0],
            columns.user_features,
            self.users,
            self.user_transformer,
        )
        items = Entities(
            "item",
            columns.item,
            columns.labels[1],
            columns.item_features,
            self.items,
            self.item_transformer,
        )
        user_codes, item_codes = users.fit(frame), items.fit(frame)
        shape = (len(users.ids), len(items.ids))
        self._check_catalogue(shape, len(frame))

        def matrix(chosen, values):
            return pair_matrix(
                user_codes[chosen], item_codes[chosen], values[chosen], shape
            )

        positives = matrix(rewards > 0, rewards * weights)
        impressions = matrix(rewards == 0, weights)
        self._train(users, items, positives, impressions)

    def _check_values(self):
        """Check what a table of types and ranges cannot say."""
        sizes = self.hidden_layer_sizes
        if not all(isinstance(s, Integral) and s >= 1 for s in sizes):
            raise ValueError(
                f"hidden_layer_sizes must be a tuple of ints >= 1. Got {sizes!r}."
            )
        net.optimizer_class(self.optimizer)
        if isinstance(self.neighbors, str):
            if self.neighbors not in ("auto", "exact"):
                raise ValueError(
                    "The 'neighbors' parameter of TwoTowerRecommender must be 'auto', "
                    "'exact' or an estimator with fit and kneighbors. "
                    f"Got {self.neighbors!r} instead."
                )
        elif not all(hasattr(self.neighbors, m) for m in ("fit", "kneighbors")):
            raise TypeError(
                "neighbors must be 'auto', 'exact' or an estimator with fit and "
                f"kneighbors. Got {self.neighbors!r}."
            )

    @staticmethod
    def _check_catalogue(shape, n_events):
        if shape[1] < 2:
            raise ValueError(
                f"X holds one item only (n_samples={n_events}, in {shape[0]} users), so "
                "there is nothing to choose between: at least 2 items are required. "
                "Give the whole catalogue as items=."
            )

    def _train(self, users, items, positives, impressions):
        rng = check_random_state(self.random_state)
        seed = rng.randint(np.iinfo(np.int32).max)
        sampling = self.candidate_sampling
        if sampling == "auto":
            sampling = (
                "full" if positives.shape[1] <= FULL_SOFTMAX_ITEMS else "in_batch"
            )
        module = self._build(users, items)
        data = {"user_rows": users.rows[:-1], "item_rows": items.rows[:-1]}
        fitted, validation, evaluate = positives, None, None
        if self.early_stopping or net.monitors_validation(self.callbacks):
            fitted, held_out = hold_out(positives, self.validation_fraction, rng)
            known = fitted if self.history is not None else None
            validation = TrainingSet(
                **data, positives=held_out, history=known, known=fitted
            )
            evaluate = ValidationRecall(self, users, items, fitted, held_out, rng)
        training = TrainingSet(
            **data,
            positives=fitted,
            history=fitted if self.history is not None else None,
            impressions=impressions if impressions.nnz else None,
        )
        self.net_ = net.train(
            self, module, training, sampling, validation, evaluate, seed
        )
        self.history_ = net.epochs(self.net_)
        self.candidate_sampling_ = sampling
        self._finish(users, items, positives)

    def _build(self, users, items):
        module = net.build_module(self, users.rows.shape[1], items.rows.shape[1])
        if self.warm_start and hasattr(self, "net_"):
            state = self.net_.module_.state_dict()
            shapes = {name: value.shape for name, value in state.items()}
            if shapes != {n: v.shape for n, v in module.state_dict().items()}:
                raise ValueError(
                    "warm_start=True needs the users, items, features and tower sizes "
                    "of the fit before. Fit with warm_start=False to start anew."
                )
            module.load_state_dict(state)
        return module

    def _finish(self, users, items, positives):
        """Set the fitted attributes, once everything that can fail has passed."""
        self._users, self._items = users, items
        self.user_ids_, self.item_ids_ = users.ids.to_numpy(), items.ids.to_numpy()
        self.user_transformer_ = users.transformer
        self.item_transformer_ = items.transformer
        seen = positives.copy()
        seen.data[:] = 1
        empty = sparse.csr_matrix((1, seen.shape[1]), dtype=np.float32)
        # The last row stands for unknown users, as in the rows of Entities.
        self._seen = sparse.vstack([seen, empty], format="csr")
        self.item_embeddings_ = net.embed_items(
            self.net_.module_, items.rows[:-1], self.device
        )
        finite = np.isfinite(self.item_embeddings_).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"The vector of item {self.item_ids_[~finite][0]!r} is not finite "
                f"({int((~finite).sum())} in all). Lower lr, or scale the features."
            )
        self.neighbors_ = self._build_index()

    def _build_index(self):
        params = self.neighbors_params or {}
        if isinstance(self.neighbors, str):
            return ExactNeighbors(**params).fit(self.item_embeddings_)
        return clone(self.neighbors).set_params(**params).fit(self.item_embeddings_)

    def transform(self, X):
        """Give the user vector of each event.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit.

        Returns
        -------
        ndarray of shape (n_events, d), float32
            User vectors, of unit length where ``normalize``. The user's history is
            what fit has seen.
        """
        return self._event_vectors(X)[0]

    def predict(self, X):
        """Score each event's own pair of user and item.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit.

        Returns
        -------
        ndarray of shape (n_events,), float32
            Dot product of the user's and the item's vector: a cosine in [-1, 1] where
            ``normalize``. Higher is a better match.
        """
        users, frame = self._event_vectors(X)
        query = Query(*self._items.describe(frame, "X"))
        items = self._embed_item_query(query)
        return np.einsum("nd,nd->n", users, items, dtype=np.float64).astype(np.float32)

    def _event_vectors(self, X):
        check_is_fitted(self)
        frame = event_table(self, X, reset=False)
        query = Query(*self._users.describe(frame, "X"))
        if self._users.features:
            return self._embed_user_query(query), frame
        first, inverse = np.unique(query.codes, return_index=True, return_inverse=True)[
            1:
        ]
        distinct = Query(query.ids[first], query.codes[first], query.rows[first])
        return self._embed_user_query(distinct)[inverse], frame

    def embed_users(self, users, history=None):
        """Give user vectors.

        Parameters
        ----------
        users : list, array, Series or dataframe of n users
            Ids, or a table with the id column and, optionally, all feature columns.
            Unknown users are no error: they are known by what is given of them.
        history : dataframe, dict, list or None, default=None
            Events that fit has not seen, see `recommend`.

        Returns
        -------
        ndarray of shape (n, d), float32
        """
        check_is_fitted(self)
        query = self._read_users(users)
        return self._embed_user_query(query, self._added(history, query))

    def embed_items(self, items):
        """Give item vectors.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids, or a table with the id column and, optionally, all feature columns.
            An item unknown to fit is known by its features.

        Returns
        -------
        ndarray of shape (n, d), float32
        """
        check_is_fitted(self)
        return self._embed_item_query(
            read_query(self._items, items, "items", self.n_features_in_)
        )

    def _read_users(self, users, name="users"):
        return read_query(self._users, users, name, self.n_features_in_)

    def _added(self, history, query):
        if history is None:
            return None
        return history_matrix(history, query, self._users, self._items)

    def _embed_user_query(self, query, added=None):
        past = None
        if self.history is not None:
            past = self._seen[query.codes]
            if added is not None:
                past = (past + added).sign()
        with threads(self.n_jobs):
            return net.embed_users(
                self.net_.module_, query.rows, past, self._items.rows[:-1], self.device
            )

    def _embed_item_query(self, query):
        with threads(self.n_jobs):
            return net.embed_items(self.net_.module_, query.rows, self.device)

    @property
    def _n_features_out(self):
        return self.item_embeddings_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __sklearn_clone__(self):
        """Copy the parameters, but share the side tables."""
        shared = ("users", "items")
        params = {
            name: value if name in shared else clone(value, safe=False)
            for name, value in self.get_params(deep=False).items()
        }
        copied = type(self)(**params)
        for name in ("_metadata_request", "_sklearn_output_config"):
            if hasattr(self, name):
                setattr(copied, name, copy.deepcopy(getattr(self, name)))
        return copied

    def __repr__(self, N_CHAR_MAX=700):
        """Show the parameters that are not defaults; of side tables only the shape."""
        shown = self.__sklearn_clone__()
        for name in ("users", "items"):
            table = getattr(self, name)
            if table is not None:
                setattr(shown, name, _TableShape(table))
        return BaseEstimator.__repr__(shown, N_CHAR_MAX)


class _TableShape:
    """Stands for a table where an estimator is printed."""

    def __init__(self, table):
        self.table = table

    def __repr__(self):
        shape = getattr(self.table, "shape", ("?", "?"))
        return f"<{type(self.table).__name__} of {shape[0]} rows, {shape[1]} columns>"
