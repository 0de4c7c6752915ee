"""How two orders are blended, and which weight is kept: answers by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower.two_stage._blend import (
    JudgedOrders,
    blended,
    choose_weight,
    gains_of_orders,
    ranks_among,
    ranks_by,
    reordered,
)

NONE = -np.inf


def test_ranks_keep_the_order_of_equal_scores():
    scores = np.array([[0.1, 0.9, 0.1, NONE], [2.0, 2.0, 2.0, 2.0]])
    assert_array_equal(ranks_by(scores), [[2, 1, 3, 4], [1, 2, 3, 4]])


def test_the_score_is_one_over_the_geometric_mean_of_the_ranks():
    first, second = np.array([1.0, 2.0, 4.0]), np.array([4.0, 2.0, 1.0])
    assert_allclose(blended(first, second, 0.5), [0.5, 0.5, 0.5])
    assert_allclose(blended(first, second, 0.0), 1 / first)
    assert_allclose(blended(first, second, 1.0), 1 / second)
    assert_allclose(blended(first, second, 0.25), [4**-0.25, 0.5, 4**-0.75])


def test_candidates_are_reordered_and_padding_stays_at_the_end():
    scores = np.array([[0.1, 0.2, 0.9, NONE]])
    best, order = reordered(scores, 1.0)
    assert_array_equal(order, [[2, 1, 0, 3]])
    assert_allclose(best, [[1, 1 / 2, 1 / 3, NONE]])
    _, order = reordered(scores, 0.25)  # ranks 1 and 3, 2 and 2, 3 and 1
    assert_array_equal(order, [[0, 1, 2, 3]])
    assert_array_equal(reordered(np.zeros((1, 3)), 1.0)[1], [[0, 1, 2]])


@pytest.mark.parametrize(
    ("value", "rank"),
    [(9, 1), (8, 1.25), (5, 2), (1, 3), (11, 1 / 3), (0, 3.5), (-2, 3.75), (NONE, 4)],
)
def test_a_rank_among_others(value, rank):
    others = np.array([[9.0, 5.0, 1.0, NONE]])
    assert ranks_among(others, np.array([float(value)]))[0] == rank


def test_a_rank_among_none():
    assert ranks_among(np.full((1, 2), NONE), np.array([3.0]))[0] == 1


def users_who_chose(place, n=30, c=6):
    """Return candidates 0 .. 5 of n users, who all chose the one at a place."""
    truth = sparse.csr_matrix(np.tile(np.arange(c) == place, (n, 1)).astype(float))
    return np.tile(np.arange(c), (n, 1)), truth


def test_the_least_weight_with_the_highest_gain_is_kept():
    indices, truth = users_who_chose(4, c=5)
    scores = np.tile([0.0, 0, 0, 0, 9], (30, 1))  # the last one is the best
    gains = JudgedOrders(indices, scores, truth, 3).gains()
    assert gains["weight"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    # geometric means: of the last item (ranks 5, 1) 3.3, 2.2, 1.5 and 1; of the first
    # (1, 2) 1.2, 1.4, 1.7 and 2; of the others (2, 3) 2.2, 2.4 ... and (3, 4) 3.2 ...
    assert_allclose(gains["ndcg"], [0, 0, 1 / np.log2(3), 1, 1])
    assert choose_weight(gains) == 0.75  # no noise at all
    assert_allclose(gains["gain"], gains["ndcg"])
    assert_allclose(gains["standard_error"], 0, atol=1e-12)


def test_a_ranker_that_changes_nothing_or_harms_gets_none():
    indices, truth = users_who_chose(0)
    for scores in (np.zeros((30, 6)), np.tile(np.arange(6.0), (30, 1))):
        gains = JudgedOrders(indices, scores, truth, 3).gains()
        assert choose_weight(gains) == 0 and gains["gain"].max() == 0


def test_a_gain_within_its_standard_error_is_not_kept():
    # two users: one gains by the ranker, the other loses almost as much
    indices = np.tile(np.arange(4), (2, 1))
    truth = sparse.csr_matrix([[0, 1.0, 0, 0], [1.0, 0, 0, 0]])
    scores = np.array([[0.0, 1, 0, 0], [0.0, 1, 0, 0]])
    gains = JudgedOrders(indices, scores, truth, 4).gains()
    assert choose_weight(gains) == 0
    assert (gains["gain"] <= gains["standard_error"]).all()


def gains_of(gains, errors):
    return pd.DataFrame(
        {"weight": [0, 0.5, 1], "gain": gains, "standard_error": errors}
    )


@pytest.mark.parametrize(
    ("gain", "weight"),
    # of the weight 0.5 the share sqrt(1 - (1.96 / t) ** 2) is left at t standard errors
    [(0.0195, 0), (0.0196, 0), (0.0196 / 0.8, 0.3), (0.0196 / 0.6, 0.4), (19.6, 0.5)],
)
def test_a_weight_goes_to_zero_as_its_gain_goes_to_noise(gain, weight):
    gains = gains_of([0, gain, 0.01], [0, 0.01, 0.01])
    assert_allclose(choose_weight(gains), weight, atol=1e-6)


@pytest.mark.parametrize(
    ("later", "errors", "weight"),
    [
        ([0, 0.02, 0.03], [0, 1e-9, 1e-9], 1),
        ([0, 0.02, 0.03], [0, 1e-9, 0.012], 0.5),  # a smaller gain that is surer
        ([0, 0.02, -0.01], [0, 1e-9, 1e-9], 0.5),
        ([0, 0.02, 0.03], [0, 0.011, 0.02], 0),  # gains within noise
        ([0, -0.001, -0.02], [0, 0.01, 0.01], 0),
    ],
)
def test_a_gain_that_does_not_last_is_not_kept(later, errors, weight):
    gains = gains_of([0, 0.03, 0.05], [0, 1e-9, 1e-9])
    assert_allclose(choose_weight(gains), 1)
    assert_allclose(choose_weight(gains, gains_of(later, errors)), weight)


def test_a_gain_that_is_only_later_is_chance():
    gains = gains_of([0, 0.01, 0.03], [0, 0.02, 1e-9])
    later = gains_of([0, 0.05, 0.02], [0, 1e-9, 1e-9])
    assert_allclose(choose_weight(gains, later), 1)


def test_a_weight_must_gain_in_the_earlier_time_as_well():
    gains = gains_of([0, 0.03, 0.05], [0, 1e-9, 1e-9])
    later = gains_of([0, 0.02, 0.03], [0, 1e-9, 1e-9])
    for earlier, weight in (([0, 0.02, 0.02], 1), ([0, 0.02, 0.009], 0.5)):
        found = choose_weight(gains, later, gains_of(earlier, [0, 0.001, 0.001]))
        assert_allclose(found, weight)
    assert choose_weight(gains, later, gains_of([0, 0, -0.01], [0, 0.1, 0.1])) == 0


def test_the_figures_of_the_blend_are_of_weights_that_other_users_choose():
    # the ranker puts the item of 40 users first, and that of 60 others last
    n_helped, c = 40, 6
    places = np.where(np.arange(100) % 5 < 2, c - 1, 0)
    assert (places > 0).sum() == n_helped
    truth = sparse.csr_matrix(np.eye(c)[places])
    scores = np.tile(np.arange(c, dtype=float), (100, 1))
    orders = JudgedOrders(np.tile(np.arange(c), (100, 1)), scores, truth, 3)
    table = gains_of_orders(gains_of([0, 1, 1], [0, 0.1, 0.1]), orders)
    assert table["order"].tolist() == ["retriever", "ranker", "blend"]
    assert_allclose(table["ndcg"][:2], [0.6, 0.4])
    assert_allclose(table["gain"][:2], [0, -0.2])
    assert table["standard_error"][1] > 0.05
    # all others are in parts of five users, two or none of whom are helped
    assert table["ndcg"][2] == 0.6 and table["gain"][2] == 0
