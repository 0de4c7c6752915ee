"""Recommendations to the users of a Dask dataframe, partition by partition.

Input: a fitted recommender, and a Dask dataframe or Series of users.
Output: a Dask dataframe of recommendations that is not yet computed.
"""

from importlib import import_module

import pandas as pd

from sktwotower._sklearn_compat import without_output

from ._fitted_state import fitted_of


def recommend_lazily(model, X, path, options):
    """Return ``model.recommend(X, **options)`` as a Dask dataframe.

    The model and the options are one node of the graph: the scheduler sends them once
    to each worker that needs them, and again to a worker that takes the place of one
    that was lost.

    Parameters
    ----------
    model : recommender
        Fitted. What it learns after this call does not change the result.
    X : Dask DataFrame or Series
    path : None
        Anything else is refused.
    options : dict
        Further arguments of `recommend`.
    """
    fitted = fitted_of(model)
    if path is not None:
        raise ValueError(
            f"path must be None where X is of Dask. Got {path!r}. Nothing is computed "
            "yet; write the result: model.recommend(X).to_parquet(path)."
        )
    model = without_output(model)
    if "n_jobs" in model.get_params(deep=False):
        model.set_params(n_jobs=1)  # the tasks of a worker share its processors already
    model.recommend(X._meta, **options)  # errors of arguments come at once
    # a table without rows would not show the types of ids; a Series chooses pandas
    first = pd.Series(fitted.user_ids[:1])
    meta = model.recommend(first, 1, exclude_seen=False).iloc[:0]
    shared = import_module("dask").delayed((model, options), traverse=False)
    return X.map_partitions(
        _recommend_to, shared, meta.dtypes, meta=meta, clear_divisions=True
    )


def _recommend_to(users, shared, dtypes):
    """Return the recommendations to the users of one partition, a pandas frame."""
    model, options = shared
    return model.recommend(users, **options).astype(dtypes)
