"""What `TwoTowerRecommender` consists of.

Input: objects of the room ``recommender``.
Output: their kinds.
"""

import os
from types import SimpleNamespace

import numpy as np

from sktwotower._records._checks import (
    any_value,
    array,
    boolean,
    finite,
    instance,
    list_of,
    number,
    one_of,
    optional,
    refuse,
    require,
    text,
)
from sktwotower._records._kinds import Estimator, fields_of
from sktwotower._records._registry import add_kind
from sktwotower._records._values import cannot_write
from sktwotower.neighbors._catalog_index import CatalogIndexCodec
from sktwotower.recommender import FoldIn, TwoTowerRecommender
from sktwotower.recommender._fitted import Catalog, FittedTowers
from sktwotower.recommender._fold_in import softmax_sample
from sktwotower.recommender._parts import modules_of
from sktwotower.retrieval._fitted import Fitted
from sktwotower.towers._decays import RecentHistory

from ._kinds_net import NetCodec, OptimizerCodec
from ._kinds_stream import StreamCodec
from ._kinds_towers import TowerParameter, vector_lengths


class CatalogCodec:
    """How the vectors of the catalog and their index are written and read."""

    @staticmethod
    def write(catalog, writer, place):
        """Return what JSON holds for a ``Catalog``."""
        return {
            "vectors": writer.vectors(catalog.vectors, f"{place}.vectors"),
            "index": CatalogIndexCodec.write(
                catalog.index, catalog.vectors, writer, f"{place}.index"
            ),
            "index_recall": writer.write(catalog.index_recall, f"{place}.index_recall"),
        }

    @staticmethod
    def read(spec, reader, place):
        """Return the ``Catalog`` that JSON holds."""
        if type(spec) is not dict or set(spec) != set(Catalog._fields):
            refuse(place, "a catalog", spec)
        vectors = reader.vectors(spec["vectors"], f"{place}.vectors")
        array("float32", 2)(vectors, f"{place}.vectors")
        if reader.file.verify:
            finite(vectors, f"{place}.vectors")
        index = CatalogIndexCodec.read(spec["index"], vectors, reader, f"{place}.index")
        recall = reader.read(spec["index_recall"], f"{place}.index_recall")
        return Catalog(vectors, index, number(0)(recall, f"{place}.index_recall"))


class FoldInCodec:
    """How a ``FoldIn`` is written and read: its item vectors are those of the catalog.

    They are stored only where they differ, as after `set_catalog`.
    """

    PARTS = {
        "log_weights": array("float64", 1),
        "temperature": number(0),
        "spread": array("float32 float64", 1),
        "axes": array("float32", 2),
    }

    @staticmethod
    def write(fitted, writer, place):
        """Return what JSON holds for the ``FoldIn`` of a fitted state."""
        fold_in = fitted.fold_in
        written = {
            name: writer.write(getattr(fold_in, name), f"{place}.{name}")
            for name in FoldInCodec.PARTS
        }
        own = _vectors_of_catalog(fitted.seen, fitted.catalog)
        if own is not None and np.array_equal(own, fold_in.vectors):
            return written | {"vectors": None}
        return written | {
            "vectors": writer.vectors(fold_in.vectors, f"{place}.vectors")
        }

    @staticmethod
    def read(spec, seen, catalog, length, reader, place):
        """Return the ``FoldIn`` that JSON holds, of vectors of a length."""
        if type(spec) is not dict or set(spec) != {"vectors", *FoldInCodec.PARTS}:
            refuse(place, "a fold-in", spec)
        parts = {
            name: check(reader.read(spec[name], f"{place}.{name}"), f"{place}.{name}")
            for name, check in FoldInCodec.PARTS.items()
        }
        vectors = reader.vectors(spec["vectors"], f"{place}.vectors")
        if vectors is None:
            vectors = _vectors_of_catalog(seen, catalog)
            require(vectors is not None, place, "a fold-in with vectors")
        array("float32", 2)(vectors, f"{place}.vectors")
        n, d = vectors.shape
        shapes = [parts[x].shape for x in ("log_weights", "spread", "axes")]
        require(shapes == [(n,), (d,), (d, d)], place, f"a fold-in of {n} items")
        require(d == length, place, "vectors as long as those of the towers")
        fold_in = FoldIn.__new__(FoldIn)  # its constructor would compute the parts
        vars(fold_in).update(parts, vectors=vectors)
        return fold_in


def _vectors_of_catalog(seen, catalog):
    """Return the vectors of a fold-in; None if an item is not in the catalog."""
    places, _ = softmax_sample(np.asarray(seen.sum(axis=0)).ravel())
    if len(places) and places.max() >= len(catalog.vectors):
        return None
    return catalog.vectors[places]


