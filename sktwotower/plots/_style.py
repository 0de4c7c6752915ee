"""What all displays have in common: how they are made, axes, colors and line styles.

Input: a fitted estimator, where to draw, and the position of a model.
Output: rankings, axes, and styles that can be read on a light and a dark background.
"""

from dataclasses import dataclass
from textwrap import fill
from typing import dataclass_transform

from sklearn.utils.validation import check_is_fitted

from sktwotower._tables._messages import imported
from sktwotower.metrics._compared import rank_models
from sktwotower.metrics._scorers import unwrap

# Distinct for color-blind readers (after Okabe and Ito), with a contrast of at least
# 3 : 1 to white and to black.
BLUE = "#2a85c7"
VERMILION = "#d95f02"
GREEN = "#009e73"
COLORS = [BLUE, VERMILION, GREEN, "#cc79a7", "#c48a00"]
GRAY = "#858585"
# Lines differ in more than color, for prints in gray.
LINE_STYLES = ["-", "--", "-.", ":", (0, (1, 3))]
# Bars whose color has been used before are hatched.
HATCHES = ["", "//", "..", "xx"]
# A legend with more entries is drawn next to the axes, where it hides nothing.
MAX_INSIDE = 4
# Longer names go on in another line of the legend.
MAX_LABEL = 40


@dataclass_transform(kw_only_default=True, eq_default=False)
class Display:
    """The base class of all displays, which are dataclasses of what they show."""

    def __init_subclass__(cls):
        dataclass(cls, kw_only=True, eq=False, repr=False)

    @classmethod
    def _two_towers(cls, estimator, X=None):
        """Return the fitted two-tower recommender inside an estimator, and its X.

        It may be in Pipelines and searches. X None: only the recommender is needed.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        recommender, X = unwrap(estimator, X)
        if not hasattr(recommender, "embed_items"):
            raise TypeError(
                f"{type(recommender).__name__} has no towers to draw. Expected a "
                "TwoTowerRecommender, a Pipeline that ends in one, or a search that "
                "was fitted with refit."
            )
        check_is_fitted(recommender)
        return recommender, X

    @classmethod
    def _rank(cls, estimator, X, y, k, **params):
        """Return the estimator's `HeldOutRanking`, and the positions by model.

        ``params``: of `rank_models`: baselines, name, max_users, random_state.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        return rank_models(estimator, X, y, k, **params)

    def _start(self, ax, width=6, height=4):
        """Return the axes to draw on, and keep them; None: axes of a new figure."""
        check_matplotlib(f"{type(self).__name__}.plot")
        self._owns_figure = ax is None
        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=(width, height), layout="constrained")
        if not hasattr(ax, "spines"):
            raise TypeError(
                "ax must be a Matplotlib Axes, such as one of those that plt.subplots "
                f"returns. Got {type(ax).__name__}."
            )
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_ = ax
        self.figure_ = ax.figure
        return ax

    def _legend(self, title=None, **inside):
        """Draw the legend: inside the axes if it is short, to the right of them if not.

        A figure of our own is as much wider, so that the axes keep their size.
        ``inside``: arguments of `matplotlib.axes.Axes.legend` for a short one.
        """
        handles, labels = self.ax_.get_legend_handles_labels()
        labels = [fill(label, MAX_LABEL, break_long_words=False) for label in labels]
        is_short = len(labels) <= MAX_INSIDE
        outside = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
        style = {"frameon": False, "title": title, "alignment": "left"}
        style |= inside if is_short else outside
        legend = self.ax_.legend(handles, labels, **style)
        if self._owns_figure and not is_short:
            width, height = self.figure_.get_size_inches()
            more = legend.get_window_extent().width / self.figure_.dpi
            self.figure_.set_size_inches(width + more, height)


def check_matplotlib(caller):
    """Raise ``ImportError`` that says what to install, if Matplotlib is missing."""
    remedy = "which is not installed: pip install 'sktwotower[plot]'."
    imported("matplotlib", f"{caller} draws with Matplotlib, {remedy}")


def ink(ax):
    """Return the color of the text of axes, which stands out from their background."""
    return ax.xaxis.label.get_color()


def line_style(place, kwargs, **of_line):
    """Return the arguments of the line of the model at a place; the first 25 differ.

    ``of_line`` replaces the defaults, and ``kwargs`` of the caller replace both.
    """
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    style = {"color": COLORS[place % len(COLORS)], "linewidth": 1.4 if place else 1.8}
    style["linestyle"] = LINE_STYLES[(place + place // len(COLORS)) % len(LINE_STYLES)]
    return style | of_line | normalize_kwargs(kwargs, Line2D)


def bar_style(kwargs, **defaults):
    """Return the arguments of bars; ``kwargs`` of the caller replace ``defaults``."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.patches import Patch

    return defaults | normalize_kwargs(kwargs, Patch)


def round_numbers(low, high):
    """Return the numbers 1, 2, 5, ... times powers of 10 from `low` to `high`."""
    numbers = [digit * 10**power for power in range(9) for digit in (1, 2, 5)]
    return [number for number in numbers if low <= number <= high]
