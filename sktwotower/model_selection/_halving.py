"""Enters: an interaction table X (n_events, n_columns) and candidate parameters.

Leaves: the best of them, found by training the better ones on, rung by rung.
Next: model_selection.py, whose splitters cut the folds.
"""

import time
import warnings
from numbers import Integral, Real

import numpy as np
from scipy.stats import rankdata
from sklearn.base import _fit_context, clone
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV, check_cv
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_method_params, indexable

from sktwotower._tables._messages import did_you_mean

__all__ = ["WarmHalvingSearchCV"]


class WarmHalvingSearchCV(RandomizedSearchCV):
    """Search with successive halving whose survivors go on from their weights.

    All candidates are trained for a few epochs; the best third is trained on, and so
    forth. scikit-learn's `HalvingRandomSearchCV` with ``resource="max_epochs"`` trains
    the survivors of each rung anew; here the model of a candidate and fold goes on, by
    ``warm_start``. A fold's models see the train side of that fold only.

    Parameters
    ----------
    estimator : estimator
        A `TwoTowerRecommender`, a Pipeline that ends in one, or any estimator that
        trains for further rounds with ``warm_start=True``.
    param_distributions : dict or list of dict
        Values or distributions to draw candidates from, as in `RandomizedSearchCV`;
        `search_space` gives one.
    n_iter : int, default=12
        Number of candidates, >= 1.
    resource : str, default="max_epochs"
        The parameter that counts rounds of training, such as
        "twotowerrecommender__max_epochs" in a Pipeline; ``warm_start`` is taken from
        the same step.
    min_resources : int, default=3
        Least rounds of the first rung, >= 1.
    max_resources : int, default=None
        Rounds of the last rung, and of the refit. None: what the estimator has.
    factor : float, default=3
        Between rungs the rounds grow and the candidates shrink by this factor, > 1.
    scoring : str or callable, default=None
        One score, such as ``make_retrieval_scorer("ndcg@20")``. None: the estimator's
        ``score``.
    n_jobs : int, default=None
        Number of fits at a time. None: one.
    refit : bool, default=True
        Fit the best candidate on all of X, from nothing, as ``best_estimator_``.
    cv : int, splitter or iterable, default=None
        As in `RandomizedSearchCV`. None: five folds.
    verbose : int, default=0
        1: a line per rung.
    random_state : int, RandomState instance or None, default=None
        Draws the candidates.

    Attributes
    ----------
    cv_results_ : dict of arrays of shape (n_rows,)
        One row per rung and candidate: "iter", "n_resources", "params" (with the
        resource), "split0_test_score" ..., "mean_test_score", "std_test_score",
        "rank_test_score", "mean_fit_time" and "mean_score_time" in seconds, of the
        rung alone.
    best_params_, best_score_, best_index_ : dict, float and int
        Of the best candidate of the last rung.
    best_estimator_, refit_time_ : estimator and float
        The refitted estimator and the seconds that it took; with ``refit``.
    n_resources_, n_candidates_ : list of int
        Rounds and candidates of each rung.
    n_splits_ : int
        Number of folds.
    scorer_ : callable
        What scores a fitted estimator.

    See Also
    --------
    search_space : What to tune, in which ranges.

    Notes
    -----
    A fit that fails is told by a warning, and its candidate is given up.

    The last rung has ``max_resources`` rounds, and each one before floor(r / f) where
    the next has r and f is ``factor``, while that is at least ``min_resources`` and
    there are candidates to drop. ceil(n / f) of n candidates go on. With K rungs of as
    many rounds in all, a share of (K - 1) / (K f) of the training is saved over
    training anew.

    A learning rate that rises and falls does so in each rung. That costs survivors a
    little quality beside one long fit, not all alike, so that the choice may be a
    little worse than by training anew (benchmarks/README.md, bench_search.py); the
    refit starts from nothing. Of a rung, all fitted models are
    in memory, with their side tables where ``n_jobs`` brings them from other
    processes.

    References
    ----------
    Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter
    Optimization, AISTATS 2016.

    Examples
    --------
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.datasets import make_interactions
    >>> from sktwotower.model_selection import LastNSplit, WarmHalvingSearchCV
    >>> X = make_interactions(40, 30, random_state=0).data[["user", "item"]]
    >>> model = TwoTowerRecommender(embedding_dim=8, max_epochs=9, random_state=0)
    >>> search = WarmHalvingSearchCV(
    ...     model, {"temperature": [0.1, 0.2, 0.4]}, n_iter=3, cv=LastNSplit()
    ... ).fit(X)
    >>> search.n_resources_, search.n_candidates_
    ([3, 9], [3, 1])
    >>> search.best_params_["max_epochs"]
    9
    """

    _parameter_constraints = {
        name: RandomizedSearchCV._parameter_constraints[name]
        for name in (
            "estimator",
            "param_distributions",
            "n_jobs",
            "cv",
            "verbose",
            "random_state",
        )
    } | {
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "resource": [str],
        "min_resources": [Interval(Integral, 1, None, closed="left")],
        "max_resources": [None, Interval(Integral, 1, None, closed="left")],
        "factor": [Interval(Real, 1, None, closed="neither")],
        "scoring": [str, callable, None],
        "refit": ["boolean"],
    }
    multimetric_ = False

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_iter=12,
        resource="max_epochs",
        min_resources=3,
        max_resources=None,
        factor=3,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            random_state=random_state,
        )
        self.resource = resource
        self.min_resources = min_resources
        self.max_resources = max_resources
        self.factor = factor

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Train the candidates, rung by rung, and refit the best one.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events, as the estimator takes them.
        y : array-like of shape (n_events,), default=None
            What came of each event.
        **params : dict of str to object
            For the estimator's ``fit``; those as long as X are cut with it.

        Returns
        -------
        self : WarmHalvingSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            A ``resource`` that the estimator does not have, that is also searched, or
            beside which there is no ``warm_start``; no fold; no fit that succeeded.
        TypeError
            A class in place of an estimator, or ``scoring`` that gives no number.
        """
        most = self._check_resource()
        X, y = indexable(X, y)
        params = _check_method_params(X, params)
        self.scorer_ = check_scoring(self.estimator, self.scoring)
        folds = list(check_cv(self.cv, y).split(X, y))
        if not folds:
            raise ValueError(f"cv must give one fold at least. Got {self.cv!r}.")
        self.n_splits_ = len(folds)
        candidates = self._candidates()
        self.n_resources_ = self._rungs(most, len(candidates))
        self._climb(candidates, folds, (X, y, params))
        if self.refit:
            start = time.perf_counter()
            best = clone(self.estimator).set_params(**_copied(self.best_params_))
            self.best_estimator_ = best.fit(*_given(X, y), **params)
            self.refit_time_ = time.perf_counter() - start
            if hasattr(best, "feature_names_in_"):
                self.feature_names_in_ = best.feature_names_in_
        return self

    def _check_resource(self):
        """Return the rounds of the last rung."""
        if isinstance(self.estimator, type):
            name = self.estimator.__name__
            raise TypeError(f"estimator must be an instance, {name}(). Got the class.")
        known = self.estimator.get_params()
        name = type(self.estimator).__name__
        for needed in (self.resource, self._warm_start):
            if needed not in known:
                raise ValueError(
                    f"resource={self.resource!r} needs the parameters "
                    f"{self.resource!r} and {self._warm_start!r}, but {name} has no "
                    f"{needed!r}.{did_you_mean(needed, known, 'Parameters')}"
                )
        most = self.max_resources
        most = known[self.resource] if most is None else most
        if most < self.min_resources:
            raise ValueError(
                f"min_resources={self.min_resources} must not be above the "
                f"{most} rounds of the last rung (max_resources, or {self.resource} "
                "of the estimator)."
            )
        return most

    @property
    def _warm_start(self):
        step, dots, _ = self.resource.rpartition("__")
        return f"{step}{dots}warm_start"

    def _candidates(self):
        candidates = list(
            ParameterSampler(
                self.param_distributions, self.n_iter, random_state=self.random_state
            )
        )
        for name in (self.resource, self._warm_start):
            if any(name in candidate for candidate in candidates):
                raise ValueError(
                    f"{name!r} cannot be searched: successive halving sets it. Leave "
                    "it out of param_distributions."
                )
        return candidates

    def _rungs(self, most, n_candidates):
        """Return the rounds of each rung, ascending."""
        rungs, n_left = [most], n_candidates
        while n_left > 1 and (fewer := int(rungs[0] / self.factor + 1e-9)) >= 1:
            if fewer < self.min_resources or fewer == rungs[0]:
                break
            rungs.insert(0, fewer)
            n_left = _fewer(n_left, self.factor)
        return rungs

    def _climb(self, candidates, folds, data):
        """Train and drop candidates, and keep what there is to tell of it."""
        models = [[self._start(each) for _ in folds] for each in candidates]
        rows, self.n_candidates_, done = [], [], 0
        for rung, rounds in enumerate(self.n_resources_):
            self.n_candidates_.append(len(candidates))
            fits = self._train(models, rounds - done, folds, data)
            rung_rows = [
                {"iter": rung, "n_resources": rounds}
                | {"params": candidate | {self.resource: rounds}}
                | _figures(fits[at])
                for at, candidate in enumerate(candidates)
            ]
            order = _best_first([row["mean_test_score"] for row in rung_rows])
            rows += rung_rows
            if self.verbose:
                print(
                    f"rung {rung}: {len(candidates)} candidates, {rounds} rounds, best "
                    f"{rung_rows[order[0]]['mean_test_score']:.4f}"
                )
            kept = order[: _fewer(len(candidates), self.factor)]
            candidates = [candidates[at] for at in kept]
            models = [[fit["model"] for fit in fits[at]] for at in kept]
            done = rounds
        self._keep(rows, len(rows) - len(rung_rows) + order[0])

    def _start(self, candidate):
        model = clone(self.estimator).set_params(**_copied(candidate))
        return model.set_params(**{self._warm_start: True})

    def _train(self, models, rounds, folds, data):
        """Train each candidate's model of each fold; gives lists of dicts alike."""
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(_go_on)(
                model.set_params(**{self.resource: rounds}),
                *data,
                train,
                test,
                self.scorer_,
            )
            for of_candidate in models
            for model, (train, test) in zip(of_candidate, folds, strict=True)
        )
        width = len(folds)
        return [fits[at : at + width] for at in range(0, len(fits), width)]

    def _keep(self, rows, best):
        results = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        means = results["mean_test_score"]
        if np.isnan(means[best]):
            raise ValueError(
                f"No candidate could be fitted and scored in all {self.n_splits_} "
                "folds. The warnings before tell why."
            )
        ranks = rankdata(-np.nan_to_num(means, nan=-np.inf), method="min")
        results["rank_test_score"] = ranks.astype(np.int32)
        self.cv_results_ = results
        self.best_index_ = int(best)
        self.best_params_ = results["params"][best]
        self.best_score_ = float(means[best])


