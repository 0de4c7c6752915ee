"""Candidates with labels, and rankers that are judged on users of others.

Input: users with their candidates, and what they chose later, CSR (n_users, n_items).
Output: ``Candidates``, and scores (n_users, n_candidates) for each user.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower import _records as records
from sktwotower.features._after_fit import without_rows
from sktwotower.metrics._held_out import read_held_out
from sktwotower.retrieval._fitted_state import Past
from sktwotower.retrieval._requests import Query

from ._blend import JudgedOrders
from ._candidate_table import Found, find_candidates, rows_or_none, spread
from ._context import StagedAsked, of_retriever
from ._log import entries
from ._ranker import MIN_USERS, N_FOLDS, FittedRanker, LabelledRows, scores_by_others

# Users of the first fold that are kept, for the importance of features.
MAX_KEPT = 300
# A ranker is trained on as many users as have this many candidates together.
MAX_PAIRS = 200_000
# How many times as many users are asked for candidates: not all have a positive one.
USERS_PER_RANKED = 2


class Candidates(NamedTuple):
    """Candidates of n users, and which of them were chosen later.

    Parameters
    ----------
    query : Query
        n users.
    past : Past
        Their past items.
    scores, indices, sources : arrays of shape (n, n_candidates) and so on
        What was ``Found``: the retriever's scores and the positions of the candidates,
        padded with -1, and what several sources say of them, or None.
    truth : CSR matrix of shape (n, n_items)
        Ones for the items that users chose later.
    hits : bool array of shape (n, n_candidates)
        Which candidates were chosen later.
    features : DataFrame of shape (n_pairs, n_features), default=None
        What the ranker reads, user by user. None: not computed yet.
    """

    query: Query
    past: Past
    scores: np.ndarray
    indices: np.ndarray
    sources: np.ndarray | None
    truth: sparse.csr_matrix
    hits: np.ndarray
    features: pd.DataFrame | None = None

    @property
    def labels(self):
        """1 for candidates that were chosen later, otherwise 0, (n_pairs,)."""
        return self.hits[self.indices >= 0].astype(np.int64)

    def recall(self):
        """Return the mean share of the items chosen later that are candidates."""
        n_later = self.truth.getnnz(axis=1)
        has_later = n_later > 0
        if not has_later.any():
            return 0.0
        n_hits = self.hits.sum(axis=1)
        return float((n_hits[has_later] / n_later[has_later]).mean())

    def of_rows(self, places):
        """Return the candidates of the users at ascending positions (m,)."""
        features = self.features
        if features is not None:
            features = _rows_of_users(features, self.indices, places)
        return Candidates(
            query=self.query[places],
            past=self.past[places],
            scores=self.scores[places],
            indices=self.indices[places],
            sources=rows_or_none(self.sources, places),
            truth=self.truth[places],
            hits=self.hits[places],
            features=features,
        )

    def rows(self):
        """Return the ``LabelledRows`` of all candidates, user by user."""
        users, _ = np.nonzero(self.indices >= 0)
        return LabelledRows(self.features, self.labels, users)

    def judged_by(self, ranker, k):
        """Return the ``JudgedOrders`` of a ``FittedRanker`` that does not know them."""
        scores = spread(ranker.scores(self.features), self.indices)
        return JudgedOrders(self.indices, scores, self.truth, k)


def _rows_of_users(features, indices, places):
    """Return the rows of features (n_pairs, n_features) of users at positions (m,)."""
    users, _ = np.nonzero(indices >= 0)
    return features[np.isin(users, places)].reset_index(drop=True)


@records.record
class HeldOutUsers(NamedTuple):
    """Users with their candidates, and a ranker that was not fitted on them.

    Parameters
    ----------
    ids : array of shape (n,)
        Ids of the users.
    features : DataFrame of shape (n_pairs, n_features)
        Features of the candidates, user by user.
    indices, truth
        As in ``Candidates``.
    ranker : FittedRanker
        The ranker.
    """

    ids: records.array("", "n")
    features: pd.DataFrame
    indices: records.array("int64", "n n_candidates")
    truth: records.csr("n n_items", canonical=False)
    ranker: FittedRanker

    def _check_stored(self, place):
        records.require(len(self.ids) > 0, place, "users")
        n_items = self.truth.shape[1]
        records.positions(self.indices.ravel(), f"{place}.indices", n_items, -1)
        n_pairs = np.count_nonzero(self.indices >= 0)
        fits = len(self.features) == n_pairs
        records.require(fits, f"{place}.features", f"{n_pairs} rows")
        records.list_of(str)(list(self.features), f"a name of {place}.features")

    @classmethod
    def of(cls, table, ranker):
        """Return the users of ``Candidates`` with features."""
        truth = table.truth.astype(np.float32)
        return cls(table.query.ids, table.features, table.indices, truth, ranker)

    def without(self, ids):
        """Return the same without the users of some ids; None if there are no others.

        Positions of items are those of before.
        """
        kept = np.flatnonzero(~pd.Index(self.ids).isin(ids))
        if len(kept) == 0:
            return None
        features = _rows_of_users(self.features, self.indices, kept)
        return HeldOutUsers(
            self.ids[kept], features, self.indices[kept], self.truth[kept], self.ranker
        )


@records.record
class Training(NamedTuple):
    """What fit found on the way to a ranker.

    Parameters
    ----------
    cut : {"time", "user"}
        How the later events were cut off.
    weight : float
        Weight of the ranker's order.
    n_positive : int
        Number of candidates that were chosen later.
    recall : float
        Mean share of the items chosen later that are candidates; nan if unknown.
    gains : DataFrame, default=None
        The gain of each weight, as returned by ``JudgedOrders.gains``.
    later_gains : DataFrame, default=None
        The same, in a later time than the ranker learnt from.
    order_gains : DataFrame, default=None
        In that time, the figures of both orders and of their blend, as returned by
        ``gains_of_orders``.
    table : DataFrame, default=None
        The training table, if it is kept.
    held_out : HeldOutUsers, default=None
        Users for the importance of features.
    """

    cut: records.one_of("time", "user")
    weight: records.share
    n_positive: records.integer()
    recall: records.share
    gains: pd.DataFrame | None = None
    later_gains: pd.DataFrame | None = None
    order_gains: pd.DataFrame | None = None
    table: pd.DataFrame | None = None
    held_out: HeldOutUsers | None = None
    _older_formats = (records.UpTo(1, lacking={"order_gains": None}),)

    def without(self, ids, label):
        """Return the same without users of some ids; ``label``: the column of ids."""
        table = self.table
        if table is not None:
            table = without_rows(table, label, ids).reset_index(drop=True)
        held_out = self.held_out
        if held_out is not None:
            held_out = held_out.without(ids)
        return self._replace(table=table, held_out=held_out)


class LaterCandidates(NamedTuple):
    """The candidates that a ranker learns from, or why there are none.

    Parameters
    ----------
    candidates : Candidates or None
        Those of users with a positive one. None: no ranker can be trained.
    reason : str
        Why, in words that follow "No ranker was trained: "; "" if there are some.
    n_positive : int, default=0
        Number of candidates that were chosen later, of all users.
    recall : float, default=nan
        Mean share of the items chosen later that are candidates.
    """

    candidates: Candidates | None
    reason: str
    n_positive: int = 0
    recall: float = np.nan


def candidates_of(recipe, describer, later):
    """Return ``LaterCandidates``, of users who together have at most ``MAX_PAIRS``.

    The columns of a request, also those of the ranker's ``context``, are those of the
    user's first later event. Figures are of all users who have events before and later.
    """
    max_ranked = max(MIN_USERS, MAX_PAIRS // recipe.n_candidates)
    max_users = USERS_PER_RANKED * max_ranked
    found = later_users(recipe, describer.fitted, later, max_users)
    if found is None:
        return LaterCandidates(
            None,
            "there are too few events, as no user has some on both sides of the cut.",
        )
    later, query, past, judged = found
    numbers = describer.context.encode(later.frame.iloc[judged.last_rows])
    query = replace(query, asked=StagedAsked(numbers, query.asked))
    candidates = retrieved(recipe, describer.retriever, query, past, judged.truth)
    n_positive = int(candidates.hits.sum())
    recall = candidates.recall()

    has_positive = np.flatnonzero(candidates.hits.any(axis=1))
    reason = _why_not(recipe.n_candidates, candidates, has_positive, recall)
    if reason:
        return LaterCandidates(None, reason, n_positive, recall)
    rng = np.random.default_rng(recipe.random_state)
    ranked = np.sort(rng.permutation(has_positive)[:max_ranked])
    return LaterCandidates(candidates.of_rows(ranked), "", n_positive, recall)


def later_users(recipe, fitted, later, max_users):
    """Return the users who have events before the cut and later, and these events.

    Or None: there are none. The events are ``ReadEvents``; then come what
    `read_held_out` returns of at most ``max_users`` of the users.
    """
    user_codes, _ = later.codes(fitted)
    is_known = user_codes >= 0
    with_choices = later.users[later.chosen & is_known]
    is_known &= np.isin(later.users, with_choices)
    if not is_known.any():
        return None
    later = later.part(is_known)
    later = later.part(np.argsort(-later.times, kind="stable"))  # the last row counts
    query, past, judged = read_held_out(
        fitted,
        later.frame,
        later.chosen,
        later.weights,
        exclude_seen=False,
        contexts=None,
        max_users=max_users,
        random_state=recipe.random_state,
    )
    return later, query, past, judged


def without_past(recipe, truth, past):
    """Return ones for the items that users chose later, and may be recommended."""
    truth = truth.sign()
    if recipe.exclude_seen:
        truth = sparse.csr_matrix(truth - truth.multiply(past.seen))
        truth.eliminate_zeros()
    return truth


def _why_not(n_candidates, candidates, has_positive, recall):
    """Return why candidates say nothing to a ranker, "" if they do.

    ``has_positive``: positions of the users with a positive candidate.
    """
    if len(has_positive) == 0:
        return (
            "none of the items that users chose later is among their "
            f"{n_candidates} candidates (recall 0). Raise n_candidates."
        )
    if len(has_positive) < MIN_USERS:
        return (
            f"there are too few events, as only {len(has_positive)} users chose one of "
            f"their {n_candidates} candidates later (recall {recall:.3f}), and "
            f"{MIN_USERS} are required. Raise n_candidates, or pass more events."
        )
    is_hit_or_padding = candidates.hits | (candidates.indices < 0)
    if is_hit_or_padding[has_positive].all():
        return (
            "there is nothing to order, as users chose all of their "
            f"{n_candidates} candidates later. Raise n_candidates, or lower later_size."
        )
    return ""


def retrieved(recipe, retriever, query, past, truth):
    """Return the ``Candidates`` of the users of a query, without features.

    ``retriever``: fitted on the events before the cut. ``past``: the `Past` of n users.
    ``truth``: CSR (n, n_items), nonzero for the items that they chose later.
    """
    truth = without_past(recipe, truth, past)
    found = find_candidates(
        retriever, of_retriever(query), past, recipe.n_candidates, recipe.exclude_seen
    )
    indices = found.indices
    rows, columns = np.nonzero(indices >= 0)
    hits = np.zeros(indices.shape, dtype=bool)
    hits[rows, columns] = entries(truth, rows, indices[rows, columns]) > 0
    return Candidates(query, past, *found, truth, hits)


def described(describer, candidates, own_features=None):
    """Return ``Candidates`` with features, and the describer that computed them.

    ``describer``: of the events before the cut. ``own_features``: as in its
    ``learn_own``.
    """
    query = candidates.query
    past = describer.log.past(query, candidates.past)
    features, pairs = describer.candidates(
        query, past, Found(candidates.scores, candidates.indices, candidates.sources)
    )
    if own_features is not None:
        named = describer.with_ids(query, features, pairs.rows, pairs.items)
        features, describer = describer.learn_own(own_features, features, named)
    return candidates._replace(features=features), describer


def judge_rankers(recipe, table, further=None):
    """Return ``JudgedOrders`` by rankers that were fitted on other users.

    The second value are ``HeldOutUsers``. ``further``: ``LabelledRows`` that all
    rankers learn from as well, or None.
    """
    rng = np.random.default_rng(recipe.random_state)
    rows = table.rows()
    folds = rng.permutation(len(table.query)) % N_FOLDS
    scores, ranker = scores_by_others(recipe, rows, folds[rows.groups], further=further)
    few = table.of_rows(np.flatnonzero(folds == 0)[:MAX_KEPT])
    orders = JudgedOrders(
        table.indices, spread(scores, table.indices), table.truth, recipe.n_neighbors
    )
    return orders, HeldOutUsers.of(few, ranker)
