"""How much each part of a model counts, learnt on requests with known answers.

Input: ``KeptRequests``, and the vectors that each part gives them and all items.
Output: ``Weighing``: weights (n_knots, n_parts), and how good the lists are with them.
"""

import copy
from typing import NamedTuple

import numpy as np
import torch
from scipy import optimize, sparse

from sktwotower._tables._sparse import slices
from sktwotower.metrics import ndcg_at_k, recall_at_k
from sktwotower.runtime._knots import KNOTS, knot_shares
from sktwotower.runtime._one_query import rescore
from sktwotower.towers.processes._group import summed

# From how many requests of known users weights are learnt, and how many of the best
# items of each part are the candidates of a request.
MAX_REQUESTS = 1000
N_CANDIDATES = 50
# Lists of each of so many parts of the users are judged with the weights of others.
N_FOLDS = 3
# Entries of a dense array of some requests and all items.
BLOCK = 1 << 22
# How many requests what is known in advance is worth, and how many it is worth that
# users with a few past items more need similar weights.
PRIOR = 30.0
SMOOTHNESS = 30.0
# An answer counts at most so many times as much as the mean answer.
MAX_REWARD = 10.0
# Least factor of the shares.
MIN_SCALE = 1e-3
# Relative change of the loss at which the search for weights ends.
TOLERANCE = 1e-6
# How far weights move from those of before towards the learnt ones; see `weigh`.
STEPS = 0.0, 0.25, 0.5, 0.75, 1.0
# Length of the lists that are compared, and of those of the reported figures.
K = 20
REPORTED_K = 10


