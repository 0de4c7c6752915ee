"""TowerVectorizer: exact blocks of small tables, dtypes, errors, invariances."""

import datetime
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktwotower.features import TowerVectorizer

HALF = 1 / np.sqrt(2)


@parametrize_with_checks([TowerVectorizer()])
def test_sklearn(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        "check_dataframe_column_names_consistency",
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_get_feature_names_out_error",
        "check_set_output_transform",
        "check_inplace_ensure_writeable",
    ],
)
def test_sklearn_checks_that_are_not_yielded(check):
    getattr(estimator_checks, check)("TowerVectorizer", TowerVectorizer())


@pytest.fixture
def items():
    return pd.DataFrame(
        {
            "item": [11, 12, 13, 14],
            "genres": ["Action|Comedy", "Drama", "Action|Drama", None],
            "title": ["Toy Story", "Toy Soldiers", "Love Story", "Up and Down"],
            "country": ["UK", "UK", "DE", "UK"],
            "price": [1.5, None, 2.5, 3.5],
            "new": [True, False, True, True],
            "added": pd.to_datetime(["2024-01-01", "2024-04-01", None, "2024-01-03"]),
        }
    )


def vectorize(column, new=None, kind=None, **params):
    """Return dense rows and names of a one-column table 'c'; new: cells to encode."""
    kinds = None if kind is None else {"c": kind}
    vectorizer = TowerVectorizer(kinds=kinds, **params)
    vectorizer.fit(pd.DataFrame({"c": column}))
    rows = vectorizer.transform(pd.DataFrame({"c": column if new is None else new}))
    return rows.toarray(), vectorizer.get_feature_names_out().tolist()


def choose(column, name="c"):
    """Return the kind chosen for a column."""
    return TowerVectorizer().fit(pd.DataFrame({name: column})).kinds_[name]


# ---------------------------------------------------------------- kinds, by hand


def test_id_is_one_hot_and_unknown_or_missing_is_zeros():
    rows, names = vectorize(["b", "a", "c"], ["c", "x", None, "a"])
    assert names == ["c_a", "c_b", "c_c"]
    assert_array_equal(rows, [[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]])


def test_missing_id_in_fit_gets_no_column():
    rows, names = vectorize(["b", None], kind="id")
    assert names == ["c_b"]
    assert_array_equal(rows, [[1], [0]])


