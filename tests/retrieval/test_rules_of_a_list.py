"""`recommend` with where, max_per and diversity, by every recommender."""

import copy
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator

from sktwotower import (
    EASERecommender,
    PopularityRecommender,
    TwoStageRecommender,
    TwoTowerRecommender,
    io,
    runtime,
)
from tests.builders import random_events, small
from tests.cases import for_each
from tests.choices import pairwise
from tests.shared import once

EVENTS = random_events(n_users=25, n_items=80, density=0.1)
ITEMS = pd.Index(EVENTS["item"].unique())


def products(seed=0):
    rng = np.random.default_rng(seed)
    n = len(ITEMS)
    brand = pd.Series(rng.choice(["acme", "zeta", "emu", None], n), dtype=object)
    return pd.DataFrame(
        {
            "item": rng.permutation(ITEMS),
            "brand": brand,
            "price": np.where(rng.random(n) < 0.1, np.nan, rng.integers(1, 9, n)),
            "shade": pd.Categorical(rng.choice(["dark", "light"], n)),
            "since": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n), "D"),
        }
    )


class Rough(BaseEstimator):
    """An index that misses every third item, and pads and repeats what it finds."""

    asked = []

    def fit(self, X, y=None):
        self.vectors_ = np.asarray(X)
        return self

    def kneighbors(self, X, n_neighbors, return_distance=True):
        self.asked.append(n_neighbors)
        scores = X @ self.vectors_.T
        scores[:, ::3] = -np.inf
        found = np.argsort(-scores, axis=1, kind="stable")[:, :n_neighbors]
        found[:, -1:] = -1
        found[:, 1:2] = found[:, :1]
        distances = 1 - np.take_along_axis(scores, found, 1)
        return (distances, found) if return_distance else found


@once
def fitted(kind):
    if kind == "counts":
        return PopularityRecommender(exclude_seen=False).fit(EVENTS)
    if kind == "similar":
        return EASERecommender(l2=1).fit(EVENTS)
    towers = small(items=products(), max_epochs=3)
    if kind == "two stages":
        return TwoStageRecommender(towers, random_state=0, n_candidates=20).fit(EVENTS)
    if kind == "index":  # of which an approximate search is made in any case
        towers.set_params(neighbors=Rough(), sparse_parts=None)
    return towers.fit(EVENTS)


KINDS = ["exact", "index", "similar", "counts", "two stages"]


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def cosines_of(model):
    """Return the cosine of each pair of items, (n_items, n_items)."""
    model = getattr(model, "retriever_", model)
    if hasattr(model, "item_embeddings_"):
        # popularity, two numbers each at the end, makes no items alike
        n_popularity = model.weights_.index.str.contains("popularity").sum()
        width = model.item_embeddings_.shape[1] - 2 * n_popularity
        vectors = unit(model.item_embeddings_[:, :width].astype(float))
        return vectors @ vectors.T
    chosen = pd.crosstab(EVENTS["item"], EVENTS["user"]).clip(upper=1)
    vectors = unit(chosen.loc[model.item_ids_].to_numpy(float))
    return vectors @ vectors.T


def by_hand(model, ranked, k, keep, max_per=None, diversity=0):
    """Choose k of the items of a table, best first, by the rules."""
    table = products().set_index("item")
    ranked = ranked[np.array([keep(item) for item in ranked["item"]], dtype=bool)]
    items, scores = ranked["item"].tolist(), ranked["score"].to_numpy(float)
    cosines, places = cosines_of(model), pd.Index(model.item_ids_)
    size = max(5 * k, 50)
    while True:
        pool, chosen = items[:size], []
        spread = scores[: len(pool)]
        while len(chosen) < k:
            values = {}
            for item, score in zip(pool, spread, strict=True):
                full = any(
                    not pd.isna(table[column][item])
                    and sum(table[column][c] == table[column][item] for c in chosen)
                    >= limit
                    for column, limit in (max_per or {}).items()
                )
                if item in chosen or full:
                    continue
                near = [
                    cosines[places.get_loc(item), places.get_loc(c)] for c in chosen
                ]
                gain = (score - spread.min()) / ((spread.max() - spread.min()) or 1)
                values[item] = (1 - diversity) * gain
                values[item] -= diversity * max(near, default=0)
            if not values:
                break
            chosen.append(max(values, key=values.get))
        if len(chosen) == k or size >= len(items):
            return chosen
        size *= 4


