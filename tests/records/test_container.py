"""Files that are damaged as a whole: truncated, compressed, with other members."""

import zipfile

import numpy as np
import pytest

from sktwotower.io import load
from tests.io.builders import (
    META,
    MODELS,
    array_bytes,
    assembled,
    file_of,
    forged,
    members_of,
)


def test_what_is_no_zip_file(refuses):
    for data in (b"", b"PK", b"x" * 1000, b"PK\5\6" + bytes(18)):
        refuses(data, "not a valid zip file|members are missing")
        refuses(data, "not a valid zip file|members are missing", mmap=True)


def test_every_truncation(refuses):
    data = file_of("popularity")
    for end in range(0, len(data), 199):
        refuses(data[:end], "damaged")
    refuses(data[:-1], "damaged")


def test_bytes_added_at_either_end(refuses):
    refuses(file_of("popularity") + b"x", "does not end where it should")
    refuses(b"x" + file_of("popularity"), "not where it should be")


@pytest.mark.slow
def test_compressed_members_such_as_bombs(refuses):
    members = members_of(file_of("popularity"))
    data = assembled([*members.items()], compression=zipfile.ZIP_DEFLATED)
    refuses(data, "is compressed")
    members["arrays/0.npy"] = bytes(50_000_000)
    bomb = assembled([*members.items()], compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 1_000_000
    refuses(bomb, "is compressed")


def test_other_names_of_members(refuses):
    members = [*members_of(file_of("popularity")).items()]
    for name in (
        "../../etc/passwd",
        "/etc/passwd",
        "arrays/../x.npy",
        "C:\\x",
        "x.pkl",
    ):
        refuses(assembled([(name, b""), *members]), "it has a member")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_occur_twice(refuses):
    members = [*members_of(file_of("popularity")).items()]
    for extra in members[0], members[-1]:
        refuses(assembled([extra, *members]), "occur twice")


def test_members_that_overlap(refuses):
    # both entries of the directory point to the first member
    members = [("arrays/0.npy", b"a" * 100), ("arrays/1.npy", b"a" * 100)]
    data = bytearray(assembled([*members, (META, b"{}")]))
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[second + 42 : second + 46] = bytes(4)
    refuses(bytes(data), "not where it should be")


def test_members_that_the_json_does_not_list(refuses):
    members = members_of(file_of("popularity"))
    extra = [("arrays/99.npy", array_bytes(np.zeros(3))), *members.items()]
    refuses(assembled(extra), "not those that meta.json lists")
    name = next(iter(members))
    del members[name]
    refuses(assembled([*members.items()]), "not those that meta.json lists")


@pytest.mark.slow
def test_a_changed_byte_of_each_member(refuses):
    data = file_of("pooled")
    for member in members_of(data).values():
        changed = bytearray(data)
        changed[data.index(member) + len(member) // 2] ^= 1
        refuses(bytes(changed), "checksum of|header of|another size|shape")


def test_checksums_of_floats_are_checked_on_request_only(tmp_path):
    data = file_of("pooled")
    path = tmp_path / "model"
    vectors = MODELS["pooled"].item_embeddings_
    changed = bytearray(data)
    changed[data.index(vectors.tobytes()) + 2] ^= 1
    path.write_bytes(bytes(changed))
    with pytest.raises(ValueError, match="checksum of 'arrays.*vectors.npy' differs"):
        load(path, mmap=True)
    read = load(path, mmap=True, verify=False)
    assert not np.array_equal(read.item_embeddings_, vectors)
    members = members_of(data)
    for name in [name for name in members if name.endswith("indices.npy")]:
        changed = bytearray(data)
        changed[data.index(members[name]) + len(members[name]) - 4] ^= 1
        path.write_bytes(bytes(changed))
        with pytest.raises(ValueError, match=f"checksum of '{name}' differs"):
            load(path, mmap=True, verify=False)


def test_members_that_are_swapped(refuses):
    members = members_of(file_of("recent"))
    a, b, *_ = [name for name in members if name.startswith("arrays/")]
    members[a], members[b] = members[b], members[a]
    refuses(assembled([*members.items()]), "checksum of")


def test_another_comment(refuses):
    members = [*members_of(file_of("popularity")).items()]
    refuses(assembled(members, comment=b"0" * 64), "checksum of meta.json differs")
    refuses(assembled(members, comment=b"0"), "does not end where it should")


def test_meta_that_is_no_json_of_ours(refuses):
    message = "not valid JSON|not those that meta.json lists"
    for text in (b"", b"[", b"[]", b"1", b'{"a": 1}', b"[" * 100_000):
        refuses(assembled([(META, text)]), message)


def test_headers_of_arrays_that_are_no_literals_of_ours(refuses):
    members = members_of(file_of("popularity"))
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
