"""Enters: an interaction table X (n_events, n_columns), y and sample_weight.

Leaves: checked ids, rewards (n_events,) and user-item matrices.
Next: entities.py, which makes one row per user and item of them.
"""

import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from sktwotower.frames import as_frame, is_frame

__all__ = [
    "Columns",
    "check_ids",
    "event_table",
    "latest_rows",
    "outcomes",
    "pair_matrix",
    "some",
    "suggestion",
    "take_rows",
]


def event_table(estimator, X, *, reset):
    """Give X as a pandas frame after scikit-learn's checks of shape and names.

    Nameless columns are called x0, x1, ...; with ``reset`` the estimator's
    ``n_features_in_`` and ``feature_names_in_`` are set.
    """
    if is_frame(X):
        frame = as_frame(X, "X")
        validate_data(estimator, frame, skip_check_array=True, reset=reset)
        if len(frame) == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum "
                "of 1 is required: X holds no events."
            )
        if reset and frame.shape[1] < 2:
            raise ValueError(
                f"X has {frame.shape[1]} feature(s) (columns), but a user column and "
                "an item column are required."
            )
        return _named_as_in_fit(estimator, frame).reset_index(drop=True)
    array = validate_data(
        estimator,
        X,
        dtype=None,
        ensure_all_finite=False,
        ensure_min_features=2 if reset else 1,
        reset=reset,
    )
    return _named_as_in_fit(estimator, pd.DataFrame(array).infer_objects())


def _named_as_in_fit(estimator, frame):
    # names were checked by now: where one side has none, positions count
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        names = [f"x{i}" for i in range(frame.shape[1])]
    return frame.set_axis(list(names), axis="columns")


class Columns:
    """Which columns of X hold what.

    Parameters
    ----------
    frame : DataFrame
        The interaction table.
    estimator : object
        Has ``user_id``, ``item_id``, ``user_features`` and ``item_features``.

    Attributes
    ----------
    user, item : column names of the ids
    user_features, item_features : lists of further column names
    labels : (str, str)
        What the id columns are called in results: "user" and "item" without names.
    """

    def __init__(self, frame, estimator):
        names = list(frame.columns)
        user = self._id(frame, estimator.user_id, "user_id")
        item = self._id(frame, estimator.item_id, "item_id")
        if len(names) == 2:  # the one that is not named can only be the other
            names = names[::-1] if user == names[1] or item == names[0] else names
        user = names[0] if user is None else user
        item = names[1] if item is None else item
        if user == item:
            raise ValueError(
                f"{user!r} would be both the user and the item column. user_id=None "
                "means the first column of X, item_id=None the second: name both."
            )
        self.user, self.item = user, item
        self.user_features = self._features(frame, estimator, "user_features")
        self.item_features = self._features(frame, estimator, "item_features")
        named = hasattr(estimator, "feature_names_in_")
        self.labels = (user, item) if named else ("user", "item")
        taken = {"score", "rank"} & set(self.labels)
        if taken:
            raise ValueError(
                f"The id column {taken.pop()!r} of X has the name of a column that "
                "recommend gives. Rename it, for example with X.rename(columns=...)."
            )

    @staticmethod
    def _id(frame, given, parameter):
        return None if given is None else _column(frame, given, parameter)

    def _features(self, frame, estimator, parameter):
        selection = getattr(estimator, parameter)
        names = dict.fromkeys(select_columns(frame, selection, parameter))
        return [name for name in names if name not in (self.user, self.item)]


def _column(frame, name, parameter):
    """Resolve one column by name, or by position where that is no name."""
    if name in list(frame.columns):
        return name
    if isinstance(name, Integral) and -frame.shape[1] <= name < frame.shape[1]:
        return frame.columns[name]
    raise ValueError(
        f"{parameter} names {name!r}, which is not a column of X."
        f"{suggestion(name, frame.columns)}"
    )


