"""Transformers of tables of users and items into one sparse feature row for each.

Input: a table with one row per user or item (n_rows, n_columns).
Output: a CSR matrix (n_rows, n_features), float32. Public: `TowerVectorizer`, and
`ColumnKind`, the base class of kinds of columns of your own.
"""

from ._column_kind import ColumnKind
from ._tower_vectorizer import TowerVectorizer

__all__ = ["ColumnKind", "TowerVectorizer"]
