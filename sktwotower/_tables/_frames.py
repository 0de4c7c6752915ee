"""Conversion of tables and columns of any dataframe library to pandas and numpy.

Input: a table (n_rows, n_columns), or a column (n_rows,).
Output: a pandas frame, or an array, of the same cells.
"""

import os
import sys
from collections.abc import Mapping
from decimal import InvalidOperation
from numbers import Number

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._records._reading import object_array

from ._messages import not_unicode

# Of files of events.
ENDINGS = ".parquet", ".pq"
LEVELS = nw.Categorical, nw.Enum
NESTED = nw.List, nw.Array, nw.Struct
WIDE = nw.Int128, nw.UInt128  # numpy has no such integers
# Classes of libraries that may not be there.
BATCH = "pyarrow.RecordBatch"
READER = "pyarrow.RecordBatchReader"
DATASET = "pyarrow.dataset.Dataset"
QUERY = "duckdb.DuckDBPyRelation"
LAZY_FRAME = "polars.LazyFrame"
DASK_FRAME = "dask.dataframe.DataFrame"
DASK_SERIES = "dask.dataframe.Series"
# What is no dataframe: narwhals would take 50 us to look at one.
PLAIN = np.ndarray, list, tuple, str, dict, int, float, type(None)
PANDAS = "pandas"
# Libraries other than pandas that tables come back in.
OTHERS = "polars", "pyarrow", "modin", "cudf"
LIBRARIES = PANDAS, *OTHERS


def is_of(X, *classes):
    """Return whether X is of one of some classes; no library is imported for that."""
    for name in classes:
        module, _, cls = name.rpartition(".")
        if module in sys.modules and isinstance(X, getattr(sys.modules[module], cls)):
            return True
    return False


def is_source(X):
    """Return whether X is a path, paths, a pyarrow Dataset, a LazyFrame or of Dask."""
    if isinstance(X, str | os.PathLike) or are_paths(X):
        return True
    if isinstance(X, (pd.DataFrame, *PLAIN)):
        return False
    return is_of(X, DATASET, LAZY_FRAME, DASK_FRAME)


def are_paths(X):
    """Return whether X is a list of paths of Parquet files.

    No table is a list of texts; some of these must look like paths.
    """
    if not isinstance(X, list | tuple) or len(X) == 0:
        return False
    if not all(isinstance(entry, str | os.PathLike) for entry in X):
        return False
    for entry in X:
        text = os.fspath(entry)
        if isinstance(entry, os.PathLike) or "://" in text:
            return True
        if text.lower().endswith(ENDINGS) or os.path.exists(os.path.expanduser(text)):
            return True
    return False


def is_frame(X):
    """Return whether X is a dataframe of any library, in memory or lazy."""
    if isinstance(X, PLAIN):
        return False
    return isinstance(X, pd.DataFrame) or _is_eager(X) or _is_lazy(X)


def _is_eager(X):
    """Return whether X is a table in memory, other than one of pandas."""
    return nw.dependencies.is_into_dataframe(X) or is_of(X, BATCH, QUERY)


def _is_lazy(X):
    """Return whether X is a table whose rows are not in memory."""
    if isinstance(X, PLAIN) or _is_eager(X):
        return False
    if is_of(X, DASK_FRAME, READER):
        return True
    return isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame)


def as_frame(table, name):
    """Return any dataframe as a pandas one, columns in the same order.

    Raise ``TypeError`` for lazy frames and for anything but a dataframe, ``ValueError``
    for column names that occur twice.
    """
    if not isinstance(table, pd.DataFrame):
        if not is_frame(table):
            expected = "a dataframe (pandas, polars, pyarrow ...)"
            raise TypeError(f"{name} must be {expected}. Got {type(table).__name__}.")
        refuse_lazy(table, name)
        table = as_known(table)
    names = table.columns
    if not isinstance(table, pd.DataFrame):
        # narwhals comes not as far as the names of a pyarrow table that has one twice
        names = getattr(table, "column_names", names)
        names = pd.Index(list(names), dtype=object)
    twice = names[names.duplicated()].tolist()
    if twice:
        raise ValueError(
            f"{name} has more than one column named {twice[0]!r}. Rename or drop all "
            "except one."
        )
    if isinstance(table, pd.DataFrame):
        return in_native_order(table)
    columns = nw.from_native(table, eager_only=True)
    # pyarrow, which to_pandas of polars needs, may not be there
    return pd.DataFrame({name: _cells(columns[name]) for name in columns.columns})


def in_native_order(table):
    """Return a pandas frame whose numbers have the byte order of this machine.

    Files of other machines have another one, with which pandas searches nothing.
    """
    native = {}  # types of columns, by position
    for i, dtype in enumerate(table.dtypes):
        if isinstance(dtype, np.dtype) and not dtype.isnative:
            native[i] = dtype.newbyteorder("=")
    if not native:
        return table
    names = table.columns
    numbered = table.set_axis(range(len(names)), axis=1)
    return numbered.astype(native).set_axis(names, axis=1)


def as_known(table):
    """Return a batch of Arrow or a query of DuckDB as the table that it stands for."""
    if is_of(table, BATCH):
        return sys.modules["pyarrow"].Table.from_batches([table])
    if is_of(table, QUERY):
        return table.to_arrow_table()
    return table


