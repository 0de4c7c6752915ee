"""Searches: halving, threads of workers, and the cache of transformed tables."""

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Memory, parallel_config
from joblib.parallel import ThreadingBackend
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import SGDRegressor
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from skorch.callbacks import Callback

from sktwotower import TowerVectorizer, TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.features import _caching as caching
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import LastNSplit, WarmHalvingSearchCV, search_space
from sktwotower.neighbors._threads import threads

X = make_interactions(
    30, 20, n_clusters=2, interactions_per_user=6, random_state=0
).data[["user", "item"]]
ITEMS = pd.DataFrame({"item": range(20), "tag": list("abcde") * 4})
FOLDS = KFold(2, shuffle=True, random_state=0)


def small(**params):
    params = {"embedding_dim": 4, "max_epochs": 4, "random_state": 0} | params
    return TwoTowerRecommender(**params)


class Clerk(BaseEstimator):
    """Write down which rows it was fitted on, for how long, and for how long in all."""

    log = []

    def __init__(self, rate=1.0, max_epochs=9, warm_start=False):
        self.rate = rate
        self.max_epochs = max_epochs
        self.warm_start = warm_start

    def fit(self, X, y=None, sample_weight=None):
        if self.rate < 0:
            raise ValueError("a negative rate")
        before = self.n_epochs_ if self.warm_start and hasattr(self, "n_epochs_") else 0
        rows = tuple(X[:, 0])
        if before:
            assert rows == self.rows_  # a model never meets another fold
        self.rows_, self.n_epochs_ = rows, before + self.max_epochs
        Clerk.log.append((self.rate, rows, self.max_epochs, self.n_epochs_))
        if sample_weight is not None:
            assert_array_equal(sample_weight, rows)
        return self

    def score(self, X, y=None):
        assert not set(X[:, 0]) & set(self.rows_)
        return self.rate * self.n_epochs_


ROWS = np.arange(12).reshape(-1, 1)


@pytest.fixture
def log():
    Clerk.log.clear()
    return Clerk.log


def test_survivors_train_on_in_their_own_fold(log):
    rates = [3.0, 1.0, 9.0, 5.0, 2.0, 4.0, 8.0, 7.0, 6.0]
    search = WarmHalvingSearchCV(
        Clerk(), {"rate": rates}, n_iter=9, min_resources=1, cv=FOLDS, random_state=0
    ).fit(ROWS, sample_weight=ROWS[:, 0])
    assert search.n_resources_ == [1, 3, 9] and search.n_candidates_ == [9, 3, 1]
    assert search.best_params_ == {"rate": 9.0, "max_epochs": 9}
    assert search.best_score_ == 81.0
    *of_folds, refit = log
    # (rate, epochs of this fit, epochs in all), for each of the two folds
    told = sorted({(rate, more, done) for rate, _, more, done in of_folds})
    first = [(rate, 1, 1) for rate in rates]
    assert told == sorted([*first, (9, 2, 3), (8, 2, 3), (7, 2, 3), (9, 6, 9)])
    assert len(of_folds) == 2 * len(told)
    assert refit == (9.0, tuple(range(12)), 9, 9)
    assert search.best_estimator_.warm_start is False
    results = pd.DataFrame(search.cv_results_)
    assert results["iter"].tolist() == [0] * 9 + [1] * 3 + [2]
    assert results["rank_test_score"].iloc[-1] == 1
    assert search.best_index_ == 12
    folds = results[["split0_test_score", "split1_test_score"]]
    assert_allclose(results["mean_test_score"], folds.mean(axis=1))
    assert search.estimator.get_params() == Clerk().get_params()
    assert not hasattr(search.estimator, "n_epochs_")


@pytest.mark.parametrize(
    ("n_iter", "params", "rungs"),
    [
        (12, {}, [3, 10, 30]),
        (3, {}, [10, 30]),
        (1, {}, [30]),
        (12, {"min_resources": 11}, [30]),
        (100, {"factor": 2, "max_resources": 16, "min_resources": 4}, [4, 8, 16]),
    ],
)
def test_rungs_by_hand(n_iter, params, rungs):
    search = WarmHalvingSearchCV(
        Clerk(max_epochs=30),
        {"rate": list(range(1, 101))},
        n_iter=n_iter,
        cv=[(np.arange(6), np.arange(6, 12))],
        random_state=0,
        **params,
    )
    assert search.fit(ROWS).n_resources_ == rungs


def test_one_rung_is_a_plain_search():
    grid = {"temperature": [0.1, 0.5]}
    ndcg = make_retrieval_scorer("ndcg", k=3)
    ours = WarmHalvingSearchCV(
        small(), grid, n_iter=2, min_resources=4, cv=FOLDS, scoring=ndcg
    ).fit(X)
    plain = GridSearchCV(small(), grid, cv=FOLDS, scoring=ndcg).fit(X)
    assert sorted(ours.cv_results_["mean_test_score"]) == sorted(
        plain.cv_results_["mean_test_score"]
    )
    assert_array_equal(
        ours.best_estimator_.item_embeddings_, plain.best_estimator_.item_embeddings_
    )
    assert ours.score(X) == plain.score(X)
    assert_array_equal(ours.predict(X), plain.predict(X))


