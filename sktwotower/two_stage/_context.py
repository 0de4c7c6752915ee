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
            levels = encoder.places(table[encoder.column])
            is_known = (levels >= 0) & (users >= 0)
            shape = (n_users + 1, encoder.n_levels)
            used.append(ones_at(users[is_known], levels[is_known], shape))
        return side_by_side(used, n_users + 1)

    def without(self, unused):
        """Return the same without the levels that are ``unused``, bool (n_levels,).

        The others keep their numbers.
        """
        encoders = []
        start = 0
        for encoder in self.encoders:
            stop = start + encoder.n_levels
            gone = unused[start:stop]
            start = stop
            if gone.any():
                encoder = encoder.restricted(~gone)
            encoders.append(encoder)
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
    if query.asked is None:
        return query
    return replace(query, asked=query.asked.first)


def asked_of(fitted, context, frame, n, given, name):
    """Return what n requests asked in both stages, `StagedAsked`, or None for nothing.

    ``fitted``: what the retriever knows; ``context``: a `Context`. The other parameters
    are those of `Fitted.asked`.
    """
    columns = list(dict.fromkeys([*fitted.context_columns, *context.columns]))
    both = RequestContext(columns, None, None)
    if frame is not None:
        both.columns_among(frame.columns, fitted.known_columns, name)
    given_to_first = given
    if given is not None and columns:
        known = [] if frame is None else frame.columns
        given = both.of_mapping(given, known, name)
        given_to_first = {}
        for column in given.columns:
            if column in fitted.context_columns:
                given_to_first[column] = given[column].iloc[0]
        if not given_to_first:
            given_to_first = None
    first = fitted.asked(frame, n, given_to_first, name)
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
        names = [name for name in columns.context if name not in columns.item_context]
        if columns.asks_time and is_date(frame[columns.time]):
            names.append(columns.time)
    else:
        names = select_columns(frame, selection, parameter)
    kept = []
    dates = []
    encoders = []
    for name in names:
        dates_of_it = [name] if is_date(frame[name]) else []
        table = _columns_of_request(frame, [name], dates_of_it)
        encoders_of_it = [encoder_of(column, table[column]) for column in table]
        if None not in encoders_of_it:
            kept.append(name)
            dates += dates_of_it
            encoders += encoders_of_it
        elif not inherits:
            raise ValueError(
                f"The {parameter} column {name!r} of X must hold numbers, dates or at "
                "most 255 levels. Encode it as numbers, or leave it out."
            )
    return Context(kept, dates, encoders)


def _columns_of_request(frame, columns, dates):
    """Return the columns of a request, a DataFrame; dates as hour and weekday, UTC."""
    table = {}
    for column in columns:
        if column not in frame.columns:
            continue
        values = frame[column]
        if column not in dates:
            table[column] = values
            continue
        values = pd.to_datetime(values, utc=True)
        table[f"{column}_hour"] = values.dt.hour + values.dt.minute / 60
        table[f"{column}_weekday"] = values.dt.day_of_week
    return pd.DataFrame(table, index=frame.index)
