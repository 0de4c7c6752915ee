"""Drawings with links are put into the page, where a browser follows their links.

Input: images of SVG files that have ``<a href="../folder/page.html#place">``.
Output: the drawing itself, with links from the page that it is on.
"""

import re
from pathlib import Path

from docutils import nodes

LINK = re.compile(r'href="\.\./([\w/]+)\.html')


def drawing(path, docname, builder):
    """Return the drawing of a file as HTML, None if it has no links."""
    text = path.read_text(encoding="utf-8")
    if not LINK.search(text):
        return None

    def link(match):
        return f'href="{builder.get_relative_uri(docname, match[1])}'

    return f'<div class="map">{LINK.sub(link, text)}</div>'


def replace(app, doctree, docname):
    """Put drawings with links in place of their images."""
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"])
        if path.suffix == ".svg" and path.exists():
            text = drawing(path, docname, app.builder)
            whole = image.parent if isinstance(image.parent, nodes.reference) else image
            if text:
                whole.replace_self(nodes.raw("", text, format="html"))


def setup(app):
    """Connect to Sphinx."""
    app.connect("doctree-resolved", replace)
    return {"parallel_read_safe": True}
