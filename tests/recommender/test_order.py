"""Fits on events in the order of time, through the public methods."""

import datetime
import pickle
import warnings

import joblib
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sktwotower import TwoTowerRecommender
from sktwotower.model_selection import LastNSplit, TimeSplit
from sktwotower.towers import RecentHistory
from tests.builders import chain, dated, follower, ordered, past_of, with_share

X = chain(n_users=15, noise=0.3)
DATED = dated(X)


def assert_same(model, other, rtol=1e-5):
    """Check that two models have the same vectors of users and items."""
    users = list(other.user_ids_)
    for name in ("user_ids_", "item_ids_"):
        assert_array_equal(getattr(model, name), getattr(other, name))
    assert_allclose(model.item_embeddings_, other.item_embeddings_, rtol, rtol)
    assert_allclose(model.embed_users(users), other.embed_users(users), rtol, rtol)


def differ(model, other):
    return np.abs(model.item_embeddings_ - other.item_embeddings_).max() > 1e-3


@pytest.fixture(scope="module")
def model():
    return ordered().fit(X)


# Planted order.


def share_found(model, histories, expected):
    """Return how often the best item is the expected one; all by user."""
    found = model.recommend(history=histories, n_neighbors=1, exclude_seen=False)
    found = dict(zip(found["user"], found["item"], strict=True))
    return np.mean([found[user] == item for user, item in expected.items()])


@pytest.mark.slow
@pytest.mark.parametrize("back", [1, pytest.param(2, marks=pytest.mark.grid)])
def test_a_planted_order_is_found_only_by_a_recent_history(back):
    # the next item depends on the latest one, or on the one before
    events = chain([40, 100][back - 1], 12, 20, back=back, noise=0.1)
    paths = events.groupby("user")["item"].agg(list)
    known = {user: follower(path[-back], 20) for user, path in paths.items()}
    new = {f"new{i}": [f"i{i:02}", f"i{(i + 3) % 20:02}"] for i in range(20)}
    after_new = {user: follower(path[-back], 20) for user, path in new.items()}
    shares = {}
    for history in ("recent", "pooled"):
        model = ordered(
            history=with_share(history, 0), embedding_dim=32, exclude_seen=False
        ).set_params(batch_size=16, max_epochs=10 * back, lr=[0.03, 0.05][back - 1])
        model.fit(events)
        shares[history] = [
            share_found(model, dict.fromkeys(known, []), known),
            share_found(model, new, after_new),
        ]
    assert min(shares["recent"]) > 0.7
    assert max(shares["pooled"]) < 0.3


