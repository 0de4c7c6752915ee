"""Lists: the order that pays on later ones, and columns of their rows."""

from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.tree import DecisionTreeClassifier

from sktwotower.metrics import roc_auc_by_list
from tests.cases import for_each

from .builders import shown, stages

COLUMNS = ["user", "item", "when", "list"]


class Recorded(DecisionTreeClassifier):
    """Keeps the tables that it is fitted on, the latest one last."""

    tables = []

    def fit(self, X, y):
        self.tables.append(X)
        return super().fit(X, y)


def ranked(events, columns=(), **params):
    """Return a model of lists that were shown."""
    Recorded.tables.clear()
    ranker = Recorded(max_depth=4, min_samples_leaf=20)
    params = {"lists": "list", "later_size": 0.35, "ranker": ranker} | params
    return stages(**params).fit(events[[*COLUMNS, *columns]], events["y"])


@pytest.fixture(scope="module")
def events():
    """Lists of five days, within each at four hours."""
    events = shown(n_users=80)
    hours = events["list"].factorize()[0] % 4
    return events.assign(when=events["when"] + pd.to_timedelta(hours, "h"))


def later_parts(events):
    """Return events after the cut, and those that judge, by how many were learnt."""
    # after each ranker comes one of counts
    n_early, n_later = (len(table) for table in Recorded.tables[-4::2])
    times = np.sort(events["when"])[-n_later:]
    later = events[events["when"] >= times[0]]
    assert len(later) == n_later
    return later, later[later["when"] >= times[n_early]]


# Where the events are cut, and which lists judge


def test_a_share_of_the_lists_is_later(events):
    # histories of one date, more than all lists, do not move the cut
    old = events.assign(y=1.0, list=None, when=pd.Timestamp("2020-01-01"))
    both = pd.concat([old, old, events], ignore_index=True)
    model = ranked(both, later_size=0.4)
    assert model.cut_ == "time"
    later, late = later_parts(events)
    mixed = events.groupby("list")["y"].transform("nunique") == 2
    mixed = [events.index.isin(rows.index) & mixed for rows in (later, late)]
    n_mixed = (events.groupby("list")["y"].transform("nunique") == 2).sum()
    assert 0.4 <= mixed[0].sum() / n_mixed < 0.46  # lists of one hour are not divided
    assert 0.5 <= mixed[1].sum() / mixed[0].sum() < 0.61


def test_the_later_half_is_ordered_by_what_was_known_before_it(events):
    model = ranked(events)
    gains = model.list_gains_later_.set_index("order")
    _, late = later_parts(events)
    earlier = events[events["when"] < late["when"].min()]
    rates = earlier.groupby("item")["y"].agg(["sum", "size"])
    rates = (rates["sum"] + 20 * earlier["y"].mean()) / (rates["size"] + 20)
    scores = late["item"].map(rates).fillna(earlier["y"].mean())
    area = roc_auc_by_list(late["y"], scores, late["list"])
    assert_allclose(gains["roc_auc"]["click_rate"], area, atol=1e-6)
    assert gains["roc_auc_updated"]["click_rate"] != gains["roc_auc"]["click_rate"]


def test_most_items_are_new_after_the_cut(events):
    day = (events["when"] - events["when"].min()).dt.days.astype(str)
    news = events.assign(item=events["item"] + "_" + day)
    new = r"100% of the later rows .* before the cut at 2024-01-04.*call partial_fit"
    with pytest.warns(UserWarning, match=new):
        model = ranked(news)
    # with counts that go on the click rate knows them after some hours
    gains = model.list_gains_later_.set_index("order").loc["click_rate"]
    assert gains["roc_auc_updated"] > gains["roc_auc"] + 0.02


# Columns of the rows


@pytest.fixture(scope="module")
def priced(events):
    """Events in which cheap items are chosen, at prices that change."""
    prices = np.random.default_rng(0).integers(1, 9, len(events)).astype(float)
    slots = np.where(np.arange(len(events)) % 2 == 0, "top", "end")
    return events.assign(price=prices, slot=slots, y=(prices < 4).astype(float))


@pytest.fixture(scope="module")
def of_prices(priced):
    params = {"row_features": ["price", "slot"], "position": "place"}
    return ranked(priced, ["price", "slot", "place"], **params)


def test_a_column_of_the_row_orders_lists(of_prices, priced):
    # the ranker reads names, and refuses columns in another order than in training
    model, X = of_prices, priced[[*COLUMNS, "price", "slot"]]
    assert model.list_order_ == "counts"  # reads them as well, and is simpler
    assert roc_auc_by_list(priced["y"], model.predict(X), priced["list"]) > 0.99
    cheap = X.assign(price=1.0)
    assert_array_equal(model.predict_proba(cheap)[:, 1] > 0.9, True)
    table = Recorded.tables[-1]
    assert set(table["row__slot"]) == {0, 1}
    assert "click_rate_user_row__slot" in table and "row__price" in table
    assert len(model.recommend(["u00"])) == 10  # no list, no columns of rows


def test_columns_of_rows_are_required(of_prices, priced):
    X = priced[[*COLUMNS, "price", "slot"]]
    for method in (of_prices.predict, of_prices.predict_proba):
        with pytest.raises(ValueError, match="price"):
            method(X.drop(columns="price"))
    with pytest.raises(ValueError, match=r"row_features=\['price'\].*lists="):
        ranked(priced, ["price"], row_features=["price"], lists=None)
    with pytest.raises(ValueError, match="row_features names 'cost', which is not"):
        ranked(priced, row_features=["cost"])
    tags = priced.assign(price=[["a"]] * len(priced))
    with pytest.raises(ValueError, match="The row_features column 'price' of X must"):
        ranked(tags, ["price"], row_features=["price"])


# Features of the caller


class Lengths(BaseEstimator):
    """Returns the length of ids of items."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X["item"].str.len().to_numpy(float)[:, None]


@for_each("of_candidates", [True, False])
@for_each("own", [Lengths(), lambda X: X["item"].str.len()])
def test_own_features_are_those_of_the_rows(own, of_candidates, events):
    if not of_candidates:  # no user has events on both sides of the cut
        later = events["when"] >= "2024-01-04"
        user = events["user"].where(~later, "later_" + events["user"])
        events = events.assign(user=user)
    new = events["when"] > "2024-01-05"
    events = events.assign(item=events["item"].where(~new, "a_new_" + events["item"]))
    warned = pytest.warns(UserWarning, match="No ranker was trained")
    with warned if not of_candidates else nullcontext():
        model = ranked(events, features=own)
    of_counts, table = Recorded.tables[-1], Recorded.tables[-2]
    (name,) = table.filter(like="own__")
    assert set(table[name]) == {3, 9} and name not in of_counts
    model.predict(events[COLUMNS])
