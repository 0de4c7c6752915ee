"""The policy whose value is estimated: how probable it makes the items of a log.

Input: a ``PolicyLog``, and a fitted recommender or probabilities of all items.
Output: its propensities (n_requests, n_places), and what a regressor reads and expects.
"""

from functools import cached_property

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktwotower._tables._frames import as_frame
from sktwotower._tables._ids import check_ids, positions_of
from sktwotower._tables._messages import format_ids
from sktwotower._tables._sparse import slices
from sktwotower.retrieval._fitted_state import state_of
from sktwotower.runtime._exploration import Exploration

from ._policy_log import require_column

# Entries of all items that are held at once.
BLOCK_SIZE = 1 << 21
# Lists that are not drawn: an item comes before those with a lower rank for certain.
LOGIT_OF_A_RANK = -1000.0
# Of these arguments of ``recommend`` the policy itself has some, others change ranks.
OWN_ARGUMENTS = "X", "n_neighbors", "explore", "random_state", "path"
REORDERING = "max_per", "diversity"


class TargetPolicy:
    """A policy that is known by the probability of each item at the first place.

    Items below follow the softmax of what is left. Subclasses define ``item_ids``, an
    Index (n_items,), and ``scores_and_logits(requests)``, which returns two arrays (m,
    n_items) for positions of requests (m,); logits are -inf where an item is not shown.

    Parameters
    ----------
    log : PolicyLog
    item : str
        Name of the column of items.
    """

    def __init__(self, log, item):
        self.log = log
        self.item = item

    @cached_property
    def items(self):
        """Positions of the items of the log, int (n_requests, n_places); -1: none."""
        require_column(self.log.frame, self.item, "item")
        name = f"the column {self.item!r} of log"
        ids = check_ids(self.log.frame[self.item], name)
        positions = positions_of(ids, self.item_ids)
        if (positions < 0).any():
            unknown = ids[positions < 0].unique()
            raise ValueError(
                f"log has {len(unknown)} items that are not in the catalog of the "
                f"policy: {format_ids(unknown)}. It cannot show them: leave out the "
                "requests with such items, or take a model of that catalog."
            )
        return self.log.at_places(positions, -1)

    def blocks(self, requests):
        """Yield parts of positions (m,) of requests, as many as fit into memory."""
        n_items = len(self.item_ids)
        for block in slices(len(requests), max(1, BLOCK_SIZE // max(1, n_items))):
            yield requests[block]

    def steps(self, requests, logits):
        """Yield each place of lists, and the probabilities (m, n_items) there.

        They are those given the items above. ``logits`` (m, n_items) are changed.
        """
        rows = np.arange(len(requests))
        for place in range(self.items.shape[1]):
            largest = logits.max(axis=1)
            is_left = largest > -np.inf
            weights = np.exp(logits - np.where(is_left, largest, 0)[:, None])
            total = np.where(is_left, weights.sum(axis=1), 1)
            yield place, weights / total[:, None]
            chosen = self.items[requests, place]
            is_there = chosen >= 0
            logits[rows[is_there], chosen[is_there]] = -np.inf

    def propensities(self):
        """Return those of the items of the log, and their scores.

        Both are (n_requests, n_places), 1 and 0 where a list has ended. The scores are
        those of the policy's first place.
        """
        shape = self.items.shape
        propensities = np.ones(shape)
        item_scores = np.zeros(shape)
        for requests in self.blocks(np.arange(len(self.log))):
            scores, logits = self.scores_and_logits(requests)
            items = self.items[requests]
            of_items = np.take_along_axis(scores, np.maximum(items, 0), axis=1)
            item_scores[requests] = np.where(items >= 0, of_items, 0)
            for place, shares in self.steps(requests, logits):
                chosen = self.items[requests, place]
                share = shares[np.arange(len(requests)), chosen]
                propensities[requests, place] = np.where(chosen >= 0, share, 1)
        return propensities, item_scores


class ModelPolicy(TargetPolicy):
    """The lists of a recommender: its best items, or drawn ones.

    Parameters
    ----------
    log, item
        As in `TargetPolicy`.
    model : fitted recommender
    user : str
        Name of the column of users.
    explore : float or None
        The temperature of the lists. None: its best items.
    options : dict
        Further arguments of ``recommend``.
    """

    def __init__(self, log, item, model, user, explore, options):
        super().__init__(log, item)
        require_column(log.frame, user, "user")
        self.model = model
        self.explore = explore
        self.options = options
        if explore is not None:
            self.explore = Exploration.of(explore, None, None, 1).temperature
        for name in options:
            if name in OWN_ARGUMENTS or (explore is not None and name in REORDERING):
                raise ValueError(
                    f"options must not have {name!r}: lists of the policy are those of "
                    "all items of a request, best first or with explore from their "
                    f"softmax. Got {list(options)}."
                )
        self.item_ids = pd.Index(model.item_ids_)
        context = getattr(state_of(model), "context_columns", ())
        known = [name for name in context if name in log.frame.columns]
        first = log.frame.iloc[log.first_rows].reset_index(drop=True)
        self.requests = first[[user, *known]]

    def scores_and_logits(self, requests):
        """Return the scores and logits (m, n_items) of requests (m,)."""
        asked = self.requests.iloc[requests]
        if asked.shape[1] == 1:  # each user once
            places, users = pd.factorize(check_ids(asked.iloc[:, 0], "log"))
            X = users.to_numpy()
        else:
            places = np.arange(len(asked))
            X = asked
        n_items = len(self.item_ids)
        width = n_items
        if self.explore is None:
            width = min(n_items, self.items.shape[1])
        table = self.model.recommend(X, n_neighbors=width, **self.options)
        frame = as_frame(table, f"recommend of {type(self.model).__name__}")
        ranks = frame["rank"].to_numpy()
        lists = np.cumsum(ranks == 1) - 1
        if lists.max(initial=-1) + 1 != len(X):
            raise ValueError(
                f"{type(self.model).__name__} has lists for {lists.max(initial=-1) + 1}"
                f" of {len(X)} requests: for the others no item qualifies. Leave these "
                "requests out of log."
            )
        columns = positions_of(check_ids(frame.iloc[:, 1], "lists"), self.item_ids)
        scores = np.full((len(X), n_items), -np.inf)
        scores[lists, columns] = frame["score"].to_numpy(dtype=float)
        if self.explore is not None:
            logits = scores / self.explore
        else:
            logits = np.full((len(X), n_items), -np.inf)
            logits[lists, columns] = LOGIT_OF_A_RANK * ranks
        lowest = np.where(np.isfinite(scores), scores, np.inf).min(axis=1)
        scores = np.where(np.isfinite(scores), scores, lowest[:, None])
        return scores[places], logits[places]


class TablePolicy(TargetPolicy):
    """The probabilities of all items at the first place of each request.

    Parameters
    ----------
    log, item
        As in `TargetPolicy`.
    table : DataFrame of shape (n_requests, n_items)
        Columns are ids of items.
    """

    def __init__(self, log, item, table):
        super().__init__(log, item)
        table = as_frame(table, "policy")
        self.item_ids = check_ids(table.columns, "the columns of policy")
        self.shares = table.to_numpy(dtype=float)
        if len(table) != len(log):
            raise ValueError(
                "policy as a table must have a row for each request of log, "
                f"{len(log)}. Got {len(table)}."
            )
        sums = self.shares.sum(axis=1)
        wrong = ~(np.isclose(sums, 1) & (self.shares >= 0).all(axis=1))
        if wrong.any():
            row = np.flatnonzero(wrong)[0]
            raise ValueError(
                "policy as a table must hold probabilities that sum to 1 in each row. "
                f"Row {row} has numbers from {self.shares[row].min()} and the sum "
                f"{sums[row]}."
            )

    def scores_and_logits(self, requests):
        """Return the probabilities (m, n_items), and their logarithms."""
        shares = self.shares[requests]
        with np.errstate(divide="ignore"):
            return shares, np.log(shares)


class Reward:
    """Predicts what an item at a place, and those below it, earn in other requests.

    Requests are divided by users: those of one part are predicted by what was learnt
    from all others. It reads the score of the policy, the place, and the mean reward of
    the item in these others.

    Parameters
    ----------
    policy : TargetPolicy
    regressor : estimator
    item_scores : array of shape (n_requests, n_places)
        Scores of the items of the log.
    random : RandomState
    n_folds : int
    """

    def __init__(self, policy, regressor, item_scores, random, n_folds=5):
        self.policy = policy
        self.regressor = regressor
        self.item_scores = item_scores
        clusters = policy.log.clusters
        n_users = len(np.unique(clusters))
        if n_users < 2:
            raise ValueError(
                "regressor predicts rewards of users from those of others, and log has "
                "one user. Leave regressor out, or rename the column of users."
            )
        n_folds = min(n_folds, n_users)
        fold_of_cluster = random.permutation(clusters.max() + 1) % n_folds
        self.folds = fold_of_cluster[clusters]

    def predicted(self):
        """Return what is predicted for the items of the log, and for the policy.

        Both are (n_requests, n_places). The second is the mean over all items, weighted
        by their probabilities at that place given the items above; both are 0 where a
        list has ended.
        """
        policy, log = self.policy, self.policy.log
        of_items = np.zeros(log.rows.shape)
        of_policy = np.zeros(log.rows.shape)
        # what is earned from a place on: what stands above is taken as it was
        gains = np.cumsum(log.rewards[:, ::-1], axis=1)[:, ::-1]
        for fold in np.unique(self.folds):
            others = np.flatnonzero(self.folds != fold)
            means = self._means_of_items(others)
            request, place = np.nonzero(log.is_there[others])
            request = others[request]
            seen = np.column_stack(
                [
                    self.item_scores[request, place],
                    place + 1,
                    means[policy.items[request, place]],
                ]
            )
            regressor = clone(self.regressor).fit(seen, gains[request, place])
            for requests in policy.blocks(np.flatnonzero(self.folds == fold)):
                scores, logits = policy.scores_and_logits(requests)
                all_means = np.tile(means, len(requests))
                for place, shares in policy.steps(requests, logits):
                    places = np.full(scores.size, place + 1)
                    of_all = np.column_stack([scores.ravel(), places, all_means])
                    values = np.asarray(regressor.predict(of_all), dtype=float)
                    values = values.reshape(scores.shape)
                    chosen = policy.items[requests, place]
                    rows = np.arange(len(requests))
                    is_there = chosen >= 0
                    of_items[requests, place] = values[rows, chosen] * is_there
                    expected = (shares * values).sum(axis=1)
                    of_policy[requests, place] = expected * is_there
        return of_items, of_policy

    def _means_of_items(self, requests):
        """Return the mean reward (n_items,) of items in requests, drawn to that of all.

        The mean of all counts like ten showings.
        """
        log, n_items = self.policy.log, len(self.policy.item_ids)
        is_there = log.is_there[requests]
        items = self.policy.items[requests][is_there]
        rewards = log.rewards[requests][is_there]
        sums = np.bincount(items, rewards, n_items)
        counts = np.bincount(items, minlength=n_items)
        return (sums + 10 * rewards.mean()) / (counts + 10)
