"""Prequential validation: test on the next slice of events, then learn it.

Input: an interaction table X (n_events, n_columns) with times.
Output: a table of scores and times, one row per slice and strategy.
"""

import time as clock
import warnings

import numpy as np
import pandas as pd

from sktwotower._tables._frames import library_of
from sktwotower._tables._output import in_library
from sktwotower.metrics import make_list_scorer, make_retrieval_scorer
from sktwotower.metrics._list_scorers import need_outcomes

from ._sliced_events import read_sliced_events
from ._strategies import STRATEGIES, Models, chosen_strategies

# Warnings of what is usual in a stream: users and items of a slice are often new.
EXPECTED = "history changes nothing", ".* hold items that fit", "No (user|chosen item)"


def prequential_validate(
    estimator,
    X,
    y=None,
    *,
    time,
    freq=None,
    n_slices=None,
    train_size=0.5,
    scoring=None,
    lists=None,
    strategies: str | list[str] = "auto",
    window=None,
    sample_weight=None,
    verbose=0,
) -> pd.DataFrame:
    """Test a recommender on the next slice of a stream, then learn it, and so on.

    This is how a recommender lives: it is fitted on the past, answers until the night,
    and learns the day. Several ways to keep it up to date are compared on the same
    slices, with what they cost.

    Parameters
    ----------
    estimator : recommender, or Pipeline or search around one
        It is cloned, not changed.
    X : dataframe or array-like of shape (n_events, n_columns)
        Events, in any order, with the columns of fit.
    y : array-like of shape (n_events,), default=None
        Outcome of each event, as in fit; only events with y > 0 are to be found. None:
        all are positive.
    time : str or int
        Column of X that says when, dates or numbers, a position if X is an array. The
        estimator's own ``time`` says whether it reads it.
    freq : str, Timedelta, offset or number, default=None
        Length of a slice: a frequency of pandas if times are dates, such as "D", "7D"
        or "MS", otherwise a number. None: see `n_slices`.
    n_slices : int, default=None
        Number of slices of about the same number of events, >= 1. None: 5, unless
        `freq` is given.
    train_size : float or int, default=0.5
        Share in (0.0, 1.0), or number, of the earliest events, which are fitted first.
    scoring : str, list of str, callable or dict, default=None
        Names of `make_retrieval_scorer`, such as "recall@20" or ["recall@20",
        "ndcg@10"], a scorer ``scorer(estimator, X, y)`` that returns a number or a
        dict of numbers by name, or a dict of name to scorer. With `lists`, names are
        those of `make_list_scorer`. None: ``score`` of the estimator or, with `lists`,
        ["roc_auc", "ndcg@10"].
    lists : str or int, default=None
        Column of X (or its position) that names the list of each row: what one user was
        shown at once. The order within the lists of a slice is then judged. X holds
        what was not chosen, too, with y = 0. None: the whole catalog is ranked.
    strategies : list of str, default="auto"
        What is compared, in this order of rows:

        - "frozen": the model fitted on the train events;
        - "history": the same model; the events since then reach it with the request,
          as the `history` of its users;
        - "partial_fit": the same model, after ``partial_fit`` of each slice;
        - "refit": a new fit on all events until now, before each slice;
        - "popularity": the most popular items of the last `window`.

        "auto": all that the estimator has the methods for, with a warning about those
        that it lacks.
    window : Timedelta or number, default=None
        The window of `PopularityRecommender`. None: the slice before; before the first
        one, the last train events, as many or as long as in a slice.
    sample_weight : array-like of shape (n_events,), default=None
        Weights of events in learning. They do not count in the scores.
    verbose : int, default=0
        1: print a line for each row.

    Returns
    -------
    results : DataFrame
        A table of the library of X (pandas, polars, pyarrow), of pandas for arrays. One
        row per slice and strategy:

        - ``slice``: number of the slice, from 0;
        - ``start``, ``end``: times of its first and its last event;
        - ``strategy``: as above;
        - ``n_train``, ``n_test``: numbers of events before the slice, and in it;
        - ``fit_time``: seconds to learn what came since the last slice; in slice 0
          that of fit. Models that are not updated cost nothing later;
        - ``score_time``: seconds to rank and to judge;
        - ``test_score``, or ``test_<name>`` for a list or a dict: the score, nan for a
          slice without a positive event, or without a list that counts.

        To round only scores, name them: ``results.round({"test_score": 3})``.

    Raises
    ------
    ValueError
        If `time` names no column of X, times are missing, a parameter is out of range,
        there are more slices than times, or a strategy in the list needs a method that
        the estimator lacks.
    TypeError
        If times are neither dates nor numbers, the estimator has no fit, or y is
        missing with `lists`.

    Warns
    -----
    UserWarning
        With ``strategies="auto"``, about strategies that are left out.

    See Also
    --------
    TimeSplit : One model for each cut, for scikit-learn's `cross_validate`.
    sktwotower.plots.PrequentialDisplay : Draws the scores over time.
    sktwotower.TwoTowerRecommender.partial_fit : How further events are learnt.

    Notes
    -----
    Events are sorted by time, ties by row. Each slice is tested by models that have
    seen nothing of it, nor of what comes later, and by all of them as a whole: an event
    does not help to find later ones of its slice. Events of equal times are never in
    two slices. Users and items that a model does not know yet count as well: such an
    item is a miss.

    A model with ``context`` is judged by request, as in
    `sktwotower.metrics.retrieval_report`, and so is popularity if it is compared with
    another strategy.

    With `freq`, slices of whole days and of a fixed length are counted from midnight
    (UTC, if dates have a zone) before the first event after the train events; slices of
    the calendar, such as months, begin where these do. The first and the last one may
    be shorter. Slices without events have no row. The slices do not depend on users,
    items or outcomes.

    Events without a positive one among them wait until the next slice is learnt.

    References
    ----------
    Dawid (1984). Present position and potential developments: some personal views:
    statistical theory: the prequential approach. JRSS A 147(2).

    Vinagre, Jorge and Gama (2014). Evaluation of recommender systems in streaming
    environments. RecSys workshop on recommender systems evaluation.

    Examples
    --------
    Tastes of three days: what was new yesterday is popular today.

    >>> import pandas as pd
    >>> from sktwotower import ItemKNNRecommender
    >>> from sktwotower.model_selection import prequential_validate
    >>> X = pd.DataFrame({
    ...     "user": ["ann", "bob", "cid", "ann", "bob", "cid", "dan", "ann"],
    ...     "item": ["tea", "tea", "jam", "jam", "jam", "ham", "ham", "ham"],
    ...     "day": [1, 1, 1, 2, 2, 2, 3, 3],
    ... })
    >>> results = prequential_validate(
    ...     ItemKNNRecommender(), X, time="day", freq=1, train_size=3,
    ...     scoring="recall@1", strategies=["frozen", "refit", "popularity"],
    ... )
    >>> results[["start", "strategy", "n_train", "n_test", "test_score"]]
       start    strategy  n_train  n_test  test_score
    0      2      frozen        3       3    0.666667
    1      2       refit        3       3    0.666667
    2      2  popularity        3       3    0.666667
    3      3      frozen        6       2    0.000000
    4      3       refit        6       2    0.500000
    5      3  popularity        6       2    0.500000

    What an update gains, on average over the slices:

    >>> results.groupby("strategy", sort=False)["test_score"].mean().round(2)
    strategy
    frozen        0.33
    refit         0.58
    popularity    0.58
    Name: test_score, dtype: float64

    The order of lists that were shown:

    >>> from sktwotower import ClickRateRecommender
    >>> shown = pd.DataFrame({
    ...     "user": ["ann", "ann", "bob", "bob", "cid", "cid"],
    ...     "item": ["tea", "jam"] * 3, "day": [1, 1, 2, 2, 3, 3],
    ... })
    >>> results = prequential_validate(
    ...     ClickRateRecommender(), shown, y=[1, 0, 0, 1, 0, 1], time="day", freq=1,
    ...     train_size=2, lists="day", strategies=["frozen", "refit"],
    ... )
    >>> results[["start", "strategy", "test_roc_auc", "test_ndcg@10"]].round(2)
       start strategy  test_roc_auc  test_ndcg@10
    0      2   frozen           0.0          0.63
    1      2    refit           0.0          0.63
    2      3   frozen           0.0          0.63
    3      3    refit           0.5          0.82
    """
    if lists is not None:
        need_outcomes(y)
        if scoring is None:
            scoring = ["roc_auc", "ndcg@10"]
    sliced = read_sliced_events(
        X, y, sample_weight, time, train_size=train_size, freq=freq, n_slices=n_slices
    )
    strategies = chosen_strategies(strategies, estimator)
    scorer = _scorer(scoring, lists)
    models = Models(estimator, sliced, time, window)
    rows = []
    # partial_fit changes the model that others need; popularity takes its requests
    late = {"partial_fit": 1, "popularity": 2}
    for strategy in sorted(strategies, key=lambda strategy: late.get(strategy, 0)):
        for number, (model, seconds) in enumerate(getattr(models, strategy)()):
            row = sliced.describe(number, strategy) | {"fit_time": seconds}
            row |= _scores(scorer, model, *sliced.test(number))
            if verbose:
                print(_line(row, sliced.n_slices))
            rows.append(row)
    rows.sort(key=lambda row: (row["slice"], STRATEGIES.index(row["strategy"])))
    results = pd.DataFrame(rows)
    if results.columns[-1] == "score_time":  # no slice has a positive event
        names = scoring
        if not isinstance(scoring, list | tuple | dict):
            names = ["score"]
        results = results.assign(**{f"test_{name}": np.nan for name in names})
    return in_library(results, library_of(X))


