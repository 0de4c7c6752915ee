import datetime
import pickle
import warnings

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, cross_validate

from sktwotower.model_selection import (
    ColdItemSplit,
    ColdUserSplit,
    LastNSplit,
    TimeSplit,
)
from tests.cases import for_each


def as_lists(splitter, X):
    return [(a.tolist(), b.tolist()) for a, b in splitter.split(X)]


@st.composite
def tables(draw):
    n_rows = draw(st.integers(2, 40))
    whole = {
        "user": draw(hnp.arrays(np.int64, n_rows, elements=st.integers(0, 5))),
        "item": draw(hnp.arrays(np.int64, n_rows, elements=st.integers(0, 5))),
        "time": draw(hnp.arrays(np.int64, n_rows, elements=st.integers(0, 15))),
    }
    return pd.DataFrame(whole)


def folds_or_none(splitter, X):
    try:
        return list(splitter.split(X))
    except ValueError as error:
        assert "leaves" in str(error)  # a side is empty
        return []


def naive_last_n(X, n, n_splits):
    """Each user's rows as a Python list, cut from the end."""
    folds = []
    for fold in range(n_splits):
        train, test = [], []
        for _, rows in X.groupby("user"):
            rows = rows.sort_values("time", kind="stable").index.tolist()
            size = n if isinstance(n, int) else int(len(rows) * n + 1e-9)
            end = len(rows) - fold * size
            if size == 0 or end - size < 1:
                train += rows
            else:
                train += rows[: end - size]
                test += rows[end - size : end]
        folds.append((sorted(train), sorted(test)))
    return folds


@pytest.mark.slow
@given(tables(), st.sampled_from([1, 2, 0.2, 0.5]), st.integers(1, 3))
def test_last_n_is_the_naive_cut_of_each_user(X, n, n_splits):
    folds = folds_or_none(LastNSplit(n, n_splits=n_splits, time="time"), X)
    expected = naive_last_n(X, n, n_splits)
    assert [(a.tolist(), b.tolist()) for a, b in folds] in ([], expected)
    if not folds:
        assert any(not test for _, test in expected)


@pytest.mark.slow
@given(tables(), st.sampled_from([1, 2, 0.4]), st.integers(1, 3))
def test_last_n_never_tests_before_a_users_training(X, n, n_splits):
    tested = []
    for train, test in folds_or_none(LastNSplit(n, n_splits=n_splits, time="time"), X):
        assert not np.intersect1d(train, test).size
        latest = X.iloc[train].groupby("user")["time"].max()
        first = X.iloc[test].groupby("user")["time"].min()
        assert (latest[first.index] <= first).all()
        tested.append(test)
    assert len(np.unique(np.concatenate([*tested, []]))) == sum(map(len, tested))


@pytest.mark.slow
@given(
    tables(),
    st.sampled_from([1, 3, 0.25]),
    st.integers(1, 3),
    st.sampled_from([0, 1, 2.5]),
    st.sampled_from([None, 4, 0.5]),
)
def test_time_split_trains_strictly_before_it_tests(X, size, n_splits, gap, most):
    splitter = TimeSplit(
        size, n_splits=n_splits, time="time", gap=gap, max_train_size=most
    )
    times, previous = X["time"].to_numpy(), -1
    folds = folds_or_none(splitter, X)
    for train, test in folds:
        assert times[train].max() < times[test].min() - gap
        assert times[test].min() > previous
        previous = times[test].max()
        if most is not None:
            assert len(train) <= (most if most > 1 else np.ceil(most * len(X)))
    if folds:
        assert previous == times.max()


@pytest.mark.slow
@given(tables(), st.permutations(range(8)))
def test_time_split_does_not_depend_on_row_order(X, order):
    X = X.head(8)
    order = [row for row in order if row < len(X)]
    splitter = TimeSplit(2, time="time", max_train_size=3)
    plain = folds_or_none(splitter, X)
    mixed = folds_or_none(splitter, X.iloc[order])
    for (train, test), (mixed_train, mixed_test) in zip(plain, mixed, strict=True):
        assert set(train) == set(np.array(order)[mixed_train])
        assert set(test) == set(np.array(order)[mixed_test])


X_HAND = pd.DataFrame(
    {
        "user": list("aababbac"),
        "item": list("vwvxwyzv"),
        "day": [1, 2, 2, 3, 3, 4, 4, 5],
    }
)


