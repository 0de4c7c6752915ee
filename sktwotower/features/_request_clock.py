"""What is known of the time of a request: hour, weekday, month, and the gap before it.

Input: times (n,) of requests, and gaps (n,): the time since the last event of the user.
Output: CSR float32 (n, width), an empty row where the time is unknown.
"""

from itertools import pairwise

import numpy as np

from sktwotower._records import record
from sktwotower.runtime import _context_cells as runtime

from ._value_encoders import from_rows

SECOND = 10**9
PARTS = {"hour": range(24), "weekday": range(7), "month": range(1, 13)}
MAX_KNOTS = 16
# Requests without a time come at the latest one, unless the gap before them would be
# longer than this share of those in fit: what people choose then is hardly known.
REACH = 0.95
# Units in which a gap is written: from so many seconds on, and what one is.
UNITS = ((172_800, 86_400, "d"), (7200, 3600, "h"), (120, 60, "min"), (0, 1, "s"))
BELOW_AND_ABOVE = np.arange(2, dtype=np.int32)


@record
class RequestClock(runtime.StoredClock):
    """How the time of a request is encoded.

    Parameters
    ----------
    dates : bool
        Whether times are instants, in nanoseconds since 1970, or other numbers.
    knots : float array of shape (n_knots,)
        Ascending values of log2(1 + gap / unit), one output column for each. Empty: the
        gap is not used.
    unit : float
        One second if times are dates, otherwise the smallest positive gap of fit.
    time_unit : str or None, default=None
        The unit in which numbers count from 1970 on, as of a ``TableSchema``.
    reach : float, default=0.0
        The longest gap before a request without a time, which is then one at the latest
        time of all events. After a longer gap, nothing is known of its time. 0: never.
    now : float, default=0.0
        The latest time of all events, if there is a ``reach`` or ``near``.
    near : float, default=0.0
        Requests up to so long before ``now`` have the weights of now, those of much
        longer before other ones; see `shares_long_before`. 0: all have the same.
    """

    @classmethod
    def learn(cls, dates, gaps=None, time_unit=None):
        """Return the clock of events whose gaps are known.

        ``dates`` and ``time_unit``: as in the class.

        ``gaps`` (m,): float64, in units of times, NaN where unknown. None: not used.
        """
        if gaps is None:
            gaps = np.zeros(0)
        gaps = np.asarray(gaps, dtype=float)
        gaps = gaps[(gaps >= 0) & (gaps < np.inf)]
        positive = gaps[gaps > 0]
        unit = 1.0
        if dates:
            unit = float(SECOND)
        elif len(positive):
            unit = float(positive.min())
        clock = cls(bool(dates), np.zeros(0), unit, time_unit)
        if not len(positive):
            return clock
        levels = np.linspace(0, 1, MAX_KNOTS)
        places = clock.places(gaps)
        knots = np.unique(np.quantile(places, levels, method="inverted_cdf"))
        if len(knots) < 2:
            return clock
        return clock._replace(knots=knots)

    def reaching(self, gaps, now):
        """Return the clock with the ``reach`` of gaps between events, (m,)."""
        gaps = gaps[gaps > 0]
        if not len(gaps):
            return self
        return self._replace(reach=float(np.quantile(gaps, REACH)), now=now)

    def knowing(self, near, now):
        """Return the clock with other values of ``near`` and ``now``."""
        return self._replace(near=float(near), now=float(now))

    def until(self, times):
        """Return the clock after further events at times (n,)."""
        if (self.reach == 0 and self.near == 0) or not len(times):
            return self
        return self._replace(now=max(self.now, float(times.max())))

    def parts(self):
        """Return the columns of hours, of weekdays and of months, a list of arrays."""
        if not self.dates:
            return []
        ends = np.cumsum([0, *map(len, PARTS.values())])
        return [np.arange(start, stop) for start, stop in pairwise(ends)]

    def names(self, label):
        """Return the names of the output columns, such as 'time_hour_8', a list.

        ``label``: the name of the column of times.
        """
        names = []
        if self.dates:
            for part, values in PARTS.items():
                names += [f"{label}_{part}_{value}" for value in values]
        # the gap of each knot, with as many digits as make all of them distinct
        with np.errstate(over="ignore"):
            gaps = (np.exp2(self.knots) - 1) * self.unit
        gaps = np.minimum(gaps, runtime.LARGEST).tolist()
        for n_digits in range(2, 18):
            texts = [_written(gap, n_digits, self.dates) for gap in gaps]
            if len(set(texts)) == len(texts):
                break
        else:
            texts = [f"{text}_{i}" for i, text in enumerate(texts)]
        return names + [f"{label}_gap_{text}" for text in texts]

    def rows(self, times, gaps=None):
        """Encode times.

        Parameters
        ----------
        times : float array of shape (n,)
            NaN: unknown.
        gaps : float array of shape (n,), default=None
            The time since the event before, in units of times. NaN, negative: unknown.

        Returns
        -------
        rows : CSR matrix of shape (n, width), float32
        """
        times = np.asarray(times, dtype=float)
        n_requests = len(times)
        if self.dates:
            is_known = np.abs(times) < runtime.LATEST
        else:
            is_known = np.isfinite(times)
        columns = [np.zeros((n_requests, 0), dtype=np.int32)]
        values = [np.zeros((n_requests, 0), dtype=np.float32)]
        if self.dates:
            date_columns, date_values = _date_entries(times, is_known)
            columns.append(date_columns)
            values.append(date_values)
        if gaps is not None and len(self.knots):
            gaps = np.asarray(gaps, dtype=float)
            has_gap = (is_known | np.isnan(times)) & (gaps >= 0)
            gap_columns, gap_values = self._gap_entries(gaps, has_gap)
            columns.append(gap_columns)
            values.append(gap_values)
        columns = np.hstack(columns)
        values = np.hstack(values)
        is_stored = values != 0  # one of the two knots may have none
        n_stored = is_stored.sum(axis=1)
        return from_rows(values[is_stored], columns[is_stored], n_stored, self.width)

    def _gap_entries(self, gaps, is_known):
        """Return the columns (n, 2) of gaps (n,) and their values (n, 2).

        They are those of the knots below and above a gap; values are 0 unless
        ``is_known`` (n,).
        """
        knots = self.knots
        places = self.places(np.where(is_known, gaps, 0))
        places = np.minimum(np.maximum(places, knots[0]), knots[-1])
        lower = knots[1:-1].searchsorted(places, side="right")
        below = knots[lower]
        above = knots[lower + 1]
        share = ((places - below) / (above - below)).astype(np.float32)
        values = np.stack([1 - share, share], axis=1) * is_known[:, None]
        first_columns = self.n_parts + lower
        return first_columns[:, None] + BELOW_AND_ABOVE, values


def _date_entries(times, is_known):
    """Return the columns (n, 3) of hour, weekday and month, UTC, and values (n, 3).

    Values are 0 unless ``is_known`` (n,).
    """
    moments = np.where(is_known, times, 0).astype(np.int64)
    days = moments // runtime.DAY
    hours = moments // runtime.HOUR - 24 * days
    weekdays = (days + 3) % 7  # 1970 began on a Thursday
    months = days.view("datetime64[D]").astype("datetime64[M]").view(np.int64) % 12
    columns = np.stack([hours, 24 + weekdays, 31 + months], axis=1).astype(np.int32)
    values = np.zeros((len(times), 3), dtype=np.float32)
    values[is_known] = runtime.SHARE
    return columns, values


def _written(gap, n_digits, dates):
    """Return a gap as text, such as '5min' for nanoseconds (``dates``), or '300'."""
    value = gap
    suffix = ""
    if dates:
        seconds = gap / SECOND
        for least, size, letters in UNITS:
            if seconds >= least:
                value = seconds / size
                suffix = letters
                break
    rounded = float(f"{value:.{n_digits}g}")
    return f"{rounded:.{max(n_digits, 6)}g}{suffix}"
