"""Enters: an interaction table X (n_events, n_columns), y and sample_weight.

Leaves: checked ids, rewards (n_events,) and user-item matrices.
Next: entities.py, which makes one row per user and item of them.
"""

import numpy as np
import pandas as pd
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    column_or_1d,
)

from ._messages import warn
from ._schema import read_table

__all__ = ["latest_rows", "outcomes", "read_events"]


def latest_rows(own, codes, n_entities, name):
    """Keep each entity's last row of features; warn once where rows disagree."""
    last = np.full(n_entities, -1)
    last[codes] = np.arange(len(codes))  # the last assignment wins
    disagree = np.zeros(n_entities, dtype=bool)
    for column in own.columns:
        values = own[column]
        if values.dtype == object:  # lists cannot be compared as arrays
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
    # the side table knows more entities than X: what X says of them is missing
    return own.reset_index(drop=True).reindex(last).reset_index(drop=True)


def outcomes(y, sample_weight, n_events):
    """Return rewards and weights (n_events,) of events after all checks.

    ``y`` None: every reward is one.
    """
    if y is None:
        y = np.ones(n_events)
    y = column_or_1d(y, warn=True)
    if y.dtype == object or y.dtype.kind in "USb":
        y = _as_numbers(y)
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
    weights = _event_weights(sample_weight, n_events)
    if not (y * weights > 0).any():
        raise ValueError(
            "X holds no positive event: at least one row needs y > 0 (or y=None) and "
            "a sample_weight > 0."
        )
    return y, weights


def _as_numbers(y):
    try:
        return y.astype(float)
    except (TypeError, ValueError):
        raise ValueError(
            "y must be numeric rewards (> 0 chosen, 0 shown and not chosen). "
            f"Got {y.dtype} values such as {y[0]!r}. Unknown label type."
        ) from None


def read_events(owner, X, y, sample_weight, schema=None):
    """Return events that count as a table, their rewards and weights, and the schema.

    ``owner`` and ``schema`` are those of `read_table`; the table has as many rows as
    rewards (n_events,) and weights (n_events,) have entries.
    """
    frame, schema = read_table(owner, X, schema)
    rewards, weights = outcomes(y, sample_weight, len(frame))
    kept = weights > 0
    return frame[kept], rewards[kept], weights[kept], schema


def _event_weights(sample_weight, n_events):
    if sample_weight is None:
        return np.ones(n_events)
    check_consistent_length(np.empty(n_events), sample_weight)
    weights = _check_sample_weight(
        sample_weight, np.empty((n_events, 1)), dtype=np.float64
    )
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be >= 0. Got {weights.min()}.")
    if not weights.any():
        raise ValueError("All entries of sample_weight are zero.")
    return weights
