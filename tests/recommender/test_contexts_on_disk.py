"""Contexts of events on disk: the same fit as in memory, and further events."""

import copy

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest
from numpy.testing import assert_array_equal

from sktwotower import io
from sktwotower._tables import _sparse
from sktwotower._tables._sparse import is_mapped
from sktwotower.recommender._events import TableRecipe
from sktwotower.recommender._from_disk import read_from_disk
from tests.builders import first_fast, small

from .test_from_disk import IDS, assert_same, make_events, write

duckdb = pytest.importorskip("duckdb")

CONTEXT = ["hour", "device", "spent"]
REWARDS = ("stars", "weight")


def make_requests(seed=0):
    """Return events with contexts of which some cells, and some rows, are missing."""
    events, rng = make_events(seed=seed), np.random.default_rng(seed)
    n = len(events)
    hours, spent = rng.integers(6, size=n), rng.integers(4, size=n) / 3
    devices = np.array(["phone", "tv", "web", None], dtype=object)
    events["hour"] = np.where(rng.random(n) < 0.2, np.nan, hours)
    events["device"] = devices[rng.integers(4, size=n)]
    events["spent"] = np.where(rng.random(n) < 0.5, np.nan, spent)
    return events


@pytest.fixture(scope="module")
def events():
    return make_requests()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp("requests")
    write(events, folder)
    return folder


@pytest.fixture(autouse=True)
def few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(_sparse, "BLOCK", 100)
    monkeypatch.setattr("sktwotower._tables._source_kinds.BATCH", 70)


def assert_same_contexts(model, other):
    """Assert that two models have learnt the same, also of contexts."""
    assert_same(model, other)
    ours, theirs = model._fitted, other._fitted
    assert ours.schema.context == theirs.schema.context
    assert ours.context.feature_names() == theirs.context.feature_names()
    used = (f.context_users.toarray() for f in (ours, theirs))
    assert_array_equal(*used)
    states = (f.model.state_dict() for f in (ours, theirs))
    for one, two in zip(*(state.values() for state in states), strict=True):
        if hasattr(one, "numpy"):
            assert_array_equal(one.numpy(), two.numpy())


# The same fit from disk and in memory


