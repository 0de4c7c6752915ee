import ast
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sktwotower
from sktwotower import TowerVectorizer, TwoTowerRecommender
from tests.docs.prose import sentences, summary, too_long
from tests.docstrings import entries, sections

MODULES = [
    info.name.removeprefix("sktwotower.")
    for info in pkgutil.walk_packages(sktwotower.__path__, "sktwotower.")
    if not info.name.endswith("__main__")
]
# What users of the package call: here every parameter must be documented. Elsewhere a
# sentence may do, but a section that is there must be complete and true.
PUBLIC = {
    "baselines",
    "datasets",
    "features",
    "inspection",
    "io",
    "metrics",
    "model_selection",
    "neighbors",
    "plots",
    "preprocessing",
    "recommender",
    "towers",
    "two_stage",
}


def is_ours(thing):
    return thing.__module__.split(".")[0] == "sktwotower"


def methods_of(cls):
    """Return the public methods that the package defines for a class."""
    return {
        name: method
        for name, method in inspect.getmembers(cls)
        if inspect.isfunction(method) or inspect.ismethod(method)
        if not name.startswith("_") and is_ours(method)
    }


def public_names(module):
    """Return ``__all__``, or else the classes and functions that a module defines."""
    return getattr(module, "__all__", None) or [
        name
        for name, thing in vars(module).items()
        if inspect.isroutine(thing) or inspect.isclass(thing)
        if thing.__module__ == module.__name__ and name[0] != "_"
    ]


def documented():
    """Return (name, object, whether parameters must be documented) of all."""
    for module in MODULES:
        namespace = importlib.import_module(f"sktwotower.{module}")
        for name in public_names(namespace):
            thing, public = getattr(namespace, name), module in PUBLIC
            foreign = module == "_sklearn_compat" and not is_ours(thing)
            if foreign or not callable(thing):
                continue
            yield f"{module}.{name}", thing, public
            if inspect.isclass(thing):
                for method, function in methods_of(thing).items():
                    yield f"{module}.{name}.{method}", function, public


@functools.cache
def all_documented():
    """Return (object, whether parameters must be documented) by name.

    Imports all modules, which takes seconds: not while tests are collected.
    """
    return {name: (thing, public) for name, thing, public in documented()}


each_room = pytest.mark.parametrize(
    "room", sorted({module.split(".")[0] for module in MODULES})
)


def names_of(room):
    names = [name for name in all_documented() if name.split(".")[0] == room]
    assert names
    return names


def public_names_of(room):
    return [name for name in names_of(room) if all_documented()[name][1]]


def signature_of(thing):
    """Return {parameter: default}; ``inspect.Parameter.empty`` where there is none."""
    bare = thing.__init__ in (object.__init__, RuntimeError.__init__)
    if inspect.isclass(thing) and bare and not issubclass(thing, tuple):
        return {}
    parameters = inspect.signature(thing).parameters.values()
    return {p.name: p.default for p in parameters if p.name != "self"}


def default_of(kind):
    """Return the default that a type line promises; empty where it names none."""
    _, found, text = (kind or "").partition("default=")
    if not found:
        return inspect.Parameter.empty
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


@each_room
def test_docstrings_open_with_one_sentence(room):
    for name in names_of(room):
        text = inspect.getdoc(all_documented()[name][0])
        assert text, f"{name} has no docstring"
        assert text.split("\n")[0].endswith("."), name
        if all_documented()[name][1]:
            assert not too_long(sentences(summary(all_documented()[name][0]))), name


@each_room
def test_parameters_are_those_of_the_signature(room):
    for name in names_of(room):
        check_parameters(name)


def check_parameters(name):
    thing, public = all_documented()[name]
    text = sections(thing).get("Parameters")
    signature = signature_of(thing)
    if text is None and (not public or not signature):
        return
    assert text is not None, f"{name} has no section Parameters"
    described = entries(text)
    assert list(described) == list(signature), name
    for parameter, kind in described.items():
        if kind == "":
            assert "As in `" in text, f"{parameter} of {name} has no type"
            continue
        got, default = default_of(kind), signature[parameter]
        if got is inspect.Parameter.empty:
            # 'None' alone says what an ignored parameter is.
            assert default is inspect.Parameter.empty or kind == "None", name
        else:
            assert (type(got), got) == (type(default), default), (name, parameter)


def test_the_parser_reads_every_form():
    text = """
x, y : array of shape (n, 2), default=(1, 'a')
    Words : more words, default=3
*args : int
**kwargs
z : {"a", "b"} or None, default="a"
"""
    kinds = entries(text)
    assert list(kinds) == ["x", "y", "args", "kwargs", "z"]
    assert default_of(kinds["x"]) == default_of(kinds["y"]) == (1, "a")
    assert default_of(kinds["z"]) == "a"
    assert default_of(kinds["args"]) is inspect.Parameter.empty


