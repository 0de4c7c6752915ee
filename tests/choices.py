"""Which cases of a parametrized test run each time."""

import itertools

import pytest
from allpairspy import AllPairs

ONE_FACTOR = "pairwise takes two factors or more: with one, list its values"


def pairwise(*factors):
    """Return the product of the factors, of which few cases run without -m grid.

    Those few hold each pair of values of two factors. The others have the mark `grid`.
    """
    if len(factors) < 2:
        raise ValueError(ONE_FACTOR)
    places = [range(len(values)) for values in factors]
    chosen = {tuple(case) for case in AllPairs([list(each) for each in places])}
    cases = []
    for case in itertools.product(*places):
        values = [factors[k][place] for k, place in enumerate(case)]
        marks = () if case in chosen else (pytest.mark.grid,)
        cases.append(pytest.param(*values, marks=marks))
    return cases
