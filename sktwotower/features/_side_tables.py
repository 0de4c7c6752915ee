"""How estimators with side tables are cloned and printed.

Input: an estimator with tables ``users`` and ``items`` among its parameters.
Output: clones that share the tables, and a repr with their shapes.
"""

from sklearn.base import BaseEstimator, clone

from sktwotower._sklearn_compat import copy_configuration, drawn_as

TABLES = ("users", "items")


class SideTablesMixin:
    """Let clones share side tables, and show only the shape of these.

    A mixin of estimators.
    """

    def __sklearn_clone__(self):
        """Return a clone that shares the side tables, so that a search copies none."""
        params = {}
        shared = {}
        for name, value in self.get_params(deep=False).items():
            if name in TABLES:
                params[name] = value
                shared[id(value)] = value
            else:
                params[name] = clone(value, safe=False)
        copied = type(self)(**params)
        # metadata requests refer to their estimator, and so to its tables
        shared[id(self)] = copied
        copy_configuration(self, copied, shared)
        return copied

    def __repr__(self, N_CHAR_MAX=700):
        """Show the parameters that are not defaults; of side tables only the shape."""
        params = self.get_params(deep=False)
        params.update(_shapes(params))
        return BaseEstimator.__repr__(type(self)(**params))

    def _get_params_html(self, *args, **kwargs):
        """Show the parameters in a notebook; of side tables only the shape."""
        params = super()._get_params_html(*args, **kwargs)
        params.update(_shapes(params))
        return params


def _shapes(params):
    """Return what is shown of each side table that parameters have, by name."""
    shapes = {}
    for name in TABLES:
        table = params.get(name)
        if table is not None:
            n_rows, n_columns = getattr(table, "shape", ("?", "?"))
            text = f"<{type(table).__name__} of {n_rows} rows, {n_columns} columns>"
            shapes[name] = drawn_as("Table", text)
    return shapes
