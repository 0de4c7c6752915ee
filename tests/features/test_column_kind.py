"""Kinds of columns of the user: what they must have, and what files say of them."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sktwotower import TowerVectorizer, TwoTowerRecommender, io, runtime
from sktwotower.features import ColumnKind
from tests.cases import for_each

NAME = f"{__name__}.Cycle"
HOURS = pd.DataFrame({"hour": [0, 6, None, 12]})


class Cycle(ColumnKind):
    names = ["sin", "cos"]

    def __init__(self, period):
        self.period = period

    def learn(self, cells):
        self.largest = cells.max()

    def values(self, cells):
        angles = 2 * np.pi * cells / self.period
        return np.column_stack([np.sin(angles), np.cos(angles)])

    def in_words(self, place, value):
        return f"{self.names[place]} of the hour"


class Length(ColumnKind):
    names, takes_numbers = [""], False

    def values(self, cells):
        return sparse.csr_matrix([[len(cell) / 10] for cell in cells])


def with_values(result, suffixes=("",)):
    """Return a kind that returns this for any cells."""

    class Given(ColumnKind):
        names = suffixes

        def values(self, cells):
            return result

    return Given()


def test_cells_are_encoded_and_missing_ones_are_marked():
    kind = Cycle(24)
    vectorizer = TowerVectorizer(kinds={"hour": kind}).fit(HOURS)
    assert vectorizer.kinds_ == {"hour": "Cycle"}
    names = ["hour_sin", "hour_cos", "hour_missing"]
    assert vectorizer.get_feature_names_out().tolist() == names
    expected = [[0, 1, 0], [1, 0, 0], [0, 0, 1], [0, -1, 0]]
    np.testing.assert_allclose(
        vectorizer.transform(HOURS).toarray(), expected, atol=1e-7
    )
    assert repr(kind) == "Cycle(period=24)"  # it has learnt nothing


def test_cells_that_are_no_numbers_come_as_they_are():
    names = [["ab"], [None], ["abcde"]]
    vectorizer = TowerVectorizer(kinds={"x0": Length()}).fit(names)
    rows = vectorizer.transform(names).toarray()
    np.testing.assert_allclose(rows, [[0.2, 0], [0, 1], [0.5, 0]], rtol=1e-6)


def test_cells_that_are_no_numbers_are_refused_where_a_kind_takes_numbers():
    vectorizer = TowerVectorizer(kinds={"hour": Cycle(24)}).fit(HOURS)
    message = "Column 'hour' is of kind 'Cycle' and expects numbers. Got 'noon'"
    with pytest.raises(TypeError, match=message):
        vectorizer.transform(pd.DataFrame({"hour": ["noon"]}))


UNFIT = [
    (with_values([[1.0]], ["a", "a"]), r"Given.names must be distinct strings.*'a'"),
    (with_values([[1.0]], [3]), "Given.names must be distinct strings"),
    (with_values(np.ones((3, 2))), r"of shape \(3, 1\).*Got shape \(3, 2\)"),
    (with_values([["a"], ["b"], ["c"]]), "Got shape .* dtype <U1 for column 'hour'"),
    (with_values([[np.nan]] * 3), "returned NaN or infinity for column 'hour'"),
]


@for_each(("kind", "message"), UNFIT)
def test_what_a_kind_lacks_is_said(kind, message):
    with pytest.raises(ValueError, match=message):
        TowerVectorizer(kinds={"hour": kind}).fit_transform(HOURS)


def test_a_class_in_place_of_an_object_is_refused():
    message = "or an object of a class that derives from .*ColumnKind. Got <class"
    with pytest.raises(ValueError, match=message):
        TowerVectorizer(kinds={"hour": Cycle}).fit(HOURS)


@pytest.mark.parametrize("trusted", [[NAME], [Cycle]])
def test_a_file_names_the_class_and_holds_what_it_learnt(trusted, tmp_path):
    path = tmp_path / "vectorizer.sktt"
    vectorizer = TowerVectorizer(kinds={"hour": Cycle(24)}).fit(HOURS)
    io.dump(vectorizer, path)
    with pytest.raises(ValueError, match=rf"kind {NAME}, .*trusted=\['{NAME}'\]"):
        io.load(path)
    read = io.load(path, trusted=trusted)
    assert repr(read.kinds["hour"]) == "Cycle(period=24)"
    assert read.encoders_[0][1].given.largest == 12
    rows = vectorizer.transform(HOURS).toarray()
    np.testing.assert_array_equal(read.transform(HOURS).toarray(), rows)


def test_what_a_file_cannot_hold_is_named(tmp_path):
    vectorizer = TowerVectorizer(kinds={"hour": Cycle(24)}).fit(HOURS)
    vectorizer.encoders_[0][1].given.function = len
    with pytest.raises(ValueError, match=r"Cycle.*'function'.*cannot be written"):
        io.dump(vectorizer, tmp_path / "vectorizer.sktt")


def test_a_name_that_stands_for_no_kind_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "vectorizer.sktt"
    io.dump(TowerVectorizer(kinds={"hour": Cycle(24)}).fit(HOURS), path)
    monkeypatch.setitem(globals(), "Cycle", dict)
    with pytest.raises(ValueError, match="not a class that derives from .*ColumnKind"):
        io.load(path, trusted=[NAME])
    monkeypatch.delitem(globals(), "Cycle")
    with pytest.raises(ValueError, match=f"{NAME}, .*cannot be imported: Attr"):
        io.load(path, trusted=[NAME])


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    columns = {"user": 20, "item": 15, "hour": 24}
    return pd.DataFrame({name: rng.integers(0, n, 300) for name, n in columns.items()})


def small(**params):
    sizes = {"embedding_dim": 8, "max_epochs": 1, "hidden_layer_sizes": ()}
    return TwoTowerRecommender(**sizes, random_state=0, **params)


@pytest.mark.slow
def test_a_model_with_such_a_feature_of_items(events, tmp_path):
    path = tmp_path / "model.sktt"
    items = pd.DataFrame({"item": range(15), "hour": np.arange(15) % 12})
    transformer = TowerVectorizer(kinds={"hour": Cycle(24)})
    model = small(items=items, item_transformer=transformer)
    model.fit(events[["user", "item"]])
    reasons = model.explain(3, 5)["reason"].tolist()
    assert "hour: sin of the hour" in reasons
    io.dump(model, path)
    read = io.load(path, trusted=[NAME])
    pd.testing.assert_frame_equal(read.explain(3, 5), model.explain(3, 5))
    served, _ = runtime.load(path).recommend(3, 4)
    assert served.tolist() == model.recommend([3], 4)["item"].tolist()
    new = events[["user", "item"]].head(30)
    expected = model.partial_fit(new).recommend([3])
    pd.testing.assert_frame_equal(read.partial_fit(new).recommend([3]), expected)


@pytest.mark.slow
def test_a_model_with_such_a_column_of_the_context(events, tmp_path):
    path = tmp_path / "model.sktt"
    transformer = TowerVectorizer(kinds={"hour": Cycle(24)})
    model = small(context=["hour"], context_transformer=transformer).fit(events)
    at_noon = model.recommend([3], context={"hour": 12})
    io.dump(model, path)
    read = io.load(path, trusted=[NAME])
    pd.testing.assert_frame_equal(read.recommend([3], context={"hour": 12}), at_noon)
    with pytest.raises(ValueError, match="context column of a kind of your own, which"):
        runtime.load(path)
