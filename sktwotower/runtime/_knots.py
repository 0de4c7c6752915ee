"""How weights of parts follow the number of past items of a user.

Input: numbers of past items, (n,).
Output: how much the weights of each knot count, (n, n_knots).
"""

import numpy as np

# Weights of parts follow the number of a user's past items. They are learnt for these
# numbers; between two of them they change in proportion to the logarithm.
KNOTS = np.array([0, 1, 3, 10, 30])


def knot_shares(n_past):
    """Return how much each of `KNOTS` counts for users with so many past items (n,).

    Returns
    -------
    float64 array of shape (n, n_knots)
        Rows add up to 1.

    Examples
    --------
    >>> from sktwotower.runtime._knots import knot_shares
    >>> knot_shares([0, 2, 99]).round(2).tolist()
    [[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.42, 0.58, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]
    """
    places, knots = np.log1p(n_past), np.log1p(KNOTS)
    columns = [np.interp(places, knots, one) for one in np.eye(len(KNOTS))]
    return np.stack(columns, axis=1)
