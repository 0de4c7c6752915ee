"""The convex problem of weights, against plain loops and another optimizer."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, sparse

import sktwotower.recommender._weighing as weighing
from sktwotower import TwoTowerRecommender
from sktwotower.metrics import ndcg_at_k
from sktwotower.recommender._kept_requests import KeptRequests
from tests.cases import for_each
from tests.reference import unit_vectors

KNOTS = 0, 1, 3, 10, 30

TEMPERATURE = 0.1
SHARES = 0.7, 0.3, 0.0
PASTS = [0, 1, 2, 3, 5, 10, 20, 30, 99]


def interpolated(n_past):
    """Return the share of each knot for a number of past items, in a plain loop."""
    shares = np.zeros(len(KNOTS))
    for left, right in zip(range(4), range(1, 5), strict=True):
        low, high = np.log(1 + KNOTS[left]), np.log(1 + KNOTS[right])
        if low <= np.log(1 + n_past) <= high:
            shares[right] = (np.log(1 + n_past) - low) / (high - low)
            shares[left] = 1 - shares[right]
            return shares
    shares[-1] = 1.0
    return shares


def scene(n_items=30, n_requests=60, hides=True, seed=0, shares=SHARES):
    """Return three parts and requests whose answers the parts partly know."""
    rng = np.random.default_rng(seed)
    parts = [
        weighing.PartToWeigh(
            unit_vectors(n_requests, seed=seed + k),
            unit_vectors(n_items, seed=seed + 10 + k),
            share,
            is_signed=k == 2,
        )
        for k, share in enumerate(shares)
    ]
    scores = sum(part.users @ part.items.T for part in parts) / TEMPERATURE / 3
    n_past = np.array(PASTS)[rng.integers(len(PASTS), size=n_requests)]
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chosen = [rng.choice(n_items, p=row / row.sum()) for row in chances]
    truth = sparse.csr_matrix(
        (np.ones(n_requests), (np.arange(n_requests), chosen)),
        shape=(n_requests, n_items),
    )
    hidden = sparse.csr_matrix(rng.random((n_requests, n_items)) < 0.2 * hides)
    hidden = hidden.astype(float) - hidden.astype(float).multiply(truth)
    hidden.eliminate_zeros()
    past = sparse.csr_matrix(
        (np.ones(n_past.sum()), np.arange(n_past.sum()), np.append(0, n_past.cumsum())),
        shape=(n_requests, n_past.sum()),
    )
    rows = sparse.csr_matrix((n_requests, 1))
    return parts, KeptRequests(rows, past, hidden.tocsr(), truth, n_requests)


def before_of(parts):
    """Return the shares of parts, (n_knots, n_parts), as the weights of before."""
    return np.tile([part.share for part in parts], (len(KNOTS), 1))


def problem_of(parts, requests, seed=0):
    rng = np.random.RandomState(seed)
    return weighing.Problem(parts, before_of(parts), TEMPERATURE, requests, rng)


def reference(parts, requests, weights, scales, before):
    """Return what is minimized, in loops, with a prior of 30.

    ``weights`` (n_knots, n_parts), ``scales`` (n_knots,): those of ``before``.
    """
    spread = spread_of(parts, requests)
    hidden, truth = requests.hidden.toarray(), requests.truth.toarray()
    mean_reward, loss = requests.truth.data.mean(), 0.0
    for request, n_past in enumerate(requests.n_past):
        of_request = interpolated(n_past) @ weights
        scores = np.zeros(truth.shape[1])
        for part, weight in zip(parts, of_request, strict=True):
            scores += weight * (part.items @ part.users[request]) / TEMPERATURE
        total = sum(np.exp(scores[hidden[request] == 0]))
        answers = np.flatnonzero(truth[request])
        of_answers = np.minimum(truth[request, answers] / mean_reward, 10)
        losses = [np.log(total) - scores[item] for item in answers]
        loss += np.mean(of_answers * losses)
    wanted = before * spread
    away = weights * spread - scales[:, None] * wanted
    steps = [b - a for a, b in zip(away[:-1], away[1:], strict=True)]
    squares = np.mean([(row**2).sum() for row in away])
    from_mean = scales - np.mean(scales)
    squares += np.mean(from_mean**2 * (wanted**2).sum(axis=1))
    return loss + 30 / 2 * (squares + np.sum([(row**2).sum() for row in steps]))


def split(point):
    """Return the scales (n_knots,) and the weights (n_knots, n_parts) of a point."""
    return point[: len(KNOTS)], point[len(KNOTS) :].reshape(len(KNOTS), -1)


def spread_of(parts, requests):
    """Return the mean standard deviation of the scores of each part."""
    is_shown = requests.hidden.toarray() == 0
    spreads = []
    for part in parts:
        scores = part.users @ part.items.T / TEMPERATURE
        pairs = zip(scores, is_shown, strict=True)
        spreads.append(np.mean([row[shown].std() for row, shown in pairs]))
    return np.array(spreads)


def with_rewards(requests):
    """Return requests with two answers each, whose rewards differ by a factor of 50."""
    rng = np.random.default_rng(5)
    places = np.arange(requests.n_known), rng.integers(30, size=requests.n_known)
    more = sparse.csr_matrix((np.ones(requests.n_known), places), requests.truth.shape)
    truth = (requests.truth + more).sign()
    truth.data = rng.choice([1.0, 3.0, 50.0], truth.nnz, p=[0.7, 0.27, 0.03])
    hidden = requests.hidden - requests.hidden.multiply(truth.sign())
    hidden.eliminate_zeros()
    return requests._replace(truth=truth, hidden=hidden.tocsr())


def test_weights_are_interpolated_in_logarithms_of_past_items():
    numbers = [*range(40), 10**6]
    expected = [interpolated(number) for number in numbers]
    np.testing.assert_allclose(weighing.knot_shares(numbers), expected, atol=1e-6)
    # half way between 1 and 3 in logarithms of 1 + n
    found = weighing.knot_shares([np.sqrt(8) - 1])[0]
    np.testing.assert_allclose(found, [0, 0.5, 0.5, 0, 0], atol=1e-6)


@for_each("rewarded", [False, True])
def test_the_value_is_that_of_loops(rewarded):
    parts, requests = scene()
    requests = with_rewards(requests) if rewarded else requests
    problem, spread = problem_of(parts, requests), spread_of(parts, requests)
    np.testing.assert_allclose(problem.spread, spread, rtol=1e-5)
    rng = np.random.default_rng(1)
    for scales in (np.ones(len(KNOTS)), rng.uniform(0.1, 2, len(KNOTS))):
        weights = rng.normal(size=(len(KNOTS), len(parts)))
        flat = np.append(scales, (weights * spread).ravel())
        value, _ = problem.penalized(flat)
        expected = reference(parts, requests, weights, scales, before_of(parts))
        assert value == pytest.approx(expected, rel=1e-5)


@for_each("is_alike, rewarded", [(True, False), (False, True)])
def test_the_gradient_is_that_of_finite_differences(is_alike, rewarded):
    parts, requests = scene()
    requests = with_rewards(requests) if rewarded else requests
    rng, before = np.random.RandomState(2), before_of(parts)
    if not is_alike:  # weights after fit differ by the number of past items
        before = rng.uniform(size=before.shape) * before
    problem = weighing.Problem(
        parts, before, TEMPERATURE, requests, np.random.RandomState(0)
    )
    spread, n_knots = problem.spread, len(KNOTS)
    flat = rng.normal(size=n_knots * 4)

    def value(point):
        weights = point[n_knots:].reshape(n_knots, -1) / spread
        return reference(parts, requests, weights, point[:n_knots], before)

    _, gradient = problem.penalized(flat)
    expected = optimize.approx_fprime(flat, value, 1e-5)
    np.testing.assert_allclose(gradient, expected, atol=2e-3 * abs(expected).max())


@pytest.mark.slow
def test_the_solution_is_the_minimum_that_another_optimizer_finds():
    parts, requests = scene(n_requests=40, n_items=15)
    problem, spread = problem_of(parts, requests), spread_of(parts, requests)

    def value(point):
        return problem.penalized(point)[0]

    prior = np.tile(np.array(SHARES) * spread, len(KNOTS))
    lowest = [1e-3] * len(KNOTS) + [0, 0, None] * len(KNOTS)
    found = optimize.minimize(
        value,
        np.append(np.ones(len(KNOTS)), prior),
        bounds=[(low, None) for low in lowest],
        method="trust-constr",
        jac=lambda point: problem.penalized(point)[1],
        options={"maxiter": 300},
    )
    scales, weights = split(found.x)
    solution = problem.solution()
    expected = weights / spread / scales[:, None]
    sizes = [np.abs(each).sum(axis=1, keepdims=True) for each in (solution, expected)]
    np.testing.assert_allclose(solution / sizes[0], expected / sizes[1], atol=0.03)


def test_only_signed_parts_have_weights_below_zero():
    parts, requests = scene()
    # now all of them say the opposite of what is true
    parts = [part._replace(users=-part.users) for part in parts]
    learnt = problem_of(parts, requests).solution()
    assert (learnt[:, :2] >= 0).all() and (learnt[:, 2] < 0).all()


@for_each("factor", [0.1, 10.0])
def test_the_scale_of_the_shares_changes_nothing(factor):
    parts, requests = scene()
    expected = problem_of(parts, requests).solution()
    scaled = [part._replace(share=part.share * factor) for part in parts]
    learnt = problem_of(scaled, requests).solution() / factor
    sizes = [np.abs(weights).sum(axis=1) for weights in (learnt, expected)]
    np.testing.assert_allclose(
        learnt / sizes[0][:, None], expected / sizes[1][:, None], atol=2e-2
    )


def test_the_units_of_a_part_change_nothing():
    parts, requests = scene()
    expected = problem_of(parts, requests).solution()
    other = parts[1]._replace(users=4 * parts[1].users, share=parts[1].share / 4)
    learnt = problem_of([parts[0], other, parts[2]], requests).solution()
    np.testing.assert_allclose(learnt * [1, 4, 1], expected, rtol=0.02, atol=0.01)


def test_without_requests_the_shares_remain():
    parts, requests = scene()
    nothing = KeptRequests(*(matrix[:0] for matrix in requests[:4]), 0)
    none = [part._replace(users=part.users[:0]) for part in parts]
    learnt = problem_of(none, nothing).solution()
    np.testing.assert_allclose(learnt, np.tile(SHARES, (len(KNOTS), 1)), atol=1e-6)


def test_few_requests_say_less_than_many():
    away = []
    for n_requests in (5, 60, 600):
        # parts are as good as each other
        found = []
        for seed in range(0, 250, 50):
            learnt = problem_of(*scene(n_requests=n_requests, seed=seed)).solution()
            learnt /= np.abs(learnt).sum(axis=1, keepdims=True)
            found.append(np.abs(learnt - SHARES).sum(axis=1).mean())
        away.append(np.mean(found))
    assert away[0] < away[1] - 0.1 and away[1] < away[2]


def test_numbers_of_past_items_without_requests_follow_their_neighbors():
    parts, requests = scene(n_requests=200)
    rows = np.flatnonzero(requests.n_past >= 30)
    parts = [part._replace(users=part.users[rows]) for part in parts]
    known = KeptRequests(*(each[rows] for each in requests[:4]), len(rows))
    learnt = problem_of(parts, known).solution()
    learnt /= np.abs(learnt).sum(axis=1, keepdims=True)
    away = np.abs(learnt - SHARES).sum(axis=1)
    assert (np.diff(away) > 0).all() and away[0] > 0.1 * away[-1]


def test_fifty_of_each_part_and_of_all_are_the_candidates_of_a_request():
    parts, requests = scene(n_items=150, hides=False)
    chosen = np.arange(60) * 7 % 150  # many of which no part knows
    places = np.arange(60), chosen
    truth = sparse.csr_matrix((np.ones(60), places), requests.truth.shape)
    seen = sparse.csr_matrix(
        (np.ones(60), (np.arange(60), (chosen + 1) % 150)), truth.shape
    )
    requests = requests._replace(truth=truth, hidden=seen)
    hidden = requests.hidden.toarray() > 0
    scores = [part.users @ part.items.T for part in parts]
    scores.append(sum(s * each for s, each in zip(SHARES, scores, strict=True)))
    sizes = []
    for row in range(60):
        candidates = set()
        for of_part in scores:
            of_row = np.where(hidden[row], -np.inf, of_part[row])
            candidates |= set(np.argsort(-of_row)[:50])
        if chosen[row] in candidates:
            sizes.append(len(candidates))
    # others do not count
    assert 5 < len(sizes) < 60
    problem = problem_of(parts, requests)
    assert len(problem.knots) == len(sizes)
    # without any weight, all candidates are as likely
    value, _ = problem.value(np.zeros((len(KNOTS), len(parts))))
    assert value == pytest.approx(np.log(sizes).sum(), rel=1e-5)


def test_a_problem_without_some_users_is_that_of_the_others():
    parts, requests = scene(n_requests=40)
    gone = np.array([0, 7, 8, 39])
    rest = np.setdiff1d(np.arange(40), gone)
    expected = problem_of([part.of_requests(rest) for part in parts], requests.at(rest))
    problem = problem_of(parts, requests).without(gone)
    weights = np.random.default_rng(0).normal(size=(len(KNOTS), len(parts)))
    value, gradient = problem.value(weights)
    assert value == pytest.approx(expected.value(weights)[0], rel=1e-5)
    np.testing.assert_allclose(gradient, expected.value(weights)[1], rtol=1e-4)


def test_a_sparse_part_is_weighed_as_one_with_vectors():
    parts, requests = scene()
    parts = [parts[0], parts[1]._replace(share=0.0)]
    scores = np.maximum(parts[1].users @ parts[1].items.T, 0).astype(np.float32)
    dense = parts[1]._replace(users=scores, items=np.eye(30, dtype=np.float32))
    as_sparse = weighing.SparsePartToWeigh(sparse.csr_matrix(scores))
    learnt = [
        problem_of([parts[0], part], requests).solution() for part in (dense, as_sparse)
    ]
    assert learnt[0][:, 1].max() > 0
    np.testing.assert_allclose(learnt[0], learnt[1], rtol=1e-3, atol=1e-4)
    weights = np.tile([0.5, 0.5], (len(KNOTS), 1))
    lists = [
        weighing.best_lists([parts[0], part], weights, requests)
        for part in (dense, as_sparse)
    ]
    np.testing.assert_array_equal(lists[0], lists[1])


def test_what_fits_by_chance_is_not_taken():
    # twelve parts that know nothing could explain forty requests
    parts, requests = scene(n_requests=40, shares=(1.0, *[0.0] * 12))
    truth = sparse.csr_matrix(
        (np.ones(40), (np.arange(40), np.arange(40) % 30)), shape=requests.truth.shape
    )
    requests = requests._replace(truth=truth)
    learnt = problem_of(parts, requests).solution()
    lists = weighing.best_lists(parts, learnt, requests)
    usual = np.tile([1.0, *[0.0] * 12], (len(KNOTS), 1))
    before = weighing.best_lists(parts, usual, requests)
    ndcgs = [
        ndcg_at_k(truth, each, 20, per_user=True).mean() for each in (lists, before)
    ]
    assert ndcgs[0] > ndcgs[1] + 0.02  # on the requests that taught the weights
    found = weighing.weigh(parts, TEMPERATURE, requests, np.random.RandomState(0))
    assert found.ndcg.mean() < ndcgs[0] - 0.02


def test_a_thousand_known_users_and_all_new_ones_teach():
    parts, requests = scene(n_requests=1100)
    problem = problem_of(parts, requests._replace(n_known=1050))
    assert len(problem.knots) == 1000 + 50
    expected = weighing.knot_shares(requests.n_past[1050:])
    np.testing.assert_allclose(problem.knots[-50:], expected, rtol=1e-6)


def test_weights_stay_where_no_list_gets_better():
    parts, requests = scene()
    # all say the same, so that lists are the same with any weights
    parts = [parts[0], parts[0]._replace(share=0.3)]
    found = weighing.weigh(parts, TEMPERATURE, requests, np.random.RandomState(0))
    usual = np.tile([0.7, 0.3], (len(KNOTS), 1))
    np.testing.assert_array_equal(found.weights, usual)


def test_a_part_that_knows_the_answers_gets_the_weight():
    parts, requests = scene(n_requests=200, shares=(0.9, 0.1, 0.0))
    scores = parts[1].users @ parts[1].items.T
    scores[requests.hidden.toarray() > 0] = -np.inf
    best = scores.argmax(axis=1)
    truth = sparse.csr_matrix(
        (np.ones(200), (np.arange(200), best)), shape=requests.truth.shape
    )
    requests = requests._replace(truth=truth)
    found = weighing.weigh(parts, TEMPERATURE, requests, np.random.RandomState(0))
    before = found.weights * 0 + [0.9, 0.1, 0.0]
    lists = weighing.best_lists(parts, before, requests)
    assert (found.weights[:, 1] > np.abs(found.weights[:, [0, 2]]).max(axis=1)).all()
    assert (found.lists[:, 0] == best).mean() > (lists[:, 0] == best).mean() + 0.3


def test_a_hit_gains_its_reward_by_hand():
    truth = sparse.csr_matrix(np.array([[4.0, 0, 1, 0], [0, 0, 0, 1], [60, 0, 0, 0]]))
    lists = np.array([[1, 2, 0], [3, -1, -1], [0, 1, -1]])
    gained = weighing.ndcg_of_rewards(truth, lists, unit=2.0)
    second, third = 1 / np.log2([3, 4])
    expected = [(0.5 * second + 2 * third) / (1 + second), 0.5, 10]
    np.testing.assert_allclose(gained, expected)
    alike = truth.sign()
    binary = ndcg_at_k(alike, lists, 3, per_user=True)
    np.testing.assert_allclose(weighing.ndcg_of_rewards(alike, lists, 1.0), binary)


@pytest.mark.slow
def test_what_earns_more_teaches_more():
    shelf = np.arange(20)
    rng = np.random.default_rng(0)
    rows = []
    for user in range(100):
        of_shelf = 20 * rng.integers(5) + shelf
        looked_at = rng.choice(of_shelf[:10], 6, replace=False)
        bought = rng.choice(of_shelf[10:], 3, replace=False)
        rows += [(user, item, 1.0) for item in looked_at]
        rows += [(user, item, 100.0) for item in bought]
    events = pd.DataFrame(rows, columns=["user", "item", "worth"])
    last = ~events["user"].duplicated(keep="last")
    past, later = events[~last], events[last]
    model = TwoTowerRecommender(random_state=0)
    model.fit(past[["user", "item"]], past["worth"])
    top = model.recommend(later["user"].tolist(), 5)
    assert (top["item"] % 20 >= 10).mean() > 0.8  # what is bought


def test_furthest_and_best():
    def tried(*ndcgs):
        ndcgs = [np.array(each, dtype=float) for each in ndcgs]
        return [weighing.Weighing(None, None, ndcg) for ndcg in ndcgs]

    same, noise = np.full(100, 0.5), np.tile([0.4, 0.7], 50)
    better, best = same + 0.1, same + 0.2
    assert weighing.best_of(steps := tried(same, better, best)) is steps[2]
    # 0.05 more, with a standard error of 0.015
    assert weighing.best_of(steps := tried(same, noise)) is steps[1]
    # with one user less who gains, half of the error is as large as the gain
    few = np.array([0.4, 0.4, 0.4, 0.7, 0.7])
    assert weighing.best_of(steps := tried(same[:5], few)) is steps[0]
    assert weighing.best_of(steps := tried(same, same)) is steps[0]
    assert weighing.furthest_of(tried(same, better, best, better)) == 2
    assert weighing.furthest_of(tried(same, best, best, better)) == 2
    assert weighing.furthest_of(tried(same, same, same)) == 0
    assert weighing.furthest_of(tried(best, better, same)) == 0
