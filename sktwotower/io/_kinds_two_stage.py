"""What `TwoStageRecommender` consists of.

Input: objects of the room ``two_stage``.
Output: their kinds.
"""

import math

import numpy as np

from sktwotower._records._checks import (
    Check,
    Maybe,
    any_value,
    array,
    boolean,
    csr,
    finite,
    instance,
    integer,
    list_of,
    number,
    one_of,
    optional,
    positions,
    refuse,
    require,
    text,
)
from sktwotower._records._kinds import Estimator, Kind
from sktwotower._records._registry import add_kind
from sktwotower._tables._sequences import Sequences
from sktwotower._tables._stored import FrameCodec, IndexCodec
from sktwotower.retrieval._retrieval import RetrievalMixin
from sktwotower.two_stage import TwoStageRecommender
from sktwotower.two_stage._candidates import Describer
from sktwotower.two_stage._click_rates import Places
from sktwotower.two_stage._clock import Clock
from sktwotower.two_stage._context import Context, with_context
from sktwotower.two_stage._fitted import FittedStages
from sktwotower.two_stage._labelled import HeldOutUsers, Training
from sktwotower.two_stage._lists import ORDERS, ListStage
from sktwotower.two_stage._log import Log
from sktwotower.two_stage._ranker import METHODS, FittedRanker
from sktwotower.two_stage._shown import ShownColumns
from sktwotower.two_stage._side_columns import Encoder, SideColumns

from ._trees import TreesCodec

label = instance(str, int)


class ItemVectors:
    """A codec for a dict of float32 vectors, which may be in half precision."""

    @staticmethod
    def write(vectors, writer, place):
        """Return what JSON holds for vectors by name."""
        return {
            name: writer.vectors(each, f"{place}.{name}")
            for name, each in vectors.items()
        }

    @staticmethod
    def read(spec, reader, place):
        """Return the vectors by name, the retriever's first."""
        names = set(spec) if type(spec) is dict else set()
        if "together" not in names or not names <= {"vector", "together"}:
            refuse(place, "vectors of items", spec)
        found = {}
        for name in (each for each in ("vector", "together") if each in names):
            vectors = reader.vectors(spec[name], f"{place}.{name}")
            array("float32", 2)(vectors, f"{place}.{name}")
            found[name] = finite(vectors, f"{place}.{name}")
        return found


class RankerCodec:
    """How a ``FittedRanker`` is written and read: the default one as arrays."""

    @staticmethod
    def write(ranker, writer, place):
        """Return what JSON holds for a ranker."""
        written = {"fill": writer.write(ranker.fill, f"{place}.fill")}
        if ranker.named:
            estimator = writer.write(ranker.estimator, f"{place}.estimator")
            return written | {"estimator": estimator}
        # the default one, which reads arrays
        trees = TreesCodec.write(ranker.estimator, writer, f"{place}.trees")
        return written | {"trees": trees}

    @staticmethod
    def read(spec, reader, place):
        """Return the ``FittedRanker`` that JSON holds."""
        names = set(spec) if type(spec) is dict else set()
        if names not in ({"fill", "estimator"}, {"fill", "trees"}):
            refuse(place, "a ranker", spec)
        fill = reader.read(spec["fill"], f"{place}.fill")
        dict_of(number())(fill, f"{place}.fill")
        if "trees" in names:
            trees = TreesCodec.read(spec["trees"], reader, f"{place}.trees")
            return FittedRanker(trees, fill, False)
        estimator = reader.read(spec["estimator"], f"{place}.estimator")
        fits = any(hasattr(estimator, name) for name in METHODS)
        require(fits, f"{place}.estimator", "an estimator with scores")
        return FittedRanker(estimator, fill, True)


def dict_of(check):
    """Return a check for a dict of text to values that pass a check."""

    def of(value, place):
        instance(dict)(value, place)
        for name, each in value.items():
            check(each, f"{text(name, place)} of {place}")
        return value

    return of


def scale(value, place):
    """Check a mean and a standard deviation."""
    fits = type(value) is tuple and len(value) == 2
    require(fits, place, "a mean and a deviation")
    require(number(0)(value[1], place) > 0, place, "a deviation > 0")
    return number()(value[0], place)


