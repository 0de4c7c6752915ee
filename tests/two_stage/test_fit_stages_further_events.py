"""Two stages that learn further events: features and counts are those of one pass."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import EASERecommender, ItemKNNRecommender, PopularityRecommender
from tests.builders import small

from .builders import follows, shown, stages

COLUMNS = ["user", "item", "when"]


@pytest.fixture(scope="module")
def events():
    """Dated events, of which the last third brings new users and new items."""
    rng = np.random.default_rng(0)
    n = 900
    day = np.sort(rng.integers(0, 90, n))
    user, item = rng.integers(0, 30, n) + day // 5, rng.integers(0, 15, n) + day // 9
    X = pd.DataFrame({"user": user, "item": item})
    X = X.assign(when=pd.Timestamp("2024-01-01") + pd.to_timedelta(day, "D"))
    X["user"], X["item"] = ("x" + X[side].astype(str) for side in ("user", "item"))
    X["place"] = rng.choice(["home", "work", "train"], n)
    return X, (rng.random(n) < 0.7).astype(float)


def parts(tables, n, first=600):
    """Yield the first rows of tables, and the others in n slices."""
    yield tuple(table[:first] for table in tables)
    for rows in np.array_split(np.arange(first, len(tables[0])), n):
        yield tuple(table[rows[0] : rows[-1] + 1] for table in tables)


def learnt(fitted, tables, n, first=600):
    """Return a copy of a model of the first rows after n further calls."""
    model = copy.copy(fitted)
    for part in list(parts(tables, n, first))[1:]:
        model.partial_fit(*part)
    return model


def assert_same_features(found, expected):
    """Compare features, which are computed from all that is kept of events."""
    tables = found.candidate_features(), expected.candidate_features()
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)


@pytest.mark.each_time("ease", "without times")
@pytest.mark.parametrize(
    ("retriever", "time"),
    [
        (EASERecommender(l2=9), "when"),
        (ItemKNNRecommender(decay=2), "when"),
        (PopularityRecommender(), None),
    ],
    ids=["ease", "item-knn", "without times"],
)
def test_features_in_slices_are_those_of_one_fit(retriever, time, events):
    X, y = events
    if time is None:
        X = X.drop(columns="when")
    cut = "user" if time is None else "time"
    params = {"time": time, "cut": cut, "exclude_seen": False, "n_candidates": 20}
    params["context"] = "place"
    one = stages(retriever, **params).fit(X, y)
    first = stages(retriever, **params).fit(X[:600], y[:600])
    many = learnt(first, (X, y), 7)
    assert_same_features(many, one)
    assert len(many.recommend()) == 10 * len(one.retriever_.user_ids_)


def test_late_events_take_their_place(events):
    X, y = events
    params = {"cut": "time", "n_candidates": 20}
    model = stages(**params).fit(X[200:], y[200:]).partial_fit(X[:200], y[:200])
    expected = stages(**params).fit(X, y)
    assert_same_features(model, expected)


@pytest.fixture(scope="module")
def of_lists():
    """A recommender that is fitted on the first lists of a table, and all of them."""
    table = shown(n_users=60, n_lists=6).sort_values("when", kind="stable")
    table = table.reset_index(drop=True)
    # an item of the last days
    new = table["when"] > table["when"][1700]
    table.loc[new & (table["item"] == "i03"), "item"] = "new"
    X, y = table[[*COLUMNS, "list", "place"]], table["y"].to_numpy()
    model = stages(lists="list", position="place")
    return model.fit(X[:1440], y[:1440]), (X, y)


def test_lists_are_counted_in_slices_as_at_once(of_lists):
    model, tables = of_lists
    one = learnt(model, tables, 1, first=1440)
    asked = tables[0].tail(300)
    many = learnt(model, tables, 7, first=1440)
    assert_same_features(many, one)
    assert_allclose(many.predict(asked), one.predict(asked), rtol=1e-5)
    with pytest.warns(UserWarning, match="items that fit has not seen"):
        model.predict(asked)


def test_the_ranker_of_lists_learns_anew(of_lists):
    before, tables = of_lists
    (X, y), (new, outcomes) = parts(tables, 1, first=1440)
    model = copy.copy(before)
    model.partial_fit(new, outcomes, update_ranker=True)
    assert model.list_ranker_ is not before.list_ranker_
    assert model.list_ranker_.n_features_in_ == before.list_ranker_.n_features_in_
    assert model.ranker_ is before.ranker_
    # as of each row: what was counted is that of the call without it
    kept = copy.copy(before).partial_fit(new, outcomes)
    assert kept.list_ranker_ is before.list_ranker_
    assert kept.list_order_ == model.list_order_
    with pytest.warns(UserWarning, match="stays as it is: .* 20 users, and X has"):
        few = copy.copy(before).partial_fit(new[:6], outcomes[:6], update_ranker=True)
    assert few.list_ranker_ is before.list_ranker_
    with pytest.raises(ValueError, match="the ranker of lists anew, and fit has"):
        stages().fit(X, y).partial_fit(new, outcomes, update_ranker=True)


def test_what_belongs_to_side_tables_and_columns_grows():
    X = follows(dates=True)
    rng = np.random.default_rng(0)
    X["city"] = np.where(X["user"].str[-1].astype(int) % 2, "Rome", "Oslo")
    items = pd.DataFrame({"item": X["item"].unique()})
    items = items.assign(kind=rng.choice(["b", "c"], len(items)), price=1.5)
    retriever = small(items=items, user_features=["city"], max_epochs=1)
    model = stages(retriever, n_candidates=32, exclude_seen=False).fit(X)
    more = pd.DataFrame({"item": ["z1", "z2"], "kind": ["c", "a"], "price": [2.5, 4.0]})
    new = X[:3].assign(user=["u00", "v", "w"], item=["z1", "z2", "z1"])
    new = new.assign(city=["Rome", "Oslo", "Bonn"])
    with pytest.raises(ValueError, match="missing from items"):
        model.partial_fit(new)
    model.set_params(retriever__items=pd.concat([items, more])).partial_fit(new)
    table = model.candidate_features()
    of_items = table.drop_duplicates("item").set_index("item")
    assert of_items.loc[["z1", "z2"], "item__price"].tolist() == [2.5, 4.0]
    # levels that fit did not see are missing
    assert_array_equal(of_items.loc[["z1", "z2"], "item__kind"], [1, np.nan])
    known = items.set_index("item")["kind"].eq("c").astype(float)
    known = known[known.index.isin(of_items.index)]
    assert_array_equal(of_items["item__kind"][known.index], known)
    of_users = table.drop_duplicates("user").set_index("user")["user__city"]
    assert_array_equal(of_users[["u00", "u01", "v", "w"]], [1, 1, 0, np.nan])
    assert len(model.recommend(["v", "w"], 3)) == 6


def test_pickles_and_forgotten_users_in_between(events):
    X, y = events
    (first, of_first), (second, of_second) = parts((X, y), 1)
    model = stages(cut="time", n_candidates=3)
    with pytest.warns(UserWarning, match="No ranker was trained"):
        model.fit(first, of_first).forget_users(["x3", "x4"])
    answers = []
    for each in model, pickle.loads(pickle.dumps(model)):
        each.partial_fit(second, of_second)
        answers.append(each.candidate_features())
    pd.testing.assert_frame_equal(*answers)
    come_back = second[(second["user"] == "x4") & (of_second > 0)]["item"].unique()
    found = answers[0].query("user == 'x4'")["history_length"]
    assert set(found) <= {float(len(come_back))}


def test_a_call_that_fails_or_has_no_rows_changes_nothing(events):
    X, y = events
    model = stages().fit(X[:600], y[:600])
    lists, features = model.recommend(["x3"]), model.candidate_features()
    for bad, message in [
        (X[600:].assign(user=7), "another type"),
        (X[600:].drop(columns="when"), "lacks the time column"),
        (X[600:].assign(more=1), "more"),
        (X[600:].assign(item=None), "contains NaN"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            model.partial_fit(bad)
    model.partial_fit(X[:0]).partial_fit(X, y, np.zeros(len(X)))
    assert model.candidate_features().equals(features)
    other = copy.copy(model)
    other.partial_fit(X[600:], y[600:])
    assert model.recommend(["x3"]).equals(lists)
    assert model.candidate_features().equals(features)
    assert not other.candidate_features().equals(features)
    first = stages().partial_fit(X[:600], y[:600])
    assert first.recommend(["x3"]).equals(lists)


def test_lists_of_a_call_are_checked(of_lists):
    model, (X, y) = copy.copy(of_lists[0]), of_lists[1]
    new = X[1440:].assign(list="one")
    with pytest.raises(ValueError, match="list"):
        model.partial_fit(new, y[1440:])
    with pytest.raises(ValueError, match="place"):
        model.partial_fit(X[1440:].assign(place="first"), y[1440:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # rows of no list count for the retriever only
        model.partial_fit(X[1440:].assign(list=None), y[1440:])
