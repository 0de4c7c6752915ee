"""One fit at a time in a folder of a checkpoint."""

import errno
import os
import time

import pytest
from skorch.callbacks import Callback

from sktwotower.recommender import _folder_lock
from sktwotower.recommender._folder_lock import NAME, FolderLock, used_alone
from tests.builders import random_events, small
from tests.processes import started

X = random_events()
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows")


class Second(Callback):
    """Call another fit with the same folder after each epoch."""

    def __init__(self, folder):
        self.folder = folder

    def initialize(self):
        """Forget the errors of another fit."""
        self.errors = []
        return self

    def on_epoch_end(self, net, **kwargs):
        """Keep the error of the other fit."""
        try:
            small(checkpoint=self.folder).fit("not even read")
        except OSError as error:
            self.errors.append(error)


def test_a_second_fit_is_refused_before_it_reads_anything(tmp_path):
    folder = tmp_path / "state"
    second = Second(folder)
    model = small(checkpoint=folder, max_epochs=2, callbacks=[second]).fit(X)
    assert len(second.errors) == len(model.history_) == 2
    for error in second.errors:
        assert error.errno == errno.EBUSY and error.filename == str(folder)
        assert f"is in use by another fit, process {os.getpid()} of" in str(error)
        assert "Wait until it has ended, or name another folder" in str(error)
    assert not folder.exists()
    expected = small(max_epochs=2).fit(X)
    assert (model.item_embeddings_ == expected.item_embeddings_).all()


def test_a_fit_that_fails_gives_the_folder_back(tmp_path):
    folder = tmp_path / "state"
    with pytest.raises(ValueError, match="none.parquet"):
        small(checkpoint=folder).fit("none.parquet")
    assert not folder.exists()
    small(checkpoint=folder).fit(X)
    (tmp_path / "notes.txt").write_text("mine")
    small(checkpoint=tmp_path).fit(X)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_what_a_killed_fit_has_left_is_no_lock(tmp_path):
    (tmp_path / NAME).write_text("process 1 of another machine")
    with used_alone(tmp_path):
        assert f"process {os.getpid()} of" in (tmp_path / NAME).read_text()
        with pytest.raises(OSError, match="in use"):
            FolderLock(tmp_path).take()
    assert not (tmp_path / NAME).exists()


@pytest.mark.skipif(_folder_lock.fcntl is None, reason="needs fcntl")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    def refuse(file, flags):
        raise OSError(number, "No locks available")

    monkeypatch.setattr(_folder_lock.fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="is on a file system without locks"):
        small(checkpoint=tmp_path / "state").fit(X)
    assert not (tmp_path / "state").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    message = "checkpoint=.* must be a folder that can be written"
    for folder in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(OSError, match=message):
            small(checkpoint=folder).fit(X)


def test_a_folder_that_is_removed_during_fit(tmp_path):
    folder = tmp_path / "state"

    class Removes(Callback):
        def on_epoch_end(self, net, **kwargs):
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    model = small(checkpoint=folder, max_epochs=2, callbacks=[Removes()])
    with pytest.raises(
        FileNotFoundError, match="has been removed during fit. Call fit"
    ):
        model.fit(X)


def hold(folder):
    """Take the lock of a folder, and fork a process that lives on."""
    FolderLock(folder).take()
    if not os.fork():
        print("taken")
    time.sleep(60)


@needs_fork
@pytest.mark.slow
def test_the_lock_of_a_killed_process_ends_with_it(tmp_path):
    """Also if processes live on that it has forked."""
    with started(hold, tmp_path) as holder:
        assert holder.line() == "taken"
        with pytest.raises(OSError, match=f"in use by .*, process {holder.pid} of"):
            FolderLock(tmp_path).take()
        holder.kill()
        with used_alone(tmp_path):
            assert (tmp_path / NAME).exists()
