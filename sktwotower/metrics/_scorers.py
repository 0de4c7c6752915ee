"""Scorers of rankings, for ``scoring=`` of scikit-learn.

Input: a fitted recommender and held-out events X (n_events, n_columns).
Output: one number per metric.
"""

from collections.abc import Callable

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object
from sklearn.utils.validation import check_is_fitted

from sktwotower._tables._messages import check_count, closest
from sktwotower.retrieval._any_recommender import is_recommender

from ._from_lists import held_out_by_lists
from ._groups import OF_ALL_LISTS, OF_LISTS, GroupRanking, everyone
from ._hits import PER_USER, standard_error
from ._ranking import HeldOutRanking

METRICS = [*PER_USER, *OF_ALL_LISTS, *OF_LISTS]
OPTIONS = {"recall": {"truncated"}, "novelty": {"n_users"}, "long_tail_share": {"head"}}
OTHER_NAMES = {"mrr": "reciprocal_rank", "map": "average_precision", "hr": "hit_rate"}


def make_retrieval_scorer(
    metric: str | list[str] = "recall",
    k=10,
    *,
    max_users=None,
    random_state=None,
    standard_error=False,
    requests=None,
    **kwargs,
) -> Callable:
    """Make a scorer of whole-catalog rankings for `GridSearchCV` and its relatives.

    The scorer ranks the catalog for each user, or request of a model with context, that
    has positives in X (y is None or y > 0). They are relevant. Items seen in fit are
    left out, except the positives of X itself. The scorer works on
    recommenders (any estimator that returns a `HeldOutRanking`), on Pipelines that end
    in one, on fitted search objects, and within DataOps of skrub.

    Parameters
    ----------
    metric : str or list of str, default="recall"
        One of 'recall', 'precision', 'ndcg', 'average_precision', 'reciprocal_rank',
        'hit_rate', 'coverage', 'gini', 'novelty', 'long_tail_share' and
        'intra_list_diversity', or such a name with its k: 'recall@20'. A list: several,
        all from one ranking. The diversity is that of the estimator's own vectors.
    k : int, default=10
        Number of places that count, >= 1; above the size of the catalog, the places
        that are missing are misses. A k in `metric` takes precedence.
    max_users : int, default=None
        Score a random sample of this many users, >= 1, or requests of a model with
        context. None: all.
    random_state : int, RandomState instance or None, default=None
        Draws the sample. With an int, all estimators are scored on the same
        sample of the same X.
    standard_error : bool, default=False
        Whether to return each figure's standard error over the users as well: the
        standard deviation over the square root of their number, nan for one user.
        Requests of one user count as one cluster. 'coverage' and 'gini' are not means
        over users and have none.
    requests : str, int or list of them, default=None
        Columns of X that tell the requests of a user apart, as in ``rank_held_out``: a
        model without context is then judged as one that has it. None: the context of
        the model.
    **kwargs : dict
        Further arguments of the metric: `truncated` of 'recall', `n_users` of
        'novelty', `head` of 'long_tail_share'.

    Returns
    -------
    scorer : callable
        `scorer(estimator, X, y=None, sample_weight=None)` returns a float, higher is
        better; of 'gini' lower is more even. For a list of metrics, or with
        `standard_error`, a dict of floats by name, 'recall@20' and 'recall@20 se', as
        scikit-learn takes it: searches then need `refit='recall@20'`. Can be pickled.
        With `sample_weight`, one weight per row of X, rows of weight 0 do not count,
        and recall weights each user's relevant items, as ``score`` does; the other
        metrics and the mean over users do not. For metadata routing there is
        `scorer.set_score_request(sample_weight=True)`.

    Raises
    ------
    NotFittedError
        When called: if the estimator is not fitted.
    ValueError
        If `metric` is unknown or empty, or k < 1. When called: if X has no positive
        event, `max_users` < 1, or weights meet a truncated recall.
    TypeError
        If k is not an integer or the metric does not take one of `kwargs`. When called:
        if the estimator cannot rank held-out events, or `max_users` is not an integer.

    See Also
    --------
    retrieval_report : All metrics, compared with popularity.
    HeldOutRanking : How to score a model of another library.

    Notes
    -----
    Denominator: as in the metric's function in `sktwotower.metrics`, k = places.

    Users left out: none. If the item of a positive is not in the catalog, it is a miss.

    Scikit-learn's successive halving, `learning_curve` and `cross_val_score` take one
    figure: use one metric there. A dict of scorers, `scoring={"a": scorer, ...}`, works
    too, but ranks once for each of them.

    Examples
    --------
    >>> from sktwotower.metrics import make_retrieval_scorer
    >>> make_retrieval_scorer("ndcg@20")
    make_retrieval_scorer('ndcg', k=20)

    Several figures of each fold, from one ranking:

    >>> import pandas as pd
    >>> from sklearn.model_selection import cross_validate
    >>> from sktwotower import PopularityRecommender
    >>> from sktwotower.datasets import make_interactions
    >>> from sktwotower.model_selection import LastNSplit
    >>> X = make_interactions(100, 50, n_clusters=3, random_state=0).data
    >>> scoring = make_retrieval_scorer(["recall@5", "ndcg@5"], standard_error=True)
    >>> folds = cross_validate(PopularityRecommender(), X, scoring=scoring,
    ...                        cv=LastNSplit(2, n_splits=2))
    >>> pd.DataFrame(folds).filter(like="test_").round(2)
       test_recall@5  test_recall@5 se  test_ndcg@5  test_ndcg@5 se
    0           0.11              0.02         0.07            0.01
    1           0.06              0.02         0.04            0.01
    """
    figures = [_parse(name, k) for name in names_of_metrics(metric, "recall@20")]
    names = {name for name, _ in figures}
    unknown = set(kwargs).difference(*(OPTIONS.get(name, ()) for name in names))
    if unknown:
        shown = ", ".join(map(repr, sorted(names)))
        raise TypeError(f"The metric {shown} takes no argument {sorted(unknown)}.")
    one = isinstance(metric, str) and not standard_error
    sample = {
        "max_users": max_users,
        "random_state": random_state,
        "requests": requests,
    }
    return _RetrievalScorer(figures, one, sample, standard_error, kwargs)


