"""Enters: a fitted recommender and held-out events X (n_events, n_columns).

Leaves: one number (the scorer), or a table, (group, model) by metrics (the report).
Next: model_selection.py, which cuts the held-out events off.
"""

import shutil
from difflib import get_close_matches
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from ._hits import (
    PER_USER,
    check_k,
    find_hits,
    mean_novelty,
    mean_over_users,
    per_user_values,
    self_information,
)

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
        ranking = _rank(
            *_unwrap(estimator, X),
            y,
            sample_weight=sample_weight,
            n_neighbors=self.k,
            max_users=self.max_users,
            random_state=self.random_state,
        )
        _, truth, counted, lost = next(_groups(ranking))
        table = _Table(ranking, truth, counted, ranking.indices, lost)
        return table.mean(self.metric, self.k, **self.params)

    def __repr__(self):
        options = {"max_users": self.max_users, "random_state": self.random_state}
        options = {key: value for key, value in options.items() if value is not None}
        text = "".join(f", {key}={value!r}" for key, value in options.items())
        text += "".join(f", {key}={value!r}" for key, value in self.params.items())
        return f"make_retrieval_scorer({self.metric!r}, k={self.k}{text})"


def _unwrap(estimator, X):
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


def _rank(estimator, X, y, **params):
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


class _Table:
    """Rankings of some users beside their truth; all metrics come from here."""

    def __init__(self, ranking, truth, rows, indices, lost=0):
        self.truth = truth[rows]
        self.indices = np.asarray(indices)[rows]
        self.item_counts = np.asarray(ranking.item_counts)
        self.hits, self.n_relevant = find_hits(
            self.truth, self.indices, max(self.indices.shape[1], 1)
        )
        # Relevant items that are not in the catalogue: misses of any ranking.
        self.n_relevant = self.n_relevant + np.broadcast_to(lost, rows.shape)[rows]

    def values(self, metric, k, **params):
        """Return the metric of each user, (n_users,)."""
        hits = np.zeros((len(self.hits), k), dtype=bool)
        width = min(k, self.hits.shape[1])
        hits[:, :width] = self.hits[:, :width]
        return per_user_values(metric, hits, self.n_relevant, **params)

    def mean(self, metric, k, **params):
        """Return the metric over all users, a float."""
        if metric in PER_USER:
            return mean_over_users(self.values(metric, k, **params))
        rows, places = np.nonzero(self.indices[:, :k] >= 0)
        items = self.indices[rows, places]
        if metric == "coverage":
            return len(np.unique(items)) / len(self.item_counts)
        information = self_information(self.item_counts, **params)
        return mean_novelty(rows, information[items])

    def row(self, ks):
        """Return the report's figures, a dict of column to number."""
        row = {}
        for k in ks:
            recalls = self.values("recall", k)
            error = recalls.std(ddof=1) if len(recalls) > 1 else np.nan
            row[f"recall@{k}"] = self.mean("recall", k)
            row[f"recall@{k} se"] = error / np.sqrt(len(recalls))
            row[f"ndcg@{k}"] = self.mean("ndcg", k)
            row[f"mrr@{k}"] = self.mean("reciprocal_rank", k)
            for metric in ("hit_rate", "coverage", "novelty"):
                row[f"{metric}@{k}"] = self.mean(metric, k)
        return row | {"users": len(self.hits), "events": int(self.n_relevant.sum())}