def test_last_n_by_hand():
    # a: rows 0 1 3 6, b: rows 2 4 5, c: only row 7
    assert as_lists(LastNSplit(), X_HAND) == [([0, 1, 2, 3, 4, 7], [5, 6])]
    assert as_lists(LastNSplit(2), X_HAND) == [([0, 1, 2, 7], [3, 4, 5, 6])]
    assert as_lists(LastNSplit(0.5), X_HAND) == [([0, 1, 2, 4, 7], [3, 5, 6])]
    assert as_lists(LastNSplit(n_splits=3), X_HAND) == [
        ([0, 1, 2, 3, 4, 7], [5, 6]),
        ([0, 1, 2, 7], [3, 4]),
        ([0, 2, 4, 5, 7], [1]),  # b has too few rows now, and keeps them all
    ]


def test_last_n_orders_by_time_and_breaks_ties_by_row():
    X = pd.DataFrame({"u": [1, 1, 1, 1], "i": [1, 2, 3, 4], "t": [9, 5, 9, 1]})
    assert as_lists(LastNSplit(time="t"), X) == [([0, 1, 3], [2])]
    assert as_lists(LastNSplit(3, time="t"), X) == [([3], [0, 1, 2])]


def test_last_n_share_is_not_cut_by_binary_rounding():
    X = pd.DataFrame({"u": np.zeros(100), "i": np.zeros(100)})
    ((_, test),) = LastNSplit(0.29).split(X)
    assert len(test) == 29


def test_time_split_by_hand():
    assert as_lists(TimeSplit(2, time="day"), X_HAND) == [([0, 1, 2, 3, 4], [5, 6, 7])]
    assert as_lists(TimeSplit(3, time="day", gap=1), X_HAND) == [([0, 1, 2], [5, 6, 7])]
    assert as_lists(TimeSplit(0.25, n_splits=2), X_HAND) == [
        ([0, 1, 2, 3], [4, 5]),
        ([0, 1, 2, 3, 4, 5], [6, 7]),
    ]
    assert as_lists(TimeSplit(2, n_splits=2, max_train_size=3), X_HAND) == [
        ([1, 2, 3], [4, 5]),
        ([3, 4, 5], [6, 7]),
    ]


def test_sliding_window_leaves_out_times_that_do_not_fit_whole():
    # train days 1 2 2 3 3: the three latest rows would split day 2
    splitter = TimeSplit(3, time="day", max_train_size=3)
    assert as_lists(splitter, X_HAND) == [([3, 4], [5, 6, 7])]


def test_unseen_users_and_items_are_dropped_from_the_test_side():
    plain, users, items = (
        TimeSplit(3, time="day"),
        TimeSplit(3, time="day", drop_unseen_users=True),
        TimeSplit(3, time="day", drop_unseen_items=True),
    )
    assert as_lists(plain, X_HAND)[0][1] == [5, 6, 7]
    assert as_lists(users, X_HAND)[0][1] == [5, 6]
    assert as_lists(items, X_HAND)[0][1] == [7]
    last = LastNSplit(2, drop_unseen_items=True)
    assert as_lists(last, X_HAND) == [([0, 1, 2, 7], [4])]


def test_dates_of_any_unit_split_as_their_day_number():
    for tz in [None, "Europe/Berlin", "America/New_York"]:
        for unit in ["s", "ms", "us", "ns"]:
            days = pd.Timestamp("2020-03-27", tz=tz) + pd.to_timedelta(
                X_HAND["day"], unit="D"
            )
            X = X_HAND.assign(day=days.dt.as_unit(unit))
            for splitter in (TimeSplit(2, time="day"), LastNSplit(time="day")):
                assert as_lists(splitter, X) == as_lists(splitter, X_HAND)
            gap = TimeSplit(3, time="day", gap=pd.Timedelta("1D"))
            assert as_lists(gap, X)[0][1] == [5, 6, 7]


def test_dates_of_python_and_of_arrow_split_as_their_day_number():
    days = [datetime.date(2020, 1, 1 + day) for day in X_HAND["day"]]
    zone = pa.timestamp("s", "America/New_York")
    for kind in (pd.ArrowDtype(pa.date32()), pd.ArrowDtype(zone), object):
        X = X_HAND.assign(day=pd.Series(days, dtype=object).astype(kind))
        assert as_lists(LastNSplit(time="day"), X) == as_lists(LastNSplit(), X_HAND)
    X["day"] = X["day"].astype(str)
    with pytest.raises(TypeError, match="must hold dates or numbers. Got dtype"):
        as_lists(TimeSplit(2, time="day"), X)


