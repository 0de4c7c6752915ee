"""Enters: an interaction table X (n_events, n_columns) with its outcomes.

Leaves: entities, the matrix of what was seen, a trained net and item vectors.
Next: fitting.py, which keeps them as fitted attributes.
"""

from numbers import Integral
from types import SimpleNamespace

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_random_state

from sktwotower._tables._columns import Columns
from sktwotower._tables._events import read_events
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import pair_matrix
from sktwotower.features._caching import in_cache
from sktwotower.features._entities import Entities
from sktwotower.neighbors._indexes import check_index
from sktwotower.towers import _net as net
from sktwotower.towers._batches import TrainingSet
from sktwotower.towers._callbacks import monitors_validation, takes_impressions
from sktwotower.towers._dropout import id_columns

from ._validation_recall import ValidationRecall, hold_out

__all__ = ["items_with_events", "learn", "seen_matrix"]

# Up to this many items every item is a candidate for every user, unless their features
# are so many that the vectors of all items take longer than the rest of a step.
FULL_SOFTMAX_ITEMS = 50_000
FULL_SOFTMAX_ENTRIES = 250_000
START_OF_FEATURES = 0.1


def learn(estimator, X, y, sample_weight):
    """Learn what the estimator's parameters ask for.

    Gives a namespace of ``users`` and ``items`` (fitted ``Entities``), ``seen`` (CSR of
    shape (n_users + 1, n_items), nonzero = chosen; the last, empty row stands for
    unknown users), ``net``, ``candidate_sampling`` and ``item_embeddings``
    (n_items, d). Of the estimator only ``n_features_in_`` and ``feature_names_in_``
    are set.
    """
    _check_values(estimator)
    frame, rewards, weights = read_events(estimator, X, y, sample_weight, reset=True)
    users, items = _entities(estimator, frame)
    user_codes = users.fit(frame, estimator.memory)
    item_codes = items.fit(frame, estimator.memory)
    shape = (len(users.ids), len(items.ids))

    def matrix(chosen, values):
        return pair_matrix(
            user_codes[chosen], item_codes[chosen], values[chosen], shape
        )

    positives = matrix(rewards > 0, rewards * weights)
    impressions = matrix(rewards == 0, weights)
    n_active = len(items_with_events(positives + impressions))
    _check_catalog(n_active, shape[0], len(frame))
    _check_negatives(estimator, positives, n_active)
    return _train(estimator, users, items, positives, impressions)


def _check_values(estimator):
    """Check what a table of types and ranges cannot say."""
    sizes = estimator.hidden_layer_sizes
    if any(isinstance(s, bool) or not isinstance(s, Integral) or s < 1 for s in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be a tuple of ints >= 1. Got {sizes!r}."
        )
    for callback in estimator.callbacks or []:
        instance = callback[-1] if isinstance(callback, tuple) else callback
        if not hasattr(instance, "on_train_begin"):
            raise TypeError(
                "callbacks must be skorch callbacks, or (name, callback) pairs. Got "
                f"{callback!r}."
            )
    in_cache(estimator.memory)
    net.optimizer_class(estimator.optimizer)
    if "callbacks" in (estimator.net_params or {}):
        raise ValueError("Give skorch callbacks as callbacks=, not in net_params.")
    check_index(estimator.neighbors, estimator.normalize, estimator.neighbors_params)
    try:
        torch.empty(0, device=estimator.device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={estimator.device!r} cannot be used here: {error}"
        ) from None


def _entities(estimator, frame):
    columns = Columns(frame, estimator)
    users = Entities(
        "user",
        columns.user,
        columns.labels[0],
        columns.user_features,
        estimator.users,
        estimator.user_transformer,
    )
    items = Entities(
        "item",
        columns.item,
        columns.labels[1],
        columns.item_features,
        estimator.items,
        estimator.item_transformer,
    )
    return users, items


def _check_catalog(n_active, n_users, n_events):
    if n_active < 2:
        raise ValueError(
            f"X holds one item only (n_samples={n_events}, n_users={n_users}), so "
            "there is nothing to choose between: events of at least 2 items are "
            "required. Rows with y = 0, of what was shown and not chosen, count."
        )


def _check_negatives(estimator, positives, n_active):
    """Check that anybody has a choice: without negatives every loss is zero."""
    n_chosen = np.diff(positives.indptr)
    n_users = (n_chosen > 0).sum()
    if n_chosen[n_chosen > 0].min() == n_active:
        message = (
            f"Nothing can be learnt: all {n_active} items of X were chosen by all "
            f"users (n_users={n_users}), so there are no negatives. Give events of "
            "more users and items, or rows with y = 0."
        )
        if n_users == 1:
            raise ValueError(message)
        warn(message)
    n_together = min(estimator.batch_size, n_users)
    if estimator.candidate_sampling == "in_batch" and n_together < 2:
        raise ValueError(
            "candidate_sampling='in_batch' takes the negatives of a user from the "
            f"others in the batch, but a batch holds {n_together} user. Raise "
            "batch_size, or take 'full' or 'mixed'."
        )


