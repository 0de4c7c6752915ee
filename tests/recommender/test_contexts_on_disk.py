"""Contexts of events on disk: the same fit as in memory, and further events."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sktwotower import io
from sktwotower.towers import PooledHistory, RecentHistory
from tests.builders import small
from tests.recommender.builders import few

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


def assert_same_contexts(model, other):
    """Assert that two models have learnt the same, also of contexts."""
    assert_same(model, other)
    names = [each.context_transformer_ for each in (model, other)]
    assert (names[0] is None) == (names[1] is None)
    if names[0] is not None:
        assert_array_equal(*(each.get_feature_names_out() for each in names))
    requests = make_requests(seed=5).head(30)
    columns = [IDS[0], *dict.fromkeys([*CONTEXT, "time"])]
    requests = requests[[name for name in columns if name in model.feature_names_in_]]
    assert_array_equal(*(each.embed_users(requests) for each in (model, other)))


# The same fit from disk and in memory


@pytest.mark.parametrize(
    ("outcomes", "params"),
    few(
        [
            (REWARDS, {"time": "time", "early_stopping": True, "max_epochs": 2}),
            (REWARDS, {"early_stopping": True, "max_epochs": 2}),
            ((), {}),
            (("stars",), {"time": "time"}),
            (("stars",), {"time": "time", "impression_weight": 0.5}),
            ((), {"time": "time", "context": [*CONTEXT, "time"]}),
            (
                REWARDS,
                {
                    "time": "time",
                    "context": ["time"],
                    "history": RecentHistory(half_life=20.0),
                },
            ),
            (REWARDS, {"time": "time", "context": [*CONTEXT, "time"], "history": None}),
            (REWARDS, {"time": "time", "context": ["time"], "history": "pooled"}),
            ((), {"context": ["device"], "user_features": ["hour"]}),
            ((), {"history": PooledHistory(second_share=0.5)}),
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


@pytest.mark.parametrize("kind", few(list(KINDS)[::-1]))
def test_types_of_contexts(events, kind, tmp_path):
    codes = np.random.default_rng(0).integers(6, size=len(events))
    events = events[["user", "item"]].assign(about=KINDS[kind](codes))
    write(events, tmp_path)
    model = small(context=["about"]).fit(events)
    assert_same_contexts(small(context=["about"]).fit(tmp_path), model)


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


@pytest.mark.parametrize("lacking", few([["device"], [], CONTEXT]))
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
