"""The display of probabilities against what came of them."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")

from sktwotower import PopularityRecommender  # noqa: E402
from sktwotower.metrics import expected_calibration_error  # noqa: E402
from sktwotower.plots import ReliabilityDisplay  # noqa: E402

Y, PROB = [1, 0, 0, 0, 3, 0], [0.2, 0.2, 0.2, 0.2, 0.7, 0.7]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_points_and_error_by_hand():
    display = ReliabilityDisplay.from_predictions(Y, PROB, name="mine")
    np.testing.assert_allclose(display.line_.get_xdata(), [0.2, 0.7])
    np.testing.assert_allclose(display.line_.get_ydata(), [0.25, 0.5])
    assert display.calibration_error == pytest.approx(4 / 6 * 0.05 + 2 / 6 * 0.2)
    assert display.line_.get_label() == "mine (ECE 0.100)"
    assert display.figure_ is display.ax_.figure


def test_several_models_share_axes_with_one_diagonal():
    first = ReliabilityDisplay.from_predictions(Y, PROB, name="mine")
    other = ReliabilityDisplay.from_predictions(Y, [0.5] * 6, name="same", ax=first.ax_)
    assert other.ax_ is first.ax_
    assert other.line_.get_color() != first.line_.get_color()
    labels = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert labels == ["as predicted", "mine (ECE 0.100)", "same (ECE 0.167)"]
    wide = ReliabilityDisplay.from_predictions(Y, [0.9] * 6, ax=first.ax_)
    assert wide.ax_.get_xlim()[1] > 0.9  # nothing is cut off


def test_bins_of_rows_or_of_width():
    rng = np.random.default_rng(0)
    prob = rng.uniform(size=400) / 10
    chosen = rng.uniform(size=400) < prob
    many = ReliabilityDisplay.from_predictions(chosen, prob, n_bins=8)
    assert len(many.prob_pred) == 8  # of 50 rows each
    one = ReliabilityDisplay.from_predictions(chosen, prob, strategy="uniform")
    assert len(one.prob_pred) == 1  # all below .1
    assert one.calibration_error == expected_calibration_error(chosen, prob)
    with pytest.raises(ValueError, match="strategy"):
        ReliabilityDisplay.from_predictions(chosen, prob, strategy="odd")
    with pytest.raises(ValueError, match="n_bins must be an integer >= 1. Got 0"):
        ReliabilityDisplay.from_predictions(chosen, prob, n_bins=0)


def test_any_estimator_with_probabilities():
    X = pd.DataFrame({"place": [1.0, 2, 3, 4, 5, 6]})
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, [0, 0, 1] * 2)
    wider = X.assign(further="x")  # fit has not seen it
    display = ReliabilityDisplay.from_estimator(model, wider, Y, n_bins=2)
    prob = model.predict_proba(X)[:, 1]
    assert display.calibration_error == expected_calibration_error(Y, prob, 2)
    assert display.name == "Pipeline"
    pairs = [["ann", "tea"], ["bob", "jam"]]
    popular = PopularityRecommender().fit(pairs)
    with pytest.raises(TypeError, match="PopularityRecommender has no predict_proba"):
        ReliabilityDisplay.from_estimator(popular, pairs, [1, 0])


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r"ReliabilityDisplay.{} draws .* 'sktwotower\[plot\]'"
    with pytest.raises(ImportError, match=message.format("from_estimator")):
        ReliabilityDisplay.from_estimator(None, None, None)
    with pytest.raises(ImportError, match=message.format("from_predictions")):
        ReliabilityDisplay.from_predictions(Y, PROB)