def test_category_groups_rare_and_unknown_levels():
    rows, names = vectorize(
        ["UK", "UK", "DE", "DE", "FR", "IT", None],
        ["DE", "FR", "UK", "XX", None],
    )
    assert names == ["c_DE", "c_UK", "c_infrequent", "c_missing"]
    assert_array_equal(
        rows,
        [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    )


def test_category_without_rare_levels_gives_zeros_to_unknown_and_missing():
    rows, names = vectorize(["UK", "UK", "DE", "DE"], ["DE", "XX", None])
    assert names == ["c_DE", "c_UK"]
    assert_array_equal(rows, [[1, 0], [0, 0], [0, 0]])


def test_category_agrees_with_scikit_learns_encoder():
    column = np.random.default_rng(0).choice(list("aaabbcde"), size=(40, 1))
    peer = OneHotEncoder(min_frequency=8, handle_unknown="infrequent_if_exist")
    rows, names = vectorize(column.ravel(), kind="category", min_frequency=8)
    assert_array_equal(rows, peer.fit_transform(column).toarray())
    assert len(names) == len(peer.get_feature_names_out())


def test_min_frequency_as_a_share_of_the_rows():
    column = ["UK"] * 5 + ["DE"] * 3 + ["FR"] * 2
    assert vectorize(column, min_frequency=0.25)[1] == ["c_DE", "c_UK", "c_infrequent"]
    assert vectorize(column, min_frequency=0.2)[1] == ["c_DE", "c_FR", "c_UK"]


def test_number_is_scaled_by_median_and_iqr_and_clipped():
    # quartiles of 0.5, 1.5, 2.5, 3.5, 100: 1.5, 2.5, 3.5
    rows, names = vectorize([0.5, 1.5, 2.5, 3.5, 100.0])
    assert names == ["c"]
    assert_array_equal(rows.ravel(), [-1, -0.5, 0, 0.5, 3])


def test_missing_number_is_zero_and_marked():
    rows, names = vectorize([1.0, np.nan, 3.0], [np.nan, 3.0])
    assert names == ["c", "c_missing"]
    assert_array_equal(rows, [[0, 1], [1, 0]])


def test_missing_number_is_not_marked_if_fit_saw_none():
    rows, names = vectorize([1.5, 2.5], [np.nan, 2.5])
    assert names == ["c"]
    assert_array_equal(rows, [[0], [1]])


def test_number_without_iqr_is_scaled_by_standard_deviation():
    # 7 zeros and one 8.5: IQR 0, variance 8.5^2 (1/8) (7/8)
    rows, _ = vectorize([0.0] * 7 + [8.5], [4.25, 0.0])
    assert_allclose(rows.ravel(), [0.5 / np.sqrt(7 / 64), 0], rtol=1e-6)


def test_constant_number_has_the_scale_one_in_spite_of_rounding():
    rows, names = vectorize([0.1, 0.1, 0.1, None], [0.6, 0.1])
    assert names == ["c", "c_missing"]
    assert_allclose(rows[:, 0], [0.5, 0], rtol=1e-6)


def test_number_beyond_the_range_of_float_differences_stays_finite():
    rows, _ = vectorize([1.5e308, -1.5e308, 0.5, 1.0, -0.5], kind="number")
    assert_array_equal(rows.ravel()[:2], [3, -3])


def test_time_spans_are_numbers():
    rows, _ = vectorize(pd.to_timedelta([1, 2, 3], unit="D"))
    assert_array_equal(rows.ravel(), [-1, 0, 1])


@pytest.mark.parametrize(
    "column", [[True, False, None], [1, 0, None], pd.array([1, 0, None], "boolean")]
)
def test_boolean_is_plus_or_minus_one(column):
    rows, names = vectorize(column, kind="boolean")
    assert names == ["c", "c_missing"]
    assert_array_equal(rows, [[1, 0], [-1, 0], [0, 1]])


def test_datetime_parts():
    # Monday 1 January, Sunday 31 March, Tuesday 2 July 2024; days -90, 0, 93
    days = pd.to_datetime(["2024-01-01", "2024-03-31", "2024-07-02"])
    rows, names = vectorize(days)
    assert names == [
        "c_days",
        "c_age",
        "c_month_sin",
        "c_month_cos",
        "c_weekday_sin",
        "c_weekday_cos",
    ]
    turn = 2 * np.pi / 7
    iqr = (93 + 90) / 2
    # ages of 183, 93 and 0 days: median ln 94, quartiles ln(94) / 2 and ln(94 184) / 2
    old, middle = np.log([184, 94])
    expected = [
        [-90 / iqr, 2 * (old - middle) / old, 0, 1, 0, 1],
        [0, 0, np.sqrt(3) / 2, 1 / 2, np.sin(6 * turn), np.cos(6 * turn)],
        [93 / iqr, -2 * middle / old, 0, -1, np.sin(turn), np.cos(turn)],
    ]
    assert_allclose(rows, np.array(expected) / 2, atol=1e-6)


def test_dates_after_the_newest_of_fit_have_its_age():
    days = ["2024-01-01", "2024-03-31", "2024-07-02"]
    rows, _ = vectorize(days, ["2024-07-02", "2030-01-01"])
    assert rows[0, 1] == rows[1, 1] == rows[:, 1].min()


@pytest.mark.parametrize(
    "column",
    [
        ["9999-12-31", "2024-01-01", "0001-01-01"],
        [
            datetime.date(9999, 12, 31),
            datetime.date(2024, 1, 1),
            datetime.date(1, 1, 1),
        ],
        # nanoseconds end in 2262
        [
            datetime.date(9999, 12, 31),
            pd.Timestamp("2024-01-01").as_unit("ns"),
            datetime.date(1, 1, 1),
        ],
        pd.PeriodIndex(["9999-12-31", "2024-01-01", "0001-01-01"], freq="D"),
        np.array(["9999-12-31", "2024-01-01", "0001-01-01"], "datetime64[s]"),
    ],
)
def test_dates_from_the_first_to_the_last_year(column):
    rows, _ = vectorize(column, kind="datetime")
    days = np.array([3652058, 738885, 0])  # since the year 1
    spread = (3652058 - 0) / 2
    assert_allclose(rows[:, 0], (days - 738885) / spread / 2, rtol=1e-6)
    assert_allclose(rows[:, 2], [-1 / 4, 0, 0], atol=1e-6)  # sine of December


def test_dates_beyond_any_calendar():
    with pytest.raises(ValueError, match="'c' holds a period that is out of the range"):
        vectorize(pd.PeriodIndex.from_ordinals([10**9, 1], freq="Y"))
    for cell in ("0000-00-00", "2024-02-30", "20240-01-01", 10**30, ["2024-01-01"]):
        with pytest.raises(TypeError, match="'c' is of kind 'datetime' .* missing"):
            vectorize(["2024-01-01", "2024-01-02"], pd.Series([cell, "2024-01-01"]))


@pytest.mark.parametrize(
    "column",
    [
        ["2024-01-01", "2024-03-31 00:00", "2024-07-02T00:00"],
        [
            datetime.date(2024, 1, 1),
            datetime.date(2024, 3, 31),
            pd.Timestamp(2024, 7, 2),
        ],
        pd.to_datetime(["2024-01-01", "2024-03-31", "2024-07-02"]).as_unit("ns"),
        pd.to_datetime(["2024-01-01", "2024-03-31", "2024-07-02"], utc=True),
        pd.to_datetime(
            ["2023-12-31 19:00", "2024-03-30 20:00", "2024-07-01 20:00"]
        ).tz_localize("America/New_York"),
        ["01 Jan 2024", "31 March 2024", "2 July 2024"],
        pd.PeriodIndex(["2024-01-01", "2024-03-31", "2024-07-02"], freq="D"),
    ],
)
def test_datetime_takes_many_forms(column):
    days = pd.to_datetime(["2024-01-01", "2024-03-31", "2024-07-02"])
    rows, _ = vectorize(column, kind="datetime")
    assert_array_equal(rows, vectorize(days)[0])


@pytest.mark.parametrize(
    "column",
    [
        [["x", "y"], ["x"], [], None, ["y", "x", "x"]],
        [("x", "y"), ("x",), (), None, ("y", "x", "x")],
        [{"x", "y"}, {"x"}, set(), None, {"y", "x"}],
        [np.array(["x", "y"]), np.array(["x"]), np.array([]), None, ["y", "x", "x"]],
        ["x|y", "x", "", None, "y|x|x"],
        ["x;y", "x", ";", None, "y; x;x"],
        ["x, y", "x", "", None, "y, x,x"],
        [{"x": 2, "y": 2}, {"x": 0.1}, {"y": 0}, None, {"y": 5, "x": 5}],
        [["x", None, "y"], ["x"], [np.nan], None, ["y", "x"]],
    ],
)
def test_list_is_multi_hot_with_norm_one(column):
    rows, names = vectorize(column)
    assert names == ["c_x", "c_y", "c_missing"]
    expected = [[HALF, HALF, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1], [HALF, HALF, 0]]
    assert_allclose(rows, expected, rtol=1e-6)


def test_list_of_weights_and_unknown_tags():
    rows, names = vectorize([{"a": 1}, {"b": 1}], [{"a": 3, "b": -4}, {"a": 2, "z": 9}])
    assert names == ["c_a", "c_b"]
    assert_allclose(rows, [[0.6, -0.8], [1, 0]], rtol=1e-6)


def test_rare_tags_are_left_out_unless_all_are_rare():
    assert vectorize([["a", "b"], ["a"]])[1] == ["c_a"]
    assert vectorize([["a", "b"], ["c"]])[1] == ["c_a", "c_b", "c_c"]


def test_max_features_keeps_the_most_frequent_tags_and_words():
    tags = [["c", "a", "b"], ["c", "b"], ["c", "a"], ["d"]]
    assert vectorize(tags, max_features=2)[1] == ["c_a", "c_c"]
    texts = ["red fox", "red dog", "red fox runs"]
    assert vectorize(texts, kind="text", max_features=1)[1] == ["c_red"]


def test_forced_list_without_a_delimiter_has_one_tag_per_cell():
    rows, names = vectorize(["red", "blue", "red"], kind="list", min_frequency=1)
    assert names == ["c_blue", "c_red"]
    assert_array_equal(rows, [[0, 1], [1, 0], [0, 1]])


def test_text_is_tfidf():
    # "toy" is in both texts: idf 1; "story" in one of two: idf 1 + ln(3 / 2)
    rows, names = vectorize(["Toy Story", "toy"], kind="text", min_frequency=1)
    assert names == ["c_story", "c_toy"]
    idf = 1 + np.log(1.5)
    norm = np.hypot(idf, 1)
    assert_allclose(rows, [[idf / norm, 1 / norm], [0, 1]], rtol=1e-6)


def test_text_agrees_with_scikit_learn_and_leaves_unknown_words_out():
    texts = ["the red fox", "the red red dog", "a blue fox", "Café fox"]
    rows, _ = vectorize(texts, [*texts, "unknown"], min_frequency=1)
    peer = TfidfVectorizer(
        sublinear_tf=True, token_pattern=r"\w+", strip_accents="unicode"
    )
    assert_allclose(rows[:-1], peer.fit_transform(texts).toarray(), rtol=1e-6)
    assert not rows[-1].any()


def test_missing_text_is_marked():
    rows, names = vectorize(["red fox", "red dog", None])
    assert names == ["c_red", "c_missing"]
    assert_array_equal(rows, [[1, 0], [1, 0], [0, 1]])


# ------------------------------------------------------------------ quantile bins


def test_quantile_bins_are_one_hot():
    column = np.arange(100) + 0.5  # deciles: 10.5, 20.5, ... belong to the bin above
    new = [-1e9, 10.4, 10.5, 99.5, 1e9, None]
    rows, names = vectorize(column, new, numbers="quantiles")
    assert names == [f"c_bin{i}" for i in range(10)]
    assert_array_equal(rows[:-1].argmax(axis=1), [0, 0, 1, 9, 9])
    assert_array_equal(rows.sum(axis=1), [1, 1, 1, 1, 1, 0])
    assert_array_equal(vectorize(column, numbers="quantiles")[0].sum(axis=0), [10] * 10)


def test_equal_quantiles_are_one_edge_and_no_bin_is_empty():
    column = [0.5] * 6 + [1.5] * 5 + [np.nan]
    rows, names = vectorize(column, numbers="quantiles")
    assert names == ["c_bin0", "c_bin1", "c_missing"]
    assert_array_equal(rows.argmax(axis=1), [0] * 6 + [1] * 5 + [2])
    rows, names = vectorize([0.5, 0.5], kind="number", numbers="quantiles")
    assert names == ["c_bin0"]
    assert_array_equal(rows, [[1], [1]])


def test_quantile_bins_are_for_numbers_alone(items):
    names = TowerVectorizer(numbers="quantiles").fit(items).get_feature_names_out()
    assert {name for name in names if "bin" in name} <= {"price_bin0", "price_bin1"} | {
        f"price_bin{i}" for i in range(10)
    }
    assert "added_days" in names and "new" in names


# ---------------------------------------------------------------- hashed columns
# MurmurHash3 of 32 bits, seed 0: FR 2471011837, IT 72642772, XX 246822468,
# b 2514386435 -> odd ones go to the column 1 of 2, even ones to 0.

HASHED = {"FR": 1, "IT": 0, "XX": 0, "b": 1, "c": 1, "x": 1, "y": 0, "fox": 1, "owl": 1}


def test_category_hashes_rare_and_unknown_levels():
    column = ["UK", "UK", "DE", "DE", "FR", "IT", None]
    new = ["UK", "FR", "IT", "XX", None]
    rows, names = vectorize(column, new, n_hashed=2)
    assert names == ["c_DE", "c_UK", "c_hash0", "c_hash1", "c_missing"]
    assert_array_equal(rows.argmax(axis=1), [1, 3, 2, 2, 4])
    assert_array_equal(rows.sum(axis=1), [1] * 5)


def test_hashed_columns_are_there_before_they_are_needed():
    rows, names = vectorize(["UK", "UK", "DE", "DE"], ["XX"], n_hashed=2)
    assert names == ["c_DE", "c_UK", "c_hash0", "c_hash1"]
    assert_array_equal(rows, [[0, 0, 1, 0]])


def test_a_level_is_hashed_by_its_name():
    column = pd.Series([7, 7, 8, 8], dtype=object)
    for five in (5, 5.0, np.int8(5), "5"):  # 1394226660
        new = pd.Series([five], dtype=object)
        rows, _ = vectorize(column, new, "category", n_hashed=3)
        assert_array_equal(rows, [[0, 0, 1, 0, 0]])


def test_list_hashes_rare_and_unknown_tags_and_adds_them_up():
    column = [["a", "b"], ["a", "c"], ["a"]]
    new = [
        ["a", "b", "y"],
        ["y", "IT", "y"],
        ["x", "c", "a"],
        {"a": 3, "y": 1, "IT": 3},
        {"y": 1, "IT": -1},
        [None, "a"],
        ["y", np.nan],
    ]
    rows, names = vectorize(column, new, n_hashed=2)
    assert names == ["c_a", "c_hash0", "c_hash1"]
    expected = [
        [1 / np.sqrt(3)] * 3,
        [0, 1, 0],
        [1 / np.sqrt(5), 0, 2 / np.sqrt(5)],
        [0.6, 0.8, 0],
        [0, 0, 0],
        [1, 0, 0],
        [0, 1, 0],
    ]
    assert_allclose(rows, expected, rtol=1e-6)


def test_text_hashes_words_as_if_those_of_a_column_were_one():
    # red in 3 of 3 texts, hash1 (fox, owl) in 2, hash0 in none
    texts = ["red fox", "red owl", "red"]
    rows, names = vectorize(texts, ["fox owl red", "y red", "b"], "text", n_hashed=2)
    assert names == ["c_red", "c_hash0", "c_hash1"]
    expected = [
        [1, 0, (1 + np.log(2)) * (1 + np.log(4 / 3))],
        [1, 1 + np.log(4), 0],
        [0, 0, 1],
    ]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(rows, expected, rtol=1e-6)


def test_hashed_columns_take_all_keys_that_are_rare():
    for column in ([["b"], ["y"]], ["b c", "y IT z"], pd.Categorical(["b", "y"])):
        assert vectorize(column, n_hashed=2)[1] == ["c_hash0", "c_hash1"]


def test_ids_are_never_hashed():
    rows, names = vectorize(["u1", "u2"], ["u2", "u3"], n_hashed=2)
    assert names == ["c_u1", "c_u2"]
    assert_array_equal(rows, [[0, 1], [0, 0]])


def test_hashing_agrees_with_the_table():
    tags = [[tag] for tag in HASHED]
    rows, names = vectorize([["a"], ["a"], ["b"]], tags, n_hashed=2)
    assert_array_equal(rows.argmax(axis=1) - 1, list(HASHED.values()))


# ------------------------------------------------------------------- many levels

LEVELS = ["d"] + ["b", "c", "a"] * 2 + ["a"]


def test_max_features_keeps_the_most_frequent_levels_and_warns_once():
    message = (
        "'c' of kind 'category' has 4 levels, of which 3 are .* max_features=2.* most "
        "frequent .*'c_infrequent'.*kinds={'c': 'drop'}.* raise max_features.*n_hashed"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        rows, names = vectorize(LEVELS, list("abcdx"), max_features=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert names == ["c_a", "c_b", "c_infrequent"]
    assert_array_equal(rows.argmax(axis=1), [0, 1, 2, 2, 2])


def test_levels_beyond_max_features_are_hashed():
    with pytest.warns(UserWarning, match="others share 2 hashed columns"):
        rows, names = vectorize(LEVELS, list("abcy"), max_features=2, n_hashed=2)
    assert names == ["c_a", "c_b", "c_hash0", "c_hash1"]
    assert_array_equal(rows.argmax(axis=1), [0, 1, 3, 2])


def test_no_warning_without_need():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(vectorize(LEVELS, max_features=3)[1]) == 4
        assert len(vectorize(LEVELS, kind="id", max_features=1)[1]) == 4
        vectorize([["a", "b"], ["a", "b"], ["b"]], max_features=1)
        vectorize(["red fox", "red dog", "red fox"], kind="text", max_features=1)


# ----------------------------------------------------------------------- vectors

VECTORS = [[3.0, 4.0], [0.0, 0.0], None, [-0.5, 0.0]]


@pytest.mark.parametrize(
    "column",
    [
        VECTORS,
        [(3.0, 4), (0, 0), None, (-0.5, 0)],
        [np.float32([3, 4]), np.zeros(2), None, [-0.5, 0]],
        [np.array([6e300, 8e300]), np.zeros(2), None, np.array([-5e-324, 0])],
        [sparse.csr_matrix([[3, 4]]), sparse.csr_array([[0, 0.0]]), None]
        + [sparse.coo_array([-0.5, 0])],
        [sparse.csr_matrix([[3, 4]]), [0, 0], None, np.array([-0.5, 0])],
        pd.Series(VECTORS, dtype=pd.ArrowDtype(pa.list_(pa.float32(), 2))),
    ],
)
def test_vectors_have_norm_one(column):
    rows, names = vectorize(column)
    assert names == ["c_0", "c_1", "c_missing"]
    expected = [[0.6, 0.8, 0], [0, 0, 0], [0, 0, 1], [-1, 0, 0]]
    assert_allclose(rows, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"c": pa.array(VECTORS, pa.list_(pa.float32(), 2))}),
        pl.DataFrame({"c": pl.Series(VECTORS, dtype=pl.Array(pl.Float32, 2))}),
    ],
)
def test_vectors_of_other_containers(table):
    vectorizer = TowerVectorizer().fit(table)
    assert vectorizer.kinds_ == {"c": "vector"}
    rows = vectorizer.transform(table).toarray()
    assert_allclose(rows, vectorize(VECTORS)[0], rtol=1e-6)


