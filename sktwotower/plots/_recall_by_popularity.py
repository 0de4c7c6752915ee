"""The display of recall by the popularity of the item.

Input: rankings of held-out events (n_users, k), one per model.
Output: bars of recall for groups of items, from rare to popular.
"""

from typing import Self

import numpy as np
import pandas as pd

from sktwotower._tables._messages import check_count
from sktwotower.metrics._hits import standard_error

from ._style import COLORS, HATCHES, Display, bar_style, ink


class RecallByPopularityDisplay(Display):
    r"""Recall of held-out events by the popularity of their items.

    A model that recommends only popular items finds nothing on the left. The items are
    sorted by their number of users in fit and cut into groups with about the same
    number of held-out events. A bar of height zero is marked "0". Make it with
    `from_estimator`.

    Parameters
    ----------
    recall : DataFrame of shape (n_groups, n_models)
        Share of each group's held-out events that is found. The index names the
        groups, from rare to popular; the columns are the names of the models.
    standard_error : DataFrame of shape (n_groups, n_models), default=None
        Its standard error. None: not drawn.
    k : int, default=None
        Number of recommendations, for the label. None: not shown.

    Attributes
    ----------
    bars_ : list of n_models matplotlib BarContainer
        The bars of each model, one per group.
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    sktwotower.metrics.gini_at_k : How evenly the catalog is recommended.
    sktwotower.metrics.retrieval_report : The figures for head and tail items.

    Notes
    -----
    All events have the same weight, regardless of their user; events of items that are
    not in the catalog are left out. With w the number of a user's held-out events
    in a group, f the number of those found, and m users, the share is :math:`r = \sum f
    / \sum w`. Its standard error takes users, not events, to be independent:
    :math:`\sqrt{\frac{m}{m - 1} \sum (f - r w)^2} / \sum w`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sktwotower.plots import RecallByPopularityDisplay
    >>> recall = pd.DataFrame({"mine": [0.1, 0.2]}, index=["1-9", "10-50"])
    >>> display = RecallByPopularityDisplay(recall=recall, k=20)
    >>> display.plot().ax_.get_ylabel()
    'share found in the first 20'
    >>> plt.show()
    """

    recall: pd.DataFrame
    standard_error: pd.DataFrame | None = None
    k: int | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        k=20,
        n_groups=5,
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
        estimator, X, y
            As in `RecallCurveDisplay.from_estimator`.
        k : int, default=20
            Number of recommendations, >= 1; at most the whole catalog.
        n_groups : int, default=5
            Number of groups of items, >= 1; fewer where many items are equally popular.
        baselines, name, max_users, random_state, ax
            As in `RecallCurveDisplay.from_estimator`.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.bar`, for all bars.

        Returns
        -------
        RecallByPopularityDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        NotFittedError
            If an estimator is not fitted.
        ValueError
            As in `RecallCurveDisplay.from_estimator`, if `n_groups` < 1, or if no
            event's item is in the catalog.
        TypeError
            As in `RecallCurveDisplay.from_estimator`.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import RecallByPopularityDisplay
        >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
        >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
        >>> model = TwoTowerRecommender(max_epochs=3, random_state=0).fit(X)
        >>> display = RecallByPopularityDisplay.from_estimator(model, held_out, k=10)
        >>> display.recall.round(2)
               TwoTowerRecommender  popularity
        22-24                 0.70        0.00
        25-27                 0.66        0.00
        28-30                 0.64        0.00
        31-34                 0.61        0.02
        35-44                 0.48        0.91
        >>> plt.show()
        """
        check_count(k, "k")
        check_count(n_groups, "n_groups")
        ranking, models = cls._rank(
            estimator,
            X,
            y,
            k,
            max_users=max_users,
            baselines=baselines,
            name=name,
            random_state=random_state,
        )
        k = min(k, ranking.truth.shape[1])

        # groups with about the same number of held-out events, from rare to popular
        rows, items = ranking.truth.nonzero()
        if not len(items):
            raise ValueError(
                "No item of X is in the catalog: there is nothing to draw."
            )
        counts = ranking.item_counts.astype(int)
        sorted_counts = np.sort(counts[items])
        cuts = sorted_counts[np.arange(n_groups) * len(items) // n_groups]
        edges = np.unique([*cuts, sorted_counts[-1] + 1])
        groups = np.searchsorted(edges, counts[items], side="right") - 1
        labels = []
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            labels.append(f"{low}" if high - low == 1 else f"{low}-{high - 1}")

        # the share of each group's events that is ranked
        pairs = pd.Index(rows.astype(np.int64) * len(counts) + items)
        owners = ranking.users[rows]  # one of several requests, too
        recalls = {}
        errors = {}
        for label, indices in models.items():
            ranked_rows, places = np.nonzero(indices[:, :k] >= 0)
            ranked_items = indices[ranked_rows, places]
            is_hit = pairs.isin(ranked_rows * len(counts) + ranked_items)
            parts = [groups == group for group in range(len(labels))]
            recalls[label] = [is_hit[part].mean() for part in parts]
            errors[label] = [
                standard_error(is_hit[part], owners[part]) for part in parts
            ]
        recall = pd.DataFrame(recalls, labels)
        error = pd.DataFrame(errors, labels)
        return cls(recall=recall, standard_error=error, k=k).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw the bars, with one standard error on either side of their ends.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.bar`, for all bars.

        Returns
        -------
        RecallByPopularityDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> import pandas as pd
        >>> from sktwotower.plots import RecallByPopularityDisplay
        >>> recall = pd.DataFrame({"mine": [0.1, 0.2]}, index=["1-9", "10-50"])
        >>> display = RecallByPopularityDisplay(recall=recall, k=20)
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, alpha=0.8).ax_.get_title()
        'Held-out items found, from rare to popular items'
        >>> plt.show()
        """
        ax = self._start(ax)
        n_groups, n_models = self.recall.shape
        width = 0.8 / n_models
        self.bars_ = []
        for place, (label, recall) in enumerate(self.recall.items()):
            style = {"label": label, "width": width, "edgecolor": ax.get_facecolor()}
            style["color"] = COLORS[place % len(COLORS)]
            style["hatch"] = HATCHES[place // len(COLORS) % len(HATCHES)]
            if self.standard_error is not None:
                error = self.standard_error[label].to_numpy()
                # no share is below zero
                style["yerr"] = np.array([np.minimum(error, recall), error])
                style["error_kw"] = {"elinewidth": 1, "ecolor": ink(ax)}
            at = np.arange(n_groups) + (place - (n_models - 1) / 2) * width
            bars = ax.bar(at, recall, **bar_style(kwargs, **style))
            self.bars_.append(bars)
            zeros = ["0" if share == 0 else "" for share in recall]
            # a line of no height would hide in the axis
            ax.bar_label(bars, zeros, fontsize="x-small", color=bars[0].get_facecolor())
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        ax.set_xticks(np.arange(n_groups), self.recall.index)
        first = ""
        if self.k:
            first = f" in the first {self.k}"
        ax.set(ylabel=f"share found{first}", ylim=(0, None))
        ax.set_xlabel("popularity of the item: number of its users in fit")
        ax.set_title("Held-out items found, from rare to popular items")
        title = None if self.standard_error is None else "lines: ± 1 standard error"
        self._legend(title)
        return self
