"""The parameters of an estimator that training reads, as one immutable value.

Input: an estimator with the parameters of `TwoTowerRecommender`.
Output: a ``Recipe``.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["Recipe"]


class Recipe(NamedTuple):
    """Parameters of `TwoTowerRecommender` that training uses, by the same names."""

    history: str | None
    max_history: int
    second_share: float | str
    half_life: object
    user_tower: object
    item_tower: object
    embedding_dim: int | str
    hidden_layer_sizes: tuple
    dropout: float | str
    id_dropout: float
    feature_dropout: float
    temperature: float | str
    normalize: bool
    candidate_sampling: str
    n_negatives: int | str
    sampling_correction: str | None
    impression_weight: float | str
    impression_start: float
    max_epochs: int | str
    batch_size: int | str
    lr: float
    partial_rate: float
    weight_decay: float
    optimizer: str | type
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    n_neighbors: int
    callbacks: list | None
    net_params: dict | None
    device: str
    random_state: object
    warm_start: bool
    verbose: int

    @classmethod
    def of(cls, estimator):
        """Return the recipe of an estimator, without numbers of numpy."""
        return cls._make(_plain(getattr(estimator, name)) for name in cls._fields)

    @property
    def takes_impressions(self):
        """Whether impressions count at any time."""
        return self.impression_weight > 0 and self.impression_start != 1


def _plain(value):
    """Return a number of numpy, as searches try them, as one of Python.

    Torch refuses others, and files tell them apart. Tuples and lists may hold them.
    """
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    is_number = isinstance(value, np.integer | np.floating | np.bool_)
    return value.item() if is_number and value.dtype.kind != "m" else value
