"""How it is learnt what orders lists that were shown.

Input: events before and after a cut, of which some were shown and not chosen.
Output: a ``ListStage``, with a ranker and the order that pays.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._messages import logger, warn
from sktwotower.retrieval._fitted_state import fitted_of

from . import _list_stage as of_lists
from ._log import NANOSECONDS_PER_DAY
from ._ranker import MIN_USERS, N_FOLDS, LabelledRows, scores_by_others
from ._read_events import latest
from ._shown_counts import ShownCounts
from ._shown_rows import ShownRows

# A ranker is trained on at most this many rows after the cut, and before it.
MAX_ROWS = 200_000
# A choice at a position of this factor, or of a lower one, counts ten times.
MIN_FACTOR = 0.1
# In training, so many lists have counts that did not go on for a while, as in requests.
STALE = 0.3
# Scores of the retriever are compared on at most this many rows.
MAX_RESCALED = 10_000
# Share of what is after the cut that judges what was learnt from the rest of it.
HALF = 0.5
# More new items than this in later rows call for counts that go on within the day.
MAX_NEW = 0.5


def train_on_lists(recipe, columns, cut, describer, row_columns):
    """Return a ``ListStage``, or None, and the ``Describer`` with own features.

    Parameters
    ----------
    recipe : StageRecipe
    columns : ShownColumns
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
    before = cut.before.part(columns.rows(cut.before.frame))
    later = cut.later.part(columns.rows(cut.later.frame))
    n_users = count_users(later, columns)
    if n_users < MIN_USERS or describer.log.click_rates is None:
        warn(
            "No ranker of lists was trained: there are too few events. Both sides of "
            f"the cut{cut.where} need rows with y = 0, and the later one lists with "
            f"y > 0 and y = 0 of {MIN_USERS} users; it has those of {n_users}. Raise "
            "later_size, or pass more lists. predict scores in the order of recommend."
        )
        return None, describer
    _warn_of_new_items(cut, before, later, describer.fitted.items.id_column)

    # What counts up to each row, in the order: before the cut, earlier half, later half
    is_late = _late_rows(columns, cut, later)
    parts = [before, later.part(~is_late), later.part(is_late)]
    later = later.part(np.argsort(is_late, kind="stable"))
    is_late = np.sort(is_late)
    counts, counted_before, tables = _counted(describer, columns, row_columns, parts)
    rows_before = _latest_counted(before, counted_before, columns, row_columns)

    # The rows of some of the users, described
    rng = np.random.default_rng(recipe.random_state)
    sizes = np.bincount(later.users)
    sampled = users_of_events(sizes, rng, max(MAX_ROWS, sizes.max()))
    kept = np.flatnonzero(np.isin(later.users, sampled))
    later = later.part(kept)
    learnt = _partly_stale(tables, kept, later.frame[columns.lists], rng)
    rows, shown, describer = labelled_rows(
        describer,
        recipe.n_candidates,
        columns,
        row_columns,
        later,
        learnt,
        recipe.features,
    )
    kept = kept[shown.order]
    tables = [table.iloc[kept] for table in tables]
    places = describer.log.places
    lists = _Lists.of(rows, rows_before, shown, columns, places)
    orders = lists.orders(recipe, tables, is_late[kept], rng)
    ranker = rows.fit(recipe)
    all_rows = lists.counted_rows(np.ones(len(rows.labels), bool))
    stage = of_lists.ListStage(
        **orders,
        ranker=ranker,
        first=lists.first,
        counts=counts,
        counts_ranker=all_rows.fit(recipe),
        places=places,
        rows=row_columns,
    )
    return stage, describer


def _partly_stale(tables, kept, lists, rng):
    """Return the features that count of rows ``kept`` (n,), those of some lists stale.

    ``tables``: as of `_counted`. ``lists`` (n,): the list of each row.
    """
    as_of, frozen = tables
    as_of = as_of.iloc[kept]
    groups, _ = pd.factorize(lists)
    is_stale_list = rng.random(groups.max() + 1) < STALE
    is_stale = is_stale_list[groups]
    is_stale_cell = np.repeat(is_stale[:, None], as_of.shape[1], axis=1)
    return as_of.mask(is_stale_cell, frozen.iloc[kept])


