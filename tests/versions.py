"""Versions as numbers that can be compared."""

import re

__all__ = ["number"]


def number(version):
    """Return the numbers of a version, a tuple: (1, 10) for "1.10rc1"."""
    return tuple(map(int, re.match(r"[\d.]+", version)[0].strip(".").split(".")))
