"""The methods that evaluate a fitted recommender on held-out events.

Input: a fitted recommender and held-out events X (n_events, n_columns).
Output: a `HeldOutRanking` of items (n_users, k), or the mean recall; its rows are users
or, of a model with context, requests.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from sktwotower._tables._columns import codes_of_rows
from sktwotower._tables._frames import as_frame, is_frame
from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import check_count, warn
from sktwotower._tables._schema import read_table
from sktwotower._tables._sources import held_in_memory
from sktwotower._tables._times import read_times
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import past_of, query_of_events

from ._groups import GroupRanking, everyone
from ._ranking import HeldOutRanking
from ._truth import columns_of_fit, fields_of_past, judge

# Above this share, held-out events look like a random split.
MAX_EARLIER_SHARE = 0.5
# Above this share, pairs of fit among held-out ones make figures much too high.
MAX_KNOWN_SHARE = 0.25


class EvaluationMixin:
    """Methods ``score`` and ``rank_held_out`` of all recommenders.

    The estimator is a ``RetrievalMixin``.
    """

    def score(self, X, y=None, sample_weight=None) -> float:
        r"""Return the mean recall at ``n_neighbors`` on held-out events.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns), or events on disk
            Events with the columns of fit, also those of a ``context``. Events on disk,
            as in `TwoTowerRecommender.fit`, are read into memory.
        y : array-like of shape (n_events,) or str, default=None
            As in `fit`; only events with y > 0 are to be found.
        sample_weight : array-like of shape (n_events,) or str, default=None
            Weight of each event within its user's recall. None: each item counts
            once, however often it occurs.

        Returns
        -------
        float
            Mean over users of the (weighted) share of the user's positives in X that
            are among the first ``n_neighbors`` of the whole catalog, in [0, 1].

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X has no positive event or lacks columns of fit, or ``y`` or
            ``sample_weight`` do not fit to X.
        TypeError
            If ids are of mixed types.

        Notes
        -----
        Items seen in fit are left out of the ranking, except the positives of X
        itself; without ``exclude_seen`` nothing is left out. If the item of a positive
        is not in the catalog, it is a miss: no ranking can find it. This allows fits
        with more and with fewer items to be compared; `retrieval_report` shows known
        items separately.

        A model with ``context`` ranks once for each distinct request, a user with a
        context, and is judged by the events of that request: the mean is over requests.
        `rank_held_out` returns them. To score as if a column of the context were
        unknown, set it to missing: ``X.assign(hour=None)``.

        A model that knows the time of requests by ``context="auto"`` ranks once for
        each user, at the time of the first positive event of the user in X. It is
        compared with other models user by user. ``requests="time"`` of `rank_held_out`
        ranks at the time of each event.

        ``make_retrieval_scorer("recall", k=n_neighbors)`` returns the same figure.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> later = [["ann", "bread"], ["cid", "paint"], ["cid", "tea"]]
        >>> model.set_params(n_neighbors=1).score(later)  # mean over users
        0.75
        """
        k = self.n_neighbors
        ranking = self.rank_held_out(X, y, sample_weight, n_neighbors=k)
        return GroupRanking(ranking, everyone(ranking)).mean("recall", k)

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

        `score`, `make_retrieval_scorer`, `retrieval_report` and the displays call it.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns), or events on disk
            Held-out events with the columns of fit, as in `score`. Further columns of
            a dataframe are left out; `requests` may name them.
        y : array-like of shape (n_events,) or str, default=None
            As in `fit`; only events with y > 0 are to be found.
        sample_weight : array-like of shape (n_events,) or str, default=None
            Weight of each event within its user's recall. None: each item counts
            once, however often it occurs.
        n_neighbors : int
            Number of ranked items per row, >= 0; at most the whole catalog is ranked.
            0: nothing is ranked, but all other fields are complete.
        max_users : int, default=None
            Rank for a random sample of this many users, >= 1, or requests. None: all.
        random_state : int, RandomState instance or None, default=None
            Draws the sample.
        history : dataframe, dict or None, default=None
            Events that fit has not seen, as in `recommend`. They are left out of the
            ranking, and count among the user's events.
        requests : str, int or list of them, default=None
            Columns of X (or their positions) that tell the requests of a user apart:
            each distinct combination of user and these columns is a row of its own,
            judged by its own events. This compares a model without context with one
            that has it. An empty list: each user is one row, asked for in the context
            of the last positive event. None: the ``context`` of the model; without
            one, each user is one row.

        Returns
        -------
        ranking : HeldOutRanking
            Ranked positions in ``item_ids_``, best first, and the relevant items. Rows
            are sorted by user; the requests of a user are in the order of their first
            positive event.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X has no positive event, `n_neighbors` or `max_users` is too small, or X
            lacks a column of `requests` or of the ``context``.
        TypeError
            If `n_neighbors` or `max_users` is not an integer, or a column of `requests`
            holds lists.

        Warns
        -----
        UserWarning
            If no user of X is known, and they have no features and no history; if a
            model that reads times gets a history without them; if over a quarter of the
            pairs of X were chosen in fit, unless nothing is left out.

        See Also
        --------
        sktwotower.metrics.HeldOutRanking : The fields of the result.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> later = [["ann", "bread"], ["cid", "paint"]]
        >>> ranking = model.rank_held_out(later, n_neighbors=2)
        >>> pd.DataFrame(model.item_ids_[ranking.indices], index=ranking.users)
                 0      1
        ann  bread  paint
        cid  paint  bread
        >>> ranking.truth.toarray().astype(int)  # what they chose, by ``item_ids_``
        array([[1, 0, 0, 0, 0, 0],
               [0, 0, 0, 0, 1, 0]])

        What a user chooses in the morning and in the evening, by a model that ranks
        alike for both:

        >>> from sktwotower import PopularityRecommender
        >>> X = pd.DataFrame({"user": ["ann", "bob", "cid"], "hour": [8, 8, 20],
        ...                   "item": ["tea", "tea", "ham"]})
        >>> later = pd.DataFrame({"user": ["bob", "bob", "cid"], "hour": [8, 20, 20],
        ...                       "item": ["tea", "ham", "tea"]})
        >>> model = PopularityRecommender(item_id="item").fit(X)
        >>> ranking = model.rank_held_out(later, n_neighbors=1, requests="hour")
        >>> pd.DataFrame({"user": ranking.users, "request": ranking.requests,
        ...               "first": model.item_ids_[ranking.indices[:, 0]]})
          user  request first
        0  bob        0   tea
        1  bob        1   ham
        2  cid        0   tea
        """
        fitted = fitted_of(self)
        k = min(check_count(n_neighbors, "n_neighbors", 0), fitted.n_items)
        X, y, sample_weight = held_in_memory(X, y, sample_weight, fitted.schema)
        given = columns_of_fit(self, X)
        frame, _ = read_table(type(self).__name__, given, fitted.schema)
        sample = {"max_users": max_users, "random_state": random_state}
        if requests is not None:  # columns that may be of another model only
            whole = frame
            if is_frame(X):
                whole = as_frame(X, "X")
            sample["contexts"] = codes_of_rows(whole, requests, "requests")
        query, past, judged = read_held_out(
            fitted,
            frame,
            y,
            sample_weight,
            exclude_seen=self.exclude_seen,
            history=history,
            **sample,
        )
        _warn_of_what_is_unknown(fitted, query, judged, history)
        if y is not None:  # what was shown and not chosen is not to be found
            frame = frame[np.asarray(y, dtype=float).ravel() > 0]
        _warn_if_not_later(fitted, frame)
        indices = np.empty((len(query), 0), dtype=np.int64)
        if k:
            _warn_of_what_is_chosen(judged, self.exclude_seen)
            _, indices = fitted.search(query, past, k, self._serving(), judged.seen)
        vectors = fitted.item_vectors
        return HeldOutRanking(indices=indices, item_vectors=vectors, **judged)


