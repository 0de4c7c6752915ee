"""The report of a recommender and its baselines, by groups of users and items.

Input: a fitted recommender and held-out events X (n_events, n_columns).
Output: a table with rows (group, model) and a column per figure.
"""

import numpy as np
import pandas as pd

from sktwotower._tables._frames import library_of
from sktwotower._tables._messages import check_count, one_call

from ._compared import catalog_model, named, rank_models, without_scores
from ._groups import GroupRanking, everyone, groups_of, popular_items, recent_users
from ._list_report import compare_within_lists
from ._rendering import Report
from ._scorers import recommender_in
from ._verdict import number


def retrieval_report(
    estimator,
    X,
    y=None,
    *,
    k: int | tuple[int, ...] | list[int] = (10, 20),
    max_users=None,
    random_state=None,
    baselines=None,
    history=None,
    lists=None,
    requests=None,
    item_vectors=None,
) -> pd.DataFrame:
    """Compare a recommender with popularity on held-out events, overall and by group.

    The whole catalog is ranked for each user, or request of a model with context, that
    has positives in X (y is None or y > 0). Items seen in fit are left out, except the
    positives of X itself. With `lists`, the items of each list that was shown are
    ranked instead.

    Parameters
    ----------
    estimator : fitted recommender, or Pipeline or search object around one
        The model to report on, under its class name: any estimator that returns a
        `HeldOutRanking`. A ranking, or an object that has only ``recommend``, may take
        its place, as in `baselines`, if one of these is a fitted recommender: the
        catalog and the events of the first one then count.
    X : DataFrame or array of shape (n_events, n_columns)
        Held-out events, with the columns of fit of all models. Further columns of a
        dataframe are left out for the models that were fitted without them.
    y : array of shape (n_events,), default=None
        Outcome of each event; positives are those > 0. None: all are positive.
    k : int or sequence of int, default=(10, 20)
        Numbers of places that count, >= 1 each.
    max_users : int, default=None
        Report on a random sample of this many users, >= 1, or requests of a model with
        context, the same for all models. None: all.
    random_state : int, RandomState instance or None, default=None
        Draws the sample.
    baselines : list of estimators, or dict of str to estimator or ranking, default=None
        Further models, fitted on the same events, which may have fewer columns or
        more than those of the estimator. In a list, each is reported under its
        class name. For a model of another library, pass its ranking: a dict of users to
        lists of items, best first, or a table whose first two columns are users and
        items, best first or with a column 'rank'. The ranking should leave out items
        seen in fit, as all other models do; it counts for all requests of a user. An
        object that has only ``recommend(users, k)`` is asked for it.
    history : dataframe, dict or None, default=None
        Events that fit has not seen, passed to recommenders as in `recommend`. Users
        unseen in fit are then judged on what they chose after these events. Their items
        are left out of the ranking, and they count among the user's events. None: no
        such events.
    lists : str or int, default=None
        Column of X (or its position) that names the list of each row, such as an
        impression or a query: what one user was shown at once. X must then hold what
        was not chosen, too, with y = 0. If X of fit lacked the column, it is not passed
        to the models. `baselines` may be any fitted estimators that score rows, and
        arrays of shape (n_events,) by name. The model 'click rate', the smoothed share
        of showings in fit that ended in a choice, is added for a `TwoStageRecommender`
        that was fitted on rows with y = 0. Others do not keep it: pass a
        `ClickRateRecommender` as a baseline. None: the whole catalog is ranked.
    requests : str, int or list of them, default=None
        Columns of X that tell the requests of a user apart, as in ``rank_held_out``:
        all models are judged request by request. None: the columns that are context to
        any of the models. With `lists`, which are requests, it is not read.
    item_vectors : array, sparse matrix or DataFrame of shape (n_items, d), default=None
        Vectors by which the diversity of all lists is computed: any features, such as
        ones for the genres of a film. Rows are in the order of the estimator's
        ``item_ids_``; of a DataFrame the index holds the ids. With `lists` it is not
        read. None: the vectors of the estimator, if it has any.

    Returns
    -------
    report : DataFrame of shape (n_groups * n_models, 21 * n_k + 2)
        The rows are named by (group, model). Columns per k: 'recall@k', 'ndcg@k' and
        'mrr@k', each with 'recall@k se' (standard error over the users), 'recall@k
        diff' (the difference from `estimator`, user by user, < 0 where the model is
        worse) and 'recall@k diff se'; then 'hit_rate@k', 'precision@k' and, of all that
        is recommended, 'coverage@k', 'gini@k', 'novelty@k' and 'long_tail_share@k' (nan
        where no item of the catalog has an event of fit), 'intra_list_diversity@k' (nan
        without vectors) and 'cold_share@k', the share of the places that items without
        events take, with 'cold_precision@k', the share of these places that are hits
        (nan without any, and both where no item has an event). At the end the numbers
        of 'users', of 'requests' if rows are requests, and of 'events' that count. Its
        `attrs` hold the number of 'events_not_in_catalog', what was 'left_out' of X, a
        dict of reason to number, 'cannot_score', a dict of group to the names of models
        that can score none of the items to be found there, and 'best_sellers', a
        sentence if the best sellers of the last 30 days come within the standard error
        of the estimator's recall, else "". It needs the dates of the events of fit,
        which the estimator keeps if their order counts. Set ``attrs["split"]`` to a
        sentence on how X was held out, and the report shows it. It prints, and shows in
        a notebook, with 95 % intervals (1.96 standard errors). Its method ``verdict()``
        returns whether `estimator` is "ahead" of the other models, "tied" or "behind",
        by 'ndcg@k' of the largest k, beyond the 95 % interval of the difference, or
        "unclear" with too few users. Where popularity and all baselines know none of
        the items to be found, it is None. The report is of pandas; its method
        ``to_frame()`` returns a table with the columns 'group' and 'model' in the
        library of X, such as polars.
        With `lists` the shape is (n_groups * n_models, 4 * n_k + 12): 'roc_auc',
        'ndcg@k' per k and 'mrr', each with 'roc_auc se' (lists of one user count as one
        cluster), 'roc_auc diff' (list by list) and 'roc_auc diff se'; then the numbers
        of 'users' and 'lists' that count, and of 'roc_auc lists', those with both
        outcomes; at the end the 'expected_calibration_error' of all rows of models with
        ``predict_proba``, nan for others.

    Raises
    ------
    NotFittedError
        If an estimator is not fitted.
    ValueError
        If X has no positive event, if k or `max_users` < 1, if a baseline has the name
        of another model, lacks users of X or ranks fewer than k items, or if
        `item_vectors` are not finite or lack an item. With `lists`: if X lacks the
        column, a list has rows of several users, no list counts, or a model does not
        return a finite score per row.
    TypeError
        If k or `max_users` is not an integer, an estimator cannot rank held-out events,
        or a baseline's name is not a string. With `lists`: if y is missing, or a
        baseline is a ranking of the catalog.

    Warns
    -----
    UserWarning
        If a given ranking holds items that the user chose in fit, if only one of two
        models leaves out such items (``exclude_seen``), if no user of X is known and
        they have no features, or if `history` has no times, which a model reads.

    See Also
    --------
    make_retrieval_scorer : Single figures of the group 'all', for searches.
    make_list_scorer : The same for `lists`.
    HeldOutRanking : How to report on a model of another library.

    Notes
    -----
    The groups restrict what is relevant or who counts, never what is ranked (an event
    of fit counts once per user and item):

    - 'all'. A positive whose item is not in the catalog is a miss, here and in the
      groups of users.
    - 'known items', shown if there are such misses: without them.
    - 'head items': the most popular items that together hold half of the training
      events; 'tail items': all others.
    - 'had before': the items of fit or `history` that a user has chosen again; 'new to
      the user': all others of the catalog. They are shown for an estimator whose lists
      may hold both (``exclude_seen=False``), if both are to be found. Pass baselines
      with the same ``exclude_seen``.
    - 'few events': users with at most the median number of training events among those
      that count; 'many events': the others.
    - 'cold items', 'cold users': those without any event, in training or `history`.

    Empty groups are not shown. Model 'popularity' ranks by the number of training
    events, ties by position in the catalog, and leaves out what the estimator leaves
    out. Where no item to be found has an event in fit, popularity can score none of
    them, and neither can models that know only who chose what. The report says so, and
    its verdict does not compare with them.

    Model 'own counts' is added where 'had before' is shown: what each user has chosen
    most often, by the events of fit, and then what is popular. `RepeatRecommender`
    passed as a baseline, for example with a ``half_life``, takes its place. An
    estimator that was fitted without ``time`` does not know how often: then each item
    that a user had counts once.

    Model 'content' is added if the estimator has features of items, and items without
    events make up a tenth of the events to be found. It ranks by the products of an
    item's features, those of the estimator, with the sum of those of the user's past
    items, as `ContentRecommender` does; pass one as a baseline to choose how features
    are encoded, and 'content' is not added.

    All models are judged by the truth, groups and counts of `estimator`; an item of a
    baseline that is not in its catalog is a miss. If the interval of a difference does
    not contain 0, the difference is unlikely to be chance; differences of the same
    users vary less than the figures themselves. Among many models and groups some will
    differ by chance.

    Denominator: as in the functions of `sktwotower.metrics`; coverage and Gini index
    are of the estimator's catalog. What is printed of the lists themselves is that of
    the group 'all'.

    Users left out: those without a relevant item in the group, and those not sampled.
    Repeats of one user and item count once.

    A model with ``context`` ranks once for each distinct request, a user with a
    context, and is judged by the events of that request. All other models are then
    judged by the same requests, even if their ranking is the same for all requests of a
    user. Means are over requests; in standard errors the requests of a user count as
    one cluster. Groups of users are groups of their requests.

    With `lists`, the figures are those of `roc_auc_by_list`, `ndcg_by_list` and
    `reciprocal_rank_by_list`, means over lists. 'known items' are lists without the
    items that are not in the catalog, shown if there are such items; the groups of
    users are the same, those of items do not exist. 'popularity' scores items by their
    number of training events.

    Examples
    --------
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.datasets import make_interactions
    >>> from sktwotower.metrics import retrieval_report
    >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
    >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
    >>> model = TwoTowerRecommender(max_epochs=3, random_state=0).fit(X)
    >>> report = retrieval_report(model, held_out, k=10)
    >>> shown = ["recall@10", "recall@10 se", "coverage@10", "events"]
    >>> part = report.loc[["all", "tail items"], shown]  # print(report) shows all
    >>> part.round(2)  # doctest: +NORMALIZE_WHITESPACE
                                    recall@10  recall@10 se  coverage@10  events
    group      model
    all        TwoTowerRecommender       0.62          0.02         1.00     400
               popularity                0.21          0.02         0.42     400
    tail items TwoTowerRecommender       0.66          0.03         1.00     280
               popularity                0.00          0.00         0.42     280

    With other baselines, and with a ranking from elsewhere:

    >>> from sktwotower import EASERecommender, ItemKNNRecommender
    >>> ease, knn = EASERecommender().fit(X), ItemKNNRecommender().fit(X)
    >>> baselines = {"EASE": ease, "item-kNN": knn}
    >>> baselines["a table"] = ease.recommend(n_neighbors=10)
    >>> report = retrieval_report(model, held_out, k=10, baselines=baselines)
    >>> part = report.loc["all", ["recall@10", "recall@10 diff", "coverage@10"]]
    >>> part.round(2)  # doctest: +NORMALIZE_WHITESPACE
                         recall@10  recall@10 diff  coverage@10
    model
    TwoTowerRecommender       0.62            0.00         1.00
    popularity                0.21           -0.41         0.42
    EASE                      0.60           -0.01         1.00
    item-kNN                  0.61           -0.00         1.00
    a table                   0.60           -0.01         1.00

    The order of what was shown, compared with the rate at which items were chosen:

    >>> from sktwotower import ClickRateRecommender
    >>> y, y_held_out = X["item"] % 2, held_out["item"] % 2
    >>> model = EASERecommender().fit(X, y)
    >>> rate = ClickRateRecommender().fit(X, y)
    >>> report = retrieval_report(model, held_out, y_held_out, lists="user",
    ...                           baselines=[rate])
    >>> part = report.loc["all", ["roc_auc", "mrr", "lists"]]
    >>> part.round(2)  # doctest: +NORMALIZE_WHITESPACE
                          roc_auc  mrr  lists
    model
    EASERecommender          0.99  1.0     92
    popularity               1.00  1.0     92
    ClickRateRecommender     1.00  1.0     92
    """
    ks = [check_count(one, "k") for one in np.atleast_1d(np.asarray(k, dtype=object))]
    if not ks:
        raise ValueError(f"k must hold at least one integer >= 1. Got {k!r}.")
    if lists is not None:
        rows, left_out, cannot_score = compare_within_lists(
            estimator,
            X,
            y,
            ks,
            lists,
            baselines=baselines,
            max_users=max_users,
            random_state=random_state,
            history=history,
        )
        attrs = {
            "k": tuple(ks),
            "lists": lists,
            "left_out": left_out,
            "cannot_score": cannot_score,
        }
        return _as_frame(rows, attrs, library_of(X))

    ranking, models = one_call(
        rank_models,
        estimator,
        X,
        y,
        max(ks),
        max_users=max_users,
        random_state=random_state,
        baselines=baselines,
        history=history,
        requests=requests,
        item_vectors=item_vectors,
        with_content=True,
    )
    first = next(iter(models))
    fitted = {first: estimator} | named(baselines, {first, "popularity"})
    recommender = recommender_in(catalog_model(estimator, baselines))
    rows = {}
    cannot_score = {}
    for group in groups_of(ranking):
        names = without_scores(
            group.truth, fitted, ranking.item_counts, recommender.item_ids_
        )
        if names:
            cannot_score[group.name] = names
        judged = {}
        for model, indices in models.items():
            judged[model] = GroupRanking(ranking, group, indices)
        for model, ranked in judged.items():
            rows[group.name, model] = ranked.row(ks, judged[first])

    (_, name), figures = next(iter(rows.items()))
    recent = recent_users(recommender)
    attrs = {
        "k": tuple(ks),
        "events_not_in_catalog": int(ranking.n_unreachable.sum()),
        "left_out": ranking.left_out,
        "cannot_score": cannot_score,
        "best_sellers": _best_sellers(ranking, recent, max(ks), name, figures),
    }
    return _as_frame(rows, attrs, library_of(X))


def _best_sellers(ranking, recent, k, name, figures):
    """Return a sentence if recent best sellers are within a model's error, else "".

    ``recent``: as of `recent_users`. ``figures``: those of the model, by column.
    """
    if recent is None:
        return ""
    popular = popular_items(ranking, k, recent)
    popular_recall = GroupRanking(ranking, everyone(ranking), popular).mean("recall", k)
    recall = figures[f"recall@{k}"]
    error = figures[f"recall@{k} se"]
    if not popular_recall >= recall - error:
        return ""
    return (
        f"Best sellers of the last 30 days are no worse than {name}, within its "
        f"standard error of {number(error)}: recall@{k} {number(popular_recall)} "
        f"against {number(recall)}."
    )


def _as_frame(rows, attrs, library):
    """Return the report from a dict of (group, model) to its figures."""
    index = pd.MultiIndex.from_tuples(rows, names=["group", "model"])
    frame = Report(list(rows.values()), index=index)
    frame.attrs = attrs
    frame._library = library
    return frame
