"""The weights from which training starts.

Input: a ``Plan``, and the ``TrainingSet`` made of its events.
Output: `TwoTowers` that are not trained yet.
"""

import numpy as np
import torch
from scipy import sparse
from scipy.linalg import orthogonal_procrustes
from sklearn.utils.extmath import randomized_svd

from sktwotower._tables._sparse import have_entries, id_columns
from sktwotower.towers import _auto as auto
from sktwotower.towers.batches._dropout import features_worth
from sktwotower.towers.processes._group import rank, summed

from ._context_layer import scale_of
from ._tower import Tower

# Multiplies the initial weights of columns that several rows share, where there are id
# columns as well: training starts from a model of ids only.
SHARED_COLUMN_SCALE = 0.1
# Shared columns of items start from their singular vectors, and their steps are
# multiplied by the rate, if the median column has fewer events. Words of articles have
# 32: lists contain more of the withheld ones. Tags of artists have 169: lists contained
# fewer rare artists. With 64 numbers, not 256, training is better without this start.
# The rate .03 is better than .1 for withheld articles, and for known ones as well.
FEW_EVENTS = 60
MIN_WIDTH = 256
SHARED_COLUMN_RATE = 0.03
# Multiplies all random initial weights if the catalog is large: the vectors of its many
# rare items hardly move, so long random ones would be recommended at random.
LARGE_CATALOG_SCALE = 0.1
# In a short fit, shared columns start from a regression on singular vectors. A column
# is believed half if its squares add up to RIDGE, as those of a tag of ten items. After
# three steps the result is that of many. RIDGE_BLOCK numbers of all vectors are
# regressed at once, to save memory.
RIDGE = 10.0
RIDGE_STEPS = 3
RIDGE_BLOCK = 64
TINY = 1e-30
# Most numbers in the vectors of users and items: the decomposition keeps a few copies.
MAX_SVD_NUMBERS = 100_000_000


def start_weights(kind, plan, training, spectrum):
    """Return new `TwoTowers`, random or from singular vectors of the events.

    The parameters are those of `Part.start`, and ``kind``, the class.
    """
    recipe = plan.recipe
    events = plan.events
    owned = dict.fromkeys(("user", "item", "context"), slice(None))
    if plan.divisions is not None:  # the columns whose weights this process holds
        owned = {}
        for side, division in plan.divisions.items():
            owned[side] = division.of(rank())
    part = _random_part(kind, recipe, events, owned)
    if plan.divisions is not None:
        part.divisions = plan.divisions
    if part.context is not None:
        n_steps = recipe.max_epochs * training.n_batches(recipe.batch_size)
        part.context.scale = scale_of(n_steps)
        part.context.shares = events.contexts.shares
    if _can_start_from_svd(part, training):
        _start_from_svd(part, recipe, events, training, spectrum, owned["item"])
    return part


def sizes_of(recipe, events, owned=None):
    """Return the sizes that `TwoTowers.build` takes, of the columns that are ``owned``.

    None: all columns of all sides.
    """
    widths = {"user": events.users.rows.shape[1], "item": events.items.rows.shape[1]}
    if events.contexts is not None:
        widths["context"] = events.contexts.width
    for side, n_columns in widths.items():
        is_given = getattr(recipe, f"{side}_tower", None) is not None
        if owned is not None and not is_given:  # a given tower takes whole rows
            widths[side] = len(np.arange(n_columns)[owned[side]])
    n_hidden = 0
    if auto.has_hidden_layer(recipe, events):
        n_hidden = recipe.embedding_dim
    return widths["user"], widths["item"], n_hidden, widths.get("context")


def _random_part(kind, recipe, events, owned):
    """Return new towers for the columns of each side that are ``owned``, a dict."""
    part = kind.build(recipe, *sizes_of(recipe, events, owned))
    n_user, n_item, _, n_context = sizes_of(recipe, events)
    widths = {"user": n_user, "item": n_item, "context": n_context}

    # Users without positives are in no batch, items without positives in no history.
    has_chosen = summed(have_entries(events.positives, 1)) > 0
    is_chosen = summed(have_entries(events.positives, 0)) > 0
    is_shown = summed(have_entries(events.impressions, 0)) > 0
    active = {
        "user_tower": (events.users, has_chosen),
        "item_tower": (events.items, is_chosen | is_shown),
        "history": (events.items, is_chosen),
    }
    scale = 1.0
    if auto.has_large_catalog(recipe, events):
        scale = LARGE_CATALOG_SCALE
    with torch.no_grad():
        for name, side in part.tables.items():
            owner = name.partition(".")[0]
            weight = part.get_submodule(name).weight
            if len(weight) == widths[side]:
                weight.data = weight.data[owned[side]]
            if side == "context":
                continue  # its weights are zero
            # Towers given by the user are not changed: they may be trained already.
            if owner == "history" or getattr(recipe, owner, None) is None:
                factors = scale * _scales(recipe, *active[owner])
                factors = torch.from_numpy(factors[owned[side]])
                weight *= factors[:, None].to(weight)
    return part


