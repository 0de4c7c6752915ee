"""Baselines without tables: hand-made answers, naive twins, one contract."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktwotower import (
    ChebyshevFilterRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
)
from sktwotower.item_weights._ease_weights import seconds_of_ease
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import LastNSplit
from sktwotower.retrieval._dense_scores import best_of
from tests.builders import assert_passes_checks
from tests.cases import for_each
from tests.docstrings import entries, sections

ALL = [PopularityRecommender, EASERecommender, ItemKNNRecommender, RP3betaRecommender]
ALL += [GraphFilterRecommender, ChebyshevFilterRecommender]
ALL += [OrderedRidgeRecommender, RepeatRecommender]
# The first and the last one know no similar items.
each = for_each("kind", ALL, ids=lambda kind: kind.__name__)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_sklearn(kind):
    assert_passes_checks(kind())


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.1, 1, size=15)
    pairs = np.argwhere(rng.uniform(size=(25, 15)) < weights)
    rng.shuffle(pairs)
    table = pd.DataFrame(pairs, columns=["user", "item"])
    table["item"] = "i" + table["item"].astype(str)
    return table


def matrix_of(X, model):
    seen = np.zeros((len(model.user_ids_), len(model.item_ids_)))
    users = pd.Index(model.user_ids_).get_indexer(X["user"])
    seen[users, pd.Index(model.item_ids_).get_indexer(X["item"])] = 1
    return seen


def naive_ease(seen, l2):
    """Column by column: a ridge regression of one item on all others."""
    n_items = seen.shape[1]
    weights = np.zeros((n_items, n_items))
    for item in range(n_items):
        others = np.arange(n_items) != item
        A = seen[:, others]
        gram = A.T @ A + l2 * np.eye(n_items - 1)
        weights[others, item] = np.linalg.solve(gram, A.T @ seen[:, item])
    return seen @ weights


def naive_knn(seen, n_similar, shrinkage, similarity):
    n_items = seen.shape[1]
    scores = np.zeros(seen.shape)
    for j in range(n_items):
        alike = np.zeros(n_items)
        for i in set(range(n_items)) - {j}:
            both, n_i, n_j = seen[:, i] @ seen[:, j], seen[:, i].sum(), seen[:, j].sum()
            most = {"cosine": (n_i * n_j) ** 0.5, "jaccard": n_i + n_j - both}
            alike[i] = both / (most[similarity] + shrinkage)
        alike[np.argsort(-alike, kind="stable")[n_similar:]] = 0
        scores[:, j] = seen @ alike
    return scores


def naive_walk(seen, n_similar, alpha, beta):
    """Walk from an item to each of its users, and on to each item of these."""
    n_items = seen.shape[1]
    scores = np.zeros(seen.shape)
    for j in range(n_items):
        reached = np.zeros(n_items)
        for i in set(range(n_items)) - {j}:
            for user in np.flatnonzero(seen[:, i] * seen[:, j]):
                to_user, to_item = 1 / seen[:, i].sum(), 1 / seen[user].sum()
                reached[i] += (to_user * to_item) ** alpha
        reached /= seen[:, j].sum() ** beta
        reached[np.argsort(-reached, kind="stable")[n_similar:]] = 0
        scores[:, j] = seen @ reached
    return scores


def naive_filters(seen, n_components, alpha):
    """Filter each user's items by products of dense matrices."""
    roots = np.sqrt(seen.sum(axis=0))
    normalized = seen / np.sqrt(seen.sum(axis=1, keepdims=True)) / roots
    vectors = np.linalg.svd(normalized)[2][:n_components].T
    linear = seen @ normalized.T @ normalized
    return linear + alpha * (seen / roots) @ vectors @ vectors.T * roots


def naive_ridge(seen, l2):
    """Predict each item of a user from all others."""
    past, following = [], []
    for row in seen:
        for item in np.flatnonzero(row):
            following.append(np.arange(len(row)) == item)
            past.append(row - following[-1])
    past, following = np.array(past), np.array(following, dtype=float)
    gram = past.T @ past + l2 * np.eye(seen.shape[1])
    return seen @ np.linalg.solve(gram, past.T @ following)