class _Lists(NamedTuple):
    """Rows of later lists, described, and what else the choice of an order depends on.

    Parameters
    ----------
    rows : LabelledRows
    before : LabelledRows
        Rows from before the cut, with features that count, and of the row.
    users : int array of shape (n_rows,)
        Positions of their users.
    scores : float array of shape (n_rows,)
        Scores of the retriever, the lowest ones for items that it does not know.
    weights : float array of shape (n_rows,)
        How much a row counts if it was chosen.
    first : float or None
        The first position, if any are known.
    """

    rows: LabelledRows
    before: LabelledRows
    users: np.ndarray
    scores: np.ndarray
    weights: np.ndarray
    first: float | None

    @classmethod
    def of(cls, rows, before, shown, columns, places):
        """Return ``LabelledRows`` with what is known of their ``ShownRows``."""
        weights = np.ones(len(rows.labels))
        first = None
        if columns.position is not None:
            positions = rows.features["position"].to_numpy()
            weights /= np.maximum(places.at(positions), MIN_FACTOR)
            first = float(np.nanmin(positions))
        is_unknown = np.isnan(shown.scores)
        lowest = np.min(shown.scores, initial=0.0, where=~is_unknown) - 1
        scores = np.where(is_unknown, lowest, shown.scores)
        return cls(rows, before, shown.users, scores, weights, first)

    def counted_rows(self, kept):
        """Return rows before the cut and the later ones that are ``kept``.

        They have features that count, and of the row.
        """
        return self.before.followed_by(self.rows.part(kept))

    def orders(self, recipe, tables, is_late, rng):
        """Return which orders pay, and by how much: fields of a ``ListStage``, a dict.

        ``tables``: features that count, as of `_counted`. ``is_late``: which
        rows judge what is learnt from the others. Without any, rankers that were fitted
        on other users are judged on all rows.
        """
        as_of, frozen = tables
        if is_late.any():
            rankers = {
                "ranker": self.rows.part(~is_late).fit(recipe),
                "counts": self.counted_rows(~is_late).fit(recipe),
            }

            def by_earlier(features, name):
                return rankers[name].scores(features)

            order, gains = self.choose(frozen, by_earlier, is_late)
            updated, gains_of_updated = self.choose(as_of, by_earlier, is_late)
            gains_of_updated = gains_of_updated.drop(columns="order")
            gains = gains.join(gains_of_updated.add_suffix("_updated"))
            return {
                "gains": None,
                "later_gains": gains,
                "order": order,
                "updated": updated,
            }
        folds_of_users = rng.permutation(self.users.max() + 1) % N_FOLDS
        folds = folds_of_users[self.users]

        def by_others(features, name):
            known = self.rows.features[features.columns]
            rows = self.rows._replace(features=known)
            scores, _ = scores_by_others(recipe, rows, folds, features)
            return scores

        order, gains = self.choose(as_of, by_others, ~is_late)
        return {"gains": gains, "later_gains": None, "order": order, "updated": order}

    def choose(self, counted, scores_of, judged):
        """Return a ``ListOrder``, and the gain of each of ``ORDERS``, a DataFrame.

        The mean area under the ROC curve of lists decides. ``counted`` (n_rows,
        n_features): features that count, in place of those that were learnt from.
        ``scores_of``: a function that returns the scores of features by a ranker, which
        is named as in ``ORDERS``.
        ``judged``: which rows count, bool (n_rows,).
        """
        table = of_lists.with_counts(self.rows.features, counted, self.first)
        rows = self.rows._replace(features=table).part(judged)
        counted = rows.features[self.before.features.columns]
        scores = {
            "retriever": self.scores[judged],
            "click_rate": of_lists.click_rates_of(rows.features),
            "counts": scores_of(counted, "counts"),
            "ranker": scores_of(rows.features, "ranker"),
        }
        areas, totals = _areas(rows, pd.DataFrame(scores), self.weights[judged])
        owners = pd.Series(self.users[judged]).groupby(rows.groups).first()
        owners = owners[areas.index]
        best = "retriever"
        gains = []
        for name in of_lists.ORDERS:
            gain, error = _mean(areas[name] - areas[best], totals, owners)
            if gain > of_lists.MIN_ERRORS * error:
                best = name
            mean_area = areas[name].sum() / totals.sum()
            gain, error = _mean(areas[name] - areas["retriever"], totals, owners)
            gains.append((name, mean_area, gain, error))
        columns = ["order", "roc_auc", "gain", "standard_error"]
        calibration = of_lists.Calibration.of(scores[best], rows.labels > 0)
        order = of_lists.ListOrder(best, calibration)
        return order, pd.DataFrame(gains, columns=columns)


