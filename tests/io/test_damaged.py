"""Files that are damaged or forged are refused, and the error says what is wrong."""

import json
import zipfile

import numpy as np
import pytest

from sktwotower.io import load

from .builders import (
    META,
    MODELS,
    array_bytes,
    array_of,
    assembled,
    assert_same_answers,
    dumped,
    find,
    forged,
    members_of,
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "model"
    return {name: dumped(model, path) for name, model in MODELS.items()}


@pytest.fixture
def refuses(tmp_path):
    """Return a function that checks that bytes are refused with a message."""

    def check(data, message, **how):
        path = tmp_path / "model.sktt"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            load(path, **how)

    return check


# The container


@pytest.mark.parametrize("data", [b"", b"PK", b"x" * 1000, b"PK\5\6" + bytes(18)])
def test_what_is_no_zip_file(data, refuses):
    refuses(data, "not a valid zip file|members are missing")
    refuses(data, "not a valid zip file|members are missing", mmap=True)


def test_every_truncation(files, refuses):
    data = files["popularity"]
    for end in range(0, len(data), 199):
        refuses(data[:end], "damaged")
    refuses(data[:-1], "damaged")


def test_bytes_added_at_either_end(files, refuses):
    refuses(files["popularity"] + b"x", "does not end where it should")
    refuses(b"x" + files["popularity"], "not where it should be")


def test_compressed_members_such_as_bombs(files, refuses):
    members = members_of(files["popularity"])
    data = assembled([*members.items()], compression=zipfile.ZIP_DEFLATED)
    refuses(data, "is compressed")
    members["arrays/0.npy"] = bytes(50_000_000)
    bomb = assembled([*members.items()], compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1_000_000
    refuses(bomb, "is compressed")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "arrays/../x.npy", "C:\\x", "x.pkl"]
)
def test_other_names_of_members(name, files, refuses):
    members = [*members_of(files["popularity"]).items()]
    refuses(assembled([(name, b""), *members]), "it has a member")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_occur_twice(files, refuses):
    members = [*members_of(files["popularity"]).items()]
    for extra in members[0], members[-1]:
        refuses(assembled([extra, *members]), "occur twice")


def test_members_that_overlap(files, refuses):
    # both entries of the directory point to the first member
    members = [("arrays/0.npy", b"a" * 100), ("arrays/1.npy", b"a" * 100)]
    data = bytearray(assembled([*members, (META, b"{}")]))
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[second + 42 : second + 46] = bytes(4)
    refuses(bytes(data), "not where it should be")


def test_members_that_the_json_does_not_list(files, refuses):
    members = members_of(files["popularity"])
    extra = [("arrays/99.npy", array_bytes(np.zeros(3))), *members.items()]
    refuses(assembled(extra), "not those that meta.json lists")
    name = next(iter(members))
    del members[name]
    refuses(assembled([*members.items()]), "not those that meta.json lists")


