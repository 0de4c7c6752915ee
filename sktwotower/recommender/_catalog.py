"""`TwoTowerRecommender.set_catalog`: other items to recommend, without another fit.

Input: what was learnt, and the items of today.
Output: what was learnt, with these items first, as a ``Learnt`` value.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import format_ids, warn
from sktwotower.retrieval._requests import read_query

from ._fitted import Learnt

__all__ = ["with_catalog", "with_items_first"]


def with_catalog(fitted, items):
    """Return a ``Learnt`` in which the items asked for come first, and their number.

    ``items``: as in `TwoTowerRecommender.set_catalog`.
    """
    query = read_query(fitted.items, items, "items", fitted.schema.n_columns)
    ids = check_ids(query.ids, "items")
    _check_items(ids, query)
    learnt = Learnt(
        fitted.schema,
        fitted.users,
        fitted.items,
        fitted.seen,
        fitted.net,
        fitted.epochs,
        fitted.candidate_sampling,
        fitted.temperature,
    )
    return with_items_first(learnt, ids, query.codes, query.rows), len(ids)


def with_items_first(learnt, ids, codes, rows):
    """Return a ``Learnt`` whose items begin with some; the others follow in order.

    The others are no longer recommended, but stay part of what is known of the users
    who chose them. ``ids`` (n,) and ``rows``, CSR (n, q), describe the first;
    ``codes`` (n,) are their positions among the items so far, -1 for new ones.
    """
    items = learnt.items
    others = np.setdiff1d(np.arange(len(items)), codes)
    together = replace(
        items,
        ids=ids.append(items.ids[others]),
        rows=sparse.vstack([rows, items.rows[others], items.rows[-1]], format="csr"),
    )
    places = np.full(len(items), -1)
    places[codes[codes >= 0]] = np.flatnonzero(codes >= 0)
    places[others] = len(codes) + np.arange(len(others))
    seen = _with_columns(learnt.seen, places, len(together))
    return learnt._replace(items=together, seen=seen)


def _with_columns(matrix, places, n_columns):
    """Return a CSR matrix whose column j is at ``places[j]`` of ``n_columns``."""
    indices = places[matrix.indices].astype(matrix.indices.dtype)
    shape = matrix.shape[0], n_columns
    moved = sparse.csr_matrix((matrix.data.copy(), indices, matrix.indptr), shape)
    moved.sort_indices()
    return moved


def _check_items(ids, query):
    """Refuse items without ids, repeated ones and ones of which nothing is known."""
    if len(ids) == 0:
        raise ValueError("items is empty: a catalog needs one item at least.")
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"items must hold each id once, but {len(repeated)} are duplicated: "
            f"{format_ids(repeated)}."
        )
    unknown = ids[query.lacks_information()]
    if len(unknown) and query.described:
        warn(
            f"Of {len(unknown)} new items fit knows no feature: {format_ids(unknown)}. "
            "They share one vector, the answer to an empty row."
        )
    elif len(unknown):
        raise ValueError(
            f"{len(unknown)} items are not known from fit: {format_ids(unknown)}. Give "
            "a table with their features."
        )
