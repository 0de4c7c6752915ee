"""The display of feature importance: the recall, or NDCG, lost without features.

Input: the table of ``feature_importance``, one row per column or group.
Output: Matplotlib bars with intervals.
"""

from typing import Any, Self

import numpy as np

from sktwotower._tables._frames import as_frame

from ._style import BLUE, GRAY, GREEN, VERMILION, Display, bar_style, ink

# The columns of a table, the metric that is lost, and what is removed.
BY_COLUMN = "column", "side", "recall", "column"
BY_GROUP = "group", "group", "NDCG", "group of features"
COLORS = {"user": BLUE, "item": VERMILION, "history": GREEN}


class FeatureImportanceDisplay(Display):
    """Recall, or NDCG, that is lost without each feature, with 95 % intervals.

    Make it with `from_estimator`, or from such a table.

    Parameters
    ----------
    importance : dataframe
        The table of `sktwotower.TwoTowerRecommender.feature_importance`, or of
        `sktwotower.TwoStageRecommender.feature_importance`, or some of its rows.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        One bar per row, with the interval in its ``errorbar``.
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    sktwotower.TwoTowerRecommender.feature_importance : The table that is drawn.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sktwotower.plots import FeatureImportanceDisplay
    >>> importance = pd.DataFrame({
    ...     "side": ["item", "user"], "column": ["genres", "age"],
    ...     "recall_lost": [0.1, 0.0],
    ...     "lower": [0.08, -0.01], "upper": [0.12, 0.01],
    ... })
    >>> display = FeatureImportanceDisplay(importance=importance)
    >>> [label.get_text() for label in display.plot().ax_.get_yticklabels()]
    ['genres (item)', 'age (user)']
    >>> plt.show()
    """

    importance: Any

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        groups=None,
        n_neighbors=None,
        max_users=None,
        random_state=None,
        ax=None,
        **kwargs,
    ) -> Self:
        """Compute the importance of each column on held-out events, and draw it.

        Parameters
        ----------
        estimator : TwoTowerRecommender, or Pipeline or search around one
            A fitted estimator.
        X : dataframe or array-like of shape (n_events, n_columns)
            Held-out events.
        y : array-like of shape (n_events,), default=None
            Outcome of each event; positives are those > 0. None: all are positive.
        groups : dict of str to list of str, default=None
            Name -> columns that are dropped together. None: each column separately.
        n_neighbors : int, default=None
            Number of ranked items that count, >= 1. None: the estimator's.
        max_users : int, default=None
            Judge a random sample of this many users, or requests of a model with
            context. None: all.
        random_state : int, RandomState instance or None, default=None
            Draws the sample.
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure, as high as the rows need.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.barh`.

        Returns
        -------
        FeatureImportanceDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X has no positive event, or `groups` names unknown columns.
        TypeError
            If there is no TwoTowerRecommender in the estimator.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import FeatureImportanceDisplay
        >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
        >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
        >>> model = TwoTowerRecommender(max_epochs=3, random_state=0).fit(X)
        >>> display = FeatureImportanceDisplay.from_estimator(model, held_out)
        >>> display.importance.round(2)
              side   column  recall_lost  lower  upper
        0  history  history         0.06   0.01   0.11
        1     item     item         0.01  -0.01   0.03
        2     user     user        -0.00  -0.02   0.01
        >>> plt.show()
        """
        recommender, X = cls._two_towers(estimator, X)
        # it loads torch
        from sktwotower.inspection._feature_importance import lost_recalls

        importance = lost_recalls(
            recommender,
            X,
            y,
            max_users=max_users,
            random_state=random_state,
            groups=groups,
            n_neighbors=n_neighbors,
        )
        return cls(importance=importance).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure, as high as the rows need.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.barh`.

        Returns
        -------
        FeatureImportanceDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> import pandas as pd
        >>> from sktwotower.plots import FeatureImportanceDisplay
        >>> importance = pd.DataFrame({
        ...     "side": ["item", "user"], "column": ["genres", "age"],
        ...     "recall_lost": [0.1, 0.0],
        ...     "lower": [0.08, -0.01], "upper": [0.12, 0.01],
        ... })
        >>> display = FeatureImportanceDisplay(importance=importance)
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, color="gray").ax_.get_title()
        'Recall lost when a column is removed'
        >>> plt.show()
        """
        table = as_frame(self.importance, "importance")
        name, side, metric, removed = BY_GROUP if "group" in table else BY_COLUMN
        places = np.arange(len(table))
        figures = table[[f"{metric.lower()}_lost", "lower", "upper"]]
        lost, lower, upper = figures.to_numpy().T
        ax = self._start(ax, height=max(2.5, 1.2 + 0.3 * len(places)))
        from matplotlib.patches import Patch

        self.bars_ = ax.barh(
            places,
            lost,
            **bar_style(
                kwargs,
                color=[COLORS.get(name, GRAY) for name in table[side]],
                xerr=np.abs([lost - lower, upper - lost]),
                error_kw={"elinewidth": 1.2, "capsize": 2, "ecolor": ink(ax)},
            ),
        )
        ax.axvline(0, color=ink(ax), linewidth=0.8)
        labels = []
        for removed_name, side_name in zip(table[name], table[side], strict=True):
            is_group = removed_name == side_name
            labels.append(removed_name if is_group else f"{removed_name} ({side_name})")
        ax.set_yticks(places, labels)
        ax.invert_yaxis()
        at = table.attrs.get("n_neighbors")
        whole = table.attrs.get(metric.lower())
        lost = f"{metric}{'' if at is None else f'@{at}'} lost"
        complete = ""
        if whole is not None:
            complete = f"\n(full model: {whole:.3f})"
        ax.set_xlabel(f"{lost}, with 95 % interval")
        lost = f"{lost[0].upper()}{lost[1:]}"
        ax.set_title(f"{lost} when a {removed} is removed{complete}")

        # which color is which side, if there are several
        shown = [name for name in COLORS if name in set(table[side])]
        if len(shown) > 1:
            patches = [Patch(color=COLORS[name], label=name) for name in shown]
            ax.legend(handles=patches, frameon=False, alignment="left")
        return self
