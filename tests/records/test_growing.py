"""A rehearsal of format 2: its records read files of format 1, which refuses its files.

The records of both are defined here. Those of the version that is defined last are the
ones that files are read as.
"""

import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from sklearn.base import BaseEstimator

import sktwotower
from sktwotower import io
from sktwotower._records import UpTo, array, integer, record
from sktwotower._records import _format_version as format_version
from tests.io.builders import META, forged, members_of
from tests.io.make_format_file import DATA, answers

TABLE = np.array([[1.0, 2.0], [3.0, 4.0]])


def version_1():
    """Define the records of the first version; return its estimator."""

    @record
    @dataclass(frozen=True)
    class State:
        names: list[str]
        table: array("float64", "n d")
        days: integer()
        n: integer(1)

    @record
    class Shelf(BaseEstimator):
        _parameter_constraints: dict = {}
        state_: State
        width_: integer(1)

        def __init__(self, share=0.5, old=1):
            self.share = share
            self.old = old

        def fit(self):
            self.state_ = State(["a", "b"], TABLE, 2, 2)
            self.width_ = 3
            return self

    return Shelf


def _in_seconds(specs):
    """Return the JSON of a state whose days have become seconds."""
    specs["seconds"] = 86400 * specs.pop("days")
    return specs


def version_2():
    """Define those of a later one: fields have come, gone, and got other names."""

    @record
    @dataclass(frozen=True)
    class State:
        ids: list[str]
        seconds: integer()
        n: integer(1)
        weights: list[float] | None

        _older_formats = (
            UpTo(
                1,
                lacking={"weights": None},
                renamed={"names": "ids"},
                gone=("table",),
                translate=_in_seconds,
            ),
        )

    @record
    class Shelf(BaseEstimator):
        _parameter_constraints: dict = {}
        state_: State
        size_: integer(1)
        _older_formats = (UpTo(1, renamed={"width_": "size_"}),)
        _older_parameters = (
            UpTo(
                1,
                lacking={"new": "as before"},
                renamed={"share": "part"},
                gone=("old",),
            ),
        )

        def __init__(self, part=0.5, new="as it should be"):
            self.part = part
            self.new = new

        def fit(self):
            self.state_ = State(["a"], 1, 1, [0.5])
            self.size_ = 4
            return self

    return Shelf


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


@pytest.fixture
def now_2(monkeypatch):
    """Return a function that raises the number of the format."""
    return lambda: monkeypatch.setattr(format_version, "FORMAT_VERSION", 2)


def test_a_later_version_reads_files_of_before(path, now_2):
    io.dump(version_1()(share=0.25).fit(), path)
    shelf_of_2 = version_2()
    now_2()
    read = io.load(path)
    assert type(read) is shelf_of_2
    assert read.get_params() == {"part": 0.25, "new": "as before"}
    assert read.size_ == 3
    state = read.state_
    assert (state.ids, state.seconds, state.n) == (["a", "b"], 2 * 86400, 2)
    assert state.weights is None
    assert not hasattr(state, "table")


def test_a_later_version_reads_its_own_files(path, now_2):
    shelf = version_2()
    now_2()
    io.dump(shelf().fit(), path)
    read = io.load(path)
    assert read.get_params() == {"part": 0.5, "new": "as it should be"}
    assert (read.size_, read.state_.weights) == (4, [0.5])


def test_a_later_file_that_lacks_a_field_is_refused(path, now_2):
    shelf = version_2()
    now_2()
    io.dump(shelf().fit(), path)

    def change(meta):
        meta["model"]["parts"]["state"]["state_"]["parts"].pop("weights")

    path.write_bytes(forged(members_of(path.read_bytes()), change))
    with pytest.raises(ValueError, match="with ids, seconds, n, weights"):
        io.load(path)


def test_the_version_of_before_refuses_later_files(path, now_2, monkeypatch):
    shelf = version_2()
    now_2()
    io.dump(shelf().fit(), path)
    monkeypatch.undo()
    about = json.loads(members_of(path.read_bytes())[META])
    assert about["format_version"] == 2
    about = {"versions": about["versions"] | {"sktwotower": "7.8.9"}}
    path.write_bytes(forged(members_of(path.read_bytes()), lambda m: m.update(about)))
    version_1()
    message = (
        "written by a later version, sktwotower 7.8.9: it has format 2, and this "
        f"version, {sktwotower.__version__}, reads 1. Upgrade: pip install "
        "'sktwotower>=7.8.9'"
    )
    with pytest.raises(ValueError, match=message):
        io.load(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["context", "lists"])
def test_models_of_the_first_format_answer_in_the_second(name, now_2):
    now_2()
    path = DATA / "format_1" / f"{name}.sktt"
    expected = json.loads((path.parent / "answers.json").read_text())[name]
    got = answers(io.load(path))
    for numbers, others in zip(got, expected, strict=True):
        np.testing.assert_allclose(numbers, others, rtol=1e-4, atol=1e-4)
    if name == "context":
        model = sktwotower.runtime.load(path)
        assert len(model.recommend(model.user_ids_[0], 2)[0]) == 2


class Steps(NamedTuple):
    """A record that each of three formats calls otherwise."""

    third: int
    fourth: int

    _older_formats = (
        UpTo(2, renamed={"second": "third"}),
        UpTo(1, renamed={"first": "second"}),
        UpTo(3, lacking={"fourth": 4}),
    )


@pytest.mark.parametrize(
    ("number", "specs"),
    [
        (1, {"first": 7}),
        (2, {"second": 7}),
        (3, {"third": 7}),
        (4, {"third": 7, "fourth": 4}),
    ],
)
def test_each_format_becomes_the_next_one(number, specs):
    changes = format_version.older_formats(Steps)
    got = format_version.in_todays_format(specs, changes, number)
    assert got == {"third": 7, "fourth": 4}
    assert len(specs) == max(1, number - 2)


def test_fields_of_bases_are_read_as_well():
    class Further(Steps):
        _older_formats = (UpTo(2, lacking={"more": 1}),)

    changes = format_version.older_formats(Further)
    got = format_version.in_todays_format({"second": 7}, changes, 2)
    assert got == {"third": 7, "fourth": 4, "more": 1}
    assert format_version.in_todays_format(None, changes, 1) is None
