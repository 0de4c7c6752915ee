"""All that this package uses of scikit-learn's private parts, in one place.

Input: objects of scikit-learn 1.6 or later.
Output: the names below; when scikit-learn moves one, only this file changes.
"""

import copy
import dataclasses
import sys
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as rows_at
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

# What parameters may be: a number, a share of rows, a number of threads.
POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")
SHARE = Interval(RealNotInt, 0, 1, closed="neither")
UP_TO_1 = Interval(Real, 0, 1, closed="right")
BETWEEN_0_AND_1 = Interval(Real, 0, 1, closed="neither")
N_JOBS = COUNT, Interval(Integral, None, -1, closed="right"), None


def parameter(default, *values, **more) -> Any:
    """Return a parameter: a field of a dataclass, and what its values may be.

    ``values``: as scikit-learn's validation states them; none: they are checked where
    they are read. ``more``: what else is stated of it.
    """
    metadata = {"values": list(values) or "no_validation"} | more
    return dataclasses.field(default=default, metadata=metadata)


class ParameterConstraints:
    """What scikit-learn's validation reads: the values of each `parameter`."""

    def __get__(self, estimator, owner):
        """Return a dict of names to values."""
        constraints = {}
        for field in dataclasses.fields(owner):
            if field.metadata:
                constraints[field.name] = field.metadata["values"]
        return constraints


def checks_arguments(**values):
    """Return a decorator of a function: what the values of its arguments may be."""
    return validate_params(values, prefer_skip_nested_validation=True)


def boosted_trees_of(classifier):
    """Return the nodes of each tree, structured arrays, and the score without trees.

    ``classifier``: a fitted `HistGradientBoostingClassifier` of two classes.
    """
    trees = [tree.nodes for (tree,) in classifier._predictors]
    return trees, float(classifier._baseline_prediction[0, 0])


def with_boosted_trees(classifier, n_features, trees, baseline):
    """Fit a classifier on nothing, and return it with other trees.

    ``trees``: the nodes of each, a dict of arrays by the name of the field. Fields that
    are missing stay 0, and none splits by categories.
    """
    n_trees = classifier.max_iter
    classifier.set_params(max_iter=1).fit(np.zeros((2, n_features)), [0, 1])
    classifier.set_params(max_iter=n_trees)
    ((fitted_tree,),) = classifier._predictors
    predictors = []
    for fields in trees:
        nodes = np.zeros(len(fields["value"]), dtype=fitted_tree.nodes.dtype)
        for name, values in fields.items():
            nodes[name] = values
        tree = type(fitted_tree)(
            nodes,
            fitted_tree.binned_left_cat_bitsets,  # of no categories
            fitted_tree.raw_left_cat_bitsets,
        )
        predictors.append([tree])
    classifier._predictors = predictors
    classifier._baseline_prediction = np.full((1, 1), baseline)
    return classifier


def copy_configuration(estimator, copied, memo):
    """Copy what `set_output` and `set_fit_request` have set, as `clone` does.

    ``memo``: objects that deep copies share, by id, as for `copy.deepcopy`.
    """
    for name in ("_metadata_request", "_sklearn_output_config"):
        if hasattr(estimator, name):
            setattr(copied, name, copy.deepcopy(getattr(estimator, name), memo))


def inputs_of_transformers(column_transformer):
    """Return the positions of the columns that each transformer gets, by its name."""
    return column_transformer._transformer_to_input_indices


def is_asked_for_a_sample():
    """Return whether the caller's rows are for a halving search that takes a sample."""
    asking = sys._getframe(2).f_locals.get("self")
    return type(asking).__name__ == "_SubsampleMetaSplitter"


def output_of(estimator):
    """Return the library that `set_output` has set, "pandas" or "polars", or None."""
    configuration = vars(estimator).get("_sklearn_output_config")
    if configuration is None:
        return None
    library = configuration.get("transform")
    if library in ("pandas", "polars"):
        return library
    return None


def without_output(estimator):
    """Return a shallow copy of an estimator on which `set_output` was not called."""
    copied = copy.copy(estimator)
    vars(copied).pop("_sklearn_output_config", None)
    return copied


def requests_of(estimator):
    """Return what `set_fit_request` and its likes have set, or None if nothing."""
    requests = vars(estimator).get("_metadata_request")
    if requests is None:
        return None
    return requests._serialize()


def set_requests(estimator, requests):
    """Set metadata requests as `requests_of` returns them.

    Raise ``AttributeError``, ``TypeError`` or ``ValueError`` for anything else.
    """
    request = estimator._get_metadata_request()
    for method, values in requests.items():
        for param, alias in values.items():
            getattr(request, method).add_request(param=param, alias=alias)
    estimator._metadata_request = request


def drawn_as(name, text):
    """Return an object that is printed as a text; diagrams name its class."""
    return type(name, (), {"__repr__": lambda self: text})()


def visual_block_of(estimator):
    """Return how scikit-learn draws a composite estimator in a notebook."""
    return estimator._sk_visual_block_()
