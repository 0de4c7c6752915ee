"""What is asked of a fitted TwoTowerRecommender, against brute force."""

import copy
import errno
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyarrow import parquet
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from sktwotower.towers import PooledHistory
from tests.builders import random_events, small
from tests.cases import for_each
from tests.choices import pairwise


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"history": None, "normalize": False},
        {"neighbors": NearestNeighbors()},
    ],
    ids=["default", "dot", "index"],
)
def fitted_in_some_way(request):
    return small(**request.param).fit(random_events())


@pytest.fixture
def model(fitted_in_some_way):
    return copy.copy(fitted_in_some_way)


@pytest.fixture(scope="module")
def fitted():
    return small().fit(random_events())


@pytest.fixture
def plain(fitted):
    # a copy may get another catalog: what is fitted is replaced as a whole
    return copy.copy(fitted)


def brute_force(model, users, k, exclude_seen=True, candidates=None, X=None):
    """Rank by the dot products of the public vectors, one user after the other."""
    X = random_events() if X is None else X
    scores = model.embed_users(users) @ model.item_embeddings_.T
    ranked = []
    for user, row in zip(users, scores, strict=True):
        left = set(candidates if candidates is not None else model.item_ids_)
        if exclude_seen:
            left -= set(X.loc[X["user"] == user, "item"])
        order = [i for i in np.argsort(-row) if model.item_ids_[i] in left][:k]
        ranked += [
            (user, model.item_ids_[i], row[i], rank) for rank, i in enumerate(order, 1)
        ]
    return pd.DataFrame(ranked, columns=["user", "item", "score", "rank"])


def assert_ranking(answer, expected):
    if isinstance(answer, pl.DataFrame):
        answer = answer.to_pandas()
    assert list(answer) == ["user", "item", "score", "rank"]
    pd.testing.assert_frame_equal(answer, expected, check_dtype=False, atol=1e-5)


# Agreement of the methods


LENGTHS = [(1, True), (3, False), (50, True)]


def test_recommend_is_brute_force(model):
    for k, exclude in LENGTHS:
        users = list(model.user_ids_)
        answer = model.recommend(n_neighbors=k, exclude_seen=exclude)
        assert_ranking(answer, brute_force(model, users, k, exclude))


def test_recommend_and_kneighbors_and_the_graph_agree(model):
    users = ["u3", "u0", "u7", "u3"]
    distances, indices = model.kneighbors(users, n_neighbors=4)
    answer = model.recommend(users, n_neighbors=4)
    found = indices >= 0
    assert distances.shape == indices.shape == (4, 4)
    assert_array_equal(answer["item"], model.item_ids_[indices[found]])
    assert_allclose(answer["score"], 1 - distances[found], atol=1e-6)
    assert_array_equal(model.kneighbors(users, 4, return_distance=False), indices)
    for mode in ("connectivity", "distance"):
        graph = model.kneighbors_graph(users, 4, mode=mode)
        assert graph.shape == (4, 9)
        rows, columns = np.nonzero(found)
        expected = np.ones(found.sum()) if mode == "connectivity" else distances[found]
        assert_allclose(
            graph.toarray()[rows, indices[rows, columns]], expected, atol=1e-6
        )
        assert graph.nnz == found.sum()


def test_predict_is_the_dot_product_of_the_vectors(model):
    X = random_events()
    users, items = model.embed_users(X["user"]), model.embed_items(X["item"])
    assert_allclose(model.predict(X), (users * items).sum(axis=1), atol=1e-5)
    assert_allclose(model.transform(X), users, atol=1e-6)
    assert_allclose(model.embed_items(model.item_ids_), model.item_embeddings_)
    answer = model.recommend(n_neighbors=9)
    assert_allclose(model.predict(answer[["user", "item"]]), answer["score"], atol=1e-5)


