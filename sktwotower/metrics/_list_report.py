"""The order of several models within lists that were shown, by groups of users.

Input: a fitted recommender, shown items X (n_rows, n_columns) and outcomes (n_rows,).
Output: figures of each group and model, as a dict by both names.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sktwotower._tables._frames import is_frame
from sktwotower._tables._ids import positions_of
from sktwotower.retrieval._fitted_state import state_of

from ._calibration import expected_calibration_error
from ._compared import check_columns, named
from ._hits import compared
from ._list_scorers import (
    need_outcomes,
    pairs_of_rows,
    probabilities_of,
    scores_of,
    split_lists,
)
from ._ranked_lists import RankedLists, check_one_user, mean_over_lists
from ._ranking import first_rows
from ._scorers import rank, recommender_in, unwrap
from ._truth import sample_of


def compare_within_lists(
    estimator, X, y, ks, lists, *, baselines, max_users, random_state, history
):
    """Return figures by (group, model), what was left out by reason, and who is lost.

    The third value is a dict of group to names of models whose scores are all the same.

    The parameters are those of `retrieval_report`; ``ks`` is a list.
    """
    need_outcomes(y)
    shown, scores, whole = _read(estimator, X, y, lists, baselines, history)
    owners = check_one_user(whole, shown["user"])
    mean_over_lists(whole.values("ndcg"))  # raises if no list counts
    left_out = {
        "lists without a positive row": int((whole.positives == 0).sum()),
        "lists of one row": int(((whole.positives > 0) & (whole.sizes == 1)).sum()),
    }
    judged = np.unique(owners[whole.has_choice()])
    sample = sample_of(len(judged), max_users, "max_users", random_state)
    if len(sample) < len(judged):
        left_out["users not sampled"] = len(judged) - len(sample)
    shown = shown[shown["user"].isin(judged[sample])]
    rows = {}
    lost = {}
    for group, part in _groups(shown):
        ranked = {}
        constant = []
        for model, values in scores.items():
            if np.ptp(values[part.index]) == 0:
                constant.append(model)
            ranked[model] = RankedLists(part["y"], values[part.index], part["list"])
        first = next(iter(ranked.values()))
        if first.has_choice().any():
            if constant:
                lost[group] = tuple(constant)
            owners = check_one_user(first, part["user"])
            for model, lists_of_model in ranked.items():
                rows[group, model] = _row(lists_of_model, first, owners, ks)
                prob = part.get(f"probability of {model}")
                error = np.nan
                if prob is not None:
                    error = expected_calibration_error(part["y"], prob)
                rows[group, model]["expected_calibration_error"] = error
    return rows, left_out, lost


def _read(estimator, X, y, lists, baselines, history):
    """Return the shown rows, the scores (n_rows,) of each model, a dict, and lists.

    These are the ``RankedLists`` of the first model. The rows are a table of the
    outcome, the list and the user, whether the item is in the catalog, the user's
    number of events in fit, nan without a positive row, and the probabilities of models
    that have any.
    """
    check_columns(named(baselines, (), _class_of), X)
    given, groups = split_lists(estimator, X, lists)
    recommender, inner = unwrap(estimator, given)
    users, items = pairs_of_rows(recommender, inner)
    past = {}
    if history is not None:
        past = {"history": history}
    fit = rank(recommender, inner, y, n_neighbors=0, **past)
    positions = positions_of(items, pd.Index(recommender.item_ids_))
    counts = np.append(fit.item_counts, 0)  # the last entry is for -1
    first = first_rows(fit.users)  # all requests of a user have the same counts
    places = pd.Index(fit.users[first]).get_indexer(users)
    n_events = np.append(fit.user_counts[first].astype(float), np.nan)[places]
    columns = {"y": np.asarray(y), "list": pd.Index(groups), "user": users}
    columns |= {"known": positions >= 0, "n_events": n_events}
    scores = {type(recommender).__name__: None, "popularity": counts[positions]}
    fitted = state_of(recommender)
    if fitted is not None and fitted.click_rates is not None:
        rates = fitted.click_rates
        scores["click rate"] = np.append(rates, rates.mean())[positions]
    models = {type(recommender).__name__: estimator}
    models |= named(baselines, scores, _class_of)
    for name, model in models.items():
        scores[name], prob = _predicted(name, model, X, lists, past)
        if prob is not None:
            columns[f"probability of {name}"] = prob
    ranked = []
    for name, values in scores.items():  # checks them
        labels = "y", f"the scores of {name!r}", "the column of lists"
        ranked.append(RankedLists(y, values, groups, labels))
    return pd.DataFrame(columns), scores, ranked[0]


def _predicted(name, model, X, lists, past):
    """Return scores and probabilities (n_rows,) of a model, None if it has none.

    It is an estimator, or an array of scores. ``past``: as of `scores_of`.
    """
    if is_frame(model) or isinstance(model, Mapping):
        raise TypeError(
            f"{name!r} ranks the catalog, but with lists a model must score the rows "
            "of X. Pass a fitted estimator, or an array of one score per row."
        )
    if not hasattr(model, "fit"):
        return np.asarray(model), None
    given, _ = split_lists(model, X, lists)
    if recommender_in(model) is None:
        past = {}
    prob = None
    if hasattr(model, "predict_proba"):
        prob = probabilities_of(model, given, **past)
    return scores_of(model, given, **past), prob


def _class_of(baseline):
    """Return the class of a baseline in a list: of the recommender, or its own."""
    if not hasattr(baseline, "fit"):
        raise TypeError(
            "An array among baselines needs a name: baselines={'name': scores}. Got "
            f"{type(baseline).__name__} in a list, where estimators are expected."
        )
    recommender = recommender_in(baseline)
    return type(baseline if recommender is None else recommender)


def _groups(shown):
    """Yield the name and the rows of each group that has any; the first holds all."""
    yield "all", shown
    first = ~shown["user"].duplicated()
    few = shown["n_events"] <= np.nanmedian(shown["n_events"][first])
    parts = {"known items": shown["known"], "few events": few, "many events": ~few}
    parts["cold users"] = shown["n_events"] == 0
    if shown["known"].all():
        del parts["known items"]
    for name, rows in parts.items():
        if rows.any():
            yield name, shown[rows]


def _row(ranked, first, owners, ks):
    """Return the report's figures of one model, a dict of column to number.

    Differences are from ``first``, of the same lists.
    """
    row = {}
    counted = ranked.has_choice()
    metrics = [("roc_auc", "roc_auc", None)]
    metrics += [(f"ndcg@{k}", "ndcg", k) for k in ks]
    metrics.append(("mrr", "reciprocal_rank", None))
    for name, metric, k in metrics:
        values = ranked.values(metric, k)
        row |= compared(name, values, first.values(metric, k), owners)
    sizes = {"users": len(np.unique(owners[counted])), "lists": int(counted.sum())}
    return row | sizes | {"roc_auc lists": int(ranked.has_both().sum())}