def rescaled(lists, first, final, later):
    """Return a ``ListStage`` with the probabilities of scores of another retriever.

    With each fit their mean and deviation move. Both are measured on ``later`` events
    that were not chosen, as the ``final`` retriever has learnt no more of these than
    the ``first`` one, whose scores were judged.
    """
    if lists is None or "retriever" not in (lists.order.name, lists.updated.name):
        return lists
    items = fitted_of(first).items
    is_known = items.codes(later.frame[items.id_column], "X") >= 0
    frame = later.frame[is_known & ~later.chosen][:MAX_RESCALED]
    old = first.predict(frame).astype(float)
    new = final.predict(frame).astype(float)
    return lists._replace(
        order=lists.order.rescaled(old, new), updated=lists.updated.rescaled(old, new)
    )


def labelled_rows(describer, n_candidates, columns, row_columns, events, as_of, own):
    """Return ``LabelledRows`` of lists, their ``ShownRows`` and the describer.

    ``events``: ``ReadEvents``, all of lists, that ``describer`` does not know.
    ``as_of`` (n_rows, n_counted): features that count. ``own``: as in
    ``list_features``.
    """
    shown = _rows_after(describer, events.frame)
    features, describer = of_lists.list_features(
        describer, n_candidates, shown, events.frame, row_columns, own
    )
    events = events.part(shown.order)
    positions = None
    if columns.position is not None:
        positions = columns.positions(events.frame)
    features = of_lists.with_counts(features, as_of.iloc[shown.order], positions)
    groups = pd.factorize(events.frame[columns.lists])[0]
    rows = LabelledRows(features, events.chosen.astype(np.int64), groups)
    return rows, shown, describer


def _counted(describer, columns, row_columns, parts):
    """Return the ``ShownCounts`` after all rows, and tables of features that count.

    The first one is that of the rows before the cut, as of each of them. Then come two
    of later rows: as of each row, and by the parts before its own.
    ``parts``: ``ReadEvents`` before the cut, and then in order of time.
    """
    users, items = describer.encoders
    encoders = {"user": users, "item": items, "row": row_columns.encoders}
    span = 0.0
    if parts[0].dates:
        later_times = np.concatenate([part.times for part in parts[1:]])
        span = float(np.ptp(later_times / NANOSECONDS_PER_DAY))
    counts = ShownCounts.empty(encoders, span)
    as_of_row = []
    as_of_part = []
    for turn, part in enumerate(parts):
        showings = of_lists.showings_of(
            counts, describer, columns, part, describer.log.places, turn
        )
        as_of_part.append(counts.features(showings))
        features, counts = counts.count(showings)
        as_of_row.append(features)
    later_as_of_row = pd.concat(as_of_row[1:], ignore_index=True)
    later_as_of_part = pd.concat(as_of_part[1:], ignore_index=True)
    return counts, as_of_row[0], [later_as_of_row, later_as_of_part]


