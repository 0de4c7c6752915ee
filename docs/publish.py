"""Put built pages into the folder of all versions: publish.py BUILT FOLDER VERSION.

Input: pages, the folder of the site, and ``dev`` or a tag such as ``v0.1.0``.
Output: in the folder, the pages of that version, which of the newest tag are ``stable``
as well; ``switcher.json``, which the menu of versions reads; a first page that leads to
``stable``, or to ``dev`` before there is any tag.
"""

import json
import re
import shutil
import sys
from pathlib import Path

URL = "https://sktwotower.github.io/sktwotower"
TAG = re.compile(r"v\d+(\.\d+)*")
FIRST_PAGE = '<meta http-equiv="refresh" content="0; url={}/"><a href="{}/">Pages</a>\n'


def number(tag):
    """Return the numbers of a tag, to sort by."""
    return [int(digits) for digits in tag[1:].split(".")]


def tags_in(folder):
    """Return the versions that have a folder, the newest first."""
    names = [path.name for path in folder.iterdir() if TAG.fullmatch(path.name)]
    return sorted(names, key=number, reverse=True)


def replace(built, target):
    """Copy the pages in place of those that are there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(built, target)


def versions(tags):
    """Return the entries of the menu."""
    found = [("dev", "dev")]
    if tags:
        found.append((f"{tags[0]} (stable)", "stable"))
    found += [(tag, tag) for tag in tags[1:]]
    return [
        {"name": name, "version": folder, "url": f"{URL}/{folder}/"}
        for name, folder in found
    ]


def publish(built, folder, version):
    """Add the pages of a version to a folder."""
    if version != "dev" and not TAG.fullmatch(version):
        raise ValueError(
            f"VERSION must be dev or a tag such as v0.1.0, got {version!r}"
        )
    built, folder = Path(built), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    replace(built, folder / version)
    tags = tags_in(folder)
    if version in tags[:1]:
        replace(built, folder / "stable")
    first = "stable" if tags else "dev"
    menu = json.dumps(versions(tags), indent=2) + "\n"
    (folder / "switcher.json").write_text(menu, encoding="utf-8")
    (folder / "index.html").write_text(FIRST_PAGE.format(first, first), "utf-8")
    (folder / ".nojekyll").touch()  # names of folders may begin with _


if __name__ == "__main__":
    publish(*sys.argv[1:])
