"""Tables come back in the library of the tables that came in."""

import pickle
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    TwoStageRecommender,
    interactions_from_matrix,
    io,
)
from sktwotower.datasets import make_interactions
from sktwotower.metrics import retrieval_report
from sktwotower.model_selection import prequential_validate
from tests.builders import random_events, small
from tests.cases import for_each
from tests.processes import run_in_process

X = random_events()
X = X.assign(day=np.arange(len(X)))


def to_polars(table):
    return pl.DataFrame(table.to_dict("list"))


def to_pyarrow(table):
    return pa.Table.from_pandas(table, preserve_index=False)


CONVERT = {"pandas": lambda t: t, "polars": to_polars, "pyarrow": to_pyarrow}
MODELS = {
    "EASE": EASERecommender(time="day"),
    "towers": small(time="day", history="pooled"),
    "two stages": TwoStageRecommender(ItemKNNRecommender(), time="day"),
}
TABLES = ["polars", "pyarrow"]


@pytest.fixture(
    scope="module",
    params=["EASE", "towers", pytest.param("two stages", marks=pytest.mark.grid)],
)
def fitted(request):
    """The same model of a table of each library."""
    model = MODELS[request.param]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few events for a ranker
        return {name: clone(model).fit(f(X)) for name, f in CONVERT.items()}


def library_of(table):
    return type(table).__module__.split(".")[0]


def as_frame(table):
    return table if isinstance(table, pd.DataFrame) else table.to_pandas()


def check_same(found, expected):
    """Raise unless tables of two libraries hold the same."""
    found = as_frame(found)
    pd.testing.assert_frame_equal(
        found, expected.reset_index(drop=True), check_dtype=False
    )


REQUESTS = {
    "one user": lambda model: model.recommend(["u3"], 3),
    "users": lambda model: model.recommend(["u3", "u0", "new"], 3),
    "an array": lambda model: model.recommend(np.array(["u3"]), 3),
    "all users": lambda model: model.recommend(n_neighbors=2),
    "history": lambda model: model.recommend(["new"], 3, history={"new": ["i1"]}),
    "candidates": lambda model: model.recommend(["u3"], candidates=["i1", "i2"]),
    "seen items": lambda model: model.seen_items(["u3", "new"]),
}


@for_each("library", TABLES)
def test_to_ids_the_answer_is_of_the_library_of_fit(fitted, library):
    for ask in REQUESTS.values():
        expected, found = ask(fitted["pandas"]), ask(fitted[library])
        assert type(expected) is pd.DataFrame and library_of(found) == library
        check_same(found, expected)


@for_each(
    "of_fit, library",
    [("pandas", "polars"), ("polars", "pandas"), ("polars", "pyarrow")],
)
def test_a_table_of_a_request_chooses_the_library(fitted, of_fit, library):
    model, convert = fitted[of_fit], CONVERT[library]
    users = convert(pd.DataFrame({"user": ["u3", "new"]}))
    pairs = convert(pd.DataFrame({"user": ["new"], "item": ["i1"], "day": [999]}))
    column = users["user"]
    answers = [
        model.recommend(users, 2),
        model.recommend(column, 2),
        model.recommend(None, 2, history=pairs),
        model.recommend(["new"], history=pairs),
        model.recommend(["new"], candidates=pairs),
        model.recommend(["new"], exclude=pairs),
        model.seen_items(users),
    ]
    assert {library_of(answer) for answer in answers} == {library}


def test_the_types_of_ids_stay():
    numbers = pl.DataFrame(
        {"user": [1, 1, 2, 2], "item": ["a", "b", "b", "c"]},
        schema_overrides={"user": pl.Int32},
    )
    top = EASERecommender().fit(numbers).recommend(numbers.head(1))
    types = [pl.Int32, pl.String, pl.Float32, pl.Int64]
    assert list(top.schema.items()) == list(
        zip(["user", "item", "score", "rank"], types, strict=True)
    )
    assert top.join(numbers, on=["user", "item"], how="anti").height == top.height


@for_each("convert", [pl.from_pandas, to_pyarrow])
def test_ids_that_are_zoned_times_keep_their_zone(convert):
    start = pd.Timestamp("2026-01-01", tz="Asia/Tokyo")
    hours = start + pd.to_timedelta(np.arange(8) % 3, "h")
    pairs = pd.DataFrame({"user": hours, "item": hours[::-1]})
    model, expected = EASERecommender().fit(convert(pairs)), EASERecommender()
    top = expected.fit(pairs).recommend(pairs[:2], 1, exclude_seen=False)
    for users in (convert(pairs[:2])["user"], convert(pairs[:2]), pairs["user"][:2]):
        found = model.recommend(users, 1, exclude_seen=False)
        pd.testing.assert_frame_equal(as_frame(found), top, check_dtype=False)
    assert str(as_frame(model.recommend())["item"].dt.tz) == "Asia/Tokyo"


def test_arrays_and_lists_make_tables_of_pandas():
    pairs = X[["user", "item"]].to_numpy()
    for model in EASERecommender().fit(pairs), EASERecommender().fit(pairs.tolist()):
        assert type(model.recommend(["u3"])) is pd.DataFrame