def share(value, place):
    """Check a float from 0 to 1, or nan."""
    instance(float)(value, place)
    require(math.isnan(value) or 0 <= value <= 1, place, "a share")
    return value


def check_encoder(parts, place):
    """Raise unless levels are distinct."""
    levels = parts["levels"]
    fits = levels is None or (levels.is_unique and not levels.hasnans)
    require(fits, f"{place}.levels", "distinct levels")


def check_clock(parts, place):
    """Raise unless times ascend, and each item has a part of them."""
    times, offsets = parts["times"], parts["offsets"]
    n = len(times)
    require(n > 0, f"{place}.times", "times of events")
    for name in ("times", "keys", "offsets"):
        require((np.diff(parts[name]) >= 0).all(), f"{place}.{name}", "ascending")
    for name in ("times", "own_times"):
        require(len(finite(parts[name], place)) == n, f"{place}.{name}", f"{n} times")
    require(len(parts["keys"]) == n, f"{place}.keys", f"{n} keys")
    fits = len(offsets) and offsets[0] == 0 and offsets[-1] == n
    require(fits, f"{place}.offsets", f"offsets from 0 to {n}")


def check_places(parts, place):
    """Raise unless there is a factor for each of some ascending positions."""
    positions, factors = (finite(each, place) for each in parts.values())
    require(len(positions) == len(factors), place, "a factor for each position")
    require((np.diff(positions) > 0).all(), f"{place}.positions", "ascending")
    require((factors >= 0).all(), f"{place}.factors", "factors >= 0")


def check_log(parts, place):
    """Raise unless all parts are about the same items."""
    n = len(finite(parts["counts"], f"{place}.counts"))
    require((parts["counts"] >= 0).all(), f"{place}.counts", "counts")
    require(parts["sequences"].lags.shape[1] == n, f"{place}.sequences", f"{n} items")
    csr((n, n), canonical=False)(finite(parts["after"], place), f"{place}.after")
    sizes = [len(each) for each in parts["vectors"].values()]
    if parts["click_rates"] is not None:
        sizes.append(len(parts["click_rates"]))
    if parts["clock"] is not None:
        sizes.append(len(parts["clock"].offsets) - 1)
    require(set(sizes) == {n}, place, f"a log of {n} items")


def check_columns(parts, place):
    """Raise unless there are numbers for each name."""
    names, n = parts["names"], parts["numbers"].shape[1]
    require(len(names) == n, f"{place}.names", f"{n} names")


def check_held_out(parts, place):
    """Raise unless all parts are about the same users and candidates."""
    indices, truth = parts["indices"], parts["truth"]
    n = len(indices)
    require(n > 0, place, "users")
    require(parts["ids"].shape == (n,), f"{place}.ids", f"{n} ids")
    require(truth.shape[0] == n, f"{place}.truth", f"{n} rows")
    positions(indices.ravel(), f"{place}.indices", truth.shape[1], -1)
    n_pairs = np.count_nonzero(indices >= 0)
    features = parts["features"]
    require(len(features) == n_pairs, f"{place}.features", f"{n_pairs} rows")
    list_of(text)(list(features), f"a name of {place}.features")


def retriever(value, place):
    """Check a fitted recommender."""
    require(isinstance(value, RetrievalMixin), place, "a recommender")
    require(vars(value).get("_fitted") is not None, place, "a fitted recommender")
    return value


def transformer(value, place):
    """Check what computes features of the caller."""
    require(hasattr(value, "transform"), place, "a transformer")
    return value


def take_stages(fitted):
    """Return the parts of a ``FittedStages`` that the retriever does not have."""
    describer = fitted.describer
    parts = {name: getattr(describer, name) for name in ("log", "own", "scales")}
    return parts | {
        "retriever": fitted.retriever,
        "context": describer.entities.context,
        "user_columns": describer.users,
        "item_columns": describer.items,
        "ranker": fitted.ranker,
        "n_candidates": fitted.n_candidates,
        "training": fitted.training,
        "columns": fitted.columns,
        "lists": fitted.lists,
    }


