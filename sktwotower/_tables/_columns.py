"""Columns of an interaction table, by name or by position.

Input: a table X (n_events, n_columns) of any kind.
Output: names of columns, columns (n_events,), and integer codes of their ids.
"""

from collections.abc import Iterable
from math import ceil
from numbers import Integral

import narwhals as nw
import numpy as np
import pandas as pd

from ._frames import as_frame, as_known, in_native_order, refuse_lazy, refuse_records
from ._ids import check_ids
from ._messages import did_you_mean, warn
from ._usual_names import rank_of_item_name, rank_of_user_name

# A table with fewer columns is not taken for a matrix of users and items.
MIN_COLUMNS_OF_MATRIX = 5


def position_of(names, key, parameter):
    """Return the position of a column: that of the name ``key``, or ``key`` itself.

    Raises ``ValueError`` if there is no such column, or more than one of the name.
    """
    names = list(names)
    n_of_name = names.count(key)
    if n_of_name > 1:
        raise ValueError(
            f"{parameter} names {key!r}, but X has {n_of_name} columns of that name. "
            "Rename or drop all except one."
        )
    if key in names:
        return names.index(key)
    if isinstance(key, Integral) and -len(names) <= key < len(names):
        return key % len(names)
    hint = did_you_mean(key, names)
    raise ValueError(f"{parameter} names {key!r}, which is not a column of X.{hint}")


def codes_of_rows(frame, columns, parameter):
    """Return int (n_rows,), equal for rows with the same values in some columns.

    ``columns``: one or several names or positions, as in `position_of`. Without any,
    or for None, return None. Missing values are the same.
    """
    if columns is None:
        return None
    if isinstance(columns, str | Integral):
        columns = [columns]
    columns = list(columns)
    if not columns:
        return None
    codes = np.zeros(len(frame), dtype=np.int64)
    for name in columns:
        values = frame.iloc[:, position_of(frame.columns, name, parameter)]
        if _may_hold_lists(values.dtype):  # which have no hash
            values = values.where(values.isna(), values.map(repr))
        codes_of_values, _ = pd.factorize(values)
        codes_of_values += 1  # 0: missing
        n_codes = codes_of_values.max(initial=0) + 1
        codes, _ = pd.factorize(codes * n_codes + codes_of_values)
    return codes


