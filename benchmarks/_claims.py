"""Claims: whether one system finds more than another, or takes longer, in words.

Input: ``file=next; data=ml-1m-last; a=EASE; b=ridge; show=ndcg@10``, result files.
Output: one of three words, for more, level and less (`fill` has the rules).
"""

from functools import cache
from pathlib import Path

import numpy as np
from _per_user import gain, named, read
from _queries import NOT_KEYS, RESULTS, STATS, rounded, rows_of, shown_in

WORDS = "ahead of / tied with / behind"
# Of a figure: half an interval that is wider tells little, as in the package's verdict.
CLEAR = 0.1
# How systems are called in texts.
CHEAPEST = " (cheapest within 1 %)"
NAMES = {"popularity": "best sellers", "recent popularity": "recent best sellers"}
NAMES |= {"item-kNN (decay)": "item-kNN, decayed", "HSTU(time)": "HSTU, given the time"}
# Mean over users of kept figures (float16) and of rows: the same run, or another one.
SAME_RUN = 5e-4


def claimed(spec, results=RESULTS):
    """Return the words that are true, in a list; empty for a gap, None to leave it."""
    words = spec.get("words", WORDS).split(" / ")
    if len(words) not in (3, 4):
        raise ValueError(
            f"words= needs three, for more, level and less, and a fourth for too few "
            f"users, got {words}"
        )
    found = verdict(spec, results)
    if found is None:
        return None if spec["gap"] == "old" else []
    if len(words) == 4 and found == 0 and is_unclear(spec, results):
        return words[3:]
    return [words[1 - found]]


def is_unclear(spec, results=RESULTS):
    """Return whether a level pair of systems has too few users to tell.

    As in `retrieval_report`: half the interval of the difference from the highest of
    what is level with ``a`` is wider than a tenth of the figure of ``a``.
    """
    if "b" not in spec or "within" in spec:
        return False
    spec, key = _with_a(spec), spec.get("by", "system")
    others = _others(spec, results) if spec["b"] == "others" else [spec["b"]]
    others = [name for name in others if _of_pair(spec, name, results) == 0]
    if not others:
        return False
    pairs = [_pair(spec, name) for name in others]
    first, second = max(pairs, key=lambda pair: _figure(pair[1], results))
    half = half_interval(first, second, key, results)
    return half > CLEAR * _figure(first, results)


def best_other(spec, results=RESULTS):
    """Return the name and the figure of the highest system but ``a``, as one text."""
    spec, key = _with_a(spec), spec.get("by", "system")
    pairs = [_pair(spec, name) for name in _others(spec, results)]
    best = max(pairs, key=lambda pair: _figure(pair[1], results))[1]
    name = best[key].removesuffix(CHEAPEST)
    return [f"{NAMES.get(name, name)} {rounded(_figure(best, results))}"]


def verdict(spec, results=RESULTS):
    """Return 1 for more, 0 for level, -1 for less; None where there is a gap."""
    if "of" in spec:
        return _of_printed(spec)
    if not {"a", "b"} & set(spec):
        return _of_difference(spec, results)
    spec = _with_a(spec)
    if missing := [key for key in "ab" if spec.get(key) is None]:
        raise ValueError(f"{missing[0]}= is missing in {spec}: a system")
    others = _others(spec, results) if spec["b"] == "others" else [spec["b"]]
    signs = [_of_pair(spec, other, results) for other in others]
    if not signs or None in signs:
        return None
    return min(signs)


def is_level(spec, best, position, results=RESULTS):
    """Return whether the interval of a difference from the best is known and holds 0.

    ``spec`` and ``best`` ask for both; ``position``: which one of the figures shown.
    Whether a row is to be ``shown`` is asked of some systems only.
    """
    spec, best = (
        {key: value for key, value in each.items() if key != "shown"}
        for each in (spec, best)
    )
    keys = [key for key in spec if spec[key] != best.get(key)]
    if len(keys) != 1 or keys[0] in NOT_KEYS:
        return False
    both = {"by": keys[0], "a": spec[keys[0]], "b": best[keys[0]]}
    show = spec["show"].split(" / ")[position].strip()
    try:
        return verdict(spec | both | {"show": show}, results) == 0
    except ValueError:
        return False


def _of_printed(spec):
    """Return the sign of what the same page prints, ``.3 ± .1`` or ``.3 / .2``."""
    text = spec["of"]
    try:
        mark = next(mark for mark in ("±", "se", "/") if mark in text)
        first, second = (float(part) for part in text.split(mark))
    except (StopIteration, ValueError):
        raise ValueError(
            f"of= needs two numbers with ±, se or / between, got {text!r}"
        ) from None
    if mark == "/":
        return _by_ratio(first, second, spec.get("within", 0))
    half = second * (1.96 if mark == "se" else 1)
    return _sign(first - half, first + half)


