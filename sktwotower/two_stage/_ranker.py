"""The second stage: any classifier, regressor or ranker that orders candidates.

Input: a table of features (n_pairs, n_features), labels and groups (n_pairs,).
Output: a ``FittedRanker``, whose scores (n_pairs,) are higher for better candidates.
"""

import inspect
import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import comb
from sklearn import get_config
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from sktwotower import _records as records
from sktwotower._records import positions, require
from sktwotower._sklearn_compat import boosted_trees_of, with_boosted_trees
from sktwotower.retrieval._explained_score import RANKER, rows_of_table

# Rankers are fitted on all users except those of one fold, and judged on these.
N_FOLDS = 3
# With choices of fewer users, what a ranker learns is noise.
MIN_USERS = 20
# How a ranker is asked for scores: the first of these that it has.
METHODS = ("predict_proba", "decision_function", "predict")
# Fields of a node, by the dtype of the array that holds them; others are of categories,
# which the ranker's features are not.
WHOLE = [
    "count",
    "feature_idx",
    "missing_go_to_left",
    "left",
    "right",
    "depth",
    "is_leaf",
    "bin_threshold",
]
REAL = ["value", "num_threshold", "gain"]
# The largest value of each field in scikit-learn.
LIMITS = {"missing_go_to_left": 1, "is_leaf": 1, "bin_threshold": 255}
MAX_FEATURES = 100_000


@records.record
class Trees(NamedTuple):
    """The trees of a classifier, all their nodes one after the other."""

    random_state: records.integer(0, 2**32 - 1)
    n_features: records.integer(1, MAX_FEATURES)
    baseline: records.number()
    sizes: records.array("int64", "n_trees")
    whole: records.array("int64", f"n_nodes {len(WHOLE)}")
    real: records.array("float64", f"n_nodes {len(REAL)}")

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
            whole=np.stack([nodes[name].astype(np.int64) for name in WHOLE], axis=1),
            real=np.stack([nodes[name].astype(float) for name in REAL], axis=1),
        )

    def fields_of_trees(self):
        """Return the fields of the nodes of each tree, a list of dicts."""
        trees = []
        start = 0
        for size in self.sizes:
            stop = start + size
            whole = self.whole[start:stop]
            real = self.real[start:stop]
            fields = {name: whole[:, place] for place, name in enumerate(WHOLE)}
            for place, name in enumerate(REAL):
                fields[name] = real[:, place]
            trees.append(fields)
            start = stop
        return trees

    def _check_stored(self, place):
        sizes = self.sizes
        n_nodes = len(self.whole)
        has_nodes = len(sizes) > 0 and (sizes >= 1).all()
        require(has_nodes, f"{place}.sizes", "trees of nodes")
        fits = (sizes <= n_nodes).all() and sizes.sum() == n_nodes
        require(fits, f"{place}.sizes", f"those of trees of {n_nodes} nodes")
        require(not np.isnan(self.real).any(), f"{place}.real", "numbers")
        records.finite(self.real[:, 0], f"{place}.real")
        for name, values in zip(WHOLE, self.whole.T, strict=True):
            largest = LIMITS.get(name, 2**32 - 1)
            positions(values, f"{place}.{name}", largest + 1)
        for tree in self.fields_of_trees():
            _check_tree(tree, self.n_features, place)


def _check_tree(tree, n_features, place):
    """Raise unless each search goes from node to later node, and ends at a leaf."""
    inner = tree["is_leaf"] == 0
    n_nodes = len(inner)
    parents = np.flatnonzero(inner)
    positions(tree["feature_idx"], f"{place}.feature_idx", n_features)
    for side in ("left", "right"):
        children = tree[side][inner]
        positions(children, f"{place}.{side}", n_nodes)
        require((children > parents).all(), f"{place}.{side}", "nodes that follow")


@records.record
class FittedRanker(NamedTuple):
    """A ranker that was fitted on candidates.

    Parameters
    ----------
    estimator : object
        The fitted ranker.
    fill : dict
        What replaces missing values, by feature; of others the ranker reads them.
    named : bool
        Whether the ranker gets a DataFrame, and not an array.
    """

    estimator: object
    fill: dict[str, records.number()]
    named: bool

    def _stored_parts(self):
        """Return the fields; the default ranker, which reads arrays, as its trees."""
        stored = self._asdict()
        if not self.named:
            stored["estimator"] = Trees.of(self.estimator)
        return stored

    @classmethod
    def _of_stored(cls, estimator, fill, named):
        if not named:
            records.instance(Trees)(estimator, "trees")
            trees = estimator
            estimator = with_boosted_trees(
                default_ranker(trees.random_state),
                trees.n_features,
                trees.fields_of_trees(),
                trees.baseline,
            )
        return cls(estimator, fill, named)

    def _check_stored(self, place):
        fits = _method_of(self.estimator) is not None
        require(fits, f"{place}.estimator", "an estimator with scores")

    def scores(self, table):
        """Return scores (n_pairs,) of a table of candidates; higher is better."""
        table = _input(table, self.fill, self.named)
        method = getattr(self.estimator, _method_of(self.estimator))
        scores = np.asarray(method(table), dtype=float)
        if scores.ndim == 2:
            return scores[:, -1]
        return scores


def _method_of(estimator):
    """Return the name of the method that an estimator is asked for scores, or None."""
    for name in METHODS:
        if hasattr(estimator, name):
            return name
    return None


def default_ranker(random_state):
    """Return the ranker that `TwoStageRecommender` uses by default.

    Small trees and strong regularization, as a few hundred users may be all there are.
    """
    return HistGradientBoostingClassifier(
        max_iter=100,
        max_leaf_nodes=8,
        min_samples_leaf=50,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=random_state,
    )


