"""Contexts that were asked in are kept, and never taken for others."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sktwotower.features._request_clock import RequestClock
from sktwotower.recommender import _asked
from sktwotower.recommender._asked import AskedBefore, asked_of

BERLIN = ZoneInfo("Europe/Berlin")
TWICE = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)  # an hour that comes twice


class Context:
    """A context that encodes a cell by its text: all that can be told apart."""

    time, clock, all_columns = "asked", RequestClock(True, np.zeros(0), 1.0), ["c"]

    def __init__(self):
        self.texts = []

    def of_mapping(self, mapping, *_):
        return pd.DataFrame({name: pd.Series([c]) for name, c in mapping.items()})

    def encode(self, table, name):
        text = ascii(table["c"].tolist()) if "c" in table else "nothing"
        if text not in self.texts:
            self.texts.append(text)
        row = np.array([[1 + self.texts.index(text)]], dtype=np.float32)
        return sparse.csr_matrix(row)


def get(kept, context, given):
    found = kept.get(context, given, 1)
    return found or asked_of(context, None, 1, given, "X", ())


@pytest.mark.parametrize(
    "cells",
    [
        [1, True, 1.0, np.int64(1), np.float32(1), np.True_, "1", b"1", np.str_("1")],
        [("a", 1), ("a", True), ("a", 1.0)],
        [frozenset([1]), frozenset([True])],
        [TWICE, TWICE.replace(fold=1)],
        [None, np.nan, pd.NA, pd.NaT],
    ],
)
def test_equal_cells_of_other_types_are_other_contexts(cells):
    context, kept = Context(), AskedBefore()
    expected = [asked_of(context, None, 1, {"c": c}, "X", ()).rows for c in cells]
    for _ in range(2):
        for cell, row in zip(cells, expected, strict=True):
            assert get(kept, context, {"c": cell}).rows[0, 0] == row[0, 0]


def test_only_the_latest_are_kept(monkeypatch):
    monkeypatch.setattr(_asked, "MAX_KEPT", 2)
    context, kept = Context(), AskedBefore()
    for cell in "abcc":
        get(kept, context, {"c": cell})
    assert kept._rows.cache_info()[:] == (1, 3, 2, 2)  # hits, misses, limit, kept
    get(kept, context, {"c": "a"})
    get(kept, context, {"c": "c"})
    assert kept._rows.cache_info()[:2] == (2, 4)


def test_long_texts_are_not_kept():
    context, kept = Context(), AskedBefore()
    assert get(kept, context, {"c": "a" * 1000}) is not None
    for letter in "abc":
        assert kept.get(context, {"c": letter * 10_000}, 1) is None
    assert kept._rows.cache_info().currsize == 1


@pytest.mark.parametrize("year", [1, 9999])
def test_a_time_out_of_range_needs_a_closer_look(year):
    given = {"asked": datetime(year, 1, 1)}
    assert AskedBefore().get(Context(), given, 1) is None


def test_what_is_no_dict_needs_a_closer_look_also_if_it_was_asked_before():
    context, kept = Context(), AskedBefore()
    get(kept, context, {"c": "a"})
    given = pd.Series({"c": "a"})
    assert kept.get(context, given, 1) is None
