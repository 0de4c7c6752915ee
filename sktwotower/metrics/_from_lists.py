"""Rankings of held-out events by the public methods of any recommender.

Input: a fitted object with ``recommend`` and ``item_ids_``, and held-out events X.
Output: a `HeldOutRanking` of items (n_users, k).
"""

import numpy as np
import pandas as pd

from sktwotower._tables._frames import as_frame
from sktwotower._tables._ids import check_ids, positions_of
from sktwotower._tables._sparse import ones_at
from sktwotower.retrieval._any_recommender import lists_of_any

from ._ranking import HeldOutRanking
from ._truth import held_out_truth


def held_out_by_lists(
    estimator, X, y=None, sample_weight=None, *, n_neighbors, history=None, **asked
):
    """Return the `HeldOutRanking` of an estimator that has no ``rank_held_out``.

    Lists are as long as what their user had in fit, and is left out, makes necessary.
    What that is the method ``seen_items`` says, if there is one. ``asked``:
    ``max_users``, ``random_state`` and ``requests``. The other parameters are those of
    ``rank_held_out``.
    """
    name = type(estimator).__name__
    if history is not None:
        raise ValueError(
            f"history must be None for {name}: only recommenders of this package are "
            "judged by events that fit has not seen. Fit it on these events as well."
        )
    items = check_ids(estimator.item_ids_, f"item_ids_ of {name}")
    exclude_seen = getattr(estimator, "exclude_seen", True)
    known = {}
    if hasattr(estimator, "seen_items"):
        known = seen_by_users(estimator, items)
    columns = {key: getattr(estimator, key, None) for key in ("user_id", "item_id")}
    asked |= {"exclude_seen": exclude_seen, "item_ids": items}
    judged = held_out_truth(X, y, sample_weight, **columns, **known, **asked)
    indices = np.empty((len(judged.users), 0), dtype=np.int64)
    if n_neighbors > 0 and known:
        _, indices = lists_of_any(
            estimator, judged.users, items, n_neighbors, excluded=judged.seen
        )
    elif n_neighbors > 0:
        _, indices = lists_of_any(
            estimator, judged.users, items, n_neighbors, exclude_seen=exclude_seen
        )
    return HeldOutRanking(indices=indices, **judged)


def seen_by_users(estimator, items):
    """Return what users chose in fit, as ``seen_items`` says: two arguments, a dict.

    They are ``user_ids`` (n_users,) and ``seen``, CSR (n_users, n_items), of
    `held_out_truth`. ``items``: the catalog, an Index; other items are left out.
    """
    name = f"What seen_items of {type(estimator).__name__} returned"
    pairs = as_frame(estimator.seen_items(), name)
    users, items_seen = (check_ids(pairs.iloc[:, place], name) for place in (0, 1))
    rows, user_ids = pd.factorize(users)
    positions = positions_of(items_seen, items)
    listed = positions >= 0
    shape = len(user_ids), len(items)
    return {
        "user_ids": user_ids,
        "seen": ones_at(rows[listed], positions[listed], shape),
    }
