"""Enters: an estimator and an interaction table X (n_events, n_columns).

Leaves: the same estimator with its fitted attributes, or as it was before.
Next: vectors.py, which answers what is asked of it.
"""

from contextlib import contextmanager

import numpy as np

from sktwotower.neighbors._threads import threads
from sktwotower.towers._net import embed_items, epochs

from ._fit import learn
from ._fold_in import FoldIn, competitors
from ._partial_fit import learn_more

__all__ = ["FittingMixin"]


class FittingMixin:
    """Learning from events, all at once or as they come.

    The estimator is a ``CatalogMixin`` and a ``BaseEstimator``.
    """

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

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TwoTowerRecommender
        >>> X = pd.DataFrame({
        ...     "reader": ["ann", "ann", "bob", "bob"],
        ...     "book": ["emma", "dune", "emma", "ubik"],
        ... })
        >>> stars = pd.Series([5, 1, 4, 5])
        >>> model = TwoTowerRecommender(max_epochs=1).fit(X, y=stars >= 4)
        >>> model.item_ids_.tolist()  # what was only shown is in the catalog, too
        ['dune', 'emma', 'ubik']
        """
        with self._or_as_before():
            self._fit(X, y, sample_weight)
        return self

    def partial_fit(self, X, y=None, sample_weight=None):
        """Learn from further events, in one pass over them.

        New users and items may be among them; new items join the catalog. Where
        ``users`` or ``items`` is given, it must hold the new ones, too:
        ``set_params(items=products)`` before the call. Levels and words that fit has
        not seen stay unknown. New ids get weights of their own if the transformer is a
        `TowerVectorizer` (the default).

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the same columns; the new events alone. Users of X keep
            their past, which is never a negative.

        Returns
        -------
        self : TwoTowerRecommender
            The fitted estimator; a first call is `fit`. A call that fails leaves it as
            it was before.

        Notes
        -----
        The learning rate is 0.3 times ``lr`` throughout, and there is no validation.
        The model moves towards the new events, which is welcome where tastes change;
        how far, tell later events by `score`. Fit anew from time to time.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> X = make_interactions(100, 50, random_state=0).data
        >>> model = TwoTowerRecommender(max_epochs=1, random_state=0).fit(X[:-50])
        >>> n_users = len(model.partial_fit(X[-50:]).user_ids_)
        """
        if not hasattr(self, "net_"):
            return self.fit(X, y, sample_weight)
        with self._or_as_before():
            self._fit_more(X, y, sample_weight)
        return self

    @contextmanager
    def _or_as_before(self):
        """Check parameters, set threads, and undo what a call that fails has done."""
        before = self.__dict__.copy()
        try:
            self._validate_params()
            with threads(self.n_jobs):
                yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit(self, X, y, sample_weight):
        learnt = learn(self, X, y, sample_weight)
        self._keep(learnt)
        self.history_ = epochs(learnt.net)
        self.candidate_sampling_ = learnt.candidate_sampling
        self.temperature_ = learnt.net.criterion_.temperature
        self.item_ids_ = learnt.items.ids.to_numpy()
        self.item_embeddings_ = learnt.item_embeddings
        self.neighbors_, self.index_recall_ = self._build_index(self.item_embeddings_)
        self._fold_in = self._build_fold_in()

    def _fit_more(self, X, y, sample_weight):
        more = learn_more(self, X, y, sample_weight)
        self._keep(more)
        self.history_ = self.history_ + epochs(more.net)
        new = more.items.ids[len(more.items.ids) - more.n_new_items :]
        self.set_catalog(np.concatenate([self.item_ids_, new]))
        self._fold_in = self._build_fold_in()

    def _keep(self, learnt):
        self._users, self._items, self._seen = learnt.users, learnt.items, learnt.seen
        self.user_ids_ = learnt.users.ids.to_numpy()
        self.user_transformer_ = learnt.users.transformer
        self.item_transformer_ = learnt.items.transformer
        self.net_ = learnt.net

    def _build_fold_in(self):
        """Return a `FoldIn`, or None if the user tower sees no history or no sphere."""
        if self.net_.module_.history is None or not self.normalize:
            return None
        counts = np.asarray(self._seen.sum(axis=0)).ravel()
        places, weights = competitors(counts)
        vectors = embed_items(self.net_.module_, self._items.rows[places])
        temperature = self.net_.criterion_.temperature
        return FoldIn(vectors, counts[places], weights, temperature)
