"""Lists that were shown: what orders them, and what is known of them."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.tree import DecisionTreeClassifier

from sktwotower import ClickRateRecommender
from sktwotower.metrics import make_list_scorer, retrieval_report, roc_auc_by_list
from sktwotower.two_stage import _log as log
from tests.builders import first_fast

from .builders import shown, stages


class Recorded(DecisionTreeClassifier):
    """Keeps what it is fitted on, and what it was asked for last."""

    def fit(self, X, y, **arguments):
        self.seen_ = X, y, arguments
        return super().fit(X, y)

    def predict_proba(self, X):
        self.asked_ = X
        return super().predict_proba(X)


class Grouped(Recorded):
    def fit(self, X, y, group=None):
        return super().fit(X, y, group=group)


class Noise(Recorded):
    """Returns scores that say nothing."""

    def predict_proba(self, X):
        return np.random.default_rng(0).random((len(X), 2))


def ranked(events, ranker=None, columns=(), **params):
    """Return a model of lists that were shown."""
    ranker = Recorded(max_depth=4, min_samples_leaf=20) if ranker is None else ranker
    params = {"lists": "list", "cut": "time", "later_size": 0.35} | params
    model = stages(ranker=ranker, **params)
    names = ["user", "item", "when", "list", *columns]
    return model.fit(events[names], events["y"])


@pytest.fixture(scope="module")
def events():
    return shown()


@pytest.fixture(scope="module")
def model(events):
    return ranked(events)


# Click rates


def test_click_rates_by_hand():
    items = np.array([0, 0, 0, 1, 1])
    chosen = np.array([True, False, True, False, False])
    # two of five were chosen; 20 showings at that rate are added
    expected = [(2 + 8) / (3 + 20), (0 + 8) / (2 + 20), 8 / 20]
    assert_allclose(log.click_rates(items, chosen, 3)[0], expected, rtol=1e-6)
    assert_allclose(log.rates_of(log.sums_of(items, chosen, 3)), expected, rtol=1e-6)


def test_equal_places_change_nothing():
    rng = np.random.default_rng(0)
    items, chosen = rng.integers(0, 9, 300), rng.random(300) < 0.4
    plain, _ = log.click_rates(items, chosen, 9)
    for places in (np.ones(300), np.full(300, np.nan)):
        assert_allclose(log.click_rates(items, chosen, 9, places)[0], plain, rtol=1e-5)


def drawn_by_place(n=200_000):
    """Draw showings where worse items are at better places: rates, items ..."""
    rng = np.random.default_rng(0)
    rates, factors = np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, 0.5, 0.25, 0.125])
    items = rng.integers(0, 4, n)
    places = np.where(rng.random(n) < 0.7, items, rng.integers(0, 4, n))
    chosen = rng.random(n) < rates[items] * factors[places]
    return rates, factors[places].mean(), items, chosen, places


def test_rates_are_those_at_an_average_place():
    rates, mean_factor, items, chosen, places = drawn_by_place()
    naive, _ = log.click_rates(items, chosen, 4)
    assert naive[3] < naive[1]  # it is shown at the last place
    found, effect = log.click_rates(items, chosen, 4, places.astype(float))
    assert_allclose(found, rates * mean_factor, rtol=0.05)
    factors = np.array([1.0, 0.5, 0.25, 0.125]) / mean_factor
    assert_allclose(effect.at(np.arange(4.0)), factors, rtol=0.05)
    between, unknown = effect.at(np.array([0.5, np.nan]))
    assert_allclose(between, effect.at(np.arange(2.0)).mean())
    assert unknown == 1


# What orders the lists


def test_the_ranker_learns_what_was_shown_after_the_cut(model, events):
    table, labels, _ = model.list_ranker_.seen_
    later = events[events["when"] >= events["when"].unique()[3]]
    assert len(table) == len(later) and labels.sum() == later["y"].sum()
    assert model.list_gains_ is None  # the lists of the last day judge
    gains = model.list_gains_later_.set_index("order")
    assert gains.index.tolist() == ["retriever", "click_rate", "counts", "ranker"]
    for end in ("", "_updated"):
        gain, area = gains[f"gain{end}"], gains[f"roc_auc{end}"]
        assert gain["retriever"] == 0
        assert_allclose(gain, area - area["retriever"], atol=1e-12)


@pytest.mark.slow
def test_a_taste_is_found_by_the_ranker_only():
    events = shown(n_users=120)
    # half of the users choose what the others do not
    odd = events["user"].str[-1].astype(int) % 2 == 1
    good = events["item"].str[1:].astype(int) >= 12
    events["y"] = (odd == good).astype(float)
    model = ranked(events)
    assert model.list_order_ == "ranker"
    new = shown(seed=1)
    odd = new["user"].str[-1].astype(int) % 2 == 1
    chosen = odd == (new["item"].str[1:].astype(int) >= 12)
    scores = model.predict(new[["user", "item"]])
    assert roc_auc_by_list(chosen, scores, new["list"]) > 0.95


@pytest.mark.slow
def test_a_column_of_the_request_is_that_of_each_row():
    events = shown()
    events["odd"] = np.random.default_rng(0).integers(0, 2, len(events)).astype(float)
    model = ranked(events.assign(y=events["odd"]), columns=["odd"], context=["odd"])
    X = events[["user", "item", "when", "list", "odd"]]
    assert_array_equal(model.predict(X), events["odd"])


@pytest.mark.slow
def test_click_rates_order_lists_where_the_ranker_is_noise():
    events = shown(n_users=100, often=1.1)
    model = ranked(events, Noise())
    assert model.list_order_ == "click_rate"
    columns = ["user", "item", "when", "list"]
    rates = model.candidate_features().set_index("item")["click_rate"]
    rates = rates[~rates.index.duplicated()]
    scores = model.predict(events[columns])
    expected = events["item"].map(rates)
    assert_allclose(scores[expected.notna()], expected.dropna(), rtol=1e-6)


@pytest.mark.slow
def test_the_retriever_orders_lists_where_nothing_pays():
    events = shown()
    events["y"] = np.random.default_rng(1).permutation(events["y"])
    model = ranked(events, Noise(), retriever=ClickRateRecommender())
    # the retriever's own order is that of the click rates
    assert model.list_order_ == "retriever"
    columns = ["user", "item", "when", "list"]
    alone = model.retriever_.predict(events[columns])
    assert_array_equal(model.predict(events[columns]), alone)


@pytest.mark.slow
def test_lists_change_neither_candidates_nor_recommendations(model, events):
    without = ranked(events, lists=None)
    assert model.blend_ == without.blend_
    users = ["u00", "u31"]
    pd.testing.assert_frame_equal(model.recommend(users), without.recommend(users))
    with pytest.raises(AttributeError, match="without"):
        _ = without.list_order_


# Nothing of what came later is known


@pytest.mark.slow
def test_what_is_chosen_later_changes_no_feature():
    events = shown(swapped=0.5)
    later = events["when"] >= events["when"].unique()[3]
    scrambled = events.copy()
    outcomes = events.loc[later, "y"].to_numpy()
    scrambled.loc[later, "y"] = np.random.default_rng(0).permutation(outcomes)
    tables = [
        ranked(each, columns=["place"], position="place", cut="time", later_size=size)
        for each, size in ((events, 0.35), (scrambled, 0.35))
    ]
    before, after = (model.list_ranker_.seen_ for model in tables)
    assert not np.array_equal(before[1], after[1])
    # counts may know what was chosen earlier, even if that is after the cut
    counts = [name for name in before[0] if name.startswith("click_rate")]
    both = (each[0].drop(columns=counts) for each in (before, after))
    pd.testing.assert_frame_equal(*both)


# Places in the list


def quality_of(model, **columns):
    """Return the rank correlation of scores and true rates, for one user."""
    items = [f"i{item:02}" for item in range(24)]
    table = pd.DataFrame({"user": "u00", "item": items} | columns)
    scores = pd.Series(model.predict(table))
    return scores.corr(pd.Series(range(24)), method="spearman")


@pytest.mark.slow
def test_places_are_known_in_training_and_equal_in_requests():
    events = shown(slope=1)
    model = ranked(events, columns=["place"], position="place")
    table = model.list_ranker_.seen_[0]
    assert sorted(table["position"].unique()) == [1, 2, 3, 4, 5, 6]
    columns = ["user", "item", "when", "list", "place"]
    last = events[columns].assign(place=6)
    assert_array_equal(model.predict(last), model.predict(events[columns]))
    if model.list_order_ == "ranker":
        assert (model.list_ranker_.asked_["position"] == 1).all()


@pytest.mark.slow
def test_with_places_the_order_is_that_of_the_items():
    # the worst items are shown first, where four of five choices are made
    events = shown(n_users=400, slope=1.5, swapped=0.8, seed=1)
    with_places = ranked(events, columns=["place"], position="place")
    without = ranked(events)
    found = quality_of(with_places)
    assert found > 0.8
    assert quality_of(without) < found - 0.3


# Requests


@pytest.fixture(scope="module")
def with_places(events):
    return ranked(events, columns=["place"], position="place")


def test_rows_do_not_depend_on_each_other(model, events):
    X = events[["user", "item", "when", "list"]]
    whole = model.predict(X)
    some = np.random.default_rng(0).permutation(len(X))[:100]
    assert_allclose(model.predict(X.iloc[some]), whole[some], rtol=1e-6)
    assert whole.dtype == np.float32


KEPT_COLUMNS = [
    ["user", "item"],
    ["user", "item", "when"],
    ["user", "item", "list"],
    ["user", "item", "place"],
]


def test_requests_may_lack_time_list_and_place(with_places, events):
    for kept in KEPT_COLUMNS:
        whole = with_places.predict(events[["user", "item", "when", "list", "place"]])
        assert_array_equal(with_places.predict(events[kept]), whole)


@pytest.mark.slow
def test_other_columns_may_not_be_missing(events):
    model = ranked(events.assign(hour=1.0), columns=["hour"], context=["hour"])
    with pytest.raises(ValueError, match="hour"):
        model.predict(events[["user", "item", "when", "list"]])


def test_new_users_and_new_items_get_scores(model):
    X = pd.DataFrame({"user": ["u00", "new", "new"], "item": ["i03", "i03", "zzz"]})
    unseen = r"1 of 3 rows of X \(33.3%\).*'zzz'.*PopularityRecommender scores them"
    with pytest.warns(UserWarning, match=unseen):
        scores = model.predict(X)
    assert np.isfinite(scores).all()
    past = pd.DataFrame(
        {"user": ["new"], "item": ["i05"], "when": [pd.Timestamp("2024-01-09")]}
    )
    assert np.isfinite(model.predict(X[:2], history=past)).all()


@pytest.mark.slow
def test_arrays_and_pickles(events):
    X = events[["user", "item", "when", "list"]].to_numpy(object)
    model = stages(time=2, lists=3, cut="time", later_size=0.35).fit(X, events["y"])
    scores = model.predict(X)
    same = ranked(events, DecisionTreeClassifier(**params_of(model)))
    columns = ["user", "item", "when", "list"]
    assert_allclose(same.predict(events[columns]), scores, rtol=1e-6)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), scores)


def params_of(model):
    return model.ranker.get_params()


def test_scorers_of_lists_score_the_order(model, events):
    X = events[["user", "item", "when", "list"]]
    expected = roc_auc_by_list(events["y"], model.predict(X), events["list"])
    score = make_list_scorer("roc_auc", lists="list")(model, X, events["y"])
    assert_allclose(score, expected)


@pytest.mark.slow
def test_reports_on_lists_have_the_click_rate():
    events = shown(n_lists=6)
    fit, held = events[:1800], events[1800:]
    X, y = fit[["user", "item", "when", "list"]], fit["y"]
    model = stages().fit(X, y)  # no list is required in fit
    rate = ClickRateRecommender(20).fit(X.drop(columns="when"), y)
    held, y_held = held[X.columns], held["y"]
    report = retrieval_report(
        model,
        held,
        y_held,
        lists="list",
        baselines={"rate": (rate.predict(held[[*rate.feature_names_in_]]))},
    )
    assert report.loc["all"].index.tolist() == [
        "TwoStageRecommender",
        "popularity",
        "click rate",
        "rate",
    ]
    rows = report.loc[("all", "click rate")], report.loc[("all", "rate")]
    pd.testing.assert_series_equal(*rows, check_names=False)


@pytest.mark.slow
def test_rankers_with_groups_get_the_lists(events):
    model = ranked(events, Grouped(max_depth=3))
    _, labels, arguments = model.list_ranker_.seen_
    assert (arguments["group"] == 6).all()
    assert arguments["group"].sum() == len(labels)


def test_users_can_be_forgotten(model, events):
    model = copy.deepcopy(model)
    X = events.loc[events["user"] == "u01", ["user", "item", "when", "list"]]
    before = model.predict(X)
    model.forget_users(["u00"])
    assert_allclose(model.predict(X), before, rtol=1e-6)


@pytest.mark.slow
def test_rows_without_a_list_are_left_out():
    events = shown()
    events.loc[events["when"] == events["when"].max(), "list"] = None
    model = ranked(events)
    assert len(model.list_ranker_.seen_[0]) == 2 * 60 * 6  # of four days


# What cannot be learnt or read


@pytest.mark.parametrize("why", first_fast(["few users", "no y = 0", "one item each"]))
def test_too_little_was_shown(why):
    events = shown(n_users=30 if why == "few users" else 60)
    if why == "no y = 0":
        events["y"] = 1.0
    elif why == "few users":
        events = events[events["user"] < "u15"]
    else:
        events["list"] = np.arange(len(events)).astype(str)
    with pytest.warns(UserWarning, match="No ranker of lists was trained.*of 20 users"):
        model = ranked(events)
    X = events[["user", "item", "when", "list"]]
    assert not hasattr(model, "list_order_")
    without = ranked(events, lists=None)
    assert_array_equal(model.predict(X[["user", "item"]]), without.predict(X))


BAD_COLUMNS = [
    ({}, {"lists": None, "position": "place"}, "name the column of lists as well"),
    ({}, {"lists": "query"}, "lists names 'query', which is not a column of X"),
    ({}, {"position": "rank"}, "position names 'rank', which is not a column"),
    ({"place": "top"}, {"position": "place"}, "'place' must hold numbers, the first"),
    (
        {"place": pd.Timestamp("2024-01-01")},
        {"position": "place"},
        "'place' must hold numbers, the first place the smallest one",
    ),
    ({"list": "all"}, {}, "1 of 1 lists hold rows of several users"),
]


def test_columns_that_do_not_fit(events):
    for changes, params, message in BAD_COLUMNS:
        with pytest.raises(ValueError, match=message):
            ranked(events.assign(**changes), columns=["place"], **params)


@pytest.mark.slow
def test_one_list_per_user_by_the_column_of_users(events):
    model = ranked(events, lists="user")
    X = events[["user", "item", "when", "list"]]
    assert len(model.list_ranker_.seen_[0]) == 60 * 2 * 6
    assert_array_equal(model.predict(X.drop(columns="when")), model.predict(X))
