"""A model that is replaced while it is served."""

import logging
import os
import threading
import time

import pytest

from sktwotower import PopularityRecommender, TwoTowerRecommender, io, runtime

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
        assert best(latest) == "jam" and latest._thread.is_alive()


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


def test_arguments_are_passed_to_load(path, monkeypatch):
    passed = []
    monkeypatch.setattr(
        "sktwotower.io._persist.load", lambda path, **how: passed.append(how)
    )
    how = {"trusted": ["a.B"], "towers": {"user_tower": 1}, "mmap": False}
    for given in {}, how | {"verify": True}:
        with io.LatestModel(path, **given):
            pass
    assert passed == [
        {"trusted": (), "towers": None, "mmap": True, "verify": False},
        how | {"verify": True},
    ]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "1", None])
def test_the_time_between_two_looks_must_be_positive(path, seconds):
    with pytest.raises(ValueError, match="seconds must be a number > 0. Got"):
        io.LatestModel(path, seconds=seconds)
