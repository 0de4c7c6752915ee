"""Columns of X that describe a request, such as the hour, the place or the device.

Input: a table of events, or of users of a request, (n, n_columns).
Output: ``StagedAsked``: what the retriever reads of them, and numbers for the ranker.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._records import record
from sktwotower._tables._columns import select_columns
from sktwotower._tables._sparse import ones_at, side_by_side, some_rows
from sktwotower.features._request_context import RequestContext
from sktwotower.retrieval._fitted_state import Asked

from ._side_columns import Encoder, encode, encoder_of, is_date


@record
class Context(NamedTuple):
    """How columns of X become numbers that describe a request.

    Parameters
    ----------
    columns : list of str
        Columns of X.
    dates : list of str
        Those that hold dates, of which the hour and the day of the week count.
    encoders : list of Encoder
        One for each number.
    """

    columns: list[str | int]
    dates: list[str | int]
    encoders: list[Encoder]

    def names(self, kind):
        """Return the names of the features: "context__..." or "row__..."."""
        return [f"{kind}__{encoder.column}" for encoder in self.encoders]

    @property
    def n_levels(self):
        """The number of levels of all columns."""
        return sum(encoder.n_levels for encoder in self.encoders)

    def used_by(self, users, frame, n_users):
        """Return ones (n_users + 1, n_levels) where a user's events have a level, CSR.

        ``users`` (n,): the position of the user of each event of ``frame``, or -1.
        """
        table = _columns_of_request(frame, self.columns, self.dates)
        used = []
        for encoder in self.encoders:
            places = encoder.places(table[encoder.column])
            known = (places >= 0) & (users >= 0)
            shape = n_users + 1, encoder.n_levels
            used.append(ones_at(users[known], places[known], shape))
        return side_by_side(used, n_users + 1)

    def without(self, unused):
        """Return the same without the levels that are ``unused``, bool (n_levels,).

        The others keep their numbers.
        """
        ends = np.cumsum([encoder.n_levels for encoder in self.encoders])
        both = zip(self.encoders, np.split(unused, ends[:-1]), strict=False)
        encoders = [e.restricted(~gone) if gone.any() else e for e, gone in both]
        return self._replace(encoders=encoders)

    def encode(self, frame):
        """Return the numbers (n, n_numbers) of a table, nan for columns it lacks."""
        table = _columns_of_request(frame, self.columns, self.dates)
        return encode(self.encoders, table)


class StagedAsked(NamedTuple):
    """What n requests say of their context, for both stages.

    Parameters
    ----------
    numbers : float32 array of shape (n, n_numbers)
        What the ranker reads, nan if it is not known.
    first : Asked or None
        What the retriever reads; None: nothing.
    """

    numbers: np.ndarray
    first: Asked | None
    __getitem__ = some_rows


def of_retriever(query):
    """Return the ``Query`` that the retriever reads."""
    return query if query.asked is None else replace(query, asked=query.asked.first)


def asked_of(fitted, context, frame, n, given, name):
    """Return what n requests asked in both stages, `StagedAsked`, or None for nothing.

    ``fitted``: what the retriever knows; ``context``: a `Context`. The other parameters
    are those of `Fitted.asked`.
    """
    columns = [*dict.fromkeys([*fitted.context_columns, *context.columns])]
    both = RequestContext(columns, None, None)
    if frame is not None:
        both.columns_among(frame.columns, fitted.known_columns, name)
    if given is None or not columns:
        first = fitted.asked(frame, n, given, name)
    else:
        known = [] if frame is None else frame.columns
        given = both.of_mapping(given, known, name)
        own = [column for column in given.columns if column in fitted.context_columns]
        own = {column: given[column].iloc[0] for column in own}
        first = fitted.asked(frame, n, own or None, name)
    numbers = np.full((n, len(context.encoders)), np.nan, np.float32)
    for table in (frame, given):  # the one row of given is that of all requests
        if table is not None:
            table = fitted.schema.with_dates(table)
            np.copyto(numbers, context.encode(table), where=np.isnan(numbers))
    if first is None and np.isnan(numbers).all():
        return None
    return StagedAsked(numbers, first)


def learn_context(frame, selection, columns, parameter="context"):
    """Return the ``Context`` of events.

    ``selection``: as in `select_columns`. None: those of the retriever that can be
    encoded. ``columns``: the `Columns` that the retriever reads. ``parameter``: what
    messages call the selection.
    """
    inherits = selection is None
    if inherits:
        names = list(columns.context)
        if columns.asks_time and is_date(frame[columns.time]):
            names.append(columns.time)
    else:
        names = select_columns(frame, selection, parameter)
    kept = []
    dates = []
    encoders = []
    for name in names:
        own_dates = [name] if is_date(frame[name]) else []
        table = _columns_of_request(frame, [name], own_dates)
        found = [encoder_of(column, table[column]) for column in table]
        if None not in found:
            kept.append(name)
            dates += own_dates
            encoders += found
        elif not inherits:
            raise ValueError(
                f"The {parameter} column {name!r} of X must hold numbers, dates or at "
                "most 255 levels. Encode it as numbers, or leave it out."
            )
    return Context(kept, dates, encoders)


def _columns_of_request(frame, columns, dates):
    """Return the columns of a request, a DataFrame; dates as hour and weekday, UTC."""
    table = {}
    for column in (column for column in columns if column in frame.columns):
        values = frame[column]
        if column not in dates:
            table[column] = values
            continue
        values = pd.to_datetime(values, utc=True)
        table[f"{column}_hour"] = values.dt.hour + values.dt.minute / 60
        table[f"{column}_weekday"] = values.dt.day_of_week
    return pd.DataFrame(table, index=frame.index)
