"""The fitted state of `TwoStageRecommender`, as one immutable value.

Input: a fitted retriever, and a ranker with its weight.
Output: scores and positions (n, k) of the best items, in the blended order.
"""

import copy
import functools
from dataclasses import fields, replace
from operator import attrgetter

import numpy as np

from sktwotower._records import Check, csr, frozen, integer, require
from sktwotower._tables._sparse import slices
from sktwotower.base._adapted import OWN_ONES, given_by_user
from sktwotower.retrieval._fitted_state import Fitted, fitted_of
from sktwotower.retrieval._requests import past_of

from ._blend import blended, ranks_among, ranks_by, reordered
from ._candidate_table import (
    Describer,
    Found,
    find_candidates,
    found_by,
    numbers_of_pairs,
    rows_or_none,
    spread,
)
from ._context import StagedAsked, asked_of, of_retriever
from ._features import CandidatePairs
from ._fitted_sources import is_retriever
from ._labelled import Training
from ._list_stage import ListStage
from ._ranker import FittedRanker, rows_of_ranker
from ._shown_rows import USER_BLOCK, ShownColumns, ShownRows
from ._sources import fitted_sources_of, named_sources_of


def stages_of(retriever, describer):
    """Return the fields of ``FittedStages`` that both stages know, by name.

    They are what the retriever knows of users and items, and both stages themselves.
    """
    fitted = fitted_of(retriever)
    known = {field.name: getattr(fitted, field.name) for field in fields(Fitted)}
    if fitted.schema.time is not None:  # the ranker reads the order in any case
        known["sequences"] = describer.log.sequences
    return known | {"retriever": retriever, "describer": describer}