def refuse_lazy(X, name):
    """Raise ``TypeError`` if X is a lazy frame."""
    if not _is_lazy(X):
        return
    load = "narwhals.from_native({}).collect()"  # of Spark, Ibis ...
    if is_of(X, DASK_FRAME):
        load = "{}.compute()"
    elif is_of(X, READER):
        load = "{}.read_all()"
    elif hasattr(X, "collect_schema"):  # of polars or narwhals
        load = "{}.collect()"
    raise TypeError(
        f"{name} is a lazy frame ({type(X).__name__}), which holds no rows yet. "
        f"Load them first: pass {load.format(name)}."
    )


def refuse_records(X):
    """Raise ``TypeError`` for an X that is no table, but can be made one."""
    fields = getattr(getattr(X, "dtype", None), "names", None)
    first = X
    if isinstance(X, list | tuple) and len(X) > 0:
        first = X[0]
    if sparse.issparse(X):  # some are mappings as well
        remedy = (
            "If it is a sparse matrix of users x items, call "
            "fit(*sktwotower.interactions_from_matrix(X))."
        )
    elif isinstance(first, Mapping) or fields or np.ma.isMaskedArray(X):
        remedy = "Pass pandas.DataFrame(X)."
    else:
        return
    got = f"records of {fields}" if fields else f"{type(first).__name__} objects"
    raise TypeError(f"X must be a dataframe or array of rows. Got {got}. {remedy}")


def is_column(X):
    """Return whether X is a Series, a one-dimensional array or a list of cells."""
    if isinstance(X, np.ndarray | pd.Series | pd.Index):
        return X.ndim == 1 and getattr(X.dtype, "names", None) is None
    if isinstance(X, list | tuple):
        cells = str, bytes, Number, np.generic
        return len(X) > 0 and all(isinstance(entry, cells) for entry in X)
    return nw.dependencies.is_into_series(X) or is_of(X, DASK_SERIES)


def library_of(*given, default=PANDAS):
    """Return the name of the library of the first table or column among some values.

    ``default``: the name if there is neither.
    """
    for value in given:
        if isinstance(value, PLAIN):
            continue
        if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
            return PANDAS
        value = nw.to_native(value, pass_through=True)
        packages = {cls.__module__.partition(".")[0] for cls in type(value).__mro__}
        for name in OTHERS:
            if name in packages:
                return name
    return default


def _cells(column):
    """Return a narwhals Series as what pandas makes a column of."""
    if isinstance(column.dtype, LEVELS):
        return pd.Categorical(column.to_list())
    zone = getattr(column.dtype, "time_zone", None)
    if zone is not None:  # numpy has no zones: it holds such moments as UTC
        return pd.DatetimeIndex(column.to_numpy()).tz_localize("UTC").tz_convert(zone)
    if isinstance(column.dtype, nw.Unknown):
        native = column.to_native()
        dtype = native.type if hasattr(native, "type") else native.dtype
        if "pandas." in str(dtype):
            return column.to_arrow().to_pandas()  # periods and intervals
    # unknown: a type of another library, such as pandas' intervals within polars
    if not isinstance(column.dtype, (*NESTED, *WIDE, nw.Unknown)):
        return column.to_numpy()
    # numpy would make lists of one length a table, and the fields of a struct as well
    return object_array(column.to_list())


def as_array(values):
    """Return a column of any library as an array (n,); other values as they are."""
    known = isinstance(values, np.ndarray | pd.Series | pd.Index)
    if known or not hasattr(values, "__array__"):
        return values
    column = nw.from_native(values, series_only=True, pass_through=True)
    unlike = *WIDE, nw.Datetime, nw.Unknown  # of these numpy makes something else
    if isinstance(column, nw.Series) and isinstance(column.dtype, unlike):
        return _cells(column)
    return np.asarray(values)


def array_as_frame(array, name):
    """Return an array (n_rows, n_columns) as a pandas frame of the best dtypes."""
    try:
        return in_native_order(pd.DataFrame(array).infer_objects())
    except UnicodeEncodeError as error:
        raise not_unicode(name, error) from error


def list_as_array(values):
    """Return a list as an array (n,) without turning numbers into strings."""
    values = list(values)
    types = set(map(type, values))
    if not values or any(issubclass(cls, str | bytes) for cls in types):
        return object_array(values)
    try:
        array = np.asarray(values)
    except ValueError:  # lists of different lengths
        return object_array(values)
    if array.dtype.kind in "US":  # of rows of numbers and text
        return np.asarray(values, object)
    return array


def is_missing(values, name):
    """Return which values are missing, bool (n,), as ``pandas.isna`` does."""
    try:
        return np.asarray(pd.isna(values))
    except InvalidOperation:
        raise ValueError(
            f"{name} holds a signaling NaN, Decimal('sNaN'), which allows no "
            "comparison. Replace it by None."
        ) from None


def with_names(frame):
    """Call the columns x0, x1, ... unless all of them have names."""
    if all(isinstance(name, str) for name in frame.columns):
        return frame
    return frame.set_axis([f"x{i}" for i in range(frame.shape[1])], axis=1)
