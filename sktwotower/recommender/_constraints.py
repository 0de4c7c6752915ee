"""Types and ranges of the parameters of `TwoTowerRecommender`.

Input: nothing.
Output: ``CONSTRAINTS``, a dict in the format of scikit-learn's parameter validation.
"""

import os
from numbers import Integral, Real

from sktwotower._sklearn_compat import Interval, StrOptions

# Parameters with "no_validation" are checked by the code that reads them.
CONSTRAINTS = {
    "user_id": "no_validation",
    "item_id": "no_validation",
    "user_features": "no_validation",
    "item_features": "no_validation",
    "users": "no_validation",
    "items": "no_validation",
    "user_transformer": "no_validation",
    "item_transformer": "no_validation",
    "memory": "no_validation",
    "time": "no_validation",
    "history": [StrOptions({"auto", "pooled", "recent"}), None],
    "max_history": [Interval(Integral, 1, None, closed="left")],
    "second_share": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
    "half_life": "no_validation",
    "fold_in": ["boolean"],
    "user_tower": "no_validation",
    "item_tower": "no_validation",
    "embedding_dim": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "hidden_layer_sizes": [tuple, list],
    "dropout": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
    "id_dropout": [Interval(Real, 0, 1, closed="both")],
    "feature_dropout": [Interval(Real, 0, 1, closed="left")],
    "normalize": ["boolean"],
    "temperature": [
        Interval(Real, 0, None, closed="neither"),
        StrOptions({"auto"}),
    ],
    "candidate_sampling": [
        StrOptions({"auto", "full", "in_batch", "uniform", "mixed"})
    ],
    "n_negatives": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "sampling_correction": [StrOptions({"negatives", "all"}), None],
    "impression_weight": [
        Interval(Real, 0, None, closed="left"),
        StrOptions({"auto"}),
    ],
    "impression_start": [Interval(Real, 0, 1, closed="both")],
    "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "partial_rate": [Interval(Real, 0, None, closed="neither")],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "optimizer": [str, type],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "callbacks": [list, tuple, None],
    "net_params": [dict, None],
    "neighbors": "no_validation",
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "exclude_seen": ["boolean"],
    "device": [str],
    "n_jobs": [
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
        None,
    ],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "checkpoint": [str, os.PathLike, None],
    "verbose": ["verbose"],
}
