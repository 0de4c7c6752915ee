"""How often items of lists were shown and chosen up to the time of each row.

Input: rows of lists (n_rows,) in any order: ids, levels, times and outcomes.
Output: features (n_rows, n_features) of strictly earlier rows, and ``ShownCounts``, to
which later rows can be added.
"""

import itertools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._records import frozen, number, one_of, record, require
from sktwotower._tables._ids import check_ids, positions_of
from sktwotower._tables._running_counts import RunningCounts
from sktwotower._tables._stored import index
from sktwotower._tables._times import known_times

from ._log import NANOSECONDS_PER_DAY, PRIOR_SHOWN
from ._side_columns import Encoder

# So many columns of each side are counted, those with at most so many levels.
MAX_COLUMNS, MAX_LEVELS = 3, 64
# Keys are positions times this, plus a level; the last one is for unknown levels.
WIDTH = MAX_LEVELS + 1
SIDES = "items", "users"
# Which counts are divided by levels of users, of items and of rows of lists.
APART = {"user": ["item"], "item": ["all", "user"], "row": ["all", "item", "user"]}
# Half-lives of what was shown recently and lately, as shares of the later lists' time.
HALF_LIVES = {"recent": 1 / 2, "latest": 1 / 8}


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
        side, found = self.column.split("__")[0], np.full(len(frame), np.nan)
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
    """

    items: index("n_items")
    users: index("n_users")
    groupings: list[Grouping]
    now: number()

    def _check_stored(self, place):
        n_ids = {"all": 1, "item": len(self.items), "user": len(self.users)}
        sides = [grouping.side for grouping in self.groupings]
        require(sides[:2] == ["all", "item"], f"{place}.groupings", "all, then items")
        for each in self.groupings:
            keys, n_keys = each.counts.keys, n_ids[each.side] * WIDTH
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
        return cls(pd.Index([]), pd.Index([]), groupings, 0.0)

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
        items, users = (_joined(getattr(self, s), getattr(showings, s)) for s in SIDES)
        grown, sums, groupings = replace(self, items=items, users=users), [], []
        for each, keys in grown._keys(showings):
            times = showings.starts if each.side == "user" else showings.times
            found, counts = each.counts.count(keys, times, showings.amounts)
            sums.append(found)
            groupings.append(each._replace(counts=counts))
        now = max(self.now, showings.times.max(initial=self.now))
        return self._features(sums), replace(grown, groupings=groupings, now=now)

    def features(self, showings):
        """Return the features (n_rows, n_features) of rows by all that is counted."""
        times = showings.times
        return self._features([g.counts.at(k, times) for g, k in self._keys(showings)])

    def without_users(self, ids):
        """Return the same without what is counted of users with some ids."""
        kept = ~self.users.isin(ids)
        places = np.cumsum(kept) - 1
        groupings = list(self.groupings)
        for at, each in enumerate(groupings):
            if each.side == "user":
                counts = each.counts.part(kept[each.counts.keys // WIDTH])
                codes, levels = np.divmod(counts.keys, WIDTH)
                keys = places[codes] * WIDTH + levels
                groupings[at] = each._replace(counts=replace(counts, keys=keys))
        return replace(self, users=self.users[kept], groupings=groupings)

    def _keys(self, showings):
        """Yield each ``Grouping`` with the keys (n_rows,) of rows, < 0 for new ids."""
        codes = {"all": np.zeros(len(showings.times), np.int64)}
        codes["item"] = positions_of(showings.items, self.items).astype(np.int64)
        codes["user"] = positions_of(showings.users, self.users).astype(np.int64)
        for each in self.groupings:
            level = 0 if each.column is None else showings.levels[each.column]
            yield each, codes[each.side] * WIDTH + level

    def _features(self, sums):
        """Return the features by sums (n_rows, 2) of each grouping, a DataFrame.

        An item never shown has the rate of all; what is counted apart, in the same way
        that of its item or user.
        """
        shown, chosen = sums[0].T
        with np.errstate(invalid="ignore"):  # nothing was shown yet: nan
            known = chosen / shown
        rates, found = {"all": known}, {}
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
        return pd.DataFrame(found, dtype=np.float32)


def _joined(known, ids):
    """Return known ids and then those of others, an Index, that are not known."""
    new = ids.unique()
    return new if len(known) == 0 else known.append(new[positions_of(new, known) < 0])
