"""Links from docstrings to the pages of the guide that they name.

Input: docstrings with *The page "Tune" of the guide* or *the table in the guide*, which
can be read in a terminal.
Output: the same words, with a link to the page, or to the table of "auto" values.
"""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
PAGE = re.compile(r'page "(?P<title>[^"]+)"(?=\s+of\s+the\s+guide)')
TABLE = re.compile(r"the\s+table\s+in\s+the\s+guide")
AUTO = "../guide/tune.html#what-auto-stands-for"


def titles():
    """Return where the pages are, seen from the reference, by their titles."""
    found = {}
    for page in [*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")]:
        title = page.read_text("utf-8").splitlines()[0].removeprefix("# ")
        found[title] = f"../{page.relative_to(DOCS).with_suffix('.html').as_posix()}"
    return found


def linked(text, pages):
    """Return a docstring with links; a page that is not there is an error."""

    def to_page(match):
        title = match["title"]
        return f"page `{title} <{pages[title]}>`__"

    text = PAGE.sub(to_page, text)
    return TABLE.sub(lambda match: f"`{match[0]} <{AUTO}>`__", text)


def link(app, what, name, thing, options, lines):
    """Change the lines of a docstring."""
    lines[:] = linked("\n".join(lines), titles()).split("\n")


def setup(app):
    """Look at docstrings before they are taken apart."""
    app.connect("autodoc-process-docstring", link)
    return {"parallel_read_safe": True}