def test_gap_of_a_timedelta_by_hand():
    X = X_HAND.assign(day=pd.Timestamp("2020-01-01") + pd.to_timedelta(X_HAND.day, "D"))
    for gap in (pd.Timedelta("1D"), pd.Timedelta("1D").to_pytimedelta()):
        assert as_lists(TimeSplit(3, time="day", gap=gap), X) == [
            ([0, 1, 2], [5, 6, 7])
        ]


def test_a_test_side_of_some_days_by_hand():
    X = X_HAND.assign(day=pd.Timestamp("2020-01-01") + pd.to_timedelta(X_HAND.day, "D"))
    days = X_HAND["day"].to_numpy()  # 1 to 5
    for n, n_splits, gap in [(1, 1, 0), (2, 1, 1), (1, 2, 0), (2, 2, 0), (1, 3, 1)]:
        size, gaps = pd.Timedelta(n, "D"), pd.Timedelta(gap, "D").to_pytimedelta()
        splitter = TimeSplit(size, n_splits=n_splits, time="day", gap=gaps)
        firsts = [6 - n * fold for fold in range(n_splits, 0, -1)]
        assert as_lists(splitter, X) == [
            (
                np.flatnonzero(days < first - gap).tolist(),
                np.flatnonzero((days >= first) & (days < first + n)).tolist(),
            )
            for first in firsts
        ]
    for size, expected in {"1D": [7], "2D": [5, 6, 7], "47h": [5, 6, 7]}.items():
        ((train, test),) = as_lists(TimeSplit(pd.Timedelta(size), time="day"), X)
        assert test == expected and train == list(range(expected[0]))


def test_a_duration_that_leaves_a_side_empty():
    for size in ["0D", "-1D", "100D", "1ns"]:
        days = pd.date_range("2020-01-01", periods=9).astype("datetime64[s]")
        X = pd.DataFrame({"u": 1, "i": range(9), "t": days})
        with pytest.raises(ValueError, match="one side without rows|duration >= 0"):
            list(TimeSplit(pd.Timedelta(size), time="t").split(X))
        with pytest.raises(ValueError, match="asks for 3 x 3 days .* of the 8 days"):
            list(TimeSplit(pd.Timedelta("3D"), n_splits=3, time="t").split(X))
        with pytest.raises(ValueError, match="none of the 0 rows of X"):
            list(TimeSplit(pd.Timedelta("3D"), time="t").split(X[:0]))
        with pytest.raises(
            TypeError, match="test_size must be a number. Got Timedelta"
        ):
            list(TimeSplit(pd.Timedelta("3D"), time="i").split(X))
        with pytest.raises(TypeError, match="Got Timedelta"):  # numbers of rows
            list(TimeSplit(pd.Timedelta("3D")).split(X[["u", "i"]]))


def test_a_gap_of_a_part_of_a_day_between_dates():
    for gap, last in [("12h", 6), ("24h", 5), ("36h", 5)]:
        days = [datetime.date(2020, 1, day) for day in range(1, 10)]
        X = pl.DataFrame({"u": [1] * 9, "i": range(9), "t": days})
        splitter = TimeSplit(2, time="t", gap=pd.Timedelta(gap))
        assert as_lists(splitter, X) == [([*range(last + 1)], [7, 8])]


def test_far_dates_do_not_overflow():
    far = np.array(["2000-01-01", "2001-01-01", "9999-12-31"], dtype="datetime64[s]")
    X = pd.DataFrame({"u": [1, 1, 1], "i": [1, 2, 3], "t": far})
    splitter = TimeSplit(1, time="t", gap=pd.Timedelta(1, unit="ns"))
    assert as_lists(splitter, X) == [([0, 1], [2])]


def test_small_unsigned_times_do_not_wrap_around():
    X = X_HAND.assign(day=X_HAND["day"].astype(np.uint8))
    with pytest.raises(ValueError, match="leaves the train side without rows"):
        list(TimeSplit(1, time="day", gap=100).split(X))


@for_each("splitter", [LastNSplit(time="day"), TimeSplit(2, time="day")])
def test_all_dataframes_split_alike(splitter):
    polars = pl.from_pandas(X_HAND)
    assert as_lists(splitter, polars) == as_lists(splitter, X_HAND)
    assert as_lists(splitter, polars.to_arrow()) == as_lists(splitter, X_HAND)


def test_arrays_name_their_columns_by_position():
    array = X_HAND.to_numpy(dtype=object)
    assert as_lists(LastNSplit(time=2), array) == as_lists(
        LastNSplit(time="day"), X_HAND
    )
    swapped = array[:, [1, 0, 2]]
    named = TimeSplit(3, time=2, user_id=1, item_id=0, drop_unseen_users=True)
    assert as_lists(named, swapped)[0][1] == [5, 6]