def suggestion(name, known, what="Columns"):
    """Give ' Did you mean ...?', or the known names where nothing is close."""
    known = [str(k) for k in known]
    close = get_close_matches(str(name), known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    shown = ", ".join(map(repr, known[:12])) + (", ..." if len(known) > 12 else "")
    return f" {what}: {shown}."


def select_columns(frame, selection, parameter):
    """Resolve a selection as scikit-learn's ColumnTransformer does; gives names."""
    if selection is None:
        return []
    if callable(selection):
        selection = selection(frame)
    if isinstance(selection, str | Integral):
        selection = [selection]
    if isinstance(selection, slice):
        return list(frame.columns[_positions(frame, selection, parameter)])
    if not isinstance(selection, Iterable):
        raise TypeError(
            f"{parameter} must be a name, a position, a list, a slice, a mask or a "
            f"callable that gives one of these. Got {selection!r}."
        )
    selection = list(selection)
    if selection and all(isinstance(s, bool | np.bool_) for s in selection):
        if len(selection) != frame.shape[1]:
            raise ValueError(
                f"{parameter} is a mask of {len(selection)} entries, but X has "
                f"{frame.shape[1]} columns."
            )
        return list(frame.columns[np.asarray(selection)])
    return [_column(frame, name, parameter) for name in selection]


def _positions(frame, selection, parameter):
    """Give a slice of positions; one of names takes both ends, as in pandas."""
    ends = selection.start, selection.stop
    if not any(isinstance(end, str) for end in ends):
        return selection
    names = list(frame.columns)
    first, last = (
        end if end is None else names.index(_column(frame, end, parameter))
        for end in ends
    )
    return slice(first, None if last is None else last + 1, selection.step)


def check_ids(values, name):
    """Give ids (n,) as a pandas Index of one plain type.

    Raises ``ValueError`` for missing or infinite ids, ``TypeError`` for ids of mixed
    types and for what cannot be an id.
    """
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(
            f"{name} must be one-dimensional ids. Got shape {values.shape}."
        )
    if type(values) is np.ndarray and values.dtype.kind in "iu":
        return pd.Index(values)  # the checks below would take longer than a search
    values = pd.Series(values)
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    elif isinstance(values.dtype, pd.SparseDtype):
        values = values.sparse.to_dense()
    missing = int(values.isna().sum())
    if missing:
        raise ValueError(
            f"{name} contains NaN: {missing} of {len(values)} ids are missing. "
            "Drop those rows, or give them an id of their own."
        )
    if values.dtype.kind == "S":  # pandas has no index of fixed-width bytes
        values = values.astype(object)
    if values.dtype == object:
        _check_types(values, name)
    elif values.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} holds complex numbers.")
    index = pd.Index(values.infer_objects())
    if index.dtype.kind == "f" and np.isinf(index.to_numpy(dtype=float)).any():
        raise ValueError(f"{name} contains infinity, which is no id.")
    return index


def _check_types(values, name):
    kinds = {type(value) for value in values}
    unfit = [kind for kind in kinds if not _can_be_id(kind)]
    if unfit:
        raise TypeError(
            f"{name} holds {unfit[0].__name__} objects: the argument must be a "
            "string or a number to be an id."
        )
    families = {_family(kind) for kind in kinds}
    if len(families) > 1:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise TypeError(
            f"{name} mixes ids of different types ({found}), which cannot be told "
            "apart or sorted. Convert them to one type, for example with astype(str)."
        )


def _can_be_id(kind):
    # ids are sorted; of tuples pandas would make a MultiIndex
    ordered = kind.__lt__ is not object.__lt__
    unfit = issubclass(kind, tuple | complex | frozenset)
    return kind.__hash__ is not None and ordered and not unfit


def _family(kind):
    if issubclass(kind, str):
        return "text"
    return "number" if issubclass(kind, int | float | np.number) else kind.__name__


def some(ids, n=5):
    """Show the first few of many ids."""
    shown = ", ".join(repr(i) for i in np.asarray(ids[:n]).tolist())
    return shown + (", ..." if len(ids) > n else "")


