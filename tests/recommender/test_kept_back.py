"""Which events are kept back to judge a model, and of how many users."""

import re

import numpy as np
import pandas as pd
import pytest
from skorch.callbacks import EarlyStopping

from sktwotower.towers import PooledHistory
from tests.builders import ordered, random_events, small
from tests.cases import for_each
from tests.recommender.weighed import many_pairs, tastes, weighed

LATEST = {"validation_events": "latest"}


@pytest.fixture
def asked(caplog):
    """Return a function that fits, and returns of how many users what was asked for."""

    def fit(model, X, *args):
        caplog.clear()
        with caplog.at_level("INFO", "sktwotower"):
            model.fit(X, *args)
        (line,) = [text for text in caplog.messages if "kept back" in text]
        n_users, kind = re.findall(
            r"fit: (\d+) users are asked for (\w+) events", line
        )[0]
        assert model.validation_score_["n_users"] == int(n_users)
        return int(n_users), kind

    return fit


def turns(n_users=200, n_rounds=6):
    """Return events of users in turn: user u has chosen item u + r in round r."""
    rounds, users = np.divmod(np.arange(n_users * n_rounds), n_users)
    items = (users + rounds) % n_rounds
    table = {"user": [f"u{u:03}" for u in users], "item": [f"i{i}" for i in items]}
    return pd.DataFrame(table | {"when": np.arange(n_users * n_rounds)})


def pairs_of(X):
    """Return pairs, of which users with even and with odd numbers share none."""
    odd = X["user"].str[1:].astype(int) % 2
    return X.assign(item=X["item"] + np.where(odd, "a", "b"))[["user", "item"]]


def test_the_later_half_of_the_latest_twentieth_judges(asked):
    # of 6,000 events the last 300, of which the later 150 judge
    assert asked(ordered(**LATEST), turns(n_users=1000)) == (150, "latest")


def test_more_are_kept_back_of_few_events(asked):
    # of 1,200 events the later half of a twentieth are 30, of a tenth 60; a fifth are
    # those since the first user has made the last choice
    assert asked(ordered(**LATEST), turns()) == (100, "latest")


def test_the_latest_judge_where_users_come_back_else_the_last_of_each(asked):
    assert asked(ordered(), turns()) == (100, "latest")
    # the same events, but users come one after the other
    X = turns().sort_values("user").assign(when=np.arange(1200))
    assert asked(ordered(), X) == (200, "last")


@pytest.mark.each_time("0.7")
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_times_that_count_the_events_of_each_user_are_no_moments(share, asked):
    # a quarter of the users have chosen twice as much as others
    rng = np.random.default_rng(0)
    sizes = np.where(np.arange(200) % 4, 10, 20)
    items = [f"i{item:02}" for size in sizes for item in rng.permutation(40)[:size]]
    users = np.repeat([f"u{user:03}" for user in range(200)], sizes)
    X = pd.DataFrame({"user": users, "item": items})
    X["when"] = X.groupby("user").cumcount()
    X = X[rng.random(len(X)) < share]
    n_users, kind = asked(ordered(), X)
    assert kind == "last" and n_users > 150
    # those with the most events are asked for if one says so
    n_users, kind = asked(ordered(**LATEST), X)
    assert kind == "latest" and n_users <= 50


def in_baskets(n_users, size):
    """Return events of users in turn, three times, each of ``size`` items at once."""
    places = np.arange(3 * n_users * size)
    baskets = places // size
    users, rounds = baskets % n_users, baskets // n_users
    items = (users + rounds * size + places % size) % (4 * size)
    table = {"user": [f"u{u:03}" for u in users], "item": [f"i{i:03}" for i in items]}
    return pd.DataFrame(table | {"when": baskets})


@pytest.mark.parametrize(
    "n_users, expected",
    [
        (150, (45, "latest")),  # a fifth are 90 baskets, 45 of which judge
        (40, (24, "last")),  # a fifth are 24 baskets, 12 of which would judge
    ],
)
def test_more_are_kept_back_where_few_users_choose_much_at_once(
    n_users, expected, asked
):
    assert asked(ordered(), in_baskets(n_users, size=4)) == expected
    model = ordered(**LATEST).fit(in_baskets(40, size=4))
    assert model.validation_score_ is None


@pytest.mark.each_time("params0")
@pytest.mark.parametrize("params", [{"validation_events": "last"}, {"time": None}])
def test_items_that_nobody_had_before_answer_nothing(params, asked):
    X = turns()
    X.loc[1000:1099, "item"] = [f"only {n}" for n in range(100)]
    # half of the last events are of items that only one user has chosen
    if "time" in params:
        X = X[["user", "item"]]
    n_users, kind = asked(ordered(**params), X)
    assert n_users == 100 if kind == "last" else n_users < 200
    # unless features say something of them
    kinds = pd.DataFrame({"item": X["item"].unique()})
    kinds["kind"] = kinds["item"].str[0]
    n_of_features, _ = asked(ordered(items=kinds, **params), X)
    assert n_of_features > n_users


