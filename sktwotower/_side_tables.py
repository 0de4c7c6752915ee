"""Enters: an estimator whose parameters hold tables, ``users`` and ``items``.

Leaves: copies that share them, and a text that shows their shapes alone.
Next: recommender.py.
"""

import copy

from sklearn.base import BaseEstimator, clone

__all__ = ["SideTablesMixin"]

TABLES = "users", "items"


class SideTablesMixin:
    """Side tables are not copied for each candidate of a search, and not printed."""

    def __sklearn_clone__(self):
        """Copy the parameters, but share the side tables."""
        params = {
            name: value if name in TABLES else clone(value, safe=False)
            for name, value in self.get_params(deep=False).items()
        }
        copied = type(self)(**params)
        for name in ("_metadata_request", "_sklearn_output_config"):
            if hasattr(self, name):
                setattr(copied, name, copy.deepcopy(getattr(self, name)))
        return copied

    def __repr__(self, N_CHAR_MAX=700):
        """Show the parameters that are not defaults; of side tables only the shape."""
        shown = type(self)(**self.get_params(deep=False))
        for name in TABLES:
            table = getattr(self, name)
            if table is not None:
                setattr(shown, name, _TableShape(table))
        return BaseEstimator.__repr__(shown, N_CHAR_MAX)


class _TableShape:
    """Stands for a table where an estimator is printed."""

    def __init__(self, table):
        self.table = table

    def __repr__(self):
        shape = getattr(self.table, "shape", ("?", "?"))
        return f"<{type(self.table).__name__} of {shape[0]} rows, {shape[1]} columns>"
