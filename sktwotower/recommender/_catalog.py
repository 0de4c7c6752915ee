"""How `TwoTowerRecommender.set_catalog` replaces the catalog without another fit.

Input: ``FittedTowers``, and the n items of the new catalog as ids or a table.
Output: ``FittedTowers`` with these items first, and their number n.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from sktwotower._tables._ids import as_type_of, check_ids
from sktwotower._tables._messages import format_ids, not_known, warn
from sktwotower.features._forgetting import without_entities
from sktwotower.retrieval._requests import read_query
from sktwotower.towers._net import with_model

__all__ = ["with_catalog", "with_new_items", "without_items"]


def with_catalog(fitted, items):
    """Return ``FittedTowers`` in which the given items come first, and their number.

    ``items``: as in `TwoTowerRecommender.set_catalog`.
    """
    query = read_query(fitted.items, items, "items", fitted.schema)
    ids = check_ids(query.ids, "items")
    _check_items(ids, query)
    ids = _as_in_fit(ids, query.codes, fitted.items.ids)
    return with_items_first(fitted, ids, query.codes, query.rows), len(ids)


def _as_in_fit(ids, codes, known):
    """Return ids, an Index (n,), as those of fit, such as 1 for 1.0.

    ``codes`` (n,): their positions among the ``known`` ones, -1 for new ones.
    """
    is_new = codes < 0
    together = known.append(as_type_of(ids[is_new], known, "items"))
    return together[np.where(is_new, len(known) + np.cumsum(is_new) - 1, codes)]


def without_items(fitted, gone):
    """Return a state without the items where ``gone`` (n,), and their events."""
    items, left = without_entities(fitted.items, gone)
    kept = np.flatnonzero(~gone)
    theirs, rows = (fitted.items.rows[np.flatnonzero(of)] for of in (gone, ~gone))
    unused = (theirs.getnnz(axis=0) > 0) & (rows.getnnz(axis=0) == 0)
    sequences = fitted.sequences
    if sequences is not None:
        sequences = sequences.with_items(kept)
    model = fitted.model.without("item", left, unused, rows)
    return replace(
        fitted,
        items=items,
        seen=fitted.seen[:, kept].tocsr(),
        sequences=sequences,
        net=with_model(fitted.net, model),
        stream=fitted.stream.without_items(kept),
    )


def with_new_items(learnt, fitted):
    """Return ``learnt`` with new items behind those of the catalog of ``fitted``.

    Also return where each item (n,) is now.
    """
    n_before, n_now = len(fitted.items), len(learnt.items)
    places = np.arange(n_now)
    if n_now == n_before or n_before == fitted.n_items:
        return learnt, places
    codes = np.append(places[: fitted.n_items], places[n_before:])
    ids, rows = learnt.items.ids[codes], learnt.items.rows[codes]
    places[codes] = np.arange(len(codes))
    places[fitted.n_items : n_before] += n_now - n_before
    return with_items_first(learnt, ids, codes, rows), places


def with_items_first(learnt, ids, codes, rows):
    """Return a state in which given items come first; the others follow in order.

    The others are no longer recommended, but stay in the histories of the users who
    chose them. ``ids`` (n,) and ``rows``, CSR (n, q), describe the first items;
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
    sequences = learnt.sequences
    if sequences is not None:
        sequences = sequences.with_columns(places, len(together))
    stream = learnt.stream.with_items(places, len(together))
    return replace(
        learnt, items=together, seen=seen, sequences=sequences, stream=stream
    )


def _with_columns(matrix, places, n_columns):
    """Return a CSR matrix whose column j is at ``places[j]`` of ``n_columns``."""
    indices = places[matrix.indices].astype(matrix.indices.dtype)
    shape = matrix.shape[0], n_columns
    moved = sparse.csr_matrix((matrix.data.copy(), indices, matrix.indptr), shape)
    moved.sort_indices()
    return moved


def _check_items(ids, query):
    """Raise if there are no items, ids repeat, or unknown items have no features."""
    if len(ids) == 0:
        raise ValueError("items is empty: a catalog needs at least one item.")
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"items must hold each id once, but {len(repeated)} are duplicated: "
            f"{format_ids(repeated)}."
        )
    unknown = ids[query.lacks_information()]
    if len(unknown) and query.described:
        warn(
            f"{len(unknown)} new items have no feature known from fit: "
            f"{format_ids(unknown)}. They share one vector, that of an empty row."
        )
    elif len(unknown):
        raise ValueError(
            f"{not_known(unknown, 'item')}. Pass a table with the features of new "
            "items."
        )