def _copied(params):
    """Copy parameters, estimators among them, as a search does for each candidate."""
    return {name: clone(value, safe=False) for name, value in params.items()}


def _fewer(n_candidates, factor):
    return max(1, int(np.ceil(n_candidates / factor - 1e-9)))


def _best_first(scores):
    """Return positions by falling score; of equal ones the first, of none the last."""
    return np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable").tolist()


def _given(X, y):
    return (X,) if y is None else (X, y)


def _go_on(model, X, y, params, train, test, scorer):
    """Train a model on, on the train side of its fold; score it on the test side."""
    sides = [
        _given(_safe_indexing(X, rows), None if y is None else _safe_indexing(y, rows))
        for rows in (train, test)
    ]
    start = time.perf_counter()
    try:
        model.fit(*sides[0], **_check_method_params(X, params, indices=train))
        trained = time.perf_counter()
        score = scorer(model, *sides[1])
    except Exception as error:
        message = f"A fit of the search failed, its candidate is given up. {error!r}"
        warnings.warn(message, FitFailedWarning, stacklevel=2)
        trained, score = time.perf_counter(), np.nan
    if not isinstance(score, Real):
        raise TypeError(
            "scoring must give one number, as make_retrieval_scorer('ndcg@20') does. "
            f"Got {score!r}."
        )
    seconds = trained - start, time.perf_counter() - trained
    return {"model": model, "score": score, "seconds": seconds}


def _figures(fits):
    """Sum up the folds of one candidate in one rung."""
    scores = np.array([fit["score"] for fit in fits], dtype=float)
    times = np.array([fit["seconds"] for fit in fits])
    return {
        **{f"split{fold}_test_score": score for fold, score in enumerate(scores)},
        "mean_test_score": scores.mean(),
        "std_test_score": scores.std(),
        "mean_fit_time": times[:, 0].mean(),
        "mean_score_time": times[:, 1].mean(),
    }
