"""Forged files, whose checksums are right: the error says what is wrong, and where."""

import json

import numpy as np
import pytest

from sktwotower.io import load

from .builders import (
    META,
    MODELS,
    array_bytes,
    array_of,
    assert_same_answers,
    file_of,
    find,
    forged,
    members_of,
)


def spec_of(meta, *names):
    """Return the part of the model at a path of part names."""
    node = meta["model"]["parts"]
    for name in names:
        node = node[name] if name in node else node["parts"][name]
    return node


def change(*path, **values):
    """Return a function that changes a part of the JSON of a file."""

    def apply(meta):
        spec_of(meta, *path).update(values)

    return apply


NONE = [
    ({"type": "os.system"}, "of a type that files may hold"),
    ({"type": "builtins.eval", "parts": {}}, "of a type that files may hold"),
    ({"type": "read_list"}, "of a type that files may hold"),
    ({"type": "__class__"}, "of a type that files may hold"),
    ({"type": "towers.TwoTowerNet", "parts": {}}, "of a type that files may hold"),
    ({"type": 3}, "a value with a type"),
    ({}, "a value with a type"),
    ({"type": "Decimal", "value": ["x"]}, "a Decimal"),
    ({"type": "Decimal", "value": ["sNaN"]}, "a Decimal"),
    ({"type": "Decimal", "value": ["NaN"]}, "finite numbers"),
    ({"type": "tuple", "items": [{"type": "Decimal", "value": ["NaN"]}]}, "finite"),
    ({"type": "Fraction", "value": ["1e6", None]}, "a Fraction"),
    ({"type": "Fraction", "value": [0.5, None]}, "a Fraction"),
    ({"type": "Fraction", "value": [10**400, 1]}, "do not fit together"),
    ({"type": "Timestamp", "value": [0, "parsec", None]}, "a Timestamp"),
    ({"type": "datetime", "value": ["2020-01-01", "../../x", 0]}, "a datetime"),
    ({"type": "datetime64", "value": [0, "x", 1]}, "a datetime64"),
    ({"type": "number", "value": ["object", 1]}, "a number"),
    ({"type": "float", "value": ["one"]}, "a float"),
    ({"type": "RandomState", "value": [625, 0, 0.0] + [1] * 624}, "a RandomState"),
    ({"type": "set", "items": [[]]}, "a set"),
    ({"type": "set", "items": [1, 1]}, "without equal elements"),
    ({"type": "dict", "keys": [1], "values": []}, "as many keys as values"),
    ({"type": "dict", "keys": [[]], "values": [1]}, "a dict"),
    ({"type": "objects", "shape": [2], "items": []}, "a shape of 0 objects"),
    ({"type": "array", "member": "meta.json"}, "does not name an array"),
    ({"type": "array", "member": "arrays/99.npy"}, "is missing"),
    ({"type": "skops", "parts": {"member": "arrays/0.npy"}}, "does not name an obj"),
]


def test_values_that_are_none(refuses):
    members = members_of(file_of("popularity"))
    for value, message in NONE:
        parameter = change("params", n_neighbors=value)
        refuses(forged(members, parameter), message)


def test_parameters_out_of_range(refuses):
    members = members_of(file_of("pooled"))
    for value in (0, "x", 1.5, None):
        parameter = change("params", n_neighbors=value)
        refuses(forged(members, parameter), "n_neighbors")


SCALE = {"type": "tuple", "items": [0.0, 1.0]}
CONTEXT = "state", "_fitted", "context"
CLOCK = *CONTEXT, "clock"


NAMES = [
    ("ease", "id_column", "price", "the columns that are used"),
    ("ease", "label", "price", "users and items of the columns"),
    ("side table", "features", ["price"], "the columns that are used"),
    ("recent", "time", "price", "with the time 'when'"),
    ("two stages", "label", "price", "users and items of the columns"),
    ("two stages", "scales", {"price": SCALE}, "scales must be those of features"),
]


def test_names_that_are_no_columns(refuses):
    for model, part, value, message in NAMES:

        def apply(meta, part=part, value=value):
            state = meta["model"]["parts"]["state"]
            for parent, key in [*find(state, lambda key, _: key == part)][-1:]:
                parent[key] = value

        refuses(forged(members_of(file_of(model)), apply), message)


