"""What a policy would have earned, against values that are known."""

from itertools import permutations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import Ridge

from sktwotower import PopularityRecommender
from sktwotower.metrics import off_policy_value
from tests.builders import small, spelt
from tests.shared import once

ITEMS = np.array([*"wxyz"])
LOGGED = np.array([0.1, 0.2, 0.3, 0.4])
TARGET = np.array([0.3, 0.35, 0.15, 0.2])
CHOSEN = np.array([0.6, 0.4, 0.2, 0.1])  # how often an item is chosen at the top
AFTER = np.array([0.2, 0.9, 0.5, 1])  # and by how much less below another one


def propensities_of(first, second, shares):
    """Return the propensities of pairs of items, given those above, (n, 2)."""
    below = shares[second] / (1 - shares[first])
    return np.column_stack([shares[first], below])


def drawn_log(n, seed, shares=LOGGED):
    """Return a log of n lists of two items, drawn by shares, and their rewards."""
    rng = np.random.default_rng(seed)
    lists = np.argsort(-(np.log(shares) + rng.gumbel(size=(n, 4))), axis=1)[:, :2]
    first, second = lists.T
    chances = np.column_stack([CHOSEN[first], CHOSEN[second] * AFTER[first]])
    return pd.DataFrame(
        {
            "request": np.repeat(np.arange(n), 2),
            "item": ITEMS[lists].ravel(),
            "rank": np.tile([1, 2], n),
            "propensity": propensities_of(first, second, shares).ravel(),
            "policy": propensities_of(first, second, TARGET).ravel(),
            "reward": (rng.random((n, 2)) < chances).astype(int).ravel(),
        }
    )


def value_of(shares):
    """Return the mean reward of lists of two that are drawn by shares."""
    value = 0
    for first, second in permutations(range(4), 2):
        p = propensities_of(np.array([first]), np.array([second]), shares).prod()
        value += p * (CHOSEN[first] + CHOSEN[second] * AFTER[first])
    return value


@once
def simulated(n_logs):
    """Return what logs of 600 lists say, for each estimator."""
    columns = ["value", "lower", "upper", "diff", "diff se"]
    results = []
    for seed in range(n_logs):
        log = drawn_log(600, seed)
        results.append(off_policy_value("policy", log).table[columns])
    return pd.concat(results, keys=range(len(results)))


@pytest.mark.slow
@pytest.mark.parametrize("n_logs", [250, pytest.param(2000, marks=pytest.mark.grid)])
def test_estimates_are_right_on_average_and_intervals_hold_95_of_100_times(n_logs):
    results = simulated(n_logs)
    truth = value_of(TARGET)
    of_log = value_of(LOGGED)
    for name in ("inverse propensity", "self-normalized"):
        found = results.xs(name, level=1)
        error = found["value"].std() / np.sqrt(len(found))
        assert abs(found["value"].mean() - truth) < 3 * error + 0.002
        covered = (found["lower"] <= truth) & (truth <= found["upper"])
        assert 0.935 <= covered.mean() <= 0.965
        gap = (found["diff"] - (truth - of_log)).abs()
        assert 0.925 <= (gap <= 1.96 * found["diff se"]).mean() <= 0.975
    logged = results.xs("logged", level=1)["value"]
    assert abs(logged.mean() - of_log) < 0.01
    spread = results["value"].unstack().std()
    assert spread["self-normalized"] < spread["inverse propensity"]


@pytest.mark.slow
def test_the_doubly_robust_estimate_is_right_and_varies_less():
    truth = value_of(TARGET)
    values = []
    for seed in range(50):
        log = drawn_log(300, seed)
        shares = pd.DataFrame(np.tile(TARGET, (300, 1)), columns=ITEMS)
        result = off_policy_value(shares, log, regressor=Ridge(), random_state=0)
        values.append(result.table["value"])
        if seed == 0:  # a table says what propensities of its lists say
            same = off_policy_value("policy", log).table
            assert_allclose(result.table.iloc[:3], same, rtol=1e-9)
    values = pd.DataFrame(values)
    error = values["doubly robust"].std() / np.sqrt(50)
    assert abs(values["doubly robust"].mean() - truth) < 3 * error
    assert values["doubly robust"].std() < 0.9 * values["inverse propensity"].std()


def test_estimates_of_single_items_by_hand():
    log = pl.DataFrame({"propensity": [0.5, 0.25, 0.5, 0.5], "reward": [1, 2, 0, 0]})
    policy = [0.5, 0.5, 1, 0]  # weights 1, 2, 2, 0
    result = off_policy_value(policy, log)
    assert result.table["value"].round(9).tolist() == [0.75, 5 / 4, 1]
    assert result.effective_requests == pytest.approx(25 / 9)
    # influence of the ratio: w (r - 1) / mean weight
    influence = np.array([0, 2, -2, 0]) / 1.25
    assert result.table["se"].iloc[2] == pytest.approx(influence.std(ddof=1) / 2)
    cut = off_policy_value(policy, log, max_weight=1.5)
    assert cut.table["value"].round(9).tolist() == [0.75, 1, 1]
    assert cut.n_clipped == 2 and "2 weights were cut to 1.5" in repr(cut)


def test_requests_of_a_user_are_one_cluster_also_in_a_bootstrap():
    log = drawn_log(200, 0)
    twice = pd.concat([log, log.assign(request=log["request"] + 200)])
    users = twice["request"] % 200
    once_ = off_policy_value("policy", log)
    both = off_policy_value("policy", twice.assign(user=users), request="request")
    assert_allclose(both.table, once_.table, rtol=1e-9)
    drawn = off_policy_value(
        "policy", log, request="request", interval="bootstrap", random_state=0
    )
    ends = ["lower", "upper"]
    assert_allclose(drawn.table[ends], once_.table[ends], atol=0.05)
    assert drawn.table["lower"].lt(drawn.table["upper"]).all()


