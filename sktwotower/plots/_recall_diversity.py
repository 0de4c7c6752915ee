"""The display of recall against the diversity of the lists.

Input: a recommender whose ``recommend`` takes ``diversity``, and held-out events.
Output: a curve with a point for each value of ``diversity``.
"""

from numbers import Real
from typing import Self

import numpy as np
import pandas as pd

from sktwotower._sklearn_compat import rows_at
from sktwotower._tables._frames import as_frame
from sktwotower._tables._messages import check_count
from sktwotower.metrics._compared import context_of
from sktwotower.metrics._groups import GroupRanking, everyone
from sktwotower.metrics._scorers import unwrap
from sktwotower.model_selection._strategies import parameters_of

from ._style import Display, check_matplotlib, ink, line_style


class RecallDiversityDisplay(Display):
    """Recall against the diversity of the lists: what diversity costs, or gains.

    Make it with `from_estimator`, or from a table of such figures.

    Parameters
    ----------
    results : DataFrame of shape (n_points, n_figures)
        The columns 'recall@k' and 'intra_list_diversity@k' for one k, possibly
        'recall@k se'; the index names the points. The models of a report of
        `sktwotower.metrics.retrieval_report`, ``report.loc["all"]``, are such a table.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    labels_ : list of n_points matplotlib Annotation
        The names of the points.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    sktwotower.metrics.intra_list_diversity_at_k : How the diversity is defined.
    sktwotower.metrics.gini_at_k : How evenly all lists together show the catalog.

    Notes
    -----
    The diversity of a list is the mean of 1 - cosine over its pairs of items. By the
    vectors that the recommender itself makes the lists diverse with, the curve goes to
    the right as far as it can. Other vectors, such as features of the items, show
    whether users would notice.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import pandas as pd
    >>> from sktwotower.plots import RecallDiversityDisplay
    >>> results = {"recall@10": [0.3, 0.29], "intra_list_diversity@10": [0.5, 0.7]}
    >>> results = pd.DataFrame(results, index=[0, 0.4])
    >>> display = RecallDiversityDisplay(results=results)
    >>> [label.get_text() for label in display.plot().labels_]
    ['0', '0.4']
    >>> plt.show()
    """

    results: pd.DataFrame

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        diversity=(0, 0.2, 0.4, 0.6, 0.8, 1),
        k=10,
        item_vectors=None,
        max_users=None,
        random_state=None,
        ax=None,
        **kwargs,
    ) -> Self:
        """Recommend to the users of held-out events, and draw what is found.

        Parameters
        ----------
        estimator : recommender, or Pipeline or search around one
            A fitted estimator whose ``recommend`` has the parameter ``diversity``.
        X, y
            As in `RecallCurveDisplay.from_estimator`.
        diversity : float or sequence, default=(0, 0.2, 0.4, 0.6, 0.8, 1)
            Values of the parameter, each in [0, 1]; 0 is the plain order.
        k : int, default=10
            Number of recommendations, >= 2; at most the whole catalog.
        item_vectors : array, sparse matrix or DataFrame, default=None
            Vectors (n_items, d) by which the diversity is computed, as in
            `sktwotower.metrics.retrieval_report`. None: those of the estimator.
        max_users, random_state, ax
            As in `RecallCurveDisplay.from_estimator`.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        RecallDiversityDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X has no positive event, `k` or `max_users` is too small, a value of
            `diversity` is out of range, or there are no vectors for all items.
        TypeError
            If the estimator cannot rank held-out events, or its ``recommend`` has no
            ``diversity``.

        Notes
        -----
        The lists are those of ``recommend``, for the users that
        `sktwotower.metrics.retrieval_report` would judge and without the items that it
        would leave out. A model with ``context`` is asked once for each user, in the
        context of the last positive event. Other models see only the users' ids.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import RecallDiversityDisplay
        >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
        >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
        >>> model = TwoTowerRecommender(max_epochs=3, random_state=0).fit(X)
        >>> display = RecallDiversityDisplay.from_estimator(model, held_out, k=5)
        >>> both = display.results[["recall@5", "intra_list_diversity@5"]]
        >>> both.round(2)  # doctest: +NORMALIZE_WHITESPACE
                   recall@5  intra_list_diversity@5
        diversity
        0.0            0.52                    0.86
        0.2            0.52                    0.89
        0.4            0.50                    0.93
        0.6            0.42                    1.04
        0.8            0.36                    1.07
        1.0            0.24                    1.07
        >>> plt.show()
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        check_count(k, "k", 2)
        recommender, inner = unwrap(estimator, X)
        if "diversity" not in parameters_of(recommender, "recommend"):
            raise TypeError(
                f"{type(recommender).__name__} cannot make its lists more diverse. "
                "Expected a recommender with recommend(X, n_neighbors, diversity=...)."
            )
        context = context_of(recommender)
        ranking, _ = cls._rank(
            recommender,
            inner,
            y,
            k,
            max_users=max_users,
            random_state=random_state,
            requests=[] if context else None,
            item_vectors=item_vectors,
        )
        group = everyone(ranking)
        k = min(k, ranking.truth.shape[1])
        plain = GroupRanking(ranking, group)
        plain.mean("intra_list_diversity", k)  # raises without vectors
        users = ranking.users
        if context:
            users = rows_at(inner, ranking.last_rows)
        rows = {}
        request = _left_out(recommender, ranking)
        for value in np.ravel(diversity).tolist():
            table = recommender.recommend(users, k, diversity=value, **request)
            indices = _indices(table, recommender, ranking, k)
            rows[value] = GroupRanking(ranking, group, indices).row([k], plain)
        results = pd.DataFrame.from_dict(rows, orient="index")
        return cls(results=results.rename_axis("diversity")).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw the curve, with one standard error of the recall on either side.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        RecallDiversityDisplay
            Itself, with what was drawn.

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
        >>> from sktwotower.plots import RecallDiversityDisplay
        >>> results = {"recall@10": [0.3, 0.29], "intra_list_diversity@10": [0.5, 0.7]}
        >>> results = pd.DataFrame(results, index=[0, 0.4])
        >>> display = RecallDiversityDisplay(results=results)
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, marker="s").ax_.get_title()
        'Recall by diversity of the lists'
        >>> plt.show()
        """
        recall, diversity = _names(self.results)
        x = self.results[diversity].to_numpy()
        y = self.results[recall].to_numpy()
        error = self.results.get(f"{recall} se")
        points = self.results.index
        ax = self._start(ax)
        label = None
        if points.name is not None:
            label = f"{points.name}, at each point"
        style = line_style(0, kwargs, marker="o", label=label)
        drawn = ax.errorbar(x, y, error, elinewidth=1, ecolor=ink(ax), **style)
        self.line_ = drawn.lines[0]
        # to the right of the lines of errors, and above a curve that falls
        above = {"xytext": (3, 4), "textcoords": "offset points", "fontsize": "small"}
        self.labels_ = []
        for name, *place in zip(points, x, y, strict=True):
            text = name
            if isinstance(name, Real):
                text = f"{name:g}"
            self.labels_.append(ax.annotate(text, place, **above))
        ax.set_xlabel(diversity.replace("intra_list_diversity", "intra-list diversity"))
        ax.set(ylabel=f"{recall}, mean over users", ylim=(0, None))
        ax.set_title("Recall by diversity of the lists")
        title = None if error is None else "lines: ± 1 standard error"
        self._legend(title, loc="lower left")
        return self


