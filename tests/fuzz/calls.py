"""Fitted recommenders, and random calls of their methods."""

import collections
import copy
import functools
import warnings

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier

from sktwotower import (
    ChebyshevFilterRecommender,
    ClickRateRecommender,
    ContentRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
    TwoStageRecommender,
)
from sktwotower.metrics import retrieval_report
from sktwotower.towers import PooledHistory, RecentHistory
from tests.builders import chain, ordered, small

from .ids import COLUMNS, IDS, NO_IDS, TABLES, as_objects
from .judge import Refused, as_frame, outcome, same

# Forms that hold the same ids as the list or the table they are made of.
FAITHFUL = {
    "list",
    "tuple",
    "objects",
    "Series",
    "objects in a Series",
    "Index",
    "Categorical",
    "inferred",
    "levels",
    "index",
}
RUBBISH = [
    None,
    3,
    1.5,
    True,
    "x",
    b"x",
    (),
    [],
    {},
    [[]],
    [None],
    float("nan"),
    np.zeros(0),
    np.zeros((2, 0)),
    np.array(5),
    np.array([1, "a"], dtype=object),
    pd.DataFrame(),
    pd.DataFrame({"a": [1]}),
    pd.NA,
    object(),
    len,
    range(3),
    ...,
]
COUNTS = [None] * 4 + [1, 2, 3, 1000, 10**12, np.int64(2), 0, -1, 2.0, 2.5, "3", True]


def events(kind):
    """Return events whose ids are of a kind; all columns hold objects."""
    make = IDS[kind]
    X = chain(n_users=30, n_events=5, n_items=9, noise=0.5)
    users, items = X["user"].str[1:].astype(int), X["item"].str[1:].astype(int)
    return pd.DataFrame(
        {
            "user": as_objects([make(i) for i in users]),
            "item": as_objects([make(100 + i) for i in items]),
            "when": X["when"].astype(object),
            "age": users.astype(object),
            "color": as_objects(["red" if i % 2 else "blue" for i in items]),
        }
    )


def estimators(X):
    """Return unfitted recommenders of all classes, by name."""
    users = X[["user", "age"]].drop_duplicates("user").infer_objects()
    items = X[["item", "color"]].drop_duplicates("item").infer_objects()
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    stages = {"n_candidates": 4, "random_state": 0}
    return {
        "pooled": small(n_neighbors=3),
        "recent": ordered(history=RecentHistory(second_share=0), max_epochs=1),
        "two pairs": ordered(history=RecentHistory(second_share=0.4), max_epochs=1),
        "filter": small(
            history=PooledHistory(second_share=0.4),
            embedding_dim=12,
            item_features=["color"],
        ),
        "features": small(user_features=["age"], item_features=["color"]),
        "side tables": small(users=users, items=items, n_neighbors=2),
        "no history": small(history=None, exclude_seen=False),
        "two stages": TwoStageRecommender(
            PopularityRecommender(), tree, time="when", **stages
        ),
        "two stages of towers": TwoStageRecommender(
            small(item_features=["color"]), tree, **stages
        ),
        "EASE": EASERecommender(),
        "content": ContentRecommender(items, n_similar=3),
        "content profile": ContentRecommender(items),
        "item-kNN": ItemKNNRecommender(),
        "item-kNN in order": ItemKNNRecommender(time="when", decay=0.9),
        "walk": RP3betaRecommender(n_similar=5),
        "filters": GraphFilterRecommender(n_components=2),
        "polynomial": ChebyshevFilterRecommender(n_components=2),
        "ridge in order": OrderedRidgeRecommender(time="when", n_last=3),
        "repeats": RepeatRecommender(),
        "recent repeats": RepeatRecommender(time="when", half_life=3),
        "popularity": PopularityRecommender(),
        "latest popularity": PopularityRecommender(time="when", window=3),
        "click rate": ClickRateRecommender(),
    }


ESTIMATORS = sorted(estimators(events("int")))


