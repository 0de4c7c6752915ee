"""How lists that were shown are ordered: by the retriever, click rates or a ranker.

Input: events after the cut, of which some were shown and not chosen.
Output: a ``ListStage``, whose scores (n_rows,) are higher for better items.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._records import number, one_of, record, share
from sktwotower._tables._event_table import users_of_events
from sktwotower._tables._messages import warn

from ._ranker import N_FOLDS, FittedRanker, LabelledRows, scores_by_others
from ._shown_rows import ShownRows, describe_rows

# From the simplest on: the next one must pay by more than its standard error.
ORDERS = "retriever", "click_rate", "ranker"
# A ranker is trained on at most this many rows.
MAX_ROWS = 200_000
# A choice at a position of this factor, or of a lower one, counts ten times.
MIN_FACTOR = 0.1
# With fewer users who chose something and not all, what a ranker learns is noise.
MIN_USERS = 20


@record
class ListStage(NamedTuple):
    """How lists that were shown are ordered.

    Parameters
    ----------
    order : {"retriever", "click_rate", "ranker"}
        What orders them.
    ranker : FittedRanker
        The ranker.
    first : float or None
        The position that all items are given. None: positions are not known.
    rate : float
        Click rate of items that fit has not seen.
    gains : DataFrame
        For each order the ``roc_auc``, the ``gain`` and its ``standard_error``.
    """

    order: one_of(*ORDERS)
    ranker: FittedRanker
    first: number() | None
    rate: share()
    gains: pd.DataFrame

    def scores(self, features):
        """Return the scores (n_rows,) by click rate or ranker of described rows."""
        if self.order == "click_rate":
            return _click_rates(features, self.rate)
        return self.ranker.scores(_with_position(features, self.first))


def train_on_lists(recipe, columns, ranker, retriever, describer, later):
    """Return a ``ListStage``; None, after a warning, if there is too little to learn.

    The ``retriever`` and the ``describer`` are of the events before the cut, ``later``,
    `ReadEvents`, are those after it. ``columns``: ``ShownColumns``.
    """
    later = later.part(columns.rows(later.frame))
    n_users = _count_users(later, columns)
    if n_users < MIN_USERS or describer.log.click_rates is None:
        warn(
            "No ranker of lists was trained: there are too few events. Both sides of "
            "the cut need rows with y = 0, and the later one lists with y > 0 and "
            f"y = 0 of {MIN_USERS} users; it has those of {n_users}. predict scores in "
            "the order of recommend."
        )
        return None
    rng = np.random.default_rng(recipe.random_state)
    sizes = np.bincount(later.users)
    sampled = users_of_events(sizes, rng, max(MAX_ROWS, sizes.max()))
    later = later.part(np.isin(later.users, sampled))
    shown = _rows(retriever, describer, later.frame)
    later = later.part(shown.order)
    features = describe_rows(describer, retriever, recipe.n_candidates, shown)
    positions, first = columns.positions(later.frame), None
    weights = np.ones(len(features))
    if positions is not None:
        weights /= np.maximum(describer.log.places.at(positions), MIN_FACTOR)
        first = float(np.nanmin(positions))
        features = features.assign(position=positions)
    groups, rate = pd.factorize(later.frame[columns.lists])[0], later.chosen.mean()
    rows = LabelledRows(features, later.chosen.astype(np.int64), groups)
    users, named = shown.users, recipe.ranker is not None
    folds = (rng.permutation(users.max() + 1) % N_FOLDS)[users]
    judged = _with_position(features, first)
    by_others, _ = scores_by_others(ranker, rows, folds, named, judged)
    scores = {
        "retriever": np.nan_to_num(shown.scores, nan=np.nanmin(shown.scores) - 1),
        "click_rate": _click_rates(features, rate),
        "ranker": by_others,
    }
    order, gains = _choose(rows, users, scores, weights)
    return ListStage(order, rows.fit(ranker, named), first, float(rate), gains)


def _rows(retriever, describer, frame):
    """Return the ``ShownRows`` of a table of events that came after the cut."""
    fitted = retriever._fitted
    known = fitted.items.codes(frame[fitted.items.id_column], "X") >= 0
    scores = np.full(len(frame), np.nan)
    if known.any():
        scores[known] = retriever.predict(frame[known])

    def past(query):
        return describer.log.past(query, fitted.past(query))

    return ShownRows.of(fitted, describer.context, frame, scores, past)


def _count_users(later, columns):
    """Return the number of users with a list of which they chose a part."""
    chosen = pd.Series(later.chosen).groupby(later.frame[columns.lists].to_numpy())
    both = chosen.transform("any") & ~chosen.transform("all")
    return len(np.unique(later.users[both]))


def _with_position(features, first):
    """Return features with all items at the first position, if positions are known."""
    return features if first is None else features.assign(position=first)


def _click_rates(features, rate):
    """Return the click rate (n_rows,); ``rate`` for items that fit has not seen."""
    return features["click_rate"].fillna(rate).to_numpy(float)


def _choose(table, users, scores, weights):
    """Return one of ``ORDERS``, and the gain of each over the retriever.

    ``scores``: those of each order, (n_rows,), a dict. ``weights`` (n_rows,): how much
    a row counts if it was chosen. The mean area under the ROC curve of lists decides.
    """
    areas = {name: _areas(table, scores[name], weights) for name in ORDERS}
    areas = pd.DataFrame(areas)
    totals = _areas(table, None, weights)
    owners = pd.Series(users).groupby(table.groups).first()[areas.index]
    best, rows = "retriever", []
    for name in ORDERS:
        gain, error = _mean(areas[name] - areas[best], totals, owners)
        best = name if gain > error else best
        figures = _mean(areas[name] - areas["retriever"], totals, owners)
        rows.append((name, areas[name].sum() / totals.sum(), *figures))
    columns = ["order", "roc_auc", "gain", "standard_error"]
    return best, pd.DataFrame(rows, columns=columns)


def _areas(table, scores, weights):
    """Return the area under the ROC curve of each list, a Series (n_lists,).

    It is the mean over the chosen items of the share of the others that are below, each
    times its weight; without ``scores`` the mean weight. Lists without chosen items, or
    without others, are left out.
    """
    rows = pd.DataFrame({"list": table.groups, "y": table.labels, "weight": weights})
    others = (rows["y"] == 0).groupby(rows["list"]).sum()
    rows["others"] = others[rows["list"]].to_numpy()
    chosen = rows[(rows["y"] > 0) & (rows["others"] > 0)]
    if scores is None:
        return chosen["weight"].groupby(chosen["list"]).mean()
    scores = pd.Series(scores)
    among_all = scores.groupby(rows["list"]).rank()[chosen.index]
    among_chosen = scores[chosen.index].groupby(chosen["list"]).rank()
    below = (among_all - among_chosen) / chosen["others"]
    return (below * chosen["weight"]).groupby(chosen["list"]).mean()


def _mean(values, totals, owners):
    """Return the weighted mean of lists, and its standard error over users."""
    mean = values.sum() / totals.sum()
    sums = (values - mean * totals).groupby(owners.to_numpy()).sum()
    n_users = len(sums)
    return mean, np.sqrt((sums**2).sum() * n_users / (n_users - 1)) / totals.sum()
