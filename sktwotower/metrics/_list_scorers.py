"""Scorers of the order within lists that were shown, for ``scoring=`` of scikit-learn.

Input: a fitted estimator and shown items X (n_rows, n_columns) with outcomes (n_rows,).
Output: one number per metric.
"""

from collections.abc import Callable

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from sktwotower._tables._columns import as_table, position_of
from sktwotower._tables._frames import as_frame, is_frame
from sktwotower._tables._messages import check_count
from sktwotower._tables._schema import read_table
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._retrieval import RetrievalMixin

from ._hits import standard_error
from ._ranked_lists import METRICS, RankedLists, check_one_user, mean_over_lists
from ._scorers import names_of_metrics, recommender_in, split_metric, unwrap
from ._truth import columns_of_fit, ids_of_rows

OTHER_NAMES = {"auc": "roc_auc", "gauc": "roc_auc", "mrr": "reciprocal_rank"}


def make_list_scorer(
    metric: str | list[str] = "roc_auc", *, lists, k=10, standard_error=False
) -> Callable:
    """Make a scorer of the order within lists that were shown, for searches.

    The scorer lets the estimator score each row, sorts each list by these scores, and
    compares with the outcomes. It works on recommenders, on Pipelines and searches
    around them, and on rankers: regressors, and classifiers by their decision function
    or the probability of the last class.

    Parameters
    ----------
    metric : str or list of str, default="roc_auc"
        'roc_auc', 'ndcg' or 'reciprocal_rank', the last two also with their k:
        'ndcg@5'. A list: several, from the same scores.
    lists : str or int
        Column of X (or its position) that names the list of each row, such as an
        impression or a query. If X of fit lacked it, it is not passed to the estimator.
    k : int, default=10
        Number of places that count in 'ndcg', >= 1. 'reciprocal_rank' has a k only if
        it is in `metric`.
    standard_error : bool, default=False
        Whether to return each figure's standard error as well. Lists of one user may
        depend on each other, and count as one cluster.

    Returns
    -------
    scorer : callable
        `scorer(estimator, X, y)` returns a float, higher is better. For a list of
        metrics, or with `standard_error`, a dict of floats by name, 'ndcg@5' and
        'ndcg@5 se', as scikit-learn takes it: searches then need `refit='ndcg@5'`. Can
        be pickled.

    Raises
    ------
    NotFittedError
        When called: if the estimator is not fitted.
    ValueError
        If `metric` is unknown or empty, or k < 1. When called: if X lacks the column, a
        list has rows of several users, or no list counts.
    TypeError
        If k is not an integer. When called: if y is missing, or the estimator has no
        predict.

    See Also
    --------
    retrieval_report : The same, compared with popularity, with ``lists``.
    make_retrieval_scorer : Metrics of the whole catalog, ranked.

    Notes
    -----
    Denominator: as in `roc_auc_by_list`, `ndcg_by_list` and `reciprocal_rank_by_list`.

    Lists left out: as in these functions. For recommenders, whose column of users is
    known, a list must be of one user.

    A split by rows puts parts of a list into train and test: split by time, or with
    `sklearn.model_selection.GroupKFold` by list.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from sktwotower import ClickRateRecommender
    >>> from sktwotower.metrics import make_list_scorer
    >>> X = pd.DataFrame({"user": ["ann", "ann", "bob", "bob"],
    ...                   "item": ["tea", "jam", "tea", "jam"],
    ...                   "list": [1, 1, 2, 2]})
    >>> model = ClickRateRecommender().fit(X, y=[1, 0, 1, 0])
    >>> make_list_scorer(lists="list")(model, X, y=[1, 0, 0, 1])
    0.5
    """
    one = isinstance(metric, str) and not standard_error
    figures = [_parse(name, k) for name in names_of_metrics(metric, "ndcg@5")]
    return _ListScorer(figures, one, lists, standard_error)


def _parse(metric, k):
    """Return the name in results, the metric and its k of a text like 'ndcg@5'."""
    name, own_k = split_metric(metric, METRICS, OTHER_NAMES, "5")
    if own_k is None and name != "ndcg":
        return name, name, None
    if name == "roc_auc":
        expected = f"one of {[*METRICS]}; 'roc_auc' has no k"
        raise ValueError(f"metric must be {expected}. Got {metric!r}.")
    if own_k is not None:
        k = own_k
    k = check_count(k, "k")
    return f"{name}@{k}", name, k