def _others(spec, results):
    """Return the names of the systems that ``a`` is compared with."""
    key = spec.get("by", "system")
    left_out = [spec["a"], *spec.get("except", "").split(" / ")]
    rows = rows_of({k: v for k, v in spec.items() if k != key}, results)
    names = dict.fromkeys(str(row[key]) for row in rows if key in row)
    found = [name for name in names if name not in left_out]
    if not found and "gap" not in spec:
        raise ValueError(f"there are no others in {spec}")
    return found


def _of_pair(spec, b, results):
    """Return the sign of the difference between ``a`` and ``b``."""
    key = spec.get("by", "system")
    pair = _pair(spec, b)
    rows = [rows_of(each, results) for each in pair]
    if not all(rows):
        return None
    if len(shown_in(spec, rows[0])) > 1:
        raise ValueError(f"a claim is about one figure: {spec['show']}")
    means = [_figure(each, results) for each in pair]
    if "within" in spec:
        return _by_ratio(*means, spec["within"])
    half = half_interval(*pair, key, results)
    return _sign(means[0] - means[1] - half, means[0] - means[1] + half)


def _with_a(spec):
    """Return what is asked for, with ``a``: without it, the system of the row."""
    return {"a": spec.get(spec.get("by", "system"))} | spec


def _pair(spec, b):
    """Return what is asked for of ``a`` and of ``b``."""
    key, show = spec.get("by", "system"), spec["show"]
    second = spec | {key: b, "show": spec.get("than", show)}
    if "than_file" in spec:  # its rows have systems
        del second[key]
        second |= {"file": spec["than_file"], "system": b}
    return spec | {key: spec["a"]}, second


def _figure(spec, results):
    return _mean(rows_of(spec, results), spec["show"])


def half_interval(first, second, key="system", results=RESULTS):
    """Return half the 95 % interval of the difference of the figures of two queries.

    It is computed user by user where both are of one file that keeps each user's.
    """
    pair = first, second
    shown = [spec["show"] for spec in pair]
    rows = [rows_of(spec, results) for spec in pair]
    means = [_mean(*each) for each in zip(rows, shown, strict=True)]
    names = [spec.get(key) or spec["system"] for spec in pair]
    users = [
        _users(spec, name, results) for spec, name in zip(pair, names, strict=True)
    ]
    same = "than_file" in first or first["file"] == second["file"]
    if same and all(
        values is not None and abs(values.mean() - mean) < SAME_RUN
        for values, mean in zip(users, means, strict=True)
    ):
        return gain(*users)["half_interval"]
    errors = [f"{name} se" for name in shown]
    if not all(
        name in row for name, each in zip(errors, rows, strict=True) for row in each
    ):
        what = f"no figures of each user and no {errors[0]!r}"
        raise ValueError(f"{names} have {what}: say within= (in %)")
    return 1.96 * float(np.hypot(*map(_mean, rows, errors)))


def _of_difference(spec, results):
    """Return the sign of a difference that the rows have, with its interval."""
    if not (rows := rows_of(spec, results)):
        return None
    names, unit = shown_in(spec, rows), spec.get("unit")
    if len(names) != 2 or unit not in ("±", "se", "ends"):
        raise ValueError(f"expected a= and b=, or two figures and unit= of {spec}")
    first, second = (_mean(rows, name) for name in names)
    if unit == "ends":
        return _sign(first, second)
    half = second * (1.96 if unit == "se" else 1)
    return _sign(first - half, first + half)


def _by_ratio(first, second, percent):
    ratio = 1 + float(percent) / 100
    return int(first > ratio * second) - int(second > ratio * first)


def _sign(low, high):
    return int(low > 0) - int(high < 0)


def _mean(rows, name):
    return STATS["mean"]([row[name] for row in rows])


def _users(spec, system, results):
    """Return the figure of each user, (n_users,); None if it was not kept."""
    folder = Path(results) / "per_user"
    by_data = f"{spec['file']}_{spec.get('data')}", named(system, spec["show"])
    for file, name in ((spec["file"], system), by_data):
        path = folder / f"{file}.npz"
        if path.exists():
            kept = _kept(path, path.stat().st_mtime_ns)
            if name in kept:
                return kept[name]
    return None


@cache
def _kept(path, changed):
    """Return the arrays of a file as it was at the time ``changed``."""
    return read(path.stem, path.parent)