def _parse(metric, k):
    """Return the name and the k of a metric like 'recall@20'."""
    name, own_k = split_metric(metric, METRICS, OTHER_NAMES, "20")
    if own_k is not None:
        k = own_k
    return name, check_count(k, "k")


def names_of_metrics(metric, example):
    """Return the parameter ``metric``, one name or several, as a list after a check."""
    metrics = metric
    if isinstance(metric, str):
        metrics = [metric]
    if not isinstance(metrics, (list, tuple)) or not metrics:
        expected = f"a name like {example!r} or a list of them"
        raise ValueError(f"metric must be {expected}. Got {metric!r}.")
    return metrics


def split_metric(metric, known, other_names, example):
    """Return the name of a metric like 'recall@20', and its own k or None."""
    name, at, k = str(metric).partition("@")
    if name not in known:
        close = other_names.get(name.lower()) or closest(name.lower(), known, 0.5)
        hint = ""
        if close:
            hint = f" Did you mean {close!r}?"
        raise ValueError(f"metric must be one of {[*known]}. Got {metric!r}.{hint}")
    if at and not k.isdecimal():
        raise ValueError(f"metric must read like '{name}@{example}'. Got {metric!r}.")
    if not at:
        return name, None
    return name, int(k)


class _RetrievalScorer:
    """One metric, or several, of one estimator's ranking of held-out events."""

    def __init__(self, figures, one, sample, standard_error, params):
        self.figures = figures
        self.one = one
        self.sample = sample
        self.params = params
        self.standard_error = standard_error
        self._request = MetadataRequest(owner=repr(self))
        self._request.score.add_request(param="sample_weight", alias=None)

    def set_score_request(self, *, sample_weight):
        """Request `sample_weight` from scikit-learn's metadata routing.

        Parameters
        ----------
        sample_weight : bool, str or None
            True: request it. False: ignore it. A str: request the metadata of this
            name. None: raise an error if it is passed.

        Returns
        -------
        self : object
            The scorer.
        """
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_score_request is only available when metadata routing is enabled: "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        self._request.score.add_request(param="sample_weight", alias=sample_weight)
        return self

    def get_metadata_routing(self):
        """Return the requested metadata, as scikit-learn's routers need it."""
        return get_routing_for_object(self._request)

    def __call__(self, estimator, X, y=None, sample_weight=None):
        recommender, X = unwrap(estimator, X)
        sample = dict(self.sample)
        if sample["requests"] is None:
            del sample["requests"]
        ranking = rank(
            recommender,
            X,
            y,
            sample_weight=sample_weight,
            n_neighbors=max(k for _, k in self.figures),
            **sample,
        )
        table = GroupRanking(ranking, everyone(ranking))
        scores = {}
        for name, k in self.figures:
            options = OPTIONS.get(name, ())
            params = {p: value for p, value in self.params.items() if p in options}
            scores[f"{name}@{k}"] = table.mean(name, k, **params)
            if self.standard_error and name not in OF_ALL_LISTS:
                values = table.values(name, k, **params)
                scores[f"{name}@{k} se"] = float(standard_error(values, table.owners))
        if self.one:
            return next(iter(scores.values()))
        return scores

    def __repr__(self):
        options = self.sample | {"standard_error": self.standard_error or None}
        options = {key: value for key, value in options.items() if value is not None}
        options |= self.params
        text = "".join(f", {key}={value!r}" for key, value in options.items())
        names = [f"{name}@{k}" for name, k in self.figures]
        if len(names) > 1 or not (self.one or self.standard_error):
            return f"make_retrieval_scorer({names!r}{text})"
        name, k = self.figures[0]
        return f"make_retrieval_scorer({name!r}, k={k}{text})"


