"""The weights from which training starts.

Input: a ``Recipe``, ``Events`` and the ``TrainingSet`` made from them.
Output: a ``TwoTower`` that is not trained yet.
"""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from sktwotower.towers._build import build_module, scale_weights
from sktwotower.towers._dropout import id_columns
from sktwotower.towers._modules import SparseLinear, Tower

from ._auto import has_hidden_layer, has_large_catalog
from ._events import have_events

__all__ = ["new_module", "svd_vectors"]

# Multiplies the initial weights of columns that several rows share, where there are id
# columns as well: training starts from a model of ids only.
SHARED_COLUMN_SCALE = 0.1
# Multiplies all random initial weights if the catalog is large: the vectors of its many
# rare items hardly move, so long random ones would be recommended at random.
LARGE_CATALOG_SCALE = 0.1
# With fewer events a fit takes a second anyway, and the vectors would be noise.
MIN_SVD_EVENTS = 10_000
# Most numbers in the vectors of users and items: the decomposition keeps a few copies.
MAX_SVD_NUMBERS = 100_000_000


def new_module(recipe, events, training, seed):
    """Return a new ``TwoTower``; ``seed``: of the singular vectors, an int."""
    module = _random_module(recipe, events)
    if events.ordered is None and _can_start_from_svd(recipe, module, training):
        width = module.history.weight.shape[1]
        vectors = svd_vectors(training.positives, width, seed)
        rows = training.item_rows
        if recipe.id_dropout == 1:
            vectors[_has_shared_columns(rows)] = 0
        _add_to_ids(module.item_tower.sparse, rows, vectors)
        _add_to_ids(module.history, rows, vectors)
    return module


def _random_module(recipe, events):
    users, items, positives, impressions, _ = events
    n_hidden = recipe.embedding_dim if has_hidden_layer(recipe, events) else 0
    widths = users.rows.shape[1], items.rows.shape[1]
    module = build_module(recipe, *widths, n_hidden)
    start = LARGE_CATALOG_SCALE if has_large_catalog(recipe, events) else 1.0
    # Users without positives are in no batch, items without positives in no history.
    scale_weights(
        recipe,
        module,
        user_tower=start * _scales(recipe, users, have_events(positives, 1)),
        item_tower=start
        * _scales(
            recipe, items, have_events(positives, 0) | have_events(impressions, 0)
        ),
        history=start * _scales(recipe, items, have_events(positives, 0)),
    )
    return module


def _scales(recipe, entities, active):
    """Return the factors (p,) of the initial first-layer weights of each input.

    0 for inputs that none of the ``active`` (n,) rows has, and for ids that are always
    hidden: they are not trained, and random weights would add noise to the vectors of
    users and items. 0.1 for shared columns when there are id columns as well, so that
    training starts from a model of ids only.
    """
    rows = entities.rows[:-1]
    scales = np.ones(rows.shape[1])
    ids = id_columns(rows)
    if ids.any():
        scales[~ids] = SHARED_COLUMN_SCALE
    scales[~have_events(rows[active], axis=0)] = 0
    if recipe.id_dropout == 1:
        scales[ids & have_events(rows[_has_shared_columns(rows)], axis=0)] = 0
    return scales


def _has_shared_columns(rows):
    """Return which rows, CSR (n, p), have more than ids, bool (n,)."""
    return np.diff(rows[:, np.flatnonzero(~id_columns(rows))].indptr) > 0


def _can_start_from_svd(recipe, module, training):
    """Return whether items have vectors of their own, and enough events for them.

    Towers given by the user are not changed: they may be trained already.
    """
    own = recipe.user_tower is None and recipe.item_tower is None
    if not own or not isinstance(module.history, SparseLinear):
        return False
    towers = module.user_tower, module.item_tower
    if any(not isinstance(tower, Tower) or len(tower.layers) for tower in towers):
        return False
    width = module.history.weight.shape[1]
    chosen = training.positives
    return (
        sparse.issparse(chosen)
        and chosen.nnz >= MIN_SVD_EVENTS
        and min(chosen.shape) > 2 * width
        and sum(chosen.shape) * width <= MAX_SVD_NUMBERS
        and id_columns(training.item_rows).any()
    )


def svd_vectors(chosen, width, seed):
    r"""Return vectors of items from a truncated SVD of who chose what.

    Parameters
    ----------
    chosen : CSR matrix of shape (n_users, n_items)
        Weights of events, >= 0.
    width : int
        Length of the vectors, below both numbers of ``chosen.shape``.
    seed : int
        Seed of the randomized algorithm.

    Returns
    -------
    float32 ndarray of shape (n_items, width)
        Rows of :math:`V S^{1/2}` for :math:`D_u^{-1/2} R D_i^{-1/2} \approx U S V^T`,
        with the weights R and the sums D of its rows and columns; scaled to a mean
        length of 1. Items without events have zeros.
    """
    users, items = (np.asarray(chosen.sum(axis=a)).ravel() for a in (1, 0))
    left, right = (sparse.diags(np.maximum(n, 1e-12) ** -0.5) for n in (users, items))
    normalized = sparse.csr_matrix(left @ chosen @ right, dtype=np.float32)
    _, values, vectors = randomized_svd(
        normalized, width, n_iter=2, random_state=seed, flip_sign=False
    )
    vectors = vectors.T * np.sqrt(values)
    lengths = np.linalg.norm(vectors[items > 0], axis=1)
    return (vectors / lengths.mean()).astype(np.float32)


def _add_to_ids(layer, rows, vectors):
    """Add vectors (n, width) to what a layer maps rows (n, p) to, by ids only."""
    ids = sparse.csr_matrix(rows[:, np.flatnonzero(id_columns(rows))])
    squares = np.asarray(ids.multiply(ids).sum(axis=1)).ravel()
    weights = ids.T @ sparse.diags(1 / np.maximum(squares, 1e-12)) @ vectors
    columns = torch.from_numpy(np.flatnonzero(id_columns(rows)))
    with torch.no_grad():
        given = torch.from_numpy(np.asarray(weights, dtype=np.float32))
        layer.weight[columns] += given.to(layer.weight)
