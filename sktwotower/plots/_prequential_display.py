"""The display of scores over time, by how a recommender is kept up to date.

Input: the table of ``prequential_validate``, one row per slice and strategy.
Output: a line over time for each strategy.
"""

from typing import Self

import numpy as np
import pandas as pd

from sktwotower._tables._frames import as_frame
from sktwotower.model_selection import prequential_validate

from ._style import GRAY, Display, check_matplotlib, line_style

# The baseline is drawn in gray.
BASELINE = "popularity"
# Others are called by their own names.
LABELS = {"history": "frozen, with history", "popularity": "recent popularity"}
# Each strategy has the same style in all pictures, whichever others are drawn.
PLACES = {"partial_fit": 0, "refit": 1, "history": 2, "frozen": 3}


class PrequentialDisplay(Display):
    """Scores over time of a recommender that is, or is not, kept up to date.

    Make it with `from_estimator`, or with `from_frame` from a table that
    `sktwotower.model_selection.prequential_validate` has returned.

    Parameters
    ----------
    results : DataFrame
        One row per slice and strategy, with the columns ``start``, ``strategy`` and
        `score_name`.
    score_name : str
        Column of the score that is drawn.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        One line per strategy, in the order of the table.
    ax_ : matplotlib Axes
        Axes with the lines.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    sktwotower.model_selection.prequential_validate : The table that is drawn.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sktwotower.plots import PrequentialDisplay
    >>> results = pd.DataFrame({
    ...     "start": [1, 1, 2, 2], "strategy": ["frozen", "refit"] * 2,
    ...     "test_score": [0.10, 0.10, 0.08, 0.11],
    ... })
    >>> display = PrequentialDisplay.from_frame(results)
    >>> [line.get_label() for line in display.lines_]  # with the mean of each
    ['frozen (0.090)', 'refit (0.105)']
    >>> plt.show()
    """

    results: pd.DataFrame
    score_name: str

    @classmethod
    def from_estimator(
        cls,
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
        strategies="auto",
        window=None,
        sample_weight=None,
        ax=None,
        **kwargs,
    ) -> Self:
        """Validate an estimator on a stream, and draw the scores.

        Parameters
        ----------
        estimator : recommender, or Pipeline or search around one
            It is cloned, not changed.
        X : dataframe or array-like of shape (n_events, n_columns)
            Events, in any order, with the columns of fit.
        y : array-like of shape (n_events,), default=None
            Outcome of each event, as in fit. None: all are positive.
        time : str or int
            Column of X that says when.
        freq, n_slices, train_size, scoring, lists, strategies, window, sample_weight
            As in `sktwotower.model_selection.prequential_validate`. Of several scores
            the first is drawn.
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for all lines.

        Returns
        -------
        PrequentialDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError, TypeError
            As in `sktwotower.model_selection.prequential_validate`.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import EASERecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import PrequentialDisplay
        >>> X = make_interactions(100, 50, n_clusters=3, random_state=0).data
        >>> X["day"] = range(len(X))
        >>> display = PrequentialDisplay.from_estimator(
        ...     EASERecommender(), X, time="day", n_slices=3,
        ...     strategies=["frozen", "refit"],
        ... )
        >>> [line.get_label() for line in display.lines_]
        ['frozen (0.607)', 'refit (0.676)']
        >>> plt.show()
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        results = prequential_validate(
            estimator,
            X,
            y,
            time=time,
            freq=freq,
            n_slices=n_slices,
            window=window,
            train_size=train_size,
            sample_weight=sample_weight,
            scoring=scoring,
            lists=lists,
            strategies=strategies,
        )
        return cls.from_frame(results, ax=ax, **kwargs)

    @classmethod
    def from_frame(cls, results, *, score_name=None, ax=None, **kwargs) -> Self:
        """Draw a table of `sktwotower.model_selection.prequential_validate`.

        Parameters
        ----------
        results : dataframe
            The table, or some of its rows.
        score_name : str, default=None
            Column of the score, such as "test_recall@20". None: the first one whose
            name begins with ``test_``.
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for all lines.

        Returns
        -------
        PrequentialDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If the table has no row, or lacks a column.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> import pandas as pd
        >>> from sktwotower.plots import PrequentialDisplay
        >>> results = pd.DataFrame({
        ...     "start": [1, 1, 2, 2], "strategy": ["frozen", "refit"] * 2,
        ...     "test_score": [0.10, 0.10, 0.08, 0.11],
        ... })
        >>> display = PrequentialDisplay.from_frame(results)
        >>> display.score_name
        'test_score'
        >>> plt.show()
        """
        check_matplotlib(f"{cls.__name__}.from_frame")
        results = as_frame(results, "results")
        columns = list(results.columns)
        if score_name is None:
            names = [name for name in columns if str(name).startswith("test_")]
            score_name = "test_score"
            if names:
                score_name = names[0]
        if len(results) == 0 or not {"start", "strategy", score_name} <= {*columns}:
            raise ValueError(
                "results must have a row per slice and strategy, with the columns "
                f"'start', 'strategy' and {score_name!r}, as prequential_validate "
                f"returns them. Got {len(results)} rows with the columns {columns}."
            )
        return cls(results=results, score_name=score_name).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for all lines.

        Returns
        -------
        PrequentialDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> import pandas as pd
        >>> from sktwotower.plots import PrequentialDisplay
        >>> results = pd.DataFrame({
        ...     "start": [1, 1, 2, 2], "strategy": ["frozen", "refit"] * 2,
        ...     "test_score": [0.10, 0.10, 0.08, 0.11],
        ... })
        >>> display = PrequentialDisplay(results=results, score_name="test_score")
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, marker="o").ax_.get_title()
        'Test on the next slice, then learn it'
        >>> plt.show()
        """
        ax = self._start(ax, width=7)
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        self.lines_ = []
        for strategy, rows in self.results.groupby("strategy", sort=False):
            values = rows[self.score_name].to_numpy()
            label = f"{LABELS.get(strategy, strategy)} ({np.nanmean(values):.3f})"
            style = {"label": label, "marker": "."}
            if strategy == BASELINE:
                style["color"] = GRAY
            style = line_style(PLACES.get(strategy, 4), kwargs, **style)
            self.lines_ += ax.plot(rows["start"].to_numpy(), values, **style)
        name = self.score_name.removeprefix("test_")
        ax.set(xlabel="start of the slice", ylabel=f"{name} of the next slice")
        ax.set(title="Test on the next slice, then learn it")
        if name != "roc_auc":  # of which .5 is chance
            ax.set(ylim=(0, None))
        locator = ax.xaxis.get_major_locator()
        if isinstance(locator, AutoDateLocator):  # or dates would overlap
            ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        # the lines leave room below, and the legend needs half of the width
        title = "mean of the slices in brackets"
        ax.legend(frameon=False, ncols=2, title=title, alignment="left")
        return self
