import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sktwotower

ROOT = Path(sktwotower.__file__).parent
LAZY = {name: path.split(".")[-1] for name, path in sktwotower._LAZY.items()}

# The modules in the order in which data flows, with the modules that each imports.
IMPORTS = {
    "frames": set(),
    "cells": set(),
    "encoders": {"cells"},
    "vocabularies": {"cells", "encoders"},
    "kinds": {"cells", "encoders", "vocabularies"},
    "features": {"cells", "encoders", "frames", "kinds"},
    "interactions": {"frames"},
    "queries": {"frames", "interactions"},
    "matrix": {"frames", "interactions"},
    "caching": set(),
    "entities": {"caching", "features", "frames", "interactions"},
    "kernels": set(),
    "towers": {"kernels"},
    "losses": {"kernels"},
    "optim": set(),
    "dropout": set(),
    "sampling": {"dropout", "interactions", "losses", "towers"},
    "_callbacks": set(),
    "net": {"_callbacks", "losses", "optim", "sampling", "towers"},
    "exact": set(),
    "neighbors": {"exact"},
    "filters": {"exact", "neighbors", "queries"},
    "_hits": set(),
    "_groups": {"_hits"},
    "_scorers": {"_groups", "_hits"},
    "_rendering": set(),
    "_competitors": {"_groups", "_scorers", "frames", "interactions"},
    "_report": {"_competitors", "_groups", "_hits", "_rendering"},
    "_beyond_accuracy": {"_hits"},
    "metrics": {"_beyond_accuracy", "_hits", "_report", "_scorers"},
    "validation": {"exact", "metrics", "net"},
    "training": {
        "_callbacks",
        "caching",
        "dropout",
        "entities",
        "interactions",
        "neighbors",
        "net",
        "sampling",
        "validation",
    },
    "growth": {
        "_callbacks",
        "cells",
        "features",
        "interactions",
        "net",
        "sampling",
        "training",
    },
    "catalog": {"interactions", "neighbors", "queries"},
    "retrieval": {"interactions", "queries"},
    "fold_in": set(),
    "vectors": {"exact", "filters", "interactions", "net", "queries", "retrieval"},
    "evaluation": {"interactions", "queries"},
    "_matrix_recommender": {
        "entities",
        "evaluation",
        "interactions",
        "queries",
        "retrieval",
    },
    "baselines": {"_matrix_recommender", "retrieval"},
    "contributions": {"towers"},
    "ablation": {"features"},
    "explanation": {
        "ablation",
        "contributions",
        "evaluation",
        "exact",
        "filters",
        "interactions",
        "neighbors",
        "net",
        "queries",
    },
    "fitting": {"exact", "fold_in", "growth", "net", "training"},
    "_side_tables": set(),
    "_diagram": {"features"},
    "recommender": {
        "_diagram",
        "_side_tables",
        "catalog",
        "evaluation",
        "explanation",
        "fitting",
        "vectors",
    },
    "_interaction_split": {"interactions"},
    "preprocessing": {"_interaction_split"},
    "_search_space": set(),
    "_halving": {"interactions"},
    "model_selection": {"_halving", "_interaction_split", "_search_space"},
    "datasets._movielens": set(),
    "datasets._online_retail": set(),
    "datasets._samples_generator": set(),
    "datasets": {
        "datasets._movielens",
        "datasets._online_retail",
        "datasets._samples_generator",
    },
    "plots._style": set(),
    "plots._models": {"_scorers"},
    "plots._training": {"plots._models", "plots._style"},
    "plots._recall_curve": {"_competitors", "_hits", "plots._style"},
    "plots._recall_by_popularity": {"_competitors", "_hits", "plots._style"},
    "plots._lorenz": {"_competitors", "plots._style"},
    "plots._scores": {"plots._models", "plots._style"},
    "plots._embedding": {"interactions", "plots._models", "plots._style"},
    "plots._importance": {"plots._models", "plots._style"},
    "plots": {
        "plots._embedding",
        "plots._importance",
        "plots._lorenz",
        "plots._recall_by_popularity",
        "plots._recall_curve",
        "plots._scores",
        "plots._training",
    },
    "__main__": {"datasets", "metrics", "model_selection", "plots", "recommender"},
    "__init__": set(),
}

