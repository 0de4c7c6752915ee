"""What is kept of single users: shown, removed, and gone from the file."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import OneHotEncoder

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
    TowerVectorizer,
)
from sktwotower.towers import RecentHistory
from tests.builders import dated, ordered, random_events, small
from tests.cases import for_each

GONE = ["zelda-31", "quentin-7"]


def named_events():
    """Events in which u3 and u7 are called zelda-31 and quentin-7."""
    X = random_events()
    return X.replace({"user": {"u3": GONE[0], "u7": GONE[1]}})


MODELS = {
    "popularity": PopularityRecommender(),
    "click rate": ClickRateRecommender(),
    "ease": EASERecommender(),
    "item-knn": ItemKNNRecommender(),
    "decayed": ItemKNNRecommender(decay=2, time="when"),
    "walk": RP3betaRecommender(),
    "filters": GraphFilterRecommender(),
    "polynomial": ChebyshevFilterRecommender(),
    "ridge": OrderedRidgeRecommender(time="when"),
    "repeats": RepeatRecommender(time="when", half_life=pd.Timedelta(days=3)),
}
SLOW = {
    "two towers": small(),
    "hidden layer": small(hidden_layer_sizes=(6,), history=None),
    "sgd": small(optimizer="SGD", lr=0.1),
    "recent": ordered(history="recent"),
    "pooled in time": ordered(history="pooled"),
}

EACH = "popularity", "decayed", "repeats", "recent"


def events_for(model):
    X = named_events()
    if model.time is None:
        return X
    rng = np.random.default_rng(1)
    return dated(X.assign(when=rng.integers(0, 30, size=len(X))))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(model, id=name, marks=[] if name in EACH else pytest.mark.grid)
        for name, model in (MODELS | SLOW).items()
    ],
)
def fitted(request):
    return clone(request.param).fit(events_for(request.param))


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


# Seen items


def test_seen_items_are_the_events_of_fit(model):
    X = named_events().sort_values(["user", "item"], ignore_index=True)
    pd.testing.assert_frame_equal(model.seen_items(), X, check_dtype=False)
    asked = ["u5", "nobody", "u2", "u5"]
    found = model.seen_items(asked)
    expected = pd.concat([X[X["user"] == user] for user in asked], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    everything = model.recommend(["u5"], 9, exclude_seen=False)
    left = model.recommend(["u5"], 9, exclude_seen=True)
    out = set(everything["item"]) - set(left["item"])
    assert out == set(model.seen_items(["u5"])["item"])


def test_seen_items_of_nobody(model):
    for users in ([], ["nobody"]):
        found = model.seen_items(users)
        assert found.shape == (0, 2) and list(found) == ["user", "item"]


def test_only_what_was_chosen_is_seen_under_the_names_of_fit():
    X = pd.DataFrame({"song": [5, 6, 5, 7], "fan": [1, 1, 2, 2]})
    model = EASERecommender(user_id="fan", item_id="song").fit(X, [1, 0, 1, 1])
    found = model.seen_items(pl.Series([2, 1]))
    assert found.to_dict(as_series=False) == {"fan": [2, 2, 1], "song": [5, 7, 5]}
    nameless = EASERecommender().fit(X[["fan", "song"]].to_numpy())
    assert list(nameless.seen_items()) == ["user", "item"]


@pytest.mark.slow
def test_removed_items_are_still_seen():
    model = small().fit(named_events())
    before = model.seen_items(["u0"])["item"].tolist()
    model.set_catalog(["i5", "i2"])
    assert model.seen_items(["u0"])["item"].tolist()[:2] == ["i5", "i2"]
    assert sorted(model.seen_items(["u0"])["item"]) == before


# Forgotten users


def bytes_of(model):
    return pickle.dumps(model)


def assert_gone(model, names=GONE):
    found = bytes_of(model)
    for name in names:
        assert name.encode() not in found and name.encode("utf-16-le") not in found


def test_they_are_in_no_byte_and_unknown(model):
    assert all(name.encode() in bytes_of(model) for name in GONE)
    kept = [user for user in model.user_ids_ if user not in GONE]
    before = model.recommend(kept, 9)
    items = model.item_ids_.copy()
    assert model.forget_users(GONE) is model
    assert_gone(model)
    assert_array_equal(model.user_ids_, kept)
    assert_array_equal(model.item_ids_, items)
    pd.testing.assert_frame_equal(model.recommend(kept, 9), before, atol=1e-6)
    theirs = model.recommend(GONE, 9)
    new = model.recommend(["new", "newer"], 9)
    assert_array_equal(theirs[["item", "rank"]], new[["item", "rank"]])
    assert_allclose(theirs["score"], new["score"])
    assert len(model.seen_items(GONE)) == 0
    assert set(model.seen_items()["user"]) == set(kept)
    again = pickle.loads(bytes_of(model))
    pd.testing.assert_frame_equal(again.recommend(kept, 9), before, atol=1e-6)


def test_scores_and_fits_go_on(model):
    X = events_for(model)
    model.forget_users(GONE)
    others = X[~X["user"].isin(GONE)]
    assert 0 <= model.score(others) <= 1
    assert np.isfinite(model.predict(X)).all()
    history = {GONE[0]: ["i1", "i2"], "new": ["i1", "i2"]}
    answer = model.recommend([GONE[0], "new"], 3, history=history)
    assert_array_equal(answer["item"][:3], answer["item"][3:])
    if hasattr(model, "partial_fit"):
        model.partial_fit(X.iloc[-12:])
    model.fit(others)
    assert_gone(model)


@pytest.mark.slow
@for_each("params", [{}, {"time": "when", "history": "recent"}])
def test_they_may_come_back(params):
    model = small(**params)
    X = events_for(model)
    model.fit(X).forget_users(GONE)
    theirs = X[X["user"].isin(GONE)]
    model.partial_fit(theirs)
    expected = theirs[["user", "item"]].sort_values(["user", "item"])
    found = model.seen_items(sorted(GONE))
    assert_array_equal(found, expected)
    assert len(model.user_ids_) == 12
    width = model.net_.module_.first.user_tower.sparse.weight.shape[0]
    assert width == 12


@pytest.mark.slow
def test_weights_of_their_ids_are_gone():
    model = small().fit(named_events())
    users = model.user_ids_
    weights = model.net_.module_.first.user_tower.sparse.weight.detach().clone()
    state = model.net_
    model.forget_users(GONE)
    kept = ~np.isin(users, GONE)
    now = model.net_.module_.first.user_tower.sparse.weight
    assert torch.equal(now, weights[torch.as_tensor(kept)])
    # the net of before is another object, for requests that still use it
    assert state.module_.first.user_tower.sparse.weight.shape == weights.shape
    # the optimizer would keep all of their weights
    assert hasattr(state, "optimizer_") and not hasattr(model.net_, "optimizer_")
    names = model.user_transformer_.get_feature_names_out().tolist()
    assert names == [f"user_{user}" for user in users[kept]]


@pytest.mark.slow
def test_both_pairs_of_towers_forget():
    model = ordered(history=RecentHistory(second_share=0.3))
    X = events_for(model)
    model.fit(X)
    kept = [user for user in model.user_ids_ if user not in GONE]
    before = model.embed_users(kept)
    model.forget_users(GONE)
    parts = model.net_.module_.parts
    assert len(parts) == 2
    for part in parts:
        assert len(part.user_tower.sparse.weight) == 10
    assert_allclose(model.embed_users(kept), before, atol=1e-6)
    model.partial_fit(X[X["user"].isin(kept)].tail(9))


@pytest.mark.slow
def test_a_net_without_an_optimizer():
    model = small().fit(named_events())
    del model.net_.optimizer_
    model.forget_users(GONE)
    assert len(model.net_.module_.first.user_tower.sparse.weight) == 10
    assert not hasattr(model.net_, "optimizer_")


@pytest.mark.slow
def test_a_warm_start_goes_on_without_them():
    X = named_events()
    others = X[~X["user"].isin(GONE)]
    model = small(warm_start=True).fit(X)
    with torch.inference_mode():
        model.forget_users(GONE)
    layer = model.net_.module_.first.user_tower.sparse.weight
    assert layer.requires_grad and not layer.is_inference()
    model.fit(others)
    assert_gone(model)


SIDE = pd.DataFrame(
    {
        "user": sorted(named_events()["user"].unique()),
        "name": ["ann poe", "bo poe", "cy lee", "di lee", "al poe", "ed lee"] * 2,
        "tags": [["old", "new"], ["old"], ["new"]] * 4,
        "age": np.arange(12.0),
    }
)
SIDE.loc[SIDE["user"].isin(GONE), "name"] = "xanthippe lee"
SIDE["tags"] = SIDE["tags"].where(~SIDE["user"].isin(GONE), pd.Series([["yacht"]] * 12))
SIDE["level"] = SIDE["user"].where(SIDE["user"].isin(GONE), "plain").astype("category")
WITH_ATTRS = SIDE.copy()
WITH_ATTRS.attrs["first"] = GONE[0]
TABLES = {
    "pandas": SIDE,
    "attrs": WITH_ATTRS,
    "ids as index": SIDE.set_index("user", drop=False),
    "index of levels": SIDE.set_index(pd.CategoricalIndex(SIDE["user"]), drop=False),
    "two indexes": SIDE.set_index(["user", "age"], drop=False).rename_axis(["a", "b"]),
    "levels": SIDE.astype({"user": "category"}),
    "levels of pyarrow": SIDE.astype(
        {"user": pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))}
    ),
    "numbers as names": SIDE.rename(columns={"level": 7}),
    "polars": pl.DataFrame(SIDE.astype({"level": str}).to_dict("list")),
    "polars levels": pl.DataFrame(SIDE.astype({"level": str}).to_dict("list")).cast(
        {"user": pl.Categorical, "level": pl.Categorical}
    ),
    "pyarrow": pa.Table.from_pandas(SIDE, preserve_index=False),
}
OFTEN = "attrs", "two indexes", "numbers as names", "polars levels"


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [
        pytest.param(table, id=name, marks=[] if name in OFTEN else pytest.mark.grid)
        for name, table in TABLES.items()
    ],
)
def test_features_of_theirs_are_gone_too(table, request):
    X = named_events()
    kinds = {"name": "text", "tags": "list"}
    model = small(
        users=table, user_transformer=TowerVectorizer(kinds=kinds, min_frequency=1)
    ).fit(X)
    theirs = [*GONE, "xanthippe", "yacht"]
    assert all(word.encode() in bytes_of(model) for word in theirs)
    kept = SIDE["user"][~SIDE["user"].isin(GONE)].tolist()
    before, size = model.recommend(kept, 9), len(table)
    model.forget_users(GONE)
    assert_gone(model, theirs)
    pd.testing.assert_frame_equal(model.recommend(kept, 9), before, atol=1e-6)
    assert len(table) == size and type(model.users) is type(table)
    assert len(model.users) == 10
    # the others are encoded as before
    anew = SIDE[~SIDE["user"].isin(GONE)].astype({"level": str})
    if "numbers as names" == request.node.callspec.id:
        anew = anew.rename(columns={"level": "7"})
    assert_allclose(model.embed_users(anew), model.embed_users(kept), atol=1e-6)
    names = model.user_transformer_.get_feature_names_out()
    assert len(names) == model.net_.module_.first.user_tower.sparse.weight.shape[0]
    assert_gone(clone(model), theirs)
    model.partial_fit(X[X["user"].isin(kept)].head(5))


@for_each("columns", [["user", "age"], ["age", "user"]])
def test_rows_of_a_side_table_are_gone_wherever_its_column_of_ids_is(columns):
    model = small(users=SIDE, sparse_parts=None).fit(named_events())
    model.set_params(users=SIDE[columns])
    left = model.forget_users(GONE).users
    assert left.columns.tolist() == columns
    assert left["user"].tolist() == [u for u in SIDE["user"] if u not in GONE]


@pytest.mark.slow
def test_a_side_table_that_was_replaced_is_filtered_as_well():
    model = small(users=SIDE).fit(named_events())
    model.set_params(users=pl.DataFrame(SIDE[["user", "age"]].to_dict("list")))
    model.forget_users(GONE)
    assert model.users["user"].is_in(GONE).sum() == 0
    assert_gone(model)
    model.set_params(users="people")
    with pytest.raises(TypeError, match="users must be a dataframe.* Got str"):
        model.forget_users(["u2"])
    assert "u2" in model.user_ids_


class Summed(torch.nn.Module):
    """A tower whose weights are in no linear layer."""

    def __init__(self, n_features):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(n_features, 4))

    def forward(self, rows):
        return torch.sparse.mm(rows, self.table)


class Misleading(torch.nn.Module):
    """A tower whose layer of that width does not see the input first."""

    def __init__(self, n_features):
        super().__init__()
        self.second = torch.nn.Linear(n_features, 4)
        self.table = torch.nn.Parameter(torch.randn(n_features, n_features))

    def forward(self, rows):
        return self.second(torch.sparse.mm(rows, self.table))


@pytest.mark.slow
def test_own_towers():
    X = named_events()
    linear = torch.nn.Sequential(
        torch.nn.LazyLinear(6), torch.nn.ReLU(), torch.nn.Linear(6, 8)
    )
    model = small(user_tower=linear).fit(X)
    kept = [user for user in model.user_ids_ if user not in GONE]
    before = model.recommend(kept, 9)
    model.forget_users(GONE)
    assert model.net_.module_.first.user_tower.module[0].in_features == 10
    pd.testing.assert_frame_equal(model.recommend(kept, 9), before, atol=1e-6)
    assert_gone(model)
    for tower in (Summed, Misleading):
        model = small(user_tower=tower, embedding_dim=4).fit(X)
        before = model.recommend(GONE)
        with pytest.raises(ValueError, match="user_tower has no torch.nn.Linear that"):
            model.forget_users(GONE)
        pd.testing.assert_frame_equal(model.recommend(GONE), before)


@pytest.mark.slow
@for_each("share", [0, 0.3])
def test_weights_of_shared_columns_that_nobody_else_has_are_gone(share):
    # only zelda-31 has a rare level, no age and a value of the other number
    users = sorted(named_events()["user"].unique())
    theirs = np.array(users) == GONE[0]
    table = pd.DataFrame(
        {
            "user": users,
            "level": np.where(theirs, "rare", "plain"),
            "age": np.where(theirs, np.nan, np.arange(12.0)),
            "debt": np.where(theirs, 5.0, np.nan),
        }
    )
    kinds = {"level": "category", "debt": "number"}
    encoder = TowerVectorizer(kinds=kinds, max_features=1, n_hashed=1)
    params = {"users": table, "user_transformer": encoder}
    params["net_params"] = {"iterator_train__feature_dropout": 0}
    model = ordered(history=RecentHistory(second_share=share), **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two levels one is hashed
        model.fit(events_for(model))
    kept = [user for user in users if user != GONE[0]]
    before = model.embed_users(kept)
    model.forget_users(GONE[:1])
    assert_array_equal(model.embed_users(kept), before)
    names = model.user_transformer_.get_feature_names_out()
    rare = [name in ("level_hash0", "age_missing", "debt") for name in names]
    assert sum(rare) == 3
    parts = model.net_.module_.parts
    assert len(parts) == (2 if share else 1)
    for part in parts:
        cleared = (part.user_tower.sparse.weight == 0).all(1).numpy()
        assert_array_equal(cleared, rare)


@pytest.mark.slow
def test_another_transformer_is_warned_about():
    encoder = ColumnTransformer(
        [("id", OneHotEncoder(handle_unknown="ignore"), ["user"])]
    )
    model = small(user_transformer=encoder).fit(named_events())
    theirs = np.isin(model.user_ids_, GONE)
    with pytest.warns(UserWarning, match="user_transformer is a ColumnTransformer, wh"):
        model.forget_users(GONE)
    assert "zelda-31" not in model.user_ids_
    cleared = (model.net_.module_.first.user_tower.sparse.weight == 0).all(1).numpy()
    assert_array_equal(cleared, theirs)


def test_ids_in_any_form(fitted):
    table = pd.DataFrame({"user": GONE})
    for users in (GONE, np.array(GONE), pd.Series(GONE), table, pl.DataFrame(table)):
        model = copy.deepcopy(fitted).forget_users(users)
        assert len(model.user_ids_) == 10
    model = copy.deepcopy(fitted).forget_users(GONE[:1])
    assert_gone(model, GONE[:1])
    assert len(model.user_ids_) == 11


def test_unknown_users_are_warned_about(model):
    with pytest.warns(UserWarning, match="The user 'nobody' is not known"):
        model.forget_users(["nobody", GONE[0], GONE[0]])
    assert len(model.user_ids_) == 11
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.forget_users([])
    many = [f"absent{i}" for i in range(20)]
    with pytest.warns(UserWarning) as caught:
        model.forget_users(many)
    assert sum(str(caught[0].message).count(f"'{name}'") for name in many) == 5


def test_bad_calls(model):
    before = bytes_of(model)
    with pytest.raises(ValueError, match="would leave none of 12 users"):
        model.forget_users(model.user_ids_)
    with pytest.raises(TypeError, match="users must be ids or a table of users"):
        model.forget_users(None)
    with pytest.raises(TypeError, match=r"write \['zelda-31'\]"):
        model.forget_users("zelda-31")
    with pytest.raises(ValueError, match="users contains NaN"):
        model.forget_users([None])
    with pytest.raises(ValueError, match="users has no column 'user'"):
        model.forget_users(pd.DataFrame({"person": GONE}))
    assert bytes_of(model) == before
    for method in ("forget_users", "seen_items"):
        with pytest.raises(NotFittedError):
            getattr(clone(model), method)(GONE)


def test_a_request_next_to_it_sees_all_or_nothing(fitted):
    models = [copy.deepcopy(fitted) for _ in range(8)]
    before, after = fitted, copy.deepcopy(fitted).forget_users(GONE)
    expected = [m.recommend([GONE[0], "u5"], 4) for m in (before, after)]
    found, current, stop = [], [models[0]], threading.Event()

    def ask():
        while not stop.is_set():
            found.append(current[0].recommend([GONE[0], "u5"], 4))

    thread = threading.Thread(target=ask)
    thread.start()
    for model in models:
        current[0] = model
        model.forget_users(GONE)
    stop.set()
    thread.join()
    assert found and all(any(f.equals(e) for e in expected) for f in found)


# Messages


def test_errors_and_warnings_name_at_most_five_users(model):
    many = [f"person{i:02}" for i in range(30)]
    lists = {user: ["i1"] for user in many}

    def named(text):
        return sum(user in text for user in many)

    calls = [
        lambda: model.recommend(lists),
        lambda: model.kneighbors(lists),
        lambda: model.recommend(many, candidates=lists | {"x": 3}),
        lambda: model.recommend(many, exclude=lists | {"x": 3}),
        lambda: model.recommend(many, history=lists | {"x": "i1"}),
        lambda: model.recommend(["u1"], candidates=[many, many]),
        lambda: model.seen_items(lists),
        lambda: model.forget_users(lists),
    ]
    if hasattr(model, "explain"):
        calls.append(lambda: model.explain(many, "i1"))
        calls.append(lambda: model.explain(lists, "i1"))
    for call in calls:
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert named(str(caught.value)) <= 5
    with pytest.warns(UserWarning) as caught:
        model.recommend(["u1"], candidates=lists)
    assert all(named(str(warning.message)) <= 5 for warning in caught)
