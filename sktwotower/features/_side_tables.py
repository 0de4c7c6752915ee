"""How estimators with side tables are cloned and printed.

Input: an estimator with tables ``users`` and ``items`` among its parameters.
Output: clones that share the tables, and a repr with their shapes.
"""

from sklearn.base import BaseEstimator, clone

from sktwotower._sklearn_compat import copy_configuration, drawn_as

TABLES = "users", "items"


class SideTablesMixin:
    """Let clones share side tables, and show only the shape of these.

    A mixin of estimators.
    """

    def __sklearn_clone__(self):
        """Return a clone that shares the side tables, so that a search copies none."""
        params = self.get_params(deep=False)
        tables = {name: params.pop(name) for name in TABLES if name in params}
        params = {name: clone(value, safe=False) for name, value in params.items()}
        copied = type(self)(**params | tables)
        # metadata requests refer to their estimator, and so to its tables
        shared = {id(table): table for table in tables.values()}
        copy_configuration(self, copied, {id(self): copied} | shared)
        return copied

    def __repr__(self, N_CHAR_MAX=700):
        """Show the parameters that are not defaults; of side tables only the shape."""
        params = self.get_params(deep=False)
        copied = type(self)(**params | _shapes(params))
        return BaseEstimator.__repr__(copied, N_CHAR_MAX)

    def _get_params_html(self, *args, **kwargs):
        """Show the parameters in a notebook; of side tables only the shape."""
        params = super()._get_params_html(*args, **kwargs)
        params.update(_shapes(params))
        return params


def _shapes(params):
    given = {name: params.get(name) for name in TABLES}
    return {n: drawn_as("Table", _shape(t)) for n, t in given.items() if t is not None}


def _shape(table):
    n_rows, n_columns = getattr(table, "shape", ("?", "?"))
    return f"<{type(table).__name__} of {n_rows} rows, {n_columns} columns>"
