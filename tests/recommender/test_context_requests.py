"""Requests in blocks, with features of users, and held-out events at their times."""

import copy
import warnings
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

from sktwotower.towers import RecentHistory
from tests.builders import Rows, with_share
from tests.cases import for_each
from tests.choices import pairwise
from tests.shared import once

from .builders import asking, few, names_of, planted

X = planted(12, 6)
X["time"] = pd.Timestamp("2024-03-01") + pd.to_timedelta(X["time"], "h")
X["city"] = np.resize(["x", "y", "z"], len(X))
HELD = planted(12, 3, seed=4)
HELD["time"] = X["time"].max() + pd.to_timedelta(HELD["time"] * 3, "h")
HELD["city"] = "y"
CASES = {
    "time": {"history": RecentHistory(second_share=0.3)},
    "pooled": {"history": "pooled", "user_features": ["city"]},
    "features": {"history": "recent", "user_features": ["city"]},
    "none": {"history": None},
}


def fit(**params):
    columns = {"context": ["slot", "time", "device"], "time": "time"}
    with warnings.catch_warnings():  # users have several cities
        warnings.simplefilter("ignore", UserWarning)
        return asking(**columns | params).fit(X)


@pytest.fixture(scope="module")
def fitted():
    return once(lambda name: fit(**CASES[name]))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["time", "none"])
def test_pairs_of_several_blocks_are_scored_in_their_own_contexts(case):
    model = fit(**CASES[case], embedding_dim=256, max_epochs=1)
    table = HELD.copy()
    table.loc[[1, 4], "slot"] = None
    table.loc[[2, 4], "time"] = pd.NaT
    rows = np.arange(17_000) % len(table)
    scores = model.predict(table.iloc[rows])
    assert_allclose(scores, model.predict(table)[rows], atol=1e-6)


def one_by_one(model, table, history=None):
    """Return the vector of each row of a table, asked for alone."""
    rows = [table.iloc[[i]] for i in range(len(table))]
    return np.vstack([model.embed_users(row, history=history) for row in rows])


@pytest.mark.each_time("time")
@pytest.mark.parametrize("case", few(CASES, 2))
def test_all_methods_embed_each_event_in_its_own_context(fitted, case):
    model = fitted(case)
    table = HELD.copy()
    table.loc[[1, 4], "slot"] = None
    table.loc[[2, 4], "time"] = pd.NaT
    expected = one_by_one(model, table.drop(columns="item"))
    assert_allclose(model.embed_users(table), expected, atol=1e-6)
    assert_allclose(model.transform(table), expected, atol=1e-6)
    items = np.vstack([model.embed_items([item]) for item in table["item"]])
    scores = (expected * items).sum(1)
    assert_allclose(model.predict(table), scores, atol=1e-5)


@pytest.mark.slow
def test_thousands_of_requests_are_answered_as_a_few(fitted, tmp_path):
    model, table = fitted("time"), HELD.drop(columns="item")
    history = {"u00": [*model.item_ids_[3:4]], "u05": [*model.item_ids_[9:11]]}
    users = enumerate(table["user"].unique(), 2)
    allowed = {user: [*model.item_ids_[:n]] for n, user in users}
    many = pd.concat([table] * 230, ignore_index=True)
    for given in ({}, {"history": history, "candidates": allowed}):
        once = model.recommend(table, 3, **given)
        expected = pd.concat([once] * 230, ignore_index=True)
        assert_same(model.recommend(many, 3, **given), expected)
    path = tmp_path / "found.parquet"
    assert model.recommend(table, 3, path=path) is None
    assert_same(pd.read_parquet(path), model.recommend(table, 3))


