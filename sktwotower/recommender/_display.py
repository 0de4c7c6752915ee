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
        # requests of metadata know their estimator, and with it its tables
        shared = {id(params[name]): params[name] for name in TABLES}
        memo = {id(self): copied} | shared
        for name in ("_metadata_request", "_sklearn_output_config"):
            if hasattr(self, name):
                setattr(copied, name, copy.deepcopy(getattr(self, name), memo))
        return copied

    def __repr__(self, N_CHAR_MAX=700):
        """Show the parameters that are not defaults; of side tables only the shape."""
        shown = type(self)(**self.get_params(deep=False))
        for name in TABLES:
            table = getattr(self, name)
            if table is not None:
                setattr(shown, name, _TableShape(table))
        return BaseEstimator.__repr__(shown, N_CHAR_MAX)

    def _get_params_html(self, *args, **kwargs):
        """Show the parameters in a notebook; of side tables only the shape."""
        shown = super()._get_params_html(*args, **kwargs)
        for name in TABLES:
            if shown.get(name) is not None:
                shown[name] = _TableShape(shown[name])
        return shown


class _TableShape:
    """Stands for a table where an estimator is printed."""

    def __init__(self, table):
        self.table = table

    def __repr__(self):
        shape = getattr(self.table, "shape", ("?", "?"))
        return f"<{type(self.table).__name__} of {shape[0]} rows, {shape[1]} columns>"
