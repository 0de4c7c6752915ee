"""Enters: an interaction table X (n_events, n_columns) of any kind.

Leaves: its columns, and what all splitters of such tables share.
Next: model_selection.py, which says who is held out.
"""

import inspect

import narwhals as nw
import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils._param_validation import validate_parameter_constraints

from .interactions import suggestion

__all__ = ["InteractionSplit", "codes", "column", "refuse_missing"]


class InteractionSplit(BaseCrossValidator):
    """Splitter of interaction tables: subclasses yield the (train, test) masks."""

    def split(self, X, y=None, groups=None):
        """Yield the row positions of train and test side, fold by fold.

        Parameters
        ----------
        X : DataFrame or array of shape (n_events, n_columns)
            Interaction table, one row per event.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Yields
        ------
        train : array of int, shape (n_train,)
            Positions of rows, ascending.
        test : array of int, shape (n_test,)
            Positions of rows, ascending.

        Raises
        ------
        ValueError
            If a parameter is out of range or names no column of X, ids or times are
            missing, or a fold would leave one side without rows.
        TypeError
            If X is no table, or its times are neither dates nor numbers.
        """
        name = type(self).__name__
        validate_parameter_constraints(self._parameter_constraints, vars(self), name)
        X = _as_table(X)
        for fold, (train, test) in enumerate(self._sides(X)):
            if self.drop_unseen_users:
                users = codes(X, self.user_id, 0, "user_id")
                test &= np.isin(users, users[train])
            if self.drop_unseen_items:
                items = codes(X, self.item_id, 1, "item_id")
                test &= np.isin(items, items[train])
            for side, rows in {"train": train, "test": test}.items():
                if not rows.any():
                    raise ValueError(
                        f"Fold {fold} of {self!r} leaves the {side} side without rows; "
                        f"X has {len(rows)} rows. {self._remedy}"
                    )
            yield np.flatnonzero(train), np.flatnonzero(test)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X : object, default=None
            Ignored.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def __repr__(self):
        parameters = inspect.signature(type(self)).parameters
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, parameter in parameters.items()
            if repr(getattr(self, name)) != repr(parameter.default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def _as_table(X):
    """Return X as a pandas or narwhals DataFrame or a 2-D array, or say what it is."""
    if isinstance(X, pd.DataFrame):
        return X
    if hasattr(X, "columns"):
        return nw.from_native(X, eager_only=True)
    # as objects: numpy would turn the numbers of a list that holds text into text
    array = np.asarray(X, dtype=object if isinstance(X, list | tuple) else None)
    if array.ndim != 2:
        raise TypeError(
            "X must be a DataFrame or an array of shape (n_events, n_columns). Got "
            f"{type(X).__name__} of shape {array.shape}."
        )
    return array


def column(X, key, default, parameter):
    """Return a column of X as a narwhals Series; `key` is a name or a position."""
    if isinstance(X, np.ndarray):
        names = list(range(X.shape[1]))
    else:
        names = list(X.columns)
    if key is None:
        if default >= len(names):
            raise ValueError(
                f"{parameter}=None stands for column number {default + 1} of X, which "
                f"has {len(names)}. Name the column."
            )
        key = names[default]
    if key not in names:
        raise ValueError(
            f"{parameter} names {key!r}, which is not a column of X."
            f"{suggestion(key, names)}"
        )
    at = names.index(key)
    if isinstance(X, np.ndarray):
        return nw.from_native(pd.Series(X[:, at]).infer_objects(), series_only=True)
    if isinstance(X, pd.DataFrame):
        return nw.from_native(X.iloc[:, at], series_only=True)
    return X.get_column(key)


def refuse_missing(column, parameter):
    """Raise if the column has missing values."""
    n_missing = int(column.is_null().sum())
    if column.dtype.is_float():
        n_missing = int((column.is_null() | column.is_nan()).sum())
    if n_missing:
        raise ValueError(
            f"The {parameter} column {column.name!r} of X has {n_missing} missing "
            f"values in {len(column)} rows. Drop or fill these rows first."
        )


def codes(X, key, default, parameter):
    """Return integer codes of the ids in a column, (n_events,)."""
    values = column(X, key, default, parameter)
    refuse_missing(values, parameter)
    return pd.factorize(values.to_numpy())[0].astype(np.int64)