def test_forced_vectors_of_integers():
    rows, names = vectorize([[3, 4], [5, 12]], [[4, 3]], kind="vector")
    assert names == ["c_0", "c_1"]
    assert_allclose(rows, [[0.8, 0.6]], rtol=1e-6)


def test_vectors_of_another_length():
    message = r"'c' of kind 'vector' expects .* length 2.* one of length 3.*'c': 'list'"
    with pytest.raises(ValueError, match=message):
        vectorize(VECTORS, [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match=message):
        vectorize([[1.0, 2.0], [1.0, 2.0, 3.0]], kind="vector")


@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_vectors_with_a_hole(bad):
    message = "'c' of kind 'vector' holds a vector with NaN or infinity .* missing"
    for new in (None, [[1.0, bad]]):
        with pytest.raises(ValueError, match=message):
            vectorize([[1.0, 2.0], [3.0, bad if new is None else 4.0]], new)


@pytest.mark.parametrize(
    "cell",
    ["a", 5, ["a", "b"], [[1.0], [2.0]], {"a": 1.0, "b": 2.0}, {1.0, 2.0}, np.eye(2)]
    + [sparse.csr_matrix(np.eye(2)), [10**400, 1]],
)
def test_cells_that_are_no_vectors(cell):
    new = pd.Series([[1.0, 2.0], None], dtype=object)
    new[1] = cell
    with pytest.raises(TypeError, match="'c' is of kind 'vector' and expects vectors"):
        vectorize(VECTORS, new)


# ----------------------------------------------------------- bytes, sparse columns


def test_bytes_are_text_in_utf_8():
    assert vectorize([b"\xc3\xa9", "\xe9", "u"])[1] == ["c_\xe9", "c_infrequent"]
    assert vectorize(np.array([b"b", b"a"]))[1] == ["c_a", "c_b"]
    assert vectorize([b"red fox", b"red dog"])[1] == ["c_red"]
    assert vectorize([b"a|b", b"b", b"a"])[1] == ["c_a", "c_b"]
    rows, names = vectorize([[b"a", "b"], ["a", b"b"]], [[b"b"], {b"a": 2}])
    assert names == ["c_a", "c_b"]
    assert_array_equal(rows, [[0, 1], [1, 0]])


@pytest.mark.parametrize("cell", [b"\xff", [b"\xff"]])
def test_bytes_that_are_no_text(cell):
    message = r"'c' holds bytes that are no text in UTF-8.*Got b'\\xff'.*decode"
    with pytest.raises(ValueError, match=message):
        vectorize([cell, cell, cell * 2])


def test_sparse_columns_are_numbers():
    column = pd.arrays.SparseArray([0, 0, 0, 0, 4])
    rows, names = vectorize(column)  # variance 4^2 (1/5) (4/5)
    assert names == ["c"]
    assert_allclose(rows.ravel(), [0, 0, 0, 0, 2.5], rtol=1e-6)
    holes = pd.arrays.SparseArray([np.nan, 1.5, 2.5])
    assert vectorize(holes)[1] == ["c", "c_missing"]
    assert choose(pd.arrays.SparseArray([True, False])) == "boolean"


# ----------------------------------------------------------------------- summary


def test_summary_has_a_row_per_column(items):
    kinds = {"item": "id", "title": "drop"}
    summary = TowerVectorizer(kinds=kinds).fit(items).summary()
    assert summary.columns.tolist() == [
        "column",
        "kind",
        "n_features_out",
        "examples",
        "missing",
    ]
    assert summary.values.tolist() == [
        ["item", "id", 4, "item_11, item_12, item_13", 0],
        ["genres", "list", 3, "genres_Action, genres_Drama, genres_missing", 0.25],
        ["title", "drop", 0, "", 0],
        ["country", "category", 2, "country_UK, country_infrequent", 0],
        ["price", "number", 2, "price, price_missing", 0.25],
        ["new", "boolean", 1, "new", 0],
        ["added", "datetime", 7, "added_days, added_age, added_month_sin", 0.25],
    ]


def test_summary_of_a_nameless_array_and_of_columns_without_cells():
    table = np.array([[1.5, None], [2.5, None]], dtype=object)
    summary = TowerVectorizer().fit(table).summary()
    assert summary["column"].tolist() == ["x0", "x1"]
    assert summary["kind"].tolist() == ["number", "drop"]
    assert summary["missing"].tolist() == [0, 1]


# ----------------------------------------------------------- the choice of a kind


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (["u1", "u2", "u3"], "id"),
        ([101, 102, 103], "id"),
        ([101, 102, "b7"], "id"),
        (["UK", "UK", "DE"], "category"),
        (["New York", "New York", "Los Angeles", "Los Angeles"], "category"),
        (pd.Categorical([1, 2, 3]), "category"),
        ([1, 2, 3] * 5, "category"),
        ([1, 2, 3] * 4, "number"),
        (list(range(60)) * 5, "number"),
        ([1.0, 2.0, 2.0, None] * 5, "category"),
        ([1.0, 2.0, 2.0] * 5, "number"),
        ([1.0, None, 3.0], "number"),
        ([1.5, 2.5], "number"),
        ([True, False], "boolean"),
        ([1, 0, 0, None], "category"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "datetime"),
        (["2024-01-01", "2024-01-02"], "datetime"),
        (["2024-13-01", "1001-44-02"], "id"),
        (["2024-13-01", "2024-01-02", "2024-01-02"], "category"),
        (["- -", "* *"], "id"),
        ([["a"], ["b"]], "list"),
        (["Action|Comedy", "Drama", "Action"], "list"),
        (["Red mug", "Blue mug with handle", "Candle"], "text"),
        (["Smith, John", "Jones, Mary", "Brown, Ann"], "text"),
        (["[1,10)", "[10,100)", "[1,10)", "0"], "category"),
        (["Matrix, The", "Heat of the night", "Speed", "Alien ship"], "text"),
        (["a long sentence; and one more", "of many words; no list"], "text"),
        ([None, None], "drop"),
        ([1.5, 1.5], "drop"),
        (["a", "a"], "drop"),
        ([["a", "b"], ["a", "b"]], "drop"),
        ([{"a": 1}, {"a": 1}], "drop"),
        ([[1.5, 2], [1, 2]], "vector"),
        ([[1, 2], [3, 4]], "list"),
        ([[1.5, 2.5], [1.5]], "list"),
        ([[1.5], [2.5]], "list"),
        ([[1.5, "a"], [1.5, "b"]], "list"),
        ([{"a": 1.5, "b": 2.5}, {"a": 1.0, "b": 2.0}], "list"),
        ([[1.5, 2.5], [1.5, 2.5]], "drop"),
        ([[1.5, 2.5], [1.5, 2.5], None], "vector"),
        ([["a"], ["a"], None], "list"),
        (["a", None], "id"),
        ([1.5, None], "number"),
    ],
)
def test_kind_is_chosen_by_dtype_and_content(column, kind):
    assert choose(column) == kind