WHERE = {
    "brand": ({"brand": "acme"}, lambda row: row["brand"] == "acme"),
    "both": (
        {"brand": ["acme", "emu"], "price": (3, None)},
        lambda row: row["brand"] in ("acme", "emu") and row["price"] >= 3,
    ),
    "most": (
        lambda items: items["shade"].isin(["dark"]) | (items["price"] < 7),
        lambda row: row["shade"] == "dark" or row["price"] < 7,
    ),
    "days": (
        {"since": ("2024-01-20", "2024-02-29")},
        lambda row: "2024-01-20" <= str(row["since"].date()) <= "2024-02-29",
    ),
    "all": (None, lambda row: True),
}
CHOICES = [
    {"where": "both"},
    {"where": "most"},
    {"where": "days", "max_per": {"brand": 2}},
    {"where": "all", "max_per": {"brand": 1, "price": 2}},
    {"where": "all", "diversity": 0.5},
    {"where": "most", "max_per": {"shade": 2}, "diversity": 0.8},
    {"where": "brand", "diversity": 1},
]


def of_request(model, user, where, refused=(), offers=None):
    """Return which items a user may get, a function."""
    rows, seen = products().set_index("item"), set()
    if offers is None:  # of offers, those that were chosen before stay
        seen = set(EVENTS.loc[EVENTS["user"] == user, "item"])

    def keep(item):
        allowed = offers is None or item in offers
        return allowed and item not in {*refused, *seen} and where(rows.loc[item])

    return keep


MORE = {
    "none": {},
    "candidates": {"candidates": ITEMS[::-2].tolist(), "exclude_seen": False},
    "exclude": {"exclude": {f"u{i}": ITEMS[4:20].tolist() for i in range(30)}},
}


OF_LISTS = pairwise([*MORE], CHOICES, ["exact", "two stages"])


@pytest.mark.parametrize("more, choice, kind", OF_LISTS, ids=str)
def test_lists_are_those_chosen_by_hand(more, choice, kind):
    model, users = fitted(kind), ["u1", "u2"]
    where, keep = WHERE[choice["where"]]
    asked = MORE[more] | {"where": where}  # the ranker orders those of a request
    rules = {name: rule for name, rule in choice.items() if name != "where"}
    both = model.recommend(users, 6, **asked, **rules)
    for user in users:
        refused = ITEMS[4:20] if more == "exclude" else ()
        offers = MORE[more].get("candidates")
        keep_all = of_request(model, user, keep, refused, offers)
        ranked = model.recommend([user], len(ITEMS), **asked)
        assert set(ranked["item"]) == set(filter(keep_all, ITEMS))
        expected = by_hand(model, ranked, 6, keep_all, **rules)
        found = model.recommend([user], 6, **asked, **rules)
        assert found["item"].tolist() == expected
        assert both.loc[both["user"] == user, "item"].tolist() == expected
        assert found["rank"].tolist() == [*range(1, len(expected) + 1)]
        scores = ranked.set_index("item")["score"].loc[expected]
        np.testing.assert_allclose(found["score"], scores, atol=1e-6)


RULES = [
    {"max_per": {"item": 1}},
    {"diversity": 0.6},
    {"where": {"item": ITEMS[3:40].tolist()}, "diversity": 0.2},
    {"where": lambda items: items["item"].isin(ITEMS[:60])},
]


@for_each("kind, rules", pairwise(["similar", "counts"], RULES))
def test_baselines_know_ids_and_who_chose_what(kind, rules):
    model, users = fitted(kind), ["u1", "u2"]
    found = model.recommend(users, 5, **rules)
    keep = {0: lambda i: True, 1: lambda i: True, 2: lambda i: i in ITEMS[3:40]}
    keep = keep.get(RULES.index(rules), lambda i: i in ITEMS[:60])
    for user in users:
        ranked = model.recommend([user], len(ITEMS))
        expected = by_hand(model, ranked, 5, keep, None, rules.get("diversity", 0))
        assert found.loc[found["user"] == user, "item"].tolist() == expected


@for_each("kind", ["exact", "index", "counts"])
def test_lists_are_full_if_enough_items_qualify(kind):
    model = fitted(kind)
    few = {"where": {"item": ITEMS[10:17].tolist()}}
    for rules in (few, few | {"diversity": 0.4}, few | {"max_per": {"item": 1}}):
        for users in (["u1"], ["u1", "u2", "new"]):
            found = model.recommend(users, 7, exclude_seen=False, **rules)
            assert (found.groupby("user").size() == 7).all()
            assert set(found["item"]) == set(ITEMS[10:17])


