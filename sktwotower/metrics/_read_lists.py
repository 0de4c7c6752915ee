"""Lists that were shown, read from a table of events for a fitted estimator.

Input: an estimator, events X (n_rows, n_columns) and the column that names the list.
Output: the table to score, and the list, user, item and score of each row, (n_rows,).
"""

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from sktwotower._tables._columns import as_table, position_of
from sktwotower._tables._frames import as_frame, is_frame
from sktwotower._tables._schema import read_table
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._retrieval import RetrievalMixin

from ._truth import columns_of_fit, ids_of_rows


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
