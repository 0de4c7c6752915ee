"""Parts of error messages and warnings.

Input: names and ids.
Output: text.
"""

from difflib import get_close_matches

import numpy as np


def some(ids, n=5):
    """Show the first few of many ids."""
    shown = ", ".join(repr(i) for i in np.asarray(ids[:n]).tolist())
    return shown + (", ..." if len(ids) > n else "")


def suggestion(name, known, what="Columns"):
    """Give ' Did you mean ...?', or the known names where nothing is close."""
    known = [str(k) for k in known]
    close = get_close_matches(str(name), known, n=1)
    if close:
        return f" Did you mean {close[0]!r}?"
    shown = ", ".join(map(repr, known[:12])) + (", ..." if len(known) > 12 else "")
    return f" {what}: {shown}."