@pytest.mark.parametrize("name", ["id", "author_id", "authorId", "USER_ID", "zip_code"])
def test_integers_named_as_ids_are_levels(name):
    assert choose([7, 8, 9, 9], name) == "category"


@pytest.mark.parametrize("name", ["paid", "humid", "decode", "price"])
def test_integers_named_otherwise_are_quantities(name):
    assert choose([7, 8, 9, 9], name) == "number"


def test_kinds_forces_a_kind(items):
    kinds = {"country": "id", "title": "drop", "item": "category"}
    vectorizer = TowerVectorizer(kinds=kinds).fit(items)
    assert vectorizer.kinds_ == {
        "item": "category",
        "genres": "list",
        "title": "drop",
        "country": "id",
        "price": "number",
        "new": "boolean",
        "added": "datetime",
    }


def test_forced_constant_is_kept_and_forced_all_missing_is_dropped():
    table = pd.DataFrame({"a": ["x", "x"], "b": [None, None], "c": [1, 2]})
    vectorizer = TowerVectorizer(kinds={"a": "id", "b": "number"}).fit(table)
    assert vectorizer.kinds_ == {"a": "id", "b": "drop", "c": "id"}
    assert vectorizer.get_feature_names_out().tolist() == ["a_x", "c_1", "c_2"]


