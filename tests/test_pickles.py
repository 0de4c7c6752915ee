"""Files saved by a version before the package was divided into subpackages."""

import gzip
import importlib
import importlib.machinery
import pickle
import re
import sys
from pathlib import Path

import joblib
import pytest

import sktwotower
from sktwotower._earlier_versions import MODULES, TOWERS, _Finder

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
# Written by such a version: a fitted TwoTowerRecommender, its torch module without the
# estimator, an EASERecommender and a TowerVectorizer.
PATHS = sorted(DATA.glob("*_of_flat_modules.pickle.gz"))
MESSAGE = "before sktwotower was divided into subpackages.*fit again.*save again"


def load_by_pickle(path):
    with gzip.open(path) as file:
        return pickle.load(file)


def load_by_python_pickle(path):
    with gzip.open(path) as file:
        return pickle._Unpickler(file).load()


def test_there_are_such_files():
    names = [path.name.removesuffix("_of_flat_modules.pickle.gz") for path in PATHS]
    assert names == ["ease", "towers", "two_tower", "vectorizer"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name.split(".")[0])
@pytest.mark.parametrize("load", [load_by_pickle, load_by_python_pickle, joblib.load])
def test_files_of_flat_modules_are_refused_with_a_remedy(path, load):
    with pytest.raises(ImportError, match=MESSAGE) as error:
        load(path)
    assert type(error.value) is ImportError


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_of_flat_modules_say_where_to_look(module):
    with pytest.raises(ImportError, match=f"^sktwotower.{module} .*CHANGELOG.md") as e:
        __import__(f"sktwotower.{module}")
    assert e.value.name == f"sktwotower.{module}"


def test_the_changelog_lists_where_they_are_now():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    moved = re.findall(r"\| `sktwotower\.(\w+)\.(\w+)` \| `(\S+)\.\2` \|", text)
    assert len(moved) == 5
    for module, name, now in moved:
        assert module in MODULES
        assert name in importlib.import_module(now).__all__
    rows = re.findall(r"^  \| (`.*) \| (`.*) \|$", text, re.MULTILINE)
    named = {name for before, _ in rows for name in re.findall(r"`(\w+)`", before)}
    assert MODULES <= named
    for now in {now for _, now in rows}:
        for room in re.findall(r"`(sktwotower\.\w+)`", now):
            importlib.import_module(room)


def test_no_flat_module_is_a_file_of_today():
    today = {path.stem for path in Path(sktwotower.__file__).parent.iterdir()}
    assert not MODULES & today


@pytest.mark.parametrize("name", sorted(TOWERS))
def test_classes_of_the_flat_module_of_towers_are_refused(name):
    from sktwotower import towers

    with pytest.raises(ImportError, match=f"^sktwotower.towers.{name} belongs"):
        getattr(towers, name)


def test_other_names_get_the_errors_of_python():
    with pytest.raises(ModuleNotFoundError, match="No module named 'sktwotower.no'"):
        __import__("sktwotower.no")
    with pytest.raises(AttributeError, match="has no attribute 'Two'"):
        sktwotower.towers.Two  # noqa: B018
    # A module of that name in another package is none of our business.
    with pytest.raises(ModuleNotFoundError, match="No module named 'entities'"):
        __import__("entities")


def test_the_finder_is_asked_last():
    files = sys.meta_path.index(importlib.machinery.PathFinder)
    assert sys.meta_path.index(_Finder) > files
