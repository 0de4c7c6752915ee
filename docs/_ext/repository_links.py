"""Links between Markdown files of the repository lead to pages of the site.

Input: Markdown whose links are paths from the file, as GitHub follows them, also to
files outside of this folder; pages that are one ``{include}`` of such a file.
Output: the same, with the file in place of the ``{include}``; links to a file that is a
page lead there, those to other files lead to the repository. A ``<picture>`` that the
reader's system makes light or dark becomes two, of which the theme shows one; one that
has a drawing for narrow pages becomes an image of Markdown (see `clickable_maps`).
"""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
INCLUDED = re.compile(r"```\{include\} (\S+)\n```\n")
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)\s#]+)((?:#[^)\s]*)?\))")
NARROW = r'<picture>\s*<source (media="\(max-width: \d+px\)") srcset="([^"]+)">\s*'
PICTURE = re.compile(
    NARROW + r'<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*'
    r'<img ([^>]*?)src="([^"]+)"([^>]*)>\s*</picture>'
)
DRAWING = re.compile(NARROW + r'<img alt="([^"]+)" src="([^"]+)">\s*</picture>')
CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def included(path):
    """Return the file that a page consists of, itself or the one it includes."""
    text = path.read_text(encoding="utf-8")
    match = INCLUDED.fullmatch(text) if path.suffix == ".md" else None
    return (path.parent / match[1]).resolve() if match else path


def page_by_file(docs=DOCS):
    """Return {file: page}, both as paths, for files that are shown as pages."""
    pages = {path: path for path in docs.rglob("*.md")}
    found = {included(path): path for path in pages}
    for notebook in (docs.parent / "notebooks").glob("*.ipynb"):
        found[notebook] = docs / "examples" / notebook.name
    found[docs.parent / "notebooks" / "README.md"] = docs / "examples" / "index.rst"
    gallery = docs.parent / "examples" / "gallery"
    for script in gallery.glob("*.py"):
        found[script] = docs / "examples" / "gallery" / f"{script.stem}.rst"
    found[gallery / "README.md"] = docs / "examples" / "gallery" / "index.rst"
    return pages | found


def on_site(target, file, page, pages, url):
    """Return the address of a link of a file that is shown on a page."""
    path = (file.parent / target).resolve()
    if path in pages:
        return os.path.relpath(pages[path], page.parent)
    if page.parents[-1] in path.parents and DOCS in path.parents:
        return os.path.relpath(path, page.parent)
    return f"{url}/blob/main/{os.path.relpath(path, ROOT)}"


def linked(text, file, page, pages, url):
    """Return the text of a file with links for the site."""

    def link(match):
        return match[1] + on_site(match[2], file, page, pages, url) + match[3]

    def picture(match):
        media, narrow, dark, before, light, after = match.groups()
        narrow = on_site(narrow, file, page, pages, url)
        by_theme = {"only-light": light, "only-dark dark-light": dark}
        images = [
            f'<picture><source {media} srcset="{narrow}">'
            f'<img class="{names}" {before}src="{address}"{after}></picture>'
            for names, target in by_theme.items()
            for address in [on_site(target, file, page, pages, url)]
        ]
        return "".join(images)

    parts = CODE.split(text)
    parts[::2] = [LINK.sub(link, DRAWING.sub(r"![\3](\4)", p)) for p in parts[::2]]
    parts[::2] = [PICTURE.sub(picture, p) for p in parts[::2]]
    return "".join(parts)


def read(app, docname, source):
    """Change the source of a page as it is read."""
    page = Path(app.env.doc2path(docname))
    if page.suffix == ".md":
        file = included(page)
        if file != page:
            app.env.note_dependency(str(file))
            source[0] = file.read_text(encoding="utf-8")
        url = app.config.html_theme_options["github_url"]
        source[0] = linked(source[0], file, page, page_by_file(), url)


def setup(app):
    """Connect to Sphinx."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