def test_columns_that_tell_nothing_leave_an_empty_matrix():
    matrix = TowerVectorizer().fit_transform(pd.DataFrame({"a": ["x", "x"]}))
    assert matrix.shape == (2, 0)


# -------------------------------------------------------------- the whole table


def test_table_is_csr_float32_with_one_name_per_column(items):
    vectorizer = TowerVectorizer(kinds={"item": "id"})
    matrix = vectorizer.fit_transform(items)
    names = vectorizer.get_feature_names_out()
    assert sparse.issparse(matrix)
    assert matrix.format == "csr"
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    assert (matrix.data != 0).all()
    assert matrix.shape == (4, len(names))
    assert len(set(names)) == len(names)
    assert names[:6].tolist() == [
        *(f"item_{i}" for i in (11, 12, 13, 14)),
        "genres_Action",
        "genres_Drama",
    ]
    assert {"price", "price_missing", "new", "added_days", "title_toy"} <= set(names)


def test_blocks_stand_side_by_side(items):
    whole = TowerVectorizer().fit_transform(items).toarray()
    parts = [TowerVectorizer().fit_transform(items[[name]]) for name in items]
    assert_array_equal(whole, sparse.hstack(parts).toarray())


def test_one_row_makes_a_row():
    table = pd.DataFrame(
        {"u": ["bob"], "x": [1.5], "g": ["a|b"], "n": [7], "m": [None]}
    )
    vectorizer = TowerVectorizer().fit(table)
    names = ["u_bob", "x", "g_a", "g_b", "n_7"]
    assert vectorizer.get_feature_names_out().tolist() == names
    assert_allclose(
        vectorizer.transform(table).toarray(), [[1, 0, HALF, HALF, 1]], rtol=1e-6
    )