def latest_rows(own, codes, n_entities, name):
    """Keep each entity's last row of features; warn once where rows disagree."""
    last = np.full(n_entities, -1)
    last[codes] = np.arange(len(codes))  # the last assignment wins
    disagree = np.zeros(n_entities, dtype=bool)
    for column in own.columns:
        values = own[column]
        if values.dtype == object:  # lists cannot be compared as arrays
            values = values.map(repr)
        first = pd.factorize(values, use_na_sentinel=True)[0]
        disagree[codes[first != first[last[codes]]]] = True
    if disagree.any():
        warnings.warn(
            f"Rows of X disagree on the features of {int(disagree.sum())} of "
            f"{n_entities} ids in {name}; the last row of each was used.",
            UserWarning,
            stacklevel=5,
        )
    if own.shape[1] == 0:
        return pd.DataFrame(index=range(n_entities))
    if (last >= 0).all():
        return own.take(last).reset_index(drop=True)
    # the side table knows more entities than X: what X says of them is missing
    return own.reset_index(drop=True).reindex(last).reset_index(drop=True)


def outcomes(y, sample_weight, n_events):
    """Give rewards and weights (n_events,) of events after all checks.

    ``y`` None: every reward is one.
    """
    if y is None:
        y = np.ones(n_events)
    y = column_or_1d(y, warn=True)
    if y.dtype == object or y.dtype.kind in "USb":
        y = _as_numbers(y)
    if y.dtype.kind not in "iuf":
        raise ValueError(f"y must be numeric rewards. Got dtype {y.dtype}.")
    y = y.astype(float)
    if len(y) != n_events:
        raise ValueError(
            f"y must have one outcome per row of X: expected {n_events}, got {len(y)}."
        )
    if not np.isfinite(y).all():
        raise ValueError("y contains NaN or infinity; a reward is a finite number.")
    if (y < 0).any():
        raise ValueError(
            f"y must be >= 0: a reward, or 0 for shown and not chosen. Got {y.min()}. "
            "Ratings below zero or -1 labels need mapping first, as in y=(label > 0)."
        )
    weights = _event_weights(sample_weight, n_events)
    if not (y * weights > 0).any():
        raise ValueError(
            "X holds no positive event: at least one row needs y > 0 (or y=None) and "
            "a sample_weight > 0."
        )
    return y, weights


def _as_numbers(y):
    try:
        return y.astype(float)
    except (TypeError, ValueError):
        raise ValueError(
            "y must be numeric rewards (> 0 chosen, 0 shown and not chosen). "
            f"Got {y.dtype} values such as {y[0]!r}. Unknown label type."
        ) from None


def read_events(estimator, X, y, sample_weight, *, reset):
    """Give events that count as a table, with their rewards and weights (n_events,)."""
    frame = event_table(estimator, X, reset=reset)
    rewards, weights = outcomes(y, sample_weight, len(frame))
    kept = weights > 0
    return frame[kept], rewards[kept], weights[kept]


def _event_weights(sample_weight, n_events):
    if sample_weight is None:
        return np.ones(n_events)
    check_consistent_length(np.empty(n_events), sample_weight)
    weights = _check_sample_weight(
        sample_weight, np.empty((n_events, 1)), dtype=np.float64
    )
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be >= 0. Got {weights.min()}.")
    if not weights.any():
        raise ValueError("All entries of sample_weight are zero.")
    return weights


def pair_matrix(users, items, values, shape):
    """Sum values per (user, item) pair into a float32 CSR matrix of ``shape``."""
    matrix = sparse.csr_matrix((values, (users, items)), shape=shape, dtype=np.float64)
    matrix.sum_duplicates()
    return matrix.astype(np.float32)


def take_rows(matrix, rows):
    """Give ``matrix[rows]`` of a CSR matrix; of one row in a third of the time."""
    if len(rows) != 1:
        return matrix[rows]
    row = int(rows[0]) % matrix.shape[0]
    part = slice(matrix.indptr[row], matrix.indptr[row + 1])
    data, indices = matrix.data[part], matrix.indices[part]
    offsets = np.array([0, len(data)], dtype=matrix.indptr.dtype)
    return sparse.csr_matrix((data, indices, offsets), shape=(1, matrix.shape[1]))