def assert_same(found, expected):
    assert_frame_equal(found, expected, rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.slow
@pytest.mark.parametrize("case", few(CASES, 2))
def test_held_out_events_are_found_as_their_requests_would(fitted, case):
    model = copy.deepcopy(fitted(case))
    requests = HELD.drop_duplicates(["user", "slot", "device", "time"])
    ranking = model.rank_held_out(HELD, n_neighbors=5)
    assert len(ranking.indices) == len(requests)
    truth = ranking.truth.toarray() > 0
    found = sum(truth[row, top].sum() for row, top in enumerate(ranking.indices))
    hits = 0
    for _, group in HELD.groupby(["user", "slot", "device", "time"]):
        top = model.recommend(group.iloc[[0]].drop(columns="item"), 5)["item"]
        hits += len({*top} & {*group["item"]})
    assert found == hits


@pytest.mark.slow
@pytest.mark.parametrize("case", few(["time", "features", "none"]))
def test_importance_of_a_context_with_times(fitted, case):
    model = fitted(case)
    table = model.feature_importance(HELD, n_neighbors=5)
    columns = table.loc[table["side"] == "context", "column"]
    assert {*columns} == {"slot", "device", "time"}
    groups = {"all": ["slot", "time", "device"]}
    lost = model.feature_importance(HELD, n_neighbors=5, groups=groups)
    lost = lost.set_index("column").loc["all", "recall_lost"]
    recall = table.attrs["recall"] - lost
    requests = ["slot", "device", "time"]
    flat = HELD.assign(slot=None, device=None, time=pd.NaT)
    hits = []
    for _, group in HELD.groupby(["user", *requests]):
        top = model.recommend(flat.loc[group.index[:1]].drop(columns="item"), 5)["item"]
        truth = {*group["item"]} & {*model.item_ids_}
        hits += [len(truth & {*top}) / min(5, len(truth))] if truth else [0.0]
    assert recall == pytest.approx(np.mean(hits))


def test_columns_of_the_context_in_a_history_do_not_count(fitted):
    model = fitted("time")
    past = HELD[HELD["user"] == "u03"]
    asked = {"slot": "noon", "time": HELD["time"].max() + pd.Timedelta("3h")}
    expected = model.embed_users(["u03"], history=past[["user", "item", "time"]])
    assert_array_equal(model.embed_users(["u03"], history=past), expected)
    found = model.embed_users(["u03"], history=past, context=asked)
    assert not np.array_equal(found, expected)


ITEMS = pd.DataFrame(
    {"item": [f"i{i:02}" for i in range(70)], "genre": ["a", "b"] * 35}
)
FITS = {
    "items without events": {"items": ITEMS},
    "early stopping": {"early_stopping": True, "max_epochs": 2},
    "another optimizer": {"optimizer": "SGD"},
    "sampled": {"candidate_sampling": "mixed", "items": ITEMS},
    "only the time": {"context": "time"},
    "hidden layers": {"hidden_layer_sizes": (8,), "dropout": 0.3},
}


@pytest.mark.each_time(
    "pooled-0.0-hidden layers",
    "pooled-0.3-sampled",
    "recent-0.0-early stopping",
    "recent-0.3-items without events",
    "None-0.0-sampled",
    "None-0.0-only the time",
)
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:half_life")
@pytest.mark.parametrize(
    ("history", "second", "name"),
    pairwise(["pooled", "recent", None], [0.0, 0.3], list(FITS)),
)
def test_context_goes_with_all_other_parameters(history, second, name):
    params = {"history": with_share(history, second), "max_epochs": 1}
    params |= FITS[name]
    model = fit(**params)
    table = HELD.drop(columns="item").iloc[:5]
    assert_allclose(model.embed_users(table), one_by_one(model, table), atol=1e-6)
    later = HELD.assign(slot="dawn", time=HELD["time"] + pd.Timedelta("9D"))
    model.partial_fit(later)
    found = model.embed_users(table)
    assert np.isfinite(found).all()
    assert_allclose(found, one_by_one(model, table), atol=1e-6)
    assert len(model.recommend(table, 4)) == 4 * len(table)


@pytest.mark.slow
def test_hours_are_those_of_utc_in_all_time_zones(fitted):
    table = X.assign(time=X["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    columns = {"context": ["slot", "time", "device"], "time": "time"}
    model = asking(**columns, **CASES["time"]).fit(table)
    asked = HELD.drop(columns="item")
    expected = model.embed_users(asked)
    zoned = asked["time"].dt.tz_localize("UTC").dt.tz_convert("America/Lima")
    assert_allclose(model.embed_users(asked.assign(time=zoned)), expected, atol=1e-6)
    assert_allclose(fitted("time").embed_users(asked), expected, atol=1e-3)


@pytest.mark.slow
def test_dask_tables_of_requests(fitted):
    dask = pytest.importorskip("dask.dataframe")
    table = HELD[["user", "slot"]].iloc[:6].reset_index(drop=True)
    lazy = dask.from_pandas(table, npartitions=2)
    context = {"device": "tv", "time": HELD["time"].max()}
    found = fitted("time").recommend(lazy, 3, context=context).compute()
    expected = fitted("time").recommend(table.assign(**context), 3)
    assert_same(found.reset_index(drop=True), expected)


@pytest.mark.slow
def test_columns_whose_names_are_numbers_are_found_by_position():
    table = X[["user", "item", "slot", "device"]].set_axis(range(4), axis=1)
    model = asking(context=[2]).fit(table)
    assert names_of(model)[0] == "x2_morning"
    user = table[0].iloc[0]
    found = model.embed_users([user], context={"x2": "noon"})
    asked = table.iloc[[0]].copy()
    asked[2] = "noon"
    assert_allclose(model.embed_users(asked), found, atol=1e-6)
    assert not np.array_equal(found, model.embed_users([user]))
    with pytest.raises(ValueError, match="names 2, .* Did you mean 'x2'"):
        model.embed_users([user], context={2: "noon"})


TWICE = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
EQUAL = [
    [1, True, 1.0, np.int64(1), np.float32(1), np.True_, "1", np.str_("1")],
    [None, np.nan, pd.NA, pd.NaT],
    ["a" * 1000, "b" * 10_000, "c" * 10_000],
]


def by_type(table):
    """Return which cell of `EQUAL` each cell is, by its type and text."""
    known = [ascii((type(cell), str(cell))) for cells in EQUAL for cell in cells]
    cells = table.iloc[:, 0]
    rows = [
        known.index(k) if (k := ascii((type(c), str(c)))) in known else 0 for c in cells
    ]
    return np.eye(len(known))[rows] + np.linspace(0, 1, len(known))


@for_each("cells", EQUAL, ids=["numbers", "missing", "long"])
def test_a_context_is_never_taken_for_one_that_was_asked_before(cells):
    """Rows of contexts are kept; 1 equals True, which is another one."""
    model = asking(context="slot", context_transformer=Rows(by_type)).fit(X)
    assert_answered_alike(model, "slot", cells)


def test_an_hour_that_comes_twice_is_two_times(fitted):
    model = copy.deepcopy(fitted("time"))
    assert_answered_alike(model, "time", [TWICE, TWICE.replace(fold=1)])
    for _ in range(2):
        with pytest.raises(ValueError, match="between the years 1678 and 2261"):
            model.embed_users(["u00"], context={"time": datetime(9999, 1, 1)})


def assert_answered_alike(model, name, cells):
    """Assert that answers do not depend on what a model was asked before."""
    expected = [
        copy.deepcopy(model).embed_users(["u00"], context={name: cell})
        for cell in cells
    ]
    assert len(np.unique(expected, axis=0)) > 1 or cells[0] is None
    for _ in range(2):
        for cell, vector in zip(cells, expected, strict=True):
            found = model.embed_users(["u00"], context={name: cell})
            assert_array_equal(found, vector)
