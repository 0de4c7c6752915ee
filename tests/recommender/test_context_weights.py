"""Columns of the context that say nothing count nothing, and others as before."""

import copy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal, assert_series_equal

from sktwotower import io
from sktwotower.runtime import load
from tests.recommender.weighed import weighed
from tests.shared import once

NOISE = ["noise 0", "noise 1", "noise 2"]
CASES = {
    "pairs": {},
    "in order": {"time": "time", "validation_events": "last", "max_epochs": 10},
}


def noisy(n_events=4000, n_users=300, seed=0):
    """Draw events of 60 items, half of which are in the third that ``slot`` says.

    Three columns of random letters say nothing.
    """
    rng = np.random.default_rng(seed)
    slots = rng.integers(3, size=n_events)
    thirds = np.where(rng.random(n_events) < 0.5, slots, rng.integers(3, size=n_events))
    X = pd.DataFrame({"user": rng.integers(n_users, size=n_events)})
    X["item"] = 20 * thirds + rng.integers(20, size=n_events)
    X["slot"] = np.array(["morning", "noon", "night"])[slots]
    for name in NOISE:
        X[name] = rng.choice(list("abcdefghijklmnopqrst"), n_events)
    return X.assign(time=np.arange(n_events))


def fit(name):
    params = {"max_epochs": 20, "lr": 0.1} | CASES[name]
    return weighed(context=["slot", *NOISE], **params).fit(noisy())


@pytest.fixture(scope="module")
def fitted():
    """Return a function that returns a model of one of the cases."""
    return once(fit)


def requests(n=40):
    return noisy(seed=1)[["user", "slot", *NOISE]][:n]


FAST = "pairs"
NAMES = [FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in CASES if n != FAST)]


@pytest.mark.parametrize(
    "name", ["pairs", pytest.param("in order", marks=pytest.mark.grid)]
)
def test_what_says_nothing_counts_nothing(name, fitted):
    model = fitted(name)
    expected = pd.Series({"slot": 1.0} | dict.fromkeys(NOISE, 0.0), name="weight")
    expected.index = pd.Index(expected.index, dtype=object, name="column")
    assert_series_equal(model.context_weights_, expected)
    asked = requests()
    table = model.recommend(asked, 10)
    assert_frame_equal(table, model.recommend(asked.drop(columns=NOISE), 10))
    # the slot says of which third the first ones are
    top = table[table["rank"] <= 3]
    thirds = {"morning": 0, "noon": 1, "night": 2}
    slots = asked["slot"].map(thirds).repeat(3)
    assert (top["item"].to_numpy() // 20 == slots.to_numpy()).mean() > 0.7


def test_nothing_else_has_to_know_of_it(fitted, tmp_path):
    model, asked = fitted(FAST), requests(9)
    io.dump(model, tmp_path / "model.sktt")
    other = io.load(tmp_path / "model.sktt")
    assert_series_equal(other.context_weights_, model.context_weights_)
    expected = model.recommend(asked, 5)
    assert_frame_equal(other.recommend(asked, 5), expected)
    small = load(tmp_path / "model.sktt")
    for number, row in enumerate(asked.to_dict("records")):
        user = row.pop("user")
        items, _ = small.recommend(user, 5, context=row)
        of_row = expected.iloc[5 * number : 5 * number + 5]
        assert_array_equal(items, of_row["item"])
    context = asked.iloc[0].drop("user").to_dict()
    why = model.explain(asked["user"][0], 3, context=context)
    why = why[why["side"] == "context"].set_index("feature")["contribution"]
    of_noise = why[why.index.str.startswith("noise")]
    assert len(of_noise) == 3 and (of_noise == 0).all()
    assert why["slot_" + context["slot"]] != 0


def test_further_events_go_on_with_it(fitted):
    model = copy.deepcopy(fitted(FAST))
    new = noisy(300, seed=2).assign(slot="dawn")
    new[NOISE[0]] = "new"
    model.partial_fit(new)
    assert_series_equal(model.context_weights_, fitted(FAST).context_weights_)
    asked = requests().assign(slot="dawn")
    table = model.recommend(asked.assign(**{NOISE[0]: "new"}), 5)
    assert_frame_equal(table, model.recommend(asked.drop(columns=NOISE), 5))


@pytest.mark.slow
def test_a_warm_start_goes_on_with_it(fitted):
    model = copy.deepcopy(fitted(FAST)).set_params(warm_start=True, max_epochs=2)
    model.fit(noisy())
    assert_series_equal(model.context_weights_, fitted(FAST).context_weights_)
    asked = requests()
    table = model.recommend(asked, 5)
    assert_frame_equal(table, model.recommend(asked.drop(columns=NOISE), 5))


@pytest.mark.slow
def test_what_is_not_judged_counts_in_full():
    X = noisy(600)
    model = weighed(context=["slot", NOISE[0]], validation_events=None).fit(X)
    assert model.context_weights_.to_dict() == {"slot": 1, NOISE[0]: 1}
    assert weighed(context=None).fit(X).context_weights_ is None
    when = X.assign(time=pd.to_datetime(X["time"], unit="h"))
    by_time = weighed(time="time").fit(when)
    assert by_time.context_weights_ is None


@pytest.mark.slow
def test_the_log_says_it(caplog):
    with caplog.at_level("INFO", "sktwotower"):
        weighed(context=["slot", NOISE[0]]).fit(noisy(2000))
    (line,) = [text for text in caplog.messages if "columns of the context" in text]
    assert "slot" in line and NOISE[0] in line
