"""Which room may import which, and which libraries each of them loads."""

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import sktwotower

ROOT = Path(sktwotower.__file__).parent

# Each room with those it may import from; all others are forbidden. CONTRIBUTING.md
# draws the same map.
MAY_IMPORT = {
    "_sklearn_compat": set(),
    "_records": set(),
    "_tables": {"_records"},
    "runtime": {"_records", "_tables"},
    "features": {"_records", "_tables", "runtime"},
    "item_weights": {"_tables"},
    "towers": {"_records", "_tables", "item_weights", "runtime"},
    "neighbors": {"_records", "_tables", "runtime"},
    "retrieval": {"_records", "_tables", "features", "runtime"},
    "metrics": {"_tables", "retrieval"},
    "inspection": {
        "_tables",
        "features",
        "metrics",
        "neighbors",
        "retrieval",
        "towers",
    },
    "recommender": {
        "_records",
        "_tables",
        "features",
        "inspection",
        "metrics",
        "neighbors",
        "retrieval",
        "runtime",
        "towers",
    },
    "baselines": {
        "_records",
        "_tables",
        "features",
        "item_weights",
        "metrics",
        "retrieval",
    },
    "model_selection": {"_tables", "baselines", "metrics"},
    "two_stage": {
        "_records",
        "_tables",
        "features",
        "metrics",
        "recommender",
        "retrieval",
    },
    "io": {"_records", "_tables", "retrieval"},
    "preprocessing": {"_tables"},
    "datasets": set(),
    "plots": {"_tables", "inspection", "metrics", "model_selection", "retrieval"},
    "_command_line": {
        "_records",
        "_tables",
        "baselines",
        "datasets",
        "io",
        "item_weights",
        "metrics",
        "model_selection",
        "plots",
        "recommender",
        "two_stage",
    },
    "__main__": {"_command_line"},
    "__init__": {"baselines", "features", "preprocessing", "recommender", "two_stage"},
}
# The rooms in which a heavy library may be imported.
MAY_LOAD = {
    "torch": {"inspection", "io", "neighbors", "recommender", "towers"},
    "skorch": {"towers"},
    "pynndescent": {"io", "neighbors"},
    "matplotlib": {"_command_line", "plots"},
    "onnx": {"io"},
}
# What every room may import.
SHARED = {"_sklearn_compat"}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def room_of(module):
    return module.split(".")[0]


def tree_of(name):
    return ast.parse(SOURCES[name].read_text(encoding="utf-8"))


