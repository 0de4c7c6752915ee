"""The display of the scores of held-out pairs and of random pairs.

Input: a fitted estimator and held-out events X (n_events, n_columns).
Output: two histograms.
"""

from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state

from sktwotower._tables._schema import read_table
from sktwotower.metrics._held_out import read_held_out
from sktwotower.metrics._truth import sample_of
from sktwotower.retrieval._fitted_state import fitted_of

from ._style import BLUE, VERMILION, Display

N_BINS = 50
# Number of attempts to draw an item that the user did not choose.
N_DRAWS = 10


class ScoreDistributionDisplay(Display):
    """Scores of held-out pairs of user and item, compared with random pairs.

    The further the held-out pairs are to the right, the better the two towers separate
    the items that a user will choose from the others. Make it with `from_estimator`.

    Parameters
    ----------
    positive : array of shape (n_pairs,)
        Scores of held-out pairs.
    random : array of shape (n_random,)
        Scores of random pairs.
    temperature : float, default=None
        Divisor of the scores in training. None: not shown.
    score_name : str, default="score"
        Name of the scores, for the label.

    Attributes
    ----------
    auc_ : float
        Area under the ROC curve.
    patches_ : list of two matplotlib Polygon
        Both histograms: held-out pairs, then random pairs.
    ax_ : matplotlib Axes
        Axes with the histograms.
    figure_ : matplotlib Figure
        The figure that holds them.

    See Also
    --------
    RecallCurveDisplay : How many held-out items reach the first places.

    Notes
    -----
    The area under the ROC curve is the probability that a held-out pair drawn at random
    scores higher than a random pair, ties counting half. All places count alike: a high
    value does not mean that the first ten items are right. Scores are compared across
    users here, which neither training nor ranking does.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktwotower.plots import ScoreDistributionDisplay
    >>> display = ScoreDistributionDisplay(positive=[0.5, 0.7], random=[0.1, 0.6])
    >>> display.plot().auc_  # 3 of 4 comparisons
    0.75
    >>> plt.show()
    """

    positive: Any
    random: Any
    temperature: float | None = None
    score_name: str = "score"

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        max_pairs=20_000,
        random_state=None,
        ax=None,
        **kwargs,
    ) -> Self:
        """Score the pairs of held-out events and random pairs, and draw both.

        A random pair is the user of a held-out pair with an item drawn uniformly from
        the catalog, except the items that the user chose, in fit or in X.

        Parameters
        ----------
        estimator : TwoTowerRecommender, or Pipeline or search around one
            A fitted estimator.
        X : dataframe or array-like of shape (n_events, n_columns)
            Held-out events.
        y : array-like of shape (n_events,), default=None
            Outcome of each event; positives are those > 0. None: all are positive.
        max_pairs : int, default=20000
            Score a random sample of this many distinct held-out pairs, >= 1. None: all.
        random_state : int, RandomState instance or None, default=None
            Draws the sample and the random items.
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.hist`, for both histograms.

        Returns
        -------
        ScoreDistributionDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If X has no positive event whose item is in the catalog, if all users
            chose the whole of it, or if `max_pairs` < 1.
        TypeError
            If there is no TwoTowerRecommender in the estimator, or `max_pairs` is not
            an integer.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import ScoreDistributionDisplay
        >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
        >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
        >>> model = TwoTowerRecommender(max_epochs=3, random_state=0).fit(X)
        >>> display = ScoreDistributionDisplay.from_estimator(
        ...     model, held_out, random_state=0
        ... )
        >>> round(display.auc_, 2)
        0.74
        >>> plt.show()
        """
        recommender, X = cls._two_towers(estimator, X)
        fitted = fitted_of(recommender)
        frame, _ = read_table(type(recommender).__name__, X, fitted.schema)
        hides = recommender.exclude_seen
        query, past, judged = read_held_out(fitted, frame, y, exclude_seen=hides)
        rng = check_random_state(random_state)
        known = _chosen_by_users(judged)
        users, items, others = _draw_pairs(judged.truth, known, max_pairs, rng)
        owners = fitted.embed_users(query, past, recommender._serving())
        vectors = fitted.catalog.vectors
        chosen = others >= 0
        model = fitted.model
        kind = "cosine" if model.normalize else "dot product"
        if model.sparse is not None:
            kind += " + sparse parts"

        def scores(users, items):
            products = np.einsum("nd,nd->n", owners[users], vectors[items])
            return products + model.added_to_pairs(past.input, users, items)

        return cls(
            positive=scores(users, items),
            random=scores(users[chosen], others[chosen]),
            temperature=fitted.temperature,
            score_name=f"score ({kind})",
        ).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs) -> Self:
        """Draw both histograms, each of area 1.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.hist`, for both histograms.

        Returns
        -------
        ScoreDistributionDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower.plots import ScoreDistributionDisplay
        >>> display = ScoreDistributionDisplay(positive=[0.5, 0.7], random=[0.1, 0.6])
        >>> figure, ax = plt.subplots()
        >>> print(display.plot(ax, alpha=0.5).ax_.get_title())
        Scores of held-out and random pairs
        AUC 0.750
        >>> plt.show()
        """
        ax = self._start(ax)
        scores = np.concatenate([self.positive, self.random])
        labels = np.repeat([1, 0], [len(self.positive), len(self.random)])
        self.auc_ = float(roc_auc_score(labels, scores))
        # with the same bins for both, their heights can be compared
        bins = np.histogram_bin_edges(scores, N_BINS)
        self.patches_ = []
        chosen = self.positive, BLUE, "held-out pairs"
        others = self.random, VERMILION, "random pairs"
        for part, color, label in (chosen, others):
            style = {"bins": bins, "density": True, "histtype": "stepfilled"}
            style |= {"fc": (color, 0.4), "ec": color, "lw": 1.2, "label": label}
            self.patches_ += ax.hist(part, **style | kwargs)[2]
        figures, temperature = f"AUC {self.auc_:.3f}", self.temperature
        figures += "" if temperature is None else f", temperature {temperature:.3g}"
        ax.set(xlabel=self.score_name, ylabel="density (per unit of score)")
        ax.set_title(f"Scores of held-out and random pairs\n{figures}")
        ax.legend(frameon=False)
        return self


