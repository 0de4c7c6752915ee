"""Pairs that a request leaves out: any form, next to all other filters, bad input."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.neighbors import NearestNeighbors

from sktwotower import (
    ChebyshevFilterRecommender,
    ClickRateRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
)
from tests.builders import dated, ordered, random_events, small
from tests.choices import pairwise
from tests.shared import once

OUT = {"u1": ["i8", "i1", "i1"], "u3": ["i0", "i2", "i5"], "u9": ["i3"]}
PAIRS = [(user, item) for user, items in OUT.items() for item in items]
FORMS = {
    "dict": OUT,
    "array": np.array(PAIRS),
    "table": pd.DataFrame(PAIRS, columns=["user", "item"])[["item", "user"]],
    "more columns": pd.DataFrame(PAIRS, columns=["user", "item"]).assign(stars=1),
    "polars": pl.DataFrame(PAIRS, schema=["user", "item"], orient="row"),
    "unknown ones": OUT | {"u2": ["what"], "absent": ["i1"]},
    "no items": OUT | {"u2": []},
}
USERS = ["u3", "u2", "u1", "nobody", "u1"]

MODELS = {
    "popularity": PopularityRecommender(),
    "click rate": ClickRateRecommender(),
    "ease": EASERecommender(),
    "item-knn": ItemKNNRecommender(),
    "walk": RP3betaRecommender(),
    "filters": GraphFilterRecommender(),
    "polynomial": ChebyshevFilterRecommender(),
    "ridge": OrderedRidgeRecommender(),
    "repeats": RepeatRecommender(exclude_seen=True),
}
SLOW = {
    "two towers": small(),
    "index": small(neighbors=NearestNeighbors()),
    "graph": small(neighbors="nndescent"),
}


@once
def fitted(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a graph of nine items
        return (MODELS | SLOW)[name].fit(random_events())


EACH = "popularity", "ease", "repeats", "two towers", "index"
each = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in EACH else pytest.mark.grid)
        for name in (*MODELS, *SLOW)
    ],
)


@pytest.fixture(scope="module")
def plain():
    return EASERecommender().fit(random_events())


def without(answer, k, out=OUT):
    """Remove pairs from an answer with all items, and keep the first k of each user."""
    pairs = pd.MultiIndex.from_tuples([(u, i) for u in out for i in out[u]])
    kept = ~pd.MultiIndex.from_frame(answer[["user", "item"]]).isin(pairs)
    answer = answer[kept].assign(list=(answer["rank"] == 1).cumsum()[kept])
    answer["rank"] = answer.groupby("list").cumcount() + 1
    answer = answer[answer["rank"] <= k].drop(columns="list")
    return answer.reset_index(drop=True)


OF_MODELS = pairwise([*MODELS, *SLOW], ["dict", "more columns"], [True, False])
OF_FORMS = [("ease", form, seen) for form in FORMS for seen in (True, False)]


@pytest.mark.parametrize("name, form, seen", OF_MODELS + OF_FORMS[::2])
def test_they_are_left_out_and_all_else_stays(name, form, seen):
    model, exclude = fitted(name), FORMS[form]
    whole = model.recommend(USERS, 9, exclude_seen=seen)
    answer = model.recommend(USERS, 4, exclude_seen=seen, exclude=exclude)
    if form == "polars":
        answer = answer.to_pandas()
    expected = without(whole, 4)
    pd.testing.assert_frame_equal(
        answer, expected, check_dtype=False, rtol=1e-5, atol=1e-6
    )


@each
@pytest.mark.parametrize("candidates", [["i1", "i2", "i8"], {"u1": ["i1", "i2", "i3"]}])
def test_with_candidates(name, candidates):
    model = fitted(name)
    params = {"candidates": candidates, "exclude_seen": False}
    answer = model.recommend(USERS, exclude=OUT, **params)
    expected = without(model.recommend(USERS, 9, **params), 9)
    pd.testing.assert_frame_equal(answer, expected, check_dtype=False, atol=1e-6)


@each
def test_they_are_no_history(name):
    model = fitted(name)
    history = {"zoe": ["i1", "i2"]}
    whole = model.recommend(["zoe"], 9, history=history)
    answer = model.recommend(["zoe"], 9, history=history, exclude=["i0", "i7", "i1"])
    expected = without(whole, 9, {"zoe": ["i0", "i7", "i1"]})
    pd.testing.assert_frame_equal(answer, expected, check_dtype=False, atol=1e-6)
    assert len(answer) == 9 - 4


LISTS = [["i1", "i4"], np.array(["i1", "i4"]), {"i1", "i4"}]


def test_a_list_of_items_is_for_one_user(plain):
    for items in LISTS:
        answer = plain.recommend(["u5"], 9, exclude_seen=False, exclude=items)
        assert set(answer["item"]) == set(plain.item_ids_) - {"i1", "i4"}
        with pytest.raises(
            TypeError, match="exclude must be a table of events, an array"
        ):
            plain.recommend(["u5", "u6"], exclude=items)


EMPTY = [{}, [], FORMS["table"][:0], np.empty((0, 2))]


def test_no_pairs_change_nothing(plain):
    for exclude in EMPTY:
        users = ["u5"]
        pd.testing.assert_frame_equal(
            plain.recommend(users, exclude=exclude), plain.recommend(users)
        )


def test_all_items_left_out_is_no_row(plain):
    out = {"u1": plain.item_ids_}
    assert_array_equal(
        plain.recommend(["u1", "u2"], exclude=out)["user"].unique(), "u2"
    )
    assert len(plain.recommend(["u1"], exclude=out, exclude_seen=False)) == 0


def test_all_users_and_names_of_fit():
    X = random_events().rename(columns={"user": "fan", "item": "song"})
    model = EASERecommender(user_id="fan", item_id="song").fit(X[["song", "fan"]])
    pairs = pd.DataFrame(PAIRS, columns=["fan", "song"])
    answer = model.recommend(n_neighbors=9, exclude=pairs)
    found = set(zip(answer["fan"], answer["song"], strict=True))
    gone = set(PAIRS) | set(zip(X["fan"], X["song"], strict=True))
    assert not found & gone and len(found) == 12 * 9 - len(gone)
    nameless = EASERecommender().fit(random_events().to_numpy())
    again = nameless.recommend(n_neighbors=9, exclude=pd.DataFrame(PAIRS))
    assert_array_equal(again["item"], answer["song"])


@pytest.mark.slow
def test_in_the_order_of_time():
    X = dated(random_events().assign(when=range(len(random_events()))))
    model = ordered(history="recent").fit(X)
    whole = model.recommend(USERS, 9)
    answer = model.recommend(USERS, 9, exclude=X[:0])
    pd.testing.assert_frame_equal(answer, whole)
    answer = model.recommend(USERS, 9, exclude=OUT)
    pd.testing.assert_frame_equal(answer, without(whole, 9), atol=1e-6)


def test_written_to_parquet(plain, tmp_path):
    file, params = tmp_path / "all.parquet", {"n_neighbors": 4, "exclude": OUT}
    plain.recommend(path=file, **params)
    pd.testing.assert_frame_equal(pd.read_parquet(file), plain.recommend(**params))


@pytest.mark.slow
def test_removed_items_may_be_named():
    model = small().fit(random_events())
    model.set_catalog(["i2", "i0", "i5"])
    answer = model.recommend(["u1"], exclude={"u1": ["i1", "i0"]}, exclude_seen=False)
    assert set(answer["item"]) == {"i2", "i5"}


def test_ids_of_another_type_are_warned_about():
    X = pd.DataFrame({"user": [1, 1, 2, 3], "item": [10, 11, 11, 12]})
    model = PopularityRecommender().fit(X)
    with pytest.warns(UserWarning, match="the ids in the users of exclude is known"):
        model.recommend([1, 2], exclude={"1": [12]})
    with pytest.warns(UserWarning, match="the ids in the items of exclude is known"):
        model.recommend([1, 2], exclude={1: ["12"]})


BAD_INPUT = [
    ("i1", TypeError, "exclude must be a table of events.* Got str"),
    (3, TypeError, "exclude must be a table of events.* Got int"),
    ({"u1": "i1"}, TypeError, "exclude must hold a list of items for each user"),
    (FORMS["table"][["user"]], ValueError, "exclude has no column 'item'"),
    (FORMS["table"].rename(columns=str.upper), ValueError, "no column 'user'"),
    ({"u1": ["i1", None]}, ValueError, "the items of exclude contains NaN"),
    ([None], ValueError, "the items of exclude contains NaN"),
    ({None: ["i1"]}, ValueError, "the users of exclude contains NaN"),
    ({"u1": ["i1", 1]}, TypeError, "the items of exclude mixes ids"),
]


def test_bad_input(plain):
    for exclude, error, message in BAD_INPUT:
        with pytest.raises(error, match=message):
            plain.recommend(["u1"], exclude=exclude)
