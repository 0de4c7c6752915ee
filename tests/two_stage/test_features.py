"""The features of candidates: a slow reference, and answers by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import EASERecommender, PopularityRecommender, TwoStageRecommender
from tests.builders import first_fast, ordered, random_events

from .builders import follows, stages

DAY = pd.Timedelta(days=1)
LOG = pd.DataFrame(
    [
        ("ann", "tea", 0),
        ("ann", "jam", 2),
        ("bob", "tea", 1),
        ("bob", "egg", 4),
        ("bob", "ham", 4),
        ("cid", "egg", 3),
        ("cid", "tea", 9),
        ("dan", "rye", 10),
    ],
    columns=["user", "item", "day"],
)
LOG["when"] = pd.Timestamp("2024-01-01") + LOG["day"] * DAY


def features_of_log(cut, **params):
    """Return the features of all items for all users, indexed by both."""
    model = TwoStageRecommender(
        PopularityRecommender(),
        time="when",
        cut=cut,
        n_candidates=5,
        exclude_seen=False,
        **params,
    )
    with pytest.warns(UserWarning, match="too few events"):
        model.fit(LOG[["user", "item", "when"]])
    return model.candidate_features().set_index(["user", "item"])


def naive(user, item, cut):
    """Return the features of a pair, from the rows of the log."""
    own = LOG[LOG["user"] == user].sort_values(["day", "item"])
    chosen = LOG[LOG["item"] == item]
    now = LOG["day"].max() if cut == "time" else own["day"].max()
    until = LOG[LOG["day"] <= now].sort_values("day", kind="stable")
    counts = LOG["item"].value_counts()
    recent = until.iloc[-1:]  # a tenth of eight events, at least one
    before = chosen["day"][chosen["day"] <= now]
    n_recent = (recent["item"] == item).sum()
    logs = np.log(counts + 1)
    return {
        "popularity": len(chosen) / 4,
        "popularity_gap": logs[item] - logs[own["item"]].mean(),
        "history_length": len(own),
        "recent_popularity": n_recent,
        "latest_popularity": n_recent,
        "trend": np.log((n_recent + 1) / (0.1 * len(chosen) + 1)),
        "popularity_so_far": len(before) / (len(until) + 1),
        "item_age": now - chosen["day"].min(),
        "item_idle": now - before.max(),
        "item_end": chosen["day"].max() - now,
        "history_idle": 10 - own["day"].max(),
    }


@pytest.mark.parametrize("cut", first_fast(["time", "user"]))
def test_counts_and_times_are_the_naive_ones(cut):
    found = features_of_log(cut)
    assert len(found) == 4 * 5
    for user, item in found.index:
        if cut == "user" and user == "bob":
            continue  # two of his events are the latest up to then: see below
        for name, expected in naive(user, item, cut).items():
            got = found.loc[(user, item), name]
            assert_allclose(got, expected, rtol=1e-5, err_msg=f"{user} {item} {name}")


def test_the_latest_events_of_a_user_are_those_before_the_last_one():
    found = features_of_log("user")
    # bob's request is on day 4, when egg and ham were the latest of six events
    assert found.loc[("bob", "tea"), "item_age"] == 4
    assert found.loc[("bob", "tea"), "item_idle"] == 3
    assert found.loc[("bob", "tea"), "item_end"] == 5
    # rye is chosen on day 10 for the first time
    assert found.loc[("bob", "rye"), "item_age"] == -6
    assert np.isnan(found.loc[("bob", "rye"), "item_idle"])
    assert found.loc[("bob", "rye"), "popularity_so_far"] == 0
    assert found.loc[("bob", "tea"), "popularity_so_far"] == np.float32(2 / 7)


@pytest.mark.slow
def test_rank_and_score_are_those_of_retrieval():
    events = follows(60)
    model = stages(EASERecommender(), n_candidates=12).fit(events)
    table = model.candidate_features(["u03", "u01"])
    top = model.retriever_.recommend(["u03", "u01"], n_neighbors=12)
    assert_array_equal(table[["user", "item"]], top[["user", "item"]])
    assert_array_equal(table["rank"], top["rank"])
    best = top.groupby("user")["score"].transform("max")
    assert_same_scale_free(table["score_gap"], top["score"] - best)
    everyone = model.candidate_features()["score_gap"]  # fewer than 300 users
    assert_allclose([everyone.mean(), everyone.std(ddof=0)], [0, 1], atol=1e-4)


def assert_same_scale_free(found, expected, atol=1e-3):
    """Compare columns, of which one is standardized: each minus its mean, scaled."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    found, expected = found - found.mean(), expected - expected.mean()
    assert_allclose(found / found.std(), expected / expected.std(), atol=atol)