def _chosen_by_users(judged):
    """Return what each row's user chose in fit or in another request, CSR (m, n_items).

    ``judged``: as returned by ``read_held_out``.
    """
    if judged.requests is None:
        return judged.past
    owners = pd.factorize(judged.users)[0]
    rows = np.arange(len(owners))
    by_user = sparse.csr_matrix((np.ones(len(rows)), (owners, rows)))
    return judged.past + (by_user @ judged.truth)[owners]


def _draw_pairs(truth, past, max_pairs, rng):
    """Return users, their items and, for each of these, a random item or -1.

    ``truth`` and ``past`` are CSR (m, n_items), the results int (n_pairs,).
    """
    users, items = truth.nonzero()
    if not len(users):
        raise ValueError(
            "X has no positive event (y is None or y > 0) whose item is in the "
            "catalog: there is nothing to score."
        )
    kept = sample_of(len(users), max_pairs, "max_pairs", rng)
    users, items = users[kept], items[kept]
    others = _draw_others(users, (truth + past).tocsr(), rng)
    if (others < 0).all():
        raise ValueError(
            "The users of X chose all items of the catalog that were drawn for them: "
            "there are no random pairs to compare with."
        )
    return users, items, others


def _draw_others(users, chosen, rng):
    """Return items (n_pairs,) that the users have not chosen, -1 if none was found."""
    others = np.full(len(users), -1)
    for _ in range(N_DRAWS):
        missing = np.flatnonzero(others < 0)
        if not len(missing):
            break
        drawn = rng.randint(chosen.shape[1], size=len(missing))
        free = np.asarray(chosen[users[missing], drawn]).ravel() == 0
        others[missing[free]] = drawn[free]
    return others