def _scales(recipe, entities, is_active):
    """Return the factors (p,) of the initial first-layer weights of each input.

    0 for inputs that none of the ``active`` (n,) rows has, and for ids that are always
    hidden: they are not trained, and random weights would add noise to the vectors of
    users and items. 0.1 for shared columns when there are id columns as well, so that
    training starts from a model of ids only.
    """
    rows = entities.rows[:-1]
    is_id = id_columns(rows)
    scales = np.ones(rows.shape[1])
    if is_id.any():
        scales[~is_id] = SHARED_COLUMN_SCALE
    scales[~have_entries(rows[is_active], axis=0)] = 0
    if recipe.id_dropout == 1:
        described = rows[_has_shared_columns(rows)]
        scales[is_id & have_entries(described, axis=0)] = 0
    return scales


def _has_shared_columns(rows):
    """Return which rows, CSR (n, p), have more than ids, bool (n,)."""
    shared = np.flatnonzero(~id_columns(rows))
    return np.diff(rows[:, shared].indptr) > 0


def _can_start_from_svd(part, training):
    """Return whether items have vectors of their own, and are enough for them.

    Towers given by the user are not changed: they may be trained already.
    """
    if part.history is None:
        return False
    for tower in (part.user_tower, part.item_tower):
        if not isinstance(tower, Tower) or not tower.is_linear:
            return False
    chosen = training.positives
    if not sparse.issparse(chosen):
        return False
    width = part.history.table.weight.shape[1]
    n_users, n_items = chosen.shape
    if min(n_users, n_items) <= 2 * width:
        return False
    if (n_users + n_items) * width > MAX_SVD_NUMBERS:
        return False
    return id_columns(training.item_rows).any()


def _start_from_svd(part, recipe, events, training, spectrum, owned):
    """Let ids of items, in the past and as candidates, start from singular vectors.

    ``spectrum`` returns a ``Spectrum`` for a width; ``owned``: the columns of the item
    side that this process holds.
    """
    rows = training.item_rows
    table = part.history.table
    width = table.weight.shape[1]
    vectors = spectrum(width).start(width)
    shortness = _shortness(recipe, events)
    # A step turns longer vectors by less: in fewer steps more of them is kept.
    vectors *= shortness**0.5
    # Those of the past are taken away while both tables are tied.
    item_vectors = vectors.copy()
    if training.ties_items:
        item_vectors = 2 * vectors

    # The longer the vectors of ids, the less do shared columns learn next to them, and
    # new items have nothing else. What the missing epochs would have taught them is
    # taken from the vectors of ids, so that items start at the same place. More of it
    # is kept as well, by shorter steps.
    is_shared = have_entries(rows, axis=0) & ~id_columns(rows)
    id_vectors = item_vectors
    if shortness > 1 and 0 < is_shared.sum() * width <= MAX_SVD_NUMBERS:
        shared = sparse.csr_matrix(rows[:, np.flatnonzero(is_shared)])
        shared_weights = _predicting(shared, item_vectors) * (1 - 1 / shortness)
        predicted = shared @ shared_weights
        predicted[~item_vectors.any(axis=1)] = 0  # items without events stay there
        id_vectors = item_vectors - predicted
        layer = part.item_tower.sparse
        _add_to_columns(layer, is_shared, shared_weights, owned)
        rates = np.where(is_shared, shortness**-0.5, 1.0)
        layer.weight.rates = torch.tensor(rates[owned])

    if recipe.id_dropout == 1:
        is_hidden = _has_shared_columns(rows)
        vectors[is_hidden] = 0
        id_vectors[is_hidden] = 0
    add_to_ids(part.item_tower.sparse, rows, id_vectors, owned)
    add_to_ids(table, rows, vectors, owned)
    if not recipe.history.sees_order:
        _start_shared(part, training, vectors, owned)


