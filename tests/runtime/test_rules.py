"""Rules of a list: which items qualify, and what is refused, by estimator and file."""

import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.preprocessing import FunctionTransformer

from sktwotower import PopularityRecommender, runtime
from sktwotower.io import dump
from tests.builders import small
from tests.cases import for_each

UTC = datetime.UTC
BERLIN = datetime.timezone(datetime.timedelta(hours=1))
DAYS = np.array(["2024-01-01", "2024-02-01", "NaT", "2024-03-01"], dtype="M8[ns]")


def objects(*cells):
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    return values


COLUMNS = {
    "new": [True, False, True, False],
    "whole": [1, 2, 3, 2**62],
    "tiny": np.array([1, 2, 3, 4], np.uint8),
    "real": np.array([0.1, np.inf, 0.2, np.nan], np.float32),
    "price": [1.0, np.nan, 3.0, 5.0],
    "exact": objects(Decimal(1), Decimal(3), Decimal(5), None),
    "color": objects("ab", None, np.nan, "c"),
    "tags": objects(["a", "b"], [], None, ["b", "c"]),
    "sets": objects({"a"}, ("b", "c"), np.array(["a", "c"]), None),
    "none": objects(None, None, None, None),
    "mixed": objects("a", 1, "b", 2),
    "day": DAYS,
    "span": DAYS - DAYS[0],
    # in Berlin 02:30 came twice, at 00:30 and at 01:30 UTC
    "hour": np.array(
        ["2024-10-27T00:45", "2024-10-27T01:45", "NaT", "NaT"], dtype="M8[ns]"
    ),
}
IN_FILE = "item", "new", "whole", "price", "color", "tags", "day"
TWICE = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))


def no_features(table):
    return np.zeros((len(table), 1))


def fitted(**columns):
    items = pd.DataFrame({"item": [*"wxyz"]})
    for name, values in columns.items():
        items[name] = pd.Series(values)
    X = pd.DataFrame({"user": [*"aabbc"], "item": [*"wxyzw"]})
    transformer = FunctionTransformer(no_features)
    return small(items=items, item_transformer=transformer, sparse_parts=None).fit(X)


