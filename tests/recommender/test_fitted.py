"""One fitted value, replaced as a whole: during requests, failures and interrupts."""

import copy
import dataclasses
import functools
import pickle
import signal
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.preprocessing import OneHotEncoder
from skorch.callbacks import Callback

from sktwotower import EASERecommender, PopularityRecommender, TowerVectorizer
from sktwotower.datasets import make_interactions
from sktwotower.recommender import _training_data
from tests.builders import small


def short(**params):
    return small(**{"max_epochs": 2, "n_neighbors": 3} | params)


@functools.cache
def made():
    return make_interactions(60, 40, interactions_per_user=8, random_state=0)


@pytest.fixture(scope="module")
def fitted():
    return short().fit(made().data)


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


@pytest.mark.parametrize("model", [short(), EASERecommender(), PopularityRecommender()])
def test_fit_sets_one_attribute(model):
    model = clone(model)
    parameters = set(vars(model))
    model.fit(made().data)
    assert set(vars(model)) - parameters == {"_fitted"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        model._fitted.seen = None
    with pytest.raises(AttributeError):
        model.item_ids_ = model.item_ids_[::-1]


@pytest.mark.slow
@pytest.mark.parametrize("model", [short(), EASERecommender()])
def test_there_are_no_fitted_attributes_before_fit(model):
    model = clone(model)
    for name in ("item_ids_", "user_ids_", "n_features_in_", "feature_names_in_"):
        assert not hasattr(model, name)
    model.fit(made().data[["user", "item"]].to_numpy())
    assert model.n_features_in_ == 2 and not hasattr(model, "feature_names_in_")


def test_attributes_are_views_not_copies(model):
    assert model.item_embeddings_ is model._fitted.catalog.vectors
    assert model.item_ids_ is model.item_ids_ and model.net_ is model._fitted.net


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fit", "partial_fit", "set_catalog"])
def test_a_call_that_fails_changes_nothing(call):
    X = made().data
    model = short().fit(X)
    before = dict(vars(model))
    bad = {"set_catalog": ["nobody"]}.get(call, X.assign(item=None))
    with pytest.raises(ValueError):
        getattr(model, call)(bad)
    assert vars(model) == before


def answer(model, ask):
    """Return the answer to one request, or the documented error."""
    kind, arguments = ask
    try:
        if kind == "kneighbors":
            ids, k = arguments
            distances, places = model.kneighbors(ids, n_neighbors=k)
            return distances.tolist(), places.tolist()
        table = model.recommend(**arguments)
        return table.to_numpy().tolist()
    except ValueError as error:
        if "not in the catalog" not in str(error):
            raise
        return "not in the catalog"


def requests(n):
    rng = np.random.default_rng(0)
    for _ in range(n):
        user = int(rng.integers(60))
        items = rng.integers(0, 40, 3).tolist()
        yield (
            ("recommend", {"X": [user]}),
            ("recommend", {"X": [9999], "history": {9999: items}}),
            ("recommend", {"X": [user], "history": {user: items}}),
            ("recommend", {"X": [user], "candidates": items}),
            ("recommend", {"X": ["stranger"]}),
            ("kneighbors", ([user, user // 2], 4)),
        )[int(rng.integers(6))]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["set_catalog", "partial_fit"])
def test_requests_next_to_changes_get_the_answer_of_one_state(change):
    X = made().data
    model, asked = short().fit(X), list(requests(60))
    base = model._fitted
    if change == "set_catalog":
        calls = [("set_catalog", range(0, 40, 2)), ("set_catalog", range(39, -1, -1))]
    else:
        calls = [("partial_fit", X.head(50)), ("partial_fit", X.tail(80))]
    states = [base]
    for name, given in calls:
        states.append(getattr(model, name)(given)._fitted)
    allowed = [[answer_of(state, ask) for state in states] for ask in asked]
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            for state, (name, given) in zip(states, calls, strict=False):
                model._fitted = state
                getattr(model, name)(given)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda ask: answer(model, ask), asked))
    finally:
        stop.set()
        thread.join()
    wrong = [a for a, ok in zip(found, allowed, strict=True) if a not in ok]
    assert wrong == []


def answer_of(state, ask):
    model = short()
    model._fitted = state
    return answer(model, ask)


# Ctrl-C


class Interrupt(Callback):
    """Press Ctrl-C at a moment of an epoch."""

    def __init__(self, moment, epoch):
        self.moment, self.epoch = moment, epoch

    def initialize(self):
        setattr(self, self.moment, self._press)
        return self

    def _press(self, net, **kwargs):
        if len(net.history) == self.epoch:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    "moment", ["on_batch_end", "on_epoch_begin", "on_epoch_end", "on_grad_computed"]
)
@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupt_in_a_callback_is_reported(moment, epoch):
    model = short(max_epochs=5, callbacks=[Interrupt(moment, epoch)])
    message = f"fit was interrupted in epoch {epoch} of 5"
    with pytest.warns(UserWarning, match=message) as told:
        model.fit(made().data)
    assert told[0].filename == __file__
    assert model.interrupted_
    assert len(model.history_) == epoch - (moment != "on_epoch_end")
    assert np.isfinite(model.item_embeddings_).all()
    for usable in (model, pickle.loads(pickle.dumps(model))):
        assert len(usable.recommend([0])) == 3
    model.set_params(callbacks=None).partial_fit(made().data.head(9))
    assert not model.interrupted_
    assert not short().fit(made().data).interrupted_


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_in_validation_is_reported(monkeypatch):
    calls = iter(range(9))

    def recall(*args, per_user):
        if next(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return np.full(9, 0.5)

    monkeypatch.setattr(_training_data, "recall_at_k", recall)
    model = short(max_epochs=9, early_stopping=True)
    with pytest.warns(UserWarning, match="fit was interrupted in epoch 3 of 9"):
        model.fit(made().data)
    assert model.interrupted_ and len(model.history_) <= 3


@pytest.mark.slow
def test_early_stopping_is_no_interrupt():
    model = short(max_epochs=60, early_stopping=True, n_iter_no_change=1, lr=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(made().data)
    assert len(model.history_) < 60 and not model.interrupted_


# scikit-learn's global configuration


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("own", [False, True])
def test_a_global_output_format_is_for_the_output_only(library, own):
    data = made()
    X, items = data.data, data.item_table[["item", "category"]]
    params = {"items": items}
    if own:
        params["item_transformer"] = OneHotEncoder(handle_unknown="ignore")
    plain = short(**params).fit(X).partial_fit(X.head(5))
    expected = plain.transform(X.head(3))
    with sklearn.config_context(transform_output=library):
        model = short(**params).fit(X).partial_fit(X.head(5))
        output = model.transform(X.head(3))
        model.set_catalog(items.head(20))
        alike = model.similar_items(items.head(2))
    assert isinstance(output, pd.DataFrame if library == "pandas" else pl.DataFrame)
    assert_array_equal(output.to_numpy(), expected)
    plain.set_catalog(items.head(20))
    pd.testing.assert_frame_equal(alike, plain.similar_items(items.head(2)))


# warm_start


def test_warm_start_takes_weights_by_id():
    X = made().data
    model = short(warm_start=True, lr=1e-12, weight_decay=0.0).fit(X)
    before = model.embed_items(list(range(40)))
    model.set_catalog(range(39, -1, -1)).fit(X)
    np.testing.assert_allclose(model.embed_items(list(range(40))), before, atol=1e-5)
    first, second = X[X["item"] % 2 == 0], X[X["item"] % 2 == 1]
    model = short(warm_start=True, lr=1e-12, weight_decay=0.0).fit(second)
    model.partial_fit(first)  # new items come last: another order than that of fit
    before = model.embed_users(list(range(60)))
    order = model.item_ids_.tolist()
    model.fit(X)
    assert model.item_ids_.tolist() == sorted(order) != order
    np.testing.assert_allclose(model.embed_users(list(range(60))), before, atol=1e-5)


@pytest.mark.slow
def test_warm_start_needs_the_same_ids_and_sizes():
    X = made().data
    model = short(warm_start=True).fit(X)
    with pytest.raises(ValueError, match="warm_start=True needs the same users, items"):
        model.fit(X[X["item"] > 3])
    with pytest.raises(ValueError, match="warm_start=True needs the same users, items"):
        model.set_params(embedding_dim=4).fit(X)


def test_warm_start_with_two_columns_of_one_name():
    X = made().data
    items = pd.DataFrame({"item": range(40), "a": ["b_c", "x"] * 20, "a_b": ["c"] * 40})
    model = short(items=items, warm_start=True).fit(X)
    assert len(model.fit(X).history_) == len(model.history_)


# Checks of a call that changes the model


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"callbacks": [3]}, "callbacks must be skorch callbacks"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be"),
        ({"device": "cuda:9"}, "device='cuda:9' cannot be used"),
        ({"device": "meta"}, "device='meta' cannot be used"),
        ({"net_params": {"callbacks": []}}, "callbacks="),
        ({"net_params": {"device": "cpu"}}, "Pass device as device="),
        ({"net_params": {1: 2}}, "names of arguments. Got 1"),
        ({"net_params": {"criterion": "x"}}, "a class .* torch.nn.Module.* 'x'"),
        ({"net_params": {"lr": "a"}}, "'lr' parameter of net_params must be a float"),
        ({"net_params": {"batch_size": 0}}, "'batch_size' .* must be an int in the"),
        ({"net_params": {"optimizer": "Adam"}}, "'optimizer' .* must be a callable"),
    ],
)
def test_partial_fit_checks_parameters_as_fit_does(model, params, message):
    before = model._fitted
    with pytest.raises((TypeError, ValueError), match=message):
        model.set_params(**params).partial_fit(made().data.head(5))
    assert model._fitted is before


