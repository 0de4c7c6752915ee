"""Weights of the parts of a model: what they find, and that all answers follow them."""

import re

import numpy as np
import pandas as pd
import pytest

from sktwotower import runtime
from sktwotower.io import dump
from sktwotower.towers import PooledHistory, RecentHistory
from tests.builders import chain, small
from tests.io.test_onnx_file import exported, of_contexts, past, rows_of  # noqa: F401
from tests.losses import MarginLoss
from tests.recommender.weighed import fitted_once, many_pairs, weighed

KNOTS = 0, 1, 3, 10, 30
SIZES = 0, 1, 2, 5, 30, 50
FITS = {
    "in order": {"time": "when"},
    "pooled": {},
    "no history": {"history": None},
    "context": {"context": ["place"]},
    "context in order": {"context": ["place"], "time": "when"},
    "short history": {"time": "when", "history": RecentHistory(max_length=3)},
    "one number": {"embedding_dim": 1},
    "two numbers": {"embedding_dim": 2, "time": "when"},
}


@pytest.fixture(scope="module")
def fitted():
    """Return a function that fits one of the models, once."""
    return fitted_once(FITS)


def histories(model):
    """Return past items of new users: none, one ... fifty."""
    catalog = model.item_ids_
    return {
        f"new{n}": catalog[(np.arange(n) * 7) % len(catalog)].tolist() for n in SIZES
    }


def names_of(*fast):
    """Return the names of fits, of which all except some have the mark grid."""
    marks = {name: () if name in fast else (pytest.mark.grid,) for name in FITS}
    return [pytest.param(name, marks=marks[name]) for name in FITS]


def test_vectors_of_new_users_have_the_weights_of_their_number_of_past_items(fitted):
    model = fitted("in order")
    catalog, weights = model.item_ids_, model.weights_.iloc[:2, :5].to_numpy()
    given = {f"new{n}": catalog[(np.arange(n) * 7) % 60].tolist() for n in KNOTS}
    vectors = model.embed_users(list(given), history=given)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    # six entries are of the towers that see the order, two of those that see pools
    pieces = vectors[:, :6], vectors[:, 6:8]
    of_items = model.item_embeddings_[:, :6], model.item_embeddings_[:, 6:8]
    factors = [
        np.linalg.norm(users, axis=1) * np.linalg.norm(items, axis=1).mean()
        for users, items in zip(pieces, of_items, strict=True)
    ]
    assert np.ptp(weights[0] / weights.sum(axis=0)) > 1e-3
    found = factors[0] / np.sum(factors, axis=0)
    np.testing.assert_allclose(found, weights[0] / weights.sum(axis=0), atol=1e-4)


def contexts_of(name):
    return [None, {"place": "work"}] if name.startswith("context") else [None]


