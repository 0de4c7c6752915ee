"""Run the code of pages of the guide, and write what it prints into them.

Call: ``python docs/outputs.py docs/guide/start.md``; with ``--check`` nothing is
written, and what a page shows is compared with what its code prints now. The blocks of
a page share their names, in a folder of their own. A block that prints is followed by
its output::

    ```python
    print(1 + 1)
    ```

    ```text
    2
    ```

A comment in front of a block says that it is not run and why, that only the tests run
it, after all others, which make its names, what is replaced in it when the tests run
it, or that their smaller data give lines of another kind (several such comments may
follow one another)::

    <!-- not run: needs a GPU -->

    <!-- run last: the tables are below -->

    <!-- in tests: n_iter=20 -> n_iter=2 -->

    <!-- in tests: the output differs -->

    <!-- in tests: the output is of one run -->

Tests cannot wait for the fits of a page. So a page is run a second time, on fewer
purchases, with one epoch and vectors of eight numbers, and what it prints then is
written to a file in ``printed``, with a checksum of what the page shows. The tests run
the page in the same way. They fail if a line or a figure of that differs, as the page
may then differ as well; and if someone has edited what the page shows.

Two outputs agree if they have as many lines, each with the same text, whole numbers
among it, and if figures, which are numbers with a decimal point or an exponent, are
`is_close`. Lines of a table may have changed places if their last figures are close;
so may one line have with what is not shown, if its figure is close to the last one.
Figures of an output "of one run", such as seconds, are not compared.
"""

import argparse
import contextlib
import hashlib
import inspect
import io
import json
import os
import re
import tempfile
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

BLOCK = re.compile(
    r"(?P<comments>(?:^[ ]*<!-- (?:not run|run last|in tests): [^\n]* -->\n\n)*)"
    r"^(?P<indent>[ ]*)```python\n(?P<code>(?:(?![ ]*```)[^\n]*\n)+)(?P=indent)```\n"
    r"(?P<head>\n(?P=indent)```text\n)?"
    r"(?(head)(?P<output>(?:(?![ ]*```)[^\n]*\n)+)(?P=indent)```(?:\n|\Z))",
    re.MULTILINE,
)
FIGURE = re.compile(
    r"(?<![\w.])-?(?:\d[\d,]*)?(?:\.\d+(?:e[-+]?\d+)?|\d\.?e[-+]?\d+)(?![\w.]*\w)"
)
# Other processors and versions round differently, and a fit adds that up. A share of
# the figure, or this much where figures are small, and one unit of the last digit.
RELATIVE, ABSOLUTE = 0.03, 0.005
PRINTED = Path(__file__).parent / "printed"
CUSTOMERS = [12347, 12782, 13904]  # the pages name them


@dataclass(frozen=True)
class Block:
    """The code of a page's block, with its first line there and what it printed."""

    code: str
    line: int
    output: str | None
    not_run: str | None
    last: bool  # run after all others, and by the tests only
    replaced: tuple
    differs: bool  # in tests, also in the number of lines
    varies: bool  # from run to run: its figures are not compared


def block_of(match):
    """Return the Block of a match of BLOCK."""
    said = re.findall(r"<!-- (not run|run last|in tests): (.*) -->", match["comments"])
    reasons = [text for kind, text in said if kind == "not run"]
    output = match["output"]
    return Block(
        code=textwrap.dedent(match["code"]).strip("\n") + "\n",
        line=match.string[: match.start("code")].count("\n") + 1,
        output=None if output is None else textwrap.dedent(output).strip("\n"),
        not_run=reasons[0] if reasons else None,
        last=any(kind == "run last" for kind, text in said),
        replaced=tuple(
            tuple(text.split(" -> "))
            for kind, text in said
            if kind == "in tests" and " -> " in text
        ),
        differs=("in tests", "the output differs") in said,
        varies=("in tests", "the output is of one run") in said,
    )


def blocks(text):
    """Return the Blocks of a page."""
    return [block_of(match) for match in BLOCK.finditer(text)]


def printed(block, names, page="page"):
    """Return what the block prints; ``names`` are its variables, before and after."""
    code = compile("\n" * (block.line - 1) + block.code, str(page), "exec")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, names)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join(lines).strip("\n")


def written(text, page="page"):
    """Return the page with the outputs that its code prints now."""
    names = {"__name__": "__main__"}

    def run(match):
        block = block_of(match)
        if block.not_run or block.last:
            return match[0]
        output, indent = printed(block, names, page), match["indent"]
        if (block.output is None) != (not output):
            wrong = "prints, without" if output else "prints nothing, in spite of"
            raise ValueError(
                f"{page}, line {block.line}: the block {wrong} an output block. It "
                f"printed: {output!r}"
            )
        if not output:
            return match[0]
        lines = textwrap.indent(output, indent) + "\n"
        start, end = (place - match.start() for place in match.span("output"))
        return match[0][:start] + lines + match[0][end:]

    return BLOCK.sub(run, text).rstrip("\n") + "\n"


def is_close(shown, printed):
    """Return whether two figures, as texts, may be of the same code."""
    digits = len(re.sub("e.*", "", shown).partition(".")[2])
    unit = 0 if "e" in shown else 10.0**-digits
    shown, printed = (float(text.replace(",", "")) for text in (shown, printed))
    room = max(RELATIVE * abs(shown), ABSOLUTE) + unit
    return abs(shown - printed) <= room * (1 + 1e-9)


def same_line(shown, printed):
    """Return whether two lines have the same text and figures that are close."""
    texts = [" ".join(FIGURE.sub("#", line).split()) for line in (shown, printed)]
    if texts[0] != texts[1]:
        return False
    return all(map(is_close, FIGURE.findall(shown), FIGURE.findall(printed)))