@cache
def imported(name):
    """Return the absolute names of everything that a module imports, at any depth."""
    tree = tree_of(name)
    package = ["sktwotower", *name.split(".")]
    if SOURCES[name].name != "__init__.py":
        package.pop()
    elif name == "__init__":
        package = ["sktwotower"]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package[: len(package) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(name):
    """Return the other rooms that a module imports from."""
    lazy = {name: path.split(".")[1] for name, path in sktwotower._LAZY.items()}
    rooms = set()
    for target in imported(name):
        parts = target.split(".")
        if parts[0] == "sktwotower" and len(parts) > 1:
            rooms.add(room_of(lazy.get(parts[1], parts[1])))
    return (rooms & set(MAY_IMPORT)) - {room_of(name)} - SHARED


def test_every_file_is_in_a_room():
    assert {room_of(name) for name in SOURCES} == set(MAY_IMPORT)


def test_rooms_import_only_what_they_may():
    forbidden = {n: rooms_imported(n) - MAY_IMPORT[room_of(n)] for n in SOURCES}
    assert {name: rooms for name, rooms in forbidden.items() if rooms} == {}


def test_the_map_has_no_edge_that_nothing_uses():
    used = {room: set() for room in MAY_IMPORT}
    for name in SOURCES:
        used[room_of(name)] |= rooms_imported(name)
    assert used == MAY_IMPORT


def test_rooms_import_downwards_only():
    order = list(MAY_IMPORT)
    for room, others in MAY_IMPORT.items():
        assert all(order.index(other) < order.index(room) for other in others)


def test_contributing_draws_the_same_map():
    text = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*\|.*\| (.*)\|$", text, re.MULTILINE)
    drawn = {room: set(re.findall(r"`(\w+)`", others)) for room, others in rows}
    assert drawn == MAY_IMPORT and list(drawn) == list(MAY_IMPORT)


@pytest.mark.parametrize("library", MAY_LOAD)
def test_heavy_libraries_come_in_by_few_rooms(library):
    users = {
        room_of(name)
        for name in SOURCES
        if any(target.split(".")[0] == library for target in imported(name))
    }
    assert users <= MAY_LOAD[library]


def test_private_parts_of_scikit_learn_are_imported_in_one_file():
    users = {
        name
        for name in SOURCES
        for target in imported(name)
        if target.startswith("sklearn.") and "._" in target
    }
    assert users == {"_sklearn_compat"}


def test_files_inside_a_room_are_private():
    public = [
        name
        for name in SOURCES
        if "." in name
        and not name.split(".")[-1].startswith("_")
        and SOURCES[name].name != "__init__.py"
    ]
    assert public == []


# Names, and how functions are called

# The most arguments by position that a reader can count.
MAX_POSITIONAL = 6
# Towers that a user passed, of which a file must say so.
MAY_BE_ASKED = {"GivenTower"}


def occurring_twice(places):
    """Return the names that occur in several places, of which one is checked."""
    return {
        name: sorted(modules) for name, modules in places.items() if len(modules) > 1
    }


def nodes_of(name, kind):
    return (node for node in ast.walk(tree_of(name)) if isinstance(node, kind))


@pytest.mark.slow
def test_each_class_has_a_name_of_its_own():
    places = defaultdict(list)
    for name in SOURCES:
        for node in nodes_of(name, ast.ClassDef):
            places[node.name].append(name)
    assert occurring_twice(places) == {}


def test_each_file_has_a_name_of_its_own():
    places = defaultdict(list)
    for name, path in SOURCES.items():
        if path.name != "__init__.py":
            places[path.name].append(name)
    assert occurring_twice(places) == {}


def crowded_calls(tree):
    """Return the calls with more arguments by position than a reader can count."""
    return [
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and len(node.args) > MAX_POSITIONAL
        and not ast.unparse(node.func).startswith("logger.")
    ]


@pytest.mark.slow
def test_calls_have_few_positional_arguments():
    crowded = {name: crowded_calls(tree_of(name)) for name in SOURCES}
    assert {name: calls for name, calls in crowded.items() if calls} == {}


def test_a_crowded_call_is_found():
    six = "1, 2, 3, 4, 5, 6"
    text = f"f({six}, 7)\ng({six}, x=7)\nlogger.info({six}, 7)"
    assert crowded_calls(ast.parse(text)) == ["f"]


def types_asked_for(tree):
    """Return the names of the types that a module asks values for.

    By isinstance, issubclass, a comparison of ``type(x)`` or a pattern of ``match``.
    """
    asked = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Name("isinstance" | "issubclass"), [_, types]):
                operands = [types]
            case ast.Compare(ast.Call(ast.Name("type"), [_]), _, operands):
                pass
            case ast.MatchClass(cls):
                operands = [cls]
            case _:
                continue
        asked |= {name for operand in operands for name in names_in(operand)}
    return asked


def names_in(node):
    """Return the last parts of the dotted names in an expression."""
    for inner in ast.walk(node):
        match inner:
            case ast.Name(name) | ast.Attribute(attr=name):
                yield name


@pytest.mark.slow
def test_no_part_is_asked_for_its_type():
    inside = {name for name in SOURCES if name.startswith("towers.parts")}
    parts = {node.name for name in inside for node in nodes_of(name, ast.ClassDef)}
    assert MAY_BE_ASKED <= parts
    asked = {
        name: types_asked_for(tree_of(name)) & parts
        for name in SOURCES
        if name not in inside
    }
    asked = {name: types - MAY_BE_ASKED for name, types in asked.items()}
    assert {name: types for name, types in asked.items() if types} == {}