def test_a_changed_byte_of_each_member(files, refuses):
    data = files["pooled"]
    for member in members_of(data).values():
        changed = bytearray(data)
        changed[data.index(member) + len(member) // 2] ^= 1
        refuses(bytes(changed), "checksum of|header of|another size|shape")


def test_checksums_of_floats_are_checked_on_request_only(files, tmp_path):
    data = files["pooled"]
    path = tmp_path / "model"
    vectors = MODELS["pooled"].item_embeddings_
    changed = bytearray(data)
    changed[data.index(vectors.tobytes()) + 2] ^= 1
    path.write_bytes(bytes(changed))
    with pytest.raises(ValueError, match="checksum of 'arrays.*vectors.npy' differs"):
        load(path, mmap=True)
    read = load(path, mmap=True, verify=False)
    assert not np.array_equal(read.item_embeddings_, vectors)
    indices = MODELS["pooled"]._fitted.seen.indices
    changed = bytearray(data)
    changed[data.index(indices.tobytes()) + 4] ^= 1
    path.write_bytes(bytes(changed))
    with pytest.raises(ValueError, match="checksum of 'arrays.*indices.npy' differs"):
        load(path, mmap=True, verify=False)


def test_members_that_are_swapped(files, refuses):
    members = members_of(files["recent"])
    a, b, *_ = [name for name in members if name.startswith("arrays/")]
    members[a], members[b] = members[b], members[a]
    refuses(assembled([*members.items()]), "checksum of")


def test_another_comment(files, refuses):
    members = [*members_of(files["popularity"]).items()]
    refuses(assembled(members, comment=b"0" * 64), "checksum of meta.json differs")
    refuses(assembled(members, comment=b"0"), "does not end where it should")


# JSON with right checksums


@pytest.mark.parametrize("text", [b"", b"[", b"[]", b"1", b'{"a": 1}', b"[" * 100_000])
def test_meta_that_is_no_json_of_ours(text, refuses):
    refuses(assembled([(META, text)]), "not valid JSON|not those that meta.json lists")


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


@pytest.mark.parametrize(
    "value, message",
    [
        ({"type": "os.system"}, "of a type that files may hold"),
        ({"type": "builtins.eval", "parts": {}}, "of a type that files may hold"),
        ({"type": "read_list"}, "of a type that files may hold"),
        ({"type": "__class__"}, "of a type that files may hold"),
        ({"type": "towers.TwoTowerNet", "parts": {}}, "of a type that files may hold"),
        ({"type": 3}, "a value with a type"),
        ({}, "a value with a type"),
        ({"type": "Decimal", "value": ["x"]}, "a Decimal"),
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
        (
            {"type": "skops", "parts": {"member": "arrays/0.npy"}},
            "does not name an obj",
        ),
    ],
)
def test_values_that_are_none(value, message, files, refuses):
    def apply(meta):
        meta["model"]["parts"]["params"]["n_neighbors"] = value

    refuses(forged(members_of(files["popularity"]), apply), message)


@pytest.mark.parametrize("value", [0, "x", 1.5, None])
def test_parameters_out_of_range(value, files, refuses):
    def apply(meta):
        meta["model"]["parts"]["params"]["n_neighbors"] = value

    refuses(forged(members_of(files["pooled"]), apply), "n_neighbors")


def test_models_of_other_types(files, refuses):
    members = members_of(files["popularity"])
    for name in ("_tables.Sequences", "baselines.FittedMatrix", "list", None, "skops"):
        data = forged(members, lambda meta, n=name: meta["model"].update(type=n))
        refuses(data, "an estimator of this package")
    refuses(forged(members, lambda meta: meta.update(model=[])), "an estimator")
    refuses(forged(members, lambda meta: meta.pop("model")), "an estimator")


def test_parts_of_a_later_version(files, refuses):
    def apply(meta):
        meta["model"]["parts"]["params"]["new_parameter"] = 1

    refuses(forged(members_of(files["pooled"]), apply), "parameters of TwoTower")


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


@pytest.mark.parametrize("model, part, change, message", ARRAYS)
def test_arrays_that_do_not_fit(model, part, change, message, files, refuses):
    members = members_of(files[model])
    names = [name for name in members if part in name]
    assert names, list(members)
    for name in names[:1]:
        members[name] = array_bytes(change(array_of(members[name])))
    refuses(forged(members), message)


def test_headers_of_arrays_that_are_no_literals_of_ours(files, refuses):
    members = members_of(files["popularity"])
    name = next(name for name in members if name.startswith("arrays/"))
    for array, message in [
        (np.zeros(3, dtype=[("a", "f4")]), "holds"),
        (np.zeros(3, dtype=complex), "holds complex"),
        (np.zeros(3, dtype=">f4"), "holds >f4"),
        (np.zeros(3, dtype="V4"), "holds"),
    ]:
        refuses(forged(members | {name: array_bytes(array)}), message)
    good = array_bytes(np.zeros(3))
    for old, new in [
        (b"<f8", b"|O8"),
        (b"(3,)", b"(4,)"),
        (b"(3,)", b"(-1,)"),
        (b"(3,)", b"(9**9,)"),
        (b"{'descr", b"{'descR"),
        (b"\x93NUMPY\x01", b"\x93NUMPY\x02"),
        (b"{'d", b"((("),
    ]:
        data = good.replace(old, new)
        assert data != good
        refuses(forged(members | {name: data}), "header of|another size|holds|shape")


def test_ids_that_occur_twice_or_are_missing(files, refuses):
    members = members_of(files["popularity"])

    def apply(meta):
        for parent, key in find(
            meta["model"], lambda k, v: k == "cells" and type(v) is list
        ):
            parent[key] = [parent[key][0]] * len(parent[key])

    refuses(forged(members, apply), "distinct ids")


def test_a_vocabulary_with_equal_or_too_many_keys(files, refuses):
    members = members_of(files["pooled"])

    def repeat(meta):
        for parent, key in find(meta["model"], lambda k, v: k == "columns"):
            parent[key] = [parent[key][0]] * len(parent[key])

    def extend(meta):
        for parent, key in find(meta["model"], lambda k, v: k == "columns"):
            parent[key] = [*parent[key], "one more"]

    refuses(forged(members, repeat), "distinct keys")
    refuses(forged(members, extend), "column names")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"module": 1}, "without module"),
        ({"__class__": 1}, "without __class__"),
        ({"history_": []}, "without history_"),
        ({"criterion__temperature_": "x"}, "other settings"),
        ({"torch_load_kwargs": 1}, "without torch_load_kwargs"),
    ],
)
def test_other_settings_of_a_net(settings, message, files, refuses):
    def apply(meta):
        node = meta["model"]["parts"]["state"]["_fitted"]["parts"]["net"]["settings"]
        for key, value in settings.items():
            node["keys"].append(key)
            node["values"].append(value)

    refuses(forged(members_of(files["pooled"]), apply), message)


@pytest.mark.parametrize("device", ["meta", "cuda:99", "abacus"])
def test_devices_that_are_not_here(device, files, refuses):
    def apply(meta):
        meta["model"]["parts"]["params"]["device"] = device

    data = forged(members_of(files["pooled"]), apply)
    refuses(data, f"device='{device}', which cannot be used here.*device='cpu'")


def test_an_untouched_file_that_is_put_together_again(files, tmp_path):
    # the helpers above make valid files: only what they change is refused
    path = tmp_path / "model"
    for name, data in files.items():
        path.write_bytes(forged(members_of(data)))
        assert_same_answers(MODELS[name], load(path))
        json.loads(members_of(data)[META])