def test_score_is_recall_of_the_brute_force_ranking(model):
    X = random_events()
    held_out = pd.DataFrame(
        {
            "user": ["u1", "u1", "u2", "u2", "u2", "u5", "new"],
            "item": ["i0", "gone", "i0", "i1", "i8", "gone", "i4"],
        }
    )
    weight = np.array([1.0, 1, 1, 1, 3, 1, 1])
    recalls, weighted = [], []
    for user in ["u1", "u2", "u5", "new"]:  # what u5 chose can only be missed
        mine = held_out["user"] == user
        own = held_out.loc[mine, "item"]
        other = X[(X["user"] != user) | ~X["item"].isin(own)]
        ranking = brute_force(model, [user], 3, X=other)["item"]
        recalls.append(own.isin(ranking).mean())
        weighted.append(np.average(own.isin(ranking), weights=weight[mine]))
    model.set_params(n_neighbors=3)
    assert model.score(held_out) == pytest.approx(np.mean(recalls))
    assert model.score(held_out, sample_weight=weight) == pytest.approx(
        np.mean(weighted)
    )
    assert model.score(held_out, weight) == pytest.approx(np.mean(recalls))
    negatives = pd.DataFrame({"user": ["u1"], "item": ["i5"]})
    both = pd.concat([held_out, negatives])
    assert model.score(both, np.r_[np.ones(7), 0]) == pytest.approx(np.mean(recalls))


@pytest.mark.slow
def test_a_training_score_counts_the_seen_items(plain):
    assert plain.set_params(n_neighbors=9).score(random_events()) == 1.0
    held_out = random_events().iloc[:1]
    assert plain.set_params(exclude_seen=False).score(held_out) == 1.0


def test_one_row_and_many_rows_give_the_same_vector(model):
    users = list(model.user_ids_)
    alone = np.vstack([model.embed_users([user]) for user in users])
    assert_allclose(model.embed_users(users), alone, atol=1e-6)


# Who asks


def test_none_means_all_users_in_their_order(plain):
    for answer in (plain.kneighbors(), plain.kneighbors(plain.user_ids_)):
        assert_array_equal(answer[1], plain.kneighbors(list(plain.user_ids_))[1])
    assert_array_equal(plain.recommend(n_neighbors=9)["user"].unique(), sorted(
        set(plain.user_ids_) - {"u0"}
    ))  # fmt: skip


CONTAINERS = [
    ["u2", "u1"],
    np.array(["u2", "u1"]),
    np.array([["u2"], ["u1"]]),
    pd.Series(["u2", "u1"], index=[5, 5]),
    pd.Series(["u2", "u1"], dtype="category"),
    pd.Index(["u2", "u1"]),
    pd.DataFrame({"user": ["u2", "u1"]}),
    pd.DataFrame({"other": [1, 2], "user": ["u2", "u1"]}, index=[3, 3]),
    pl.DataFrame({"user": ["u2", "u1"]}),
    pl.Series(["u2", "u1"]),
    (user for user in ["u2", "u1"]),
]


def test_users_come_in_any_container(plain):
    for users in CONTAINERS:
        answer = plain.recommend(users, n_neighbors=2)
        answer = answer.to_pandas() if isinstance(answer, pl.DataFrame) else answer
        pd.testing.assert_frame_equal(
            answer, plain.recommend(["u2", "u1"], n_neighbors=2)
        )


def test_nobody_asks(plain):
    for nobody in (
        [],
        np.array([]),
        pd.Series([], dtype=object),
        random_events().iloc[:0],
    ):
        answer = plain.recommend(nobody)
        assert answer.shape == (0, 4)
        assert list(answer) == ["user", "item", "score", "rank"]
        distances, indices = plain.kneighbors(nobody)
        assert distances.shape == indices.shape == (0, 9)
        assert plain.kneighbors_graph(nobody).shape == (0, 9)
        assert plain.embed_users(nobody).shape == (0, 8)
    assert plain.embed_items([]).shape == (0, 8)
    assert plain.similar_items([]).shape == (0, 4)


def test_an_unknown_user_gets_the_answer_to_an_empty_row(plain):
    unknown = plain.embed_users(["stranger", "somebody"])
    assert_array_equal(unknown[0], unknown[1])
    assert_allclose(np.linalg.norm(unknown, axis=1), 1, atol=1e-6)
    answer = plain.recommend(["stranger"], n_neighbors=20)
    assert len(answer) == 9
    assert_ranking(answer, brute_force(plain, ["stranger"], 20))


