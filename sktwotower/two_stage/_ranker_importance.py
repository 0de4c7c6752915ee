"""The importance of groups of features: the NDCG that is lost if they are shuffled.

Input: a fitted `TwoStageRecommender`, and held-out events or the users kept from fit.
Output: a table (n_groups, 5), one row per group.
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

from ._blend import ndcg_of_blended
from ._candidate_table import spread
from ._labelled import HeldOutUsers, described, retrieved


class RankerImportanceMixin(EvaluationMixin):
    """What is judged on held-out events: both stages, and features of the ranker."""

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
        fitted, k = fitted_of(self), self.n_neighbors
        check_count(n_repeats, "n_repeats")
        if fitted.ranker is None:
            raise ValueError(
                "There is no ranker whose features could be important: fit warned why "
                "none was trained. Raise n_candidates, or fit on more events."
            )
        rng, held_out = check_random_state(random_state), fitted.training.held_out
        if X is not None:
            held_out = _users_of(self, fitted, X, y, max_users, rng)
        elif held_out is None:
            raise ValueError(
                "All users that fit had kept for feature_importance were forgotten. "
                "Pass held-out events as X."
            )
        weight, features, rows = fitted.weight or 1.0, held_out.features, []
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
    sample = {"max_users": max_users, "random_state": rng}
    query, past, judged = read_held_out(fitted, frame, y, exclude_seen=False, **sample)
    found = retrieved(estimator, fitted.retriever, query, past.first, judged.truth)
    judged = np.flatnonzero(found.truth.getnnz(axis=1))
    if len(judged) == 0:
        raise ValueError(
            "X holds no positive event with an item of the catalog that its user has "
            "not chosen in fit. Pass held-out events, or X=None."
        )
    table, _ = described(fitted.describer, found.of_rows(judged))
    return HeldOutUsers.of(table, fitted.ranker)


def _ndcg(held_out, features, weight, k):
    """Return the NDCG (n,) of users, with given features of their candidates."""
    scores = spread(held_out.ranker.scores(features), held_out.indices)
    return ndcg_of_blended(held_out.indices, scores, held_out.truth, weight, k)
