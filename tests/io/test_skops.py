"""Transformers and indexes of other packages, through skops."""

import copy
import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from joblib import Memory
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from sktwotower import (
    EASERecommender,
    PopularityRecommender,
    TowerVectorizer,
    TwoStageRecommender,
)
from sktwotower.io import dump, load
from tests.builders import first_fast, random_events, small

from .builders import (
    MODELS,
    again,
    assembled,
    assert_same_answers,
    forged,
    in_context,
    members_of,
    products,
)


@pytest.fixture(scope="module", autouse=True)
def skops_io():
    # not at the top: each worker of a run collects all files
    return pytest.importorskip("skops.io")


class Lengths(TransformerMixin, BaseEstimator):
    """A transformer of the user: the length of each text."""

    def fit(self, X, y=None):
        self.longest_ = int(X["words"].str.len().max())
        return self

    def transform(self, X):
        lengths = X["words"].str.len() / self.longest_
        ids = X["item"].str[1:].astype(int)
        return np.column_stack([lengths, np.eye(9)[ids]])


def of_sklearn():
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["item", "color"]),
        (make_pipeline(TfidfVectorizer(), TruncatedSVD(2)), "words"),
        (make_pipeline(StandardScaler()), ["new"]),
    )


def with_ours():
    return make_column_transformer(
        (TowerVectorizer(kinds={"item": "id"}), ["item", "color", "tags"]),
        (TfidfVectorizer(), "words"),
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


def fitted(transformer, **params):
    return small(items=products(), item_transformer=transformer, **params).fit(
        random_events()
    )


@pytest.mark.slow
@pytest.mark.parametrize("make", [of_sklearn, with_ours])
def test_transformers_of_scikit_learn_need_no_trust(make, path):
    model = fitted(make())
    read = again(model, path)
    assert_same_answers(model, read)
    for each in (model, read):
        each.partial_fit(random_events(seed=4))
    assert_same_answers(model, read)
    new = products().assign(color="green")
    np.testing.assert_array_equal(read.embed_items(new), model.embed_items(new))


@pytest.mark.slow
def test_a_transformer_of_contexts_needs_no_trust(path):
    encoder = OneHotEncoder(handle_unknown="ignore")
    params = {"context": ["place", "level"], "max_epochs": 2}
    events = in_context(random_events()).fillna({"level": 1.0, "place": "other"})
    model = small(context_transformer=encoder, **params).fit(events)
    read = again(model, path)
    assert_same_answers(model, read)
    places = ["home", "other", "way", "work"]
    assert read.context_transformer_.categories_[0].tolist() == places
    for each in (model, read):
        each.partial_fit(events.iloc[::7].assign(item="i1", place="elsewhere"))
    assert_same_answers(model, read)


@pytest.mark.slow
def test_transformers_of_the_user_must_be_named(path):
    model = fitted(Lengths())
    dump(model, path)
    name = f"{Lengths.__module__}.Lengths"
    with pytest.raises(
        ValueError, match=rf"not trusted: {name}\..*trusted=\['{name}'\]"
    ):
        load(path)
    for unfit in (name, None, [3]):
        with pytest.raises(ValueError, match="trusted must be a list of types. Got"):
            load(path, trusted=unfit)
    assert_same_answers(model, load(path, trusted=iter([name])))
    assert_same_answers(model, load(path, trusted=[name]))
    assert_same_answers(model, load(path, trusted=[Lengths]))


class Counted(Lengths):
    """Remembers that an object is made, and that it gets a state."""

    made = []

    def __new__(cls, *args, **kwargs):
        cls.made.append(cls)
        return super().__new__(cls)

    def __setstate__(self, state):
        self.made.append(state)
        super().__setstate__(state)


def test_no_code_of_an_untrusted_type_runs(path):
    dump(fitted(Counted()), path)
    Counted.made.clear()
    with pytest.raises(ValueError, match="not trusted"):
        load(path)
    assert not Counted.made


@pytest.mark.slow
def test_an_index_of_another_package_is_fitted_again(path):
    model = small(neighbors=NearestNeighbors(), embedding_dim=4).fit(random_events())
    read = again(model, path, load_params={"mmap": True})
    assert type(read.neighbors_) is NearestNeighbors
    assert_same_answers(model, read)
    read.partial_fit(random_events(seed=4))


def test_an_estimator_that_skops_refuses_is_named(path):
    class Local(Lengths):
        pass

    model = fitted(Lengths()).set_params(user_transformer=StandardScaler())
    model.set_params(item_transformer=Local().set_params())
    model.item_transformer.broken = (each for each in "ab")
    with pytest.raises(ValueError, match="'item_transformer'.*skops refuses"):
        dump(model, path)


@pytest.mark.parametrize("call", first_fast([dump, load]))
def test_without_skops_the_error_says_what_to_install(call, path, monkeypatch):
    model = fitted(of_sklearn())
    dump(model, path)
    monkeypatch.setitem(sys.modules, "skops.io", None)
    monkeypatch.setitem(sys.modules, "skops", None)
    arguments = (model, path) if call is dump else (path,)
    with pytest.raises(ImportError, match=r"pip install 'sktwotower\[io\]'"):
        call(*arguments)


@pytest.mark.slow
def test_models_without_such_estimators_need_no_skops(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skops", None)
    model = fitted(None)
    assert_same_answers(model, again(model, path))


# Recommenders, written by skops itself


def through_skops(model, path, skops_io):
    """Return a model as skops reads it, and the types that had to be trusted."""
    skops_io.dump(model, path)
    types = skops_io.get_untrusted_types(file=path)
    return skops_io.load(path, trusted=types), types


@pytest.mark.parametrize(
    "name",
    first_fast(
        ["ease", "item-knn", "popularity", "side table", "two stages"]
        + ["context", "context in order", "context of both"]
    ),
)
def test_skops_writes_recommenders(name, path, skops_io):
    model = MODELS[name]
    read, types = through_skops(model, path, skops_io)
    assert types == [f"{type(model).__module__}.{type(model).__qualname__}"]
    assert_same_answers(model, read)
    with pytest.raises(TypeError, match="Untrusted types"):
        skops_io.load(path, trusted=[])


def test_skops_writes_what_holds_a_recommender(path, skops_io):
    model = FrozenEstimator(EASERecommender().fit(random_events()))
    read, _ = through_skops(model, path, skops_io)
    assert_same_answers(model.estimator, read.estimator)


def test_skops_asks_for_the_types_within_a_recommender(path, skops_io):
    ranker = make_pipeline(DecisionTreeClassifier())
    ranker.fit([[0.0], [1.0]], [0, 1])
    read, types = through_skops(TwoStageRecommender(ranker=ranker), path, skops_io)
    assert "sklearn.tree._tree.Tree" in types
    assert read.ranker.predict([[0.1], [0.9]]).tolist() == [0, 1]
    with pytest.raises(TypeError, match=r"Untrusted types.*tree\._tree\.Tree"):
        skops_io.load(path, trusted=types[-1:])


def test_pickles_and_copies_hold_attributes(path):
    class Own(PopularityRecommender):
        def __getstate__(self):
            return super().__getstate__() | {"extra": 3}

    model = PopularityRecommender().fit(random_events())
    for protocol in (0, 2, 5):
        assert_same_answers(model, pickle.loads(pickle.dumps(model, protocol)))
    assert copy.copy(model).item_ids_ is model.item_ids_
    assert copy.copy(Own()).extra == 3


def test_skops_refuses_subclasses(path, skops_io):
    class Own(PopularityRecommender):
        pass

    with pytest.raises(ValueError, match="no subclasses"):
        skops_io.dump(Own(), path)


# Forged bytes of skops


def with_object(path, change):
    """Write a file in which the bytes of an object are changed."""
    members = members_of(path.read_bytes())
    names = [name for name in members if name.startswith("objects/")]
    for name in names:
        members[name] = change(members[name])
    path.write_bytes(forged(members))


@pytest.mark.slow
def test_objects_that_are_compressed_or_no_zip_files(path):
    dump(fitted(of_sklearn()), path)
    data = path.read_bytes()
    for change, message in [
        (lambda object_: b"", "a zip file"),
        (lambda object_: object_[:-30], "a zip file"),
        (lambda object_: assembled([*members_of(object_).items()], b"", 8), "compress"),
        (lambda object_: assembled([("schema.json", b"[]")]), "skops can read"),
        (lambda object_: assembled([("schema.json", b"{}")]), "skops can read"),
    ]:
        path.write_bytes(data)
        with_object(path, change)
        with pytest.raises(ValueError, match=message):
            load(path)


@pytest.mark.slow
def test_sparse_matrices_in_objects_are_checked(path, skops_io):
    from scipy import sparse

    made = TfidfVectorizer().fit(products()["words"])
    made._tfidf.extra = sparse.csr_matrix(np.eye(3))
    made._tfidf.extra.indices[1] = 1000
    model = fitted(of_sklearn())
    dump(model, path)
    with_object(path, lambda object_: skops_io.dumps(made))
    trusted = ["scipy.sparse._csr.csr_matrix"]
    with pytest.raises(ValueError, match="valid sparse matrices"):
        load(path, trusted=trusted)


@pytest.mark.slow
def test_vocabularies_of_ours_in_objects_are_checked(path, skops_io):
    made = with_ours().fit(products())
    encoder = made.transformers_[0][1].encoders_[0][1]
    encoder.columns["i0"] = 10**6
    dump(fitted(with_ours()), path)
    with_object(path, lambda object_: skops_io.dumps(made))
    with pytest.raises(ValueError, match="keys of the columns 0, 1"):
        load(path)


@pytest.mark.slow
def test_an_object_in_the_place_of_a_transformer_must_be_one(path, skops_io):
    dump(fitted(of_sklearn()), path)
    with_object(path, lambda object_: skops_io.dumps({"a": pd.__version__}))
    with pytest.raises(ValueError, match="a transformer"):
        load(path)


def by_name():
    return make_pipeline(CountVectorizer(input="filename", vocabulary=["a"]))


def cached():
    return make_pipeline(OneHotEncoder(), memory="folder")


USING_FILES = [
    (by_name, "input='filename' of CountVectorizer"),
    (cached, "memory of Pipeline"),
]


@pytest.mark.parametrize("make, message", USING_FILES)
def test_transformers_that_use_files_are_neither_written_nor_read(
    make, message, path, skops_io
):
    nested = make_column_transformer((make(), "words"))
    with pytest.raises(ValueError, match=f"cannot be written.*{message}"):
        dump(small(item_transformer=nested), path)
    dump(small(item_transformer=of_sklearn()), path)
    with_object(path, lambda object_: skops_io.dumps(nested))
    with pytest.raises(ValueError, match=f"uses no other files: {message}"):
        load(path)


def test_a_cache_is_not_written_wherever_it_is(path):
    holder = TfidfVectorizer()
    holder.kept = {"a": [Memory("folder")]}
    with pytest.raises(ValueError, match="cannot be written.*memory of Memory"):
        dump(small(item_transformer=make_pipeline(holder)), path)


def test_rankers_that_use_files_are_not_read(path, skops_io):
    ranker = make_pipeline(StandardScaler(), LogisticRegression())
    dump(TwoStageRecommender(ranker=ranker), path)
    used = make_pipeline(StandardScaler(), LogisticRegression(), memory="folder")
    with_object(path, lambda object_: skops_io.dumps(used))
    with pytest.raises(ValueError, match="uses no other files: memory of Pipeline"):
        load(path)
