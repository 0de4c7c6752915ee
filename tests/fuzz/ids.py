"""Ids of 25 kinds, and what they are passed in."""

import datetime
import decimal
import enum
import fractions
import pathlib
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

DAY = datetime.datetime(2020, 2, 28)
Rank = enum.IntEnum("Rank", [f"R{i}" for i in range(1, 2000)])
# letters that look alike, marks that combine, right to left, outside the first plane
ODD = ["é", "é", "ß", "ß" * 9, "İ", "א", "\u202e", "🙂", "👩‍👩‍👧", "\u200b"]

IDS = {
    "int": lambda i: i,
    "negative": lambda i: 3 - i,
    "above 2**53": lambda i: 2**53 + i,
    "above 2**64": lambda i: 2**70 + i,
    "uint8": lambda i: np.uint8(i % 256),
    "bool": lambda i: i % 2 == 1,
    "float": float,
    "fraction of 1": lambda i: i + 0.25,
    "float32": lambda i: np.float32(i / 8),
    "text": lambda i: f"id-{i}",
    "digits": str,
    "empty text": lambda i: "" if i % 5 == 0 else f"{i} ",
    "unicode": lambda i: f"{ODD[i % len(ODD)]}{i}",
    "markup": lambda i: f"<b onclick='x'>{i}</b>\n\0&",
    "numpy text": lambda i: np.str_(f"id-{i}"),
    "bytes": lambda i: f"id-{i}".encode(),
    "datetime": lambda i: DAY + datetime.timedelta(hours=i),
    "aware": lambda i: pd.Timestamp(DAY, tz="Europe/Rome") + pd.Timedelta(i, "h"),
    "date": lambda i: (DAY + datetime.timedelta(days=i)).date(),
    "timedelta": lambda i: datetime.timedelta(hours=i),
    "Decimal": lambda i: decimal.Decimal(i) / 4,
    "Fraction": lambda i: fractions.Fraction(i, 3),
    "UUID": lambda i: uuid.UUID(int=i),
    "path": lambda i: pathlib.PurePosixPath(f"/{i}"),
    "enum": lambda i: Rank(i % 1900 + 1),
}
assert len(IDS) == 25
# Not ids of anything; they occur only in questions.
NO_IDS = {
    "tuple": lambda i: (i, i),
    "list": lambda i: [i],
    "dict": lambda i: {i: i},
    "complex": lambda i: complex(i, 1),
    "interval": lambda i: pd.Interval(i, i + 2),
    "period": lambda i: pd.Period("2020-01", "M") + i,
    "surrogate": lambda i: f"\ud800{i}",
    "None": lambda i: None,
    "NaN": lambda i: float("nan"),
    "NA": lambda i: pd.NA,
    "NaT": lambda i: pd.NaT,
    "infinity": lambda i: float("inf"),
    "signaling NaN": lambda i: decimal.Decimal("sNaN"),
    "object": lambda i: object(),
    "function": lambda i: len,
    "array": lambda i: np.arange(3),
}


def as_objects(cells):
    """Return cells as an array of objects (n,)."""
    array = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        array[i] = cell
    return array


def series(cells):
    """Return a column of polars, which panics where it should raise."""
    if any(isinstance(c, decimal.Decimal) and c.is_snan() for c in cells):
        raise TypeError("not for polars")
    try:
        return pl.Series(cells)
    except pl.exceptions.PanicException as panic:
        raise TypeError("not for polars") from panic


def columns(X):
    return {name: X[name].tolist() for name in X}


# Forms of a column. Those that another library refuses to build are left out.
COLUMNS = {
    "list": list,
    "tuple": tuple,
    "objects": as_objects,
    "array": np.array,
    "Series": pd.Series,
    "objects in a Series": lambda ids: pd.Series(as_objects(ids), index=ids[::-1]),
    "Index": pd.Index,
    "Categorical": pd.Categorical,
    "nullable": lambda ids: pd.Series(ids).convert_dtypes(),
    "arrow": lambda ids: pd.Series(ids).convert_dtypes(dtype_backend="pyarrow"),
    "polars": series,
    "pyarrow": pa.array,
    "chunked": lambda ids: pa.chunked_array([pa.array(ids[:1]), pa.array(ids[1:])]),
    "column": lambda ids: as_objects(ids)[:, None],
    "set": set,
    "generator": lambda ids: (each for each in ids),
    "keys": lambda ids: dict.fromkeys(ids).keys(),
    "first": lambda ids: ids[0],
    "text": lambda ids: str(ids[0]),
    "cube": lambda ids: as_objects(ids)[:, None, None],
}

# Forms of a table; the columns of the frame hold objects.
TABLES = {
    "objects": lambda X: X,
    "inferred": lambda X: X.infer_objects(),
    "nullable": lambda X: X.convert_dtypes(),
    "arrow": lambda X: X.convert_dtypes(dtype_backend="pyarrow"),
    "levels": lambda X: X.astype("category"),
    "index": lambda X: X.set_axis([7] * len(X), axis=0),
    "levels of the index": lambda X: X.set_index(list(X.columns), drop=False),
    "further column": lambda X: X.assign(more=range(len(X))),
    "reversed columns": lambda X: X[X.columns[::-1]],
    "numbered columns": lambda X: X.set_axis(range(X.shape[1]), axis=1),
    "twice": lambda X: pd.concat([X, X], axis=1),
    "one column": lambda X: X[X.columns[:1]],
    "no rows": lambda X: X[:0],
    "polars": lambda X: pl.DataFrame(
        {c: series(cells) for c, cells in columns(X).items()}
    ),
    "lazy": lambda X: TABLES["polars"](X).lazy(),
    "pyarrow": lambda X: pa.table(columns(X)),
    "array": lambda X: X.to_numpy(),
    "rows": lambda X: X.to_numpy().tolist(),
    "dict": columns,
    "records": lambda X: X.to_records(index=False),
    "turned": lambda X: X.T,
}
