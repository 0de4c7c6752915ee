import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktwotower import TwoTowerRecommender
from sktwotower.model_selection import ColdUserSplit, LastNSplit
from sktwotower.preprocessing import k_core, session_ids

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


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.integers(1, 3), st.integers(1, 3))
def test_the_core_is_the_naive_one(rows, n_items, n_users):
    expected = naive_core(rows, n_items, n_users)
    if not any(expected):
        with pytest.raises(ValueError, match="No event is left by k="):
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
    with pytest.raises(ValueError, match="No event is left by k=3"):
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


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.integers(0, 6))
def test_sessions_are_the_naive_ones(rows, gap):
    X = table(rows)
    expected = naive_sessions(rows, gap)
    assert session_ids(X, gap, time="time").tolist() == expected
    dates = X.assign(time=pd.to_datetime(60 * X["time"], unit="s"))
    pause = datetime.timedelta(minutes=gap)
    assert session_ids(dates, pause, time="time").tolist() == expected


@pytest.mark.parametrize(
    "convert", [pl.from_pandas, lambda X: pl.from_pandas(X).to_arrow(), pd.DataFrame]
)
def test_all_tables_give_the_same(convert):
    X = table([(1, 1, 0), (2, 1, 9), (1, 2, 2), (2, 2, 1), (3, 1, 0)])
    assert k_core(convert(X), 2).tolist() == k_core(X.to_numpy(), 2).tolist()
    named = session_ids(convert(X), 3, time="time", user_id="user")
    assert named.tolist() == session_ids(X.to_numpy(), 3, time=2).tolist()
    assert named.tolist() == [0, 2, 0, 1, 3]


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


@pytest.mark.parametrize("gap", [30, 31, 10**30, 10**400, 1e300, 2**63 - 1])
def test_a_gap_longer_than_all_times_makes_one_session(gap):
    X = table([(1, 1, 2**62), (1, 2, 2**62 + 30), (2, 1, 2**62 + 5)])
    assert session_ids(X, gap, time="time").tolist() == [0, 0, 1]
    shares = X.assign(time=[0.5, 30.5, 5])
    assert session_ids(shares, gap, time="time").tolist() == [0, 0, 1]


def test_a_gap_longer_than_all_dates_makes_one_session():
    X = table([(1, 1, 0), (1, 2, 0)])
    X["time"] = pd.to_datetime(["2200-01-01", "2201-01-01"]).as_unit("ns")
    assert session_ids(X, pd.Timedelta.max, time="time").tolist() == [0, 0]


@pytest.mark.parametrize(
    "cells", [[[1], [2]], [np.array([1]), np.array([2])], [{}, {}]]
)
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
