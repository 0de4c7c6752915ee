"""Which values of a file a process that serves reads, and which it leaves.

Input: what JSON holds of a `TwoTowerRecommender`.
Output: a ``ServedState`` of arrays, after the checks of all that is read.
"""

from dataclasses import dataclass
from inspect import get_annotations
from typing import Annotated, NamedTuple

import numpy as np

from sktwotower._records import UpTo, array, csr, integer, positions, require, vectors
from sktwotower._records._checks import check_of, instance
from sktwotower._records._kinds import Codec, Kind, kind_of_class
from sktwotower._records._reading import PlainReader, object_array
from sktwotower._records._scalars import SCALARS, Scalar

from . import _context_cells as cells
from . import _tower_arrays as towers
from ._alignment import AlignmentArrays
from ._cell_encoders import CELLS_BY_NAME
from ._model_arrays import FoldInArrays, ModelArrays, PairArrays, PopularityArrays
from ._sparse_scores import SparsePartArrays, SparseScoresArrays
from ._stored_vectors import StoredVectors


class KindOfSome(Kind):
    """A kind of which only the fields that serving needs are read."""

    def values_of_parts(self, specs, place):
        """Return what JSON holds of each part, a list; there may be others."""
        fits = type(specs) is dict and set(self.parts) <= set(specs)
        require(fits, place, f"a value with {', '.join(self.parts)}", specs)
        return [specs[name] for name in self.parts]


def _refused(reason):
    """Return the kind of what cannot be served."""

    def read(specs, reader, place):
        raise ValueError(f"{reason} Load the file by sktwotower.io.load.")

    return Codec(read)


OWN_TOWER = _refused(
    "The model has a tower that is a module of your own, which needs torch: only "
    "towers of this package can be served with numpy. Others can by ONNX: export_onnx."
)
OWN_KIND = _refused(
    "The model has a context column of a kind of your own, which needs its class: only "
    "kinds of this package can be served with numpy."
)
OWN_HISTORY = _refused(
    "The model has a history of your own, which needs torch: only the histories of "
    "this package can be served with numpy."
)
OWN_TRANSFORMER = _refused(
    "The model has a context_transformer that is not a TowerVectorizer: it needs the "
    "library of its own."
)


def _some(what):
    """Return the kind that reads a class, or what a function makes of its parameters.

    Annotations say what fields and parameters are.
    """
    if isinstance(what, type):
        kind = kind_of_class(what)
        return KindOfSome(what, kind.parts, build=kind.build, changes=kind.changes)
    parts = {name: check_of(each) for name, each in get_annotations(what).items()}
    return KindOfSome(what, parts, build=what)


COLUMN = array("", "n")


def _alone(name, what=COLUMN):
    """Return the kind of what consists of one value of a name: the value."""
    parts = {name: check_of(what)}
    return KindOfSome(object, parts, build=lambda **parts: parts[name])


def _objects(cells: list):
    return object_array(cells)


def _masked(cells: COLUMN, gaps: array("bool", "n")):
    values = cells.astype(object)
    values[gaps] = None
    return values


def _levels(codes: COLUMN, levels: array("", "n_levels")):
    positions(codes, "a column of levels", len(levels), start=-1)
    return object_array([*levels.tolist(), None])[codes]


def _table(n_rows: integer(), columns: dict):
    for name, column in columns.items():
        require(len(column) == n_rows, f"column {name!r}", f"of {n_rows} cells")
    return columns


def _read_index(spec, reader, place):
    """Return the array (n,) that JSON holds for an Index of ids."""
    require(type(spec) is list and len(spec) == 2, place, "an index and its name")
    return COLUMN.read(spec[0], reader, place)


def _read_table(spec, reader, place):
    """Return the dict of columns (n,) that JSON holds for a table."""
    return reader.once(spec, place, instance(dict).read)


class NetArrays(NamedTuple):
    """What serving needs of a trained net."""

    model: ModelArrays
    settings: dict


class Side(NamedTuple):
    """The users or the items: their ids, and feature rows (n + 1, p)."""

    label: str | int
    table: object
    own: object
    ids: array("", "n")
    width: integer()
    rows: csr("n+1 width", empty_last=True)


class InOrder(NamedTuple):
    """The events of each user, oldest first."""

    lags: csr("n_users+1 n_items", canonical=False, empty_last=True)
    times: array("int64 float64", "n_events")

    def _check_stored(self, place):
        require(len(self.times) == len(self.lags.data), place, "a time for each lag")


class CatalogVectors(NamedTuple):
    """The vectors of the catalog."""

    vectors: vectors("n_items d", must_be_finite=True)


