"""How lists that were shown are ordered: by the retriever, click rates or a ranker.

Input: events after the cut, of which some were shown and not chosen.
Output: a ``ListStage``, whose scores (n_rows,) are higher for better items.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktwotower._records import number, one_of, record, require
from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._messages import warn

from ._click_rates import Places
from ._context import Context
from ._list_probabilities import Calibration
from ._log import NANOSECONDS_PER_DAY
from ._ranker import N_FOLDS, FittedRanker, LabelledRows, scores_by_others
from ._read_events import latest
from ._shown_counts import Showings, ShownCounts
from ._shown_rows import ShownRows, describe_rows

# From the simplest on: the next one must pay by more than its standard error.
ORDERS = "retriever", "click_rate", "ranker"
# A ranker is trained on at most this many rows.
MAX_ROWS = 200_000
# A choice at a position of this factor, or of a lower one, counts ten times.
MIN_FACTOR = 0.1
# With fewer users who chose something and not all, what a ranker learns is noise.
MIN_USERS = 20
# Share of the rows of later lists that judge what was learnt from the others.
HALF = 0.5
# More new items than this in later rows call for counts that go on within the day.
MAX_NEW = 0.5


@record
class ListOrder(NamedTuple):
    """What orders lists, and the probabilities that belong to its scores."""

    name: one_of(*ORDERS)
    calibration: Calibration


@record
class ListStage(NamedTuple):
    """How lists that were shown are ordered.

    Parameters
    ----------
    order : ListOrder
        What orders them.
    updated : ListOrder
        What orders them best if counts go on after fit.
    ranker : FittedRanker
        The ranker.
    first : float or None
        The position that all items are given. None: positions are not known.
    counts : ShownCounts
        What was shown and chosen up to now.
    places : Places
        How much a showing at a position counts.
    rows : Context
        Columns of the rows of lists.
    gains : DataFrame or None
        For each order the ``roc_auc``, the ``gain`` and its ``standard_error``, on
        lists of other users.
    later_gains : DataFrame or None
        The same on later lists, and ``..._updated`` with counts that go on.
    """

    order: ListOrder
    updated: ListOrder
    ranker: FittedRanker
    first: number() | None
    counts: ShownCounts
    places: Places
    rows: Context
    gains: pd.DataFrame | None
    later_gains: pd.DataFrame | None

    # The columns of ``predict_proba``
    classes = np.array([0, 1])

    def scores(self, fitted, frame, shown_of):
        """Return the scores (n_rows,) by click rate or ranker of rows of lists.

        ``fitted``: `FittedStages`. ``shown_of``: a function that returns their
        ``ShownRows``.
        """
        describer, times = fitted.describer, self.counts.times_of(frame, fitted.schema)
        showings = self.counts.showings(describer, fitted.columns, frame, times)
        counted = self.counts.features(showings)
        if self.order.name == "click_rate":
            return _click_rates(counted)
        shown, ordered = shown_of(), np.empty(len(frame))
        first = fitted.retriever, fitted.n_candidates
        features = _features(describer, *first, shown, frame, self.rows)
        features = _with_position(features, self.first)
        scores = self.ranker.scores(_joined(features, counted.iloc[shown.order]))
        ordered[shown.order] = scores
        return ordered

    def without_users(self, ids):
        """Return the same without what is counted of users with some ids."""
        return self._replace(counts=self.counts.without_users(ids))

    def check_columns(self, describer, place):
        """Raise unless a describer has the columns that are counted."""
        known = {*describer.users.names, *describer.items.names, None}
        known |= {*_row_names(self.rows)}
        counted = {grouping.column for grouping in self.counts.groupings}
        expected = f"columns among {sorted(known - {None})}"
        require(counted <= known, f"{place}.counts", expected)

    def counted(self, describer, columns, events):
        """Return the same after further events, ordered as with counts that go on.

        ``describer``: knows levels of users and items. ``events``: ``ReadEvents``, of
        which those of lists count.
        """
        events = events.part(columns.rows(events.frame))
        showings = self.showings(describer, columns, events)
        return self._replace(counts=self.counts.count(showings)[1], order=self.updated)

    def showings(self, describer, columns, events):
        """Return the ``Showings`` of further ``ReadEvents``, all of lists."""
        times = np.full(len(events.frame), self.counts.now + 1)
        if events.dates:
            times = events.times / NANOSECONDS_PER_DAY
        return _showings(self.counts, describer, columns, self.places, events, times)


class Judged(NamedTuple):
    """Rows that judge orders: labels, weights, users (n_rows,), groups and scores."""

    rows: LabelledRows
    users: np.ndarray
    weights: np.ndarray
    scores: dict

    def choose(self):
        """Return the ``ListOrder`` that pays, and the gains of all, a DataFrame."""
        best, gains = _choose(self.rows, self.users, self.scores, self.weights)
        chosen = Calibration.of(self.scores[best], self.rows.labels > 0)
        return ListOrder(best, chosen), gains


def train_on_lists(recipe, columns, ranker, cut, describer, row_columns):
    """Return a ``ListStage``, or None, and the ``Describer`` with own features.

    Parameters
    ----------
    recipe : StageRecipe
    columns : ShownColumns
    ranker : estimator
        It is cloned.
    cut : Cut
    describer : Describer
        That of the events before the cut.
    row_columns : Context
        Columns of the rows of lists.

    Warns
    -----
    UserWarning
        If there is too little to learn from (None), or most later items are new.
    """
    parts = cut.before, cut.later
    before, later = (part.part(columns.rows(part.frame)) for part in parts)
    n_users = _count_users(later, columns)
    if n_users < MIN_USERS or describer.log.click_rates is None:
        warn(
            "No ranker of lists was trained: there are too few events. Both sides of "
            f"the cut{cut.where} need rows with y = 0, and the later one lists with "
            f"y > 0 and y = 0 of {MIN_USERS} users; it has those of {n_users}. Raise "
            "later_size, or pass more lists. predict scores in the order of recommend."
        )
        return None, describer
    _warn_of_new_items(cut, before, later, describer.fitted.items.id_column)
    late = _late_rows(columns, cut.kind, later)
    users, items = describer.encoders
    encoders = {"user": users, "item": items, "row": row_columns.encoders}
    counted = _Counted.of(encoders, describer, columns, (before, later), late)
    rng, named = np.random.default_rng(recipe.random_state), recipe.ranker is not None
    sizes = np.bincount(later.users)
    sampled = users_of_events(sizes, rng, max(MAX_ROWS, sizes.max()))
    kept = np.flatnonzero(np.isin(later.users, sampled))
    frame = later.frame.iloc[kept].reset_index(drop=True)
    shown = _rows(cut.first, describer, frame)
    order = kept[shown.order]  # positions in later
    how = cut.first, recipe.n_candidates, shown, frame, row_columns
    features, describer = _with_own(recipe.features, describer, *how)
    later, late = later.part(order), None if late is None else late[order]
    positions, first = columns.positions(later.frame), None
    weights = np.ones(len(features))
    if positions is not None:
        weights /= np.maximum(describer.log.places.at(positions), MIN_FACTOR)
        first = float(np.nanmin(positions))
        features = features.assign(position=positions)
    groups = pd.factorize(later.frame[columns.lists])[0]
    labels = later.chosen.astype(np.int64)
    rows = LabelledRows(_joined(features, counted.as_of(order)), labels, groups)
    scores = np.nan_to_num(shown.scores, nan=np.nanmin(shown.scores) - 1)

    def judged(kept, counts, by_ranker):
        table = rows.part(kept)
        found = {"retriever": scores[kept], "click_rate": _click_rates(counts)}
        users, found = shown.users[kept], found | {"ranker": by_ranker}
        return Judged(table, users, weights[kept], found).choose()

    gains = later_gains = None
    if late is None:
        users, judged_rows = shown.users, _with_position(rows.features, first)
        folds = (rng.permutation(users.max() + 1) % N_FOLDS)[users]
        by_ranker, _ = scores_by_others(ranker, rows, folds, named, judged_rows)
        best, gains = judged(np.arange(len(users)), rows.features, by_ranker)
        updated = best
    else:
        stage = rows.part(~late).fit(ranker, named)
        alike, found = _with_position(features[late], first), []
        for counts in (counted.frozen(order[late]), counted.as_of(order[late])):
            by_ranker = stage.scores(_joined(alike, counts))
            found.append(judged(late, counts, by_ranker))
        (best, later_gains), (updated, others) = found
        named_so = others.drop(columns="order").add_suffix("_updated")
        later_gains = later_gains.join(named_so)
    stage = rows.fit(ranker, named)
    kept = first, counted.counts, counted.places, row_columns
    return ListStage(best, updated, stage, *kept, gains, later_gains), describer


def labelled_rows(fitted, events):
    """Return ``LabelledRows`` of further lists as of each row, or None without any.

    Also return the number of users who chose something of a list, and not all.
    ``fitted``: `FittedStages`, which do not know the ``events``, `ReadEvents`.
    """
    describer, columns, lists = fitted.describer, fitted.columns, fitted.lists
    events = events.part(columns.rows(events.frame))
    n_users = _count_users(events, columns)
    if n_users == 0:
        return None, 0
    shown = _rows(fitted.retriever, describer, events.frame)
    how = fitted.retriever, fitted.n_candidates, shown, events.frame, lists.rows
    features = _features(describer, *how)
    showings = lists.showings(describer, columns, events)
    counted = lists.counts.count(showings)[0].iloc[shown.order]
    events = events.part(shown.order)
    positions = columns.positions(events.frame)
    if positions is not None:
        features = features.assign(position=positions)
    groups = pd.factorize(events.frame[columns.lists])[0]
    labels = events.chosen.astype(np.int64)
    return LabelledRows(_joined(features, counted), labels, groups), n_users


class _Counted(NamedTuple):
    """What was counted before each later row, in two steps if these judge.

    Parameters
    ----------
    places : Places
    at_split : ShownCounts
        After the first step.
    counts : ShownCounts
        After all rows.
    features : DataFrame of shape (n_later, n_features)
        By the rows before each later row.
    later : Showings
        The later rows.
    """

    places: Places
    at_split: ShownCounts
    counts: ShownCounts
    features: pd.DataFrame
    later: Showings

    @classmethod
    def of(cls, encoders, describer, columns, parts, late):
        """Return what is counted of rows of lists.

        ``encoders``: as in ``ShownCounts.empty``. ``parts``: the ``ReadEvents`` before
        and after the cut. ``late`` (n_later,): which rows are of the second step; None:
        all.
        """
        before, later = parts
        rows, places = before.followed_by(later), describer.log.places
        is_later = np.arange(len(rows.frame)) >= len(before.frame)
        times, span = is_later.astype(float), 0.0
        if rows.dates:
            times = rows.times / NANOSECONDS_PER_DAY
            span = float(np.ptp(times[is_later]))
        empty = ShownCounts.empty(encoders, span)
        showings = _showings(empty, describer, columns, places, rows, times)
        second = is_later.copy()
        if late is not None:
            second[is_later] = late
        first, at_split = empty.count(showings.part(~second))
        others, counts = at_split.count(showings.part(second))
        features = pd.concat([first, others]).set_axis(
            [*np.flatnonzero(~second), *np.flatnonzero(second)]
        )
        features = features.loc[is_later.nonzero()[0]].reset_index(drop=True)
        return cls(places, at_split, counts, features, showings.part(is_later))

    def as_of(self, rows):
        """Return the features of later rows at positions (n,), by those before each."""
        return self.features.iloc[rows].reset_index(drop=True)

    def frozen(self, rows):
        """Return the same by what was counted in the first step only."""
        return self.at_split.features(self.later.part(rows))


def _showings(counts, describer, columns, places, events, times):
    """Return the ``Showings`` of ``ReadEvents``, all of lists, with their outcomes."""
    positions = columns.positions(events.frame)
    looks = np.ones(len(times)) if positions is None else places.at(positions)
    amounts = np.column_stack([looks, events.chosen])
    return counts.showings(describer, columns, events.frame, times, amounts)


def _late_rows(columns, kind, later):
    """Return which later rows judge what is learnt from the others, bool, or None.

    None: they were not cut off in time, or too few users are on one of both sides.
    """
    mixed = columns.mixed(later)
    if kind != "time" or not later.dates or not mixed.any():
        return None
    late = latest(later.times, mixed, HALF)
    if late.all():  # few times
        late = later.times > later.times.min()
    n_users = min(_count_users(later.part(part), columns) for part in (late, ~late))
    return None if n_users < MIN_USERS else late


def _warn_of_new_items(cut, before, later, column):
    """Warn if most later rows hold items that were not shown before the cut."""
    share = 1 - later.frame[column].isin(before.frame[column]).mean()
    if share > MAX_NEW and later.dates:
        warn(
            f"{share:.0%} of the later rows of lists hold items that were not shown "
            f"before the cut{cut.where}. What is known of them is counted as they are "
            "shown: call partial_fit several times within their life (each hour, if "
            "they live for a day)."
        )


def _features(describer, retriever, n_candidates, shown, frame, row_columns):
    """Return the features (n_rows, n_features) of ``ShownRows`` that do not count.

    Those of the caller are among them, and columns ``row__...`` of the ``frame``.
    """
    table = describe_rows(describer, retriever, n_candidates, shown)
    frame = frame.iloc[shown.order].reset_index(drop=True)
    if describer.own is not None:
        table = describer.with_own(table, _with_ids(describer, frame, table))
    numbers = pd.DataFrame(row_columns.encode(frame), columns=_row_names(row_columns))
    return table.join(numbers)


def _row_names(row_columns):
    """Return the names of the features of columns of the rows of lists."""
    return [f"row__{encoder.column}" for encoder in row_columns.encoders]


def _with_own(own, describer, retriever, n_candidates, shown, frame, row_columns):
    """Return the features of rows, and a describer that has those of the caller.

    A transformer that was fitted on candidates stays; otherwise it is fitted here.
    """
    if own is not None and describer.own is None:
        if not callable(own):
            table = describe_rows(describer, retriever, n_candidates, shown)
            in_order = frame.iloc[shown.order].reset_index(drop=True)
            own = clone(own).fit(_with_ids(describer, in_order, table))
        describer = replace(describer, own=own)
    how = retriever, n_candidates, shown, frame, row_columns
    return _features(describer, *how), describer


def _with_ids(describer, frame, table):
    """Return features (n_rows, n_features) after the ids of their rows."""
    sides = describer.fitted.users, describer.fitted.items
    ids = {side.label: frame[side.id_column] for side in sides}
    return pd.concat([pd.DataFrame(ids), table], axis=1)


def _joined(features, counted):
    """Return features with those that count in place of others of the same name."""
    counted = counted.set_axis(features.index)
    kept = features.columns.difference(counted.columns, sort=False)
    return pd.concat([features[kept], counted], axis=1)


def _rows(retriever, describer, frame):
    """Return the ``ShownRows`` of a table of events that came after the cut."""
    fitted = retriever._fitted
    known = fitted.items.codes(frame[fitted.items.id_column], "X") >= 0
    scores = np.full(len(frame), np.nan)
    if known.any():
        scores[known] = retriever.predict(frame[known])

    def past(query):
        return describer.log.past(query, fitted.past(query))

    return ShownRows.of(fitted, describer.context, frame, scores, past)


def _count_users(later, columns):
    """Return the number of users with a list of which they chose a part."""
    return len(np.unique(later.users[columns.mixed(later)]))


def _with_position(features, first):
    """Return features with all items at the first position, if positions are known."""
    return features if first is None else features.assign(position=first)


def _click_rates(counted):
    """Return the click rates (n_rows,), 0 as long as nothing was shown."""
    return counted["click_rate"].fillna(0).to_numpy(float)


def _choose(table, users, scores, weights):
    """Return one of ``ORDERS``, and the gain of each over the retriever.

    ``scores``: those of each order, (n_rows,), a dict. ``weights`` (n_rows,): how much
    a row counts if it was chosen. The mean area under the ROC curve of lists decides.
    """
    areas = {name: _areas(table, scores[name], weights) for name in ORDERS}
    areas = pd.DataFrame(areas)
    totals = _areas(table, None, weights)
    owners = pd.Series(users).groupby(table.groups).first()[areas.index]
    best, rows = "retriever", []
    for name in ORDERS:
        gain, error = _mean(areas[name] - areas[best], totals, owners)
        best = name if gain > error else best
        figures = _mean(areas[name] - areas["retriever"], totals, owners)
        rows.append((name, areas[name].sum() / totals.sum(), *figures))
    columns = ["order", "roc_auc", "gain", "standard_error"]
    return best, pd.DataFrame(rows, columns=columns)


def _areas(table, scores, weights):
    """Return the area under the ROC curve of each list, a Series (n_lists,).

    It is the mean over the chosen items of the share of the others that are below, each
    times its weight; without ``scores`` the mean weight. Lists without chosen items, or
    without others, are left out.
    """
    rows = pd.DataFrame({"list": table.groups, "y": table.labels, "weight": weights})
    others = (rows["y"] == 0).groupby(rows["list"]).sum()
    rows["others"] = others[rows["list"]].to_numpy()
    chosen = rows[(rows["y"] > 0) & (rows["others"] > 0)]
    if scores is None:
        return chosen["weight"].groupby(chosen["list"]).mean()
    scores = pd.Series(scores)
    among_all = scores.groupby(rows["list"]).rank()[chosen.index]
    among_chosen = scores[chosen.index].groupby(chosen["list"]).rank()
    below = (among_all - among_chosen) / chosen["others"]
    return (below * chosen["weight"]).groupby(chosen["list"]).mean()


def _mean(values, totals, owners):
    """Return the weighted mean of lists, and its standard error over users."""
    mean = values.sum() / totals.sum()
    sums = (values - mean * totals).groupby(owners.to_numpy()).sum()
    n_users = len(sums)
    return mean, np.sqrt((sums**2).sum() * n_users / (n_users - 1)) / totals.sum()