def test_who_has_seen_everything_gets_padding_and_no_rows(plain):
    distances, indices = plain.kneighbors(["u0"], n_neighbors=3)
    assert_array_equal(indices, [[-1, -1, -1]])
    assert np.isposinf(distances).all()
    assert plain.recommend(["u0"]).empty
    assert plain.kneighbors_graph(["u0"]).nnz == 0
    assert len(plain.recommend(["u0"], exclude_seen=False)) == 9


@pytest.mark.parametrize("k", [10**9])
def test_more_neighbors_than_items_are_as_many_as_there_are(model, k):
    distances, indices = model.kneighbors(["u1"], n_neighbors=k)
    left = 9 - (random_events()["user"] == "u1").sum()
    assert distances.shape == indices.shape == (1, 9)
    assert (indices[0, :left] >= 0).all() and (indices[0, left:] == -1).all()
    assert np.isfinite(distances[0, :left]).all()
    assert np.isposinf(distances[0, left:]).all()
    assert (np.diff(distances[0, :left]) >= 0).all()
    answer = model.recommend(["u1"], n_neighbors=k)
    assert_array_equal(answer["rank"], np.arange(1, left + 1))


def test_types_are_those_promised(plain):
    distances, indices = plain.kneighbors(["u1"])
    assert (distances.dtype, indices.dtype) == (np.float32, np.int64)
    assert (
        plain.transform(random_events()).dtype == plain.predict(random_events()).dtype
    )
    assert plain.transform(random_events()).dtype == np.float32
    assert isinstance(plain.score(random_events()), float)


# Candidates and history


CANDIDATES = [
    ["i8", "i1", "i2", "i1"],
    pd.Index(["i1", "i2", "i8"]),
    {"i1", "i2", "i8"},
    pl.Series(["i1", "i2", "i8"]),
]


def test_candidates_are_all_that_is_recommended(model):
    for candidates in CANDIDATES:
        users = list(model.user_ids_)
        answer = model.recommend(users, n_neighbors=2, candidates=candidates)
        expected = brute_force(model, users, 2, candidates={"i1", "i2", "i8"})
        assert_ranking(answer, expected)


def test_no_candidates_no_rows(plain):
    assert plain.recommend(["u1"], candidates=[]).shape == (0, 4)


OWN_CANDIDATES = {"u1": ["i8", "i1", "i1"], "u3": ["i0", "i2", "i5"], "u0": ["i1"]}
PAIRS = [(user, item) for user, items in OWN_CANDIDATES.items() for item in items]


FORMS = [
    OWN_CANDIDATES,
    np.array(PAIRS),
    pd.DataFrame(PAIRS, columns=["user", "item"])[["item", "user"]],
    pl.DataFrame(PAIRS, schema=["user", "item"], orient="row"),
]


@pytest.mark.parametrize("exclude", [True, False])
def test_each_user_may_have_candidates_of_their_own(model, exclude):
    for candidates in FORMS:
        users = ["u3", "u2", "u1", "u0", "u1"]
        answer = model.recommend(
            users, n_neighbors=2, candidates=candidates, exclude_seen=exclude
        )
        expected = [
            brute_force(model, [user], 2, exclude, OWN_CANDIDATES.get(user, []))
            for user in users
        ]
        assert_ranking(answer, pd.concat(expected, ignore_index=True))
        assert "u2" not in set(answer["user"])


def test_candidates_of_other_users_are_warned_about(plain):
    with pytest.warns(
        UserWarning, match="no entry for any requested user: it has 'u1'"
    ):
        assert len(plain.recommend(["u2"], candidates={"u1": ["i1"]})) == 0


GONE = [[], ["i1"]]


def test_unknown_candidates_are_named_or_ignored(plain):
    for gone in GONE:
        if gone:
            plain.set_catalog(plain.item_ids_[~np.isin(plain.item_ids_, gone)])
        asked = ["i2", "what", *gone]
        with pytest.raises(
            ValueError, match="candidates are not in the catalog of .*what"
        ):
            plain.recommend(["u1"], candidates=asked)
        for candidates in (asked, {"u1": asked}):
            answer = plain.recommend(
                ["u1"],
                candidates=candidates,
                unknown_candidates="ignore",
                exclude_seen=False,
            )
            assert list(answer["item"]) == ["i2"]
        nothing = plain.recommend(
            ["u1"], candidates=["what"], unknown_candidates="ignore"
        )
        assert nothing.shape == (0, 4)