def naive_ranking(scores, seen):
    """Sort each user's items by score, then popularity, then position."""
    counts, ranked = seen.sum(axis=0), []
    for row, past in zip(scores.astype(np.float32), seen, strict=True):
        left = np.flatnonzero(past == 0)
        ranked.append(sorted(left, key=lambda i, row=row: (-row[i], -counts[i], i)))
    return ranked


@pytest.mark.parametrize(
    ("model", "naive"),
    [
        (
            PopularityRecommender(),
            lambda seen: np.tile(seen.mean(axis=0), (len(seen), 1)),
        ),
        (EASERecommender(l2=3), lambda seen: naive_ease(seen, 3)),
        (ItemKNNRecommender(), lambda seen: naive_knn(seen, 100, 0, "cosine")),
        (
            ItemKNNRecommender(6, shrinkage=2),
            lambda seen: naive_knn(seen, 6, 2, "cosine"),
        ),
        (
            ItemKNNRecommender(shrinkage=1, similarity="jaccard"),
            lambda seen: naive_knn(seen, 100, 1, "jaccard"),
        ),
        (RP3betaRecommender(), lambda seen: naive_walk(seen, 200, 0.5, 0.4)),
        (
            RP3betaRecommender(6, alpha=1, beta=2),
            lambda seen: naive_walk(seen, 6, 1, 2),
        ),
        (GraphFilterRecommender(), lambda seen: naive_filters(seen, 15, 0.3)),
        (GraphFilterRecommender(4, alpha=2), lambda seen: naive_filters(seen, 4, 2)),
        (OrderedRidgeRecommender(l2=9), lambda seen: naive_ridge(seen, 9)),
    ],
    ids=["popularity", "EASE", "item-kNN, all", "item-kNN, six", "jaccard"]
    + ["RP3beta, all", "RP3beta, six"]
    + ["filters, all", "filters, four", "ridge"],
)
def test_scores_and_rankings_are_the_naive_ones(X, model, naive, block):
    model = clone(model).fit(X)
    seen = matrix_of(X, model)
    scores = naive(seen)
    users, items = np.divmod(np.arange(scores.size), len(model.item_ids_))
    pairs = pd.DataFrame(
        {"user": model.user_ids_[users], "item": model.item_ids_[items]}
    )
    assert_allclose(model.predict(pairs).reshape(scores.shape), scores, atol=1e-5)
    found = model.kneighbors(n_neighbors=20, return_distance=False)
    for row, expected in zip(found, naive_ranking(scores, seen), strict=True):
        n_items = len(model.item_ids_)
        assert row.tolist() == (expected + [-1] * n_items)[: min(20, n_items)]


def test_equal_scores_are_ordered_by_popularity():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, (40, 30)).astype(np.float32)
    scores[scores == 0] = -np.inf
    for k in (1, 7, 30):
        best, places = best_of(scores, k)
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        assert_array_equal(places, expected)
        assert_array_equal(best, np.take_along_axis(scores, expected, 1))


@each
def test_a_new_user_is_served_by_history_or_by_popularity(kind, X):
    model = kind().fit(X)
    popular = PopularityRecommender().fit(X)
    new = model.recommend(["nobody"], n_neighbors=5)["item"].tolist()
    assert new == popular.recommend(["nobody"], n_neighbors=5)["item"].tolist()
    user = model.user_ids_[0]
    past = X.loc[X["user"] == user, "item"].tolist()
    known = model.recommend([user], n_neighbors=4)
    told = model.recommend([-1], n_neighbors=4, history={-1: past})
    assert told["item"].tolist() == known["item"].tolist()
    assert_allclose(told["score"], known["score"])


@each
def test_candidates_and_what_was_seen(kind, X):
    model = kind().fit(X)
    users = model.user_ids_[:4].tolist()
    whole = model.recommend(users, n_neighbors=15, exclude_seen=False)
    assert len(whole) == 4 * 15
    allowed = ["i1", "i3", "i7"]
    some = model.recommend(users, 15, exclude_seen=False, candidates=allowed)
    expected = whole[whole["item"].isin(allowed)]
    assert_array_equal(some[["user", "item"]], expected[["user", "item"]])
    own = model.recommend(
        users, 15, exclude_seen=False, candidates={users[0]: ["i2"], users[2]: allowed}
    )
    assert own["user"].tolist() == [users[0]] + 3 * [users[2]]
    left = model.recommend(users, 15, exclude_seen=True)
    left = left.merge(X, how="left", indicator=True)
    assert (left["_merge"] == "left_only").all()
    graph = model.kneighbors_graph(users, n_neighbors=2, mode="distance")
    assert graph.shape == (4, 15) and graph.nnz == 8


