"""What requests need of a fitted model: vectors of the catalog, index and fold-in.

Input: ``FittedTowers`` that are trained, and the number of items of the catalog.
Output: the same with ``catalog`` and ``fold_in``.
"""

from dataclasses import replace

import numpy as np

from sktwotower._tables._messages import format_ids
from sktwotower._tables._on_disk import column_counts
from sktwotower.neighbors._catalog_index import Catalog
from sktwotower.neighbors._indexes import build_index
from sktwotower.towers._recipe import recipe_of
from sktwotower.towers.parts import embed_items, embed_users

from ._fold_in import FoldIn, softmax_sample

__all__ = ["IndexRecipe", "served"]

# Number of users for whom the recall of an index is measured.
MAX_SAMPLED_USERS = 500


class IndexRecipe(recipe_of("index")):
    """Parameters of the estimator that configure the search for nearest items."""

    __slots__ = ()


def served(fitted, n_items, index, before=None, changed=None):
    """Return ``FittedTowers`` with what requests need: item vectors, index, fold-in.

    The first ``n_items`` items are the catalog. ``index``: an ``IndexRecipe``;
    ``before``: the previous ``Catalog``, whose index may be updated. ``changed``:
    positions (m,) of the items that are not in it, or may have another vector there;
    the others are at the same positions. None: all are computed.
    """
    vectors = _item_vectors(fitted, n_items, before, changed)
    return replace(
        fitted,
        catalog=_catalog(fitted, vectors, index, before, changed),
        fold_in=_fold_in(fitted, vectors),
    )


def _item_vectors(fitted, n_items, before, changed):
    computed = np.arange(n_items) if changed is None else changed
    vectors = embed_items(fitted.model, fitted.items.rows[computed])
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        ids = fitted.items.ids[computed[~finite]]
        raise ValueError(
            f"The vectors of {len(ids)} items are not finite: {format_ids(ids)}. Lower "
            "lr, or scale or clip the features."
        )
    if changed is None:
        return vectors
    together = np.empty((n_items, vectors.shape[1]), dtype=np.float32)
    together[: len(before.vectors)] = before.vectors
    together[changed] = vectors
    return together


def _catalog(fitted, vectors, index, before, changed):
    def sample():
        users, rng = fitted.users, np.random.default_rng(0)
        n = min(len(users), MAX_SAMPLED_USERS)
        rows = np.sort(rng.choice(len(users), n, replace=False))
        past = None
        if fitted.sees_history:
            past = fitted.seen[rows]
            if fitted.sequences is not None:
                past = fitted.sequences.rows(rows)
        return embed_users(fitted.model, users.rows[rows], past, fitted.items.rows)

    return Catalog(
        vectors,
        *build_index(
            index.neighbors,
            vectors,
            fitted.model.normalize,
            sample,
            index.n_neighbors,
            None if before is None else (before.index, before.index_recall),
            changed,
        ),
    )


def _fold_in(fitted, vectors):
    """Return the ``FoldIn`` of the first part; None if it has none, or without events.

    ``vectors`` (n_items, d): those of the catalog.
    """
    first = fitted.model.first
    if not first.folds_in or fitted.sequences is not None:
        return None
    counts = column_counts(fitted.seen)
    places, weights = softmax_sample(counts)
    if len(places) == 0:  # `forget_items` may leave no event
        return None
    if len(fitted.model.parts) > 1 or places.max() >= len(vectors):
        vectors = embed_items(first, fitted.items.rows[places])
    else:
        vectors = vectors[places]
    return FoldIn(vectors, counts[places], weights, fitted.temperature)
