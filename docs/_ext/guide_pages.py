"""The menus of the guide and of the results, from the links of their first pages.

Input: ``guide/index.md`` and ``results.md``, lists of links below headings.
Output: the same with a ``toctree`` for each list, which GitHub need not show.
"""

import re

PAGES = "guide/index", "results"
SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
ENTRY = re.compile(r"^- \[[^]]+\]\(([^)#]+)\.md\)", re.MULTILINE)
TREE = "```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```\n"


def trees(text):
    """Return the ``toctree`` of each section that lists pages."""
    sections = [(match[1], ENTRY.findall(match[2])) for match in SECTION.finditer(text)]
    return [
        TREE.format(title=title, pages="\n".join(pages))
        for title, pages in sections
        if pages
    ]


def read(app, docname, source):
    """Add the menu to the source of a first page."""
    if docname in PAGES:
        source[0] += "\n" + "\n".join(trees(source[0]))


def setup(app):
    """Connect to Sphinx, after links are those of the site."""
    app.connect("source-read", read, priority=600)
    return {"parallel_read_safe": True}
