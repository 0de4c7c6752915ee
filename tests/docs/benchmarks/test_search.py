"""Searches of the benchmarks: what is an edge, and what lies past it."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import loguniform

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import _search  # noqa: E402
from _search import Trial  # noqa: E402

SPACE = {"n": [2, 4, 8], "x": loguniform(0.01, 1), "weight": [0, 1, 3]}
DEFAULTS = {"n": 4, "x": 0.1, "weight": 0}


def attempts_with_peak(n=4, x=0.1, weight=0):
    """Return a function whose figure is highest at some parameters."""

    def attempt(params):
        own = DEFAULTS | params
        far = abs(np.log2(own["n"] / n)) + abs(np.log(own["x"] / x))
        far += abs(own["weight"] - weight)
        return Trial(10 - far, params, float(own["n"]))

    return attempt


def test_an_edge_is_an_end_that_can_be_passed():
    def edges(**params):
        return _search.at_the_edge(SPACE, DEFAULTS | params)

    assert edges() == []  # a weight of 0 cannot be less
    assert edges(n=2) == edges(n=8) == edges(n=16) == ["n"]
    assert edges(x=0.012) == edges(x=0.9) == edges(x=3.0) == ["x"]
    assert edges(x=0.02, weight=3) == ["weight"]
    assert edges(x="auto") == []
    assert _search.at_the_edge({"n": [1, 2]}, {"n": 1}) == []


def test_the_first_trial_is_the_defaults_and_a_search_goes_on():
    attempt = attempts_with_peak()
    found = _search.random_search(attempt, SPACE, 6)
    assert len(found) == 6 and found[0] == Trial(10, {}, 4.0)
    assert [t.quality for t in found] == sorted([t.quality for t in found])[::-1]
    again = _search.random_search(attempt, SPACE, 9, earlier=found[:1], done=6)
    assert len(again) == 4 and again[0] is found[0]  # the best of six, and three more
    drawn = [trial.params for trial in found]
    assert not [t for t in again[1:] if t.params in drawn]
    assert len(_search.random_search(attempt, SPACE, 9, seconds=-1.0)) == 1


def beyond(attempt, first, **more):
    found = [attempt(first)]
    return _search.beyond_the_edges(attempt, SPACE, found, DEFAULTS, **more)


def test_further_trials_pass_the_edge_until_that_is_no_better():
    found, left = beyond(attempts_with_peak(n=64), {"n": 8})
    assert found[0].params == {"n": 64} and left == []
    assert sorted(t.params["n"] for t in found) == [8, 16, 32, 64, 128]
    found, left = beyond(attempts_with_peak(n=2), {"n": 2})
    assert [t.params["n"] for t in found] == [2, 1] and left == []
    found, left = beyond(attempts_with_peak(x=0.005), {"x": 0.011})
    assert found[0].params["x"] == pytest.approx(0.011 / 3) and left == []
    found, left = beyond(attempts_with_peak(), {})
    assert len(found) == 1 and left == []


def test_a_step_that_gains_less_than_one_percent_is_the_last():
    def attempt(params):
        return Trial(1 - 0.1 ** params["n"], params)

    found, left = beyond(attempt, {"n": 2})
    assert [t.params["n"] for t in found] == [2, 1] and left == []
    found, left = beyond(attempt, {"n": 8})
    assert found[0].params == {"n": 16} and len(found) == 2 and left == []


def test_an_edge_that_is_not_passed_in_time_stays_one():
    found, left = beyond(attempts_with_peak(n=1024), {"n": 8}, most=3)
    assert found[0].params == {"n": 64} and left == ["n"]


def test_both_sides_of_the_best_of_a_narrower_space_are_tried():
    found, left = beyond(attempts_with_peak(), {}, open_ones=["n"])
    assert sorted(t.params.get("n", 4) for t in found) == [2, 4, 8] and left == []
    found, left = beyond(attempts_with_peak(n=16), {}, open_ones=["n"])
    assert found[0].params == {"n": 16} and left == []


def test_less_is_tried_while_it_is_as_good():
    def attempt(params):
        own = DEFAULTS | params
        return Trial(1 - 0.2 * (own["n"] < 4) - 0.2 * (own["weight"] < 1), own)

    best, least = Trial(1.0, {"n": 8, "weight": 3}), []
    for n, weight in [(4, 3), (2, 3), (4, 1)]:  # two are too few, less than one is not
        least.append({"n": n, "weight": weight, "x": 0.1})
    found = _search.cheaper(attempt, SPACE, best, DEFAULTS, ["n", "weight"])
    assert [trial.params for trial in found] == least
    assert _search.cheaper(attempt, SPACE, Trial(1.0, {}), DEFAULTS, ["weight"]) == []


def test_the_cheapest_of_nearly_the_best():
    found = [Trial(0.5, {"n": 8}, 8.0), Trial(0.496, {"n": 4}, 4.0)]
    found += [Trial(0.49, {"n": 2}, 2.0), Trial(0.499, {"n": 1})]
    assert _search.cheapest(found).params == {"n": 4}
    assert _search.cheapest([Trial(0.5, {})]) is None  # not measured


@pytest.mark.parametrize(
    ("row", "settled"),
    [
        ({}, True),
        ({"trials": 20, "at_the_edge": []}, True),
        ({"trials": 24, "at_the_edge": ["n"]}, False),
        ({"trials": 19, "at_the_edge": []}, False),
    ],
)
def test_rows_of_short_searches_and_of_edges_are_not_shown(row, settled):
    assert _search.is_settled(row) is settled


def test_each_baseline_of_the_next_item_has_twenty_trials():
    import bench_next

    sizes = {
        name: int(np.prod([len(values) for values in model.grid.values()]))
        for name, model in bench_next.MODELS.items()
        if model.grid
    }
    assert sizes.pop("EASE") == 3
    assert len(sizes) == 5 and set(sizes.values()) == {20}
    for model in bench_next.MODELS.values():
        assert all(values == sorted(values) for values in model.grid.values())
