"""The display of Lorenz curves: how evenly models recommend the catalog.

Input: rankings of held-out events (n_users, k), one per model.
Output: the Lorenz curve of each model.
"""

from typing import Self

import numpy as np
import pandas as pd

from sktwotower._tables._messages import check_count
from sktwotower.metrics._places import gini

from ._style import GRAY, Display, ink, line_style

EVENTS = "events in the training data"
# Number of points of a curve: more cannot be seen.
N_POINTS = 1000


class LorenzCurveDisplay(Display):
    """Share of the recommendations by share of the catalog: the long tail.

    The items are sorted from the least to the most recommended. If all are recommended
    equally often, the curve is the diagonal. If a few items are recommended to all
    users, it is close to zero. Make it with `from_estimator`.

    Parameters
    ----------
    counts : DataFrame of shape (n_items, n_models)
        How often each item of the catalog is recommended; the columns are the names
        of the models.

    Attributes
    ----------
    gini_ : Series of shape (n_models,)
        Gini index of each column of `counts`, as in `sktwotower.metrics.gini_at_k`.
    lines_ : list of n_models matplotlib Line2D
        The curves.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    RecallByPopularityDisplay : Whether recommended items of the tail are hits.
    sktwotower.metrics.gini_at_k : The index of any lists.
    sktwotower.metrics.coverage_at_k : The share of the catalog that is shown at all.

    Notes
    -----
    The Gini index of n items is n / (n - 1) times twice the area between the diagonal
    and the curve: 0 if all items are recommended equally often, 1 if only one is. An
    even distribution is not a goal by itself: random recommendations are the most even.

    The curve is zero for the items that are never recommended.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sktwotower.plots import LorenzCurveDisplay
    >>> counts = pd.DataFrame({"even": [2, 2, 2, 2], "one item": [0, 0, 0, 8]})
    >>> display = LorenzCurveDisplay(counts=counts)
    >>> display.plot().gini_.to_dict()
    {'even': 0.0, 'one item': 1.0}
    >>> plt.show()
    """

    counts: pd.DataFrame

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        k=10,
        baselines=None,
        name=None,
        max_users=None,
        random_state=None,
        ax=None,
        **kwargs,
    ) -> Self:
        """Rank the catalog for the users of held-out events, and count the items.

        The events of fit, which are the users' own choices, are drawn as well.

        Parameters
        ----------
        estimator, X, y
            As in `RecallCurveDisplay.from_estimator`.
        k : int, default=10
            Number of recommendations per user, >= 1; at most the whole catalog.
        baselines, name, max_users, random_state, ax
            As in `RecallCurveDisplay.from_estimator`.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for all curves.

        Returns
        -------
        LorenzCurveDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        NotFittedError
            If an estimator is not fitted.
        ValueError
            As in `RecallCurveDisplay.from_estimator`.
        TypeError
            If an estimator cannot rank held-out events.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import LorenzCurveDisplay
        >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
        >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
        >>> model = TwoTowerRecommender(max_epochs=3, random_state=0).fit(X)
        >>> display = LorenzCurveDisplay.from_estimator(model, held_out)
        >>> display.gini_.round(2)
        TwoTowerRecommender            0.27
        popularity                     0.68
        events in the training data    0.10
        dtype: float64
        >>> plt.show()
        """
        check_count(k, "k")
        how = {"baselines": baselines, "name": name, "random_state": random_state}
        ranking, models = cls._rank(estimator, X, y, k, max_users=max_users, **how)
        if EVENTS in models:
            raise ValueError(f"No model can have the name {EVENTS!r} of another curve.")
        counts, n_items = {}, len(ranking.item_counts)
        for label, found in models.items():
            counts[label] = np.bincount(found[found >= 0], minlength=n_items)
        counts[EVENTS] = ranking.item_counts
        return cls(counts=pd.DataFrame(counts)).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw the curves, with their Gini indexes in the legend.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.plot`, for all curves.

        Returns
        -------
        LorenzCurveDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> import pandas as pd
        >>> from sktwotower.plots import LorenzCurveDisplay
        >>> counts = pd.DataFrame({"even": [2, 2, 2, 2], "one item": [0, 0, 0, 8]})
        >>> display = LorenzCurveDisplay(counts=counts)
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, linewidth=3).ax_.get_title()
        'How evenly the catalog is recommended'
        >>> plt.show()
        """
        ax = self._start(ax, width=5.5, height=4.8)
        self.gini_ = self.counts.apply(lambda counts: gini(counts, len(counts)))
        self.lines_ = []
        for place, (label, counts) in enumerate(self.counts.items()):
            style = {"color": GRAY, "linestyle": "-"} if label == EVENTS else {}
            style["label"] = f"{label} (Gini {self.gini_[label]:.2f})"
            curve = _lorenz(counts.to_numpy(dtype=float))
            self.lines_ += ax.plot(*curve, **line_style(place, kwargs, **style))
        even = {"color": ink(ax), "linewidth": 0.8, "linestyle": ":"}
        ax.plot([0, 1], [0, 1], label="all items equally often", **even)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter("{x:.0%}")
        ax.set_xlabel("share of the catalog, least recommended items first")
        ax.set(ylabel="share of the recommendations", xlim=(0, 1), ylim=(0, 1))
        ax.set_title("How evenly the catalog is recommended")
        self._legend(loc="upper left")
        return self


def _lorenz(counts):
    """Return the shares of items and of their counts, (n_points,) each."""
    n_items, total = len(counts), max(counts.sum(), 1e-300)
    at = np.unique(np.linspace(0, n_items, N_POINTS).round().astype(int))
    return at / n_items, np.append(0, np.cumsum(np.sort(counts)))[at] / total