def _shortness(recipe, events):
    """Return how many times as many epochs are usual, at least 1.

    It is 1 without ``normalize``: lengths of vectors then say something.
    """
    if not recipe.normalize:
        return 1.0
    usual = auto.values_of_kind(recipe._replace(max_epochs="auto"), events)
    return max(1.0, usual.max_epochs / recipe.max_epochs)


def _predicting(features, vectors):
    """Return weights (m, width) of features that predict the vectors of items.

    ``features``, CSR (n, m), and ``vectors`` (n, width) are those of items. It is a
    ridge regression on those that have a vector other than zero, by a few steps of
    conjugate gradients.
    """
    has_vector = vectors.any(axis=1)
    features = features[np.flatnonzero(has_vector)]
    targets = vectors[has_vector]
    transposed = features.T.tocsr()
    width = vectors.shape[1]
    weights = np.zeros((features.shape[1], width), dtype=np.float32)
    for start in range(0, width, RIDGE_BLOCK):
        block = slice(start, start + RIDGE_BLOCK)
        weights[:, block] = _ridge(features, transposed, targets[:, block])
    return weights


def _ridge(features, transposed, targets):
    """Return weights (m, d) for features, CSR (n, m), and targets (n, d).

    ``transposed``: the features as CSR (m, n). Conjugate gradients, preconditioned by
    the diagonal.
    """
    squares = np.asarray(features.multiply(features).sum(axis=0)).reshape(-1, 1)
    diagonal = squares.astype(np.float32) + RIDGE
    weights = np.zeros((features.shape[1], targets.shape[1]), dtype=np.float32)
    residual = transposed @ targets
    direction = residual / diagonal
    energy = (residual * direction).sum(axis=0)
    for _ in range(RIDGE_STEPS):
        image = transposed @ (features @ direction) + RIDGE * direction
        step = energy / np.maximum((direction * image).sum(axis=0), TINY)
        weights += step * direction
        residual = residual - step * image
        scaled = residual / diagonal
        energy_before = energy
        energy = (residual * scaled).sum(axis=0)
        direction = scaled + energy / np.maximum(energy_before, TINY) * direction
    return weights


def _start_shared(part, training, vectors, owned):
    """Let tables of items start from singular vectors of what their rows share.

    They are turned to the ``vectors`` (n_items, width) of ids. Later steps change them
    slowly. Nothing is done unless the features say much, and few events teach each.
    """
    rows = training.item_rows
    width = vectors.shape[1]
    is_shared = have_entries(rows, axis=0) & ~id_columns(rows)
    if not MIN_WIDTH <= width < is_shared.sum():
        return
    shared = sparse.csr_matrix(rows[:, np.flatnonzero(is_shared)])
    n_events = shared.astype(bool).T @ training.n_events(axis=0)
    says_little = summed(features_worth(training.positives, rows) < 1)
    if says_little or np.median(n_events) >= FEW_EVENTS:
        return
    _, _, directions = randomized_svd(shared, width, random_state=0)
    weights = directions.T
    projected = shared @ weights
    turn, _ = orthogonal_procrustes(projected, vectors)
    mean_length = np.linalg.norm(projected, axis=1).mean()
    weights = weights @ turn / mean_length
    rates = np.where(is_shared, SHARED_COLUMN_RATE, 1.0)
    rates = torch.tensor(rates[owned])
    for layer in (part.item_tower.sparse, part.history.table):
        _add_to_columns(layer, is_shared, weights, owned)
        layer.weight.rates = rates


def add_to_ids(layer, rows, vectors, owned=slice(None)):
    """Add vectors (n, width) to what a layer maps rows (n, p) to, by ids only.

    ``owned``: the columns that the layer has.
    """
    is_id = id_columns(rows)
    ids = sparse.csr_matrix(rows[:, np.flatnonzero(is_id)])
    squares = np.asarray(ids.multiply(ids).sum(axis=1)).ravel()
    weights = ids.T @ sparse.diags(1 / np.maximum(squares, 1e-12)) @ vectors
    _add_to_columns(layer, is_id, weights, owned)


def _add_to_columns(layer, is_chosen, weights, owned):
    """Add weights (m, width) to those of the m chosen columns (p,) of a layer."""
    columns = torch.from_numpy(np.flatnonzero(is_chosen[owned]))
    numbers = np.cumsum(is_chosen) - 1  # of chosen columns, among these
    numbers = numbers[owned][columns]
    added = np.asarray(weights[numbers], dtype=np.float32)
    with torch.no_grad():
        layer.weight[columns] += torch.from_numpy(added).to(layer.weight)