@pytest.mark.slow
@pytest.mark.parametrize(
    "n_rounds, in_a_basket, n_users",
    [
        (6, 1, 200),  # a fifth of 1,200 events are more than the last one of each
        (3, 1, 120),  # a fifth of 600
        (6, 2, 120),  # a fifth of 1,200, two of each user
    ],
)
def test_a_fifth_of_the_events_are_the_last_of_users(
    n_rounds, in_a_basket, n_users, asked
):
    X = turns(n_rounds=n_rounds)
    X["when"] //= 200 * in_a_basket
    model = ordered(validation_events="last")
    assert asked(model, X) == (n_users, "last")


def test_without_times_they_are_random_pairs(asked):
    n_users, kind = asked(small(max_epochs=2), pairs_of(turns()))
    assert kind == "random" and n_users == 200


@pytest.mark.slow
def test_times_of_whole_days_keep_back_no_more(asked):
    X = turns()
    # of ten days, one has more than a twentieth of the events
    assert asked(ordered(**LATEST), X.assign(when=X["when"] // 120))[1] == "last"
    # of 24 events a day, the eight latest days are 192 of at most 240
    days = X.assign(when=X["when"] // 24)
    assert asked(ordered(**LATEST), days) == (96, "latest")


@pytest.mark.each_time("pairs")
@pytest.mark.slow
@pytest.mark.parametrize("params", [{"time": "when"}, {}], ids=["in order", "pairs"])
def test_users_whose_features_judge_are_not_asked_for_otherwise(params, asked):
    X = turns()
    if not params:
        X = pairs_of(X)
    everybody, _ = asked(small(max_epochs=2, **params), X)
    others, _ = asked(small(max_epochs=2, users=tastes(), **params), X)
    # ten of 200, who are asked for as users of whom nothing else is known
    assert everybody - 10 <= others < everybody


def test_who_begins_after_the_cut_is_not_asked_for(asked):
    X = turns()
    X.loc[X.index[-1], "user"] = "new"
    model = ordered(**LATEST)
    assert asked(model, X) == (99, "latest")
    # but learnt in the end
    assert model.seen_items(["new"])["item"].tolist() == ["i0"]


@pytest.mark.slow
def test_what_is_chosen_again_judges_only_lists_that_may_hold_it(asked):
    X = turns()
    X.loc[X.index[-1], "item"] = "i2"  # of a user who has had it
    model = ordered(**LATEST)
    assert asked(model, X) == (99, "latest")
    assert asked(ordered(**LATEST, exclude_seen=False), X) == (100, "latest")
    # it is in the past of its user in any case
    assert len(model.seen_items(["u199"])) == 5


@pytest.mark.each_time("latest")
@pytest.mark.slow
@pytest.mark.parametrize("how", ["latest", "last"])
def test_what_was_only_shown_or_has_no_weight_is_no_answer(how, asked):
    X = turns(n_users=1000)
    y = np.ones(len(X))
    y[-3:] = 0.0
    model = ordered(validation_events=how, impression_weight=2.0)
    n_of_shown, kind = asked(model, X, y)
    assert kind == how
    if how == "latest":
        assert n_of_shown < 150
    model = ordered(validation_events=how)
    assert asked(model, X, None, y)[1] == how
    assert len(model.seen_items(["u999"])) == 5


@pytest.mark.slow
def test_a_callback_that_ends_training_early_leaves_a_judged_model():
    stops = EarlyStopping("train_loss", patience=1, threshold=1e3)
    params = {"max_epochs": 20, "batch_size": 512, "callbacks": [stops]}
    model = weighed(**params).fit(many_pairs())
    assert len(model.history_) < 5
    assert model.validation_score_["n_users"] > 100
    assert len(model.weights_.columns) == 6


NONE_KEPT = {
    "one event each": {"time": "when"},
    "few events": {"time": "when"},
    "constant times": {"time": "when"},
    "few pairs": {},
}


@pytest.mark.parametrize("name", NONE_KEPT)
def test_too_few_events(name, caplog, recwarn):
    X = random_events(n_users=15, n_items=12)
    X["when"] = np.arange(len(X)) * (name != "constant times")
    if name == "one event each":
        X = X.drop_duplicates("user")
    params = {"max_epochs": 2} | NONE_KEPT[name]
    with caplog.at_level("INFO", "sktwotower"):
        model = small(**params).fit(X)
    lines = [text for text in caplog.messages if "kept back" in text]
    assert lines == ["fit: no events are kept back; parts have the usual weights"]
    assert model.validation_score_ is None
    assert model.weights_.columns.tolist() == ["all users"]
    if name.startswith("few"):  # others say nothing, and that is said
        assert not recwarn.list
    other = small(**params, validation_events=None).fit(X)
    np.testing.assert_array_equal(other.item_embeddings_, model.item_embeddings_)
    users = model.user_ids_
    np.testing.assert_array_equal(other.embed_users(users), model.embed_users(users))


NOT_WEIGHED = {
    "none": {"validation_events": None},
    "early stopping": {"early_stopping": True},
    "share": {"history": PooledHistory(second_share=0.2)},
    "any length": {"normalize": False},
    "one epoch": {"max_epochs": 1},
}


@for_each("name", NOT_WEIGHED)
def test_nothing_is_kept_back_where_weights_are_set(name):
    model = small(**{"max_epochs": 2} | NOT_WEIGHED[name]).fit(pairs_of(turns(60)))
    assert model.validation_score_ is None
