"""The parameters of `TwoStageRecommender`: what they mean and may be.

Input: what a caller chooses.
Output: an estimator that keeps it untouched, and shows it as a diagram.
"""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any, Self

from sklearn.pipeline import FeatureUnion, Pipeline

from sktwotower import _sklearn_compat as compat
from sktwotower._tables._pickled import RecommenderStateMixin

from ._ranker import default_ranker

# What parameters may be.
SEVERAL = compat.Interval(Integral, 2, None, closed="left")


@dataclass(eq=False, repr=False)
class TwoStageParameters(RecommenderStateMixin, compat.BaseComposition):
    r"""Retrieve candidates with a recommender, then rank them with a classifier.

    The retriever finds ``n_candidates`` items in the whole catalog. The ranker orders
    them by features of each pair of user and item: rank and score, popularity, age of
    the item, similarity to past items. It also reads the columns of the side tables.

    >>> import numpy as np
    >>> from sktwotower import PopularityRecommender, TwoStageRecommender
    >>> shelves = [["tea", "jam", "bread", "honey", "rusks", "cocoa"],
    ...            ["rake", "hose", "seeds", "spade", "pots", "soil"]]
    >>> rng = np.random.default_rng(0)
    >>> X = [[user, item] for user in range(60)
    ...      for item in rng.permutation(shelves[user % 2])[:4]]
    >>> model = TwoStageRecommender(PopularityRecommender(), random_state=0).fit(X)
    >>> model.recommend([0, 1], n_neighbors=2).round(2)
       user   item  score  rank
    0     0    tea   0.59     1
    1     0    jam   0.50     2
    2     1   rake   0.61     1
    3     1  spade   0.45     2

    Five parameters matter first:

    - ``retriever``: what finds the candidates, such as `EASERecommender`.
    - ``ranker``: any classifier, LightGBM's ranker, or the default.
    - ``time``: the column that says when. With dates, the ranker learns what sells now.
    - ``lists``: the column that names what was shown together, to order such lists.
    - ``n_candidates``: how many items the ranker orders for each user.

    Fit trains the ranker on what came later: it cuts off the latest events, fits the
    retriever on those before, and labels its candidates by the later ones. It does so a
    second time with an earlier cut. The ranker's order is blended with retrieval's as
    far as it gains: for users whom a ranker does not know, and in a time that it does
    not know. If it does not pay, retrieval's order stays as it is. The retriever that
    answers is fitted on all events: three fits of it in all, or two if other users show
    already that the ranker does not pay.

    Parameters
    ----------
    Stages
        What finds the candidates, and what orders them.
    retriever : recommender, default=None
        Any recommender of this package: `TwoTowerRecommender`, `EASERecommender`,
        `ItemKNNRecommender`, `RP3betaRecommender`, `GraphFilterRecommender`,
        `ChebyshevFilterRecommender`, `OrderedRidgeRecommender`, `RepeatRecommender`,
        `PopularityRecommender`. Or one of your own, see
        `sktwotower.base.check_recommender`. It is cloned. Its ``n_neighbors`` and
        ``exclude_seen`` are not used. Or several sources of candidates, a list of names
        and recommenders such as ``[("towers", TwoTowerRecommender()), ("ease",
        EASERecommender())]``, see Notes; their parameters are ``ease__l2`` and so on.
        None: ``TwoTowerRecommender()`` with the ``random_state``.
    ranker : classifier, regressor or ranker, default=None
        Any estimator with fit and one of ``predict_proba`` (the last class counts),
        ``decision_function`` and ``predict``. It is cloned. If its fit takes ``group``
        (`lightgbm.LGBMRanker`, `xgboost.XGBRanker`), ``group_id`` or ``qid``
        (`catboost.CatBoostRanker`), it gets the users of the candidates, also as the
        last step of a Pipeline. Missing values are replaced by medians if
        scikit-learn's tags say that it does not read them.
        None: a `sklearn.ensemble.HistGradientBoostingClassifier` of 100 small trees.
    n_candidates : int, default=100
        Number of items that the ranker orders for each user, >= 2.
    Training
        Which events the ranker learns from.
    quotas : dict of str to int, default=None
        With several sources: how many candidates each brings, at most ``n_candidates``
        together. What quotas leave, and what a source lacks, is filled up from all.
        None: as many as find most of the items chosen later, see Notes.
    time : str or int, default=None
        Column of X that says when (or its position), as in `TwoTowerRecommender`. It is
        set on the clone of the retriever as well. Only dates, and numbers such as Unix
        seconds (``time_unit`` of the retriever), show how old items are, and how
        popular of late. None: the retriever's; without one, each user's rows of X are
        read as ordered, oldest first.
    cut : {"auto", "time", "user"}, default="auto"
        Where fit cuts off the later events. "time": at one time for all users, as when
        a model is fitted today and used tomorrow. "user": each user's last ones.
        "auto": "time" if times are dates and, without ``lists``, at least half of the
        users with later events have earlier ones, too; else "user". See ``cut_``.
    later_size : float, default=0.2
        Share of the positive events that are cut off, in (0, 1); with "user" at least
        one of each user who has events at two times. With ``lists`` and "time", it is
        the share of the rows of lists that hold both outcomes. A ranker of items that
        live for days should learn from more than a few of them, see
        ``blend_gains_later_`` and ``list_gains_later_``.
    Features
        What the ranker knows in addition of a request and its candidates.
    context : str, list, slice, mask or callable, default=None
        Columns of X that describe the request, such as the hour, the place or the
        device, selected as in `sklearn.compose.ColumnTransformer`: numbers, at most 255
        levels, or dates, of which the hour and the weekday (UTC) count. The ranker
        reads them, and the retriever those of its own ``context``, in fit as well as in
        requests: candidates of training are those of each user's first later event.
        Requests may lack them. Held-out events are judged by request: each user with
        each distinct combination of both, see `rank_held_out`. None: the ``context`` of
        the retriever, as far as the ranker can read it (no texts, no lists, and no
        times that are not dates). An empty list: the ranker reads none.
    features : callable or transformer, default=None
        Further features of candidates. A function gets a DataFrame of candidates (the
        id columns, then the features of `candidate_features`) and returns one row of
        numbers for each. A clone of a transformer is fitted on the training table. For
        rows of ``lists`` it is called as well, with their ids and the same features.
        They must not look at events that come later. None: none.
    Lists
        What was shown together, to order such lists.
    lists : str or int, default=None
        Column of X that names the list in which an item was shown (or its position):
        impressions, search results; the column of users if all that a user was shown is
        one list. With it two more rankers are trained on rows with y > 0 against those
        with y = 0: one on the rows after the cut, and one that reads only what was
        counted, on those before it as well. `predict` orders such lists by one of them,
        by click rate or by the retriever, see ``list_order_``, `predict_proba` returns
        probabilities. Rows with a missing name belong to no list. None: `predict`
        scores in the order of `recommend`.
    position : str or int, default=None
        Column of X that says at which place in its list an item was shown (or its
        position), numbers, the first place the lowest one. Needs ``lists``. The ranker
        of lists is trained with it; `predict` gives all items the first place. Click
        rates are those at an average place, see Notes. None: places are not known.
    row_features : str, list, slice, mask or callable, default=None
        Columns of X that belong to the row of a list, such as the price of the day or
        the age of the item, selected as ``context`` is: numbers, at most 255 levels, or
        dates, of which the hour and the weekday (UTC) count. Needs ``lists``. The
        ranker of lists reads them, and `predict` requires them; requests without lists,
        such as `recommend`, do not. None: none.
    Retrieval
        How many items are recommended, and which are left out.
    n_neighbors : int, default=10
        Number of items that are recommended, and that count in `score` and in the
        choice of ``blend_``, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.
    Running
        What is kept, and the seed.
    keep_training_table : bool, default=False
        Whether to keep the candidates that the ranker was trained on, as
        ``training_table_``.
    random_state : int, RandomState instance or None, default=None
        Seed of the default retriever and ranker, and of the parts of the users that
        judge the ranker.

    Attributes
    ----------
    retriever_ : recommender
        The retriever, fitted on all events; a copy, so that calls such as its
        ``set_catalog`` leave this estimator as it is.
    sources_ : Bunch
        The sources by name, fitted on all events, copies; only with several sources.
    source_report_ : DataFrame
        For each ``source`` its ``quota``, the ``weight`` of its order, its candidate
        ``recall`` alone, what it has ``added`` to that of the sources before it, and
        what all have ``lost_without`` it, each time with ``n_candidates`` items; nan if
        too few users chose something later. Only with several sources.
    ranker_ : estimator or None
        The fitted ranker. None: no ranker could be trained; there was a warning.
    blend_ : float
        Weight of the ranker's order, in [0, 1]; 0: retrieval's order.
    blend_gains_ : DataFrame or None
        For each weight tried, the ``ndcg`` at ``n_neighbors`` of users on whom the
        ranker was not trained, the ``gain`` over retrieval and its ``standard_error``.
    blend_gains_later_ : DataFrame or None
        The same in a time that the ranker did not learn from: a ranker of the earlier
        cut orders the candidates of the later one. None: there are too few events for
        an earlier cut, or ``blend_`` is 0 by ``blend_gains_``.
    order_gains_later_ : DataFrame or None
        In that time, the ``ndcg`` of each ``order``, its ``gain`` over that of the
        "retriever" and the ``standard_error``: of the "ranker" alone, and of the
        "blend", where the weight for each user is chosen by other users. None: as
        ``blend_gains_later_``.
    cut_ : {"time", "user"}
        Where the later events were cut off.
    candidate_recall_ : float
        Mean share of the items chosen later that are among a user's candidates: what
        the second stage can reach at best. nan if it is not known.
    n_positive_candidates_ : int
        Number of candidates that were chosen later.
    training_table_ : DataFrame
        Ids, features and, as ``chosen``, the label of each candidate; only with
        ``keep_training_table``, if a ranker was trained. This table and those of gains
        are of the library of X in fit (pandas, polars, pyarrow).
    list_order_ : {"retriever", "click_rate", "counts", "ranker"}
        What `predict` orders by; only with ``lists``, if enough were shown.
    list_ranker_ : estimator
        The ranker of lists.
    list_gains_later_ : DataFrame or None
        For each ``order`` the ``roc_auc`` within lists of the second half of the later
        events, of a ranker that was trained on the first half, the ``gain`` over the
        retriever and its ``standard_error``; and the same as ``..._updated``, if counts
        go on up to each row. None: without ``lists``, or ``list_gains_`` is there. A
        warning says how many users have lists on both sides if they are too few, and
        the log if times are no dates or the cut is none in time.
    list_gains_ : DataFrame or None
        The first of these figures within lists of users on whom the ranker was not
        trained. None: without ``lists``, or with ``list_gains_later_``, for which
        ``cut_`` must be "time", and 20 users have lists on both sides.
    classes_ : ndarray of shape (2,)
        0 and 1, the columns of `predict_proba`; only with ``list_order_``.
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    sktwotower.TwoTowerRecommender : The default retriever.
    sktwotower.metrics.retrieval_report : Compares both stages with the first one.

    Notes
    -----
    Let an item have the rank a in the retriever's order and b in the ranker's. With
    ``blend_`` w > 0 its score is

    .. math::
        \left( a^{1 - w} \, b^w \right)^{-1},

    one over the weighted geometric mean of the ranks, in (0, 1]. Items after the
    candidates keep retrieval's order. With w = 0 all answers are those of the
    retriever, scores included.

    The weights 0.1, 0.25, 0.5, 0.75 and 1 are tried. A weight is judged by its lower
    bound: its mean gain over users less 1.96 standard errors of that mean. First,
    three rankers are trained, each on two thirds of the users, and judged on the
    others. A bound must be above 0.

    But users of one time share its fashions, and a ranker that learns what is chosen
    this week ranks well for all of them, and not next week. So there is an earlier cut
    in what is before the cut, which cuts off as many events. The retriever is fitted on
    what is before it, and the candidates of both cuts get labels. A ranker that learns
    from the earlier ones orders the later ones, just as the one that is kept will order
    those of tomorrow: again the bound must be above 0. A ranker that learns from the
    later ones must gain on the earlier ones. Of the weights that fulfil all this the
    one with the highest sum of all bounds is kept. If there is none, the retriever's
    order stays; if ``cut_`` is "time", there is a warning. The ranker that is kept
    learns from both cuts or, if it is then worse for other users of the later one, from
    that one.

    A ranker is trained on at most 200,000 candidates, of users who chose one of them
    later. It needs 20 such users; with fewer there is a warning, and the retriever's
    order stays.

    What a retriever chooses by short fits (half-lives and impression weights that are
    "auto") is chosen on all events, as without a second stage,
    and used in both fits: candidates must be of one kind. Nothing else of the later
    events reaches the features that a ranker is trained on.

    With several sources, an item is a candidate of the source that lists it up to its
    quota, the one with the most room if there are several. If that makes fewer than
    ``n_candidates``, all quotas grow together, item by item, so that none occurs twice.
    Without ``quotas``, quotas grow in steps, each time that of the source which finds
    most later choices for each further candidate, unless equal quotas, or the
    candidates of one source alone, find more. The order of retrieval is that of a
    weighted sum of reciprocal ranks,

    .. math::
        \sum_s w_s \frac{61}{60 + r_s},

    where r is the item's rank in source s, ``n_candidates`` + 1 if it is not listed. It
    begins with the source whose order has the highest NDCG for the choices after the
    cut; another one gets a part of the weights if that gains more than 1.96 standard
    errors. A thousandth of the weights is shared equally. If too few users chose
    something later, the order is that of the first source, and quotas are equal. The
    ranker reads the source of a candidate, and its rank and score in each one. Sources
    read the same columns of X; items are those of the source that knows most, and the
    others must not know any more. The retriever's rows of `explain` are the ranks in
    the sources (side "source"); ``sources_["ease"].explain`` says what is behind them.

    With ``lists``, the mean area under the ROC curve of lists decides on their order.
    The click rate orders them if it gains more than two standard errors over the
    retriever, the ranker of counts if it gains more than that over the better one of
    both, and the ranker of all features if it does so over the best one of these. If
    the cut is one in time, a ranker that was trained on the first half of the later
    lists orders the second half, with counts up to its beginning: so `predict` is used
    until `partial_fit` is called. From then on the order is used that is the best one
    with counts up to each row. Otherwise three rankers are judged on lists of users
    that they were not trained on. With ``position``, choices at place p count 1 / f(p)
    in that mean, at most 10: items at bad places are chosen less often. The ranker of
    lists is trained on at most 200,000 rows, of users in random order, and needs lists
    with y > 0 and y = 0 of 20 users. That of counts also learns from the 200,000 latest
    rows before the cut, if there are dates; it reads what is counted, ``row_features``
    and the position.

    For lists, all that is counted is counted for each row over strictly earlier rows of
    lists, in training as in answers (``time`` missing in X: at the latest time of all;
    without dates: over those before the cut). The click rate of an item is
    :math:`(c + 20 \bar r) / (s + 20)`, where c of s showings ended in a choice, and
    :math:`\bar r` is that share of all showings, also the rate of an item that nobody
    was shown. The ranker reads it as ``click_rate``, and log(1 + s) as
    ``click_rate_shown``; the same with half-lives of a half, an eighth and a 32nd of
    the time of the later lists (``click_rate_recent``, ``click_rate_latest``,
    ``click_rate_newest``); its log odds less those of all items' rate
    (``click_rate_odds``); the days since the item was shown first
    (``shown_since``); by item and level
    of a user (``click_rate_item_user__sex``), by level of items, or of rows
    (``click_rate_all_item__topic``), and by user and such a level, less the user's own
    rate (``click_rate_user_item__topic``). The first three columns of levels of each
    kind count, those with 2 to 64 levels. Rows of the same list do not count for its
    user. In three of ten lists that the ranker learns from, counts stop at the
    beginning of the half, as they do in answers until `partial_fit`.

    With ``position``, s is the sum of f(p) over the places p at which the item was
    shown: an item of rate r is taken to be chosen at place p with the probability
    f(p) r, where f has the mean 1. Rates and f are fitted in turn, before the cut.

    Items are compared by unit vectors: those of the retriever, if it has any, and the
    leading 64 singular vectors of the matrix of users and items. Features with dates
    are relative to the time of the request: the latest time of all events or, if each
    user's last events are cut off, the user's latest.

    The first rows of `explain` are of the ranker's score (side "ranker"), the others of
    the retriever's. Each of both add up to their score. ``attrs["score"]`` is that of
    `recommend`, which is made of both orders. With ``blend_`` 0 there are only the
    retriever's. The ranker's row "(bias)" is the score of a candidate that has, in each
    feature, the median of this user's candidates. The other rows are of groups of
    features that differ from it, and their ``value`` is nan. The contribution of a
    group is a Shapley value: what the ranker's score gains if the group gets the item's
    own values in place of the medians, as a mean over all orders in which the groups
    can get theirs. With ``lists``, `explain` is about the order of `recommend`.

    References
    ----------
    Covington et al., Deep Neural Networks for YouTube Recommendations, RecSys 2016, for
    the two stages. Sundararajan and Najmi, The Many Shapley Values for Model
    Explanation, ICML 2020, for Shapley values with a baseline.

    Examples
    --------
    In the example above, half of the customers buy for the kitchen, half for the
    garden. Popularity mixes both. The ranker learns to put the items first that suit
    past purchases. The first stage by itself:

    >>> model.retriever_.recommend([0], n_neighbors=2)
       user  item     score  rank
    0     0  soil  0.416667     1
    1     0   jam  0.366667     2
    """

    _parameter_constraints = compat.ParameterConstraints()
    retriever: Any = None
    ranker: Any = None
    _: KW_ONLY
    n_candidates: int = compat.parameter(100, SEVERAL)
    quotas: dict[str, int] | None = None
    time: str | int | None = None
    cut: str = compat.parameter("auto", compat.StrOptions({"auto", "time", "user"}))
    later_size: float = compat.parameter(0.2, compat.BETWEEN_0_AND_1)
    context: Any = None
    features: Any = None
    lists: str | int | None = None
    position: str | int | None = None
    row_features: Any = None
    n_neighbors: int = compat.parameter(10, compat.COUNT)
    exclude_seen: bool = compat.parameter(True, "boolean")
    keep_training_table: bool = compat.parameter(False, "boolean")
    random_state: Any = compat.parameter(None, "random_state")

    def get_params(self, deep=True) -> dict:
        """Return the parameters, also those of named sources.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the parameters of the stages as well. Those of a source
            follow its name, as in ``ease__l2``.

        Returns
        -------
        dict
            Parameters by name.
        """
        return self._get_params("retriever", deep=deep)

    def set_params(self, **params) -> Self:
        """Set parameters, also those of named sources, or a source itself by its name.

        Parameters
        ----------
        **params
            New values by name, such as ``ease=EASERecommender()`` or ``ease__l2=100``.

        Returns
        -------
        self : TwoStageRecommender
            The estimator.
        """
        self._set_params("retriever", **params)
        return self

    def _sk_visual_block_(self):
        """Return both stages, one after the other, as scikit-learn draws them."""
        retriever = self.retriever
        ranker = self.ranker
        if retriever is None:
            from sktwotower.recommender import TwoTowerRecommender

            retriever = TwoTowerRecommender()
        ranker = default_ranker(None) if ranker is None else ranker
        if isinstance(retriever, list | tuple):
            retriever = FeatureUnion([*retriever])
        steps = [("retriever", retriever), ("ranker", ranker)]
        fitted = vars(self).get("_fitted")
        if fitted is not None:
            weight = fitted.weight
            recall = fitted.training.recall
            text = f"weight of the ranker {weight:g}, "
            text += f"recall of the candidates {recall:.3f}"
            if fitted.training.order_gains is not None:
                first, _, blend = fitted.training.order_gains["ndcg"]
                text += f", NDCG of later choices {first:.3f}, blended {blend:.3f}"
            steps.append(("blend", compat.drawn_as("Blend", text)))
        return compat.visual_block_of(Pipeline(steps))


# Errors of Python about its arguments have this name.
TwoStageParameters.__init__.__qualname__ = "TwoStageRecommender.__init__"
