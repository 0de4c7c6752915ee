"""What docstrings say of parameters and of fitted attributes is true."""

import ast
import inspect

import pandas as pd

from sktwotower import TowerVectorizer, TwoTowerRecommender
from tests.cases import for_each
from tests.docstrings import entries, sections
from tests.public import ROOMS, with_methods

# Users get it from a function, and do not call it.
MADE_BY_FUNCTIONS = {"Runtime"}


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


@for_each("room", ROOMS)
def test_parameters_and_defaults_are_those_of_the_signature(room):
    things = with_methods(room)
    for name in things.keys() - MADE_BY_FUNCTIONS:
        thing = things[name]
        signature = signature_of(thing)
        described = entries(sections(thing).get("Parameters", ""))
        assert list(described) == list(signature), name
        for parameter, kind in described.items():
            got, default = default_of(kind), signature[parameter]
            if got is not inspect.Parameter.empty:
                assert (type(got), got) == (type(default), default), (name, parameter)
            elif kind and kind != "None":  # an ignored parameter
                assert default is inspect.Parameter.empty, (name, parameter)


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


@for_each("estimator", [TwoTowerRecommender, TowerVectorizer])
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