class _ListScorer:
    """One metric, or several, of the order of an estimator's scores within lists.

    ``otherwise``: the figure of rows of which no list counts. None: an error is raised.
    """

    otherwise = None

    def __init__(self, figures, one, lists, standard_error):
        self.figures = figures
        self.one = one
        self.lists = lists
        self.standard_error = standard_error

    def __call__(self, estimator, X, y=None):
        need_outcomes(y)
        given, groups = split_lists(estimator, X, self.lists)
        names = "y", "the scores", f"the column {self.lists!r} of lists"
        ranked = RankedLists(y, scores_of(estimator, given), groups, names)
        owners = None
        if recommender_in(estimator) is not None:
            users, _ = pairs_of_rows(*unwrap(estimator, given))
            owners = check_one_user(ranked, users)
        scores = {}
        for name, metric, k in self.figures:
            values = ranked.values(metric, k)
            scores[name] = mean_over_lists(values, self.otherwise)
            if self.standard_error:
                scores[f"{name} se"] = float(standard_error(values, owners))
        if self.one:
            return next(iter(scores.values()))
        return scores

    def __repr__(self):
        names = [name for name, *_ in self.figures]
        if len(names) == 1:
            names = names[0]
        error = ""
        if self.standard_error:
            error = ", standard_error=True"
        return f"make_list_scorer({names!r}, lists={self.lists!r}{error})"


def need_outcomes(y):
    """Raise ``TypeError`` if there are no outcomes."""
    if y is None:
        raise TypeError(
            "The order of shown items is judged by what came of them: pass y, > 0 "
            "where an item was chosen and 0 where it was not."
        )


def split_lists(estimator, X, lists):
    """Return X as the estimator takes it, and the list (n_rows,) of each row.

    The column ``lists`` is left out of X unless it was in X of fit; so are further ones
    of a dataframe.
    """
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(f"Expected a fitted estimator. Got {estimator!r}.")
    if is_frame(X):
        frame = as_frame(X, "X")
        at = position_of(frame.columns, lists, "lists")
        groups = frame.iloc[:, at]
        if _is_new_column(estimator, frame.columns[at], frame.shape[1]):
            frame = frame.drop(columns=frame.columns[at])
        return columns_of_fit(estimator, frame), groups
    array = as_table(X)
    at = position_of(range(array.shape[1]), lists, "lists")
    if _is_new_column(estimator, None, array.shape[1]):
        return np.delete(array, at, axis=1), array[:, at]
    return array, array[:, at]


def _is_new_column(estimator, name, n_columns):
    """Return whether X of fit did not have the column; False if that is not known."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None and isinstance(estimator, Pipeline):
        return _is_new_column(estimator[-1], name, n_columns)
    if names is not None and name is not None:
        return name not in list(names)
    return n_columns > getattr(estimator, "n_features_in_", n_columns)


def pairs_of_rows(recommender, X):
    """Return the user and the item of each row of X, two Indexes (n_rows,).

    A recommender of another library reads the columns that its parameters ``user_id``
    and ``item_id`` name, or else the first two.
    """
    if not isinstance(recommender, RetrievalMixin):
        names = (getattr(recommender, key, None) for key in ("user_id", "item_id"))
        return ids_of_rows(X, *names)[1:]
    fitted = fitted_of(recommender)
    frame, _ = read_table(type(recommender).__name__, X, fitted.schema)
    names = fitted.users.id_column, fitted.items.id_column
    return ids_of_rows(frame[[*names]], *names)[1:]


def scores_of(estimator, X, **past):
    """Return the score (n_rows,) of each row of X, higher for better items.

    ``past``: the ``history`` that fit has not seen, or nothing; passed on to
    ``predict``.
    """
    if is_classifier(estimator) and hasattr(estimator, "decision_function"):
        return np.asarray(estimator.decision_function(X))
    if is_classifier(estimator):
        return probabilities_of(estimator, X)
    if not hasattr(estimator, "predict"):
        raise TypeError(
            f"{type(estimator).__name__} cannot score the rows of lists: it has no "
            "predict. Expected a fitted recommender, classifier or regressor."
        )
    return np.asarray(estimator.predict(X, **past))


def probabilities_of(estimator, X, **past):
    """Return the probability (n_rows,) of the last class of each row of X.

    ``past``: as of `scores_of`, for recommenders.
    """
    if not hasattr(estimator, "predict_proba"):
        remedy = "Expected a fitted classifier, or a TwoStageRecommender with lists."
        raise TypeError(f"{type(estimator).__name__} has no predict_proba. {remedy}")
    X = columns_of_fit(estimator, X)
    return np.asarray(estimator.predict_proba(X, **past))[:, -1]