@once
def shop():
    X = spelt("a:vwx b:vwy c:vxz d:vz e:v")
    return small(exclude_seen=False).fit(X)


def test_the_policy_of_a_model_has_the_propensities_that_it_returns():
    model = shop()
    users = ["a", "b", "new"] * 40
    log = model.recommend(users, 3, explore=0.5, random_state=0)
    log["reward"] = log["item"].isin(["v", "w"]) * 1.0
    same = off_policy_value(model, log, explore=0.5)
    assert_allclose(same.by_rank["mean weight"], 1)
    assert_allclose(same.table["value"], log["reward"].sum() / 120)
    assert_allclose(same.table["diff se"], 0, atol=1e-9)

    warmer = model.recommend(users, 3, explore=2, random_state=0).assign(reward=1)
    cooler = off_policy_value(model, warmer, explore=0.5)
    assert abs(cooler.by_rank["mean weight"] - 1).max() < 0.5
    assert cooler.table["value"].iloc[2] == pytest.approx(3)


def test_lists_of_the_best_items_count_where_the_log_has_shown_them():
    model = shop()
    new = [f"new {i}" for i in range(400)]
    best = model.recommend(["new"], 2)["item"].tolist()
    drawn = model.recommend(new, 2, explore=1, random_state=0)
    lists = drawn["item"].to_numpy().reshape(-1, 2)
    is_first = lists[:, 0] == best[0]
    is_both = is_first & (lists[:, 1] == best[1])
    log = drawn.assign(reward=1.0, request=np.repeat(np.arange(400), 2))
    result = off_policy_value(
        model, log.sample(frac=1, random_state=0), request="request"
    )
    assert_allclose(
        result.by_rank["never shown"], [1 - is_first.mean(), 1 - is_both.mean()]
    )
    assert result.by_rank["mean weight"].between(0.7, 1.3).all()
    robust = off_policy_value(model, log, regressor=Ridge(), random_state=0)
    assert robust.table.loc["doubly robust", "value"] == pytest.approx(2, abs=0.01)
    only = off_policy_value(model, log, options={"candidates": [*best, "z"]})
    assert only.by_rank["mean weight"].iloc[0] == result.by_rank["mean weight"].iloc[0]


ONE = pd.DataFrame({"user": ["a"] * 2, "item": ["v", "w"], "rank": [1, 2]})
ONE = ONE.assign(propensity=0.5, reward=1.0, policy=0.5)


@pytest.mark.parametrize(
    ("changes", "policy", "message"),
    [
        (
            {"propensity": [0.5, 0]},
            "policy",
            r"above 0 and at most 1. Got 0.0 in row 1",
        ),
        ({"propensity": [1.5, np.nan]}, "policy", "Got 1.5 in row 0, and 2 such rows"),
        ({"reward": [None, 1]}, "policy", "finite rewards. Got nan in row 0"),
        ({"policy": [0.5, 1.1]}, "policy", r"in \[0, 1\]. Got 1.1 in row 1"),
        ({"policy": [0.0, 0.0]}, "policy", "none of the lists.*higher explore"),
        ({"rank": [1, 3]}, "policy", "has the ranks 1, 3.*without gaps"),
        ({"rank": [2, 1]}, "policy", "has the rank 2, not 1.*by request"),
        ({"user": ["a", "b"]}, "policy", "is of several users"),
        (
            {"item": ["v", "gold"]},
            "model",
            "1 items that are not in the catalog.*'gold'",
        ),
        ({}, "policy2", "no column 'policy2'.*Did you mean 'policy'"),
    ],
)
def test_logs_that_say_nothing_true_are_refused(changes, policy, message):
    log = ONE.assign(**changes)
    with pytest.raises(ValueError, match=message):
        off_policy_value(shop() if policy == "model" else policy, log)


@pytest.mark.parametrize(
    ("policy", "options", "error", "message"),
    [
        ("policy", {"explore": 1}, ValueError, "lists of a recommender"),
        ("policy", {"regressor": Ridge()}, ValueError, "probabilities of all items"),
        ("policy", {"max_weight": 0}, ValueError, "max_weight must be a number > 0"),
        ("policy", {"interval": "wide"}, ValueError, "'normal' or 'bootstrap'"),
        ([0.5], {}, ValueError, "for each of 2 rows of log. Got 1"),
        (None, {}, TypeError, "policy must be a fitted recommender"),
        (
            "model",
            {"options": {"n_neighbors": 3}},
            ValueError,
            "not have 'n_neighbors'",
        ),
        (pd.DataFrame({"v": [0.7], "w": [0.2]}), {}, ValueError, "sum to 1"),
    ],
)
def test_policies_of_which_no_value_follows_are_refused(
    policy, options, error, message
):
    model = shop() if isinstance(policy, str) and policy == "model" else policy
    with pytest.raises(error, match=message):
        off_policy_value(model, ONE, **options)


def test_few_effective_requests_are_warned_of():
    with pytest.warns(UserWarning, match="as much as 2.0 requests.*intervals are too"):
        off_policy_value("policy", ONE.assign(rank=1))
    model = PopularityRecommender().fit(spelt("a:v b:vw"))
    log = ONE.assign(user=["b", "c"], rank=1, item="v")
    with pytest.raises(ValueError, match="lists for 1 of 2 requests"):
        off_policy_value(model, log)
