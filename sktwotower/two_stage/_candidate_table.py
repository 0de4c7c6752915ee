"""The table of candidates that a ranker reads: one row per user and candidate.

Input: users with their past items, and candidates in retrieval's order, (n, c).
Output: features (n_pairs, n_features), and the ``CandidatePairs`` they are of.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktwotower._records import array, csr, frozen, number, require
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import ones_at
from sktwotower.features._after_fit import unused_columns
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import Query

from ._context import Context
from ._features import features_of, group_of, pairs_of, scaled_names, scales_of
from ._fitted_sources import FittedSources
from ._log import EarlierLog, Log, build_log, rates_of, sums_of
from ._merged_lists import features_of_sources
from ._side_columns import Encoder, SideColumns, learn_encoders, side_columns

# Users on whose candidates the scale of features is measured.
MAX_SAMPLED_USERS = 300


class Found(NamedTuple):
    """The best items for n users, as the first stage finds them.

    Parameters
    ----------
    scores, indices : arrays of shape (n, k)
        Scores, and positions of the items, padded with -1.
    sources : array of shape (n, k, n_numbers), default=None
        What several sources say of them, see ``MergedLists``. None: there is one.
    """

    scores: np.ndarray
    indices: np.ndarray
    sources: np.ndarray | None = None


def found_by(fitted, *request):
    """Return what is ``Found`` by what a retriever has learnt, a ``Fitted``.

    ``request``: the arguments of its ``search``.
    """
    if isinstance(fitted, FittedSources):
        return Found(*fitted.merged(*request))
    return Found(*fitted.search(*request))


def numbers_of_pairs(found, rows, items, n_candidates):
    """Return what several sources say of items (n,) of users, or None if there is one.

    ``rows`` (n,): positions of the users among those of ``found``. Items that are no
    candidates are of no source.
    """
    if found.sources is None:
        return None
    is_same = found.indices[rows] == items[:, None]
    numbers = found.sources[rows, is_same.argmax(axis=1)].copy()
    n_sources = (numbers.shape[1] - 1) // 2
    is_other = ~is_same.any(axis=1)
    numbers[is_other, 0] = -1
    numbers[is_other, 1 : 1 + n_sources] = n_candidates + 1
    numbers[is_other, 1 + n_sources :] = np.nan
    return numbers


def rows_or_none(values, rows):
    """Return some rows of an array, or None for None."""
    if values is None:
        return None
    return values[rows]


def find_candidates(retriever, query, past, n_candidates, exclude_seen=False):
    """Return what is ``Found``: the n_candidates best items for users.

    ``query``: n users, and ``past``: their `Past`, as the retriever reads them.
    ``exclude_seen``: whether past items are left out.
    """
    fitted = fitted_of(retriever)
    excluded = None
    if exclude_seen:
        excluded = past.seen
    k = min(n_candidates, fitted.n_items)
    return found_by(fitted, query, past, k, retriever._serving(), excluded)


def spread(values, indices):
    """Return values (n_pairs,) where there are candidates, (n, c), -inf elsewhere."""
    table = np.full(indices.shape, -np.inf)
    table[indices >= 0] = values
    return table


@frozen
class Describer:
    """Computes the features of candidates.

    Parameters
    ----------
    log : Log
        The events up to now.
    context : Context
        The columns of a request.
    users, items : SideColumns
        Columns of both sides, as numbers.
    encoders : pair of lists of Encoder
        How the columns of both sides became numbers.
    shown_to : float array of shape (n_users + 1, 2)
        How often each user was shown something, and chose it.
    context_users : CSR matrix of shape (n_users + 1, n_levels)
        Ones where a user's events have a level of the context.
    own : callable or fitted transformer, default=None
        Features of the caller, of a table of candidates.
    scales : dict, default=None
        Mean and standard deviation of features that depend on the retriever's vectors,
        by name. They are standardized, as their scale moves with each fit. None: none.
    retriever : estimator, default=None
        The retriever, fitted on these events. None: in a file.
    """

    log: Log
    context: Context
    users: SideColumns
    items: SideColumns
    encoders: tuple[list[Encoder], list[Encoder]]
    shown_to: array("float64", "n_users+1 2", is_finite=True)
    context_users: csr("n_users+1 n_levels", empty_last=True)
    own: object = None
    scales: dict[str, tuple[number(), number(above=0)]] | None = None
    retriever: object = None
    _not_stored = ("retriever",)

    @property
    def fitted(self):
        """What the retriever has learnt, a ``Fitted``."""
        return fitted_of(self.retriever)

    def _check_stored(self, place):
        known = scaled_names(self.log)
        given = {*(self.scales or {})}
        expected = f"those of features: {sorted(known)}"
        require(given <= known, f"{place}.scales", expected)
        for side, encoders in zip(("users", "items"), self.encoders, strict=True):
            names = [f"{side[:-1]}__{each.column}" for each in encoders]
            known = getattr(self, side).names
            fits = known[: len(names)] == names
            require(fits, f"{place}.encoders", f"those of the columns {known}")

    def candidates(self, query, past, found):
        """Return the features of candidates of users, and their ``CandidatePairs``.

        ``past``: their ``StagedPast``. ``found``: the candidates that are ``Found``.
        """
        pairs = pairs_of(past, *found)
        return self.features(query, pairs), pairs

    def features(self, query, pairs, context=None):
        """Return the features (n_pairs, n_features) of ``CandidatePairs``, a DataFrame.

        ``context`` (n_pairs, n_numbers): columns of the request. None: the query's.
        """
        found = features_of(self.log, pairs)
        for name, (mean, deviation) in (self.scales or {}).items():
            found[name] = (found[name] - mean) / deviation
        if pairs.sources is not None:
            found.update(features_of_sources(self.fitted.names, pairs.sources))
        users = self.users.numbers[query.codes[pairs.rows]]
        items = self.items.numbers[pairs.items]
        if context is None and query.asked is not None:
            context = query.asked.numbers[pairs.rows]
        elif context is None:
            shape = len(pairs.rows), len(self.context.encoders)
            context = np.full(shape, np.nan, np.float32)
        matrix = np.hstack([np.stack([*found.values()], axis=1), users, items, context])
        names = self.users.names, self.items.names, self.context.names("context")
        table = pd.DataFrame(matrix, columns=[*found, *sum(names, [])])
        if self.own is None:
            return table
        named = self.with_ids(query, table, pairs.rows, pairs.items)
        return self.with_own(table, named)

    def with_own(self, table, named):
        """Return features (n_pairs, n_features), and then those of the caller.

        ``named``: the table after the ids of its pairs.
        """
        if self.own is None:
            return table
        if callable(self.own):
            features = self.own(named)
        else:
            features = self.own.transform(named)
        return pd.concat([table, _as_table(features, table)], axis=1)

    def learn_own(self, own, table, named):
        """Return what ``with_own`` does, and the describer that computes it.

        ``own``: features of the caller, a function, or a transformer, of which a clone
        is fitted here. Those that are known already stay.
        """
        describer = self
        if own is not None and self.own is None:
            if not callable(own):
                own = clone(own).fit(named)
            describer = replace(self, own=own)
        return describer.with_own(table, named), describer

    def with_ids(self, query, features, rows, items):
        """Return features (n_pairs, n_features) after the ids of their pairs.

        ``rows``, ``items`` (n_pairs,): positions of the users in the query, and of the
        items.
        """
        fitted = self.fitted
        named = pd.DataFrame(
            {
                fitted.users.label: query.ids[rows],
                fitted.items.label: fitted.item_ids[items],
            }
        )
        return pd.concat([named, features], axis=1)

    def without_users(self, gone, retriever):
        """Return the same without the users where ``gone`` (n_users,).

        ``retriever``: one that knows the others. Counts of items and times stay.
        """
        if self.own is not None and not callable(self.own):
            warn(
                f"features is a {type(self.own).__name__}, which may hold ids or "
                "features of the users that were forgotten: it is not changed. Fit "
                "anew without them, or pass a function."
            )
        kept = np.append(np.flatnonzero(~gone), len(gone))  # with the empty row
        numbers = self.users.numbers[kept]
        of_users, of_items = self.encoders
        # the last column of users may be their rates, which have no encoder
        both = zip(of_users, numbers.T, strict=False)
        unused, others = unused_columns(self.context_users, gone)
        return replace(
            self,
            context=self.context.without(unused),
            context_users=others[:, np.flatnonzero(~unused)],
            log=replace(self.log, sequences=self.log.sequences.take(kept)),
            retriever=retriever,
            users=SideColumns(self.users.names, numbers),
            encoders=([encoder.used_in(left) for encoder, left in both], of_items),
            shown_to=self.shown_to[kept],
        )

    def groups(self, features):
        """Return the group of each feature column of a table, a dict by name."""
        groups = {}
        for name in self.users.names:
            if name.startswith("user__"):
                groups[name] = "columns of users"
        for name in self.items.names:
            groups[name] = "columns of items"
        for name in self.context.names("context"):
            groups[name] = "columns of the request"
        for name in features.columns:
            if name in groups:
                continue
            if name.startswith("own__"):
                groups[name] = "own features"
            else:
                groups[name] = group_of(name)
        return {name: groups[name] for name in features.columns}


def check_own_features(features):
    """Raise ``TypeError`` unless features are None, callable or a transformer."""
    if features is None:
        return
    is_transformer = hasattr(features, "fit") and hasattr(features, "transform")
    is_usable = callable(features) or is_transformer
    if isinstance(features, type) or not is_usable:
        raise TypeError(
            "features must be a function of a table of candidates, or a transformer "
            f"with fit and transform. Got {features!r}."
        )


def _as_table(own, features):
    """Return the caller's features as a DataFrame of numbers, names after ``own__``."""
    if hasattr(own, "toarray"):
        numbers = own.toarray()
    else:
        numbers = np.asarray(own)
    if numbers.ndim == 1:
        numbers = numbers.reshape(-1, 1)
    if numbers.ndim != 2 or len(numbers) != len(features):
        raise ValueError(
            "features must return one row of numbers per candidate: expected "
            f"{len(features)} rows, got an array of shape {numbers.shape}."
        )
    try:
        numbers = numbers.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"features must return numbers. Got {error}.") from None
    names = getattr(own, "columns", None)
    if names is None:
        names = range(numbers.shape[1])
        if getattr(own, "name", None) is not None:
            names = [own.name]
    return pd.DataFrame(numbers, columns=[f"own__{name}" for name in names])


