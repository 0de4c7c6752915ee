"""Features in words, as the reasons of `explain` say them."""

import numpy as np
import pandas as pd
import pytest

from sktwotower import TowerVectorizer
from tests.builders import small

TABLE = pd.DataFrame(
    {
        "item": ["a", "b", "c", "d", "e", "f"],
        "color": ["red", "red", "blue", "blue", "gray", None],
        "genres": ["Action|Drama", "Drama", "Action", "Drama", "Action", "Western"],
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 1000.0],
        "new": [True, False, True, False, True, True],
        "text": ["big red box", "red hat", "blue box", "a hat", "the box", "a big hat"],
        "since": pd.to_datetime(["2020-01-01", "2021-03-04"] * 3),
        "photo": [[0.5, 1.5], [1.5, 0.5]] * 3,
    }
)
KINDS = {"item": "id", "text": "text", "photo": "vector", "genres": "list"}
EVENTS = pd.DataFrame({"user": [1, 1, 2, 2, 3, 3], "item": TABLE["item"]})


def fitted(items=TABLE, **params):
    vectorizer = TowerVectorizer(**params)
    return small(items=items, item_transformer=vectorizer).fit(EVENTS)


@pytest.fixture(scope="module")
def model():
    return fitted(kinds=KINDS)


def reasons_of(model, item, column):
    """Return the reasons of one column of an item."""
    why = model.explain(1, item)
    reasons = why.loc[why["side"] == "item", "reason"].tolist()
    return sorted(reason for reason in reasons if reason.startswith(f"{column}: "))


WORDS = [
    ("a", "color", ["color: red"]),
    ("e", "color", ["color: a rare or a new one"]),
    ("f", "color", ["color: missing"]),
    ("a", "genres", ["genres: Action", "genres: Drama"]),
    ("b", "price", ["price: 2"]),
    # the median is 3.5, and the quarters are 2.25 and 4.75: 11 is the largest score
    ("f", "price", ["price: 11 or more"]),
    ("a", "new", ["new: yes"]),
    ("b", "new", ["new: no"]),
    ("b", "text", ['text: "hat"', 'text: "red"']),
    ("a", "photo", ["photo: entry 0 of the vector", "photo: entry 1 of the vector"]),
]


@pytest.mark.slow
def test_a_feature_in_words(model):
    for item, column, expected in WORDS:
        assert reasons_of(model, item, column) == expected
    dates = reasons_of(model, "b", "since")
    assert "since: 2021-03-04" in dates and "since: time of the year" in dates
    reasons = model.explain(1, "b")["reason"]
    assert "b itself" in reasons.tolist() and reasons.notna().all()


def test_a_date_after_all_of_fit_in_words(model):
    later = TABLE[:1].assign(since=pd.Timestamp("2099-01-01"))
    model = fitted(pd.concat([TABLE, later.assign(item="g")]), kinds=KINDS)
    assert any(
        reason.startswith("since: ") for reason in model.explain(1, "g")["reason"]
    )


def test_bins_in_words():
    prices = TABLE[["item"]].assign(price=[0.0, 1, 2, 3, 4, 5])
    model = fitted(prices, numbers="quantiles", kinds={"price": "number"})
    found = [reasons_of(model, item, "price") for item in TABLE["item"]]
    assert found[0] == ["price: less than 1"]
    assert found[-1] == ["price: 5 or more"]
    assert all(" to " in reason for (reason,) in found[1:-2])


def test_hashed_levels_in_words():
    model = fitted(TABLE[["item", "color"]], n_hashed=2, kinds={"color": "category"})
    assert reasons_of(model, "e", "color") == ["color: a rare or a new one"]


def test_numbers_of_a_transformer_of_the_user_have_the_names_that_it_gives():
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

    hours = FunctionTransformer(
        lambda t: np.column_stack([np.sin(t), np.cos(t)]),
        feature_names_out=lambda self, names: ["hour_sin", "hour_cos"],
    )
    steps = make_column_transformer(
        (OneHotEncoder(), ["item"]), (hours, ["price"]), verbose_feature_names_out=False
    )
    model = small(items=TABLE[["item", "price"]], item_transformer=steps).fit(EVENTS)
    assert {"hour_sin", "hour_cos"} <= {*model.explain(1, "a")["feature"]}