def _train(estimator, users, items, positives, impressions):
    rng = check_random_state(estimator.random_state)
    seed = rng.randint(np.iinfo(np.int32).max)
    sampling = estimator.candidate_sampling
    if sampling == "auto":
        small = positives.shape[1] <= FULL_SOFTMAX_ITEMS
        small = small and items.rows.nnz <= FULL_SOFTMAX_ENTRIES
        sampling = "full" if small else "mixed"
    sets = _training_sets(estimator, users, items, positives, impressions, rng)
    with net.seeded(seed, estimator.device):
        module = _build(estimator, users, items, positives, impressions)
        trained = net.train(
            estimator, module, sampling, _temperature(estimator, positives), *sets, seed
        )
    return SimpleNamespace(
        users=users,
        items=items,
        seen=seen_matrix(positives),
        net=trained,
        candidate_sampling=sampling,
        item_embeddings=_item_embeddings(trained, items),
    )


def _temperature(estimator, positives):
    """Return the temperature; "auto": what suits a catalog of that many items.

    The fit through the best of several values on the validation parts of six data sets;
    learning it by the training loss ends far too cold.
    """
    if estimator.temperature != "auto":
        return estimator.temperature
    n_items = len(np.unique(positives.indices))
    return float(np.clip(1.05 * n_items**-0.25, 0.05, 0.2))


def _training_sets(estimator, users, items, positives, impressions, rng):
    """Return what to train on and, where asked for, what to validate with."""
    rows = {"user_rows": users.rows[:-1], "item_rows": items.rows[:-1]}
    fitted, validation, evaluate = positives, None, None
    pooled = estimator.history is not None
    used = impressions.nnz and takes_impressions(estimator)
    plateau = used and estimator.impression_start == "plateau"
    validated = estimator.early_stopping or plateau
    if validated or monitors_validation(estimator.callbacks):
        fitted, held = hold_out(positives, estimator.validation_fraction, rng)
        past = fitted if pooled else None
        validation = TrainingSet(**rows, positives=held, history=past, known=fitted)
        evaluate = ValidationRecall(estimator, users, items, fitted, held, rng)
    training = TrainingSet(
        **rows,
        positives=fitted,
        history=fitted if pooled else None,
        impressions=impressions if used else None,
    )
    active = items_with_events(positives + impressions)
    if len(active) < positives.shape[1]:
        training = training.with_items(active)
        validation = validation and validation.with_items(active)
    return training, validation, evaluate


def items_with_events(events):
    """Return the positions (m,) of the items that a CSR matrix holds an event of.

    What nobody has been shown is neither liked nor disliked: it is no negative.
    """
    return np.flatnonzero(_have_events(events, axis=0))


def _have_events(matrix, axis):
    """Return which columns (axis 0) or rows (axis 1) of a CSR matrix hold an entry."""
    return np.asarray(matrix.getnnz(axis=axis)) > 0


def _scales(entities, active):
    """Return what the first weight of each input (p,) is multiplied by.

    Zero for an input that none of the ``active`` (n,) has: what is not learnt would
    stay a random number, noise in the vectors of new users and items. A tenth for one
    that several share, if there are ids beside: a model of ids to begin with, which
    features have to improve.
    """
    rows = entities.rows[:-1]
    scales = np.ones(rows.shape[1])
    ids = id_columns(rows)
    if ids.any():
        scales[~ids] = START_OF_FEATURES
    scales[~_have_events(rows[active], axis=0)] = 0
    return scales


def _build(estimator, users, items, positives, impressions):
    module = net.build_module(estimator, users.rows.shape[1], items.rows.shape[1])

    # Who chose nothing is in no batch, and what nobody chose in no history.
    net.scale_weights(
        estimator,
        module,
        user_tower=_scales(users, _have_events(positives, 1)),
        item_tower=_scales(items, _have_events(positives + impressions, 0)),
        history=_scales(items, _have_events(positives, 0)),
    )
    if estimator.warm_start and hasattr(estimator, "net_"):
        state = estimator.net_.module_.state_dict()
        shapes = {name: value.shape for name, value in state.items()}
        fitted = estimator._users.ids, estimator._items.ids
        same = all(map(np.array_equal, fitted, (users.ids, items.ids)))
        if not same or shapes != {n: v.shape for n, v in module.state_dict().items()}:
            raise ValueError(
                "warm_start=True needs the users, items, features and tower sizes of "
                "the fit before. Fit with warm_start=False to start anew."
            )
        module.load_state_dict(state)
    return module


def seen_matrix(positives):
    """Return ones (n_users + 1, n_items) for positives; the last row is empty."""
    seen = positives.copy()
    seen.data[:] = 1
    empty = sparse.csr_matrix((1, seen.shape[1]), dtype=np.float32)
    return sparse.vstack([seen, empty], format="csr")


def _item_embeddings(trained, items):
    vectors = net.embed_items(trained.module_, items.rows[:-1])
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"The vectors of {int((~finite).sum())} items are not finite, that of "
            f"{items.ids[~finite][0]!r} the first. Lower lr, or scale the features."
        )
    return vectors
