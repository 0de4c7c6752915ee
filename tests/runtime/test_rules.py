"""Rules of a list: which items qualify, how many are alike, how much they differ."""

import functools
import gc
import pickle
import threading
import tracemalloc
import weakref
from datetime import datetime
from types import SimpleNamespace
from unittest.mock import patch
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sktwotower.runtime import _rules
from sktwotower.runtime._item_columns import ItemColumn
from sktwotower.runtime._kept import Kept
from sktwotower.runtime._rules import NO_RULES, ItemTable, Rules, cosines_of

COLORS = np.array(["red", "red", None, "blue", "blue", "blue"], dtype=object)
PRICES = np.array([1.0, 2.0, 3.0, np.nan, 5.0, 6.0])


def table_of(**columns):
    columns = {"item": np.arange(6), "color": COLORS, "price": PRICES} | columns
    n_items = len(columns["item"])
    return ItemTable(list(columns), columns.get, lambda: dict(columns), n_items)


def qualifying(table, where):
    return table.rules(where, None, None, 3).qualifying.tolist()


# Lists


def naive(scores, k, limits, diversity, vectors):
    """Choose the items of a list as the docstring of `recommend` says."""
    order = sorted(np.flatnonzero(scores > -np.inf), key=lambda i: (-scores[i], i))
    n_candidates = max(5 * k, 50)
    while True:
        chosen, pool = [], order[:n_candidates]
        low, high = (scores[pool[-1]], scores[pool[0]]) if pool else (0, 0)
        while len(chosen) < k:
            values = {}
            for item in pool:
                full = any(
                    groups[item] >= 0
                    and sum(groups[c] == groups[item] for c in chosen) >= limit
                    for groups, limit in limits
                )
                if item not in chosen and not full:
                    cosines = [
                        vectors[item]
                        @ vectors[c]
                        / np.linalg.norm(vectors[item])
                        / np.linalg.norm(vectors[c])
                        for c in chosen
                    ]
                    gain = (scores[item] - low) / ((high - low) or 1)
                    worth = (1 - diversity) * gain
                    values[item] = worth - diversity * max(cosines, default=0)
            if not values:
                break
            chosen.append(max(values, key=values.get))  # the first of equal ones
        if len(chosen) == k or n_candidates >= len(order):
            return chosen
        n_candidates *= 4


def lists(rules, scores, k, vectors):
    """Return what ``Rules.lists`` makes of a matrix of scores (n, n_items)."""
    asked = []

    def search(rows, width):
        asked.append((len(rows), width))
        order = np.argsort(-scores[rows], axis=1, kind="stable")[:, :width]
        best = np.take_along_axis(scores[rows], order, 1)
        return best, np.where(best > -np.inf, order, -1)

    n, n_items = scores.shape
    found = rules.lists(search, n, k, n_items, lambda p: cosines_of(vectors[p]))
    return SimpleNamespace(scores=found[0], indices=found[1], asked=asked)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("diversity", [0.0, 0.3, 1.0])
