"""Are the figures and claims of the texts those of the result files?

Call: ``python benchmarks/fill.py`` writes the figures of ``results/*.jsonl`` into the
texts; ``--check`` only names the places that differ, and fails if there are any;
``--stale`` says of each result file how often the package has changed since, and which
defaults of ours were others, and names the files that are not there.

A figure in a sentence is plain text. ``figures.toml`` has the sentence, or a part of it
that the text has once, with ``{}`` at the places of its figures, and a source for each
place. Lines may end anywhere in a sentence. One that is not found is an error::

    [["benchmarks/README.md"]]
    text = "Weights by age raise the recall from {} to {}."
    from = [
        "figure file=recency; model=all alike; show=recall@20",
        "figure file=recency; model=by age; show=recall@20",
    ]

A table follows a comment with one line for each of its rows and one for its columns. A
``-`` leaves a cell as it is; ``best=row`` (or ``best=column``) prints the highest in
bold, after rounding, and with ``level=yes`` all that is level with it (below). With
``least=3``, a line with fewer figures has none in bold. A column with ``bold=no`` has
none::

    <!-- figures best=row
    columns: - | system=EASE | system=TwoTowerRecommender
    row: file=quality_lastfm; show=recall@20 / ndcg@20
    -->

A text that is read as it is written, such as README, has no comments: ``figures.toml``
has the first line of a table, and what the comment would have::

    [["README.md"]]
    table = "| data | EASE |"
    from = '''
    columns: - | system=EASE
    row: file=quality_lastfm; show=recall@20
    '''

A column that is ``-`` may have figures in some of its cells: ``cell: 3 4; ...`` asks
for that of row 3 and column 4; with ``name=EASE`` it stands after this name.

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

The words of a claim are computed, too: which of three is true, for "more", "level" and
"less" (``words=``; "ahead of / level with / behind" without). A fourth is for what is
level, but has too few users to tell: half the interval is wider than a tenth of the
figure of ``a``, as in the verdict of `retrieval_report`::

    text = "EASE is {} iALS."
    from = ["claim file=quality_lastfm; a=EASE; b=iALS; show=ndcg@20"]

``a`` and ``b`` are names of systems (``by=model``: of that key; without ``a``, that of
the row). ``than=`` is the figure of ``b``, where it is another one, and ``than_file=``
its file, where the same users are judged in the same order. ``b=others`` stands for
each other system of the file and data, but those in ``except``: more than each of them,
less than at least one, or else level. How sure a difference is comes

- from the figures of each user (``results/per_user``), by the 95 % interval of the mean
  difference, user by user;
- without these, from the standard errors of both, as if users were not the same, which
  makes the interval wider;
- with ``within=10``, for seconds and sizes, from the ratio: level within 10 %.

Where rows have the difference itself, ``a`` and ``b`` are left out: ``unit=±``, of a
difference and half its interval, ``unit=se``, of one and its standard error, or
``unit=ends``, of the ends of its interval. In a table, a column with ``words=`` has
claims, and one with ``b=others`` but no words the highest other system, with its name.
What a notebook or a page of the guide prints itself is written out: ``of=.013 ±
.007`` or ``of=.013 se .004``, a difference, or ``of=.50 / .18; within=100``, a ratio.

A table below ``<!-- origins -->`` has a row for each result file: the commit that was
measured, and the machine.
"""

import argparse
import re
import subprocess
from collections import Counter
from pathlib import Path

from _claims import best_other, claimed, is_level
from _queries import PUBLISHED, RESULTS, figures, parsed, read
from _sentences import SOURCES, places, tables_of

ROOT = Path(__file__).parents[1]
FOLDERS = ["benchmarks/*.md", "docs/**/*.md", "notebooks/*.ipynb", "paper/*.md"]
TEXTS = ["README.md"]
TEXTS += [str(p.relative_to(ROOT)) for f in FOLDERS for p in sorted(ROOT.glob(f))]
TABLE = re.compile(
    r"(<!-- figures(.*?)-->\n\n?(?:\|[^\n]*\n){2})((?:\|[^\n]*\n)+)", re.DOTALL
)
ORIGINS = re.compile(
    r"(<!-- (origins) -->\n\n?(?:\|[^\n]*\n){2})((?:\|[^\n]*\n)*)", re.DOTALL
)
AS_IS = re.compile(r"\b(unit|digits|words|bold|b)=")


def in_bold(group, specs, level_too, results):
    """Mark the highest of each position of a group of lists of figures.

    ``specs``: what each list was asked by; ``level_too``: what is level is marked, too.
    """
    marked = [list(cell) for cell in group]
    for position in range(max(map(len, group), default=0)):
        values = [float(cell[position]) if cell else -1 for cell in group]
        best = values.index(max(values))
        for cell, value, spec in zip(marked, values, specs, strict=True):
            same = value == values[best]
            if cell and not same and level_too:
                same = is_level(spec, specs[best], position, results)
            if cell and same:
                cell[position] = f"**{cell[position]}**"
    return [" / ".join(cell).replace("** / **", " / ") for cell in marked]