@pytest.mark.parametrize("own", [None, OWN_CANDIDATES, ["i1", "i4", "i7"]])
def test_recommendations_written_to_parquet(plain, tmp_path, own):
    file, history = tmp_path / "all.parquet", {"u3": ["i3"], "u11": ["i1"]}
    params = {"n_neighbors": 4, "candidates": own, "history": history}
    users = plain.user_ids_
    assert plain.recommend(users, path=file, **params) is None
    written = pd.read_parquet(file)
    pd.testing.assert_frame_equal(written, plain.recommend(users, **params))
    assert len(written) and [p.name for p in tmp_path.iterdir()] == ["all.parquet"]
    plain.recommend(path=file, candidates=[])
    assert pd.read_parquet(file).shape == (0, 4)


@pytest.fixture(scope="module")
def many():
    """Users who are answered in three parts, of whom the first have no rows."""
    return np.array(["u0"] * 8192 + ["u3"] * 8192 + ["u1"] * 5)


@pytest.mark.slow
def test_a_parquet_file_is_written_in_parts(plain, many, tmp_path):
    file = tmp_path / "some.parquet"
    plain.recommend(many, 2, path=file)
    written = pd.read_parquet(file)
    pd.testing.assert_frame_equal(written, plain.recommend(many, 2))
    assert set(written["user"]) == {"u1", "u3"}


@pytest.mark.slow
@pytest.mark.parametrize("convert", [Fraction, lambda i: 10**20 + i])
def test_ids_that_parquet_cannot_hold(tmp_path, convert):
    X = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 2, 3]})
    X["user"] = pd.Series([convert(user) for user in X["user"]], dtype=object)
    model = small(max_epochs=1).fit(X)
    with pytest.raises(TypeError, match="Parquet, which has no type for these ids: "):
        model.recommend(path=tmp_path / "all.parquet")
    assert not list(tmp_path.iterdir())


OTHER_FORMATS = ["all.csv", "all.parquet.gz", "all.json"]


def test_a_file_that_is_called_another_format_is_refused(plain, tmp_path):
    for name in OTHER_FORMATS:
        path = tmp_path / name
        with pytest.raises(
            ValueError, match=f"path must end in .parquet or .pq.*{name}"
        ):
            plain.recommend(["of nobody"], 0, path=path)
        assert not path.exists()
        with pytest.raises(TypeError, match="path must be a str or a path-like.*Got 3"):
            plain.recommend(["of nobody"], 0, path=3)


PARQUET_NAMES = ["all", "all.pq", "all.PARQUET"]


def test_names_of_parquet_files(plain, tmp_path):
    for name in PARQUET_NAMES:
        plain.recommend(["u1"], path=str(tmp_path / name))
        assert len(pd.read_parquet(tmp_path / name))


@pytest.mark.slow
def test_a_parquet_file_is_whole_or_the_one_before(plain, many, tmp_path, monkeypatch):
    file = tmp_path / "all.parquet"
    plain.recommend(n_neighbors=1, path=file)
    before, calls = file.read_bytes(), []

    def disk_is_full(writer, table, **options):
        calls.append(write(writer, table, **options))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    write = parquet.ParquetWriter.write_table
    monkeypatch.setattr(parquet.ParquetWriter, "write_table", disk_is_full)
    with pytest.raises(OSError, match="No space"):
        plain.recommend(many, 2, path=file)
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["all.parquet"]
    with pytest.raises(ValueError, match="holds no users: there is nothing to write"):
        plain.recommend([], path=file)
    assert [p.name for p in tmp_path.iterdir()] == ["all.parquet"]


def test_writing_a_parquet_file_follows_no_link(plain, tmp_path):
    other, file = tmp_path / "other.txt", tmp_path / "all.parquet"
    other.write_text("of somebody else")
    file.symlink_to(other)
    Path(f"{file}.part").symlink_to(other)  # a name that can be guessed
    for _ in range(2):
        plain.recommend(n_neighbors=1, path=file)
    assert other.read_text() == "of somebody else"
    assert not file.is_symlink() and len(pd.read_parquet(file)) > 0
    known = {"other.txt", "all.parquet", "all.parquet.part"}
    assert {path.name for path in tmp_path.iterdir()} == known