def test_an_index_is_searched_wider_for_those_that_qualify():
    model, asked = fitted("index"), Rough.asked
    half = {"where": {"item": ITEMS[::2].tolist()}}
    for users in (["u1"], ["u1", "u2"]):
        asked.clear()
        found = model.recommend(users, 3, exclude_seen=False, **half)
        assert asked and min(asked) >= 6  # half of them qualify
        assert set(found["item"]) <= set(ITEMS[::2])
        asked.clear()
        model.recommend(users, 3, where={"item": ITEMS[:10].tolist()})
        assert not asked  # few are searched exactly


@for_each("kind", ["exact", "similar"])
def test_nothing_that_qualifies_is_an_empty_table(kind):
    for users in (["u1"], ["u1", "u2"]):
        for rules in ({}, {"diversity": 1}, {"max_per": {"item": 1}}):
            with pytest.warns(UserWarning, match="No item .* by where. The result is"):
                found = fitted(kind).recommend(users, where={"item": []}, **rules)
            assert len(found) == 0
            assert found.columns.tolist() == ["user", "item", "score", "rank"]


@for_each("kind", ["exact", "similar"])
def test_no_diversity_is_the_plain_order(kind):
    model = fitted(kind)
    for users in (["u1"], ["u1", "u2"]):
        plain = model.recommend(users, 6)
        for rules in ({"diversity": 0}, {"where": {}}, {"max_per": {}}):
            pd.testing.assert_frame_equal(model.recommend(users, 6, **rules), plain)
        if kind != "index":  # which finds more if it is searched wider
            wide = model.recommend(users, 6, max_per={"item": 1})
            assert wide["item"].tolist() == plain["item"].tolist()


HISTORIES = [["i3", "i4"], {"new": ["i3", "i4"]}]


def test_rules_and_a_history():
    for history in HISTORIES:
        model = fitted("exact")
        rules = {"where": WHERE["both"][0], "max_per": {"brand": 1}, "history": history}
        ranked = model.recommend(["new"], 80, history=history)
        rows = products().set_index("item")
        expected = by_hand(
            model,
            ranked,
            4,
            lambda i, rows=rows: WHERE["both"][1](rows.loc[i]),
            {"brand": 1},
        )
        assert model.recommend(["new"], 4, **rules)["item"].tolist() == expected


def test_candidates_of_each_user_keep_to_the_rules():
    model, (where, keep) = fitted("exact"), WHERE["both"]
    offers = {"u1": ITEMS[:30].tolist(), "u2": ITEMS[20:].tolist(), "u3": []}
    rows = products().set_index("item")
    options = {"candidates": offers, "exclude_seen": False, "where": where}
    both = model.recommend(["u1", "u2", "u3"], 80, **options)
    for user, listed in offers.items():
        alone = model.recommend([user], 80, **options)["item"].tolist()
        assert set(alone) == {item for item in listed if keep(rows.loc[item])}
        assert both.loc[both["user"] == user, "item"].tolist() == alone


# One known user


REQUESTS = [
    {"candidates": ITEMS[:40].tolist()},
    {"candidates": ITEMS[:5]},
    {"candidates": {"u3": ITEMS[30:45].tolist()}},
    {"candidates": {"u4": ITEMS[30:60].tolist()}},
    {"candidates": []},
    {"candidates": ["gone", "i3"], "unknown_candidates": "ignore"},
    {"exclude": ITEMS[:40].tolist()},
    {"exclude": {"u3": ITEMS[:9].tolist(), "u4": ["i1"]}, "exclude_seen": False},
    {"exclude": pd.DataFrame({"user": ["u3"], "item": ["i5"]})},
    {"where": {"price": (2, 6)}},
    {"where": {"price": (2, 6)}, "candidates": ITEMS[:40].tolist()},
    {"max_per": {"brand": 1}, "exclude": ["i2"]},
    {"diversity": 0.5, "candidates": ITEMS[:40].tolist()},
]


@pytest.mark.parametrize("kind", ["exact"])
def test_the_shorter_way_has_the_same_answers(kind):
    for request_ in REQUESTS:
        model, usual = fitted(kind), pd.DataFrame({"user": ["u3"]})
        found = model.recommend(["u3"], 6, **request_)
        expected = model.recommend(usual, 6, **request_)
        pd.testing.assert_frame_equal(found, expected, atol=1e-6)


