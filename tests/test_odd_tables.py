"""Tables that nobody thought of are learnt, answered or refused with words."""

import datetime
import traceback
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import sktwotower
from tests.builders import readers, small


@pytest.fixture(scope="module")
def fitted():
    return small().fit(readers())


def _columns(n):
    """Columns of n cells, of every type that a table may hold."""

    def cells(elements, dtype=None):
        values = st.lists(elements, min_size=n, max_size=n)
        return values.map(lambda v: _series(v, dtype))

    few = st.integers(0, 3)
    dates = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1))
    return st.one_of(
        cells(few),
        cells(st.sampled_from(["a", "b", "c", "d|e", ""])),
        cells(st.integers(-(2**70), 2**70), object),
        cells(st.floats(width=64)),
        cells(few.map(float)),
        cells(st.one_of(few, st.none()), "Int64"),
        cells(st.booleans()),
        cells(st.one_of(st.booleans(), st.none()), "boolean"),
        cells(st.sampled_from("abc"), "category"),
        cells(few, "category"),
        cells(few.map(lambda i: np.datetime64("2024-01-01") + i), "datetime64[s]"),
        cells(few.map(lambda i: pd.Timestamp(i, unit="D", tz="Asia/Tokyo"))),
        cells(few, "timedelta64[s]"),
        cells(few.map(lambda i: pd.Period(str(2000 + i), freq="Y"))),
        cells(few.map(lambda i: pd.Interval(i, i + 1))),
        cells(dates, object),
        cells(st.one_of(few, st.sampled_from("ab"), st.none(), st.floats()), object),
        cells(st.one_of(st.just("a"), st.just("b"), st.none()), object),
        cells(st.binary(max_size=2), object),
        cells(st.tuples(few, few), object),
        cells(st.frozensets(few, max_size=2), object),
        cells(st.lists(few, max_size=2), object),
        cells(st.lists(st.sampled_from("ab"), max_size=2), object),
        cells(st.dictionaries(st.sampled_from("ab"), few, max_size=1), object),
        cells(st.complex_numbers(max_magnitude=3), object),
        cells(st.uuids(), object),
        cells(st.decimals(allow_nan=False, allow_infinity=False, places=1), object),
        cells(few, "Sparse[int]"),
        cells(st.none(), object),
    )


def _series(values, dtype):
    if dtype is object:
        array = np.empty(len(values), dtype=object)
        for i, value in enumerate(values):
            array[i] = value
        return pd.Series(array, dtype=object)
    return pd.Series(values, dtype=dtype)


NAMES = st.one_of(
    st.just(["user", "item", "f", "g"]),
    st.just([0, 1, 2, 3]),
    st.just(["a", 1, ("b", 2), None]),
    st.just([("a", 1), ("a", 2), ("b", 1), ("b", 2)]),
    st.lists(st.sampled_from(["a", "b", "c", "d", "e", ""]), min_size=4, max_size=4),
)


@st.composite
def odd_tables(draw):
    n = draw(st.sampled_from([0, 1, 2, 5, 8]))
    width = draw(st.sampled_from([1, 2, 3, 4, 4]))
    usual = draw(st.booleans())  # or else few tables come as far as the features
    columns = [draw(_columns(n)) for _ in range(width)]
    if usual and width > 2:
        columns[:2] = [pd.Series(range(n)) % 3, pd.Series(range(n)) % 2]
    table = pd.concat([c.rename(i) for i, c in enumerate(columns)], axis=1)
    names = draw(NAMES)[:width]
    table.columns = (
        pd.MultiIndex.from_tuples(names)
        if all(isinstance(name, tuple) for name in names)
        else pd.Index(names, dtype=object)
    )
    if draw(st.booleans()):
        table.index = [0] * n
    y = draw(
        st.one_of(
            st.none(),
            st.lists(st.sampled_from([0, 1, 2.5]), min_size=n, max_size=n),
            st.lists(st.sampled_from([1, None, "a"]), min_size=n, max_size=n),
            st.just(np.ones(n, dtype=object)),
        )
    )
    return table, y


def assert_told(error):
    """Check that an error is ours or scikit-learn's, and says something."""
    assert isinstance(error, ValueError | TypeError), repr(error)
    assert str(error).strip(), repr(error)
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    ours = [Path(package.__file__).parent for package in (sktwotower, sklearn)]
    told = any(last.is_relative_to(parent) for parent in ours)
    assert told, "".join(traceback.format_exception(error))


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(odd_tables(), st.booleans(), st.sampled_from([None, [2], [2, 3]]))
def test_odd_tables_are_learnt_or_refused_with_words(case, as_array, features):
    X, y = case
    X = X.to_numpy() if as_array else X
    model = small(user_features=features, item_features=features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(X, y)
            scores = model.predict(X)
            recall = model.score(X, y)
        except Exception as error:
            assert_told(error)
            return
        answer = model.recommend(n_neighbors=2)
        again = model.recommend(model.user_ids_[:2], n_neighbors=2)
        model.similar_items(model.item_ids_[:1])
    assert np.isfinite(scores).all()
    assert 0 <= recall <= 1
    assert set(answer["rank"]) <= {1, 2}
    assert_array_equal(again["rank"], answer["rank"][: len(again)])


FORMS = {
    "series": lambda cells: cells,
    "list": list,
    "array": lambda cells: cells.to_numpy(),
    "table": lambda cells: pd.DataFrame({"user": cells, "item": cells}),
    "two columns": lambda cells: pd.DataFrame({0: cells, 1: cells}).to_numpy(),
    "dict": lambda cells: {i: [cell] for i, cell in enumerate(cells)},
}


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([0, 1, 2, 3]).flatmap(_columns),
    st.sampled_from(sorted(FORMS)),
    st.sampled_from(["users", "candidates", "history", "items", "similar"]),
)
def test_odd_questions_are_answered_or_refused_with_words(
    fitted, cells, form, question
):
    model, asked = fitted, FORMS[form](cells)
    ask = {
        "users": lambda: model.recommend(asked),
        "candidates": lambda: model.recommend(candidates=asked),
        "history": lambda: model.recommend(["ann"], history=asked),
        "items": lambda: model.embed_items(asked),
        "similar": lambda: model.similar_items(asked),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ask[question]()
        except Exception as error:
            assert_told(error)


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.lists(_columns(3), min_size=1, max_size=3), st.booleans())
def test_odd_side_tables_are_learnt_or_refused_with_words(columns, named):
    items = pd.DataFrame({"item": ["x", "y", "z"]})
    for i, column in enumerate(columns):
        items[f"f{i}" if named else i] = column
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = small(items=items).fit(readers())
        except Exception as error:
            assert_told(error)
            return
        assert np.isfinite(model.predict(readers())).all()
        if named:
            again = model.embed_items(items)
            assert np.abs(again - model.item_embeddings_).max() < 1e-5
