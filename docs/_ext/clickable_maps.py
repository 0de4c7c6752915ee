"""Drawings of the pages: those with links, and those for narrow pages.

Input: images of ``_static/x.svg``, for which ``_static/narrow/x.svg`` may be there.
Output: a ``<picture>`` with both, of which a browser shows one. A drawing that has
``<a href="../folder/page.html#place">`` is put into the page itself, where a browser
follows its links, which then start from the page that it is on.
"""

import os
import re
from pathlib import Path

from docutils import nodes

LINK = re.compile(r'href="(?:\.\./)+([\w/]+)\.html')
NARROW = "(max-width: 700px)"


def drawing(path, docname, builder):
    """Return the drawing of a file as HTML, None if it has no links."""
    text = path.read_text(encoding="utf-8")
    if not LINK.search(text):
        return None

    def link(match):
        return f'href="{builder.get_relative_uri(docname, match[1])}'

    width = "narrow" if path.parent.name == "narrow" else "wide"
    return f'<div class="map {width}">{LINK.sub(link, text)}</div>'


def replace(app, doctree, docname):
    """Put drawings with links in place of their images, and let browsers choose."""
    if app.builder.format != "html":
        return
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir, image["uri"])
        narrow = path.parent / "narrow" / path.name
        if path.suffix != ".svg" or not narrow.exists():
            continue
        maps = [drawing(each, docname, app.builder) for each in (path, narrow)]
        if all(maps):
            whole = image.parent if isinstance(image.parent, nodes.reference) else image
            whole.replace_self(nodes.raw("", "".join(maps), format="html"))
        else:
            uri = os.path.relpath(narrow.relative_to(app.srcdir), Path(docname).parent)
            choose(image, uri)


def choose(image, uri):
    """Put an image into a ``<picture>`` with another one for narrow pages."""
    start = f'<picture><source media="{NARROW}" srcset="{uri}">'
    place, parts = image.parent.index(image), image.parent
    parts.insert(place + 1, nodes.raw("", "</picture>", format="html"))
    parts.insert(place, nodes.raw("", start, format="html"))


def setup(app):
    """Connect to Sphinx."""
    app.connect("doctree-resolved", replace)
    return {"parallel_read_safe": True}
