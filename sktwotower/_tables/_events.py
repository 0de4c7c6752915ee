"""Checks of events: their table, their rewards and their weights.

Input: an interaction table X (n_events, n_columns), y and sample_weight (n_events,).
Output: a pandas frame of the events, and rewards and weights, float64 (n_events,).
"""

from reprlib import repr as shorten

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_consistent_length, column_or_1d

from sktwotower._sklearn_compat import check_sample_weight

from ._messages import warn
from ._schema import read_table

__all__ = ["latest_rows", "outcomes", "read_events"]

# Rewards and weights with a maximum outside of this range are rescaled: their products
# and the sums of these are stored as float32, which ends at 1e-45 and 3e38.
MIN_SCALE, MAX_SCALE = 2.0**-50, 2.0**50


def latest_rows(own, codes, n_entities, name):
    """Return the last feature row of each entity; warn once if its rows disagree.

    ``own`` (n_events, n_features) : features of the events. ``codes`` (n_events,) : the
    entity of each. Entities without an event have missing features.
    """
    last = np.full(n_entities, -1)
    last[codes] = np.arange(len(codes))  # the last assignment wins
    disagree = np.zeros(n_entities, dtype=bool)
    for column in own.columns:
        values = own[column]
        if _may_hold_lists(values.dtype):  # which cannot be compared as arrays
            values = values.map(repr)
        first = pd.factorize(values, use_na_sentinel=True)[0]
        disagree[codes[first != first[last[codes]]]] = True
    if disagree.any():
        warn(
            f"Rows of X disagree on the features of {int(disagree.sum())} of "
            f"{n_entities} ids in {name}; the last row of each was used."
        )
    if own.shape[1] == 0:
        return pd.DataFrame(index=range(n_entities))
    if (last >= 0).all():
        return own.take(last).reset_index(drop=True)
    # entities of the side table that have no event
    return own.reset_index(drop=True).reindex(last).reset_index(drop=True)


def _may_hold_lists(dtype):
    arrow = isinstance(dtype, pd.ArrowDtype) and dtype.kind == "O"
    return arrow or isinstance(dtype, np.dtypes.ObjectDType)


def outcomes(y, sample_weight, n_events, may_be_empty=False):
    """Return rewards and weights, float64 (n_events,), after all checks.

    ``y`` None: every reward is one. ``sample_weight`` None: every weight is one.
    ``may_be_empty``: whether there may be no positive event.
    """
    y = np.ones(n_events) if y is None else _rewards(y, n_events)
    weights = _event_weights(sample_weight, n_events, may_be_empty)
    if not weights.any() and not may_be_empty:
        raise ValueError("All entries of sample_weight are zero.")
    y, weights = _rescaled(y), _rescaled(weights)
    positive = (y > 0) & (weights > 0)
    if not positive.any() and not may_be_empty:
        raise ValueError(
            "X holds no positive event: at least one row needs y > 0 (or y=None) and "
            "a sample_weight > 0."
        )
    lost = int((y[positive] * weights[positive] == 0).sum())
    if lost:
        raise ValueError(
            f"y * sample_weight is too small to differ from 0 in {lost} rows. Leave "
            "these rows out, or set their sample_weight to 0."
        )
    return y, weights


def _rewards(y, n_events):
    """Return rewards, finite float64 (n_events,) >= 0."""
    y = column_or_1d(y, warn=True)
    if y.dtype == object or y.dtype.kind in "USb":
        y = _as_numbers(
            y,
            "y",
            "rewards (> 0 chosen, 0 shown and not chosen)",
            "Unknown label type.",
        )
    if y.dtype.kind not in "iuf":
        raise ValueError(f"y must be numeric rewards. Got dtype {y.dtype}.")
    y = y.astype(float)
    if len(y) != n_events:
        raise ValueError(
            f"y must have one outcome per row of X: expected {n_events}, got {len(y)}."
        )
    if not np.isfinite(y).all():
        raise ValueError("y contains NaN or infinity; a reward is a finite number.")
    if (y < 0).any():
        raise ValueError(
            f"y must be >= 0: a reward, or 0 for shown and not chosen. Got {y.min()}. "
            "Ratings below zero or -1 labels need mapping first, as in y=(label > 0)."
        )
    return y


def _as_numbers(values, name, expected, remedy):
    """Return an array of objects or text (n,) as float64."""
    try:
        return values.astype(float)
    except (TypeError, ValueError, OverflowError):
        first = shorten(values.ravel()[:1].tolist()[0])
        raise ValueError(
            f"{name} must be numeric {expected}. Got {values.dtype} values such as "
            f"{first}. {remedy}"
        ) from None


def _rescaled(values):
    """Return values >= 0 (n,), times a power of two if float32 could not hold them.

    Only their proportions count. Weights that decay with age may all be tiny.
    """
    largest = values.max(initial=0)
    if largest == 0 or MIN_SCALE <= largest <= MAX_SCALE:
        return values
    return np.ldexp(values, -np.frexp(largest)[1])


def read_events(owner, X, y, sample_weight, schema=None, may_be_empty=False):
    """Return events that count as a table, their rewards and weights, and the schema.

    ``owner`` and ``schema`` are those of `read_table`; the table has as many rows as
    rewards (n_events,) and weights (n_events,) have entries. ``may_be_empty``: whether
    there may be no positive event, and no row.
    """
    frame, schema = read_table(owner, X, schema, may_be_empty)
    rewards, weights = outcomes(y, sample_weight, len(frame), may_be_empty)
    kept = weights > 0
    return frame[kept], rewards[kept], weights[kept], schema


def _event_weights(sample_weight, n_events, may_be_empty=False):
    """Return weights, float64 (n_events,), after all checks.

    ``may_be_empty``: whether all of them may be 0.
    """
    if sample_weight is None or n_events == np.asarray(sample_weight).size == 0:
        return np.ones(n_events)
    check_consistent_length(np.empty(n_events), sample_weight)
    if np.asarray(sample_weight).dtype.kind in "OUS":
        sample_weight = _as_numbers(
            np.asarray(sample_weight), "sample_weight", "weights >= 0", "Convert them."
        )
    if may_be_empty and not np.any(sample_weight):
        return np.zeros(n_events)
    weights = check_sample_weight(
        sample_weight, np.empty((n_events, 1)), dtype=np.float64
    )
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be >= 0. Got {weights.min()}.")
    return weights