@pytest.mark.parametrize(
    "question",
    [
        "isinstance(x, Tower)",
        "isinstance(x, parts.Tower | None)",
        "issubclass(cls, (dict, Tower))",
        "type(x) is not Tower",
        "type(x) in (Tower, dict)",
        "match x:\n    case Tower():\n        pass",
    ],
)
def test_a_question_for_a_type_is_found(question):
    assert "Tower" in types_asked_for(ast.parse(question))


# Rooms in which tests are still named otherwise.
OTHER_NAMES = {"io", "recommender", "retrieval", "towers"}


@pytest.mark.parametrize("room", sorted(set(MAY_IMPORT) - OTHER_NAMES))
def test_files_of_tests_are_named_after_what_they_test(room):
    files = [name.split(".")[-1] for name in SOURCES if room_of(name) == room]
    starts = tuple(f"{name.strip('_')}_" for name in [room, *files])
    tests = (ROOT.parent / "tests" / room.strip("_")).glob("test_*.py")
    names = [path.stem.removeprefix("test_") for path in tests]
    assert [name for name in names if not f"{name}_".startswith(starts)] == []


# What rooms know of an estimator of another room


def with_bases(trees):
    """Return the names of the recommenders and of all classes they are made of."""
    bases = {
        node.name: {ast.unparse(base).split(".")[-1] for base in node.bases}
        for _, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    names = {name for name in bases if name.endswith("Recommender")}
    while more := set().union(*(bases.get(name, set()) for name in names)) - names:
        names |= more
    return names


def attribute_of(node):
    """Return (variable, attribute, whether it is set) of a node, or None.

    Read: x.a, getattr(x, "a"), vars(x)["a"], vars(x).get("a"). Set: x.a = ...,
    setattr(x, "a", ...), vars(x)["a"] = ...
    """
    match node:
        case ast.Attribute(ast.Name(of), name, ctx):
            return of, name, isinstance(ctx, ast.Store)
        case ast.Call(
            ast.Name("getattr" | "setattr" as call),
            [ast.Name(of), ast.Constant(name), *_],
        ):
            return of, name, call == "setattr"
        case ast.Subscript(
            ast.Call(ast.Name("vars"), [ast.Name(of)]), ast.Constant(name), ctx
        ):
            return of, name, isinstance(ctx, ast.Store)
        case ast.Call(
            ast.Attribute(ast.Call(ast.Name("vars"), [ast.Name(of)])),
            [ast.Constant(name), *_],
        ):
            return of, name, False


def attributes_in(tree, recommenders):
    """Return the attributes that are set on recommenders, and all that are read.

    A variable that is set is a recommender if its name says so, or if it is ``self``
    in a method of one.
    """
    named = {"estimator", "model", "recommender"}
    set_here, read_here = set(), set()

    def visit(node, is_recommender):
        if isinstance(node, ast.ClassDef):
            is_recommender = node.name in recommenders
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return  # parameters
        of, name, is_set = attribute_of(node) or (None, None, False)
        if not is_set:
            read_here.add(name)
        elif of in named or (of == "self" and is_recommender):
            set_here.add(name)
        for child in ast.iter_child_nodes(node):
            visit(child, is_recommender)

    visit(tree, False)
    return set_here, read_here - {None}


def shared_attributes(sources):
    """Return attributes that one room sets on a recommender and another one reads.

    ``sources``: pairs of a room and the code of a module.
    """
    trees = [(room, ast.parse(text)) for room, text in sources]
    recommenders = with_bases(trees)
    found = [(room, *attributes_in(tree, recommenders)) for room, tree in trees]
    return {
        name
        for room, names, _ in found
        for other, _, read in found
        if other != room
        for name in names & read
    }


@pytest.mark.slow
def test_rooms_share_one_attribute_of_a_fitted_recommender():
    rooms = {"baselines", "inspection", "metrics", "plots", "recommender", "retrieval"}
    rooms.add("two_stage")
    sources = [
        (room_of(name), path.read_text(encoding="utf-8"))
        for name, path in SOURCES.items()
        if room_of(name) in rooms
    ]
    assert {room for room, _ in sources} == rooms
    assert shared_attributes(sources) == {"_fitted"}


@pytest.mark.parametrize(
    "write", ["self._x = 1", "self._x, b = 1, 2", "setattr(self, '_x', 1)"]
)
@pytest.mark.parametrize(
    "read", ["model._x", "getattr(model, '_x', 0)", "vars(model).get('_x')"]
)
def test_a_shared_attribute_is_found(write, read):
    base = f"class Mixin:\n    def fit(self):\n        {write}"
    own = (
        "class OwnRecommender(Mixin):\n    def fit(self):\n        self.mine_ = self.y"
    )
    user = f"def recall(model):\n    return {read}"
    given = "class OneRecommender:\n    def __init__(self):\n        self._x = 1"
    helper = f"class Helper:\n    def fit(self):\n        {write}"
    sources = [("recommender", base), ("recommender", own)]
    assert shared_attributes([*sources, ("metrics", user)]) == {"_x"}
    assert shared_attributes([*sources, ("recommender", user)]) == set()
    for harmless in (given, helper):
        sources = [("recommender", harmless), ("metrics", user)]
        assert shared_attributes(sources) == set()


LIGHT = """
import sys, tempfile

HEAVY = {"torch", "torch._dynamo", "skorch", "pynndescent", "matplotlib"}
HEAVY.add("pyarrow.parquet")


def loaded():
    print(*HEAVY & set(sys.modules))


import sktwotower.datasets
sktwotower.datasets.load_online_retail()
loaded()
import sktwotower.baselines, sktwotower.features, sktwotower.io, sktwotower.metrics
import sktwotower.model_selection, sktwotower.plots, sktwotower.preprocessing
import sktwotower.retrieval, sktwotower.two_stage
sktwotower.TowerVectorizer()
loaded()
X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"]]
model = sktwotower.baselines.ItemKNNRecommender().fit(X)
with tempfile.TemporaryDirectory() as folder:
    sktwotower.io.dump(model, folder + "/model")
    read = sktwotower.io.load(folder + "/model")
assert read.recommend(["bob"])["item"].tolist() == ["jam"]
loaded()
sktwotower.TwoTowerRecommender(max_epochs=1).fit(X).recommend(["bob"])
loaded()
"""


@pytest.mark.slow
def test_heavy_libraries_are_loaded_when_they_are_needed():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *light, estimator = [set(line.split()) for line in done.stdout.splitlines()]
    assert light == [set(), set(), set()]
    assert estimator == {"torch", "skorch"}


def test_lazy_names_are_the_public_ones():
    assert set(sktwotower.__all__) == {*sktwotower._LAZY, "__version__"}
    assert dir(sktwotower) == sorted(sktwotower.__all__)
    for name, path in sktwotower._LAZY.items():
        assert getattr(sktwotower, name) is getattr(importlib.import_module(path), name)
    with pytest.raises(AttributeError, match="no attribute 'TwoTower'"):
        sktwotower.TwoTower  # noqa: B018


def test_rooms_are_attributes():
    code = "import sktwotower as s; print(s.metrics.__name__, hasattr(s, 'metric'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["sktwotower.metrics", "False"], done.stderr


def test_type_checkers_see_the_lazy_names():
    tree = tree_of("__init__")
    typed = {
        alias.name: f"sktwotower.{node.module}"
        for branch in tree.body
        if isinstance(branch, ast.If) and branch.test.id == "TYPE_CHECKING"
        for node in branch.body
        for alias in node.names
    }
    assert typed == sktwotower._LAZY
    assert (ROOT / "py.typed").exists()


def test_public_names_are_sorted_and_exist():
    for name in sorted(set(SOURCES) - {"__init__", "__main__"}):
        module = importlib.import_module(f"sktwotower.{name}")
        names = getattr(module, "__all__", [])
        assert names == sorted(names) and len(set(names)) == len(names), name
        assert all(hasattr(module, public) for public in names), name
