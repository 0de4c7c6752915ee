"""Weighed fits in several processes, run as ``python -m``.

What each process returns is in ``scene-size-rank.npz`` of the folder that is given.
"""

import sys
from unittest.mock import patch

import numpy as np

from sktwotower import TwoTowerRecommender
from sktwotower.recommender import _fit, _kept_back
from tests.recommender.processes import begin, ended, scene
from tests.recommender.weighed import coming_back, tastes, weighed

FITS = {
    "latest": {"time": "when", "validation_events": "latest"},
    "last": {"time": "when", "validation_events": "last"},
    "coarse": {"time": "day"},
    "random": {},
    "no history": {"history": None},
    "context": {"time": "when", "context": ["place"]},
    "features": {"users": tastes()},
    "own users": {"time": "when", "gather_users": False},
}


def fits():
    """Fit with each of the settings, and return what all must have in common."""
    X, found = coming_back(), {}
    for name, params in FITS.items():
        kept_back, keep_back = [], _fit.keep_back

        def keep(*args, to=kept_back, call=keep_back):
            to.append(call(*args))
            return to[-1]

        with patch.object(_fit, "keep_back", keep):
            fitted: TwoTowerRecommender = weighed(sparse_parts="auto", **params).fit(X)
        (kept,) = kept_back
        found[f"{name}/asked"] = kept.asked
        found[f"{name}/start"] = np.nan if kept.start is None else kept.start
        found[f"{name}/weights"] = fitted.weights_.to_numpy()
        found[f"{name}/rows"] = fitted.weights_.index.to_numpy(str)
        found[f"{name}/score"] = list(fitted.validation_score_.values())
        found[f"{name}/items"] = fitted.item_embeddings_
        if name == "context":
            found[f"{name}/columns"] = fitted.context_weights_.to_numpy()
    return found


if __name__ == "__main__":
    folder = sys.argv[1]
    _kept_back.MIN_USERS, _kept_back.MAX_SHARE_OF_PAIRS = 20, 0.05
    for size in (1, 2, 3):
        assert ended(begin([scene(fits)], folder, size)) == [0] * size
