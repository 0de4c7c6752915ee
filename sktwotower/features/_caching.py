"""Fitted transformers and their output, computed or taken from a cache.

Input: a transformer and a table of users or items (n_rows, n_columns).
Output: the fitted transformer and its output (n_rows, n_features).
"""

import pickle
from numbers import Integral

import joblib
import sklearn
from sklearn.utils.validation import check_memory

from sktwotower import __version__

__all__ = ["fit_transform", "in_cache"]


def in_cache(memory):
    """Return ``_fit_transform`` as cached by ``memory``."""
    try:
        # joblib's own hash would take longer than many transformers
        ignored = ["transformer", "table"]
        return check_memory(memory).cache(_fit_transform, ignore=ignored)
    except OSError as error:
        raise ValueError(
            f"memory={memory!r} must be a folder that can be written, or a "
            f"joblib.Memory: {error}."
        ) from error


def fit_transform(transformer, table, memory=None):
    """Fit a transformer on a table; return the fitted transformer and its output.

    ``memory`` (None, a folder or a `joblib.Memory`) keeps both. The key is the pickled
    transformer and table. A transformer is fitted each time if its pickle does not
    determine its output: one that draws random numbers without a seed, one that cannot
    be pickled, or one with code of ``__main__``, which may change under the same name.
    """
    key = None if memory is None else _key(transformer, table)
    if key is None:
        return _fit_transform(transformer, table, key)
    return in_cache(memory)(transformer, table, key)


def _fit_transform(transformer, table, key):
    if hasattr(transformer, "fit_transform"):
        output = transformer.fit_transform(table)
    else:
        output = transformer.fit(table).transform(table)
    return transformer, output


def _key(transformer, table):
    """Return a key that determines the output; None if there is no such key."""
    for name, value in transformer.get_params().items():
        seeded = isinstance(value, Integral)
        if name.rpartition("__")[2] == "random_state" and not seeded:
            return None
    try:
        if b"__main__" in pickle.dumps(transformer):
            return None
        cells = pickle.dumps(table, protocol=5)
        versions = __version__, sklearn.__version__
        return joblib.hash((versions, transformer, cells), hash_name="sha1")
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
