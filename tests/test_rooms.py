"""Rooms import one another in one direction, and libraries when they are needed."""

import ast
import importlib
import subprocess
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sktwotower
from tests.cases import for_each
from tests.public import ROOMS

ROOT = Path(sktwotower.__file__).parent


def room_of(path):
    """Return the room of a file of the package: a subpackage, or a single file."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def names_of(path):
    """Return what a file imports, at the top or in a function, as full names."""
    package = ["sktwotower", *path.relative_to(ROOT).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def imported(path):
    """Return the other rooms that a file imports from."""
    rooms = set()
    for name in names_of(path):
        first, _, rest = name.partition(".")
        if first == "sktwotower" and rest in sktwotower.__all__:  # imported lazily
            rest = getattr(getattr(sktwotower, rest), "__module__", "_x._")
            rooms.add(rest.split(".")[1])
        elif first == "sktwotower" and rest:
            rooms.add(rest.split(".")[0])
    return rooms - {room_of(path)}


@pytest.mark.slow
def test_imports_go_one_way_between_rooms():
    imports = defaultdict(set)
    for path in ROOT.rglob("*.py"):
        if path.parent != ROOT or path.stem not in ("__init__", "__main__"):
            imports[room_of(path)] |= imported(path)
    assert len(imports) > 15 and "_tables" in imports["recommender"]
    # fails with the names of a circle
    order = list(TopologicalSorter(imports).static_order())
    assert order.index("_tables") < order.index("towers") < order.index("recommender")


def floor_of(module):
    """Return the room of a module of the towers: a folder, or a single file."""
    return module.split(".")[2]


def test_imports_go_one_way_between_the_rooms_of_the_towers():
    start = "sktwotower.towers."
    imports = defaultdict(set)
    for path in (ROOT / "towers").rglob("*.py"):
        if path.parent.name == "towers" and path.stem == "__init__":
            continue
        module = ".".join(["sktwotower", *path.relative_to(ROOT).with_suffix("").parts])
        named = {name for name in names_of(path) if name.startswith(start)}
        imports[floor_of(module)] |= set(map(floor_of, named)) - {floor_of(module)}
    # fails with the names of a circle
    order = list(TopologicalSorter(imports).static_order())
    expected = [
        "operators",
        "processes",
        "losses",
        "batches",
        "training",
        "histories",
        "parts",
    ]
    assert [room for room in order if room in expected] == expected
    assert imports["operators"] == set()


LIGHT = """
import sys, tempfile

HEAVY = {"torch", "torch._dynamo", "skorch", "pynndescent", "matplotlib"}
HEAVY.add("pyarrow.parquet")


def loaded():
    print(*HEAVY & set(sys.modules))


import sktwotower
assert sktwotower.metrics.__name__ == "sktwotower.metrics"
assert not hasattr(sktwotower, "metric")
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
def test_rooms_are_attributes_and_heavy_libraries_loaded_when_they_are_needed():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *light, estimator = [set(line.split()) for line in done.stdout.splitlines()]
    assert light == [set(), set(), set()]
    assert estimator == {"torch", "skorch"}


def test_lazy_names_are_the_public_ones():
    assert dir(sktwotower) == sorted(sktwotower.__all__)
    for name in set(sktwotower.__all__) - {"__version__"}:
        thing = getattr(sktwotower, name)
        homes = [importlib.import_module(f"sktwotower.{room}") for room in ROOMS]
        assert any(getattr(home, name, None) is thing for home in homes), name
    with pytest.raises(AttributeError, match="no attribute 'TwoTower'"):
        sktwotower.TwoTower  # noqa: B018


def test_type_checkers_see_the_lazy_names():
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    typed = {
        alias.name
        for branch in tree.body
        if isinstance(branch, ast.If) and branch.test.id == "TYPE_CHECKING"
        for node in branch.body
        for alias in node.names
    }
    assert typed == set(sktwotower.__all__) - {"__version__"}
    assert (ROOT / "py.typed").exists()


@for_each("room", ROOMS)
def test_public_names_are_sorted_and_exist(room):
    module = importlib.import_module(f"sktwotower.{room}")
    names = getattr(module, "__all__", [])
    assert names == sorted(names) and len(set(names)) == len(names)
    assert all(hasattr(module, name) for name in names)