class PartToWeigh(NamedTuple):
    """What a part with vectors says of n requests and all items.

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

    def of_requests(self, rows):
        """Return what it says of the requests at positions (m,) only."""
        return self._replace(users=self.users[rows])

    def in_float32(self):
        """Return the same in the type in which lists are made."""
        users = self.users.astype(np.float32, copy=False)
        items = self.items.astype(np.float32, copy=False)
        return self._replace(users=users, items=items)

    def of_all_items(self):
        """Return the scores (n, n_items) of all items."""
        return self.users @ self.items.T

    def scores(self, candidates):
        """Return the scores (n, k) of candidates (n, k) of each request."""
        return rescore(self.users, self.items, candidates).astype(np.float32)


class SparsePartToWeigh(NamedTuple):
    """What a sparse part says of n requests and all items.

    Parameters
    ----------
    added : CSR matrix of shape (n, n_items)
        Its scores.
    """

    added: sparse.csr_matrix

    # its weight if nothing else is better, and whether it may be below zero
    share = 0.0
    is_signed = False

    def of_requests(self, rows):
        """Return what it says of the requests at positions (m,) only."""
        return self._replace(added=self.added[rows])

    def in_float32(self):
        """Return the same in the type in which lists are made."""
        return self._replace(added=self.added.astype(np.float32, copy=False))

    def of_all_items(self):
        """Return the scores (n, n_items) of all items."""
        return self.added.toarray()

    def scores(self, candidates):
        """Return the scores (n, k) of candidates (n, k) of each request."""
        return entries_at(self.added, candidates)


class Weighing(NamedTuple):
    """Weights of parts, and how good lists of known users are with them.

    Parameters
    ----------
    weights : array of shape (n_knots, n_parts)
    lists : int array of shape (n, k)
        The best items of each known user, with weights that others have taught.
    ndcg : array of shape (n,)
        NDCG@20 of each list, times the rewards of its hits, see `ndcg_of_rewards`.
    """

    weights: np.ndarray
    lists: np.ndarray
    ndcg: np.ndarray


def weigh(parts, temperature, requests, rng):
    r"""Return the ``Weighing`` of a list of ``PartToWeigh``.

    Notes
    -----
    The weights w of a user with n past items are interpolated between those of the
    numbers in ``KNOTS``. With the scores :math:`s_k` of part k they minimize

    .. math::
        -\sum_r \log \frac{e^{\sum_k w_k s_k(r, i)}}{\sum_j e^{\sum_k w_k s_k(r, j)}}
        + \frac{30}{2} \Bigl( \operatorname{mean}_n \bigl( |d_n|^2
        + (a_n - \bar a)^2 |w^0|^2 \bigr) + \sum_n |d_{n+1} - d_n|^2 \Bigr), \quad
        d_n = w_n - a_n w^0

    over the requests r that item i answers and the other candidates j, in units in
    which the scores of each part have the standard deviation 1. :math:`w^0` are the
    shares of before. The :math:`a_n > 0`, with the mean :math:`\bar a`, are learnt as
    well, as only proportions count in a list: so this is a convex problem. Candidates
    of a request are the 50 best items of each part, and of all with the shares of
    before: what comes first in a list is decided among them. Requests whose answers are
    not among them do not count. Each term counts as its reward, in units of the mean
    reward, at most 10 times as much as the mean.

    Cross-entropy is not what lists are judged by. So of the steps from the weights of
    before to these, the one with the best NDCG of known users is taken, if it is better
    than none beyond half a standard error. Lists of a third of the users are made with
    weights that are learnt from the other two thirds: many weights fit few requests by
    chance. Users without past items, none of whom is known, have the learnt weights.
    """
    shares = np.array([part.share for part in parts])
    before = np.tile(shares, (len(KNOTS), 1))
    weighing, learnt = _weighed(before, parts, temperature, requests, rng)
    known = requests.known()
    if not summed(np.count_nonzero(known.n_past == 0)):
        # nothing judges the weights of users without any past
        weighing.weights[0] = learnt[0]
    return weighing


def weigh_from(before, parts, temperature, requests, rng):
    """Return the ``Weighing`` of parts by further requests.

    ``before`` (n_knots, n_parts): the weights of other requests, in the place of the
    shares of `weigh`, whose parameters the others are.
    """
    weighing, _ = _weighed(before, parts, temperature, requests, rng)
    return weighing


def _weighed(before, parts, temperature, requests, rng):
    """Return the ``Weighing`` of the best step, and the learnt weights."""
    problem = Problem(parts, before, temperature, requests, rng)
    learnt = problem.solution()
    without = [problem.without(rows).solution() for rows in folds_of(requests)]
    weighing = best_step(parts, before, learnt, without, requests, STEPS)
    return weighing, learnt


def folds_of(requests):
    """Return the positions (m,) of the known users of each fold, a list."""
    folds = np.arange(requests.n_known) % N_FOLDS
    return [np.flatnonzero(folds == fold) for fold in range(N_FOLDS)]


def best_step(parts, before, learnt, without, requests, steps):
    """Return the ``Weighing`` of the best step from some weights to learnt ones.

    Parameters
    ----------
    parts : list of PartToWeigh and SparsePartToWeigh
    before, learnt : arrays of shape (n_knots, n_parts)
    without : list of arrays of shape (n_knots, n_parts)
        What is learnt without each of `folds_of` the requests.
    requests : KeptRequests
    steps : tuple of float
        How far each step goes; the first one is 0.

    Notes
    -----
    The last paragraph of `weigh` says which step is the best.
    """
    known = requests.known()
    folds = folds_of(requests)
    of_knots = knot_shares(known.n_past)
    ways = []
    for step in steps:
        way = np.empty((requests.n_known, len(parts)))
        for rows, learnt_of_others in zip(folds, without, strict=True):
            others = before + step * (learnt_of_others - before)
            way[rows] = of_knots[rows] @ others
        ways.append(way)
    tried = []
    all_lists = lists_by_weights(parts, ways, known)
    for step, lists in zip(steps, all_lists, strict=True):
        weights = before + step * (learnt - before)
        ndcg = ndcg_of_rewards(known.truth, lists, unit_reward(requests))
        tried.append(Weighing(weights, lists, ndcg))
    return best_of(tried)


def best_of(tried):
    """Return the best of some ``Weighing``: the first one unless others are better.

    Better means: beyond half of the standard error of what is gained.
    """
    first = tried[0]
    gains = [weighing.ndcg - first.ndcg for weighing in tried]
    means = [mean_of_all(gain) for gain in gains]
    place = int(np.argmax(means))
    if means[place] <= _error(gains[place]) / 2:
        return first
    return tried[place]


def furthest_of(tried):
    """Return the position of the last ``Weighing`` that is about as good as the best.

    About means: within half a standard error of the difference. The first one, of no
    step at all, is returned unless a later one is better.
    """
    means = [mean_of_all(weighing.ndcg) for weighing in tried]
    best = tried[int(np.argmax(means))]
    furthest = 0
    for place, weighing in enumerate(tried):
        loss = best.ndcg - weighing.ndcg
        is_about_as_good = mean_of_all(loss) <= _error(loss) / 2
        if means[place] > means[0] and is_about_as_good:
            furthest = place
    return furthest


def unit_reward(requests):
    """Return the mean reward of the answers of known users, of all processes."""
    return mean_of_all(requests.known().truth.data) or 1.0


def rewards_at(truth, places, unit):
    """Return the rewards (n, k) of items at ``places`` (n, k), 0 for no answer.

    ``truth``: CSR (n, n_items). ``unit``: the reward that counts 1.
    """
    rewards = entries_at(truth, places) / np.float32(unit)
    return np.minimum(rewards, MAX_REWARD)


def ndcg_of_rewards(truth, lists, unit):
    """Return the NDCG (n,) of lists (n, k), in which a hit gains its reward.

    Where all rewards are equal it is the NDCG; otherwise it may be above 1. -1 in a
    list is no item. The other parameters are those of `rewards_at`.
    """
    rewards = rewards_at(truth, np.maximum(lists, 0), unit)
    rewards[lists < 0] = 0
    discounts = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
    # that of a list whose first places are all answers
    n_answers = np.diff(truth.indptr)
    n_hits = np.minimum(n_answers, lists.shape[1])
    best_by_hits = np.append(0, discounts.cumsum())
    best = best_by_hits[n_hits]
    return rewards @ discounts / np.maximum(best, 1e-12)


def mean_of_all(values):
    """Return the mean of values (n,), of those of all processes together."""
    return float(summed(np.sum(values)) / max(1, summed(len(values))))


def _error(values):
    """Return the standard error of the mean of values (n,), of all processes."""
    n = summed(len(values))
    mean = mean_of_all(values)
    squares = summed(np.sum((values - mean) ** 2))
    variance = squares / max(1, n - 1)
    return float(np.sqrt(variance / max(1, n)))


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
    unit = unit_reward(requests)
    of_all = knot_shares(known.n_past) @ weighing.weights
    ways = [of_all]
    for number in range(len(parts)):
        way = of_all.copy()
        way[:, number] = 0.0
        ways.append(way)
    means = []
    for lists in lists_by_weights(parts, ways, known):
        means.append(mean_of_all(ndcg_of_rewards(known.truth, lists, unit)))
    gains = [means[0] - mean for mean in means[1:]]
    return np.array(gains)


def best_lists(parts, weights, requests, k=K):
    """Return the positions (n, k) of the best items of requests, -1 for none.

    ``weights``: (n_knots, n_parts).
    """
    of_requests = knot_shares(requests.n_past) @ weights
    (lists,) = lists_by_weights(parts, [of_requests], requests, k)
    return lists


def lists_by_weights(parts, ways, requests, k=K):
    """Return the lists (n, k) of `best_lists` for each of several ways to weigh parts.

    ``ways``: a list of weights (n, n_parts) of n requests. Scores are computed once.
    """
    n, n_items = requests.hidden.shape
    used = np.flatnonzero(np.any([way.any(axis=0) for way in ways], axis=0))
    parts = [parts[number].in_float32() for number in used]
    k = min(k, n_items)
    lists = [np.empty((n, k), dtype=np.int64) for _ in ways]
    # the scores of all parts, and their sum, of as many requests as fit into memory
    n_at_once = 2 * BLOCK // (n_items * (len(parts) + 1))
    for rows in slices(n, max(1, n_at_once)):
        scores = torch.zeros(len(range(n)[rows]), len(parts), n_items)
        for number, part in enumerate(parts):
            of_part = part.of_requests(rows).of_all_items()
            scores[:, number] = torch.from_numpy(of_part)
        hidden = requests.hidden[rows].nonzero()
        for way, best in zip(ways, lists, strict=True):
            weights = torch.from_numpy(way[rows][:, used]).float()
            counts = np.flatnonzero(way[:, used].any(axis=0))
            if len(counts) == 1:  # as of candidates of one part
                totals = scores[:, counts[0]] * weights[:, counts]
            else:
                totals = torch.bmm(weights[:, None], scores).squeeze(1)
            totals[hidden] = -torch.inf
            totals[:, requests.left_out] = -torch.inf
            values, places = totals.topk(k, dim=1)
            places[values == -torch.inf] = -1
            best[rows] = places.numpy()
    return lists


class Problem:
    """The convex problem of `weigh`, whose parameters it has.

    ``before`` (n_knots, n_parts): weights that hold if nothing else is better, in the
    place of :math:`w^0`. ``prior``: how many requests they are worth.
    """

    def __init__(self, parts, before, temperature, requests, rng, prior=PRIOR):
        self.before = before
        self.prior = prior
        self.signed = [part.is_signed for part in parts]
        rows = _some_requests(requests, rng)
        asked = requests.at(rows)
        parts = [part.of_requests(rows) for part in parts]
        candidates = _candidates(parts, before, asked)
        is_padding = candidates < 0
        candidates = np.maximum(candidates, 0)
        rewards = rewards_at(asked.truth, candidates, unit_reward(requests))
        rewards[is_padding] = 0
        is_true = rewards > 0
        of_parts = [part.scores(candidates) for part in parts]
        scores = np.stack(of_parts, axis=1) / temperature

        answered = is_true.any(axis=1)
        scores = scores[answered]
        is_padding = is_padding[answered]
        rewards = rewards[answered]
        is_true = is_true[answered]
        n_true = is_true.sum(axis=1)
        of_answers = rewards / n_true[:, None]
        self.rows = rows[answered]
        # of each request: parts x candidates
        self.scores = np.ascontiguousarray(scores, dtype=np.float32)
        self.knots = knot_shares(asked.n_past[answered]).astype(np.float32)
        self.padding = np.where(is_padding, -np.inf, 0).astype(np.float32)
        self.request_weights = of_answers.sum(axis=1, dtype=float)
        of_true = np.matmul(self.scores, of_answers[:, :, None], dtype=float)
        self.true_scores = of_true[:, :, 0]
        # the same in all processes, so that they go the same way
        is_candidate = ~is_padding
        n_candidates = is_candidate.sum(axis=1, keepdims=True)
        is_candidate = is_candidate[:, None]
        means = (scores * is_candidate).sum(axis=2) / n_candidates
        squares = ((scores - means[:, :, None]) ** 2 * is_candidate).sum(axis=2)
        deviations = np.sqrt(squares / n_candidates)  # of each part, by request
        sums = summed(deviations.sum(axis=0, dtype=float))
        n_requests = max(1, summed(len(n_true)))
        self.spread = np.maximum(sums / n_requests, 1e-6)

    def without(self, rows):
        """Return the same problem without the known users at positions (m,)."""
        other = copy.copy(self)
        is_left = ~np.isin(self.rows, rows)
        for name in ("scores", "knots", "padding", "request_weights", "true_scores"):
            setattr(other, name, getattr(self, name)[is_left])
        return other

    def value(self, weights):
        """Return the loss and its gradient at weights (n_knots, n_parts)."""
        of_requests = self.knots @ weights.astype(np.float32)
        logits = np.matmul(of_requests[:, None], self.scores)[:, 0]
        logits += self.padding
        # numpy: torch takes several times as long, most of all for few requests
        highest = logits.max(axis=1)
        logits -= highest[:, None]
        likely = np.exp(logits, out=logits)
        totals = likely.sum(axis=1)
        losses = highest + np.log(totals)
        expected = np.matmul(self.scores, likely[:, :, None])[:, :, 0]
        shares = self.request_weights / totals
        slopes = expected * shares[:, None] - self.true_scores
        of_answers = (self.true_scores * of_requests).sum()
        loss = self.request_weights @ losses - of_answers
        return float(summed(loss)), summed(self.knots.T @ slopes)

    def penalized(self, flat):
        """Return what is minimized and its gradient, given all a and scaled weights."""
        scales = flat[: len(KNOTS), None]
        weights = flat[len(KNOTS) :].reshape(len(KNOTS), -1)
        prior = self.before * self.spread
        loss, gradient = self.value(weights / self.spread)
        gradient = gradient / self.spread
        away = weights - scales * prior
        steps = np.diff(away, axis=0)
        loss += self.prior / 2 * (away**2).sum() / len(KNOTS)
        loss += SMOOTHNESS / 2 * (steps**2).sum()
        of_away = self.prior * away / len(KNOTS)
        of_away[1:] += SMOOTHNESS * steps
        of_away[:-1] -= SMOOTHNESS * steps
        from_mean = scales - scales.mean()
        loss += self.prior / 2 * ((from_mean * prior) ** 2).sum() / len(KNOTS)
        of_scales = (from_mean * prior**2).sum(axis=1)
        of_scales = self.prior * (of_scales - of_scales.mean()) / len(KNOTS)
        of_scales -= (of_away * prior).sum(axis=1)
        return loss, np.append(of_scales, (gradient + of_away).ravel())

    def solution(self):
        """Return the weights (n_knots, n_parts), in the scale of the shares."""
        n_knots = len(KNOTS)
        start = (self.before * self.spread).ravel()
        bounds_of_parts = []
        for is_signed in self.signed:
            lowest = 0.0
            if is_signed:
                lowest = None
            bounds_of_parts.append((lowest, None))
        bounds = [(MIN_SCALE, None)] * n_knots
        bounds += bounds_of_parts * n_knots
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


def _some_requests(requests, rng):
    """Return positions (n,) of requests: some of known users, and all of new ones."""
    rows = np.arange(requests.truth.shape[0])
    known = rng.permutation(requests.n_known)[:MAX_REQUESTS]
    return np.append(np.sort(known), rows[requests.n_known :])


def _candidates(parts, before, requests):
    """Return the positions (n, k) of the candidates of each request; -1 pads them."""
    n = len(requests.n_past)
    ways = [np.tile(one, (n, 1)) for one in np.eye(len(parts))]
    if before.any():
        ways.append(knot_shares(requests.n_past) @ before)
    lists = lists_by_weights(parts, ways, requests, N_CANDIDATES)
    candidates = np.sort(np.hstack(lists), axis=1)
    is_repeated = candidates[:, 1:] == candidates[:, :-1]
    candidates[:, 1:][is_repeated] = -1
    candidates = -np.sort(-candidates, axis=1)  # padding last
    n_candidates = (candidates >= 0).sum(axis=1)
    return candidates[:, : n_candidates.max(initial=1)]


def entries_at(matrix, columns):
    """Return the entries (n, k) of a CSR matrix at columns (n, k) of each row."""
    n, n_columns = matrix.shape
    found = np.empty(columns.shape, dtype=np.float32)
    for rows in slices(n, max(1, BLOCK // max(1, n_columns))):
        dense = matrix[rows].toarray()
        found[rows] = np.take_along_axis(dense, columns[rows], axis=1)
    return found