def test_lists_are_those_of_a_naive_choice(seed, diversity):
    rng = np.random.default_rng(seed)
    n_items, k = int(rng.integers(1, 300)), int(rng.integers(1, 15))
    scores = rng.normal(size=(4, n_items)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    vectors = rng.normal(size=(n_items, 3)).astype(np.float32)
    limits = [
        (rng.integers(-1, n_groups, n_items), int(rng.integers(1, 4)))
        for n_groups in (1, 2, 30)[: rng.integers(0, 4)]
    ]
    found = lists(Rules(None, limits, diversity), scores, k, vectors)
    for row, (best, indices) in enumerate(
        zip(found.scores, found.indices, strict=True)
    ):
        expected = naive(scores[row], min(k, n_items), limits, diversity, vectors)
        padding = [-1] * (min(k, n_items) - len(expected))
        assert indices.tolist() == expected + padding
        assert_array_equal(best[: len(expected)], scores[row, expected])
        assert (best[len(expected) :] == -np.inf).all()


def test_limits_and_diversity_by_hand():
    scores = np.array([[5, 4, 3, 2, 1]], dtype=np.float32)
    vectors = np.array([[1, 0], [1, 0.1], [-1, 0], [0, 1], [0, -1]])
    groups = np.array([0, 0, 0, -1, -1])
    one = lists(Rules(None, [(groups, 1)], 0.0), scores, 3, vectors)
    assert one.indices.tolist() == [[0, 3, 4]]
    assert one.scores.tolist() == [[5, 2, 1]]
    # the opposite of the first is worth .5 / 2 + 1 / 2, its like .75 / 2 - .995 / 2
    half = lists(Rules(None, [], 0.5), scores, 2, vectors)
    assert half.indices.tolist() == [[0, 2]]
    slight = lists(Rules(None, [], 0.01), scores, 5, vectors)
    assert slight.indices.tolist() == [[0, 1, 2, 3, 4]]


def test_only_short_lists_are_searched_again_and_in_blocks():
    n_items = 1000
    scores = -np.arange(n_items, dtype=np.float32)[None].repeat(3, axis=0)
    groups = np.where(np.arange(n_items) < 300, 0, np.arange(n_items))
    scores[1] = scores[1][::-1]  # the best have groups of their own
    rules, vectors = Rules(None, [(groups, 2)], 0.0), np.ones((n_items, 1))
    with patch.object(_rules, "BLOCK_SIZE", 800):
        found = lists(rules, scores, 4, vectors)
    assert found.asked == [(3, 50), (2, 200), (1, 800), (1, 800)]
    assert found.indices[[0, 2]].tolist() == [[0, 1, 300, 301]] * 2
    assert found.indices[1].tolist() == [999, 998, 997, 996]


def test_equal_scores_keep_their_order():
    scores, vectors = np.zeros((1, 5), dtype=np.float32), np.zeros((5, 2))
    found = lists(Rules(None, [], 0.5), scores, 5, vectors)
    assert found.indices.tolist() == [[0, 1, 2, 3, 4]]


def test_candidates_that_qualify():
    rules = Rules(np.array([1, 3, 4]))
    assert rules.among(np.array([0, 1, 2, 4, 9])).tolist() == [1, 4]
    assert rules.among(None).tolist() == [1, 3, 4]
    assert NO_RULES.among(None) is None
    assert NO_RULES.among(np.array([2])).tolist() == [2]
    assert Rules(np.zeros(0, np.int64)).among(np.array([2])).tolist() == []


# What is read


@pytest.mark.parametrize(
    "where, expected",
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"color": "red"}, [0, 1]),
        ({"color": ["red", "blue"]}, [0, 1, 3, 4, 5]),
        ({"color": np.array(["blue"])}, [3, 4, 5]),
        ({"color": []}, []),
        ({"color": "green"}, []),
        ({"price": 2}, [1]),
        ({"price": (2, 5)}, [1, 2, 4]),
        ({"price": (2.5, None)}, [2, 4, 5]),
        ({"price": (None, 2)}, [0, 1]),
        ({"price": (None, None)}, [0, 1, 2, 4, 5]),
        ({"price": (6, 8)}, [5]),
        ({"price": (2, 2)}, [1]),
        ({"price": (2, None), "color": {"blue"}}, [4, 5]),
        ({"item": [5, 0, 99]}, [0, 5]),
        (lambda table: table["price"] < 3, [0, 1]),
        (lambda table: [False] * 6, []),
        (lambda table: np.array([True] + [False] * 5, dtype=object), [0]),
    ],
)
def test_which_items_qualify(where, expected):
    assert qualifying(table_of(), where) == expected


def test_limits_have_the_groups_of_their_columns():
    rules = table_of().rules(None, {"color": 2, "price": 1}, 0.25, 3)
    (colors, two), (prices, one) = rules.limits
    assert (two, one, rules.diversity) == (2, 1, 0.25)
    assert colors.tolist() == [0, 0, -1, 1, 1, 1]
    assert prices.tolist() == [0, 1, 2, -1, 3, 4]
    assert rules.qualifying is None and rules.reorder


def test_no_rules_change_nothing():
    rules = table_of().rules(None, {}, 0, 10**6)
    assert not rules.reorder and rules.qualifying is None


@pytest.mark.parametrize("k", [1000, 1001])
def test_long_lists_are_not_chosen_one_by_one(k):
    table = ItemTable(["item"], lambda _: np.arange(2000), dict, 2000)
    assert not table.rules({"item": 1}, None, None, k).reorder
    for rule in ({"max_per": {"item": 1}}, {"diversity": 0.5}):
        how = {"where": None, "max_per": None, "diversity": None} | rule
        if k <= 1000:
            assert table.rules(**how, k=k).reorder
        else:
            with pytest.raises(ValueError, match=r"at most 1,000. Got .*=1,001"):
                table.rules(**how, k=k)
    assert table_of().rules(None, None, 0.5, 10**6).reorder  # there are six items


