"""How often items of lists were shown and chosen up to the time of each row.

Input: rows of lists (n_rows,) in any order: ids, levels, times and outcomes.
Output: features (n_rows, n_features) of strictly earlier rows, and ``ShownCounts``, to
which later rows can be added: many of them with features of each (`count`), or a few of
them in a time that does not depend on what was counted before (`plus`).
"""

import itertools
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
SIDES = "items", "users"
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
        side = self.column.split("__")[0]
        found = np.full(len(frame), np.nan)
        if side in tables:
            place = tables[side].names.index(self.column)
            found = tables[side].numbers[codes[side], place]
        if self.encoder.column in frame:
            own = self.encoder.places(frame[self.encoder.column])
            found = np.where(np.isnan(found) & (own >= 0), own, found)
        return np.nan_to_num(found, nan=MAX_LEVELS).astype(np.int64)


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
    _not_stored = "newer_items", "newer_users"

    def _stored_parts(self):
        whole = self.merged()
        names = "items", "users", "groupings", "now", "first"
        return {name: getattr(whole, name) for name in names}

    def _check_stored(self, place):
        if self.first is not None:
            keys = self.first.keys
            fits = len(keys) == 0 or (keys[0] >= 0 and keys[-1] < len(self.items))
            require(fits, f"{place}.first", "positions of items")
        n_ids = {"all": 1, "item": len(self.items), "user": len(self.users)}
        sides = [grouping.side for grouping in self.groupings]
        require(sides[:2] == ["all", "item"], f"{place}.groupings", "all, then items")
        for each in self.groupings:
            keys = each.counts.keys
            n_keys = n_ids[each.side] * WIDTH
            fits = len(keys) == 0 or (keys[0] >= 0 and keys[-1] < n_keys)
            require(fits, f"{place}.{each.name}", f"keys below {n_keys}")

    @classmethod
    def empty(cls, encoders, span):
        """Return the counts before any row.

        ``encoders``: lists of ``Encoder`` of columns, by "user", "item" and "row".
        ``span``: days of later lists; 0: rows do not age.
        """
        none = RunningCounts.empty()
        groupings = [Grouping("", "all", none), Grouping("click_rate", "item", none)]
        for name, part in HALF_LIVES.items() if span > 0 else ():
            counts = RunningCounts.empty(span * part)
            groupings.append(Grouping(f"click_rate_{name}", "item", counts))
        groupings.append(Grouping("", "user", none))
        for kind, sides in APART.items():
            few = [each for each in encoders[kind] if 2 <= each.n_levels <= MAX_LEVELS]
            for encoder, side in itertools.product(few[:MAX_COLUMNS], sides):
                column = f"{kind}__{encoder.column}"
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
        if not (self.newer_items or self.newer_users or self.groupings[0].counts.newer):
            return self
        ids = self.ids
        merged = [g._replace(counts=g.counts.merged()) for g in self.groupings]
        first = None if self.first is None else self.first.merged()
        return ShownCounts(
            ids["item"].joined(), ids["user"].joined(), merged, self.now, first
        )

    def showings(self, describer, columns, frame, times, amounts=None):
        """Return the ``Showings`` of rows of lists.

        ``describer``: knows the levels of users and items. ``columns``:
        ``ShownColumns``. ``times`` and ``amounts``: as in ``Showings``.
        """
        sides = {"user": describer.fitted.users, "item": describer.fitted.items}
        tables = {"user": describer.users, "item": describer.items}
        ids = {s: check_ids(frame[e.id_column], "X") for s, e in sides.items()}
        codes = {side: positions_of(ids[side], sides[side].ids) for side in sides}
        apart = {each.column: each for each in self.groupings if each.column}
        levels = {c: each.levels(tables, codes, frame) for c, each in apart.items()}
        starts = times
        if columns.rows(frame).all():
            starts = pd.Series(times).groupby(frame[columns.lists].to_numpy())
            starts = starts.transform("min").to_numpy()
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
        for each, keys in grown._keys(showings):
            times = showings.starts if each.side == "user" else showings.times
            found, counts = each.counts.count(keys, times, showings.amounts)
            sums.append(found)
            groupings.append(each._replace(counts=counts))
        features = grown._features(sums, showings)
        return features, replace(grown, groupings=groupings)

    def plus(self, showings):
        """Return the counts after rows, whose features nobody asks for.

        The time that it takes follows the number of rows, as in `RunningCounts.plus`.
        """
        grown = self._with_ids(showings)
        groupings = []
        for each, keys in grown._keys(showings):
            times = showings.starts if each.side == "user" else showings.times
            counts = each.counts.plus(keys, times, showings.amounts)
            groupings.append(each._replace(counts=counts))
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
        times = showings.times
        sums = [g.counts.at(keys, times) for g, keys in self._keys(showings)]
        return self._features(sums, showings)

    def without_users(self, ids):
        """Return the same without what is counted of users with some ids."""
        if self.newer_users:
            return self.merged().without_users(ids)
        kept = ~self.users.isin(ids)
        places = np.cumsum(kept) - 1
        groupings = list(self.groupings)
        for at, each in enumerate(groupings):
            if each.side == "user":
                counts = each.counts.merged().part(kept[each.counts.keys // WIDTH])
                codes, levels = np.divmod(counts.keys, WIDTH)
                keys = places[codes] * WIDTH + levels
                groupings[at] = each._replace(counts=replace(counts, keys=keys))
        return replace(self, users=self.users[kept], groupings=groupings)

    def _keys(self, showings):
        """Yield each ``Grouping`` with the keys (n_rows,) of rows, < 0 for new ids."""
        codes = {"all": np.zeros(len(showings.times), np.int64)}
        ids = self.ids
        codes["item"] = ids["item"].positions(showings.items)
        codes["user"] = ids["user"].positions(showings.users)
        for each in self.groupings:
            level = 0 if each.column is None else showings.levels[each.column]
            yield each, codes[each.side] * WIDTH + level

    def _features(self, sums, showings):
        """Return the features (n_rows, n_features) of rows, a DataFrame.

        ``sums``: those of each grouping, (n_rows, 2). An item never shown has the rate
        of all; what is counted apart, in the same way
        that of its item or user. A row that shows an item first has the age 0.
        """
        shown, chosen = sums[0].T
        with np.errstate(invalid="ignore"):  # nothing was shown yet: nan
            known = chosen / shown
        rates = {"all": known}
        found = {}
        sums = zip(self.groupings, np.swapaxes(sums, 1, 2), strict=True)
        for each, (shown, chosen) in sums:
            prior = rates.get(each.side, known)
            rate = (chosen + PRIOR_SHOWN * prior) / (shown + PRIOR_SHOWN)
            rates.setdefault(each.side, rate)
            if each.side == "user" and each.column:  # lists are of one user
                found[each.name] = rate - prior
            elif each.name:
                found[each.name] = rate
                found[f"{each.name}_shown"] = np.log1p(shown)
        if self.first is not None:
            of_item = found["click_rate"]
            found["click_rate_odds"] = _log_odds(of_item) - _log_odds(known)
            first = self.first.latest_of(self.ids["item"].positions(showings.items))
            found["shown_since"] = np.fmax(showings.times - first, 0)
        return pd.DataFrame(found, dtype=np.float32)


def _log_odds(rates):
    """Return the log odds of rates (n,), which are finite."""
    rates = np.clip(rates, MIN_RATE, 1 - MIN_RATE)
    return np.log(rates / (1 - rates))
