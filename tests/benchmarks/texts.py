"""Texts without what benchmarks/fill.py writes into their sentences."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from _sentences import places  # noqa: E402


def without(text, kinds, name="text", sentences=None):
    """Return a text without its figures, its claims or both: ``kinds``."""
    for place in reversed(places(name, text, sentences)):
        if place.kind in kinds:
            text = text[: place.start] + text[place.end :]
    return text
