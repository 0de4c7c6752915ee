"""Weighed fits in several processes, run as ``python -m``.

What each process returns is in ``scene-size-rank.npz`` of the folder that is given.
"""

import contextlib
import signal
import sys
import warnings
from unittest.mock import patch

import numpy as np
from torch import distributed

from sktwotower import TwoTowerRecommender
from sktwotower.recommender import _fit, _judge, _kept_back, _last_pass
from sktwotower.towers import RowwiseAdam
from sktwotower.towers._division import owners_of_users
from sktwotower.towers._group import summed
from tests.recommender.processes import begin, ended, scene
from tests.recommender.weighed import coming_back, tastes, weighed

LATEST = {"time": "when", "validation_events": "latest"}
FITS = {
    "latest": LATEST,
    "last": {"time": "when", "validation_events": "last"},
    "coarse": {"time": "day"},
    "random": {},
    "no history": {"history": None},
    "context": LATEST | {"context": ["place"]},
    "features": {"users": tastes()},
    "own users": LATEST | {"gather_users": False},
    "not apart": LATEST,
    "repeats": LATEST | {"exclude_seen": False},
    "one process asks": LATEST,
    "context of pairs": {"context": ["place"]},
}
# Three processes on two cores take longer.
OF_THREE = ["latest", "random", "context", "own users", "one process asks"]
NOT_APART = [(_kept_back, "MAX_EVENTS_APART", -1), (_judge, "RATES", (0.5,))]
# What they are patched with: a model that is judged while it is trained, and a pass
# over the latest events in any case.
PATCHES = {
    "not apart": NOT_APART,
    "context": NOT_APART,
    "one process asks": [(_judge, "RATES", (0.5,))],
}


def asked_in_one_process():
    """Return events of which the latest are of users whom process 0 has.

    It has them in a group of two processes, and in one of three.
    """
    X = coming_back()
    users = X["user"].unique()
    of_first = users[owners_of_users(users, 6) == 0]
    latest = X.index[-len(X) // 10 :]
    X.loc[latest, "user"] = np.resize(of_first, len(latest))
    return X


def fits():
    """Fit with each of the settings, and return what all must have in common.

    Lists are those of the users whom a model has, of one or of all processes.
    """
    found = {}
    for name in OF_THREE if distributed.get_world_size() == 3 else FITS:
        params = FITS[name]
        X = asked_in_one_process() if name == "one process asks" else coming_back()
        kept_back, keep_back = [], _fit.keep_back

        def keep(*args, to=kept_back, call=keep_back):
            to.append(call(*args))
            return to[-1]

        with patched([(_fit, "keep_back", keep), *PATCHES.get(name, [])]):
            fitted: TwoTowerRecommender = weighed(sparse_parts="auto", **params).fit(X)
        (kept,) = kept_back
        found[f"{name}/asked"] = kept.asked
        found[f"{name}/start"] = np.nan if kept.start is None else kept.start
        found[f"{name}/weights"] = fitted.weights_.to_numpy()
        found[f"{name}/rows"] = fitted.weights_.index.to_numpy(str)
        found[f"{name}/score"] = list(fitted.validation_score_.values())
        found[f"{name}/rate"] = fitted._fitted.judged.rate
        found[f"{name}/items"] = fitted.item_embeddings_
        found |= {f"{name}/{k}": value for k, value in sparse_of(fitted).items()}
        found[f"requests, {name}"] = len(kept.users)
        if kept.asked == "latest":
            found[f"{name}/n_requests"] = summed(len(kept.users))
        lists = fitted.recommend(fitted.user_ids_, 10)["item"].to_numpy(str)
        found[f"users, {name}"] = fitted.user_ids_.astype(str)
        found[f"lists, {name}"] = lists.reshape(-1, 10)
        if name == "latest":
            fitted.partial_fit(X.iloc[:500].assign(when=len(X)))
            found |= {f"later/{k}": value for k, value in sparse_of(fitted).items()}
        if name == "own users":
            gone = fitted.item_ids_[0]
            are_gone = (X["item"] == gone) & X["user"].isin(fitted.user_ids_)
            found["gone"] = np.count_nonzero(are_gone)
            fitted.forget_items([gone])
            found["left"] = sparse_of(fitted)["n_events"]
        if name == "context":
            found[f"{name}/columns"] = fitted.context_weights_.to_numpy()
    return found


@contextlib.contextmanager
def patched(changes):
    """Let objects have other attributes within the block."""
    with contextlib.ExitStack() as stack:
        for change in changes:
            stack.enter_context(patch.object(*change))
        yield


def pressed():
    """Press Ctrl-C in process 1, in the only step of the pass after all others."""
    begun, train, step = [], _last_pass.train, RowwiseAdam.step

    def count(*args, **kwargs):
        begun.append(len(begun))
        return train(*args, **kwargs)

    def step_and_press(self, *args):
        step(self, *args)
        if len(begun) == 3 and distributed.get_rank() == 1:
            signal.raise_signal(signal.SIGINT)

    passes = [(_last_pass, "train", count), (RowwiseAdam, "step", step_and_press)]
    with patched([*NOT_APART, *passes]), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted = weighed(**LATEST).fit(coming_back())
    return {
        "interrupted": fitted.interrupted_,
        "passes": len(begun),
        "messages": [str(each.message) for each in caught],
        "items": fitted.item_embeddings_,
    }


def sparse_of(fitted):
    """Return the matrices of sparse parts, by what they are, and number of events."""
    sparse_parts = fitted._fitted.model.sparse
    if sparse_parts is None:
        return {}
    of_kinds = {"n_events": sparse_parts.n_events}
    for part in sparse_parts.parts:
        if part.matrix is not None:
            of_kinds[part.in_words] = part.matrix.toarray()
    return of_kinds


if __name__ == "__main__":
    folder = sys.argv[1]
    _kept_back.MIN_USERS, _kept_back.MAX_SHARE_OF_PAIRS = 20, 0.05
    # a job in the background begins without a handler
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert ended(begin([scene(pressed)], folder)) == [0, 0]
    for size in (1, 2, 3):
        assert ended(begin([scene(fits)], folder, size)) == [0] * size
