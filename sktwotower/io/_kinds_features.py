"""What tables of users and items, and their encoders, consist of.

Input: objects of the rooms ``_tables`` and ``features``.
Output: their kinds.
"""

import numpy as np

from sktwotower._tables._output import LIBRARIES
from sktwotower._tables._schema import TableSchema
from sktwotower._tables._sequences import Sequences
from sktwotower.features import TowerVectorizer
from sktwotower.features._bag_encoders import DELIMITERS, TagEncoder, WordEncoder
from sktwotower.features._entities import Entities
from sktwotower.features._key_encoders import LevelEncoder
from sktwotower.features._kinds import ENCODERS
from sktwotower.features._value_encoders import (
    BinEncoder,
    BooleanEncoder,
    DatePartEncoder,
    NumberEncoder,
    Settings,
    VectorEncoder,
)

from ._errors import (
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
    require,
    text,
    tuple_of,
)
from ._frames import FrameCodec, IndexCodec
from ._kinds import Estimator, Kind, Maybe


def check_schema(parts, place):
    """Raise unless the names and the time column are those of the columns."""
    n, names, time = parts["n_columns"], parts["names"], parts["time_place"]
    require(
        names is None or len(names) == n and all(type(x) is str for x in names),
        place,
        f"{n} names",
    )
    require(time is None or time < n, place, f"a time column among {n} columns")
    require((time is None) == (parts["time"] is None), place, "a name of the time")


def check_sequences(parts, place):
    """Raise unless each event has a lag >= 1 and a finite time."""
    lags, times = parts["lags"], parts["times"]
    require(len(times) == lags.nnz, place, "one time for each lag")
    require((lags.data >= 1).all(), f"{place}.lags", "lags >= 1")
    finite(lags, f"{place}.lags")
    finite(times, f"{place}.times")


def take_encoder(names):
    """Return the function that takes the parts of an encoder.

    Keys of a vocabulary are in the order of their columns 0, 1, ...
    """

    def take(encoder):
        parts = {name: getattr(encoder, name) for name in names}
        if "columns" in parts:
            columns = encoder.columns
            in_order = [*columns.values()] == [*range(len(columns))]
            require(in_order, "the columns of a vocabulary", "in order")
            parts["columns"] = list(columns)
        return parts

    return take


def encoder_kind(cls, n_names, **more):
    """Return the kind of a column encoder.

    ``n_names(parts)``: the number of its output columns, the mark of missing cells not
    counted. ``more``: checks of parts beyond those of all encoders.
    """
    parts = {
        "name": text,
        "kind": one_of(*ENCODERS),
        "settings": instance(Settings),
        "names": list_of(text),
        "marks_missing": boolean,
    } | more

    def build(name, kind, settings, **state):
        encoder = cls(name, kind, settings)
        if "columns" in state:
            state["columns"] = {k: column for column, k in enumerate(state["columns"])}
        if state.get("delimiter") is not None:
            encoder.expects = "lists of tags, or strings of them"
        vars(encoder).update(state)
        return encoder

    def check(parts, place):
        expected = n_names(parts) + parts["marks_missing"]
        require(len(parts["names"]) == expected, place, f"{expected} column names")
        if "columns" in parts:
            check_keys(parts["columns"], f"{place}.columns")

    return Kind(cls, parts, take_encoder([*parts]), build, check)


def check_keys(keys, place):
    """Raise unless the keys of a vocabulary can be the distinct keys of a dict."""
    try:
        require(len(set(keys)) == len(keys), place, "distinct keys")
    except TypeError:
        require(False, place, "keys that have a hash")


def n_keys(parts):
    """Return the number of columns of a vocabulary."""
    return len(parts["columns"]) + parts["n_hashed"]


def n_levels(parts):
    """Return the number of columns of ids or levels, the shared one included."""
    return n_keys(parts) + (parts["other"] >= 0)


def check_level(kind):
    """Add the check of the shared column to the kind of the encoder of levels."""
    check_names = kind.check

    def check(parts, place):
        check_names(parts, place)
        other, n = parts["other"], len(parts["columns"])
        require(other == -1 or (other == n and not parts["n_hashed"]), place, "levels")

    kind.check = check
    return kind


def check_bag(kind):
    """Add the check of the frequencies to the kind of an encoder of several keys."""
    check_names = kind.check

    def check(parts, place):
        check_names(parts, place)
        for name in {"frequencies", "idf"} & set(parts):
            n = n_keys(parts)
            require(len(parts[name]) == n, f"{place}.{name}", f"{n} numbers")
            finite(parts[name], f"{place}.{name}")

    kind.check = check
    return kind


def pair_of_numbers(value, place):
    """Check a scale: the median, and the spread > 0."""
    tuple_of(number())(value, place)
    require(len(value) == 2 and value[1] > 0, place, "a median and a spread > 0")
    return value


def edges_of_bins(value, place):
    """Check the edges of bins: finite numbers that ascend."""
    array("float64", 1)(value, place)
    require((np.diff(finite(value, place)) > 0).all(), place, "ascending edges")
    return value