def test_no_row_is_no_error_in_transform(items):
    vectorizer = TowerVectorizer().fit(items)
    width = len(vectorizer.get_feature_names_out())
    assert vectorizer.transform(items.iloc[:0]).shape == (0, width)


def test_nameless_arrays():
    table = np.array([[1, "a", 1.5], [2, "b", None], [3, "b", 2.5]], dtype=object)
    vectorizer = TowerVectorizer(kinds={"x0": "drop"}).fit(table)
    assert vectorizer.kinds_ == {"x0": "drop", "x1": "category", "x2": "number"}
    assert not hasattr(vectorizer, "feature_names_in_")
    names = ["x1_b", "x1_infrequent", "x2", "x2_missing"]
    assert vectorizer.get_feature_names_out().tolist() == names
    assert vectorizer.get_feature_names_out(["a", "b", "c"])[2] == "c"
    expected = [[0, 1, -1, 0], [1, 0, 0, 1], [1, 0, 1, 0]]
    assert_array_equal(vectorizer.transform(table).toarray(), expected)
    floats = np.random.default_rng(0).normal(size=(5, 2))
    assert TowerVectorizer().fit(floats).kinds_ == {"x0": "number", "x1": "number"}


CONVERTERS = {
    "nullable": lambda table: table.convert_dtypes(),
    "object": lambda table: table.astype(object),
    "pandas with arrow": lambda table: pa.Table.from_pandas(table).to_pandas(
        types_mapper=pd.ArrowDtype
    ),
    "arrow": pa.Table.from_pandas,
    "polars": pl.from_pandas,
}


@pytest.mark.parametrize("convert", CONVERTERS.values(), ids=CONVERTERS.keys())
def test_containers_and_dtypes_agree(items, convert):
    items["tags"] = [["x", "y"], ["x"], None, []]
    items["rank"] = pd.array([3, 4, None, 4], dtype="Int64")
    plain = TowerVectorizer().fit(items)
    other = TowerVectorizer().fit(convert(items))
    assert other.kinds_ == plain.kinds_
    assert_array_equal(other.feature_names_in_, plain.feature_names_in_)
    expected = plain.transform(items).toarray()
    assert_array_equal(other.transform(convert(items)).toarray(), expected)
    assert_array_equal(plain.transform(convert(items)).toarray(), expected)