@pytest.mark.slow
@pytest.mark.parametrize("library", ["polars"])
def test_items_and_pairs_are_answered_in_the_library_of_fit(library):
    convert = CONVERT[library]
    expected, model = (
        small().fit(f(X[["user", "item"]])) for f in (pd.DataFrame, convert)
    )
    items = pd.DataFrame({"item": ["i1", "i2"]})
    for table in (
        model.similar_items(["i1", "i2"], 2),
        model.similar_items(convert(items), 2),
    ):
        assert library_of(table) == library
        check_same(table, expected.similar_items(items, 2))
    why = model.explain("u3", "i1")
    assert library_of(why) == library
    check_same(why, expected.explain("u3", "i1"))
    assert type(model.explain(pd.DataFrame({"user": ["u3"]}), "i1")) is pd.DataFrame
    lost = model.feature_importance(convert(X[["user", "item"]]))
    assert library_of(lost) == library
    check_same(lost, expected.feature_importance(X[["user", "item"]]))


@pytest.mark.slow
def test_tables_of_two_stages():
    events = make_interactions(100, 40, random_state=0).data
    params = {"n_candidates": 10, "keep_training_table": True, "random_state": 0}
    two = TwoStageRecommender(EASERecommender(), LogisticRegression(), **params)
    expected, *models = (clone(two).fit(f(events)) for f in CONVERT.values())
    calls = {
        "candidates": lambda m: m.candidate_features([3, 1]),
        "training": lambda m: m.training_table_,
        "gains": lambda m: m.blend_gains_,
        "importance": lambda m: m.feature_importance(n_repeats=1, random_state=0),
    }
    for library, model in zip(TABLES, models, strict=True):
        for name, call in calls.items():
            assert library_of(call(model)) == library, name
            check_same(call(model), call(expected))


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pyarrow"])
def test_reports_and_streams_are_of_the_library_of_the_events(library):
    events, model = CONVERT[library](X), EASERecommender(time="day").fit(X)
    report = retrieval_report(model, events, k=3)
    assert library_of(report.to_frame()) == library
    pandas = retrieval_report(model, X, k=3)
    check_same(report.to_frame(), pandas.to_frame())
    assert pandas.to_frame().columns[:3].tolist() == ["group", "model", "recall@3"]
    copied = pickle.loads(pickle.dumps(report))
    assert library_of(copied.to_frame()) == library
    validate = {"time": "day", "n_slices": 2, "strategies": ["frozen", "popularity"]}
    found = prequential_validate(model, events, **validate)
    assert library_of(found) == library
    expected = prequential_validate(model, X, **validate)
    named = {"slice", "start", "end", "strategy", "test_score"}
    for name in named:
        assert np.asarray(found[name]).tolist() == expected[name].tolist()


def test_set_output_chooses_the_library_of_tables():
    events = X[["user", "item"]]
    pandas, polars = (small().fit(f(events)) for f in (pd.DataFrame, to_polars))
    pandas.set_output(transform="polars")
    polars.set_output(transform="pandas")
    for asked in ["u3"], events[:2], to_polars(events[:2]):
        assert isinstance(pandas.recommend(asked), pl.DataFrame)
        assert isinstance(polars.recommend(asked), pd.DataFrame)
    assert isinstance(pandas.transform(events), pl.DataFrame)
    assert isinstance(clone(pandas).fit(events).seen_items(), pl.DataFrame)
    pandas.set_output(transform="default")
    assert isinstance(pandas.recommend(["u3"]), pd.DataFrame)


@pytest.mark.parametrize("library, kind", [("polars", "file"), ("pyarrow", "pickle")])
def test_copies_answer_in_the_library_of_fit(fitted, tmp_path, library, kind):
    model = fitted[library]
    if kind == "pickle":
        copied = pickle.loads(pickle.dumps(model))
    else:
        io.dump(model, tmp_path / "model")
        copied = io.load(tmp_path / "model")
    for answer in copied.recommend(["u3"]), copied.seen_items(["u3"]):
        assert library_of(answer) == library


def answer_without_polars(path):
    """Print the type of an answer of a stored model, and its items."""
    sys.modules["polars"] = None
    answer = io.load(path).recommend(["u3", "u0"], 3)
    print(type(answer) is pd.DataFrame, answer["item"].tolist())


@pytest.mark.slow
def test_where_polars_is_missing_answers_are_of_pandas(fitted, tmp_path):
    io.dump(fitted["polars"], tmp_path / "model")
    expected = fitted["pandas"].recommend(["u3", "u0"], 3)["item"].tolist()
    # what has been imported once is remembered by narwhals as well
    ended = run_in_process(answer_without_polars, tmp_path / "model")
    assert (ended.code, ended.out) == (0, f"True {expected}\n"), ended.err


def test_further_events_of_another_library_change_nothing(events):
    model = small().fit(to_polars(events))
    assert library_of(model.partial_fit(events[:2]).recommend(["u00"])) == "polars"


def test_a_file_of_recommendations_is_the_same(fitted, tmp_path):
    pandas, polars = (fitted[name].recommend(["u3", "u1"], 3) for name in TABLES_OF_TWO)
    fitted["polars"].recommend(["u3", "u1"], 3, path=tmp_path / "top.parquet")
    check_same(pl.read_parquet(tmp_path / "top.parquet"), pandas)
    check_same(polars, pandas)


TABLES_OF_TWO = "pandas", "polars"


@for_each("library", TABLES)
def test_a_matrix_becomes_events_of_its_library(library):
    matrix = pd.DataFrame({"tea": [2.0, 0], "jam": [0, 1.0]})
    events, y = interactions_from_matrix(CONVERT[library](matrix))
    assert library_of(events) == library and y.tolist() == [2, 1]
    check_same(events, pd.DataFrame({"user": [0, 1], "item": ["tea", "jam"]}))
