"""Filters of events, sessions, and events of a matrix, against naive references."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import sktwotower
from sktwotower import TwoTowerRecommender, interactions_from_matrix
from sktwotower.model_selection import ColdUserSplit, LastNSplit
from sktwotower.preprocessing import k_core, ratings_to_events, session_ids
from tests.cases import for_each

EVENTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 30)),
    min_size=1,
    max_size=40,
)


def table(rows):
    return pd.DataFrame(rows, columns=["user", "item", "time"])


def naive_core(rows, n_items, n_users):
    """Drop one user or item at a time until none is below."""
    pairs = {(user, item) for user, item, _ in rows}
    while True:
        for side, least in ((0, n_items), (1, n_users)):
            counts = {}
            for pair in pairs:
                counts[pair[side]] = counts.get(pair[side], 0) + 1
            low = [key for key, count in counts.items() if count < least]
            if low:
                pairs = {pair for pair in pairs if pair[side] != low[0]}
                break
        else:
            return [(user, item) in pairs for user, item, _ in rows]


@pytest.mark.slow
@given(EVENTS, st.integers(1, 3), st.integers(1, 3))
def test_the_core_is_the_naive_one(rows, n_items, n_users):
    expected = naive_core(rows, n_items, n_users)
    if not any(expected):
        with pytest.raises(ValueError, match="leaves none of the"):
            k_core(table(rows), (n_items, n_users))
        return
    kept = k_core(table(rows), (n_items, n_users))
    assert kept.tolist() == expected
    left = table(rows)[kept]
    assert k_core(left, (n_items, n_users)).all()
    assert left.groupby("user")["item"].nunique().min() >= n_items


def test_repeats_are_one_partner_and_stay():
    X = table([(1, 1, 0), (1, 1, 1), (2, 1, 0), (2, 2, 0), (1, 2, 5), (3, 1, 0)])
    assert k_core(X, 2).tolist() == [True] * 5 + [False]
    with pytest.raises(ValueError, match="k=3 leaves none of the"):
        k_core(X, 3)


def naive_sessions(rows, gap):
    """Walk through the events of each user in the order of time."""
    sessions, number = [None] * len(rows), -1
    for user in dict.fromkeys(user for user, _, _ in rows):
        before = None
        of_user = [at for at, row in enumerate(rows) if row[0] == user]
        for at in sorted(of_user, key=lambda at: rows[at][2]):
            if before is None or rows[at][2] - before > gap:
                number += 1
            sessions[at], before = number, rows[at][2]
    return sessions


@pytest.mark.slow
@given(EVENTS, st.integers(0, 6))
def test_sessions_are_the_naive_ones(rows, gap):
    X = table(rows)
    expected = naive_sessions(rows, gap)
    assert session_ids(X, gap, time="time").tolist() == expected
    dates = X.assign(time=pd.to_datetime(60 * X["time"], unit="s"))
    pause = datetime.timedelta(minutes=gap)
    assert session_ids(dates, pause, time="time").tolist() == expected


@for_each(
    "convert", [pl.from_pandas, lambda X: pl.from_pandas(X).to_arrow(), pd.DataFrame]
)
def test_all_tables_give_the_same(convert):
    X = table([(1, 1, 0), (2, 1, 9), (1, 2, 2), (2, 2, 1), (3, 1, 0)])
    assert k_core(convert(X), 2).tolist() == k_core(X.to_numpy(), 2).tolist()
    named = session_ids(convert(X), 3, time="time", user_id="user")
    assert named.tolist() == session_ids(X.to_numpy(), 3, time=2).tolist()
    assert named.tolist() == [0, 2, 0, 1, 3]


@pytest.mark.slow
@for_each(
    ("times", "gap"),
    [
        ([0, 10, 12, 90], 30),
        ([0, 10.5, 12, 90], 30),
        ([datetime.date(2024, 1, day) for day in (1, 2, 3, 9)], pd.Timedelta(days=2)),
    ],
    ids=["integers", "numbers", "dates"],
)
def test_times_that_are_objects_are_read_as_in_fit(times, gap):
    X = pd.DataFrame({"user": list("aaba"), "item": list("vwvx")})
    X["time"] = pd.Series(times, dtype=object)
    assert session_ids(X, gap, time="time").tolist() == [0, 0, 2, 1]
    ((train, test),) = LastNSplit(1, time="time").split(X)
    assert (train.tolist(), test.tolist()) == ([0, 1, 2], [3])
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, time="time")
    assert model.fit(X).item_ids_.tolist() == ["v", "w", "x"]


def test_integer_times_beyond_int64_are_refused_as_in_fit():
    X = pd.DataFrame({"user": ["a", "a"], "item": ["v", "w"], "time": [1, 2**63]})
    with pytest.raises(ValueError, match="an integer time is less than 2"):
        session_ids(X, 1, time="time")
    with pytest.raises(ValueError, match="an integer time is less than 2"):
        TwoTowerRecommender(time="time").fit(X)


def test_sessions_as_a_step_before_the_recommender():
    X = table([(1, 1, 0), (1, 2, 1), (1, 3, 50), (1, 1, 51), (2, 2, 0), (2, 3, 1)])

    def with_sessions(X, gap):
        return X.assign(session=session_ids(X, gap, time="time"))

    step = FunctionTransformer(with_sessions, kw_args={"gap": 10})
    model = TwoTowerRecommender(
        user_id="session", item_id="item", embedding_dim=4, max_epochs=1
    )
    pipe = make_pipeline(step, model).fit(X)
    assert pipe[-1].user_ids_.tolist() == [0, 1, 2]
    pipe.set_params(functiontransformer__kw_args={"gap": 99}).fit(X)
    assert pipe[-1].user_ids_.tolist() == [0, 1]


@for_each("gap", [30, 31, 10**30, 10**400, 1e300, 2**63 - 1])
def test_a_gap_longer_than_all_times_makes_one_session(gap):
    X = table([(1, 1, 2**62), (1, 2, 2**62 + 30), (2, 1, 2**62 + 5)])
    assert session_ids(X, gap, time="time").tolist() == [0, 0, 1]
    shares = X.assign(time=[0.5, 30.5, 5])
    assert session_ids(shares, gap, time="time").tolist() == [0, 0, 1]


@for_each("unit", ["s", "ms"])
def test_a_gap_finer_than_the_times(unit):
    X = table([(1, 1, 0), (1, 2, 0), (1, 3, 0)])
    X["time"] = pd.to_datetime([0, 1, 10], unit="s").as_unit(unit)
    assert session_ids(X, pd.Timedelta("500ms"), time="time").tolist() == [0, 1, 2]
    assert session_ids(X, pd.Timedelta("1500ms"), time="time").tolist() == [0, 0, 1]


def test_a_gap_longer_than_all_dates_makes_one_session():
    X = table([(1, 1, 0), (1, 2, 0)])
    X["time"] = pd.to_datetime(["2200-01-01", "2201-01-01"]).as_unit("ns")
    assert session_ids(X, pd.Timedelta.max, time="time").tolist() == [0, 0]


@for_each("cells", [[[1], [2]], [np.array([1]), np.array([2])], [{}, {}]])
def test_ids_without_a_hash_are_named(cells):
    X = table([(1, 1, 0), (2, 1, 9)])
    for name, ask in {
        "user": lambda X: k_core(X, 1),
        "item": lambda X: k_core(X, 1),
    }.items():
        message = f"{name}_id column '{name}' of X holds .* objects: .* to be an id"
        with pytest.raises(TypeError, match=message):
            ask(X.assign(**{name: cells}))
    message = "user_id column 'user' of X holds .* objects"
    for ask in (
        lambda X: session_ids(X, 1, time="time"),
        lambda X: next(LastNSplit().split(X)),
        lambda X: next(ColdUserSplit().split(X)),
    ):
        with pytest.raises(TypeError, match=message):
            ask(X.assign(user=cells))


def test_bad_input_says_why():
    X = table([(1, 1, 0), (2, 1, 9)])
    with pytest.raises(ValueError, match="k == 0, must be >= 1"):
        k_core(X, 0)
    with pytest.raises(TypeError, match="k must be an instance of"):
        k_core(X, (1, 2.5))
    with pytest.raises(ValueError, match=r"an int, or two of them. Got \(1,\)"):
        k_core(X, (1,))
    with pytest.raises(TypeError, match="k must be an instance of int, not str"):
        k_core(X, "5")
    with pytest.raises(ValueError, match="user_id and item_id are the same column"):
        k_core(X, 1, user_id="item")
    with pytest.raises(TypeError, match="gap must be a number. Got '1'"):
        session_ids(X, "1", time="time")
    with pytest.raises(ValueError, match="user_id names 'usr'.*Did you mean 'user'"):
        k_core(X, 1, user_id="usr")
    with pytest.raises(TypeError, match="X must be a DataFrame or an array"):
        k_core([1, 2])
    with pytest.raises(ValueError, match="time names 'tme'.*Did you mean 'time'"):
        session_ids(X, 1, time="tme")
    with pytest.raises(TypeError, match="time must name the column"):
        session_ids(X, 1, time=None)
    with pytest.raises(ValueError, match="gap must be a finite duration >= 0"):
        session_ids(X, -1, time="time")
    dates = X.assign(time=pd.to_datetime(X["time"], unit="D"))
    with pytest.raises(TypeError, match="gap must be a Timedelta"):
        session_ids(dates, 1, time="time")
    with pytest.raises(ValueError, match="1 missing values"):
        session_ids(X.assign(time=[np.nan, 1]), 1, time="time")


DENSE = np.array([[2.0, 0, 0], [0, 4, 1], [0, 0, 0], [3, 0, 1]])


USERS, ITEMS, REWARDS = [0, 1, 1, 3, 3], [0, 1, 2, 0, 2], [2, 4, 1, 3, 1]


FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]


def assert_events(given, users=USERS, items=ITEMS, y=REWARDS):
    X, rewards = given
    X = X if isinstance(X, pd.DataFrame) else X.to_pandas()
    assert list(X.columns) == ["user", "item"]
    assert X["user"].tolist() == users
    assert X["item"].tolist() == items
    assert_array_equal(rewards, y)
    assert rewards.dtype == np.float64


@for_each("name", FORMATS)
def test_every_sparse_format(name):
    for kind in ("matrix", "array"):
        matrix = getattr(sparse, f"{name}_{kind}")(DENSE)
        if name == "bsr":  # stores whole blocks, of one cell here
            matrix = getattr(sparse, f"bsr_{kind}")(DENSE, blocksize=(1, 1))
        assert_events(interactions_from_matrix(matrix))


@for_each("dtype", [float, np.uint8, bool, object])
def test_arrays_of_any_type_of_number(dtype):
    cells = DENSE.astype(dtype)
    assert_events(interactions_from_matrix(cells), y=cells[USERS, ITEMS].astype(float))


@for_each("kind", [np.int8, np.uint8, bool])
def test_repeated_entries_of_small_types_are_summed(kind):
    pairs = np.zeros(3000, dtype=int), np.arange(3000) % 2
    matrix = sparse.coo_array((np.ones(3000, dtype=kind), pairs))
    _, y = interactions_from_matrix(matrix)
    assert y.tolist() == [1500, 1500]


def test_a_dataframe_without_columns_has_no_events():
    X, y = interactions_from_matrix(pd.DataFrame(index=["ann", "bob"]))
    assert X.shape == (0, 2)
    assert len(y) == 0


def test_stored_zeros_are_impressions_and_repeated_entries_are_summed():
    parts = [3.0, 0.0, 1.0, 1.5], ([1, 0, 1, 1], [0, 1, 2, 2])
    for made in (sparse.coo_array(parts, (2, 3)), sparse.csr_matrix(parts, (2, 3))):
        before = made.copy()
        assert_events(interactions_from_matrix(made), [0, 1, 1], [1, 0, 2], [0, 3, 2.5])
        assert made.nnz == before.nnz
        assert_array_equal(made.data, before.data)


def test_a_matrix_that_is_not_canonical_is_left_as_it_is():
    stored = np.array([1.0, 2.0, 4.0]), np.array([2, 0, 2]), np.array([0, 3])
    matrix = sparse.csr_array(stored, shape=(1, 3))
    assert_events(interactions_from_matrix(matrix), [0, 0], [0, 2], [2, 5])
    assert_array_equal(matrix.data, [1, 2, 4])
    assert_array_equal(matrix.indices, [2, 0, 2])


def test_a_frame_names_its_users_and_items():
    frame = pd.DataFrame(DENSE, index=list("dcba"), columns=["x", "y", "z"])
    named = ["d", "c", "c", "a", "a"], ["x", "y", "z", "x", "z"]
    assert_events(interactions_from_matrix(frame), *named)
    assert_events(interactions_from_matrix(frame.astype("Sparse[float]")), *named)
    other = interactions_from_matrix(frame, item_ids=[7, 8, 9])
    assert_events(other, named[0], [7, 8, 9, 7, 9])
    assert_events(interactions_from_matrix(pl.DataFrame(frame)), USERS, named[1])


@for_each(
    "ids",
    [
        ["x", "y", "z"],
        ("x", "y", "z"),
        np.array(["x", "y", "z"]),
        pd.Index(["x", "y", "z"]),
        pd.Series(["x", "y", "z"], index=[5, 5, 5]),
        pd.Categorical(["x", "y", "z"]),
        pl.Series(["x", "y", "z"]),
        pa.array(["x", "y", "z"]),
    ],
    ids=lambda ids: type(ids).__name__,
)
def test_ids_of_any_kind(ids):
    X, _ = interactions_from_matrix(DENSE, list("abcd"), ids)
    assert X["user"].tolist() == ["a", "b", "b", "d", "d"]
    assert X["item"].tolist() == ["x", "y", "z", "x", "z"]


def test_a_frame_of_sparse_columns():
    matrix = sparse.csc_matrix(([2.0, 1.0], ([5, 999], [0, 1])), shape=(1000, 2))
    frame = pd.DataFrame.sparse.from_spmatrix(matrix, columns=["tea", "jam"])
    X, y = interactions_from_matrix(frame)
    assert X.to_numpy().tolist() == [[5, "tea"], [999, "jam"]]
    assert y.tolist() == [2.0, 1.0]


def test_columns_are_called_as_asked_for():
    X, _ = interactions_from_matrix(DENSE, user="listener", item="track")
    assert list(X.columns) == ["listener", "track"]


def test_fit_of_the_events_is_fit_of_the_matrix():
    rng = np.random.default_rng(0)
    matrix = sparse.csr_array(rng.random((12, 8)) * (rng.random((12, 8)) < 0.4))
    matrix.data[::4] = 0
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0)
    model.fit(*interactions_from_matrix(matrix))
    seen = set(model.seen_items().itertuples(index=False, name=None))
    assert seen == set(zip(*matrix.toarray().nonzero(), strict=True))
    # who was shown something, and what was shown, is known though nothing was chosen
    assert set(model.user_ids_) == set(matrix.tocoo().row)
    assert set(model.item_ids_) == set(matrix.tocoo().col)


@for_each(
    ("matrix", "params", "message"),
    [
        (-DENSE, {}, r"rewards >= 0. Got -4.0. .* stored 0 means shown"),
        (sparse.csr_array(-DENSE), {}, "rewards >= 0. Got -4.0"),
        (np.where(DENSE > 2, np.nan, DENSE), {}, r"NaN or infinity; .* fillna\(0\)"),
        (pd.DataFrame(DENSE).replace(0, np.nan), {}, r"NaN or infinity; .* fillna"),
        (pd.DataFrame(DENSE).replace(0, pd.NA), {}, r"NaN or infinity; .* fillna"),
        (pd.DataFrame([[1, None]], dtype="Int64"), {}, "NaN or infinity; .* fillna"),
        (np.array([[1, None]], dtype=object), {}, "NaN or infinity; .* fillna"),
        (sparse.coo_array(np.where(DENSE > 2, np.inf, 0)), {}, "NaN or infinity"),
        (DENSE * 1j, {}, "numbers >= 0. Got dtype complex"),
        (DENSE.astype(str), {}, "numbers >= 0. Got dtype <U"),
        (np.array([["a", "b"]], dtype=object), {}, "numbers >= 0. Got 'a'"),
        (DENSE[0], {}, r"shape \(n_users, n_items\). Got shape \(3,\)"),
        (DENSE[None], {}, r"Got shape \(1, 4, 3\)"),
        (DENSE.tolist(), {}, "sparse matrix.*array or a dataframe. Got list"),
        (None, {}, "Got NoneType"),
        (DENSE, {"user_ids": range(3)}, "user_ids must .* rows .* expected 4, got 3"),
        (DENSE, {"item_ids": "wxyz"}, "item_ids"),
        (DENSE, {"item_ids": list("wxyz")}, "columns of matrix: expected 3, got 4"),
        (DENSE, {"item_ids": ["a", "a", "b"]}, "distinct, but 1 occur twice.*: 'a'"),
        (DENSE, {"item_ids": ["a", None, "b"]}, "item_ids contains NaN: 1 of 3"),
        (
            pd.DataFrame(DENSE, columns=pd.MultiIndex.from_product([["r"], [1, 2, 3]])),
            {},
            r"item_ids must be plain .*levels, such as \('r', .*1\)+.*axis='columns'",
        ),
        (
            pd.DataFrame(DENSE[:1], index=pd.MultiIndex.from_product([["r"], [1]])),
            {},
            r"user_ids must be plain .*levels, such as \('r', .*1\)+.*axis='rows'",
        ),
        (DENSE, {"item": "user"}, "different names of columns. Got 'user' for both"),
    ],
)
def test_what_is_no_matrix(matrix, params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        interactions_from_matrix(matrix, **params)


def test_it_is_public():
    assert "interactions_from_matrix" in dir(sktwotower)


def test_low_ratings_hardly_count_and_the_table_stays_as_it_is():
    X = pd.DataFrame({"user": [1, 1, 2, 2], "film": [1, 2, 1, 3]})
    stars = [5, 3.5, 4, -1]
    in_polars = pl.Series("stars", stars, dtype=pl.Float64)
    for given_X in (
        X,
        pl.DataFrame(X.to_dict("list")),
        pa.table(dict(X)),
        X.to_numpy(),
    ):
        for ratings in (stars, pd.Series(stars, index=[7, 7, 8, 9]), in_polars):
            events, rewards = ratings_to_events(given_X, ratings)
            assert events is given_X
            assert rewards.tolist() == [1, 0.01, 1, 0.01]
    assert ratings_to_events(X, stars, 5)[1].tolist() == [1, 0.01, 0.01, 0.01]
    assert ratings_to_events(X, stars, at_least=-1)[1].tolist() == [1] * 4


@for_each(
    ("given", "error", "message"),
    [
        (
            {"y": [1, 2, 3]},
            ValueError,
            "at_least must be a level of y, up to 3.0. Got 4; the default is 4. Pass",
        ),
        ({"y": [5, np.nan, 1]}, ValueError, "y contains NaN or infinity, .* 1 entries"),
        ({"y": [5, 4]}, ValueError, "one outcome per row of X: expected 3, got 2"),
        ({"y": ["good", "bad", "bad"]}, ValueError, "must be numeric"),
        ({"at_least": "4"}, TypeError, "at_least must be an instance of"),
        ({"at_least": np.nan}, ValueError, "up to 5.0. Got nan"),
        ({"X": "ratings.parquet"}, TypeError, "X must be a DataFrame or an array"),
        ({"X": pl.LazyFrame({"a": [1]})}, TypeError, "X is a lazy frame"),
    ],
)
def test_what_is_not_a_table_of_ratings_is_refused(given, error, message):
    fine = {"X": pd.DataFrame({"user": [1, 1, 2], "film": [1, 2, 1]}), "y": [5, 4, 1]}
    with pytest.raises(error, match=message):
        ratings_to_events(**fine | given)