@pytest.mark.parametrize("kind", ["id", "category"])
@pytest.mark.parametrize(
    "new", ["int64", "int8", "Int64", "float64", "Float32", object]
)
@pytest.mark.parametrize("old", ["int64", "Int64", "float64", "uint8"])
def test_an_integer_id_is_the_same_in_any_dtype(old, new, kind):
    vectorizer = TowerVectorizer(kinds={"u": kind}, min_frequency=1)
    vectorizer.fit(pd.DataFrame({"u": pd.Series([5, 7, 9]).astype(old)}))
    assert vectorizer.get_feature_names_out().tolist() == ["u_5", "u_7", "u_9"]
    rows = vectorizer.transform(pd.DataFrame({"u": pd.Series([9, 5, 6]).astype(new)}))
    assert_array_equal(rows.toarray(), [[0, 0, 1], [1, 0, 0], [0, 0, 0]])


def test_ids_of_several_types_keep_apart():
    rows, names = vectorize([5, "5", 2.5, "a"], ["5", 5, 5.0, "b"], kind="id")
    assert names == ["c_2.5", "c_5", "c_5", "c_a"]
    assert_array_equal(rows.argmax(axis=1), [2, 1, 1, 0])
    assert_array_equal(rows.sum(axis=1), [1, 1, 1, 0])


def test_dates_as_levels_do_not_depend_on_their_unit():
    days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-01"])
    rows, _ = vectorize(days, days.as_unit("ns"), kind="category", min_frequency=1)
    assert_array_equal(rows, [[1, 0], [0, 1], [1, 0]])


def test_clone_pickle_and_pipeline(items):
    vectorizer = TowerVectorizer(kinds={"item": "id"}, min_frequency=1)
    expected = vectorizer.fit_transform(items).toarray()
    copies = [pickle.loads(pickle.dumps(vectorizer)), clone(vectorizer).fit(items)]
    for copy in copies:
        assert_array_equal(copy.transform(items).toarray(), expected)
    scaled = make_pipeline(clone(vectorizer), MaxAbsScaler()).fit_transform(items)
    assert scaled.shape == expected.shape


# ---------------------------------------------------------------- invariances

TABLE = pd.DataFrame(
    {
        "item": [f"i{i}" for i in range(12)],
        "mixed": [1, "b", 2.0, None] * 3,
        "genres": ["a|b", "b", None, "c|a"] * 3,
        "tags": [{"x": 1.5, "y": 2}, {"x": 0.3}, {}] * 4,
        "title": ["red fox", "red dog", "blue fox runs", None] * 2 + ["red sea"] * 4,
        "count": [3, 4, 4, 100, 7, 8] * 2,
        "price": [1.25, np.nan, 3.7, 0.1] * 3,
        "day": pd.date_range("2024-01-29", periods=12),
        "vector": [[1.5, 2.0], [0.0, 0.5], None, [3.0, -4.0]] * 3,
    }
)
FITTED = TowerVectorizer(n_hashed=3).fit(TABLE)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=20))
def test_a_row_does_not_depend_on_the_other_rows(rows):
    expected = FITTED.transform(TABLE).toarray()[rows]
    assert_array_equal(FITTED.transform(TABLE.iloc[rows]).toarray(), expected)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(12)))
def test_fit_does_not_depend_on_the_order_of_rows(order):
    shuffled = clone(FITTED).fit(TABLE.iloc[order])
    assert shuffled.kinds_ == FITTED.kinds_
    assert_array_equal(shuffled.get_feature_names_out(), FITTED.get_feature_names_out())
    expected = FITTED.transform(TABLE).toarray()
    assert_allclose(shuffled.transform(TABLE).toarray(), expected, rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5)), min_size=1, max_size=8))
def test_lists_agree_with_a_naive_count(column):
    rows, names = vectorize(column, kind="list", min_frequency=1)
    tags = sorted({tag for cell in column for tag in cell})
    assert names == [f"c_{tag}" for tag in tags]
    for row, cell in zip(rows, column, strict=True):
        scale = 1 / np.sqrt(max(len(set(cell)), 1))
        assert_allclose(row, [scale * (tag in cell) for tag in tags], rtol=1e-6)


# ---------------------------------------------------------------------- errors


def test_kinds_that_name_nothing(items):
    with pytest.raises(ValueError, match="kinds names 'genre'.*Did you mean 'genres'"):
        TowerVectorizer(kinds={"genre": "list"}).fit(items)
    with pytest.raises(ValueError, match=r"kinds\['price'\].*'numbr'.*mean 'number'"):
        TowerVectorizer(kinds={"price": "numbr"}).fit(items)
    with pytest.raises(ValueError, match="'kinds' parameter .* instance of 'dict'"):
        TowerVectorizer(kinds="id").fit(items)


@pytest.mark.parametrize(
    "params",
    [
        {"min_frequency": 0},
        {"max_features": 0},
        {"n_hashed": 0},
        {"n_hashed": 1.5},
        {"numbers": "binned"},
    ],
)
def test_parameters_out_of_range(params, items):
    with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
        TowerVectorizer(**params).fit(items)


