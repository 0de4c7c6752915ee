"""Tables and recommenders that several test files use."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import check_random_state
from sklearn.utils.estimator_checks import check_estimator

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import HeldOutRanking, held_out_truth
from sktwotower.towers import PooledHistory, RecentHistory


def first_fast(cases, n=1):
    """Return cases of a parametrized test, of which all except the first n are slow."""
    cases = [case if isinstance(case, tuple) else (case,) for case in cases]
    marks = [[] if place < n else [pytest.mark.slow] for place in range(len(cases))]
    return [pytest.param(*c, marks=m) for c, m in zip(cases, marks, strict=True)]


def assert_passes_checks(estimator):
    """Run all checks of scikit-learn, which raise what they find."""
    with warnings.catch_warnings():
        # the checks hand over random numbers as users, most of them unknown
        warnings.simplefilter("ignore")
        check_estimator(estimator)


def small(**params):
    """Build a recommender that is fitted within milliseconds."""
    params = {"embedding_dim": 8, "max_epochs": 1, "random_state": 0} | params
    return TwoTowerRecommender(**params)


def batched(**params):
    """Build a recommender that is trained on batches of five users."""
    return small(**{"max_epochs": 3, "batch_size": 5, "n_neighbors": 3} | params)


def random_events(n_users=12, n_items=9, density=0.4, seed=0):
    """Draw events of users u0, u1 ... and items i0, i1 ...; u0 has seen everything."""
    seen = np.random.default_rng(seed).uniform(size=(n_users, n_items)) < density
    seen[0] = True
    seen[np.arange(n_users), np.arange(n_users) % n_items] = True
    users, items = np.nonzero(seen)
    return pd.DataFrame(
        {"user": [f"u{u}" for u in users], "item": [f"i{i}" for i in items]}
    )


def spelt(text):
    """Turn 'a:vw b:v' into a table of user and item."""
    pairs = [part.split(":") for part in text.split()]
    return pd.DataFrame(
        [(user, item) for user, items in pairs for item in items],
        columns=["user", "item"],
    )


# counts: p 4, q 2, r 1, s 1; FixedRanking ranks p, q, r, s
TRAIN = spelt("a:pq b:pqr c:p d:ps")
# a unseen: r s -> r first. b: only s. c: q r s. d: z is in no catalog. e is new.
TEST = spelt("a:s b:s c:qr d:z e:pz")


class FixedRanking(BaseEstimator, TransformerMixin):
    """Ranks items by a fixed preference, the same for all users."""

    def __init__(self, reverse=False):
        self.reverse = reverse

    def fit(self, X, y=None):
        X = pd.DataFrame(X)
        self.seen_ = set(X.itertuples(index=False, name=None))
        self.item_ids_ = np.unique(X["item"])[:: -1 if self.reverse else 1]
        self.n_events_ = X["item"].value_counts().reindex(self.item_ids_)
        self.user_events_ = X["user"].value_counts()
        return self

    def transform(self, X):
        return X

    def rank_held_out(
        self,
        X,
        y=None,
        sample_weight=None,
        *,
        n_neighbors,
        max_users=None,
        random_state=None,
    ):
        X = X if y is None else X[np.asarray(y) > 0]
        users = np.unique(X["user"])
        if max_users is not None:
            rng = check_random_state(random_state)
            users = np.sort(rng.permutation(users)[:max_users])
        truth = np.zeros((len(users), len(self.item_ids_)), dtype=np.float32)
        seen = np.zeros_like(truth)
        lists, n_unreachable = [], []
        for row, user in enumerate(users):
            items = set(X["item"][X["user"] == user])
            known = [item in items for item in self.item_ids_]
            truth[row] = known
            seen[row] = [(user, item) in self.seen_ for item in self.item_ids_]
            seen[row, known] = 0
            ranked = np.flatnonzero(seen[row] == 0)[:n_neighbors]
            lists.append(np.pad(ranked, (0, n_neighbors))[:n_neighbors])
            lists[-1][len(ranked) :] = -1
            n_unreachable.append(len(items - set(self.item_ids_)))
        return HeldOutRanking(
            users=users,
            indices=np.array(lists, dtype=int).reshape(len(users), n_neighbors),
            truth=sparse.csr_array(truth),
            seen=sparse.csr_array(seen),
            item_counts=self.n_events_.to_numpy(dtype=float),
            user_counts=self.user_events_.reindex(users, fill_value=0).to_numpy(float),
            n_unreachable=np.array(n_unreachable),
        )


class OtherLibrary:
    """A model that knows users and items as rows and columns of a matrix."""

    def fit(self, matrix):
        self.similarity = (matrix.T @ matrix).toarray()
        return self

    def recommend(self, rows, liked, n):
        scores = rows @ self.similarity
        scores[liked.nonzero()] = -1
        return np.argsort(-scores, axis=1, kind="stable")[:, :n]


class Wrapper(BaseEstimator):
    """The wrapper of `OtherLibrary` that the docstring of `HeldOutRanking` shows."""

    def fit(self, X, y=None):
        users, self.user_ids_ = pd.factorize(X["user"])
        items, self.item_ids_ = pd.factorize(X["item"])
        self.seen_ = sparse.csr_matrix((np.ones(len(X)), (users, items)))
        self.model_ = OtherLibrary().fit(self.seen_)
        return self

    def rank_held_out(self, X, y=None, sample_weight=None, *, n_neighbors, **sample):
        ids = {"user_ids": self.user_ids_, "item_ids": self.item_ids_}
        judged = held_out_truth(X, y, sample_weight, seen=self.seen_, **ids, **sample)
        found = self.model_.recommend(judged.past, judged.seen, n_neighbors)
        return HeldOutRanking(indices=found, **judged)


def chain(n_users=40, n_events=8, n_items=12, back=1, noise=0.0, seed=0):
    """Draw events at times 0, 1 ... in which each item follows from an earlier one.

    After item j comes item j + 5, ``back`` events later; with probability ``noise`` an
    event is of any item. Users are u00, u01 ..., items i00, i01 ...
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        path = rng.integers(n_items, size=back).tolist()
        while len(path) < n_events:
            any_item = int(rng.integers(n_items))
            planted = (path[-back] + 5) % n_items
            path.append(any_item if rng.random() < noise else planted)
        rows += [(f"u{user:02}", f"i{item:02}", t) for t, item in enumerate(path)]
    return pd.DataFrame(rows, columns=["user", "item", "when"])