# Which modules may import a heavy library at all.
HEAVY = {
    "torch": {
        "_callbacks",
        "contributions",
        "exact",
        "fold_in",
        "kernels",
        "losses",
        "net",
        "optim",
        "sampling",
        "towers",
        "training",
    },
    "skorch": {"_callbacks", "net"},
    "pynndescent": {"neighbors"},
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(name):
    """Give the absolute names of everything that a module imports, at any depth."""
    tree = ast.parse(SOURCES[name].read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ["sktwotower", *name.split(".")]
                if SOURCES[name].name != "__init__.py":
                    package.pop()
                elif name == "__init__":
                    package = ["sktwotower"]
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, base] if base else package)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def in_package(name):
    """Give the modules of the package that a module imports."""
    modules = set()
    for target in imported(name):
        parts = target.split(".")
        if parts[0] != "sktwotower" or len(parts) == 1:
            continue
        inner = LAZY.get(parts[1], parts[1])
        longer = ".".join(parts[1:3])
        modules.add(longer if longer in SOURCES and len(parts) > 2 else inner)
    return modules & set(SOURCES)


def test_every_module_is_in_the_table():
    assert set(SOURCES) == set(IMPORTS)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_are_those_of_the_table(name):
    assert in_package(name) == IMPORTS[name]


def test_imports_go_down_only():
    order = list(IMPORTS)
    for name, targets in IMPORTS.items():
        assert all(order.index(target) < order.index(name) for target in targets)


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_come_in_by_few_doors(library):
    users = {
        name
        for name in SOURCES
        if any(target.split(".")[0] == library for target in imported(name))
    }
    assert users <= HEAVY[library]


def loaded_after(statement):
    """Give which heavy libraries a fresh process holds after a statement."""
    code = (
        f"import sys\n{statement}\n"
        "print(*{'torch', 'skorch', 'pynndescent', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_light_modules_load_no_heavy_library():
    names = [
        "baselines",
        "metrics",
        "model_selection",
        "datasets",
        "features",
        "plots",
        "preprocessing",
    ]
    lines = ["import sktwotower", *(f"import sktwotower.{name}" for name in names)]
    assert loaded_after("\n".join([*lines, "sktwotower.TowerVectorizer()"])) == set()


def test_the_estimator_loads_torch_when_it_is_asked_for():
    loaded = loaded_after("from sktwotower import TwoTowerRecommender")
    assert loaded == {"torch", "skorch"}


def test_lazy_names_are_the_public_ones():
    assert set(sktwotower.__all__) == {*sktwotower._LAZY, "__version__"}
    assert dir(sktwotower) == sorted(sktwotower.__all__)
    for name, path in sktwotower._LAZY.items():
        assert getattr(sktwotower, name) is getattr(importlib.import_module(path), name)
    with pytest.raises(AttributeError, match="no attribute 'TwoTower'"):
        sktwotower.TwoTower  # noqa: B018


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"__init__", "datasets"}))
def test_module_says_what_enters_leaves_and_is_next(name):
    text = ast.get_docstring(ast.parse(SOURCES[name].read_text()))
    words = ("In: ", "out: ") if name.startswith("datasets") else ("Enters: ", "Leaves")
    assert all(word in text for word in words)
    following = text.split("Next: ")[1]
    files = re.findall(r"(\w+)\.py", following)
    assert all({file, f"datasets.{file}"} & set(SOURCES) for file in files)


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"__init__", "__main__"}))
def test_public_names_are_sorted_and_exist(name):
    module = importlib.import_module(f"sktwotower.{name}")
    names = getattr(module, "__all__", [])
    assert names == sorted(names) and len(set(names)) == len(names)
    assert all(hasattr(module, public) for public in names)
