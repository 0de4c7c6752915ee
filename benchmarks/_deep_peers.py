"""Networks of `irspack` and `skrecsys` on one thread: an autoencoder, a graph model.

Input: a table of events (n_events, 2), ``user`` and ``item``.
Output: rankings (n_users, k) of held-out events, as of `TwoTowerRecommender`.
"""

import warnings

import numpy as np
from _baselines import Baseline
from _peers import Factors


class MultVAE(Baseline):
    """A variational autoencoder of the row of a user, by `irspack`.

    References
    ----------
    Liang, Krishnan, Hoffman, Jebara, Variational Autoencoders for Collaborative
    Filtering, WWW 2018.
    """

    def __init__(
        self,
        dim_z=64,
        enc_hidden_dims=256,
        kl_anneal_goal=0.2,
        dropout_p=0.5,
        learning_rate=1e-3,
        train_epochs=50,
    ):
        self.dim_z = dim_z
        self.enc_hidden_dims = enc_hidden_dims
        self.kl_anneal_goal = kl_anneal_goal
        self.dropout_p = dropout_p
        self.learning_rate = learning_rate
        self.train_epochs = train_epochs

    def _learn(self, seen):
        from irspack.recommenders.multvae import MultVAERecommender

        np.random.seed(0)  # the order of users
        model = MultVAERecommender(seen, **self.get_params())
        model.start_learning()
        for _ in range(self.train_epochs):
            model.run_epoch()
        self._model = model

    def _scores(self, users):
        return self._model.trainer.get_score_cold_user(self._seen[users])


class XSimGCL(Factors):
    """Vectors passed along the graph of users and items, with noise, by `skrecsys`.

    References
    ----------
    Yu et al., XSimGCL: Towards Extremely Simple Graph Contrastive Learning for
    Recommendation, TKDE 2023; He et al., LightGCN, SIGIR 2020.
    """

    def __init__(
        self,
        n_factors=64,
        n_layers=3,
        contrastive_weight=0.2,
        temperature=0.2,
        eps=0.2,
        learning_rate=1e-3,
        max_iter=20,
    ):
        self.n_factors = n_factors
        self.n_layers = n_layers
        self.contrastive_weight = contrastive_weight
        self.temperature = temperature
        self.eps = eps
        self.learning_rate = learning_rate
        self.max_iter = max_iter

    def _learn(self, seen):
        from skrecsys.nn import XSimGCL as Model

        model = Model(**self.get_params(), n_jobs=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(np.column_stack(seen.nonzero()))
        self._users, self._items = model.user_factors_, model.item_factors_
