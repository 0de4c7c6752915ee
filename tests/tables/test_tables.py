"""Recommenders answer tables of every library as they answer plain pandas."""

import copy
import functools
import re

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from sktwotower import PopularityRecommender, TowerVectorizer, interactions_from_matrix
from sktwotower.datasets import make_interactions
from sktwotower.metrics import retrieval_report
from sktwotower.model_selection import LastNSplit
from sktwotower.preprocessing import k_core, session_ids
from tests.builders import small
from tests.cases import for_each
from tests.shared import once

WORLD = make_interactions(30, 20, n_clusters=2, interactions_per_user=6, random_state=0)
X, USERS, ITEMS = WORLD.data[["user", "item"]], WORLD.user_table, WORLD.item_table


def renamed(table):
    """Return ids that are strings."""
    named = {c: table[c].map("n{:03d}".format) for c in ("user", "item") if c in table}
    return table.assign(**named)


def categorical(table):
    names = ["user", "item", "segment", "city", "category"]
    return table.astype({c: "category" for c in names if c in table})


LIBRARIES = {
    "polars": pl.DataFrame,
    "pandas": lambda table: table,
    "index": lambda table: table.set_axis([5] * len(table), axis="index"),
    "categorical": categorical,
    "nullable": lambda table: table.convert_dtypes(),
    "arrow": lambda table: table.convert_dtypes(dtype_backend="pyarrow"),
    "objects": lambda table: table.astype(object),
    "pyarrow": lambda table: pa.Table.from_pandas(table, preserve_index=False),
    "batch": lambda table: pa.RecordBatch.from_pandas(table, preserve_index=False),
}


# each library with one of both types of ids; the other cases run by -m grid
STRINGS = {"polars", "categorical", "arrow", "objects"}
CASES = [
    pytest.param(
        library, kind, marks=() if (library in STRINGS) == is_text else pytest.mark.grid
    )
    for library in LIBRARIES
    for kind, is_text in (("numbers", False), ("strings", True))
]


@once
def made(kind):
    """Return tables with ids of a type, and a model that was fitted on them."""
    tables = X, USERS, ITEMS
    if kind == "strings":
        tables = tuple(map(renamed, tables))
    events, users, items = tables
    return tables, small(users=users, items=items).fit(events)


def assert_same_answer(found, expected):
    if not isinstance(found, pd.DataFrame):
        found = nw.from_native(found).to_pandas()
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def judged(model, events):
    """Return what a model says of events, as arrays."""
    return [model.predict(events), model.transform(events), model.score(events)]


@functools.cache
def said_by(kind):
    """Return what the model says of the plain tables."""
    (events, users, items), model = made(kind)
    some_users, some_items = users.iloc[4:9], items.iloc[3:9]
    return {
        "events": judged(model, events),
        "recommend": model.recommend(some_users),
        "kneighbors": model.kneighbors(some_users)[1],
        "similar": model.similar_items(some_items),
        "vectors": model.embed_items(some_items),
        "report": repr(retrieval_report(model, events)),
    }


@pytest.mark.each_time(
    "polars-strings",
    "pandas-numbers",
    "categorical-strings",
    "nullable-numbers",
    "pyarrow-numbers",
)
@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(("library", "kind"), CASES)
def test_answers_are_those_of_plain_pandas(library, kind):
    convert, said = LIBRARIES[library], said_by(kind)
    (events, users, items), expected = made(kind)
    model = small(users=convert(users), items=convert(items)).fit(convert(events))
    assert_array_equal(model.item_embeddings_, expected.item_embeddings_)
    assert_array_equal(model.user_ids_, expected.user_ids_)
    assert model.item_ids_.dtype == expected.item_ids_.dtype
    # on a model of another library, and of ids that come as another type of the same
    for ask, table in ((model, events), (expected, convert(events))):
        for found, of_plain in zip(judged(ask, table), said["events"], strict=True):
            assert_array_equal(found, of_plain)
    some_users, some_items = convert(users.iloc[4:9]), convert(items.iloc[3:9])
    assert_same_answer(model.recommend(some_users), said["recommend"])
    assert_array_equal(model.kneighbors(some_users)[1], said["kneighbors"])
    assert_same_answer(model.similar_items(some_items), said["similar"])
    assert_array_equal(model.embed_items(some_items), said["vectors"])
    assert repr(retrieval_report(model, convert(events))) == said["report"]


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(("library", "kind"), CASES)
def test_columns_of_any_library_are_lists_of_ids(library, kind):
    convert, ((events, users, items), model) = LIBRARIES[library], made(kind)
    asked, past = convert(users.iloc[:5])["user"], convert(items.iloc[:4])["item"]
    ids, chosen = users["user"].iloc[:5].tolist(), items["item"].iloc[:4].tolist()
    assert_same_answer(model.recommend(asked), model.recommend(ids))
    assert_array_equal(model.kneighbors(asked)[1], model.kneighbors(ids)[1])
    assert_array_equal(model.embed_items(past), model.embed_items(chosen))
    assert_same_answer(
        model.recommend(asked, candidates=past), model.recommend(ids, candidates=chosen)
    )
    pairs = events.iloc[:40]
    for one, other in ((pairs, convert(pairs)), ({ids[0]: chosen}, {ids[0]: past})):
        assert_same_answer(
            model.recommend(ids, history=other), model.recommend(ids, history=one)
        )
        assert_same_answer(
            model.recommend(ids, candidates=other), model.recommend(ids, candidates=one)
        )
    assert_same_answer(
        model.recommend(ids[:1], history=past), model.recommend(ids[:1], history=chosen)
    )
    assert_same_answer(model.similar_items(past), model.similar_items(chosen))


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(("library", "kind"), CASES)
def test_catalogs_of_any_library(library, kind):
    convert, ((_, _, items), expected) = LIBRARIES[library], made(kind)
    model = copy.copy(expected)
    table = items.iloc[[7, 2, 11]]
    model.set_catalog(convert(table))
    assert model.item_ids_.tolist() == table["item"].tolist()
    assert_array_equal(model.item_embeddings_, expected.embed_items(table))
    model.set_catalog(convert(table)["item"])
    assert model.item_ids_.tolist() == table["item"].tolist()