HISTORIES = {
    "dict": {"new": ["i1", "i4"]},
    "table": pd.DataFrame({"item": ["i1", "i4"], "user": ["new", "new"]}),
    "polars": pl.DataFrame({"item": ["i1", "i4"], "user": ["new", "new"]}),
    "array": np.array([["new", "i1"], ["new", "i4"]]),
    "items": np.array(["i1", "i4"]),
    "unknown items": {"new": ["i1", "what", "i4"]},
    "repeated items": {"new": ["i4", "i1", "i4"]},
    "other users": {"new": ("i1", "i4"), "u5": ["i2"]},
}


FORMS_OF_HISTORY = HISTORIES.values()


@pytest.mark.slow
def test_history_comes_in_any_form(plain):
    for history in FORMS_OF_HISTORY:
        answer = plain.recommend(["new"], n_neighbors=9, history=history)
        assert set(answer["item"]) == set(plain.item_ids_) - {"i1", "i4"}
        expected = plain.embed_users(["new"], history={"new": ["i1", "i4"]})
        assert_array_equal(plain.embed_users(["new"], history=history), expected)
        assert np.abs(expected - plain.embed_users(["new"])).max() > 0.01
        scores = expected @ plain.embed_items(answer["item"]).T
        assert_allclose(answer["score"], scores[0], atol=1e-6)
        both = plain.recommend(
            ["new"], n_neighbors=9, history=history, exclude_seen=False
        )
        assert set(both["item"]) == set(plain.item_ids_)


def test_a_list_is_the_history_of_one_user_in_several_rows(aged):
    pairs = pd.DataFrame({"user": "new", "item": ["i1", "i2"], "age": 21.0})
    for model in (small().fit(aged), small(user_features=["age"]).fit(aged)):
        scores = model.predict(pairs, history=["i5", "i7"])
        expected = model.predict(pairs, history={"new": ["i5", "i7"]})
        assert_array_equal(scores, expected)
        assert np.abs(scores - model.predict(pairs)).max() > 1e-3


def test_history_tells_who_asks(plain):
    history = {"new": ["i1"], "u2": ["i0"], "none": []}
    answer = plain.recommend(n_neighbors=9, history=history)
    assert list(answer["user"].unique()) == ["new", "u2", "none"]
    table = pd.DataFrame({"user": ["new", "u2", "new"], "item": ["i1", "i0", "i2"]})
    for some in (table, table.to_numpy(), pl.from_pandas(table)):
        answer = plain.recommend(n_neighbors=9, history=some)
        # a frame of polars comes back as one, whose unique() keeps no order
        assert list(dict.fromkeys(answer["user"])) == ["new", "u2"]


def test_history_is_added_to_what_fit_has_seen(plain):
    seen = set(random_events().query("user == 'u3'")["item"])
    more = sorted(set(plain.item_ids_) - seen)[0]
    answer = plain.recommend(["u3"], n_neighbors=9, history=[more])
    assert set(answer["item"]) == set(plain.item_ids_) - seen - {more}
    known = plain.embed_users(["u3"])
    assert_array_equal(plain.embed_users(["u3"], history=sorted(seen)), known)
    assert np.abs(plain.embed_users(["u3"], history=[more]) - known).max() > 1e-3


@pytest.mark.slow
def test_a_new_user_with_the_same_history_is_the_same_user():
    # a tower that sees the history alone
    nothing = FunctionTransformer(lambda table: np.zeros((len(table), 1)))
    model = small(user_transformer=nothing, history=PooledHistory(fold_in=False)).fit(
        random_events()
    )
    items = list(random_events().query("user == 'u3'")["item"])
    assert_allclose(
        model.embed_users(["new"], history={"new": items}),
        model.embed_users(["u3"]),
        atol=1e-6,
    )
    answer = model.recommend(["new"], n_neighbors=9, history=items[::-1])
    known = model.recommend(["u3"], n_neighbors=9)
    assert_array_equal(answer["item"], known["item"])


def test_without_a_history_tower_history_only_leaves_items_out():
    model = small(history=None).fit(random_events())
    assert_array_equal(
        model.embed_users(["new"], history=["i1"]), model.embed_users(["new"])
    )
    answer = model.recommend(["new"], n_neighbors=9, history=["i1"])
    assert set(answer["item"]) == set(model.item_ids_) - {"i1"}


