"""Find faults of the built pages: python docs/check.py docs/_build.

Looked for are links that lead nowhere, files that a browser would fetch from the
network, and markup that was not understood. Exits with 1 if there are any.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect"}
# Text of these is code, or read by MathJax.
VERBATIM = {"pre", "code", "script", "style", "title"}
UNREAD = re.compile(
    r":\w[\w:+-]*:`|``|\\\(|\\\[|\*\*\w[^*]*\*\*|\]\(\S+\.\w+\)|^\.\. \w+::",
    re.MULTILINE,
)
ROLE = re.compile(r":\w[\w:+-]*:$")  # in front of code: the name of a role
IN_STYLE = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])([^"')\s]+)""")
VOID = {"img", "br", "hr", "input", "meta", "link", "source", "col", "wbr", "path"}


class Page(HTMLParser):
    """What a page links to and fetches, its anchors, and markup left in its text."""

    def __init__(self, text):
        super().__init__()
        self.links, self.fetched, self.anchors, self.unread = [], [], set(), []
        self._last = ""  # text in front of the element
        self._verbatim = []  # open elements, from the first whose text is verbatim
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Keep the addresses and the anchor of an element."""
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and FETCHED & set(values.get("rel", "").split()):
            self.fetched.append(values.get("href", ""))
        if tag != "a" and values.get("src"):
            self.fetched.append(values["src"])
        self.fetched += IN_STYLE.findall(values.get("style", ""))
        if tag == "code" and not self._verbatim:
            self.unread += ROLE.findall(self._last)
        is_math = "math" in values.get("class", "").split()
        if tag not in VOID and (self._verbatim or tag in VERBATIM or is_math):
            self._verbatim.append(tag)

    def handle_endtag(self, tag):
        """Leave an element."""
        if self._verbatim and tag == self._verbatim[-1]:
            self._verbatim.pop()

    def handle_data(self, data):
        """Keep markup that is shown as it was written, and addresses in styles."""
        self._last = data
        if not self._verbatim:
            self.unread += UNREAD.findall(data)
        elif self._verbatim[-1] == "style":
            self.fetched += IN_STYLE.findall(data)


def is_remote(address):
    """Return whether a browser asks the network for an address."""
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https")


def target_of(path, address):
    """Return the file and the anchor that a local address leads to."""
    parts = urlsplit(address)
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    return (file / "index.html" if file.is_dir() else file), unquote(parts.fragment)


def faults_of_page(path, pages):
    """Return the faults of one page."""
    page = pages[path]
    found = [f"is not understood: {text}" for text in page.unread]
    found += [f"fetches {url}" for url in page.fetched if is_remote(url)]
    local = [url for url in page.links + page.fetched if not urlsplit(url).scheme]
    for url in (url for url in local if not is_remote(url)):
        file, anchor = target_of(path, url)
        if not file.exists():
            found.append(f"leads to nothing: {url}")
        elif anchor and file in pages and anchor not in pages[file].anchors:
            found.append(f"has no such place: {url}")
    return found


def faults_of_style(path):
    """Return the addresses in the network that a style sheet fetches."""
    addresses = IN_STYLE.findall(path.read_text(encoding="utf-8"))
    return [f"fetches {address}" for address in addresses if is_remote(address)]


def faults(folder):
    """Return one line for each fault of the pages in a folder."""
    folder = Path(folder).resolve()
    paths = [p for p in folder.rglob("*.html") if p.parent.name != "_static"]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    if not pages:
        return [f"{folder} has no pages"]
    found = {path: faults_of_page(path, pages) for path in sorted(pages)}
    found |= {path: faults_of_style(path) for path in sorted(folder.rglob("*.css"))}
    return [
        f"{path.relative_to(folder)}: {fault}"
        for path, of_path in found.items()
        for fault in dict.fromkeys(of_path)
    ]


if __name__ == "__main__":
    lines = faults(sys.argv[1])
    print("\n".join(lines) or "No faults.")
    sys.exit(bool(lines))
