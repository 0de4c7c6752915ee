"""Weights of the parts of a model: what they find, and that all answers follow them."""

import numpy as np
import pandas as pd
import pytest

from sktwotower import runtime
from sktwotower.io import dump
from sktwotower.recommender import _judge
from sktwotower.runtime._knots import KNOTS, knot_shares
from sktwotower.towers.parts import _filter
from tests.builders import chain, small
from tests.io.test_onnx_file import exported, of_contexts, past, rows_of  # noqa: F401
from tests.recommender.weighed import coming_back, few_judge, weighed

SIZES = 0, 1, 2, 5, 30, 50
FITS = {
    "in order": {"time": "when"},
    "pooled": {},
    "filter": {"embedding_dim": 24},
    "no history": {"history": None},
    "context": {"context": ["place"]},
    "context in order": {"context": ["place"], "time": "when"},
    "short history": {"time": "when", "max_history": 3},
    "one number": {"embedding_dim": 1},
    "two numbers": {"embedding_dim": 2, "time": "when"},
}


@pytest.fixture(scope="module")
def fitted():
    """Return a function that fits one of the models, once."""
    kept = {}

    def get(name):
        if name not in kept:
            with pytest.MonkeyPatch.context() as patch:
                few_judge(patch)
                patch.setattr(_filter, "MIN_SVD_EVENTS", 100)
                patch.setattr(_filter, "MIN_LENGTH", 4)
                kept[name] = weighed(**FITS[name]).fit(coming_back())
            model = kept[name]._fitted.model
            # weights differ beyond what is asked of answers below
            assert model.by_past is not None
            spread = np.ptp(model.scales_of(np.array(SIZES)), axis=0).max()
            assert spread > 1e-4 or name == "no history"
        return kept[name]

    return get


def histories(model):
    """Return past items of new users: none, one ... fifty."""
    catalog = model.item_ids_
    return {
        f"new{n}": catalog[(np.arange(n) * 7) % len(catalog)].tolist() for n in SIZES
    }


def wanted_factors(by_past, shares, n_past):
    """Return the factors of a user's vectors, interpolated by hand."""
    place = np.log1p(n_past)
    factors = [
        np.sqrt(share) * np.interp(place, np.log1p(KNOTS), column)
        for share, column in zip(shares, np.transpose(by_past), strict=True)
    ]
    return np.array(factors) / np.linalg.norm(factors)


def test_shares_of_the_numbers_of_past_items():
    np.testing.assert_array_equal(knot_shares(KNOTS), np.eye(5))
    shares = knot_shares([2, 5, 20, 31, 10**6])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares[3:] == np.eye(5)[4]).all()
    # half way between 1 and 3 in logarithms of 1 + n
    np.testing.assert_allclose(knot_shares([np.sqrt(8) - 1])[0], [0, 0.5, 0.5, 0, 0])


@pytest.mark.parametrize("name", ["in order", "pooled"])
def test_vectors_of_new_users_have_the_factors_of_their_past(name, fitted):
    model = fitted(name)
    towers, given = model._fitted.model, histories(model)
    vectors = model.set_params(fold_in=False).embed_users(list(given), history=given)
    model.set_params(fold_in=True)
    ends = np.cumsum([part.width for part in towers.parts])[:-1]
    for n_past, vector in zip(SIZES, vectors, strict=True):
        pieces = np.split(vector, ends)
        found = [np.linalg.norm(piece) for piece in pieces]
        factors = wanted_factors(towers.by_past, towers.shares, n_past)
        np.testing.assert_allclose(found, np.abs(factors), atol=1e-6)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def contexts_of(name):
    return [None, {"place": "work"}] if name.startswith("context") else [None]


@pytest.mark.parametrize("name", FITS)
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


@pytest.mark.parametrize("name", FITS)
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


@pytest.mark.parametrize("name", FITS)
def test_onnx_has_the_vectors_of_the_model(name, fitted, exported):  # noqa: F811
    model = fitted(name).set_params(fold_in=False)
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
    model.set_params(fold_in=True)
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)


def test_the_table_of_weights(fitted):
    model = fitted("in order")
    table = model.weights_
    assert table.index[0] == "towers, recent history"
    assert table.columns[:2].tolist() == ["0 past items", "1 past items"]
    assert table.columns[4:].tolist() == ["30 or more", "ndcg@20 added"]
    np.testing.assert_allclose(table.iloc[:, :5].abs().sum(), 1)
    unsigned = table.loc[["towers, recent history"]].iloc[:, :5]
    assert (unsigned >= 0).all(axis=None)
    assert fitted("no history").weights_.columns[0] == "all users"
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
    "taste": (of_taste, "towers"),
    "order": (of_order, "successors of past items"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE_BY)
def test_the_part_that_made_the_data_adds_most(name, monkeypatch):
    few_judge(monkeypatch, 50)
    choose, part = MADE_BY[name]
    params = {"embedding_dim": 16, "max_epochs": 6, "exclude_seen": False}
    params |= {"time": "when", "lr": 0.05, "validation_events": "latest"}
    model = small(**params).fit(made_by(choose))
    added = model.weights_["ndcg@20 added"]
    assert part in added.idxmax(), model.weights_.to_string()


@pytest.mark.slow
@pytest.mark.parametrize("name, gain", [("popularity", -0.02), ("fashion", 0.01)])
def test_learnt_weights_are_better_than_the_usual_ones(name, gain, monkeypatch):
    few_judge(monkeypatch, 50)
    choose, _ = MADE_BY[name]
    X = made_by(choose, n_events=6000)
    params = {"embedding_dim": 16, "max_epochs": 6, "exclude_seen": False}
    params |= {"time": "when", "lr": 0.05}
    scores = []
    for which in ("latest", None):
        of_seeds = []
        for seed in range(3):
            model = small(**params, validation_events=which, random_state=seed)
            of_seeds.append(model.fit(X[:5400]).score(X[5400:]))
        scores.append(np.mean(of_seeds))
    assert scores[0] > scores[1] + gain


def test_a_part_without_weight_stays_silent(monkeypatch, tmp_path):
    few_judge(monkeypatch)
    solution = _judge.weigh

    def only_computed(parts, *args):
        found = solution(parts, *args)
        weights = found.weights.copy()
        weights[:, [n for n, part in enumerate(parts) if part.share]] = 0.0
        weights[:, -1] += 0.5
        return found._replace(weights=weights)

    monkeypatch.setattr(_judge, "weigh", only_computed)
    for params in ({}, {"time": "when"}):
        X = coming_back()
        model = weighed(**params).fit(X)
        assert model.second_share_ == 0
        users, item = model.user_ids_[:3], model.item_ids_[2]
        dump(model, tmp_path / "model.sktt")
        served = runtime.load(tmp_path / "model.sktt")
        for user in users:
            expected = model.recommend([user], 3)["score"]
            _, scores = served.recommend(user, 3)
            np.testing.assert_allclose(scores, expected, atol=1e-6)
            assert np.isfinite(model.explain(user, item)["contribution"]).all()
        model.partial_fit(X[:40])
        assert np.isfinite(model.recommend(users, 3)["score"]).all()


def test_where_times_say_nothing_of_now_there_is_one_popularity(monkeypatch):
    few_judge(monkeypatch, 5)
    X = chain(n_users=300, n_events=8)
    model = weighed(time="when", validation_events="last").fit(X)
    names = model.weights_.index.tolist()
    assert not [name for name in names if name.startswith("recent popularity")]