def test_halving_through_a_pipeline_and_a_known_loop():
    pipe = make_pipeline("passthrough", small(items=ITEMS))
    prefix = "twotowerrecommender__"
    search = WarmHalvingSearchCV(
        pipe,
        {prefix + "temperature": [0.1, 0.2, 0.5]},
        n_iter=3,
        resource=prefix + "max_epochs",
        min_resources=1,
        cv=LastNSplit(),
    ).fit(X)
    assert search.n_resources_ == [1, 4]
    assert search.best_estimator_[-1].items is ITEMS
    ((train, test),) = LastNSplit().split(X)
    best = {k.removeprefix(prefix): v for k, v in search.best_params_.items()}
    model = small(items=ITEMS, warm_start=True, temperature=best["temperature"])
    for more in (1, 3):
        model.set_params(max_epochs=more).fit(X.iloc[train])
    assert search.best_score_ == model.score(X.iloc[test])


def test_any_estimator_that_goes_on_can_be_halved():
    y = 2.0 * ROWS[:, 0]
    search = WarmHalvingSearchCV(
        SGDRegressor(max_iter=30, tol=None, random_state=0),
        {"eta0": [1e-5, 1e-4, 1e-3]},
        n_iter=3,
        resource="max_iter",
        cv=FOLDS,
    ).fit(ROWS, y)
    assert search.best_params_ == {"eta0": 1e-3, "max_iter": 30}


def test_a_candidate_that_fails_is_given_up(log):
    rates = {"rate": [-1.0, 2.0, 1.0]}
    search = WarmHalvingSearchCV(Clerk(), rates, n_iter=3, cv=FOLDS, random_state=0)
    with pytest.warns(FitFailedWarning, match="given up. ValueError.'a negative rate'"):
        search.fit(ROWS)
    assert search.best_params_["rate"] == 2.0
    assert np.isnan(search.cv_results_["mean_test_score"]).sum() == 1
    hopeless = clone(search).set_params(param_distributions={"rate": [-1.0]}, n_iter=1)
    with (
        pytest.warns(FitFailedWarning),
        pytest.raises(ValueError, match="No candidate could be fitted"),
    ):
        hopeless.fit(ROWS)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"resource": "max_epoch"}, "has no 'max_epoch'.*Did you mean 'max_epochs'"),
        ({"resource": "n_samples"}, "Clerk has no 'n_samples'"),
        ({"min_resources": 10}, "min_resources=10 must not be above the 9 rounds"),
        (
            {"param_distributions": {"max_epochs": [1]}},
            "'max_epochs' cannot be",
        ),
        ({"param_distributions": {"warm_start": [True]}}, "'warm_start' cannot be"),
        ({"factor": 1}, "'factor' parameter of WarmHalvingSearchCV must be"),
        ({"n_iter": 0}, "'n_iter' parameter of WarmHalvingSearchCV must be"),
        ({"cv": []}, r"cv must give one fold at least. Got \[\]"),
        ({"estimator": Clerk}, r"estimator must be an instance, Clerk\(\)"),
        ({"scoring": lambda *_: {"a": 1.0}}, "one number.* Got {'a': 1.0}"),
        ({"estimator": SGDRegressor()}, "has no 'max_epochs'.* Parameters: 'alpha'"),
    ],
)
def test_bad_halving_says_why(params, message):
    search = WarmHalvingSearchCV(Clerk(), {"rate": [1.0]}, n_iter=1, cv=FOLDS)
    with pytest.raises((ValueError, TypeError), match=message):
        search.set_params(**params).fit(ROWS)


@pytest.mark.parametrize("kind", [HalvingGridSearchCV, HalvingRandomSearchCV])
def test_halving_of_scikit_learn_over_epochs(kind):
    search = kind(
        small(),
        {"temperature": [0.1, 0.2, 0.5]},
        resource="max_epochs",
        min_resources=1,
        max_resources=3,
        cv=FOLDS,
        random_state=0,
        error_score="raise",
    ).fit(X)
    assert search.n_resources_ == [1, 3]
    assert len(search.best_estimator_.history_) == 3


