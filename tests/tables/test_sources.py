"""Events at a URL, what is copied of them, and the memory in which they are read."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from sktwotower import PopularityRecommender
from sktwotower._tables import _memory, _source_kinds
from sktwotower._tables._sources import opened
from sktwotower.model_selection import TimeSplit
from tests.builders import random_events, small

duckdb = pytest.importorskip("duckdb")
dataset = pytest.importorskip("pyarrow.dataset")

EVENTS = random_events(n_users=40, n_items=20)
EVENTS["time"] = np.random.default_rng(0).permutation(len(EVENTS))
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def rows(X, *columns):
    """Return the chosen columns of all events, as they are read."""
    with opened(X) as source:
        source.select(**{f"c{i}": name for i, name in enumerate(columns)})
        found = source.query("select * from events").to_pandas()
    return found.set_axis(columns, axis="columns")


def assert_is_events(X):
    found = rows(X, "item", "time")
    pd.testing.assert_frame_equal(found, EVENTS[["item", "time"]], check_dtype=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    EVENTS[:70].to_parquet(folder / "a.parquet", index=False)
    EVENTS[70:].to_parquet(folder / "b.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def in_memory(folder):
    """Return the URL of a folder that no local path leads to."""
    fsspec = pytest.importorskip("fsspec")
    files = fsspec.filesystem("memory")
    for path in folder.iterdir():
        files.pipe(f"/shop/events/{path.name}", path.read_bytes())
    files.pipe("/shop/parts/day=1/a.parquet", (folder / "a.parquet").read_bytes())
    files.makedirs("/shop/empty", exist_ok=True)
    try:
        assert_is_events("fsspec+memory://shop/events")
    except ValueError:
        pytest.skip("this pyarrow opens no file systems of fsspec")
    return "fsspec+memory://shop"


# Lists of paths


def test_a_list_of_paths(folder):
    a, b = folder / "a.parquet", folder / "b.parquet"
    for paths in ([a, b], (str(a), b), [str(folder / "a*"), b], [str(folder)]):
        assert_is_events(paths)
    found = rows([b, a], "item", "time")  # in the order of the list
    expected = pd.concat([EVENTS[70:], EVENTS[:70]])[["item", "time"]]
    pd.testing.assert_frame_equal(
        found, expected.reset_index(drop=True), check_dtype=False
    )


@pytest.mark.slow
def test_fit_score_and_split_take_a_list_of_paths(folder):
    paths = [folder / "a.parquet", str(folder / "b.parquet")]
    model, found = (small(time="time").fit(X) for X in (EVENTS, paths))
    np.testing.assert_array_equal(found.item_embeddings_, model.item_embeddings_)
    assert found.score(paths) == model.score(EVENTS)
    train, test = next(TimeSplit(time="time").split(paths))
    expected = next(TimeSplit(time="time").split(EVENTS))
    assert [train.count_rows(), test.count_rows()] == list(map(len, expected))


def test_lists_that_are_no_paths_of_events(folder):
    a = str(folder / "a.parquet")
    for paths, message in [
        ([a, a], "name the file '.*a.parquet' twice"),
        ([a, folder], "name the file '.*a.parquet' twice"),
        ([a, "none.parquet"], "'none.parquet' in the list X is not a table, and there"),
        ([a, str(folder / "z*.pq")], "No file matches the pattern '.*' in the list X"),
        ([a, "s3://shop/b.parquet"], "with 's3://shop/b.parquet', a URL or a folder"),
        (["ann", "bob"], r"Got one column \(list\). Put both columns into X"),
    ]:
        with pytest.raises(ValueError, match=message):
            small().fit(paths)
    with pytest.raises(TypeError, match="X is a list of paths, but a table in memory"):
        PopularityRecommender().fit([a])


# URLs


def test_a_url_of_files_here(folder):
    assert_is_events(folder.as_uri())
    assert len(rows(f"{folder.as_uri()}/a.parquet", "user")) == 70


def test_a_url_of_other_file_systems(in_memory):
    assert_is_events(f"{in_memory}/events")
    assert_is_events(f"{in_memory}/events/")


@pytest.mark.slow
def test_fit_score_and_split_take_a_url(folder, in_memory):
    model = small(time="time").fit(EVENTS)
    for url in (folder.as_uri(), f"{in_memory}/events"):
        found = small(time="time").fit(url)
        np.testing.assert_array_equal(found.item_embeddings_, model.item_embeddings_)
        assert found.score(url) == model.score(EVENTS)
        train, test = next(TimeSplit(time="time").split(url))
        expected = next(TimeSplit(time="time").split(EVENTS))
        assert [train.count_rows(), test.count_rows()] == list(map(len, expected))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("foo://shop/events", "cannot be read: .*file ?system.*Check the address"),
        ("mock:///none", "cannot be read: FileNotFoundError: none. Check the address"),
        ("s3:///none", "cannot be read: .*bucket.*or pass a pyarrow Dataset"),
        ("foo://key:secret@shop/e", r"^X='foo://\*\*\*@shop/e' cannot be read"),
    ],
)
def test_a_url_that_leads_nowhere(url, message):
    with pytest.raises(ValueError, match=message):
        small().fit(url)
    with pytest.raises(ValueError, match=message):
        next(TimeSplit(time="time").split(url))


def test_folders_at_a_url(in_memory):
    with pytest.raises(ValueError, match="/empty' cannot be read: .* holds no files"):
        rows(f"{in_memory}/empty", "user")
    assert set(rows(f"{in_memory}/parts", "user", "day")["day"]) == {1}
    assert len(rows(f"{in_memory}/parts/day=1", "user")) == 70


@pytest.fixture(scope="module")
def bucket(folder):
    """Return the query of URLs of a server of S3 whose bucket holds the events."""
    server = pytest.importorskip("moto.server", reason="needs moto[server]")
    boto3 = pytest.importorskip("boto3")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        running = server.ThreadedMotoServer(
            ip_address="127.0.0.1", port=0, verbose=False
        )
        running.start()
        host = "{}:{}".format(*running.get_host_and_port())
        client = boto3.client("s3", endpoint_url=f"http://{host}")
        client.create_bucket(Bucket="shop")
        for path in folder.iterdir():
            client.put_object(
                Bucket="shop", Key=f"events/{path.name}", Body=path.read_bytes()
            )
        client.put_object(Bucket="shop", Key="events/_SUCCESS", Body=b"")
        yield f"?endpoint_override={host}&scheme=http"
        running.stop()


@pytest.mark.slow
def test_events_in_s3(bucket):
    assert_is_events(f"s3://shop/events{bucket}")
    assert len(rows(f"s3://shop/events/a.parquet{bucket}", "user")) == 70
    for path in ("shop/other", "none/events"):
        with pytest.raises(
            ValueError, match=f"{path}.* Check the address.*credentials"
        ):
            rows(f"s3://{path}{bucket}", "user")


# What is copied


def test_a_dataset_is_read_once(folder, monkeypatch):
    X, readings = dataset.dataset(folder).filter(dataset.field("time") >= 10), []
    scanner = _source_kinds.DatasetSource.written
    monkeypatch.setattr(
        _source_kinds.DatasetSource,
        "written",
        lambda self, path: readings.append(path) or scanner(self, path),
    )
    with opened(X) as source:
        source.select(i="item", t="time")
        for _ in range(3):
            found = source.query("select * from events order by t").to_pandas()
    expected = EVENTS[EVENTS["time"] >= 10].sort_values("time")
    assert found["i"].tolist() == expected["item"].tolist() and len(readings) == 1


def test_durations_of_a_dataset_are_those_of_files(tmp_path):
    waited = np.arange(len(EVENTS)).astype("timedelta64[us]")
    EVENTS.assign(waited=waited).to_parquet(tmp_path / "a.parquet")
    for X in (tmp_path, dataset.dataset(tmp_path)):
        assert rows(X, "waited")["waited"].tolist() == list(range(len(EVENTS)))


def test_a_dataset_without_rows(folder):
    nothing = dataset.dataset(folder).filter(dataset.field("time") < 0)
    assert rows(nothing, "user", "time").shape == (0, 2)


# Memory and temporary files


def test_duckdb_takes_a_share_of_the_memory_and_all_processors(folder, monkeypatch):
    def settings():
        with opened(folder) as source:
            names = "memory_limit", "threads", "temp_directory"
            asked = ", ".join(f"current_setting('{name}')" for name in names)
            return source.connection.sql(f"select {asked}").fetchall()[0]

    monkeypatch.setattr(joblib, "cpu_count", lambda: 64)
    monkeypatch.setenv("SKTWOTOWER_MEMORY", "2GiB")
    assert settings()[:2] == ("512.0 MiB", 4)
    monkeypatch.setenv("SKTWOTOWER_MEMORY", "200GiB")
    assert settings()[:2] == ("50.0 GiB", 64)
    monkeypatch.delenv("SKTWOTOWER_MEMORY")
    monkeypatch.setattr(_memory, "_of_cgroups", lambda: [2**28])
    assert settings()[:2] == ("64.0 MiB", 1)
    monkeypatch.setattr("tempfile.tempdir", str(folder.parent))
    assert Path(settings()[2]).parent == folder.parent


@pytest.mark.parametrize("error", [MemoryError, duckdb.OutOfMemoryException])
def test_too_little_memory_is_said(folder, error, monkeypatch):
    monkeypatch.setenv("SKTWOTOWER_MEMORY", "2GB")

    def fails(*args, **kwargs):
        raise error("failed to allocate\nmore")

    for X in (folder, dataset.dataset(folder)):
        with (
            pytest.raises(ValueError, match="needs more memory than the 2 GB") as said,
            opened(X) as source,
        ):
            source.select(u="user")
            source.connection = type("Fails", (), {"sql": fails})()
            source.query("select 1")
    assert "SKTWOTOWER_MEMORY" in str(said.value) and "TMPDIR" in str(said.value)
    assert f"({error.__name__}: failed to allocate)" in str(said.value)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA")
def test_a_fit_in_little_memory(tmp_path):
    """Ten million events, whose sort takes more, in 1.2 GB.

    The interpreter and the libraries come on top: .36 GB with the CPU version of torch,
    .91 GB with that of CUDA. So the process looks up what they took.
    """
    script = """
        import re
        import resource
        from pathlib import Path

        import duckdb
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq
        from sktwotower import TwoTowerRecommender

        status = Path("/proc/self/status").read_text()
        taken = 1024 * int(re.search(r"VmData:\\s*(\\d+) kB", status)[1])
        limit = taken + 1_200_000_000
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        rng, n = np.random.default_rng(0), 1_000_000
        for part in range(10):
            columns = {
                "user": rng.integers(80_000, size=n),
                "item": rng.integers(3_000, size=n),
                "time": rng.integers(1_000_000_000, size=n),
                "stars": rng.random(n) + 0.5,
                "weight": rng.random(n) + 0.5,
            }
            table = pa.table(columns)
            pq.write_table(table, f"{part}.parquet", use_dictionary=False)
        del columns
        params = {"embedding_dim": 4, "max_epochs": 1, "batch_size": 8192}
        params |= {"history": None, "second_share": 0, "time": "time"}
        model = TwoTowerRecommender(user_id="user", item_id="item", **params)
        model.fit("*.parquet", "stars", "weight")
        print(len(model.user_ids_))
    """
    env = os.environ.copy()
    # of Arrow's other pools a large part is reserved, and never used
    env["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    # each thread reserves a stack, on a machine of many processors more than the limit
    env["OMP_NUM_THREADS"] = "1"
    env.pop("SKTWOTOWER_MEMORY", None)
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    (tmp_path / "fit.py").write_text(textwrap.dedent(script))
    command = [sys.executable, "fit.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "80000\n", done.stderr[-2000:]
