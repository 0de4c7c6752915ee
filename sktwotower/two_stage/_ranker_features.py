"""The features that the ranker reads: their values, and the importance of each group.

Input: a fitted `TwoStageRecommender`, and users, or held-out events.
Output: a table with one row per candidate, or with one row per group of features.
"""

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sktwotower._tables._messages import check_count
from sktwotower._tables._output import in_library, library_for
from sktwotower._tables._schema import read_table
from sktwotower.metrics._held_out import EvaluationMixin, read_held_out
from sktwotower.metrics._hits import table_of_losses
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import read_request

from ._blend import ndcg_of_blended
from ._candidate_table import spread
from ._labelled import HeldOutUsers, described, retrieved


class RankerFeaturesMixin(EvaluationMixin):
    """Methods ``candidate_features`` and ``feature_importance``."""

    def candidate_features(self, X=None, *, history=None) -> pd.DataFrame:
        """Return the candidates of users, with the features that the ranker reads.

        Parameters
        ----------
        X : list, array, Series, dataframe or None, default=None
            Users, as in `kneighbors`; of a user who occurs more than once the first
            row counts. None: every user known from fit or, with ``history``, every user
            who occurs in it.
        history : dataframe, dict, array, list or None, default=None
            Events of these users that fit has not seen, see `recommend`.

        Returns
        -------
        DataFrame
            One row per candidate: the user and the item column, named as in X of fit,
            then the features, float32, missing if they are not known. It is a table of
            the library of X or ``history``, see `recommend`. One block of rows for each
            user, in the order of X and of retrieval:

            - ``rank`` in retrieval, and ``score_gap``, the score less the best one
              (standardized over the candidates of some users, as ``vector_...`` and
              ``nearest`` are: the scale of a retriever's vectors moves with each fit);
            - with several sources ``source__NAME`` (1 if it brought the item),
              ``source_rank__NAME`` in its list (``n_candidates`` + 1: not there) and
              ``source_gap__NAME``, from 0 for its best score to -1 for its last one;
            - ``popularity``: share of the users who chose the item; ``popularity_gap``:
              log of their number, less its mean over the user's past items;
            - ``history_length``: number of the user's events; without ``exclude_seen``
              ``chosen_before``, those of this item, and ``chosen_lately``, their sum
              with weights that fall to 1/e five steps back;
            - with dates ``recent_popularity`` and ``latest_popularity`` (share of the
              latest 10 % and 2 % of events), ``trend`` (log of recent over overall
              popularity), ``popularity_so_far``, and in days ``item_age`` (since the
              first event), ``item_idle`` (since the last one), ``item_end`` (from the
              request to the last one of all), ``history_idle``;
            - if there are events with y = 0, the smoothed shares of positive ones:
              ``click_rate`` of the item, ``history_click_rate`` of the user;
            - ``vector_...`` and ``together_...``: cosine of the item and the last, the
              recent and all past items, by vectors of the retriever and by common
              users; ``nearest``: mean of the three nearest among the last 30;
            - ``after_...``: how often the item follows the last, or recent, items;
            - ``user__...`` and ``item__...``: columns of the side tables and feature
              columns of X that are numbers, dates (in years) or levels (at most 255, by
              their alphabetical position);
            - ``context__...``: columns of X that describe the request, and
              ``own__...``: ``features``.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError, TypeError
            As in `recommend`.

        Examples
        --------
        >>> import numpy as np
        >>> from sktwotower import PopularityRecommender, TwoStageRecommender
        >>> shelves = [["tea", "jam", "bread", "honey", "rusks", "cocoa"],
        ...            ["rake", "hose", "seeds", "spade", "pots", "soil"]]
        >>> rng = np.random.default_rng(0)
        >>> X = [[user, item] for user in range(60)
        ...      for item in rng.permutation(shelves[user % 2])[:4]]
        >>> model = TwoStageRecommender(PopularityRecommender(), random_state=0).fit(X)
        >>> table = model.candidate_features([0])
        >>> shown = ["user", "item", "rank", "popularity", "history_length"]
        >>> table[shown].head(4).round(2)
           user   item  rank  popularity  history_length
        0     0   soil   1.0        0.42             4.0
        1     0    jam   2.0        0.37             4.0
        2     0  spade   3.0        0.35             4.0
        3     0   pots   4.0        0.33             4.0
        """
        fitted = fitted_of(self)
        request = read_request(fitted, X, history)
        users, _ = pd.factorize(request.users.ids)
        _, first_rows = np.unique(users, return_index=True)
        distinct = np.sort(first_rows)
        query = request.users[distinct]
        past = request.past[distinct]
        found = fitted.candidates(query, past, self.exclude_seen)
        features, pairs = fitted.describer.candidates(query, past, found)
        table = fitted.describer.with_ids(query, features, pairs.rows, pairs.items)
        return in_library(table, library_for(self, fitted, X, history))

    def feature_importance(
        self, X=None, y=None, *, n_repeats=3, max_users=None, random_state=None
    ) -> pd.DataFrame:
        """Return how much NDCG is lost without each group of features.

        The features of a group are shuffled together among all candidates, and the
        candidates ranked again.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns), default=None
            Held-out events with the columns of fit. None: up to 300 users of fit, with
            a ranker that was trained on other users.
        y : array-like of shape (n_events,), default=None
            As in `fit`; only events with y > 0 are to be found. Ignored without X.
        n_repeats : int, default=3
            How often each group is shuffled, >= 1; figures are means.
        max_users : int, default=None
            Size of a random sample of the users of X, or of their requests, if there is
            a ``context``. None: all.
        random_state : int, RandomState instance or None, default=None
            Draws the sample and shuffles.

        Returns
        -------
        DataFrame
            One row per group, the largest loss first. Columns: ``group``, ``features``
            (their names, a list), ``ndcg_lost`` (mean over users of the NDCG at
            ``n_neighbors`` minus that with the group shuffled), ``lower`` and ``upper``
            (its 95 % interval, from the standard error over users). It is a table of
            the library of X, see `recommend`. ``attrs``, which only tables of pandas
            have, holds the ``ndcg`` with all features and the ``n_neighbors``.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If no ranker was trained, or X has no positive event.

        Notes
        -----
        With ``blend_`` 0, the ranker's own order is judged, as if ``blend_`` were 1.
        The figures show what this ranker uses: if two groups hold the same
        information, either can replace the other.

        Examples
        --------
        >>> import numpy as np
        >>> from sktwotower import PopularityRecommender, TwoStageRecommender
        >>> shelves = [["tea", "jam", "bread", "honey", "rusks", "cocoa"],
        ...            ["rake", "hose", "seeds", "spade", "pots", "soil"]]
        >>> rng = np.random.default_rng(0)
        >>> X = [[user, item] for user in range(60)
        ...      for item in rng.permutation(shelves[user % 2])[:4]]
        >>> model = TwoStageRecommender(PopularityRecommender(), random_state=0).fit(X)
        >>> table = model.feature_importance(n_repeats=1, random_state=0)
        >>> table[["group", "ndcg_lost"]].head(2).round(1)
                     group  ndcg_lost
        0  chosen together        0.2
        1        retrieval        0.1
        """
        fitted = fitted_of(self)
        k = self.n_neighbors
        check_count(n_repeats, "n_repeats")
        if fitted.ranker is None:
            raise ValueError(
                "There is no ranker whose features could be important: fit warned why "
                "none was trained. Raise n_candidates, or fit on more events."
            )
        rng = check_random_state(random_state)
        held_out = fitted.training.held_out
        if X is not None:
            held_out = _users_of(self, fitted, X, y, max_users, rng)
        elif held_out is None:
            raise ValueError(
                "All users that fit had kept for feature_importance were forgotten. "
                "Pass held-out events as X."
            )
        weight = fitted.weight or 1.0
        features = held_out.features
        rows = []
        complete = _ndcg(held_out, features, weight, k)
        groups = pd.Series(fitted.describer.groups(features))
        for group, names in groups.groupby(groups, sort=False).groups.items():
            lost = np.zeros(len(complete))
            for _ in range(n_repeats):
                shuffled = features.copy()
                order = rng.permutation(len(features))
                shuffled[names] = features[names].to_numpy()[order]
                lost += complete - _ndcg(held_out, shuffled, weight, k)
            rows.append((group, list(names), lost / n_repeats, held_out.ids))
        table = table_of_losses(rows, ["group", "features"], "ndcg", complete, k)
        return in_library(table, library_for(self, fitted, X))


def _users_of(estimator, fitted, X, y, max_users, rng):
    """Return the users of held-out events as ``HeldOutUsers``."""
    frame, _ = read_table(type(estimator).__name__, X, fitted.schema)
    query, past, judged = read_held_out(
        fitted, frame, y, exclude_seen=False, max_users=max_users, random_state=rng
    )
    candidates = retrieved(estimator, fitted.retriever, query, past.first, judged.truth)
    with_truth = np.flatnonzero(candidates.truth.getnnz(axis=1))
    if len(with_truth) == 0:
        raise ValueError(
            "X holds no positive event with an item of the catalog that its user has "
            "not chosen in fit. Pass held-out events, or X=None."
        )
    table, _ = described(fitted.describer, candidates.of_rows(with_truth))
    return HeldOutUsers.of(table, fitted.ranker)


def _ndcg(held_out, features, weight, k):
    """Return the NDCG (n,) of users, with given features of their candidates."""
    scores = spread(held_out.ranker.scores(features), held_out.indices)
    return ndcg_of_blended(held_out.indices, scores, held_out.truth, weight, k)