def _scorer(scoring, lists):
    """Return a function of estimator, X and y; it returns a number, or some by name."""
    if scoring is None:
        return _recall
    if isinstance(scoring, dict):
        scorers = {name: _scorer(metric, lists) for name, metric in scoring.items()}

        def scores_of_all(estimator, X, y):
            scores = {}
            for name, scorer in scorers.items():
                (scores[name], *_) = _by_name(scorer(estimator, X, y)).values()
            return scores

        return scores_of_all
    if callable(scoring):
        return scoring
    if lists is None:
        return make_retrieval_scorer(scoring)
    scorer = make_list_scorer(scoring, lists=lists)
    scorer.otherwise = np.nan
    return scorer


def _recall(estimator, X, y):
    """Return ``score`` of a recommender, the same figure of one that has no such."""
    if hasattr(estimator, "score"):
        return estimator.score(X, y)
    n_neighbors = getattr(estimator, "n_neighbors", 10)
    return make_retrieval_scorer("recall", n_neighbors)(estimator, X, y)


def _by_name(scores):
    """Return what a scorer has returned as a dict of name to number."""
    if isinstance(scores, dict):
        return scores
    return {"score": scores}


def _scores(scorer, model, X, y):
    """Return the seconds and the scores of a slice, nan if nothing is to be found."""
    start = clock.perf_counter()
    scores = {}
    if y is None or (y.astype(float) > 0).any():
        with warnings.catch_warnings():
            for message in EXPECTED:
                warnings.filterwarnings("ignore", message)
            scores = _by_name(scorer(model, X, y))
    seconds = clock.perf_counter() - start
    columns = {"score_time": seconds}
    for name, score in scores.items():
        columns[f"test_{name}"] = score
    return columns


def _line(row, n_slices):
    """Return what ``verbose`` prints of a row of the results."""
    scores = []
    for name, value in row.items():
        if name.startswith("test_"):
            scores.append(f"{name.removeprefix('test_')} {value:.4f}")
    figures = ", ".join(scores)
    times = f"(fit {row['fit_time']:.2f} s, score {row['score_time']:.2f} s)"
    first = f"slice {row['slice'] + 1} of {n_slices}, {row['strategy']}"
    return f"{first}: {figures} {times}"
