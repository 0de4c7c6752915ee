"""Contexts in tables of any library: fits, requests, further events, and streams."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal

from sktwotower.model_selection import prequential_validate
from tests.builders import small

from .builders import few

CONTEXT = ["hour", "device"]
LIBRARIES = {
    "pyarrow": lambda table: pa.Table.from_pandas(table, preserve_index=False),
    "polars": lambda table: pl.from_pandas(table, nan_to_null=False),
    "nulls": pl.from_pandas,
    "nullable": lambda table: table.convert_dtypes(),
    "arrow in pandas": lambda table: table.convert_dtypes(dtype_backend="pyarrow"),
}


def make_requests(n=200, seed=0):
    """Return events of users who choose by hour; of some little is known."""
    rng = np.random.default_rng(seed)
    hours = rng.integers(4, size=n)
    return pd.DataFrame(
        {
            "user": [f"u{user}" for user in rng.integers(20, size=n)],
            "item": 3 * hours + rng.integers(3, size=n),
            "day": pd.to_datetime(rng.integers(30, size=n), unit="D"),
            "hour": np.where(rng.random(n) < 0.2, np.nan, hours),
            "device": np.array(["tv", "web", None], object)[rng.integers(3, size=n)],
        }
    )


@pytest.fixture(scope="module")
def events():
    return make_requests()


@pytest.fixture(scope="module")
def model(events):
    return small(context=[*CONTEXT, "day"], time="day").fit(events)


def values(answer):
    """Return the cells of an answer as an array."""
    if isinstance(answer, tuple):
        answer = np.hstack(answer)
    return np.asarray(in_pandas(answer) if hasattr(answer, "columns") else answer)


def in_pandas(table):
    """Return a table of any library as one of pandas."""
    return table if isinstance(table, pd.DataFrame) else table.to_pandas()


@pytest.mark.each_time("pyarrow", "nulls")
@pytest.mark.parametrize("library", few(LIBRARIES, 3))
def test_fit_and_requests(model, events, library):
    convert = LIBRARIES[library]
    other = small(context=[*CONTEXT, "day"], time="day").fit(convert(events))
    assert_array_equal(other.item_embeddings_, model.item_embeddings_)
    requests = events.drop(columns="item").iloc[:30]
    for method in ("recommend", "kneighbors", "transform"):
        found = getattr(other, method)(convert(requests))
        assert_array_equal(values(found), values(getattr(model, method)(requests)))
    assert_array_equal(other.predict(convert(events)), model.predict(events))
    assert other.score(convert(events)) == model.score(events)


@pytest.mark.parametrize("lacking", few([["device"], CONTEXT]))
def test_further_events_that_lack_columns_have_no_known_context(events, lacking):
    model = small(context=CONTEXT).fit(events)
    more = make_requests(seed=1)
    models = [
        copy.deepcopy(model).partial_fit(table)
        for table in (
            more.drop(columns=lacking),
            more.assign(**dict.fromkeys(lacking, np.nan)),
            pl.from_pandas(more).drop(lacking),
        )
    ]
    for other in models[1:]:
        assert_array_equal(models[0].item_embeddings_, other.item_embeddings_)


def as_stream(table, **params):
    params = {"time": "day", "n_slices": 2, "scoring": "recall@3"} | params
    model = small(context=[*CONTEXT, "day"], time="day", max_epochs=5)
    return prequential_validate(model, table, **params)


@pytest.mark.slow
@pytest.mark.parametrize("library", few(["polars", "pyarrow"], 0))
def test_streams_are_of_any_library(events, library):
    expected, found = as_stream(events), as_stream(LIBRARIES[library](events))
    names = ["strategy", "n_test", "test_score"]
    pd.testing.assert_frame_equal(
        in_pandas(found)[names], expected[names], check_dtype=False
    )


def test_requests_of_a_stream_are_asked_in_their_context():
    X = make_requests(400)
    params = {"strategies": ["frozen"]}
    score = as_stream(X, **params)["test_score"].mean()
    order = np.random.default_rng(0).permutation(len(X))
    wrong = X.assign(**{name: X[name].to_numpy()[order] for name in CONTEXT})
    late = X["day"] >= X["day"].median()
    hidden = X.assign(**{name: X[name].where(~late) for name in CONTEXT})
    for other in (wrong, hidden):
        assert as_stream(other, **params)["test_score"].mean() < score
