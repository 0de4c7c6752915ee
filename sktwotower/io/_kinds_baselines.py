"""What the baseline recommenders consist of.

Input: objects of the room ``baselines``.
Output: their kinds.
"""

import numpy as np

from sktwotower._tables._schema import TableSchema
from sktwotower._tables._sequences import Sequences
from sktwotower.baselines import (
    ClickRateRecommender,
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
)
from sktwotower.baselines._ease import _Linear
from sktwotower.baselines._item_knn import _Similarities
from sktwotower.baselines._matrix_recommender import FittedMatrix, _NoFeatures
from sktwotower.baselines._popularity import _Popularity
from sktwotower.features._entities import Entities

from ._errors import (
    array,
    csr,
    finite,
    instance,
    number,
    optional,
    positions,
    require,
)
from ._kinds import Estimator, Kind

__all__ = ["check_fitted"]

# The parts that the fitted states of all recommenders have.
FITTED_PARTS = {
    "schema": instance(TableSchema),
    "users": instance(Entities),
    "items": instance(Entities),
    "seen": csr(empty_last=True),
    "sequences": optional(instance(Sequences)),
}


def check_fitted(parts, place):
    """Raise unless the parts of a ``Fitted`` are about the same users and items."""
    users, items = parts["users"], parts["items"]
    sides = users.side, items.side
    require(sides == ("user", "item"), place, "users and items")
    shape = len(users) + 1, len(items)
    csr(shape)(parts["seen"], f"{place}.seen")
    require((parts["seen"].data == 1).all(), f"{place}.seen", "a matrix of ones")
    if parts["sequences"] is not None:
        lags = parts["sequences"].lags
        csr(shape, canonical=False)(lags, f"{place}.sequences")
        require(parts["schema"].time is not None, place, "a schema with times")


def permutation(value, place):
    """Check the positions of all items in some order."""
    array("int64", 1)(value, place)
    positions(value, place, len(value))
    require(len(np.unique(value)) == len(value), place, "distinct positions")
    return value


def check_matrix(parts, place):
    """Raise unless the model has scores for exactly the items of the catalog."""
    check_fitted(parts, place)
    model, n = parts["model"], len(parts["items"])
    sizes = [len(parts["popular_first"])]
    if isinstance(model, _Popularity):
        sizes += [len(model.shares), len(model.order)]
    else:
        sizes += model.weights.shape
    require(set(sizes) == {n}, place, f"scores of {n} items")
    ordered = parts["sequences"] is not None
    require(model.reads_lags == ordered, place, "sequences if the model reads lags")


def build_matrix(users, items, **parts):
    """Return a ``FittedMatrix``; ids are those of both sides."""
    ids = users.ids.to_numpy(), items.ids.to_numpy()
    return FittedMatrix(
        users=users, items=items, user_ids=ids[0], item_ids=ids[1], **parts
    )


def square(value, place):
    """Check a matrix of weights (n_items, n_items)."""
    array("float32", 2)(value, place)
    require(value.shape[0] == value.shape[1], place, "as many rows as columns")
    return value


def squared_csr(value, place):
    """Check a sparse matrix of similarities (n_items, n_items)."""
    csr()(finite(value, place), place)
    require(value.shape[0] == value.shape[1], place, "as many rows as columns")
    return value


KINDS = [
    Kind(_NoFeatures, {}),
    Kind(_Linear, {"weights": square}),
    Kind(
        _Similarities,
        {"nearest": squared_csr, "decay": optional(number(0))},
    ),
    Kind(_Popularity, {"shares": array("float32 float64", 1), "order": permutation}),
    Kind(
        FittedMatrix,
        FITTED_PARTS
        | {
            "model": instance(_Linear, _Similarities, _Popularity),
            "popular_first": permutation,
        },
        build=build_matrix,
        check=check_matrix,
    ),
    *(
        Estimator(cls, {"_fitted": instance(FittedMatrix)})
        for cls in (
            ClickRateRecommender,
            EASERecommender,
            ItemKNNRecommender,
            PopularityRecommender,
        )
    ),
]