def _warn_of_what_is_unknown(fitted, query, judged, history):
    """Warn if no user, or no item, is known, or if a history has no times.

    One in ten may be known if they are at most two: they have rows on both sides of a
    cut through a sorted table.
    """
    described = fitted.users.has_features or fitted.context_columns
    n_known = np.count_nonzero(query.codes >= 0)
    n_users = len(query)
    if history is None and not described and n_known <= min(2, n_users // 10):
        known = ""
        if n_known:
            known = f", except {n_known} of {n_users},"
        warn(
            f"No user of X is known from fit{known} and they have no features, so that "
            "all strangers get the same items. If that is not meant: a split by rows "
            "of a table sorted by user does it, as of KFold. Split by time (TimeSplit, "
            "LastNSplit), or pass earlier events of these users as history."
        )
    if judged.n_unreachable.any() and not judged.truth.nnz:
        warn(
            f"No chosen item of X is in the catalog of {fitted.n_items} items, so that "
            "no list has a hit. Compare ids with item_ids_."
        )
    if isinstance(history, Mapping | list | tuple) and fitted.sequences is not None:
        warn(
            "history has no times, so its events count as the latest of their users, "
            "at an unknown time. Pass a table of events with the column "
            f"{fitted.schema.time!r}."
        )


def _warn_of_what_is_chosen(judged, exclude_seen):
    """Warn if lists without the items of fit are judged by such items.

    If users have chosen no others, train is judged, as to compare it with test.
    """
    n_pairs = judged.truth.nnz + judged.n_unreachable.sum()
    share = judged.past.multiply(judged.truth > 0).nnz / n_pairs
    if exclude_seen and judged.seen.nnz and share > MAX_KNOWN_SHARE:
        warn(
            f"{share:.0%} of the pairs of X were chosen in fit, too, so "
            "figures are too high: recommend leaves such items out. Fit on the train "
            "side only. Are they repeats? Drop them before the split "
            "(drop_duplicates), or set exclude_seen=False."
        )


def _warn_if_not_later(fitted, frame):
    """Warn if most new pairs of a table are earlier than their users' last events."""
    schema = fitted.schema
    in_order = fitted.sequences
    if in_order is None or frame[schema.time].isna().any():
        return
    try:
        times, _ = read_times(frame[schema.time], "time", schema.time_kind)
    except (TypeError, ValueError):  # the times of later tables are not used
        return
    codes = fitted.users.codes(frame[fitted.users.id_column], "X")
    latest = in_order.latest(codes)
    items = fitted.items.codes(frame[fitted.items.id_column], "X")
    known = ~np.isnan(latest) & (items >= 0)
    if known.any():  # for no position scipy returns a matrix
        # events of fit are judged only to compare train with test
        in_fit = np.asarray(fitted.seen[codes[known], items[known]]).ravel() != 0
        known[known] = ~in_fit
    if not known.any():
        return
    share = (times[known] < latest[known]).mean()
    if share > MAX_EARLIER_SHARE:
        warn(
            f"{share:.0%} of the new pairs of X are earlier than the last event of "
            "their user in fit, so they are not next items. The order of events helps "
            "to find next items. Split by time (TimeSplit, LastNSplit), or fit with "
            "history='pooled'."
        )


def read_held_out(
    fitted, frame, y, weights=None, *, exclude_seen, history=None, **sample
):
    """Return the users of held-out events, their past items and relevant items.

    ``fitted``: the recommender's ``Fitted``; ``frame``: events (n_events, n_columns).
    The results are a ``Query`` of length m, their ``Past`` and a Bunch of all
    parameters of a `HeldOutRanking` except ``indices``. ``sample``: ``max_users``,
    ``random_state`` and ``contexts`` (n_events,), integers that tell the requests of a
    user apart, whose number is m; None: there is one. They are the model's by default.
    """
    users = fitted.users
    items = fitted.items
    owners = check_ids(frame[users.id_column], "the users of X")
    chosen = frame[items.id_column]
    encode = partial(items.codes, name="X")
    if "contexts" not in sample:
        sample["contexts"] = fitted.request_codes(frame)
    judged = judge(owners, chosen, encode, fitted.n_items, y, weights, **sample)
    asking = frame.iloc[judged.last_rows]
    if fitted.asked_time is not None and sample["contexts"] is None:
        # a list is asked for once: when the user's first held-out event was
        chosen_rows = np.ones(len(frame), dtype=bool)
        if y is not None:
            chosen_rows = np.asarray(y, dtype=float).ravel() > 0
        owner_codes, _ = pd.factorize(owners)
        times = frame[fitted.asked_time].reset_index(drop=True)
        first_times = times[chosen_rows].groupby(owner_codes[chosen_rows]).min()
        first_times = first_times.loc[owner_codes[judged.last_rows]]
        asking = asking.copy(deep=False)
        asking[fitted.asked_time] = first_times.set_axis(asking.index)
    query = query_of_events(fitted, asking)
    past = past_of(fitted, query, history)
    judged.update(fields_of_past(fitted.seen, past.seen, judged.truth, exclude_seen))
    return query, past, judged
