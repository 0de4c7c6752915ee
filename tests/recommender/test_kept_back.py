"""Which events are kept back, how many, and that towers do not learn them before."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from skorch.callbacks import Callback, EarlyStopping

from sktwotower.recommender import _fit, _judge, _kept_back
from sktwotower.recommender._kept_requests import requests_of
from sktwotower.towers.parts._trained import PooledTowers
from tests.builders import ordered, random_events, small
from tests.recommender.weighed import coming_back, few_judge, tastes, weighed


@pytest.fixture
def kept_by(monkeypatch):
    """Return a function that fits, and returns model, events and ``KeptBack``."""

    def fit(model, X, *args, **kwargs):
        calls, keep_back = [], _kept_back.keep_back

        def keep(recipe, events, rng):
            calls.append((events, keep_back(recipe, events, rng)))
            return calls[-1][1]

        with monkeypatch.context() as patch:
            patch.setattr(_fit, "keep_back", keep)
            model.fit(X, *args, **kwargs)
        ((events, kept),) = calls
        return model, events, kept

    return fit


def names_of(table, events):
    """Return 'user item' of each event of a table, and 'time' if it is known."""
    users, items = events.users.ids[table.users], events.items.ids[table.items]
    return {f"{u} {i} {t}" for u, i, t in zip(users, items, table.times, strict=True)}


def without(events, kept):
    """Return what is kept back, by name."""
    return names_of(events.ordered, events) - names_of(kept.before.ordered, events)


def turns(n_users=10, n_rounds=6):
    """Return events of users in turn: user u has chosen item r in round r."""
    rounds, users = np.divmod(np.arange(n_users * n_rounds), n_users)
    table = {"user": [f"u{u}" for u in users], "item": [f"i{r}" for r in rounds]}
    return pd.DataFrame(table | {"when": np.arange(n_users * n_rounds)})


def pairs_of(X):
    """Return pairs, of which users with even and with odd numbers share none."""
    odd = X["user"].str[1:].astype(int) % 2
    return X.assign(item=X["item"] + np.where(odd, "a", "b"))[["user", "item"]]


def few(monkeypatch, share):
    few_judge(monkeypatch, 1)
    monkeypatch.setattr(_kept_back, "MAX_SHARE", share)
    monkeypatch.setattr(_kept_back, "MAX_SHARE_OF_PAIRS", share)


def test_the_latest_events_by_hand(monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    X = turns()
    _, events, kept = kept_by(ordered(validation_events="latest"), X)
    # a tenth of 60 events are the last 6; of these the later 3 judge
    assert kept.asked == "latest" and kept.start == 54
    assert without(events, kept) == {f"u{u} i5 {50 + u}" for u in range(4, 10)}
    known = names_of(events.ordered, events) - names_of(kept.known.ordered, events)
    assert known == {f"u{u} i5 {50 + u}" for u in range(7, 10)}
    assert events.users.ids[kept.users].tolist() == ["u7", "u8", "u9"]
    assert (kept.truth.indices == events.items.ids.get_loc("i5")).all()
    assert np.diff(kept.past.indptr).tolist() == [5, 5, 5]


def test_auto_is_the_latest_where_users_come_back(monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    assert kept_by(ordered(), turns())[2].asked == "latest"
    # the same events, but users come one after the other
    X = turns().sort_values("user").assign(when=np.arange(60))
    assert kept_by(ordered(), X)[2].asked == "last"
    # also then the latest may be asked for; the one who judges has come before them
    assert kept_by(ordered(validation_events="latest"), X)[2].asked == "latest"


def test_the_last_of_each_of_some_users(monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    X = turns()
    model, events, kept = kept_by(ordered(validation_events="last"), X)
    gone = without(events, kept)
    # at most a quarter of ten users, rounded up
    assert kept.asked == "last" and kept.start is None and kept.known is kept.before
    assert gone == {f"{u} i5 {50 + int(u[1])}" for u in events.users.ids[kept.users]}
    assert len(gone) == 3
    assert model.validation_score_["n_users"] == 3


def test_baskets_stay_together(monkeypatch, kept_by):
    few(monkeypatch, 0.2)
    X = turns()
    X["when"] //= 20  # two items at a time
    _, events, kept = kept_by(ordered(validation_events="last"), X)
    gone, users = without(events, kept), events.users.ids[kept.users]
    assert gone == {f"{u} {i} 2" for u in users for i in ("i4", "i5")}
    assert 0 < len(gone) <= 12


def test_random_pairs(monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    X = turns()
    _, events, kept = kept_by(small(max_epochs=4), pairs_of(X))
    n_before = np.diff(kept.before.positives.indptr)
    # a twentieth of six items, at least one, of a quarter of the users
    assert kept.asked == "random" and sorted(n_before) == [5] * 3 + [6] * 7
    assert (n_before[kept.users] == 5).all()
    together = (kept.past + kept.truth).toarray()
    np.testing.assert_array_equal(together, events.positives[kept.users].toarray())


@pytest.mark.parametrize("params", [{"time": "when"}, {}], ids=["in order", "pairs"])
def test_of_some_users_nothing_but_features_is_known(params, monkeypatch, kept_by):
    few_judge(monkeypatch)
    X = coming_back()
    _, events, kept = kept_by(weighed(users=tastes(), **params), X)
    strangers = kept.strangers
    assert len(strangers) == 15  # a twentieth of 300
    for side in (kept.before, kept.known):
        assert side.positives[strangers].nnz == 0
        others = np.setdiff1d(np.arange(300), strangers)
        assert (np.diff(side.positives.indptr)[others] > 0).all()
    assert not np.isin(kept.users, strangers).any()
    everything = events.positives[strangers]
    if params:  # the mean reward of events, not their sum
        everything = everything.sign()
    everything = everything.toarray()
    np.testing.assert_array_equal(kept.new_truth.toarray(), everything)


def test_one_of_several_processes_may_have_none_of_them(monkeypatch, kept_by):
    few_judge(monkeypatch)
    _, _, kept = kept_by(weighed(users=tastes()), coming_back())
    nobody = {"strangers": kept.strangers[:0], "new_truth": kept.new_truth[:0]}
    recipe = SimpleNamespace(history="pooled", exclude_seen=True, temperature=0.1)
    n_requests = []
    for each in (kept, kept._replace(**nobody)):
        requests = requests_of(each, recipe, np.random.RandomState(0))
        assert requests.n_known == len(kept.users)
        n_requests.append(requests.rows.shape[0])
    assert n_requests[0] - n_requests[1] == 600  # those of strangers


def test_without_features_there_are_no_such_users(monkeypatch, kept_by):
    few_judge(monkeypatch)
    _, _, kept = kept_by(weighed(), coming_back())
    assert kept.strangers is None


@pytest.mark.parametrize("name", ["latest", "last", "random"])
def test_at_most_a_twentieth_and_so_many_users(name, monkeypatch, kept_by):
    monkeypatch.setattr(_kept_back, "MAX_USERS", 30)
    monkeypatch.setattr(_kept_back, "MAX_SOME", 30)
    few_judge(monkeypatch, 5)
    params = {} if name == "random" else {"time": "when", "validation_events": name}
    _, events, kept = kept_by(weighed(**params), coming_back())
    sizes = np.diff(events.positives.indptr), np.diff(kept.before.positives.indptr)
    n_users = np.count_nonzero(sizes[0] > sizes[1])
    n_kept, n_events = (sizes[0] - sizes[1]).sum(), sizes[0].sum()
    if name != "random":
        n_events = events.ordered.n_events
        n_kept = n_events - kept.before.ordered.n_events
    assert 5 <= len(kept.users) <= n_users <= 30
    assert 0 < n_kept <= 0.05 * n_events


@pytest.mark.slow
def test_coarse_times_are_not_too_much(monkeypatch, kept_by):
    few_judge(monkeypatch, 1)
    X = coming_back()
    # a tenth of the events have the latest time
    tenths = X.assign(when=X["when"] // 500)
    _, events, kept = kept_by(weighed(time="when", validation_events="latest"), tenths)
    assert kept.asked == "last"
    assert kept.before.ordered.n_events >= 0.95 * events.ordered.n_events
    # 150 events a day: a twentieth is a day and two thirds
    days = X.assign(when=X["when"] // 75)
    _, events, kept = kept_by(weighed(time="when", validation_events="latest"), days)
    assert kept.asked == "latest" and kept.start == X["when"].max() // 75 - 2
    assert kept.before.ordered.n_events >= 0.95 * events.ordered.n_events


def test_who_begins_after_the_cut_is_not_asked_for(monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    X = turns()
    X.loc[X["when"] >= 57, "user"] = ["u7", "new", "u9"]
    model, events, kept = kept_by(ordered(validation_events="latest"), X)
    assert "new" not in events.users.ids[kept.users]
    # but learnt in the end
    assert model.seen_items(["new"])["item"].tolist() == ["i5"]


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_what_is_chosen_again(exclude_seen, monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    X = turns()
    # u7 has had this item before; u8 and u9 choose a new one
    X.loc[X["when"] == 57, "item"] = "i2"
    model = ordered(validation_events="latest", exclude_seen=exclude_seen)
    _, events, kept = kept_by(model, X)
    users = events.users.ids[kept.users].tolist()
    assert users == (["u8", "u9"] if exclude_seen else ["u7", "u8", "u9"])
    if not exclude_seen:
        (item,) = kept.truth[0].indices
        assert events.items.ids[item] == "i2"
    # it is in the past of its user in any case
    assert model.seen_items(["u7"])["item"].tolist() == [f"i{i}" for i in range(5)]


def test_impressions_are_no_answers(monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    X, y = turns(), np.ones(60)
    y[58] = 0.0  # u8 was shown an item, and did not choose it
    for validation_events in ("latest", "last"):
        model = ordered(validation_events=validation_events, impression_weight=2.0)
        _, events, kept = kept_by(model, X, y)
        asked = kept.truth.tocoo()
        users = events.users.ids[kept.users[asked.row]]
        items = events.items.ids[asked.col]
        assert ("u8", "i5") not in set(zip(users, items, strict=True))
        assert len(asked.data) > 0
    assert len(model.history_) == 2


@pytest.mark.parametrize("time", ["when", None])
def test_weights_of_events_stay_theirs(time, monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    X, weights = turns(), np.arange(1.0, 61)
    X["item"] = pairs_of(X)["item"]
    model, events, kept = kept_by(small(time=time, max_epochs=4), X, None, weights)
    left = events.positives - kept.before.positives
    assert set(kept.before.positives.data) | set(left.data) >= set(weights)
    answers = kept.truth.toarray()
    is_answer = answers > 0
    expected = events.positives[kept.users].toarray()[is_answer]
    np.testing.assert_array_equal(answers[is_answer], expected)
    assert np.isfinite(model.item_embeddings_).all()


def test_events_without_weight_are_not_kept_back(monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    weights = np.ones(60)
    weights[-3:] = 0
    _, events, kept = kept_by(ordered(), turns(), None, weights)
    assert not {"u7", "u8", "u9"} & set(events.users.ids[kept.users])


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
    "share": {"second_share": 0.2},
    "any length": {"normalize": False},
    "one epoch": {"max_epochs": 1},
}


@pytest.mark.parametrize("name", NOT_WEIGHED)
def test_nothing_is_kept_back_where_weights_are_set(name, monkeypatch):
    few(monkeypatch, 0.1)
    model = small(**{"max_epochs": 2} | NOT_WEIGHED[name]).fit(pairs_of(turns()))
    assert model.validation_score_ is None


class Targets(Callback):
    """Keeps the pairs of users and items that each epoch learns."""

    def on_train_begin(self, net, **kwargs):
        self.pairs = []

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        self.pairs.append((dataset_train.positives > 0).toarray())


@pytest.mark.parametrize("params", [{}, {"time": "when"}], ids=["random", "in order"])
def test_they_are_targets_in_the_last_epochs_only(params, monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    X = turns(n_rounds=10)
    X["item"] = pairs_of(X)["item"]
    targets = Targets()
    model = small(**params, max_epochs=8, callbacks=[targets])
    _, events, kept = kept_by(model, X)
    chosen = kept.truth.toarray() > 0
    # a quarter of eight epochs
    for pairs in targets.pairs[:6]:
        assert not (pairs[kept.users] & chosen).any()
        assert pairs.sum() > 0.7 * len(X)
    for pairs in targets.pairs[6:]:
        assert (pairs[kept.users] | ~chosen).all()


@pytest.mark.slow
def test_what_is_only_among_them_is_not_learnt_by_heart(monkeypatch):
    few(monkeypatch, 0.05)
    monkeypatch.setattr(_judge, "RATES", (0.0,))
    monkeypatch.setattr(PooledTowers, "share", lambda *args: 0.0)
    # the last one of each second user, which nobody else has
    X = coming_back(600, n_users=60).sort_values("user", kind="stable")
    X["when"] = X.groupby("user").cumcount() * 60 + X["user"].str[1:].astype(int)
    X = X[X["when"] < 360]
    last = X["when"] >= 330
    X.loc[last, "item"] = "secret"
    users, ranks = X.loc[last, "user"].tolist(), {}
    for name in ("latest", None):
        # ended before the last quarter of the epochs
        stops = EarlyStopping("train_loss", patience=28, threshold=1e9)
        params = {"validation_events": name, "popularity_half_life": None}
        params["sparse_parts"] = None  # they know all events at once
        model = ordered(max_epochs=40, lr=0.05, callbacks=[stops], **params).fit(X)
        assert 25 < len(model.history_) <= 30
        assert model.seen_items(users)["item"].tolist().count("secret") == len(users)
        top = model.recommend(users, 61, exclude_seen=False)
        ranks[name] = top.loc[top["item"] == "secret", "rank"].mean()
    assert ranks["latest"] > ranks[None] + 5


def test_a_callback_that_ends_training_early(monkeypatch, kept_by):
    few(monkeypatch, 0.1)
    stops = EarlyStopping("train_loss", patience=1, threshold=1e3)
    for params in ({}, {"time": "when"}):
        X = turns()
        model = small(max_epochs=20, callbacks=[stops], **params)
        _, _, kept = kept_by(model, X if params else pairs_of(X))
        assert len(model.history_) < 5
        assert model.validation_score_["n_users"] == len(kept.users)
        assert len(model.weights_.columns) == 6
