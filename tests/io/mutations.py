"""Ways to damage or to forge a file, drawn at random from a seed."""

import copy

import numpy as np

from .builders import META, array_bytes, array_of, assembled, find, forged, members_of

# What a forger may write in place of a number, a text or anything else.
NUMBERS = [0, 1, -1, 2, 7, 2**31, -(2**31), 2**62, 2**63, 10**30, 0.5, 1e308]
DTYPES = ["<i8", "<i4", "<f4", "<f8", "|b1", "<u2", ">i4"]
OTHERS = [None, True, False, "", "x", "nan", "UTC", [], {}, [1], {"type": "dict"}]
# Values of a type that JSON does not have, by the parts of each.
SCALARS = [
    ("float", ["nan"]),
    ("float", ["inf"]),
    ("bytes", ["AAAA"]),
    ("date", ["0001-01-01"]),
    ("time", ["23:59:59.999999"]),
    ("datetime", ["9999-12-31T23:59:59", "UTC", 1]),
    ("timedelta", [999_999_999, 0, 0]),
    ("Timestamp", [2**63 - 1, "ns", "UTC"]),
    ("Timedelta", [-(2**63) + 1, "ns"]),
    ("NaT", []),
    ("NA", []),
    ("Period", [2**62, "D"]),
    ("datetime64", [2**62, "Y", 1]),
    ("timedelta64", [-1, "D", 2**31 - 1]),
    ("Decimal", ["sNaN"]),
    ("Decimal", ["NaN"]),
    ("Decimal", ["1e999999999"]),
    ("Fraction", ["1e100000000", None]),
    ("Fraction", [1, 10**4000]),
    ("UUID", ["0" * 32]),
    ("number", ["float16", "inf"]),
    ("number", ["uint64", 2**64 - 1]),
    ("slice", [None, None, 0]),
    ("RandomState", [0, 0, 0.0, *range(624)]),
]
OTHERS += [{"type": name, "value": parts} for name, parts in SCALARS]


def flipped(data, rng):
    """Flip one to eight bits."""
    data = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        data[place] ^= 1 << rng.integers(8)
    return bytes(data)


def truncated(data, rng):
    """Cut the end off."""
    return data[: rng.integers(len(data))]


def appended(data, rng):
    """Add bytes at the end, at the beginning or within."""
    place = rng.choice([0, len(data), rng.integers(len(data))])
    return data[:place] + rng.bytes(rng.integers(1, 200)) + data[place:]


def without_a_part(data, rng):
    """Leave some bytes out."""
    start = rng.integers(len(data))
    return data[:start] + data[start + rng.integers(1, 500) :]


def overwritten(data, rng):
    """Write a part of the file over another one."""
    source, target = rng.integers(len(data), size=2)
    n = rng.integers(1, 300)
    part = data[source : source + n]
    return data[:target] + part + data[target + len(part) :]


def swapped(data, rng):
    """Exchange the contents of two members, under the old checksums."""
    members = members_of(data)
    others = [name for name in members if name != META]
    a, b = rng.choice(others, 2, replace=False)
    members[a], members[b] = members[b], members[a]
    return assembled([*members.items()])


def swapped_and_forged(data, rng):
    """Exchange the contents of two members, with new checksums."""
    members = members_of(data)
    a, b = rng.choice([name for name in members if name != META], 2)
    members[a], members[b] = members[b], members[a]
    return forged(members)


def forged_array(data, rng):
    """Change an array: some of its numbers, its dtype or its shape."""
    members = members_of(data)
    name = rng.choice([name for name in members if name.startswith("arrays/")])
    array = array_of(members[name])
    change = rng.integers(6)
    if change == 0 and array.size:
        array.flat[rng.integers(array.size)] = _number(array.dtype, rng)
    elif change == 1 and array.size:
        raw = bytearray(array.tobytes())
        raw[rng.integers(len(raw))] = rng.integers(256)
        array = np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    elif change == 2:
        with np.errstate(invalid="ignore"):
            array = array.astype(DTYPES[rng.integers(len(DTYPES))])
    elif change == 3:
        array = array[: rng.integers(len(array) + 1)] if array.ndim else array
    elif change == 4:
        array = np.concatenate([array, array[:1]]) if array.ndim else array
    else:
        array = array.ravel() if array.ndim > 1 else array[:, None]
    members[name] = array_bytes(array)
    if rng.random() < 0.1:
        members[name] = flipped(members[name], rng)
    return forged(members)


def _number(dtype, rng):
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.choice([limits.min, limits.max, 0, 1, 2, 3, 50])
    if dtype.kind == "f":
        return rng.choice([np.nan, np.inf, -1.0, 0.0, 1e30])
    return 0


def forged_json(data, rng):
    """Change one to three places of meta.json, with a new checksum."""

    def change(meta):
        for _ in range(rng.integers(1, 4)):
            _change(meta["model"], rng)

    return forged(members_of(data), change)


def _change(model, rng):
    nodes = list(find(model, lambda key, value: True))
    parent, key = nodes[rng.integers(len(nodes))]
    kind = rng.integers(6)
    if kind == 0:
        del parent[key]
    elif kind == 1:  # another part of the same file
        other, name = nodes[rng.integers(len(nodes))]
        parent[key] = copy.deepcopy(other[name])
    elif kind == 2 and isinstance(parent, dict):
        name = str(rng.choice(["x", "type", "name", "member"]))
        parent[name] = copy.deepcopy(parent[key])
    elif kind == 3 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    elif kind == 4:
        parent[key] = copy.deepcopy(OTHERS[rng.integers(len(OTHERS))])
    else:
        parent[key] = NUMBERS[rng.integers(len(NUMBERS))]


DAMAGES = [flipped, truncated, appended, without_a_part, overwritten, swapped]
FORGERIES = [swapped_and_forged, forged_array, forged_json, forged_json]
