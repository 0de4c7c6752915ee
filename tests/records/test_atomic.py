"""Files that take the place of others: what killed writers leave is removed."""

import pytest

from sktwotower._records import _atomic
from sktwotower._records._atomic import replaced_file


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model[1].sktt"
    path.write_bytes(b"old")
    return path


def names(path):
    return {other.name for other in path.parent.iterdir()} - {path.name}


def left_of(path):
    """Return the name that a writer has left which was killed."""
    left = path.with_name(f".{path.name}.0123456789abcdef.part")
    left.write_bytes(b"part")
    return left


def write(path):
    with replaced_file(path) as file:
        file.write(b"new")


def test_what_a_killed_writer_has_left_is_removed(path, tmp_path):
    pytest.importorskip("fcntl")
    kept = [f".{path.name}.bak.0123456789abcdef.part", f".{path.name}.part", "a.part"]
    for name in kept:
        (tmp_path / name).write_bytes(b"")
    left, other = left_of(path), left_of(tmp_path / "other")
    (tmp_path / f".{path.name}.{16 * '0'}.part").symlink_to(other)
    (tmp_path / f".{path.name}.{16 * '1'}.part").mkdir()
    before = names(path)
    write(path)
    assert names(path) == before - {left.name} and path.read_bytes() == b"new"


def test_another_writer_at_the_same_time_is_left_alone(path):
    with replaced_file(path) as file:
        file.write(b"first")
        write(path)
        assert path.read_bytes() == b"new" and len(names(path)) == 1
    assert path.read_bytes() == b"first" and not names(path)


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(path, monkeypatch):
    fcntl, flock = pytest.importorskip("fcntl"), _atomic.fcntl.flock

    def too_late(*args):
        monkeypatch.setattr(fcntl, "flock", flock)
        write(path)  # which removes the file that is not yet locked
        assert not names(path)
        flock(*args)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with replaced_file(path) as file:
        file.write(b"first")
    assert path.read_bytes() == b"first" and not names(path)


def fails(*args):
    raise OSError("no locks here")


def test_without_locks_nothing_is_removed(path, monkeypatch):
    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", fails)
    left = left_of(path)
    write(path)
    assert names(path) == {left.name} and path.read_bytes() == b"new"


def test_without_the_library_of_locks(path, monkeypatch):
    monkeypatch.setattr(_atomic, "fcntl", None)
    left = left_of(path)
    write(path)
    assert names(path) == {left.name} and path.read_bytes() == b"new"


def test_a_missing_folder_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "none" / "model.sktt"
    with pytest.raises(FileNotFoundError, match="does not exist. Create it") as caught:
        with replaced_file(path):
            pass
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
