"""Metrics within lists that were shown: by hand, against scikit-learn, bad input."""

import math
from itertools import permutations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.metrics import ndcg_score, roc_auc_score

from sktwotower.metrics import ndcg_by_list, reciprocal_rank_by_list, roc_auc_by_list
from tests.cases import for_each

METRICS = [roc_auc_by_list, ndcg_by_list, reciprocal_rank_by_list]
each = pytest.mark.parametrize("metric", METRICS)
LOG3 = 1 / math.log2(3)

# a, best first: 0 1 0 1, so that one of four pairs is in the right order. b: a positive
# and another item at equal scores, then another one. c: nothing positive. d: one item.
# e: all positive.
GROUPS = list("aaaabbbccdee")
Y_TRUE = [0, 1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1]
Y_SCORE = [4, 3, 2, 1, 9, 9, 1, 1, 2, 5, 0, 0]
BY_HAND = {
    roc_auc_by_list: {"a": 1 / 4, "b": (1 / 2 + 1) / 2},
    ndcg_by_list: {
        "a": (LOG3 + 1 / math.log2(5)) / (1 + LOG3),
        "b": (1 + LOG3) / 2,
        "e": 1,
    },
    reciprocal_rank_by_list: {"a": 1 / 2, "b": (1 + 1 / 2) / 2, "e": 1},
}


@each
def test_values_by_hand(metric):
    expected = BY_HAND[metric]
    values = metric(Y_TRUE, Y_SCORE, GROUPS, per_list=True)
    assert list(values.index) == list("abcde")
    assert_allclose(values, [expected.get(name, np.nan) for name in "abcde"])
    mean = metric(Y_TRUE, Y_SCORE, GROUPS)
    assert isinstance(mean, float)
    assert mean == pytest.approx(np.mean(list(expected.values())))


def test_places_after_k_do_not_count():
    lists = {"groups": GROUPS[:4], "y_true": Y_TRUE[:4], "y_score": Y_SCORE[:4]}
    assert ndcg_by_list(**lists, k=1) == 0
    assert ndcg_by_list(**lists, k=2) == pytest.approx(LOG3 / (1 + LOG3))
    assert reciprocal_rank_by_list(**lists, k=1) == 0
    assert reciprocal_rank_by_list(**lists, k=2) == 1 / 2
    # more places than items, or all of them
    whole = (LOG3 + 1 / math.log2(5)) / (1 + LOG3)
    assert ndcg_by_list(**lists, k=100) == pytest.approx(whole)
    assert ndcg_by_list(**lists, k=None) == pytest.approx(whole)


def test_a_tie_at_the_last_place_counts_in_part():
    # three equal scores, one positive: at place 1, 2 or 3 with a chance of 1/3 each
    one = {"y_true": [0, 1, 0], "y_score": [7, 7, 7], "groups": [1, 1, 1]}
    assert ndcg_by_list(**one, k=1) == pytest.approx(1 / 3)
    assert ndcg_by_list(**one, k=2) == pytest.approx((1 + LOG3) / 3)
    assert reciprocal_rank_by_list(**one, k=2) == pytest.approx((1 + 1 / 2) / 3)
    assert reciprocal_rank_by_list(**one) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert roc_auc_by_list(**one) == 1 / 2


def expected_over_orders(y_true, y_score, value):
    """The mean of a value over all orders in which scores descend."""
    values = [
        value(np.array(y_true)[list(order)])
        for order in permutations(range(len(y_true)))
        if all(y_score[a] >= y_score[b] for a, b in zip(order, order[1:], strict=False))
    ]
    return np.mean(values)


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=2, max_size=6),
    st.integers(1, 7),
)
def test_ties_are_the_mean_over_all_orders(rows, k):
    y_true, y_score = (list(column) for column in zip(*rows, strict=True))
    if not any(y_true):
        return
    groups = ["x"] * len(rows)

    def reciprocal(ordered):
        first = int(np.argmax(ordered)) + 1
        return 1 / first if first <= k else 0

    def gain(ordered):
        discounts = 1 / np.log2(np.arange(2, len(ordered) + 2))
        best = discounts[: min(k, sum(y_true))].sum()
        return (discounts * ordered)[:k].sum() / best

    assert_allclose(
        reciprocal_rank_by_list(y_true, y_score, groups, k),
        expected_over_orders(y_true, y_score, reciprocal),
    )
    assert_allclose(
        ndcg_by_list(y_true, y_score, groups, k),
        expected_over_orders(y_true, y_score, gain),
    )


@pytest.fixture
def shown(rng):
    """Lists of 2 to 12 items, in no order, with many ties."""
    sizes = rng.integers(2, 13, size=50)
    groups = rng.permutation(np.repeat(np.arange(50), sizes))
    y_true = rng.integers(0, 2, size=len(groups))
    return y_true, rng.integers(0, 5, size=len(groups)) / 4, groups