def test_set_catalog_checks_the_index():
    model = short().fit(made().data).set_params(neighbors="x")
    with pytest.raises(ValueError, match="'neighbors' parameter"):
        model.set_catalog([1, 2])


@pytest.mark.slow
def test_an_own_output_format_of_the_vectorizer_is_no_obstacle():
    own = TowerVectorizer().set_output(transform="pandas")
    X = made().data
    expected = short().fit(X).item_embeddings_
    assert_array_equal(short(item_transformer=own).fit(X).item_embeddings_, expected)


def test_scores_are_float32(model):
    assert model.similar_items([1])["score"].dtype == np.float32
    assert model.recommend([1])["score"].dtype == np.float32


# What is built from the catalog


@pytest.mark.slow
def test_changed_features_of_known_items_reach_fold_in():
    data = made()
    one_part = {"validation_events": None, "items": data.item_table}
    model = short(**one_part).fit(data.data)
    changed = data.item_table.assign(category="none")
    model.set_catalog(changed)
    assert_array_equal(
        np.sort(model._fitted.fold_in.vectors, axis=0),
        np.sort(model.embed_items(changed)[chosen(data)], axis=0),
    )
    # an equal model that was never given the old features answers the same
    history = {"new": [3, 4, 5]}
    again = pickle.loads(pickle.dumps(model)).set_catalog(changed)
    assert_array_equal(
        model.embed_users(["new"], history=history),
        again.embed_users(["new"], history=history),
    )


