"""How much each column of the context counts, learnt on requests with known answers.

Input: ``KeptRequests``, and what parts say of users in an unknown and a known context.
Output: a weight for each column of the context: 0, 1/2 or 1.
"""

from typing import NamedTuple

import numpy as np
import torch
from scipy import optimize, sparse

from sktwotower.runtime._knots import knot_shares
from sktwotower.runtime._one_query import rescore
from sktwotower.towers.operators._sparse_rows import SparseRows

from ._weighing import best_lists, rewards_at, unit_reward

# From how many requests weights are learnt at most. Fewer answers than this among their
# candidates say nothing.
MAX_REQUESTS = 1000
MIN_ANSWERED = 100
# How many of the best items are candidates of a request, in an unknown and in a known
# context each.
N_CANDIDATES = 100
# By so much, as a logarithm, must answers be more likely: by half of it without a
# column that is left out, and by the whole of it with one that counts half.
PRIOR = 1.0
# Least factor of the scores, and change of the loss at which the search ends.
MIN_FACTOR = 1e-5
TOLERANCE = 1e-6


class ContextColumn(NamedTuple):
    """Columns of the context with one weight: one, unless a transformer mixes them.

    ``names``: those of the columns, a list. ``features``: int array, their positions in
    the feature row of a context.
    """

    names: list
    features: np.ndarray


def context_columns(context):
    """Return the ``ContextColumn`` of a ``RequestContext`` that have features, a list.

    Hour, weekday, month and the gap of the time are together. None that nobody has
    named are left.
    """
    if context is None or context.is_auto:
        return []
    columns = [ContextColumn(*each) for each in context.columns_out()]
    if context.clock is not None:
        of_time = context.own_width + np.arange(context.clock_width)
        columns.append(ContextColumn([context.time], of_time))
    return [column for column in columns if len(column.features)]


def feature_weights(context, weights):
    """Return the weight (width,) of each feature, given those of columns, a dict."""
    of_features = np.ones(context.width, dtype=np.float32)
    for column in context_columns(context):
        of_features[column.features] = weights.get(column.names[0], 1.0)
    return of_features


class AskingUsers(NamedTuple):
    """Vectors of the users of n requests, and what each column of the context adds.

    Parameters
    ----------
    users : float32 array of shape (n, d)
        Vectors in an unknown context, of unit length.
    added : float32 array of shape (n_columns, n, d)
        What each column adds to them, before they are scaled to unit length again.
    """

    users: np.ndarray
    added: np.ndarray

    @classmethod
    def of(cls, part, users, contexts, columns):
        """Return those of a part, of users (n, d) in contexts, CSR (n, p)."""
        if part.context is None:
            columns = []
        added = np.zeros((len(columns), *users.shape), dtype=np.float32)
        device = next(part.parameters()).device
        for column, added_by_column in zip(columns, added, strict=True):
            is_of_column = np.zeros(contexts.shape[1], dtype=np.float32)
            is_of_column[column.features] = 1
            only = sparse.csr_matrix(contexts @ sparse.diags(is_of_column))
            only.eliminate_zeros()
            with torch.inference_mode():
                rows = SparseRows.from_csr(only).to(device)
                unknown = torch.from_numpy(users).to(device)
                known = part.context.unscaled(unknown, rows)
                added_by_column[:] = (known - unknown).cpu().numpy()
        return cls(users, added)

    def at(self, rows):
        """Return those of the requests at positions (m,)."""
        return AskingUsers(self.users[rows], self.added[:, rows])

    def vectors(self, weights):
        """Return the vectors (n, d) of requests, given weights (n_columns,)."""
        if not len(self.added):
            return self.users
        weights = np.asarray(weights, dtype=np.float32)
        asked = self.users + np.tensordot(weights, self.added, 1)
        lengths = np.linalg.norm(asked, axis=1, keepdims=True)
        return asked / np.maximum(lengths, 1e-12)


def learn_context_weights(asking, to_weigh, weighing, temperature, requests):
    r"""Return the weight (n_columns,) of each column of the context: 0, 1/2 or 1.

    Parameters
    ----------
    asking : list of AskingUsers
        Those of the parts with vectors.
    to_weigh : callable
        Returns a list of what is to be weighed, of all parts, given these weights.
    weighing : Weighing
        Weights of parts that are learnt with all columns.
    temperature : float
    requests : KeptRequests

    Notes
    -----
    With the weights w in [0, 1] of columns and what each of them adds to the vectors of
    users, the scores s(w) of requests minimize

    .. math::
        -\sum_r \log \frac{e^{a s_i(w)}}{\sum_j e^{a s_j(w)}}
        + \frac{1}{2} \sum_k (1 - w_k)^2

    over the requests r in known contexts that item i answers and the other candidates
    j, with a factor a > 0. Each term counts as its reward, as in `weigh`. Candidates
    are the 100 best items in an unknown context and those in the known one. So a column
    is left out if it makes answers less likely, also next to others. Weights are
    rounded. Then columns of weight 1/2 are left out, one by one, while the first sum
    does not rise by 1: several that say little cost more than they add.
    """
    n_columns = max(len(each.added) for each in asking)
    ones = np.ones(n_columns)
    problem = _Problem(asking, to_weigh, weighing.weights, temperature, requests)
    if problem.n_requests < MIN_ANSWERED:
        return ones
    factor, weights = problem.solution()
    weights = np.round(2 * weights) / 2
    while (weights == 0.5).any():
        tried = [_without(weights, n) for n in np.flatnonzero(weights == 0.5)]
        losses = [problem.loss(factor, each) for each in tried]
        if min(losses) > problem.loss(factor, weights) + PRIOR:
            break
        weights = tried[int(np.argmin(losses))]
    return weights


