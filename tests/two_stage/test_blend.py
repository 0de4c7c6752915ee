"""How two orders are blend.blended, and which weight is kept: answers by hand."""

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sktwotower.two_stage import _blend as blend

NONE = -np.inf


def test_ranks_keep_the_order_of_equal_scores():
    scores = np.array([[0.1, 0.9, 0.1, NONE], [2.0, 2.0, 2.0, 2.0]])
    assert_array_equal(blend.ranks_by(scores), [[2, 1, 3, 4], [1, 2, 3, 4]])


def test_the_score_is_one_over_the_geometric_mean_of_the_ranks():
    first, second = np.array([1.0, 2.0, 4.0]), np.array([4.0, 2.0, 1.0])
    assert_allclose(blend.blended(first, second, 0.5), [0.5, 0.5, 0.5])
    assert_allclose(blend.blended(first, second, 0.0), 1 / first)
    assert_allclose(blend.blended(first, second, 1.0), 1 / second)
    assert_allclose(blend.blended(first, second, 0.25), [4**-0.25, 0.5, 4**-0.75])


def test_candidates_are_reordered_and_padding_stays_at_the_end():
    scores = np.array([[0.1, 0.2, 0.9, NONE]])
    best, order = blend.reordered(scores, 1.0)
    assert_array_equal(order, [[2, 1, 0, 3]])
    assert_allclose(best, [[1, 1 / 2, 1 / 3, NONE]])
    _, order = blend.reordered(scores, 0.25)  # ranks 1 and 3, 2 and 2, 3 and 1
    assert_array_equal(order, [[0, 1, 2, 3]])
    assert_array_equal(blend.reordered(np.zeros((1, 3)), 1.0)[1], [[0, 1, 2]])


RANKS = [
    (9, 1),
    (8, 1.25),
    (5, 2),
    (1, 3),
    (11, 1 / 3),
    (0, 3.5),
    (-2, 3.75),
    (NONE, 4),
]


def test_a_rank_among_others():
    for value, rank in RANKS:
        others = np.array([[9.0, 5.0, 1.0, NONE]])
        assert blend.ranks_among(others, np.array([float(value)]))[0] == rank


def test_a_rank_among_none():
    assert blend.ranks_among(np.full((1, 2), NONE), np.array([3.0]))[0] == 1


def users_who_chose(place, n=30, c=6):
    """Return candidates 0 .. 5 of n users, who all chose the one at a place."""
    truth = sparse.csr_matrix(np.tile(np.arange(c) == place, (n, 1)).astype(float))
    return np.tile(np.arange(c), (n, 1)), truth


def test_the_least_weight_with_the_highest_gain_is_kept():
    indices, truth = users_who_chose(4, c=5)
    scores = np.tile([0.0, 0, 0, 0, 9], (30, 1))  # the last one is the best
    gains = blend.JudgedOrders(indices, scores, truth, 3).gains()
    assert gains["weight"].tolist() == [0, 0.1, 0.25, 0.5, 0.75, 1]
    # geometric means: of the last item (ranks 5, 1) 4.3, 3.3, 2.2, 1.5 and 1; of the
    # first (1, 2) 1.1, 1.2, 1.4, 1.7 and 2; of the others (2, 3) 2.1, 2.2, 2.4 ... and
    # (3, 4) 3.1, 3.2 ...
    assert_allclose(gains["ndcg"], [0, 0, 0, 1 / np.log2(3), 1, 1])
    assert blend.choose_weight(gains) == 0.75  # no noise at all
    assert_allclose(gains["gain"], gains["ndcg"])
    assert_allclose(gains["standard_error"], 0, atol=1e-12)


def test_a_ranker_that_changes_nothing_or_harms_gets_none():
    indices, truth = users_who_chose(0)
    for scores in (np.zeros((30, 6)), np.tile(np.arange(6.0), (30, 1))):
        gains = blend.JudgedOrders(indices, scores, truth, 3).gains()
        assert blend.choose_weight(gains) == 0 and gains["gain"].max() == 0


