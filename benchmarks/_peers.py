"""Models of `implicit`, `lightfm`, `skrecsys`, `rectools` on one thread.

Input: a table of events (n_events, 2), ``user`` and ``item``.
Output: rankings (n_users, k) of held-out events, as of `TwoTowerRecommender`.

All models use only the ids of users and items. A package is imported when its model is
fitted, so that the others can be measured without it.
"""

import logging
import warnings

import numpy as np
import pandas as pd
from _baselines import Baseline
from scipy import sparse
from threadpoolctl import threadpool_limits


class Factors(Baseline):
    """Scores are products of user and item vectors."""

    def _scores(self, users):
        return self._users[users] @ self._items.T

    def _learn_by_implicit(self, model, seen):
        with threadpool_limits(1, "blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(seen, show_progress=False)
        self._users, self._items = model.user_factors, model.item_factors


class IALS(Factors):
    """Weighted matrix factorisation by `implicit`.

    References
    ----------
    Hu, Koren, Volinsky, Collaborative Filtering for Implicit Feedback Datasets, ICDM
    2008.
    """

    def __init__(self, factors=64, regularization=1.0, alpha=5.0, iterations=15):
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations

    def _learn(self, seen):
        from implicit.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            **self.get_params(), num_threads=1, random_state=0
        )
        self._learn_by_implicit(model, seen)


class BPR(Factors):
    """Matrix factorisation with the pairwise loss by `implicit`.

    References
    ----------
    Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009.
    """

    def __init__(
        self, factors=100, learning_rate=0.01, regularization=0.01, iterations=100
    ):
        self.factors = factors
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.iterations = iterations

    def _learn(self, seen):
        from implicit.bpr import BayesianPersonalizedRanking

        model = BayesianPersonalizedRanking(
            **self.get_params(), num_threads=1, random_state=0
        )
        self._learn_by_implicit(model, seen)


class LightFM(Factors):
    """Matrix factorisation with the WARP loss by `lightfm`.

    References
    ----------
    Kula, Metadata Embeddings for User and Item Cold-start Recommendations, CBRecSys
    2015; Weston, Bengio, Usunier, WSABIE, IJCAI 2011.
    """

    def __init__(
        self,
        no_components=64,
        learning_rate=0.05,
        regularization=0.0,
        max_sampled=10,
        epochs=30,
    ):
        self.no_components = no_components
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.max_sampled = max_sampled
        self.epochs = epochs

    def _learn(self, seen):
        import lightfm

        model = lightfm.LightFM(
            no_components=self.no_components,
            learning_rate=self.learning_rate,
            user_alpha=self.regularization,
            item_alpha=self.regularization,
            max_sampled=self.max_sampled,
            loss="warp",
            random_state=0,
        )
        model.fit(seen.tocoo(), epochs=self.epochs, num_threads=1)
        biases, items = model.get_item_representations()
        users = model.get_user_representations()[1]
        self._users = np.column_stack([users, np.ones(len(users), np.float32)])
        self._items = np.column_stack([items, biases])


class SLIM(Baseline):
    """Sparse weights of past items, a regression with two penalties by `skrecsys`.

    References
    ----------
    Ning and Karypis, SLIM: Sparse Linear Methods for Top-N Recommender Systems, ICDM
    2011.
    """

    def __init__(self, alpha=1.0, l1_ratio=0.1, n_neighbors=100):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.n_neighbors = n_neighbors

    def _learn(self, seen):
        from skrecsys.recommendation import SLIMElasticNet

        model = SLIMElasticNet(**self.get_params(), n_jobs=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some columns do not converge
            model.fit(np.column_stack(seen.nonzero()))
        self._weights = sparse.csr_matrix(model.similarity_)

    def _scores(self, users):
        return (self._seen[users] @ self._weights).toarray()


class RecToolsDSSM(Factors):
    """Two towers with the triplet loss by `rectools`; ids are one-hot features.

    An epoch shows one positive of each user. Items are ranked by Euclidean distance,
    as the package does.
    """

    def __init__(
        self,
        n_factors=128,
        max_epochs=5,
        lr=0.01,
        triplet_loss_margin=0.4,
        weight_decay=1e-6,
        batch_size=128,
    ):
        self.n_factors = n_factors
        self.max_epochs = max_epochs
        self.lr = lr
        self.triplet_loss_margin = triplet_loss_margin
        self.weight_decay = weight_decay
        self.batch_size = batch_size

    def _learn(self, seen):
        dataset = rectools_dataset(seen)
        users, items = self.train(dataset).get_vectors(dataset)
        users = users[np.argsort(dataset.user_id_map.external_ids)]
        items = items[np.argsort(dataset.item_id_map.external_ids)]
        # -|u - v|^2 / 2 ranks as u v - |v|^2 / 2 does
        self._users = np.column_stack([users, np.ones(len(users), np.float32)])
        self._items = np.column_stack([items, -(items**2).sum(axis=1) / 2])

    def train(self, dataset, callbacks=()):
        """Return the fitted model of `rectools`; callbacks are those of Lightning."""
        import pytorch_lightning  # noqa: F401  it sets its level when imported
        import torch

        np.random.seed(0)  # draws the positives and negatives
        torch.manual_seed(0)
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._build(dataset, callbacks).fit(dataset)

    def _build(self, dataset, callbacks):
        import pytorch_lightning as lightning
        from rectools.models import DSSMModel
        from rectools.models.nn.dssm import DSSM

        net = DSSM(
            n_factors_user=self.n_factors,
            n_factors_item=self.n_factors,
            dim_input_user=dataset.user_features.get_sparse().shape[1],
            dim_input_item=dataset.item_features.get_sparse().shape[1],
            dim_interactions=dataset.get_user_item_matrix().shape[1],
            lr=self.lr,
            triplet_loss_margin=self.triplet_loss_margin,
            weight_decay=self.weight_decay,
            log_to_prog_bar=False,
        )
        model = DSSMModel(model=net, batch_size=self.batch_size)
        # Its own trainer shows bars and writes a checkpoint per epoch.
        model._trainer = lightning.Trainer(
            max_epochs=self.max_epochs,
            accelerator="cpu",
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        return model


def rectools_dataset(seen):
    """Return a CSR matrix (n_users, n_items) as rectools wants it, ids as features."""
    from rectools.dataset import Dataset

    pairs = seen.tocoo()
    interactions = pd.DataFrame(
        {
            "user_id": pairs.row,
            "item_id": pairs.col,
            "weight": 1.0,
            "datetime": pd.Timestamp("2000-01-01"),
        }
    )
    users, items = (
        pd.DataFrame({"id": np.arange(n), "feature": "id", "value": np.arange(n)})
        for n in seen.shape
    )
    return Dataset.construct(
        interactions,
        user_features_df=users,
        item_features_df=items,
        cat_user_features=["id"],
        cat_item_features=["id"],
    )
