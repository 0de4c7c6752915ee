"""Which errors are those of this package, and whether two answers are equal."""

import linecache
import re
import traceback
import warnings
from pathlib import Path

import narwhals as nw
import numpy as np
import pandas as pd
import sklearn
from scipy import sparse
from sklearn.base import BaseEstimator

import sktwotower
from sktwotower.metrics import HeldOutRanking

OURS = str(Path(sktwotower.__file__).parent)
# The checks of scikit-learn that estimators call.
CHECKS = str(Path(sklearn.__file__).parent / "utils")
MAX_SHOWN = 5
MARK = re.compile(r"id-\d+")


def is_frame(answer):
    """Return whether an answer is a table, of any library."""
    return nw.dependencies.is_into_dataframe(answer)


def as_frame(table):
    """Return a table of any library as one of pandas."""
    return nw.from_native(table, eager_only=True).to_pandas()


class Refused:
    """A call that raised an error of this package."""

    def __init__(self, error):
        self.error = error


def outcome(call):
    """Return the answer of a call, or ``Refused``; other errors go on.

    An error is refused correctly if it is a ValueError or a TypeError (NotFittedError
    is one) that a ``raise`` of this package or a check of scikit-learn raised, with a
    message that says something, and at most five ids of either side.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call()
    except (ValueError, TypeError) as error:
        if not is_ours(error):
            raise
        check_message(error)
        return Refused(error)


def is_ours(error):
    """Return whether the innermost frame is a raise of ours, or scikit-learn's."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    file = frame.f_code.co_filename
    if file.startswith(CHECKS):
        return True
    code = linecache.getline(file, line).strip()
    return file.startswith(OURS) and code.startswith("raise")


def check_message(error):
    assert len(str(error)) > 12, repr(error)
    text = "".join(traceback.format_exception(error, limit=0))  # also of its causes
    # ids of users and of items
    assert len(set(MARK.findall(text))) <= 2 * MAX_SHOWN, text


def same(answer, other):
    """Return whether two answers are equal, floats nearly."""
    if isinstance(answer, Refused) or isinstance(other, Refused):
        return type(answer) is type(other)
    if isinstance(answer, tuple):
        return all(same(a, b) for a, b in zip(answer, other, strict=True))
    if isinstance(answer, BaseEstimator):
        return True
    if isinstance(answer, HeldOutRanking):
        answer, other = vars(answer), vars(other)
    if isinstance(answer, dict):
        return all(same(answer[key], other[key]) for key in answer)
    frames = [each for each in (answer, other) if is_frame(each)]
    if not all(isinstance(frame, pd.DataFrame) for frame in frames):
        # of another library, where ids may be of another type
        one, two = (as_frame(frame) for frame in frames)
        names = [c for c in one if c in ("score", "rank", "contribution")]
        return one.shape == two.shape and same(one[names], two[names])
    if isinstance(answer, pd.DataFrame):
        return list(answer.columns) == list(other.columns) and all(
            same(answer[c].to_numpy(), other[c].to_numpy()) for c in answer
        )
    if sparse.issparse(answer):
        answer, other = answer.toarray(), other.toarray()
    answer, other = np.asarray(answer), np.asarray(other)
    if answer.shape != other.shape:
        return False
    if answer.dtype.kind == "f" and other.dtype.kind == "f":
        return np.allclose(answer, other, atol=1e-5, equal_nan=True)
    return [*map(str, answer.ravel())] == [*map(str, other.ravel())]
