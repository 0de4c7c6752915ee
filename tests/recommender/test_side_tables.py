"""Side tables in searches, copies, pickles and in what is printed."""

import copy
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from joblib.externals.loky.backend import context as loky
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sktwotower.datasets import make_interactions
from tests.builders import small
from tests.recommender.builders import few

pytestmark = pytest.mark.slow

WORLD = make_interactions(30, 20, n_clusters=2, interactions_per_user=6, random_state=0)
X = WORLD.data[["user", "item"]]
# as long as X, which must not lead a search to cut them
ITEMS = pd.DataFrame({"item": range(len(X))})
ITEMS["tag"] = [f"tag-{i % 7}" for i in range(len(X))]
ITEMS["note"] = [f"marker-{i:03d}" for i in range(len(X))]
USERS = ITEMS.rename(columns={"item": "user"}).replace("marker", "secret", regex=True)
LIBRARIES = {
    "pandas": lambda table: table.copy(),
    "categorical": lambda table: table.astype({"tag": "category", "note": "category"}),
    "polars": pl.DataFrame,
    "levels of polars": lambda table: pl.DataFrame(table).cast(
        {pl.String: pl.Categorical}
    ),
    "pyarrow": pa.Table.from_pandas,
}


def tagged(**params):
    """Build an estimator whose transformers keep no note."""
    of_tag = {
        f"{side}_transformer": make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), [side, "tag"])
        )
        for side in ("user", "item")
    }
    return small(**of_tag | params)


@pytest.fixture(params=few(LIBRARIES, 1))
def tables(request):
    convert = LIBRARIES[request.param]
    return {"users": convert(USERS), "items": convert(ITEMS)}


def held(thing):
    """Return how often a note of either table is in a pickle, and in a joblib dump."""
    stream = io.BytesIO()
    joblib.dump(thing, stream)
    return [
        data.count(note)
        for data in (pickle.dumps(thing), stream.getvalue())
        for note in (b"marker-123", b"secret-123")
    ]


FOLDS = KFold(2, shuffle=True, random_state=0)


@pytest.mark.each_time("polars-True")
@pytest.mark.parametrize(
    "tables, routing",
    few(
        [("polars", True), ("categorical", False)]
        + [(library, False) for library in LIBRARIES],
        2,
    ),
    indirect=["tables"],
)
def test_searches_share_the_tables_and_pickles_hold_them_once(tables, routing):
    weight = np.where(np.arange(len(X)) % 3, 1.0, 2.0)
    with sklearn.config_context(enable_metadata_routing=routing):
        model, given = tagged(**tables), {}
        if routing:
            model.set_fit_request(sample_weight=True)
            model.set_score_request(sample_weight=True)
            given = {"sample_weight": weight}
        search = GridSearchCV(model, {"lr": [0.01, 0.02]}, cv=FOLDS)
        search.fit(X, **given)
        folds = cross_validate(
            model, X, cv=FOLDS, return_estimator=True, params=given or None
        )["estimator"]
        best = search.best_estimator_
        copies = [best, clone(best), clone(search).estimator, *folds]
        for name, table in tables.items():
            assert all(getattr(copied, name) is table for copied in copies)
        assert len(best.item_ids_) == len(best.user_ids_) == len(X)
        assert all(len(fold.item_ids_) == len(X) for fold in folds)
        fitted_pipeline = make_pipeline("passthrough", clone(model)).fit(X)
        for thing in (model, best, search, folds, clone(best), fitted_pipeline):
            assert held(thing) == [1, 1, 1, 1]
        plain = tagged(users=USERS, items=ITEMS, lr=search.best_params_["lr"])
        assert_array_equal(
            best.item_embeddings_, plain.fit(X, **given).item_embeddings_
        )


def test_ids_in_the_index_are_found_there():
    message = "items has no column 'item'.* It is the index: pass items.reset_index()"
    with pytest.raises(ValueError, match=message):
        small(items=ITEMS.set_index("item")).fit(X)


def test_a_clone_asks_for_the_same_metadata_as_its_own_consumer():
    with sklearn.config_context(enable_metadata_routing=True):
        model = tagged(items=ITEMS).set_fit_request(sample_weight=True)
        copied = clone(model)
        request = copied.get_metadata_routing()
        assert request.fit.requests["sample_weight"] is True
        assert request.fit.owner is copied or isinstance(request.fit.owner, str)
        copied.set_fit_request(sample_weight=False)
        assert model.get_metadata_routing().fit.requests["sample_weight"] is True


@pytest.fixture(scope="module")
def workers(start_method):
    """Let the workers of joblib start quickly."""
    loky.set_start_method(start_method, force=True)
    yield
    loky.set_start_method(None, force=True)


def test_workers_give_what_one_process_gives(tables, workers):
    def scores(n_jobs):
        search = GridSearchCV(
            tagged(**tables), {"lr": [0.01, 0.2]}, cv=FOLDS, n_jobs=n_jobs
        ).fit(X)
        assert search.best_estimator_.items is tables["items"]
        assert held(search) == [1, 1, 1, 1]
        return search.cv_results_["mean_test_score"]

    assert_allclose(scores(2), scores(None))


def test_workers_share_a_cache_on_disk(tmp_path, workers):
    # next to the test above: the same two workers, whose start takes seconds
    model = small(items=ITEMS, memory=str(tmp_path))
    assert_allclose(
        cross_val_score(model, X, cv=FOLDS, n_jobs=2),
        cross_val_score(model.set_params(memory=None), X, cv=FOLDS),
    )
    assert any(tmp_path.rglob("*.pkl"))


def test_a_deep_copy_has_tables_of_its_own_and_answers_the_same(tables):
    model = tagged(**tables).fit(X)
    copied = copy.deepcopy(model)
    assert copied.items is not model.items
    assert_array_equal(copied.embed_items([0, 99]), model.embed_items([0, 99]))


def test_nothing_of_a_table_is_printed_by_the_estimator(tables):
    short = {name: table[:4] for name, table in tables.items()}
    for model in (tagged(**tables), tagged(**short), tagged(**tables).fit(X)):
        shown = [repr(model), str(model), model._repr_html_()]
        for text in shown:
            assert not any(cell in text for cell in ("marker-", "secret-", "tag-"))
        name = type(model.items).__name__
        assert f"items=<{name} of {model.items.shape[0]} rows, 3 columns>" in shown[0]
        assert f"&lt;{name} of {model.items.shape[0]} rows, 3 columns&gt;" in shown[2]
        assert model.get_params()["items"] is model.items
