"""Explanations add up to the score, and tell what was planted."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from torch import nn

from sktwotower import TowerVectorizer, TwoTowerRecommender
from sktwotower.towers._sparse_rows import SparseRows
from sktwotower.towers.parts import Pair, PastOfOne, embed_items, embed_users
from sktwotower.towers.parts._tower import Tower
from tests.builders import first_fast, small


def tables():
    users = pd.DataFrame({"user": [f"u{g}{i}" for g in range(2) for i in range(10)]})
    users["age"] = np.linspace(20, 60, 20)
    items = pd.DataFrame({"item": [f"i{g}{i}" for g in range(2) for i in range(6)]})
    items["genres"] = ["Action|Comedy", "Drama", "Action|Drama"] * 4
    return {"users": users, "items": items}


def own_tower(n_features):
    layers = nn.Linear(n_features, 6), nn.Tanh(), nn.Linear(6, 8)
    return nn.Sequential(*layers)


class Densified(nn.Module):
    """Its own operator has no gradient with respect to a sparse tensor."""

    def __init__(self, n_features):
        super().__init__()
        self.linear = nn.Linear(n_features, 8)

    def forward(self, rows):
        if rows.is_sparse and rows.requires_grad:
            raise NotImplementedError("no gradient of sparse tensors")
        return self.linear(rows)


MODELS = {
    "linear": {},
    "without history": {"history": None},
    "not normalized": {"normalize": False, "neighbors": "exact"},
    "hidden": {"hidden_layer_sizes": (6, 6)},
    "own towers": {"user_tower": own_tower, "item_tower": own_tower},
    "own user tower": {"user_tower": own_tower, "history": None},
    "own item tower": {"item_tower": Densified},
}


@pytest.fixture(params=first_fast(MODELS))
def model(request, events):
    return small(**tables(), **MODELS[request.param]).fit(events)


@pytest.mark.slow
def test_a_new_item_of_which_fit_knows_no_feature_has_a_bias_alone(events):
    model = small(**tables()).fit(events)
    novel = pd.DataFrame({"item": ["novel"], "genres": ["Western"]})
    why = model.explain("u00", novel)
    assert why.loc[why["side"] == "item", "feature"].tolist() == ["(bias)"]
    score = model.embed_users(["u00"])[0] @ model.embed_items(novel)[0]
    check_sum(why, score)


def check_sum(why, score):
    assert why.attrs["score"] == pytest.approx(score, abs=1e-6)
    assert why["contribution"].sum() == pytest.approx(score, abs=1e-6)
    assert why["contribution"].abs().is_monotonic_decreasing
    columns = ["side", "feature", "value", "contribution", "reason"]
    assert why.columns.tolist() == columns
    halves = why["contribution"].groupby(why["side"] == "item").sum()
    assert halves.to_numpy() == pytest.approx(score / 2, abs=1e-6)


@pytest.mark.slow
def test_contributions_add_up_to_the_score(model, events):
    pair = events.iloc[[0]]
    user, item = pair.iloc[0]
    why = model.explain(user, item)
    check_sum(why, model.predict(pair)[0])
    past = why[why["side"] == "history"]
    chosen = set(events.loc[events["user"] == user, "item"])
    assert set(past["feature"]) == (chosen if model.history else set())
    assert (past["value"] == 0.25).all()


@pytest.mark.slow
def test_unknown_user_with_a_history_and_new_item_with_features(model):
    user = pd.DataFrame({"user": ["new"], "age": [33.0]})
    item = pd.DataFrame({"item": ["newer"], "genres": ["Drama"]})
    history = {"new": ["i00", "i13"]} if model.history else None
    why = model.explain(user, item, history)
    vector = model.embed_users(user, history) @ model.embed_items(item).T
    check_sum(why, vector[0, 0])
    assert {"age", "genres_Drama"} < set(why["feature"])
    past = set(why.loc[why["side"] == "history", "feature"]) - {"(fold-in)"}
    assert past == set(history["new"] if history else ())


@pytest.mark.slow
def test_of_an_unknown_user_the_bias_remains(events):
    model = small().fit(events)
    why = model.explain("nobody", "i00")
    vector = model.embed_users(["nobody"]) @ model.embed_items(["i00"]).T
    check_sum(why, vector[0, 0])
    assert why.loc[why["side"] == "user", "feature"].tolist() == ["(bias)"]
    one = model.explain("nobody", "i00", history=["i01"])  # a matrix with one entry
    past = one[one["side"] == "history"].iloc[0]
    assert past["value"] == 1 and past["contribution"] != 0


def dense_gradients(part, user, past, item):
    """Gradient times input over dense rows, the lengths of the vectors held fixed."""
    x, y = (torch.tensor(m.toarray(), requires_grad=True) for m in (user, item))
    weights = torch.full((1, past.shape[0]), 1 / past.shape[0], requires_grad=True)
    sums = weights @ torch.tensor(past.toarray()) @ part.history.weight

    def run(tower, rows, sums):
        if not isinstance(tower, Tower):
            return tower.module(rows) + sums
        hidden = rows @ tower.sparse.weight + tower.bias + sums
        for layer, shortcut in zip(tower.layers, tower.shortcuts, strict=True):
            hidden = shortcut(hidden) + layer(hidden.relu())
        return hidden

    a, c = run(part.user_tower, x, sums), run(part.item_tower, y, 0)
    score = (a * c).sum() / (a.norm() * c.norm()).detach()
    score.backward()
    return [(t.grad * t)[t != 0].detach().numpy() / 2 for t in (x, weights, y)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "hidden", "own towers", "own item tower"])
def test_contributions_are_dense_gradients_times_input(name, events):
    model = small(**tables(), **MODELS[name]).fit(events)
    part = model.net_.module_.first
    user, past, item = (
        model._fitted.users.rows[3],
        model._fitted.items.rows[[0, 2, 7]],
        model._fitted.items.rows[5],
    )
    found = part.contributions(
        Pair(user, PastOfOne(past, None, np.ones(3, bool)), item)
    )
    naive = dense_gradients(part, user, past, item)
    for mine, other in zip((found.user, found.history, found.item), naive, strict=True):
        assert mine == pytest.approx(other, abs=1e-6)


def test_the_bias_of_a_linear_tower_is_that_of_its_weights(events):
    model = small().fit(events)
    why = model.explain("u00", "i00")
    tower = model.net_.module_.first.item_tower
    row = SparseRows.from_csr(model._fitted.items.rows[0])
    with torch.no_grad():
        bias = (
            tower.bias / tower(row).norm() @ torch.tensor(model.embed_users(["u00"])).T
        )
    row = why[(why["side"] == "item") & (why["feature"] == "(bias)")]
    assert row["contribution"].item() == pytest.approx(bias.item() / 2, abs=1e-6)


def test_features_without_names_are_numbered(events):
    nameless = make_pipeline(OneHotEncoder(), FunctionTransformer())
    model = small(item_transformer=nameless).fit(events)
    why = model.explain("u00", "i10")
    found = set(why.loc[why["side"] == "item", "feature"])
    assert found == {"item_6", "(bias)"}  # i10 is the seventh of the catalog


@pytest.mark.slow
def test_new_ids_of_partial_fit_have_their_names(events):
    new = pd.DataFrame({"user": ["a new user"] * 2, "item": ["i00", "a new item"]})
    model = small().fit(events).partial_fit(new)
    why = model.explain("a new user", "a new item")
    names = {"user_a new user", "item_a new item", "i00", "a new item", "(bias)"}
    assert set(why["feature"]) == names
    assert len(model.feature_importance(new)) == 3


@pytest.mark.slow
def test_no_gradient_is_left_behind(model):
    module = model.net_.module_
    before = [p.grad for p in module.parameters()]
    with torch.no_grad():
        model.explain("u00", "i00")
    assert [p.grad for p in module.parameters()] == before
    assert all(p.requires_grad for p in module.parameters())


def test_a_tower_without_a_gradient_says_so(events):
    class Opaque(Densified):
        def forward(self, rows):
            if rows.requires_grad:
                raise RuntimeError("not differentiable")
            return self.linear(rows)

    model = small(item_tower=Opaque).fit(events)
    with pytest.raises(ValueError, match="item_tower has no gradient .* not differ"):
        model.explain("u00", "i00")


# In words


def test_the_reasons_of_a_person(events):
    names = {"i00": "Emma", "i01": "Dune", "i02": None}
    model = small(**tables()).fit(events)
    by_hand = {
        "user_u00": "taste not explained by the past",
        "item_i01": "Dune itself",
        "genres_Drama": "genres: Drama",
    }
    why = model.explain("u00", "i01", names=names)
    plain = model.explain("u00", "i01")
    pd.testing.assert_frame_equal(
        why.drop(columns="reason"), plain.drop(columns="reason")
    )
    check_sum(
        why, model.predict(pd.DataFrame([["u00", "i01"]], columns=["user", "item"]))[0]
    )
    reasons = dict(zip(why["feature"], why["reason"], strict=True))
    assert {name: reasons[name] for name in by_hand} == by_hand
    past = why[why["side"] == "history"]
    chosen = [f"chose {names.get(item) or item}" for item in past["feature"]]
    assert past["reason"].tolist() == chosen and len(past) == 4
    bias = why.loc[why["feature"] == "(bias)"].set_index("side")["reason"]
    assert bias.to_dict() == {
        "user": "what all users have in common",
        "item": "what all items have in common",
    }
    ages = why.loc[why["feature"] == "age", "reason"].tolist()
    assert ages == ["age: 20"]
    assert (
        dict(zip(plain["feature"], plain["reason"], strict=True))["item_i01"]
        == "i01 itself"
    )


def test_names_are_a_column_a_dict_or_a_series(events):
    given = tables()
    given["items"]["title"] = [f"Book {i}" for i in range(12)]
    model = small(**given).fit(events)
    named = given["items"].set_index("item")["title"]
    found = [
        model.explain("u00", "i01", names=n) for n in ("title", named, dict(named))
    ]
    assert "Book 1 itself" in set(found[0]["reason"])
    for other in found[1:]:
        pd.testing.assert_frame_equal(other, found[0])


def test_without_a_history_and_with_other_transformers(events):
    encoder = OneHotEncoder(handle_unknown="ignore")
    model = small(history=None, item_transformer=encoder).fit(events)
    why = model.explain("u00", "i00").set_index("feature")["reason"]
    assert why["user_u00"] == "this user's taste"
    assert why["item_i00"] == "item_i00"


def test_names_that_are_none_are_refused(events):
    model = small(**tables()).fit(events)
    with pytest.raises(ValueError, match="'genre' is not a column.*mean 'genres'"):
        model.explain("u00", "i00", names="genre")
    with pytest.raises(ValueError, match="'title' names a column.*without one"):
        small().fit(events).explain("u00", "i00", names="title")
    with pytest.raises(TypeError, match="names must be a column.* Got 7"):
        model.explain("u00", "i00", names=7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "user, item, error, message",
    [
        (["u00", "u01"], "i00", ValueError, "user must be one user.* Got 2"),
        (
            "u00",
            pd.DataFrame({"item": []}),
            ValueError,
            "item must be one item.* Got 0",
        ),
        ("u00", "novel", ValueError, "'novel' is not known from fit. Check the id"),
        (None, "i00", TypeError, "user must be an id, or a table of one row. Got None"),
        ("u00", {"item": "i00"}, TypeError, "item must be an id, or a table"),
        (float("nan"), "i00", ValueError, "user contains NaN"),
        (("a", 1), "i00", TypeError, "user mixes ids of different types"),
    ],
)
def test_what_is_no_pair_is_refused(events, user, item, error, message):
    model = small().fit(events)
    with pytest.raises(error, match=message):
        model.explain(user, item)


@pytest.fixture(scope="module")
def planted():
    """Users like one of three genres; ids are hidden and noise says nothing."""
    rng = np.random.default_rng(0)
    items = pd.DataFrame({"item": np.arange(60), "genre": list("abc") * 20})
    items["noise"] = rng.normal(size=60)
    items["empty"] = [None] * 60
    users = pd.DataFrame({"user": np.arange(90), "likes": list("abc") * 30})
    rows = [
        (user, item)
        for user in range(90)
        for item in rng.choice(np.arange(user % 3, 60, 3), 6, replace=False)
    ]
    X = pd.DataFrame(rows, columns=["user", "item"]).sample(frac=1, random_state=0)
    kinds = {"genre": "category", "noise": "number"}
    model = TwoTowerRecommender(
        users=users,
        items=items,
        item_transformer=TowerVectorizer(kinds=kinds | {"item": "drop"}),
        user_transformer=TowerVectorizer(kinds={"user": "drop"}),
        embedding_dim=8,
        max_epochs=15,
        net_params={"iterator_train__feature_dropout": 0.0},
        random_state=0,
    )
    return model.fit(X[:450]), X[450:]


@pytest.mark.slow
def test_the_planted_column_is_the_one_that_counts(planted):
    model, X = planted
    importance = model.feature_importance(X)
    names = ["side", "column", "recall_lost", "lower", "upper"]
    assert importance.columns.tolist() == names
    sides = sorted(zip(importance["side"], importance["column"], strict=True))
    columns = {"item": ["empty", "genre", "item", "noise"], "history": ["history"]}
    columns["user"] = ["likes", "user"]
    assert sides == sorted((s, c) for s in columns for c in columns[s])
    assert importance["recall_lost"].is_monotonic_decreasing
    first = importance.iloc[0]
    assert first["column"] == "genre" and first["lower"] > 0.05
    rows = importance.set_index("column")
    assert rows.loc["noise", "lower"] <= rows.loc["noise", "upper"] < first["lower"]
    assert importance.attrs["n_neighbors"] == 10
    assert importance.attrs["recall"] == pytest.approx(model.score(X))
    for column in ("empty", "item", "user"):  # what is not there cannot be lost
        assert (rows.loc[column, ["recall_lost", "lower", "upper"]] == 0).all()


@pytest.mark.slow
def test_recall_lost_is_that_of_an_item_table_without_the_column(planted):
    model, X = planted
    importance = model.feature_importance(X, n_neighbors=5)
    lost = importance.set_index("column").loc["genre", "recall_lost"]
    rows = model._fitted.items.rows.toarray()
    names = model.item_transformer_.get_feature_names_out().astype(str)
    rows[:, np.char.startswith(names, "genre")] = 0
    blank = sparse.csr_matrix(rows)
    module, values = model.net_.module_, []
    vectors = embed_items(module, blank[:-1])
    for user, events in X.groupby("user"):
        past = model._fitted.seen[user]
        vector = embed_users(module, model._fitted.users.rows[user], past, blank)[0]
        scores = vectors @ vector
        truth = set(events["item"])
        scores[list(set(past.indices) - truth)] = -np.inf
        top = np.argsort(-scores, kind="stable")[:5]
        values.append(len(truth & set(top)) / len(truth))
    assert importance.attrs["recall"] - lost == pytest.approx(np.mean(values), abs=1e-3)


@pytest.mark.slow
def test_groups_are_dropped_together(planted):
    model, X = planted
    groups = {"items": ["genre", "noise"], "taste": ["likes", "history"]}
    importance = model.feature_importance(X, groups=groups)
    found = dict(zip(importance["column"], importance["side"], strict=True))
    assert found == {
        "items": "item",
        "taste": "user+history",
        "empty": "item",
        "item": "item",
        "user": "user",
    }
    alone = model.feature_importance(X, groups={"g": ["genre"]}).set_index("column")
    single = model.feature_importance(X).set_index("column")
    figures = ["recall_lost", "lower", "upper"]
    assert alone.loc["g", figures].equals(single.loc["genre", figures])


@pytest.mark.slow
def test_a_sample_of_users_is_the_same_for_all_columns(planted):
    model, X = planted
    sampled = [
        model.feature_importance(X, max_users=20, random_state=1) for _ in range(2)
    ]
    pd.testing.assert_frame_equal(*sampled)
    assert (sampled[0].set_index("column").loc["empty", "recall_lost"]) == 0
    one = model.feature_importance(X, max_users=1, random_state=1)
    assert one.loc[one["column"] == "genre", ["lower", "upper"]].isna().all(axis=None)


def test_nothing_of_the_estimator_changes(planted):
    model, X = planted
    before = dict(vars(model))
    arrays = [
        m.copy()
        for m in (
            model._fitted.items.rows,
            model._fitted.users.rows,
            model._fitted.seen,
        )
    ]
    vectors = model.item_embeddings_.copy()
    model.explain(X["user"].iloc[0], X["item"].iloc[0])
    model.feature_importance(X, groups={"all": ["genre", "likes", "history"]})
    assert vars(model) == before
    for now, then in zip(
        (model._fitted.items.rows, model._fitted.users.rows, model._fitted.seen),
        arrays,
        strict=True,
    ):
        assert (now != then).nnz == 0 and now.nnz == then.nnz
    assert np.array_equal(model.item_embeddings_, vectors)


def with_transformer(transformer, planted, **params):
    model, X = planted
    fitted = small(items=model.items, item_transformer=transformer, **params)
    return fitted.fit(X), X


@pytest.mark.slow
def test_a_column_transformer_loses_blocks(planted):
    transformer = make_column_transformer(
        (OneHotEncoder(), ["genre"]), (StandardScaler(), ["noise"])
    )
    model, X = with_transformer(transformer, planted)
    rows = model.feature_importance(X).set_index("column")
    assert rows.loc["item", "recall_lost"] == 0  # it is not encoded
    assert rows.loc["genre", "recall_lost"] != 0


@pytest.mark.slow
def test_other_transformers_see_missing_cells(planted):
    mixed = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["genre"]),
            (SimpleImputer(), ["noise"]),
        ),
        PCA(4, random_state=0),
    )
    model, X = with_transformer(mixed, planted)
    rows = model.feature_importance(X).set_index("column")
    assert abs(rows.loc["item", "recall_lost"]) < 0.01  # it is not encoded
    assert rows.loc["genre", "recall_lost"] != 0


@pytest.mark.slow
def test_another_catalog_is_not_taken_for_that_of_fit(planted):
    scaled = make_column_transformer((StandardScaler(), ["item", "noise"]))
    model, X = with_transformer(scaled, planted)
    model.set_catalog(model.items.assign(noise=lambda table: table["noise"] + 1))
    with pytest.raises(ValueError, match="differ from those in the table of fit"):
        model.feature_importance(X)
    model.set_catalog(model.items.assign(item=lambda table: table["item"] + 30))
    with pytest.raises(ValueError, match="differ from those in the table of fit"):
        model.feature_importance(X)


def test_an_unmixed_side_is_left_alone(planted):
    X = planted[1].assign(hour=np.arange(len(planted[1])) % 5)
    mixed = make_column_transformer((StandardScaler(), ["item", "hour"]))
    model = small(item_features=["hour"], item_transformer=mixed)
    model.fit(X.drop_duplicates("item"))
    pair = {"both": ["item", "hour"]}
    rows = model.feature_importance(X, groups=pair).set_index("column")
    assert set(rows.index) == {"both", "user", "history"}


@pytest.mark.slow
def test_a_transformer_that_cannot_do_without_a_column_says_so(planted):
    mixed = make_pipeline(make_column_transformer((StandardScaler(), ["noise"])), PCA())
    model, X = with_transformer(mixed, planted)
    with pytest.raises(ValueError, match=r"Cannot remove \['noise'\]: .* it fails"):
        model.feature_importance(X)


@pytest.mark.slow
def test_columns_of_events_are_dropped_too(planted):
    X = planted[1].assign(hour=np.arange(len(planted[1])) % 5)
    model = small(user_features=["hour"]).fit(X.drop_duplicates("user"))
    importance = model.feature_importance(X)
    assert ["user", "hour"] in importance[["side", "column"]].values.tolist()
    mixed = make_column_transformer(
        (make_pipeline(StandardScaler(), SimpleImputer()), ["user", "hour"])
    )
    model = small(user_features=["hour"], user_transformer=mixed)
    model.fit(X.drop_duplicates("user"))
    assert len(model.feature_importance(X)) == 4


@pytest.mark.slow
def test_columns_of_items_that_only_events_held_cannot_be_told_apart(planted):
    X = planted[1].assign(hour=np.arange(len(planted[1])) % 5)
    mixed = make_column_transformer((StandardScaler(), ["item", "hour"]))
    model = small(item_features=["hour"], item_transformer=mixed)
    model.fit(X.drop_duplicates("item"))
    with pytest.raises(ValueError, match="not kept after fit. Use TowerVectorizer"):
        model.feature_importance(X)


@pytest.mark.slow
def test_arrays_name_columns_by_position(events):
    model = small().fit(events.to_numpy())
    importance = model.feature_importance(events.to_numpy())
    assert set(importance["side"]) == {"user", "item", "history"}
    ids = {"ids": importance.loc[importance["side"] != "history", "column"].tolist()}
    grouped = model.feature_importance(events.to_numpy(), groups=ids)
    assert set(grouped["column"]) == {"ids", "history"}


@pytest.mark.parametrize(
    "groups, error, message",
    [
        ([["genre"]], TypeError, "groups must be a dict .* Got list"),
        ({"g": "genre"}, TypeError, r"write \['genre'\] for a single column"),
        ({"g": ["gender"]}, ValueError, "Got 'gender' in 'g'.* mean 'genre'"),
        ({"g": []}, ValueError, "Got no column in 'g'"),
    ],
)
def test_groups_that_are_none_are_refused(planted, groups, error, message):
    model, X = planted
    with pytest.raises(error, match=message):
        model.feature_importance(X, groups=groups)


def test_bad_arguments_are_refused(planted):
    model, X = planted
    with pytest.raises(ValueError, match="no positive event"):
        model.feature_importance(X, y=np.zeros(len(X)))
    with pytest.raises((TypeError, ValueError), match="n_neighbors"):
        model.feature_importance(X, n_neighbors=0)