def test_lists_of_text_and_numbers_keep_their_times():
    rows = [["ann", "tea", 9], ["ann", "ham", 10], ["bob", "tea", 11]]
    assert as_lists(LastNSplit(time=2), rows) == [([0, 2], [1])]


def test_a_missing_default_column_is_named():
    with pytest.raises(ValueError, match="item_id=None stands for column number 2"):
        list(TimeSplit(1, drop_unseen_items=True).split([["ann"], ["bob"]]))


def test_row_index_labels_do_not_matter():
    labelled = X_HAND.set_index(pd.Index(list("hgfedcba")))
    assert as_lists(LastNSplit(), labelled) == as_lists(LastNSplit(), X_HAND)


class Counter(BaseEstimator):
    """Scores by the number of rows it was fitted on."""

    def __init__(self, factor=1):
        self.factor = factor

    def fit(self, X, y=None):
        self.n_rows_ = len(X)
        return self

    def score(self, X, y=None):
        return float(self.factor * self.n_rows_ + len(X) / 100)


def test_splitters_work_as_cv():
    search = GridSearchCV(Counter(), {"factor": [1, 2]}, cv=LastNSplit(n_splits=2))
    search.fit(X_HAND)
    assert search.best_params_ == {"factor": 2}
    assert search.cv_results_["split0_test_score"].tolist() == [6.02, 12.02]
    assert search.cv_results_["split1_test_score"].tolist() == [4.02, 8.02]
    scores = cross_validate(Counter(), X_HAND, cv=TimeSplit(2, n_splits=2))
    assert scores["test_score"].tolist() == [4.02, 6.02]


def test_rows_out_of_order_are_told_where_no_time_is_named():
    for dates in [False, True]:
        for convert in [pl.from_pandas, pd.DataFrame]:
            X = X_HAND.drop(columns="day").assign(timestamp=[5, 1, 2, 3, 6, 4, 7, 8])
            if dates:
                X = X.assign(timestamp=pd.to_datetime(X["timestamp"], unit="D"))
                X = X.rename(columns={"timestamp": "day"})
            name, X = X.columns[-1], convert(X)
            for splitter in (TimeSplit(2), LastNSplit()):
                with pytest.warns(UserWarning, match=f"Name it: time='{name}'"):
                    list(splitter.split(X))
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    list(type(splitter)(2, time=name).split(X))


