"""A model that is replaced while it is served."""

import json
import logging
import os
import subprocess
import sys
import threading
import time

import pytest

from sktwotower import PopularityRecommender, TwoTowerRecommender, io, runtime
from sktwotower.datasets import make_interactions
from sktwotower.neighbors import ExactNeighbors

FIRST = PopularityRecommender().fit([["ann", "tea"], ["bob", "jam"], ["bob", "tea"]])
SECOND = PopularityRecommender().fit([["ann", "tea"], ["bob", "oil"], ["bob", "tea"]])


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.sktt"
    io.dump(FIRST, path)
    return path


def best(latest):
    return latest.current.model.recommend(["ann"], 1)["item"].item()


def wait_until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def watch(path, **options):
    return io.LatestModel(path, seconds=0.01, **options)


def test_it_loads_by_the_runtime(tmp_path):
    path = tmp_path / "model.sktt"
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0)
    model.fit([["ann", "tea"], ["bob", "jam"], ["bob", "tea"]])
    io.dump(model, path)
    with watch(path, load=runtime.load) as latest:
        assert type(latest.current.model) is runtime.Runtime
        assert latest.current.model.recommend("ann", 1)[0].tolist() == ["jam"]


def test_a_new_file_is_served_and_the_old_model_still_answers(path):
    latest = watch(path)
    assert latest.current is None
    with latest:
        old = latest.current
        assert best(latest) == "jam" and old.version == path.stat().st_mtime_ns
        io.dump(SECOND, path)
        wait_until(lambda: latest.current is not old)
        assert best(latest) == "oil"
        assert latest.current.version == path.stat().st_mtime_ns > old.version
        assert old.model.recommend(["ann"], 1)["item"].item() == "jam"
    assert latest.n_refused == 0


def test_a_file_of_the_same_time_is_another_one(path, tmp_path):
    with watch(path) as latest:
        io.dump(SECOND, tmp_path / "other")
        os.utime(tmp_path / "other", ns=(latest.current.version,) * 2)
        os.replace(tmp_path / "other", path)
        wait_until(lambda: best(latest) == "oil")


def test_a_file_that_may_be_read_later_is_loaded_then(path, monkeypatch):
    allowed, load = [], io.load

    def read(path, **options):
        if not allowed:  # as for a file of another user
            raise PermissionError(path)
        return load(path, **options)

    monkeypatch.setattr(os, "access", lambda path, mode: bool(allowed))
    with watch(path, load=read) as latest:
        time.sleep(0.03)  # more looks
        assert latest.current is None and latest.n_refused == 1
        allowed.append(True)  # by chmod, which leaves the time of the file
        wait_until(lambda: latest.current is not None)
        assert best(latest) == "jam" and latest.n_refused == 1


@pytest.mark.parametrize("kind", ["missing", "damaged", "unchecked"])
def test_a_file_that_cannot_be_served_is_refused_once(path, tmp_path, caplog, kind):
    def check(model):
        assert "oil" not in model.item_ids_, "oil is not sold here"

    with watch(path, check=check) as latest, caplog.at_level(logging.INFO):
        caplog.clear()  # other tests may have made the first look speak, too
        if kind == "missing":
            path.unlink()
        elif kind == "damaged":
            (tmp_path / "other").write_bytes(path.read_bytes()[:900])
            os.replace(tmp_path / "other", path)
        else:
            io.dump(SECOND, path)
        wait_until(lambda: latest.n_refused)
        time.sleep(0.03)  # more looks
        assert best(latest) == "jam" and latest.n_refused == 1
        assert [record.name for record in caplog.records] == ["sktwotower"]
        text = {"missing": "FileNotFound", "damaged": "not a", "unchecked": "not sold"}
        assert text[kind] in caplog.text
        io.dump(FIRST, path)
        wait_until(lambda: len(caplog.records) == 2)
        version = latest.current.version
        assert caplog.messages[1] == f"serving version {version} of {path}"


