"""Enters: figures by epoch or by column, or a held-out ranking (n_users, k).

Leaves: Matplotlib axes (extra ``plot``).
Next: the reader's eyes.
"""

import numpy as np

from sktwotower._report import popular_items

__all__ = [
    "plot_feature_importance",
    "plot_learning_curve",
    "plot_recall_by_popularity",
]

BLUE, ORANGE = "#1f77b4", "#d95f02"
GREEN = "#2a9d5c"
COLORS = {"user": BLUE, "item": ORANGE, "history": GREEN}


def plot_feature_importance(importance, ax=None):
    """Draw the recall that is lost without each column, with 95 % intervals.

    Parameters
    ----------
    importance : dataframe
        What `TwoTowerRecommender.feature_importance` gives, or some of its rows.
    ax : matplotlib Axes, default=None
        Where to draw. None: a new figure, as high as the rows need.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import pandas as pd
    >>> import pytest
    >>> _ = pytest.importorskip("matplotlib").use("Agg")
    >>> from sktwotower.plots import plot_feature_importance
    >>> importance = pd.DataFrame({
    ...     "side": ["item", "user"], "column": ["genres", "age"],
    ...     "recall_lost": [0.1, 0.0], "lower": [0.08, -0.01], "upper": [0.12, 0.01],
    ... })
    >>> ax = plot_feature_importance(importance)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['genres (item)', 'age (user)']
    """
    places = np.arange(len(importance))
    lost, lower, upper = importance[["recall_lost", "lower", "upper"]].to_numpy().T
    ax = _axes(ax, height=max(2.5, 1.2 + 0.3 * len(places)))
    ax.barh(
        places,
        lost,
        xerr=np.abs([lost - lower, upper - lost]),
        color=[COLORS.get(side, "gray") for side in importance["side"]],
        error_kw={"elinewidth": 1, "capsize": 2},
    )
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(
        places, [_label(*row) for row in importance[["column", "side"]].values]
    )
    ax.invert_yaxis()
    at, recall = (importance.attrs.get(name) for name in ("n_neighbors", "recall"))
    whole = "" if recall is None else f" (with all columns: {recall:.3f})"
    ax.set(
        xlabel=f"recall{'' if at is None else f'@{at}'} lost, with 95 % interval",
        title=f"Recall lost without a column{whole}",
    )
    return ax


def _label(column, side):
    return column if column == side else f"{column} ({side})"


def plot_learning_curve(history, ax=None):
    """Draw the training loss by epoch and, where there is one, the validation recall.

    Parameters
    ----------
    history : list of dict
        ``history_`` of a fitted estimator.
    ax : matplotlib Axes, default=None
        Where to draw. None: a new figure.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("matplotlib").use("Agg")
    >>> from sktwotower.plots import plot_learning_curve
    >>> history = [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.5}]
    >>> plot_learning_curve(history).get_ylabel()
    'training loss (nats)'
    """
    ax = _axes(ax)
    epochs = [row["epoch"] for row in history]
    ax.plot(epochs, [row["train_loss"] for row in history], color=BLUE, marker=".")
    ax.set(xlabel="epoch", ylabel="training loss (nats)", title="Training loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    if history and "valid_recall" in history[0]:
        ax.set_title("Learning curve")
        ax.yaxis.label.set_color(BLUE)
        right = ax.twinx()
        recall = [row["valid_recall"] for row in history]
        right.plot(epochs, recall, color=ORANGE, marker=".")
        right.set_ylabel("validation recall")
        right.yaxis.label.set_color(ORANGE)
        right.spines["top"].set_visible(False)
    return ax


def plot_recall_by_popularity(estimator, X, y=None, k=20, n_groups=5, ax=None):
    """Draw the recall of held-out events by the popularity of their items.

    The items are sorted by their number of users in fit and cut into groups that hold
    about equally many held-out events each.

    Parameters
    ----------
    estimator : TwoTowerRecommender
        A fitted estimator.
    X : dataframe or array-like of shape (n_events, n_columns)
        Held-out events.
    y : array-like of shape (n_events,), default=None
        As in `TwoTowerRecommender.score`.
    k : int, default=20
        Number of ranked items that count, >= 1.
    n_groups : int, default=5
        Number of groups, >= 1.
    ax : matplotlib Axes, default=None
        Where to draw. None: a new figure.

    Returns
    -------
    matplotlib Axes
    """
    ranking = estimator._held_out_ranking(X, y, n_neighbors=k)
    groups, labels = _popularity_groups(ranking, n_groups)
    model = _found(ranking.truth, ranking.indices, groups)
    popular = _found(ranking.truth, popular_items(ranking, k), groups)
    ax = _axes(ax)
    places = np.arange(len(labels))
    ax.bar(places - 0.2, model, 0.4, color=BLUE, label=type(estimator).__name__)
    ax.bar(places + 0.2, popular, 0.4, color=ORANGE, label="popularity")
    ax.set_xticks(places, labels)
    ax.set(
        xlabel="popularity of the item: number of its users in fit",
        ylabel=f"share found in the first {k}",
        title="Recall by popularity of the item",
    )
    ax.legend(frameon=False)
    return ax


def _axes(ax, height=4):
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(6, height), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _popularity_groups(ranking, n_groups):
    """Give each item's group (n_items,) and the labels, from rare to popular."""
    counts = np.asarray(ranking.item_counts).astype(int)
    events = np.sort(counts[ranking.truth.nonzero()[1]])
    cuts = events[np.arange(1, n_groups) * len(events) // n_groups]
    edges = np.unique(np.concatenate([[0], cuts, [counts.max() + 1]]))
    groups = np.searchsorted(edges, counts, side="right") - 1
    labels = [
        f"{low}" if high - low == 1 else f"{low}-{high - 1}"
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
    return groups, labels


def _found(truth, indices, groups):
    """Give the share of each group's events that is among the ranked items."""
    rows = np.repeat(np.arange(len(indices)), indices.shape[1])[indices.ravel() >= 0]
    items = indices.ravel()[indices.ravel() >= 0]
    hit = np.asarray(truth[rows, items]).ravel() > 0
    n_groups = groups.max() + 1
    found = np.bincount(groups[items[hit]], minlength=n_groups)
    wanted = np.bincount(groups[truth.nonzero()[1]], minlength=n_groups)
    return found / np.maximum(wanted, 1)