def _latest_counted(before, counted, columns, row_columns):
    """Return the ``LabelledRows`` before the cut that a ranker of counts learns from.

    They are the latest ones. Without dates there are none: all rows before the cut are
    of one time then, so that nothing was counted before them. ``before``:
    ``ReadEvents``. ``counted``: their features that count.
    """
    kept = np.zeros(0, dtype=np.int64)
    if before.dates:
        kept = np.argsort(before.times, kind="stable")[-MAX_ROWS:]
    events = before.part(kept)
    positions = None
    if columns.position is not None:
        positions = columns.positions(events.frame)
    groups = pd.factorize(events.frame[columns.lists])[0]
    features = of_lists.counted_features(
        counted.iloc[kept], events.frame, row_columns, positions
    )
    return LabelledRows(features, events.chosen.astype(np.int64), groups)


def _late_rows(columns, cut, later):
    """Return which later rows judge what is learnt from the others, bool (n_rows,).

    There are none if they were not cut off in time, or if too few users are on one of
    both sides; then a warning or a log record says so.
    """
    nobody = np.zeros(len(later.frame), bool)
    if cut.kind != "time" or not later.dates:
        times = "dates" if later.dates else "no dates"
        logger.info(
            "fit: list_gains_later_ is None, as lists of other users judge the orders "
            "(list_gains_): later lists judge if times are dates and cut_ is 'time', "
            "and there are %s and cut_ is %r",
            times,
            cut.kind,
        )
        return nobody
    is_late = latest(later.times, columns.mixed(later), HALF)
    if is_late.all():  # few times
        is_late = later.times > later.times.min()
    n_before = count_users(later.part(~is_late), columns)
    n_after = count_users(later.part(is_late), columns)
    if min(n_before, n_after) >= MIN_USERS:
        return is_late
    warn(
        "list_gains_later_ is None: too few users have later lists to judge orders. "
        f"What is after the cut{cut.where} has two halves, which both need lists with "
        f"y > 0 and y = 0 of {MIN_USERS} users. The earlier half has those of "
        f"{n_before}, the later one those of {n_after}. So lists of other users of the "
        "same time judge, which promise too much: see list_gains_. Raise later_size, "
        "or pass more lists."
    )
    return nobody


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


def _rows_after(describer, frame):
    """Return the ``ShownRows`` of a table of events that came after the cut."""
    fitted = describer.fitted
    is_known = fitted.items.codes(frame[fitted.items.id_column], "X") >= 0
    scores = np.full(len(frame), np.nan)
    if is_known.any():
        scores[is_known] = describer.retriever.predict(frame[is_known])

    def past(query):
        return describer.log.past(query, fitted.past(query))

    return ShownRows.of(fitted, describer.context, frame, scores, past)


def count_users(later, columns):
    """Return the number of users with a list of which they chose a part."""
    return len(np.unique(later.users[columns.mixed(later)]))


def _areas(rows, scores, weights):
    """Return the area under the ROC curve of each list, and its mean weight.

    The first is a DataFrame (n_lists, n_orders), one column for each of the ``scores``
    (n_rows, n_orders) of ``LabelledRows``: the mean over the chosen items of the share
    of the others that are below, each times its weight. Lists without chosen items, or
    without others, are left out.
    """
    lists = pd.Series(rows.groups)
    n_others = pd.Series(rows.labels == 0).groupby(lists).transform("sum")
    is_judged = (rows.labels > 0) & (n_others > 0)
    lists_of_chosen = lists[is_judged]
    weights = pd.Series(weights)[is_judged]

    # Of each chosen row: the share of the others of its list that are below it
    ranks_among_all = scores.groupby(lists).rank()[is_judged]
    ranks_among_chosen = scores[is_judged].groupby(lists_of_chosen).rank()
    n_below = ranks_among_all - ranks_among_chosen
    shares = n_below.div(n_others[is_judged], axis=0)
    areas = shares.mul(weights, axis=0).groupby(lists_of_chosen).mean()
    return areas, weights.groupby(lists_of_chosen).mean()


def _mean(values, totals, owners):
    """Return the weighted mean of lists, and its standard error over users."""
    total = totals.sum()
    mean = values.sum() / total
    deviations = values - mean * totals
    of_users = deviations.groupby(owners.to_numpy()).sum()
    n_users = len(of_users)
    squares = (of_users**2).sum() * n_users / (n_users - 1)
    return mean, np.sqrt(squares) / total