def test_the_search_space_holds_parameters_and_their_defaults():
    space, model = search_space(8), TwoTowerRecommender()
    assert list(search_space(2)) == list(space)[:2] == ["temperature", "embedding_dim"]
    for name, values in space.items():
        default = getattr(model, name)
        if name == "temperature":
            assert values.support() == (0.05, 0.3)
        elif isinstance(values, list):
            assert default in values or name == "dropout"
        else:
            assert values.support()[0] < default < values.support()[1]
    prefixed = search_space(1, prefix="m__", drop="temperature")
    assert list(prefixed) == ["m__embedding_dim"]
    with pytest.raises(ValueError, match="from 1 to 8 .* Got 9"):
        search_space(9)
    with pytest.raises(ValueError, match=r"drop must name .* Got \['tempreature'\]"):
        search_space(1, drop="tempreature")
    with pytest.raises(TypeError, match="drop must be a name or a list of names.*=3"):
        search_space(1, drop=3)


class Pruner(Callback):
    """Stop a trial after two epochs, as Optuna's callback for skorch does."""

    _monitor = "valid_recall"

    def on_epoch_end(self, net, **kwargs):
        self.recalls = [*getattr(self, "recalls", []), net.history[-1, self._monitor]]
        if len(self.recalls) == 2:
            raise InterruptedError("pruned")


def test_a_callback_prunes_by_the_recall_of_an_epoch():
    pruner = Pruner()
    model = small(callbacks=[pruner])
    with pytest.raises(InterruptedError, match="pruned"):
        model.fit(X)
    assert len(pruner.recalls) == 2 and all(0 <= r <= 1 for r in pruner.recalls)
    assert not hasattr(model, "net_")


def test_all_processors_are_those_of_a_worker():
    before = torch.get_num_threads()
    with threads(3):
        assert torch.get_num_threads() == 3
        with parallel_config(backend=ThreadingBackend(nesting_level=1)), threads(-1):
            assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


class Counted(OneHotEncoder):
    """Count how often it is fitted."""

    n_fits = 0

    def fit(self, X, y=None):
        Counted.n_fits += 1
        return super().fit(X)


@pytest.fixture
def counted():
    Counted.n_fits = 0
    return Counted(handle_unknown="ignore")


def test_tables_are_transformed_once_for_all_candidates(tmp_path, counted):
    grid = {"temperature": [0.1, 0.2, 0.5]}
    results = {}
    for memory in (None, str(tmp_path), Memory(str(tmp_path), verbose=0)):
        before = Counted.n_fits
        model = small(items=ITEMS, item_transformer=counted, memory=memory)
        search = GridSearchCV(model, grid, cv=FOLDS, error_score="raise").fit(X)
        assert search.best_estimator_.memory is not None or memory is None
        results[type(memory)] = search.cv_results_["mean_test_score"]
        # the table is the same in all folds, and in a search that comes later
        expected = {type(None): 7, str: 1, Memory: 0}[type(memory)]
        assert Counted.n_fits - before == expected
    assert len({tuple(scores) for scores in results.values()}) == 1


def test_another_table_or_parameter_is_another_entry(tmp_path, counted):
    def rows(items, **params):
        transformer = clone(counted).set_params(**params)
        model = small(items=items, item_transformer=transformer, memory=str(tmp_path))
        return model.fit(X)._fitted.items.rows

    first = rows(ITEMS)
    assert (first != rows(ITEMS.copy())).nnz == 0 and Counted.n_fits == 1
    changed = ITEMS.copy()
    changed.loc[0, "tag"] = "z"
    assert rows(changed).shape[1] == first.shape[1] + 1
    assert rows(ITEMS, min_frequency=2).shape != first.shape
    assert Counted.n_fits == 3
    rows(pd.concat([ITEMS["item"].astype("int32"), ITEMS["tag"]], axis=1))
    assert Counted.n_fits == 4  # a type is part of the table


def unit(table):
    return np.ones((len(table), 1))


def test_what_has_no_sure_key_is_fitted_each_time(tmp_path):
    table = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [3.0, 1.0, 1.0]})
    seeded = TruncatedSVD(1, random_state=0)
    cases = {
        "seeded": (seeded, True),
        "no seed": (TruncatedSVD(1), False),
        "a generator": (TruncatedSVD(1, random_state=np.random.RandomState(0)), False),
        "nested": (make_pipeline(TruncatedSVD(1), TowerVectorizer()), False),
        "a lambda": (FunctionTransformer(lambda table: unit(table)), False),
        "a function": (FunctionTransformer(unit), True),
    }
    for name, (transformer, has_key) in cases.items():
        assert (caching._key(transformer, table) is not None) == has_key, name
        fitted, output = caching.fit_transform(clone(transformer), table, str(tmp_path))
        assert output.shape[0] == 3 and hasattr(fitted, "transform")
    interactive = FunctionTransformer(unit)
    module, unit.__module__ = unit.__module__, "__main__"
    try:
        assert caching._key(interactive, table) is None
    finally:
        unit.__module__ = module


def test_memory_must_be_a_folder_or_a_cache():
    with pytest.raises(ValueError, match="'memory' should be None"):
        small(memory=3).fit(X)
    with pytest.raises(ValueError, match="memory='.*search.py' must be a folder that"):
        small(memory=__file__).fit(X)
