"""Tables and ids in files, column by column.

Input: a table of any library or an Index of pandas, or what JSON holds in its place.
Output: the other one of both; tables are those of pandas.
"""

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype, is_string_dtype

from sktwotower._records._checks import Check, integer, refuse, require
from sktwotower._records._registry import add_codec
from sktwotower._records._values import cannot_write

from ._frames import as_frame, is_frame

__all__ = ["index"]

# Extension types whose cells are numbers or booleans with gaps.
MASKED = frozenset(
    f"{name}{bits}" for name in ("Int", "UInt") for bits in (8, 16, 32, 64)
) | {"Float32", "Float64", "boolean"}


def index(dims="n", unique=True):
    """Return a check for an Index (n,) of pandas; ``unique``: of distinct ids."""

    def check(value, place):
        require(isinstance(value, pd.Index), place, "an index")
        fits = not unique or (value.is_unique and not value.hasnans)
        require(fits, place, "distinct ids")

    return Check(check, dims)


def _write_column(values, writer, place):
    """Return what JSON holds for a pandas Series or Index (n,)."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        values = pd.Categorical(values)
        levels = _write_column(values.categories, writer, f"{place}.levels")
        codes = writer.write(np.array(values.codes), f"{place}.codes")
        return {"codes": codes, "levels": levels, "is_ordered": bool(values.ordered)}
    if isinstance(dtype, pd.DatetimeTZDtype):
        zone = writer.write(pd.Timestamp(0, tz=dtype.tz), f"{place}.zone")["value"][2]
        moments = pd.DatetimeIndex(values).tz_convert("UTC").tz_localize(None)
        moments = writer.write(moments.to_numpy(), f"{place}.moments")
        return {"moments": moments, "zone": zone}
    if isinstance(dtype, pd.PeriodDtype):
        periods = np.array(pd.PeriodIndex(values).asi8)
        unit = str(dtype).removeprefix("period[").removesuffix("]")
        return {"periods": writer.write(periods, f"{place}.periods"), "unit": unit}
    if dtype.name in MASKED:
        kind = dtype.numpy_dtype
        cells = values.to_numpy(dtype=kind, na_value=kind.type(0))
        parts = {"cells": cells, "gaps": np.asarray(pd.isna(values))}
        return {"masked": dtype.name} | writer.write_parts(parts, place)
    return _write_cells(values, writer, place)


def _write_cells(values, writer, place):
    """Return what JSON holds for a column of numbers, dates, text or objects."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biufmM":
        return {"cells": writer.write(values.to_numpy(), f"{place}.cells")}
    is_text = not is_object_dtype(dtype) and is_string_dtype(dtype)
    if not (is_text or is_object_dtype(dtype) or hasattr(dtype, "pyarrow_dtype")):
        raise cannot_write(values, place, f" of dtype {dtype}")
    name = "text" if is_text else "objects"
    cells = list(np.asarray(values.astype(object)))
    return {name: writer.write(cells, f"{place}.{name}")}


def _read_column(spec, reader, place):
    """Return the Index or pandas array (n,) that JSON holds."""
    if type(spec) is not dict:
        refuse(place, "a column", spec)
    parts = set(spec)
    read = next((r for names, r in _COLUMNS.items() if parts == set(names)), None)
    if read is None:
        refuse(place, "a column", sorted(map(str, spec)))
    return read(spec, reader, place)


def _vector(spec, reader, place, kinds):
    values = reader.read(spec, place)
    fits = isinstance(values, np.ndarray) and values.ndim == 1
    if not fits or values.dtype.kind not in kinds:
        refuse(place, "an array of one dimension", values)
    return values


def _read_cells(spec, reader, place):
    return _vector(spec["cells"], reader, f"{place}.cells", "biufmM")


def _read_categories(spec, reader, place):
    levels = pd.Index(_read_column(spec["levels"], reader, f"{place}.levels"))
    codes = _vector(spec["codes"], reader, f"{place}.codes", "i")
    require(levels.is_unique and not levels.hasnans, place, "distinct levels")
    inside = len(codes) == 0 or (codes.min() >= -1 and codes.max() < len(levels))
    require(inside, place, f"codes of {len(levels)} levels")
    is_ordered = spec["is_ordered"] is True
    return pd.Categorical.from_codes(codes, levels, ordered=is_ordered)


def _read_moments(spec, reader, place):
    cells = _vector(spec["moments"], reader, f"{place}.moments", "M")
    moment = {"type": "Timestamp", "value": [0, "ns", spec["zone"]]}
    require(reader.read(moment, f"{place}.zone").tz is not None, place, "a time zone")
    # by name: the object is that of pandas for it
    return pd.DatetimeIndex(cells).tz_localize("UTC").tz_convert(spec["zone"])


