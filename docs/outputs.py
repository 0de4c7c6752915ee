"""Run the code of pages of the guide, and write what it prints into them.

Call: ``python docs/outputs.py docs/guide/start.md``. The blocks of a page share their
names, in a folder of their own. A block that prints is followed by its output::

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
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?P<comments>(?:^[ ]*<!-- (?:not run|run last|in tests): [^\n]* -->\n\n)*)"
    r"^(?P<indent>[ ]*)```python\n(?P<code>(?:(?![ ]*```)[^\n]*\n)+)(?P=indent)```\n"
    r"(?P<head>\n(?P=indent)```text\n)?"
    r"(?(head)(?P<output>(?:(?![ ]*```)[^\n]*\n)+)(?P=indent)```(?:\n|\Z))",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """The code of a page's block, with its first line there and what it printed."""

    code: str
    line: int
    output: str | None
    not_run: str | None
    last: bool  # run after all others, and by the tests only
    replaced: tuple
    differs: bool  # in tests, also in its first line or the number of lines


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


def main():
    """Rewrite the pages that are named, each run in an empty folder."""
    for page in [Path(name).resolve() for name in sys.argv[1:]]:
        before = Path.cwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            text = written(page.read_text("utf-8"), page.name)
            os.chdir(before)
        page.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
