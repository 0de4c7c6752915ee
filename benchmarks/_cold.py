"""Baselines that score items unseen in fit by their features.

Input: pairs (n_events, 2) of positions, and feature rows of all items (n_items, q).
Output: scores (n_users, n_cold) of the items unseen in fit.
"""

import sys

import numpy as np
import pandas as pd
from scipy import sparse


class Setting:
    """Who chose what, the items' features, and which items are cold.

    ``pairs``: user and item positions of train; ``cold``: positions (n_cold,) of items
    that none of them holds.
    """

    def __init__(self, pairs, shape, features, cold):
        users, items = pairs
        ones = np.ones(len(users), dtype=np.float32)
        self.seen = sparse.csr_matrix((ones, (users, items)), shape=shape)
        self.features, self.cold = features.tocsr().astype(np.float32), cold
        self.warm = np.setdiff1d(np.arange(shape[1]), cold)

    @classmethod
    def read(cls, file):
        """Read what `write` has written."""
        stored = np.load(file)
        features = sparse.csr_matrix(
            (stored["data"], stored["indices"], stored["indptr"]),
            shape=tuple(stored["features_shape"]),
        )
        pairs = stored["users"], stored["items"]
        return cls(pairs, tuple(stored["shape"]), features, stored["cold"])

    def write(self, file):
        """Write to a file that another process can read."""
        pairs = self.seen.tocoo()
        np.savez(
            file,
            users=pairs.row,
            items=pairs.col,
            shape=self.seen.shape,
            data=self.features.data,
            indices=self.features.indices,
            indptr=self.features.indptr,
            features_shape=self.features.shape,
            cold=self.cold,
        )


def content(setting, n_similar=None):
    """Ours: by the profile of a user's past items, or by the nearest of these."""
    from _content import fit_content, scores_of  # other interpreters may lack ours

    users, items = setting.seen.nonzero()
    events = pd.DataFrame({"user": users, "item": items})
    ids = np.arange(setting.seen.shape[1])
    model = fit_content(events, ids, setting.features, n_similar)
    return scores_of(model, np.arange(setting.seen.shape[0]), setting.cold)


def lightfm(setting, no_components=64, epochs=30, item_alpha=0.0):
    """LightFM with the WARP loss; an item is the sum of its id and its features."""
    from lightfm import LightFM

    ids = sparse.identity(setting.seen.shape[1], dtype=np.float32, format="lil")
    ids[setting.cold] = 0
    rows = sparse.hstack([ids.tocsr(), setting.features], format="csr")
    model = LightFM(
        no_components=no_components, loss="warp", item_alpha=item_alpha, random_state=0
    )
    model.fit(setting.seen.tocoo(), item_features=rows, epochs=epochs, num_threads=1)
    biases, items = model.get_item_representations(rows[setting.cold])
    users = model.get_user_representations()[1]
    return users @ items.T + biases


def irspack_ials(setting, n_components=128, alpha0=0.1, reg=0.003, of_features=1.0):
    """irspack's iALS, whose item vectors are drawn to a linear map of the features."""
    from irspack.recommenders.ials import IALSRecommender

    warm = setting.seen[:, setting.warm].tocsr().astype(np.float64)
    features = setting.features.astype(np.float64)
    model = IALSRecommender(
        warm,
        n_components=n_components,
        alpha0=alpha0,
        reg=reg,
        item_features=features[setting.warm],
        lambda_item_feature=of_features,
        n_threads=1,
        random_seed=0,
    ).learn()
    items = model.compute_item_embedding_from_features(features[setting.cold])
    return model.get_user_embedding() @ items.T


SCORERS = {
    "content profile": (content, [{}]),
    "item-kNN over features": (content, [{"n_similar": k} for k in (20, 50, 200)]),
    "LightFM with features": (
        lightfm,
        [{"epochs": e, "item_alpha": a} for e in (10, 30) for a in (0.0, 1e-6)],
    ),
    "irspack iALS with features": (
        irspack_ials,
        [
            {"alpha0": a, "reg": r, "of_features": f}
            for a in (0.05, 0.3)
            for r in (0.001, 0.01)
            for f in (0.1, 3.0)
        ],
    ),
}
NEEDS = {
    "LightFM with features": ("lightfm",),
    "irspack iALS with features": ("irspack",),
}


def score(name, params, file, answer):
    """Fit a scorer to the setting in a file, and write its scores to another."""
    found = np.asarray(SCORERS[name][0](Setting.read(file), **params))
    np.save(answer, found.astype(np.float32))
    return {"python": sys.version.split()[0]}
