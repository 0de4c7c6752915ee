"""The display of scores over time."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.dates import ConciseDateFormatter  # noqa: E402

from sktwotower import ClickRateRecommender, EASERecommender  # noqa: E402
from sktwotower.datasets import make_interactions  # noqa: E402
from sktwotower.model_selection import prequential_validate  # noqa: E402
from sktwotower.plots import PrequentialDisplay  # noqa: E402
from tests.cases import for_each  # noqa: E402

RESULTS = pd.DataFrame(
    {
        "slice": [0, 0, 1, 1, 2, 2],
        "start": pd.to_datetime(["2026-01-01", "2026-01-08", "2026-01-15"]).repeat(2),
        "strategy": ["partial_fit", "popularity"] * 3,
        "test_recall@5": [0.1, 0.2, 0.3, 0.1, np.nan, 0.3],
        "test_ndcg@5": [0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
    }
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_a_line_for_each_strategy():
    display = PrequentialDisplay.from_frame(RESULTS)
    ours, popular = display.lines_
    assert ours.get_label() == "partial_fit (0.200)"  # of the two slices with a score
    assert popular.get_label() == "recent popularity (0.200)"
    np.testing.assert_array_equal(ours.get_ydata(), [0.1, 0.3, np.nan])
    np.testing.assert_array_equal(popular.get_ydata(), [0.2, 0.1, 0.3])
    gray, other = (set(to_rgb(line.get_color())) for line in (popular, ours))
    assert len(gray) == 1 < len(other)
    assert display.ax_.get_ylabel().startswith("recall@5")
    assert isinstance(display.ax_.xaxis.get_major_formatter(), ConciseDateFormatter)
    assert display.figure_ is display.ax_.figure


def test_a_table_of_polars_is_drawn_alike():
    rows = RESULTS.to_dict("list")
    display = PrequentialDisplay.from_frame(pl.DataFrame(rows))
    for one, other in zip(
        display.lines_, PrequentialDisplay.from_frame(RESULTS).lines_, strict=True
    ):
        np.testing.assert_array_equal(one.get_ydata(), other.get_ydata())
        assert one.get_label() == other.get_label()


def test_a_score_axes_and_style_of_choice():
    _, ax = plt.subplots()
    display = PrequentialDisplay.from_frame(
        RESULTS, score_name="test_ndcg@5", ax=ax, lw=3
    )
    assert display.ax_ is ax
    assert display.lines_[0].get_ydata().tolist() == [0.5, 0.7, 0.9]
    assert display.lines_[0].get_linewidth() == 3


def test_a_strategy_has_the_same_style_next_to_others():
    alone = PrequentialDisplay.from_frame(RESULTS[RESULTS["strategy"] == "popularity"])
    both = PrequentialDisplay.from_frame(RESULTS)
    styles = [line.get_linestyle() for line in (alone.lines_[0], both.lines_[1])]
    assert styles[0] == styles[1] != both.lines_[0].get_linestyle()


def test_from_estimator_is_validation_and_picture():
    X = make_interactions(60, 30, random_state=0).data
    X["time"] = np.arange(len(X))
    params = {"time": "time", "n_slices": 3, "strategies": ["frozen", "refit"]}
    results = prequential_validate(EASERecommender(), X, **params)
    display = PrequentialDisplay.from_estimator(EASERecommender(), X, **params)
    assert display.score_name == "test_score"
    for line, (_, rows) in zip(
        display.lines_, results.groupby("strategy", sort=False), strict=True
    ):
        np.testing.assert_array_equal(line.get_ydata(), rows["test_score"])
        np.testing.assert_array_equal(line.get_xdata(), rows["start"])


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r"PrequentialDisplay.{} draws .* 'sktwotower\[plot\]'"
    with pytest.raises(ImportError, match=message.format("from_estimator")):
        PrequentialDisplay.from_estimator(None, None, time="time")
    with pytest.raises(ImportError, match=message.format("from_frame")):
        PrequentialDisplay.from_frame(RESULTS)


@for_each(
    "results",
    [
        RESULTS.head(0),
        RESULTS.drop(columns="start"),
        RESULTS.drop(columns=["test_recall@5", "test_ndcg@5"]),
    ],
)
def test_a_table_that_lacks_something(results):
    with pytest.raises(ValueError, match="as prequential_validate returns them. Got"):
        PrequentialDisplay.from_frame(results)


def test_the_axis_of_an_area_begins_near_the_lines():
    results = RESULTS.rename(columns={"test_ndcg@5": "test_roc_auc"})
    display = PrequentialDisplay.from_frame(results, score_name="test_roc_auc")
    assert display.ax_.get_ylim()[0] > 0.4
    assert PrequentialDisplay.from_frame(results).ax_.get_ylim()[0] == 0


def test_lists_are_drawn_by_the_area():
    X = pd.DataFrame({"user": list("aabbccdd"), "item": ["tea", "jam"] * 4})
    X["day"], y = [1, 1, 2, 2, 3, 3, 4, 4], [1, 0, 0, 1, 0, 1, 1, 0]
    params = {"time": "day", "freq": 1, "train_size": 2, "strategies": ["refit"]}
    model = ClickRateRecommender()
    display = PrequentialDisplay.from_estimator(model, X, y, lists="day", **params)
    assert display.score_name == "test_roc_auc"
    # tea is chosen first, then jam twice; on the last day jam is ahead
    assert display.lines_[0].get_ydata().tolist() == [0, 0.5, 0]
