"""Columns of X that describe a request, such as the hour, the place or the device.

Input: a table of events, or of users of a request, (n, n_columns).
Output: ``ContextUsers``, whose feature rows end with these columns as numbers.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._records import record
from sktwotower._tables._columns import select_columns
from sktwotower.features._entities import Entities
from sktwotower.retrieval._requests import Query

from ._side_columns import Encoder, encoder_of


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

    @property
    def names(self):
        """The names of the features."""
        return [f"context__{encoder.column}" for encoder in self.encoders]

    def encode(self, frame):
        """Return the numbers (n, n_numbers) of a table, nan for columns it lacks."""
        numbers = np.full((len(frame), len(self.encoders)), np.nan, np.float32)
        table = _columns_of_request(frame, self.columns, self.dates)
        for place, encoder in enumerate(self.encoders):
            if encoder.column in table:
                numbers[:, place] = encoder.encode(table[encoder.column])
        return numbers


@dataclass(frozen=True, eq=False)
class ContextUsers(Entities):
    """The users, whose described rows end with the columns of their request.

    ``width`` stays that of the rows without these columns.
    """

    context: Context | None = None

    def describe(self, frame, name, events=False):
        """Return the same as `Entities.describe`, with the columns of the request."""
        ids, codes, rows, described = super().describe(frame, name, events)
        if not self.context.encoders:
            return ids, codes, rows, described
        numbers = sparse.csr_matrix(self.context.encode(frame))
        return ids, codes, sparse.hstack([rows, numbers], format="csr"), described

    def of_retriever(self, query):
        """Return a ``Query`` of users without the columns of the request."""
        rows = query.rows
        if rows.shape[1] > self.width:
            rows = rows[:, : self.width]
        return Query(query.ids, query.codes, rows, query.described)

    def numbers(self, query):
        """Return the columns of the request (n, n_numbers), nan if it has none."""
        if query.rows.shape[1] > self.width:
            return query.rows[:, self.width :].toarray()
        return np.full((len(query), len(self.context.encoders)), np.nan, np.float32)


def learn_context(frame, selection):
    """Return the ``Context`` of events; ``selection``: as in `select_columns`."""
    columns = select_columns(frame, selection, "context")
    is_date = pd.api.types.is_datetime64_any_dtype
    dates = [column for column in columns if is_date(frame[column].dtype)]
    table = _columns_of_request(frame, columns, dates)
    encoders = [encoder_of(column, table[column]) for column in table]
    unfit = [c for c, found in zip(table, encoders, strict=True) if found is None]
    if unfit:
        raise ValueError(
            f"The context column {unfit[0]!r} of X must hold numbers, dates or at most "
            "255 levels. Encode it as numbers, or leave it out."
        )
    return Context(columns, dates, encoders)


def with_context(users, context):
    """Return users, `Entities`, whose described rows end with a ``Context``."""
    known = {field.name: getattr(users, field.name) for field in fields(users)}
    return ContextUsers(**known, context=context)


def _columns_of_request(frame, columns, dates):
    """Return the columns of a request, a DataFrame; dates as hour and day of week."""
    table = {}
    for column in (column for column in columns if column in frame.columns):
        values = frame[column]
        if column not in dates:
            table[column] = values
            continue
        values = pd.to_datetime(values)
        table[f"{column}_hour"] = values.dt.hour + values.dt.minute / 60
        table[f"{column}_weekday"] = values.dt.day_of_week
    return pd.DataFrame(table, index=frame.index)
