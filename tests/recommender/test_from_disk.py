"""Events on disk: the same fit as in memory, memory maps, and bad input."""

import copy
import gc
import json
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from sktwotower import EASERecommender, io
from sktwotower.towers import RecentHistory
from tests.builders import small
from tests.recommender.builders import few

duckdb = pytest.importorskip("duckdb")

N_FILES = 3
IDS = ["user", "item"]


def make_events(n_users=40, n_items=25, n_events=600, seed=0):
    """Return events with repeated pairs, times, stars from 0 to 3 and weights."""
    rng = np.random.default_rng(seed)
    users = rng.integers(n_users, size=n_events)
    return pd.DataFrame(
        {
            "user": [f"u{user}" for user in users],
            "item": rng.integers(n_items, size=n_events) ** 2 // n_items,
            "time": rng.integers(50, size=n_events),
            "stars": rng.integers(4, size=n_events),
            "weight": rng.integers(3, size=n_events),
            "age": users % 7,
        }
    )


@pytest.fixture(scope="module")
def events():
    return make_events()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, events):
    """Return a folder with the events in three files."""
    folder = tmp_path_factory.mktemp("events")
    write(events, folder)
    return folder


def write(events, folder):
    for i, rows in enumerate(np.array_split(np.arange(len(events)), N_FILES)):
        events.iloc[rows].to_parquet(folder / f"part{i}.parquet", index=False)


def assert_same(model, other):
    """Assert that two models know the same events and have learnt the same."""
    assert_array_equal(model.user_ids_, other.user_ids_)
    assert_array_equal(model.item_ids_, other.item_ids_)
    seen = [each.seen_items() for each in (model, other)]
    seen = [t if isinstance(t, pd.DataFrame) else t.to_pandas() for t in seen]
    pd.testing.assert_frame_equal(*seen)
    users = model.user_ids_[:40]
    assert_array_equal(model.embed_users(users), other.embed_users(users))
    assert_array_equal(model.item_embeddings_, other.item_embeddings_)
    figures = [
        [{n: v for n, v in epoch.items() if n != "dur"} for epoch in m.history_]
        for m in (model, other)
    ]
    assert figures[0] == figures[1]


# The same fit from disk and in memory


REWARDS = ("stars", "weight")


@pytest.mark.parametrize(
    ("outcomes", "params"),
    few(
        [
            (REWARDS, {}),
            ((), {}),
            (REWARDS, {"time": "time"}),
            ((), {"early_stopping": True, "max_epochs": 2}),
            (REWARDS, {"time": "time", "early_stopping": True, "max_epochs": 2}),
            (
                (),
                {
                    "time": "time",
                    "history": RecentHistory(half_life=20.0, popularity_half_life=9.0),
                },
            ),
            (REWARDS, {"time": "time", "history": RecentHistory(second_share=0)}),
            ((), {"history": None}),
            (REWARDS, {"user_features": ["age"]}),
            (REWARDS, {"reward_scale": "log1p"}),
            (REWARDS, {"reward_scale": "sqrt", "time": "time"}),
        ]
    ),
    ids=str,
)
def test_a_fit_from_disk_equals_one_in_memory(events, folder, outcomes, params):
    params = {"batch_size": 8} | params
    table = events.drop(columns=list(outcomes))
    columns = [events[name] for name in outcomes]
    model = small(**params).fit(table, *columns)
    assert_same(small(**params).fit(folder, *outcomes), model)


def kinds_of_sources(folder):
    """Return the same events as each kind of source."""
    return {
        "folder": folder,
        "text": str(folder),
        "pattern": f"{folder}/*.parquet",
        "dataset": pa.dataset.dataset(folder),
        "lazy frame": pl.scan_parquet(folder / "*.parquet"),
    }


@pytest.mark.slow
def test_every_kind_of_source_gives_the_same_model(events, folder):
    model = small().fit(events)
    for source in kinds_of_sources(folder).values():
        assert_same(small().fit(source), model)


@pytest.mark.slow
def test_how_files_are_divided_changes_nothing(events, folder, tmp_path):
    """Events of a user, and of a time, are in several files and groups of rows."""
    for place, start in enumerate(range(0, len(events), 97)):
        rows = events.iloc[start : start + 97]
        path = tmp_path / f"{place}.parquet"
        rows.to_parquet(path, index=False, row_group_size=7)
    model = small(time="time").fit(tmp_path, *REWARDS)
    assert_same(model, small(time="time").fit(folder, *REWARDS))


