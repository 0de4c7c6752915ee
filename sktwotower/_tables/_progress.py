"""Progress of long calls: log records, and bars where somebody can see them.

Input: what happened, or an iterable.
Output: records of the logger ``sktwotower``; a tqdm bar.
"""

import logging
import sys

from tqdm import tqdm

__all__ = ["progress_bar"]

logger = logging.getLogger("sktwotower")


def progress_bar(iterable=None, **options):
    """Return a tqdm bar, which shows nothing unless somebody can see it move."""
    return tqdm(iterable, disable=not _is_watched(sys.stderr), **options)


def _is_watched(stream):
    """Return whether a stream is a terminal, or the output of a notebook's cell."""
    return stream.isatty() or type(stream).__module__.startswith("ipykernel")