@pytest.fixture(scope="module")
def model():
    return fitted(**COLUMNS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What serves a model of the columns that a file holds."""
    path = tmp_path_factory.mktemp("rules") / "model"
    items = pd.DataFrame({"item": [*"wxyz"]}).assign(
        **{name: COLUMNS[name] for name in IN_FILE[1:]}
    )
    X = pd.DataFrame({"user": [*"aabbc"], "item": [*"wxyzw"]})
    dump(small(items=items).fit(X), path)
    return runtime.load(path)


@pytest.fixture
def found(model, plain):
    """Return a function of a rule: positions of the items that qualify."""

    def get(where):
        top = [*model.recommend(["new"], 9, where=where)["item"]]
        if callable(where) or where.keys() <= set(IN_FILE):
            ids, _ = plain.recommend("new", 9, where=where)
            assert {*ids} == {*top}
        return sorted("wxyz".index(item) for item in top)

    return get


CASES = [
    ({}, [0, 1, 2, 3]),
    ({"new": True}, [0, 2]),
    ({"new": 0}, [1, 3]),
    ({"whole": np.int64(2)}, [1]),
    ({"whole": Decimal(2)}, [1]),
    ({"whole": [2**62, 2**70]}, [3]),
    ({"whole": (1.5, np.float32(2.5))}, [1]),
    ({"tiny": (2, None)}, [1, 2, 3]),
    ({"real": (1, None)}, [1]),
    ({"price": (2, None)}, [2, 3]),
    ({"price": (None, 3)}, [0, 2]),
    ({"price": (3, 3)}, [2]),
    ({"price": (None, None)}, [0, 2, 3]),
    ({"exact": (2, None)}, [1, 2]),
    ({"color": "ab"}, [0]),
    ({"color": ["c", "d"]}, [3]),
    ({"color": pd.Series(["c", "ab"])}, [0, 3]),
    ({"color": pl.Series(["c"])}, [3]),
    ({"color": {"c"}, "price": (2, None)}, [3]),
    ({"tags": "b"}, [0, 3]),
    ({"sets": ["a"]}, [0, 2]),
    ({"mixed": 1}, [1]),
    ({"day": "2024-02-01"}, [1]),
    ({"day": datetime.date(2024, 2, 1)}, [1]),
    ({"day": ("2024-02-01", None)}, [1, 3]),
    ({"day": (None, datetime.datetime(2024, 2, 1))}, [0, 1]),
    ({"day": (np.datetime64("2024-01-15"), "2024-02")}, [1]),
    ({"day": datetime.datetime(2024, 2, 1, 1, tzinfo=BERLIN)}, [1]),
    ({"day": DAYS[[3, 1]]}, [1, 3]),
    ({"span": datetime.timedelta(31)}, [1]),
    ({"span": (datetime.timedelta(31), None)}, [1, 3]),
    ({"hour": (TWICE, None)}, [0, 1]),
    ({"hour": (TWICE.replace(fold=1), None)}, [1]),
    ({"item": ["z", "w", "never"]}, [0, 3]),
    (lambda table: table["price"] < 3, [0]),
    (lambda table: np.array([True, False, False, False], dtype=object), [0]),
]


def test_which_items_qualify(found):
    for where, expected in CASES:
        assert found(where) == expected


NOTHING = [
    {"color": []},
    {"color": "green"},
    {"none": "a"},
    {"none": (1, 2)},
    {"day": datetime.datetime(2024, 2, 1, 1, tzinfo=UTC)},
    lambda table: [False] * 4,
]


def test_nothing_qualifies(model):
    for where in NOTHING:
        with pytest.warns(
            UserWarning, match="No item of the catalog qualifies by where"
        ):
            assert len(model.recommend(["new"], 9, where=where)) == 0


NOT_COMPARABLE = [
    ("whole", ["1", datetime.date(2024, 1, 1)]),
    ("color", [1, ("ab", "c"), ("ab", None), ["ab", 1], {"b": "a"}, None]),
    ("color", [["ab", None]]),
    ("price", ["2", np.nan, (1, np.nan), (1, 2, 3), (2, 1)]),
    ("day", [2024, "soon", "2024-13-01", "NaT", (1, None)]),
    ("span", [31]),
]


def test_what_cannot_be_compared_is_refused(model):
    for column, rules in NOT_COMPARABLE:
        for rule in rules:
            with pytest.raises(ValueError, match=rf"where\['{column}'\]"):
                model.recommend(["new"], where={column: rule})


BAD_RULES = [
    ({"where": 3}, TypeError, "where must be a dict .* Got 3"),
    ({"where": {"colour": 1}}, ValueError, "'colour'.* Did you mean 'color'"),
    ({"where": {1: 1}}, ValueError, "names 1, but"),
    ({"where": lambda t: t["price"]}, ValueError, "one boolean for each of 4"),
    ({"where": lambda t: [True]}, ValueError, r"shape \(1,\)"),
    ({"where": lambda t: 1 / 0}, ZeroDivisionError, ""),
    ({"max_per": 2}, TypeError, "max_per must be a dict .* Got 2"),
    ({"max_per": {"brand": 2}}, ValueError, "'brand'.* Columns: 'item', 'new'"),
    ({"max_per": {"color": 0}}, ValueError, r"max_per\['color'\] .* >= 1. Got 0"),
    ({"max_per": {"color": True}}, TypeError, "Got True"),
    ({"max_per": {"tags": 1}}, ValueError, "max_per names 'tags', a column of li"),
    ({"diversity": -0.1}, ValueError, "from 0 to 1. Got -0.1"),
    ({"diversity": np.nan}, ValueError, "Got nan"),
    ({"diversity": True}, TypeError, "Got True"),
    ({"diversity": "0.5"}, TypeError, "Got '0.5'"),
]


def test_bad_rules_are_refused(model):
    for rule, error, message in BAD_RULES:
        with pytest.raises(error, match=message):
            model.recommend(["new"], **rule)
        assert len(model.recommend(["new"]))


@for_each("cell", [{"a": 1}, [[1]], np.ones((2, 2))])
def test_cells_that_cannot_be_compared_are_named(cell):
    model = fitted(odd=objects(cell, "a", "b", "c"))
    with pytest.raises(ValueError, match="column 'odd' .* holds objects"):
        model.recommend(["new"], where={"odd": "a"})


def test_missing_values_are_no_group(model):
    top = model.recommend(["new"], 9, max_per={"color": 1})
    assert len(top) == 4  # two colors, and two items without any
    top = model.recommend(["new"], 9, max_per={"new": 1})
    assert len(top) == 2


def test_long_lists_are_not_chosen_one_by_one():
    X = pd.DataFrame({"user": "a", "item": np.arange(1500)})
    model = PopularityRecommender(exclude_seen=False).fit(X)
    for rule in ({"max_per": {"item": 1}}, {"diversity": 0.5}):
        with pytest.raises(ValueError, match=r"at most 1,000. Got .*=1,001"):
            model.recommend(["a"], 1001, **rule)
    found = model.recommend(["a"], 1001, where={"item": np.arange(1200).tolist()})
    assert len(found) == 1001


# What is kept


def test_answers_are_told_apart_by_the_types_of_rules(found):
    for _ in range(2):
        assert found({"price": (1, 4)}) == [0, 2]
        assert found({"price": [1, 4]}) == [0]
        assert found({"price": [*range(1001)]}) == [0, 2, 3]


def test_a_function_answers_anew_in_each_request(found):
    in_stock = {"w", "x"}

    class Stock:
        def is_there(self, table):
            return [item in in_stock for item in table["item"]]

        __call__ = is_there

    stock = Stock()
    for function in (stock, stock.is_there):
        in_stock |= {"w", "x"}
        assert found(function) == [0, 1]
        in_stock -= {"w"}
        assert found(function) == [1]


def test_the_answer_of_a_function_is_kept_if_it_says_so(found):
    calls = []

    def cheap(items):
        calls.append(len(items["price"]))
        return items["price"] < 3

    class Cheap:
        keep_answer = True

        def __call__(self, items):
            return cheap(items)

    class WithoutHash(Cheap):
        __hash__ = None

    cheap.keep_answer = True
    for n_calls, function in enumerate((cheap, Cheap()), start=1):
        for _ in range(3):
            assert found(function) == [0]
        assert len(calls) == 2 * n_calls  # once by the estimator, once by the file
    without = WithoutHash()  # which cannot be kept
    assert found(without) == found(without) == [0]
    assert len(calls) == 8
