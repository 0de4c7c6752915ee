"""A temporary folder that is full is named, and so is the variable for another one."""

import errno
import os
import tempfile

import numpy as np
import pytest

from sktwotower._tables._sparse import Column
from sktwotower._tables._temporary import says_full, temporary_files
from tests.builders import random_events, small

FULL = r"temporary folder is full.*TMPDIR to a folder"
HAS_FULL_DEVICE = os.path.exists("/dev/full")
pytest.importorskip("duckdb")
dataset = pytest.importorskip("pyarrow.dataset")


@pytest.fixture
def path(tmp_path):
    random_events().to_parquet(tmp_path / "events.parquet", index=False)
    return tmp_path / "events.parquet"


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError("Error writing bytes to file. Detail: No space left on device"), True),
        (
            ValueError("underlying IO error: No space left on device (os error 28)"),
            True,
        ),
        (RuntimeError("This limit was set by 'max_temp_directory_size'."), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (ValueError("no such column"), False),
    ],
)
def test_what_says_that_a_disk_is_full(error, is_full):
    assert says_full(error) is is_full


def test_other_errors_stay_as_they_are():
    for error in (OSError(errno.EACCES, "Permission denied"), ValueError("full")):
        with pytest.raises(type(error)) as caught, temporary_files():
            raise error
        assert caught.value is error


@pytest.mark.skipif(not HAS_FULL_DEVICE, reason="needs /dev/full, of Linux")
def test_fit_from_files_names_the_full_folder(path, monkeypatch):
    model = small().fit(random_events())
    state = model._fitted
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "w+b"))
    with pytest.raises(OSError, match=FULL) as caught:
        model.fit(path)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == tempfile.gettempdir()
    assert model._fitted is state and len(model.recommend(["u1"], 2))


@pytest.mark.skipif(not HAS_FULL_DEVICE, reason="needs /dev/full, of Linux")
@pytest.mark.parametrize("n", [1, 100_000])
def test_a_column_on_a_full_disk(monkeypatch, n):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: open("/dev/full", "w+b"))
    column = Column(on_disk=True)
    with pytest.raises(OSError, match=FULL):  # noqa: PT012 - small ones fill a buffer
        column.append(np.zeros(n))
        column.finish()


def full(*_, **__):
    raise OSError(errno.ENOSPC, "Error writing bytes to file")


def test_no_room_for_a_folder(path, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
    with pytest.raises(OSError, match=FULL):
        small().fit(path)


def test_no_room_for_the_copy_of_a_dataset(path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet.ParquetWriter, "write_batch", full)
    with pytest.raises(OSError, match=FULL):
        small().fit(dataset.dataset(path))