@dataclass(frozen=True, eq=False)
class ServedState(StoredVectors):
    """What fit has learnt, as far as requests need it."""

    users: Side
    items: Side
    seen: csr("n_users+1 n_items", empty_last=True)
    sequences: InOrder | None
    net: Annotated[NetArrays, _some(NetArrays)]
    catalog: CatalogVectors
    fold_in: FoldInArrays | None
    context: cells.ContextCells | None
    alignment: AlignmentArrays | None

    _older_formats = (UpTo(1, lacking={"alignment": None}),)

    @property
    def model(self):
        """The ``ModelArrays``."""
        return self.net.model

    @property
    def temperature(self):
        """The temperature of training."""
        return self.net.settings.get("criterion__temperature")

    def _check_stored(self, place):
        shape = len(self.users.ids) + 1, len(self.items.ids)
        expected = "of all pairs"
        require(self.seen.shape == shape, f"{place}.seen", expected)
        if self.sequences is not None:
            require(self.sequences.lags.shape == shape, f"{place}.sequences", expected)
        self._check_vectors(place)
        if self.alignment is not None:
            d = self.catalog.vectors.shape[1]
            fits = len(self.alignment.turn) == d
            require(fits, f"{place}.alignment", f"that of vectors of {d} numbers")


def _read_model(specs, reader, place):
    """Return the state of a `TwoTowerRecommender`, ``fold_in`` and ``exclude_seen``."""
    require(type(specs) is dict, place, "a recommender")
    params = specs.get("params")
    state = specs.get("state")
    require(type(params) is type(state) is dict, place, "a recommender")
    if params.get("user_tower") or params.get("item_tower"):
        OWN_TOWER.read(None, reader, place)
    if "_fitted" not in state:
        raise ValueError("The file holds a model that is not fitted: fit it first.")
    fitted = reader.read(state["_fitted"], f"{place}._fitted")
    instance(ServedState)(fitted, place)
    exclude_seen = params.get("exclude_seen", True)
    exclude_seen = reader.read(exclude_seen, "parameter 'exclude_seen'")

    # whether new users are folded in, which files had next to the history at first
    fold_in = reader.read(params.get("fold_in", True), "parameter 'fold_in'")
    history = params.get("history")
    if type(history) is dict and history.get("kind") == "pooled":
        of_history = reader.read(history.get("params"), "parameter 'history'")
        require(type(of_history) is dict, "parameter 'history'", "parameters")
        fold_in = of_history.get("fold_in", fold_in)
    return fitted, bool(fold_in), bool(exclude_seen)


MODEL = "recommender.TwoTowerRecommender"


ENCODERS = list[tuple[integer(), instance(*CELLS_BY_NAME.values())]]
KINDS = {
    "recommender.FittedTowers": ServedState,
    "recommender.FoldIn": FoldInArrays,
    "recommender.Alignment": AlignmentArrays,
    "features.Entities": Side,
    "features.RequestContext": cells.ContextCells,
    "features.RequestClock": cells.StoredClock,
    "neighbors.Catalog": CatalogVectors,
    "towers.Model": ModelArrays,
    "towers.PooledTowers": PairArrays,
    "towers.RecentTowers": PairArrays,
    "towers.LinearFilter": PairArrays,
    "towers.RecentPopularity": PopularityArrays,
    "towers.OverallPopularity": PopularityArrays,
    "towers.GroupPopularity": PopularityArrays,
    "towers.SparseParts": SparseScoresArrays,
    "towers.EasePart": SparsePartArrays,
    "towers.WalkPart": SparsePartArrays,
    "towers.SuccessorPart": SparsePartArrays,
    "towers.HadBefore": SparsePartArrays,
    "towers.RepeatCounts": SparsePartArrays,
    "towers.RecentRepeats": SparsePartArrays,
    "towers.Tower": towers.TowerArrays,
    "towers.PastOnly": towers.PastOnlyArrays,
    "towers.PooledHistory": towers.PooledArrays,
    "towers.RecentHistory": towers.RecentArrays,
    "towers.ContextLayer": towers.ContextArrays,
    "_tables.Sequences": InOrder,
    "_tables.Table": _table,
    "_tables.Text": _objects,
    "_tables.Objects": _objects,
    "_tables.Masked": _masked,
    "_tables.Levels": _levels,
}
KINDS |= CELLS_BY_NAME
KINDS = {name: _some(what) for name, what in KINDS.items()} | {
    MODEL: Codec(_read_model),
    "features.TowerVectorizer": _alone("state", _alone("encoders_", ENCODERS)),
    "features.GivenEncoder": OWN_KIND,
    "_tables.Cells": _alone("cells"),
    "_tables.Moments": _alone("moments"),
    "_tables.Periods": _alone("periods"),
    "Index": Codec(_read_index),
    "table": Codec(_read_table),
    "skops": OWN_TRANSFORMER,
    "towers.GivenTower": OWN_TOWER,
    "towers.OwnLayer": OWN_HISTORY,
    "towers.GivenTowers": OWN_TOWER,
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
