"""Dask dataframes in fit and recommend, searches on workers, and workers that die."""

import functools
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from sktwotower.baselines import PopularityRecommender
from sktwotower.model_selection import LastNSplit, TimeSplit
from tests.builders import random_events, small
from tests.cases import for_each

# Imported by the tests: each worker of a run collects all files.
for library in ("dask", "distributed", "duckdb"):
    if find_spec(library) is None:
        pytest.skip(f"needs {library}", allow_module_level=True)

EVENTS = random_events(n_users=40, n_items=20)
USERS = pd.DataFrame({"user": [f"u{u}" for u in range(40)]})


def in_parts(frame, n_parts=5, empty=True):
    """Return a Dask dataframe with unknown divisions, its second part empty."""
    parts = np.array_split(np.arange(len(frame)), n_parts)
    if empty:
        parts.insert(1, parts[0][:0])
    frames = dict(enumerate(frame.iloc[rows] for rows in parts))
    import dask.dataframe as dd

    result = dd.from_map(frames.get, list(frames), meta=frame.iloc[:0])
    assert not result.known_divisions
    return result


def kill_once(marker):
    """Kill this process, unless one of its predecessors was killed."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at(frame, user, marker):
    if user in set(frame["user"]):
        kill_once(marker)
    return frame


def score_and_kill(marker, estimator, X, y=None):
    if marker is not None and estimator.random_state == 2:
        from distributed import get_worker

        get_worker()  # raises outside of a worker: the tests are not to be killed
        kill_once(marker)
    return estimator.score(X)


@pytest.fixture(scope="module")
def model():
    return small().fit(EVENTS)


@pytest.fixture(scope="module")
def client(start_method):
    import dask
    import distributed

    # a busy machine starts processes slowly
    timeouts = ("distributed.comm.timeouts.connect", "distributed.comm.timeouts.tcp")
    options = dict.fromkeys(timeouts, "600s")
    if start_method is not None:
        options["distributed.worker.multiprocessing-method"] = start_method
    with (
        dask.config.set(options),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def assert_same_rows(lazy, model, users=USERS, **options):
    found = lazy.compute().reset_index(drop=True)
    pd.testing.assert_frame_equal(found, model.recommend(users, **options))


@pytest.mark.slow
def test_fit_is_the_same_as_in_memory(model):
    other = small().fit(in_parts(EVENTS, n_parts=20))
    assert_array_equal(other.user_ids_, model.user_ids_)
    assert_array_equal(other.item_embeddings_, model.item_embeddings_)
    assert other.score(in_parts(EVENTS)) == model.score(EVENTS)


@pytest.mark.slow
def test_names_that_differ_only_in_case_or_are_empty():
    other = EVENTS["user"].str[::-1]
    frame = EVENTS.assign(User=other, **{"": other.str[0]})
    params = {"user_features": ["User"], "item_features": [""], "max_epochs": 1}
    with pytest.warns(UserWarning, match="disagree on the features"):
        model, other = small(**params).fit(frame), small(**params).fit(in_parts(frame))
    assert_array_equal(other.item_embeddings_, model.item_embeddings_)
    assert_array_equal(other.embed_users(["u3"]), model.embed_users(["u3"]))


@pytest.mark.slow
def test_fit_knows_rewards_weights_and_times():
    rng = np.random.default_rng(0)
    n = len(EVENTS)
    frame = EVENTS.assign(
        stars=rng.integers(3, size=n),
        weight=rng.uniform(1, 2, size=n),
        day=pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.permutation(n), "D"),
    )
    lazy = small(time="day").fit(in_parts(frame), "stars", "weight")
    X, y, weight = frame[["user", "item", "day"]], frame["stars"], frame["weight"]
    model = small(time="day").fit(X, y, weight)
    assert_array_equal(lazy.item_embeddings_, model.item_embeddings_)


def test_categories_are_read_as_their_values(model):
    frame = in_parts(EVENTS).astype({"item": "category"})
    assert_array_equal(small().fit(frame).item_ids_, model.item_ids_)


@pytest.mark.slow
def test_partial_fit(model):
    new = EVENTS.iloc[:10].assign(item="i3")
    one, two = small().fit(EVENTS), small().fit(EVENTS)
    one.partial_fit(in_parts(new))
    two.partial_fit(new)
    assert_array_equal(one.item_embeddings_, two.item_embeddings_)


@for_each("column", [None, "user"])
def test_recommend_is_lazy_and_the_same(model, column):
    users = in_parts(USERS)
    lazy = model.recommend(users if column is None else users[column], n_neighbors=4)
    assert type(lazy).__module__.startswith("dask.")
    assert lazy.npartitions == 6 and not lazy.known_divisions
    assert_same_rows(lazy, model, n_neighbors=4)


def test_recommend_with_options(model):
    options = {"history": {"new": ["i3", "i4"]}, "exclude": {"u1": ["i0"]}}
    options |= {"candidates": ["i0", "i1", "i2", "i9"], "exclude_seen": False}
    users = pd.DataFrame({"user": ["new", "u1", "u2"]})
    lazy = model.recommend(in_parts(users, 2), **options)
    assert_same_rows(lazy, model, users, **options)


@pytest.fixture(scope="module")
def asked():
    """Return events with an hour and a device, of which some are missing."""
    rng, n = np.random.default_rng(0), len(EVENTS)
    devices = np.array(["phone", "tv", None], dtype=object)[rng.integers(3, size=n)]
    return EVENTS.assign(hour=rng.integers(4, size=n), device=devices)


@pytest.fixture(scope="module")
def in_context(asked):
    return small(context=["hour", "device"]).fit(asked)


@for_each("columns", [["hour", "device"], ["device"], []], ids=str)
def test_recommend_in_the_context_of_each_row(in_context, asked, columns):
    users = asked[["user", *columns]]
    options = {} if "hour" in columns else {"context": {"hour": 3}}
    lazy = in_context.recommend(in_parts(users), **options)
    assert_same_rows(lazy, in_context, users, **options)


def test_contexts_that_fit_does_not_know_are_refused_before_any_work(in_context, asked):
    users = in_parts(asked[["user", "hour"]])
    with pytest.raises(ValueError, match="context names 'devise'.*Did you mean"):
        in_context.recommend(users, context={"devise": "tv"})
    with pytest.raises(ValueError, match="X has a column 'hours'.*Did you mean 'hour'"):
        in_context.recommend(users.rename(columns={"hour": "hours"}))


@pytest.mark.slow
def test_contexts_are_learnt_as_in_memory(in_context, asked):
    other = small(context=["hour", "device"]).fit(in_parts(asked))
    assert_array_equal(other.item_embeddings_, in_context.item_embeddings_)
    requests = asked[["user", "hour", "device"]]
    assert_same_rows(other.recommend(in_parts(requests)), in_context, requests)
    assert other.score(in_parts(asked)) == in_context.score(asked)


@pytest.mark.slow
def test_parts_are_of_pandas_whatever_chose_the_library_of_tables(model):
    pl = pytest.importorskip("polars")
    other = small().fit(pl.DataFrame(EVENTS.to_dict("list")))
    assert_same_rows(other.recommend(in_parts(USERS)), model)
    other.set_output(transform="polars")
    assert_same_rows(other.recommend(in_parts(USERS)), model)
    assert isinstance(other.recommend(["u1"]), pl.DataFrame)


@pytest.mark.slow
def test_recommend_of_a_baseline():
    model = PopularityRecommender().fit(EVENTS)
    assert_same_rows(model.recommend(in_parts(USERS)), model)


@pytest.mark.slow
def test_the_result_is_that_of_the_model_at_the_call():
    model = small(n_jobs=2).fit(EVENTS)
    before = model.recommend(USERS)
    lazy = model.recommend(in_parts(USERS))
    model.partial_fit(EVENTS.iloc[:10].assign(item="i3"))
    pd.testing.assert_frame_equal(lazy.compute().reset_index(drop=True), before)
    assert model.n_jobs == 2


def test_no_events():
    with pytest.raises(ValueError, match="X holds no events"):
        small().fit(in_parts(EVENTS.iloc[:0], 1))


def test_missing_ids():
    frame = EVENTS.assign(item=EVENTS["item"].where(EVENTS.index != 3))
    with pytest.raises(ValueError, match="item column 'item' contains NaN: 1 of"):
        small().fit(in_parts(frame))


def test_a_frame_that_fails():
    def broken(part):
        if len(part):
            raise RuntimeError("no such bucket")
        return part

    frame = in_parts(EVENTS).map_partitions(broken, meta=EVENTS.iloc[:0])
    with pytest.raises(ValueError, match="Dask dataframe, cannot be .* no such bucket"):
        small().fit(frame)


def test_a_partition_of_other_types():
    def text(part):
        return part.assign(item="many")

    numbers = EVENTS.assign(item=3)
    frame = in_parts(numbers).map_partitions(text, meta=numbers.iloc[:0])
    with pytest.raises(ValueError, match="Dask dataframe, cannot be read: Arrow"):
        small().fit(frame)


def test_outcomes_must_be_columns():
    frame = in_parts(EVENTS)
    with pytest.raises(TypeError, match="y must be the name of a column"):
        small().fit(frame, np.ones(len(EVENTS)))


def test_path_is_for_tables_in_memory(model, tmp_path):
    with pytest.raises(ValueError, match=r"to_parquet\(path\)"):
        model.recommend(in_parts(USERS), path=tmp_path / "top.parquet")


def test_splitters_say_what_to_do():
    for splitter in (TimeSplit(), LastNSplit()):
        with pytest.raises(TypeError, match="Splitters take no Dask dataframe"):
            next(splitter.split(in_parts(EVENTS)))


@pytest.mark.parametrize("missing", ["duckdb", "pyarrow"])
def test_what_to_install(missing, monkeypatch):
    frame = in_parts(EVENTS)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"{missing} is not .*sktwotower\[dask\]"):
        small().fit(frame)


@pytest.mark.slow
def test_fit_and_recommend_on_a_cluster(client, model):
    assert_array_equal(
        small().fit(in_parts(EVENTS)).item_embeddings_, model.item_embeddings_
    )
    assert_same_rows(model.recommend(in_parts(USERS)), model)
    # what keeps workers from using more threads than they have
    assert set(client.run(torch.get_num_threads).values()) == {1}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_worker_dies_in_a_bulk_recommend(client, model, tmp_path):
    marker = str(tmp_path / "killed")
    users = in_parts(USERS, 8).map_partitions(
        killed_at, "u17", marker, meta=USERS.iloc[:0]
    )
    assert_same_rows(model.recommend(users), model)
    assert Path(marker).exists()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_worker_dies_while_it_writes(client, model, tmp_path):
    client.wait_for_workers(2)
    marker = str(tmp_path / "killed")
    frame = in_parts(EVENTS, 8).map_partitions(
        killed_at, "u17", marker, meta=EVENTS.iloc[:0]
    )
    assert_array_equal(small().fit(frame).item_embeddings_, model.item_embeddings_)
    assert Path(marker).exists()


def search(marker=None):
    grid = {"temperature": [0.1, 0.3], "random_state": [1, 2]}
    scoring = functools.partial(score_and_kill, marker)
    cv = LastNSplit(n=1)
    return GridSearchCV(small(), grid, scoring=scoring, cv=cv, refit=False, n_jobs=2)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_worker_dies_in_a_search(client, tmp_path):
    expected = search().set_params(n_jobs=None).fit(EVENTS).cv_results_
    marker = str(tmp_path / "killed")
    # joblib stays in this process where a single worker is up
    client.wait_for_workers(2)
    with joblib.parallel_backend("dask"):
        found = search(marker).fit(EVENTS).cv_results_
    assert Path(marker).exists()
    assert found["params"] == expected["params"]
    assert_array_equal(found["mean_test_score"], expected["mean_test_score"])
