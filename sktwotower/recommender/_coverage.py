"""What a model knows of requests, as methods of `TwoTowerRecommender`.

Input: a table of requests (n, n_columns), ids (n,) or a list of n dicts.
Output: shares by column, a DataFrame; a JSON schema.
"""

from typing import Any

import numpy as np
import pandas as pd

from sktwotower._tables import _frames
from sktwotower._tables._messages import refuse_misspelled, warn
from sktwotower._tables._times import known_times
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._history import array_with_names
from sktwotower.retrieval._requests import as_ids
from sktwotower.runtime._coverage import (
    KNOWN,
    MISSING,
    SHARES,
    RequestColumn,
    bounds_of,
    cells_of_requests,
    context_columns,
    encoders_of,
    request_schema,
)
from sktwotower.runtime._id_table import IdTable


class CoverageMixin:
    """Methods ``coverage`` and ``request_schema``.

    The estimator keeps its fitted state as ``_fitted``, a value of `FittedTowers`.
    """

    def coverage(self, X, *, by=None) -> pd.DataFrame:
        """Return what share of requests the model does not know, for each column.

        What is missing or unknown costs no error: lists only get worse. So count it
        where requests come from, and compare it with that of the events of fit.

        Parameters
        ----------
        X : dataframe, list of dicts, or list, array or Series of n ids
            Requests, as of `recommend`; or as a service gets them,
            ``[{"user": id, "context": {column: value}}, ...]``. They may lack columns,
            also that of users. An array has the columns of fit, in their order.
        by : {"day"}, default=None
            Count those of each day (UTC) by themselves, by the time column of fit.
            None: all together.

        Returns
        -------
        DataFrame
            A row for each column of requests: that of users, the features of users and
            the columns of ``context``. With ``by``, for each day, the column ``day``
            (NaT: no time), and each column. It has

            - ``column``, and ``side``: "user" or "context",
            - ``n_requests``,
            - ``missing``: share of requests without a value. Features that X lacks are
              missing for users that fit does not know; those of others it has kept.
            - ``unknown``: share with a value of which fit has learnt nothing, or that
              cannot be read: an id without events; a level, or only tags or words,
              that fit has not seen, or in fewer rows than ``min_frequency``. nan:
              not known, as the column is one of another transformer than
              `TowerVectorizer`, or says nothing.
            - ``out_of_range``: share of numbers and dates below the least or above the
              largest one of fit and of `partial_fit`. nan: the column has none, or the
              model is of a file of before this was kept.

            The three shares are of different requests.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X is empty, has another column with almost the name of one of fit, a dict
            of it names another column, ``by`` is not "day", or X has no times.
        TypeError
            If X is of another type.

        Warns
        -----
        UserWarning
            If the model is of an earlier file, which has no ranges.

        See Also
        --------
        sktwotower.runtime.Runtime.coverage : The same where only numpy is.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TwoTowerRecommender
        >>> X = pd.DataFrame({"user": ["ann", "ann", "bob", "bob"] * 5,
        ...                   "item": ["tea", "jam", "tea", "egg"] * 5,
        ...                   "device": ["phone", "phone", "tv", "tv"] * 5})
        >>> model = TwoTowerRecommender(context="device", random_state=0).fit(X)
        >>> requests = [{"user": "ann", "context": {"device": "watch"}},
        ...             {"user": "zoe", "context": {"device": "tv"}},
        ...             {"user": "bob"}]
        >>> model.coverage(requests).round(2)
           column     side  n_requests  missing  unknown  out_of_range
        0    user     user           3     0.00     0.33           NaN
        1  device  context           3     0.33     0.33           NaN
        """
        fitted = fitted_of(self)
        if by not in (None, "day"):
            raise ValueError(f"by must be 'day' or None. Got {by!r}.")
        columns = columns_of_requests(fitted)
        frame = requests_as_table(fitted, X, columns)
        if len(frame) == 0:
            raise ValueError("X is empty: pass at least one request.")
        _warn_without_ranges(fitted)

        # the state of each cell of each column
        states = {}
        for column in columns:
            if column.name in frame.columns:
                cells = _cells_as_in_fit(frame[column.name], column.encoder)
                states[column.name] = column.states(cells.tolist())
            else:
                states[column.name] = np.full(len(frame), MISSING, dtype=np.int8)
        is_known_user = states[columns[0].name] == KNOWN
        for column in columns[1:]:
            if column.side == "user" and column.name not in frame.columns:
                states[column.name][is_known_user] = KNOWN

        # shares of all requests, or of each day
        if by is None:
            return _shares(columns, states, np.ones(len(frame), dtype=bool))
        days = _days_of(fitted, frame)
        tables = []
        for day in np.unique(days):
            is_of_day = days == day
            if np.isnat(day):
                is_of_day = np.isnat(days)
            table = _shares(columns, states, is_of_day)
            table.insert(0, "day", pd.Timestamp(day))
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def request_schema(self) -> dict[str, Any]:
        """Return the contract of a request, for services and other languages.

        Returns
        -------
        dict
            A JSON schema (draft 2020-12) of ``{"user": id, "history": [items],
            "context": {column: value}}``: types, and some levels of fit as examples.
            Values that fit has not seen are valid, and so are further keys, such as the
            length of the list. Columns of the context may be missing or null; others
            are refused.

        Raises
        ------
        NotFittedError
            If fit has not been called.

        Examples
        --------
        >>> import json
        >>> import pandas as pd
        >>> from sktwotower import TwoTowerRecommender
        >>> X = pd.DataFrame({"user": ["ann", "ann", "bob", "bob"] * 5,
        ...                   "item": ["tea", "jam", "tea", "egg"] * 5,
        ...                   "device": ["phone", "phone", "tv", "tv"] * 5})
        >>> model = TwoTowerRecommender(context="device", random_state=0).fit(X)
        >>> schema = model.request_schema()
        >>> json.dumps(schema["properties"]["context"]["properties"]["device"])
        '{"type": ["string", "null"], "examples": ["phone", "tv"]}'
        """
        fitted = fitted_of(self)
        users = columns_of_requests(fitted)[0]
        columns = [users, *context_columns(fitted.context)]
        return request_schema(columns, fitted.item_ids)


