"""The methods that follow from ``recommend``.

Input: a fitted recommender of any library, and held-out events X.
Output: a `HeldOutRanking`, or the mean recall.
"""

from sktwotower.metrics import HeldOutRanking
from sktwotower.metrics._from_lists import held_out_by_lists
from sktwotower.metrics._scorers import make_retrieval_scorer


class RecommenderMixin:
    """Add ``score`` and ``rank_held_out`` to a recommender that has ``recommend``.

    Reports, scorers and two stages take recommenders without it as well. With it, the
    searches of scikit-learn need no ``scoring``.

    See Also
    --------
    check_recommender : Says what a recommender must have, and checks it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.base import BaseEstimator
    >>> from sktwotower.base import RecommenderMixin
    >>> class Alphabetical(RecommenderMixin, BaseEstimator):
    ...     def fit(self, X, y=None):
    ...         self.item_ids_ = X["item"].unique()
    ...         return self
    ...     def recommend(self, users, n_neighbors=10, *, exclude_seen=True,
    ...                   candidates=None):
    ...         items = self.item_ids_ if candidates is None else candidates
    ...         first = pd.DataFrame({"item": sorted(items)[:n_neighbors]})
    ...         first["rank"] = range(1, len(first) + 1)
    ...         first["score"] = 1 / first["rank"]
    ...         return pd.DataFrame({"user": users}).merge(first, how="cross")
    >>> X = pd.DataFrame({"user": ["ann", "ann", "bob"], "item": ["tea", "jam", "ham"]})
    >>> model = Alphabetical().fit(X)
    >>> model.recommend(["ann"], n_neighbors=2)
      user item  rank  score
    0  ann  ham     1    1.0
    1  ann  jam     2    0.5
    >>> later = pd.DataFrame({"user": ["ann", "bob"], "item": ["ham", "tea"]})
    >>> model.score(later)  # all three items are among the first ten
    1.0
    """

    def score(self, X, y=None, sample_weight=None) -> float:
        """Return the mean recall on held-out events.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Held-out events. The parameters ``user_id`` and ``item_id`` of the
            recommender name the columns; without them they are the first two.
        y : array-like of shape (n_events,), default=None
            Outcome of each event; only those with y > 0 are to be found. None: all.
        sample_weight : array-like of shape (n_events,), default=None
            Weight of each event within its user's recall. None: each item counts once.

        Returns
        -------
        float
            Mean over users of the share of the user's items in X that are among the
            first ``n_neighbors``, the parameter of that name or else 10.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X has no positive event, or ``recommend`` returns another table than
            `check_recommender` states.

        Examples
        --------
        See `RecommenderMixin`.
        """
        k = getattr(self, "n_neighbors", 10)
        return make_retrieval_scorer("recall", k)(self, X, y, sample_weight)

    def rank_held_out(
        self,
        X,
        y=None,
        sample_weight=None,
        *,
        n_neighbors,
        max_users=None,
        random_state=None,
        history=None,
        requests=None,
    ) -> HeldOutRanking:
        """Rank the whole catalog for the users of held-out events.

        Parameters
        ----------
        X, y, sample_weight
            As in `score`.
        n_neighbors : int
            Number of ranked items per row, >= 0.
        max_users : int, default=None
            Rank for a random sample of this many users, >= 1. None: all.
        random_state : int, RandomState instance or None, default=None
            Draws the sample.
        history : None
            Anything else is refused: ``recommend`` has no such argument.
        requests : str, int or list of them, default=None
            Columns of X that tell the requests of a user apart, as in
            `held_out_truth`. The lists of all requests of a user are the same.

        Returns
        -------
        ranking : HeldOutRanking
            Items that the user chose in fit are left out, except those that are to be
            found, unless the parameter ``exclude_seen`` is False. Which these are
            ``seen_items`` says, if there is such a method.

        Raises
        ------
        ValueError
            As in `score`, or if there is a ``history``.

        Examples
        --------
        See `RecommenderMixin`.
        """
        return held_out_by_lists(
            self,
            X,
            y,
            sample_weight,
            n_neighbors=n_neighbors,
            max_users=max_users,
            random_state=random_state,
            history=history,
            requests=requests,
        )
