"""Transformers of users or items: what fit makes of one, and checks of its output.

Input: a transformer of any library, or None; its output (n_rows, p) of any kind.
Output: an unfitted transformer; feature rows, CSR (n_rows, p).
"""

import numpy as np
from sklearn.base import clone

from ._table_checks import as_csr
from ._tower_vectorizer import TowerVectorizer

__all__ = ["checked_rows", "prepared"]


def prepared(transformer, side, id_column):
    """Return a clone of the transformer that reads the id column as ids."""
    transformer = TowerVectorizer() if transformer is None else transformer
    needed = ("fit", "transform", "get_params")
    if isinstance(transformer, type) or not all(
        hasattr(transformer, method) for method in needed
    ):
        raise TypeError(
            f"{side}_transformer must be a scikit-learn transformer, which has fit and "
            f"transform. Got {transformer!r}."
        )
    transformer = clone(transformer)
    if isinstance(transformer, TowerVectorizer):
        kinds = {id_column: "id"} | (transformer.kinds or {})
        transformer.set_params(kinds=kinds)
        transformer.set_output(transform="default")  # its rows are sparse
    return transformer


def checked_rows(output, n_rows, side):
    """Return a transformer's output as float32 CSR after its checks."""
    name = f"{side}_transformer"
    try:
        rows = as_csr(output)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must return numbers, as a matrix (n_rows, n_features). Got "
            f"{type(output).__name__}: {error}"
        ) from error
    if rows.shape[0] != n_rows:
        raise ValueError(
            f"{name} must return one row per {side}: expected {n_rows} rows, "
            f"got {rows.shape[0]}."
        )
    if not np.isfinite(rows.data).all():
        raise ValueError(
            f"{name} returned NaN or infinity. Impute or clip the values, for "
            "example with SimpleImputer as its last step."
        )
    return rows