def build_describer(
    recipe, retriever, events, columns, *, by_user, context=None, before=None, now=None
):
    """Return the ``Describer`` of the events that a retriever was fitted on.

    ``columns``: ``ShownColumns``. ``before``: the describer of earlier events, whose
    context, levels and own features stay; None: ``context`` is that of the events.
    ``now``: if its events count as well, where its users and its items are now,
    positions (n_users,) and (n_items,).
    """
    fitted = fitted_of(retriever)
    frame = events.frame
    user_codes, item_codes = events.codes(fitted)
    if before is None:
        of_users = learn_encoders(fitted.users, frame)
        of_items = learn_encoders(fitted.items, frame)
        own = None
        repeats = not recipe.exclude_seen
    else:
        context = before.context
        of_users, of_items = before.encoders
        own = before.own
        repeats = before.log.repeats
    users = side_columns(fitted.users, of_users, frame)
    items = side_columns(fitted.items, of_items, frame)
    used = context.used_by(user_codes, frame, len(fitted.users))
    shown_to = sums_of(user_codes, events.chosen, len(fitted.users) + 1)
    earlier = None
    if now is not None:
        users_now, items_now = now
        earlier = EarlierLog(before.log, users_now, items_now)
        _keep_others(users, before.users, user_codes, users_now)
        _keep_others(items, before.items, item_codes, items_now)
        rows, levels = before.context_users.nonzero()
        used = (used + ones_at(users_now[rows], levels, used.shape)).sign()
        shown_to[users_now] += before.shown_to[:-1]
    log = build_log(
        retriever, events, by_user, repeats, columns.positions(frame), earlier
    )
    if log.shown is not None:
        users = _with_rates(users, shown_to)
    return Describer(
        log=log,
        context=context,
        users=users,
        items=items,
        encoders=(of_users, of_items),
        shown_to=shown_to,
        context_users=used,
        own=own,
        scales=_scales(recipe, retriever, log),
        retriever=retriever,
    )


def _keep_others(columns, before, codes, moved):
    """Set the numbers of those without further events to what they were before.

    ``codes`` (n_events,): positions of users or items of events. ``moved`` (n,): those
    of the rows of ``before``.
    """
    stays = np.flatnonzero(~np.isin(moved, codes))
    columns.numbers[moved[stays]] = before.numbers[stays, : columns.numbers.shape[1]]


def _with_rates(columns, shown_to):
    """Return the columns of users, and the share of each one's events with y > 0."""
    rates = rates_of(shown_to)
    rates[-1] = np.nan
    numbers = np.column_stack([columns.numbers, rates])
    return SideColumns([*columns.names, "history_click_rate"], numbers)


def _scales(recipe, retriever, log):
    """Return the scales of features, measured on the candidates of some users."""
    fitted = fitted_of(retriever)
    rng = np.random.default_rng(recipe.random_state)
    users = rng.permutation(len(fitted.user_ids))[:MAX_SAMPLED_USERS]
    query = Query(fitted.user_ids[users], users, fitted.users.rows[users])
    past = fitted.past(query)
    found = find_candidates(
        retriever, query, past, recipe.n_candidates, recipe.exclude_seen
    )
    return scales_of(log, pairs_of(log.past(query, past), *found))
