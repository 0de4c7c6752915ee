"""The context of requests: what is unknown has no entry, regardless of the kind."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import sktwotower.features._request_context as request_context
from sktwotower.features import TowerVectorizer

REPEATS, distinct_contexts = request_context.REPEATS, request_context.distinct_contexts
CLOCK = request_context.RequestClock(False, np.arange(3.0), 1.0)  # gaps of 0, 1 and 3


def fit(table, transformer=None, time=None, memory=None):
    """Return the context of events, and a dense row of each event."""
    table = pd.DataFrame(table)
    distinct, codes, counts = distinct_contexts(table)
    clock = None if time is None else CLOCK
    columns = list(table.columns)
    context, rows = request_context.fit_context(
        columns, time, clock, distinct, counts, transformer=transformer, memory=memory
    )
    assert rows.shape == (len(distinct), context.own_width)
    assert rows.dtype == np.float32 and rows[0].nnz == 0
    return context, rows.toarray()[codes]


def encode(context, **cells):
    """Return the row of one request, an array (own_width,)."""
    return context.encode(context.of_mapping(cells), "context").toarray()[0]


def places_of(context):
    """Return the features of each column that is encoded on its own, a dict."""
    return {name: own for (name,), own in context.columns_out()}


EVENTS = pd.DataFrame(
    {
        "hour": [8, 8, 9, 9, 8, 9, 8, 9, 8, 9],
        "device": ["phone"] * 2 + ["tv"] * 2 + [None, "fridge"] + ["tv", "phone"] * 2,
    }
)


@pytest.fixture(scope="module")
def context():
    return fit(EVENTS, time="asked")[0]


def test_levels_have_columns_and_rare_ones_none(context):
    names = ["hour_8", "hour_9", "device_phone", "device_tv"]
    assert context.feature_names() == names + CLOCK.names("asked")
    assert context.transformer.kinds_ == {"hour": "category", "device": "category"}
    assert (context.own_width, context.width) == (4, 7)
    expected = [
        [1, 0, 1, 0],
        [1, 0, 1, 0],
        [0, 1, 0, 1],
        [0, 1, 0, 1],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        *[[1, 0, 0, 1], [0, 1, 1, 0]] * 2,
    ]
    assert_array_equal(fit(EVENTS)[1], expected)
    assert_array_equal(context.encode(EVENTS, "X").toarray(), expected)


def test_missing_cells_and_new_levels_are_like_absent_columns(context):
    for missing in [None, np.nan, pd.NA, pd.NaT, "never seen"]:
        assert_array_equal(encode(context, hour=8, device=missing), [1, 0, 0, 0])
        assert_array_equal(encode(context, hour=8), [1, 0, 0, 0])
        assert_array_equal(encode(context, device="tv", hour=missing), [0, 0, 0, 1])
        assert not encode(context).any() and not encode(context, asked=3).any()


KINDS = {
    "number": [0.5, 1.5, 2.5, None, 9.25, None],
    "datetime": [*pd.date_range("2024-01-01", periods=5), None],
    "boolean": [True, False, None, True, True, False],
    "list": [["a", "b"], ["a"], ["b"], None, ["a", "c"], ["c"]],
    "text": ["red cup", "red mug", "blue cup", "blue mug of tin", None, "tin"],
    "vector": [[1.0, 2.0], [0.5, 0.5], None, [1.0, 1.5], [2.0, 1.0], [0.5, 1.0]],
    "category": ["a", "a", None, "b", "b", "rare"],
}


def test_unknown_cells_of_every_kind_have_no_entry():
    for kind in KINDS:
        column = pd.Series(KINDS[kind])
        table = pd.DataFrame({"c": column, "d": ["x", "x", "y", "y", "x", "y"]})
        context, rows = fit(table)
        assert context.transformer.kinds_ == {"c": kind, "d": "category"}
        own = places_of(context)["c"]
        assert_array_equal(
            rows[:, own].any(axis=1), column.notna() & (column != "rare")
        )
        assert not any(name.endswith("_missing") for name in context.feature_names())
        assert not encode(context, d="x")[own].any()
        assert not encode(context, c=None, d="x")[own].any()
        for cell, row in zip(column, rows, strict=True):
            assert_array_equal(encode(context, c=cell)[own], row[own])
        many = pd.concat([table] * 3, ignore_index=True)
        assert_array_equal(context.encode(many, "X").toarray(), np.tile(rows, (3, 1)))


def test_objects_are_read_alike_in_few_rows_and_in_many():
    for n in [1, 2, 12]:
        days = pd.Series(pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"))
        days = days.repeat(4).reset_index(drop=True)
        context, rows = fit({"c": days}, TowerVectorizer(kinds={"c": "category"}))
        table = pd.DataFrame({"c": days.astype(object)})[:n]
        assert rows.any(axis=1).all()
        assert_array_equal(context.encode(table, "X").toarray(), rows[:n])


def test_other_transformers_get_missing_text_as_text():
    for n, missing in [(1, None), (2, np.nan), (12, pd.NA)]:
        table = {"c": ["a", "b", "a", "b"], "d": ["x", "x", "y", "y"]}
        context, _ = fit(table, OneHotEncoder(handle_unknown="ignore"))
        asked = pd.DataFrame({"c": "a", "d": pd.Series([missing] * n, dtype=object)})
        assert_array_equal(context.encode(asked, "X").toarray(), [[1, 0, 0, 0]] * n)


def test_an_array_of_a_mapping_is_one_cell():
    context, rows = fit({"c": KINDS["vector"]})
    assert_array_equal(encode(context, c=np.array([1.0, 2.0])), rows[0])


def test_events_are_counted_up_to_a_limit():
    table = pd.DataFrame({"c": ["a"] * 40 + ["b"] * REPEATS + ["c"] * (REPEATS - 1)})
    context, _ = fit(table, TowerVectorizer(min_frequency=REPEATS))
    assert context.feature_names() == ["c_a", "c_b"]
    # hours that repeat are no ids, although distinct contexts differ
    assert fit({"hour": [1, 2, 3] * 2})[0].transformer.kinds_ == {"hour": "number"}


def test_min_frequency_counts_all_events():
    for least in [REPEATS + 1, np.int64(40), 10**30]:
        n = min(int(least), 50)
        table = pd.DataFrame({"c": ["a"] * n + ["b"] * (n - 1), "d": "x"})
        vectorizer = TowerVectorizer(min_frequency=least, kinds={"d": "drop"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if least > n else "error")
            context, _ = fit(table, vectorizer)
        assert context.feature_names() == ([] if least > n else ["c_a"])
        if least > n:
            continue
        later = pd.DataFrame({"c": ["new"] * n + ["rare"] * (n - 1), "d": "x"})
        distinct, _, counts = distinct_contexts(later)
        grown = context.grown(distinct, counts)[0]
        assert grown.feature_names() == ["c_a", "c_new"]


def test_a_share_of_the_rows_of_fit_is_one_of_later_events():
    table = pd.DataFrame({"c": [f"c{i}" for i in range(20)] * REPEATS})
    context, _ = fit(table, TowerVectorizer(min_frequency=0.05))
    assert context.own_width == 20  # each is 10 of 200 rows
    context, _ = fit(pd.concat([table] * 3), TowerVectorizer(min_frequency=0.05))
    assert context.own_width == 20
    wide = pd.DataFrame({"c": ["a", "b"] * 20, "d": list("klmno") * 8})
    context, _ = fit(wide, TowerVectorizer(min_frequency=0.4, kinds={"d": "drop"}))
    assert context.feature_names() == ["c_a", "c_b"]  # 16 of 40 rows
    for n, names in ((15, ["c_a", "c_b"]), (16, ["c_a", "c_b", "c_z"])):
        later = pd.DataFrame({"c": ["z"] * n, "d": "p"})
        distinct, _, counts = distinct_contexts(later)
        assert context.grown(distinct, counts)[0].feature_names() == names


def test_the_summary_has_shares_of_events():
    table = {"c": ["a"] * 60 + ["b"] * 20 + [None] * 20, "d": [None] * 75 + ["x"] * 25}
    table["e"] = ["y"] * 50 + [None] * 50
    vectorizer = TowerVectorizer(kinds={"e": "drop"})
    context, _ = fit(table, vectorizer)
    missing = context.transformer.summary()["missing"].tolist()
    assert missing == [0.2, 0.75, 0.5]
    table["c"] = [*table["c"][:60], *[None] * 40]
    table["d"] = [*[None] * 60, *["x"] * 15, *[None] * 25]
    context, _ = fit(table, vectorizer)  # all cells are missing in 25 events
    missing = context.transformer.summary()["missing"].tolist()
    assert missing == [0.4, 0.85, 0.5]


def test_whole_numbers_with_gaps_are_a_category():
    context, _ = fit({"code": [1.0, 1.0, 2.0, 2.0, np.nan]})
    assert context.feature_names() == ["code_1", "code_2"]
    assert_array_equal(encode(context, code=2), [0, 1])


def test_a_level_that_is_not_always_known_is_kept():
    assert fit({"device": ["tv", "tv", None]})[0].feature_names() == ["device_tv"]


def found(message):
    return pytest.warns(UserWarning, match=message)


def test_columns_that_say_nothing_are_left_out():
    for column, message in [
        ([7, 9, 5, 4], "column 'c' has as many values as rows.*'number'"),
        (["k", "l", "m", "n"], "column 'c' has as many values as rows.*'text'"),
        (pd.Categorical(["k", "l", "m", "n"]), "'c' has no value that 2 rows share"),
        (["tv"] * 4, "context column 'c' is constant: it says nothing"),
        ([None] * 4, "context column 'c' is missing in all events"),
    ]:
        with found(message):
            context, _ = fit({"c": column, "d": ["x", "x", "y", "y"]})
        assert context.feature_names() == ["d_x", "d_y"]
        assert context.transformer.kinds_ == {"c": "drop", "d": "category"}
        assert_array_equal(encode(context, c=column[0], d="y"), [0, 1])


def test_forced_kinds_are_not_warned_of():
    for kind, width in [("id", 4), ("category", 0), ("text", 4), ("drop", 0)]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            context, _ = fit({"c": list("klmn")}, TowerVectorizer(kinds={"c": kind}))
        assert context.own_width == width


def test_a_context_that_is_always_missing():
    with found("columns 'hour', 'device' are missing"):
        context, rows = fit(EVENTS.where(EVENTS["hour"] < 0), time="asked")
    assert context.transformer is None and rows.shape == (10, 0)
    assert context.feature_names() == CLOCK.names("asked")
    assert places_of(context)["hour"].tolist() == []
    assert context.encode(EVENTS, "X").shape == (10, 0)
    grown, places, rows = context.grown(*distinct_contexts(EVENTS)[::2])
    assert (grown.width, places.tolist(), rows.shape[1]) == (3, [0, 1, 2], 0)


def test_only_the_time():
    context, rows = fit(pd.DataFrame(index=range(3)), time="asked")
    assert rows.shape == (3, 0) and context.width == 3
    assert context.encode(EVENTS, "X").shape == (10, 0)
    assert places_of(context) == {} and context.removable() == {"asked": ["asked"]}
    assert context.without(np.ones(3, dtype=bool))[1].all()


def test_rows_end_with_those_of_the_time(context):
    times, gaps = np.array([5.0, np.nan, 7.0]), np.array([1.0, 1.0, np.nan])
    own = context.encode(EVENTS.iloc[:3], "X")
    rows = context.rows(own, times, gaps)
    # a gap may be known without a time: that until now
    clock = [[0, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert_array_equal(rows.toarray(), np.hstack([own.toarray(), clock]))
    for i in range(3):
        row = context.rows(own[[i]], times[[i]], gaps[[i]])
        assert_array_equal(row.toarray(), rows[[i]].toarray())
        assert row.dtype == np.float32 and row.has_canonical_format
    unknown = context.rows(own)
    assert_array_equal(unknown.toarray()[:, :4], own.toarray())
    assert unknown.shape == (3, 7) and unknown.nnz == own.nnz
    timeless = fit(EVENTS)[0]
    assert timeless.rows(own) is own


# Other transformers


def test_a_one_hot_encoder_has_no_entry_for_the_unknown():
    events = EVENTS[EVENTS["device"].notna()]
    context, rows = fit(events, OneHotEncoder(handle_unknown="ignore"), time="asked")
    assert context.feature_names()[:3] == ["hour_8", "hour_9", "device_fridge"]
    assert_array_equal(rows[0], [1, 0, 0, 1, 0])
    assert_array_equal(encode(context, hour=9), [0, 1, 0, 0, 0])
    assert_array_equal(encode(context, device="tv", hour=None), [0, 0, 0, 0, 1])
    assert not encode(context, device=None).any()
    assert not encode(context, device="new").any()
    assert context.removable() == {"context": ["hour", "device"], "asked": ["asked"]}
    many = pd.concat([EVENTS] * 3, ignore_index=True)
    assert_array_equal(context.encode(many, "X")[:4].toarray(), rows[:4])


def test_missing_numbers_become_zeros():
    table = pd.DataFrame(
        {"a": [1.0, 3.0, np.nan, np.nan], "b": [2.0, 4.0, 3.0, np.nan]}
    )
    context, rows = fit(table, StandardScaler())
    assert_allclose(rows[:3], [[-1, -1.2247], [1, 1.2247], [0, 0]], atol=1e-3)
    assert not rows[3].any()
    assert_allclose(encode(context, a=3), [1, 0], atol=1e-6)


def test_other_nan_is_an_error():
    root = FunctionTransformer(lambda table: np.sqrt(table - 1.5))
    with np.errstate(invalid="ignore"):
        with pytest.raises(ValueError, match="context_transformer returned NaN"):
            fit({"a": [1.0, 3.0]}, root)


def test_unknown_contexts_are_not_passed_to_a_transformer():
    def checked(table):
        assert not table.isna().any().any()
        return table

    context, _ = fit({"a": [1.0, None, 2.0]}, FunctionTransformer(checked))
    rows = context.encode(pd.DataFrame({"a": [2.0, None, 1.0]}), "X")
    assert rows.toarray().ravel().tolist() == [2, 0, 1]
    assert not encode(context, a=None).any()


def test_a_column_transformer_has_blocks():
    words = make_pipeline(FunctionTransformer(np.ravel), CountVectorizer())
    transformer = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["hour"]), (words, ["device"])
    )
    context, rows = fit(EVENTS.dropna(), transformer, time="asked")
    places = {name: own.tolist() for name, own in places_of(context).items()}
    assert places == {"hour": [0, 1], "device": [2, 3, 4]}
    assert_array_equal(rows[0], [1, 0, 0, 1, 0])
    assert context.feature_names() is None
    with pytest.raises(ValueError, match="nan is an invalid document") as caught:
        encode(context, hour=8)  # CountVectorizer refuses missing cells
    assert "context_transformer was given 'hour' (int64)" in caught.value.__notes__[0]


def test_blocks_of_several_columns_are_mixed():
    transformer = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["hour", "device"])
    )
    assert fit(EVENTS, transformer)[0].removable() == {"context": ["hour", "device"]}
    dropping = make_column_transformer((OneHotEncoder(), ["hour"]))
    table = EVENTS.assign(more=1)
    places = places_of(fit(table, dropping)[0])
    assert [len(own) for own in places.values()] == [2, 0, 0]


def test_the_number_of_columns_must_not_change():
    dummies = FunctionTransformer(pd.get_dummies)
    context, _ = fit({"c": ["a", "b", "a"]}, dummies)
    with pytest.raises(ValueError, match="expected 2, got 1 for 1 rows"):
        encode(context, c="a")


def test_the_output_is_kept_in_a_cache(tmp_path):
    first, rows = fit(EVENTS, memory=str(tmp_path))
    again, same = fit(EVENTS, memory=str(tmp_path))
    assert_array_equal(rows, same)
    assert first.feature_names() == again.feature_names()


def test_the_transformer_of_the_user_is_not_changed():
    mine = TowerVectorizer().set_output(transform="pandas")
    context, _ = fit(EVENTS, mine)
    assert not hasattr(mine, "kinds_") and context.transformer is not mine


def test_what_is_not_a_transformer_is_refused():
    for transformer in [OneHotEncoder, "x", 5]:
        with pytest.raises(
            TypeError, match="context_transformer must be a scikit-learn"
        ):
            fit(EVENTS, transformer)


# Requests


def test_columns_of_a_table_may_be_others(context):
    table = pd.DataFrame({"price": [1, 2], "device": ["tv", "tv"], "asked": 1})
    assert_array_equal(context.encode(table, "X").toarray(), [[0, 0, 0, 1]] * 2)
    assert context.encode(table[["price"]], "X").nnz == 0
    assert context.encode(EVENTS.iloc[:0], "X").shape == (0, 4)


def test_errors_name_the_columns_that_were_given(context):
    with pytest.raises(TypeError, match="the same level as another type") as caught:
        encode(context, hour="8")
    note = caught.value.__notes__[0]
    assert (
        note.startswith("context_transformer was given 'hour' (") and "tv" not in note
    )
    assert "'hour' was int64 in fit" in note and "device" not in note


def test_mappings_are_checked(context):
    message = (
        r"context names 'huor', which is not a context column of fit \(hour, device, "
        r"asked\)\. Did you mean 'hour'\?"
    )
    with pytest.raises(ValueError, match=message):
        context.of_mapping({"huor": 8})
    with pytest.raises(
        ValueError, match=r"context names 'zz'.*\(hour, device, asked\)\.$"
    ):
        context.of_mapping({"zz": 8})
    with pytest.raises(TypeError, match="context must be a dict.*Got list"):
        context.of_mapping(["hour"])
    with pytest.raises(TypeError, match=r"Got \('hour',\) \(tuple\)"):
        context.of_mapping({("hour",): 8})
    with pytest.raises(ValueError, match=r"\(it had none\)\.$"):
        fit(pd.DataFrame(index=range(3)))[0].of_mapping({"hour": 8})
    given = context.of_mapping({"asked": 3, "device": ["a", "b"]})
    assert given.shape == (1, 2) and given["device"][0] == ["a", "b"]
    assert given["asked"].dtype == np.int64


def test_names_that_are_almost_those_of_the_context_are_refused(context):
    columns = ["asked", "hour", "price", "devices"]
    assert context.columns_among(columns, ["devices"], "X") == ["hour", "asked"]
    for column, close in (("devices", "device"), ("asked_", "asked"), ("huor", "hour")):
        message = f"X has a column '{column}', which is.*Did you mean '{close}'"
        with pytest.raises(ValueError, match=message):
            context.columns_among(["price", column], ["price"], "X")


# Later events, and forgetting


def test_frequent_levels_of_later_events_get_columns(context):
    later = pd.DataFrame(
        {"hour": [8, 23, 23, 7, 9], "device": ["watch", "watch", "watch", "car", None]}
    )
    distinct, codes, counts = distinct_contexts(later)
    grown, places, rows = context.grown(distinct, counts)
    names = ["hour_8", "hour_9", "hour_23", "device_phone", "device_tv", "device_watch"]
    assert grown.feature_names() == names + CLOCK.names("asked")
    assert [grown.feature_names()[place] for place in places] == context.feature_names()
    expected = [
        [1, 0, 0, 0, 0, 1],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
    ]
    assert_array_equal(rows.toarray()[codes], expected)
    assert_array_equal(grown.encode(later, "X").toarray(), expected)
    assert context.width == 7  # it did not change


def test_other_transformers_do_not_grow():
    context, _ = fit(EVENTS, OneHotEncoder(handle_unknown="ignore"), time="asked")
    distinct, _, counts = distinct_contexts(pd.DataFrame({"hour": [5], "device": "q"}))
    grown, places, rows = context.grown(distinct, counts)
    assert (grown.width, rows.nnz) == (context.width, 0)
    assert_array_equal(places, np.arange(context.width))


def test_levels_that_nobody_has_any_more_are_dropped(context):
    unused = np.array([False, True, False, True, True, True, True])
    left_context, left = context.without(unused)
    assert left.tolist() == [True, False, True, False, True, True, True]
    names = np.array(context.feature_names())[left].tolist()
    assert left_context.feature_names() == names
    assert_array_equal(encode(left_context, hour=8, device="tv"), [1, 0])
    assert context.own_width == 4


def test_other_transformers_may_hold_what_was_forgotten():
    context, _ = fit(EVENTS, OneHotEncoder(handle_unknown="ignore"))
    with found("context_transformer is a OneHotEncoder, which may hold"):
        same, left = context.without(np.ones(context.width, dtype=bool))
    assert same.transformer is context.transformer and left.all()
