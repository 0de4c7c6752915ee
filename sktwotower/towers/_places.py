"""The distinct items of a batch, and the place of each item among them.

Input: positions of items (m,) in a catalog of n.
Output: distinct positions (k,), ascending, and places (m,) among them.
"""

import numpy as np

__all__ = ["distinct", "places_in"]

# Sort if there are fewer positions than this share of the catalog. Otherwise an array
# of the catalog's length is faster.
MIN_SHARE = 1 / 64


def distinct(positions, n):
    """Return the distinct of positions (m,) below ``n``, ascending, (k,).

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.towers._places import distinct
    >>> distinct(np.array([5, 2, 5]), 9)
    array([2, 5])
    """
    if len(positions) < MIN_SHARE * n:
        return np.unique(positions).astype(np.int64, copy=False)
    found = np.zeros(n, dtype=bool)
    found[positions] = True
    return np.flatnonzero(found)


def places_in(selection, positions, n):
    """Return where positions (...) below ``n`` are in distinct ascending ones (k,).

    The place of a position that is not among them can be any.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.towers._places import places_in
    >>> places_in(np.array([2, 5]), np.array([5, 2, 5]), 9)
    array([1, 0, 1])
    """
    if positions.size < MIN_SHARE * n:
        places = np.searchsorted(selection, positions)
        return places.clip(max=max(0, len(selection) - 1))
    places = np.zeros(n, dtype=np.int64)
    places[selection] = np.arange(len(selection))
    return places[positions]
