"""Vectors in fewer bits: what is stored is known, and how far what is read is off."""

import numpy as np
import pytest

import sktwotower._records._rounded as rounding
from tests.cases import for_each

MAX = np.finfo(np.float32).max


def coded(rows):
    return rounding.rounded(np.asarray(rows, dtype=np.float32), "int8", "the rows")


def test_each_row_has_its_own_scale():
    codes, scales = coded([[127, -63.5, 1.4], [0, 0.5, -0.2], [0, 0, 0]])
    assert codes.dtype == np.int8 and scales.dtype == np.float32
    np.testing.assert_array_equal(codes, [[127, -64, 1], [0, 127, -51], [0, 0, 0]])
    np.testing.assert_array_equal(scales, np.float32([1, 0.5 / 127, 0]))
    assert not np.signbit(scales).any()
    expected = [[127, -64, 1], [0, 0.5, -51 * 0.5 / 127], [0, 0, 0]]
    np.testing.assert_allclose(
        rounding.restored((codes, scales), ""), expected, rtol=1e-6
    )


def extreme_rows():
    """Return rows of all sizes that float32 has, some of them of a single sign."""
    rows = np.random.default_rng(0).normal(size=(2000, 24))
    rows[::3] = abs(rows[::3])
    rows[1::7, 1:] *= 1e-3  # one number that is larger than all others
    sizes = np.logspace(-36, 37, len(rows))
    return np.float32(rows * sizes[:, None])


def test_no_number_changes_by_more_than_half_a_step():
    rows = extreme_rows()
    off = abs(np.float64(rounding.restored(coded(rows), "")) - rows)
    half_steps = abs(np.float64(rows)).max(axis=1, keepdims=True) / 254
    assert (off <= half_steps * (1 + 1e-4)).all()
    assert (off > half_steps * 0.99).any()  # the bound is not a loose one


def test_rows_at_the_limits_stay_finite():
    rows = [[0, 0], [3.37e38, -3.37e38], [2.5e-43, 0], [1e-44, -1e-45], [1e-38, 3e38]]
    for row in rows:
        read = rounding.restored(coded([row, [1, 2]]), "")
        half_step = abs(np.float32(row)).max() / 254
        np.testing.assert_allclose(read[0], row, rtol=0, atol=half_step + 1e-43)
        np.testing.assert_allclose(read[1], [1, 2], atol=2 / 254)


@for_each("dtype", ["float32", "float16", "int8"])
def test_arrays_without_numbers_keep_their_shape(dtype):
    for shape in ((0, 3), (3, 0), (0, 0)):
        read = rounding.restored(
            rounding.rounded(np.empty(shape, np.float32), dtype, ""), ""
        )
        assert read.shape == shape and read.dtype == np.float32


@pytest.mark.filterwarnings("error")
@for_each("dtype, limit", [("float16", "65,504"), ("int8", "3.37e38")])
def test_numbers_that_do_not_fit_are_refused(dtype, limit):
    message = f"^the rows has numbers that are nan or beyond {limit}, which {dtype} "
    for number in (np.nan, np.inf, -np.inf, MAX):
        rows = np.float32([[1, 2], [0, number]])
        with pytest.raises(ValueError, match=message):
            rounding.rounded(rows, dtype, "the rows")


CODES, SCALES = coded([[1, 2], [3, 4]])


FORGED = [
    ((CODES, SCALES[:1]), "rows of int8 with a scale each"),
    ((CODES, np.float32([1, -1e-9])), "rows of int8 with a scale each"),
    ((CODES, np.float32([np.nan, 1])), "rows of int8 with a scale each"),
    ((CODES, np.float32([1, np.inf])), "rows of int8 with a scale each"),
    ((CODES, np.float32([1, 3e38])), "rows of int8 with a scale each"),
    ((CODES.astype(np.int16), SCALES), "dtype int8"),
    ((CODES, SCALES.astype(float)), "dtype float32"),
    ((CODES, SCALES[:, None]), "of 1 dimensions"),
    ((CODES[0], SCALES), "of 2 dimensions"),
    ((CODES,), "a tuple of 2"),
    ((CODES, SCALES, SCALES), "a tuple of 2"),
    (([1, 2], SCALES), "dtype int8"),
]


@pytest.mark.filterwarnings("error")
def test_forged_codes_and_scales_are_refused():
    for stored, message in FORGED:
        with pytest.raises(ValueError, match=f"the vectors.* must be .*{message}"):
            rounding.restored(stored, "the vectors")
