"""One fitted value, replaced as a whole: during requests, failures and interrupts."""

import copy
import functools
import pickle
import signal
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.preprocessing import OneHotEncoder
from skorch.callbacks import Callback

from sktwotower import EASERecommender, TowerVectorizer
from sktwotower.datasets import make_interactions
from tests.builders import small
from tests.cases import for_each
from tests.recommender.builders import few


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


@for_each("model", [short(), EASERecommender()])
def test_fitted_attributes_cannot_be_set(model):
    model = clone(model)
    model.fit(made().data)
    with pytest.raises(AttributeError):
        model.item_ids_ = model.item_ids_[::-1]


@pytest.mark.slow
@for_each("model", [short(), EASERecommender()])
def test_there_are_no_fitted_attributes_before_fit(model):
    model = clone(model)
    for name in ("item_ids_", "user_ids_", "n_features_in_", "feature_names_in_"):
        assert not hasattr(model, name)
    model.fit(made().data[["user", "item"]].to_numpy())
    assert model.n_features_in_ == 2 and not hasattr(model, "feature_names_in_")


@pytest.mark.slow
@for_each("call", ["fit", "partial_fit", "set_catalog"])
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


@pytest.mark.each_time("on_batch_end-1", "on_epoch_end-3")
@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    ("moment", "epoch"),
    [("on_batch_end", 1), ("on_epoch_end", 3), ("on_grad_computed", 3)],
)
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
def test_early_stopping_is_no_interrupt():
    model = short(max_epochs=60, early_stopping=True, n_iter_no_change=1, lr=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(made().data)
    assert len(model.history_) < 60 and not model.interrupted_


# scikit-learn's global configuration


@pytest.mark.each_time("polars-True")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "own"), few([("polars", True), ("pandas", False), ("pandas", True)], 2)
)
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
        ({"device": "meta"}, "device='meta' cannot be used"),
        ({"net_params": {"callbacks": []}}, "callbacks="),
        ({"net_params": {1: 2}}, "names of arguments. Got 1"),
        ({"net_params": {"criterion": "x"}}, "a class .* torch.nn.Module.* 'x'"),
        ({"net_params": {"lr": "a"}}, "'lr' parameter of net_params must be a float"),
        ({"net_params": {"optimizer": "Adam"}}, "'optimizer' .* must be a callable"),
    ],
)
def test_partial_fit_checks_parameters_as_fit_does(model, params, message):
    before = model.item_embeddings_
    with pytest.raises((TypeError, ValueError), match=message):
        model.set_params(**params).partial_fit(made().data.head(5))
    assert model.item_embeddings_ is before


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
