"""A test of several cases runs all of them, and says which have failed."""

import inspect
from types import SimpleNamespace

import pytest

from tests.cases import for_each
from tests.conftest import leave_to_grid


def test_each_case_is_run_with_the_fixtures_of_the_test():
    seen = []

    @for_each("a, b", [(1, 2), pytest.param(3, 4)])
    @for_each("c", ["x", "y"])
    def test(a, b, c, fixture):
        seen.append((a, b, c, fixture))

    assert [*inspect.signature(test).parameters] == ["fixture"]
    test(fixture=0)
    assert seen == [(1, 2, "x", 0), (1, 2, "y", 0), (3, 4, "x", 0), (3, 4, "y", 0)]


def test_what_fails_says_in_which_case():
    @for_each("number", [1, 2, 3])
    def test(number):
        assert number == 2

    with pytest.raises(ExceptionGroup, match="2 of 3 cases") as raised:
        test()
    notes = [error.__notes__ for error in raised.value.exceptions]
    assert notes == [["in the case number=1"], ["in the case number=3"]]

    @for_each("text", ["a", "b"], ids=["first", "second"])
    def one_fails(text):
        if text == "b":
            pytest.fail("no")

    with pytest.raises(pytest.fail.Exception, match="no") as raised:
        one_fails()
    assert raised.value.__notes__ == ["in the case second"]


def test_a_case_with_marks_is_refused():
    with pytest.raises(AssertionError, match="a test of its own"):
        for_each("a", [pytest.param(1, marks=pytest.mark.slow)])


def test_cases_that_a_test_does_not_name_are_left_to_the_grid():
    class Item:
        def __init__(self, case):
            self.nodeid = f"tests/test_tea.py::test_tea[{case}]"
            self.callspec = SimpleNamespace(id=case)
            self.marks = [pytest.mark.each_time("green").mark]

        def get_closest_marker(self, name):
            return next((mark for mark in self.marks if mark.name == name), None)

        def add_marker(self, mark):
            self.marks.append(mark.mark)

    items = [Item("green"), Item("black")]
    config = SimpleNamespace(args=["tests"])
    leave_to_grid(config, items)
    assert [item.get_closest_marker("grid") is None for item in items] == [True, False]
    with pytest.raises(pytest.UsageError, match="has no case 'green'"):
        leave_to_grid(config, items[1:])
