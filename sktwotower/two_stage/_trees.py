"""The default ranker's trees as arrays.

Input: a fitted `HistGradientBoostingClassifier` of two classes, or its arrays.
Output: the other one of both.
"""

from typing import NamedTuple

import numpy as np

from sktwotower._records import (
    array,
    finite,
    integer,
    number,
    positions,
    record,
    require,
)
from sktwotower._sklearn_compat import boosted_trees_of, with_boosted_trees

# Fields of a node, by the dtype of the array that holds them; others are of categories,
# which the ranker's features are not.
WHOLE = "count feature_idx missing_go_to_left left right depth is_leaf bin_threshold"
WHOLE = WHOLE.split()
REAL = "value", "num_threshold", "gain"
# The largest value of each field in scikit-learn.
LIMITS = {"missing_go_to_left": 1, "is_leaf": 1, "bin_threshold": 255}
MAX_FEATURES = 100_000


@record
class Trees(NamedTuple):
    """The trees of a classifier, all their nodes one after the other."""

    random_state: integer(0, 2**32 - 1)
    n_features: integer(1, MAX_FEATURES)
    baseline: number()
    sizes: array("int64", "n_trees")
    whole: array("int64", f"n_nodes {len(WHOLE)}")
    real: array("float64", f"n_nodes {len(REAL)}")

    @classmethod
    def of(cls, classifier):
        """Return the trees of a fitted classifier."""
        trees, baseline = boosted_trees_of(classifier)
        nodes = np.concatenate(trees)
        return cls(
            random_state=int(classifier.random_state),
            n_features=int(classifier.n_features_in_),
            baseline=baseline,
            sizes=np.array([len(tree) for tree in trees]),
            whole=np.stack([nodes[n].astype(np.int64) for n in WHOLE], axis=1),
            real=np.stack([nodes[n].astype(float) for n in REAL], axis=1),
        )

    def grown_in(self, classifier):
        """Return a classifier, fitted on nothing, with these trees."""
        trees = self.fields_of_trees()
        return with_boosted_trees(classifier, self.n_features, trees, self.baseline)

    def fields_of_trees(self):
        """Return the fields of the nodes of each tree, a list of dicts."""
        ends = np.cumsum(self.sizes)[:-1]
        whole, real = (np.split(nodes, ends) for nodes in (self.whole, self.real))
        return [
            dict(zip((*WHOLE, *REAL), (*integers.T, *reals.T), strict=True))
            for integers, reals in zip(whole, real, strict=True)
        ]

    def _check_stored(self, place):
        sizes, n = self.sizes, len(self.whole)
        require(len(sizes) and (sizes >= 1).all(), f"{place}.sizes", "trees of nodes")
        fits = (sizes <= n).all() and sizes.sum() == n
        require(fits, f"{place}.sizes", f"those of trees of {n} nodes")
        require(not np.isnan(self.real).any(), f"{place}.real", "numbers")
        finite(self.real[:, 0], f"{place}.real")
        for name, values in zip(WHOLE, self.whole.T, strict=True):
            positions(values, f"{place}.{name}", LIMITS.get(name, 2**32 - 1) + 1)
        for tree in self.fields_of_trees():
            _check_tree(tree, self.n_features, place)


def _check_tree(tree, n_features, place):
    """Raise unless each search goes from node to later node, and ends at a leaf."""
    inner = tree["is_leaf"] == 0
    n_nodes, parents = len(inner), np.flatnonzero(inner)
    positions(tree["feature_idx"], f"{place}.feature_idx", n_features)
    for side in ("left", "right"):
        children = tree[side][inner]
        positions(children, f"{place}.{side}", n_nodes)
        require((children > parents).all(), f"{place}.{side}", "nodes that follow")
