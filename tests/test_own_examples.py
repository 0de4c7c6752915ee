"""Inherited methods whose docstrings show the class that inherits them."""

import inspect
import pickle

import pytest

from sktwotower import EASERecommender, PopularityRecommender, TwoStageRecommender
from sktwotower._own_examples import own_examples
from sktwotower.retrieval._retrieval import RetrievalMixin


@pytest.fixture(scope="module")
def cakes():
    """Return a class and two that inherit: doctest does not find them in here."""

    class BaseCake:
        def bake(self, minutes=30, *, hot=True):
            """Return a cake.

            Examples
            --------
            >>> from bakery import BaseCake
            >>> cake = BaseCake(eggs=2)
            >>> cake.bake()
            BaseCake(30)
            >>> for minutes in (1, 2):
            ...     print(minutes)
            1
            2

            More of it:

            >>> cake.bake(40)
            burnt
            """
            return type(self), minutes, hot

        def eat(self):
            """Return nothing."""

    @own_examples("ApfelCake(BerryCake())", {"bake": "\nfirst\n  indented\n\n1\n3\n"})
    class ApfelCake(BaseCake):
        pass

    @own_examples("ButterCake()", {"bake": "\n>>> ButterCake().bake(1)\n1\n"})
    class ButterCake(BaseCake):
        pass

    return BaseCake, ApfelCake, ButterCake


def examples_of(method):
    return inspect.getdoc(method).partition("--------\n")[2].splitlines()


def test_the_class_and_its_outputs_replace_those_of_the_base(cakes):
    BaseCake, ApfelCake, ButterCake = cakes
    assert examples_of(ApfelCake.bake) == [
        ">>> from bakery import ApfelCake, BerryCake",
        ">>> cake = ApfelCake(BerryCake())",
        ">>> cake.bake()",
        "first",
        "  indented",
        ">>> for minutes in (1, 2):",
        "...     print(minutes)",
        "1",
        "3",
        "",
        "More of it:",
        "",
        ">>> cake.bake(40)",
        "burnt",
    ]
    assert examples_of(ButterCake.bake) == [">>> ButterCake().bake(1)", "1"]
    assert examples_of(BaseCake.bake)[1] == ">>> cake = BaseCake(eggs=2)"


def test_methods_without_an_example_stay_those_of_the_base(cakes):
    BaseCake, ApfelCake, _ = cakes
    assert ApfelCake.eat is BaseCake.eat


def test_a_copy_is_called_like_the_method(cakes):
    BaseCake, ApfelCake, _ = cakes
    assert ApfelCake().bake(5, hot=False) == (ApfelCake, 5, False)
    assert ApfelCake().bake() == (ApfelCake, 30, True)
    assert inspect.signature(ApfelCake.bake) == inspect.signature(BaseCake.bake)


@pytest.mark.parametrize(
    "kind", [EASERecommender, PopularityRecommender, TwoStageRecommender]
)
def test_recommenders_own_their_inherited_methods(kind):
    method = kind.recommend
    assert method.__qualname__ == f"{kind.__name__}.recommend"
    assert pickle.loads(pickle.dumps(method)) is method
    assert inspect.signature(method) == inspect.signature(RetrievalMixin.recommend)
    assert f"model = {kind.__name__}(" in method.__doc__
    assert inspect.getsource(method) == inspect.getsource(RetrievalMixin.recommend)


def test_a_fitted_model_and_its_bound_methods_can_be_pickled():
    model = EASERecommender().fit([["ann", "tea"], ["bob", "tea"], ["bob", "jam"]])
    again = pickle.loads(pickle.dumps(model.recommend))
    assert again(["ann"])["item"].tolist() == ["jam"]
