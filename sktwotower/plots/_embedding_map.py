"""A map of the items: dots on a plane, similar items close together.

Input: item vectors (n_items, d), and a feature of each item.
Output: a map, colored by the feature.
"""

import importlib.util
from collections.abc import Iterable
from itertools import cycle
from textwrap import shorten
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from sktwotower._tables._messages import check_count, imported
from sktwotower.metrics._truth import sample_of
from sktwotower.retrieval._fitted_state import fitted_of

from ._style import COLORS, GRAY, Display, round_numbers

MARKERS = ["o", "^"]
# The name of the group for all other items.
OTHER = ""
MAX_NAME = 24
# The part of viridis that stands out from white and from black.
LIGHTNESS = 0.22, 0.92
SETS = set, frozenset
# Percentiles of numbers at the ends of the color scale, to ignore outliers.
COLOR_LIMITS = 2, 98
# Share of the items that count as neighbors when a group's purest spot is searched.
AROUND = 1 / 40


class EmbeddingMapDisplay(Display):
    """Map of the items: those with similar vectors are close together.

    Make it with `from_estimator`.

    Parameters
    ----------
    positions : array of shape (n_items, 2)
        Position of each item on the map.
    color : array of shape (n_items,), default=None
        A feature of each item. Numbers (and dates, by their year) get a scale of
        colors from the 2nd to the 98th percentile, gray where the value is missing.
        Other values make groups; a list belongs to the first of its entries that has a
        group. None: one color.
    color_name : str, default=None
        Name of the feature, for the labels. None: not shown.
    color_scale : {"linear", "log"}, default="linear"
        Scale of the colors of numbers.
    method : str, default=None
        How the positions were found, for the labels. None: not shown.

    Attributes
    ----------
    scatters_ : list of matplotlib PathCollection
        The dots: one collection per group, "other" first, or one for all.
    texts_ : list of matplotlib Text
        Names of the groups on the map, largest group first.
    ax_ : matplotlib Axes
        Axes with the map.
    figure_ : matplotlib Figure
        The figure that holds it.

    See Also
    --------
    sktwotower.TwoTowerRecommender.similar_items : The nearest items, measured in all
        dimensions.

    Notes
    -----
    A plane cannot show all d dimensions. t-SNE and UMAP preserve neighborhoods;
    distances between groups, their sizes and the axes mean nothing. PCA
    preserves the two directions of largest spread, and shows less of the neighbors.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktwotower.plots import EmbeddingMapDisplay
    >>> display = EmbeddingMapDisplay(
    ...     positions=[[0.0, 0.0], [0.0, 1.0], [9.0, 9.0]],
    ...     color=["drinks", "drinks", "tools"],
    ... )
    >>> [text.get_text() for text in display.plot().texts_]  # names on the map
    ['drinks', 'tools']
    >>> plt.show()
    """

    positions: Any
    color: Any = None
    color_name: str | None = None
    color_scale: str = "linear"
    method: str | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        color=None,
        color_name=None,
        method="auto",
        max_items=2000,
        random_state=None,
        n_groups=8,
        ax=None,
        **kwargs,
    ) -> Self:
        """Compute a map of the items of a fitted estimator, and draw it.

        Parameters
        ----------
        estimator : TwoTowerRecommender, or Pipeline or search around one
            A fitted estimator.
        color : str or array-like of shape (n_items,), default=None
            A column of the side table ``items``, or a value per item in the order of
            ``item_ids_``. None: the item's number of users in fit, on a logarithmic
            scale.
        color_name : str, default=None
            Name of the feature, for the labels. None: the name of the column or Series.
        method : {"auto", "umap", "tsne", "pca"} or transformer, default="auto"
            How the vectors are put on a plane: by UMAP (`pip install umap-learn`),
            t-SNE or PCA of scikit-learn, or by any object with ``fit_transform``.
            "auto": UMAP if it is installed, else t-SNE. For 2,000 items t-SNE takes
            seconds, many times as long as PCA.
        max_items : int, default=2000
            Size of a random sample of items, >= 3. None: all items.
        random_state : int, RandomState instance or None, default=None
            Draws the sample; seed of the method.
        n_groups : int, default=8
            Number of groups, the largest, that get a color, from 1 to 10.
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.scatter`, for all dots.

        Returns
        -------
        EmbeddingMapDisplay

        Raises
        ------
        ImportError
            If Matplotlib is not installed, or UMAP is requested but not installed.
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If `color` is not a column of ``items`` or has another length than
            ``item_ids_``, if `method` is unknown, or if there are fewer than 3 items or
            their vectors have one number.
        TypeError
            If there is no TwoTowerRecommender in the estimator.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> from sktwotower.plots import EmbeddingMapDisplay
        >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
        >>> model = TwoTowerRecommender(
        ...     items=made.item_table, max_epochs=3, random_state=0
        ... )
        >>> display = EmbeddingMapDisplay.from_estimator(
        ...     model.fit(made.data), color="category", method="pca"
        ... )
        >>> display.ax_.get_title()
        'Map of 50 items, by category'
        >>> plt.show()
        """
        fitted = fitted_of(cls._two_towers(estimator)[0])
        values, name = color_of_items(fitted, color)
        vectors = fitted.catalog.vectors
        kept = sample_of(len(vectors), max_items, "max_items", random_state, 3)
        vectors = vectors[kept]
        values = values.iloc[kept]
        if min(len(vectors) - 1, vectors.shape[1]) < 2:
            raise ValueError(
                "A map needs at least 3 items, and vectors of at least 2 numbers. Got "
                f"{len(vectors)} items and vectors of {vectors.shape[1]}."
            )
        projection = _projection(method, len(vectors), random_state)
        return cls(
            positions=np.asarray(projection.fit_transform(vectors))[:, :2],
            color=values.array,
            color_name=name if color_name is None else color_name,
            color_scale="log" if color is None else "linear",
            method=type(projection).__name__.replace("TSNE", "t-SNE"),
        ).plot(ax, n_groups=n_groups, **kwargs)

    def plot(self, ax=None, *, n_groups=8, **kwargs) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None: a new figure.
        n_groups : int, default=8
            Number of groups, the largest, that get a color, from 1 to 10.
        **kwargs : dict
            Arguments of `matplotlib.axes.Axes.scatter`, for all dots.

        Returns
        -------
        EmbeddingMapDisplay
            Itself, with what was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        ValueError
            If `n_groups` is not from 1 to 10, or `positions` are not on a plane.

        Examples
        --------
        >>> import matplotlib.pyplot as plt
        >>> from sktwotower.plots import EmbeddingMapDisplay
        >>> display = EmbeddingMapDisplay(
        ...     positions=[[0.0, 0.0], [0.0, 1.0], [9.0, 9.0]],
        ...     color=["drinks", "drinks", "tools"],
        ... )
        >>> figure, ax = plt.subplots()
        >>> display.plot(ax, s=80).ax_.get_title()  # larger dots
        'Map of 3 items'
        >>> plt.show()
        """
        check_count(n_groups, "n_groups", 1, len(COLORS) * len(MARKERS))
        positions = np.asarray(self.positions)
        self.texts_ = []
        if positions.shape[1:] != (2,):
            expected = "of shape (n_items, 2)"
            raise ValueError(f"positions must be {expected}. Got {positions.shape}.")
        ax = self._start(ax, width=7.5, height=5.5)
        style = {"s": 12, "alpha": 0.8, "linewidths": 0, **kwargs}
        ax.spines[:].set_visible(False)
        method = ""
        if self.method is not None:
            method = f" ({self.method})"
        feature = ""
        if self.color_name is not None:
            feature = f", by {self.color_name}"
        ax.set(xticks=[], yticks=[], title=f"Map of {len(positions):,} items{feature}")
        ax.set_xlabel(f"near items are similar{method}; the axes have no unit")
        color = None
        if self.color is not None:
            color = readable(self.color)
        if color is None:
            dots = ax.scatter(*positions.T, **{"color": COLORS[0]} | style)
            self.scatters_ = [dots]
        elif pd.api.types.is_numeric_dtype(color):
            self.scatters_ = [self._plot_numbers(positions, color, style)]
        else:
            self._plot_groups(positions, color, n_groups, style)
        return self

    def _plot_numbers(self, positions, color, style):
        """Draw the dots in a scale of colors, and return them."""
        import matplotlib
        from matplotlib.colors import ListedColormap
        from matplotlib.ticker import MaxNLocator

        # the part of viridis that can be read on any background, gray for nan
        colors = matplotlib.colormaps["viridis"](np.linspace(*LIGHTNESS, 256))
        scale = ListedColormap(colors).with_extremes(bad=GRAY)
        finite = color[np.isfinite(color)]
        numbers = {"c": color, "cmap": scale, "plotnonfinite": True}
        if "norm" not in style:
            low, high = 0, 1
            if len(finite):
                low, high = np.percentile(finite, COLOR_LIMITS)
            if low == high:
                low = finite.min()
                high = finite.max()
            numbers |= {"norm": self.color_scale, "vmin": low, "vmax": high}
        dots = self.ax_.scatter(*positions.T, **numbers | style)
        low, high = dots.get_clim()
        below = (finite < low).any()
        above = (finite > high).any()
        ends = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
        bar = self.figure_.colorbar(
            dots, ax=self.ax_, label=self.color_name, extend=ends[below, above]
        )
        if self.color_scale == "log":
            ticks = round_numbers(low, high)
            if len(ticks) < 3:
                ticks = MaxNLocator(4).tick_values(low, high)
                ticks = [tick for tick in ticks if low <= tick <= high]
            bar.set_ticks(ticks, labels=[f"{tick:,g}" for tick in ticks])
            bar.minorticks_off()
        return dots

    def _plot_groups(self, positions, color, n_groups, style):
        """Draw the dots in a color and a marker for each group, and name the groups."""
        groups = group_names(color, n_groups)
        sizes = pd.Series(groups).value_counts()
        shown = sizes.index.drop(OTHER, errors="ignore")
        rest = groups == OTHER
        self.scatters_ = []
        if rest.any():
            gray = {"color": GRAY, "label": f"other ({rest.sum():,})", "zorder": 1}
            gray |= style | {"alpha": 0.6}
            self.scatters_.append(self.ax_.scatter(*positions[rest].T, **gray))
        for place, name in enumerate(shown):
            look = {"label": f"{name} ({sizes[name]:,})"}
            look["color"] = COLORS[place % len(COLORS)]
            look["marker"] = MARKERS[place // len(COLORS)]
            dots = self.ax_.scatter(*positions[groups == name].T, **look | style)
            self.scatters_.append(dots)
        style = {"title": self.color_name, "frameon": False, "alignment": "left"}
        style |= {"loc": "center left", "bbox_to_anchor": (1, 0.5), "markerscale": 2}
        self.ax_.legend(**style)
        self._name_groups(positions, groups, shown)

    def _name_groups(self, positions, groups, shown):
        """Write the names of groups where each is purest, unless another is there."""
        from matplotlib.patheffects import withStroke

        # before that, the places of the names in the figure are not known
        self.figure_.draw_without_rendering()
        n_around = min(len(positions), max(10, round(AROUND * len(positions))))
        around = NearestNeighbors(n_neighbors=n_around).fit(positions)
        around = around.kneighbors(positions, return_distance=False)
        halo = [withStroke(linewidth=3, foreground=self.ax_.get_facecolor())]
        style = {"fontsize": "small", "fontweight": "bold", "path_effects": halo}
        for name, color in zip(shown, cycle(COLORS), strict=False):
            members = np.flatnonzero(groups == name)
            purity = (groups[around[members]] == name).mean(axis=1)
            x, y = positions[members[purity.argmax()]]
            style |= {"color": color, "ha": "center"}
            text = self.ax_.text(x, y, name, va="center", **style)
            box = text.get_window_extent()
            if any(box.overlaps(other.get_window_extent()) for other in self.texts_):
                text.remove()  # the legend names it
            else:
                self.texts_.append(text)


def _projection(method, n_items, random_state):
    """Return a transformer that puts vectors on a plane."""
    if hasattr(method, "fit_transform") and not isinstance(method, type):
        return method
    if method == "auto":
        method = "umap" if importlib.util.find_spec("umap") else "tsne"
    if method == "umap":
        message = "method='umap' needs UMAP (not installed): pip install umap-learn."
        # with a seed and several threads it warns that results are not reproducible
        n_jobs = -1 if random_state is None else 1
        return imported("umap", message).UMAP(random_state=random_state, n_jobs=n_jobs)
    if method == "tsne":
        return TSNE(perplexity=min(30, (n_items - 1) / 3), random_state=random_state)
    if method == "pca":
        return PCA(n_components=2, random_state=random_state)
    expected = "'auto', 'umap', 'tsne', 'pca' or have fit_transform"
    raise ValueError(f"method must be {expected}. Got {method!r}.")


def color_of_items(fitted, color):
    """Return a feature of each item, a Series (n_items,), and its name.

    ``fitted``: the recommender's ``Fitted``.
    """
    if color is None:
        users = fitted.seen.getnnz(axis=0)[: fitted.n_items]
        return pd.Series(np.maximum(users, 1)), "number of users in fit"
    if isinstance(color, str):
        remedy = "Fit with items=..., or pass a value for each of item_ids_."
        values = fitted.items.side_column(color, "color", remedy)
        return values.reindex(fitted.item_ids), color
    if not isinstance(color, Iterable):
        expected = "a column of the side table items, or hold a value for each item"
        raise TypeError(f"color must name {expected}. Got {color!r}.")
    values = pd.Series(list(color))
    if len(values) != fitted.n_items:
        raise ValueError(
            f"color must hold a value for each of the {fitted.n_items} items of "
            f"item_ids_, in their order. Got {len(values)}."
        )
    return values, getattr(color, "name", None)


def readable(color):
    """Return a Series of a feature's values, numbers as floats and dates as years.

    Booleans become objects: they are groups, but pandas counts them among the numbers.
    """
    color = pd.Series(color)
    if pd.api.types.is_datetime64_any_dtype(color):
        return color.dt.year
    if pd.api.types.is_bool_dtype(color):
        return color.astype(object)
    return color.astype(float) if pd.api.types.is_numeric_dtype(color) else color


def group_names(color, n_groups):
    """Return the name of each item's group (n_items,), OTHER for those without one."""
    cells = [
        sorted(cell, key=str) if isinstance(cell, SETS) else cell for cell in color
    ]
    entries = pd.Series(cells, dtype=object).explode().dropna()
    names = entries.map(lambda name: shorten(str(name), MAX_NAME, placeholder="..."))
    shown = names[names.isin(names.value_counts().index[:n_groups])]
    first = shown.groupby(level=0).first()
    return first.reindex(range(len(color)), fill_value=OTHER).to_numpy(dtype=object)
