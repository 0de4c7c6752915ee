"""Sparse parts of a model: terms of the score that vectors are too short to hold.

Such a part scores an item by *what a user has had, times an item-item matrix*. It is
computed from events and not trained. A kind of sparse part is one class in one file.
`SparsePart` says what it is asked for, and `SparseParts` are those of a model, with
their weights.
"""

from ._sparse_kinds import candidates_of, recomputed, size_of
from ._sparse_part import SparsePart, SparseParts, users_at_once

__all__ = [
    "SparsePart",
    "SparseParts",
    "candidates_of",
    "recomputed",
    "size_of",
    "users_at_once",
]