def lags(events, user):
    own = events[events["user"] == user].sort_values(["when", "item"])
    return list(own["item"]), (own["when"].rank(ascending=False).to_numpy())


@pytest.mark.slow
def test_similarities_are_products_of_unit_vectors():
    events = follows(60)
    model = stages(ordered(history="recent")).fit(events)
    table = model.candidate_features(["u03"]).set_index("item")
    vectors = pd.DataFrame(
        model.retriever_.item_embeddings_, index=model.item_ids_, dtype=float
    )
    vectors = vectors.div(np.linalg.norm(vectors, axis=1), axis=0)
    items, steps = lags(events, "u03")
    for part, decay in (("last", 0.1), ("recent", 5.0), ("all", np.inf)):
        weights = np.exp((1 - steps) / decay)
        profile = weights @ vectors.loc[items].to_numpy()
        expected = vectors.to_numpy() @ profile / np.linalg.norm(profile)
        expected = pd.Series(expected, index=vectors.index)[table.index]
        assert_same_scale_free(table[f"vector_{part}"], expected, atol=2e-2)
    near = vectors.loc[table.index].to_numpy() @ vectors.loc[items].to_numpy().T
    expected = np.sort(near, axis=1)[:, -3:].mean(axis=1)
    assert_same_scale_free(table["nearest"], expected)
    assert {"together_last", "together_recent", "together_all"} <= set(table)


def test_items_with_the_same_users_are_near_by_common_users():
    # two groups of items that no user mixes
    rows = [(f"u{u}", f"{'ab'[u % 2]}{i}") for u in range(12) for i in range(4)]
    rows = [row for n, row in enumerate(rows) if n % 5]
    events = pd.DataFrame(rows, columns=["user", "item"])
    model = TwoStageRecommender(EASERecommender(), exclude_seen=False)
    with pytest.warns(UserWarning, match="No ranker was trained"):
        model.fit(events)
    table = model.candidate_features()
    own = table["item"].str[0] == np.where(
        table["user"].str[1:].astype(int) % 2, "b", "a"
    )
    assert table.loc[own, "together_all"].min() > 0.5
    assert_allclose(table.loc[~own, "together_all"], 0, atol=1e-5)


@pytest.mark.slow
def test_what_follows_is_counted():
    events = follows(50, noise=0.5)
    model = stages(EASERecommender()).fit(events)
    table = model.candidate_features(["u03"]).set_index("item")
    by_user = {u: lags(events, u)[0] for u in events["user"].unique()}
    counts = {i: sum(i in own for own in by_user.values()) for i in model.item_ids_}
    after = pd.DataFrame(0.0, index=model.item_ids_, columns=model.item_ids_)
    for own in by_user.values():
        for place, first in enumerate(own):
            for step, second in enumerate(own[place + 1 : place + 6], 1):
                after.loc[first, second] += 1 / step / (counts[first] + 2)
    items, steps = lags(events, "u03")
    for part, decay in (("last", 0.5), ("recent", 5.0)):
        expected = np.exp((1 - steps) / decay) @ after.loc[items]
        assert_allclose(
            table[f"after_{part}"], expected[table.index], rtol=1e-3, atol=1e-3
        )


@pytest.mark.slow
def test_click_rates_are_smoothed():
    events = follows(60)
    y = (events["item"] != "i03").to_numpy().astype(float)
    y[np.flatnonzero(y == 0)[::2]] = 1
    model = stages().fit(events, y)
    table = model.candidate_features().drop_duplicates("item").set_index("item")
    shown = events["item"].value_counts()["i03"]
    clicked = y[events["item"] == "i03"].sum()
    expected = (clicked + 20 * y.mean()) / (shown + 20)
    assert_allclose(table["click_rate"]["i03"], expected, rtol=1e-6)
    n = events["item"].value_counts()["i05"]
    assert_allclose(table["click_rate"]["i05"], (n + 20 * y.mean()) / (n + 20))
    assert "click_rate" not in stages().fit(events).candidate_features()