def without_place(line):
    """Return a line without the small whole numbers that say its place in a table."""
    return re.sub(r"(?<![\w.])\d{1,2}(?![\w.])", "", line)


def are_tied(one, other):
    """Return whether the last figures of two lines are close."""
    last = [FIGURE.findall(line)[-1:] for line in (one, other)]
    return all(last) and is_close(last[0][0], last[1][0])


def ends_as_table(lines):
    """Return whether the last two lines are rows of a table, which are numbered."""
    numbers = [re.match(r"\s*(\d+)\s", line) for line in lines[-2:]]
    return (
        len(numbers) == 2
        and all(numbers)
        and int(numbers[1][1]) == 1 + int(numbers[0][1])
    )


def differences(shown, printed, varies=False):
    """Return what differs between two outputs, a list of texts; empty if they agree.

    ``varies``: whether figures may be any.
    """
    if varies:
        shown, printed = (FIGURE.sub("#", text) for text in (shown, printed))
    shown, printed = (text.splitlines() for text in (shown, printed))
    if len(shown) != len(printed):
        return [f"{len(shown)} lines are shown, {len(printed)} are printed"]
    wrong, left = [], dict(enumerate(printed))
    for place, line in enumerate(shown):
        if place in left and same_line(line, left[place]):
            del left[place]
            continue
        tied = [
            other
            for other, text in left.items()
            if other != place
            and are_tied(printed[place], text)
            and same_line(without_place(line), without_place(text))
        ]
        if tied:
            del left[tied[0]]
        else:
            wrong.append((line, printed[place]))
    if len(wrong) == 1 and len(left) == 1 and ends_as_table(shown):
        last = [wrong[0][0], *left.values(), shown[-1], printed[-1]]
        if all(are_tied(last[0], line) for line in last[1:]):
            return []
    return [f"shown:   {old}\nprinted: {new}" for old, new in wrong]


def fewer(shop):
    """Return the shop with fewer products and customers, CUSTOMERS among them."""
    data = shop.data
    data = data[data["product"].isin(data["product"].value_counts().index[:400])]
    customers = data["customer"].value_counts().index[100:250]
    data = data[data["customer"].isin(customers.union(CUSTOMERS))]
    shop.data = shop.frame = data.reset_index(drop=True)
    shop.target = shop.data["quantity"].copy()
    return shop


@contextlib.contextmanager
def small():
    """Let the shop be small, and models that are given no sizes, in the block."""
    from sklearn.utils import Bunch

    from sktwotower import TwoTowerRecommender, datasets
    from sktwotower.two_stage import _fit_stages
    from sktwotower.two_stage._ranker import default_ranker

    whole = fewer(datasets.load_online_retail())

    def load(return_X_y=False, **options):
        shop = Bunch(**whole)
        return (shop.data, shop.target) if return_X_y else shop

    def few_trees(random_state):
        return default_ranker(random_state).set_params(max_iter=10)

    sizes = {"max_epochs": 1, "embedding_dim": 8, "neighbors": "exact"}
    defaults = inspect.unwrap(TwoTowerRecommender.__init__).__kwdefaults__
    with (
        patch.object(datasets, "load_online_retail", load),
        patch.object(_fit_stages, "default_ranker", few_trees),
        patch.dict(defaults, sizes),
    ):
        yield


@contextlib.contextmanager
def empty_folder():
    """Work in an empty folder in the block."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def printed_small(text, page="page"):
    """Return what each block of a page prints on few data, None for one not run."""
    names = {"__name__": "__main__"}
    found = blocks(text)
    outputs = dict.fromkeys(range(len(found)))
    with small(), empty_folder():
        for place in sorted(outputs, key=lambda place: found[place].last):
            block = found[place]
            if block.not_run:
                continue
            code = block.code
            for long, short in block.replaced:
                if long not in code:
                    raise ValueError(f"{page}, line {block.line}: no {long!r}")
                code = code.replace(long, short)
            outputs[place] = printed(replace(block, code=code), names, page)
    return [outputs[place] for place in range(len(found))]


def checksum(text):
    """Return a text that changes with the code and the outputs of a page."""
    shown = [[block.code, block.output] for block in blocks(text)]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def stored(page):
    """Return where the outputs on few data of a page of the documentation are."""
    name = page.resolve().relative_to(PRINTED.parent).with_suffix(".json")
    return PRINTED / name


def store(page, text):
    """Run a page on few data, and store what it prints with the page's checksum."""
    outputs = printed_small(text, page.name)
    record = {
        "shown": checksum(text),
        "small": [None if each is None else each.splitlines() for each in outputs],
    }
    stored(page).parent.mkdir(parents=True, exist_ok=True)
    stored(page).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def compared(text, anew, page):
    """Return how the outputs of a page differ from those of the page run anew."""
    return [
        f"{page}, line {old.line}:\n{difference}"
        for old, new in zip(blocks(text), blocks(anew), strict=True)
        if old.output is not None
        for difference in differences(old.output, new.output, old.varies)
    ]


def main():
    """Rewrite the pages that are named, or say what would change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--small", action="store_true", help="only on few data")
    own = parser.parse_args()
    wrong = []
    for page in [path.resolve() for path in own.pages]:
        text = anew = page.read_text("utf-8")
        if not own.small:
            with empty_folder():
                anew = written(text, page.name)
            found = compared(text, anew, page.name)
            print(
                f"{page.name}: {len(found)} differences", *found, sep="\n", flush=True
            )
            wrong += found
        if not own.check:
            page.write_text(anew, "utf-8")
            store(page, anew)
    if own.check and wrong:
        raise SystemExit(
            f"{len(wrong)} differences: call docs/outputs.py with the pages"
        )


if __name__ == "__main__":
    main()
