"""Tables of events, their rewards and their weights, worked by hand."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from sktwotower import TwoTowerRecommender
from sktwotower._tables._columns import latest_rows
from sktwotower._tables._outcomes import outcomes
from sktwotower._tables._schema import read_table


def test_event_tables_get_fits_names_by_position():
    array = np.array([[1, "a"], [2, "b"]], dtype=object)
    frame, schema = read_table("Model", array)
    assert list(frame) == ["x0", "x1"]
    assert frame["x0"].dtype.kind == "i"
    assert schema[:2] == (2, None)
    named = frame.set_axis(["user", "item"], axis="columns").set_axis([4, 4])
    frame, schema = read_table("Model", named)
    assert list(frame) == list(schema.names) == ["user", "item"]
    assert list(frame.index) == [0, 1]
    assert list(read_table("Model", array, schema)[0]) == ["user", "item"]
    with pytest.raises(ValueError, match="3 features, but Model is expecting 2"):
        read_table("Model", np.ones((2, 3)), schema)


def test_the_last_row_of_each_entity_counts():
    own = pd.DataFrame({"age": [1, 2, 3, 4], "tags": [["a"], ["a"], ["b"], ["a"]]})
    with pytest.warns(UserWarning, match="features of 1 of 3 ids in users; the last"):
        latest = latest_rows(own, np.array([0, 1, 0, 2]), 3, "users")
    assert latest["age"].tolist() == [3, 2, 4]
    assert latest["tags"].tolist() == [["b"], ["a"], ["a"]]


@pytest.mark.filterwarnings("error")
def test_entities_without_events_have_missing_features():
    own = pd.DataFrame({"age": [1.0, 2.0], "town": ["x", None]}, index=[5, 5])
    latest = latest_rows(own, np.array([2, 0]), 4, "users")
    assert_array_equal(latest["age"], [2, np.nan, 1, np.nan])
    assert latest["town"].isna().tolist() == [True, True, False, True]
    assert latest_rows(own[[]], np.array([2, 0]), 4, "users").shape == (4, 0)


@pytest.mark.parametrize(
    ("y", "weight", "expected"),
    [
        (None, None, ([1, 1, 1], [1, 1, 1])),
        ([2, 0, 0.5], None, ([2, 0, 0.5], [1, 1, 1])),
        ([True, False, True], [1, 2, 3], ([1, 0, 1], [1, 2, 3])),
        (["1", "0", "3"], None, ([1, 0, 3], [1, 1, 1])),
        (pd.array([1, 0, 3], dtype="Int64"), None, ([1, 0, 3], [1, 1, 1])),
        (pd.Series([1, 0, 3], index=[9, 9, 9]), None, ([1, 0, 3], [1, 1, 1])),
        (pl.Series([1, 0, 3]), pl.Series([1, 0, 1]), ([1, 0, 3], [1, 0, 1])),
    ],
)
def test_outcomes(y, weight, expected):
    rewards, weights = outcomes(y, weight, 3)
    assert_array_equal(rewards, expected[0])
    assert_array_equal(weights, expected[1])


@pytest.mark.parametrize("scale", [1e-300, 1e-50, 1e-20, 1e20, 1e50, 1e300])
def test_proportions_of_extreme_rewards_and_weights_are_kept(scale):
    rewards, weights = outcomes([1 * scale, 3 * scale], [2 * scale, 0], 2)
    assert 3 * rewards[0] == rewards[1]
    assert weights[1] == 0
    for largest in (rewards.max(), weights.max()):
        assert 1e-20 < largest < 1e20


def test_rewards_and_weights_of_common_size_are_left_as_they_are():
    rewards, weights = outcomes([1e-9, 1e9], [1e9, 1e-9], 2)
    assert rewards.tolist() == [1e-9, 1e9]
    assert weights.tolist() == [1e9, 1e-9]


def test_rewards_times_weights_that_are_lost_are_refused():
    with pytest.raises(ValueError, match="too small to differ from 0 in 1 rows"):
        outcomes([1e-200, 1], [1e-200, 1], 2)


@pytest.mark.parametrize("cell", [10**400, "a", Decimal("sNaN")])
def test_outcomes_that_are_no_floats(cell):
    cells = np.array([1, cell, 1], dtype=object)
    with pytest.raises(ValueError, match="y must be numeric rewards.* Got object"):
        outcomes(cells, None, 3)
    with pytest.raises(ValueError, match="sample_weight must be numeric weights >= 0"):
        outcomes(None, cells, 3)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 1e-50, 1e50])
def test_items_of_a_tiny_weight_count_as_seen(scale):
    X = pd.DataFrame({"user": [0, 0, 1, 1, 2, 2], "item": [0, 1, 1, 2, 2, 3]})
    weights = scale * np.array([1, 1, 1, 1, 1, 1e-60])
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0)
    model.fit(X, sample_weight=weights)
    assert model.item_ids_.tolist() == [0, 1, 2, 3]
    assert set(model.recommend([2])["item"]) == {0, 1}
    plain = model.item_embeddings_
    model.fit(X, sample_weight=weights / scale)
    assert_array_equal(model.item_embeddings_, plain)


@pytest.mark.slow
def test_a_score_of_tiny_weights_is_that_of_their_proportions():
    X = pd.DataFrame({"user": [0, 0, 1, 1, 2, 2], "item": [0, 1, 1, 2, 2, 3]})
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0)
    model.set_params(n_neighbors=1, exclude_seen=False).fit(X)
    weights = np.array([1, 2, 3, 4, 5, 6])
    expected = model.score(X, sample_weight=weights)
    assert model.score(X, sample_weight=1e-50 * weights) == pytest.approx(expected)