class FittedCodec:
    """How the fitted state of a `TwoTowerRecommender` is written and read."""

    PARTS = fields_of(Fitted) | {
        "half_life": any_value,
        "epochs": list_of(instance(dict)),
        "candidate_sampling": one_of("full", "in_batch", "uniform", "mixed"),
        "temperature": number(0),
        "interrupted": boolean,
    }

    @staticmethod
    def write(fitted, writer, place):
        """Return what JSON holds for a ``FittedTowers``."""
        written = {
            name: writer.write(getattr(fitted, name), f"{place}.{name}")
            for name in FittedCodec.PARTS
        }
        written["net"] = NetCodec.write(fitted.net, writer, f"{place}.net")
        written["catalog"] = CatalogCodec.write(
            fitted.catalog, writer, f"{place}.catalog"
        )
        written["stream"] = StreamCodec.write(fitted.stream, writer, f"{place}.stream")
        written["fold_in"] = None
        if fitted.fold_in is not None:
            written["fold_in"] = FoldInCodec.write(fitted, writer, f"{place}.fold_in")
        return written

    @staticmethod
    def read(spec, reader, place):
        """Return the ``FittedTowers`` that JSON holds."""
        others = {"net", "catalog", "fold_in", "stream"}
        if type(spec) is not dict or set(spec) != others | set(FittedCodec.PARTS):
            refuse(place, "a fitted state", spec)
        parts = {
            name: check(reader.read(spec[name], f"{place}.{name}"), f"{place}.{name}")
            for name, check in FittedCodec.PARTS.items()
        }
        Fitted._check_stored(SimpleNamespace(**parts), place)
        users, items = parts["users"], parts["items"]
        widths = users.width, items.width
        net = NetCodec.read(
            spec["net"], reader, f"{place}.net", widths, reader.owner.device
        )
        n_items = parts["seen"].shape[1]
        stream = StreamCodec.read(
            spec["stream"], n_items, net.module_, reader, f"{place}.stream"
        )
        catalog = CatalogCodec.read(spec["catalog"], reader, f"{place}.catalog")
        fold_in = None
        if spec["fold_in"] is not None:
            first = modules_of(net.module_)[0]
            fold_in = FoldInCodec.read(
                spec["fold_in"],
                parts["seen"],
                catalog,
                vector_lengths(first, widths)[0],
                reader,
                f"{place}.fold_in",
            )
        check_state(parts, net.module_, catalog, fold_in, place)
        return FittedTowers(
            user_ids=users.ids.to_numpy(),
            item_ids=items.ids[: len(catalog.vectors)].to_numpy(),
            net=net,
            stream=stream,
            catalog=catalog,
            fold_in=fold_in,
            **parts,
        )


def check_state(parts, module, catalog, fold_in, place):
    """Raise unless towers, catalog and history fit together."""
    n, d = catalog.vectors.shape
    require(1 <= n <= len(parts["items"]), f"{place}.catalog", "the first items")
    is_recent = isinstance(module.history, RecentHistory)
    require(is_recent == (parts["sequences"] is not None), place, "sequences")
    pooled = module.history is not None and not is_recent and module.normalize
    require(pooled or fold_in is None, place, "no fold-in")
    widths = parts["users"].width, parts["items"].width
    length = vector_lengths(module, widths)[0]
    require(length == d, f"{place}.catalog", f"vectors of {length} numbers")


class NoMemory:
    """The parameter ``memory``: a folder of pickles, which no file may name."""

    @staticmethod
    def write(value, writer, place):
        """Raise ``ValueError`` if there is a folder."""
        if value is not None:
            raise cannot_write(value, place, ", a folder of pickles")

    @staticmethod
    def read(spec, reader, place):
        """Return None."""
        return one_of(None)(spec, place)


class Folder:
    """The parameter ``checkpoint``: the name of a folder."""

    @staticmethod
    def write(value, writer, place):
        """Return the name as text, or None."""
        return None if value is None else os.fspath(value)

    @staticmethod
    def read(spec, reader, place):
        """Return the name, or None."""
        return optional(text)(spec, place)


add_kind(
    Estimator(
        TwoTowerRecommender,
        {"_fitted": FittedCodec},
        {
            "user_tower": TowerParameter("user_tower"),
            "item_tower": TowerParameter("item_tower"),
            "optimizer": OptimizerCodec,
            "memory": NoMemory,
            "checkpoint": Folder,
        },
    )
)