@pytest.mark.slow
@for_each("library", ["polars", "pyarrow", "arrow", "batch"])
def test_outcomes_features_of_events_and_splits(library):
    convert = LIBRARIES[library]
    table = X.merge(ITEMS[["item", "price", "category"]])
    table["when"] = np.arange(len(table)) % 13
    y = pd.Series(np.arange(len(table)) % 3.0)
    weight = pd.Series(1.0 + np.arange(len(table)) % 2)
    model = small(item_features=["price", "category"])
    expected = small(item_features=["price", "category"])
    columns = convert(pd.DataFrame({"y": y, "weight": weight}))
    model.fit(convert(table), columns["y"], sample_weight=columns["weight"])
    expected.fit(table, y, sample_weight=weight)
    assert_array_equal(model.item_embeddings_, expected.item_embeddings_)
    splits = [LastNSplit(1, time="when").split(t) for t in (table, convert(table))]
    for one, other in zip(*splits, strict=True):
        assert_array_equal(np.concatenate(one), np.concatenate(other))


NEW = ITEMS.iloc[:2].assign(item=[100, 101])


@pytest.fixture(scope="module")
def model():
    return small(items=ITEMS.assign(code=ITEMS["item"] % 3)).fit(X)


def twice(table, name, library):
    """Return a table that has a column twice; polars allows none such."""
    doubled = pd.concat([table, table[[name]]], axis=1)
    if library == "pandas":
        return doubled
    arrays = [pa.array(doubled.iloc[:, i].tolist()) for i in range(doubled.shape[1])]
    return pa.table(arrays, names=list(doubled.columns))


@pytest.mark.slow
@for_each("library", ["pandas", "pyarrow"])
def test_columns_that_occur_twice_are_named(model, library):
    items, events = twice(NEW, "price", library), twice(X, "item", library)
    questions = {
        ("items", "price"): [
            lambda: model.embed_items(items),
            lambda: model.set_catalog(items),
            lambda: model.similar_items(items),
            lambda: small(items=items).fit(X),
        ],
        ("history", "item"): [lambda: model.recommend([1], history=events)],
        ("candidates", "item"): [lambda: model.recommend([1], candidates=events)],
        ("X", "item"): [lambda: small().fit(events), lambda: model.predict(events)],
    }
    for (name, column), asked in questions.items():
        message = f"{name} has more than one column named '{column}'"
        for ask in asked:
            with pytest.raises(ValueError, match=message):
                ask()


@for_each("name", [0, ("a", 1)])
def test_columns_of_one_name_that_is_no_text(name):
    table = pd.DataFrame([[1, 2, 3], [4, 5, 6]], columns=["u", "i", "j"])
    table.columns = pd.Index([name, "i", name], dtype=object, tupleize_cols=False)
    message = f"X has more than one column named {re.escape(repr(name))}. Rename"
    for recommender in (small(), PopularityRecommender()):
        with pytest.raises(ValueError, match=message):
            recommender.fit(table)


def test_lazy_frames_are_to_be_collected(model):
    lazy, items = pl.LazyFrame(X), pl.LazyFrame(NEW)
    questions = {
        "X": [
            lambda: model.predict(lazy),
            lambda: TowerVectorizer().fit(lazy),
            lambda: k_core(lazy),
            lambda: session_ids(lazy, 1, time="item"),
        ],
        "items": [
            lambda: small(items=items).fit(X),
            lambda: model.set_catalog(items),
            lambda: model.similar_items(items),
        ],
        "history": [lambda: model.recommend([1], history=lazy)],
        "candidates": [lambda: model.recommend([1], candidates=lazy)],
        "matrix": [lambda: interactions_from_matrix(lazy)],
    }
    for name, asked in questions.items():
        message = rf"{name} is a lazy frame \(LazyFrame\).* pass {name}.collect\(\)"
        for ask in asked:
            with pytest.raises(TypeError, match=message):
                ask()


