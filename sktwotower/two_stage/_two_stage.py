"""The public methods of `TwoStageRecommender`.

Input: events (n_events, n_columns) in fit; users or pairs later.
Output: a fitted estimator with its state in ``_fitted``; rankings, tables and figures.
"""

from functools import partial
from typing import Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if

from sktwotower._records import record
from sktwotower._tables._arguments import hinted
from sktwotower._tables._messages import one_call
from sktwotower._tables._one_writer import one_writer
from sktwotower._tables._schema import read_table
from sktwotower.features._after_fit import forget_rows
from sktwotower.retrieval._fitted_state import fitted_attribute, fitted_of
from sktwotower.retrieval._retrieval import RetrievalMixin

from ._fit_stages import StageRecipe, count_more, learn, learn_more
from ._fitted_stages import FittedStages
from ._ranker_features import RankerFeaturesMixin
from ._stage_parameters import TwoStageParameters

# A table that fit may not have made.
table_or_none = partial(fitted_attribute, may_be_none=True, is_table=True)


def _has_lists(estimator):
    """Return True for an estimator of lists, else raise ``AttributeError``."""
    if estimator.lists is None:
        raise AttributeError(
            "predict_proba and update_counts are about lists that were shown: fit with "
            "the column that names the lists, TwoStageRecommender(lists=...)."
        )
    return True