def retrieval_report(
    estimator,
    X,
    y=None,
    *,
    k=(10, 20),
    max_users=None,
    random_state=None,
    baselines=None,
):
    """Compare a recommender with popularity on held-out events, overall and by group.

    For each user with positives in X (y is None or y > 0) the whole catalogue is
    ranked, with the items seen in fit left out except the positives of X itself.

    Parameters
    ----------
    estimator : fitted recommender, or Pipeline or search object around one
        What is reported on, under its class name.
    X : DataFrame or array of shape (n_events, n_columns)
        Held-out events, with the columns of fit.
    y : array of shape (n_events,), default=None
        What came of each event; positives are those > 0. None: all are positive.
    k : int or sequence of int, default=(10, 20)
        Numbers of places that count, >= 1 each.
    max_users : int, default=None
        Report on a random sample of so many users, the same for all models. None: all.
    random_state : int, RandomState instance or None, default=None
        Draws the sample of users.
    baselines : dict of str to fitted estimator, default=None
        Further models, fitted on the same events, by the name they are reported under.

    Returns
    -------
    report : DataFrame of shape (n_groups * n_models, 7 * n_k + 2)
        The rows are named by (group, model). Columns per k: 'recall@k', 'recall@k se'
        (its standard error over the users), 'ndcg@k', 'mrr@k', 'hit_rate@k',
        'coverage@k' and 'novelty@k' (bits); at the end 'users' and 'events' that count.
        Its `attrs` tell how many 'events_not_in_catalogue' there are.

    Raises
    ------
    ValueError
        If X has no positive event, if k < 1, or if a baseline has the name
        of another model or does not know the users of X.
    TypeError
        If k is no integer, or an estimator cannot rank held-out events.

    See Also
    --------
    make_retrieval_scorer : One figure of the group 'all', for searches.

    Notes
    -----
    The groups restrict what is relevant or who counts, never what is ranked (an event
    of fit counts once per user and item):

    - 'all'. A positive whose item is not in the catalogue is a miss, here and in the
      groups of users.
    - 'known items', shown if there are such misses: without them.
    - 'head items': the most popular items that together hold half of the training
      events; 'tail items': all others.
    - 'few events': users with at most the median number of training events among those
      that count; 'many events': the others.
    - 'cold items', 'cold users': those without any training event.

    A group that nobody is in is not shown. Model 'popularity' ranks by the number of
    training events, ties by position in the catalogue, and leaves out what the
    estimator leaves out. Truth, groups and counts are those of `estimator` for all
    models; a baseline's item that is not in its catalogue is a miss.

    Denominator: as in the functions of `sktwotower.metrics`; coverage is a share of the
    estimator's catalogue.

    Users left out: those without a relevant item in the group. Repeats of one user and
    item count once.

    Examples
    --------
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.datasets import make_interactions
    >>> from sktwotower.metrics import retrieval_report
    >>> data = make_interactions(100, 50, random_state=0)
    >>> X, held_out = data.data[~data.test_mask], data.data[data.test_mask]
    >>> model = TwoTowerRecommender(random_state=0).fit(X)
    >>> report = retrieval_report(model, held_out, k=10)
    >>> recall = report.loc["all", "recall@10"]
    >>> bool(recall["TwoTowerRecommender"] > recall["popularity"])
    True
    """
    ks = [check_k(each) for each in np.atleast_1d(np.asarray(k, dtype=object))]
    if not isinstance(random_state, Integral):
        # one seed for all models: they must be compared on the same users
        random_state = check_random_state(random_state).randint(2**31 - 1)
    params = {
        "n_neighbors": max(ks),
        "max_users": max_users,
        "random_state": random_state,
    }
    recommender, inner = _unwrap(estimator, X)
    ranking = _rank(recommender, inner, y, **params)
    models = {
        type(recommender).__name__: ranking.indices,
        "popularity": popular_items(ranking, max(ks)),
    }
    for name, baseline in (baselines or {}).items():
        if name in models:
            raise ValueError(f"baselines names {name!r}, which is a model already.")
        other, inner = _unwrap(baseline, X)
        theirs = _rank(other, inner, y, **params)
        models[name] = _aligned(name, recommender, ranking, other, theirs)
    rows = {
        (group, model): _Table(ranking, truth, kept, indices, lost).row(ks)
        for group, truth, kept, lost in _groups(ranking)
        for model, indices in models.items()
    }
    return _as_frame(rows, ks, ranking)


