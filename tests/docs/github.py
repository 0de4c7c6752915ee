"""What GitHub shows of a Markdown file: its anchors, its links, and what is left raw.

GitHub renders CommonMark with tables; roles and directives of Sphinx are text there.
"""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
ROLE = re.compile(r"(:[a-z][\w:+-]*:|\{[a-z][\w:+-]*\})$")
DIRECTIVE = re.compile(r"^(\.\. \w[\w-]*::|:::|\|.*\||\.\. \|)", re.MULTILINE)
IN_HTML = re.compile(r"""(?:href|src|srcset)=["']([^"']+)["']""")
ANCHOR = re.compile(r"""<\w+ [^>]*?(?:id|name)=["']([^"']+)["']""")
MARKDOWN = re.compile(r"\]\(|`|\*\*|^ *[-*] ", re.MULTILINE)
REMOTE = ("https://", "http://", "mailto:")


class Page(NamedTuple):
    """What a rendered page has."""

    anchors: set
    links: list
    raw: list


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


def raw_of(tokens):
    """Return what the page shows as it was written, or cuts a paragraph with."""
    found = []
    ends = {token.map[1] for token in tokens if token.type == "paragraph_open"}
    for token in tokens:
        if token.type == "fence" and token.info.startswith("{"):
            found.append(f"directive {token.info}")
        if token.type == "inline":
            found += raw_in_text(token.children)
        if token.type == "html_block":
            content = token.content.rstrip()
            if content.startswith("<!--") and token.map[0] in ends:
                found.append(f"comment in a paragraph {content[:40]}")
            if not content.startswith("<!--") and MARKDOWN.search(content):
                found.append(f"Markdown within HTML {content[:40]}")
    return list(dict.fromkeys(found))


def raw_in_text(children):
    """Return roles, directives, rows of broken tables and comments of a paragraph."""
    found = []
    for token, after in pairwise([*children, None]):
        if token.type == "html_inline" and token.content.startswith("<!--"):
            found.append(f"comment in a paragraph {token.content[:40]}")
        is_code = after is not None and after.type == "code_inline"
        if token.type == "text" and is_code and (role := ROLE.search(token.content)):
            found.append(f"role {role[1]}")
        if token.type == "text":
            found += [f"directive {name}" for name in DIRECTIVE.findall(token.content)]
    return found


def parsed(text):
    """Return the Page of a text."""
    tokens = READER.parse(text)
    return Page(anchors_of(tokens), links_of(tokens), raw_of(tokens))


@cache
def page_of(path):
    """Return the Page of a file."""
    return parsed(path.read_text("utf-8"))


def faults(path, page=None, root=ROOT):
    """Return a line for each fault of a page: raw markup, links that lead nowhere."""
    page = page or page_of(path)
    found = [f"shown raw: {raw}" for raw in page.raw]
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