@record
@hinted
class TwoStageRecommender(RetrievalMixin, RankerFeaturesMixin, TwoStageParameters):
    __doc__ = TwoStageParameters.__doc__

    _fitted: FittedStages

    retriever_ = fitted_attribute("copied_retriever")
    ranker_ = fitted_attribute("ranker.estimator", may_be_none=True)
    blend_ = fitted_attribute("weight")
    blend_gains_ = table_or_none("training.gains")
    blend_gains_later_ = table_or_none("training.later_gains")
    order_gains_later_ = table_or_none("training.order_gains")
    cut_ = fitted_attribute("training.cut")
    sources_ = fitted_attribute("sources")
    source_report_ = fitted_attribute("source_report", is_table=True)
    candidate_recall_ = fitted_attribute("training.recall")
    n_positive_candidates_ = fitted_attribute("training.n_positive")
    training_table_ = fitted_attribute("training.table", is_table=True)
    list_order_ = fitted_attribute("lists.order.name")
    list_ranker_ = fitted_attribute("lists.ranker.estimator")
    list_gains_ = table_or_none("lists.gains")
    list_gains_later_ = table_or_none("lists.later_gains")
    classes_ = fitted_attribute("lists.classes")

    @hinted
    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Train both stages on events.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            One row per event, with the columns that the retriever reads.
        y : array-like of shape (n_events,), default=None
            Outcome of each event: > 0 is its reward, 0 means shown and not chosen. The
            retriever gets it. Only events with y > 0 are positive for the ranker; those
            with y = 0 count in click rates, and in ``lists``. None: all are positive.
        sample_weight : array-like of shape (n_events,), default=None
            Weight of each event for the retriever, >= 0; rows with weight 0 are left
            out.

        Returns
        -------
        self : TwoStageRecommender
            The fitted estimator. A call that fails leaves it as it was before.

        Raises
        ------
        ValueError
            If parameters are out of range, ``time`` is another column than the
            retriever's, or the retriever cannot be fitted on the events.
        TypeError
            If the retriever is no recommender (`sktwotower.base.check_recommender`),
            the ranker has no scores, or ``features`` are neither a function nor a
            transformer.

        Warns
        -----
        UserWarning
            If no ranker can be trained, because there are too few events, or none of
            the candidates was chosen later, or if its order gains only in the time it
            was trained on, see ``order_gains_later_``. Answers are then the
            retriever's.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> from sktwotower import PopularityRecommender, TwoStageRecommender
        >>> shelves = [["tea", "jam", "bread", "honey", "rusks", "cocoa"],
        ...            ["rake", "hose", "seeds", "spade", "pots", "soil"]]
        >>> rng = np.random.default_rng(0)
        >>> X = [[user, item] for user in range(60)
        ...      for item in rng.permutation(shelves[user % 2])[:4]]
        >>> ranker = DecisionTreeClassifier(max_depth=3, random_state=0)
        >>> model = TwoStageRecommender(PopularityRecommender(), ranker, random_state=0)
        >>> model.fit(X).recommend([0], n_neighbors=2).round(2)
           user item  score  rank
        0     0  jam    1.0     1
        1     0  tea    0.5     2
        >>> model.blend_  # weight of the ranker's order
        1.0
        """
        self._validate_params()
        recipe = StageRecipe(**self.get_params(deep=False))
        self._fitted = one_call(learn, type(self).__name__, recipe, X, y, sample_weight)
        return self

    def partial_fit(
        self, X, y=None, sample_weight=None, *, update_ranker=False, counted=False
    ) -> Self:
        """Learn from further events: counts and features go on, and the retriever.

        The retriever learns them by its own ``partial_fit``. Features of candidates and
        of lists are then computed as of now: from users' pasts, popularity, times,
        items chosen together, and how often items were shown and chosen. The rankers
        stay, with what fit found about them. The order within lists is that which paid
        best in fit with counts that go on, see ``list_gains_later_``.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the same columns; only the new events. They may be of new
            users and items, late, without a positive one, and without rows: then
            nothing changes. A side table of the retriever must hold new ids: call
            ``set_params(retriever__items=products)`` first.
        update_ranker : bool, default=False
            Whether the ranker of lists is trained anew, on the lists of X only: pass
            those of a week rather than of an hour. Features of a row are those before
            it. The order that paid best in fit stays.
        counted : bool, default=False
            Whether `update_counts` has counted these events: then the counts of lists
            stay as they are, and the rest is learnt.

        Returns
        -------
        self : TwoStageRecommender
            The fitted estimator; a first call is `fit`. A call that fails leaves it as
            it was before.

        Raises
        ------
        ValueError, TypeError
            As in `fit` and in ``partial_fit`` of the retriever; ValueError if there is
            no ranker of lists to update, or both ``update_ranker`` and ``counted``
            are True.

        Warns
        -----
        UserWarning
            If lists of X are of too few users to train a ranker on, which then stays.

        Notes
        -----
        Each call makes one pass over all positive events so far, and computes again
        which items are chosen together: it costs a part of what `fit` does, which
        trains rankers and fits the retriever three times. Factors of positions stay as
        fit found them, and levels of columns that fit did not see are missing values.
        If ``partial_fit`` of the retriever is a refit, as that of `EASERecommender`,
        the features of candidates are those of `fit` on all events.

        Examples
        --------
        >>> import numpy as np
        >>> from sktwotower import PopularityRecommender, TwoStageRecommender
        >>> shelves = [["tea", "jam", "bread", "honey", "rusks", "cocoa"],
        ...            ["rake", "hose", "seeds", "spade", "pots", "soil"]]
        >>> rng = np.random.default_rng(0)
        >>> X = [[user, item] for user in range(60)
        ...      for item in rng.permutation(shelves[user % 2])[:4]]
        >>> model = TwoStageRecommender(PopularityRecommender(), random_state=0).fit(X)
        >>> model = model.partial_fit([[60, "hose"], [60, "rake"], [60, "gloves"]])
        >>> model.recommend([60], n_neighbors=2).round(2)  # a new customer
           user   item  score  rank
        0    60  spade   0.71     1
        1    60   soil   0.59     2
        """
        if not self.__sklearn_is_fitted__():
            return self.fit(X, y, sample_weight)
        with one_writer(self):
            self._validate_params()
            recipe = StageRecipe(**self.get_params(deep=False))
            self._fitted = learn_more(
                type(self).__name__,
                recipe,
                fitted_of(self),
                X,
                y,
                sample_weight,
                update_ranker=update_ranker,
                counted=counted,
            )
        return self

    @available_if(_has_lists)
    def update_counts(self, X, y=None, sample_weight=None) -> Self:
        """Count further rows of lists, and do nothing else: a matter of milliseconds.

        For each request that is answered: `predict` knows at once what was shown and
        chosen. The time that it takes follows the number of rows, not the size of the
        catalog or of what was counted before.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`, with the same columns; only the new events. They may be of new
            users and items, late, and without rows: then nothing changes. Rows that
            belong to no list are checked, and not counted.

        Returns
        -------
        self : TwoStageRecommender
            The fitted estimator. A call that fails leaves it as it was before.

        Raises
        ------
        AttributeError
            If the parameter ``lists`` is None: what else is counted is learnt by
            `partial_fit`.
        NotFittedError
            If fit has not been called.
        ValueError
            If fit could not learn from lists, or as in `partial_fit`.
        TypeError
            As in `partial_fit`.

        Notes
        -----
        Counted is what the features ``click_rate...`` and ``shown_since`` of lists are
        made of. From then on the order within lists is that which paid best in fit with
        counts that go on, see ``list_gains_later_``. What `recommend` reads, such as
        users' pasts and popularity, and the retriever are learnt by `partial_fit`. Pass
        it the same events, with ``counted=True``, such as once a day.

        Other threads may ask for answers meanwhile: each gets the counts before a call
        or after it. Calls that change one estimator wait for each other.

        Examples
        --------
        Of tea and jam one is chosen for a month, and then the other one. Today jam
        begins to be chosen.

        >>> import numpy as np
        >>> import pandas as pd
        >>> from sktwotower import PopularityRecommender, TwoStageRecommender
        >>> n = np.arange(580)
        >>> days = pd.Timestamp("2024-01-01") + pd.to_timedelta(n, unit="D")
        >>> tea = pd.DataFrame({"user": n % 40, "item": "tea", "day": days, "list": n})
        >>> shown = pd.concat([tea, tea.assign(item="jam")])
        >>> is_tea_month = n // 30 % 2
        >>> model = TwoStageRecommender(
        ...     PopularityRecommender(), time="day", lists="list", random_state=0
        ... ).fit(shown, np.r_[is_tea_month, 1 - is_tea_month])
        >>> asked = pd.DataFrame({"user": 7, "item": ["tea", "jam"], "list": 0})
        >>> model.predict_proba(asked)[:, 1].round(1)
        array([1., 0.])
        >>> later = days[-1] + pd.to_timedelta([1, 1, 2, 2, 3, 3], unit="D")
        >>> today = {"user": 8, "item": ["tea", "jam"] * 3, "day": later}
        >>> today = pd.DataFrame(today | {"list": [600, 600, 601, 601, 602, 602]})
        >>> model = model.update_counts(today, y=[0, 1] * 3)
        >>> model.predict_proba(asked)[:, 1].round(1)
        array([0.4, 0.8])
        """
        with one_writer(self):
            self._validate_params()
            fitted = fitted_of(self)
            if fitted.lists is None:
                raise ValueError(
                    "There are no counts of lists: fit could not learn from lists: it "
                    "warned why. Pass more lists with y > 0 and y = 0 to fit."
                )
            recipe = StageRecipe(**self.get_params(deep=False))
            self._fitted = count_more(
                type(self).__name__, recipe, fitted, X, y, sample_weight
            )
        return self

    def _forget(self, fitted, gone):
        """Replace the fitted state and the retriever by ones without some users."""
        left = fitted.without_users(gone)
        retriever = self.retriever
        if retriever is not None:
            # a fitted one would hold them, too; a list of sources is no estimator
            retriever = clone(retriever, safe=not isinstance(retriever, list | tuple))
            sources = [retriever]
            if isinstance(retriever, list | tuple):
                sources = [source for _, source in retriever]
            for source in sources:
                forget_rows(source, fitted.users, left.users, gone)
        self.retriever = retriever
        self._fitted = left

    def _serving(self):
        return fitted_of(self).retriever._serving()

    def predict(self, X, history=None) -> np.ndarray:
        """Return the score of each event's own pair of user and item.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Events with the columns of fit; the columns ``time``, ``lists`` and
            ``position`` may be missing.
        history : dataframe, dict, list or None, default=None
            Events of these users that fit has not seen, see `recommend`.

        Returns
        -------
        ndarray of shape (n_events,), float32
            With ``lists``, scores for the order within lists: by ``list_order_`` those
            of a ranker (with `predict_proba` the probability that the item is chosen
            at the first place), click rates or the retriever's scores. Counts are those
            at the time of the row. Items unknown to fit are ordered by what is known of
            the user, the request and the row.

            Without: with ``blend_`` 0 the retriever's scores. Otherwise the blended
            score, in the order of `recommend`: an item that is not among its user's
            candidates is placed between them by the retriever's score and by the
            ranker's; 0 for items unknown to fit. Higher is better.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X lacks columns of fit.
        TypeError
            If X is not a table in memory, ids are of mixed types, or ``history`` is
            neither events nor a list.

        Warns
        -----
        UserWarning
            If rows hold items that fit has not seen, with their share: the retriever
            cannot tell them apart.

        Examples
        --------
        >>> import numpy as np
        >>> from sktwotower import PopularityRecommender, TwoStageRecommender
        >>> shelves = [["tea", "jam", "bread", "honey", "rusks", "cocoa"],
        ...            ["rake", "hose", "seeds", "spade", "pots", "soil"]]
        >>> rng = np.random.default_rng(0)
        >>> X = [[user, item] for user in range(60)
        ...      for item in rng.permutation(shelves[user % 2])[:4]]
        >>> model = TwoStageRecommender(PopularityRecommender(), random_state=0).fit(X)
        >>> model.predict([[0, "tea"], [0, "hose"]]).round(2)  # a kitchen customer
        array([0.59, 0.2 ], dtype=float32)
        """
        return self._scores(fitted_of(self), X, history)

    @available_if(_has_lists)
    def predict_proba(self, X, history=None) -> np.ndarray:
        """Return the probability that items are not chosen, and are chosen, in a list.

        Parameters
        ----------
        X, history
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_events, 2)
            In each row 1 - p and p, as in ``classes_``.

        Raises
        ------
        AttributeError
            If the parameter ``lists`` is None.
        ValueError
            If fit could not learn from lists, or as in `predict`.
        NotFittedError, TypeError
            As in `predict`.

        Notes
        -----
        p is the share of the rows with that score that were chosen, in the lists that
        judged ``list_order_``: a function that never falls (isotonic regression), or a
        logistic curve if there are fewer than 1,000 rows. It refers to the places at
        which items were shown in them.

        Examples
        --------
        Of two items that are shown together, the first is chosen in three of four
        lists, the second in one.

        >>> import numpy as np
        >>> import pandas as pd
        >>> from sktwotower import PopularityRecommender, TwoStageRecommender
        >>> n = np.arange(400)
        >>> days = pd.Timestamp("2024-01-01") + pd.to_timedelta(n, unit="D")
        >>> tea = pd.DataFrame({"user": n % 40, "item": "tea", "day": days, "list": n})
        >>> shown = pd.concat([tea, tea.assign(item="jam")])
        >>> y = np.r_[n % 4 > 0, n % 4 == 0].astype(int)
        >>> model = TwoStageRecommender(
        ...     PopularityRecommender(), time="day", lists="list", random_state=0
        ... ).fit(shown, y)
        >>> asked = pd.DataFrame({"user": 7, "item": ["tea", "jam"], "list": 0})
        >>> model.predict_proba(asked).round(2)
        array([[0.26, 0.74],
               [0.74, 0.26]])
        """
        fitted = fitted_of(self)
        if fitted.lists is None:
            raise ValueError(
                "There are no probabilities, as fit could not learn from lists: it "
                "warned why. Pass more lists with y > 0 and y = 0 to fit."
            )
        scores = self._scores(fitted, X, history)
        chosen = fitted.lists.order.calibration.at(scores)
        return np.column_stack([1 - chosen, chosen])

    def _scores(self, fitted, X, history):
        """Return what `predict` does, by one fitted state."""
        about_lists = [name for name in fitted.columns if name is not None]
        X = fitted.schema.with_empty_columns(X, about_lists)
        scores = fitted.retriever.predict(X, history=history)
        if fitted.weight == 0 and fitted.lists is None:
            return scores
        frame, _ = read_table(type(self).__name__, X, fitted.schema)
        if fitted.lists is not None:
            return fitted.lists.scores(fitted, frame, scores, history)
        return fitted.scores_of_pairs(frame, scores, history, self.exclude_seen)