def test_without_a_file_there_is_no_model_until_one_is_written(tmp_path):
    with watch(tmp_path / "later") as latest:
        assert latest.current is None and latest.n_refused == 1
        io.dump(FIRST, tmp_path / "later")
        wait_until(lambda: latest.current)
        assert best(latest) == "jam"


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(path):
    checked = []

    def load_slowly(path, **options):
        model = io.load(path, **options)
        if not checked:
            checked.append(model)
            io.dump(SECOND, path)
        return model

    with io.LatestModel(path, seconds=1000, load=load_slowly) as latest:
        assert best(latest) == "oil"
        assert latest.current.version == path.stat().st_mtime_ns


def test_such_a_file_is_refused_once(path):
    paths = []

    def load_slowly(path, **options):
        paths.append(path)
        if len(paths) == 1:
            io.dump(SECOND, path)
        return io.load(path, **options)

    def check(model):
        assert "oil" not in model.item_ids_

    with watch(path, check=check, load=load_slowly) as latest:
        time.sleep(0.05)  # more looks
        assert latest.n_refused == 1 and latest.current is None


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_look_can_be_enough(path):
    with io.LatestModel(path, seconds=float("inf")) as latest:
        io.dump(SECOND, path)
        time.sleep(0.05)
        assert best(latest) == "jam"


def test_the_thread_ends_with_the_block_which_can_begin_again(path):
    before, latest = threading.active_count(), watch(path)
    for _ in range(2):
        with latest:
            assert threading.active_count() == before + 1
            with pytest.raises(ValueError, match="looks for new files already"):
                latest.__enter__()
        assert threading.active_count() == before
    io.dump(SECOND, path)
    time.sleep(0.05)
    assert best(latest) == "jam"


def test_what_is_trusted_is_passed_to_load(tmp_path):
    pytest.importorskip("skops.io")
    path, name = tmp_path / "model.sktt", f"{Exact.__module__}.Exact"
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, neighbors=Exact())
    io.dump(model.fit([["ann", "tea"], ["bob", "jam"], ["bob", "tea"]]), path)
    with watch(path, trusted=[name]) as latest:
        assert best(latest) == "jam"
    with watch(path) as latest:
        assert latest.current is None


class Exact(ExactNeighbors):
    """An index of the caller."""


BAD_MMAP = ["yes", 1]


def test_mmap_is_auto_or_a_bool(path):
    for mmap in BAD_MMAP:
        with pytest.raises(ValueError, match='mmap must be "auto", True or False. Got'):
            io.LatestModel(path, mmap=mmap)


BAD_SECONDS = [0, float("nan"), "1"]


def test_the_time_between_two_looks_must_be_positive(path):
    for seconds in BAD_SECONDS:
        with pytest.raises(ValueError, match="seconds must be a number > 0. Got"):
            io.LatestModel(path, seconds=seconds)


# Files that are written in place


def rewrite(path, data):
    """Write bytes into a file, as cp does, and return their state of before."""
    before = path.stat()
    path.write_bytes(data)
    return before


@pytest.fixture
def looks(path):
    """Return a `LatestModel` that looks when its ``_look`` is called, and attempts."""
    attempts = []

    def load(path, **options):
        attempts.append(path)
        return io.load(path, **options)

    with io.LatestModel(path, seconds=float("inf"), load=load) as latest:
        latest.seconds = 0.5  # its thread has begun to wait
        yield latest, attempts


def second_file(tmp_path):
    io.dump(SECOND, tmp_path / "second.sktt")
    return (tmp_path / "second.sktt").read_bytes()


def test_a_file_is_not_loaded_while_it_changes(path, tmp_path, looks, caplog):
    latest, attempts = looks
    data = second_file(tmp_path)
    for length in range(100, 1000, 100):
        path.write_bytes(data[:length])
        latest._look()
    # the first look cannot know that more is to come; all others wait
    assert len(attempts) == 2 and latest.n_refused == 0 and best(latest) == "jam"
    latest._look()
    assert len(attempts) == 3 and latest.n_refused == 1 and best(latest) == "jam"
    version = latest.current.version
    assert f"cannot be served: version {version} is still served" in caplog.text
    path.write_bytes(data)
    latest._look()
    assert best(latest) == "jam"
    latest._look()
    assert best(latest) == "oil" and latest.n_refused == 1
    assert latest.current.version == path.stat().st_mtime_ns