def test_a_gain_within_its_standard_error_is_not_kept():
    # two users: one gains by the ranker, the other loses almost as much
    indices = np.tile(np.arange(4), (2, 1))
    truth = sparse.csr_matrix([[0, 1.0, 0, 0], [1.0, 0, 0, 0]])
    scores = np.array([[0.0, 1, 0, 0], [0.0, 1, 0, 0]])
    gains = blend.JudgedOrders(indices, scores, truth, 4).gains()
    assert blend.choose_weight(gains) == 0
    assert (gains["gain"] <= gains["standard_error"]).all()


def gains_of(gains, errors):
    return pd.DataFrame(
        {"weight": [0, 0.5, 1], "gain": gains, "standard_error": errors}
    )


INTERVALS = [(0.0195, 0), (0.0197, 0.5)]


def test_the_interval_of_a_gain_must_be_above_zero():
    for gain, weight in INTERVALS:
        assert blend.choose_weight(gains_of([0, gain, 0.01], [0, 0.01, 0.01])) == weight


LATER_GAINS = [
    ([0, 0.02, 0.03], [0, 0, 0], 1),
    ([0, 0.02, -0.01], [0, 0, 0], 0.5),
    ([0, 0.02, 0.03], [0, 0.01, 0.016], 0.5),  # the gain of 1 is within noise
    ([0, 0.02, 0.03], [0, 0, 0.02], 0.5),
    ([0, 0.019, 0.03], [0, 0.01, 0.02], 0),  # both are
    ([0, -0.001, -0.02], [0, 0.01, 0.01], 0),
]


def test_a_gain_that_does_not_last_is_not_kept():
    for later, errors, weight in LATER_GAINS:
        gains = gains_of([0, 0.03, 0.05], [0, 0.01, 0.01])
        assert blend.choose_weight(gains) == 1
        assert blend.choose_weight(gains, gains_of(later, errors)) == weight


def test_all_bounds_count():
    gains = gains_of([0, 0.03, 0.05], [0, 0, 0])
    later = gains_of([0, 0.03, 0.02], [0, 0, 0])  # 0.01 less, after 0.02 more
    earlier = gains_of([0, 0.03, 0.019], [0, 0, 0])
    assert blend.choose_weight(gains, later) == 1
    assert blend.choose_weight(gains, later, earlier) == 0.5


def test_a_gain_that_is_only_later_is_chance():
    gains = gains_of([0, 0.01, 0.03], [0, 0.02, 0])
    later = gains_of([0, 0.05, 0.02], [0, 0, 0])
    assert blend.choose_weight(gains, later) == 1


def test_a_weight_must_gain_in_the_earlier_time_as_well():
    gains = gains_of([0, 0.03, 0.05], [0, 0, 0])
    later = gains_of([0, 0.02, 0.03], [0, 0, 0])
    earlier = gains_of([0, 0.01, -0.001], [0, 0.02, 0])  # within noise is enough
    assert blend.choose_weight(gains, later, earlier) == 0.5
    assert blend.choose_weight(gains, later, gains_of([0, 0, -0.1], [0, 0, 0])) == 0


def test_the_figures_of_the_blend_are_of_weights_that_other_users_choose():
    # the ranker puts the item of the first of five users first, and that of the others
    # last: in each part of the users who judge, all are alike
    c = 6
    is_helped = np.arange(100) % 5 == 0
    truth = sparse.csr_matrix(np.eye(c)[np.where(is_helped, c - 1, 0)])
    scores = np.tile(np.arange(c, dtype=float), (100, 1))
    orders = blend.JudgedOrders(np.tile(np.arange(c), (100, 1)), scores, truth, 1)
    figures = blend.gains_of_orders(gains_of_weights(0.5), orders)
    assert figures["order"].tolist() == ["retriever", "ranker", "blend"]
    assert_allclose(figures["ndcg"], [0.8, 0.2, 0.8])
    assert_allclose(figures["gain"], [0, -0.6, 0], atol=1e-12)
    assert 0.05 < figures["standard_error"][1] < 0.1


def gains_of_weights(gain):
    """Return figures of users who gain by each weight."""
    weights = [0.0, *blend.WEIGHTS]
    gains = [0.0, *[gain] * len(blend.WEIGHTS)]
    return pd.DataFrame({"weight": weights, "gain": gains, "standard_error": 0.0})
