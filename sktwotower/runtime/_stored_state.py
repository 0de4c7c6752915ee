"""Which values of a file a process that serves reads, and which it leaves.

Input: what JSON holds of a `TwoTowerRecommender`.
Output: a ``ServedModel`` of arrays, after the checks of all that is read.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np

from sktwotower._records import array, csr, instance, integer, refuse, require, vectors
from sktwotower._records._reading import PlainReader, object_array
from sktwotower._records._registry import Kind, record_kind
from sktwotower._records._scalars import SCALARS, Scalar

from . import _context_cells as cells
from ._model_arrays import FoldInArrays, ModelArrays, PairArrays, softmax_sample
from ._tower_arrays import (
    ContextArrays,
    PastOnlyArrays,
    PooledArrays,
    RecentArrays,
    TowerArrays,
)


class KindOfSome(Kind):
    """A kind of which only the fields that serving needs are read."""

    def read(self, specs, reader, place):
        """Return the object whose parts JSON holds, after their checks."""
        if type(specs) is not dict or not set(self.parts) <= set(specs):
            refuse(place, f"a value with {', '.join(self.parts)}", specs)
        return super().read({name: specs[name] for name in self.parts}, reader, place)


class Refused:
    """A kind that cannot be served, with the reason."""

    def __init__(self, reason):
        self.reason = reason

    def read(self, specs, reader, place):
        """Raise ``ValueError``."""
        raise ValueError(f"{self.reason} Load the file by sktwotower.io.load.")


OWN_TOWER = Refused(
    "The model has a tower that is a module of your own, which needs torch: only "
    "towers of this package can be served with numpy. Others can by ONNX: export_onnx."
)
OWN_TRANSFORMER = Refused(
    "The model has a context_transformer that is not a TowerVectorizer: it needs the "
    "library of its own."
)


def _some(cls):
    """Return the kind that reads a class of this room."""
    kind = record_kind(cls)
    return KindOfSome(cls, kind.parts, build=kind.build)


def _as_they_are(cells):
    return cells if isinstance(cells, np.ndarray) else object_array(cells)


def _levels(codes, levels, is_ordered):
    inside = len(codes) == 0 or (codes.min() >= -1 and codes.max() < len(levels))
    require(inside, "a column of levels", f"codes of {len(levels)} levels")
    return object_array([*levels.tolist(), None])[codes]


def _masked(dtype, cells, gaps):
    values = cells.astype(object)
    values[gaps] = None
    return values


_OF_COLUMN = partial(array, "", "n")
COLUMNS = {
    "Cells": ({"cells": _OF_COLUMN()}, _as_they_are),
    "Text": ({"cells": instance(list)}, _as_they_are),
    "Objects": ({"cells": instance(list)}, _as_they_are),
    "Moments": ({"moments": _OF_COLUMN()}, lambda moments: moments),
    "Periods": ({"periods": _OF_COLUMN()}, lambda periods: periods),
    "Masked": (
        {"dtype": instance(str), "cells": _OF_COLUMN(), "gaps": array("bool", "n")},
        _masked,
    ),
    "Levels": (
        {"codes": _OF_COLUMN(), "levels": array("", "m"), "is_ordered": instance(bool)},
        _levels,
    ),
}


class IndexArray:
    """How an Index of ids is read: as an array."""

    @staticmethod
    def read(spec, reader, place):
        """Return the array (n,) that JSON holds."""
        require(type(spec) is list and len(spec) == 2, place, "an index and its name")
        return _OF_COLUMN()(reader.read(spec[0], place), place)


class TableArrays:
    """How a table is read: as a dict of arrays."""

    @staticmethod
    def read(spec, reader, place):
        """Return the dict of columns (n,) that JSON holds."""

        def read(spec, reader, place):
            return instance(dict)(reader.read(spec, place), place)

        return reader.once(spec, place, read)


def _table(n_rows, columns):
    for name, column in columns.items():
        require(len(column) == n_rows, f"column {name!r}", f"of {n_rows} cells")
    return columns


class NetArrays:
    """How a trained net is read: its model, and the temperature of training."""

    @staticmethod
    def read(spec, reader, place):
        """Return the model and the temperature."""
        fits = type(spec) is dict and {"model", "settings"} <= set(spec)
        require(fits, place, "a net")
        model = reader.read(spec["model"], f"{place}.model")
        instance(ModelArrays)(model, f"{place}.model")
        settings = reader.read(spec["settings"], f"{place}.settings")
        instance(dict)(settings, f"{place}.settings")
        return model, settings.get("criterion__temperature")


@dataclass(frozen=True, eq=False)
class Side:
    """The users or the items: their ids, and feature rows (n + 1, p)."""

    id_column: str
    label: str | int
    table: object
    own: object
    ids: array("", "n")
    width: integer()
    rows: csr("n+1 width", empty_last=True)


@dataclass(frozen=True, eq=False)
class InOrder:
    """The events of each user, oldest first."""

    lags: csr("n_users+1 n_items", canonical=False, empty_last=True)
    times: array("int64 float64", "n_events")


@dataclass(frozen=True, eq=False)
class CatalogVectors:
    """The vectors of the catalog."""

    vectors: vectors("n_items d", must_be_finite=True)


@dataclass(frozen=True, eq=False)
class ServedState:
    """What fit has learnt, as far as requests need it."""

    users: instance(Side)
    items: instance(Side)
    seen: csr("n_users+1 n_items", empty_last=True)
    sequences: InOrder | None
    net: Annotated[object, NetArrays]
    catalog: instance(CatalogVectors)
    fold_in: FoldInArrays | None
    context: cells.ContextCells | None

    def _check_stored(self, place):
        model, temperature = self.net
        n_users, n_items = len(self.users.ids), len(self.items.ids)
        n, d = self.catalog.vectors.shape
        require(1 <= n <= n_items, f"{place}.catalog", "the first items")
        width = sum(part.width for part in model.parts)
        require(width == d, f"{place}.catalog", f"vectors of {width} numbers")
        shape, ordered = (n_users + 1, n_items), self.sequences is not None
        require(self.seen.shape == shape, f"{place}.seen", f"a matrix of shape {shape}")
        require(ordered == model.sees_order, f"{place}.sequences", "ordered")
        if ordered:
            fits = self.sequences.lags.shape == shape
            fits = fits and len(self.sequences.times) == len(self.sequences.lags.data)
            require(fits, f"{place}.sequences", f"a matrix of shape {shape}")
        known = self.context is not None
        require(known == model.sees_context, place, "a context that the model sees")
        for part in model.parts:
            self._check_part(part, f"{place}.net.model")
        if self.fold_in is not None:
            self._check_fold_in(temperature, model.first, f"{place}.fold_in")

    def _check_part(self, part, place):
        """Raise unless the tables of a part have a row for each feature."""
        widths = {self.items.width: [part.item_tower.table]}
        if isinstance(part.history, PooledArrays):
            widths[self.items.width].append(part.history.weights)
        elif part.history is not None:
            widths[self.items.width].append(part.history.items_table)
        tables = [(self.items.width, each) for each in widths[self.items.width]]
        if not part.of_past_only:
            tables.append((self.users.width, part.user_tower.table))
        if part.context is not None:
            tables.append((self.context.width, part.context.terms))
        for width, table in tables:
            require(len(table) == width, place, f"{width} features")

    def _check_fold_in(self, temperature, first, place):
        is_number = isinstance(temperature, float) and temperature > 0
        require(is_number, place, "of a net with a temperature")
        fold_in = self.fold_in
        fold_in.temperature = temperature
        if fold_in.vectors is None:
            counts = np.bincount(self.seen.indices, minlength=self.seen.shape[1])
            places, _ = softmax_sample(counts)
            inside = places.max(initial=-1) < len(self.catalog.vectors)
            require(inside, place, "a fold-in with vectors")
            fold_in.vectors = self.catalog.vectors[places]
        shape = len(fold_in.log_weights), first.width
        require(fold_in.vectors.shape == shape, place, f"vectors of shape {shape}")
        require(len(fold_in.axes) == shape[1], place, f"axes of shape {shape[1]}")


class ServedModel:
    """A `TwoTowerRecommender` as its file holds it."""

    PARAMS = "users", "items", "fold_in"

    @classmethod
    def read(cls, specs, reader, place):
        """Return the fitted state, and the parameter ``fold_in``."""
        fits = type(specs) is dict and {"params", "state"} <= set(specs)
        fits = fits and all(type(specs[each]) is dict for each in ("params", "state"))
        require(fits, place, "a recommender")
        params, state = specs["params"], specs["state"]
        for tower in ("user_tower", "item_tower"):
            if params.get(tower) is not None:
                OWN_TOWER.read(None, reader, place)
        # a table is read where it is for the first time
        params = {
            name: reader.read(params[name], f"parameter {name!r}")
            for name in cls.PARAMS
            if name in params
        }
        if "_fitted" not in state:
            raise ValueError("The file holds a model that is not fitted: fit it first.")
        fitted = reader.read(state["_fitted"], f"{place}._fitted")
        instance(ServedState)(fitted, place)
        return fitted, params.get("fold_in", True) is not False


class VectorizerState:
    """How a `TowerVectorizer` is read: its encoders."""

    @staticmethod
    def read(specs, reader, place):
        """Return the ``Vectorizer``."""
        state = specs.get("state") if type(specs) is dict else None
        fits = type(state) is dict and "encoders_" in state
        require(fits, place, "a fitted vectorizer")
        encoders = reader.read(state["encoders_"], f"{place}.encoders_")
        fits = type(encoders) is list and all(
            type(each) is tuple
            and len(each) == 2
            and type(each[0]) is int
            and hasattr(each[1], "entries")
            for each in encoders
        )
        require(fits, place, "encoders with their columns")
        return cells.Vectorizer(encoders)


CLASSES = {
    "recommender.FittedTowers": ServedState,
    "recommender.FoldIn": FoldInArrays,
    "features.Entities": Side,
    "neighbors.Catalog": CatalogVectors,
    "_tables.Sequences": InOrder,
    "towers.Model": ModelArrays,
    "towers.PooledTowers": PairArrays,
    "towers.RecentTowers": PairArrays,
    "towers.LinearFilter": PairArrays,
    "towers.Tower": TowerArrays,
    "towers.PastOnly": PastOnlyArrays,
    "towers.PooledHistory": PooledArrays,
    "towers.RecentHistory": RecentArrays,
    "towers.ContextLayer": ContextArrays,
    "features.RequestContext": cells.ContextCells,
    "features.RequestClock": cells.StoredClock,
}
CLASSES |= {
    f"features.{cls.__name__.replace('Cell', 'Encoder')}": cls for cls in cells.CELLS
}
OF_A_TABLE = {"n_rows": integer(), "columns": instance(dict)}
KINDS = {
    "recommender.TwoTowerRecommender": ServedModel,
    "features.TowerVectorizer": VectorizerState,
    "Index": IndexArray,
    "table": TableArrays,
    "_tables.Table": KindOfSome(dict, OF_A_TABLE, build=_table),
    "skops": OWN_TRANSFORMER,
    "towers.GivenTower": OWN_TOWER,
    "towers.GivenTowers": OWN_TOWER,
}
KINDS |= {name: _some(cls) for name, cls in CLASSES.items()}
KINDS |= {
    f"_tables.{name}": KindOfSome(np.ndarray, parts, build=build)
    for name, (parts, build) in COLUMNS.items()
}


def _date(number, unit, zone):
    return np.datetime64(number, unit)


class ServingReader(PlainReader):
    """Turn JSON and members of a ``ReadFile`` into what serving needs of them."""

    # those of pandas become those of numpy
    scalars = SCALARS | {
        "Timestamp": Scalar(np.datetime64, None, _date),
        "Timedelta": Scalar(np.timedelta64, None, np.timedelta64),
        "NaT": Scalar(np.datetime64, None, lambda: np.datetime64("NaT")),
        "NA": Scalar(type(None), None, lambda: None),
        "Period": Scalar(int, None, lambda ordinal, unit: ordinal),
    }
    kind_of_name = staticmethod(KINDS.get)
