"""Events at a URL, what is copied of them, and the memory in which they are read."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from sktwotower import PopularityRecommender
from sktwotower.model_selection import TimeSplit
from tests.builders import random_events, small
from tests.cases import for_each

pytest.importorskip("duckdb")
dataset = pytest.importorskip("pyarrow.dataset")

EVENTS = random_events(n_users=40, n_items=20)
EVENTS["time"] = np.random.default_rng(0).permutation(len(EVENTS))
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def rows(X):
    """Return all events, as a split reads them."""
    sides = next(TimeSplit(time="time", test_size=1).split(X))
    tables = [side.to_table().to_pandas() for side in sides]
    return pd.concat(tables).sort_values("time", ignore_index=True)


def assert_is_events(X, expected=EVENTS):
    expected = expected.sort_values("time", ignore_index=True)
    found = rows(X)[list(expected.columns)]
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


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


@pytest.mark.slow
def test_a_list_of_paths(folder):
    a, b = folder / "a.parquet", folder / "b.parquet"
    for paths in ([b, a], (str(a), b), [str(folder / "a*"), b], [str(folder)]):
        assert_is_events(paths)


@pytest.mark.slow
def test_fit_score_and_split_take_a_list_of_paths(folder):
    paths = [folder / "a.parquet", str(folder / "b.parquet")]
    model, found = (small(time="time").fit(X) for X in (EVENTS, paths))
    np.testing.assert_array_equal(found.item_embeddings_, model.item_embeddings_)
    assert found.score(paths) == model.score(EVENTS)
    train, test = next(TimeSplit(time="time").split(paths))
    expected = next(TimeSplit(time="time").split(EVENTS))
    assert [train.count_rows(), test.count_rows()] == list(map(len, expected))


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_url_of_files_here(folder):
    assert_is_events(folder.as_uri())
    assert_is_events(f"{folder.as_uri()}/a.parquet", EVENTS[:70])


@pytest.mark.slow
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


@for_each(
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


@pytest.mark.slow
def test_folders_at_a_url(in_memory):
    with pytest.raises(ValueError, match="/empty' cannot be read: .* holds no files"):
        rows(f"{in_memory}/empty")
    assert_is_events(f"{in_memory}/parts", EVENTS[:70].assign(day=1))
    assert_is_events(f"{in_memory}/parts/day=1", EVENTS[:70])


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
    assert_is_events(f"s3://shop/events/a.parquet{bucket}", EVENTS[:70])
    for path in ("shop/other", "none/events"):
        with pytest.raises(
            ValueError, match=f"{path}.* Check the address.*credentials"
        ):
            rows(f"s3://{path}{bucket}")


# What is copied


@pytest.mark.slow
def test_a_filter_of_a_dataset_counts(folder):
    X = dataset.dataset(folder).filter(dataset.field("time") >= 10)
    found = small(time="time").fit(X)
    expected = small(time="time").fit(EVENTS[EVENTS["time"] >= 10])
    np.testing.assert_array_equal(found.item_embeddings_, expected.item_embeddings_)
    nothing = dataset.dataset(folder).filter(dataset.field("time") < 0)
    with pytest.raises(ValueError, match="holds no events"):
        small().fit(nothing)


# Memory


@pytest.mark.slow
def test_too_little_memory_is_said(tmp_path, monkeypatch):
    X = pd.concat([EVENTS] * 300, ignore_index=True)
    X["text"] = [str(row) * 40 for row in range(len(X))]
    X.to_parquet(tmp_path / "a.parquet")
    monkeypatch.setenv("SKTWOTOWER_MEMORY", "64MiB")
    model = small(item_features="text")
    with pytest.raises(
        ValueError, match="needs more memory than the 0.0671 GB"
    ) as said:
        model.fit(tmp_path)
    assert "OutOfMemoryException" in str(said.value)
    assert "SKTWOTOWER_MEMORY" in str(said.value) and "TMPDIR" in str(said.value)


@pytest.mark.grid
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
        params |= {"history": None, "time": "time"}
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
