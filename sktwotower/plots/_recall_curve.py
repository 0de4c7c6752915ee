"""The display of recall by the number of recommendations.

Input: rankings of held-out events (n_users, k), one per model.
Output: a curve of recall at 1 .. k for each model.
"""

from typing import Self

import numpy as np
import pandas as pd

from sktwotower._tables._messages import check_count
from sktwotower.metrics._groups import GroupRanking, everyone
from sktwotower.metrics._hits import standard_error

from ._style import Display, line_style, round_numbers


class RecallCurveDisplay(Display):
    """Recall by the number of recommendations, of a model and of baselines.

    Make it with `from_estimator`.

    Parameters
    ----------
    recall : DataFrame of shape (n_k, n_models)
        Mean recall; the index is k, the columns are the names of the models.
    standard_error : DataFrame of shape (n_k, n_models), default=None
        Its standard error over the users. None: no bands are drawn.

    Attributes
    ----------
    lines_ : list of n_models matplotlib Line2D
        The curves.
    bands_ : list of matplotlib PolyCollection
        One standard error on either side of each; empty without `standard_error`.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    sktwotower.metrics.retrieval_report : The figures at some k, with other metrics.

    Notes
    -----
    A user's recall at k is the share of the user's held-out items, including those that
    are not in the catalog, that is in the first k places of the whole catalog. The
    band is one standard error of the mean on either side. Differences between models
    that rank for the same users are often more certain than the bands suggest.

    If a model has context, each row is a request, a user with a context, as in
    `sktwotower.metrics.retrieval_report`; requests of a user count as one cluster.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sktwotower.plots import RecallCurveDisplay
    >>> recall = {"mine": [0.1, 0.2], "popularity": [0.1, 0.1]}
    >>> recall = pd.DataFrame(recall, index=[1, 2])
    >>> display = RecallCurveDisplay(recall=recall)
    >>> [line.get_label() for line in display.plot().lines_]
    ['mine', 'popularity']
    >>> plt.show()
    """

    recall: pd.DataFrame
    standard_error: pd.DataFrame | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        max_k=100,
        baselines=None,
        name=None,
        max_users=None,
        random_state=None,
        ax=None,
        **kwargs,
    ) -> Self:
        """Rank the catalog for the users of held-out events, and draw the recall.

        Parameters
        ----------
        estimator : recommender, or Pipeline or search around one
            A fitted estimator.
        X : dataframe or array-like of shape (n_events, n_columns)
            Held-out events.
        y : array-like of shape (n_events,), default=None
            Outcome of each event; positives are those > 0. None: all are positive.
        max_k : int, default=100
            Largest number of recommendations, >= 1; at most the whole catalog.
        baselines : list of estimators, or dict of str to estimator, default=None
            Further models, fitted on the same events, under their class names or the
            names given; for a model of another library pass its ranking, as in
            `sktwotower.metrics.retrieval_report`. None: only popularity, which is
            always shown.
        name : str, default=None
            Name of the estimator in the legend. None: its class name.
        max_users : int, default=None
            Rank for a random sample of this many users, or requests of a model with
            context, the same for all models. None: all.
        random_state : int, RandomState instance or None, default=None
            Draws the sample.
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for all curves.

        Returns
        -------
        RecallCurveDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        NotFittedError
            If an estimator is not fitted.
        ValueError
            If X has no positive event, `max_k` or `max_users` < 1, `name` is not a
            string or is 'popularity', a baseline has the name of another model, lacks
            users of X or ranks fewer than `max_k` items.
        TypeError
            If an estimator cannot rank held-out events, or a number is not an integer.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import EASERecommender, TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import RecallCurveDisplay
        >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
        >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
        >>> model = TwoTowerRecommender(max_epochs=3, random_state=0).fit(X)
        >>> display = RecallCurveDisplay.from_estimator(
        ...     model, held_out, baselines={"EASE": EASERecommender().fit(X)}
        ... )
        >>> best = display.recall.loc[[1, 10, 50]]
        >>> best.round(2)  # doctest: +NORMALIZE_WHITESPACE
            TwoTowerRecommender  popularity  EASE
        k
        1                  0.14        0.01  0.14
        10                 0.62        0.21  0.60
        50                 1.00        1.00  1.00
        >>> plt.show()
        """
        check_count(max_k, "max_k")
        ranking, models = cls._rank(
            estimator,
            X,
            y,
            max_k,
            max_users=max_users,
            baselines=baselines,
            name=name,
            random_state=random_state,
        )
        k = min(max_k, ranking.truth.shape[1])
        recalls = {}
        errors = {}
        for label, indices in models.items():
            judged = GroupRanking(ranking, everyone(ranking), indices[:, :k])
            # places after the last one are misses
            hits = np.pad(judged.hits, [(0, 0), (0, k - judged.hits.shape[1])])
            values = np.cumsum(hits, axis=1) / judged.n_relevant[:, None]
            recalls[label] = values.mean(axis=0)
            errors[label] = standard_error(values, judged.owners)
        ks = pd.RangeIndex(1, k + 1, name="k")
        recall = pd.DataFrame(recalls, ks)
        error = pd.DataFrame(errors, ks)
        return cls(recall=recall, standard_error=error).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw the curves, over a logarithmic axis.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for all curves.

        Returns
        -------
        RecallCurveDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> import pandas as pd
        >>> from sktwotower.plots import RecallCurveDisplay
        >>> recall = {"mine": [0.1, 0.2], "popularity": [0.1, 0.1]}
        >>> recall = pd.DataFrame(recall, index=[1, 2])
        >>> display = RecallCurveDisplay(recall=recall)
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, linewidth=3).ax_.get_title()
        'Held-out items found, by length of the list'
        >>> plt.show()
        """
        ax = self._start(ax)
        self.lines_ = []
        self.bands_ = []
        k = self.recall.index
        for place, (label, recall) in enumerate(self.recall.items()):
            style = line_style(place, kwargs, label=label)
            self.lines_ += ax.plot(k, recall.to_numpy(), **style)
            if self.standard_error is not None:
                error = self.standard_error[label]
                style = {"color": self.lines_[-1].get_color(), "alpha": 0.35, "lw": 0}
                band = ax.fill_between(k, recall - error, recall + error, **style)
                self.bands_.append(band)
        # on a linear axis the first places would be too close together
        ax.set_xscale("log")
        ticks = round_numbers(k[0], k[-1])
        ax.set_xticks(ticks, [f"{n:,}" for n in ticks])
        ax.set_xticks([], minor=True)
        ax.set(xlabel="number of recommendations k", ylim=(0, None))
        ax.set_ylabel("recall at k, mean over users")
        ax.set_title("Held-out items found, by length of the list")
        self._legend("shaded: ± 1 standard error" if self.bands_ else None)
        return self
