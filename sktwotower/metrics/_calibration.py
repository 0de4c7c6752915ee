"""How far predicted probabilities are from what came of them.

Input: outcomes and probabilities, (n_rows,) each.
Output: one number.
"""

import numpy as np

from sktwotower._tables._messages import check_count

from ._hits import check_weights
from ._ranked_lists import column_of_numbers


def expected_calibration_error(
    y_true, y_prob, n_bins=10, *, sample_weight=None
) -> float:
    r"""Compute the expected calibration error of probabilities.

    How far, on average, a probability is from the share of positive rows among those
    with a similar one. 0 is perfect. Lower is not better for an order: the same
    probability for all rows, their share of positives, has an error of 0.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Outcome of each row, finite and >= 0; those > 0 are positive.
    y_prob : array-like of shape (n_rows,)
        Probability that it is positive, in [0, 1], as in the last column of
        ``predict_proba``.
    n_bins : int, default=10
        Number of bins of the same width, >= 1.
    sample_weight : array-like of shape (n_rows,), default=None
        Weight of each row, finite and >= 0. None: all count once.

    Returns
    -------
    value : float in [0, 1]

    Raises
    ------
    ValueError
        If lengths differ or are 0, outcomes, probabilities or weights are out of range,
        all weights are 0, or `n_bins` < 1.
    TypeError
        If an argument is not an array, or `n_bins` is not an integer.

    See Also
    --------
    sktwotower.plots.ReliabilityDisplay : The curve behind this number.
    sklearn.metrics.brier_score_loss : Judges the order as well.

    Notes
    -----
    .. math::
        \mathrm{ECE} = \sum_{b=1}^{B} \frac{n_b}{n}
        \left| \bar{y}_b - \bar{p}_b \right|

    Bin b of B holds the :math:`n_b` of n rows with a probability in
    :math:`((b - 1) / B, b / B]`, the first one 0 as well; :math:`\bar{y}_b` is their
    share of positives, :math:`\bar{p}_b` their mean probability. With weights, shares
    and means are weighted, and n are sums of weights.

    Denominator: the sum of the weights.

    Rows left out: none.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015). Obtaining well calibrated probabilities using
    Bayesian binning. AAAI.

    Guo, Pleiss, Sun and Weinberger (2017). On calibration of modern neural networks.
    ICML.

    Examples
    --------
    >>> from sktwotower.metrics import expected_calibration_error
    >>> y_prob = [0.2, 0.2, 0.2, 0.2, 0.7, 0.7]
    >>> error = expected_calibration_error([1, 0, 0, 0, 1, 0], y_prob)
    >>> round(error, 4)  # 4 rows with a share of .25, 2 with a share of .5
    0.1
    """
    positive, probabilities = outcomes_and_probabilities(y_true, y_prob)
    weights = check_weights(sample_weight, np.ones(len(positive), dtype=bool), "row")
    n_bins = check_count(n_bins, "n_bins")
    # b / B as Python divides them: linspace is below some, which have the next bin then
    edges = np.arange(1, n_bins) / n_bins
    bins = np.searchsorted(edges, probabilities)
    gaps = np.bincount(bins, weights * (positive - probabilities))
    return float(np.abs(gaps).sum() / weights.sum())


def outcomes_and_probabilities(y_true, y_prob):
    """Return which rows are positive, and probabilities, (n_rows,), after checks."""
    positive = column_of_numbers(y_true, "y_true", "finite outcomes >= 0", 0) > 0
    probabilities = column_of_numbers(y_prob, "y_prob", "probabilities in [0, 1]", 0, 1)
    if not len(positive) == len(probabilities) > 0:
        expected = "one entry per row each, and at least one"
        got = f"Got {len(positive)} and {len(probabilities)}."
        raise ValueError(f"y_true and y_prob must have {expected}. {got}")
    return positive, probabilities