VOCABULARY = {"columns": instance(list), "n_hashed": integer()}
BAG = VOCABULARY | {
    "frequencies": array("float64 int64", 1),
    "n_cells": integer(),
}


def check_vectorizer(vectorizer, place):
    """Raise unless the encoders are those of the columns of X in fit."""
    state = vars(vectorizer)
    needed = {"kinds_", "encoders_", "_shares_missing", "_library", "n_features_in_"}
    require(needed <= set(state), place, "a vectorizer with all attributes of fit")
    n, kinds = vectorizer.n_features_in_, vectorizer.kinds_
    require(len(kinds) == n, f"{place}.kinds_", f"the kinds of {n} columns")
    require(len(vectorizer._shares_missing) == n, place, f"{n} shares of missing cells")
    names = state.get("feature_names_in_")
    fits = names is None or (len(names) == n and all(type(x) is str for x in names))
    require(fits, f"{place}.feature_names_in_", f"{n} names")
    for encoder in vectorizer.encoders_:
        tuple_of(any_value)(encoder, f"{place}.encoders_")
        require(len(encoder) == 2, f"{place}.encoders_", "pairs")
        integer(0, n - 1)(encoder[0], f"{place}.encoders_")
        instance(*ENCODERS.values(), BinEncoder)(encoder[1], f"{place}.encoders_")


def kinds_by_column(value, place):
    """Check the kind of each column."""
    instance(dict)(value, place)
    for name, kind in value.items():
        text(name, place)
        one_of(*ENCODERS, "drop")(kind, place)
    return value


def check_entities(parts, place):
    """Raise unless each id has a feature row, and an empty one follows."""
    ids, rows = parts["ids"], parts["rows"]
    require(len(ids) and ids.is_unique and not ids.hasnans, place, "distinct ids")
    csr((len(ids) + 1, parts["width"]), empty_last=True)(rows, f"{place}.rows")
    transformer = parts["transformer"]
    fits = hasattr(transformer, "transform") and not isinstance(transformer, type)
    require(fits, f"{place}.transformer", "a transformer")
    if isinstance(transformer, TowerVectorizer):
        encoders = vars(transformer).get("encoders_", [])
        n = sum(len(encoder.names) for _, encoder in encoders)
        require(n == parts["width"], place, f"{parts['width']} columns, not {n}")


def label(value, place):
    """Check the name of a column of ids."""
    return value if type(value) is int else text(value, place)


KINDS = [
    Kind(
        TableSchema,
        {
            "n_columns": integer(1),
            "names": optional(array("object", 1)),
            "time": optional(text),
            "time_place": optional(integer()),
            "dates": boolean,
            "library": one_of(*LIBRARIES),
        },
        check=check_schema,
    ),
    Kind(
        Sequences,
        {
            "lags": csr(canonical=False, empty_last=True),
            "times": array("int64 float64", 1),
        },
        check=check_sequences,
    ),
    Kind(
        Settings,
        {
            "min_count": number(0),
            "max_features": integer(1),
            "n_hashed": optional(integer(1)),
            "numbers": one_of("scaled", "quantiles"),
        },
        take=Settings._asdict,
    ),
    check_level(encoder_kind(LevelEncoder, n_levels, **VOCABULARY, other=integer(-1))),
    check_bag(
        encoder_kind(TagEncoder, n_keys, **BAG, delimiter=optional(one_of(*DELIMITERS)))
    ),
    check_bag(encoder_kind(WordEncoder, n_keys, **BAG, idf=array("float64", 1))),
    encoder_kind(NumberEncoder, lambda parts: 1, scale=pair_of_numbers),
    encoder_kind(
        BinEncoder, lambda parts: len(parts["edges"]) + 1, edges=edges_of_bins
    ),
    encoder_kind(BooleanEncoder, lambda parts: 1),
    encoder_kind(
        DatePartEncoder,
        lambda parts: 6,
        newest=number(),
        days_scale=pair_of_numbers,
        age_scale=pair_of_numbers,
    ),
    encoder_kind(VectorEncoder, lambda parts: parts["length"], length=integer(1)),
    Estimator(
        TowerVectorizer,
        {
            "kinds_": kinds_by_column,
            "encoders_": instance(list),
            "_shares_missing": list_of(number(0)),
            "_library": one_of(*LIBRARIES),
            "n_features_in_": integer(1),
            "feature_names_in_": array("object", 1),
        },
        check=check_vectorizer,
    ),
    Kind(
        Entities,
        {
            "side": one_of("user", "item"),
            "id_column": text,
            "label": label,
            "features": list_of(text),
            "table": Maybe(FrameCodec),
            "transformer": any_value,
            "side_features": tuple_of(text),
            "dtypes": tuple_of(text),
            "ids": IndexCodec,
            "width": integer(),
            "rows": any_value,
        },
        check=check_entities,
    ),
]
