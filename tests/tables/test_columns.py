"""Columns by name and by position."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, TransformerMixin

from sktwotower import PopularityRecommender
from sktwotower.model_selection import ColdItemSplit, LastNSplit, TimeSplit
from sktwotower.preprocessing import k_core, session_ids
from tests.builders import small
from tests.cases import for_each


class Names(TransformerMixin, BaseEstimator):
    """Remember which columns describe an item or a user, and give ones."""

    def fit(self, X, y=None):
        self.names_ = list(X.columns)
        return self

    def transform(self, X):
        return np.ones((len(X), 1))


FRAME = pd.DataFrame(
    {"a": ["u", "v", "v"], "b": ["x", "x", "y"], "c": [1, 2, 2], "d": [5.0, 5, 6]}
)


def columns_of(frame=FRAME, **params):
    """Return the columns of users and those of items, ids first, as fit takes them."""
    model = small(user_transformer=Names(), item_transformer=Names(), **params)
    model.fit(frame)
    return model.user_transformer_.names_, model.item_transformer_.names_


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Rows of X disagree")
def test_features_of_events_are_selected_like_columns_of_scikit_learn():
    for params, expected in [
        ({}, (["a"], ["b"])),
        ({"user_id": "b", "item_id": 0}, (["b"], ["a"])),
        ({"user_features": "c", "item_features": [-1]}, (["a", "c"], ["b", "d"])),
        ({"user_features": ["d", "c", "d"]}, (["a", "d", "c"], ["b"])),
        (
            {"user_features": ["a", "c"], "item_features": ["c"]},
            (["a", "c"], ["b", "c"]),
        ),
        ({"user_features": slice(0, 2)}, (["a"], ["b"])),
        ({"user_features": slice("c", None)}, (["a", "c", "d"], ["b"])),
        ({"user_features": slice(2, 3)}, (["a", "c"], ["b"])),
        ({"item_features": lambda frame: [-1, "b"]}, (["a"], ["b", "d"])),
        ({"item_features": [False, True, True, False]}, (["a"], ["b", "c"])),
        ({"item_features": pd.Series(["d", "c"])}, (["a"], ["b", "d", "c"])),
        ({"user_features": []}, (["a"], ["b"])),
    ]:
        assert columns_of(**params) == expected


def test_a_column_is_only_one_of_id_time_and_feature():
    for params, message in [
        ({"user_features": "b"}, "user_features names 'b', which is the item column."),
        ({"user_features": [2, -3]}, "user_features names 'b'.* describe the user."),
        ({"item_features": ["d", "a"]}, "names 'a', .* user col.* describe the item."),
        ({"item_features": np.array(["d"]), "time": "d"}, "'d', which is the time col"),
        ({"time": "a", "user_id": "a"}, "'a' would be both the user and the time col"),
        ({"time": "b", "item_id": "b"}, "'b' would be both the item and the time col"),
        ({"time": "d_"}, "time names 'd_', .*mean 'd'"),
    ]:
        with pytest.raises(ValueError, match=message):
            columns_of(**params)


def test_the_time_is_neither_an_id_nor_a_feature():
    frame = FRAME[["a", "d", "b"]]
    for time in ("d", 1, -2):
        assert columns_of(frame, time=time) == (["a"], ["b"])
    swapped = columns_of(frame, time="d", user_id="b")
    assert swapped == (["b"], ["a"]) == columns_of(frame, time="d", item_id="a")
    everything = columns_of(frame, time="d", item_features=slice(1, None))
    assert everything == (["a"], ["b"])
    with pytest.raises(ValueError, match="X has 2 columns, but .* are required"):
        columns_of(FRAME[["a", "b"]], time="b")


def test_columns_that_are_not_there_are_named():
    for key in (4, -5, "e", 0.5):
        message = f"user_id names {key!r}, which is not a column of X"
        with pytest.raises(ValueError, match=message):
            PopularityRecommender(user_id=key).fit(FRAME)
        message = message.replace("user_id", "item_features")
        with pytest.raises(ValueError, match=message):
            columns_of(item_features=[key])


def test_a_name_goes_before_a_position():
    X = pd.DataFrame([[0, 5, 1], [9, 5, 2]], columns=[2, 1, 0])
    assert session_ids(X, 3, time=0, user_id=1).tolist() == [0, 0]
    assert session_ids(X, 3, time=2, user_id=np.int64(1)).tolist() == [0, 1]


def test_a_matrix_of_users_and_items_is_not_taken_for_events_in_silence():
    matrix = (np.arange(60).reshape(10, 6) % 4 == 0).astype(int)
    said = r"like a matrix of users x items: .*\.interactions_from_matrix"
    with pytest.warns(UserWarning, match=said):
        PopularityRecommender().fit(pd.DataFrame(matrix, columns=list("abcdef")))
    with pytest.warns(UserWarning, match=said):
        PopularityRecommender().fit(matrix)
    events = pd.DataFrame(matrix, columns=list("abcdef"))
    events["a"] = np.arange(10) % 4  # ids from 0 on
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PopularityRecommender().fit(events)
        PopularityRecommender().fit(matrix[:, :4])


def test_a_name_of_two_columns_is_ambiguous():
    X = pd.DataFrame([[1, 2, 3], [1, 3, 3]], columns=["u", "i", "i"])
    with pytest.raises(ValueError, match="item_id names 'i', but X has 2 columns"):
        k_core(X, 1, item_id="i")
    assert k_core(X, (1, 1), item_id=2).all()


@for_each("convert", [pd.DataFrame, pl.from_pandas, np.asarray])
def test_tables_with_names_are_read_by_position_as_well(convert):
    X = convert(pd.DataFrame({"t": [1, 2, 9], "i": [1, 1, 2], "u": [7, 7, 7]}))
    assert session_ids(X, 1, time=0, user_id=2).tolist() == [0, 0, 1]
    assert session_ids(X, 1, time=-3, user_id=-1).tolist() == [0, 0, 1]
    assert k_core(X, (1, 1), user_id=2, item_id=1).all()
    train, test = next(LastNSplit(user_id=2, item_id=1, time=0).split(X))
    assert train.tolist() == [0, 1] and test.tolist() == [2]


# Columns that nobody has named

SHOP = pd.DataFrame(
    {
        "at": pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-03", "2024-01-01"]),
        "user": ["ann", "ann", "bob", "bob"],
        "item": ["tea", "jam", "tea", "ham"],
    }
)
TAKEN = "'at' holds dates, but is taken as a column of ids, by its place in X"


@for_each("order", [["at", "user", "item"], ["user", "at", "item"]])
def test_dates_that_are_taken_as_ids_are_warned_of(order):
    with pytest.warns(UserWarning, match=TAKEN):
        PopularityRecommender().fit(SHOP[order])
    with pytest.warns(UserWarning, match=TAKEN):
        k_core(SHOP[order], 1)
    with pytest.warns(UserWarning, match=TAKEN):  # also if the users are read as items
        next(ColdItemSplit(1, random_state=0).split(SHOP[order]))


@pytest.mark.filterwarnings("error")
def test_columns_that_are_named_may_be_any():
    PopularityRecommender(user_id="at", item_id="item").fit(SHOP)
    PopularityRecommender(time="at").fit(SHOP)
    X = SHOP[["item", "user"]]
    model = PopularityRecommender(user_id="user", item_id="item").fit(X)
    assert model.item_ids_.tolist() == ["ham", "jam", "tea"]
    PopularityRecommender(user_id="user").fit(X)  # only one column is left


@pytest.mark.filterwarnings("error")
@for_each("convert", [pd.DataFrame, pl.from_pandas])
def test_the_time_stands_for_no_ids(convert):
    for order in (["at", "user", "item"], ["user", "at", "item"]):
        X = convert(SHOP[order])
        ((train, test),) = LastNSplit(time="at").split(X)
        assert (train.tolist(), test.tolist()) == ([1, 3], [0, 2])
        only_known = TimeSplit(2, time="at", drop_unseen_items=True)
        with pytest.raises(ValueError, match="leaves the test side without rows"):
            next(only_known.split(X))  # nobody had tea before
        days = pd.Timedelta("1D")
        assert session_ids(X, days, time="at").tolist() == [0, 0, 2, 1]