def columns_of_requests(fitted):
    """Return the columns of requests, a list of ``RequestColumn``; the user first."""
    users = fitted.users
    ids = IdTable(users.ids.to_numpy(), "user")
    columns = [RequestColumn(users.id_column, "user", ids=ids)]
    encoders = encoders_of(users.transformer)
    for position, name in enumerate(users.columns[1:], start=1):
        encoder = encoders.get(position)
        bounds = bounds_of(users.ranges, position)
        columns.append(RequestColumn(name, "user", encoder, *bounds))
    return columns + context_columns(fitted.context)


def requests_as_table(fitted, X, columns):
    """Return requests as a table, with the names of fit.

    ``columns``: as of `columns_of_requests`.
    """
    if _frames.is_frame(X):
        frame = _frames.with_names(_frames.as_frame(X, "X"))
        given = list(frame.columns)
        names = [column.name for column in columns]
        means_nothing = set(given) - set(names) - fitted.known_columns
        lacking = [name for name in names if name not in given]
        refuse_misspelled(means_nothing, lacking, "column of requests", "X")
        return frame.reset_index(drop=True)
    if isinstance(X, list | tuple) and len(X) and isinstance(X[0], dict):
        of_context = [c for c in columns if c.side == "context"]
        cells = cells_of_requests(X, [columns[0], *of_context])
        arrays = {
            name: _frames.list_as_array(of_column) for name, of_column in cells.items()
        }
        return _frames.array_as_frame(arrays, "X")
    values = as_ids(X)
    if values is None:
        raise TypeError(
            "X must be a table of requests, a list of dicts or a list of ids. Got "
            f"{type(X).__name__}."
        )
    if values.ndim == 1:
        return pd.DataFrame({columns[0].name: np.asarray(values)})
    values = fitted.schema.with_empty_columns(values)
    return array_with_names(values, "X", fitted.schema)


def _cells_as_in_fit(cells, encoder):
    """Return cells (n,) as fit reads them: dates in place of periods and of text."""
    if isinstance(cells.dtype, pd.PeriodDtype):
        cells = cells.dt.to_timestamp()
    takes_dates = encoder is not None and encoder.kind == "datetime"
    if not takes_dates or cells.dtype.kind == "M":
        return cells
    cells = cells.astype(object)
    is_text = cells.map(lambda cell: isinstance(cell, str))
    dates = pd.to_datetime(cells[is_text], utc=True, errors="coerce", format="mixed")
    dates = dates[dates.notna()]
    cells = cells.copy()
    cells[dates.index] = dates.astype(object)
    return cells


def _shares(columns, states, chosen):
    """Return the shares of some of the requests, a DataFrame.

    ``states``: those of each column, by name. ``chosen``: bool (n,).
    """
    rows = []
    for column in columns:
        row = {
            "column": column.name,
            "side": column.side,
            "n_requests": int(chosen.sum()),
        }
        rows.append(row | column.shares(states[column.name][chosen]))
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(SHARES, float))


def _days_of(fitted, frame):
    """Return the day (n,) of each request, datetime64[D], NaT without a time."""
    schema = fitted.schema
    if schema.time is None or not schema.dates:
        raise ValueError(
            "by='day' needs times: fit with time=, a column of dates, or of numbers of "
            "a time_unit. Or group X by yourself, and call coverage for each part."
        )
    if schema.time not in frame.columns:
        raise ValueError(
            f"by='day' needs the time column {schema.time!r} of fit. X has "
            f"{list(frame.columns)}."
        )
    what = f"The time column {schema.time!r} of X"
    times = known_times(frame[schema.time], what, schema.time_kind)
    days = np.full(len(times), np.datetime64("NaT", "D"))
    is_known = ~np.isnan(times)
    days[is_known] = times[is_known].astype("datetime64[ns]").astype("datetime64[D]")
    return days


def _warn_without_ranges(fitted):
    """Warn if what was read of a file has no ranges, although there are numbers."""
    for known in (fitted.users, fitted.context):
        if known is None or known.ranges is not None:
            continue
        encoders = encoders_of(known.transformer).values()
        if any(encoder.kind in ("number", "datetime") for encoder in encoders):
            warn(
                f"The file of the model has no ranges of the {known.side} columns, as "
                "an earlier version wrote it: out_of_range is nan. Fit again."
            )
