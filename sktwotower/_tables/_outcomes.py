"""Checks of rewards and weights of events.

Input: y and sample_weight (n_events,), or figures about columns of files.
Output: rewards and weights, float64 (n_events,).
"""

from reprlib import repr as shorten
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import column_or_1d

from sktwotower._sklearn_compat import check_sample_weight

# Rewards and weights with a maximum outside of this range are rescaled: their products
# and the sums of these are stored as float32, which ends at 1e-45 and 3e38.
MIN_SCALE = 2.0**-50
MAX_SCALE = 2.0**50


def outcomes(y, sample_weight, n_events, may_be_empty=False):
    """Return rewards and weights, float64 (n_events,), after all checks.

    ``y`` None: every reward is one. ``sample_weight`` None: every weight is one.
    ``may_be_empty``: whether there may be no positive event.
    """
    for name, values in (("y", y), ("sample_weight", sample_weight)):
        if isinstance(values, str):
            raise TypeError(
                f"{name}={values!r} names a column only for events on disk. Pass "
                f"X[{values!r}]."
            )
    if y is None and sample_weight is None and n_events:
        return np.ones(n_events), np.ones(n_events)
    if y is None:
        rewards = np.ones(n_events)
    else:
        rewards = numbers_of(y, n_events)
    weights = _event_weights(sample_weight, n_events, may_be_empty)
    of_rewards = Outcome.of("y", rewards)
    of_weights = Outcome.of("sample_weight", weights)
    is_positive = (rewards > 0) & (weights > 0)
    n_positive = np.count_nonzero(is_positive)
    check_outcomes([of_rewards, of_weights], n_positive, may_be_empty)
    rewards = of_rewards.scaled(rewards)
    weights = of_weights.scaled(weights)
    is_positive = (rewards > 0) & (weights > 0)
    refuse_vanished(is_positive & (rewards * weights == 0))
    return rewards, weights


class Outcome(NamedTuple):
    """What checks need to know of rewards or weights, wherever they are.

    ``name``: what messages call them. ``n_bad``: number of those that are not finite
    numbers.
    """

    name: str
    n_bad: int
    lowest: float
    largest: float

    @classmethod
    def of(cls, name, values):
        """Return what is known of an array (n,)."""
        n_bad = len(values) - np.count_nonzero(np.isfinite(values))
        return cls(name, n_bad, values.min(initial=0), values.max(initial=0))

    def scaled(self, values):
        """Return some of them, times a power of two if float32 could not hold them.

        Only their proportions count. Weights that decay with age may all be tiny.
        """
        if self.exponent == 0:
            return values
        return np.ldexp(values, self.exponent)

    @property
    def exponent(self):
        """Return the power of two that they are scaled by, 0 if float32 holds them."""
        if self.largest == 0 or MIN_SCALE <= self.largest <= MAX_SCALE:
            return 0
        _, exponent = np.frexp(self.largest)
        return -int(exponent)


def check_outcomes(figures, n_positive, may_be_empty=False):
    """Raise ``ValueError`` unless all rewards and weights are finite and >= 0.

    ``figures``: an ``Outcome`` each. ``n_positive``: number of positive events, 0 is
    refused unless ``may_be_empty``.
    """
    for outcome in figures:
        if outcome.n_bad:
            raise ValueError(
                f"{outcome.name} contains NaN or infinity, or text: {outcome.n_bad} "
                "entries are not finite numbers. Convert them, or drop these rows."
            )
        if outcome.lowest < 0:
            raise ValueError(
                f"{outcome.name} must be >= 0. Got {outcome.lowest}. Ratings below "
                "zero or -1 labels need mapping first, as in y=(label > 0); 0 means "
                "shown and not chosen, and as a weight, left out."
            )
    if n_positive == 0 and not may_be_empty:
        raise ValueError(
            "X holds no positive event: at least one row needs y > 0 (or y=None) and a "
            "sample_weight > 0."
        )


def refuse_vanished(vanishes):
    """Raise ``ValueError`` if a reward times its weight vanishes, bool (n,)."""
    lost = np.count_nonzero(vanishes)
    if lost:
        raise ValueError(
            f"y * sample_weight is too small to differ from 0 in {lost} rows. Leave "
            "these rows out, or set their sample_weight to 0."
        )


def numbers_of(y, n_events):
    """Return y, one number for each event, as float64 (n_events,)."""
    y = column_or_1d(y, warn=True)
    if y.dtype == object or y.dtype.kind in "USb":
        expected = "rewards (> 0 chosen, 0 shown and not chosen)"
        y = _as_numbers(y, "y", expected, "Unknown label type.")
    if y.dtype.kind not in "iuf":
        raise ValueError(f"y must be numeric rewards. Got dtype {y.dtype}.")
    y = y.astype(float)
    _check_length(y, n_events, "y must have one outcome")
    return y


def _check_length(values, n_events, expected):
    """Raise ``ValueError`` unless there is one value for each event."""
    if len(values) != n_events:
        raise ValueError(
            f"{expected} per row of X: expected {n_events}, got {len(values)}."
        )


def _as_numbers(values, name, expected, remedy):
    """Return an array of objects or text (n,) as float64."""
    try:
        return values.astype(float)
    except (TypeError, ValueError, OverflowError):
        first = shorten(values.ravel()[:1].tolist()[0])
        got = f"Got {values.dtype} values such as {first}. {remedy}"
        raise ValueError(f"{name} must be numeric {expected}. {got}") from None


def _event_weights(sample_weight, n_events, may_be_empty):
    """Return weights as float64 (n_events,).

    ``may_be_empty``: whether all of them may be 0.
    """
    if sample_weight is None or n_events == np.asarray(sample_weight).size == 0:
        return np.ones(n_events)
    weights = np.atleast_1d(np.asarray(sample_weight))
    _check_length(weights, n_events, "sample_weight must have one weight")
    if weights.dtype.kind in "OUSmM":
        # of durations numpy would take the number of their units
        if weights.dtype.kind in "mM":
            weights = weights.astype(str)
        sample_weight = _as_numbers(
            weights, "sample_weight", "weights >= 0", "Convert them."
        )
    if may_be_empty and not np.any(sample_weight):
        return np.zeros(n_events)
    return check_sample_weight(sample_weight, np.empty((n_events, 1)), dtype=np.float64)