@pytest.mark.slow
@each
def test_one_contract(kind, X):
    model = kind(n_neighbors=3)
    table = pl.DataFrame({"song": X["item"].tolist(), "fan": X["user"].tolist()})
    other = kind(user_id="fan", item_id="song", n_neighbors=3).fit(table)
    assert_array_equal(other.kneighbors()[1], model.fit(X).kneighbors()[1])
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    assert_array_equal(model.predict(X.iloc[::-1])[::-1], model.predict(X))
    # twice the same event, a weight of two, a reward of two: chosen is chosen
    twice = pd.concat([X, X.head(9)])
    assert_array_equal(clone(model).fit(twice).predict(X), model.predict(X))
    y = np.arange(len(X)) % 3
    zero = clone(model).fit(X, y)
    assert_array_equal(zero.predict(X), clone(model).fit(X, y > 0).predict(X))
    assert_array_equal(zero.item_ids_, model.item_ids_)
    weighted = clone(model).fit(X, sample_weight=y)
    assert_array_equal(weighted.predict(X), clone(model).fit(X[y > 0]).predict(X))
    recall = make_retrieval_scorer("recall@3")
    train, test = next(LastNSplit(2).split(X))
    assert kind(n_neighbors=3).fit(X.iloc[train]).score(X.iloc[test]) == recall(
        make_pipeline("passthrough", kind()).fit(X.iloc[train]), X.iloc[test]
    )
    attributes = {name for name in dir(model) if name[-1] == "_" != name[0]}
    assert set(entries(sections(kind)["Attributes"])) == attributes


@for_each("kind", ALL[1:-1])
def test_similar_items_by_hand(kind):
    X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"]]
    X += [["bob", "egg"], ["cid", "tea"], ["cid", "rye"], ["dan", "ham"]]
    model = kind().fit(X)
    found = model.similar_items(["tea", "ham"], n_neighbors=5)
    others = ["egg", "rye"] if kind is ItemKNNRecommender else ["rye", "egg"]
    assert found["similar_item"].tolist() == ["jam", *others]
    assert (found["score"] > 0).all() and found["rank"].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="The item 'oil' is not known from fit"):
        model.similar_items(["oil"])
    with pytest.raises(ValueError, match="2 items are not known .*: 'oil', 'fig'"):
        model.similar_items(["oil", "tea", "fig"])
    if kind is ItemKNNRecommender:
        assert_allclose(found["score"], [2 / 6**0.5, 1 / 3**0.5, 1 / 3**0.5])
    if kind is RP3betaRecommender:  # ann has 2 items, bob 3, cid 2
        walks = [(2**-0.5 + 3**-0.5) / 2**0.5, 2**-0.5, 3**-0.5]
        assert_allclose(found["score"], np.divide(walks, 3**0.4), rtol=1e-6)


def test_plain_walks_are_probabilities_and_even_ones_are_cosines(X):
    model = RP3betaRecommender(alpha=1, beta=0).fit(X)
    seen = matrix_of(X, model)
    back = seen.T / seen.sum(axis=1)  # to the item itself, which is not among them
    itself = np.diag(back @ seen) / seen.sum(axis=0)
    steps = model.item_similarities_.toarray()
    assert_allclose(steps.sum(axis=0), 1 - itself, rtol=1e-5)
    # where all users have two items each, all of them count the same
    items = np.random.default_rng(0).permuted(np.tile(range(9), (20, 1)), axis=1)
    pairs = {"user": np.arange(20).repeat(2), "item": items[:, :2].ravel()}
    X = pd.DataFrame(pairs)
    walk = RP3betaRecommender(alpha=0.5, beta=0.5).fit(X).item_similarities_
    cosines = ItemKNNRecommender().fit(X).item_similarities_
    assert_allclose(walk.toarray(), cosines.toarray() / 2**0.5, rtol=1e-6)


