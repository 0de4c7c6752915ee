"""Removing columns of a table from feature rows.

Input: fitted ``Entities``, feature rows CSR (n, p) of a ``Query``, names of columns.
Output: feature rows CSR (n, p) without the contribution of these columns.
"""

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower.features._transformers import blocks_of, without_entries

# Relative to the largest value: fit_transform and transform may differ by rounding.
TOLERANCE = 1e-3


def columns_of(entities):
    """Return the names of the columns in the transformer's input, id column first."""
    return [entities.label, *entities.features, *entities.side_features]


def rows_without(entities, query, columns, features=None):
    """Return the feature rows (n, p) of a ``Query`` without the effect of some columns.

    If it is known which outputs of the transformer come from these columns, they are
    set to zero. Otherwise the cells of the columns are set to missing and the table is
    transformed again. ``features``: those of the query in X, (n, n_features), if
    available. If the columns have no effect, ``query.rows`` itself is returned.
    """
    if not columns:
        return query.rows
    names = columns_of(entities)
    positions = [names.index(column) for column in columns]
    dropped = _outputs(entities.transformer, positions, query.rows.shape[1])
    if dropped is None:
        return _transformed_without(entities, query, columns, features)
    return without_entries(query.rows, dropped[query.rows.indices])


def _outputs(transformer, positions, width):
    """Return which outputs (width,) come from some inputs; None if unknown."""
    blocks = blocks_of(transformer)
    if blocks is None:
        return None
    dropped = np.zeros(width, dtype=bool)
    for inputs, outputs in blocks:
        named = np.isin(inputs, positions)
        if named.any() and not named.all():
            return None
        dropped[outputs] |= named.all()
    return dropped


def _transformed_without(entities, query, columns, features):
    side = entities.side
    if features is None and entities.features:
        raise ValueError(
            f"Cannot remove {columns[0]!r}: {side}_transformer encodes columns of X "
            f"together, and those of {side}s are not kept after fit. Use "
            f"TowerVectorizer, ColumnTransformer or a side table, {side}s=..."
        )
    # in a table without names, fit names the id column itself
    columns = [entities.id_column if c == entities.label else c for c in columns]
    if features is None:
        features = pd.DataFrame(index=range(len(query)))
    _check_table(entities, query, features)
    try:
        return _transformed(entities, query, features, columns)
    except Exception as error:
        raise ValueError(
            f"Cannot remove {columns}: {side}_transformer encodes columns together, "
            "and it fails if these cells are missing. Let it impute them, or use "
            f"TowerVectorizer or ColumnTransformer. The error was: {error}"
        ) from error


def _transformed(entities, query, features, columns):
    rows = entities.describe_without(query.ids, features, columns)
    if entities.features:
        return rows
    known = sparse.diags((query.codes >= 0).astype(np.float32))
    return sparse.csr_matrix(known @ rows)  # rows of unknown ids were empty before


def _check_table(entities, query, features):
    """Raise if the query's rows come from another table than that of fit."""
    largest = abs(query.rows).max() if query.rows.nnz else 0.0
    try:
        again = _transformed(entities, query, features, [])
        error = abs(query.rows - again).max()
    except ValueError:  # ids of the query may be missing from the table of fit
        error = np.inf
    if error > TOLERANCE * max(1.0, largest):
        side = entities.side
        raise ValueError(
            f"The features of the {side}s differ from those in the table of fit, and "
            f"{side}_transformer encodes columns together. Fit with the current table, "
            "or use TowerVectorizer or ColumnTransformer."
        )
