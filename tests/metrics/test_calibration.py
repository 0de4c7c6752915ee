"""The calibration error: by hand, by a slow reference, of known probabilities."""

import numpy as np
import pytest

from sktwotower.metrics import expected_calibration_error
from tests.cases import for_each


def test_by_hand_with_and_without_weights():
    y_true, y_prob = [1, 0, 0, 2, 0], [0.1, 0.1, 0.1, 0.9, 1.0]
    # .1 is in the first bin, .9 in the ninth, 1 in the tenth; 2 is a positive outcome
    error = (abs(1 - 0.3) + abs(1 - 0.9) + abs(0 - 1)) / 5
    assert expected_calibration_error(y_true, y_prob) == pytest.approx(error)
    weights = [1, 2, 0, 4, 1]
    error = (abs(1 - 0.3) + abs(4 - 3.6) + abs(0 - 1)) / 8
    found = expected_calibration_error(y_true, y_prob, sample_weight=weights)
    assert found == pytest.approx(error)
    repeated = [np.repeat(values, weights) for values in (y_true, y_prob)]
    assert expected_calibration_error(*repeated) == pytest.approx(found)


@for_each("n_bins", [1, 7, 20])
def test_a_slow_reference(n_bins):
    rng = np.random.default_rng(0)
    # twentieths, so that some lie on the edges, and the ends
    prob = rng.integers(0, 21, size=300) / 20
    chosen = rng.integers(0, 2, size=300)
    error = 0
    for place in range(1, n_bins + 1):
        low, high = (place - 1) / n_bins, place / n_bins
        inside = (prob <= high) & ((prob > low) | (place == 1))
        if inside.any():
            gap = abs(chosen[inside].mean() - prob[inside].mean())
            error += inside.mean() * gap
    assert expected_calibration_error(chosen, prob, n_bins) == pytest.approx(error)


def test_an_edge_is_in_the_bin_below_it():
    for n_bins in [*range(2, 21), 49, 100]:
        for place in range(1, n_bins):
            edge, above = place / n_bins, (place + 0.5) / n_bins
            # in one bin both gaps, one positive and one negative, would cancel out
            error = ((1 - edge) + above) / 2
            found = expected_calibration_error([1, 0], [edge, above], n_bins)
            assert found == pytest.approx(error)


def test_known_probabilities_have_a_small_error():
    rng = np.random.default_rng(0)
    prob = rng.uniform(size=50_000)
    chosen = rng.uniform(size=len(prob)) < prob
    assert expected_calibration_error(chosen, prob) < 0.01
    assert expected_calibration_error(chosen, prob / 2) > 0.2
    assert expected_calibration_error([1, 0, 0, 0], [0.25] * 4) == 0


def test_bad_input():
    for given, params, error, message in [
        (([1, 0], [0.5]), {}, ValueError, "one entry per row each.* Got 2 and 1"),
        (([], []), {}, ValueError, "at least one. Got 0 and 0"),
        (([1], [1.5]), {}, ValueError, r"y_prob must hold probabilities in \[0, 1\]"),
        (([1], [-0.1]), {}, ValueError, "y_prob must hold .* Got -0.1 in row 0"),
        (([-1], [0.5]), {}, ValueError, "y_true must hold finite outcomes >= 0"),
        (([1], [0.5], 0), {}, ValueError, "n_bins must be an integer >= 1. Got 0"),
        (([1], [0.5], 1.5), {}, TypeError, "n_bins must be an integer >= 1. Got 1.5"),
        (
            ([1], [0.5]),
            {"sample_weight": [1, 1]},
            ValueError,
            "per row, 1 in all. Got 2",
        ),
        (
            ([1], [0.5]),
            {"sample_weight": [0]},
            ValueError,
            "above 0 for at least one row",
        ),
        (([1], [0.5]), {"sample_weight": [-1]}, ValueError, "finite weights >= 0"),
    ]:
        with pytest.raises(error, match=message):
            expected_calibration_error(*given, **params)