# Tables with features


@pytest.fixture
def aged():
    X = random_events()
    X["age"] = X["user"].str[1:].astype(int) * 7.0
    return X


@pytest.mark.slow
def test_features_of_known_and_new_users_may_be_given(aged):
    model = small(user_features=["age"]).fit(aged)
    table = pd.DataFrame({"age": [21.0, 21.0], "user": ["u3", "new"]})
    given = model.embed_users(table)
    assert_allclose(given[:1], model.embed_users(["u3"]), atol=1e-6)
    other = model.embed_users(table.assign(age=60.0))
    assert np.abs(given - other).max() > 1e-3
    answer = model.recommend(table, n_neighbors=2)
    assert list(answer["user"].unique()) == ["u3", "new"]


@pytest.mark.slow
def test_features_of_events_are_used_in_transform(aged):
    model = small(user_features=["age"]).fit(aged)
    assert_allclose(model.transform(aged), model.embed_users(aged["user"]), atol=1e-6)
    assert np.abs(model.transform(aged.assign(age=1.0)) - model.transform(aged)).max()


def test_new_items_with_features_have_vectors():
    ids = [f"i{i}" for i in range(9)]
    items = pd.DataFrame({"item": ids, "tag": list("aaabbbccc")})
    model = small(items=items).fit(random_events())
    new = pd.DataFrame({"tag": ["a", "b"], "item": ["x", "y"]})
    vectors = model.embed_items(new)
    answer = model.similar_items(new, n_neighbors=2)
    assert list(answer["item"]) == ["x", "x", "y", "y"]
    scores = vectors @ model.item_embeddings_.T
    assert_array_equal(
        answer["similar_item"], model.item_ids_[np.argsort(-scores)[:, :2]].ravel()
    )
    known = items.iloc[[3, 1]]
    assert_allclose(model.embed_items(known), model.item_embeddings_[[3, 1]])


@pytest.mark.slow
def test_a_table_with_some_of_the_side_features_is_completed():
    ids = [f"i{i}" for i in range(9)]
    items = pd.DataFrame({"item": ids, "tag": list("aaabbbccc"), "price": range(9)})
    model = small(items=items).fit(random_events())
    assert_allclose(
        model.embed_items(items[["tag", "item"]]), model.item_embeddings_, atol=1e-6
    )


def test_events_may_be_of_users_and_items_that_no_side_table_has(aged):
    aged["color"] = aged["item"].map(lambda item: "rgb"[int(item[1]) % 3])
    users = pd.DataFrame({"user": aged["user"].unique()}).assign(city="a")
    items = pd.DataFrame({"item": [f"i{i}" for i in range(9)], "price": range(9)})
    columns = {"user_features": ["age"], "item_features": ["color"]}
    model = small(users=users, items=items, **columns).fit(aged)
    X = aged.head(2).assign(user=["new", "u1"], item=["i1", "other"])
    described = model.embed_users(X[:1].assign(city=None))
    assert_allclose(model.transform(X)[:1], described, atol=1e-6)
    assert np.isfinite(model.predict(X)).all()
    assert 0 <= model.score(X[:1]) <= 1
    model.forget_users(["u1"]).forget_items(["i1"])
    assert_allclose(model.transform(X)[:1], described, atol=1e-6)
    assert np.isfinite(model.predict(X)).all()
    with pytest.raises(ValueError, match="lacks the user feature 'city'. Pass all"):
        model.recommend(X[["user", "age"]])


def test_text_alone_describes_items():
    text = ["red shoe", "blue hat"] * 4 + [""]
    items = pd.DataFrame({"item": [f"i{i}" for i in range(9)], "text": text})

    def words(table):
        return table["text"]

    pipe = make_pipeline(FunctionTransformer(words), CountVectorizer())
    model = small(items=items, item_transformer=pipe).fit(random_events())
    vectors = model.item_embeddings_
    assert_allclose(vectors[0], vectors[2], atol=1e-6)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


# Similar items