# The item table


def asked_table(model):
    """Return the table that a function as where gets."""
    tables = []
    users = model.user_ids_[:1].tolist()
    model.recommend(users, where=lambda t: tables.append(t) or [True] * len(t))
    return tables[0]


def test_a_function_gets_the_items_in_order_and_cannot_change_them():
    model, expected = fitted("exact"), products().set_index("item")
    table = asked_table(model)
    assert table["item"].tolist() == model.item_ids_.tolist()
    pd.testing.assert_frame_equal(
        table.set_index("item"), expected.loc[model.item_ids_], check_dtype=False
    )
    table["price"] = 0.0
    assert asked_table(model)["price"].max() == 8


def test_a_function_that_reads_what_changes_answers_of_now(tmp_path):
    model, in_stock = fitted("exact"), set(ITEMS[:3])

    def is_in_stock(table):
        return [item in in_stock for item in table["item"]]

    io.dump(model, tmp_path / "model.sktt")
    served = runtime.load(tmp_path / "model.sktt")
    for sold in (None, ITEMS[1]):
        in_stock.discard(sold)
        top = model.recommend(["u1"], 3, where=is_in_stock, exclude_seen=False)
        ids, _ = served.recommend("u1", 3, where=is_in_stock, exclude_seen=False)
        assert {*top["item"]} == {*ids} == in_stock
    assert len(in_stock) == 2


def test_a_function_gets_a_table_of_the_library_of_the_users():
    items = pl.from_pandas(products())
    model = small(items=items).fit(EVENTS)
    assert isinstance(asked_table(model), pl.DataFrame)
    found = model.recommend(["u1"], 80, where=lambda t: t["brand"].eq_missing("acme"))
    other = model.recommend(["u1"], 80, where={"brand": "acme"})
    assert found["item"].tolist() == other["item"].tolist() != []
    plain = EASERecommender().fit(pl.from_pandas(EVENTS))
    assert asked_table(plain).columns == ["item"]


@pytest.mark.parametrize("kind", ["array", "pandas"])
def test_features_of_x_are_columns_of_the_item_table(kind, tmp_path):
    events = EVENTS.assign(price=EVENTS["item"].str[1:].astype(int) % 7)
    X = events.to_numpy() if kind == "array" else events
    model = small(item_features=[2]).fit(X)
    column = "x2" if kind == "array" else "price"
    found = model.recommend(["u1"], 80, where={column: (5, None), "item": ["i5", "i7"]})
    assert found["item"].tolist() == ["i5"]
    path = tmp_path / "model.sktt"
    io.dump(model, path)
    for other in (io.load(path), copy.deepcopy(model)):
        pd.testing.assert_frame_equal(asked_table(other), asked_table(model))


def test_the_newest_features_of_x_count():
    events = EVENTS.assign(price=1)
    model = small(item_features=["price"]).fit(events)
    more = pd.DataFrame({"user": "u1", "item": ["i3", "z", "z"], "price": [5, 6, 7]})
    with pytest.warns(UserWarning, match="disagree"):
        model.partial_fit(more)
    table = asked_table(model).set_index("item")["price"]
    assert (table["i3"], table["z"]) == (5, 7)
    assert (table.drop(["i3", "z"]) == 1).all()
    assert table.index.tolist() == model.item_ids_.tolist()


def test_another_catalog_has_its_own_features():
    model = copy.deepcopy(fitted("exact"))
    before = model.recommend(["u1"], where={"price": (2, 6)})
    assert len(before)
    table = products()[5:25].assign(price=100.0)
    table = pd.concat([table, table[:1].assign(item="new", price=1.0)])
    model.set_catalog(table)
    found = asked_table(model)
    pd.testing.assert_frame_equal(
        found, table.reset_index(drop=True), check_dtype=False
    )
    with pytest.warns(UserWarning, match="No item of the catalog qualifies by where"):
        assert len(model.recommend(["u1"], where={"price": (2, 6)})) == 0
    model.set_catalog(["new", "i3"])  # i3 is as it was in fit, or in the table
    known = pd.concat([products(), table]).drop_duplicates("item", keep="last")
    prices = known.set_index("item")["price"]
    assert asked_table(model)["price"].tolist() == [1.0, prices["i3"]]


