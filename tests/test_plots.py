"""Pictures: what is drawn equals what was computed."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.utils import Bunch

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

from sktwotower.plots import (  # noqa: E402
    plot_feature_importance,
    plot_learning_curve,
    plot_recall_by_popularity,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


class Ranked:
    """Two users, four items with 1, 1, 5 and 9 users."""

    def _held_out_ranking(self, X, y, *, n_neighbors):
        truth = np.array([[1, 0, 0, 1], [0, 1, 1, 0]], dtype=np.float32)
        return Bunch(
            indices=np.array([[0, 2], [3, 2]]),
            truth=sparse.csr_matrix(truth),
            seen=sparse.csr_matrix((2, 4), dtype=np.float32),
            item_counts=np.array([1.0, 1.0, 5.0, 9.0]),
        )


def test_recall_by_popularity_by_hand():
    ax = plot_recall_by_popularity(Ranked(), None, k=2, n_groups=2)
    heights = [[bar.get_height() for bar in bars] for bars in ax.containers]
    # Rare items (1 user): items 0 and 1 were wanted, item 0 was found. Popular items:
    # 2 and 3 were wanted, 2 was found. Popularity ranks 3, 2 for both: it finds both.
    assert heights == [[0.5, 0.5], [0.0, 1.0]]
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["0-4", "5-9"]


def test_learning_curve_draws_every_epoch():
    history = [
        {"epoch": 1, "train_loss": 3.0, "valid_recall": 0.1},
        {"epoch": 2, "train_loss": 2.0, "valid_recall": 0.3},
    ]
    ax = plot_learning_curve(history)
    assert list(ax.lines[0].get_ydata()) == [3.0, 2.0]
    right = ax.figure.axes[1]
    assert list(right.lines[0].get_ydata()) == [0.1, 0.3]
    assert right.get_ylabel() == "validation recall"


def test_a_picture_goes_where_it_is_told():
    _, ax = plt.subplots()
    assert plot_learning_curve([{"epoch": 1, "train_loss": 1.0}], ax=ax) is ax
    assert len(ax.figure.axes) == 1


def test_feature_importance_draws_each_row(tmp_path):
    importance = pd.DataFrame(
        {
            "side": ["item", "history", "user+item"],
            "column": ["genres", "history", "ids"],
            "recall_lost": [0.2, 0.1, -0.01],
            "lower": [0.15, 0.1, np.nan],
            "upper": [0.25, 0.1, np.nan],
        }
    )
    importance.attrs = {"recall": 0.5, "n_neighbors": 20}
    ax = plot_feature_importance(importance)
    assert [bar.get_width() for bar in ax.patches] == [0.2, 0.1, -0.01]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["genres (item)", "history", "ids (user+item)"]
    low, high = ax.get_ylim()
    assert low > high  # the first row is on top
    ends = ax.containers[1].errorbar.lines[2][0].get_segments()[0]
    assert ends[:, 0].tolist() == pytest.approx([0.15, 0.25])
    assert ax.get_xlabel().startswith("recall@20 lost,") and "0.500" in ax.get_title()
    ax.figure.savefig(tmp_path / "importance.png")
    assert (tmp_path / "importance.png").stat().st_size > 0
