"""What a model does not know of requests: counted by column, and never an error."""

import json
import tempfile
from datetime import datetime
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sktwotower import io, runtime
from tests.builders import small
from tests.cases import for_each
from tests.shared import once

N = 40
EVENTS = pd.DataFrame(
    {
        "user": ["ann", "ann", "bob", "bob"] * 10,
        "item": ["tea", "jam", "tea", "egg"] * 10,
        "device": ["phone", "phone", "tv", "tv"] * 10,
        "price": np.linspace(1.5, 40.0, N),
        "age": [30.0, 30.0, 41.5, 41.5] * 10,
        "tags": [["sale", "new"], ["old"]] * 20,
        "when": pd.date_range("2024-01-01", periods=N, freq="6h"),
        "time": pd.date_range("2024-01-01", periods=N, freq="6h"),
    }
)
CONTEXT = ["device", "price", "tags", "when", "time"]
ASKED = [
    {"user": "ann", "context": {"device": "watch", "price": 41, "when": "2030-01-01"}},
    {"user": "zoe", "context": {"device": "phone", "price": 1.5, "when": None}},
    {"user": "bob", "context": {"tags": ["sale", "never"], "price": "dear"}},
    {"context": {"tags": ["never"], "when": "2024-01-02T03:00:00"}},
]
# of the four: missing, unknown, out of range
BY_HAND = {
    "user": (0.25, 0.25, None),
    "device": (0.5, 0.25, None),
    "price": (0.25, 0.25, 0.25),
    "tags": (0.5, 0.25, None),
    "when": (0.5, 0.0, 0.25),
    "time": (1.0, None, None),
}


@once
def model():
    """Return a model of events in a context."""
    return small(context=CONTEXT, user_features="age", time="time").fit(EVENTS)