def test_powers_of_large_counts():
    n = 100_000  # its square, squared, is beyond 64 bits
    X = np.column_stack([np.tile(np.arange(n), 2), np.repeat([0, 1], n)])
    similar = RP3betaRecommender(alpha=2, beta=2).fit(X).item_similarities_
    assert similar[0, 1] == pytest.approx(1 / (4 * n**3), rel=1e-4, abs=0)


def test_cosines_of_items_with_many_users():
    n = 50_000  # the square of which needs more than 32 bits
    users = np.append(np.tile(np.arange(n), 2), [n, n + 1])
    X = np.column_stack([users, np.append(np.repeat([0, 1], n), [0, 2])])
    similar = ItemKNNRecommender().fit(X).item_similarities_.toarray()
    assert similar[0, 1] == pytest.approx(n / np.sqrt(n * (n + 1)))


def test_parameters_are_searched():
    X = pd.DataFrame({"user": np.repeat(range(8), 4), "item": np.arange(32) % 5})
    search = GridSearchCV(EASERecommender(), {"l2": [0.1, 10]}, cv=LastNSplit()).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_catalog_too_large_for_ease_is_refused(X):
    message = "15 items take 0.0 GB, more than max_memory=1000 bytes.*ItemKNN"
    with pytest.raises(ValueError, match=message):
        EASERecommender(max_memory=1000).fit(X)
    message = (
        "15 items and 25 users takes about 0 s of one core, more than max_items=14"
    )
    with pytest.raises(ValueError, match=message):
        EASERecommender(max_items=14).fit(X)
    assert len(EASERecommender(max_items=15).fit(X).item_ids_) == 15
    assert len(EASERecommender(max_items=None).fit(X).item_ids_) == 15
    assert seconds_of_ease(20_000, 15_000, 10**6) == pytest.approx(90, rel=0.1)


def test_ease_of_few_users_is_limited_by_their_number(X):
    few = X[X["user"] < 9]
    n_users, n_items = few["user"].nunique(), few["item"].nunique()
    assert n_users < n_items
    assert len(EASERecommender(max_items=n_users).fit(few).item_ids_) == n_items
    message = f"{n_items} items and {n_users} users takes about 0 s"
    with pytest.raises(ValueError, match=message):
        EASERecommender(max_items=n_users - 1).fit(few)


def test_l2_too_small_for_ease_is_refused():
    X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"]]
    with pytest.raises(ValueError, match="l2=1e-30 is too small .* Raise l2"):
        EASERecommender(l2=1e-30).fit(X)


@for_each(
    ("model", "message"),
    [
        (EASERecommender(l2=0), "'l2' parameter of EASERecommender must be a float"),
        (EASERecommender(max_items=0), "'max_items' parameter .* must be an int"),
        (ItemKNNRecommender(n_similar=0), "'n_similar' parameter .* must be an int"),
        (ItemKNNRecommender(shrinkage=-1), "'shrinkage' parameter"),
        (
            ItemKNNRecommender(similarity="cosin"),
            "'similarity' parameter .*'jaccard'.* Got 'cosin'",
        ),
        (RP3betaRecommender(alpha=-1), "'alpha' parameter .* in the range \\[0.0, 2.0"),
        (RP3betaRecommender(beta=2.1), "'beta' parameter .* Got 2.1"),
        (RP3betaRecommender(decay=1), "decay=1 needs the times of events"),
        (PopularityRecommender(n_neighbors=0), "'n_neighbors' parameter"),
        (PopularityRecommender(user_id="usr"), "Did you mean 'user'"),
    ],
)
def test_parameters_out_of_range(model, message, X):
    with pytest.raises(ValueError, match=message):
        model.fit(X)


@each
def test_calls_before_fit_and_bad_calls(kind, X):
    for method in ("predict", "recommend", "score"):
        with pytest.raises(NotFittedError):
            getattr(kind(), method)(X)
    model = kind().fit(X)
    with pytest.raises(ValueError, match="no positive event"):
        kind().fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="n_neighbors must be an integer >= 1. Got 0"):
        model.kneighbors(n_neighbors=0)
    with pytest.raises(ValueError, match="1 of 2 candidates are not in the catalog"):
        model.recommend(candidates=["i1", "unknown"])