CONTEXTS = [
    ("context", "columns", ["place", "words"], "dtypes must be types of 2 col"),
    ("context", "columns", ["place", "tags", "words"], "the columns of the schema"),
    ("context", "columns", ["place", "words", "item"], "the columns of the schema"),
    ("context", "own_width", 3, "3 columns, not 8"),
    ("context", "transformer", None, "must be a transformer"),
    ("context", "time", "when", "a clock for times"),
    ("context in order", "clock", None, "a clock for times"),
    ("context in order", "time", None, "a clock for times"),
    ("context in order", "time", "place", "distinct names"),
]


def test_contexts_that_do_not_fit(refuses):
    for model, part, value, message in CONTEXTS:
        data = forged(
            members_of(file_of(model)), change(*CONTEXT, "parts", **{part: value})
        )
        refuses(data, message)


MISSING = [
    ((*CLOCK, "parts"), {"unit": 0.0}, "finite number > 0"),
    ((*CLOCK, "parts"), {"dates": False}, "context_users must be a matrix"),
    (("state", "_fitted", "parts"), {"context": None}, "a context that the model"),
    (("state", "_fitted", "parts"), {"context_users": None}, "users of contexts"),
]


def test_clocks_and_contexts_that_are_missing(refuses):
    for path, values, message in MISSING:
        data = forged(members_of(file_of("context in order")), change(*path, **values))
        refuses(data, message)


def test_models_of_other_types(refuses):
    members = members_of(file_of("popularity"))
    for name in ("_tables.Sequences", "baselines.FittedMatrix", "list", None, "skops"):
        data = forged(members, lambda meta, n=name: meta["model"].update(type=n))
        refuses(data, "an estimator of this package")
    refuses(forged(members, lambda meta: meta.update(model=[])), "an estimator")
    refuses(forged(members, lambda meta: meta.pop("model")), "an estimator")


def test_parts_of_a_later_version(refuses):
    def apply(meta):
        meta["model"]["parts"]["params"]["new_parameter"] = 1

    refuses(forged(members_of(file_of("pooled")), apply), "parameters of TwoTower")


# Arrays with right checksums, but numbers that do not fit

