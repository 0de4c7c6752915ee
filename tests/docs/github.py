"""What GitHub shows of a Markdown file: its anchors and its links.

GitHub renders CommonMark with tables.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
IN_HTML = re.compile(r"""(?:href|src|srcset)=["']([^"']+)["']""")
ANCHOR = re.compile(r"""<\w+ [^>]*?(?:id|name)=["']([^"']+)["']""")
REMOTE = ("https://", "http://", "mailto:")


class Page(NamedTuple):
    """What a rendered page has."""

    anchors: set
    links: list


def slug(title):
    """Return the anchor of a heading, by GitHub's rules."""
    return re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")


def anchors_of(tokens):
    """Return the anchors of headings and of HTML."""
    titles = [
        "".join(child.content for child in tokens[i + 1].children)
        for i, token in enumerate(tokens)
        if token.type == "heading_open"
    ]
    found = set()
    for title in map(slug, titles):
        number = sum(name == title or name.startswith(f"{title}-") for name in found)
        found.add(f"{title}-{number}" if title in found else title)
    for token in flat(tokens):
        if token.type.startswith("html_"):
            found |= set(ANCHOR.findall(token.content))
    return found


def flat(tokens):
    """Yield the tokens and the parts of their text."""
    for token in tokens:
        yield token
        yield from token.children or []


def links_of(tokens):
    """Return the addresses of links and pictures."""
    found = []
    for token in flat(tokens):
        if token.type in ("link_open", "image"):
            found.append(token.attrs.get("href") or token.attrs.get("src"))
        if token.type.startswith("html_"):
            found += IN_HTML.findall(token.content)
    return found


def parsed(text):
    """Return the Page of a text."""
    tokens = READER.parse(text)
    return Page(anchors_of(tokens), links_of(tokens))


@cache
def page_of(path):
    """Return the Page of a file."""
    return parsed(path.read_text("utf-8"))


def faults(path, page=None, root=ROOT):
    """Return a line for each link of a page that leads nowhere."""
    page = page or page_of(path)
    found = []
    for link in dict.fromkeys(page.links):
        if not link.startswith(REMOTE):
            found += fault_of_link(link, path, page, root)
    return found


def fault_of_link(link, path, page, root):
    """Return a line if a link leads nowhere that GitHub can show."""
    file, _, anchor = link.partition("#")
    target = (path.parent / file).resolve() if file else path
    if file and not (target.exists() and root in (target, *target.parents)):
        return [f"leads to nothing: {link}"]
    if target.suffix == ".rst":
        return [f"leads to a page for Sphinx only: {link}"]
    if not anchor or target.suffix != ".md":
        return []
    there = page if target == path else page_of(target)
    return [] if anchor in there.anchors else [f"has no such place: {link}"]