class Scene:
    """A recommender that is fitted on ids of a kind, and its events."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.events = events(kind)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = estimators(self.events)[name].fit(self.events)
        self.before = self.state()

    def state(self):
        """Return what the recommender knows and answers."""
        model = self.model
        return (
            model.recommend(n_neighbors=9, exclude_seen=False),
            model.seen_items(),
            model.item_ids_,
            getattr(model, "item_embeddings_", None),
            repr(model),
        )


SCENES = {}


def scene(name, kind):
    if (name, kind) not in SCENES:
        SCENES[name, kind] = Scene(name, kind)
    return SCENES[name, kind]


class Draw:
    """Random arguments: each a pair, as it is passed and in its plainest form."""

    def __init__(self, scene, rng):
        self.scene, self.rng, self.faithful = scene, rng, True

    def one(self, values):
        return values[self.rng.integers(len(values))]

    def chance(self, p):
        return self.rng.random() < p

    def rubbish(self):
        self.faithful = False
        value = self.one(RUBBISH)
        return value, value

    def cells(self, side, n=None):
        """Return ids, most of them known."""
        n = self.one([0, 1, 1, 2, 3, 8, 20]) if n is None else n
        known = self.scene.events[side].tolist()
        make, base = IDS[self.scene.kind], 0 if side == "user" else 100
        ids = [self.one(known) for _ in range(n)]
        if self.chance(0.25):
            ids = [make(base + 20 + int(self.rng.integers(30))) for _ in ids]
        elif self.chance(0.15):
            make = IDS[self.one(list(IDS))]
            ids = [make(base + int(self.rng.integers(9))) for _ in ids]
        if n and self.chance(0.08):
            ids[self.rng.integers(n)] = NO_IDS[self.one(list(NO_IDS))](1)
        return ids

    def column(self, side):
        if self.chance(0.06):
            return self.rubbish()
        ids = self.cells(side)
        return self.formed(COLUMNS, ids)

    def formed(self, forms, plain):
        """Return data in a random form, or as it is where there is none such."""
        if self.chance(0.4):
            return plain, plain
        name = self.one(list(forms))
        try:
            given = forms[name](plain)
        except Exception:  # of the library that should make it
            return plain, plain
        self.faithful &= name in FAITHFUL
        return given, plain

    def frame(self, columns=None):
        """Return a table of events with these columns; None: all."""
        n = self.one([1, 1, 2, 5, 30])
        rows = self.rng.integers(len(self.scene.events), size=n)
        X = self.scene.events.iloc[rows].reset_index(drop=True)
        for side in ("user", "item"):
            if self.chance(0.3):
                X[side] = pd.Series(as_objects(self.cells(side, n)), dtype=object)
        if self.chance(0.05):
            X = X.astype(object)
            X.iloc[0, self.rng.integers(X.shape[1])] = self.one([None, "?", -1e400])
        return X if columns is None else X[[c for c in columns if c in X]]

    def table(self, columns=None):
        if self.chance(0.05):
            return self.rubbish()
        if columns is None and self.chance(0.2):
            columns = self.one([["user", "item"], ["item", "user", "when"], ["when"]])
        return self.formed(TABLES, self.frame(columns))

    def users(self):
        if self.chance(0.7):
            return self.column("user")
        return self.table(self.one([["user"], ["user", "age"], ["user", "item"]]))

    def items(self):
        if self.chance(0.7):
            return self.column("item")
        return self.table(self.one([["item"], ["item", "color"], ["color"]]))

    def pairs(self, users):
        """Return a history, candidates or excluded pairs, of the plain users."""
        if self.chance(0.5):
            return None, None
        if self.chance(0.3):
            return self.table(self.one([["user", "item"], ["user", "item", "when"]]))
        if self.chance(0.3) or not isinstance(users, list):
            return self.column("item")
        try:
            pairs = {user: self.cells("item") for user in users}
        except TypeError:  # not hashable
            return None, None
        return pairs, pairs

    def count(self):
        value = self.one(COUNTS)
        return value, value

    def outcomes(self, X):
        """Return y or sample_weight for a table."""
        n = len(X) if isinstance(X, pd.DataFrame) else 1
        if self.chance(0.6):
            return None, None
        good = self.rng.integers(0, 3, size=n)
        bad = [good - 1, good * np.nan, good[1:], ["a"] * n, "y", good[:, None]]
        value = self.one([good, good > 0, pd.Series(good), good.tolist(), *bad])
        return value, value


def _events(draw):
    X = draw.table()
    return {"X": X, "y": draw.outcomes(X[1]), "sample_weight": draw.outcomes(X[1])}


def _request(draw):
    X = draw.users() if draw.chance(0.9) else (None, None)
    names = "history", "candidates", "exclude"
    own = {name: draw.pairs(X[1]) for name in names if draw.chance(0.4)}
    if "candidates" in own and draw.chance(0.7):
        own["unknown_candidates"] = "ignore", "ignore"
    return {"X": X, "n_neighbors": draw.count(), **own}


def _nearest(draw):
    return {"X": draw.users(), "n_neighbors": draw.count()}


def _with_history(name):
    def arguments(draw):
        given = draw.users() if name == "users" else draw.table()
        return {name: given, "history": draw.pairs(given[1])}

    return arguments


def _pair(draw):
    one = [draw.cells(side, 1)[0] for side in ("user", "item")]
    if draw.chance(0.2):
        one[0] = draw.rubbish()[0]
    return {
        "user": (one[0],) * 2,
        "item": (one[1],) * 2,
        "history": draw.pairs([one[0]]),
    }


def _held_out(draw):
    return {"X": draw.table(), "n_neighbors": (3, 3)}


# Arguments by method. Those that change a recommender are called on a copy.
CHANGES = {
    "fit": _events,
    "fit_transform": lambda draw: {"X": draw.table()},
    "partial_fit": _events,
    "set_catalog": lambda draw: {"items": draw.items()},
    "forget_users": lambda draw: {"users": draw.users()},
}
QUESTIONS = {
    "transform": lambda draw: {"X": draw.table()},
    "predict": _with_history("X"),
    "score": _events,
    "rank_held_out": _held_out,
    "recommend": _request,
    "kneighbors": _nearest,
    "kneighbors_graph": _nearest,
    "similar_items": lambda draw: {"items": draw.items(), "n_neighbors": draw.count()},
    "embed_users": _with_history("users"),
    "embed_items": lambda draw: {"items": draw.items()},
    "explain": _pair,
    "feature_importance": lambda draw: {"X": draw.table()},
    "seen_items": lambda draw: {"users": draw.users()},
    "candidate_features": lambda draw: {"X": draw.users()},
    "report": _held_out,
    "repr": lambda draw: {},
}
METHODS = [*QUESTIONS, *QUESTIONS, *CHANGES]


def report(model, X, n_neighbors):
    return pd.DataFrame(retrieval_report(model, X, k=n_neighbors, baselines=[]))


@functools.cache  # an estimator is its own key, and HTML takes a tenth of a second
def shown(model):
    """Return what is printed of a recommender, after making its HTML, too."""
    return (repr(model), model._repr_html_())[0]


def bound(model, method):
    """Return a method, or None if this recommender has none such."""
    if method == "report":
        return functools.partial(report, model)
    if method == "repr":
        return functools.partial(shown, model)
    return getattr(model, method, None)


def check_call(seed):
    """Make a random call, and check its answer; return whether it was refused.

    Of the estimators, 4 for each kind of id occur among the first 100,000 seeds.
    """
    rng = np.random.default_rng(seed)
    n_names = 4 if seed < 100_000 else len(ESTIMATORS)
    kind, place = int(rng.integers(len(IDS))), int(rng.integers(n_names))
    name = ESTIMATORS[(4 * kind + place) % len(ESTIMATORS)]
    own = scene(name, list(IDS)[kind])
    method = METHODS[rng.integers(len(METHODS))]
    if not hasattr(own.model, method) and method not in ("report", "repr"):
        method = "recommend"
    draw = Draw(own, rng)
    arguments = (CHANGES | QUESTIONS)[method](draw)
    model = own.model
    if method in CHANGES:
        model = clone(model) if method.startswith("fit") else copy.copy(model)
    fitted = vars(model).get("_fitted")
    given = {name: value for name, (value, _) in arguments.items()}
    answer = outcome(lambda: bound(model, method)(**given))
    if isinstance(answer, Refused) or method in QUESTIONS:
        assert vars(model).get("_fitted") is fitted, "a call changed the model"
    if draw.faithful and method in QUESTIONS and draw.chance(0.3):
        plain = {name: value for name, (_, value) in arguments.items()}
        again = outcome(lambda: bound(own.model, method)(**plain))
        assert same(answer, again), (answer, again)
    if isinstance(answer, Refused):
        return True
    if method == "recommend":
        check_recommended(own, answer)
    if method == "seen_items" and isinstance(given["users"], list):
        check_seen(own, given["users"], answer)
    return False


def check_recommended(own, table):
    """Check ranks, scores and items of recommendations."""
    if isinstance(table, pd.DataFrame):  # elsewhere ids may be of another type
        assert table["item"].isin(own.model.item_ids_).all()
    table = as_frame(table)
    assert np.isfinite(table["score"]).all()
    first = (table["rank"] == 1).to_numpy()
    assert first[:1].all()
    steps = np.diff(table["rank"])
    assert ((steps == 1) | first[1:]).all()
    assert (np.diff(table["score"])[~first[1:]] <= 0).all()


def check_seen(own, users, table):
    """Check what users have seen against a search for equal ids of one type."""
    chosen = zip(own.events["user"], own.events["item"], strict=True)
    pairs = [(user, item) for user, item in chosen if user in users]
    kinds = {type(user) for user in users}
    if kinds != {type(own.events["user"][0])}:
        return  # numbers of several types may be equal
    wanted = {(user, item): users.count(user) for user, item in pairs}
    found = collections.Counter(table.itertuples(index=False, name=None))
    assert found == wanted


def check_states():
    """Check that no call has changed what a recommender has learnt."""
    for (name, kind), own in SCENES.items():
        assert same(own.state(), own.before), (name, kind)