class Columns:
    """Which columns of X hold what.

    Parameters
    ----------
    frame : DataFrame
        The interaction table.
    estimator : object
        Has ``user_id``, ``item_id``, ``user_features``, ``item_features`` and,
        optionally, ``time`` and ``context``.
    named : bool
        Whether the columns had names before they were read.

    Attributes
    ----------
    user, item : column names of the ids
    time : column name of the times, or None
    user_features, item_features : lists of further column names
    context : list of column names that describe the request, without the time
    item_context : list of those of them that are columns of ``items``, and not of X
    asks_time : bool, whether the time is one of them by name
    labels : (str, str)
        What the id columns are called in results: "user" and "item" without names.
    """

    def __init__(self, frame, estimator, named):
        names = list(frame.columns)
        user = name_of(names, estimator.user_id, "user_id")
        item = name_of(names, estimator.item_id, "item_id")
        self.time = name_of(names, getattr(estimator, "time", None), "time")
        names = [name for name in names if name != self.time]
        if self.time is not None:
            self._check_time(names, user, item)
        if len(names) == 2 and (user == names[1] or item == names[0]):
            names = names[::-1]  # the one that is not named can only be the other
        if user is None:
            user = names[0]
        if item is None:
            item = names[1]
        for key, name in ((estimator.user_id, user), (estimator.item_id, item)):
            _warn_of_dates(column(frame, name, None, "X"), key is None)
        if estimator.user_id is estimator.item_id is None:
            rank_of_first = rank_of_item_name(str(user))
            if rank_of_first is not None and rank_of_user_name(str(item)) is not None:
                warn(
                    f"By its place in X, {str(user)!r} is taken as the users and "
                    f"{str(item)!r} as the items. Name them: user_id={str(item)!r}, "
                    f"item_id={str(user)!r}."
                )
            _warn_of_a_matrix(frame, user, item)
        if user == item:
            raise ValueError(
                f"{user!r} would be both the user and the item column. user_id=None "
                "means the first column of X, item_id=None the second: name both."
            )
        self.user = user
        self.item = item
        self.user_features = self._features(frame, estimator, "user")
        self.item_features = self._features(frame, estimator, "item")
        self._set_context(frame, estimator)
        self.labels = (user, item) if named else ("user", "item")
        taken = {"score", "rank"} & set(self.labels)
        if taken:
            raise ValueError(
                f"The id column {taken.pop()!r} of X has the name of a column that "
                "recommend returns. Rename it, for example with X.rename(columns=...)."
            )

    def _check_time(self, others, user, item):
        """Check that the time is another column than the ids, which are two others."""
        for key, side in ((user, "user"), (item, "item")):
            if key == self.time:
                raise ValueError(
                    f"{key!r} would be both the {side} and the time column. Name "
                    f"different columns as {side}_id and time."
                )
        if len(others) < 2:
            raise ValueError(
                f"X has {len(others) + 1} columns, but a user, an item and a time "
                "column are required."
            )

    def _set_context(self, frame, estimator):
        """Set the columns of the request; warn of those that are features as well."""
        selection = getattr(estimator, "context", None)
        if isinstance(selection, str) and selection == "auto":
            selection = None  # the time, if it is a date and the history is recent
        items = getattr(estimator, "items", None)
        selection, self.item_context = _without_item_columns(frame, selection, items)
        names = select_columns(frame, selection, "context")
        described = "the request: when, where, or for what a user asks"
        self._refuse(names, "context", described, allowed="time")
        for side in ("user", "item"):
            features = getattr(self, f"{side}_features")
            twice = [name for name in features if name in names]
            if twice:
                warn(
                    f"{twice[0]!r} is named in context and in {side}_features: each "
                    f"event has its own value, and the last one of each {side} counts "
                    "as a feature. If that is not meant, name it in one of both."
                )
        self.asks_time = self.time is not None and self.time in names
        self.context = [name for name in names if name != self.time]
        self.context += self.item_context

    def _refuse(self, names, parameter, described, allowed):
        """Raise ``ValueError`` if names hold an id or the time that is not allowed."""
        for side in ("user", "item", "time"):
            name = getattr(self, side)
            if side != allowed and name in names:
                raise ValueError(
                    f"{parameter} names {name!r}, which is the {side} column. Name "
                    f"columns that describe {described}."
                )

    def _features(self, frame, estimator, side):
        """Return the names of the feature columns of a side, without ids and time.

        Slices, masks and functions may select these as well.
        """
        selection = getattr(estimator, f"{side}_features")
        names = select_columns(frame, selection, f"{side}_features")
        are_named = not (callable(selection) or isinstance(selection, slice))
        if are_named and np.asarray(selection).dtype != bool:
            self._refuse(names, f"{side}_features", f"the {side}", allowed=side)
        return [name for name in names if name not in (self.user, self.item, self.time)]


def name_of(names, key, parameter):
    """Return the name of a column, or None for ``key`` None."""
    if key is None:
        return None
    return names[position_of(names, key, parameter)]


def select_columns(frame, selection, parameter):
    """Return the names of the columns that scikit-learn's ColumnTransformer selects.

    A name that is selected twice is returned once.
    """
    names = list(frame.columns)
    if selection is None:
        return []
    if callable(selection):
        selection = selection(frame)
    if isinstance(selection, str | Integral):
        selection = [selection]
    if isinstance(selection, slice):
        return names[_positions(names, selection, parameter)]
    if not isinstance(selection, Iterable):
        raise TypeError(
            f"{parameter} must be a name, a position, a list, a slice, a mask or a "
            f"callable that returns one of these. Got {selection!r}."
        )
    selection = list(selection)
    if selection and all(isinstance(key, bool | np.bool_) for key in selection):
        if len(selection) != len(names):
            raise ValueError(
                f"{parameter} is a mask of {len(selection)} entries, but X has "
                f"{len(names)} columns."
            )
        return list(frame.columns[np.asarray(selection)])
    positions = [position_of(names, key, parameter) for key in selection]
    return [names[position] for position in dict.fromkeys(positions)]


