"""The order of several models within lists that were shown, by groups of users.

Input: a fitted recommender, shown items X (n_rows, n_columns) and outcomes (n_rows,).
Output: figures of each group and model, as a dict by both names.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from sktwotower._tables._frames import is_frame
from sktwotower._tables._ids import positions_of
from sktwotower._tables._messages import check_count

from ._compared import named
from ._hits import standard_error
from ._ranked_lists import RankedLists, check_one_user, mean_over_lists
from ._ranking import first_rows
from ._read_lists import need_outcomes, pairs_of_rows, scores_of, split_lists
from ._scorers import rank, unwrap


class _Shown(NamedTuple):
    """Rows of lists: outcome, list, user, scores of each model, (n_rows,) each.

    ``known``: whether the item is in the catalog. ``n_events``: number of events of the
    user in fit, nan for users without a positive row.
    """

    y: np.ndarray
    groups: pd.Index
    users: pd.Index
    known: np.ndarray
    n_events: np.ndarray
    scores: dict

    def take(self, rows):
        """Return a part of the rows, by a mask (n_rows,)."""
        scores = {model: values[rows] for model, values in self.scores.items()}
        return _Shown(*(values[rows] for values in self[:-1]), scores)

    def ranked(self):
        """Return the ``RankedLists`` of each model, a dict."""
        return {
            model: RankedLists(self.y, values, self.groups, _names(model))
            for model, values in self.scores.items()
        }


def _names(model):
    """Return what errors call the outcomes, the scores and the lists of a model."""
    return "y", f"the scores of {model!r}", "the column of lists"


def compare_within_lists(
    estimator, X, y, ks, lists, *, baselines, max_users, random_state, history
):
    """Return figures by (group, model), and what was left out by reason.

    The parameters are those of `retrieval_report`; ``ks`` is a list.
    """
    need_outcomes(y)
    shown = _read(estimator, X, y, lists, baselines, history)
    whole = next(iter(shown.ranked().values()))
    owners = check_one_user(whole, shown.users)
    counted = whole.has_choice()
    mean_over_lists(whole.values("ndcg"))  # raises if no list counts
    left_out = {
        "lists without a positive row": int((whole.positives == 0).sum()),
        "lists of one row": int(((whole.positives > 0) & (whole.sizes == 1)).sum()),
    }
    judged = np.unique(owners[counted])
    sample = _sample(judged, max_users, random_state)
    if len(sample) < len(judged):
        left_out["users not sampled"] = len(judged) - len(sample)
    shown = shown.take(shown.users.isin(sample))
    rows = {}
    for group, part in _groups(shown):
        ranked = part.ranked() if len(part.y) else {}
        first = next(iter(ranked.values()), None)
        if first is not None and first.has_choice().any():
            owners = check_one_user(first, part.users)
            for model, lists_of_model in ranked.items():
                rows[group, model] = _row(lists_of_model, first, owners, ks)
    return rows, left_out


def _read(estimator, X, y, lists, baselines, history):
    """Return the ``_Shown`` rows of X, scored by all models."""
    given, groups = split_lists(estimator, X, lists)
    recommender, inner = unwrap(estimator, given)
    users, items = pairs_of_rows(recommender, inner)
    params = {} if history is None else {"history": history}
    fit = rank(recommender, inner, y, n_neighbors=0, **params)
    positions = positions_of(items, pd.Index(recommender.item_ids_))
    counts = np.append(fit.item_counts, 0)  # the last entry is for -1
    first = first_rows(fit.users)  # all requests of a user have the same counts
    places = pd.Index(fit.users[first]).get_indexer(users)
    n_events = np.append(fit.user_counts[first].astype(float), np.nan)[places]
    scores = {
        type(recommender).__name__: scores_of(estimator, given, history),
        "popularity": counts[positions],
    }
    rates = getattr(vars(recommender).get("_fitted"), "click_rates", None)
    if rates is not None:
        scores["click rate"] = np.append(rates, rates.mean())[positions]
    for name, baseline in named(baselines, scores, _class_of).items():
        scores[name] = _scores_of_baseline(name, baseline, X, lists, history)
    RankedLists(y, scores["popularity"], groups, _names("popularity"))  # checks lengths
    return _Shown(
        np.asarray(y), pd.Index(groups), users, positions >= 0, n_events, scores
    )


def _scores_of_baseline(name, baseline, X, lists, history):
    """Return the scores (n_rows,) of a baseline: an estimator, or an array of them."""
    if is_frame(baseline) or isinstance(baseline, Mapping):
        raise TypeError(
            f"{name!r} ranks the catalog, but with lists a model must score the rows "
            "of X. Pass a fitted estimator, or an array of one score per row."
        )
    if hasattr(baseline, "fit") or isinstance(baseline, type):
        past = None if _recommender_in(baseline) is None else history
        return scores_of(baseline, split_lists(baseline, X, lists)[0], past)
    scores = np.asarray(baseline)
    if scores.shape != (len(X),) or scores.dtype.kind not in "iufb":
        raise ValueError(
            f"{name!r} must hold one score per row of X, {len(X)} numbers. Got shape "
            f"{scores.shape} and dtype {scores.dtype}."
        )
    return scores


def _class_of(baseline):
    """Return the class of a baseline in a list: of the recommender, or its own."""
    if not hasattr(baseline, "fit"):
        raise TypeError(
            "An array among baselines needs a name: baselines={'name': scores}. Got "
            f"{type(baseline).__name__} in a list, where estimators are expected."
        )
    recommender = _recommender_in(baseline)
    return type(baseline if recommender is None else recommender)


def _recommender_in(estimator):
    """Return the recommender inside an estimator; None if it only scores rows."""
    try:
        return unwrap(estimator, None)[0]
    except TypeError:
        return None


def _sample(users, max_users, random_state):
    """Return a random sample of distinct users, or all of them."""
    if max_users is None or check_count(max_users, "max_users") >= len(users):
        return users
    return check_random_state(random_state).choice(users, max_users, replace=False)


def _groups(shown):
    """Yield the name and the rows of each group; the first holds all."""
    yield "all", shown
    if not shown.known.all():
        yield "known items", shown.take(shown.known)
    first = ~shown.users.duplicated()
    few = shown.n_events <= np.nanmedian(shown.n_events[first])
    yield "few events", shown.take(few)
    yield "many events", shown.take(~few)
    yield "cold users", shown.take(shown.n_events == 0)


def _row(ranked, first, owners, ks):
    """Return the report's figures of one model, a dict of column to number.

    Differences are from ``first``, of the same lists.
    """
    row, counted = {}, ranked.has_choice()
    metrics = {"roc_auc": ("roc_auc", None)}
    metrics |= {f"ndcg@{k}": ("ndcg", k) for k in ks}
    metrics["mrr"] = ("reciprocal_rank", None)
    for name, (metric, k) in metrics.items():
        values = ranked.values(metric, k)
        less = values - first.values(metric, k)
        for title, figures in ((name, values), (f"{name} diff", less)):
            has_values = not np.isnan(figures).all()
            row[title] = mean_over_lists(figures) if has_values else np.nan
            row[f"{title} se"] = standard_error(figures, owners)
    return row | {
        "users": len(np.unique(owners[counted])),
        "lists": int(counted.sum()),
        "roc_auc lists": int(ranked.has_both().sum()),
    }