ARRAYS = [
    # model, a part of the member's name, change of the array, message
    ("pooled", "seen.indices", lambda a: a + 100, "columns from 0"),
    ("pooled", "seen.indices", lambda a: -a - 1, "columns from 0"),
    ("pooled", "seen.indices", lambda a: a[::-1].copy(), "ascend|columns"),
    ("pooled", "seen.indices", lambda a: a[:-1], "as many columns as values"),
    ("pooled", "seen.indices", lambda a: a.astype(np.int64), "of one dtype"),
    ("pooled", "seen.indices", lambda a: a.astype(np.float32), "int32 or int64"),
    ("pooled", "seen.indptr", lambda a: a * 2, "ascending offsets"),
    ("pooled", "seen.indptr", lambda a: a[:-1], "ascending offsets"),
    ("pooled", "seen.indptr", lambda a: a[[1, 0, *range(2, len(a))]], "ascending off"),
    ("pooled", "seen.data", lambda a: a * 2, "a matrix of ones"),
    ("pooled", "catalog.vectors", lambda a: a[:, :-1], "an index|an array|vectors"),
    ("pooled", "catalog.vectors", lambda a: a.astype(np.float64), "float32"),
    ("pooled", "catalog.vectors", lambda a: a * np.nan, "finite"),
    ("pooled", "catalog.vectors", lambda a: np.vstack([a, a]), "the first items|fold"),
    ("pooled", "item_tower.table", lambda a: a[:-1], "moments must be those"),
    ("pooled", "user_tower.table", lambda a: a[:, 1:], "must be of its width"),
    ("pooled", "history.weight", lambda a: a[:-1], "moments must be those"),
    ("filtered", "1.item_tower.table", lambda a: a[:-1], "be 9 item features"),
    ("filtered", "1.history.weight", lambda a: a[:-1], "be 9 item features"),
    ("filtered", "1.history.weight", lambda a: a[:, 1:], "a width of 4"),
    ("filtered", "bias_of_all", lambda a: a[1:], "have the same length"),
    ("pooled", "weights.bias", lambda a: a[:-1], "arrays of shapes"),
    ("side table", "items.rows.indices", lambda a: a + 1000, "columns from 0"),
    ("side table", "rows.data", lambda a: a[:-1], "as many columns as values"),
    ("side table", "idf", lambda a: a[:-1], "idf must be of the shape"),
    ("side table", "frequencies", lambda a: a[:-1], "numbers"),
    ("side table", "level.codes", lambda a: a + 5, "codes of 2 levels"),
    ("side table", "layers.0.weight", lambda a: a.T.copy(), "arrays of shapes"),
    ("recent", "lags.indices", lambda a: a + 100, "columns from 0"),
    ("recent", "lags.data", lambda a: a * 0, "lags >= 1"),
    ("recent", "sequences.times", lambda a: a[:-1], "one time for each lag"),
    ("recent", "log_decays", lambda a: a[:-1], "arrays of shapes"),
    ("context", "context.factors", lambda a: a[:-1], "with p = 7"),
    ("context", "context.terms", lambda a: a[:, 1:], "with width = 8"),
    ("context", "context.terms", lambda a: a.astype(float), "dtype float32"),
    ("context", "context.multiply.weight.second", lambda a: a[1:], "moments must be"),
    ("context", "context_users.indices", lambda a: a + 100, "columns from 0 to 7"),
    ("context", "context_users.indptr", lambda a: a[:-1], "ascending offsets"),
    ("context", "context_users.data", lambda a: a * 2, "a matrix of ones"),
    ("context in order", "clock.knots", lambda a: a[::-1].copy(), "ascending numbers"),
    ("context in order", "clock.knots", lambda a: a * np.nan, "finite numbers"),
    ("context in order", "clock.knots", lambda a: a[:1], "two or more"),
    ("context in order", "clock.knots", lambda a: a[1:], "context_users must be a mat"),
    ("context of both", "context_users.data", lambda a: -a, "a matrix of ones"),
    ("ease", "model.weights", lambda a: a[:-1], "shape .n_items, n_items."),
    ("ease", "model.weights", lambda a: a[:-1, :-1], "scores of 9 items"),
    ("ease", "popular_first", lambda a: a + 1, "positions from 0 to 8"),
    ("ease", "popular_first", lambda a: a * 0, "distinct positions"),
    ("popularity", "model.shares", lambda a: a[:-1], "with n_items = 8"),
    ("popularity", "model.order", lambda a: -a - 1, "positions from 0 to 8"),
    ("item-knn", "nearest.indices", lambda a: a + 100, "columns from 0"),
    ("two stages", "clock.offsets", lambda a: a + 1, "offsets from 0"),
    ("two stages", "clock.offsets", lambda a: a[:-1], "offsets from 0"),
    ("two stages", "clock.keys", lambda a: a[:-1], "keys"),
    ("two stages", "clock.keys", lambda a: -a, "ascending"),
    ("two stages", "clock.own_times", lambda a: a[1:], "times"),
    ("two stages", "log.counts", lambda a: a[:-1], "with n_items = 11"),
    ("two stages", "log.after.indices", lambda a: a + 100, "columns from 0"),
    ("two stages", "vectors.together", lambda a: a[1:], "with n_items = 12"),
    ("two stages", "vectors.together", lambda a: a * np.nan, "finite"),
    ("two stages", "lags.indices", lambda a: a + 100, "columns from 0"),
    ("two stages", "describer.users.numbers", lambda a: a[1:], "41 rows"),
    ("two stages", "describer.items.numbers", lambda a: a[:, None, :], "2 dimensions"),
    ("two stages", "held_out.indices", lambda a: a + 100, "positions from -1"),
    ("two stages", "held_out.indices", lambda a: a[1:], "with n = "),
    ("two stages", "held_out.truth.indices", lambda a: a - 100, "columns from 0"),
    ("two stages", "ranker.estimator.sizes", lambda a: a[1:], "nodes"),
    ("two stages", "ranker.estimator.sizes", lambda a: a * 0, "trees of nodes"),
    (
        "two stages",
        "ranker.estimator.whole",
        lambda a: a[:, 1:],
        "of the shape .n_nodes, 8.",
    ),
    ("two stages", "ranker.estimator.whole", lambda a: a - 1, "positions from 0"),
    ("two stages", "ranker.estimator.real", lambda a: a[1:], "with n_nodes = "),
    ("two stages", "ranker.estimator.real", lambda a: a * np.nan, "numbers"),
]


