"""Sees the parts of a model before they have learnt what was kept back.

Input: ``KeptBack``, and each part while it is trained.
Output: how far the latest events may move the model, and the weights of its parts.
"""

from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np

from sktwotower._tables._messages import logger
from sktwotower.towers.parts import Model, OverallPopularity, distinct_ones
from sktwotower.towers.processes._group import current_group, most, summed
from sktwotower.towers.sparse_parts import SparseParts, candidates_of, recomputed

from ._context_weights import (
    AskingUsers,
    context_columns,
    feature_weights,
    learn_context_weights,
)
from ._kept_requests import requests_long_before, requests_of
from ._last_pass import RATES, learn_latest, untied_copy
from ._processes import from_first, rows_in_first
from ._weighing import (
    PartToWeigh,
    SparsePartToWeigh,
    furthest_of,
    gains_of_parts,
    scores_of,
    weigh,
    weigh_from,
)

# A part that counts less than this share of all is left out; a sparse one that counts
# less than this share of all sparse ones.
MIN_SHARE = 1e-4
MIN_SPARSE_SHARE = 0.01
# Of more pairs of user and item, there are no sparse parts: computing them would take
# as much memory as the events, which may be on disk.
MAX_SPARSE_EVENTS = 10_000_000
# Vectors of a part are kept while others are tried if they have so many numbers.
MAX_KEPT = 10_000_000
# The first part keeps at least this share of its usual weight.
MIN_MAIN = 0.02


class Seen(NamedTuple):
    """What a part says of requests, and of all items.

    Parameters
    ----------
    asking : AskingUsers
    items : array of shape (n_items, d)
    long_before : AskingUsers or None
        Those of requests long before the others, if there are any.
    """

    asking: AskingUsers
    items: np.ndarray
    long_before: AskingUsers | None

    @property
    def size(self):
        """Number of its numbers."""
        arrays = [self.items, *self.asking]
        if self.long_before is not None:
            arrays += self.long_before
        return sum(array.size for array in arrays)

    def arrays(self):
        """Return what a checkpoint keeps of it, a dict."""
        arrays = {**self.asking._asdict(), "items": self.items}
        if self.long_before is not None:
            arrays |= {
                f"{name}_long_before": array
                for name, array in self.long_before._asdict().items()
            }
        return arrays

    @classmethod
    def of_arrays(cls, arrays):
        """Return what has these `arrays`."""
        asking = AskingUsers(arrays["users"], arrays["added"])
        long_before = None
        if "users_long_before" in arrays:
            users = arrays["users_long_before"]
            long_before = AskingUsers(users, arrays["added_long_before"])
        return cls(asking, arrays["items"], long_before)