def test_similar_items_are_brute_force_without_the_item_itself(model):
    answer = model.similar_items(["i4", "i0"], n_neighbors=3)
    assert list(answer) == ["item", "similar_item", "score", "rank"]
    scores = model.item_embeddings_ @ model.item_embeddings_.T
    for item in ("i4", "i0"):
        own = list(model.item_ids_).index(item)
        order = [i for i in np.argsort(-scores[own]) if i != own][:3]
        part = answer[answer["item"] == item]
        assert_array_equal(part["similar_item"], model.item_ids_[order])
        assert_allclose(part["score"], scores[own, order], atol=1e-5)
        assert list(part["rank"]) == [1, 2, 3]
    assert len(model.similar_items(["i4"], n_neighbors=100)) == 8


# Types of ids


DATES = pd.date_range("2024-01-01", periods=9)
IDS = {
    "str": [f"i{i}" for i in range(9)],
    "int64": np.arange(9) * 10 - 20,
    "uint64": np.arange(9, dtype=np.uint64) + 2**63,
    "float": np.arange(9) / 2,
    "category": pd.Categorical([f"i{i}" for i in range(9)]),
    "datetime": DATES,
    "datetime with zone": DATES.tz_localize("UTC"),
    "string": pd.array([f"i{i}" for i in range(9)], dtype="string"),
    "bytes": np.array([b"i%d" % i for i in range(9)], dtype=object),
}


@for_each("name, side", pairwise([*IDS], ["user", "item"]))
def test_ids_keep_their_type_and_are_found_again(name, side):
    ids = pd.Series(IDS[name])
    other = "item" if side == "user" else "user"
    code = np.repeat(np.arange(9), 3)
    X = pd.DataFrame({side: ids.take(code).reset_index(drop=True)})
    X[other] = (code + np.tile([0, 1, 2], 9)) % 9
    model = small(user_id="user", item_id="item").fit(X)
    known = model.user_ids_ if side == "user" else model.item_ids_
    assert sorted(known.tolist()) == sorted(np.asarray(ids).tolist())
    if ids.dtype.kind in "iufM" and ids.dtype != "category":
        assert known.dtype.kind == np.asarray(ids).dtype.kind
    assert np.isfinite(model.predict(X)).all()
    answer = model.recommend(n_neighbors=9)
    assert set(answer[side]) <= set(ids)
    merged = answer.merge(X, on=["user", "item"], how="inner")
    assert merged.empty and len(answer) == 9 * 6
    if side == "user":
        for some in (ids[:2], list(ids[:2]), X.iloc[[0, 3]]):
            asked = model.recommend(some, n_neighbors=6)
            assert len(asked) == 12
        added = model.recommend(ids[:1], n_neighbors=9, history=[3])
        assert len(added) == 5
    else:
        assert len(model.similar_items(ids[:2], n_neighbors=3)) == 6
        only = model.recommend([0], candidates=list(ids), exclude_seen=False)
        assert len(only) == 9


@pytest.mark.slow
def test_side_tables_with_other_id_types_still_match():
    X = pd.DataFrame({"user": pd.Categorical(["a", "a", "b"]), "item": [1, 2, 1]})
    items = pd.DataFrame({"item": np.array([1, 2, 3], np.int16), "tag": list("xyx")})
    users = pl.DataFrame({"user": ["b", "a"], "age": [1.0, None]})
    model = small(items=items, users=users).fit(X)
    assert list(model.user_ids_) == ["b", "a"]
    assert set(model.recommend(["b"])["item"]) == {2, 3}
    assert len(model.predict(X)) == 3


@pytest.mark.slow
def test_a_polars_table_gives_what_a_pandas_table_gives(aged):
    aged["time"] = pd.date_range("2024-01-01", periods=len(aged))
    pandas = small(user_features=["age"]).fit(aged)
    table = pl.from_pandas(aged)
    polars = small(user_features=["age"]).fit(table)
    assert_array_equal(polars.predict(table), pandas.predict(aged))
    assert polars.score(table) == pandas.score(aged)
    assert list(polars.feature_names_in_) == list(aged.columns)


@pytest.mark.slow
def test_nameless_arrays_have_users_first_and_items_second():
    X = random_events()
    model, named = small().fit(X.to_numpy(dtype=object)), small().fit(X)
    assert_array_equal(model.predict(X.to_numpy()), named.predict(X))
    answer = model.recommend(["u1"])
    pd.testing.assert_frame_equal(answer, named.recommend(["u1"]))
    assert not hasattr(model, "feature_names_in_")
    swapped = small(user_id=1, item_id=0).fit(X[["item", "user"]].to_numpy())
    assert_array_equal(swapped.item_embeddings_, named.item_embeddings_)
    integers = np.array([[1, 10], [1, 11], [2, 10]])
    model = small().fit(integers)
    assert model.item_ids_.dtype.kind == "i"
    assert list(model.recommend([2])["item"]) == [11]
    assert list(model.recommend(integers[2:])["item"]) == [11]


