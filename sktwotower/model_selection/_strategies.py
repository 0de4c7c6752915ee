"""How a recommender is kept up to date while events go on.

Input: an estimator and ``SlicedEvents``.
Output: for each slice the model that answers, and the seconds it took to learn.
"""

import inspect
import time as clock

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktwotower._tables._messages import warn
from sktwotower.baselines import PopularityRecommender
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.metrics._compared import context_of

STRATEGIES = ["frozen", "history", "partial_fit", "refit", "popularity"]


def chosen_strategies(strategies, estimator):
    """Return those that an estimator can follow, after a warning or an error."""
    lacks = {}
    if "history" not in parameters_of(estimator, "rank_held_out"):
        lacks["history"] = "rank_held_out with the parameter history"
    if not hasattr(estimator, "partial_fit"):
        lacks["partial_fit"] = "partial_fit"
    name = type(estimator).__name__
    if isinstance(strategies, str) and strategies == "auto":
        for strategy, method in lacks.items():
            warn(f"The strategy {strategy!r} is left out: {name} has no {method}.")
        return [strategy for strategy in STRATEGIES if strategy not in lacks]
    known = [s for s in strategies if s in STRATEGIES]
    if isinstance(strategies, str) or not known or len(known) < len(strategies):
        expected = f'"auto" or a list of some of {STRATEGIES}'
        raise ValueError(f"strategies must be {expected}. Got {strategies!r}.")
    for strategy in known:
        if strategy in lacks:
            raise ValueError(
                f"The strategy {strategy!r} needs {lacks[strategy]}, which {name} "
                'lacks. Leave it out, or set strategies="auto".'
            )
    return list(dict.fromkeys(known))


def parameters_of(estimator, method):
    """Return the names of the parameters of a method, none if there is no such one."""
    if not hasattr(estimator, method):
        return []
    return list(inspect.signature(getattr(estimator, method)).parameters)


class Models:
    """The models of each strategy, slice by slice, and the seconds to learn.

    A method of the name of a strategy yields a model and seconds for each slice. The
    model of "partial_fit" is that of "frozen": it must be the last one that uses it.
    """

    def __init__(self, estimator, sliced, time, window):
        self.estimator = estimator
        self.sliced = sliced
        self.time = time
        self.window = window
        self._fitted = None

    def frozen(self):
        """Yield the model fitted on the train events."""
        model, seconds = self._first()
        for number in range(self.sliced.n_slices):
            yield model, 0.0 if number else seconds

    def history(self):
        """Yield the same model, with the events since then as history."""
        starts = self.sliced.starts
        for number, (model, seconds) in enumerate(self.frozen()):
            if self.sliced.is_positive(starts[0], starts[number]).any():
                history = self.sliced.history(starts[0], starts[number])
                model = WithParams(model, history=history)
            yield model, seconds

    def partial_fit(self):
        """Yield the same model, which learns slice by slice."""
        starts = self.sliced.starts
        learnt = starts[0]
        for number, (model, seconds) in enumerate(self.frozen()):
            if self.sliced.is_positive(learnt, starts[number]).any():
                X, y, weights = self.sliced.events(learnt, starts[number])
                seconds = _learn(model.partial_fit, X, y, weights)
                learnt = starts[number]
            yield model, seconds

    def refit(self):
        """Yield a new model of all events until the slice."""
        yield self._first()
        for start in self.sliced.starts[1:-1]:
            yield self._fit(self.estimator, start)

    def popularity(self):
        """Yield the most popular items of the last window before the slice."""
        # the columns and the number of items of the estimator
        shared = ["user_id", "item_id", "n_neighbors", "exclude_seen"]
        params = {
            name: getattr(self.estimator, name)
            for name in shared
            if hasattr(self.estimator, name)
        }
        for start, before in zip(self.sliced.starts, self.sliced.before, strict=False):
            window = self.window
            if window is None:
                window = _window_from(self.sliced.times[[before, start - 1]])
            popularity = PopularityRecommender(time=self.time, window=window, **params)
            model, seconds = self._fit(popularity, start)
            requests = None
            if self._fitted is not None:
                requests = context_of(self._fitted[0])
            if requests is not None:  # all models are judged by the same
                model = WithParams(model, requests=requests)
            yield model, seconds

    def _first(self):
        if self._fitted is None:
            self._fitted = self._fit(self.estimator, self.sliced.starts[0])
        return self._fitted

    def _fit(self, estimator, stop):
        """Return a clone, fitted on the events before a position, and the seconds."""
        model = clone(estimator)
        return model, _learn(model.fit, *self.sliced.events(0, stop))


def _learn(method, X, y, weights):
    """Call fit or partial_fit, and return the seconds."""
    params = {}
    if weights is not None:
        params = {"sample_weight": weights}
    start = clock.perf_counter()
    method(X, y, **params)
    return clock.perf_counter() - start


def _window_from(times):
    """Return the window that begins with the first and ends with the last of two times.

    `PopularityRecommender` counts what is younger than the window.
    """
    length = times[1] - times[0]
    if times.dtype.kind == "M":
        return pd.Timedelta(length).as_unit("ns") + pd.Timedelta(1, "ns")
    return length + 1 if times.dtype.kind == "i" else np.nextafter(length, np.inf)


class WithParams:
    """A fitted recommender that is asked with further parameters of ``rank_held_out``.

    These are the ``history`` of users who have chosen more since, or the ``requests``
    to judge. All other attributes are those of the recommender.
    """

    def __init__(self, estimator, **params):
        self.estimator = estimator
        self.params = params

    def __getattr__(self, name):
        return getattr(self.estimator, name)

    def rank_held_out(self, X, y=None, sample_weight=None, **params):
        """Rank the catalog with these parameters."""
        params = self.params | params
        return self.estimator.rank_held_out(X, y, sample_weight, **params)

    def predict(self, X):
        """Return the score of each pair with the history, if there is one."""
        if "history" not in self.params:
            return self.estimator.predict(X)
        return self.estimator.predict(X, history=self.params["history"])

    def score(self, X, y=None):
        """Return the mean recall with these parameters."""
        return make_retrieval_scorer("recall", self.n_neighbors)(self, X, y)