def unwrap(estimator, X, hint=""):
    """Return the recommender inside searches and Pipelines, and the X that reaches it.

    X None: only the recommender is needed.
    """
    if isinstance(estimator, type):
        name = estimator.__name__
        remedy = f"Fit one first: {name}().fit(X)."
        raise TypeError(f"Expected a fitted estimator, got the class {name}. {remedy}")
    while not _can_rank(estimator):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            if X is not None and len(estimator) > 1:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        elif hasattr(estimator, "__skrub_to_env_learner__"):
            estimator, X = _in_data_ops(estimator, X)
        else:
            raise TypeError(
                f"{type(estimator).__name__} cannot rank held-out events. Expected a "
                "recommender, which has rank_held_out or recommend(users, "
                "n_neighbors=10), a Pipeline that ends in one, or a search that was "
                f"fitted with refit. {hint}".rstrip()
            )
    return estimator, X


def _in_data_ops(learner, X):
    """Return the recommender that DataOps of skrub have fitted, and its X.

    ``learner``: what skrub passes to a scorer. Without a recommender its own learner.
    """
    owner = learner.__skrub_to_env_learner__()
    fitted = getattr(owner, "best_learner_", owner)
    node = fitted.data_op.skb.find(
        lambda node: _can_rank(getattr(node._skrub_impl, "estimator_", None))
    )
    if node is None:
        return fitted, X
    if X is not None:
        before = fitted.truncated_after(lambda other: other is node._skrub_impl.X)
        X = before.transform(learner._get_env(X, None))
    return node._skrub_impl.estimator_, X


def _can_rank(estimator):
    """Return whether an estimator ranks held-out events, or recommends."""
    return hasattr(estimator, "rank_held_out") or is_recommender(estimator)


def recommender_in(estimator):
    """Return the recommender inside an estimator, None if there is none."""
    try:
        return unwrap(estimator, None)[0]
    except TypeError:
        return None


def rank(estimator, X, y, *, n_neighbors, **params):
    """Return a recommender's ranking of at most its whole catalog."""
    name = type(estimator).__name__
    if not hasattr(estimator, "fit"):
        raise TypeError(
            f"{name} has no fit. Expected an estimator with fit, item_ids_ and "
            "recommend: derive it from sklearn.base.BaseEstimator. In the baselines of "
            "a report, recommend is enough."
        )
    check_is_fitted(estimator)
    if not hasattr(estimator, "item_ids_"):
        raise TypeError(
            f"{name} has no item_ids_: fit must keep the ids of its catalog there. "
            "sktwotower.base.check_recommender says what else is missing."
        )
    if params.get("max_users") is not None:
        check_count(params["max_users"], "max_users")
    n_before = len(estimator.item_ids_)
    k = min(n_neighbors, n_before)
    ranking = _rank_held_out(estimator, X, y, n_neighbors=k, **params)
    n_ranked = ranking.truth.shape[1]
    # another thread may have updated the recommender meanwhile
    if n_ranked not in (n_before, len(estimator.item_ids_)):
        raise ValueError(
            f"rank_held_out of {name} must rank its item_ids_, which are {n_before}. "
            f"Got truth of {n_ranked} items."
        )
    if n_before < min(n_ranked, n_neighbors):  # it has grown: all of it counts
        return rank(estimator, X, y, n_neighbors=n_neighbors, **params)
    if not ranking.truth.nnz and not ranking.n_unreachable.any():
        raise ValueError(
            "X has no positive event (y is None or y > 0): there is nothing to score."
        )
    return ranking


def _rank_held_out(estimator, X, y, **params):
    """Call the method of a recommender or a wrapper, and check what it returns."""
    name = type(estimator).__name__
    if not hasattr(estimator, "rank_held_out"):
        return held_out_by_lists(estimator, X, y, **params)
    try:
        ranking = estimator.rank_held_out(X, y, **params)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            error.add_note(
                f"Expected of {name}: rank_held_out(X, y=None, sample_weight=None, *, "
                "n_neighbors, max_users=None, random_state=None, history=None, "
                f"requests=None). It was called with {', '.join(params)}."
            )
        raise
    if not isinstance(ranking, HeldOutRanking):
        expected = "a HeldOutRanking of sktwotower.metrics"
        got = f"Got {type(ranking).__name__}."
        raise TypeError(f"rank_held_out of {name} must return {expected}. {got}")
    return ranking
