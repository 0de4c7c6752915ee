"""Enters: held-out events X (n_events, n_columns) and a fitted estimator.

Leaves: the ranking of the whole catalog for their users, and its recall.
Next: metrics.py, where all other figures are made of that ranking.
"""

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import Bunch, check_random_state

from sktwotower._tables._events import outcomes
from sktwotower._tables._ids import check_ids
from sktwotower._tables._schema import read_table
from sktwotower._tables._sparse import pair_matrix
from sktwotower.retrieval._fitted import fitted_of
from sktwotower.retrieval._requests import Query, check_n_neighbors, history_matrix

__all__ = ["EvaluationMixin", "recall_by_user"]


class EvaluationMixin:
    """What a fitted estimator finds of held-out events.

    The estimator is a ``RetrievalMixin``, whose search is used.
    """

    def score(self, X, y=None, sample_weight=None):
        r"""Return the mean recall at ``n_neighbors`` on held-out events.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit.
        y : array-like of shape (n_events,), default=None
            As in `fit`; only events with y > 0 are looked for.
        sample_weight : array-like of shape (n_events,), default=None
            Weight of each event within its user's recall. None: each item counts
            once, however often it occurs.

        Returns
        -------
        float
            Mean over users of the (weighted) share of the user's positives in X that
            are among the first ``n_neighbors`` of the whole catalog, in [0, 1].

        Notes
        -----
        Items seen in fit are left out of the ranking, except the positives of X
        itself; without ``exclude_seen`` nothing is left out. A positive whose item is
        not in the catalog is a miss: no ranking can find it. So fits with more and
        with fewer items can be compared; `retrieval_report` shows known items apart.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> made = make_interactions(100, 50, random_state=0)
        >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
        >>> model = TwoTowerRecommender(n_neighbors=20, random_state=0).fit(X)
        >>> model.score(held_out) > 20 / 50  # more than by chance
        True
        """
        ranking = self._held_out_ranking(
            X, y, sample_weight, n_neighbors=self.n_neighbors
        )
        weighted = sample_weight is not None
        return float(np.mean(recall_by_user(ranking.indices, ranking, weighted)))

    def _held_out_ranking(
        self,
        X,
        y=None,
        sample_weight=None,
        *,
        n_neighbors,
        max_users=None,
        random_state=None,
        history=None,
    ):
        """Rank the whole catalog for the users of held-out events.

        All metrics are computed from what this gives, a Bunch of: ``users`` (m,), ids
        of users with positives in X; ``indices`` (m, k), positions in ``item_ids_``,
        best first, padded with -1; ``truth`` and ``seen``, CSR (m, n_items), positives
        of X by weight, and what was left out of the ranking; ``item_counts``
        (n_items,), distinct users in fit, and ``user_counts`` (m,), distinct items in
        fit and in ``history``, further events as `recommend` takes them;
        ``n_unreachable`` and ``unreachable_weight`` (m,), number and weight of the
        positives of X that are not in the catalog; ``left_out``, a dict of reason to
        number of events or users of X that do not count.
        """
        k = check_n_neighbors(n_neighbors)
        users = max_users, random_state
        held_out = self._held_out(X, y, sample_weight, *users, history)
        fitted = held_out.fitted
        _, held_out.indices = fitted.search(
            held_out.query,
            fitted.past(held_out.query, held_out.added),
            k,
            self._serving(),
            held_out.seen,
        )
        return held_out

    def _held_out(self, X, y, sample_weight, max_users, random_state, history=None):
        """Return what `_held_out_ranking` does, before anything is ranked.

        And ``query``, the users as a ``Query``, ``added``, what ``history`` says of
        them, CSR (m, n_items) or None, and ``events`` (m, n_columns), the last
        event of each.
        """
        fitted = fitted_of(self)
        frame, _ = read_table(type(self).__name__, X, fitted.schema)
        rewards, weights = outcomes(y, sample_weight, len(frame))
        positive = rewards * weights > 0
        left_out = _left_out(
            frame[fitted.users.id_column],
            positive,
            ("events not positive", "users without a positive event"),
        )
        frame, weights = frame[positive].reset_index(drop=True), weights[positive]
        rows, last = self._users_of_events(fitted, frame, max_users, random_state)
        kept = rows >= 0
        query = Query(*fitted.users.describe(frame.iloc[last], "X", events=True))
        n_items = fitted.n_items
        codes = fitted.items.codes(frame[fitted.items.id_column], "X")
        codes = np.where(codes < n_items, codes, -1)  # the others are gone
        shape = (len(query), n_items)
        known = kept & (codes >= 0)
        truth = pair_matrix(rows[known], codes[known], weights[known], shape)
        added = None
        if history is not None:
            added = history_matrix(history, query, fitted.users, fitted.items)
        past = fitted.seen[query.codes]
        past = past if added is None else (past + added).sign()
        excluded = (
            _without(past[:, :n_items], truth)
            if self.exclude_seen
            else pair_matrix([], [], [], shape)
        )
        lost = kept & (codes < 0)
        names = pd.factorize(frame.loc[lost, fitted.items.id_column])[0]
        unreachable = pair_matrix(
            rows[lost], names, weights[lost], (len(query), names.max(initial=0) + 1)
        )
        left_out |= _left_out(
            frame[fitted.users.id_column],
            kept,
            ("events of users not sampled", "users not sampled"),
        )
        counted = truth.nnz + unreachable.nnz
        left_out["repeats of a user and an item"] = int(kept.sum()) - counted
        return Bunch(
            fitted=fitted,
            users=query.ids,
            query=query,
            added=added,
            events=frame.iloc[last],
            truth=truth,
            seen=excluded,
            item_counts=np.asarray(fitted.seen.sum(axis=0)).ravel()[:n_items],
            # of all items: those that are gone were chosen as well
            user_counts=np.asarray(past.sum(axis=1)).ravel(),
            n_unreachable=np.diff(unreachable.indptr),
            unreachable_weight=np.asarray(unreachable.sum(axis=1)).ravel(),
            left_out=left_out,
        )

    def _users_of_events(self, fitted, frame, max_users, random_state):
        """Return each event's user as 0 .. m - 1, and each such user's last event."""
        rows, users = pd.factorize(
            check_ids(frame[fitted.users.id_column], "the users of X"), sort=True
        )
        if max_users is not None and max_users < len(users):
            rng = check_random_state(random_state)
            chosen = np.sort(rng.choice(len(users), max_users, replace=False))
            place = np.full(len(users), -1)
            place[chosen] = np.arange(max_users)
            rows = place[rows]
        last = np.zeros(rows.max() + 1, dtype=int)
        last[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        return rows, last


def _left_out(users, kept, names):
    """Count the events that are not kept, and the users who have no others."""
    if kept.all():
        return {}
    without = users.nunique() - users[kept].nunique()
    return dict(zip(names, (int((~kept).sum()), without), strict=True))


def recall_by_user(indices, held_out, weighted=False):
    """Return each user's recall (m,) of held-out events in ranked positions (m, k)."""
    truth = held_out.truth if weighted else held_out.truth.sign()
    truth = truth.astype(np.float64)
    found = np.maximum(indices, 0)
    rows = np.arange(len(found))[:, None]
    hits = np.asarray(truth[rows, found].todense()).reshape(found.shape)
    hits = np.where(indices >= 0, hits, 0).sum(axis=1)
    lost = held_out.unreachable_weight if weighted else held_out.n_unreachable
    return hits / (np.asarray(truth.sum(axis=1)).ravel() + lost)


def _without(matrix, other):
    """Return the entries of a CSR matrix that are zero in another of its shape."""
    matrix = matrix.astype(bool)
    common = matrix.multiply(other.astype(bool))
    rest = sparse.csr_matrix(matrix.astype(np.float32) - common.astype(np.float32))
    rest.eliminate_zeros()
    return rest
