"""Sets of positions, such as the rows of a table that a batch needs."""

import numpy as np

# Sort if there are fewer positions than this share of the catalog. Otherwise an array
# of the catalog's length is faster.
MIN_SHARE = 1 / 64


def distinct(positions, n):
    """Return the distinct of positions (m,) below ``n``, ascending, (k,).

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.towers.operators._positions import distinct
    >>> distinct(np.array([5, 2, 5]), 9)
    array([2, 5])
    """
    if (positions[1:] > positions[:-1]).all():
        return positions.astype(np.int64, copy=False)
    if len(positions) < MIN_SHARE * n:
        return np.unique(positions).astype(np.int64, copy=False)
    is_there = np.zeros(n, dtype=bool)
    is_there[positions] = True
    return np.flatnonzero(is_there)


def places_in(selection, positions, n):
    """Return where positions (...) below ``n`` are in distinct ascending ones (k,).

    The place of a position that is not among them can be any.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.towers.operators._positions import places_in
    >>> places_in(np.array([2, 5]), np.array([5, 2, 5]), 9)
    array([1, 0, 1])
    """
    if positions.size < MIN_SHARE * n:
        places = np.searchsorted(selection, positions)
        return places.clip(max=max(0, len(selection) - 1))
    places = np.zeros(n, dtype=np.int64)
    places[selection] = np.arange(len(selection))
    return places[positions]
