"""What columns are worth: what was planted is found, and bad input is refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktwotower import EASERecommender, TowerVectorizer, TwoTowerRecommender
from sktwotower.inspection import feature_importance
from tests.builders import small
from tests.cases import for_each


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
    vectors = model.item_embeddings_.copy()
    model.explain(X["user"].iloc[0], X["item"].iloc[0])
    model.feature_importance(X, groups={"all": ["genre", "likes", "history"]})
    assert vars(model) == before
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


@for_each(
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


def test_models_without_towers_are_refused(planted):
    _, X = planted
    model = EASERecommender().fit(X)
    with pytest.raises(TypeError, match="be a TwoTowerRecommender. Got EASERecommend"):
        feature_importance(model, X)


def test_bad_arguments_are_refused(planted):
    model, X = planted
    with pytest.raises(ValueError, match="no positive event"):
        model.feature_importance(X, y=np.zeros(len(X)))
    with pytest.raises((TypeError, ValueError), match="n_neighbors"):
        model.feature_importance(X, n_neighbors=0)