@pytest.mark.parametrize("model", sorted({case[0] for case in ARRAYS}))
def test_arrays_that_do_not_fit(model, refuses):
    whole = members_of(file_of(model))
    for _, part, changed, message in (case for case in ARRAYS if case[0] == model):
        name = next(name for name in whole if part in name)
        array = array_bytes(changed(array_of(whole[name])))
        refuses(forged(whole | {name: array}), message)


INTEGERS = [
    ("1", lambda a: a * np.nan, "item_tower.table.* a scale each, from 0"),
    ("1", lambda a: -a, "item_tower.table.* a scale each, from 0"),
    ("1", lambda a: a[1:], "item_tower.table.* a scale each, from 0"),
    ("1", lambda a: a[:, None], "item_tower.table.*of 1 dimensions"),
    ("0", lambda a: a[1:], "item_tower.table.* a scale each, from 0"),
    ("0", lambda a: a.astype(np.int16), "item_tower.table.* and dtype int8"),
]


def test_integers_and_scales_that_do_not_fit(refuses):
    whole = members_of(file_of("pooled", "int8"))
    for part, changed, message in INTEGERS:
        (name,) = [name for name in whole if f"item_tower.table.{part}.npy" in name]
        array = array_bytes(changed(array_of(whole[name])))
        refuses(forged(whole | {name: array}), message)


def test_ids_that_occur_twice_or_are_missing(refuses):
    members = members_of(file_of("popularity"))

    def apply(meta):
        for parent, key in find(
            meta["model"], lambda k, v: k == "cells" and type(v) is list
        ):
            parent[key] = [parent[key][0]] * len(parent[key])

    refuses(forged(members, apply), "distinct ids")


def test_a_vocabulary_with_equal_or_too_many_keys(refuses):
    members = members_of(file_of("pooled"))

    def repeat(meta):
        for parent, key in find(meta["model"], lambda k, v: k == "columns"):
            parent[key] = [parent[key][0]] * len(parent[key])

    def extend(meta):
        for parent, key in find(meta["model"], lambda k, v: k == "columns"):
            parent[key] = [*parent[key], "one more"]

    refuses(forged(members, repeat), "distinct keys")
    refuses(forged(members, extend), "column names")


SETTINGS = [
    ({"module": 1}, "without module"),
    ({"__class__": 1}, "without __class__"),
    ({"history_": []}, "without history_"),
    ({"criterion__temperature_": "x"}, "other settings"),
    ({"torch_load_kwargs": 1}, "without torch_load_kwargs"),
]


def test_other_settings_of_a_net(refuses):
    for settings, message in SETTINGS:

        def apply(meta, settings=settings):
            node = meta["model"]["parts"]["state"]["_fitted"]["parts"]["net"][
                "settings"
            ]
            for key, value in settings.items():
                node["keys"].append(key)
                node["values"].append(value)

        refuses(forged(members_of(file_of("pooled")), apply), message)


DEVICES = ["meta", "cuda:99", "abacus"]


def test_devices_that_are_not_here(refuses):
    for device in DEVICES:

        def apply(meta, device=device):
            meta["model"]["parts"]["params"]["device"] = device

        data = forged(members_of(file_of("pooled")), apply)
        refuses(data, f"device='{device}', which cannot be used here.*device='cpu'")


@pytest.mark.slow
def test_an_untouched_file_that_is_put_together_again(tmp_path):
    # the helpers above make valid files: only what they change is refused
    path = tmp_path / "model"
    for name, data in ((name, file_of(name)) for name in MODELS):
        path.write_bytes(forged(members_of(data)))
        assert_same_answers(MODELS[name], load(path))
        json.loads(members_of(data)[META])
