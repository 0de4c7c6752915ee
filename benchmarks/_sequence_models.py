"""Transformers of `rectools` that read each user's events in order, on one thread.

Input: a table of events (n_events, 3), ``user``, ``item`` and ``time``.
Output: rankings (n_users, k) of held-out events, as of `TwoTowerRecommender`.

The package is imported when a model is fitted, so that others are measured without it.
"""

import numpy as np
import pandas as pd
from _next_baselines import NextItemBaseline

BATCH = 512  # users whose sequences are read at once


class SequenceModel(NextItemBaseline):
    """Base of all: a net that predicts the next item after each event of a user.

    Parameters
    ----------
    n_factors : int, default=64
        Numbers of an item's vector.
    n_blocks, n_heads : int, default=1
        Layers, and the parts into which the attention of each is divided.
    dropout_rate : float, default=0.2
        Share of numbers that are left out in training.
    session_max_len : int, default=50
        Number of a user's last events that are read.
    n_negatives : int, default=256
        Items drawn evenly from the catalog for each event, for the sampled softmax.
    lr : float, default=0.001
        Step size of Adam.
    batch_size : int, default=128
        Users of a step.
    epochs : int, default=30
        Passes over the events.
    """

    net = None  # the name of a function of `_rectools_nets`
    reads_times = False

    def __init__(
        self,
        n_factors=64,
        n_blocks=1,
        n_heads=1,
        dropout_rate=0.2,
        session_max_len=50,
        n_negatives=256,
        lr=0.001,
        batch_size=128,
        epochs=30,
    ):
        self.n_factors = n_factors
        self.n_blocks = n_blocks
        self.n_heads = n_heads
        self.dropout_rate = dropout_rate
        self.session_max_len = session_max_len
        self.n_negatives = n_negatives
        self.lr = lr
        self.batch_size = batch_size
        self.epochs = epochs

    def fit(self, X, y=None, after_epoch=None):
        """Learn from a table of events; a repeated pair is an event of its own.

        ``after_epoch(self, epoch)`` is called after each epoch, from 1 on; fit ends
        once it returns True.
        """
        self._after_epoch = after_epoch or (lambda model, epoch: False)
        self._times = _seconds(X.sort_values(["user", "time"], kind="stable")["time"])
        return super().fit(X)

    def rank_held_out(self, X, y=None, sample_weight=None, *, n_neighbors, **params):
        """Rank the whole catalog for the users of X, items seen in fit left out.

        A model that reads times is asked as of each user's last time in X.
        """
        self._ask(X)
        return super().rank_held_out(
            X, y, sample_weight, n_neighbors=n_neighbors, **params
        )

    def ndcg(self, X, k=10):
        """Return NDCG at k for one held-out event a user, (n_users, 3), as a mean.

        The place of an item is the number of others, not in fit, with higher scores.
        """
        self._ask(X)
        users = pd.Index(self.user_ids_).get_indexer(X["user"])
        items = pd.Index(self.item_ids_).get_indexer(X["item"])
        gains = []
        for start in range(0, len(users), BATCH):
            part = slice(start, start + BATCH)
            scores = self._scores(users[part])
            scores[self._seen[users[part]].nonzero()] = -np.inf
            own = scores[np.arange(len(scores)), items[part], None]
            places = (scores > own).sum(axis=1)
            gains.append(np.where(places < k, 1 / np.log2(places + 2), 0))
        return float(np.concatenate(gains).mean())

    def _learn(self, seen):
        import _rectools_nets as nets

        self._asked = None
        events = pd.DataFrame(
            {
                "user_id": np.repeat(np.arange(seen.shape[0]), np.diff(self._first)),
                "item_id": self._items,
                "weight": 1.0,
                "datetime": pd.to_datetime(self._times, unit="s"),
            }
        )
        build = getattr(nets, self.net)
        self._model = build(self.get_params() | self._more())
        nets.train(self._model, events, self._epoch_ends)

    def _more(self):
        return {}

    def _epoch_ends(self, epoch):
        return self._after_epoch(self, epoch)

    def _ask(self, X):
        """Keep the last time of each user's held-out events, if the model reads it."""
        if self.reads_times:
            last = X.groupby("user")["time"].max().reindex(self.user_ids_)
            known = last.notna().to_numpy()
            self._asked = self._times[self._first[1:] - 1].copy()
            self._asked[known] = _seconds(last[known])

    def _scores(self, users):
        """Return scores (n_users, n_items); of items that the net lacks, -inf."""
        import _rectools_nets as nets

        blocks = [users[i : i + BATCH] for i in range(0, len(users), BATCH)]
        n_items = len(self.item_ids_)
        return np.vstack(
            [nets.scores(self._model, n_items, **self._sequences(b)) for b in blocks]
        )

    def _sequences(self, users):
        """Return the last items of users, (n_users, session_max_len), -1 before them.

        And, if the model reads times, those of these events and, at last, of the
        request: (n_users, session_max_len + 1), the first one repeated before it.
        """
        first, end = self._first[users, None], self._first[users + 1, None]
        places = end - np.arange(self.session_max_len, 0, -1)
        own = np.maximum(places, first)
        found = {"items": np.where(places < first, -1, self._items[own])}
        if self.reads_times:
            asked = self._asked[users, None]
            found["times"] = np.hstack([self._times[own], asked])
        return found


class SASRec(SequenceModel):
    """Self-attention over the last events, with the sampled softmax.

    References
    ----------
    Kang, McAuley, Self-Attentive Sequential Recommendation, ICDM 2018.
    """

    net = "sasrec"


class ESASRec(SequenceModel):
    """The same with LiGR layers, whose residuals have gates, and masked padding.

    References
    ----------
    Tikhonovich et al., eSASRec: Enhancing Transformer-based Recommendations in a
    Modular Fashion, RecSys 2025.
    """

    net = "esasrec"


class HSTU(SequenceModel):
    """Pointwise attention over the last events by relative positions, without times.

    References
    ----------
    Zhai et al., Actions Speak Louder than Words, ICML 2024.
    """

    net = "hstu"

    def _more(self):
        return {"reads_times": self.reads_times}


class HSTUInTime(HSTU):
    """The same, by relative times too: it is told the time of what is to be found."""

    reads_times = True


def _seconds(times):
    """Return dates, or numbers that only tell an order, as whole seconds."""
    if pd.api.types.is_datetime64_any_dtype(times):
        times = times.astype("datetime64[s]")
    return times.to_numpy().astype(np.int64)