def check_ranker(ranker):
    """Raise ``TypeError`` if an object cannot be used as a ranker."""
    fits = hasattr(ranker, "fit") and _method_of(ranker) is not None
    if isinstance(ranker, type) or not fits:
        raise TypeError(
            "ranker must be a classifier, a regressor or a ranker: an estimator with "
            f"fit and one of {', '.join(METHODS)}. Got {ranker!r}."
        )


def fit_ranker(ranker, table, labels, groups, named=True):
    """Return a ``FittedRanker``: a clone, fitted on candidates.

    Parameters
    ----------
    ranker : estimator
    table : DataFrame of shape (n_pairs, n_features)
    labels : int array of shape (n_pairs,)
        1 for candidates that were chosen later, 0 for others.
    groups : int array of shape (n_pairs,)
        The user of each candidate, ascending.
    named : bool, default=True
        Whether the ranker gets a DataFrame. An array saves time in small requests.
    """
    estimator = clone(ranker)
    try:
        reads_missing = get_tags(estimator).input_tags.allow_nan
    except (AttributeError, TypeError):  # of a library without tags
        reads_missing = True
    if reads_missing:
        # a column without any value says nothing, and some rankers refuse it
        fill = dict.fromkeys(table.columns[table.isna().all()], 0.0)
    else:
        fill = table.median().fillna(0).to_dict()
    table = _input(table, fill, named)
    estimator.fit(table, labels, **_group_argument(estimator, groups))
    return FittedRanker(estimator, fill, named)


class LabelledRows(NamedTuple):
    """Rows that a ranker learns from: features, label and group of each, (n_rows,)."""

    features: pd.DataFrame
    labels: np.ndarray
    groups: np.ndarray

    def part(self, kept):
        """Return the rows that are ``kept``, bool or positions."""
        features = self.features.loc[kept].reset_index(drop=True)
        return LabelledRows(features, self.labels[kept], self.groups[kept])

    def followed_by(self, others):
        """Return these rows, and then others, whose groups are not those of these."""
        features = others.features.reindex(columns=self.features.columns)
        groups = others.groups + self.groups.max(initial=-1) + 1
        return LabelledRows(
            pd.concat([self.features, features], ignore_index=True),
            np.append(self.labels, others.labels),
            np.append(self.groups, groups),
        )

    def fit(self, recipe):
        """Return a ``FittedRanker``, group by group if the ranker takes groups."""
        rows = self.part(np.argsort(self.groups, kind="stable"))
        return fit_ranker(recipe.second_stage, *rows, recipe.ranker is not None)


def scores_by_others(recipe, rows, folds, judged=None, further=None):
    """Return scores (n_rows,) by rankers that were fitted on the rows of other folds.

    ``rows``: ``LabelledRows``. ``folds``: the number of the fold of each. ``judged``:
    the features (n_rows, n_features) that scores are of; None: those of the rows.
    ``further``: ``LabelledRows`` that all rankers learn from as well, or None. The
    second value is the ranker that was not fitted on fold 0.
    """
    if judged is None:
        judged = rows.features
    scores = np.empty(len(folds))
    rankers = []
    for fold in range(N_FOLDS):
        is_judged = folds == fold
        others = rows.part(~is_judged)
        if further is not None:
            others = others.followed_by(further)
        ranker = others.fit(recipe)
        features = judged.loc[is_judged].reset_index(drop=True)
        scores[is_judged] = ranker.scores(features)
        rankers.append(ranker)
    return scores, rankers[0]


def _group_argument(estimator, groups):
    """Return the users of the candidates as the argument that ``fit`` has for them.

    LightGBM and XGBoost take the sizes of groups, CatBoost the group of each row. A
    Pipeline passes on what is for its last step.
    """
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        arguments = _group_argument(last, groups)
        if get_config()["enable_metadata_routing"]:
            return arguments
        return {f"{name}__{key}": value for key, value in arguments.items()}
    parameters = inspect.signature(estimator.fit).parameters
    if "group" in parameters:
        _, sizes = np.unique(groups, return_counts=True)
        return {"group": sizes}
    return {name: groups for name in ("group_id", "qid") if name in parameters}


def _input(table, fill, named):
    """Return a table with missing values replaced; an array unless ``named``."""
    if fill:
        table = table.fillna(fill)
    if named:
        return table
    return table.to_numpy()


def rows_of_ranker(ranker, item, usual, groups):
    """Return rows of the table of `explain` for the score of one candidate.

    ``ranker``: a ``FittedRanker``. ``item``, ``usual``: features of the candidate, and
    what is usual, Series (n_features,). ``groups``: the group of each feature, a dict.
    """
    is_known = item.notna() | usual.notna()
    differs = item[item.ne(usual) & is_known].index
    names = list(dict.fromkeys(groups[feature] for feature in differs))
    n = len(names)
    # Each set of groups once, the empty one first. The sets without a group are in the
    # order of those that have it as well.
    sets = list(itertools.product([False, True], repeat=n))
    sets = np.array(sets, dtype=bool)[:, ::-1]
    table = pd.DataFrame(np.tile(usual, (len(sets), 1)), columns=item.index)
    for feature in differs:
        has_group = sets[:, names.index(groups[feature])]
        table.loc[has_group, feature] = item[feature]
    scores = ranker.scores(table)
    sizes = sets.sum(axis=1)

    # The Shapley value of a group is the mean of what it adds to each set without it,
    # where all sizes are as likely, and all sets of a size.
    added = [scores[0]]
    for has_group in sets.T:
        size = sizes[~has_group]
        weights = 1 / ((n - size) * comb(n, size))
        added.append(weights @ (scores[has_group] - scores[~has_group]))
    return rows_of_table(RANKER, ["(bias)", *names], np.full(n + 1, np.nan), added)