@once
def by_numpy():
    """Return the same model as numpy serves it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.sktt"
        io.dump(model(), path)
        return runtime.load(path)


@pytest.fixture
def loaded(tmp_path):
    """Return the same model as a file gives it back."""
    io.dump(model(), tmp_path / "model.sktt")
    return io.load(tmp_path / "model.sktt")


def shares_of(table, column):
    """Return the shares of a column of a table, with None for nan."""
    row = table[table["column"] == column].iloc[0]
    values = [row[name] for name in ("missing", "unknown", "out_of_range")]
    return tuple(None if np.isnan(value) else value for value in values)


def test_shares_are_those_counted_by_hand():
    table = model().coverage(ASKED)
    assert {name: shares_of(table, name) for name in BY_HAND} == BY_HAND
    assert (table["n_requests"] == 4).all()
    # the age of ann and bob is known from fit; that of zoe and of nobody is not
    assert shares_of(table, "age") == (0.5, 0.0, 0.0)


def test_a_table_is_counted_as_requests_of_a_service_are():
    rows = [{"user": each.get("user")} | each["context"] for each in ASKED]
    table = model().coverage(pd.DataFrame(rows))
    assert {name: shares_of(table, name) for name in BY_HAND} == BY_HAND
    other_ages = pd.DataFrame({"user": ["ann", "zoe", "bob"], "age": [29, 42, None]})
    assert shares_of(model().coverage(other_ages), "age") == (1 / 3, 0.0, 2 / 3)


def test_events_of_fit_are_covered():
    table = model().coverage(EVENTS)
    assert (table[["missing", "unknown", "out_of_range"]].fillna(0) == 0).all(axis=None)


def test_each_day_is_counted_by_itself():
    asked = pd.DataFrame(
        {"user": ["ann", "ann", "bob", "bob"], "device": ["tv", None, "watch", "tv"]}
    )
    asked["time"] = ["2024-03-01 23:59", "2024-03-02 00:00", "2024-03-02 09:00", None]
    asked["time"] = pd.to_datetime(asked["time"])
    table = model().coverage(asked, by="day")
    devices = table[table["column"] == "device"]
    days = pd.to_datetime(["2024-03-01", "2024-03-02", None])
    assert devices["day"].tolist()[:2] == days.tolist()[:2]
    assert devices["day"].isna().tolist() == [False, False, True]
    assert devices["n_requests"].tolist() == [1, 2, 1]
    assert devices["missing"].tolist() == [0, 0.5, 0]
    assert devices["unknown"].tolist() == [0, 0.5, 0]


def test_numpy_and_files_count_the_same(loaded):
    shares = by_numpy().coverage(ASKED)
    assert {name: tuple(each.values()) for name, each in shares.items()} == BY_HAND
    pd.testing.assert_frame_equal(loaded.coverage(ASKED), model().coverage(ASKED))


def test_later_events_widen_the_range():
    later = EVENTS.assign(price=100.0, time=EVENTS["time"] + pd.Timedelta(days=30))
    more = small(context=["price"], time="time").fit(EVENTS)
    asked = [{"user": "ann", "context": {"price": 70}}]
    assert shares_of(more.coverage(asked), "price") == (0, 0, 1)
    more.partial_fit(later)
    assert shares_of(more.coverage(asked), "price") == (0, 0, 0)


def test_a_file_of_before_has_no_ranges_and_says_so():
    path = "tests/data/format_1/context.sktt"
    old = io.load(path)
    with pytest.warns(UserWarning, match="no ranges of the context columns"):
        table = old.coverage(old.user_ids_[:2])
    assert table["out_of_range"].isna().all()
    user = old.user_ids_[0]
    shares = runtime.load(path).coverage([{"user": user}])
    assert {each["out_of_range"] for each in shares.values()} == {None}


def test_columns_of_another_transformer_count_what_is_missing():
    from sklearn.preprocessing import OneHotEncoder

    other = small(
        context="device", context_transformer=OneHotEncoder(handle_unknown="ignore")
    ).fit(EVENTS[["user", "item", "device"]])
    asked = pd.DataFrame({"user": ["ann", "bob"], "device": ["watch", None]})
    assert shares_of(other.coverage(asked), "device") == (0.5, None, None)


def test_the_contract_of_a_request_names_types_and_levels():
    schema = model().request_schema()
    assert by_numpy().request_schema() == json.loads(json.dumps(schema)) == schema
    assert schema["required"] == ["user"]
    assert schema["properties"]["user"] == {"type": "string"}
    context = schema["properties"]["context"]
    assert list(context["properties"]) == CONTEXT
    assert context["additionalProperties"] is False
    device = {"type": ["string", "null"], "examples": ["phone", "tv"]}
    assert context["properties"]["device"] == device
    assert context["properties"]["price"]["type"] == ["number", "null"]
    assert context["properties"]["tags"]["type"] == ["array", "null"]
    assert context["properties"]["time"]["format"] == "date-time"


FORMATS = jsonschema.FormatChecker(formats=())
# by hand, as jsonschema reads dates only with another package
FORMATS.checks("date-time", raises=ValueError)(datetime.fromisoformat)


@once
def contract():
    """Return what checks requests by the schema of the model."""
    schema = model().request_schema()
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def test_the_contract_is_a_valid_json_schema():
    jsonschema.Draft202012Validator.check_schema(model().request_schema())


def test_events_of_fit_are_valid_requests():
    columns = ["user", *CONTEXT]
    rows = json.loads(EVENTS[columns].to_json(orient="records", date_format="iso"))
    for row in rows[:4]:
        user = row.pop("user")
        contract().validate({"user": user, "history": ["tea"], "context": row})
        ids, _ = by_numpy().recommend(user, 1, history=["tea"], context=row)
        assert len(ids) == 1


TEXTS = st.text(max_size=5)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(str)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LISTS = st.lists(TEXTS | st.integers(), max_size=3)
CELLS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, LISTS, TIMES)
VALID = {
    "device": TEXTS,
    "price": NUMBERS,
    "tags": st.lists(TEXTS),
    "when": TIMES,
    "time": TIMES,
}
REQUESTS = st.fixed_dictionaries(
    {"user": TEXTS | CELLS},
    optional={
        "history": LISTS,
        "context": st.fixed_dictionaries(
            {}, optional={name: each | CELLS for name, each in VALID.items()}
        ),
    },
)


@settings(max_examples=150)
@given(REQUESTS)
def test_what_the_contract_allows_is_answered(asked):
    if contract().is_valid(asked):
        history, context = asked.get("history"), asked.get("context")
        ids, _ = by_numpy().recommend(
            asked["user"], 1, history=history, context=context
        )
        assert len(ids) == 1


@for_each(
    "asked, text",
    [
        ({"context": {"device": "tv"}}, "'user' is a required property"),
        ({"user": 7}, "7 is not of type 'string'"),
        ({"user": "ann", "history": "tea"}, "'tea' is not of type 'array'"),
        ({"user": "ann", "context": {"Device": "tv"}}, "'Device' was unexpected"),
        ({"user": "ann", "context": {"price": "dear"}}, "'dear' is not of type"),
        ({"user": "ann", "context": {"when": "soon"}}, "'soon' is not a 'date-time'"),
    ],
)
def test_the_contract_refuses_other_requests(asked, text):
    with pytest.raises(jsonschema.ValidationError, match=text):
        contract().validate(asked)


@for_each(
    "asked, error, text",
    [
        ([], ValueError, "X is empty"),
        ([{"user": "ann", "context": {"Device": 1}}], ValueError, "mean 'device'"),
        ([{"user": "ann", "context": "tv"}], TypeError, "must be a dict of columns"),
        ([{"user": "ann"}, 7], TypeError, "must hold dicts"),
        (pd.DataFrame({"user": ["ann"], "pirce": [1]}), ValueError, "mean 'price'"),
        ("ann", TypeError, "must be a table of requests"),
    ],
)
def test_what_cannot_be_counted_says_why(asked, error, text):
    with pytest.raises(error, match=text):
        model().coverage(asked)


@for_each(
    "by, text", [("week", "by must be 'day'"), ("day", "needs the time column 'time'")]
)
def test_days_need_a_time(by, text):
    with pytest.raises(ValueError, match=text):
        model().coverage(["ann"], by=by)