@pytest.mark.parametrize(
    "rule, error, message",
    [
        ({"where": 3}, TypeError, "where must be a dict .* Got 3"),
        ({"where": ["red"]}, TypeError, "where must be a dict"),
        ({"where": {"colour": 1}}, ValueError, "'colour'.* Did you mean 'color'"),
        ({"where": {1: 1}}, ValueError, "names 1, but"),
        ({"where": {"color": 1}}, ValueError, r"where\['color'\].* Got 1"),
        ({"where": {"color": None}}, ValueError, "Got None"),
        ({"where": {"color": ["red", None]}}, ValueError, r"where\['color'\]"),
        ({"where": {"color": {"a": 1}}}, ValueError, "Got {'a': 1}"),
        ({"where": {"color": ("blue", "red")}}, ValueError, "pair of numbers or dates"),
        ({"where": {"price": "2"}}, ValueError, "such as .1.0, 2.0.. Got '2'"),
        ({"where": {"price": np.nan}}, ValueError, "Got nan"),
        ({"where": {"price": (1, np.nan)}}, ValueError, "Got .1, nan"),
        ({"where": {"price": (1, 2, 3)}}, ValueError, "a pair"),
        ({"where": {"price": (2, 1)}}, ValueError, r"low <= high, .* Got \(2, 1\)"),
        ({"where": lambda t: t["price"]}, ValueError, "one boolean for each of 6"),
        ({"where": lambda t: [True]}, ValueError, r"shape \(1,\)"),
        ({"where": lambda t: None}, ValueError, "Got None"),
        ({"max_per": 2}, TypeError, "max_per must be a dict .* Got 2"),
        ({"max_per": len}, TypeError, "max_per must be a dict"),
        ({"max_per": {"brand": 2}}, ValueError, "'brand'.* Columns: 'item', 'color'"),
        ({"max_per": {"color": 0}}, ValueError, r"max_per\['color'\] .* >= 1. Got 0"),
        ({"max_per": {"color": True}}, TypeError, "Got True"),
        ({"max_per": {"color": 1.5}}, TypeError, "an integer >= 1"),
        ({"diversity": -0.1}, ValueError, "from 0 to 1. Got -0.1"),
        ({"diversity": 1.01}, ValueError, "from 0 to 1"),
        ({"diversity": np.nan}, ValueError, "Got nan"),
        ({"diversity": True}, TypeError, "Got True"),
        ({"diversity": "0.5"}, TypeError, "Got '0.5'"),
    ],
)
def test_bad_rules_are_refused(rule, error, message):
    how = {"where": None, "max_per": None, "diversity": None} | rule
    with pytest.raises(error, match=message):
        table_of().rules(**how, k=3)


def test_errors_of_a_function_are_its_own():
    with pytest.raises(ZeroDivisionError):
        qualifying(table_of(), lambda table: 1 / 0)


# What is kept


def calls_of(method):
    return patch.object(
        ItemColumn, method, autospec=True, side_effect=getattr(ItemColumn, method)
    )


def test_answers_are_kept_and_their_types_tell_rules_apart():
    table = table_of()
    with calls_of("mask") as mask:
        for where in ({"price": (1, 2)}, {"price": [1, 2]}, {"price": (1, 2)}):
            qualifying(table, where)
            qualifying(table, where)
        assert mask.call_count == 2
        assert qualifying(table, {"price": [1]}) == [0]
        with pytest.raises(ValueError, match="Got 1"):
            qualifying(table, {"color": 1})
        assert qualifying(table, {"price": [*range(1001)]}) == [0, 1, 2, 4, 5]
        before = mask.call_count
        qualifying(table, {"price": [*range(1001)]})  # too long to be kept
        assert mask.call_count == before + 1


def test_the_answer_for_an_hour_is_not_that_for_the_same_hour_after_it():
    # in Berlin 02:30 came twice, at 00:30 and at 01:30 UTC
    times = np.array(["2024-10-27T00:45", "2024-10-27T01:45"], dtype="M8[us]")
    table = table_of(item=np.arange(2), time=times)
    twice = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    for _ in range(2):
        assert qualifying(table, {"time": (twice, None)}) == [0, 1]
        assert qualifying(table, {"time": (twice.replace(fold=1), None)}) == [1]


def test_a_function_answers_anew_in_each_request():
    table, in_stock = table_of(), {0, 1}

    def is_in_stock(items):
        return np.isin(items["item"], [*in_stock])

    class Stock:
        def is_there(self, items):
            return is_in_stock(items)

        __call__ = is_there

    stock = Stock()
    functions = is_in_stock, functools.partial(is_in_stock), stock, stock.is_there
    for function in functions:
        in_stock |= {0, 1}
        assert qualifying(table, function) == [0, 1]
        in_stock -= {0}
        assert qualifying(table, function) == [1]


