"""Enters: a fitted recommender and held-out events X (n_events, n_columns).

Leaves: one number per metric, for `scoring=` of scikit-learn.
Next: model_selection.py, which cuts the held-out events off.
"""

from difflib import get_close_matches

import numpy as np
from sklearn.pipeline import Pipeline

from ._groups import Table, groups_of
from ._hits import PER_USER, check_k

METRICS = [*PER_USER, "coverage", "novelty"]
OPTIONS = {"recall": {"truncated"}, "novelty": {"n_users"}}
OTHER_NAMES = {"mrr": "reciprocal_rank", "map": "average_precision", "hr": "hit_rate"}


def make_retrieval_scorer(
    metric="recall", k=10, *, max_users=None, random_state=None, **kwargs
):
    """Make a scorer of whole-catalogue rankings for `GridSearchCV` and its relatives.

    The scorer ranks the catalogue for each user that has positives in X (y is None or y
    > 0), with the items seen in fit left out except the positives of X itself, and
    takes the positives as relevant. It works on recommenders, on Pipelines that end in
    one and on fitted search objects.

    Parameters
    ----------
    metric : str, default="recall"
        One of 'recall', 'precision', 'ndcg', 'average_precision', 'reciprocal_rank',
        'hit_rate', 'coverage' and 'novelty', or such a name with its k: 'recall@20'.
    k : int, default=10
        Number of places that count, >= 1. A k in `metric` goes before it.
    max_users : int, default=None
        Score a random sample of so many users. None: all.
    random_state : int, RandomState instance or None, default=None
        Draws the sample of users. With an int, all estimators are scored on the same
        sample of the same X.
    **kwargs : dict
        Further arguments of the metric: `truncated` of 'recall', `n_users` of
        'novelty'.

    Returns
    -------
    scorer : callable
        `scorer(estimator, X, y=None, sample_weight=None)` returns a float, higher is
        better. Can be pickled. `sample_weight`, one weight per row of X, is handed to
        the estimator's ranking; users count alike.

    Raises
    ------
    ValueError
        If `metric` is unknown or k < 1. When called: if X has no positive event.
    TypeError
        If k is no integer or the metric does not take one of `kwargs`. When called: if
        the estimator cannot rank held-out events.

    See Also
    --------
    retrieval_report : All metrics beside those of the popularity baseline.

    Notes
    -----
    Denominator: that of the metric's function in `sktwotower.metrics`, k = places.

    Users left out: none. A positive whose item is not in the catalogue is a miss.

    Examples
    --------
    >>> from sktwotower.metrics import make_retrieval_scorer
    >>> make_retrieval_scorer("ndcg@20")
    make_retrieval_scorer('ndcg', k=20)
    """
    name, at, own_k = str(metric).partition("@")
    if name not in METRICS:
        name = OTHER_NAMES.get(name.lower(), name.lower())
        close = get_close_matches(name, METRICS, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"metric must be one of {METRICS}. Got {metric!r}.{hint}")
    if at and not own_k.isdecimal():
        raise ValueError(f"metric must read like '{name}@20'. Got {metric!r}.")
    unknown = set(kwargs) - OPTIONS.get(name, set())
    if unknown:
        raise TypeError(f"The metric {name!r} takes no argument {sorted(unknown)}.")
    k = check_k(int(own_k) if at else k)
    return _RetrievalScorer(name, k, max_users, random_state, kwargs)


class _RetrievalScorer:
    """One metric of one estimator's ranking of held-out events."""

    def __init__(self, metric, k, max_users, random_state, params):
        self.metric = metric
        self.k = k
        self.max_users = max_users
        self.random_state = random_state
        self.params = params

    def __call__(self, estimator, X, y=None, sample_weight=None):
        ranking = rank(
            *unwrap(estimator, X),
            y,
            sample_weight=sample_weight,
            n_neighbors=self.k,
            max_users=self.max_users,
            random_state=self.random_state,
        )
        _, truth, counted, lost = next(groups_of(ranking))
        table = Table(ranking, truth, counted, ranking.indices, lost)
        return table.mean(self.metric, self.k, **self.params)

    def __repr__(self):
        options = {"max_users": self.max_users, "random_state": self.random_state}
        options = {key: value for key, value in options.items() if value is not None}
        text = "".join(f", {key}={value!r}" for key, value in options.items())
        text += "".join(f", {key}={value!r}" for key, value in self.params.items())
        return f"make_retrieval_scorer({self.metric!r}, k={self.k}{text})"


def unwrap(estimator, X):
    """Return the recommender inside searches and Pipelines, and the X it is given."""
    while not hasattr(estimator, "_held_out_ranking"):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            X = estimator[:-1].transform(X) if len(estimator) > 1 else X
            estimator = estimator[-1]
        else:
            raise TypeError(
                f"{type(estimator).__name__} cannot rank held-out events. Expected a "
                "recommender of sktwotower, a Pipeline that ends in one, or a search "
                "that was fitted with refit."
            )
    return estimator, X


def rank(estimator, X, y, **params):
    """Return the estimator's ranking, its truth without stored zeros."""
    ranking = estimator._held_out_ranking(X, y, **params)
    ranking.truth = ranking.truth.copy()
    ranking.truth.eliminate_zeros()
    ranking.n_unreachable = np.asarray(ranking.n_unreachable)
    if not ranking.truth.nnz and not ranking.n_unreachable.any():
        raise ValueError(
            "X has no positive event (y is None or y > 0): there is nothing to score."
        )
    return ranking
