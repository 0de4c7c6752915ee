"""An order of lists is chosen for what it gains, not for noise; who judges is said."""

import logging

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from tests.cases import for_each

from .builders import shown, stages

COLUMNS = ["user", "item", "when", "list"]


def ranked(events, columns=(), **params):
    """Return a model of lists, half of which are later."""
    ranker = DecisionTreeClassifier(max_depth=4, min_samples_leaf=20, random_state=0)
    params = {"lists": "list", "later_size": 0.5, "ranker": ranker} | params
    return stages(**params).fit(events[[*COLUMNS, *columns]], events["y"])


def coins(seed):
    """Draw lists whose outcomes no earlier row foretells."""
    events = shown(n_users=80, seed=seed)
    y = np.random.default_rng(1000 + seed).random(len(events)) < 0.3
    return events.assign(y=y.astype(float))


def of_prices(seed):
    """Draw lists of which cheap items are chosen, at prices that change."""
    events = shown(n_users=80, seed=seed)
    rng = np.random.default_rng(1000 + seed)
    prices = rng.integers(1, 9, len(events)).astype(float)
    y = rng.random(len(events)) < np.where(prices < 4, 0.5, 0.2)
    return events.assign(price=prices, y=y.astype(float))


@pytest.mark.slow
@for_each("seed", range(2))
def test_noise_is_ordered_by_the_retriever(seed):
    model = ranked(coins(seed))
    assert model.list_order_ == "retriever"
    gains = model.list_gains_later_
    assert (gains["gain"] <= 2 * gains["standard_error"]).all()


@pytest.mark.slow
@for_each("seed", range(2))
def test_what_prices_foretell_is_ordered_by_a_ranker_of_rows(seed):
    model = ranked(of_prices(seed), ["price"], row_features=["price"])
    assert model.list_order_ == "counts"
    gains = model.list_gains_later_.set_index("order").loc["counts"]
    assert gains["gain"] > 2 * gains["standard_error"]


# Who judges


@pytest.mark.slow
def test_too_few_users_on_one_side_are_counted():
    events = shown(n_users=40, n_lists=3)
    few = shown(n_users=12, n_lists=5, seed=1)  # all on the last day
    last = events["when"].max() + pd.Timedelta("1D")
    few = few.assign(when=last, list="last " + few["list"])
    events = pd.concat([events, few], ignore_index=True)
    mixed = events.groupby("list")["y"].transform("nunique") == 2
    n_users = events["user"][mixed].groupby(events["when"]).nunique().tolist()
    message = (
        r"list_gains_later_ is None: .* lists with y > 0 and y = 0 of 20 users\. The "
        f"earlier half has those of {n_users[2]}, the later one those of {n_users[3]}"
        r"\. So .*see list_gains_\. Raise later_size"
    )
    with pytest.warns(UserWarning, match=message):
        model = ranked(events)
    assert n_users[3] == 12 < 20 < n_users[2]
    assert model.list_gains_later_ is None
    orders = ["retriever", "click_rate", "counts", "ranker"]
    assert model.list_gains_["order"].tolist() == orders


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, params, said",
    [
        (lambda events: events, {"cut": "user"}, "there are dates and cut_ is 'user'"),
        (
            lambda events: events.assign(when=events["when"].factorize()[0]),
            {"cut": "time"},
            "there are no dates and cut_ is 'time'",
        ),
    ],
)
def test_the_log_says_why_later_lists_do_not_judge(change, params, said, caplog):
    with caplog.at_level(logging.INFO, logger="sktwotower"):
        model = ranked(change(shown(n_users=40)), **params)
    assert model.list_gains_later_ is None and model.list_gains_ is not None
    assert said in caplog.text and "list_gains_later_ is None" in caplog.text


@pytest.mark.slow
def test_nothing_is_said_if_later_lists_judge(caplog):
    with caplog.at_level(logging.INFO, logger="sktwotower"):
        model = ranked(coins(0))
    assert model.list_gains_later_ is not None and model.list_gains_ is None
    assert "list_gains_later_" not in caplog.text