def test_the_answer_of_a_function_is_kept_if_it_says_so():
    table, calls = table_of(), []

    def cheap(items):
        calls.append(items)
        return items["price"] < 3

    class Cheap:
        keep_answer = True

        def __call__(self, items):
            return cheap(items)

        def method(self, items):
            return cheap(items)

        method.keep_answer = True

    cheap.keep_answer = True
    rule = Cheap()
    for n_calls, function in enumerate((cheap, rule, rule.method), start=1):
        for _ in range(3):
            assert qualifying(table, function) == [0, 1]
        assert len(calls) == n_calls
    assert qualifying(table, rule.method) == [0, 1] and len(calls) == 3


def test_a_function_is_not_kept_alive():
    table = table_of()

    def cheap(items):
        return items["price"] < 3

    cheap.keep_answer = True
    assert qualifying(table, cheap) == [0, 1]
    alive = weakref.ref(cheap)
    del cheap
    gc.collect()
    assert alive() is None and len(table._qualifying) == 1


def test_functions_without_hash_are_called_each_time():
    class Cheap:
        __hash__ = None
        keep_answer = True
        calls = 0

        def __call__(self, items):
            self.calls += 1
            return items["price"] < 3

    table, cheap = table_of(), Cheap()
    assert qualifying(table, cheap) == qualifying(table, cheap) == [0, 1]
    assert cheap.calls == 2


def test_many_answers_stay_few():
    table = table_of()
    for number in range(6000):
        qualifying(table, {"price": (number, None)})
    assert len(table._qualifying) <= 4096


def test_threads_share_the_answers():
    table = table_of(item=np.arange(6) % 3)
    results, start = [], threading.Barrier(6)

    def ask(thread):
        start.wait()
        for number in range(300):
            where = {"price": (number % 7, None), "item": thread % 3}
            known = PRICES >= number % 7
            expected = np.flatnonzero(known & (np.arange(6) % 3 == thread % 3))
            results.append(qualifying(table, where) == expected.tolist())

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 1800 and all(results)


def test_kept_arrays_are_limited_in_size_and_number():
    kept = Kept(max_bytes=3000, min_bytes=1000)
    for key in range(4):
        assert kept.get(key, lambda key: np.full(1, key)).tolist() == [key]
    assert len(kept) == 3 and kept.n_bytes == 3000
    kept.get("large", lambda _: np.zeros(500))
    assert len(kept) == 1 and 4000 < kept.n_bytes < 5000
    assert kept.get(3, lambda _: np.ones(0)).tolist() == []
    again = pickle.loads(pickle.dumps(kept))
    assert (len(again), again.max_bytes, again.min_bytes) == (0, 3000, 1000)
    assert again.max_key_bytes == kept.max_key_bytes


def test_keys_count_and_those_that_are_too_long_are_not_kept():
    kept, computed = Kept(max_bytes=10_000, max_key_bytes=2000), []

    def compute(key):
        computed.append(key)
        return np.zeros(1)

    for letter in "abcdefgh":
        kept.get(("name", (letter * 1500,)), compute)
    assert 4 <= len(kept) <= 6 and 6000 < kept.n_bytes <= 10_000
    long, computed[:] = ("name", ("x" * 1000, "y" * 1000)), []
    for _ in range(2):
        assert kept.get(long, compute).tolist() == [0]
    assert computed == [long, long] and long not in kept._arrays


@pytest.mark.slow
@pytest.mark.parametrize(
    "n_values, length",
    [(1, 5), (1, 60_000), (1, 200_000), (30, 190), (250, 190), (900, 3), (900, 190)],
)
def test_rules_of_all_sizes_take_no_more_than_the_limit(n_values, length):
    table = table_of()
    assert qualifying(table, {"color": "red"}) == [0, 1]
    # a 32nd of the limit, and of 4,096 rules
    table._qualifying.max_bytes = limit = 2 * 1024**2
    tracemalloc.start()
    try:
        for number in range(128):
            texts = [f"{number}-{i}-".ljust(length, "x") for i in range(n_values)]
            assert qualifying(table, {"color": [*texts, "red"]}) == [0, 1]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.1 * limit
    assert len(table._qualifying) <= 128


def test_what_kept_arrays_count_is_what_they_take():
    kept, n = Kept(), 2000
    tracemalloc.start()
    try:
        for key in range(10**6, 10**6 + n):
            kept.get(key, lambda key: np.full(8, key, dtype=np.float32))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1.1 * kept.n_bytes < 2 * taken
