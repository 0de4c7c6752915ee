"""Cells of a request's context: served as the estimator encodes them."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import TowerVectorizer, runtime
from sktwotower.io import dump
from tests.builders import small
from tests.cases import for_each
from tests.shared import once

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


EVENTS = pd.DataFrame({"user": np.arange(N) % 8, "item": np.arange(N) % 5})
PARAMS = {
    "plain": {},
    "hashed": {"n_hashed": 7, "max_features": 2},
    "quantiles": {"numbers": "quantiles"},
}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return a function that returns a model of all columns, and what serves it."""

    @once
    def get(name):
        vectorizer = TowerVectorizer(kinds=KINDS, **PARAMS[name])
        params = {"context": list(TABLE), "context_transformer": vectorizer}
        model = small(max_epochs=8, lr=0.5, sparse_parts=None, **params)
        model.fit(pd.concat([EVENTS, TABLE], axis=1))
        path = tmp_path_factory.mktemp("cells") / "file"
        dump(model, path)
        return model, runtime.load(path)

    return get


WORDS = "device", "shelf", "tags", "labels", "words"
NUMBERS = "ratio", "age", "since", "spell"
OF_COLUMNS = [("plain", column) for column in CELLS]
OF_COLUMNS += [("hashed", column) for column in WORDS]
OF_COLUMNS += [("quantiles", column) for column in NUMBERS]


@for_each("params, column", OF_COLUMNS)
def test_each_kind_of_cell(params, column, both):
    model, served = both(params)
    plain, n_seen = served.embed(3), 0
    for cell in CELLS[column]:
        expected = model.embed_users([3], context={column: cell})[0]
        found = served.embed(3, context={column: cell})
        assert_allclose(found, expected, atol=1e-5, err_msg=repr(cell))
        n_seen += np.abs(found - plain).max() > 1e-3
    assert n_seen >= 2


@for_each("params", PARAMS)
def test_all_columns_at_once(params, both):
    model, served = both(params)
    cells = {column: cells[0] for column, cells in CELLS.items()}
    expected = model.embed_users([3], context=cells)[0]
    assert_allclose(served.embed(3, context=cells), expected, atol=1e-5)
    assert_array_equal(served.embed(3, context={}), served.embed(3))


UNREADABLE = [
    ("ratio", ["many", np.inf, [1]]),
    ("new", [2]),
    ("since", [5.0, "soon"]),
    ("tags", [3]),
    ("words", [3]),
    ("vector", [[1.0], ["a", "b", "c"], [1.0, np.nan, 2.0]]),
    ("device", [["phone"]]),
    ("shelf", ["0"]),  # a level of fit, as text
]


def test_cells_that_cannot_be_read(both):
    for column, cells in UNREADABLE:
        _, served = both("plain")
        for cell in cells:
            with pytest.raises(
                ValueError, match=f"for '{column}', which cannot be read"
            ):
                served.embed(3, context={column: cell})


@pytest.mark.parametrize(
    "column, cells",
    [
        ("device", [np.inf, Decimal("-inf"), 1j, ("phone",), frozenset({"phone"})]),
        ("device", [b"\xff"]),
        ("shelf", [-np.inf, (2,), Decimal("sNaN")]),
        ("words", [b"\xff"]),
        ("ratio", [Decimal("sNaN")]),
        pytest.param("device", ["\ud800"], marks=PANDAS_3),
        pytest.param("words", ["\ud800"], marks=PANDAS_3),
    ],
)
def test_cells_that_the_estimator_refuses_too(column, cells, both):
    model, served = both("plain")
    for cell in cells:
        with pytest.raises((TypeError, ValueError)):
            model.embed_users([3], context={column: cell})
        with pytest.raises(ValueError, match=f"for '{column}', which cannot be read"):
            served.embed(3, context={column: cell})


def test_messages_do_not_repeat_long_cells(both):
    with pytest.raises(ValueError) as error:
        both("plain")[1].embed(3, context={"since": "soon" * 1000})
    assert len(str(error.value)) < 300


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """A model of moments and of the gaps before them, and what serves it."""
    gaps = np.resize([1.0, 60, 3600, 86400, 1e6], 400).cumsum()
    rng = np.random.default_rng(0)
    events = pd.DataFrame({"user": rng.integers(0, 8, 400), "item": np.arange(400) % 5})
    when = pd.Timestamp("2023-01-01") + pd.to_timedelta(gaps, "s")
    model = small(time="when", context=["when"], max_epochs=5, lr=0.5)
    model.set_params(sparse_parts=None).fit(events.assign(when=when))
    path = tmp_path_factory.mktemp("times") / "file"
    dump(model, path)
    return model, runtime.load(path), when.max()


def test_times_and_gaps(timed):
    model, served, latest = timed
    vectors = []
    for user in (3, 99):  # 99 has no last event, and so no gap
        for gap in ("1s", "2min", "5h", "40D"):
            moment = latest + pd.Timedelta(gap)
            expected = model.embed_users([user], context={"when": moment})[0]
            forms = moment, moment.to_pydatetime(), moment.to_datetime64()
            for cell in (*forms, moment.isoformat()):
                found = served.embed(user, context={"when": cell})
                assert_allclose(found, expected, atol=1e-5)
            vectors.append(expected)
    assert np.abs(np.diff(vectors[:4], axis=0)).max(axis=1).min() > 1e-4
    for cell in (None, pd.NaT):
        assert_array_equal(served.embed(3, context={"when": cell}), served.embed(3))
    with pytest.raises(ValueError, match="for 'when', which cannot be read as date"):
        served.embed(3, context={"when": 3})