class Judge:
    """Learns weights of parts from requests that none of them has learnt.

    Parameters
    ----------
    kept : KeptBack
    plans : list of Plan
        With ``before`` and ``known``.
    saved : Checkpoint
        Keeps what it has seen.

    Attributes
    ----------
    rate : float or None
        Learning rate of the last pass, over the latest events, relative to that of fit.
        None: not chosen yet.
    """

    def __init__(self, kept, plans, saved):
        recipe = plans[0].recipe
        self.kept = kept
        self.plans = plans
        self.saved = saved
        self.sees_past = recipe.history.sees_past
        rng = np.random.RandomState(0)
        self.requests = requests_of(kept, recipe, rng)
        self.long_before = requests_long_before(kept, recipe)
        self.item_rows = plans[0].events.items.rows[:-1]
        # those whose weights are learnt; several processes leave them as they are
        self.context_columns = []
        if self.requests.contexts is not None and current_group() is None:
            self.context_columns = context_columns(plans[0].events.contexts.context)
        self.vectors = {}
        self.sparse = self._sparse_parts()
        self.sparse_to_weigh = self._sparse_to_weigh(self.requests)
        # which events come next is only known of the latest ones
        self.rate = 0.0
        if kept.asked == "latest":
            self.rate = None
        for number, plan in enumerate(plans):
            if not plan.kind.is_trained and not plan.n_components:
                self.see_computed(number, None, None)

    @property
    def in_order(self):
        """Whether the past of requests is in the order of time."""
        return self.kept.known.ordered is not None

    def _sparse_to_weigh(self, requests):
        """Return the sparse parts, as what `weigh` takes."""
        past = requests.past
        in_order = self.in_order
        return [SparsePartToWeigh(part.scores(past, in_order)) for part in self.sparse]

    def _sparse_parts(self):
        """Return the sparse parts of what is known when requests come, a list."""
        recipe = self.plans[0].recipe
        if not self.sees_past or recipe.sparse_parts is None:
            return []
        if summed(self.kept.known.positives.nnz) > MAX_SPARSE_EVENTS:
            return []
        seen, lags = past_of(self.kept.known)
        return from_first(partial(candidates_of, seen, lags, recipe.exclude_seen))

    def see_computed(self, number, training, spectrum):
        """Compute a part of what is known when requests come, and see it."""
        plan = self.plans[number]
        part = plan.kind.start(plan._replace(events=plan.known), training, spectrum)
        self._see(number, part)

    def _see(self, number, part):
        """Keep the vectors that a part gives requests and items."""
        columns = self.context_columns
        asking, items = self.requests.embedded(part, self.item_rows, columns)
        long_before = None
        if self.long_before is not None:
            long_before = self.long_before.asking(part, self.item_rows, columns)
        self.vectors[number] = Seen(asking, items, long_before)

    @property
    def is_apart(self):
        """Whether it judges parts of a model of its own, see `see_apart`."""
        return self.kept.is_apart

    def see_apart(self, model, seed):
        """See a ``Model`` without what was kept back, and weigh its parts."""
        for number, part in enumerate(model.parts):
            if number not in self.vectors:
                self._see_trained(number, part, seed, exchange=None)
        self._weigh_all(model.shares)

    def look_of(self, number, seed):
        """Return a function that sees a part in training, see ``TrainingData.look``."""

        def look(part, exchange):
            self._see_trained(number, part, seed, exchange)
            seen = self.vectors[number].arrays() | {"rate": self.rate}
            self.saved.keep_seen(number, seen)

        return look

    def has_seen(self, number):
        """Return whether a part was seen, perhaps by a fit that was interrupted."""
        if number not in self.vectors:
            seen = self.saved.seen(number)
            if seen is not None:
                self.vectors[number] = Seen.of_arrays(seen)
                self.rate = seen["rate"]
        return number in self.vectors

    def _columns(self, layers):
        """Return the columns of tables that are needed, by the name of the layer."""
        of_items = np.unique(self.item_rows.indices).astype(np.int64)
        of_users = self.requests.rows.indices
        if self.long_before is not None:
            of_users = np.append(of_users, self.long_before.rows.indices)
        of_users = np.unique(of_users).astype(np.int64)
        by_owner = {"user_tower": of_users, "item_tower": of_items, "history": of_items}
        contexts = []
        for requests in (self.requests, self.long_before):
            if requests is not None and requests.contexts is not None:
                contexts.append(requests.contexts.indices)
        if contexts:
            of_contexts = np.unique(np.concatenate(contexts)).astype(np.int64)
            by_owner["context"] = of_contexts
        owners = {name: name.partition(".")[0] for name in layers}
        return {n: by_owner[owner] for n, owner in owners.items() if owner in by_owner}

    def _see_trained(self, number, part, seed, exchange):
        """See a part, of which this process has all rows if the exchange is None."""
        see = partial(self._see_moved, number, part, seed, exchange)
        if self.rate is None:
            self._choose_rate(number, see)
        else:
            see(self.rate)

    def _choose_rate(self, number, see):
        """Choose how far the latest events may move a part, next to computed ones.

        ``see(rate)`` sees it after a pass at a rate.
        """
        ones = np.ones(len(self.context_columns))
        others = [self._to_weigh(n, 0.0, ones) for n in self.vectors]
        tried = []
        vectors = []
        for rate in RATES:
            see(rate)
            part_to_weigh = self._to_weigh(number, 1.0, ones)
            parts = [part_to_weigh, *others, *self.sparse_to_weigh]
            tried.append(self._weighing(parts))
            vectors.append(self.vectors[number])
            if most(self.vectors[number].size) > MAX_KEPT:
                vectors.clear()  # those of all rates might not fit into memory
        best = furthest_of(tried)
        self.rate = RATES[best]
        if vectors:
            self.vectors[number] = vectors[best]
        else:
            see(self.rate)

    def _see_moved(self, number, part, seed, exchange, rate):
        """See a copy of a part that has learnt the latest events which do not judge."""
        if rate:
            plan = self.plans[number]
            moved = untied_copy(part)
            known = plan._replace(events=plan.known)
            if not learn_latest(known, moved, self.kept.start, rate, seed):
                raise KeyboardInterrupt  # it ends the training around it, too
            if moved.divisions is None:  # else there was nothing to learn
                part = moved
        rows_of_others = nullcontext()
        if part.divisions is not None:
            rows_of_others = exchange.fetched(self._columns(exchange.layers))
        with rows_of_others:
            self._see(number, part)

    def _to_weigh(self, number, share, context_weights):
        """Return a part that was seen, as what `weigh` takes."""
        seen = self.vectors[number]
        users = seen.asking.vectors(context_weights)
        kind = self.plans[number].kind
        # random pairs cannot tell that what is popular will be less so
        is_signed = self.in_order and kind.is_signed
        # nor can a few users, who may turn against popular items by chance
        if self.is_apart and kind is OverallPopularity:
            is_signed = False
        return PartToWeigh(users, seen.items, share, is_signed)

    def _all_to_weigh(self, shares, context_weights):
        """Return all parts and sparse parts, as what `weigh` takes."""
        to_weigh = []
        for number, share in enumerate(shares):
            to_weigh.append(self._to_weigh(number, share, context_weights))
        return to_weigh + self.sparse_to_weigh

    def _weigh_all(self, shares):
        """Learn the weights of parts and of the columns of the context."""
        columns = self.context_columns
        ones = np.ones(len(self.context_columns))
        to_weigh = partial(self._all_to_weigh, shares)
        self.weighing = self._weighing(to_weigh(ones))
        self.context_weights = ones
        asking = [self.vectors[number].asking for number in range(len(shares))]
        if not any(len(each.added) for each in asking):
            return
        temperature = self.plans[0].recipe.temperature
        self.context_weights = learn_context_weights(
            asking, to_weigh, self.weighing, temperature, self.requests
        )
        if (self.context_weights < 1).any():
            self.weighing = self._weighing(to_weigh(self.context_weights))
        names = [" + ".join(map(str, column.names)) for column in columns]
        weights = zip(names, self.context_weights, strict=True)
        text = ", ".join(f"{name} {weight:g}" for name, weight in weights)
        logger.info("fit: weights of the columns of the context: %s", text)

    def _weights_long_before(self):
        """Return the weights of requests long before the others, as of `Weighing`.

        None: there are none, or other weights than those of now are no better.
        """
        if self.long_before is None:
            return None
        to_weigh = []
        for number in range(len(self.plans)):
            of_part = self._to_weigh(number, 0.0, self.context_weights)
            asking = self.vectors[number].long_before
            users = asking.vectors(self.context_weights)
            to_weigh.append(of_part._replace(users=users))
        to_weigh += self._sparse_to_weigh(self.long_before)
        temperature = self.plans[0].recipe.temperature
        before = self.weighing.weights
        rng = np.random.RandomState(0)
        weighing = weigh_from(before, to_weigh, temperature, self.long_before, rng)
        if np.array_equal(weighing.weights, before):
            return None
        return weighing.weights

    def weights_of_features(self):
        """Return the weight (p,) of each feature of contexts; None without contexts."""
        contexts = self.plans[0].events.contexts
        if contexts is None:
            return None
        context = contexts.context
        weights = dict(
            zip(context.all_columns, self._weights_of_columns(), strict=True)
        )
        return feature_weights(context, weights)

    def _weights_of_columns(self):
        """Return the weight of each column of the context, a list."""
        contexts = self.plans[0].events.contexts
        if contexts is None:
            return []
        weights = {}
        columns = zip(self.context_columns, self.context_weights, strict=True)
        for column, weight in columns:
            weights |= dict.fromkeys(column.names, float(weight))
        return [weights.get(name, 1.0) for name in contexts.context.all_columns]

    def _weighing(self, parts):
        """Return the ``Weighing`` of parts by all requests."""
        temperature = self.plans[0].recipe.temperature
        return weigh(parts, temperature, self.requests, np.random.RandomState(0))

    def model(self, parts, shares):
        """Return a ``Model`` of parts with learnt weights, and figures of it.

        ``shares`` (n_parts,): those that hold if nothing else is better.
        """
        if not self.is_apart:
            self._weigh_all(shares)
            for part in parts:
                if part.context is not None:
                    part.context.weigh(self.weights_of_features())
        n_parts = len(parts)
        shares_before = shares
        weighing = self.weighing
        to_weigh = self._all_to_weigh(shares, self.context_weights)
        figures = scores_of(weighing, self.requests)
        gains = gains_of_parts(to_weigh, weighing, self.requests)
        all_weights = self._with_main(weighing.weights, shares[0])
        all_long_before = self._weights_long_before()
        weights = all_weights[:, :n_parts]
        sparse_left = self._sparse_left(all_weights[:, n_parts:])
        sparse = None
        if len(sparse_left):
            of_sparse = all_weights[:, n_parts + sparse_left]
            chosen = [self.sparse[n] for n in sparse_left]
            sparse = SparseParts(chosen, of_sparse, n_events=0)
            sparse = computed_of(sparse, self.plans[0].events)
        sizes = np.abs(weights).mean(axis=0)
        # others than these take a share of the vectors, which further events expect
        is_extra = [not plan.share for plan in self.plans]
        is_left = (sizes > MIN_SHARE * sizes.sum()) | ~np.array(is_extra)
        left = np.flatnonzero(is_left)
        shares = np.maximum(sizes[left], MIN_SHARE * sizes.sum())
        shares /= shares.sum()
        by_past = weights[:, left] / shares
        long_before = None
        if all_long_before is not None:
            of_all = self._with_main(all_long_before, shares_before[0])
            of_parts = of_all[:, left] / shares
            long_before = np.hstack([of_parts, of_all[:, n_parts + sparse_left]])
        parts = [parts[n] for n in left]
        model = Model(
            parts,
            shares.tolist(),
            by_past=by_past,
            sparse=sparse,
            long_before=long_before,
        )
        gains = gains[np.append(left, n_parts + sparse_left)].tolist()
        figures |= {"gains": gains, "rate": self.rate}
        figures["context_weights"] = self._weights_of_columns()
        figures["near"] = 0.0
        if long_before is not None:
            figures["near"] = self.kept.long_before.near
        return model, figures

    def _with_main(self, weights, share):
        """Return weights (n_knots, m) of which the first part's are not too low.

        ``share``: that of the first part if nothing else is better.
        """
        weights = weights.copy()
        # scores are divided by the length of vectors, which must not vanish
        weights[:, 0] = np.maximum(weights[:, 0], MIN_MAIN * share)
        if not self.sees_past:  # then all users are asked for with those of none
            weights = np.tile(weights[0], (len(weights), 1))
        return weights

    def _sparse_left(self, weights):
        """Return which sparse parts count, positions (m,).

        ``weights`` (n_knots, n_sparse): of all candidates.
        """
        # to users without past items, those of the first knot, they add nothing
        sizes = weights[1:].mean(axis=0)
        left = np.flatnonzero(sizes > MIN_SPARSE_SHARE * sizes.sum())
        return left


def computed_of(sparse_parts, events):
    """Return ``SparseParts`` with matrices of other ``Events``, those of all processes.

    The first process computes them, so that all have the same.
    """
    seen, lags = past_of(events)
    return from_first(partial(recomputed, sparse_parts, seen, lags))


def past_of(events):
    """Return who has chosen what, and lags if the order is known: see `SparsePart`.

    Both are CSR matrices (n_users, n_items); the second one may be None. In the first
    one of several processes they have all users, in others their own ones.
    """
    seen = rows_in_first(events.users, distinct_ones(events.positives))
    if events.ordered is None:
        return seen, None
    return seen, rows_in_first(events.users, events.ordered.lags())
