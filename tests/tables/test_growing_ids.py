"""Ids to which a few are added again and again."""

import itertools

import numpy as np
import pandas as pd
from numpy.testing import assert_array_equal

from sktwotower._tables._growing_ids import GrowingIds


def test_an_id_keeps_its_position():
    ids = GrowingIds((pd.Index(["b", "a"]),))
    grown = ids.plus(pd.Index(["c", "a", "d", "c"])).plus(pd.Index(["e", "b"]))
    asked = pd.Index(["a", "b", "c", "d", "e", "f"])
    assert grown.positions(asked).tolist() == [1, 0, 2, 3, 4, -1]
    assert grown.joined().tolist() == ["b", "a", "c", "d", "e"] and len(grown) == 5
    # the one before is as it was, and nothing new is no other one
    assert ids.positions(asked).tolist() == [1, 0, -1, -1, -1, -1]
    assert grown.plus(pd.Index(["e"])) is grown
    # numbers are no text
    assert grown.positions(pd.Index([0, 1])).tolist() == [-1, -1]


def test_there_are_few_parts():
    ids, rng = GrowingIds((pd.Index([], dtype="int64"),)), np.random.default_rng(0)
    drawn = rng.permutation(1_000)
    for some in np.array_split(drawn, 180):
        ids = ids.plus(pd.Index(some))
    assert_array_equal(ids.joined(), drawn)
    assert_array_equal(ids.positions(pd.Index(drawn)), np.arange(1_000))
    sizes = [len(part) for part in ids.parts[1:]]
    assert len(sizes) <= 10
    assert all(a >= 2 * b for a, b in itertools.pairwise(sizes))


def test_the_first_part_may_be_empty():
    none = GrowingIds((pd.Index([]),))
    assert len(none.joined()) == 0 and len(none) == 0
    assert none.plus(pd.Index(["a"])).joined().tolist() == ["a"]