def _groups(ranking):
    """Yield (name, truth, users that count, misses) of each group with anybody in it.

    Misses, (n_users,) or 0, are relevant items that are not in the catalogue.
    """
    truth, lost = ranking.truth, ranking.n_unreachable
    item_counts = np.asarray(ranking.item_counts)
    user_counts = np.asarray(ranking.user_counts)
    head = _head(item_counts)
    counted = np.diff(truth.indptr) + lost > 0
    few = user_counts <= np.median(user_counts[counted])
    everyone, everything = np.ones_like(few), np.ones_like(head)
    known = [("known items", everything, everyone, 0)] if lost.any() else []
    for name, items, users, misses in [
        ("all", everything, everyone, lost),
        *known,
        ("head items", head, everyone, 0),
        ("tail items", ~head, everyone, 0),
        ("few events", everything, few, lost),
        ("many events", everything, ~few, lost),
        ("cold items", item_counts == 0, everyone, 0),
        ("cold users", everything, user_counts == 0, lost),
    ]:
        part = truth.multiply(items.astype(truth.dtype)).tocsr()
        part.eliminate_zeros()
        kept = (np.diff(part.indptr) + misses > 0) & users
        if kept.any():
            yield name, part, kept, misses


def _head(counts):
    """Return which items, the fewest, hold half of the events, bool (n_items,)."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = np.empty(len(counts), dtype=bool)
    head[order] = before < counts.sum() / 2
    return head


def popular_items(ranking, k):
    """Return the k most popular unseen items of each user, int (n_users, k), padded -1.

    Never looks at users times items: the j-th unseen item of a user has popularity rank
    j + the number of the user's seen items that have at most j unseen ones before them.
    """
    order = np.argsort(-np.asarray(ranking.item_counts), kind="stable")
    n_items, n_users = len(order), ranking.seen.shape[0]
    rank_of = np.empty(n_items, dtype=np.int64)
    rank_of[order] = np.arange(n_items)
    rows, items = ranking.seen.nonzero()
    keys = np.unique(rows.astype(np.int64) * n_items + rank_of[items])
    starts = np.searchsorted(keys, np.arange(n_users) * n_items)
    rows = keys // n_items
    unseen_before = keys % n_items - (np.arange(len(keys)) - starts[rows])
    # + 1: as many as n_items unseen ones may be asked for
    width = max(n_items, k) + 1
    wanted = np.arange(n_users)[:, None] * width + np.arange(k)
    passed = np.searchsorted(rows * width + unseen_before, wanted, side="right")
    ranks = np.arange(k) + passed - starts[:, None]
    return np.where(ranks < n_items, order[np.minimum(ranks, n_items - 1)], -1)


def _aligned(name, recommender, ranking, other, theirs):
    """Return a baseline's indices by the estimator's users and items, (n_users, k)."""
    rows = pd.Index(theirs.users).get_indexer(pd.Index(ranking.users))
    if (rows < 0).any():
        raise ValueError(
            f"The baseline {name!r} ranks for other users than the estimator: "
            f"{(rows < 0).sum()} of {len(rows)} are missing. Fit it on the same "
            "columns, or give max_users=None."
        )
    mine, own = pd.Index(recommender.item_ids_), pd.Index(other.item_ids_)
    # the last entry is where the padding -1 points to
    positions = np.append(mine.get_indexer(own), -1)
    return positions[np.asarray(theirs.indices)[rows]]


def _as_frame(rows, ks, ranking):
    """Return the report from a dict of (group, model) to its figures."""
    index = pd.MultiIndex.from_tuples(rows, names=["group", "model"])
    frame = _Report(list(rows.values()), index=index)
    frame.attrs = {
        "k": tuple(ks),
        "events_not_in_catalogue": int(ranking.n_unreachable.sum()),
    }
    return frame


class _Report(pd.DataFrame):
    """A DataFrame that prints one block of columns per k; parts of it are plain."""

    def __repr__(self):
        ends = tuple(f"@{k}" for k in self.attrs.get("k", ()))
        blocks = {end: [] for end in ends} or {"": []}
        for name in self.columns:
            at = "@" + str(name).partition("@")[2].removesuffix(" se")
            blocks.get(at, list(blocks.values())[-1]).append(name)
        width = max(80, shutil.get_terminal_size().columns)
        return "\n\n".join(
            self[block].to_string(line_width=width, float_format="{:.4f}".format)
            for block in blocks.values()
        )