def filled_table(head, cells, results):
    """Return the cells of a table's rows, a list for each, with their figures."""
    lines = [line.strip() for line in head.strip().splitlines()]
    bold = parsed(lines.pop(0)) if lines[0].startswith("best=") else {}
    best, level_too = bold.get("best"), bold.get("level") == "yes"
    least = int(bold.get("least", 1))
    columns = [c.strip() for c in lines[0].removeprefix("columns:").split("|")]
    specs = [line[4:].strip() for line in lines[1:] if line.startswith("row:")]
    single = [line[5:] for line in lines[1:] if line.startswith("cell:")]
    if len(specs) != len(cells) or any(len(row) != len(columns) for row in cells):
        raise ValueError(
            f"{len(specs)} rows of {len(columns)} cells are described, the table has "
            f"{len(cells)} of {[len(row) for row in cells]}"
        )
    cells, found, asked = [list(row) for row in cells], {}, {}
    for i, row in enumerate(specs):
        for j, column in enumerate(columns):
            if "-" not in (row, column):
                asked[i, j] = spec = parsed(row) | parsed(column)
                found[i, j] = in_cell(spec)(spec, results)
    for line in single:
        at, _, query = line.partition(";")
        i, j = (int(number) - 1 for number in at.split())
        query = parsed(query)
        name = query.pop("name", "")
        found[i, j] = [f"{name} {figure}".strip() for figure in figures(query, results)]
    found = {at: cell for at, cell in found.items() if cell is not None}
    compared = {at: v for at, v in found.items() if not AS_IS.search(columns[at[1]])}
    for (i, j), cell in found.items():
        cells[i][j] = " / ".join(cell)
    for line in {at[best == "column"] for at in compared} if best else ():
        places = [at for at in compared if at[best == "column"] == line]
        if sum(bool(compared[at]) for at in places) < least:
            continue
        group, specs = zip(*((compared[at], asked[at]) for at in places), strict=True)
        texts = in_bold(group, specs, level_too, results)
        for (i, j), text in zip(places, texts, strict=True):
            cells[i][j] = text
    return cells


def row_of_markdown(cells):
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def in_cell(spec):
    """Return what computes a cell: words, the highest other system, or figures."""
    if "words" in spec:
        return claimed
    return best_other if spec.get("b") == "others" else figures


def filled(text, results=RESULTS, name="text", sentences=None, tables=None):
    """Return ``text`` with its figures, and a line for each place that differed.

    ``sentences`` and ``tables``: those with figures, as `_sentences` reads them; by
    default those of the text ``name``.
    """
    differences = []

    def note(at, old, new, below=0):
        if old != new:
            line = text[:at].count("\n") + 1 + below
            differences.append(f"{name}, line {line}: {old!r}, measured {new!r}")

    def rows_of_table(match, head, rows):
        old = match[rows].splitlines()
        cells = [[c.strip() for c in line.strip()[1:-1].split("|")] for line in old]
        new = [row_of_markdown(row) for row in filled_table(head, cells, results)]
        for below, (before, after) in enumerate(zip(old, new, strict=True)):
            note(match.start(rows), before, after, below)
        return match[1] + "\n".join(new) + "\n"

    def table(match):
        return rows_of_table(match, match[2], rows=3)

    def table_of_origins(match):
        new = origins(results)
        if match[3] != new:
            differences.append(f"{name}: the table of origins")
        return match[1] + new

    try:
        text = TABLE.sub(table, ORIGINS.sub(table_of_origins, text))
        for entry in tables_of(name) if tables is None else tables:
            head = entry["table"]
            pattern = rf"({re.escape(head)}\n\|[-| :]+\|\n)((?:\|[^\n]*\n)+)"
            text, n_tables = re.subn(
                pattern,
                lambda match, entry=entry: rows_of_table(match, entry["from"], rows=2),
                text,
            )
            if n_tables != 1:
                raise ValueError(f"{n_tables} tables begin with {head!r}, instead of 1")
        for place in reversed(places(name, text, sentences)):
            old = text[place.start : place.end]
            new = in_sentence(place, old, results)
            note(place.start, old, new)
            text = text[: place.start] + new + text[place.end :]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return text, differences


def in_sentence(place, old, results=RESULTS):
    """Return the figures or the words at a place, ``old`` where they are the same."""
    found = (claimed if place.kind == "claim" else figures)(
        parsed(place.query), results
    )
    new = old if found is None else " / ".join(found)
    return old if new.split() == plain_words(old) else new


def plain_words(text):
    """Return the words of a part of a text or of a notebook's source."""
    return text.replace('\\n",\n', " ").replace('"', " ").split()


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
    texts += SOURCES.read_text("utf-8")
    named = set(re.findall(r"file=([\w-]+)", texts))
    there = {path.stem for path in Path(results).glob("*.jsonl")}
    missing = named - there - {PUBLISHED.stem}
    lines = [f"{name}.jsonl: not there" for name in sorted(missing)]
    for path in sorted(Path(results).glob("*.jsonl")):
        rows = read(path.stem, results)
        line = f"{path.name}: {changes_since(path, rows)}"
        if others := other_defaults(rows):
            line += f"; other defaults: {', '.join(others)}"
        lines.append(line)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", "--quick", action="store_true", help="write nothing")
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