def test_columns_that_differ_from_fit(items):
    vectorizer = TowerVectorizer().fit(items)
    with pytest.raises(ValueError, match="'pricee' was not .* Did you mean 'price'"):
        vectorizer.transform(items.rename(columns={"price": "pricee"}))
    with pytest.raises(ValueError, match="now missing:\n- price"):
        vectorizer.transform(items.drop(columns="price"))
    with pytest.raises(ValueError, match="unseen at fit time:\n- more"):
        vectorizer.transform(items.assign(more=1))
    with pytest.raises(ValueError, match="must be in the same order"):
        vectorizer.transform(items[items.columns[::-1]])


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("genres", 5, r"'genres' is of kind 'list' and expects .* Got 5 \(int\)"),
        ("price", "dear", r"'price' is of kind 'number' .* Got 'dear' \(str\)"),
        ("price", pd.Timestamp(2024, 1, 1), "'price' is of kind 'number'"),
        ("title", 5, r"'title' is of kind 'text' and expects strings. Got 5 \(int\)"),
        ("new", 2, r"'new' is of kind 'boolean' and expects True or False.* Got 2"),
        ("added", 17, "'added' is of kind 'datetime' and expects dates .*to_datetime"),
        ("added", "soon", "'added' is of kind 'datetime' .* Got 'soon'"),
    ],
)
def test_cells_that_do_not_suit_the_kind(items, column, cells, message):
    vectorizer = TowerVectorizer().fit(items)
    with pytest.raises(TypeError, match=message):
        vectorizer.transform(items.assign(**{column: cells}))


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        (
            [["a"], ["b"]],
            "id",
            r"kind 'id' and expects single values.*\['a'\] \(list\)",
        ),
        ([[["a"]], [["b"]]], "list", r"kind 'list' .* Got \[\['a'\]\]"),
        ([{"a": "x"}, {"a": 1}], "list", "kind 'list' .* Got 'x'"),
        ([["a"], 5], None, "kind 'list' .* Got 5"),
        ([["a"], ["b"]], "number", r"kind 'number' .* Got \['a'\]"),
    ],
)
def test_cells_that_no_fit_can_take(column, kind, message):
    with pytest.raises(TypeError, match=message):
        vectorize(column, kind=kind)


def test_strings_where_fit_saw_lists():
    with pytest.raises(TypeError, match="kind 'list' .* Got 'a' "):
        vectorize([["a"], ["b"]], ["a"])


def test_infinite_numbers_and_weights():
    with pytest.raises(ValueError, match="'c' of kind 'number' holds an infinite"):
        vectorize(["1.5", "inf"], kind="number")
    with pytest.raises(ValueError, match="'c' of kind 'list' holds an infinite"):
        vectorize([{"a": np.inf}, {"a": 1}])


def test_numbers_beyond_floats():
    with pytest.raises(TypeError, match="'c' is of kind 'number' .* Got 1000000"):
        vectorize([1.5, 2.5], pd.Series([10**400], dtype=object))
    huge = pd.Series([10**400, 1, 10**400], dtype=object)
    assert vectorize(huge)[1] == [f"c_{10**400}", "c_infrequent"]


def test_infinite_level_among_strings():
    for kind in (None, "id"):
        with pytest.raises(ValueError, match="Column 'c' holds an infinite number"):
            vectorize(["a", np.inf, "a"], kind=kind)


def test_objects_that_have_no_hash():
    with pytest.raises(TypeError, match="'c' holds objects that cannot be told apart"):
        vectorize([bytearray(b"a"), "b"])
    with pytest.raises(TypeError, match="kind 'category' .* Got bytearray"):
        vectorize(["a", "a", "b"], [bytearray(b"a")])


# cells by the kind that they suit, and which kinds take those of another
CELLS = {
    "category": ["a", "a", "b"],
    "number": [1.5, 2.5, 3.5],
    "boolean": [True, False, True],
    "datetime": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-05"]),
    "list": [["a"], ["a", "b"], ["b"]],
    "text": ["red fox", "red dog", "blue fox"],
    "vector": [[1.0, 2.0], [2.0, 3.0], [4.0, 4.0]],
}
TAKEN = {
    "category": {"number", "boolean", "datetime", "text"},
    "number": {"boolean"},
    "list": {"vector"},
    "text": {"category"},
}


@pytest.mark.parametrize("new", CELLS)
@pytest.mark.parametrize("old", CELLS)
def test_a_column_that_changes_its_kind_is_named(old, new):
    assert choose(CELLS[old]) == old
    if new == old or new in TAKEN.get(old, ()):
        assert np.isfinite(vectorize(CELLS[old], CELLS[new])[0]).all()
        return
    match = f"Column 'c' (is )?of kind '{old}' (and )?expects .* Got"
    with pytest.raises((TypeError, ValueError), match=match):
        vectorize(CELLS[old], CELLS[new])


def test_weights_that_are_missing_do_not_count():
    column = [{"a": 3, "b": 4}, {"a": None, "b": 2}, {"a": np.nan}, {"b": pd.NA}]
    rows, names = vectorize(column)
    assert names == ["c_a", "c_b"]
    assert_allclose(rows, [[0.6, 0.8], [0, 1], [0, 0], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("kind", [None, "id", "category", "number"])
def test_infinite_cells_in_any_kind(kind):
    message = "Column 'c' holds an infinite number.*replace inf by NaN"
    for column in ([1.5, np.inf], [np.inf, np.inf], [np.inf, None]):
        with pytest.raises(ValueError, match=message):
            vectorize(column, kind=kind)
    with pytest.raises(ValueError, match=message):
        vectorize([1.5, 2.5], [-np.inf], kind=kind)
    assert vectorize([1.5, np.inf], kind="drop")[1] == []


def test_text_without_words():
    with pytest.raises(ValueError, match="'c' of kind 'text' holds no word"):
        vectorize(["- -", "* *"], kind="text")


def test_tables_that_are_none():
    with pytest.raises(ValueError, match=r"0 sample\(s\) \(shape=\(0, 1\)\)"):
        TowerVectorizer().fit(pd.DataFrame({"a": []}))
    with pytest.raises(ValueError, match=r"0 feature\(s\) \(shape=\(2, 0\)\)"):
        TowerVectorizer().fit(pd.DataFrame(index=[0, 1]))
    with pytest.raises(ValueError, match=r"more than one column of the name \['a'\]"):
        TowerVectorizer().fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    for kind in (None, "number", "id"):
        with pytest.raises(ValueError, match="Complex data not supported: column 'c'"):
            vectorize([1 + 2j, 2], kind=kind)
    with pytest.raises(ValueError, match="2-dimensional"):
        TowerVectorizer().fit(pd.Series([1, 2]))