@pytest.mark.parametrize(
    ("outcomes", "params"),
    first_fast(
        [
            (REWARDS, {"time": "time", "early_stopping": True, "max_epochs": 2}),
            (REWARDS, {"early_stopping": True, "max_epochs": 2}),
            ((), {}),
            (("stars",), {"time": "time"}),
            (("stars",), {"time": "time", "impression_weight": 0.5}),
            ((), {"time": "time", "context": [*CONTEXT, "time"]}),
            (REWARDS, {"time": "time", "context": ["time"], "half_life": 20.0}),
            (REWARDS, {"time": "time", "context": [*CONTEXT, "time"], "history": None}),
            (REWARDS, {"time": "time", "context": ["time"], "history": "pooled"}),
            ((), {"context": ["device"], "user_features": ["hour"]}),
            ((), {"second_share": 0.5}),
        ],
        2,
    ),
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Rows of X disagree", "ignore:'hour' is named")
def test_a_fit_from_disk_equals_one_in_memory(events, folder, outcomes, params):
    params = {"batch_size": 8, "context": CONTEXT} | params
    table = events.drop(columns=list(outcomes))
    model = small(**params).fit(table, *(events[name] for name in outcomes))
    assert_same_contexts(small(**params).fit(folder, *outcomes), model)


@pytest.mark.slow
def test_every_kind_of_source_gives_the_same_model(events, folder):
    events = events.assign(time=pd.to_datetime(events["time"] * 1e15))
    params = {"context": [*CONTEXT, "time"], "time": "time"}
    model = small(**params).fit(events)
    arrow = pa.Table.from_pandas(events, preserve_index=False)
    sources = [
        pa.dataset.dataset(arrow),
        pl.from_arrow(arrow).lazy(),
        pl.from_pandas(events, nan_to_null=False).lazy(),  # NaN and null
        pl.from_pandas(events),
        arrow,
    ]
    for source in sources:
        assert_same_contexts(small(**params).fit(source), model)


KINDS = {
    "int8": lambda codes: codes.astype("int8"),
    "float32": lambda codes: codes.astype("float32") / 3,
    "bool": lambda codes: codes > 2,
    "Int64": lambda codes: pd.array(np.where(codes > 3, None, codes), "Int64"),
    "dates": lambda codes: pd.to_datetime(codes * 10**15),
    "zoned": lambda codes: pd.to_datetime(codes * 10**15, utc=True),
    "lists": lambda codes: [["a", f"b{c}"][: c % 3] or None for c in codes],
    "words": lambda codes: [f"red wine of year number {c}" for c in codes],
    "mixed zeros": lambda codes: np.where(codes > 2, -0.0, 0.0) + (codes == 1),
    "category": lambda codes: pd.Categorical.from_codes(codes, [*"abcdef"]),
}


@pytest.mark.parametrize("kind", first_fast(list(KINDS)[::-1]))
def test_types_of_contexts(events, kind, tmp_path):
    codes = np.random.default_rng(0).integers(6, size=len(events))
    events = events[["user", "item"]].assign(about=KINDS[kind](codes))
    write(events, tmp_path)
    model = small(context=["about"]).fit(events)
    assert_same_contexts(small(context=["about"]).fit(tmp_path), model)


def test_contexts_are_memory_maps_in_an_order_without_chance(folder):
    recipe = TableRecipe.of(small(context=CONTEXT, time="time"))
    tables, found = [], []
    for _ in range(2):
        _, _, _, contexts, table = read_from_disk(recipe, folder, *REWARDS)
        tables.append(table)
        found.append(contexts)
    assert is_mapped(tables[0].contexts)
    assert tables[0].contexts.min() == 0  # all is missing in some rows
    assert_array_equal(*(table.contexts for table in tables))
    pairs = found[0].of_pairs(tables[0])
    assert is_mapped(pairs.positives.indices)
    assert is_mapped(pairs.without(pairs.positives[:40] * 0).positives.indices)
    assert is_mapped(pairs.with_items(np.arange(5)).rows.data)


def test_the_context_of_the_heaviest_of_equal_events_counts(tmp_path):
    X = pd.DataFrame(
        {
            "user": ["a", "a", "a", "b", "b"],
            "item": [1, 1, 1, 2, 1],
            "time": [0, 0, 0, 0, 1],
            "stars": [2.0, 3.0, 1.0, 1.0, 1.0],
            "weight": [2.0, 1.0, 2.0, 1.0, 1.0],
            "device": ["phone", "tv", "web", "web", "tv"],
        }
    )
    X.to_parquet(tmp_path / "events.parquet")
    recipe = TableRecipe.of(small(context=["device"], time="time"))
    *_, table = read_from_disk(recipe, tmp_path, "stars", "weight")
    assert table.weights[:3].tolist() == [2, 3, 4]
    assert table.in_order().contexts.tolist() == [0, 1, 2]
    huge = X.assign(stars=X["stars"] * 1e300, weight=X["weight"] * 1e300)
    huge.to_parquet(tmp_path / "events.parquet")
    *_, table = read_from_disk(recipe, tmp_path, "stars", "weight")
    assert table.in_order().contexts.tolist() == [0, 1, 2]


def test_a_column_that_files_lack(folder):
    model = small(context=["hour", "devise"])
    message = (
        "context names 'devise', which is not a column of X. Did you mean 'device'"
    )
    with pytest.raises(ValueError, match=message):
        model.fit(folder)


def test_durations_are_refused(events, tmp_path):
    ages = pd.to_timedelta(np.arange(len(events)) % 6, "h")
    X = events[["user", "item"]].assign(age=ages)
    X.to_parquet(tmp_path / "events.parquet")
    model = small(context=["age"])
    message = r"'age' of X is timedelta64.* only integers.*total_seconds"
    with pytest.raises(TypeError, match=message):
        model.fit(tmp_path)
    with pytest.raises(TypeError, match=message):
        model.fit(X).partial_fit(tmp_path)


# Further events


@pytest.fixture(scope="module")
def fitted(events):
    table = events[[*IDS, "time", *CONTEXT]]
    return small(context=[*CONTEXT, "time"], time="time").fit(table)


@pytest.mark.parametrize("lacking", first_fast([["device"], [], CONTEXT]))
def test_further_events_on_disk_may_lack_the_context(fitted, lacking, tmp_path):
    more = make_requests(1)[[*IDS, "time", *CONTEXT]]
    more.drop(columns=lacking).to_parquet(tmp_path / "more.parquet")
    unknown = dict.fromkeys(lacking, np.nan)
    known = copy.deepcopy(fitted).partial_fit(more.assign(**unknown))
    model = copy.deepcopy(fitted).partial_fit(tmp_path)
    assert_same_contexts(model, known)
    if lacking:
        everything = copy.deepcopy(fitted).partial_fit(more)
        assert (model.item_embeddings_ != everything.item_embeddings_).any()


@pytest.mark.slow
def test_score_reads_contexts_from_disk(fitted, events, folder, tmp_path):
    table = events[[*IDS, "time", *CONTEXT]]
    table.to_parquet(tmp_path / "events.parquet")
    assert fitted.score(tmp_path) == fitted.score(table)


@pytest.mark.slow
def test_a_model_from_disk_forgets_and_learns_more(events, folder, tmp_path):
    params = {"context": [*CONTEXT, "time"], "time": "time"}
    table = events.drop(columns=list(REWARDS))
    model = small(**params).fit(table, *(events[name] for name in REWARDS))
    other = small(**params).fit(folder, *REWARDS)
    io.dump(other, tmp_path / "model.sktt")
    other = io.load(tmp_path / "model.sktt")
    more = make_requests(1).drop(columns=list(REWARDS))
    for each in (model, other):
        each.forget_users(["u1", "u2"]).partial_fit(more)
    assert_same_contexts(other, model)


@pytest.mark.slow
def test_the_clock_learns_from_some_of_many_gaps(events, folder, monkeypatch):
    params = {"context": ["time"], "time": "time"}
    every = small(**params).fit(folder, "stars")._fitted.context.clock
    monkeypatch.setattr("sktwotower.recommender._contexts.MAX_GAPS", 60)
    model = small(**params).fit(events.drop(columns="stars"), events["stars"])
    other = small(**params).fit(folder, "stars")
    assert_same_contexts(other, model)
    knots = other._fitted.context.clock.knots
    assert len(knots) > 2 and not np.array_equal(knots, every.knots)
