"""The public methods of `TwoTowerRecommender`.

Input: events (n_events, n_columns) and side tables, in fit; users or items later.
Output: a fitted estimator with its state in ``_fitted``; vectors (n, d) and rankings.
"""

import time
from typing import Self

import numpy as np

from sktwotower._records import UpTo, record
from sktwotower._tables._arguments import hinted
from sktwotower._tables._messages import status
from sktwotower.inspection import feature_importance
from sktwotower.metrics._held_out import EvaluationMixin
from sktwotower.neighbors._catalog_index import check_index
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._fitted_state import Serving, fitted_attribute, fitted_of
from sktwotower.retrieval._retrieval import RetrievalMixin
from sktwotower.retrieval._similar_items import SimilarItemsMixin
from sktwotower.towers._stored_net import OPTIMIZER
from sktwotower.towers.histories import HistoryParameter, recipe_with_history
from sktwotower.towers.parts import TowerParameter

from ._catalog import CatalogMixin, IndexRecipe, served, with_new_items
from ._checkpoint import remove_checkpoint
from ._coverage import CoverageMixin
from ._embedding import EmbeddingMixin
from ._events import TableRecipe
from ._fit import learn
from ._fitted import FittedTowers
from ._folder_lock import used_alone
from ._moved_parameters import with_history_object
from ._parameters import TwoTowerParameters
from ._partial_fit import learn_more
from ._stored_parameters import CHECKPOINT, MEMORY, NET_PARAMS
from ._versions import VersionsMixin, with_versions


