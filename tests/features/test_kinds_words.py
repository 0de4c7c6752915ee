"""Features in words."""

import numpy as np
import pandas as pd
import pytest

from sktwotower import TowerVectorizer
from sktwotower.features._kinds import ENCODERS, features_in_words
from sktwotower.features._value_encoders import ColumnEncoder, from_dense
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
        "photo": [[0.5, 1.5]] * 6,
    }
)
KINDS = {"item": "id", "text": "text", "photo": "vector", "genres": "list"}


def words_of(vectorizer, row, column):
    """Return the words of one column in a row of the table."""
    encoded = vectorizer.transform(TABLE.iloc[[row]])
    found = features_in_words(vectorizer, encoded.indices, encoded.data)
    return [text for name, text in found if name == column]


@pytest.fixture(scope="module")
def vectorizer():
    return TowerVectorizer(kinds=KINDS).fit(TABLE)


WORDS = [
    (1, "item", ["item: b"]),
    (0, "color", ["color: red"]),
    (4, "color", ["color: a rare or a new one"]),
    (5, "color", ["color: missing"]),
    (0, "genres", ["genres: Action", "genres: Drama"]),
    (1, "price", ["price: 2"]),
    # the median is 3.5, and the quarters are 2.25 and 4.75: 11 is the largest score
    (5, "price", ["price: 11 or more"]),
    (0, "new", ["new: yes"]),
    (1, "new", ["new: no"]),
    (1, "text", ['text: "hat"', 'text: "red"']),
    (0, "photo", ["photo: entry 0 of the vector", "photo: entry 1 of the vector"]),
]


@pytest.mark.parametrize(("row", "column", "expected"), WORDS)
def test_a_feature_in_words(vectorizer, row, column, expected):
    assert words_of(vectorizer, row, column) == expected


def test_a_date_in_words(vectorizer):
    found = words_of(vectorizer, 1, "since")
    assert found[0] == "since: 2021-03-04" and "since: time of the year" in found
    later = TABLE.assign(since=pd.Timestamp("2099-01-01"))
    encoded = vectorizer.transform(later)[:1]
    found = features_in_words(vectorizer, encoded.indices, encoded.data)
    assert [text for _, text in found if text.endswith(" or later")]


def test_bins_in_words():
    prices = pd.DataFrame({"price": np.arange(20.0)})
    vectorizer = TowerVectorizer(numbers="quantiles", kinds={"price": "number"})
    vectorizer.fit(prices)
    encoded = vectorizer.transform(prices)
    found = features_in_words(vectorizer, encoded.indices, encoded.data)
    texts = [text for _, text in found]
    assert texts[0] == "price: less than 2" and texts[2] == "price: 2 to 4"
    assert texts[-1] == "price: 18 or more"


def test_hashed_levels_in_words():
    vectorizer = TowerVectorizer(n_hashed=2, kinds={"color": "category"})
    vectorizer.fit(TABLE[["color"]])
    encoded = vectorizer.transform(TABLE[["color"]])
    found = features_in_words(vectorizer, encoded.indices, encoded.data)
    assert ("color", "color: a rare or a new one") in found


def test_each_feature_has_words(vectorizer):
    n = len(vectorizer.get_feature_names_out())
    found = features_in_words(vectorizer, np.arange(n), np.ones(n))
    assert [name for name, _ in found] == [
        name
        for _, encoder in vectorizer.encoders_
        for name in [encoder.name] * len(encoder.names)
    ]
    assert all(text.startswith(f"{name}: ") for name, text in found)


class CycleEncoder(ColumnEncoder):
    """Hours as two numbers: a kind that the package does not know."""

    expects = "numbers"
    kinds = ("cycle",)
    n_names = 2

    def learn(self, cells):
        """Name both numbers."""
        self.names = ["sin", "cos"]
        self.block(cells)

    def block(self, cells):
        """Return the angle of each hour."""
        angles = 2 * np.pi * self.to_floats(cells) / 24
        return from_dense(np.column_stack([np.sin(angles), np.cos(angles)]))


def test_a_kind_of_a_user_is_explained(monkeypatch):
    monkeypatch.setitem(ENCODERS, "cycle", CycleEncoder)
    items = pd.DataFrame({"item": ["tea", "jam"], "hour": [3, 12]})
    vectorizer = TowerVectorizer(kinds={"hour": "cycle"})
    X = [["ann", "tea"], ["bob", "jam"], ["ann", "jam"]]
    model = small(items=items, item_transformer=vectorizer).fit(X)
    why = model.explain("ann", "tea")
    assert {"hour_sin", "hour_cos"} <= {*why["feature"]}
    vectorizer = TowerVectorizer(kinds={"hour": "cycle"}).fit(items[["hour"]])
    encoded = vectorizer.transform(items[["hour"]].iloc[:1])
    found = features_in_words(vectorizer, encoded.indices, encoded.data)
    assert [text for _, text in found] == ["hour: sin 0.707107", "hour: cos 0.707107"]
