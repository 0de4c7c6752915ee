"""Parts of error messages and warnings.

Input: names and ids.
Output: text.
"""

import sys
import warnings
from difflib import get_close_matches

import numpy as np


def format_ids(ids, n=5):
    """Show the first few of many ids."""
    shown = ", ".join(repr(i) for i in np.asarray(ids[:n]).tolist())
    return shown + (", ..." if len(ids) > n else "")


def did_you_mean(name, known, what="Columns"):
    """Return ' Did you mean ...?', or the known names where nothing is close."""
    known = [str(k) for k in known]
    close = get_close_matches(str(name), known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    shown = ", ".join(map(repr, known[:12])) + (", ..." if len(known) > 12 else "")
    return f" {what}: {shown}."


# Frames of these packages are between the user's line and what warns.
_INNER = {"joblib", "sklearn", "skorch", "sktwotower"}


def warn(message, category=UserWarning):
    """Warn at the line of the caller outside this package and those it builds on."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _INNER:
            break
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
