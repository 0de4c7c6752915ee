"""A temporary folder that is full is named, and so is the variable for another one."""

import errno
import os
import re
import tempfile

import pytest

from tests.builders import random_events, small

DENIED = OSError(errno.EACCES, "Permission denied")
FULL = r"temporary folder is full.*TMPDIR to a folder"
pytest.importorskip("duckdb")
dataset = pytest.importorskip("pyarrow.dataset")
parquet = pytest.importorskip("pyarrow.parquet")


def raising(error):
    def fails(*_, **__):
        raise error

    return fails


def full_file():
    return open("/dev/full", "w+b")


no_space = raising(OSError(errno.ENOSPC, "Error writing bytes to file"))
CASES = {
    "a file": (tempfile, "TemporaryFile", full_file),
    "a folder": (tempfile, "TemporaryDirectory", no_space),
    "the copy": (parquet.ParquetWriter, "write_batch", no_space),
    "a quota": (
        parquet.ParquetWriter,
        "write_batch",
        raising(OSError(errno.EDQUOT, "Disk quota exceeded")),
    ),
    "in words": (
        parquet.ParquetWriter,
        "write_batch",
        raising(OSError("Error writing bytes. Detail: No space left on device")),
    ),
    "of DuckDB": (
        parquet.ParquetWriter,
        "write_batch",
        raising(RuntimeError("This limit was set by 'max_temp_directory_size'.")),
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, of Linux")
def test_a_fit_from_files_names_the_full_folder(tmp_path, monkeypatch):
    random_events().to_parquet(tmp_path / "events.parquet", index=False)
    events = dataset.dataset(tmp_path / "events.parquet")
    model = small().fit(random_events())
    expected = model.recommend(["u1"], 2)

    def error_of(place, name, fails):
        with monkeypatch.context() as patch, pytest.raises(OSError) as caught:  # noqa: PT011
            patch.setattr(place, name, fails)
            model.fit(events)
        return caught.value

    for case in CASES.values():
        error = error_of(*case)
        assert re.search(FULL, str(error)) and error.errno == errno.ENOSPC
        assert error.filename == tempfile.gettempdir()
    # other errors stay as they are
    assert error_of(tempfile, "TemporaryDirectory", raising(DENIED)) is DENIED
    assert model.recommend(["u1"], 2).equals(expected)