@pytest.mark.slow
def test_columns_of_the_side_tables():
    events = follows(60)
    items = pd.DataFrame({"item": sorted(events["item"].unique())})
    items["price"] = np.arange(len(items)) * 1.5
    items["color"] = np.where(items.index % 2, "red", "blue")
    items.loc[2, "color"] = None
    items["since"] = pd.Timestamp("1971-01-01") + DAY * items.index
    items["tags"] = [["a", "b"]] * len(items)
    items["name"] = "n" + items["item"]
    users = pd.DataFrame({"user": events["user"].unique(), "pro": True})
    users.loc[3, "pro"] = False
    retriever = ordered(items=items, users=users)
    table = stages(retriever).fit(events).candidate_features(["u03", "new"])
    place = table["item"].str[1:].astype(int)
    assert_allclose(table["item__price"], place * 1.5)
    codes = np.where(place == 2, np.nan, place % 2)
    assert_array_equal(table["item__color"], codes)
    years = (365 + place) / 365.25
    assert_allclose(table["item__since"], years, rtol=1e-5)
    assert "item__tags" not in table
    assert table["item__name"].nunique() == len(place.unique())
    of_users = table.groupby("user")["user__pro"].first()
    assert of_users["u03"] == 0 and np.isnan(of_users["new"])


@pytest.mark.slow
def test_feature_columns_of_x():
    events = follows(60).assign(kind=lambda t: "k" + t["item"].str[2])
    model = stages(ordered(item_features=["kind"])).fit(events)
    table = model.candidate_features(["u03"])
    assert_array_equal(table["item__kind"], table["item"].str[2].astype(int))


def test_a_new_user_has_no_history():
    model = stages(EASERecommender()).fit(follows(60, dates=True))
    table = model.candidate_features(["new"])
    assert (table["history_length"] == 0).all()
    assert table["popularity_gap"].isna().all() and table["history_idle"].isna().all()
    assert table["nearest"].isna().all()
    for name in ("together_all", "after_recent"):
        assert (table[name] == 0).all()


@pytest.mark.slow
def test_a_history_in_the_request_counts():
    events = follows(40, dates=True)
    model = stages(EASERecommender()).fit(events)
    own = events[events["user"] == "u03"]
    told = model.candidate_features(history=own.assign(user="new"))
    known = model.candidate_features(["u03"])
    late = events[events["user"] != "u03"]
    late = pd.concat([late, late.tail(1).assign(when=late["when"].max() + 9 * DAY)])
    later = stages(EASERecommender()).fit(late).candidate_features(history=own)
    assert (later["history_idle"] == 9).all()
    with pytest.raises(ValueError, match="history has no column 'when', so its order"):
        model.candidate_features(history=own[["user", "item"]])
    for name in ("history_length", "after_last", "together_recent", "history_idle"):
        both = known.set_index("item")[name], told.set_index("item")[name]
        common = both[0].index.intersection(both[1].index)
        assert_allclose(both[1][common], both[0][common], rtol=1e-4, atol=1e-5)
    as_list = model.candidate_features(history={"new": own["item"].tolist()})
    assert (as_list["history_idle"] == 0).all()  # later than all events of fit


def test_one_block_of_candidates_for_each_distinct_user():
    events = random_events(30, 20, density=0.3)
    model = TwoStageRecommender(EASERecommender(), n_candidates=4, random_state=0)
    with pytest.warns(UserWarning, match="No ranker was trained"):
        model.fit(events)
    table = model.candidate_features(["u5", "u2", "u5", "u0"])
    assert table["user"].tolist() == ["u5"] * 4 + ["u2"] * 4  # u0 has seen all
    assert len(model.candidate_features()) == 29 * 4
    assert table.index.tolist() == list(range(8))
    assert not {"item_age", "trend", "click_rate"} & set(table)
