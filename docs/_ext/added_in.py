"""Says on each page of the reference since which version its object is there.

Input: ``docs/added_in.toml``, a table for each version: the public names that came
with it, each with those of its methods that came with it.
Output: a line below the first sentence of each object's page, and of each method that
is younger than its class.
"""

import tomllib
from pathlib import Path

TABLE = Path(__file__).parents[1] / "added_in.toml"


def versions(text):
    """Return {full name: version} of all objects and methods of the table."""
    found = {}
    for version, names in tomllib.loads(text).items():
        for name, methods in names.items():
            for full in (name, *(f"{name}.{method}" for method in methods.split())):
                found.setdefault(full, version)
    return found


def younger(added):
    """Return the same without methods that came with their class."""
    return {
        name: version
        for name, version in added.items()
        if added.get(name.rpartition(".")[0]) != version
    }


def add_line(app, what, name, thing, options, lines):
    """Put the line below the first paragraph of a docstring."""
    version = app.config.added_in.get(name)
    if version:
        start = next((i for i, line in enumerate(lines) if line.strip()), 0)
        rest = (i for i in range(start, len(lines)) if not lines[i].strip())
        end = next(rest, len(lines))
        lines[end:end] = ["", f".. versionadded:: {version}", ""]


def setup(app):
    """Connect to autodoc, after numpydoc, which writes docstrings anew."""
    added = younger(versions(TABLE.read_text(encoding="utf-8")))
    app.add_config_value("added_in", added, "env")
    app.connect("autodoc-process-docstring", add_line, priority=900)
    return {"parallel_read_safe": True}