def test_a_file_that_fails_is_tried_again_ever_later(path, tmp_path, looks):
    latest, attempts = looks
    path.write_bytes(second_file(tmp_path)[:900])
    for n_attempts in (2, 3, 4, 4, 5, 5, 5, 5, 6, *[6] * 7, 7):
        latest._look()
        assert len(attempts) == n_attempts
    assert latest.n_refused == 1


def test_a_file_of_the_same_time_and_size_is_another_one(path, tmp_path, looks):
    latest, _ = looks
    data = second_file(tmp_path)
    assert len(data) == path.stat().st_size
    before = rewrite(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    latest._look()
    assert best(latest) == "oil"


def test_a_whole_file_under_the_checksum_of_another_one_is_not_served(
    path, tmp_path, looks
):
    latest, _ = looks
    data = second_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-64] + data[-64:])
    for _ in range(3):
        latest._look()
    assert best(latest) == "jam" and latest.n_refused == 1
    io.dump(FIRST, path)
    latest._look()
    latest._look()
    assert latest.current.version == path.stat().st_mtime_ns


WITHOUT_A_SIGNAL = """
import json, sys, threading, time
from pathlib import Path
import numpy as np
from sktwotower import io, runtime

folder, mmap = Path(sys.argv[1]), json.loads(sys.argv[2])
files = [folder / "a.sktt", folder / "b.sktt"]
models = [runtime.load(file) for file in files]
users = models[0].user_ids_.tolist()
right = [[model.recommend(user, 5) for user in users] for model in models]
path = folder / "served.sktt"
served, names, wrong = set(), {}, 0


def is_right(name, place, ids, scores):
    expected = right[name][place]
    return ids.tolist() == expected[0].tolist() and np.allclose(scores, expected[1])


def write(name, mode, steps, end=1.0):
    data = files[name].read_bytes()
    data = data[: int(len(data) * end)]
    with open(path, mode, buffering=0) as file:
        file.truncate(len(data) if mode == "r+b" else 0)
        for start in range(0, len(data), len(data) // steps + 1):
            file.write(data[start : start + len(data) // steps + 1])
            time.sleep(0.03)  # several looks


def publish():
    for turn in range(6):
        name = 1 - turn % 2
        if turn in (2, 3):
            write(name, "wb", 2, end=0.7)  # ends before its end
        write(name, ("wb", "r+b")[turn // 2 % 2], (3, 1)[turn // 4])
        names[path.stat().st_mtime_ns] = name
        deadline = time.monotonic() + 60
        while (path.stat().st_mtime_ns, name) not in served:
            assert time.monotonic() < deadline
            time.sleep(0.005)


path.write_bytes(files[0].read_bytes())
names[path.stat().st_mtime_ns] = 0
how = {} if mmap is None else {"mmap": mmap}
with io.LatestModel(path, seconds=0.005, load=runtime.load, **how) as latest:
    writer = threading.Thread(target=publish)
    writer.start()
    place = 0
    while writer.is_alive():
        place = (place + 1) % len(users)
        model, version = latest.current
        ids, scores = model.recommend(users[place], 5)
        matches = [name for name in (0, 1) if is_right(name, place, ids, scores)]
        wrong += len(matches) != 1
        served.add((version, *matches))
print(json.dumps([wrong, sorted(served), sorted(names.items())]))
"""


@pytest.mark.each_time("default")
@pytest.mark.slow
@pytest.mark.parametrize("mmap", ["default", "mapped"])
def test_files_that_are_written_in_place_next_to_requests(tmp_path, mmap):
    X = make_interactions(30, 200, random_state=0).data
    for seed, name in enumerate(("a.sktt", "b.sktt")):
        model = TwoTowerRecommender(max_epochs=1, random_state=seed)
        io.dump(model.fit(X), tmp_path / name)
    arguments = [str(tmp_path), "true" if mmap == "mapped" else "null"]
    (tmp_path / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_SIGNAL, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
    )
    assert done.returncode == 0, done.stderr
    wrong, served, names = json.loads(done.stdout)
    assert wrong == 0
    assert served == names and len(names) == 7
    assert not any(file.is_file() for file in (tmp_path / "temporary").rglob("*"))
