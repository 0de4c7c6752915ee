"""Thousands of random calls: an error that says what is wrong, or the right answer.

A call that fails is repeated by its number: ``check_call(12)``.
"""

import numpy as np
import pandas as pd
import pytest

from sktwotower import PopularityRecommender

from .calls import ESTIMATORS, check_call, check_states
from .cells import CELLS
from .ids import IDS
from .judge import Refused, outcome, same
from .tables import check_features, check_table

CHECKS = {check_call: (50, 14_000), check_table: (25, 5000), check_features: (12, 1000)}


def run(check, seeds):
    """Make random calls; return the share that was refused."""
    refused = 0
    for seed in seeds:
        try:
            refused += check(seed)
        except BaseException as error:
            error.add_note(f"{check.__name__}({seed})")
            raise
    return refused / len(seeds)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_hundreds_of_calls(check):
    share = run(check, range(CHECKS[check][0]))
    assert 0.2 < share < 0.7
    if check is check_call:
        check_states()


@pytest.mark.fuzz
@pytest.mark.slow  # also left out by -m "not slow"
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_twenty_thousand_calls(check):
    run(check, range(10**6, 10**6 + CHECKS[check][1]))
    if check is check_call:
        check_states()


def test_the_tables_of_kinds_are_long_enough():
    assert len(IDS) >= 25 and len(CELLS) >= 48 and len(ESTIMATORS) >= 14


# What counts as an error of this package


def refused(call):
    return isinstance(outcome(call), Refused)


def test_a_raise_of_this_package_or_a_check_of_scikit_learn_is_a_refusal():
    model = PopularityRecommender()
    assert refused(lambda: model.recommend([1]))  # not fitted
    assert refused(lambda: model.fit([[1, None], [2, 3]]))
    assert refused(lambda: model.fit([1, 2]))


def test_other_errors_are_found():
    model = PopularityRecommender()
    calls = [
        lambda: model.fit(),  # of Python, here
        lambda: np.zeros(2) + np.zeros(3),
        lambda: pd.Series(["a"]).astype(float),
        lambda: {}["a"],
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError, KeyError)):
            outcome(call)


def test_an_error_with_many_ids_is_found():
    def call():
        try:
            raise KeyError([f"id-{i}" for i in range(11)])
        except KeyError as error:
            model = PopularityRecommender()
            model.set_params(n_neighbors=0)
            raise model.recommend([1]) from error

    with pytest.raises(AssertionError, match="id-10"):
        outcome(call)


def test_answers_are_compared():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [0.5, np.nan]})
    assert same(frame, frame + 1e-9)
    assert not same(frame, frame + 1) and not same(frame, frame[:1])
    assert same((1, np.ones(2)), (1, [1.0, 1.0])) and not same((1, 2), (1, 3))
    assert not same(frame, Refused(ValueError()))
