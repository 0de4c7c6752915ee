"""Copies of a file that processes map together."""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sktwotower import TwoTowerRecommender, io, runtime

pytest.importorskip("fcntl")  # elsewhere files are read
X = [["ann", "tea"], ["bob", "jam"], ["bob", "tea"], ["ann", "oil"]]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the files of two models."""
    paths, folder = [], tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=seed)
        paths.append(folder / f"{seed}.sktt")
        io.dump(model.fit(X), paths[-1])
    return paths


@pytest.fixture
def path(models, tmp_path):
    return shutil.copyfile(models[0], tmp_path / "model.sktt")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Return the folder of the copies, which is not there yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"sktwotower-{os.getuid()}"


@pytest.fixture
def latest(path):
    """Return a `LatestModel` that maps, and looks when its ``_look`` is called."""
    latest = io.LatestModel(path, seconds=float("inf"), load=runtime.load, mmap=True)
    with latest:
        yield latest


def held(path):
    """Return what maps a file, until its block ends."""
    return io.LatestModel(path, seconds=float("inf"), load=runtime.load, mmap=True)


def digest_of(path):
    """Return the name of the copy of a file: the checksum at its end."""
    return Path(path).read_bytes()[-64:].decode()


def names(folder):
    return sorted(os.listdir(folder))


def publish(latest, data):
    latest.path.write_bytes(data)
    latest._look()
    latest._look()


def test_equal_files_have_one_copy_until_nobody_holds_it(models, path, folder):
    with held(models[1]):
        with held(path):
            with held(models[0]):
                assert names(folder) == sorted(map(digest_of, models))
                copy = folder / digest_of(path)
                assert copy.read_bytes() == path.read_bytes()
            assert copy.exists()
        assert names(folder) == [digest_of(models[1])]
    assert names(folder) == []
    assert folder.stat().st_mode & 0o777 == 0o700


HOLD = """
import sys, tempfile
from sktwotower import io, runtime
tempfile.tempdir, path = sys.argv[1:]
with io.LatestModel(path, seconds=float("inf"), load=runtime.load, mmap=True):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_copy_of_a_process_that_was_killed_is_removed(models, path, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.parent), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    copy = folder / digest_of(path)
    inode = copy.stat().st_ino
    with held(models[1]):
        with held(path):
            assert copy.stat().st_ino == inode
        assert copy.exists()
        (folder / "0.part").write_bytes(b"of another one that was killed")
        process.kill()
        process.communicate()
    assert names(folder) == []


def test_processes_map_one_copy_that_later_writes_do_not_reach(latest, models, folder):
    expected = [runtime.load(path).recommend("ann", 3) for path in models]
    with io.LatestModel(latest.path, load=runtime.load, mmap=True) as other:
        assert len(names(folder)) == 1
        assert "mmap" in repr(base_of(latest.current.model.item_embeddings_))
        latest.path.write_bytes(b"")  # whoever had mapped it would die of SIGBUS
        for each in (latest, other):
            _, scores = each.current.model.recommend("ann", 3)
            np.testing.assert_array_equal(scores, expected[0][1])
        publish(latest, models[1].read_bytes())
        _, scores = latest.current.model.recommend("ann", 3)
        np.testing.assert_array_equal(scores, expected[1][1])
    assert names(folder) == [digest_of(models[1])]
    latest.__exit__()
    assert names(folder) == []
    _, scores = latest.current.model.recommend("ann", 3)  # what is mapped stays
    np.testing.assert_array_equal(scores, expected[1][1])
    latest.__enter__()


def base_of(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return getattr(array, "obj", array)


def test_a_file_of_another_program_is_read(tmp_path, folder):
    (tmp_path / "text").write_text("of 12 letters")

    def load(path, mmap, verify):
        return path.read_text(), mmap

    with io.LatestModel(tmp_path / "text", load=load, mmap=True) as latest:
        assert latest.current.model == ("of 12 letters", False)
    assert not folder.exists()


def test_a_damaged_copy_does_not_stay(latest, models, folder):
    old = latest.current
    data = bytearray(models[1].read_bytes())
    vectors = runtime.load(models[1]).item_embeddings_.tobytes()
    data[data.index(vectors)] ^= 1
    publish(latest, data)
    assert latest.current is old and latest.n_refused == 1
    assert names(folder) == [digest_of(models[0])]
    publish(latest, models[1].read_bytes())
    assert latest.current.version == latest.path.stat().st_mtime_ns


def test_a_file_that_changes_while_it_is_copied_is_refused(
    models, path, folder, monkeypatch, caplog
):
    copyfile = shutil.copyfile
    monkeypatch.setattr(shutil, "copyfile", lambda _, copy: copyfile(models[1], copy))
    with held(path) as latest:
        assert latest.current is None
    assert "model.sktt has changed while it was copied" in caplog.text
    assert names(folder) == []


@pytest.mark.parametrize("kind", ["before", "meanwhile"])
def test_on_a_full_disk_the_old_model_stays(
    latest, models, folder, monkeypatch, caplog, kind
):
    old = latest.current
    with monkeypatch.context() as full:
        if kind == "before":
            free = SimpleNamespace(free=3)
            full.setattr(shutil, "disk_usage", lambda folder: free)
        else:

            def copyfile(path, copy):
                copy.write_bytes(b"half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

            full.setattr(shutil, "copyfile", copyfile)
        publish(latest, models[1].read_bytes())
        assert latest.current is old and latest.n_refused == 1
        assert old.model.recommend("ann", 3)[0].tolist()
        assert names(folder) == [digest_of(models[0])]
    for part in (
        f"version {old.version} is still served",
        f"cannot be copied to {folder}, which has ",
        "MB free: No space left on device. The copy takes 0 MB. Free space, or set the "
        "environment variable TMPDIR",
    ):
        assert part in caplog.text
    latest._look()  # there is space again
    assert latest.current.version == latest.path.stat().st_mtime_ns


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_folder_of_others_is_refused(path, folder, tmp_path, caplog, kind):
    if kind == "open to others":
        folder.mkdir(mode=0o700)
        folder.chmod(0o777)
    elif kind == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "theirs")
    else:
        folder.write_text("")
    with held(path) as latest:
        assert latest.current is None
    assert re.search("Remove it, or set .* TMPDIR", caplog.text)


def test_a_folder_that_was_removed_does_no_harm(latest, models, folder):
    shutil.rmtree(folder)  # by a program that tidies up
    publish(latest, models[1].read_bytes())
    assert latest.current.version == latest.path.stat().st_mtime_ns
    shutil.rmtree(folder)
