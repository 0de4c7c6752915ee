"""What plain Markdown cannot say, for the pages of the site.

Input: pages in Markdown that GitHub renders as well: names of the API in backticks,
``<a id="event"></a>`` in front of a term, output below the code that prints it.
Output: links to the reference, places that links lead to, outputs without a button to
copy them, drawings that keep their colors in the dark, marks of long cells of tables,
and pairs of figures that are broken behind the slash only.
"""

import re

from docutils import nodes
from sphinx import addnodes

# `fit` or `time` are words as well; a name has a dot, a capital or an underscore.
NAME = re.compile(r"(?=.*(?:\.|_|[A-Z]))[A-Za-z]\w*(?:\.\w+)*")
PAIR = re.compile(r"(?<=\d) / (?=\.?\d)")
LONG_CELL, LONG_NAME = 50, 24  # letters
ANCHOR = re.compile(r'<a (?:id|name)="([^"]+)">')


def link_names(doctree, docname):
    """Make names in backticks references, which lead nowhere if there is no page."""
    for literal in list(doctree.findall(nodes.literal)):
        is_free = not isinstance(literal.parent, (nodes.reference, nodes.title))
        if is_free and NAME.fullmatch(literal.astext()):
            link = addnodes.pending_xref(
                "",
                refdoc=docname,
                refdomain="py",
                reftype="obj",
                reftarget=literal.astext(),
                refwarn=False,
            )
            literal.replace_self(link)
            link += literal


def mark_outputs(doctree):
    """Mark text below code of Python as its output."""
    for block in doctree.findall(nodes.literal_block):
        siblings = block.parent.children
        before = siblings[: siblings.index(block)]
        code = before[-1] if before else None
        is_output = block.get("language") == "text" and isinstance(
            code, nodes.literal_block
        )
        if is_output and code.get("language") == "python":
            block["classes"].append("output")


def mark_drawings(doctree):
    """Mark drawings, whose background is their own."""
    for image in doctree.findall(nodes.image):
        if image["uri"].endswith(".svg"):
            image["classes"] += ["drawing", "dark-light"]


def mark_cells(doctree):
    """Mark long cells and names, and keep the slash of figures next to the first."""
    for cell in doctree.findall(nodes.entry):
        for name in cell.findall(nodes.literal):
            if len(name.astext()) > LONG_NAME:
                name["classes"].append("long")
        if len(cell.astext()) > LONG_CELL:
            cell["classes"].append("long")
        for text in list(cell.findall(nodes.Text)):
            text.parent.replace(
                text, nodes.Text(PAIR.sub("\N{NO-BREAK SPACE}/ ", text))
            )


def note_anchors(app, doctree, docname):
    """Make anchors that are written as HTML known to links, also of other pages."""
    slugs = app.env.metadata[docname].setdefault("myst_slugs", {})
    for raw in doctree.findall(nodes.raw):
        for anchor in ANCHOR.findall(raw.astext()):
            slugs[anchor] = (raw.line or 0, anchor, anchor)
    for link in list(doctree.findall(addnodes.pending_xref)):
        place = link["reftarget"]
        if link["reftype"] == "myst" and place in slugs:
            own = nodes.reference("", "", *link.children, refid=place, internal=True)
            link.replace_self(own)


def read(app, doctree):
    """Mark what a page in Markdown has."""
    docname = app.env.docname
    if str(app.env.doc2path(docname)).endswith(".md"):
        link_names(doctree, docname)
        mark_outputs(doctree)
        mark_drawings(doctree)
        mark_cells(doctree)
        note_anchors(app, doctree, docname)


def setup(app):
    """Connect to Sphinx."""
    app.connect("doctree-read", read)
    return {"parallel_read_safe": True}
