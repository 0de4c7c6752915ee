"""TowerVectorizer: the whole table, its columns, containers and invariances."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import estimator_checks

from sktwotower import TowerVectorizer
from tests.builders import assert_passes_checks
from tests.features.builders import vectorize


@pytest.mark.slow
def test_sklearn():
    assert_passes_checks(TowerVectorizer())


def test_sklearn_checks_that_are_not_yielded():
    for check in [
        "check_dataframe_column_names_consistency",
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_get_feature_names_out_error",
        "check_set_output_transform",
        "check_inplace_ensure_writeable",
    ]:
        getattr(estimator_checks, check)("TowerVectorizer", TowerVectorizer())


def test_table_is_csr_float32_with_one_name_per_column(items):
    vectorizer = TowerVectorizer(kinds={"item": "id"})
    matrix = vectorizer.fit_transform(items)
    names = vectorizer.get_feature_names_out()
    assert sparse.issparse(matrix)
    assert matrix.format == "csr"
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    assert (matrix.data != 0).all()
    assert matrix.shape == (4, len(names))
    assert len(set(names)) == len(names)
    assert names[:6].tolist() == [
        *(f"item_{i}" for i in (11, 12, 13, 14)),
        "genres_Action",
        "genres_Drama",
    ]
    assert {"price", "price_missing", "new", "added_days", "title_toy"} <= set(names)


def test_blocks_stand_side_by_side(items):
    whole = TowerVectorizer().fit_transform(items).toarray()
    parts = [TowerVectorizer().fit_transform(items[[name]]) for name in items]
    assert_array_equal(whole, sparse.hstack(parts).toarray())


HALF = 1 / np.sqrt(2)


def test_one_row_makes_a_row():
    table = pd.DataFrame(
        {"u": ["bob"], "x": [1.5], "g": ["a|b"], "n": [7], "m": [None]}
    )
    vectorizer = TowerVectorizer().fit(table)
    names = ["u_bob", "x", "g_a", "g_b", "n_7"]
    assert vectorizer.get_feature_names_out().tolist() == names
    assert_allclose(
        vectorizer.transform(table).toarray(), [[1, 0, HALF, HALF, 1]], rtol=1e-6
    )


def test_no_row_is_no_error_in_transform(items):
    vectorizer = TowerVectorizer().fit(items)
    width = len(vectorizer.get_feature_names_out())
    assert vectorizer.transform(items.iloc[:0]).shape == (0, width)


def test_nameless_arrays():
    table = np.array([[1, "a", 1.5], [2, "b", None], [3, "b", 2.5]], dtype=object)
    vectorizer = TowerVectorizer(kinds={"x0": "drop"}).fit(table)
    assert vectorizer.kinds_ == {"x0": "drop", "x1": "category", "x2": "number"}
    assert not hasattr(vectorizer, "feature_names_in_")
    names = ["x1_b", "x1_infrequent", "x2", "x2_missing"]
    assert vectorizer.get_feature_names_out().tolist() == names
    assert vectorizer.get_feature_names_out(["a", "b", "c"])[2] == "c"
    expected = [[0, 1, -1, 0], [1, 0, 0, 1], [1, 0, 1, 0]]
    assert_array_equal(vectorizer.transform(table).toarray(), expected)
    floats = np.random.default_rng(0).normal(size=(5, 2))
    assert TowerVectorizer().fit(floats).kinds_ == {"x0": "number", "x1": "number"}


CONVERTERS = {
    "nullable": lambda table: table.convert_dtypes(),
    "object": lambda table: table.astype(object),
    "pandas with arrow": lambda table: pa.Table.from_pandas(table).to_pandas(
        types_mapper=pd.ArrowDtype
    ),
    "arrow": pa.Table.from_pandas,
    "polars": pl.from_pandas,
}


@pytest.mark.slow
@pytest.mark.parametrize("convert", CONVERTERS.values(), ids=CONVERTERS.keys())
def test_containers_and_dtypes_agree(items, convert):
    items["tags"] = [["x", "y"], ["x"], None, []]
    items["rank"] = pd.array([3, 4, None, 4], dtype="Int64")
    plain = TowerVectorizer().fit(items)
    other = TowerVectorizer().fit(convert(items))
    assert other.kinds_ == plain.kinds_
    assert_array_equal(other.feature_names_in_, plain.feature_names_in_)
    expected = plain.transform(items).toarray()
    assert_array_equal(other.transform(convert(items)).toarray(), expected)
    assert_array_equal(plain.transform(convert(items)).toarray(), expected)


@pytest.mark.slow
def test_clone_pickle_and_pipeline(items):
    vectorizer = TowerVectorizer(kinds={"item": "id"}, min_frequency=1)
    expected = vectorizer.fit_transform(items).toarray()
    copies = [pickle.loads(pickle.dumps(vectorizer)), clone(vectorizer).fit(items)]
    for copy in copies:
        assert_array_equal(copy.transform(items).toarray(), expected)
    scaled = make_pipeline(clone(vectorizer), MaxAbsScaler()).fit_transform(items)
    assert scaled.shape == expected.shape


def test_summary_has_a_row_per_column(items):
    kinds = {"item": "id", "title": "drop"}
    summary = TowerVectorizer(kinds=kinds).fit(items).summary()
    assert summary.columns.tolist() == [
        "column",
        "kind",
        "n_features_out",
        "examples",
        "missing",
    ]
    assert summary.values.tolist() == [
        ["item", "id", 4, "item_11, item_12, item_13", 0],
        ["genres", "list", 3, "genres_Action, genres_Drama, genres_missing", 0.25],
        ["title", "drop", 0, "", 0],
        ["country", "category", 2, "country_UK, country_infrequent", 0],
        ["price", "number", 2, "price, price_missing", 0.25],
        ["new", "boolean", 1, "new", 0],
        ["added", "datetime", 7, "added_days, added_age, added_month_sin", 0.25],
    ]


def test_summary_of_a_nameless_array_and_of_columns_without_cells():
    table = np.array([[1.5, None], [2.5, None]], dtype=object)
    summary = TowerVectorizer().fit(table).summary()
    assert summary["column"].tolist() == ["x0", "x1"]
    assert summary["kind"].tolist() == ["number", "drop"]
    assert summary["missing"].tolist() == [0, 1]


TABLE = pd.DataFrame(
    {
        "item": [f"i{i}" for i in range(12)],
        "mixed": [1, "b", 2.0, None] * 3,
        "genres": ["a|b", "b", None, "c|a"] * 3,
        "tags": [{"x": 1.5, "y": 2}, {"x": 0.3}, {}] * 4,
        "title": ["red fox", "red dog", "blue fox runs", None] * 2 + ["red sea"] * 4,
        "count": [3, 4, 4, 100, 7, 8] * 2,
        "price": [1.25, np.nan, 3.7, 0.1] * 3,
        "day": pd.date_range("2024-01-29", periods=12),
        "vector": [[1.5, 2.0], [0.0, 0.5], None, [3.0, -4.0]] * 3,
    }
)


FITTED = TowerVectorizer(n_hashed=3).fit(TABLE)


@pytest.mark.slow
@settings(max_examples=10)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_a_row_does_not_depend_on_the_other_rows(rows):
    expected = FITTED.transform(TABLE).toarray()[rows]
    assert_array_equal(FITTED.transform(TABLE.iloc[rows]).toarray(), expected)


@pytest.mark.slow
@settings(max_examples=10)
@given(st.permutations(range(12)))
def test_fit_does_not_depend_on_the_order_of_rows(order):
    shuffled = clone(FITTED).fit(TABLE.iloc[order])
    assert shuffled.kinds_ == FITTED.kinds_
    assert_array_equal(shuffled.get_feature_names_out(), FITTED.get_feature_names_out())
    expected = FITTED.transform(TABLE).toarray()
    assert_allclose(shuffled.transform(TABLE).toarray(), expected, rtol=1e-6)


def test_parameters_out_of_range(items):
    for params in [
        {"min_frequency": 0},
        {"max_features": 0},
        {"n_hashed": 0},
        {"n_hashed": 1.5},
        {"numbers": "binned"},
    ]:
        with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
            TowerVectorizer(**params).fit(items)


def test_columns_that_differ_from_fit(items):
    vectorizer = TowerVectorizer().fit(items)
    with pytest.raises(ValueError, match="'pricee' was not .* Did you mean 'price'"):
        vectorizer.transform(items.rename(columns={"price": "pricee"}))
    with pytest.raises(ValueError, match="now missing:\n- price"):
        vectorizer.transform(items.drop(columns="price"))
    with pytest.raises(ValueError, match="unseen at fit time:\n- more"):
        vectorizer.transform(items.assign(more=1))
    with pytest.raises(ValueError, match="must be in the same order"):
        vectorizer.transform(items[items.columns[::-1]])


def test_tables_that_are_none():
    with pytest.raises(ValueError, match=r"0 sample\(s\) \(shape=\(0, 1\)\)"):
        TowerVectorizer().fit(pd.DataFrame({"a": []}))
    with pytest.raises(ValueError, match=r"0 feature\(s\) \(shape=\(2, 0\)\)"):
        TowerVectorizer().fit(pd.DataFrame(index=[0, 1]))
    with pytest.raises(ValueError, match="X has more than one column named 'a'"):
        TowerVectorizer().fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    for kind in (None, "number", "id"):
        with pytest.raises(ValueError, match="Complex data not supported: column 'c'"):
            vectorize([1 + 2j, 2], kind=kind)
    with pytest.raises(ValueError, match="2-dimensional"):
        TowerVectorizer().fit(pd.Series([1, 2]))
