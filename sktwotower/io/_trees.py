"""The default ranker's trees as arrays.

Input: a fitted `HistGradientBoostingClassifier` of two classes, or its arrays.
Output: the other one of both.
"""

import numpy as np

from sktwotower._records._checks import (
    array,
    finite,
    integer,
    number,
    positions,
    refuse,
    require,
)
from sktwotower._sklearn_compat import boosted_trees_of, with_boosted_trees
from sktwotower.two_stage._ranker import default_ranker

__all__ = ["TreesCodec"]

# Fields of a node, by the dtype of the array that holds them; others are of categories,
# which the ranker's features are not.
WHOLE = (
    "count",
    "feature_idx",
    "missing_go_to_left",
    "left",
    "right",
    "depth",
    "is_leaf",
    "bin_threshold",
)
REAL = "value", "num_threshold", "gain"
# The largest value of each field in scikit-learn.
LIMITS = {"missing_go_to_left": 1, "is_leaf": 1, "bin_threshold": 255}
MAX_FEATURES = 100_000

CHECKS = {
    "random_state": integer(0, 2**32 - 1),
    "n_features": integer(1, MAX_FEATURES),
    "baseline": number(),
    "sizes": array("int64", 1),
    "whole": array("int64", 2),
    "real": array("float64", 2),
}


class TreesCodec:
    """How the default ranker is written and read."""

    @staticmethod
    def write(classifier, writer, place):
        """Return what JSON holds for a fitted classifier."""
        trees, baseline = boosted_trees_of(classifier)
        nodes = np.concatenate(trees)
        parts = {
            "random_state": int(classifier.random_state),
            "n_features": int(classifier.n_features_in_),
            "baseline": baseline,
            "sizes": np.array([len(each) for each in trees]),
            "whole": np.stack([nodes[n].astype(np.int64) for n in WHOLE], axis=1),
            "real": np.stack([nodes[n].astype(float) for n in REAL], axis=1),
        }
        return writer.write_parts(parts, place)

    @staticmethod
    def read(spec, reader, place):
        """Return the classifier whose arrays JSON holds."""
        if type(spec) is not dict or set(spec) != set(CHECKS):
            refuse(place, "trees", spec)
        parts = {
            name: check(reader.read(spec[name], f"{place}.{name}"), f"{place}.{name}")
            for name, check in CHECKS.items()
        }
        trees = _trees(parts, place)
        for tree in trees:
            _check_tree(tree, parts["n_features"], place)
        return with_boosted_trees(
            default_ranker(parts["random_state"]),
            parts["n_features"],
            trees,
            parts["baseline"],
        )


def _trees(parts, place):
    """Return the fields of the nodes of each tree, a list of dicts."""
    sizes, whole, real = parts["sizes"], parts["whole"], parts["real"]
    n = len(whole)
    require(len(sizes) and (sizes >= 1).all(), f"{place}.sizes", "trees of nodes")
    require((sizes <= n).all() and sizes.sum() == n, f"{place}.sizes", f"{n} nodes")
    require(whole.shape == (n, len(WHOLE)), f"{place}.whole", "all fields of nodes")
    require(real.shape == (n, len(REAL)), f"{place}.real", "all fields of nodes")
    require(not np.isnan(real).any(), f"{place}.real", "numbers")
    finite(real[:, 0], f"{place}.real")
    for name, values in zip(WHOLE, whole.T, strict=True):
        positions(values, f"{place}.{name}", LIMITS.get(name, 2**32 - 1) + 1)
    ends = np.cumsum(sizes)[:-1]
    blocks = zip(np.split(whole, ends), np.split(real, ends), strict=True)
    return [
        dict(zip((*WHOLE, *REAL), (*integers.T, *reals.T), strict=True))
        for integers, reals in blocks
    ]


def _check_tree(tree, n_features, place):
    """Raise unless each search goes from node to later node, and ends at a leaf."""
    inner = tree["is_leaf"] == 0
    n_nodes, own = len(inner), np.flatnonzero(inner)
    positions(tree["feature_idx"], f"{place}.feature_idx", n_features)
    for side in ("left", "right"):
        children = tree[side][inner]
        positions(children, f"{place}.{side}", n_nodes)
        require((children > own).all(), f"{place}.{side}", "nodes that follow")
