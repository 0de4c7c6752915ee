"""The weights from which training starts."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import Ridge

from sktwotower import TwoTowerRecommender
from sktwotower.towers._batches import TrainingSet
from sktwotower.towers._sparse_rows import SparseLinear, SparseRows
from sktwotower.towers._spectrum import Spectrum
from sktwotower.towers.parts import _plan, _start
from sktwotower.towers.parts._start import add_to_ids
from tests.builders import first_fast


def started(monkeypatch, **params):
    """Return the matrices that a fit of 20 users x 15 items starts from."""
    given = []

    def spy(chosen, size, seed):
        given.append(chosen.toarray())
        n_items = chosen.shape[1]
        return Spectrum(np.ones((n_items, size)), np.ones(size), np.ones(n_items))

    monkeypatch.setattr(_start, "MIN_SVD_EVENTS", 50)
    monkeypatch.setattr(_plan, "spectrum_of", spy)
    X = np.array([(u, (u + 3 * j) % 15) for u in range(20) for j in range(4)])
    settings = {"embedding_dim": 4, "max_epochs": 1, "random_state": 0}
    X = params.pop("X", X)
    TwoTowerRecommender(**settings | params).fit(X)
    return given


def test_a_pooled_history_starts_from_the_svd(monkeypatch):
    (matrix,) = started(monkeypatch)
    assert matrix.shape == (20, 15)
    assert matrix.sum() == 80


def test_a_recent_history_and_its_second_pair_start_from_the_svd(monkeypatch):
    X = pd.DataFrame([(u, (u + 3 * j) % 15, j) for u in range(20) for j in range(4)])
    events = {"X": X, "time": 2, "embedding_dim": 8}
    first, second = started(monkeypatch, **events, max_history=3)
    assert first.shape == second.shape == (20, 15)
    assert first.sum() == 60 and second.sum() == 80


@pytest.mark.parametrize(
    ("normalize", "max_epochs", "factor"), [(True, 5, 2), (True, 30, 1), (False, 5, 1)]
)
def test_vectors_are_longer_for_fewer_epochs(
    monkeypatch, normalize, max_epochs, factor
):
    added = []
    monkeypatch.setattr(_start, "add_to_ids", lambda *args: added.append(args[2]))
    started(monkeypatch, max_epochs=max_epochs, normalize=normalize)
    np.testing.assert_allclose(added, factor * 0.5)  # 20 epochs are "auto"


def test_tags_of_a_short_fit_predict_the_vectors_of_items():
    # Two tags of four items each, which have no other: the weights of ridge regression
    # with the penalty 10 are sums divided by the number of items and 10. The last item
    # has no event, so that its vector says nothing.
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 3)).astype(np.float32)
    vectors[8] = 0
    tags = sparse.csr_matrix(np.repeat(np.eye(2), [4, 5], axis=0), dtype=np.float32)
    expected = [vectors[:4].sum(axis=0) / 14, vectors[4:8].sum(axis=0) / 14]
    np.testing.assert_allclose(_start._predicting(tags, vectors), expected, rtol=1e-5)


def test_the_regression_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    words = (rng.random((500, 40)) < 0.1).astype(np.float32)
    vectors = (words @ rng.normal(size=(40, 70)) + rng.normal(size=(500, 70))) / 10
    weights = _start._predicting(sparse.csr_matrix(words), vectors.astype(np.float32))
    found = words @ weights
    ridge = Ridge(alpha=_start.RIDGE, fit_intercept=False).fit(words, vectors)
    expected = ridge.predict(words)
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


@pytest.fixture(scope="module")
def tastes():
    """Return events of items with three tags each, and the table of the items.

    A user likes four of the tags. A third of the items is to be new.
    """
    n_users, n_items, n_tags = 150, 300, 30
    rng = np.random.default_rng(0)
    tags = rng.random((n_items, n_tags)).argsort(axis=1)[:, :3]
    liked = rng.random((n_users, n_tags)).argsort(axis=1)[:, :4]
    has, likes = np.zeros((n_items, n_tags)), np.zeros((n_users, n_tags))
    np.put_along_axis(has, tags, 1, axis=1)
    np.put_along_axis(likes, liked, 1, axis=1)
    odds = np.exp(2.5 * likes @ has.T)
    odds /= odds.sum(axis=1, keepdims=True)
    chosen = [rng.choice(n_items, 15, replace=False, p=each) for each in odds]
    events = [(user, item) for user, items in enumerate(chosen) for item in items]
    table = pd.DataFrame(
        {"item": range(n_items), "tags": [*map(list, tags.astype(str))]}
    )
    return pd.DataFrame(events, columns=["user", "item"]), table


@pytest.mark.slow
@pytest.mark.parametrize("max_epochs", [1, 5])
def test_a_short_fit_places_new_items_by_their_tags(monkeypatch, tastes, max_epochs):
    events, items = tastes
    monkeypatch.setattr(_start, "MIN_SVD_EVENTS", 1000)
    is_known = events["item"] < 200

    def recalls():
        model = TwoTowerRecommender(
            items=items[:200], embedding_dim=16, max_epochs=max_epochs, random_state=0
        ).fit(events[is_known])
        model.exclude_seen = False
        of_known = model.score(events[is_known])
        return of_known, model.set_catalog(items[200:]).score(events[~is_known])

    known, new = recalls()
    monkeypatch.setattr(_start, "_shortness", lambda recipe, events: 1.0)
    known_before, new_before = recalls()
    assert new > new_before + 0.05  # one standard error is .02
    assert known > known_before - 0.02


def test_events_held_out_for_validation_are_not_seen(monkeypatch):
    (matrix,) = started(monkeypatch, early_stopping=True, validation_fraction=0.25)
    assert 0 < matrix.sum() < 80


@pytest.mark.parametrize(
    "params",
    first_fast(
        [
            {"history": None},
            {"embedding_dim": 8},  # of 15 items there are too few
            {"hidden_layer_sizes": (6,)},
            {
                "item_tower": torch.nn.LazyLinear(4),
                "user_tower": torch.nn.LazyLinear(4),
            },
        ]
    ),
    ids=["no history", "wide", "hidden layer", "own towers"],
)
def test_other_towers_start_at_random(monkeypatch, params):
    assert started(monkeypatch, **params) == []


@pytest.mark.slow
def test_epochs_are_more_with_features():
    X = np.array([(u, (u + 3 * j) % 15) for u in range(20) for j in range(4)])
    items = pd.DataFrame({1: np.arange(15), "kind": np.arange(15) % 3})
    X = pd.DataFrame(X)
    plain = TwoTowerRecommender(embedding_dim=2, random_state=0).fit(X)
    described = TwoTowerRecommender(embedding_dim=2, random_state=0, items=items).fit(X)
    assert [len(m.history_) for m in (plain, described)] == [20, 30]


@pytest.mark.parametrize("n_events_of_svd", [50, 10_000], ids=["svd", "random"])
def test_ids_that_are_always_hidden_say_nothing(monkeypatch, n_events_of_svd):
    monkeypatch.setattr(_start, "MIN_SVD_EVENTS", n_events_of_svd)
    X = np.array([(u, (u + 3 * j) % 15) for u in range(20) for j in range(4)])
    X = pd.DataFrame(X, columns=["user", "item"])
    tags = [["a", "b", "c"][i % 3 :] for i in range(15)]
    items = pd.DataFrame({"item": range(15), "tags": tags})
    settings = {"embedding_dim": 4, "max_epochs": 1, "random_state": 0}
    model = TwoTowerRecommender(items=items, id_dropout=1, **settings).fit(X)
    unknown = items.assign(item=items["item"] + 100)
    known = model.embed_items(items)
    np.testing.assert_allclose(model.embed_items(unknown), known, atol=1e-6)
    # so do items of the past: 0 and 3 have the same tags
    past = [model.embed_users([-1], history=[item]) for item in (0, 3)]
    np.testing.assert_allclose(*past, atol=1e-6)
    # users have nothing but their ids, which are kept
    vectors = model.embed_users(range(20))
    assert len(np.unique(vectors.round(4), axis=0)) == 20


def test_vectors_are_added_to_ids_only():
    # item 0 has the two id columns 0 and 3, item 1 the column 1; column 2 is shared
    rows = sparse.csr_matrix([[1.0, 0, 1, 2], [0, 3, 1, 0], [0, 0, 1, 0]])
    layer = SparseLinear(4, 2)
    before = layer(SparseRows.from_csr(rows)).detach()
    shared = layer.weight[2].detach().clone()
    vectors = np.array([[1.0, -1], [2, 5], [7, 7]], dtype=np.float32)
    add_to_ids(layer, rows, vectors)
    gained = (layer(SparseRows.from_csr(rows)) - before).detach().numpy()
    np.testing.assert_allclose(gained, [[1, -1], [2, 5], [0, 0]], atol=1e-6)
    assert torch.equal(layer.weight[2], shared)


def part_of(own, past):
    return SimpleNamespace(
        item_tower=SimpleNamespace(sparse=own), history=SimpleNamespace(table=past)
    )


@pytest.fixture
def described_items(monkeypatch):
    """Return the training set of 40 events of nine items, and their five features.

    Twenty columns more are empty, as those of words that no title has.
    """
    monkeypatch.setattr(_start, "MIN_WIDTH", 2)
    rng = np.random.default_rng(0)
    described = rng.normal(size=(9, 5)) * (rng.random((9, 5)) < 0.7)
    rows = sparse.csr_matrix(np.hstack([np.eye(9), described, np.zeros((9, 20))]))
    chosen = sparse.csr_matrix(rng.random((10, 9)) < 0.5, dtype=np.float32)
    return TrainingSet(sparse.csr_matrix((10, 0)), rows, chosen), described


def test_shared_columns_start_from_singular_vectors_turned_to_those_of_ids(
    described_items,
):
    training, described = described_items
    # the projections on the first two right singular vectors, turned by 40 degrees
    _, _, right = np.linalg.svd(described)
    angle = np.deg2rad(40)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    weights = right[:2].T @ turn
    layers = [SparseLinear(34, 2) for _ in range(2)]
    before = [layer.weight.detach().clone() for layer in layers]
    _start._start_shared(part_of(*layers), training, described @ weights, slice(None))
    expected = weights / np.linalg.norm(described @ weights, axis=1).mean()
    for layer, old in zip(layers, before, strict=True):
        gained = (layer.weight.detach() - old).numpy()
        np.testing.assert_allclose(gained[9:14], expected, atol=1e-5)
        assert not gained[:9].any() and not gained[14:].any()
        np.testing.assert_allclose(layer.weight.rates, 9 * [1] + 5 * [0.03] + 20 * [1])


@pytest.mark.parametrize(
    ("width", "n_events", "worth"), [(5, 60, 1), (1, 60, 1), (2, 9, 1), (2, 60, 0.9)]
)
def test_shared_columns_start_at_random(
    monkeypatch, described_items, width, n_events, worth
):
    monkeypatch.setattr(_start, "FEW_EVENTS", n_events)
    monkeypatch.setattr(_start, "features_worth", lambda *args: worth)
    training, described = described_items
    layer = SparseLinear(34, width)
    before = layer.weight.detach().clone()
    part, vectors = part_of(layer, layer), described[:, :width]
    _start._start_shared(part, training, vectors, slice(None))
    assert torch.equal(layer.weight, before) and not hasattr(layer.weight, "rates")