def test_other_lazy_tables_are_loaded_in_their_own_way(model):
    reader = pa.Table.from_pandas(X).to_reader()
    for ask in (model.predict, TowerVectorizer().fit, k_core, model.recommend):
        with pytest.raises(TypeError, match=r"\(RecordBatchReader\).* X.read_all\(\)"):
            ask(reader)


def test_a_query_of_duckdb_is_the_table_that_it_stands_for(model):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        query = connection.from_df(X)
        assert_array_equal(model.predict(query), model.predict(X))
        assert_array_equal(k_core(query, 3), k_core(X, 3))
        top = model.recommend(query.project('"user"').limit(2), 3)
        pd.testing.assert_frame_equal(top, model.recommend(X[["user"]][:2], 3))
        (train, _), (expected, _) = (
            next(LastNSplit(1).split(table)) for table in (query, X)
        )
        assert_array_equal(train, expected)
        popular = PopularityRecommender().fit(query)
        popular.forget_users(X["user"][:1])
        assert popular.feature_names_in_.tolist() == ["user", "item"]


SPARSE = [sparse.csr_matrix, sparse.coo_array, sparse.dok_array]


def test_what_can_be_made_a_table_says_how(model):
    for table, message in [
        (X.to_dict("list"), r"Got dict objects. Pass pandas.DataFrame\(X\)"),
        (X.to_dict("records"), r"Got dict objects. Pass pandas.DataFrame\(X\)"),
        (X.to_records(index=False), r"records of .*'item'\). Pass pandas.DataFrame"),
        *((kind(np.eye(2)), "call fit.*.interactions_from_matrix") for kind in SPARSE),
    ]:
        questions = PopularityRecommender().fit, model.predict, TowerVectorizer().fit
        for ask in (*questions, k_core, lambda X: next(LastNSplit().split(X))):
            with pytest.raises(TypeError, match=message):
                ask(table)


@for_each("library", ["polars", "categorical", "pyarrow"])
def test_columns_that_are_new_or_missing_are_named(model, library):
    convert = LIBRARIES[library]
    with pytest.raises(ValueError, match="unseen at fit time:\n- extra"):
        model.predict(convert(X.assign(extra=1)))
    with pytest.raises(ValueError, match="yet now missing:\n- item"):
        model.predict(convert(X[["user"]]))
    new = NEW.assign(code=1)
    for ask in (model.embed_items, model.set_catalog):
        with pytest.raises(ValueError, match="items lacks the item feature 'price'"):
            ask(convert(new.drop(columns="price")))
        with pytest.raises(ValueError, match="'price'.* Did you mean 'prize'"):
            ask(convert(new.rename(columns={"price": "prize"})))
    # what describes items besides the features of fit is no error
    more = model.embed_items(convert(new.assign(brand="x")))
    assert_array_equal(more, model.embed_items(new))


def test_columns_of_another_type_than_in_fit_are_named(model):
    for column, cells, message in [
        ("price", ["cheap", "dear"], "Column 'price' .* expects numbers. Got 'cheap'"),
        ("tags", [1, 2], "Column 'tags' .* expects lists.* Got 1 "),
        ("title", [1.5, 2.5], "Column 'title' .* expects strings. Got 1.5"),
        ("category", [["a"], ["b"]], "Column 'category' .* expects single values"),
        (
            "code",
            ["1", "2"],
            "Column 'code' had levels of type int in fit. Got '1' .str., the same",
        ),
    ]:
        table = NEW.assign(code=[0, 1])
        table[column] = pd.Series(cells, index=table.index)
        for library in ("pandas", "polars", "pyarrow", "arrow"):
            with pytest.raises(TypeError, match=message) as error:
                model.embed_items(LIBRARIES[library](table))
            note = error.value.__notes__[0]
            # pandas 2 has strings and lists in columns of one type
            assert f"{column!r} was " in note or f"{column!r} (object)" in note


def test_levels_that_are_new_are_no_levels_of_another_type(model):
    table = NEW.assign(code=[0, 1])
    nothing = model.embed_items(table.assign(code=None))
    for new in (["9", "8"], ["a", "b"], [7, 8], [5.0, 6.0]):
        assert_array_equal(model.embed_items(table.assign(code=new)), nothing)
    one = model.embed_items(table.assign(code=[1.0, 0.0]))
    assert_array_equal(one, model.embed_items(table.assign(code=[1, 0])))