def _names(results):
    """Return the columns of recall and of diversity of a table, after a check."""
    named = [str(name).removeprefix("recall@") for name in results.columns]
    k = next((k for k in named if k.isdecimal()), "k")
    names = f"recall@{k}", f"intra_list_diversity@{k}"
    if len(results) == 0 or not {*names}.issubset(results.columns):
        raise ValueError(
            "results must have a row per point, and the columns 'recall@k' and "
            f"'intra_list_diversity@k' for one k. Got {len(results)} rows with the "
            f"columns {list(results.columns)}."
        )
    return names


def _left_out(recommender, ranking):
    """Return what makes ``recommend`` leave out the same as the ranking, a dict."""
    if ranking.seen.nnz == ranking.past.nnz:
        return {}  # what it leaves out anyway
    rows, items = ranking.seen.nonzero()
    users = ranking.users[rows].astype(object)
    items = np.asarray(recommender.item_ids_)[items].astype(object)
    pairs = np.array([users, items]).T
    return {"exclude_seen": False, "exclude": pairs}


def _indices(table, recommender, ranking, k):
    """Return the positions (n_users, k) of recommendations, padded with -1."""
    table = as_frame(table, "The table of recommend")
    rows = pd.Index(ranking.users).get_indexer(table.iloc[:, 0])
    indices = np.full((len(ranking.users), k), -1)
    items = pd.Index(recommender.item_ids_).get_indexer(table.iloc[:, 1])
    indices[rows, table["rank"].to_numpy() - 1] = items
    return indices