@pytest.mark.slow
@pytest.mark.parametrize("name", names_of("context in order", "two numbers"))
def test_all_answers_agree(name, fitted, tmp_path):
    model = fitted(name)
    dump(model, tmp_path / "model.sktt")
    served = runtime.load(tmp_path / "model.sktt")
    items, given = model.item_embeddings_, histories(model)
    if name == "no history":
        given = dict.fromkeys(given)
    known = dict.fromkeys(model.user_ids_[::60].tolist())
    for history, context in [(h, c) for h in (given, known) for c in contexts_of(name)]:
        users = list(history)
        own = None if None in history.values() else history
        vectors = model.embed_users(users, history=own, context=context)
        scores = vectors @ items.T
        table = model.recommend(users, 5, history=own, context=context)
        for row, user in enumerate(users):
            alone = None if own is None else {user: own[user]}
            asked = {"history": alone, "context": context}
            one = model.embed_users([user], **asked)
            np.testing.assert_allclose(one[0], vectors[row], atol=1e-6)
            best = table[table["user"] == user]
            listed = model.recommend([user], 5, **asked)
            np.testing.assert_allclose(listed["score"], best["score"], atol=1e-6)
            places = [model.item_ids_.tolist().index(item) for item in best["item"]]
            np.testing.assert_allclose(scores[row, places], best["score"], atol=1e-6)
            asked["history"] = None if own is None else own[user]
            _, by_numpy = served.recommend(user, 5, **asked)
            np.testing.assert_allclose(by_numpy, best["score"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", names_of("context in order", "no history"))
def test_contributions_add_up_to_the_score(name, fitted):
    model = fitted(name)
    item, place = model.item_ids_[7], 7
    given = {None: None} if name == "no history" else histories(model)
    users = [*zip(given, given.values(), strict=True), (model.user_ids_[0], None)]
    for user, own in users:
        user = "new" if user is None else user
        asked = {"history": own}
        if name.startswith("context"):
            asked["context"] = {"place": "way"}
        why = model.explain(user, item, **asked)
        asked["history"] = None if own is None else {user: own}
        score = model.embed_users([user], **asked)[0] @ model.item_embeddings_[place]
        assert why["contribution"].sum() == pytest.approx(score, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", names_of("context in order"))
def test_onnx_has_the_vectors_of_the_model(name, fitted, exported):  # noqa: F811
    model = fitted(name)
    history = model.history
    model.set_params(history=PooledHistory(fold_in=False))
    embed, given = exported(model, "user"), histories(model)
    items, users = list(given.values()), list(given)
    inputs = rows_of(model, "user", users, {}) | past(model, items)
    own = None if name == "no history" else given
    asked = {"history": own}
    if name.startswith("context"):
        places = pd.DataFrame({"place": ["home", "work", None] * 2})
        inputs |= of_contexts(model, places)
        asked["context"] = places.assign(user=users)
        wanted = model.embed_users(asked["context"], own)
    else:
        wanted = model.embed_users(users, own)
    vectors = embed(**inputs)
    model.set_params(history=history)
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)


def test_the_table_of_weights_says_what_counts(fitted):
    model = fitted("in order")
    table = model.weights_
    assert table.index[0] == "towers, recent history"
    assert table.columns[:2].tolist() == ["0 past items", "1 past items"]
    assert table.columns[4:].tolist() == ["30 or more", "ndcg@20 added"]
    np.testing.assert_allclose(table.iloc[:, :5].abs().sum(), 1)
    unsigned = table.loc[["towers, recent history"]].iloc[:, :5]
    assert (unsigned >= 0).all(axis=None)
    score = model.validation_score_
    assert 0 < score["ndcg@10"] <= score["recall@10"] <= 1 and score["n_users"] >= 20


def of_popularity(rng, users, when, n_items):
    """Return items that are chosen by popularity only."""
    chances = 1 / np.arange(1, n_items + 1)
    return rng.choice(n_items, len(users), p=chances / chances.sum())


def of_fashion(rng, users, when, n_items):
    """Return items of which a few are chosen at a time, and not again later."""
    return (when // 200 * 7 + rng.integers(4, size=len(users))) % n_items


def of_taste(rng, users, when, n_items):
    """Return items of the group of each user, at any time."""
    n_groups = 10
    return rng.integers(n_items // n_groups, size=len(users)) * n_groups + users % 10


def of_order(rng, users, when, n_items):
    """Return items that follow from the one before."""
    items, last = (
        np.empty(len(users), dtype=int),
        rng.integers(n_items, size=users.max() + 1),
    )
    for place, user in enumerate(users):
        last[user] = items[place] = (last[user] + 7) % n_items
    return items


def made_by(choose, n_users=300, n_items=60, n_events=5400, seed=0):
    """Return events of users in turn, whose items are chosen in one way only."""
    rng, when = np.random.default_rng(seed), np.arange(n_events)
    users = np.concatenate(
        [rng.permutation(n_users) for _ in range(n_events // n_users)]
    )
    items = choose(rng, users, when, n_items)
    return pd.DataFrame({"user": users, "item": items, "when": when})


MADE_BY = {
    "popularity": (of_popularity, "popularity"),
    "fashion": (of_fashion, "recent popularity"),
    # a user's taste is what towers learn, and what the user has had as well
    "taste": (of_taste, "towers|had"),
    "order": (of_order, "towers, recent history"),
}
PARAMS = {"embedding_dim": 16, "max_epochs": 6, "exclude_seen": False}
PARAMS |= {"time": "when", "lr": 0.05, "batch_size": 64}


@pytest.mark.grid
@pytest.mark.parametrize("name", MADE_BY)
def test_the_part_that_made_the_data_adds_most(name):
    choose, part = MADE_BY[name]
    model = small(**PARAMS, validation_events="latest").fit(
        made_by(choose, n_events=3600)
    )
    added = model.weights_["ndcg@20 added"]
    assert re.search(part, added.idxmax()), model.weights_.to_string()


@pytest.mark.grid
@pytest.mark.parametrize("name, gain", [("popularity", -0.02), ("fashion", 0.1)])
def test_learnt_weights_are_better_than_the_usual_ones(name, gain):
    choose, _ = MADE_BY[name]
    X = made_by(choose)
    # the last fashion of those events goes on: nothing tells which one comes next
    known, later = X[:5300], X[5300:]
    scores = []
    for which in ("latest", None):
        of_seeds = []
        for seed in range(3):
            model = small(**PARAMS, validation_events=which, random_state=seed)
            of_seeds.append(model.fit(known).score(later))
        scores.append(np.mean(of_seeds))
    assert scores[0] > scores[1] + gain


def test_where_times_say_nothing_of_now_there_is_one_popularity():
    X = chain(n_users=60, n_events=8)
    model = weighed(time="when", validation_events="last").fit(X)
    assert model.validation_score_ is not None
    names = model.weights_.index.tolist()
    assert not [name for name in names if name.startswith("recent popularity")]


@pytest.mark.slow
def test_of_many_pairs_those_that_judge_are_learnt_in_the_last_epochs():
    X, n_targets = many_pairs(), []

    class CountsTargets(MarginLoss):
        def forward(self, users, items, targets):
            n_targets.append(len(targets.columns))
            return super().forward(users, items, targets)

    params = {"batch_size": 520, "net_params": {"criterion": CountsTargets}}
    model = weighed(**params).fit(X)
    assert len(model.weights_.columns) == 6
    assert model.validation_score_["n_users"] > 100
    # five batches each, in four epochs, the last of which learns all
    of_epochs = np.reshape(n_targets[-20:], (4, 5)).sum(axis=1)
    assert of_epochs[3] == len(X)
    assert (of_epochs[:3] < len(X)).all()
    assert (of_epochs[:3] >= 0.99 * len(X)).all()
