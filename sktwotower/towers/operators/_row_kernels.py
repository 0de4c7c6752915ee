"""The step of rows of a table by `RowwiseAdam`, compiled: one pass over touched rows.

Input and output: arrays of float32, which are changed in place.
"""

import numpy as np

from ._compiled import compiled

ONE = np.float32(1)


@compiled
def step_rows(table, rows, grad, steps, second, slowness, rate, beta, eps, shrink):
    """Update the rows at positions (m,) of a ``table`` (p, d) by gradients (m, d).

    ``steps``, ``second`` (p,): what the optimizer keeps of each row. ``slowness`` (p,),
    or empty: by how much each row's step is shorter. ``shrink``: the share that a
    touched row loses.
    """
    width = grad.shape[1]
    for k in range(len(rows)):
        slope = grad[k]
        square = np.float32(0)
        for j in range(width):
            square += slope[j] * slope[j]
        square /= np.float32(width)
        if square == 0:
            continue
        row = rows[k]
        n_steps = steps[row] + ONE
        moment = second[row] + (square - second[row]) * (ONE - beta)
        steps[row] = n_steps
        second[row] = moment
        factor = rate / (np.sqrt(moment / (ONE - beta**n_steps)) + eps)
        if len(slowness):
            factor *= ONE - slowness[row]
        weights = table[row]
        for j in range(width):
            weights[j] = weights[j] - weights[j] * shrink + slope[j] * factor