@pytest.mark.slow
def test_parity_with_scikit_learn_list_by_list(shown):
    y_true, y_score, groups = shown
    auc = roc_auc_by_list(*shown, per_list=True)
    ndcg = ndcg_by_list(*shown, k=3, per_list=True)
    assert 10 < auc.notna().sum() < len(ndcg)
    for group in auc.index:
        own, scores = y_true[groups == group], y_score[groups == group]
        if 0 < own.sum() < len(own):
            assert auc[group] == pytest.approx(roc_auc_score(own, scores))
        else:
            assert math.isnan(auc[group])
        if own.sum():
            assert ndcg[group] == pytest.approx(ndcg_score([own], [scores], k=3))


@each
def test_nothing_but_the_order_within_lists_counts(metric, shown, rng):
    y_true, y_score, groups = shown
    value = metric(*shown)
    rows = rng.permutation(len(groups))
    assert metric(y_true[rows], y_score[rows], groups[rows]) == pytest.approx(value)
    moved = np.exp(3 * y_score) + 100 * groups
    assert metric(y_true, moved, groups) == pytest.approx(value)
    names = pd.Series(groups).map("list {}".format)
    assert metric(7.5 * y_true, y_score, names) == pytest.approx(value)


@each
def test_columns_of_any_library(metric, shown):
    table = dict(zip(("y_true", "y_score", "groups"), shown, strict=True))
    expected = metric(**table)
    assert metric(**{k: pl.Series(v) for k, v in table.items()}) == expected
    assert metric(**{k: pd.Series(v) for k, v in table.items()}) == expected
    assert metric(**{k: v.tolist() for k, v in table.items()}) == expected
    boolean = table | {"y_true": table["y_true"] > 0}
    assert metric(**boolean) == expected


def test_a_long_list_of_equal_scores(rng):
    y_true = np.zeros(100_000, dtype=int)
    y_true[::1000] = 1
    flat = [y_true, np.zeros(100_000), np.zeros(100_000, dtype=int)]
    assert roc_auc_by_list(*flat) == 0.5
    # the sum over places t of C(m - t, p - 1) / C(m, p) / t, by its recurrence
    chance, expected, left = 100 / 100_000, 0.0, 1.0
    for t in range(1, 99_902):
        expected += left * chance / t
        left *= 1 - chance
        chance = 100 / (100_000 - t)
    assert reciprocal_rank_by_list(*flat) == pytest.approx(expected, rel=1e-7)


@each
def test_bad_input(metric):
    good = {"y_true": [0, 1], "y_score": [0.2, 0.1], "groups": ["a", "a"]}
    for change, message in [
        ({"y_true": [0, 1, 1]}, r"one entry per row each.* Got 3, 2 and 2"),
        ({"groups": ["a"]}, "Got 2, 2 and 1"),
        ({"y_true": [], "y_score": [], "groups": []}, "Got 0, 0 and 0"),
        ({"y_true": [0, -1]}, r"y_true must hold finite outcomes >= 0. Got -1.0 in"),
        ({"y_true": [0, np.nan]}, "Got nan in row 1"),
        ({"y_true": ["no", "yes"]}, "y_true must hold numbers"),
        (
            {"y_score": np.array([1, 2], "M8[s]")},
            "y_score must hold numbers.*datetime64",
        ),
        ({"y_score": [1j, 2]}, "y_score must hold numbers.*complex128"),
        ({"y_true": [[0], [1]]}, r"y_true must be one-dimensional.* \(2, 1\)"),
        ({"y_score": [0, np.inf]}, "y_score must hold finite scores. Got inf"),
        ({"groups": ["a", None]}, "groups contains NaN: 1 of 2"),
        ({"groups": ["a", "b"]}, "None of the 2 lists counts"),
        ({"y_true": [0, 0]}, "None of the 1 lists counts"),
    ]:
        with pytest.raises(ValueError, match=message):
            metric(**good | change)
    for change, message in [
        ({"y_true": 1}, "y_true must be an array, one entry per row. Got int"),
        ({"groups": "ab"}, "groups must be an array.* Got str"),
        ({"groups": ["a", 1]}, "groups mixes ids of different types"),
    ]:
        with pytest.raises(TypeError, match=message):
            metric(**good | change)


@for_each("metric", [ndcg_by_list, reciprocal_rank_by_list])
def test_bad_k(metric):
    with pytest.raises(ValueError, match="k must be an integer >= 1"):
        metric([0, 1], [0, 1], [1, 1], k=0)
    with pytest.raises(TypeError, match="k must be an integer >= 1"):
        metric([0, 1], [0, 1], [1, 1], k=2.0)