def follower(item, n_items=12):
    """Return the item that follows an item of `chain`."""
    return f"i{(int(item[1:]) + 5) % n_items:02}"


def dated(events):
    """Return events with dates, one per day, in place of the numbers in ``when``."""
    days = pd.to_timedelta(events["when"].astype(float), "D")
    return events.assign(when=pd.Timestamp("2020-03-28") + days)


def many(n_items=400, seed=0, **params):
    """Return a model of many items, and its events."""
    rng = np.random.default_rng(seed)
    events = pd.DataFrame({"user": rng.integers(60, size=900)})
    events["item"] = np.append(np.arange(n_items), rng.integers(n_items, size=500))
    few = {"iterator_train__n_negatives": 20}
    params = {"candidate_sampling": "mixed", "net_params": few} | params
    return small(**params).fit(events), events


def ordered(**params):
    """Build a recommender that uses the times in ``when``."""
    return small(**{"time": "when", "max_epochs": 2} | params)


def with_share(history, share):
    """Return a history by its short name, whose second part has a set share."""
    kinds = {"pooled": PooledHistory, "recent": RecentHistory}
    return None if history is None else kinds[history](second_share=share)


def past_of(model, user, history=None):
    """Return (item, lag) of each past item of a user, oldest first, then by item."""
    why = model.explain(user, model.item_ids_[0], history=history)
    own = why[why["side"] == "history"]
    events = zip(own["feature"], own["lag"].astype(int), strict=True)
    return sorted(events, key=lambda event: (-event[1], event[0]))


def readers():
    """Return events of three readers, with their age."""
    return pd.DataFrame(
        {
            "user": ["ann", "ann", "bob", "bob", "cid", "cid"],
            "item": ["x", "y", "y", "z", "x", "z"],
            "age": [30.0, 30, 40, 40, 50, 50],
        }
    )


class Rows(FunctionTransformer):
    """Return what ``func`` gives, whatever its shape."""