def test_items_without_a_row_in_a_new_side_table_have_gaps():
    model = copy.deepcopy(fitted("exact"))
    model.set_params(items=products().drop(index=3).assign(price=2.0))
    model.partial_fit(EVENTS[:4])
    gone = products()["item"][3]
    prices = asked_table(model).set_index("item")["price"]
    assert np.isnan(prices[gone]) and (prices.drop(gone) == 2).all()


def test_a_new_side_table_says_more_than_an_older_catalog():
    model = copy.deepcopy(fitted("exact")).set_catalog(products().assign(price=1.0))
    assert (asked_table(model)["price"] == 1).all()
    model.set_params(items=products().assign(price=2.0)).partial_fit(EVENTS[:4])
    assert (asked_table(model)["price"] == 2).all()


def test_forgotten_items_leave_the_item_table():
    events = EVENTS.assign(shelf=EVENTS["item"].str[-1])
    model = small(item_features=["shelf"]).fit(events).forget_items(["i3", "i7"])
    table = asked_table(model)
    assert table["item"].tolist() == model.item_ids_.tolist()
    assert table["shelf"].tolist() == [item[-1] for item in model.item_ids_]
    assert {"i3", "i7"}.isdisjoint(table["item"])


@pytest.mark.slow
def test_threads_have_the_answers_of_one():
    model = copy.deepcopy(fitted("exact"))
    options = [
        {"where": {"price": (low, None)}, "max_per": {"brand": 2}, "diversity": d}
        for low in range(1, 8)
        for d in (None, 0.4)
    ]
    expected = [fitted("exact").recommend(["u1"], 5, **o) for o in options]
    same = []

    def ask():
        for options_, table in zip(options * 3, expected * 3, strict=True):
            same.append(model.recommend(["u1"], 5, **options_).equals(table))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(same) == 4 * 42 and all(same)


# Other ways to ask


def test_rules_in_parts_of_a_file(tmp_path):
    model, rules = (
        fitted("exact"),
        {"where": {"price": (2, 6)}, "max_per": {"brand": 1}},
    )
    path = tmp_path / "lists.parquet"
    assert model.recommend(path=path, **rules) is None
    pd.testing.assert_frame_equal(
        pd.read_parquet(path), model.recommend(**rules), check_dtype=False, atol=1e-6
    )


def test_rules_for_users_of_dask():
    dask = pytest.importorskip("dask.dataframe")
    model, rules = fitted("exact"), {"where": {"price": (2, 6)}, "diversity": 0.5}
    users = pd.DataFrame({"user": ["u1", "u2", "u3"]})
    found = model.recommend(dask.from_pandas(users, npartitions=2), 4, **rules)
    pd.testing.assert_frame_equal(
        found.compute().reset_index(drop=True),
        model.recommend(users, 4, **rules),
        check_dtype=False,
    )


BAD_RULES = [
    ({"where": {"brnad": "acme"}}, ValueError, "Did you mean 'brand'"),
    ({"where": {"brand": 3}}, ValueError, r"where\['brand'\] .* Got 3"),
    ({"where": {"price": (6, 2)}}, ValueError, r"'price'.* low <= high.* .6, 2."),
    ({"where": 3}, TypeError, "where must be a dict"),
    ({"max_per": {"brand": 0}}, ValueError, "max_per"),
    ({"diversity": -1}, ValueError, "diversity must be"),
]


def test_bad_rules_are_refused_by_all_ways():
    for rules, error, message in BAD_RULES:
        model = fitted("exact")
        for users in (["u1"], ["u1", "u2"], None):
            with pytest.raises(error, match=message):
                model.recommend(users, **rules)


@pytest.mark.parametrize("kind", ["similar"])
def test_a_model_without_item_table_says_so(kind):
    for rules in ({"where": {"brand": "acme"}}, {"max_per": {"brand": 1}}):
        with pytest.raises(ValueError, match=r"'brand', but .* Columns: 'item'"):
            fitted(kind).recommend(["u1"], **rules)


def test_a_list_of_a_million():
    towers = fitted("exact")
    for rules in ({"diversity": 0.1}, {"max_per": {"brand": 5}}):
        assert len(towers.recommend(["u1"], 10**6, exclude_seen=False, **rules))
    with pytest.raises(TypeError, match="positional argument"):
        TwoTowerRecommender.recommend(towers, ["u1"], 3, {"brand": "acme"})
