"""The base class of all splitters of interaction tables.

Input: an interaction table X (n_events, n_columns) of any kind.
Output: row positions of train and test, 1-D each, fold by fold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from numbers import Integral

import numpy as np
from sklearn.model_selection import BaseCrossValidator

from sktwotower import _sklearn_compat as compat
from sktwotower._tables._columns import as_table, codes
from sktwotower._tables._frames import DASK_FRAME, is_of, is_source
from sktwotower._tables._messages import warn

from ._sides_on_disk import count_rows

# What names of columns may be.
COLUMN = None, str, Integral


@dataclass(kw_only=True, eq=False, repr=False)
class InteractionSplit(BaseCrossValidator):
    """Splitter of interaction tables; the ``_sides(X)`` of subclasses yields masks.

    These are the train and the test side of each fold, bool (n_events,) each.
    """

    _parameter_constraints = compat.ParameterConstraints()

    n_splits: int = compat.parameter(1, compat.COUNT)
    user_id: str | int | None = compat.parameter(None, *COLUMN)
    item_id: str | int | None = compat.parameter(None, *COLUMN)

    def split(self, X, y=None, groups=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row positions of train and test side, fold by fold.

        Parameters
        ----------
        X : DataFrame or array of shape (n_events, n_columns)
            Interaction table, one row per event. `TimeSplit` also takes events on disk:
            a path of Parquet files (a file, a folder, a pattern or a URL), a list of
            paths, a pyarrow Dataset or a polars LazyFrame.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Yields
        ------
        train : array of int, shape (n_train,)
            Positions of rows, ascending. For events on disk the events themselves, not
            yet read: a filtered Dataset, or a LazyFrame if X is one.
        test : array of int, shape (n_test,)
            The same.

        Raises
        ------
        ValueError
            If a parameter is out of range or names no column of X, ids or times are
            missing, or a fold would leave one side without rows.
        TypeError
            If X is not a table, or its times are neither dates nor numbers.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower.model_selection import TimeSplit
        >>> X = pd.DataFrame({"user": ["ann", "bob", "ann", "bob", "bob", "ann"],
        ...                   "item": ["tea", "tea", "jam", "jam", "egg", "ham"],
        ...                   "day": [1, 2, 3, 4, 5, 6]})
        >>> split = TimeSplit(2, n_splits=2, time="day")
        >>> train, test = next(split.split(X))  # the first of two folds
        >>> X.iloc[train]
          user item  day
        0  ann  tea    1
        1  bob  tea    2
        >>> X.iloc[test]
          user item  day
        2  ann  jam    3
        3  bob  jam    4
        """
        name = type(self).__name__
        allowed = self._parameter_constraints
        compat.validate_parameter_constraints(allowed, vars(self), name)
        if is_of(X, DASK_FRAME):
            raise TypeError(
                "Splitters take no Dask dataframe. Divide it yourself, as by "
                "X[X['time'] < start] and X[X['time'] >= start], or write it with "
                "X.to_parquet(folder), and pass TimeSplit the folder."
            )
        if is_source(X):
            for fold, sides in enumerate(self._sides_on_disk(X)):
                for side, events in zip(("train", "test"), sides, strict=True):
                    self._check_side(fold, side, count_rows(events), None)
                yield sides
            return
        if compat.is_asked_for_a_sample():
            warn(
                "A halving search over rows compares models of few events, for which "
                "others are best. Pass resource='max_epochs', or take GridSearchCV."
            )
        X = as_table(X)
        for fold, (train, test) in enumerate(self._sides(X)):
            if self.drop_unseen_users:
                users = self._codes(X, "user_id", 0)
                test &= np.isin(users, users[train])
            if self.drop_unseen_items:
                items = self._codes(X, "item_id", 1)
                test &= np.isin(items, items[train])
            for side, rows in {"train": train, "test": test}.items():
                self._check_side(fold, side, rows.any(), len(rows))
            yield np.flatnonzero(train), np.flatnonzero(test)

    def _codes(self, X, side, place):
        """Return integer codes (n_events,) of the users or of the items."""
        return codes(X, getattr(self, side), place, side, getattr(self, "time", None))

    def _sides_on_disk(self, X):
        """Raise: only `TimeSplit` divides events on disk."""
        raise TypeError(
            f"{type(self).__name__} splits events in memory, but X is read from disk "
            f"({type(X).__name__}). Load it first, as with pandas.read_parquet, or use "
            "TimeSplit."
        )

    def _check_side(self, fold, side, has_rows, n_rows):
        """Raise ``ValueError`` if a side of a fold is empty, of so many rows of X."""
        if not has_rows:
            size = ""
            if n_rows is not None:
                size = f"; X has {n_rows} rows"
            raise ValueError(
                f"Fold {fold} of {self!r} leaves the {side} side without rows{size}. "
                f"{self._remedy}"
            )

    def get_n_splits(self, X=None, y=None, groups=None) -> int:
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

        Examples
        --------
        >>> from sktwotower.model_selection import TimeSplit
        >>> split = TimeSplit(2, n_splits=2, time="day")
        >>> split.get_n_splits()
        2
        """
        return self.n_splits

    def __repr__(self):
        changed = []
        for name, parameter in signature(type(self)).parameters.items():
            value = repr(getattr(self, name))
            if value != repr(parameter.default):
                changed.append(f"{name}={value}")
        return f"{type(self).__name__}({', '.join(changed)})"