def build_stages(
    retriever, context, log, user_columns, item_columns, own, scales, **rest
):
    """Return a ``FittedStages``; users, items and ids are the retriever's."""
    fitted = retriever._fitted
    describer = Describer(
        log=log,
        entities=with_context(fitted.users, context),
        users=user_columns,
        items=item_columns,
        labels=(fitted.users.label, fitted.items.label),
        item_ids=fitted.item_ids,
        own=own,
        scales=scales,
    )
    return FittedStages.of(retriever, describer, **rest)


def check_stages(parts, place):
    """Raise unless both stages know the same users and items."""
    fitted, log = parts["retriever"]._fitted, parts["log"]
    n_users, n_items = len(fitted.users), len(fitted.items)
    require(fitted.n_items == n_items, place, "a retriever with all items of fit")
    shape = n_users + 1, n_items
    csr(shape, canonical=False)(log.sequences.lags, f"{place}.log.sequences")
    for name, n in (("user_columns", n_users), ("item_columns", n_items)):
        rows = len(parts[name].numbers)
        require(rows == n + 1, f"{place}.{name}", f"{n + 1} rows")
    unknown = parts["lists"] is not None and log.click_rates is None
    require(not unknown, f"{place}.log.click_rates", "click rates, for lists")
    unranked = parts["ranker"] is None
    require(not unranked or parts["training"].weight == 0, place, "a ranker")


KINDS = [
    Kind(
        Encoder,
        {"column": label, "levels": Maybe(IndexCodec)},
        check=check_encoder,
    ),
    Kind(
        Context,
        {
            "columns": list_of(label),
            "dates": list_of(label),
            "encoders": list_of(instance(Encoder)),
        },
    ),
    Kind(
        SideColumns,
        {"names": list_of(text), "numbers": array("float32", 2)},
        check=check_columns,
    ),
    Kind(
        Clock,
        {
            "times": array("float64", 1),
            "own_times": array("float64", 1),
            "keys": array("int64", 1),
            "offsets": array("int64", 1),
            "by_user": boolean,
        },
        check=check_clock,
    ),
    Kind(
        Places,
        {"positions": array("float64", 1), "factors": array("float64", 1)},
        check=check_places,
    ),
    Kind(
        Log,
        {
            "sequences": instance(Sequences),
            "clock": optional(instance(Clock)),
            "counts": array("float64", 1),
            "n_users": integer(1),
            "click_rates": optional(array("float32", 1)),
            "places": optional(instance(Places)),
            "vectors": ItemVectors,
            "after": any_value,
            "repeats": boolean,
        },
        check=check_log,
    ),
    Kind(
        HeldOutUsers,
        {
            "ids": instance(np.ndarray),
            "features": FrameCodec,
            "indices": array("int64", 2),
            "truth": csr(canonical=False),
            "ranker": RankerCodec,
        },
        check=check_held_out,
    ),
    Kind(
        Training,
        {
            "cut": one_of("time", "user"),
            "weight": share,
            "n_positive": integer(),
            "recall": share,
            "gains": Maybe(FrameCodec),
            "later_gains": Maybe(FrameCodec),
            "table": Maybe(FrameCodec),
            "held_out": optional(instance(HeldOutUsers)),
        },
    ),
    Kind(ShownColumns, {"lists": optional(label), "position": optional(label)}),
    Kind(
        ListStage,
        {
            "order": one_of(*ORDERS),
            "ranker": RankerCodec,
            "first": optional(number()),
            "rate": share,
            "gains": FrameCodec,
        },
    ),
    Kind(
        FittedStages,
        {
            "retriever": retriever,
            "context": instance(Context),
            "log": instance(Log),
            "user_columns": instance(SideColumns),
            "item_columns": instance(SideColumns),
            "own": optional(transformer),
            "scales": optional(dict_of(scale)),
            "ranker": Maybe(RankerCodec),
            "n_candidates": integer(2),
            "training": instance(Training),
            "columns": instance(ShownColumns),
            "lists": optional(instance(ListStage)),
        },
        take=take_stages,
        build=build_stages,
        check=check_stages,
    ),
    Estimator(TwoStageRecommender, {"_fitted": instance(FittedStages)}),
]
for kind in KINDS:
    kind.parts = {
        name: each if hasattr(each, "read") else Check(each)
        for name, each in kind.parts.items()
    }
    add_kind(kind)