def _read_periods(spec, reader, place):
    cells = _vector(spec["periods"], reader, f"{place}.periods", "i")
    unit = reader.read({"type": "Period", "value": [0, spec["unit"]]}, place).freq
    return pd.PeriodIndex.from_ordinals(cells, freq=unit)


def _read_masked(spec, reader, place):
    if spec["masked"] not in MASKED:
        refuse(place, "a type with gaps", spec["masked"])
    cells = _vector(spec["cells"], reader, f"{place}.cells", "biuf")
    gaps = _vector(spec["gaps"], reader, f"{place}.gaps", "b")
    require(len(cells) == len(gaps), place, "as many gaps as cells")
    values = pd.array(cells, dtype=spec["masked"])
    values[gaps] = pd.NA
    return values


def _read_text(spec, reader, place):
    values = reader.read_list(spec["text"], f"{place}.text")
    kinds = set(map(type, values)) - {str, type(None)}
    require(kinds <= {float}, place, "text and gaps")
    return pd.array(values, dtype=pd.Series(["a"]).dtype)


def _read_objects(spec, reader, place):
    values = reader.read_list(spec["objects"], f"{place}.objects")
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        array[i] = value
    return array


_COLUMNS = {
    ("cells",): _read_cells,
    ("codes", "levels", "is_ordered"): _read_categories,
    ("moments", "zone"): _read_moments,
    ("periods", "unit"): _read_periods,
    ("masked", "cells", "gaps"): _read_masked,
    ("text",): _read_text,
    ("objects",): _read_objects,
}


class FrameCodec:
    """How tables are written and read: once each, as pandas frames."""

    name, fits = "table", staticmethod(is_frame)

    @staticmethod
    def write(table, writer, place):
        """Return what JSON holds for a table of any library."""
        return writer.once(table, place, lambda p: _write_frame(table, writer, p))

    @staticmethod
    def read(spec, reader, place):
        """Return the pandas frame that JSON holds."""
        return reader.once(spec, place, _read_frame)


def _write_frame(table, writer, place):
    frame = as_frame(table, place)
    return {
        "n_rows": len(frame),
        "names": [
            writer.write(name, f"a column name of {place}") for name in frame.columns
        ],
        "columns": [
            _write_column(frame.iloc[:, i], writer, f"{place}[{name!r}]")
            for i, name in enumerate(frame.columns)
        ],
    }


def _read_frame(spec, reader, place):
    if type(spec) is not dict or set(spec) != {"n_rows", "names", "columns"}:
        refuse(place, "a table", spec)
    n_rows = integer()(spec["n_rows"], f"{place}.n_rows")
    names = reader.read_list(spec["names"], f"{place}.names")
    columns = spec["columns"]
    require(type(columns) is list, place, "a list of columns")
    require(len(columns) == len(names), place, "as many names as columns")
    parts = [_read_column(c, reader, f"{place}[{i}]") for i, c in enumerate(columns)]
    require(all(len(p) == n_rows for p in parts), place, f"columns of {n_rows} cells")
    try:
        columns = {i: pd.Series(part) for i, part in enumerate(parts)}
        frame = pd.DataFrame(columns, index=range(n_rows))
        return frame.set_axis(pd.Index(names), axis="columns")
    except Exception as error:  # of pandas: cells that no column can hold
        return refuse(place, f"a table ({error})")


class IndexCodec:
    """How an Index of ids is written and read."""

    name = "Index"

    @staticmethod
    def fits(value):
        """Return whether a value is an Index of one level."""
        return isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex)

    @staticmethod
    def write(index, writer, place):
        """Return what JSON holds for an Index."""
        column = _write_column(index, writer, place)
        return column | {"name": writer.write(index.name, f"{place}.name")}

    @staticmethod
    def read(spec, reader, place):
        """Return the Index that JSON holds."""
        if type(spec) is not dict or "name" not in spec:
            refuse(place, "an index", spec)
        name = reader.read(spec["name"], f"{place}.name")
        require(name is None or type(name) in (str, int), place, "a name")
        column = {key: value for key, value in spec.items() if key != "name"}
        values = _read_column(column, reader, place)
        try:
            if isinstance(values, np.ndarray) and values.dtype == object:
                return pd.Index(values, dtype=object, name=name)
            return pd.Index(values, name=name)
        except Exception as error:  # of pandas
            return refuse(place, f"an index ({error})")


add_codec(FrameCodec)
add_codec(IndexCodec)
