"""Files that take the place of others: what killed writers leave is removed."""

import pytest

from sktwotower import PopularityRecommender, io
from tests.builders import random_events

fcntl = pytest.importorskip("fcntl")
MODEL = PopularityRecommender().fit(random_events())


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model[1].sktt"
    path.write_bytes(b"old")
    return path


def names(path):
    return {other.name for other in path.parent.iterdir()} - {path.name}


def left_of(path, mark="0123456789abcdef"):
    """Return the file that a writer has left which was killed."""
    left = path.with_name(f".{path.name}.{mark}.part")
    left.write_bytes(b"part")
    return left


def is_model(path):
    return io.load(path).item_ids_.tolist() == MODEL.item_ids_.tolist()


def test_what_a_killed_writer_has_left_is_removed(path, tmp_path):
    kept = [f".{path.name}.bak.0123456789abcdef.part", f".{path.name}.part", "a.part"]
    for name in kept:
        (tmp_path / name).write_bytes(b"")
    left, other = left_of(path), left_of(tmp_path / "other")
    (tmp_path / f".{path.name}.{16 * '0'}.part").symlink_to(other)
    (tmp_path / f".{path.name}.{16 * '1'}.part").mkdir()
    before = names(path)
    io.dump(MODEL, path)
    assert names(path) == before - {left.name} and is_model(path)


def test_another_writer_at_the_same_time_is_left_alone(path):
    with open(left_of(path), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        io.dump(MODEL, path)
    assert len(names(path)) == 1 and is_model(path)
    io.dump(MODEL, path)
    assert not names(path)


@pytest.mark.parametrize("locks", ["come too late", "fail"])
def test_a_file_is_written_whatever_happens_to_its_lock(path, locks, monkeypatch):
    flock, calls = fcntl.flock, []

    def fake(*args):
        calls.append(args)
        if locks == "fail":
            raise OSError("no locks here")
        if len(calls) == 1:
            io.dump(MODEL, path)  # which removes the file that is not yet locked
            assert not names(path)
        flock(*args)

    left = left_of(path) if locks == "fail" else None
    monkeypatch.setattr(fcntl, "flock", fake)
    io.dump(MODEL, path)
    assert is_model(path) and names(path) == ({left.name} if left else set())


def test_a_missing_folder_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "none" / "model.sktt"
    with pytest.raises(FileNotFoundError, match="does not exist. Create it") as caught:
        io.dump(MODEL, path)
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []
