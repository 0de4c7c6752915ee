"""What is stated of each parameter of `TwoTowerRecommender`, apart from its meaning.

Input: nothing.
Output: ``RecommenderParameters``: type, default, values, and which recipes hold it;
``BATCH_PARAMETERS``: the same of those that ``net_params`` may set.
"""

from collections import namedtuple
from dataclasses import dataclass, fields
from functools import partial
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sktwotower import _sklearn_compat as compat
from sktwotower._sklearn_compat import (
    COUNT,
    N_JOBS,
    HasMethods,
    Interval,
    StrOptions,
    parameter,
)
from sktwotower._tables._reward_scale import SCALES
from sktwotower._tables._time_units import SIZES, TIME_UNITS, WORDS

# Larger ones fit no number of torch: int32, int64, and a product of two in float32.
MAX_SIZE = 2**31 - 1
MAX_BATCH = 2**63 - 1
MAX_RATE = 1e18
SIZE = Interval(Integral, 1, MAX_SIZE, closed="both")
BATCH = Interval(Integral, 1, MAX_BATCH, closed="both")
POSITIVE = Interval(Real, 0, MAX_RATE, closed="right")
NOT_NEGATIVE = Interval(Real, 0, MAX_RATE, closed="both")
SHARE = Interval(Real, 0, 1, closed="both")
SHARE_BELOW_1 = Interval(Real, 0, 1, closed="left")
CORRECTIONS = StrOptions({"negatives", "all"})
AUTO = StrOptions({"auto"})
WAYS_OF_WEIGHING = StrOptions({"auto", "shown"})
REWARD_SCALES = StrOptions({"auto", *SCALES})
HISTORIES = StrOptions({"auto", "pooled", "recent"})
WAYS_OF_KEEPING_BACK = StrOptions({"auto", "latest", "last"})
WAYS_OF_SAMPLING = StrOptions({"auto", "full", "in_batch", "uniform", "mixed"})

# The recipes that hold a parameter.
of_tables = partial(parameter, recipes=("tables",))
of_training = partial(parameter, recipes=("training",))


@dataclass(kw_only=True, eq=False, repr=False)
class RecommenderParameters:
    """The parameters of `TwoTowerRecommender`, which its documentation describes."""

    _parameter_constraints = compat.ParameterConstraints()
    user_id: str | int | None = of_tables(None)
    item_id: str | int | None = of_tables(None)
    user_features: Any = of_tables(None)
    item_features: Any = of_tables(None)
    users: Any = of_tables(None)
    items: Any = of_tables(None)
    user_transformer: Any = of_tables(None)
    item_transformer: Any = of_tables(None)
    memory: Any = of_tables(None)
    time: str | int | None = of_tables(None)
    time_unit: str | None = of_tables("auto", StrOptions(TIME_UNITS), None)
    context: Any = of_tables("auto")
    context_transformer: Any = of_tables(None)
    history: Any = of_training("auto", None, HISTORIES, HasMethods(["module"]))
    sparse_parts: str | None = of_training("auto", AUTO, None)
    validation_events: str | None = of_training("auto", None, WAYS_OF_KEEPING_BACK)
    user_tower: Any = of_training(None)
    item_tower: Any = of_training(None)
    embedding_dim: int | str = of_training("auto", SIZE, AUTO)
    hidden_layer_sizes: tuple[int, ...] = of_training((), tuple, list)
    dropout: float | str = of_training("auto", SHARE_BELOW_1, AUTO)
    id_dropout: float = of_training(0.5, SHARE)
    normalize: bool = of_training(True, "boolean")
    temperature: float | str = of_training("auto", POSITIVE, AUTO)
    candidate_sampling: str = of_training("auto", WAYS_OF_SAMPLING)
    reward_scale: str | None = of_training(None, REWARD_SCALES, None)
    impression_weight: float | str = of_training("auto", NOT_NEGATIVE, WAYS_OF_WEIGHING)
    impression_start: float = of_training(0.5, SHARE)
    cold_item_weight: float | str = of_training("auto", compat.UP_TO_1, AUTO)
    max_epochs: int | str = of_training("auto", COUNT, AUTO)
    batch_size: int | str = of_training("auto", BATCH, AUTO)
    lr: float = of_training(0.01, NOT_NEGATIVE)
    weight_decay: float = of_training(0.01, NOT_NEGATIVE)
    optimizer: str | type = of_training("rowwiseadam", str, type)
    early_stopping: bool = of_training(False, "boolean")
    validation_fraction: float = of_training(0.1, compat.BETWEEN_0_AND_1)
    n_iter_no_change: int = of_training(5, COUNT)
    callbacks: list | None = of_training(None, list, tuple, None)
    net_params: dict | None = of_training(None, dict, None)
    neighbors: Any = parameter("auto", recipes=("index",))
    n_neighbors: int = parameter(10, COUNT, recipes=("training", "index"))
    exclude_seen: bool = of_training(True, "boolean")
    device: str = of_training("cpu", str)
    n_jobs: int | None = parameter(None, *N_JOBS)
    random_state: Any = of_training(None, "random_state")
    warm_start: bool = of_training(False, "boolean")
    checkpoint: str | PathLike | None = parameter(None, str, PathLike, None)
    verbose: int | str = of_training("auto", "verbose", AUTO)


# Errors of Python about its arguments have this name.
RecommenderParameters.__init__.__qualname__ = "TwoTowerRecommender.__init__"


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
    "user_power": BatchParameter(None, (SHARE, None), False),
}


# The same of arguments of the net itself; it checks the others.
NET_ARGUMENTS = {
    "lr": [NOT_NEGATIVE],
    "batch_size": [BATCH],
    "max_epochs": [COUNT],
    "optimizer": [callable],
    "iterator_train": [callable],
    "iterator_valid": [callable],
    "iterator_train__shuffle": ["boolean"],
    "criterion__temperature": [POSITIVE],
    "train_split": [callable, None],
}
# The parameters that say the same as an argument of the net, or of its batches.
OF_NET = {"callbacks": "callbacks", "device": "device", "optimizer__lr": "lr"}
OF_BATCHES = {"history_dropout": "dropout", "seed": "random_state"}
SAME_NAMES = "batch_size", "candidate_sampling", "device", "id_dropout"
OF_BATCHES |= {name: name for name in SAME_NAMES}


def check_net_arguments(net_params):
    """Raise ``ValueError`` for an argument of a net or batches that is out of range."""
    values = dict(NET_ARGUMENTS)
    for name, parameter_of_batches in BATCH_PARAMETERS.items():
        for use in ("train", "valid"):
            values[f"iterator_{use}__{name}"] = list(parameter_of_batches.values)
    given = {name: value for name, value in net_params.items() if name in values}
    compat.validate_parameter_constraints(values, given, "net_params")


def recipe_of(recipe, further=()):
    """Return the base class of a recipe: a named tuple of its parameters.

    Its class method ``of`` reads them from an estimator, without numbers of numpy.
    ``further``: names of fields that are no parameters of the estimator.
    """
    names = []
    for known in fields(RecommenderParameters):
        if recipe in known.metadata.get("recipes", ()):
            names.append(known.name)

    class Base(namedtuple("Base", [*names, *further])):
        @classmethod
        def of(cls, estimator, **given):
            """Return the recipe of an estimator; ``given``: fields that it lacks."""
            values = {name: plain(getattr(estimator, name)) for name in names}
            return cls(**(values | given))

    return Base


def plain(value):
    """Return a number of numpy, as searches try them, as one of Python.

    Torch refuses others, and files tell them apart. Tuples, lists and dicts may hold
    them.
    """
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {name: plain(entry) for name, entry in value.items()}
    is_number = isinstance(value, np.integer | np.floating | np.bool_)
    if is_number and value.dtype.kind != "m":
        return value.item()
    return value


# What a recipe knows of a history, which is an object there.
OF_HISTORY = ("max_history", "second_share", "half_life", "popularity_half_life")


class Recipe(recipe_of("training", OF_HISTORY)):
    """Parameters of `TwoTowerRecommender` that training uses, by the same names.

    Those of its ``history`` are fields of their own, as `fit` replaces "auto" in them.
    ``max_history`` is the number of a user's latest events that are learnt.
    """

    @property
    def takes_impressions(self):
        """Whether impressions count at any time."""
        return self.impression_weight > 0 and self.impression_start != 1

    def in_time_unit(self, unit):
        """Return the recipe with durations for half-lives that count in a unit.

        ``unit``: in which the times of fit count from 1970 on. None: they do not.
        """
        if unit is None:
            return self
        changed = {}
        for name in ("half_life", "popularity_half_life"):
            value = getattr(self, name)
            is_number = isinstance(value, Real)
            if not is_number or isinstance(value, bool | np.timedelta64):
                continue
            try:
                duration = pd.Timedelta(max(1, round(value * SIZES[unit])), "ns")
            except (ValueError, OverflowError) as error:
                raise ValueError(
                    f"{name} must be a duration of at most 292 years, and times are "
                    f"{WORDS[unit]}. Got {value!r}."
                ) from error
            changed[name] = duration
        return self._replace(**changed)
