"""How often items of lists were shown and chosen up to the time of each row.

Input: rows of lists (n_rows,) in any order: ids, levels, times and outcomes.
Output: features (n_rows, n_features) of strictly earlier rows, and ``ShownCounts``, to
which later rows can be added: many of them with features of each (`count`), or a few of
them in a time that does not depend on what was counted before (`plus`).
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._records import UpTo, frozen, number, one_of, record, require
from sktwotower._tables._growing_ids import GrowingIds
from sktwotower._tables._ids import check_ids, positions_of
from sktwotower._tables._running_counts import RunningCounts
from sktwotower._tables._stored import index
from sktwotower._tables._times import known_times

from ._log import NANOSECONDS_PER_DAY, PRIOR_SHOWN
from ._side_columns import Encoder

# So many columns of each side are counted, those with at most so many levels.
MAX_COLUMNS = 3
MAX_LEVELS = 64
# Keys are positions times this, plus a level; the last one is for unknown levels.
WIDTH = MAX_LEVELS + 1
SIDES = ("items", "users")
# Which counts are divided by levels of users, of items and of rows of lists.
APART = {"user": ["item"], "item": ["all", "user"], "row": ["all", "item", "user"]}
# Half-lives of what was shown recently and lately, as shares of the later lists' time.
HALF_LIVES = {"recent": 1 / 2, "latest": 1 / 8, "newest": 1 / 32}
# Lowest and, less than one, highest rate of which there are log odds.
MIN_RATE = 1e-6


class Showings(NamedTuple):
    """Rows of lists.

    Parameters
    ----------
    items, users : Index of shape (n_rows,)
        Ids.
    levels : dict
        Levels (n_rows,) of each column that is counted, by its name.
    times : float array of shape (n_rows,)
        In days.
    starts : float array of shape (n_rows,)
        When the row's list began. Rows of one list do not count for its user.
    amounts : float array of shape (n_rows, 2), default=None
        How much each row counts as shown, and as chosen. None: outcomes are not known.
    """

    items: pd.Index
    users: pd.Index
    levels: dict
    times: np.ndarray
    starts: np.ndarray
    amounts: np.ndarray | None = None


@record
class Grouping(NamedTuple):
    """What is counted together.

    Parameters
    ----------
    name : str
        How names of its features begin.
    side : {"all", "item", "user"}
        Whether all rows are counted together, those of an item or those of a user.
    counts : RunningCounts
    column : str, default=None
        Name of the feature whose levels are counted apart. None: nothing is.
    encoder : Encoder, default=None
        Its levels.
    """

    name: str
    side: one_of("all", "item", "user")
    counts: RunningCounts
    column: str | None = None
    encoder: Encoder | None = None

    def _check_stored(self, place):
        is_level = self.encoder is not None and self.encoder.levels is not None
        fits = self.column is None or (is_level and "__" in self.column)
        require(fits, f"{place}.encoder", "levels of a column")

    def levels(self, tables, codes, frame):
        """Return the level (n_rows,) of rows, ``MAX_LEVELS`` for unknown ones.

        ``tables`` and ``codes``: the ``SideColumns`` of both sides, and the positions
        of the rows, by side. What they do not know is read from the ``frame``.
        """
        levels = np.full(len(frame), np.nan)
        side = self.column.split("__")[0]
        if side in tables:
            place = tables[side].names.index(self.column)
            levels = tables[side].numbers[codes[side], place]
        if self.encoder.column in frame:
            of_frame = self.encoder.places(frame[self.encoder.column])
            is_read = np.isnan(levels) & (of_frame >= 0)
            levels = np.where(is_read, of_frame, levels)
        return np.nan_to_num(levels, nan=MAX_LEVELS).astype(np.int64)


@frozen
class ShownCounts:
    """How often items were shown and chosen in lists.

    Parameters
    ----------
    items, users : Index of shape (n_items,) and (n_users,)
        Ids in the order in which they were counted first.
    groupings : list of Grouping
        The first one of each side is that without levels.
    now : float
        The latest time, in days.
    first : RunningCounts, default=None
        The time at which each item was counted first, as its latest one. None: in files
        of a version that did not count it; rows have no features of it then.
    newer_items, newer_users : tuple of Index, default=()
        Further ids, as in ``GrowingIds``. They are not stored: a file has all in one.
    """

    items: index("n_items")
    users: index("n_users")
    groupings: list[Grouping]
    now: number()
    first: RunningCounts | None = None
    newer_items: tuple = ()
    newer_users: tuple = ()
    _older_formats = (UpTo(1, lacking={"first": None}),)
    _not_stored = ("newer_items", "newer_users")

    def _stored_parts(self):
        """Return what files hold of it, by name."""
        merged = self.merged()
        return {
            "items": merged.items,
            "users": merged.users,
            "groupings": merged.groupings,
            "now": merged.now,
            "first": merged.first,
        }

    def _check_stored(self, place):
        if self.first is not None:
            fits = _are_below(self.first.keys, len(self.items))
            require(fits, f"{place}.first", "positions of items")
        n_ids = {"all": 1, "item": len(self.items), "user": len(self.users)}
        sides = [grouping.side for grouping in self.groupings]
        require(sides[:2] == ["all", "item"], f"{place}.groupings", "all, then items")
        for grouping in self.groupings:
            n_keys = n_ids[grouping.side] * WIDTH
            fits = _are_below(grouping.counts.keys, n_keys)
            require(fits, f"{place}.{grouping.name}", f"keys below {n_keys}")

    @classmethod
    def empty(cls, encoders, span):
        """Return the counts before any row.

        ``encoders``: lists of ``Encoder`` of columns, by "user", "item" and "row".
        ``span``: days of later lists; 0: rows do not age.
        """
        none = RunningCounts.empty()
        groupings = [Grouping("", "all", none), Grouping("click_rate", "item", none)]
        if span > 0:
            for name, share in HALF_LIVES.items():
                counts = RunningCounts.empty(span * share)
                groupings.append(Grouping(f"click_rate_{name}", "item", counts))
        groupings.append(Grouping("", "user", none))
        for kind, sides in APART.items():
            counted = []
            for encoder in encoders[kind]:
                if 2 <= encoder.n_levels <= MAX_LEVELS:
                    counted.append(encoder)
            for encoder in counted[:MAX_COLUMNS]:
                column = f"{kind}__{encoder.column}"
                for side in sides:
                    name = f"click_rate_{side}_{column}"
                    groupings.append(Grouping(name, side, none, column, encoder))
        return cls(pd.Index([]), pd.Index([]), groupings, 0.0, none)

    @property
    def ids(self):
        """The ids of both sides, ``GrowingIds`` by "item" and "user"."""
        return {
            "item": GrowingIds((self.items, *self.newer_items)),
            "user": GrowingIds((self.users, *self.newer_users)),
        }

    def merged(self):
        """Return the same counts without parts of ids and layers of sums."""
        has_layers = len(self.groupings[0].counts.newer) > 0
        if not self.newer_items and not self.newer_users and not has_layers:
            return self
        groupings = []
        for grouping in self.groupings:
            groupings.append(grouping._replace(counts=grouping.counts.merged()))
        first = self.first
        if first is not None:
            first = first.merged()
        ids = self.ids
        return ShownCounts(
            ids["item"].joined(), ids["user"].joined(), groupings, self.now, first
        )

    def showings(self, describer, columns, frame, times, amounts=None):
        """Return the ``Showings`` of rows of lists.

        ``describer``: knows the levels of users and items. ``columns``:
        ``ShownColumns``. ``times`` and ``amounts``: as in ``Showings``.
        """
        tables = {"user": describer.users, "item": describer.items}
        ids = {}
        codes = {}
        for side in ("user", "item"):
            entities = getattr(describer.fitted, f"{side}s")
            ids[side] = check_ids(frame[entities.id_column], "X")
            codes[side] = positions_of(ids[side], entities.ids)
        levels = {}
        for grouping in self.groupings:
            column = grouping.column
            if column and column not in levels:
                levels[column] = grouping.levels(tables, codes, frame)
        starts = times
        if columns.rows(frame).all():
            lists = frame[columns.lists].to_numpy()
            starts = pd.Series(times).groupby(lists).transform("min").to_numpy()
        return Showings(ids["item"], ids["user"], levels, times, starts, amounts)

    def times_of(self, frame, schema):
        """Return the time (n_rows,) of rows in days: now, where it is not known."""
        if schema.time is None or not schema.dates:
            return np.full(len(frame), self.now)
        name = f"The time column {schema.time!r} of X"
        days = known_times(frame[schema.time], name, schema.time_kind)
        days = days / NANOSECONDS_PER_DAY
        return np.where(np.isnan(days), self.now, days)

    def count(self, showings):
        """Return the features of rows by strictly earlier ones, and the counts after.

        The first is a DataFrame (n_rows, n_features).
        """
        grown = self.merged()._with_ids(showings).merged()
        sums = []
        groupings = []
        for grouping, keys in grown._keys(showings):
            times = showings.starts if grouping.side == "user" else showings.times
            sums_before, counts = grouping.counts.count(keys, times, showings.amounts)
            sums.append(sums_before)
            groupings.append(grouping._replace(counts=counts))
        features = grown._features(sums, showings)
        return features, replace(grown, groupings=groupings)

    def plus(self, showings):
        """Return the counts after rows, whose features nobody asks for.

        The time that it takes follows the number of rows, as in `RunningCounts.plus`.
        """
        grown = self._with_ids(showings)
        groupings = []
        for grouping, keys in grown._keys(showings):
            times = showings.starts if grouping.side == "user" else showings.times
            counts = grouping.counts.plus(keys, times, showings.amounts)
            groupings.append(grouping._replace(counts=counts))
        return replace(grown, groupings=groupings)

    def _with_ids(self, showings):
        """Return the same with the ids of rows, their time and that of new items."""
        ids = self.ids
        first = self.first
        items = ids["item"].plus(showings.items)
        users = ids["user"].plus(showings.users)
        if first is not None:
            places = items.positions(showings.items)
            new = places >= len(ids["item"])
            earliest = pd.Series(showings.times[new]).groupby(places[new]).min()
            once = np.zeros((len(earliest), 2))
            first = first.plus(earliest.index.to_numpy(), earliest.to_numpy(), once)
        return replace(
            self,
            items=items.parts[0],
            users=users.parts[0],
            newer_items=items.parts[1:],
            newer_users=users.parts[1:],
            now=max(self.now, showings.times.max(initial=self.now)),
            first=first,
        )

    def features(self, showings):
        """Return the features (n_rows, n_features) of rows by all that is counted."""
        sums = []
        for grouping, keys in self._keys(showings):
            sums.append(grouping.counts.at(keys, showings.times))
        return self._features(sums, showings)

    def without_users(self, ids):
        """Return the same without what is counted of users with some ids."""
        if self.newer_users:
            return self.merged().without_users(ids)
        is_kept = ~self.users.isin(ids)
        new_positions = np.cumsum(is_kept) - 1
        groupings = []
        for grouping in self.groupings:
            if grouping.side == "user":
                counts = grouping.counts.merged()
                counts = counts.part(is_kept[counts.keys // WIDTH])
                users, levels = np.divmod(counts.keys, WIDTH)
                keys = new_positions[users] * WIDTH + levels
                grouping = grouping._replace(counts=replace(counts, keys=keys))
            groupings.append(grouping)
        return replace(self, users=self.users[is_kept], groupings=groupings)

    def _keys(self, showings):
        """Yield each ``Grouping`` with the keys (n_rows,) of rows, < 0 for new ids."""
        ids = self.ids
        codes = {
            "all": np.zeros(len(showings.times), np.int64),
            "item": ids["item"].positions(showings.items),
            "user": ids["user"].positions(showings.users),
        }
        for grouping in self.groupings:
            levels = 0
            if grouping.column is not None:
                levels = showings.levels[grouping.column]
            yield grouping, codes[grouping.side] * WIDTH + levels

    def _features(self, sums, showings):
        """Return the features (n_rows, n_features) of rows, a DataFrame.

        ``sums``: those of each grouping, (n_rows, 2). An item never shown has the rate
        of all; what is counted apart, in the same way
        that of its item or user. A row that shows an item first has the age 0.
        """
        shown, chosen = sums[0].T
        with np.errstate(invalid="ignore"):  # nothing was shown yet: nan
            rate_of_all = chosen / shown
        rates = {"all": rate_of_all}
        features = {}
        for grouping, of_grouping in zip(self.groupings, sums, strict=True):
            shown, chosen = of_grouping.T
            prior = rates.get(grouping.side, rate_of_all)
            rate = (chosen + PRIOR_SHOWN * prior) / (shown + PRIOR_SHOWN)
            rates.setdefault(grouping.side, rate)
            if grouping.side == "user" and grouping.column:  # lists are of one user
                features[grouping.name] = rate - prior
            elif grouping.name:
                features[grouping.name] = rate
                features[f"{grouping.name}_shown"] = np.log1p(shown)
        if self.first is not None:
            odds_of_item = _log_odds(features["click_rate"])
            features["click_rate_odds"] = odds_of_item - _log_odds(rate_of_all)
            items = self.ids["item"].positions(showings.items)
            first = self.first.latest_of(items)
            features["shown_since"] = np.fmax(showings.times - first, 0)
        return pd.DataFrame(features, dtype=np.float32)


def _are_below(keys, stop):
    """Return whether keys (n,), ascending, are from 0 to below ``stop``."""
    if len(keys) == 0:
        return True
    return keys[0] >= 0 and keys[-1] < stop


def _log_odds(rates):
    """Return the log odds of rates (n,), which are finite."""
    rates = np.clip(rates, MIN_RATE, 1 - MIN_RATE)
    return np.log(rates / (1 - rates))