def _without(weights, column):
    """Return weights (n_columns,) with that of a column at 0."""
    weights = weights.copy()
    weights[column] = 0.0
    return weights


class _Problem:
    """The problem of `learn_context_weights`; its parameters are the same."""

    def __init__(self, asking, to_weigh, weights, temperature, requests):
        n_columns = max(len(each.added) for each in asking)
        known = requests.known()
        rows = np.flatnonzero(np.diff(known.contexts.indptr) > 0)
        rows = np.random.RandomState(0).permutation(rows)[:MAX_REQUESTS]
        asked = known.at(rows)
        lists = []
        ways = (np.zeros(n_columns), np.ones(n_columns))
        for of_columns in ways:
            parts = [part.of_requests(rows) for part in to_weigh(of_columns)]
            lists.append(best_lists(parts, weights, asked, N_CANDIDATES))
        # what is in both lists is a candidate once
        in_unknown, in_known = lists
        is_same = in_known[:, :, None] == in_unknown[:, None, :]
        in_known[is_same.any(axis=2)] = -1
        candidates = np.hstack([in_unknown, in_known])
        is_hidden = candidates < 0
        candidates = np.maximum(candidates, 0)
        rewards = rewards_at(asked.truth, candidates, unit_reward(requests))
        rewards[is_hidden] = 0

        answered = np.flatnonzero(rewards.any(axis=1))
        candidates = candidates[answered]
        rewards = rewards[answered]
        self.n_requests = len(answered)
        self.hidden = torch.from_numpy(is_hidden[answered])
        n_answers = (rewards > 0).sum(axis=1, keepdims=True)
        of_truth = rewards / n_answers
        self.truth = torch.from_numpy(of_truth).float()
        of_parts = knot_shares(asked.n_past[answered]) @ weights / temperature
        self.fixed = torch.zeros(candidates.shape)
        self.terms = []
        self.products = []
        for number, part in enumerate(parts):
            part = part.of_requests(answered)
            of_part = torch.from_numpy(of_parts[:, number, None]).float()
            users = None
            if number < len(asking):
                users = asking[number]
            if users is None or not len(users.added):
                self.fixed += of_part * torch.from_numpy(part.scores(candidates))
                continue
            users = users.at(rows[answered])
            vectors = np.concatenate([users.users[None], users.added])
            scores = [rescore(each, part.items, candidates) for each in vectors]
            self.terms.append(of_part * torch.from_numpy(np.stack(scores)).float())
            vectors = torch.from_numpy(vectors)
            self.products.append(torch.einsum("ind,jnd->nij", vectors, vectors))

    def loss(self, factor, weights):
        """Return the first sum, given a and weights (n_columns,)."""
        weights = torch.as_tensor(weights, dtype=torch.float32)
        return float(self._loss(factor, weights))

    def _loss(self, factor, weights):
        """Return the same as a tensor, of tensors."""
        counts = torch.cat([torch.ones(1), weights])  # the vector without context first
        scores = self.fixed
        for terms, products in zip(self.terms, self.products, strict=True):
            squares = torch.einsum("i,nij,j->n", counts, products, counts)
            lengths = torch.sqrt(torch.clamp(squares, min=1e-12))
            sums = torch.einsum("i,ink->nk", counts, terms)
            scores = scores + sums / lengths[:, None]
        logits = (factor * scores).masked_fill(self.hidden, -torch.inf)
        likely = torch.log_softmax(logits, 1).masked_fill(self.hidden, 0.0)
        return -(self.truth * likely).sum()

    def solution(self):
        """Return the factor a, and the weights (n_columns,)."""
        n_columns = self.products[0].shape[1] - 1

        def loss_and_gradient(variables):
            variables = torch.tensor(variables, dtype=torch.float32, requires_grad=True)
            with torch.enable_grad():
                loss = self._loss(variables[0], variables[1:])
                loss = loss + PRIOR / 2 * ((1 - variables[1:]) ** 2).sum()
                loss.backward()
            return loss.item(), variables.grad.double().numpy()

        solved = optimize.minimize(
            loss_and_gradient,
            np.ones(1 + n_columns),
            jac=True,
            bounds=[(MIN_FACTOR, None)] + [(0.0, 1.0)] * n_columns,
            method="L-BFGS-B",
            options={"ftol": TOLERANCE},
        )
        return float(solved.x[0]), solved.x[1:]
