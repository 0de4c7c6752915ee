"""Feature rows of one request, compared with those of the estimator's encoders."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils import murmurhash3_32

from sktwotower import TowerVectorizer
from sktwotower._records._container import ReadFile, WrittenFile
from sktwotower._records._values import Writer
from sktwotower.features._request_clock import RequestClock
from sktwotower.features._request_context import fit_context
from sktwotower.runtime._cell_encoders import murmurhash
from sktwotower.runtime._context_cells import ContextCells
from sktwotower.runtime._stored_state import ServingReader

DATE = datetime.datetime(2024, 3, 5, 17, 30)
ZONE = datetime.timezone(datetime.timedelta(hours=2))
N = 40
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "device": np.array(["phone", "tablet", "été"], dtype=object)[np.arange(N) % 3],
        "shelf": np.arange(N) % 4,
        "ratio": RNG.normal(size=N) * 10,
        "age": RNG.integers(1, 90, N),
        "new": np.arange(N) % 2 == 0,
        "since": pd.date_range("2024-01-01", periods=N, freq="37h"),
        "spell": pd.to_timedelta(RNG.integers(1, 5000, N), "s"),
        "tags": [["a", "b", "c"][: 1 + i % 3] for i in range(N)],
        "labels": np.array(["x|y", "y|z", "x|z|w"], dtype=object)[np.arange(N) % 3],
        "words": [
            f"old {'red' if i % 2 else 'blue'} chair {'of wood' * (i % 3)}"
            for i in range(N)
        ],
        "vector": [RNG.normal(size=3).tolist() for _ in range(N)],
    }
)
KINDS = {
    "device": "category",
    "shelf": "category",
    "ratio": "number",
    "age": "number",
    "new": "boolean",
    "since": "datetime",
    "spell": "number",
    "tags": "list",
    "labels": "list",
    "words": "text",
    "vector": "vector",
}
PANDAS_3 = pytest.mark.skipif(
    pd.__version__ < "3", reason="pandas 2 stores any str as it is"
)
CELLS = {
    "device": ["phone", "été", "unknown", None, np.nan, np.str_("tablet"), 3, pd.NA]
    + [b"phone", np.bytes_("été".encode()), Decimal("NaN")],
    "shelf": [2, 2.0, np.int64(3), True, 99, Decimal(1), np.float32(1)],
    "ratio": [0.5, 3, -1e300, np.float32(2.5), np.nan, Decimal("1.25"), True],
    "age": [33, 33.5, 10**6, pd.NA],
    "new": [True, False, 1, 0.0, np.bool_(True)],
    "since": [DATE, np.datetime64(DATE), pd.Timestamp(DATE), "2024-02-03", pd.NaT]
    + [DATE.replace(tzinfo=ZONE), "2024-02-03T10:00:00+02:00", DATE.date()]
    + [np.datetime64("2024-01-31")]
    # pandas 2 reads 1677 to 2262 only
    + [np.datetime64("10000-01-01")] * (pd.__version__ > "3"),
    "spell": [datetime.timedelta(seconds=90), np.timedelta64(2, "h")],
    "tags": [["a"], ["a", "a", "z"], ("b", "c"), {"c"}, {"a": 2.0, "b": 1}, []]
    + [np.array(["b", "a"]), {"a": 0.0}, {"a": None, "b": -3}, ["q", None], [b"a"]],
    "labels": ["x|w", "x | y", "", "none", ["x", "z"]],
    "words": [
        "an old RED chair",
        "Bläu chair chair",
        "nothing",
        "",
        "stuhl stuhl",
        b"red",
    ],
    "vector": [[1.0, 2.0, 3.0], (0, 0, 0), np.array([1, 2, 3])],
}


def fitted(**params):
    """Return a context of all columns, and what serves it."""
    counts = np.ones(N + 1, dtype=np.int64)
    distinct = pd.concat([TABLE.iloc[:1].map(lambda cell: None), TABLE])
    distinct = distinct.reset_index(drop=True)
    for column in TABLE:
        if TABLE[column].dtype.kind in "mMiuf":
            distinct[column] = distinct[column].astype(
                "float" if TABLE[column].dtype.kind in "iuf" else TABLE[column].dtype
            )
    vectorizer = TowerVectorizer(kinds=KINDS, **params)
    context, _ = fit_context(
        list(TABLE), None, None, distinct, counts, vectorizer, None
    )
    return context


@pytest.fixture(scope="module", params=["plain", "hashed", "quantiles"])
def both(request, tmp_path_factory):
    params = {
        "plain": {},
        "hashed": {"n_hashed": 7, "max_features": 2},
        "quantiles": {"numbers": "quantiles"},
    }[request.param]
    context = fitted(**params)
    path = tmp_path_factory.mktemp("cells") / "file"
    with open(path, "wb") as file, WrittenFile(file) as written:
        written.finish({"context": Writer(written).write(context, "context")})
    with ReadFile(path, False, True) as file:
        served = ServingReader(file).read(file.meta["context"], "context")
    assert type(served) is ContextCells and served.width == context.width
    return context, served


@pytest.mark.parametrize("column", CELLS)
def test_each_kind_of_cell(column, both):
    context, served = both
    for cell in CELLS[column]:
        table = context.of_mapping({column: cell})
        expected = context.encode(table, "X").toarray()[0]
        columns, values = served.entries({column: cell}, np.nan)
        row = np.zeros(served.width, dtype=np.float32)
        row[columns] = values
        assert_allclose(row, expected, atol=1e-6, err_msg=repr(cell))
        assert len(set(columns.tolist())) == len(columns) and values.all()


def test_all_columns_at_once(both):
    context, served = both
    cells = {column: cells[0] for column, cells in CELLS.items()}
    expected = context.encode(context.of_mapping(cells), "X").toarray()[0]
    columns, values = served.entries(cells, np.nan)
    row = np.zeros(served.width, dtype=np.float32)
    row[columns] = values
    assert_allclose(row, expected, atol=1e-6)
    assert_array_equal(served.entries({}, np.nan)[0], [])


@pytest.mark.parametrize(
    "column, cell",
    [
        ("ratio", "many"),
        ("ratio", np.inf),
        ("ratio", [1]),
        ("new", 2),
        ("since", 5.0),
        ("since", "soon"),
        ("tags", "a"),
        ("tags", 3),
        ("words", 3),
        ("vector", [1.0]),
        ("vector", ["a", "b", "c"]),
        ("vector", [1.0, np.nan, 2.0]),
        ("device", ["phone"]),
        ("shelf", "0"),  # a level of fit, as text
    ],
)
def test_cells_that_cannot_be_read(column, cell, both):
    if column == "tags" and cell == "a":
        return  # a column of lists may hold text with a delimiter
    with pytest.raises(ValueError, match=f"for '{column}', which cannot be read"):
        both[1].entries({column: cell}, np.nan)


@pytest.mark.parametrize(
    "column, cell",
    [
        *[("device", cell) for cell in (np.inf, Decimal("-inf"), 1j, ("phone",))],
        *[("device", cell) for cell in (frozenset({"phone"}), b"\xff")],
        *[("shelf", cell) for cell in (-np.inf, (2,), Decimal("sNaN"))],
        *[("words", b"\xff"), ("ratio", Decimal("sNaN"))],
        pytest.param("device", "\ud800", marks=PANDAS_3),
        pytest.param("words", "\ud800", marks=PANDAS_3),
    ],
)
def test_cells_that_the_estimator_refuses_too(column, cell, both):
    context, served = both
    with pytest.raises((TypeError, ValueError)):
        context.encode(context.of_mapping({column: cell}), "X")
    with pytest.raises(ValueError, match=f"for '{column}', which cannot be read"):
        served.entries({column: cell}, np.nan)


@PANDAS_3
def test_text_that_is_not_unicode_is_named(both):
    with pytest.raises(ValueError, match=r"context holds '\\ud800', which is not Uni"):
        both[0].of_mapping({"device": "\ud800"})


def test_messages_do_not_repeat_long_cells(both):
    with pytest.raises(ValueError) as error:
        both[1].entries({"since": "soon" * 1000}, np.nan)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("n", range(13))
def test_the_hash_is_that_of_scikit_learn(n):
    for text in ("abcdefghijklm"[:n], "äöü€😀xyzabcd"[:n]):
        assert murmurhash(text) == murmurhash3_32(text, positive=True)


def test_times_and_gaps(tmp_path):
    gaps = np.array([1.0, 60, 3600, 86400, 1e6]) * 1e9
    clock = RequestClock.learn(True, gaps)
    context = fitted()
    from dataclasses import replace

    context = replace(context, time="when", clock=clock)
    with open(tmp_path / "file", "wb") as file, WrittenFile(file) as written:
        written.finish({"context": Writer(written).write(context, "context")})
    with ReadFile(tmp_path / "file", False, True) as file:
        served = ServingReader(file).read(file.meta["context"], "context")
    latest = pd.Timestamp(DATE).value - 5e12
    for cell in (DATE, pd.Timestamp(DATE), "2024-03-05T17:30", np.datetime64(DATE)):
        for last in (latest, np.nan, latest + 1e14):
            times = np.array([float(pd.Timestamp(DATE).value)])
            own = context._empty(1)
            expected = context.rows(own, times, times - last).toarray()[0]
            columns, values = served.entries({"when": cell}, last)
            row = np.zeros(served.width, dtype=np.float32)
            row[columns] = values
            assert_allclose(row, expected, atol=1e-6)
    for cell in (None, pd.NaT):
        assert len(served.entries({"when": cell}, latest)[0]) == 0
    with pytest.raises(ValueError, match="for 'when', which cannot be read as date"):
        served.entries({"when": 3}, latest)
