"""Figures of the result files, as a mark of a text asks for them.

Input: ``file=recency; model=by age; show=recall@20``, a folder of ``NAME.jsonl``.
Output: its rows; their mean, rounded once, as text (`fill` has the rules).
"""

import json
import re
from functools import cache
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PUBLISHED = Path(__file__).with_name("published.jsonl")
NOT_KEYS = {"file", "show", "unit", "digits", "scale", "stat", "gap"}
# those of a claim
NOT_KEYS |= {"a", "b", "by", "than", "than_file", "except", "of", "within", "words"}
NOT_KEYS |= {"bold"}  # of a table
STATS = {"mean": lambda v: sum(v) / len(v), "min": min, "max": max}


def read(name, results=RESULTS):
    """Return the rows of a result file, or of the values that others published."""
    is_theirs = name == PUBLISHED.stem
    path = PUBLISHED if is_theirs else Path(results) / f"{name}.jsonl"
    if not path.exists():
        raise ValueError(f"no file {path.name} in {path.parent}: run its benchmark")
    return parsed_lines(path, path.stat().st_mtime_ns)


@cache
def parsed_lines(path, changed):
    """Return the rows of a file as it was at the time ``changed``."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def parsed(text):
    """Return the pairs of ``key=value; key=value``."""
    pairs = [part.split("=", 1) for part in text.split(";") if part.strip()]
    if bad := [pair[0] for pair in pairs if len(pair) == 1]:
        raise ValueError(f"expected key=value, got {bad[0]!r}")
    return {key.strip(): value.strip() for key, value in pairs}


def rounded(value, unit=None, digits=None, scale=1):
    """Return a figure as it is printed: .365, -.004, 1.6 s, 25 s or 3 min."""
    sign = "+" if unit == "gain" else ""
    if digits is not None:
        return f"{value * float(scale):{sign},.{int(digits)}f}"
    if unit == "s":
        if value >= 120:
            return f"{value / 60:.0f} min"
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    if unit == "ms":
        return f"{value:.2f}" if value < 9.995 else f"{value:.0f}"
    if unit == "percent":
        return f"{100 * value:.1f}"
    if unit not in (None, "gain"):
        known = "'s', 'ms', 'percent', 'gain', '±'"
        raise ValueError(f"unit must be {known} or left out, got {unit!r}")
    return re.sub(r"^([+-]?)0\.", r"\1.", f"{value:{sign}.3f}")


def rows_of(spec, results=RESULTS):
    """Return the rows that ``spec`` (a dict) asks for; none where it allows a gap."""
    if missing := {"file", "show"} - set(spec):
        raise ValueError(f"{sorted(missing)[0]}= is missing in {spec}")
    try:
        rows = read(spec["file"], results)
    except ValueError:
        if spec.get("gap") == "old":
            return []
        raise
    wanted = {key: value for key, value in spec.items() if key not in NOT_KEYS}
    found = [
        row for row in rows if all(str(row.get(k)) == v for k, v in wanted.items())
    ]
    if not found and "gap" not in spec:
        raise ValueError(f"no row of {spec['file']}.jsonl has {wanted}")
    names = shown_in(spec, found)
    found = [row for row in found if all(name in row for name in names)]
    if not found and "gap" not in spec:
        raise ValueError(f"no row of {spec['file']}.jsonl has {names} of {wanted}")
    return found


def shown_in(spec, rows):
    """Return the names of the figures that are shown."""
    is_one = any(spec["show"] in row for row in rows)  # also a name with a slash
    names = [spec["show"]] if is_one else spec["show"].split(" / ")
    return [name.strip() for name in names]


def figures(spec, results=RESULTS):
    """Return the figures that ``spec`` (a dict) asks for, as text.

    None for a gap, and None instead of a list if what is there is to stay.
    """
    if not (rows := rows_of(spec, results)):
        return None if spec["gap"] == "old" else []
    stat = STATS[spec.get("stat", "mean")]
    how = {"digits": spec.get("digits"), "scale": spec.get("scale", 1)}
    unit, names = spec.get("unit"), shown_in(spec, rows)
    units = ["gain", None] if unit == "±" else [unit] * len(names)
    found = [
        rounded(stat([row[name] for row in rows]), each, **how)
        for name, each in zip(names, units, strict=True)
    ]
    return [" ± ".join(found)] if unit == "±" else found
