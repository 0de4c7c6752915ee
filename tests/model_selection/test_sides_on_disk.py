"""Splits by time of events on disk hold the same events as those in memory."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset
import pytest

from sktwotower.model_selection import LastNSplit, TimeSplit
from tests.builders import first_fast, small

pytest.importorskip("duckdb")


def make_events(times):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "user": [f"u{user}" for user in rng.integers(30, size=200)],
            "item": rng.integers(20, size=200),
            "when": times(rng.integers(40, size=200)),
        }
    )


def dates(numbers, **params):
    return pd.Timestamp("2026-11-26", **params) + pd.to_timedelta(numbers, "D")


TIMES = {
    "numbers": lambda n: n - 20,
    "bytes": lambda n: n.astype(np.uint8),
    "floats": lambda n: n / 4,
    "dates": dates,
    "nanoseconds": lambda n: dates(n).as_unit("ns"),
    "zone": lambda n: dates(n, tz="CET"),
    "days": lambda n: dates(n).date,
}


def rest_in_grid(cases, chosen):
    """Return the cases, of which those that are not chosen run by -m grid."""
    return [
        pytest.param(case, marks=() if case in chosen else pytest.mark.grid)
        for case in cases
    ]


def sources_of(events, folder):
    events[:90].to_parquet(folder / "a.parquet")
    events[90:].to_parquet(folder / "b.parquet")
    path = f"{folder}/*.parquet"
    return [path, pyarrow.dataset.dataset(folder), pl.scan_parquet(path)]


def rows_of(events):
    """Return the rows of a Dataset or a LazyFrame, sorted."""
    lazy = isinstance(events, pl.LazyFrame)
    table = events.collect().to_arrow() if lazy else events.to_table()
    return sorted(map(repr, zip(*(c.to_pylist() for c in table.columns), strict=True)))


def assert_same_splits(splitter, events, sources):
    """Assert that all folds of all sources have the rows of the table."""
    table = pl.from_pandas(events)
    table.columns = events.columns.tolist()  # of an empty one polars makes column_3
    expected = [
        [rows_of(table[side].lazy()) for side in sides]
        for sides in splitter.split(table)
    ]
    assert len(expected) == splitter.n_splits
    for source in sources:
        found = [[rows_of(side) for side in sides] for sides in splitter.split(source)]
        assert found == expected


@pytest.mark.each_time("numbers", "zone")
@pytest.mark.slow
@pytest.mark.parametrize("kind", rest_in_grid(TIMES, ["numbers", "zone", "bytes"]))
def test_types_of_times(kind, tmp_path):
    events = make_events(TIMES[kind])
    sources = sources_of(events, tmp_path)
    assert_same_splits(TimeSplit(0.3, time="when"), events, sources)


@pytest.mark.parametrize(
    "params",
    first_fast(
        [
            {"gap": 3},
            {"n_splits": 3, "test_size": 40},
            {"max_train_size": 50},
            {"max_train_size": 0.2, "gap": 5, "n_splits": 2, "test_size": 0.1},
            {"drop_unseen_users": True, "test_size": 0.9},
            {
                "drop_unseen_items": True,
                "test_size": 0.95,
                "item_id": "user",
                "user_id": 1,
            },
        ]
    ),
    ids=str,
)
def test_parameters(params, tmp_path):
    splitter = TimeSplit(**{"time": "when"} | params)
    events = make_events(TIMES["numbers"])
    assert_same_splits(splitter, events, sources_of(events, tmp_path)[:1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", rest_in_grid(["dates", "nanoseconds", "zone", "days"], ["dates"])
)
def test_days_of_a_side(kind, tmp_path):
    events, size = make_events(TIMES[kind]), pd.Timedelta("9D")
    splitter = TimeSplit(size, n_splits=2, time="when", gap=pd.Timedelta("2D"))
    assert_same_splits(splitter, events, sources_of(events, tmp_path))


@pytest.mark.slow
def test_the_time_before_the_ids(tmp_path):
    events = make_events(TIMES["dates"])
    splitter = TimeSplit(0.9, time="when", drop_unseen_users=True)
    expected = [events.iloc[rows] for rows in next(splitter.split(events))]
    first = events[["when", "user", "item"]]
    (path, *_) = sources_of(first, tmp_path)
    for side, rows in zip(next(splitter.split(path)), expected, strict=True):
        assert 0 < side.count_rows() == len(rows) < len(events) * 0.9
    assert_same_splits(splitter, first, [path])


@pytest.mark.slow
@pytest.mark.parametrize("name", rest_in_grid(["when", ""], [""]))
def test_names_that_differ_only_in_case_or_are_empty(tmp_path, name):
    events = make_events(TIMES["numbers"]).rename(columns={"when": name})
    events.insert(0, "When", np.arange(200))
    splitter = TimeSplit(time=name, user_id="user", item_id="item")
    assert_same_splits(splitter, events, sources_of(events, tmp_path))


@pytest.mark.slow
def test_a_gap_between_dates(tmp_path):
    splitter = TimeSplit(time=2, gap=datetime.timedelta(hours=30))
    events = make_events(dates)
    assert_same_splits(splitter, events, sources_of(events, tmp_path)[1:])


@pytest.mark.slow
def test_the_sides_can_be_fitted_on_and_scored(tmp_path):
    events = make_events(TIMES["numbers"])
    splitter = TimeSplit(time="when")
    train, test = next(splitter.split(events))
    model = small(time="when").fit(events.iloc[train])
    for source in sources_of(events, tmp_path)[1:]:
        train_side, test_side = next(splitter.split(source))
        other = small(time="when").fit(train_side)
        assert np.array_equal(other.item_embeddings_, model.item_embeddings_)
        assert other.score(test_side) == model.score(events.iloc[test])


@pytest.mark.slow
def test_bad_input(tmp_path):
    sources = sources_of(make_events(TIMES["numbers"]), tmp_path)
    late = "time column 'user' of X must hold dates"
    in_memory = "LastNSplit splits events in memory.* use TimeSplit"
    for splitter, error, message in [
        (TimeSplit(), ValueError, "Name the time column"),
        (TimeSplit(time="wen"), ValueError, "time names 'wen'.* Did you mean 'when'"),
        (TimeSplit(time="user"), TypeError, late),
        (TimeSplit(300, time="when"), ValueError, "none of the 200 rows of X to train"),
        (TimeSplit(time="when", gap=60), ValueError, "leaves the train side without"),
        (LastNSplit(), TypeError, in_memory),
    ]:
        for source in sources[: 1 if error is ValueError else 3]:
            with pytest.raises(error, match=message):
                next(splitter.split(source))


def test_missing_times(tmp_path):
    events = make_events(TIMES["floats"])
    events.loc[[3, 5], "when"] = None
    for source in sources_of(events, tmp_path):
        with pytest.raises(ValueError, match="'when' of X has 2 missing values in 200"):
            next(TimeSplit(time="when").split(source))
