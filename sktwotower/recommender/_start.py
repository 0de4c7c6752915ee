"""The weights from which training starts.

Input: a ``Recipe``, ``Events`` and the ``TrainingSet`` made from them.
Output: a ``TwoTower`` that is not trained yet, and the ``Spectrum`` it starts from.
"""

import numpy as np
from scipy import sparse

from sktwotower.towers._build import build_module, scale_weights
from sktwotower.towers._dropout import id_columns
from sktwotower.towers._filter import add_to_ids
from sktwotower.towers._modules import SparseLinear, Tower

from ._auto import has_hidden_layer, has_large_catalog
from ._events import have_events
from ._spectrum import spectrum_of

__all__ = ["MAX_SVD_NUMBERS", "MIN_SVD_EVENTS", "new_module"]

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


def new_module(recipe, events, training, seed, n_components=0):
    """Return a new ``TwoTower``, and the ``Spectrum`` of events or None.

    ``seed``: of the singular vectors, an int. ``n_components``: how many of them are
    needed besides.
    """
    module, width = _random_module(recipe, events), 0
    if events.ordered is None and _can_start_from_svd(recipe, module, training):
        width = module.history.weight.shape[1]
    size = max(width, n_components)
    spectrum = spectrum_of(training.positives, size, seed) if size else None
    if width:
        vectors, rows = spectrum.start(width), training.item_rows
        if recipe.id_dropout == 1:
            vectors[_has_shared_columns(rows)] = 0
        add_to_ids(module.item_tower.sparse, rows, vectors)
        add_to_ids(module.history, rows, vectors)
    return module, spectrum


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