@each_room
def test_sections_are_known_and_in_order(room):
    order = [
        "Parameters",
        "Attributes",
        "Returns",
        "Yields",
        "Raises",
        "Warns",
        "See Also",
        "Notes",
        "References",
        "Examples",
    ]
    for name in names_of(room):
        titles = list(sections(all_documented()[name][0]))
        assert set(titles) <= set(order), name
        assert titles == sorted(titles, key=order.index), name


def listed():
    """Return the full names of what the reference has a page for."""
    page = Path(__file__).parents[1] / "docs" / "reference" / "index.rst"
    text = page.read_text(encoding="utf-8")
    parts = re.split(r"^\.\. (?:current)?module:: (\S+)$", text, flags=re.M)
    tables = r"^\.\. autosummary::\n(?:   :.+\n)+\n((?:   \w+\n)+)"
    return {
        f"{module}.{name}"
        for module, text in zip(parts[1::2], parts[2::2], strict=True)
        for table in re.findall(tables, text, flags=re.M)
        for name in table.split()
    }


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_reference_has_a_page_for_every_public_name(module):
    pages = listed()
    for name in importlib.import_module(f"sktwotower.{module}").__all__:
        # under the name by which it is imported, which may be the package's
        ways = {f"sktwotower.{module}.{name}", f"sktwotower.{name}"}
        assert len(ways & pages) == 1, f"{name} is not in docs/reference/index.rst"


def is_own_method(name, thing):
    """Return whether a class defines a method itself; others show the base class."""
    return thing.__qualname__ == ".".join(name.split(".")[-2:])


@each_room
def test_public_names_show_what_their_users_see(room):
    for name in public_names_of(room):
        thing = all_documented()[name][0]
        examples = sections(thing).get("Examples", "")
        assert ">>> " in examples, name
        # no shapes in place of values, and nothing of our tests
        assert ".shape" not in examples and "pytest" not in examples, name
        if is_own_method(name, thing):
            assert name.split(".")[-2] in examples, f"{name} shows another class"


# Calls of these may raise errors of ours.
CHECKS = {
    "check_count",
    "check_ids",
    "check_is_fitted",
    "check_matplotlib",
    "fitted_of",
    "read_request",
    "_validate_params",
    "validate_parameter_constraints",
}


def tree_of(thing):
    """Return the code of a function, or of the constructor of a class."""
    if inspect.isclass(thing):
        thing = vars(thing).get("__post_init__", vars(thing).get("__init__"))
    if not inspect.isfunction(inspect.unwrap(thing)):
        return ast.Module([], [])
    if inspect.unwrap(thing).__code__.co_filename == "<string>":  # of a dataclass
        return ast.Module([], [])
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing))))


def calls_of(thing):
    """Return the names of what a function calls."""
    return {
        getattr(node.func, "id", getattr(node.func, "attr", None))
        for node in ast.walk(tree_of(thing))
        if isinstance(node, ast.Call)
    }


def raises(thing):
    """Return whether a function, or the constructor of a class, may raise."""
    if calls_of(thing) & CHECKS:
        return True
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree_of(thing)))


@each_room
def test_errors_are_documented(room):
    for name in public_names_of(room):
        thing = all_documented()[name][0]
        assert not raises(thing) or "Raises" in sections(thing), name
        # a first call of partial_fit is fit
        asks = calls_of(thing) & {"check_is_fitted", "fitted_of"}
        if asks and not name.endswith(".partial_fit"):
            assert "NotFittedError" in sections(thing)["Raises"], name


@pytest.mark.parametrize("estimator", [TwoTowerRecommender, TowerVectorizer])
def test_fitted_attributes_are_those_documented(estimator, events):
    if estimator is TwoTowerRecommender:
        fitted = TwoTowerRecommender(embedding_dim=4, max_epochs=1).fit(events)
    else:
        fitted = TowerVectorizer().fit(pd.DataFrame({"a": [1.0, 2.5], "b": ["x", "y"]}))
    attributes = {
        name
        for name in dir(fitted)
        if name.endswith("_") and not name.startswith("_") and hasattr(fitted, name)
    }
    assert set(entries(sections(estimator)["Attributes"])) == attributes


def test_fitted_attributes_have_the_documented_shapes(events):
    fitted = TwoTowerRecommender(embedding_dim=4, max_epochs=2).fit(events)
    assert fitted.user_ids_.shape == (20,) and fitted.item_ids_.shape == (12,)
    assert fitted.item_embeddings_.shape == (12, 4)
    assert fitted.item_embeddings_.dtype == np.float32
    assert fitted.feature_names_in_.tolist() == ["user", "item"]
    assert len(fitted.history_) == 2
