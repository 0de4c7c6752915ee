"""The reference has a page for every public name."""

import re
from pathlib import Path

import pytest

from tests.public import ROOMS, public

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "index.rst"


def listed():
    """Return the full names of what the reference has a page for."""
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^\.\. (?:current)?module:: (\S+)$", text, flags=re.M)
    tables = r"^\.\. autosummary::\n(?:   :.+\n)+\n((?:   \w+\n)+)"
    return {
        f"{module}.{name}"
        for module, text in zip(parts[1::2], parts[2::2], strict=True)
        for table in re.findall(tables, text, flags=re.M)
        for name in table.split()
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_public_name_is_found_in_the_reference(room):
    pages = listed()
    for name in public(room):
        # under the name by which it is imported, which may be the package's
        ways = {f"sktwotower.{room}.{name}", f"sktwotower.{name}"}
        assert len(ways & pages) == 1, f"{name} is not in docs/reference/index.rst"
