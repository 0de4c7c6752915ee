"""What a model knows of the columns of requests, and a contract of requests.

Input: cells (n,) of the columns of requests, and what fit has kept of each column.
Output: shares by column; a JSON schema.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sktwotower._tables._messages import did_you_mean, shorten

from ._cell_encoders import CELLS_BY_NAME, is_missing
from ._context_cells import moment_of

# Encoders that say what they know
OURS = tuple(CELLS_BY_NAME.values())
# States of a cell
KNOWN, MISSING, UNKNOWN, OUT_OF_RANGE = range(4)
SHARES = "missing", "unknown", "out_of_range"
# Types of cells that are looked up once if a column repeats them
HASHED = str, int, float, bytes, bool
# So many values of fit are examples in a schema
MAX_EXAMPLES = 20
DATE = {"type": "string", "format": "date-time"}
ID_TYPES = {"i": "integer", "u": "integer", "f": "number", "b": "boolean"}
JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


class RequestColumn(NamedTuple):
    """A column of requests.

    Parameters
    ----------
    name : str or int
    side : {"user", "context"}
        What it describes.
    encoder : CellEncoder or None, default=None
        Says which cells are known. None: nothing does.
    low, high : float, default=nan
        The least and the largest number of fit, or days since 1970; nan: not known.
    ids : IdTable or None, default=None
        The known ids, if the column holds ids.
    times : TimeKind or None, default=None
        What times are, if the column holds them.
    """

    name: str | int
    side: str
    encoder: object | None = None
    low: float = np.nan
    high: float = np.nan
    ids: object | None = None
    times: object | None = None

    @property
    def tells_unknown(self):
        """Whether it is known which cells are unknown."""
        return self.ids is not None or self.encoder is not None

    @property
    def has_range(self):
        """Whether it is known which cells are out of range."""
        return not np.isnan(self.low)

    def states(self, cells):
        """Return the state of each cell, int8 (n,)."""
        known = {}
        states = np.empty(len(cells), dtype=np.int8)
        for place, cell in enumerate(cells):
            if type(cell) not in HASHED:
                states[place] = self._state(cell)
                continue
            key = type(cell), cell
            if key not in known:
                known[key] = self._state(cell)
            states[place] = known[key]
        return states

    def _state(self, cell):
        """Return the state of a cell. What cannot be read is unknown."""
        if is_missing(cell):
            return MISSING
        try:
            if self.ids is not None:
                if self.ids.place_of(cell) < 0:
                    return UNKNOWN
                return KNOWN
            if self.times is not None:
                moment_of(cell, self.times)
            if self.encoder is not None:
                return self._state_of_value(cell)
        except (ArithmeticError, TypeError, ValueError):
            return UNKNOWN
        return KNOWN

    def _state_of_value(self, cell):
        """Return the state of a cell that the encoder reads."""
        if is_empty(cell):
            return MISSING
        if not self.encoder.knows(cell):
            return UNKNOWN
        if self.has_range and not self.low <= self.encoder.measure(cell) <= self.high:
            return OUT_OF_RANGE
        return KNOWN

    def shares(self, states):
        """Return the share of each state but known, a dict; None: not known.

        ``states``: int8 (n,), at least one.
        """
        missing = float(np.mean(states == MISSING))
        unknown = None
        # cells that cannot be read are unknown in any case
        if self.tells_unknown or (states == UNKNOWN).any():
            unknown = float(np.mean(states == UNKNOWN))
        out_of_range = None
        if self.has_range:
            out_of_range = float(np.mean(states == OUT_OF_RANGE))
        return {"missing": missing, "unknown": unknown, "out_of_range": out_of_range}

    def schema(self):
        """Return the JSON schema of a cell, a dict."""
        if self.ids is not None:
            return {"type": types_of_ids(self.ids.ids)}
        if self.times is not None:
            return _optional(_schema_of_times(self.times))
        if self.encoder is None:
            return {}
        schema = _optional(_SCHEMAS[self.encoder.kind](self.encoder))
        if self.has_range and self.encoder.kind == "number":
            schema["description"] = f"In fit: {self.low:.6g} to {self.high:.6g}."
        return schema


def is_empty(cell):
    """Return whether a cell is a text or a list with nothing in it."""
    if isinstance(cell, str):
        return not cell.strip()
    return isinstance(cell, list | tuple | dict | set) and not cell


def context_columns(context):
    """Return the columns of a context, a ``StoredContext``, a list; None has none.

    It has ``transformer``, a list of pairs of a position and an encoder, or one with
    such ``encoders_``.
    """
    if context is None:
        return []
    encoders = encoders_of(context.transformer)
    columns = []
    for position, name in enumerate(context.columns):
        bounds = bounds_of(context.ranges, position)
        columns.append(RequestColumn(name, "context", encoders.get(position), *bounds))
    if context.time is not None:
        times = context.clock.time_kind
        columns.append(RequestColumn(context.time, "context", times=times))
    return columns


def encoders_of(transformer):
    """Return the encoders of a transformer by the position of their column, a dict.

    Those of kinds that are not of this package are left out.
    """
    pairs = transformer
    if not isinstance(transformer, list):
        pairs = getattr(transformer, "encoders_", [])
    return {place: encoder for place, encoder in pairs if isinstance(encoder, OURS)}


def bounds_of(ranges, position):
    """Return the least and the largest value of a column, nan if they are not known."""
    if ranges is None:
        return np.nan, np.nan
    low, high = ranges[position].tolist()
    return low, high


def cells_of_requests(requests, columns, known=()):
    """Return the cells (n,) of each column of n requests, a dict of lists.

    Parameters
    ----------
    requests : list of dicts
        As a service gets them: ``{"user": id, "context": {column: value}}``.
    columns : list of RequestColumn
        The first one is that of users.
    known : collection, default=()
        Further keys of ``context`` that mean something.
    """
    if isinstance(requests, Mapping | str) or not np.iterable(requests):
        raise TypeError(
            'requests must be a list of dicts, such as [{"user": 7, "context": '
            f'{{"hour": 9}}}}]. Got {shorten(requests)}.'
        )
    users, *others = columns
    names = {column.name for column in others}
    cells = {column.name: [] for column in columns}
    for request in requests:
        if not isinstance(request, Mapping):
            raise TypeError(
                'requests must hold dicts, such as {"user": 7, "context": {"hour": 9}}.'
                f" Got {shorten(request)} among them."
            )
        context = request.get("context")
        if context is None:
            context = {}
        if not isinstance(context, Mapping):
            raise TypeError(
                "context of a request must be a dict of columns to values. Got "
                f"{shorten(context)}."
            )
        for key in context:
            if key not in names and key not in known:
                raise ValueError(
                    f"context of a request names {key!r}, which is not a context "
                    f"column of fit.{did_you_mean(key, names)}"
                )
        cells[users.name].append(request.get("user"))
        for column in others:
            cells[column.name].append(context.get(column.name))
    return cells


def coverage_of(columns, requests):
    """Return the shares of each column of a list of requests, a dict of dicts."""
    cells = cells_of_requests(requests, columns)
    if not cells[columns[0].name]:
        raise ValueError("requests is empty: pass at least one.")
    return {
        column.name: column.shares(column.states(cells[column.name]))
        for column in columns
    }


def request_schema(columns, item_ids):
    """Return the JSON schema of a request, a dict.

    ``columns``: as of `cells_of_requests`, without features of users.
    """
    users, *others = columns
    of_context = {str(column.name): column.schema() for column in others}
    items = {"type": "array", "items": {"type": types_of_ids(item_ids)}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A request for recommendations",
        "type": "object",
        "properties": {
            "user": users.schema(),
            "history": items,
            "context": {
                "type": ["object", "null"],
                "properties": of_context,
                "additionalProperties": False,
            },
        },
        "required": ["user"],
    }


def types_of_ids(ids):
    """Return the JSON type of ids (n,), or a list of several."""
    if ids.dtype.kind != "O":
        return ID_TYPES.get(ids.dtype.kind, "string")
    types = {JSON_TYPES.get(kind, "string") for kind in set(map(type, ids.tolist()))}
    return _one_or_all(types)


def _one_or_all(types):
    """Return the only type of a set, or a sorted list of them."""
    ordered = sorted(types)
    if len(ordered) == 1:
        return ordered[0]
    return ordered


def _optional(schema):
    """Return a JSON schema that also allows null."""
    types = schema["type"]
    if not isinstance(types, list):
        types = [types]
    return schema | {"type": [*types, "null"]}


def _schema_of_times(kind):
    """Return the JSON schema of times of a ``TimeKind``."""
    if not kind.dates:
        return {"type": "number"}
    if kind.unit is None:
        return DATE
    return {"type": ["number", "string"], "description": f"In {kind.unit} since 1970."}


def _schema_of_levels(encoder):
    """Return the JSON schema of levels, with some of those of fit."""
    levels = list(encoder.columns)
    types = {JSON_TYPES.get(type(level), "string") for level in levels}
    schema = {"type": _one_or_all(types or {"string"})}
    examples = [level for level in levels if type(level) in JSON_TYPES]
    if examples:
        schema["examples"] = examples[:MAX_EXAMPLES]
    return schema


def _schema_of_tags(encoder):
    """Return the JSON schema of lists of tags."""
    if encoder.delimiter is not None:
        return {"type": "string", "description": f"Divided by {encoder.delimiter!r}."}
    return {"type": "array", "items": _schema_of_levels(encoder)}


def _schema_of_vectors(encoder):
    """Return the JSON schema of vectors."""
    n = encoder.length
    numbers = {"type": "number"}
    return {"type": "array", "items": numbers, "minItems": n, "maxItems": n}


_SCHEMAS = {
    "id": _schema_of_levels,
    "category": _schema_of_levels,
    "list": _schema_of_tags,
    "text": lambda encoder: {"type": "string"},
    "number": lambda encoder: {"type": "number"},
    "boolean": lambda encoder: {"type": "boolean"},
    "datetime": lambda encoder: DATE,
    "vector": _schema_of_vectors,
}
