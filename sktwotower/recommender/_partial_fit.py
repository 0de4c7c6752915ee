"""Enters: a fitted estimator and further events, of known or new users and items.

Leaves: its entities, what was seen and its net, all grown and trained once more.
Next: fitting.py, which keeps them as fitted attributes.
"""

import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_random_state

from sktwotower._tables._events import latest_rows, read_events
from sktwotower._tables._ids import as_type_of, check_ids, positions_of
from sktwotower._tables._sparse import pair_matrix
from sktwotower.features import TowerVectorizer
from sktwotower.features._cells import read_cells
from sktwotower.towers import _net as net
from sktwotower.towers._batches import TrainingSet
from sktwotower.towers._callbacks import (
    monitors_validation,
    schedules,
    takes_impressions,
)

from ._fit import items_with_events, seen_matrix

__all__ = ["learn_more"]

# A few hundred events are a step or two: no room for a rate to rise and fall.
RATE_OF_FIT = 0.3


def learn_more(estimator, X, y, sample_weight):
    """Pass once over further events.

    Gives a namespace of ``users``, ``items``, ``seen`` and ``net``, as `learn` does,
    and ``n_new_items``, which come last. Nothing of the estimator is changed.
    """
    frame, rewards, weights = read_events(estimator, X, y, sample_weight, reset=False)
    users, user_codes, user_places = _grow(estimator._users, frame, estimator.users)
    items, item_codes, item_places = _grow(estimator._items, frame, estimator.items)
    shape = (len(users.ids), len(items.ids))

    def matrix(chosen, values):
        return pair_matrix(
            user_codes[chosen], item_codes[chosen], values[chosen], shape
        )

    positives = matrix(rewards > 0, rewards * weights)
    before = estimator._seen[:-1].copy()
    before.resize(shape)
    seen = seen_matrix((before + positives).tocsr())
    seen.sort_indices()
    pooled = estimator.history is not None
    shown = matrix(rewards == 0, weights)
    used = shown.nnz and takes_impressions(estimator)
    training = TrainingSet(
        users.rows[:-1],
        items.rows[:-1],
        positives,
        history=seen[:-1] if pooled else None,
        impressions=shown if used else None,
        known=before,
    )
    active = items_with_events(seen + sparse.vstack([shown, seen[-1:]]))
    if len(active) < shape[1]:
        training = training.with_items(active)
    trained = _train(estimator, users, items, training, (user_places, item_places))
    return SimpleNamespace(
        users=users,
        items=items,
        seen=seen,
        net=trained,
        n_new_items=shape[1] - len(estimator._items.ids),
    )


def _train(estimator, users, items, training, places):
    once = copy.copy(estimator)
    once.max_epochs, once.early_stopping, once.impression_start = 1, False, 0
    given = dict(estimator.net_params or {})
    once.lr = RATE_OF_FIT * given.pop("lr", estimator.lr)
    once.net_params = given | {"max_epochs": 1}
    once.callbacks = [
        each
        for each in estimator.callbacks or []
        if not monitors_validation([each]) and not schedules([each])
    ]
    seed = check_random_state(estimator.random_state).randint(np.iinfo(np.int32).max)
    with net.seeded(seed, estimator.device):
        module = net.build_module(once, users.rows.shape[1], items.rows.shape[1])
        inputs = zip(places, (users.rows.shape[1], items.rows.shape[1]), strict=True)
        net.take_weights(module, estimator.net_.module_, *inputs)
        return net.train(
            once,
            module,
            estimator.candidate_sampling_,
            estimator.temperature_,
            training,
            validation=None,
            evaluate=None,
            seed=seed,
            schedule=False,
        )


def _grow(entities, frame, table):
    """Return entities that know the ids of events, too, and what events say of them.

    Also gives each event's position (n_events,), and the places (p,) of the feature
    columns of before among those of now.
    """
    grown = copy.copy(entities)
    grown.table = table
    ids = check_ids(
        frame[entities.id_column], f"{entities.side} column {entities.label!r}"
    )
    unknown = positions_of(ids, entities.ids) < 0
    new = ids[unknown].unique().sort_values()
    grown.ids = entities.ids.append(_as_type_of(new, entities))
    codes = grown.ids.get_indexer(ids)
    grown.transformer, places, fresh = _with_ids(entities, ids.unique())
    grown.width += len(fresh)
    changed = np.zeros(len(grown.ids), dtype=bool)
    changed[grown.ids.get_indexer(fresh)] = True
    changed[len(entities.ids) :] = True
    if entities.features:
        changed[codes] = True
    grown.rows = _with_changed(grown, np.flatnonzero(changed), places, frame, codes)
    return grown, codes, places


def _as_type_of(new, entities):
    """Return new ids as type of those of fit; raises ``TypeError`` if they cannot."""
    label = f"{entities.side} column {entities.label!r}"
    return as_type_of(new, entities.ids, label)


def _with_ids(entities, ids):
    """Return the transformer with a column for each id, if it is ours.

    Also gives the places of the columns of before, and the ids that got a column.
    """
    transformer, places = entities.transformer, np.arange(entities.rows.shape[1])
    if not isinstance(transformer, TowerVectorizer):
        return transformer, places, ids[:0]
    transformer = copy.copy(transformer)
    transformer.encoders_, start = [], 0
    cells, _ = read_cells(ids.to_series(), entities.id_column)
    fresh = np.zeros(len(ids), dtype=bool)
    for position, encoder in entities.transformer.encoders_:
        start += len(encoder.names)
        if encoder.kind == "id" and encoder.name == entities.id_column:
            encoder, fresh = encoder.extended(cells)
            places[start:] += fresh.sum()
        transformer.encoders_.append((position, encoder))
    return transformer, places, ids[fresh]


def _with_changed(grown, changed, places, frame, codes):
    """Return feature rows (n + 1, p): those of before, but for those that changed."""
    own = frame[grown.features]
    if grown.features:  # then the changed ones are those of X, all of them
        places_of_codes = np.searchsorted(changed, codes)
        own = latest_rows(own, places_of_codes, len(changed), f"column {grown.label!r}")
    else:
        own = pd.DataFrame(index=range(len(changed)))
    rows = grown.describe_anew(changed, own)
    n, old = len(grown.ids), grown.rows[:-1].tocoo()
    width = rows.shape[1] if len(changed) else old.shape[1]
    before = sparse.csr_matrix(
        (old.data, (old.row, places[old.col])), shape=(n + 1, width), dtype=np.float32
    )
    source = np.arange(n + 1)
    source[changed] = n + 1 + np.arange(len(changed))
    return sparse.vstack([before, rows], format="csr")[source]