def chosen(data):
    return np.flatnonzero(data.item_table["item"].isin(data.data["item"]))


# Validation that cannot be


def test_users_with_one_event_each_are_fitted_without_validation():
    X = pd.DataFrame({"user": range(12), "item": np.arange(12) % 4})
    y = np.r_[0, np.ones(11)]
    with pytest.warns(UserWarning, match="No user has two positive pairs"):
        model = short(early_stopping=True).fit(X, y)
    assert len(model.history_) == 2 and "valid_recall" not in model.history_[0]


def test_a_small_share_holds_one_pair_out():
    X = made().data
    model = short(early_stopping=True, validation_fraction=1e-9).fit(X)
    assert model.history_[0]["valid_recall"] in (0, 1)


# The way of a call


def frames_to_the_product(call):
    """Return the names of the package's functions on the way to the first torch.mm.

    Without the one around `recommend` that only explains unknown arguments.
    """
    stacks, product = [], torch.mm

    def watched(*args, **kwargs):
        stacks.append(traceback.extract_stack())
        return product(*args, **kwargs)

    torch.mm = watched
    try:
        call()
    finally:
        torch.mm = product
    frames = [(f.filename.replace("\\", "/"), f.name) for f in stacks[-1]]
    return [
        name
        for path, name in frames
        if "/sktwotower/" in path and not path.endswith("/_tables/_arguments.py")
    ]


def test_recommend_reaches_the_product_by_five_functions_one_called_search(model):
    names = frames_to_the_product(lambda: model.recommend([0, 1]))
    assert names[0] == "recommend" and len(names) <= 5
    assert [name for name in names if "search" in name] == ["search"]