@record
@hinted
class TwoTowerRecommender(
    RetrievalMixin,
    SimilarItemsMixin,
    EvaluationMixin,
    EmbeddingMixin,
    CatalogMixin,
    VersionsMixin,
    CoverageMixin,
    TwoTowerParameters,
):
    __doc__ = TwoTowerParameters.__doc__

    # What files hold of it
    _fitted: FittedTowers
    _stored_parameters = {
        "history": HistoryParameter(),
        "user_tower": TowerParameter("user_tower"),
        "item_tower": TowerParameter("item_tower"),
        "optimizer": OPTIMIZER,
        "memory": MEMORY,
        "checkpoint": CHECKPOINT,
        "net_params": NET_PARAMS,
    }
    _older_parameters = (UpTo(1, translate=with_history_object),)

    user_transformer_ = fitted_attribute("users.transformer")
    context_transformer_ = fitted_attribute("context.transformer", may_be_none=True)
    item_transformer_ = fitted_attribute("items.transformer")
    item_embeddings_ = fitted_attribute("item_embeddings")
    model_id_ = fitted_attribute("model_id")
    aligned_to_ = fitted_attribute("alignment.model_id", may_be_none=True)
    alignment_ = fitted_attribute("alignment.report", may_be_none=True)
    neighbors_ = fitted_attribute("shown_index")
    index_recall_ = fitted_attribute("index_recall")
    net_ = fitted_attribute("net")
    history_ = fitted_attribute("epochs")
    candidate_sampling_ = fitted_attribute("net.candidate_sampling")
    second_share_ = fitted_attribute("second_share")
    temperature_ = fitted_attribute("temperature")
    impression_weight_ = fitted_attribute("net.impression_weight")
    history_kind_ = fitted_attribute("history_kind", may_be_none=True)
    reward_scale_ = fitted_attribute("reward_scale", may_be_none=True)
    cold_item_weight_ = fitted_attribute("cold_item_weight")
    time_unit_ = fitted_attribute("schema.kind_of_times", may_be_none=True)
    half_life_ = fitted_attribute("half_life", may_be_none=True)
    popularity_half_life_ = fitted_attribute("popularity_half_life", may_be_none=True)
    interrupted_ = fitted_attribute("net.interrupted_")
    validation_score_ = fitted_attribute("validation_score", may_be_none=True)
    weights_ = fitted_attribute("weights")
    context_weights_ = fitted_attribute("context_weights", may_be_none=True)

    @hinted
    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Learn both towers from events.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns), or events on disk
            One row per event: a user, an item, perhaps features of both. Events on disk
            may be larger than memory: a path of Parquet files (a file, a folder, a
            pattern, ``"events/*.parquet"``, or a URL, ``"s3://bucket/events"``), a list
            of files, folders and patterns, a pyarrow Dataset, a polars LazyFrame or a
            Dask dataframe; see the notes.
        y : array-like of shape (n_events,) or str, default=None
            Outcome of each event: > 0 is its reward, 0 means shown and not chosen.
            None: all events are positive, with reward 1. With events on disk, the name
            of a column, which then does not belong to X. For ratings see
            `sktwotower.preprocessing.ratings_to_events`.
        sample_weight : array-like of shape (n_events,) or str, default=None
            Multiplies the reward, or the weight of an impression; >= 0. A weight of 2
            has the same effect as repeating the row, a weight of 0 as leaving it out.
            With events on disk, the name of a column, as y.

        Returns
        -------
        self : TwoTowerRecommender
            The fitted estimator. A call that fails leaves it as it was before.

        Raises
        ------
        ValueError
            If columns or ids are missing, a side table lacks or repeats ids, ``y`` is
            negative or not finite, there is no positive event or only one item,
            features are not finite, parameters are out of range, or the loss becomes
            nan or infinite. If events on disk are a URL, or no file is found, a file is
            damaged or cut off, files have different types, or a lazy frame fails.
        TypeError
            If ids are of mixed types, a tower is not a torch module, or ``callbacks``,
            a half-life or ``neighbors`` is of another type.
        OSError
            If ``checkpoint`` cannot be read or written, or another fit uses it; or if
            the temporary folder is full, to which events on disk are copied.
        ImportError
            If there are events on disk, but DuckDB or pyarrow is not installed.

        Notes
        -----
        Events on disk need ``pip install 'sktwotower[scale]'``, a Dask dataframe
        ``'sktwotower[dask]'``. The page "Events larger than memory" of the guide says
        what happens, and which environment variables choose memory and folder. What
        stays in memory grows with users and items, not with events. The model is the
        one that the same events in memory give. A pickle of it, and a file of
        `sktwotower.io.dump`, hold the events that it has seen.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TwoTowerRecommender
        >>> X = pd.DataFrame({"reader": ["ann", "ann", "bob", "bob", "cid"],
        ...                   "book": ["emma", "dune", "emma", "ubik", "ubik"]})
        >>> stars = pd.Series([5, 1, 4, 5, 4])
        >>> model = TwoTowerRecommender(max_epochs=1).fit(X, y=stars >= 4)
        >>> model.seen_items(["ann"])  # dune did not please
          reader  book
        0    ann  emma
        >>> model.item_ids_  # but it is in the catalog
        array(['dune', 'emma', 'ubik'], dtype=object)
        """
        self._validate_params()
        start = time.perf_counter()
        with used_alone(self.checkpoint), threads(self.n_jobs):
            before = vars(self).get("_fitted")
            events = X, y, sample_weight
            learnt = learn(*self._recipes(), *events, before, self.checkpoint)
            with status(self.verbose, "vectors and index of the catalog"):
                fitted = served(learnt, len(learnt.items), IndexRecipe.of(self))
            fitted.log("fit", time.perf_counter() - start)
            self._fitted = fitted
            if self.checkpoint is not None and not self.interrupted_:
                remove_checkpoint(self.checkpoint)
        return self

    @hinted
    def partial_fit(self, X, y=None, sample_weight=None) -> Self:
        """Learn from further events, in one pass over them in the given order.

        Events may be of new users and items; new items join the catalog. If ``users``
        or ``items`` is a side table, it must contain them as well: call
        ``set_params(items=products)`` first. As in `fit`, all of the new table join:
        items without events are recommended by their features. New ids of X get weights
        of their own if the transformer is a `TowerVectorizer` (the default), and so do
        new levels, tags and words, see Notes. With a recent history, events take their
        place in time among those of before, also if they are late. With ``lr=0`` events
        only join the past of their users; they can be learnt later.

        The cost follows the new events: only items with weights that have changed get
        new vectors. A graph searches these exactly until an eighth of all items has
        changed; then that call rebuilds it. Arrays are copied, so that a request in
        another thread and a copy of the model keep theirs.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the same columns; only the new events. Users of X keep
            their past items, which are never negatives (with a recent history all items
            are, except the one to predict). X may have no positive event, as items that
            were only shown join the catalog, and no rows, as those of a new side table
            do. Events on disk, and what a model that was fitted from disk has seen, are
            read into memory.

        Returns
        -------
        self : TwoTowerRecommender
            The fitted estimator; a first call is `fit`. A call that fails leaves it as
            it was before.

        Raises
        ------
        ValueError, TypeError
            As in `fit`, and ValueError if a side table lacks a new id, a tower cannot
            take new ids, or the model was trained with a loss of your own that
            ``net_params`` does not name or that `sktwotower.io.load` did not get.

        Warns
        -----
        UserWarning
            If X holds the same rows as one of the latest 64 calls, in any order: they
            count twice. If the model was trained with another loss than that of
            ``net_params``.

        Notes
        -----
        Users come in the order of their first rows in X; all events of a user are
        learnt together. The learning rate is constant, a fifth of ``lr``, and there is
        no validation. A linear filter (``second_share``) knows the events
        of fit only, and fades.

        If fit has learnt the weights of parts, they follow the events. Before X is
        learnt, its users, who need to be 20, ask for lists, and the weights move
        towards those that find more of X. They do so only if lists are better beyond
        noise, and by half of each weight at most, or a tenth of all, before they are
        scaled to the same sum: a bad hour does not turn a model. ``weights_`` has those
        of now. They stay as they are with ``lr=0``, with ``validation_events=None`` and
        with a number as ``second_share``.

        The model moves towards the new events, which helps when tastes change. Check
        with `score` on later events, and refit from time to time.

        From fit on, through all calls and also in files, go on: the moments of the
        default optimizer (others start anew, as theirs are twice as large as the
        weights), and how often each item comes, by the gaps between its events
        (`sktwotower.towers.StreamingFrequency`), by which sampled candidates are
        corrected. Of a default item tower only the weights of features are trained: its
        bias and hidden layers stay, since they would move all items. The weights of a
        level or word move all items that have it. All items get new vectors if their
        tower is a module of your own, or if the optimizer decays all weights.

        Features are read of new users and items, and again of those in X if X has
        columns of features. A level, tag or word that fit does not know gets weights of
        its own if ``min_frequency`` of these rows have it (a share is that of the rows
        of fit): with ``TowerVectorizer(min_frequency=1)`` at its first sight, up to
        ``max_features``. With ``n_hashed`` it shares a hashed column instead, and
        nothing grows. Rows that are not read again stay as they are.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> new = [["ann", "rusks"], ["eve", "tea"], ["eve", "jam"]]
        >>> model = model.partial_fit(new)
        >>> model.recommend(["eve"], n_neighbors=1).round(2)  # ann chose rusks, too
          user   item  score  rank
        0  eve  rusks   0.09     1
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y, sample_weight)
        self._validate_params()
        fitted = fitted_of(self)
        start = time.perf_counter()
        with threads(self.n_jobs):
            more, changed = learn_more(*self._recipes(), fitted, X, y, sample_weight)
            if more is not None:
                more, places = with_new_items(more, fitted)
                changed = np.sort(places[changed])
                n_items = fitted.n_items + len(more.items) - len(fitted.items)
                changed = changed[changed < n_items]
                index = IndexRecipe.of(self)
                before = fitted.catalog
                learnt = served(more, n_items, index, before, changed)
                learnt.log("partial_fit", time.perf_counter() - start)
                self._fitted = with_versions(fitted, learnt)
        return self

    def _recipes(self):
        """Return the estimator's name and what fit needs of its parameters."""
        check_index(self.neighbors, self.normalize)
        return type(self).__name__, TableRecipe.of(self), recipe_with_history(self)

    def _serving(self):
        folds_in = getattr(self.history, "fold_in", True)
        is_auto = isinstance(self.neighbors, str) and self.neighbors == "auto"
        return Serving(self.n_jobs, self.verbose, folds_in, is_auto)

    def predict(self, X, history=None) -> np.ndarray:
        """Return the score of each event's own pair of user and item.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit; the time column may be missing.
        history : dataframe, dict, list or None, default=None
            Events of these users that fit has not seen, see `recommend`.

        Returns
        -------
        ndarray of shape (n_events,), float32
            Dot product of the user's and the item's vector, with ``normalize`` a cosine
            in [-1, 1]. What ``sparse_parts`` add to it is never negative, and may lift
            it above 1. Higher is a better match. An item that fit has not seen gets
            the score of its features; without features all such items get one score
            for a user, which says nothing about them.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X lacks columns of fit, or ``history`` lacks the time column.
        TypeError
            If X is not a table in memory, ids are of mixed types, or ``history`` is
            neither events nor a list.

        Warns
        -----
        UserWarning
            If rows hold items that fit has not seen and that have no features, with
            their share.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> model.predict([["ann", "bread"], ["ann", "paint"]]).round(2)
        array([ 0.02, -0.59], dtype=float32)
        >>> model.predict([["zoe", "bread"]], history={"zoe": ["tea", "jam"]}).round(2)
        array([0.08], dtype=float32)
        """
        fitted = fitted_of(self)
        frame = self._read_events(fitted, X)
        with threads(self.n_jobs):
            scores = fitted.scores_of_events(frame, self._serving(), history)
        return scores.astype(np.float32)

    feature_importance = feature_importance
