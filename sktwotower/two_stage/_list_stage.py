"""How lists that were shown are ordered: by the retriever, click rates or a ranker.

Input: rows of lists, which a fitted retriever describes.
Output: a ``ListStage``, whose scores (n_rows,) are higher for better items.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from sktwotower._records import UpTo, array, number, one_of, record, require

from ._context import Context
from ._log import NANOSECONDS_PER_DAY, Places
from ._ranker import FittedRanker
from ._shown_counts import ShownCounts
from ._shown_rows import describe_rows

# From the simplest on: the next one must pay by more than so many standard errors. One
# error is exceeded by noise in one of six cases, two in one of 44.
ORDERS = ("retriever", "click_rate", "counts", "ranker")
MIN_ERRORS = 2.0
# With fewer rows a curve of two parameters is fitted, and kept at so many scores.
MIN_ROWS = 1_000
N_KEPT = 101


@record
class Calibration(NamedTuple):
    """The share of rows that were chosen, by score.

    Parameters
    ----------
    scores : float array of shape (n,)
        Ascending.
    shares : float array of shape (n,)
        Between two scores they are interpolated.
    """

    scores: array("float64", "n", is_finite=True, order=np.greater_equal)
    shares: array("float64", "n", is_finite=True, least=0, most=1)

    def _check_stored(self, place):
        require(len(self.scores) > 0, f"{place}.scores", "at least one score")

    @classmethod
    def of(cls, scores, chosen):
        """Return that of scores (n_rows,) of rows that were ``chosen``, bool."""
        if len(scores) >= MIN_ROWS:
            curve = IsotonicRegression().fit(scores, chosen)
            return cls(curve.X_thresholds_, curve.y_thresholds_)
        scale = scores.std() or 1.0
        curve = LogisticRegression().fit(scores[:, None] / scale, chosen)
        kept = np.linspace(scores.min(), scores.max(), N_KEPT)
        probabilities = curve.predict_proba(kept[:, None] / scale)
        return cls(kept, probabilities[:, 1])

    def rescaled(self, old, new):
        """Return that of scores with the mean and deviation of new ones, not old."""
        factor = new.std() / (old.std() or 1.0)
        scores = (self.scores - old.mean()) * factor
        return self._replace(scores=scores + new.mean())

    def at(self, scores):
        """Return the probabilities (n,) of scores (n,)."""
        return np.interp(scores, self.scores, self.shares)


@record
class ListOrder(NamedTuple):
    """What orders lists, and the probabilities that belong to its scores."""

    name: one_of(*ORDERS)
    calibration: Calibration

    def rescaled(self, old, new):
        """Return the same for ``new`` scores of the retriever in place of old ones."""
        if self.name != "retriever":
            return self
        return self._replace(calibration=self.calibration.rescaled(old, new))


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
    counts_ranker : FittedRanker, default=None
        A ranker that reads what is counted, and columns of rows. None: in files of a
        version that had none.
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
    counts_ranker: FittedRanker | None = None
    _older_formats = (UpTo(1, lacking={"counts_ranker": None}),)

    # The columns of ``predict_proba``
    classes = np.array([0, 1])

    def scores(self, fitted, frame, scores, history):
        """Return the scores (n_rows,), float32, of items within lists that were shown.

        ``fitted``: `FittedStages`. ``scores`` (n_rows,): those of the retriever.
        """
        if self.order.name == "retriever":
            return scores
        describer = fitted.describer
        times = self.counts.times_of(frame, fitted.schema)
        showings = self.counts.showings(describer, fitted.columns, frame, times)
        counted = self.counts.features(showings)
        if self.order.name == "click_rate":
            return click_rates_of(counted).astype(np.float32)
        if self.order.name == "counts":
            counted = counted_features(counted, frame, self.rows, self.first)
            return self.counts_ranker.scores(counted).astype(np.float32)
        shown = fitted.shown(fitted.first_stage, frame, scores, history)
        features, _ = list_features(
            describer, fitted.n_candidates, shown, frame, self.rows
        )
        features = with_counts(features, counted.iloc[shown.order], self.first)
        ordered = np.empty(len(frame), np.float32)
        ordered[shown.order] = self.ranker.scores(features)
        return ordered

    def counted(self, describer, columns, events):
        """Return features as of each further row of lists, and the stage after them.

        It orders as with counts that go on. ``describer``: knows levels of users and
        items. ``events``: ``ReadEvents``, of which those of lists count.
        """
        events = events.part(columns.rows(events.frame))
        as_of, counts = self.counts.count(self._showings(describer, columns, events))
        return as_of, self._replace(counts=counts, order=self.updated)

    def plus(self, describer, columns, events):
        """Return the stage after further rows of lists, as `counted` does."""
        counts = self.counts.plus(self._showings(describer, columns, events))
        return self._replace(counts=counts, order=self.updated)

    def _showings(self, describer, columns, events):
        """Return the ``Showings`` of further rows, later than all others."""
        return showings_of(
            self.counts, describer, columns, events, self.places, self.counts.now + 1
        )

    def without_users(self, ids):
        """Return the same without what is counted of users with some ids."""
        return self._replace(counts=self.counts.without_users(ids))

    def check_columns(self, describer, place):
        """Raise unless a describer has the columns that are counted."""
        known = {
            *describer.users.names,
            *describer.items.names,
            *self.rows.names("row"),
        }
        counted = {grouping.column for grouping in self.counts.groupings}
        counted.discard(None)
        require(counted <= known, f"{place}.counts", f"columns among {sorted(known)}")
        orders = (self.order.name, self.updated.name)
        is_ranked = self.counts_ranker is not None or "counts" not in orders
        require(is_ranked, f"{place}.counts_ranker", "a ranker")


def showings_of(counts, describer, columns, events, places, now):
    """Return the ``Showings`` of ``ReadEvents``, all of lists, with their outcomes.

    ``now``: their time, if times are not dates.
    """
    times = np.full(len(events.frame), float(now))
    if events.dates:
        times = events.times / NANOSECONDS_PER_DAY
    looks = places.at(columns.positions(events.frame))
    amounts = np.column_stack([looks, events.chosen])
    return counts.showings(describer, columns, events.frame, times, amounts)


def list_features(describer, n_candidates, shown, frame, row_columns, own=None):
    """Return the features (n_rows, n_features) of ``ShownRows`` that do not count.

    Those of the caller are among them, and columns ``row__...`` of the ``frame``. The
    second value is the describer. ``own``: as in its ``learn_own``.
    """
    table = describe_rows(describer, n_candidates, shown)
    frame = frame.iloc[shown.order].reset_index(drop=True)
    ids = {}
    for side in (describer.fitted.users, describer.fitted.items):
        ids[side.label] = frame[side.id_column]
    named = pd.concat([pd.DataFrame(ids), table], axis=1)
    table, describer = describer.learn_own(own, table, named)
    numbers = pd.DataFrame(row_columns.encode(frame), columns=row_columns.names("row"))
    return table.join(numbers), describer


def with_counts(features, counted, first):
    """Return features with those that count, in place of others of the same name.

    ``first``: the position that all items are given. None: that of the features.
    """
    features = features.assign(**counted.set_axis(features.index))
    if first is not None:
        features = features.assign(position=first)
    return features


def counted_features(counted, frame, row_columns, positions):
    """Return features (n_rows, n_features) of what is counted, and of the row.

    ``counted``: those that count. ``frame``: the rows. ``positions``: of each row, or
    the one that all items are given. None: they are not known.
    """
    names = row_columns.names("row")
    numbers = pd.DataFrame(row_columns.encode(frame), columns=names)
    features = counted.reset_index(drop=True).join(numbers)
    if positions is not None:
        features = features.assign(position=positions)
    return features


def click_rates_of(counted):
    """Return the click rates (n_rows,), 0 as long as nothing was shown."""
    return counted["click_rate"].fillna(0).to_numpy(float)
