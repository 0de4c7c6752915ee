"""A record says by annotations what its fields are, and writes itself.

Later formats may have other fields, which is rehearsed.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator

import sktwotower
import sktwotower._records as records
import sktwotower._records._container as container
import sktwotower._records._values as values_of_files
from sktwotower import io
from tests.cases import for_each
from tests.io.builders import META, file_of, forged, members_of
from tests.io.make_format_file import DATA, answers

array, csr, integer = records.array, records.csr, records.integer
list_of, number, one_of = records.list_of, records.number, records.one_of
record, require, vectors = records.record, records.require, records.vectors
format_version = records._format_version


@record
class Point(NamedTuple):
    """A record within another one."""

    x: number(0, above=0)
    label: str | int | None = None


@record
@dataclass(frozen=True)
class Everything:
    """A field of each kind."""

    n: integer(1, 5)
    counts: array("int64 int32", "n")
    rows: csr("n+1 *")
    tables: dict[str, vectors("n *")]
    names: list_of(str, "n")
    points: list[Point]
    pair: tuple[bool, float]
    many: tuple[int, ...]
    kind: Literal["a", "b"]
    size: one_of(1, 2) | None
    best: Point | None
    made: Annotated[object, integer()]
    cache: object = None
    _not_stored = ("cache",)

    def _check_stored(self, place):
        require(self.counts.sum() > 0, f"{place}.counts", "counts")


class Plain:
    """A class whose annotations name its attributes, some of which are stored."""

    keys: list[str]
    width: int

    @property
    def width(self):
        return len(self.columns)

    def _stored_parts(self):
        return {"keys": list(self.columns), "width": len(self.columns)}

    @classmethod
    def _of_stored(cls, keys, width):
        made = cls()
        made.columns = {key: i for i, key in enumerate(keys)}
        return made


record(Plain)


@record
class Halves(BaseEstimator):
    """An estimator with attributes of fit."""

    _parameter_constraints: dict = {}
    size_: integer(1)
    values_: array("float64", "size_")

    def __init__(self, share=0.5):
        self.share = share

    def fit(self):
        self.size_, self.values_ = 2, np.full(2, self.share)
        return self


def everything(**changed):
    fields = {
        "n": 2,
        "counts": np.array([1, 2]),
        "rows": sparse.csr_matrix(np.eye(3, 4, dtype=np.float32)),
        "tables": {"x": np.ones((2, 3), np.float32), "y": np.ones((2, 1), np.float32)},
        "names": ["a", "b"],
        "points": [Point(0.5), Point(1, "b")],
        "pair": (True, 0.5),
        "many": (1, 2, 3),
        "kind": "b",
        "size": None,
        "best": Point(2, 7),
        "made": 3,
        "cache": "not kept",
    }
    return Everything(**fields | changed)


@pytest.fixture
def again(tmp_path):
    """Return a function that writes a value, changes the JSON, and reads it."""
    path = tmp_path / "file"

    def write_and_read(value, change=None, **how):
        with open(path, "wb") as file, container.WrittenFile(file) as written:
            spec = values_of_files.Writer(written, **how).write(value, "x")
            if change is not None:
                change(spec["parts"])
            written.finish({"x": spec})
        with container.ReadFile(path, is_mapped=False, verify=True) as file:
            return values_of_files.Reader(file).read(file.meta["x"], "x")

    return write_and_read


def test_all_fields_come_back(again):
    value = everything()
    read = again(value)
    assert type(read) is Everything and read.cache is None
    for name in ("n", "names", "points", "pair", "many", "kind", "size", "best"):
        assert getattr(read, name) == getattr(value, name)
    assert type(read.points[0]) is Point
    np.testing.assert_array_equal(read.counts, value.counts)
    assert (read.rows != value.rows).nnz == 0
    np.testing.assert_array_equal(read.tables["x"], value.tables["x"])


WRONG = [
    ({"n": 6}, r"x\.n must be an integer >= 1 and <= 5"),
    ({"n": True}, r"x\.n must be an integer"),
    ({"n": 3}, r"x\.counts must be of the shape \(n\) with n = 3. Got \(2,\)"),
    ({"counts": np.ones(2)}, r"x\.counts must be an array of 1 dimensions.* int64"),
    ({"counts": np.array([[1, 2]])}, r"x\.counts must be an array of 1 dim"),
    ({"counts": np.array([1, -1])}, r"x\.counts must be counts"),
    ({"rows": sparse.csr_matrix(np.eye(2, dtype=np.float32))}, r"x\.rows.* n = 2"),
    ({"tables": {"x": np.ones((3, 1), np.float32)}}, r"x\.tables\.x.* n = 2"),
    ({"tables": {"x": np.ones((2, 1))}}, r"x\.tables\.x.* float32"),
    ({"names": ["a"]}, r"x\.names must be of the shape \(n\) with n = 2"),
    ({"names": ["a", 1]}, r"x\.names must be str"),
    ({"points": [Point(0)]}, r"x\.points\[0\]\.x must be a finite number > 0"),
    ({"points": [1]}, r"x\.points must be Point"),
    ({"points": (Point(1),)}, r"x\.points must be list"),
    ({"pair": (1, 0.5)}, r"x\.pair must be bool"),
    ({"pair": (True,)}, r"x\.pair must be a tuple of 2"),
    ({"many": (1, "2")}, r"x\.many must be int"),
    ({"kind": "c"}, r"x\.kind must be one of \('a', 'b'\)"),
    ({"size": 3}, r"x\.size must be one of \(1, 2\)"),
    ({"best": 3}, r"x\.best must be Point"),
    ({"made": -1}, r"x\.made must be an integer >= 0"),
]


def test_fields_that_are_not_what_they_should_be(again):
    for changed, message in WRONG:
        with pytest.raises(ValueError, match=message):
            again(everything(**changed))


@pytest.mark.parametrize("change", [lambda p: p.pop("n"), lambda p: p.update(m=1)])
def test_missing_and_further_fields(change, again):
    with pytest.raises(ValueError, match=r"x must be a .*\.Everything with n, counts"):
        again(everything(), change)


def test_half_precision_is_for_vectors_only(again):
    value = everything(tables={"x": np.full((2, 3), 0.1, np.float32)})
    read = again(value, vector_dtype="float16")
    assert read.tables["x"].dtype == np.float32
    assert read.tables["x"][0, 0] == np.float16(0.1) != np.float32(0.1)


def test_integers_are_for_vectors_only_and_each_array_is_read_once(again):
    rows = np.float32([[0.1, 0.2, -0.3], [0, 0, 0]])
    value = everything(tables={"x": rows, "y": rows})
    read = again(value, vector_dtype="int8")
    codes = np.float32([[42, 85, -127], [0, 0, 0]])
    np.testing.assert_allclose(read.tables["x"], codes * 0.3 / 127, rtol=1e-6)
    assert read.tables["y"] is read.tables["x"]
    assert read.rows.dtype == np.float32 and read.counts.dtype == value.counts.dtype


def test_a_class_may_store_something_else_than_its_attributes(again):
    plain = Plain._of_stored(["b", "a"], 2)
    assert vars(again(plain)) == {"columns": {"b": 0, "a": 1}}


def test_an_estimator_has_all_attributes_of_fit_or_none(again):
    assert vars(again(Halves(0.25))) == {"share": 0.25}
    read = again(Halves(0.25).fit())
    assert (read.share, read.size_, read.values_.tolist()) == (0.25, 2, [0.25, 0.25])
    for change, message in (
        (lambda parts: parts["state"].pop("size_"), "all attributes of fit"),
        (lambda parts: parts["state"].update(size_=3), "with size_ = 3"),
        (lambda parts: parts["state"].update(other_=3), "with its state"),
        (lambda parts: parts["params"].update(other=3), "parameters of Halves"),
    ):
        with pytest.raises(ValueError, match=message):
            again(Halves().fit(), change)


def test_only_records_are_made(again, tmp_path):
    class Other(Point):
        pass

    with pytest.raises(ValueError, match="x cannot be written to a file: .*Other"):
        again(Other(1))
    with pytest.raises(TypeError, match="Two records have the name features.Settings"):
        record(type("Settings", (), {"__module__": "sktwotower.features._other"}))
    members = members_of(file_of("popularity"))
    meta = members["meta.json"].decode()
    name = "baselines.PopularityRecommender"
    assert name in meta
    for other in ("os.system", "towers.Tower2", ""):
        changed = meta.replace(f'"{name}"', f'"{other}"', 1).encode()
        path = tmp_path / "forged.sktt"
        path.write_bytes(forged(members | {"meta.json": changed}))
        with pytest.raises(ValueError, match="must be an estimator of this package"):
            io.load(path)


# A rehearsal of format 2: its records read files of format 1, which refuses its files.
# The records of both are defined here; files are read as those that were defined last.


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
            records.UpTo(
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
        _older_formats = (records.UpTo(1, renamed={"width_": "size_"}),)
        _older_parameters = (
            records.UpTo(
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
def become():
    """Return a function that makes this process one of another format for a test."""

    def become(number):
        format_version.FORMAT_VERSION = number

    of_today = format_version.FORMAT_VERSION
    yield become
    become(of_today)


def test_a_later_version_reads_files_of_before(path, become):
    become(1)
    io.dump(version_1()(share=0.25).fit(), path)
    shelf_of_2 = version_2()
    become(2)
    read = io.load(path)
    assert type(read) is shelf_of_2
    assert read.get_params() == {"part": 0.25, "new": "as before"}
    assert read.size_ == 3
    state = read.state_
    assert (state.ids, state.seconds, state.n) == (["a", "b"], 2 * 86400, 2)
    assert state.weights is None
    assert not hasattr(state, "table")


def test_a_later_version_reads_its_own_files(path, become):
    shelf = version_2()
    become(2)
    io.dump(shelf().fit(), path)
    read = io.load(path)
    assert read.get_params() == {"part": 0.5, "new": "as it should be"}
    assert (read.size_, read.state_.weights) == (4, [0.5])


def test_a_later_file_that_lacks_a_field_is_refused(path, become):
    shelf = version_2()
    become(2)
    io.dump(shelf().fit(), path)

    def change(meta):
        meta["model"]["parts"]["state"]["state_"]["parts"].pop("weights")

    path.write_bytes(forged(members_of(path.read_bytes()), change))
    with pytest.raises(ValueError, match="with ids, seconds, n, weights"):
        io.load(path)


def test_the_version_of_before_refuses_later_files(path, become):
    shelf = version_2()
    become(2)
    io.dump(shelf().fit(), path)
    become(1)
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
def test_models_of_the_first_format_answer_in_the_second(name, become):
    become(2)
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
        records.UpTo(2, renamed={"second": "third"}),
        records.UpTo(1, renamed={"first": "second"}),
        records.UpTo(3, lacking={"fourth": 4}),
    )


@for_each(
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
        _older_formats = (records.UpTo(2, lacking={"more": 1}),)

    changes = format_version.older_formats(Further)
    got = format_version.in_todays_format({"second": 7}, changes, 2)
    assert got == {"third": 7, "fourth": 4, "more": 1}
    assert format_version.in_todays_format(None, changes, 1) is None
