"""NumberEncoder, BinEncoder and BooleanEncoder, worked by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import TowerVectorizer
from tests.features.builders import choose, vectorize


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


def test_numbers_whose_deviation_is_nothing_stay_finite():
    tiny = pd.DataFrame({"n": [0, 0, 1e-320, 0, 0]})
    rows = TowerVectorizer(kinds={"n": "number"}).fit_transform(tiny)
    np.testing.assert_allclose(rows.toarray(), 0, atol=1e-30)


def test_number_beyond_the_range_of_float_differences_stays_finite():
    rows, _ = vectorize([1.5e308, -1.5e308, 0.5, 1.0, -0.5], kind="number")
    assert_array_equal(rows.ravel()[:2], [3, -3])
    # quartiles -0.5e308, 0, 0.5e308: the spread is 1e308
    rows, _ = vectorize([-1e308, 1e308], kind="number")
    assert_array_equal(rows.ravel(), [-1, 1])
    # no spread of the quartiles, and sums without a bound
    numbers = [1e308] * 9 + [-1e308] * 2 + [1e308] * 9
    rows, _ = vectorize(numbers, kind="number")
    assert_array_equal(np.unique(rows), [-3, 0])


def test_time_spans_are_numbers():
    rows, _ = vectorize(pd.to_timedelta([1, 2, 3], unit="D"))
    assert_array_equal(rows.ravel(), [-1, 0, 1])


def test_sparse_columns_are_numbers():
    column = pd.arrays.SparseArray([0, 0, 0, 0, 4])
    rows, names = vectorize(column)  # variance 4^2 (1/5) (4/5)
    assert names == ["c"]
    assert_allclose(rows.ravel(), [0, 0, 0, 0, 2.5], rtol=1e-6)
    holes = pd.arrays.SparseArray([np.nan, 1.5, 2.5])
    assert vectorize(holes)[1] == ["c", "c_missing"]
    assert choose(pd.arrays.SparseArray([True, False])) == "boolean"


def test_numbers_beyond_floats():
    with pytest.raises(TypeError, match="'c' is of kind 'number' .* Got 1000000"):
        vectorize([1.5, 2.5], pd.Series([10**400], dtype=object))
    huge = pd.Series([10**400, 1, 10**400], dtype=object)
    assert vectorize(huge)[1] == [f"c_{10**400}", "c_infrequent"]


def test_boolean_is_plus_or_minus_one():
    for column in [
        [True, False, None],
        [1, 0, None],
        pd.array([1, 0, None], "boolean"),
    ]:
        rows, names = vectorize(column, kind="boolean")
        assert names == ["c", "c_missing"]
        assert_array_equal(rows, [[1, 0], [-1, 0], [0, 1]])


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
