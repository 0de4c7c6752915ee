"""How much each part of a model counts, learnt on requests with known answers.

Input: ``KeptRequests``, and the vectors that each part gives them and all items.
Output: ``Weighing``: weights (n_knots, n_parts), and how good the lists are with them.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import optimize

from sktwotower.metrics import ndcg_at_k, recall_at_k
from sktwotower.neighbors._top_k import top_k
from sktwotower.runtime._model_arrays import KNOTS, knot_shares
from sktwotower.towers._dropout import entries_of
from sktwotower.towers._group import summed

# From how many requests of known users weights are learnt, up to how many items that
# each chooses, and how many others these are compared with.
MAX_REQUESTS, MAX_TRUE, MAX_OTHERS = 600, 2, 500
# How many requests what is known in advance is worth, and how many it is worth that
# users with a few past items more need similar weights.
PRIOR, SMOOTHNESS = 30.0, 30.0
# Least factor of the shares.
MIN_SCALE = 1e-3
# Relative change of the loss at which the search for weights ends.
TOLERANCE = 1e-6
# How far weights move from those of before towards the learnt ones; see `weigh`.
STEPS = 0.0, 0.25, 0.5, 0.75, 1.0
# Length of the lists that are compared, and of those of the reported figures.
K, REPORTED_K = 20, 10


class PartToWeigh(NamedTuple):
    """What a part says of n requests and all items.

    Parameters
    ----------
    users, items : arrays of shape (n, d) and (n_items, d)
        Vectors.
    share : float
        Its weight if nothing else is better.
    is_signed : bool
        Whether its weight may be below zero.
    """

    users: np.ndarray
    items: np.ndarray
    share: float
    is_signed: bool


class Weighing(NamedTuple):
    """Weights of parts, and how good lists of known users are with them.

    Parameters
    ----------
    weights : array of shape (n_knots, n_parts)
    lists : int array of shape (n, k)
        The best items of each known user.
    ndcg : array of shape (n,)
        NDCG@20 of each list.
    """

    weights: np.ndarray
    lists: np.ndarray
    ndcg: np.ndarray


def weigh(parts, temperature, requests, rng):
    r"""Return the ``Weighing`` of a list of ``PartToWeigh``.

    Notes
    -----
    The weights w of a user with n past items are interpolated between those of the
    numbers in ``KNOTS``. With the scores :math:`s_k` of part k, divided by the
    temperature, they minimize

    .. math::
        -\sum_r \log \frac{e^{\sum_k w_k s_k(r, i)}}{\sum_j e^{\sum_k w_k s_k(r, j)}}
        + \frac{30}{2} \Bigl( \operatorname{mean}_n \bigl( |d_n|^2
        + (a_n - \bar a)^2 |w^0|^2 \bigr) + \sum_n |d_{n+1} - d_n|^2 \Bigr), \quad
        d_n = w_n - a_n w^0

    over the requests r that item i answers and the other items j, in units in which the
    scores of each part have the standard deviation 1. :math:`w^0` are the shares of
    before. The :math:`a_n > 0`, with the mean :math:`\bar a`, are learnt as well, as
    only proportions count in a list: so this is a convex problem. Other items are
    sampled, and count for those that are not.

    Cross-entropy is not what lists are judged by. So of the steps from the weights of
    before to these, the one with the best NDCG of known users is taken, if it is better
    than none beyond its standard error. Users without past items, none of whom is
    known, have the learnt weights.
    """
    shares = np.array([part.share for part in parts])
    before = np.tile(shares, (len(KNOTS), 1))
    learnt = Problem(parts, temperature, requests, rng).solution()
    known = requests.known()
    all_have_past = not summed(np.count_nonzero(known.n_past == 0))
    tried = []
    for step in STEPS:
        weights = before + step * (learnt - before)
        if all_have_past:  # then nothing judges the weights of users without any
            weights[0] = learnt[0]
        lists = best_lists(parts, weights, known)
        ndcg = ndcg_at_k(known.truth, lists, K, per_user=True)
        tried.append(Weighing(weights, lists, ndcg))
    return best_of(tried)


def best_of(tried):
    """Return the best of some ``Weighing``: the first one unless others are better.

    Better means: beyond the standard error of what is gained.
    """
    gains = [each.ndcg - tried[0].ndcg for each in tried]
    best = int(np.argmax([mean_of_all(gain) for gain in gains]))
    return tried[best] if mean_of_all(gains[best]) > _error(gains[best]) else tried[0]


def furthest_of(tried):
    """Return the position of the last ``Weighing`` that is about as good as the best.

    About means: within half a standard error of the difference. The first one, of no
    step at all, is returned unless a later one is better.
    """
    means = [mean_of_all(each.ndcg) for each in tried]
    best = tried[int(np.argmax(means))]
    furthest = 0
    for place, each in enumerate(tried):
        loss = best.ndcg - each.ndcg
        if means[place] > means[0] and mean_of_all(loss) <= _error(loss) / 2:
            furthest = place
    return furthest


def mean_of_all(values):
    """Return the mean of values (n,), of those of all processes together."""
    return float(summed(np.sum(values)) / max(1, summed(len(values))))


def _error(values):
    """Return the standard error of the mean of values (n,), of all processes."""
    n = summed(len(values))
    mean = mean_of_all(values)
    squares = summed(np.sum((values - mean) ** 2))
    return float(np.sqrt(squares / max(1, n - 1) / max(1, n)))


def scores_of(weighing, requests):
    """Return what the lists of known users score, a dict: recall and NDCG at 10."""
    truth = requests.known().truth
    lists = weighing.lists[:, :REPORTED_K]
    ndcg = ndcg_at_k(truth, lists, REPORTED_K, per_user=True)
    recall = recall_at_k(truth, lists, REPORTED_K, per_user=True)
    n_users = int(summed(len(ndcg)))
    means = {"recall": mean_of_all(recall), "ndcg": mean_of_all(ndcg)}
    return means | {"n_users": n_users}


def gains_of_parts(parts, weighing, requests):
    """Return by how much the NDCG of known users falls without each part."""
    known = requests.known()
    found = []
    for number in range(len(parts)):
        weights = weighing.weights.copy()
        weights[:, number] = 0.0
        lists = best_lists(parts, weights, known)
        ndcg = ndcg_at_k(known.truth, lists, K, per_user=True)
        found.append(mean_of_all(weighing.ndcg - ndcg))
    return np.array(found)


def best_lists(parts, weights, requests):
    """Return the positions (n, k) of the best items of requests, -1 for none."""
    of_requests = knot_shares(requests.n_past) @ weights
    n = len(of_requests)
    users = [
        p.users[:n] * w[:, None] for p, w in zip(parts, of_requests.T, strict=True)
    ]
    users = np.hstack(users).astype(np.float32)
    items = np.hstack([part.items for part in parts])
    return top_k(users, items, min(K, len(items)), requests.hidden)[1]


class Problem:
    """The convex problem of `weigh`; its parameters are the same."""

    def __init__(self, parts, temperature, requests, rng):
        self.shares = np.array([part.share for part in parts])
        self.signed = [part.is_signed for part in parts]
        rows = _some_requests(requests, rng)
        truth = _some_of_each(requests.truth[rows], MAX_TRUE, rng)
        items, counts = _candidates(truth, rng)
        hidden = requests.hidden[rows][:, items].tocoo()
        truth = truth.tocoo()
        n_true = np.bincount(truth.row, minlength=len(rows))
        scores = [part.users[rows] @ part.items[items].T for part in parts]

        self.scores = torch.from_numpy(np.stack(scores) / temperature).float()
        self.knots = torch.from_numpy(knot_shares(requests.n_past[rows])).float()
        self.log_counts = torch.from_numpy(np.log(counts)).float()
        self.hidden = _places(hidden.row), _places(hidden.col)
        true_places = np.searchsorted(items, truth.col)
        self.true = _places(truth.row), _places(true_places)
        self.true_weights = torch.from_numpy(1 / n_true[truth.row]).float()
        # the same in all processes, so that they go the same way
        spreads = summed(self.scores.double().numpy().std(axis=2).sum(axis=1))
        self.spread = np.maximum(spreads / max(1, summed(len(rows))), 1e-6)

    def value(self, weights):
        """Return the loss and its gradient at weights (n_knots, n_parts)."""
        of_requests = self.knots @ torch.from_numpy(weights).float()
        logits = torch.einsum("pri,rp->ri", self.scores, of_requests)
        logits[self.hidden] = -torch.inf
        logits += self.log_counts
        totals = torch.logsumexp(logits, 1)
        rows, places = self.true
        losses = totals[rows] - logits[rows, places]
        slopes = torch.exp(logits - totals[:, None])
        slopes.index_put_(self.true, -self.true_weights, accumulate=True)
        gradient = self.knots.T @ torch.einsum("pri,ri->rp", self.scores, slopes)
        loss = (self.true_weights * losses).sum().double().numpy()
        return float(summed(loss)), summed(gradient.double().numpy())

    def penalized(self, flat):
        """Return what is minimized and its gradient, given all a and scaled weights."""
        scales = flat[: len(KNOTS), None]
        weights = flat[len(KNOTS) :].reshape(len(KNOTS), -1)
        prior = self.shares * self.spread
        loss, gradient = self.value(weights / self.spread)
        gradient = gradient / self.spread
        away = weights - scales * prior
        steps = np.diff(away, axis=0)
        loss += PRIOR / 2 * (away**2).sum() / len(KNOTS)
        loss += SMOOTHNESS / 2 * (steps**2).sum()
        of_away = PRIOR * away / len(KNOTS)
        of_away[1:] += SMOOTHNESS * steps
        of_away[:-1] -= SMOOTHNESS * steps
        spread = (scales - scales.mean()) * prior
        loss += PRIOR / 2 * (spread**2).sum() / len(KNOTS)
        of_scales = PRIOR * (spread * prior).sum(axis=1) / len(KNOTS)
        of_scales -= (of_away * prior).sum(axis=1)
        return loss, np.append(of_scales, (gradient + of_away).ravel())

    def solution(self):
        """Return the weights (n_knots, n_parts), in the scale of the shares."""
        n_knots = len(KNOTS)
        start = np.tile(self.shares * self.spread, n_knots)
        lowest = [None if is_signed else 0.0 for is_signed in self.signed]
        bounds = [(MIN_SCALE, None)] * n_knots
        bounds += [(low, None) for low in lowest] * n_knots
        solved = optimize.minimize(
            self.penalized,
            np.append(np.ones(n_knots), start),
            jac=True,
            bounds=bounds,
            method="L-BFGS-B",
            options={"ftol": TOLERANCE},
        )
        scales = solved.x[:n_knots, None]
        weights = solved.x[n_knots:].reshape(n_knots, -1)
        return weights / self.spread / scales


def _places(array):
    return torch.from_numpy(np.asarray(array, dtype=np.int64))


def _some_requests(requests, rng):
    """Return positions (n,) of requests: some of known users, and all of new ones."""
    rows = np.arange(requests.truth.shape[0])
    known = rng.permutation(requests.n_known)[:MAX_REQUESTS]
    return np.append(np.sort(known), rows[requests.n_known :])


def _some_of_each(truth, n, rng):
    """Return at most n entries of each row of a CSR matrix, drawn at random."""
    row = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr))
    order = np.lexsort((rng.uniform(size=len(row)), row))
    place = np.empty(len(row), dtype=np.int64)
    place[order] = np.arange(len(row))
    return entries_of(truth, place - truth.indptr[row] < n)


def _candidates(truth, rng):
    """Return positions (c,) of all true items and some others, ascending.

    Also return for how many items each stands.
    """
    is_true = np.zeros(truth.shape[1], dtype=bool)
    is_true[truth.indices] = True
    others = np.flatnonzero(~is_true)
    drawn = rng.permutation(others)[:MAX_OTHERS]
    items = np.sort(np.append(np.flatnonzero(is_true), drawn))
    stands_for = len(others) / max(1, len(drawn))
    return items, np.where(is_true[items], 1.0, stands_for)