def test_rows_of_an_array_are_read_by_position_also_if_fit_had_names(plain, aged):
    rows = random_events().head(3)
    expected = plain.recommend(rows["user"], 2)
    pd.testing.assert_frame_equal(plain.recommend(rows.to_numpy(), 2), expected)
    pd.testing.assert_frame_equal(plain.recommend(rows.values.tolist(), 2), expected)
    model = small(user_features=["age"]).fit(aged)
    rows = aged.head(3).assign(age=50.0)
    found = model.embed_users(rows.to_numpy(dtype=object))
    assert_array_equal(found, model.embed_users(rows[["user", "age"]]))


def test_rows_in_lists_keep_numbers_next_to_text():
    rows = [[1, "tea"], [1, "jam"], [2, "tea"]]
    model = small().fit(rows)
    found = model.recommend(rows[2:])
    assert found.iloc[:, 0].tolist() == [2] and found["item"].tolist() == ["jam"]
    pd.testing.assert_frame_equal(found, model.recommend([2]))


@pytest.mark.slow
def test_nameless_tables_are_read_by_position():
    X = random_events()
    model = small().fit(X)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert_array_equal(model.predict(X.to_numpy()), model.predict(X))
    nameless = small().fit(X.to_numpy())
    with pytest.warns(UserWarning, match="X has feature names, but"):
        assert_array_equal(nameless.predict(X), model.predict(X))


@pytest.mark.slow
def test_the_index_of_a_table_plays_no_part():
    X = random_events()
    odd = X.set_axis(np.zeros(len(X)), axis="index")
    assert_array_equal(small().fit(odd).predict(odd), small().fit(X).predict(X))


@pytest.mark.slow
def test_custom_encoders_without_ids_serve_new_users():
    encoder = OneHotEncoder(handle_unknown="ignore")
    X = random_events().assign(town=lambda t: t["user"].str[-1])
    model = small(user_features="town", user_transformer=encoder).fit(X)
    answer = model.recommend(pd.DataFrame({"user": ["new"], "town": ["1"]}))
    assert len(answer) == 9


@pytest.fixture(scope="module")
def wide():
    """A model of vectors of 256 numbers, and users who take more than 64 MiB."""
    return small(embedding_dim=256).fit(random_events()), np.array(["u1"] * 70_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m, u: m.recommend(np.repeat(u, 7)), "490,000 lists of 9 items"),
        (lambda m, u: m.kneighbors(np.repeat(u, 7)), "490,000 lists of 9 items"),
        (lambda m, u: m.embed_users(u), "70,000 vectors of 256 numbers"),
        (lambda m, u: m.embed_items(u), "70,000 vectors of 256 numbers"),
        (
            lambda m, u: m.partial_fit(
                pd.DataFrame({"user": np.arange(70_000).astype(str), "item": "i1"})
            ),
            "Towers .* features of users and 9 of it",
        ),
    ],
    ids=["recommend", "kneighbors", "users", "items", "partial_fit"],
)
def test_answers_that_do_not_fit_into_memory(ask, message, wide, monkeypatch):
    monkeypatch.setenv("SKTWOTOWER_MEMORY", "64MiB")
    model, users = wide
    with pytest.raises(ValueError, match=f"{message}.* take 0.* GB, more than the 0.1"):
        ask(model, users)
    assert len(model.recommend(["u1"], 1)) == 1


@pytest.mark.slow
def test_more_pairs_have_a_score_than_vectors_fit_into_memory(wide, monkeypatch):
    monkeypatch.setenv("SKTWOTOWER_MEMORY", "64MiB")
    model, _ = wide
    pairs = random_events()[["user", "item"]]
    repeated = np.arange(70_000) % len(pairs)
    scores = model.predict(pairs.iloc[repeated])
    assert_allclose(scores, model.predict(pairs)[repeated], atol=1e-6)
