"""Checks of integers, of True and False, and of classes of other libraries.

Input: a value and the name of the parameter.
Output: the value as an int or bool, or an error that names both.
"""

import sys
from numbers import Integral

import numpy as np


def check_count(value, name, minimum=1, maximum=None):
    """Return an integer from `minimum` to `maximum` as an int; bools are refused.

    Raise ``TypeError`` if it is not an integer, ``ValueError`` if it is out of range.
    """
    if type(value) is int and value >= minimum and maximum is None:
        return value  # the most frequent case
    expected = f"an integer >= {minimum}"
    if maximum is not None:
        expected = f"an integer from {minimum} to {maximum}"
    message = f"{name} must be {expected}. Got {value!r} instead."
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(message)
    if value < minimum or (maximum is not None and value > maximum):
        raise ValueError(message)
    return int(value)


def check_flag(value, name):
    """Return True or False as a bool; raise ``TypeError`` for anything else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False. Got {value!r}.")
    return bool(value)


def is_of(X, module, name):
    """Return whether X is of a class, whose module is not imported for that."""
    module = sys.modules.get(module)
    return module is not None and isinstance(X, getattr(module, name))
