"""Probabilities that items of lists are chosen."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower.two_stage import _list_stage as list_stage

from .builders import shown, stages


def test_many_rows_have_the_share_of_their_score():
    n_rows = list_stage.MIN_ROWS
    scores = np.repeat([1.0, 2.0, 4.0], n_rows)
    chosen = np.concatenate([np.arange(n_rows) % n == 0 for n in (10, 5, 2)])
    found = list_stage.Calibration.of(scores, chosen)
    asked = np.array([-9.0, 1.0, 2.0, 3.0, 4.0, 9.0])
    assert_allclose(found.at(asked), [0.1, 0.1, 0.2, 0.35, 0.5, 0.5])
    # a higher score never has a lower probability: both shares are pooled
    falls = list_stage.Calibration.of(-scores[: 2 * n_rows], chosen[: 2 * n_rows])
    assert_allclose(falls.at(np.array([-2.0, -1.0])), 0.15)


def test_few_rows_have_a_curve_of_two_parameters():
    scores = np.random.default_rng(0).normal(size=list_stage.MIN_ROWS - 1)
    chosen = np.random.default_rng(1).random(len(scores)) < 1 / (1 + np.exp(-scores))
    found = list_stage.Calibration.of(1e6 * scores, chosen)
    assert len(found.scores) == list_stage.N_KEPT
    asked = np.array([-1.0, 0.0, 1.0])
    assert_allclose(found.at(1e6 * asked), 1 / (1 + np.exp(-asked)), atol=0.05)


def made(often, n=25_000):
    """Draw lists of four as ``shown``, and the probability of each row."""
    rng = np.random.default_rng(0)
    shares = often ** -np.arange(24.0)
    # the four largest of noise plus logs are drawn by these shares, without repeats
    odds = np.log(shares) + rng.gumbel(size=(n, 24))
    items = np.argsort(-odds, axis=1)[:, :4]
    users, days = np.arange(n) % 2000, np.sort(rng.uniform(0, 9, n))
    when = pd.Timestamp(0) + pd.to_timedelta(days, "D")
    table = pd.DataFrame({"user": users, "item": 0, "when": when, "list": np.arange(n)})
    table = table.loc[np.repeat(np.arange(n), 4)].reset_index(drop=True)
    p = 0.1 + 0.03 * items.ravel()
    return table.assign(item=items.ravel()), p, rng.random(len(p)) < p


@pytest.mark.slow
def test_known_probabilities_are_found():
    X, p, chosen = made(often=1.15)
    fit = X["when"] < X["when"].quantile(0.9)
    params = {"lists": "list", "later_size": 0.6}
    model = stages(n_candidates=2, **params).fit(X[fit], chosen[fit])
    assert model.list_order_ == "click_rate"
    found = model.predict_proba(X[~fit])
    assert_array_equal(model.classes_, [0, 1])
    assert_allclose(found.sum(axis=1), 1)
    bins = pd.qcut(p[~fit], 4, labels=False)
    # a better score never has a lower probability
    order = np.argsort(model.predict(X[~fit]), kind="stable")
    assert (np.diff(found[order, 1]) >= -1e-9).all()
    errors = pd.Series(found[:, 1] - p[~fit]).groupby(bins).mean()
    assert errors.abs().mean() < 0.01


def test_there_are_none_without_lists():
    events = shown()
    X, y = events[["user", "item", "when", "list"]], events["y"]
    with pytest.raises(AttributeError) as raised:
        _ = stages().predict_proba
    assert "TwoStageRecommender(lists=" in str(raised.value.__cause__)
    few = "too few events with y > 0 on one side of the cut. The cut fell at 2024-01-01"
    with pytest.warns(UserWarning, match=few):  # all are of one day
        model = stages(lists="list").fit(X[:300], y[:300])
    with pytest.raises(ValueError, match="fit could not learn from lists"):
        model.predict_proba(X)