@pytest.mark.slow
def test_one_file_and_a_nested_folder(events, tmp_path):
    (tmp_path / "2026" / "11").mkdir(parents=True)
    path = tmp_path / "2026" / "11" / "events.pq"
    events[IDS].to_parquet(path)
    model = small().fit(events[IDS])
    assert_same(small().fit(path), model)
    assert_same(small().fit(tmp_path), model)


@pytest.mark.slow
def test_a_home_folder_and_files_that_spark_leaves(events, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "events"
    (folder / "_temporary" / "0").mkdir(parents=True)
    write(events, folder)
    events[:9].to_parquet(folder / "_temporary" / "0" / "part0.parquet")
    (folder / ".part0.parquet").write_text("no table")
    assert_same(small().fit("~/events"), small().fit(events))


@pytest.mark.slow
def test_filters_of_datasets_and_lazy_frames_count(events, folder):
    model = small().fit(events[events["time"] < 25])
    early = pa.dataset.field("time") < 25
    assert_same(small().fit(pa.dataset.dataset(folder).filter(early)), model)
    lazy = pl.scan_parquet(folder / "*.parquet").filter(pl.col("time") < 25)
    assert_same(small().fit(lazy), model)


@pytest.mark.parametrize(
    "ids",
    few(
        [
            lambda n: pd.Categorical([f"'\"{i}" for i in n]),
            lambda n: n - 20,
            lambda n: n.astype(np.uint8),
            lambda n: n / 4,
            lambda n: n.astype(str),
            lambda n: pd.Timestamp("2026-11-26") + pd.to_timedelta(n, "h"),
            lambda n: pd.Timestamp("2026-11-26", tz="UTC") + pd.to_timedelta(n, "h"),
        ]
    ),
    ids=["category", "negative", "uint8", "float", "text", "date", "zone"],
)
def test_types_of_ids(ids, tmp_path):
    users = np.arange(60) % 20
    X = pd.DataFrame({'us"er': ids(users), "item": np.arange(60) % 7})
    X.to_parquet(tmp_path / "it's.parquet")
    assert_same(small().fit(tmp_path / "it's.parquet"), small().fit(X))


@pytest.mark.slow
def test_names_that_differ_only_in_case_or_are_empty(tmp_path):
    """The others come first, except in one of the files."""
    X = pd.DataFrame({"user": 9 * [1, 2, 3, 4], "item": 12 * [1, 2, 3]})
    X = X.assign(time=range(36), stars=[1, 0, 2] * 12, age=X["user"] % 2)
    others = X[::-1].set_axis(["User", "ITEM", "tiMe", "Stars", ""], axis=1)
    X = pd.concat([others.reset_index(drop=True), X], axis=1)
    write(X, tmp_path)
    X[12:24].iloc[:, ::-1].to_parquet(tmp_path / "part1.parquet")
    params = {"user_id": "user", "item_id": "item", "time": "time", "max_epochs": 1}
    params |= {"user_features": ["age"], "item_features": [""], "embedding_dim": 2}
    with pytest.warns(UserWarning, match="disagree on the features"):
        model = small(**params).fit(X.drop(columns="stars"), X["stars"])
        for source in kinds_of_sources(tmp_path).values():
            assert_same(small(**params).fit(source, "stars"), model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "times",
    [
        lambda n: pd.Timestamp("2026-11-26") + pd.to_timedelta(n, "h"),
        lambda n: pd.Timestamp("2026-11-26", tz="CET") + pd.to_timedelta(n, "h"),
        lambda n: (pd.Timestamp("2026-11-26") + pd.to_timedelta(n, "D")).date,
        lambda n: n / 7,
    ],
    ids=["dates", "zone", "days", "numbers"],
)
def test_types_of_times(events, times, tmp_path):
    X = events.assign(time=times(events["time"].to_numpy()))
    write(X, tmp_path)
    model = small(time="time", history=RecentHistory(half_life=None))
    assert_same(
        model.fit(tmp_path),
        small(time="time", history=RecentHistory(half_life=None)).fit(X),
    )


@pytest.mark.slow
def test_side_tables(events, folder):
    items = pd.DataFrame({"item": range(40), "color": ["red", "blue"] * 20})
    model = small(items=items).fit(events)
    other = small(items=items).fit(folder)
    assert_same(other, model)
    assert len(other.item_ids_) == 40


@pytest.mark.slow
def test_features_that_disagree_are_those_of_the_last_event(events, tmp_path):
    X = events.assign(age=np.arange(len(events)) % 5)
    write(X, tmp_path)
    message = "disagree on the features of 40 of 40 ids in column 'user'"
    with pytest.warns(UserWarning, match=message):
        model = small(user_features=["age"]).fit(X)
    with pytest.warns(UserWarning, match=message):
        other = small(user_features=["age"]).fit(tmp_path)
    assert_same(other, model)


def test_a_feature_may_have_the_name_id(events, tmp_path):
    X = events[IDS].assign(id=events["age"])
    write(X, tmp_path)
    model = small(user_features=["id"]).fit(X)
    assert_same(small(user_features=["id"]).fit(tmp_path), model)


# What comes after fit


@pytest.mark.slow
def test_score_and_partial_fit_read_from_disk(events, folder):
    table = events.drop(columns=["stars", "weight"])
    outcomes = events["stars"], events["weight"]
    model = small().fit(table, *outcomes)
    for source in kinds_of_sources(folder).values():
        assert model.score(source, "stars", "weight") == model.score(table, *outcomes)
        assert model.score(source) == model.score(table)
    other = pickle.loads(pickle.dumps(model))
    model.partial_fit(table[:50], outcomes[0][:50])
    first = pl.scan_parquet(folder / "*.parquet").head(50)
    assert_same(other.partial_fit(first, "stars"), model)


@pytest.mark.slow
def test_no_file_is_left(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = small(time="time").fit(pl.scan_parquet(folder / "*.parquet"))
    assert list(tmp_path.iterdir()) == []
    assert len(model.recommend(["u3"], n_neighbors=3)) == 3


@pytest.mark.slow
def test_files_hold_the_events(events, folder, tmp_path):
    for params in ({}, {"time": "time"}):
        model = small(**params).fit(folder)
        assert_same(pickle.loads(pickle.dumps(model)), model)
        io.dump(model, tmp_path / "model.sktt")
        assert_same(io.load(tmp_path / "model.sktt"), model)


@pytest.mark.slow
def test_requests_are_answered_as_in_memory(events, folder):
    model, other = small(time="time").fit(events), small(time="time").fit(folder)
    users = ["u3", "u5", "new"]
    pd.testing.assert_frame_equal(other.recommend(users), model.recommend(users))
    pd.testing.assert_frame_equal(other.recommend(), model.recommend())
    pd.testing.assert_frame_equal(other.seen_items(), model.seen_items())
    pd.testing.assert_frame_equal(
        other.forget_users(["u3"]).recommend(), model.forget_users(["u3"]).recommend()
    )


# Bad input: a clear message, and the model stays as it was


@pytest.fixture(scope="module")
def once_fitted(events):
    return small().fit(events)


@pytest.fixture
def fitted(once_fitted):
    return copy.copy(once_fitted)


def refused(fitted, error, message, X, *args, **params):
    """Assert that fit refuses X with a message, and that the model is as before."""
    before = fitted.item_embeddings_
    fitted.set_params(**params)
    with pytest.raises(error, match=message) as caught:
        fitted.fit(X, *args)
    shown = caught.value
    assert shown.__context__ is None or shown.__suppress_context__
    assert shown.__cause__ is None
    assert fitted.item_embeddings_ is before
    assert len(fitted.recommend(["u1"], n_neighbors=3)) == 3


def test_no_files(fitted, tmp_path):
    refused(fitted, ValueError, "holds no Parquet files", tmp_path)
    pattern = f"{tmp_path}/*.parquet"
    refused(fitted, ValueError, "No file matches the pattern", pattern)
    refused(fitted, ValueError, "no file or folder of that name", tmp_path / "none")
    refused(fitted, ValueError, "no file or folder of that name", "~nobody_at_all/x")
    refused(fitted, ValueError, "FileNotFoundError: none. Check", "mock:///none")


def test_a_file_that_is_cut_off_is_named(fitted, folder, events, tmp_path):
    write(events, tmp_path)
    whole = (tmp_path / "part1.parquet").read_bytes()
    (tmp_path / "part1.parquet").write_bytes(whole[: len(whole) // 2])
    refused(fitted, ValueError, r"part1.parquet is not a Parquet file, or", tmp_path)
    (tmp_path / "part1.parquet").write_text("user,item\n1,2\n")
    refused(fitted, ValueError, r"part1.parquet is not a Parquet file, or", tmp_path)
    table = tmp_path / "events.csv"
    table.write_text("user,item\n1,2\n")
    refused(fitted, ValueError, r"events.csv is not .* pandas.read_csv first", table)


def test_a_damaged_file(fitted, events, tmp_path):
    path = tmp_path / "part0.parquet"
    events[IDS].to_parquet(path, compression="zstd")
    whole = bytearray(path.read_bytes())
    whole[4:600] = bytes(596)
    path.write_bytes(whole)
    refused(fitted, ValueError, "part0.parquet' cannot be read", path)


def test_files_with_other_schemas_are_named(fitted, events, tmp_path):
    write(events, tmp_path)
    path = tmp_path / "part2.parquet"
    events.astype({"item": str}).to_parquet(path)
    message = "column 'item' is .*string in .*part2.parquet, but int64 in .*part0"
    refused(fitted, ValueError, message, tmp_path)
    events.rename(columns={"user": "users"}).to_parquet(path)
    message = "part2.parquet has no column 'user'.* Did you mean 'users'"
    refused(fitted, ValueError, message, tmp_path)
    # columns that are not read may differ
    events.drop(columns="age").to_parquet(path)
    assert len(small().fit(tmp_path).user_ids_) == 40


@pytest.mark.slow
def test_periods_are_refused(fitted, events, tmp_path):
    months = pd.PeriodIndex.from_ordinals(events["time"], freq="M")
    events.assign(time=months).to_parquet(tmp_path / "a.parquet")
    message = r"'time' of X is period\[M\], of which.*Series.dt.to_timestamp"
    for X in kinds_of_sources(tmp_path).values():
        refused(fitted, TypeError, message, X, user_features=["time"])


@pytest.mark.slow
def test_folders_that_stand_for_a_column(fitted, events, tmp_path):
    dataset = pa.Table.from_pandas(events[events["item"] < 3])
    pq.write_to_dataset(dataset, tmp_path, partition_cols=["item"])
    for source in (tmp_path, str(tmp_path), tmp_path.as_uri()):
        model = small(user_id="user", item_id="item").fit(source)
        assert model.item_ids_.tolist() == [0, 1, 2]
    (tmp_path / "item=0" / "more.parquet").write_text("user,item")
    refused(fitted, ValueError, "cannot be read: .*more.parquet", tmp_path)


@pytest.mark.parametrize("side", few(["user", "item", "time"]))
def test_missing_ids_and_times(fitted, events, side, tmp_path):
    X = events.astype({"item": float, "time": float})
    X.loc[[300, 500], side] = None
    write(X, tmp_path)
    message = f"{side} column '{side}' contains NaN: 2 of 600 ids are missing."
    params = {}
    if side == "time":
        message = "The time column 'time' of X has 2 missing values in 600 rows."
        params = {"time": "time"}
    dataset = pa.dataset.dataset(tmp_path)
    refused(fitted, ValueError, f"{message} Drop", dataset, **params)
    message += r" The first is in .*part1.parquet\. Drop"
    refused(fitted, ValueError, message, tmp_path, **params)


@pytest.mark.slow
def test_missing_ids_of_events_without_weight_do_not_count(events, tmp_path):
    X = events.copy()
    X.loc[X["weight"] == 0, "user"] = None
    write(X, tmp_path)
    kept = X[X["weight"] > 0]
    model = small().fit(kept.drop(columns="weight"), None, kept["weight"])
    assert_same(small().fit(tmp_path, None, "weight"), model)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    few(
        [
            ([1, 0], TypeError, "y must be the name of a column of X.* Got list"),
            ("star", ValueError, "y names 'star', which is not a column.*mean 'stars'"),
            ("note", ValueError, "y, the column 'note' of X, contains .*: 600 entries"),
            ("minus", ValueError, "y, the column 'minus' of X, must be >= 0. Got -3"),
            ("zero", ValueError, "X holds no positive event"),
            ("gaps", ValueError, "y, the column 'gaps' of X, contains NaN .*: 1 ent"),
        ],
        3,
    ),
)
def test_rewards(fitted, events, tmp_path, y, error, message):
    X = events.assign(minus=-events["stars"], zero=0, note="good")
    X["gaps"] = events["stars"].astype(float)
    X.loc[5, "gaps"] = np.nan
    write(X, tmp_path)
    refused(fitted, error, message, tmp_path, y, user_id="user", item_id="item")


@pytest.mark.slow
def test_a_lazy_frame_that_fails(fitted, events):
    frame = pl.from_pandas(events)

    def fail(_):
        raise RuntimeError("the lights went out")

    lazy = frame.lazy().with_columns(pl.col("item").map_batches(fail, pl.Int64))
    message = r"LazyFrame, cannot be read: .*\. X.collect\(\) shows the whole error"
    refused(fitted, ValueError, message, lazy)
    missing = frame.lazy().select("user", "nothing")
    refused(fitted, ValueError, message, missing)


def test_what_needs_a_table_in_memory_says_so(fitted, folder):
    message = "a table in memory is needed here. Load it first"
    for call in (fitted.transform, fitted.predict, EASERecommender().fit):
        for X in (folder, str(folder), pa.dataset.dataset(folder)):
            with pytest.raises(TypeError, match=message):
                call(X)
    with pytest.raises(TypeError, match=r"as with pandas\.read_csv\."):
        EASERecommender().fit("ratings.csv")


@pytest.mark.slow
def test_no_file_stays_open(folder):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        small(time="time").fit(folder)
        small().fit(folder)
        gc.collect()
    assert [str(each.message) for each in found if "file" in str(each.message)] == []


def test_fit_transform_needs_events_in_memory(folder):
    for X in (folder, pl.scan_parquet(folder / "*.parquet")):
        model = small()
        with pytest.raises(TypeError, match="no events in memory. Call fit"):
            model.fit_transform(X)
        assert not hasattr(model, "item_ids_")


def test_no_events_and_one_column(fitted, events, tmp_path):
    events[:0].to_parquet(tmp_path / "empty.parquet")
    refused(fitted, ValueError, "X holds no events", tmp_path / "empty.parquet")
    events[["user"]].to_parquet(tmp_path / "one.parquet")
    refused(fitted, ValueError, "an item column are required", tmp_path / "one.parquet")


@pytest.mark.slow
def test_all_times_are_equal(events, folder):
    lazy = pl.scan_parquet(folder / "*.parquet").with_columns(time=7)
    with pytest.warns(UserWarning, match="All 600 positive events have the same time"):
        assert small(time="time").fit(lazy).history_kind_ == "pooled"


WITHOUT_LIBRARIES = """
import pickle, sys
for name in ("duckdb", "pyarrow", "polars"):
    sys.modules[name] = None
model = pickle.load(open(sys.argv[2], "rb"))
print(model.predict([[1, 1], [3, 2]]).tolist())
from sktwotower import TwoTowerRecommender
from tests.recommender.builders import few
TwoTowerRecommender(max_epochs=1).fit([[1, 1], [1, 2], [2, 2], [3, 1]])
for missing, installed in (("duckdb", "pyarrow"), ("pyarrow", "duckdb")):
    sys.modules[missing] = None
    del sys.modules[installed]
    try:
        TwoTowerRecommender().fit(sys.argv[1])
    except ImportError as error:
        print(error)
"""


@pytest.mark.grid
def test_a_fresh_process_without_the_libraries(folder, tmp_path):
    """It reads a pickle, fits in memory, and says what to install for the rest."""
    model = small().fit([[1, 1], [1, 2], [2, 2], [3, 1]])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    command = [sys.executable, "-c", WITHOUT_LIBRARIES]
    command += [str(folder), str(tmp_path / "model.pkl")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    predicted, *messages = done.stdout.splitlines()
    expected = model.predict([[1, 1], [3, 2]])
    np.testing.assert_allclose(json.loads(predicted), expected, atol=1e-6)
    assert len(messages) == 2
    for message, library in zip(messages, ("duckdb", "pyarrow"), strict=True):
        assert message.startswith("Events on disk") and "[scale]" in message
        assert f"{library} is not installed" in message
