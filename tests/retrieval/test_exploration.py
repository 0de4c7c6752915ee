"""`recommend(explore=...)`: lists by chance, and how probable their items were."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import PopularityRecommender, io, runtime
from tests.builders import small, spelt
from tests.retrieval.test_rules_of_a_list import KINDS, fitted
from tests.shared import once

SHELVES = pd.DataFrame(
    {"item": [*"vwxyz"], "shelf": ["top", "top", None, "low", "low"]}
)


@once
def five_items():
    X = spelt("a:vwx b:vwy c:vxz d:vz e:v")
    return small(items=SHELVES, exclude_seen=False).fit(X)


def softmax(scores):
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def by_hand(scores, drawn, temperature, max_per_shelf=None):
    """Return the propensity of each item of one list, given those above it."""
    shelves = SHELVES.set_index("item")["shelf"]
    left = scores.astype(float)
    propensities = []
    for place, item in enumerate(drawn):
        propensities.append(softmax(left / temperature)[item])
        left = left.drop(item)
        above = shelves[list(drawn[: place + 1])]
        full = above.value_counts() == max_per_shelf
        left = left[~shelves[left.index].isin(full.index[full])]
    return propensities


@pytest.mark.each_time("1")
@pytest.mark.slow
@pytest.mark.parametrize("max_per_shelf", [None, 1])
def test_items_are_shown_as_often_as_their_propensity_says(max_per_shelf):
    rules = {} if max_per_shelf is None else {"max_per": {"shelf": max_per_shelf}}
    model = five_items()
    scores = model.recommend(["a"], 5).set_index("item")["score"]
    n = 20_000
    top = model.recommend(["a"] * n, 3, explore=0.7, random_state=0, **rules)
    lists = top["item"].to_numpy().reshape(n, 3)
    propensities = top["propensity"].to_numpy().reshape(n, 3)
    drawn, first, counts = np.unique(
        lists.astype(str), axis=0, return_index=True, return_counts=True
    )
    assert len(drawn) > 15
    for items, row, count in zip(drawn, first, counts, strict=True):
        expected = by_hand(scores, items, 0.7, max_per_shelf)
        assert_allclose(propensities[row], expected, rtol=1e-5)
        p = np.prod(expected)
        assert abs(count - n * p) < 4.5 * np.sqrt(n * p * (1 - p)) + 1


def test_only_what_the_request_may_show_is_drawn():
    model = five_items()
    scores = model.recommend(["a"], 5).set_index("item")["score"]
    requests = [
        ({"candidates": ["w", "y"]}, "wy"),
        ({"exclude": {"a": ["v", "z"]}}, "wxy"),
        ({"where": {"shelf": "top"}}, "vw"),
        ({"exclude_seen": True}, "yz"),
    ]
    for request, left in requests:
        top = model.recommend(["a"], 5, explore=1, random_state=0, **request)
        assert sorted(top["item"]) == [*left] and [*top["rank"]] == [
            *range(1, len(left) + 1)
        ]
        expected = by_hand(scores[[*left]], top["item"].tolist(), 1)
        assert_allclose(top["propensity"], expected, rtol=1e-5)
        assert_allclose(top["score"], scores[top["item"]], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_low_temperature_shows_the_best_items(kind):
    model = fitted(kind)
    users = ["u3", "u4"]
    # also those that an index misses, unless all are asked for
    best = model.recommend(users, 80).query("rank <= 8").reset_index(drop=True)
    ties = best.groupby("user")["score"].diff().abs().lt(1e-4).any()
    drawn = model.recommend(users, 8, explore=1e-6, random_state=0)
    assert_allclose(drawn["score"], best["score"], atol=1e-4 if ties else 1e-6)
    if not ties:
        assert_array_equal(drawn["item"], best["item"])


def test_the_same_random_state_draws_the_same_lists_also_from_a_file(tmp_path):
    model = five_items()
    users = ["a", "e", "new"]
    options = {"explore": 0.5, "random_state": 3, "where": {"item": [*"vwxy"]}}
    top = model.recommend(users, 3, **options)
    pd.testing.assert_frame_equal(model.recommend(users, 3, **options), top)
    others = [
        model.recommend(users, 3, explore=0.5, where=options["where"]) for _ in "ab"
    ]
    assert not others[0].equals(others[1])

    model.recommend(users, 3, path=tmp_path / "lists.parquet", **options)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "lists.parquet"), top)

    io.dump(model, tmp_path / "model.sktt")
    served = runtime.load(tmp_path / "model.sktt")
    ids, scores, propensities = served.recommend(users, 3, **options)
    assert np.concatenate(ids).tolist() == top["item"].tolist()
    assert_allclose(np.concatenate(scores), top["score"], rtol=1e-5, atol=1e-6)
    assert_allclose(np.concatenate(propensities), top["propensity"], rtol=1e-4)
    one = served.recommend("a", 3, explore=0.5, random_state=np.random.default_rng(0))
    assert [len(part) for part in one] == [3, 3, 3]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"explore": 0}, ValueError, "a temperature, a number >= 1e-06.*Got 0"),
        ({"explore": np.nan}, ValueError, "Got nan"),
        ({"explore": True}, TypeError, "Got True"),
        ({"explore": 1, "diversity": 0.3}, ValueError, "Leave one of them out"),
    ],
)
def test_what_has_no_propensities_is_refused(options, error, message, tmp_path):
    model = five_items()
    with pytest.raises(error, match=message):
        model.recommend(["a"], 2, **options)
    io.dump(model, tmp_path / "model.sktt")
    with pytest.raises(error, match=message):
        runtime.load(tmp_path / "model.sktt").recommend("a", 2, **options)


def test_long_lists_and_users_of_dask_are_not_drawn():
    model = PopularityRecommender().fit([["a", item] for item in range(1001)])
    with pytest.raises(ValueError, match="at most 1,000. Got n_neighbors=1,001"):
        model.recommend(["b"], 1001, explore=1)
    users = dd.from_pandas(pd.Series(["a", "b"], name="user"), npartitions=2)
    with pytest.raises(ValueError, match="compute"):
        model.recommend(users, 2, explore=1)