def _without_item_columns(frame, selection, items):
    """Return a selection of columns of X, and names of columns of ``items`` in it.

    A column of X comes before one of the same name in ``items``, a side table or None.
    """
    if isinstance(selection, str):
        selection = [selection]
    if items is None or not isinstance(selection, list | tuple):
        return selection, []
    of_frame = []
    others = []
    for name in selection:
        if not isinstance(name, str) or name in frame.columns:
            of_frame.append(name)
        elif name not in others:
            others.append(name)
    if not others:
        return selection, []
    columns_of_items = [str(name) for name in as_frame(items, "items").columns]
    for name in others:
        if name not in columns_of_items:
            hint = did_you_mean(name, [*frame.columns, *columns_of_items])
            raise ValueError(
                f"context names {name!r}, which is neither a column of X nor one of "
                f"items.{hint}"
            )
    return of_frame, others


def _positions(names, selection, parameter):
    """Return a slice of positions; a slice of names includes its end, as in pandas."""
    start = selection.start
    stop = selection.stop
    if not isinstance(start, str) and not isinstance(stop, str):
        return selection
    if start is not None:
        start = position_of(names, start, parameter)
    if stop is not None:
        stop = position_of(names, stop, parameter) + 1
    return slice(start, stop, selection.step)


def as_table(X):
    """Return X as a DataFrame of pandas or narwhals, or as a two-dimensional array."""
    if isinstance(X, pd.DataFrame):
        return in_native_order(X)
    refuse_lazy(X, "X")
    if hasattr(X, "columns"):
        return nw.from_native(as_known(X), eager_only=True)
    refuse_records(X)
    # as objects: numpy would turn the numbers of a list that holds text into text
    dtype = None
    if isinstance(X, list | tuple):
        dtype = object
    array = np.asarray(X, dtype)
    if array.ndim != 2:
        raise TypeError(
            "X must be a DataFrame or an array of shape (n_events, n_columns). Got "
            f"{type(X).__name__} of shape {array.shape}."
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def column_position(X, key, default, parameter, time=None):
    """Return the position of a column of X; ``key`` None stands for ``default``.

    That is its place among the columns other than the ``time``.
    """
    if isinstance(X, np.ndarray):
        names = list(range(X.shape[1]))
    else:
        names = list(X.columns)
    if key is not None:
        return position_of(names, key, parameter)
    positions = list(range(len(names)))
    if time is not None:
        positions.remove(position_of(names, time, "time"))
    if default >= len(positions):
        raise ValueError(
            f"{parameter}=None stands for column number {default + 1} of X, which "
            f"has {len(positions)}. Name the column."
        )
    return positions[default]


def column(X, key, default, parameter, time=None):
    """Return a column of X as a narwhals Series; ``key`` is a name or a position."""
    return column_at(X, column_position(X, key, default, parameter, time))


def is_date(values):
    """Return whether a narwhals Series holds dates."""
    return values.dtype in (nw.Date, nw.Datetime)


def _warn_of_dates(values, is_default):
    """Warn if a column of ids holds dates, and nobody has named it."""
    if is_default and is_date(values):
        warn(
            f"{values.name!r} holds dates, but is taken as a column of ids, by its "
            "place in X. Name the columns: user_id, item_id and time."
        )


def _warn_of_a_matrix(frame, user, item):
    """Warn if a table seems to have a row per user and a column per item."""
    if frame.shape[1] < MIN_COLUMNS_OF_MATRIX or len(frame) == 0:
        return
    for name in (user, item):
        cells = frame[name]
        if not pd.api.types.is_numeric_dtype(cells) or (cells == 0).mean() < 0.5:
            return
    warn(
        f"X looks like a matrix of users x items: it has {frame.shape[1]} columns, "
        f"and most cells of {str(user)!r} and {str(item)!r}, which are taken as ids, "
        "are 0. X must have a row per event. If each row is a user, call "
        "fit(*sktwotower.interactions_from_matrix(X))."
    )


def column_at(X, at):
    """Return the column of X at a position as a narwhals Series."""
    if isinstance(X, np.ndarray):
        values = pd.Series(X[:, at], name=at).infer_objects()
    elif isinstance(X, pd.DataFrame):
        values = X.iloc[:, at]
    else:
        return X.get_column(X.columns[at])
    if getattr(getattr(values.dtype, "pyarrow_dtype", values.dtype), "tz", None):
        # narwhals knows no zones with other signs, as in America/New_York and UTC+02:00
        values = values.dt.tz_convert("UTC")
    return nw.from_native(values, series_only=True)


def refuse_missing(column, parameter):
    """Raise ``ValueError`` if the column has missing values."""
    gaps = column.is_null()
    if column.dtype.is_float():
        gaps = gaps | column.is_nan()
    name = f"The {parameter} column {column.name!r} of X"
    refuse_gaps(name, int(gaps.sum()), len(column))


def refuse_gaps(name, n_missing, n, where=""):
    """Raise ``ValueError`` for missing cells among n, if any; ``where``: a sentence."""
    if n_missing:
        raise ValueError(
            f"{name} has {n_missing} missing values in {n} rows.{where} Drop or fill "
            "these rows first."
        )


def codes(X, key, default, parameter, time=None):
    """Return integer codes 0, 1, ... of the ids in a column, (n_events,)."""
    values = column(X, key, default, parameter, time)
    _warn_of_dates(values, key is None)
    if key is None and time is None and default:  # the first may be the time
        _warn_of_dates(column(X, None, 0, parameter), True)
    refuse_missing(values, parameter)
    ids = values.to_numpy()
    try:
        numbers, _ = pd.factorize(ids)
        return numbers.astype(np.int64)
    except TypeError:  # ids without a hash, such as lists
        check_ids(ids, f"The {parameter} column {values.name!r} of X")
        raise


def count(size, n_rows):
    """Return a number of rows, given as a number or as a share of ``n_rows``."""
    if isinstance(size, Integral):
        return int(size)
    # 1e-9: .1 * 30 is a little more than 3 in binary
    return ceil(size * n_rows - 1e-9)


def latest_rows(features, codes, n_entities, name=None):
    """Return the last feature row of each entity; warn once if its rows disagree.

    ``features`` (n_events, n_features) : of the events. ``codes`` (n_events,) : the
    entity of each. Entities without an event have missing features. ``name``: what the
    warning calls them; None: there is none.
    """
    last = np.full(n_entities, -1)
    last[codes] = np.arange(len(codes))  # the last assignment wins
    disagree = np.zeros(n_entities, dtype=bool)
    columns = [] if name is None else features.columns
    for column in columns:
        values = features[column]
        if _may_hold_lists(values.dtype):  # which cannot be compared as arrays
            values = values.map(repr)
        codes_of_values, _ = pd.factorize(values, use_na_sentinel=True)
        is_another = codes_of_values != codes_of_values[last[codes]]
        disagree[codes[is_another]] = True
    if disagree.any():
        warn_of_changes(int(disagree.sum()), n_entities, name)
    return features.reset_index(drop=True).reindex(last).reset_index(drop=True)


def warn_of_changes(n_changed, n_entities, name):
    """Warn that rows of X disagree on the features of some ids."""
    warn(
        f"Rows of X disagree on the features of {n_changed} of {n_entities} ids in "
        f"{name}; the last row of each was used."
    )


def _may_hold_lists(dtype):
    """Return whether a column of a type may hold lists."""
    if isinstance(dtype, pd.ArrowDtype):
        return dtype.kind == "O"
    return isinstance(dtype, np.dtypes.ObjectDType)