@frozen
class FittedStages(Fitted):
    """The fitted state of a `TwoStageRecommender`.

    Parameters
    ----------
    schema, users, items, seen, sequences
        As in `Fitted`; those of the retriever, except that there are sequences if
        there is a time column.
    retriever : estimator
        The retriever, fitted on all events.
    describer : Describer
        Computes the features of candidates.
    ranker : FittedRanker or None
        The ranker. None: there was nothing to train it on.
    n_candidates : int
        Number of candidates that the ranker orders.
    training : Training
        What fit found on the way.
    columns : ShownColumns
        The columns of X about lists that were shown.
    lists : ListStage, default=None
        Orders lists that were shown. None: as candidates are ordered.
    """

    retriever: Check(is_retriever)
    describer: Describer
    ranker: FittedRanker | None
    n_candidates: integer(2)
    training: Training
    columns: ShownColumns
    lists: ListStage | None = None
    _not_stored = tuple(field.name for field in fields(Fitted))  # the retriever's

    @classmethod
    def _of_stored(cls, retriever, describer, **others):
        describer = replace(describer, retriever=retriever)
        return cls(**stages_of(retriever, describer), **others)

    def _stored_parts(self):
        for retriever in fitted_sources_of(self.retriever):
            if given_by_user(retriever) is not retriever:
                name = type(given_by_user(retriever)).__name__
                raise ValueError(
                    f"The retriever needs to be {OWN_ONES}, to be written to a file: "
                    f"no file holds what {name} has learnt."
                )
        return vars(self)

    def _check_stored(self, place):
        fitted = self.first_stage
        log = self.describer.log
        n_users = len(fitted.users)
        n_items = len(fitted.items)
        require(fitted.n_items == n_items, place, "a retriever with all items of fit")
        at = f"{place}.describer"
        lags = csr((n_users + 1, n_items), canonical=False)
        lags(log.sequences.lags, f"{at}.log.sequences")
        for name, n in (("users", n_users), ("items", n_items)):
            rows = len(getattr(self.describer, name).numbers)
            require(rows == n + 1, f"{at}.{name}", f"numbers of {n + 1} rows")
        used = self.describer.context_users
        csr((n_users + 1, self.describer.context.n_levels))(used, f"{at}.context_users")
        own = self.describer.own
        require(own is None or hasattr(own, "transform"), f"{at}.own", "a transformer")
        if self.lists is not None:
            self.lists.check_columns(self.describer, f"{place}.lists")
        is_ranked = self.ranker is not None or self.training.weight == 0
        require(is_ranked, f"{place}.ranker", "a ranker")

    @property
    def first_stage(self):
        """What the retriever has learnt, a ``Fitted``."""
        return fitted_of(self.retriever)

    # As in `Fitted`
    n_items = property(attrgetter("first_stage.n_items"))
    sees_gaps = property(attrgetter("first_stage.sees_gaps"))
    asked_time = property(attrgetter("first_stage.asked_time"))
    item_context = property(attrgetter("first_stage.item_context"))
    scores_by_features = property(attrgetter("first_stage.scores_by_features"))
    item_vectors = property(attrgetter("first_stage.item_vectors"))
    cosines = property(attrgetter("first_stage.cosines"))
    unit_users = property(attrgetter("first_stage.unit_users"))
    click_rates = property(attrgetter("describer.log.click_rates"))
    # Weight of the ranker's order in [0, 1]; 0 without a ranker.
    weight = property(attrgetter("training.weight"))

    @property
    def source_report(self):
        """What each of several sources adds, a DataFrame; None: there is one."""
        return getattr(self.first_stage, "report", None)

    @property
    def sources(self):
        """Copies of several sources by name, a Bunch; None: there is one."""
        return named_sources_of(self.retriever)

    @property
    def context_columns(self):
        """Names of the columns of X that describe a request, to any of both stages."""
        first = self.first_stage.context_columns
        return tuple(dict.fromkeys([*first, *self.describer.context.columns]))

    def asked(self, frame, n, given=None, name="X"):
        """Return what n requests asked in both stages; see `Fitted.asked`."""
        context = self.describer.context
        return asked_of(self.first_stage, context, frame, n, given, name)

    @property
    def copied_retriever(self):
        """A copy of the retriever: changing its catalog would disorder the features."""
        return copy.copy(given_by_user(self.retriever))

    def unit_users_of(self, query, past):
        """Return vectors of length 1 of users, those of the retriever."""
        return self.first_stage.unit_users_of(of_retriever(query), past.first)

    def without_users(self, gone):
        """Return the same without the users where ``gone`` (n_users,)."""
        retriever = copy.copy(self.retriever)
        retriever._forget(self.first_stage, gone)
        training = self.training.without(self.users.ids[gone], self.users.label)
        lists = self.lists
        if lists is not None:
            lists = lists.without_users(self.users.ids[gone])
        known = stages_of(retriever, self.describer.without_users(gone, retriever))
        return replace(self, **known, training=training, lists=lists)

    def past(self, query, added=None):
        """Return the ``StagedPast`` of the users of a query, as `Fitted.past` does."""
        if isinstance(query.asked, StagedAsked):
            query = of_retriever(query)
        past = self.first_stage.past(query, added)
        return self.describer.log.past(query, past, added)

    def search(self, query, past, k, serving, excluded=None, allowed=None):
        """Return scores and positions (n, k) of the best items for users.

        The parameters are those of ``FittedTowers.search``.
        """
        k = min(k, self.n_items)
        n_ranked = 0
        if self.weight > 0:
            n_ranked = min(self.n_candidates, self.n_items)
        found = found_by(
            self.first_stage,
            of_retriever(query),
            past.first,
            max(k, n_ranked),
            serving,
            excluded,
            allowed,
        )
        scores = found.scores
        indices = found.indices
        if self.weight == 0:
            return scores, indices
        for block in slices(len(query), USER_BLOCK):
            scores[block], indices[block] = self._ranked(
                query[block],
                past[block],
                Found(
                    scores[block], indices[block], rows_or_none(found.sources, block)
                ),
            )
        return scores[:, :k], indices[:, :k]

    def candidates(self, query, past, exclude_seen):
        """Return the retriever's candidates, what is ``Found``."""
        return find_candidates(
            self.retriever,
            of_retriever(query),
            past.first,
            self.n_candidates,
            exclude_seen,
        )

    def _ranked(self, query, past, found):
        """Return blended scores and positions (n, c) of what is found, best first."""
        n_candidates = self.n_candidates
        indices = found.indices
        candidates = indices[:, :n_candidates]
        sources = found.sources
        if sources is not None:
            sources = sources[:, :n_candidates]
        by_ranker = self._scores_of_ranker(
            query, past, Found(found.scores[:, :n_candidates], candidates, sources)
        )
        best, order = reordered(by_ranker, self.weight)
        ranked = np.take_along_axis(candidates, order, axis=1)
        # what follows keeps retrieval's order: both ranks are its own
        rest = indices[:, n_candidates:]
        ranks = n_candidates + 1 + np.arange(rest.shape[1])
        following = np.where(rest >= 0, 1 / ranks, -np.inf)
        return np.hstack([best, following]), np.hstack([ranked, rest])

    def _scores_of_ranker(self, query, past, found):
        """Return the ranker's scores (n, c) of candidates, -inf for padding."""
        features, _ = self.describer.candidates(query, past, found)
        return spread(self.ranker.scores(features), found.indices)

    def scores_of_pairs(self, frame, scores, history, exclude_seen):
        """Return the blended scores (n_events,) of the pairs of a table of events.

        ``scores`` (n_events,): those of the retriever. A pair is placed among the
        candidates of its user: by the retriever's score, then by the ranker's.
        """
        shown = self.shown(self, frame, scores, history)
        placed = np.zeros(len(frame), dtype=np.float32)  # 0 for items unknown to fit
        for block in shown.part(shown.items >= 0).blocks():
            if len(block.rows):  # rankers refuse tables without rows
                placed[block.order] = self._placed(block, exclude_seen)[0]
        return placed

    def shown(self, fitted, frame, scores, history):
        """Return the ``ShownRows`` of a table; ``fitted``: whose requests they are."""
        past = functools.partial(past_of, self, history=history)
        return ShownRows.of(fitted, self.describer.context, frame, scores, past)

    def _placed(self, shown, exclude_seen):
        """Return blended scores (n_pairs,) of items of ``ShownRows``, and features."""
        rows = shown.rows
        found = self.candidates(shown.query, shown.past, exclude_seen)
        candidate_scores = found.scores
        indices = found.indices
        by_ranker = self._scores_of_ranker(shown.query, shown.past, found)
        is_same = indices[rows] == shown.items[:, None]
        is_candidate = is_same.any(axis=1)
        places = is_same.argmax(axis=1)

        # Retrieval's rank of each item, and the gap of its score to the best one
        scores_of_user = candidate_scores[rows]
        ranks = ranks_among(scores_of_user, shown.scores)
        ranks = np.where(is_candidate, places + 1, ranks)
        best = scores_of_user[:, 0]
        best = np.where(np.isneginf(best), shown.scores, best)
        scores = np.where(is_candidate, candidate_scores[rows, places], shown.scores)
        sources = numbers_of_pairs(found, rows, shown.items, self.n_candidates)
        pairs = CandidatePairs(
            rows, shown.items, ranks, scores - best, shown.past, sources
        )
        features = self.describer.features(shown.query, pairs)

        # The ranker's rank of each item
        in_order = -np.sort(-by_ranker, axis=1)
        ranks_of_ranker = ranks_among(in_order[rows], self.ranker.scores(features))
        ranks_of_candidates = ranks_by(by_ranker)[rows, places]
        ranks_of_ranker = np.where(is_candidate, ranks_of_candidates, ranks_of_ranker)
        return blended(ranks, ranks_of_ranker, self.weight), features

    def explained(self, owner, chosen, past, names, estimator):
        """Return tables of what adds to both scores, and the score; see `Fitted`."""
        tables, score = self.first_stage.explained(
            of_retriever(owner), chosen, past.first, names, self.retriever
        )
        if self.weight == 0:
            return tables, score
        row = np.zeros(1, dtype=int)
        shown = ShownRows(
            query=owner,
            past=past,
            order=row,
            rows=row,
            items=chosen.codes,
            scores=np.array([score]),
            context=None,
        )
        placed, features = self._placed(shown, estimator.exclude_seen)
        found = self.candidates(owner, past, estimator.exclude_seen)
        others, _ = self.describer.candidates(owner, past, found)
        groups = self.describer.groups(features)
        rows = rows_of_ranker(self.ranker, features.iloc[0], others.median(), groups)
        return [rows, *tables], placed[0]