def test_order_counts_within_users_where_users_are_split():
    X = pd.DataFrame({"u": [1, 1, 2, 2], "i": [1, 2, 1, 2], "time": [5, 6, 1, 2]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(LastNSplit().split(X))
        list(TimeSplit(1).split(X.assign(born_time=[1, 2, 3, 1])))  # which one is it?
        list(TimeSplit(1).split(X.sort_values("time")))
    with pytest.warns(UserWarning, match="Name it: time='time'"):
        list(TimeSplit(1).split(X))


def test_splitters_pickle_and_print_what_was_changed():
    splitter = pickle.loads(pickle.dumps(TimeSplit(0.1, time="day", gap=2)))
    assert repr(splitter) == "TimeSplit(test_size=0.1, time='day', gap=2)"
    assert repr(LastNSplit()) == "LastNSplit()"
    assert splitter.get_n_splits() == 1
    assert LastNSplit(n_splits=4).get_n_splits(X_HAND) == 4


def test_bad_splits_say_why():
    for splitter, message in [
        (LastNSplit(0), "'n' parameter of LastNSplit must be"),
        (LastNSplit(1.5), "'n' parameter of LastNSplit must be"),
        (LastNSplit(n_splits=0), "'n_splits' parameter of LastNSplit must be"),
        (LastNSplit(9), "leaves the test side without rows"),
        (LastNSplit(time="dya"), "time names 'dya'.*Did you mean 'day'"),
        (LastNSplit(user_id="usr"), "user_id names 'usr'.*Did you mean 'user'"),
        (TimeSplit(8), "leaves none of the 8 rows"),
        (TimeSplit(0.5, n_splits=2), "leaves none of the 8 rows"),
        (TimeSplit(1.0), "'test_size' parameter of TimeSplit must be"),
        (TimeSplit(1, time="day", gap=9), "train side without rows"),
        (TimeSplit(1, time="day", gap=-1), "gap must be a finite duration >= 0"),
        (TimeSplit(1, time="day", drop_unseen_users=True), "test side without rows"),
        (TimeSplit(1, drop_unseen_items=True, item_id="itme"), "Did you mean 'item'"),
    ]:
        with pytest.raises(ValueError, match=message):
            list(splitter.split(X_HAND))


def test_times_must_be_dates_or_numbers():
    with pytest.raises(TypeError, match="'item' of X must hold dates or numbers"):
        list(TimeSplit(time="item").split(X_HAND))


def test_rows_of_one_time_leave_nothing_to_train_on():
    X = X_HAND.assign(day=1)
    with pytest.raises(ValueError, match="leaves the train side without rows"):
        list(TimeSplit(time="day").split(X))


def test_a_fold_whose_rows_all_have_the_next_folds_time_raises():
    X = pd.DataFrame({"u": [1, 2, 3], "i": [1, 2, 3], "t": [0, 1, 1]})
    with pytest.raises(ValueError, match="Fold 0 .* leaves the test side without rows"):
        list(TimeSplit(1, n_splits=2, time="t").split(X))


def test_missing_values_are_counted():
    gone = X_HAND.assign(day=X_HAND["day"].where(X_HAND["day"] != 2))
    with pytest.raises(ValueError, match="'day' of X has 2 missing values in 8 rows"):
        list(TimeSplit(time="day").split(gone))
    nat = X_HAND.assign(day=pd.to_datetime(["2020-01-01"] * 7 + [None]))
    with pytest.raises(ValueError, match="'day' of X has 1 missing values in 8 rows"):
        list(LastNSplit(time="day").split(nat))
    endless = X_HAND.assign(day=[0.0] * 7 + [np.inf])
    with pytest.raises(ValueError, match="time contains NaN or infinity"):
        list(TimeSplit(time="day").split(endless))
    nobody = X_HAND.assign(user=X_HAND["user"].where(X_HAND["user"] != "c"))
    with pytest.raises(ValueError, match="user_id column 'user' of X has 1 missing"):
        list(LastNSplit().split(nobody))


def test_gap_must_fit_the_times():
    with pytest.raises(TypeError, match="gap must be a number"):
        list(TimeSplit(time="day", gap=pd.Timedelta("1D")).split(X_HAND))
    dates = X_HAND.assign(day=pd.date_range("2020", periods=8))
    with pytest.raises(TypeError, match="gap must be a Timedelta"):
        list(TimeSplit(time="day", gap=1).split(dates))


def test_a_list_of_scalars_is_no_table():
    with pytest.raises(TypeError, match="X must be a DataFrame or an array"):
        list(LastNSplit().split([1, 2, 3]))


@for_each(("splitter", "column"), [(ColdItemSplit, "item"), (ColdUserSplit, "user")])
def test_cold_splits_hold_out_whole_items_or_users(splitter, column):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {"user": rng.integers(20, size=200), "item": rng.integers(30, size=200)}
    )
    folds = list(splitter(0.25, n_splits=3, random_state=0).split(X))
    n_ids = X[column].nunique()
    for train, test in folds:
        assert not set(X[column].iloc[train]) & set(X[column].iloc[test])
        assert sorted([*train, *test]) == list(range(200))
        assert X[column].iloc[test].nunique() == np.ceil(0.25 * n_ids)
    assert len({tuple(test) for _, test in folds}) == 3
    again = next(splitter(0.25, random_state=0).split(X))
    np.testing.assert_array_equal(again[1], folds[0][1])


def test_cold_items_of_users_unseen_in_train_can_be_dropped():
    X = pd.DataFrame({"user": [1, 1, 2, 3], "item": ["a", "b", "b", "b"]})
    kept = ColdItemSplit(1, drop_unseen_users=True, random_state=1)
    for seed in range(6):
        kept.random_state = seed
        train, test = next(kept.split(X))
        assert set(X["user"].iloc[test]) <= set(X["user"].iloc[train]) == {1} or (
            X["item"].iloc[test].unique() == ["a"]
        )


def test_cold_split_of_one_id_says_so():
    X = pd.DataFrame({"user": [1, 2], "item": ["a", "a"]})
    with pytest.raises(ValueError, match="ColdItemSplit.* needs at least 2 ids.*Got"):
        next(ColdItemSplit().split(X))
    with pytest.raises(ValueError, match="at least 3 ids to hold some out. Got 2"):
        next(ColdUserSplit(2).split(X))
    with pytest.raises(ValueError, match="at least 2 ids to hold some out. Got 0"):
        next(ColdUserSplit().split(X[:0]))
    assert repr(ColdUserSplit(0.5)) == "ColdUserSplit(test_size=0.5)"
