import numpy as np
import pytest

from sktwotower._tables._messages import check_count


@pytest.mark.parametrize("value", [1, 3, np.int32(2), np.uint8(3)])
def test_counts_are_returned_as_ints(value):
    found = check_count(value, "k", 1, 3)
    assert found == value and type(found) is int


@pytest.mark.parametrize(
    ("value", "limits", "error", "message"),
    [
        (0, (), ValueError, "^k must be an integer >= 1. Got 0 instead.$"),
        (-1, (0,), ValueError, ">= 0. Got -1"),
        (9, (1, 8), ValueError, "an integer from 1 to 8. Got 9"),
        (0, (1, 8), ValueError, "an integer from 1 to 8. Got 0"),
        (True, (), TypeError, "Got True"),
        (np.True_, (), TypeError, r"Got (np\.True_|True)"),
        (2.0, (), TypeError, "Got 2.0"),
        ("2", (), TypeError, "Got '2'"),
        (None, (), TypeError, "Got None"),
    ],
)
def test_what_is_no_count_is_refused(value, limits, error, message):
    with pytest.raises(error, match=message):
        check_count(value, "k", *limits)
