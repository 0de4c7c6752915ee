"""Are the figures of the texts those of the result files?

Call: ``python benchmarks/fill.py`` writes the figures of ``results/*.jsonl`` into the
texts; ``--check`` only names the places that differ, and fails if there are any;
``--stale`` says of each result file how often the package has changed since, and which
defaults of ours were others, and names the files that are not there.

A figure in a sentence stands between two comments, which no reader of the page sees::

    <!-- figure file=recency; model=by age; show=recall@20 -->.096<!-- end -->

A table follows a comment with one line for each of its rows and one for its columns. A
``-`` leaves a cell as it is; ``best=row`` (or ``best=column``) prints the highest in
bold, after rounding::

    <!-- figures best=row
    columns: - | system=EASE | system=TwoTowerRecommender
    row: file=quality_lastfm; show=recall@20 / ndcg@20
    -->

``show`` names one figure or several. Rows that have them and the values that are named
(``system=EASE``; ``data=None``: rows without ``data``) are averaged, such as seeds;
``stat=min`` and ``stat=max`` take the lowest and the highest. Without such a row,
``gap=yes`` leaves a cell empty; ``gap=old`` leaves what is there, even without the
file: figures of an earlier run that was not kept. Otherwise that is an error.

A figure is rounded once, from the mean, to three digits after the point, or

- ``unit=gain``: the same, with its sign; ``unit=±``, of two figures: ``+.009 ± .002``;
- ``unit=s``: two digits of seconds or, from two minutes on, whole minutes;
- ``unit=ms``, not printed: two digits after the point or, from ten on, whole numbers;
- ``unit=percent``, not printed: a hundred times the figure, one digit after the point;
- ``digits=1``: that many digits, and zeros before the point, of the figure times
  ``scale``.

Figures with a unit or digits are not compared.

A table below ``<!-- origins -->`` has a row for each result file: the commit that was
measured, and the machine.

In the text of a notebook the marks are the same.

In a page of the documentation (reStructuredText) the marks are comments too. A figure
in a sentence is a substitution, which the sentence names: ``|by age|``::

    .. figure file=recency; model=by age; show=recall@20
    .. |by age| replace:: .096

A table is a ``csv-table`` whose cells are divided by ``|``, below such a comment::

    .. figures best=row
       columns: - | system=EASE | system=TwoTowerRecommender
       row: file=quality_lastfm; show=recall@20 / ndcg@20

    .. csv-table::
       :header-rows: 1
       :delim: |

       data | EASE | sktwotower
       Last.FM | .265 / .209 | .291 / .230
"""

import argparse
import json
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TEXTS = ["README.md", "benchmarks/README.md"]
TEXTS += sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.rst"))
TEXTS += sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("notebooks/*.ipynb"))
INLINE = re.compile(r"(<!-- figure (.*?) -->)(.*?)(?=<!-- end -->)", re.DOTALL)
TABLE = re.compile(
    r"(<!-- figures(.*?)-->\n\n?(?:\|[^\n]*\n){2})((?:\|[^\n]*\n)+)", re.DOTALL
)
ORIGINS = re.compile(
    r"(<!-- (origins) -->\n\n?(?:\|[^\n]*\n){2})((?:\|[^\n]*\n)*)", re.DOTALL
)
RST_INLINE = re.compile(
    r"^(\.\. figure (\S[^\n]*)\n\.\. \|[^|\n]+\| replace:: )([^\n]*)", re.MULTILINE
)
RST_TABLE = re.compile(
    r"^(\.\. figures(.*?)\n\n\.\. csv-table::[^\n]*\n(?:   :[^\n]*\n)+\n   [^\n]*\n)"
    r"((?:   [^\n]*\n)+)",
    re.MULTILINE | re.DOTALL,
)
NOT_KEYS = {"file", "show", "unit", "digits", "scale", "stat", "gap"}
AS_IS = re.compile(r"\b(unit|digits)=")
STATS = {"mean": lambda v: sum(v) / len(v), "min": min, "max": max}


def read(name, results=RESULTS):
    """Return the rows of a result file."""
    path = Path(results) / f"{name}.jsonl"
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


def in_bold(group):
    """Mark the highest of each position of a group of lists of figures."""
    marked = [list(cell) for cell in group]
    for position in range(max(map(len, group), default=0)):
        best = max(float(cell[position]) for cell in group if cell)
        for cell in marked:
            if cell and float(cell[position]) == best:
                cell[position] = f"**{cell[position]}**"
    return [" / ".join(cell).replace("** / **", " / ") for cell in marked]


def filled_table(head, cells, results):
    """Return the cells of a table's rows, a list for each, with their figures."""
    lines = [line.strip() for line in head.strip().splitlines()]
    best = parsed(lines.pop(0)).get("best") if lines[0].startswith("best=") else None
    columns = [c.strip() for c in lines[0].removeprefix("columns:").split("|")]
    specs = [line.removeprefix("row:").strip() for line in lines[1:]]
    if len(specs) != len(cells) or any(len(row) != len(columns) for row in cells):
        raise ValueError(
            f"{len(specs)} rows of {len(columns)} cells are described, the table has "
            f"{len(cells)} of {[len(row) for row in cells]}"
        )
    cells, found = [list(row) for row in cells], {}
    for i, row in enumerate(specs):
        for j, column in enumerate(columns):
            if "-" not in (row, column):
                found[i, j] = figures(parsed(row) | parsed(column), results)
    found = {at: cell for at, cell in found.items() if cell is not None}
    compared = {at: v for at, v in found.items() if not AS_IS.search(columns[at[1]])}
    for (i, j), cell in found.items():
        cells[i][j] = " / ".join(cell)
    for line in {at[best == "column"] for at in compared} if best else ():
        places = [at for at in compared if at[best == "column"] == line]
        texts = in_bold([compared[at] for at in places])
        for (i, j), text in zip(places, texts, strict=True):
            cells[i][j] = text
    return cells


