"""What is stated of each parameter of `TwoTowerRecommender`, apart from its meaning.

Input: nothing.
Output: ``PARAMETERS``: values, and which recipes hold it;
``BATCH_PARAMETERS``: the same of those that ``net_params`` may set.
"""

import os
from collections import namedtuple
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from sktwotower._sklearn_compat import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)


class Parameter(NamedTuple):
    """What is stated of a parameter.

    ``recipes``: names of the recipes that hold it. ``values``: those that are allowed,
    as scikit-learn states them; none: it is checked where it is read.
    """

    recipes: tuple = ()
    values: tuple = ()


TABLES, TRAINING, INDEX = ("tables",), ("training",), ("index",)

# Larger ones fit no number of torch: int32, int64, and a product of two in float32.
MAX_SIZE, MAX_BATCH, MAX_RATE = 2**31 - 1, 2**63 - 1, 1e18
COUNT = Interval(Integral, 1, None, closed="left")
SIZE = Interval(Integral, 1, MAX_SIZE, closed="both")
BATCH = Interval(Integral, 1, MAX_BATCH, closed="both")
POSITIVE = Interval(Real, 0, MAX_RATE, closed="right")
NOT_NEGATIVE = Interval(Real, 0, MAX_RATE, closed="both")
N_JOBS = COUNT, Interval(Integral, None, -1, closed="right"), None
SHARE = Interval(Real, 0, 1, closed="both")
SHARE_BELOW_1 = Interval(Real, 0, 1, closed="left")
SHARE_ABOVE_0 = Interval(Real, 0, 1, closed="right")
SHARE_BETWEEN = Interval(Real, 0, 1, closed="neither")
CORRECTIONS = StrOptions({"negatives", "all"})
AUTO = StrOptions({"auto"})
HISTORIES = StrOptions({"auto", "pooled", "recent"})
WAYS_OF_SAMPLING = StrOptions({"auto", "full", "in_batch", "uniform", "mixed"})

# Their values are checked where they are read.
OF_TABLES = (
    "user_id item_id user_features item_features users items user_transformer "
    "item_transformer memory time context context_transformer"
)
PARAMETERS = dict.fromkeys(OF_TABLES.split(), Parameter(TABLES)) | {
    "history": Parameter(TRAINING, (None, HISTORIES)),
    "max_history": Parameter(TRAINING, (SIZE,)),
    "second_share": Parameter(TRAINING, (SHARE_BELOW_1, AUTO)),
    "half_life": Parameter(TRAINING),
    "fold_in": Parameter((), ("boolean",)),
    "user_tower": Parameter(TRAINING),
    "item_tower": Parameter(TRAINING),
    "embedding_dim": Parameter(TRAINING, (SIZE, AUTO)),
    "hidden_layer_sizes": Parameter(TRAINING, (tuple, list)),
    "dropout": Parameter(TRAINING, (SHARE_BELOW_1, AUTO)),
    "id_dropout": Parameter(TRAINING, (SHARE,)),
    "normalize": Parameter(TRAINING, ("boolean",)),
    "temperature": Parameter(TRAINING, (POSITIVE, AUTO)),
    "candidate_sampling": Parameter(TRAINING, (WAYS_OF_SAMPLING,)),
    "impression_weight": Parameter(TRAINING, (NOT_NEGATIVE, AUTO)),
    "impression_start": Parameter(TRAINING, (SHARE,)),
    "cold_item_weight": Parameter(TRAINING, (SHARE_ABOVE_0, AUTO)),
    "max_epochs": Parameter(TRAINING, (COUNT, AUTO)),
    "batch_size": Parameter(TRAINING, (BATCH, AUTO)),
    "lr": Parameter(TRAINING, (NOT_NEGATIVE,)),
    "weight_decay": Parameter(TRAINING, (NOT_NEGATIVE,)),
    "optimizer": Parameter(TRAINING, (str, type)),
    "early_stopping": Parameter(TRAINING, ("boolean",)),
    "validation_fraction": Parameter(TRAINING, (SHARE_BETWEEN,)),
    "n_iter_no_change": Parameter(TRAINING, (COUNT,)),
    "callbacks": Parameter(TRAINING, (list, tuple, None)),
    "net_params": Parameter(TRAINING, (dict, None)),
    "neighbors": Parameter(INDEX),
    "n_neighbors": Parameter(TRAINING + INDEX, (COUNT,)),
    "exclude_seen": Parameter((), ("boolean",)),
    "device": Parameter(TRAINING, (str,)),
    "n_jobs": Parameter((), N_JOBS),
    "random_state": Parameter(TRAINING, ("random_state",)),
    "warm_start": Parameter(TRAINING, ("boolean",)),
    "checkpoint": Parameter((), (str, os.PathLike, None)),
    "gather_users": Parameter(TRAINING, ("boolean",)),
    "verbose": Parameter(TRAINING, ("verbose",)),
}


class BatchParameter(NamedTuple):
    """Default and values of a parameter of batches that no recipe holds."""

    default: object
    values: tuple
    in_validation: bool  # whether it is the same there


# The net calls them ``iterator_train__n_negatives``, and so on.
BATCH_PARAMETERS = {
    "n_negatives": BatchParameter(512, (COUNT,), True),
    "correction": BatchParameter("negatives", (CORRECTIONS, None), True),
    "feature_dropout": BatchParameter(0.5, (SHARE_BELOW_1,), False),
}


def constraints():
    """Return the values of all parameters in the form of scikit-learn's validation."""
    return {n: list(p.values) or "no_validation" for n, p in PARAMETERS.items()}


def check_batch_parameters(net_params):
    """Raise ``ValueError`` for a parameter of batches with a value out of range."""
    values = {
        f"iterator_{use}__{name}": list(each.values)
        for name, each in BATCH_PARAMETERS.items()
        for use in ("train", "valid")
    }
    given = {name: value for name, value in net_params.items() if name in values}
    validate_parameter_constraints(values, given, "net_params")


def recipe_of(recipe):
    """Return the base class of a recipe: a named tuple of its parameters.

    Its class method ``of`` reads them from an estimator, without numbers of numpy.
    """
    names = [name for name, each in PARAMETERS.items() if recipe in each.recipes]

    class Base(namedtuple("Base", names)):
        __slots__ = ()

        @classmethod
        def of(cls, estimator):
            """Return the recipe of an estimator."""
            return cls._make(plain(getattr(estimator, name)) for name in cls._fields)

    return Base


def plain(value):
    """Return a number of numpy, as searches try them, as one of Python.

    Torch refuses others, and files tell them apart. Tuples, lists and dicts may hold
    them.
    """
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {name: plain(each) for name, each in value.items()}
    is_number = isinstance(value, np.integer | np.floating | np.bool_)
    return value.item() if is_number and value.dtype.kind != "m" else value


class Recipe(recipe_of("training")):
    """Parameters of `TwoTowerRecommender` that training uses, by the same names."""

    __slots__ = ()

    @property
    def takes_impressions(self):
        """Whether impressions count at any time."""
        return self.impression_weight > 0 and self.impression_start != 1