@pytest.mark.slow
def test_the_other_items_of_a_user_are_negatives():
    # with a pooled history nothing can be learnt from users who chose everything
    everything = chain(n_users=20, n_events=12)
    assert len(everything.drop_duplicates(["user", "item"])) == 20 * 12
    new = {f"new{i}": [f"i{i:02}"] for i in range(12)}
    expected = {user: follower(item) for user, (item,) in new.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ordered(max_epochs=10, lr=0.03, batch_size=5).fit(everything)
        ordered().fit(everything[:12])
    assert share_found(model, new, expected) > 0.7
    with pytest.warns(UserWarning, match="all 12 items of X were chosen by all users"):
        ordered(history="pooled").fit(everything)


# What X may be.


def in_zone(zone):
    return DATED.assign(when=DATED["when"].dt.tz_localize("UTC").dt.tz_convert(zone))


AS = {
    "float": lambda: X.astype({"when": float}),
    "int8": lambda: X.astype({"when": "int8"}),
    "Int64": lambda: X.astype({"when": "Int64"}),
    "uint64": lambda: X.assign(when=X["when"].astype("uint64") + 10),
    "negative": lambda: X.assign(when=X["when"] * 0.25 - 1e9),
    "objects": lambda: X.astype({"when": object}),
    "naive": lambda: DATED,
    "seconds": lambda: DATED.assign(when=DATED["when"].dt.as_unit("s")),
    "UTC": lambda: in_zone("UTC"),
    # clocks change on 29 March
    "Berlin": lambda: in_zone("Europe/Berlin"),
    "datetime": lambda: DATED.assign(when=DATED["when"].astype(object)),
    "date": lambda: DATED.assign(when=DATED["when"].dt.date),
    "arrow": lambda: DATED.astype({"when": "timestamp[us][pyarrow]"}),
    "polars": lambda: pl.DataFrame(X.to_dict("list")),
    "polars dates": lambda: pl.DataFrame(DATED.to_dict("list")),
    "polars date": lambda: pl.DataFrame(DATED.to_dict("list")).with_columns(
        pl.col("when").cast(pl.Date)
    ),
    "pyarrow": lambda: pyarrow.Table.from_pandas(DATED),
    "other order of columns": lambda: X[["when", "user", "item"]],
}


FEW = "float", "negative", "objects", "seconds", "Berlin", "date", "polars", "pyarrow"
KINDS = [
    pytest.param(kind, marks=() if kind in FEW else pytest.mark.grid) for kind in AS
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_times_of_every_kind_give_the_same_model(model, kind):
    other = ordered(context=None).fit(AS[kind]())
    assert_same(other, model)
    assert other.half_life_ is None and other.history_kind_ == "recent"


def test_dates_in_two_zones_are_compared_as_instants(model):
    # in one column of objects, as in a file with offsets
    zones = [datetime.timezone(datetime.timedelta(hours=h)) for h in (-11, 13)]
    when = [
        date.to_pydatetime().replace(tzinfo=datetime.UTC).astimezone(zones[i % 2])
        for i, date in enumerate(DATED["when"])
    ]
    mixed = DATED.assign(when=pd.Series(when, dtype=object))
    assert_same(ordered(context=None).fit(mixed), model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "events, time", [(X, -1), (DATED, 2), pytest.param(X, 2, marks=pytest.mark.grid)]
)
def test_a_position_names_the_time_of_an_array(model, events, time):
    values = events.to_numpy(dtype=object)
    other = ordered(time=time, context=None).fit(values)
    assert_same(other, model)
    assert other.n_features_in_ == 3 and not hasattr(other, "feature_names_in_")
    assert_array_equal(other.transform(values[:, :2]), model.transform(X))
    first = ordered(time=0, context=None).fit(values[:, [2, 0, 1]])
    assert_same(first, model)
    assert_array_equal(first.predict(values[:, :2]), model.predict(X))


@pytest.mark.slow
def test_the_order_of_rows_has_no_effect(model):
    assert_same(ordered().fit(X.sample(frac=1, random_state=0)), model)
    # u00 chose four items at one time
    ties = X.assign(when=X["when"] // 4)
    tied = ordered().fit(ties)
    assert_same(ordered().fit(ties.sample(frac=1, random_state=0)), tied)
    assert differ(tied, model)


# The time is no feature.

TALL = X.assign(town="t" + X["user"].str[1], kind="k" + X["item"].str[2])


@pytest.mark.slow
def test_the_time_is_a_column_of_x_but_no_feature():
    features = {"user_features": ["town"], "item_features": ["kind"]}
    model = ordered(**features).fit(TALL)
    assert model.feature_names_in_.tolist() == ["user", "item", "when", "town", "kind"]
    assert model.n_features_in_ == 5
    everything = {
        "user_features": lambda table: [c for c in table.columns if c != "kind"],
        "item_features": lambda table: [c for c in table.columns if c != "town"],
    }
    other = ordered(**everything).fit(TALL)
    assert_same(other, model)
    for transformer in (other.user_transformer_, other.item_transformer_):
        names = " ".join(transformer.get_feature_names_out())
        assert "when" not in names and ("town" in names or "kind" in names)
    importance = other.feature_importance(TALL)
    columns = importance["column"][importance["side"] != "history"]
    assert set(columns) == {"user", "town", "item", "kind"}


@pytest.mark.slow
def test_tables_after_fit_may_lack_the_time():
    train, late = TALL[TALL["when"] < 6], TALL[TALL["when"] >= 6]
    model = ordered(user_features="town", item_features="kind").fit(train)
    for same in (
        late.drop(columns="when"),
        late.assign(when=late["when"] + 100),
        late.assign(when=np.nan),
        pl.DataFrame(late.drop(columns="when").to_dict("list")),
    ):
        assert_array_equal(model.transform(same), model.transform(late))
        assert_array_equal(model.predict(same), model.predict(late))
        assert model.score(same) == model.score(late)
        ranked, expected = (
            model.rank_held_out(table, n_neighbors=5) for table in (same, late)
        )
        assert_array_equal(ranked.indices, expected.indices)
        assert (ranked.truth != expected.truth).nnz == 0
        importances = (
            nw.from_native(model.feature_importance(table, random_state=0)).to_pandas()
            for table in (same, late)
        )
        pd.testing.assert_frame_equal(*importances)
        users, expected = (
            nw.from_native(model.recommend(table[["user", "town"]])).to_pandas()
            for table in (same, late)
        )
        pd.testing.assert_frame_equal(users, expected)
    with pytest.raises(ValueError, match="town"):
        model.predict(late.drop(columns=["when", "town"]))


# What events mean.


OWN = pd.DataFrame(
    [("me", "i03", 1), ("me", "i04", 2), ("me", "i03", 5), ("me", "i05", 5)],
    columns=["user", "item", "when"],
)
EVENTS = pd.concat([X, OWN], ignore_index=True)


@pytest.mark.slow
def test_a_pair_at_two_times_is_two_events():
    model = ordered().fit(EVENTS)
    assert past_of(model, "me") == [
        ("i03", 3.0),
        ("i04", 2.0),
        ("i03", 1.0),
        ("i05", 1.0),
    ]
    assert differ(model, ordered().fit(EVENTS.drop_duplicates(["user", "item"])))


@pytest.mark.slow
def test_repeated_rows_are_one_event_of_their_summed_weight():
    once = ordered().fit(EVENTS)
    weights = np.ones(len(EVENTS))
    weights[3:6] = [2, 3, 1.5]
    extra = EVENTS.iloc[[3, 4, 4, 5]]
    repeated = pd.concat([EVENTS, extra], ignore_index=True)
    of_extra = [1, 1, 1, 0.5]
    model = ordered().fit(repeated, sample_weight=[*np.ones(len(EVENTS)), *of_extra])
    assert_same(model, ordered().fit(EVENTS, sample_weight=weights))
    assert past_of(model, "u00") == past_of(once, "u00")
    assert differ(model, once)


@pytest.mark.slow
def test_rewards_are_the_weights_of_targets():
    rewards = 1.0 + 3 * (EVENTS["when"] % 2)
    model = ordered().fit(EVENTS, rewards)
    assert_same(model, ordered().fit(EVENTS, sample_weight=rewards))
    assert_same(
        model, ordered().fit(EVENTS, rewards * 2, sample_weight=rewards * 0 + 0.5)
    )
    assert_same(model, ordered().fit(EVENTS, rewards * 8))
    assert differ(model, ordered().fit(EVENTS))


@pytest.mark.slow
def test_rows_without_weight_are_left_out():
    kept = (EVENTS["when"] != 3).to_numpy()
    model = ordered().fit(EVENTS, sample_weight=kept.astype(float))
    assert_same(model, ordered().fit(EVENTS[kept]))


@pytest.mark.slow
def test_what_was_only_shown_is_no_history():
    y = np.ones(len(EVENTS))
    y[-3] = 0  # i04 at time 2
    y[:40:5] = 0
    model = ordered(impression_weight=5, impression_start=0).fit(EVENTS, y)
    assert past_of(model, "me") == [("i03", 2.0), ("i03", 1.0), ("i05", 1.0)]
    ignored = ordered(impression_weight=0).fit(EVENTS, y)
    assert past_of(ignored, "me") == past_of(model, "me")
    assert differ(ignored, model)
    assert_same(ignored, ordered().fit(EVENTS[y > 0]))
    found = model.recommend(["me"], n_neighbors=12)["item"]
    assert "i04" in set(found) and not {"i03", "i05"} & set(found)


# The tools of scikit-learn.


@pytest.mark.slow
def test_parameters_are_those_of_the_constructor(model):
    given = {"time": "when", "history": "recent", "max_epochs": 7}
    other = TwoTowerRecommender(**given)
    assert {name: other.get_params()[name] for name in given} == given
    assert clone(other).get_params() == other.get_params()
    assert other.set_params(max_epochs=9).max_epochs == 9
    assert not hasattr(clone(model), "half_life_")
    assert_same(clone(model).fit(X), model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "tool", [pytest.param("pickle", marks=pytest.mark.grid), "joblib"]
)
def test_a_saved_model_is_the_same(model, tool, tmp_path):
    dated = ordered(
        history=RecentHistory(half_life=pd.Timedelta("3D"), max_length=3)
    ).fit(DATED)
    for before in (model, dated):
        if tool == "pickle":
            after = pickle.loads(pickle.dumps(before))
        else:
            joblib.dump(before, tmp_path / "model")
            after = joblib.load(tmp_path / "model")
        assert_same(after, before)
        assert after.history_kind_ == "recent"
        assert after.half_life_ == before.half_life_
        history = {"new": ["i01", "i02"]}
        pd.testing.assert_frame_equal(
            after.recommend(history=history), before.recommend(history=history)
        )
        events = X if before is model else DATED
        more = pickle.loads(pickle.dumps(after)).partial_fit(events)
        assert_same(after.partial_fit(events), more)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cv",
    [
        LastNSplit(time="when"),
        pytest.param(TimeSplit(0.3, time="when"), marks=pytest.mark.grid),
    ],
)
def test_a_search_over_a_splitter_in_time(cv):
    histories = [RecentHistory(max_length=1), "pooled"]
    grid = {"history": histories}
    search = GridSearchCV(ordered(), grid, cv=cv, error_score="raise").fit(DATED)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    train, test = next(iter(cv.split(DATED)))
    expected = [
        ordered(**params).fit(DATED.iloc[train]).score(DATED.iloc[test])
        for params in search.cv_results_["params"]
    ]
    assert scores.tolist() == expected
    assert_same(search.best_estimator_, ordered(**search.best_params_).fit(DATED))


@pytest.mark.slow
def test_the_last_step_of_a_pipeline():
    train, late = X[X["when"] < 6], X[X["when"] >= 6]
    model, pipe = ordered().fit(train), make_pipeline("passthrough", ordered())
    pipe.fit(train)
    assert_array_equal(pipe.predict(late), model.predict(late))
    assert pipe.score(late.drop(columns="when")) == model.score(late)
    cv = LastNSplit(time="when")
    scores = cross_val_score(pipe, X, cv=cv)
    assert_array_equal(scores, cross_val_score(ordered(), X, cv=cv))