def row_of_markdown(cells):
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def row_of_rst(cells):
    return "   " + " | ".join(cells).rstrip()


def filled(text, results=RESULTS, name="text"):
    """Return ``text`` with its figures, and a line for each place that differed."""
    differences = []

    def note(match, old, new, below=0):
        if old != new:
            line = match.string[: match.start(3)].count("\n") + 1 + below
            differences.append(f"{name}, line {line}: {old!r}, measured {new!r}")

    def inline(match):
        found = figures(parsed(match[2]), results)
        new = match[3] if found is None else " / ".join(found)
        note(match, match[3], new)
        return match[1] + new

    def table(match):
        old = match[3].splitlines()
        in_row = row_of_rst if match.re is RST_TABLE else row_of_markdown
        inner = [line if in_row is row_of_rst else line.strip()[1:-1] for line in old]
        cells = [[cell.strip() for cell in line.split("|")] for line in inner]
        new = [in_row(row) for row in filled_table(match[2], cells, results)]
        for below, (before, after) in enumerate(zip(old, new, strict=True)):
            note(match, before, after, below)
        return match[1] + "\n".join(new) + "\n"

    def table_of_origins(match):
        new = origins(results)
        if match[3] != new:
            differences.append(f"{name}: the table of origins")
        return match[1] + new

    try:
        text = ORIGINS.sub(table_of_origins, text)
        for pattern in (TABLE, RST_TABLE):
            text = pattern.sub(table, text)
        for pattern in (INLINE, RST_INLINE):
            text = pattern.sub(inline, text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return text, differences


def origins(results=RESULTS):
    """Return the lines of a table: commits and machines of each result file's rows."""
    lines = []
    for path in sorted(Path(results).glob("*.jsonl")):
        # rows that are computed from others have no machine
        rows = [row for row in read(path.stem, results) if row.get("threads")]
        commits = Counter(row.get("commit") or "not recorded" for row in rows)
        machines = {
            f"{row.get('cpu', 'not recorded')}, {row['threads']}" for row in rows
        }
        said = [f"{commit} ({n})" for commit, n in sorted(commits.items())]
        cells = [f"`{path.stem}`", ", ".join(said), "; ".join(sorted(machines))]
        lines.append(row_of_markdown(cells))
    return "\n".join(lines) + "\n"


def other_defaults(rows):
    """Return the parameters of ours that were others in rows that name all of them."""
    from sktwotower import TwoTowerRecommender

    today = TwoTowerRecommender().get_params()
    names = {k for k, v in today.items() if isinstance(v, (int, float, str))}
    names -= {"random_state", "device", "verbose"}
    ours = [row for row in rows if row.get("system") == "TwoTowerRecommender"]
    then = [row.get("params") or {} for row in ours]
    whole = [params for params in then if names <= set(params)]
    return sorted({k for params in whole for k in names if params[k] != today[k]})


def changes_since(path, rows):
    """Return the number of changes of the package since rows were measured, in words.

    Rows without a commit are as old as the file or older.
    """

    def git(*arguments):
        call = ["git", *arguments]
        return subprocess.check_output(call, cwd=ROOT, text=True).strip()

    commits = {(row.get("commit") or "").rstrip("+") for row in rows}
    at_least = "at least " if "" in commits else ""
    if at_least:
        commits = commits - {""} | {git("log", "-1", "--format=%h", "--", str(path))}
    counts = [git("rev-list", "--count", f"{c}..", "sktwotower") for c in commits]
    return f"{at_least}{max(map(int, counts))} changes of the package since"


def stale(results=RESULTS):
    """Return a line for each result file: how old it is, and what was different."""
    texts = "".join((ROOT / name).read_text("utf-8") for name in TEXTS)
    named = set(re.findall(r"file=([\w-]+)", texts))
    there = {path.stem for path in Path(results).glob("*.jsonl")}
    lines = [f"{name}.jsonl: not there" for name in sorted(named - there)]
    for path in sorted(Path(results).glob("*.jsonl")):
        rows = read(path.stem, results)
        line = f"{path.name}: {changes_since(path, rows)}"
        if others := other_defaults(rows):
            line += f"; other defaults: {', '.join(others)}"
        lines.append(line)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--stale", action="store_true")
    own = parser.parse_args()
    if own.stale:
        print(*stale(), sep="\n")
        return
    differences = []
    for name in TEXTS:
        text, found = filled((ROOT / name).read_text("utf-8"), name=name)
        differences += found
        if not own.check:
            (ROOT / name).write_text(text, "utf-8")
    print(*differences, f"{len(differences)} figures differ", sep="\n")
    assert not (own.check and differences)


if __name__ == "__main__":
    main()
