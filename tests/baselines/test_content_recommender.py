"""Content baseline: a naive twin, answers by hand, new items, changes after fit."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer

from sktwotower import (
    ContentRecommender,
    PopularityRecommender,
    TowerVectorizer,
    TwoStageRecommender,
    io,
    runtime,
)
from sktwotower.model_selection import ColdItemSplit, LastNSplit
from tests.builders import assert_passes_checks
from tests.cases import for_each
from tests.docstrings import entries, sections

NUMBERS = "abcd"
AS_THEY_ARE = make_column_transformer(("passthrough", list(NUMBERS)))
WORDS = make_column_transformer((TfidfVectorizer(sublinear_tf=True), "words"))


@pytest.mark.slow
def test_sklearn():
    assert_passes_checks(ContentRecommender())


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.uniform(size=(25, 12)) < rng.uniform(0.1, 0.9, size=12))
    rng.shuffle(pairs)
    table = pd.DataFrame(pairs, columns=["user", "item"])
    table["item"] = "i" + table["item"].astype(str)
    return table


@pytest.fixture(scope="module")
def items():
    """A table of 15 items in no order, of which 3 have no event."""
    rng = np.random.default_rng(1)
    numbers = rng.integers(-1, 4, size=(15, 4)).clip(0)
    table = pd.DataFrame(numbers.astype(float), columns=list(NUMBERS))
    table.insert(0, "item", [f"i{i}" for i in rng.permutation(15)])
    return table


def seen_of(X, model):
    users = pd.Index(model.user_ids_).get_indexer(X["user"])
    places = pd.Index(model.item_ids_).get_indexer(X["item"])
    seen = np.zeros((len(model.user_ids_), len(model.item_ids_)))
    seen[users, places] = 1
    return seen


def naive_scores(seen, features, n_similar, normalize):
    """Item by item, with loops over pairs of items."""
    if normalize:
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        features = features / np.where(lengths, lengths, 1)
    n_users, n_items = seen.shape
    scores = np.zeros((n_users, n_items))
    for j in range(n_items):
        alike = np.array([features[i] @ features[j] for i in range(n_items)])
        if n_similar is not None:
            alike = np.float32(alike)  # as ties are
            others = [i for i in range(n_items) if i != j and seen[:, i].any()]
            nearest = sorted(others, key=lambda i, s=alike: (-s[i], i))[:n_similar]
            alike[[i for i in range(n_items) if i not in nearest]] = 0
        scores[:, j] = seen @ alike
    return scores


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("n_similar", [None, 3, 100])
def test_scores_and_rankings_are_the_naive_ones(X, items, n_similar, normalize, block):
    params = {"item_transformer": AS_THEY_ARE, "normalize": normalize}
    model = ContentRecommender(items, n_similar, **params).fit(X)
    assert_array_equal(model.item_ids_, items["item"])
    seen = seen_of(X, model)
    features = items[list(NUMBERS)].to_numpy()
    scores = naive_scores(seen, features, n_similar, normalize)
    users, places = np.divmod(np.arange(scores.size), 15)
    pairs = {"user": model.user_ids_[users], "item": model.item_ids_[places]}
    predicted = model.predict(pd.DataFrame(pairs)).reshape(scores.shape)
    assert_allclose(predicted, scores, atol=1e-5)
    distances, found = model.kneighbors(n_neighbors=15)
    left = found >= 0
    assert_array_equal(left.sum(axis=1), 15 - seen.sum(axis=1))
    rows = np.nonzero(left)[0]
    assert not seen[rows, found[left]].any()
    assert_allclose(1 - distances[left], scores[rows, found[left]], atol=1e-5)
    assert all(
        (np.diff(row[kept]) >= 0).all()
        for row, kept in zip(distances, left, strict=True)
    )


TEAS = pd.DataFrame(
    {
        "item": ["sencha", "assam", "bags", "lamp", "lock", "mount"],
        "words": ["green tea", "black tea", "black tea", "bike lamp", "bike", "lamp"],
    }
)
CHOSEN = pd.DataFrame(
    {"user": ["ann", "ann", "bob"], "item": ["sencha", "assam", "lamp"]}
)
TAGS = TowerVectorizer(kinds={"words": "list"}, min_frequency=1)
HALVES = TEAS.assign(words=[text.split() for text in TEAS["words"]])


def test_scores_by_hand():
    model = ContentRecommender(HALVES, item_transformer=TAGS).fit(CHOSEN)
    asked = pd.DataFrame({"user": "ann", "item": HALVES["item"]})
    # tags of half the square each: what two share of two is a half
    assert_allclose(model.predict(asked), [1.5, 1.5, 1.5, 0, 0, 0], atol=1e-6)
    asked["user"] = "bob"
    expected = [0, 0, 0, 1, 0.5**0.5, 0.5**0.5]
    assert_allclose(model.predict(asked), expected, atol=1e-6)
    top = model.recommend(["ann", "bob"], n_neighbors=1)
    assert top["item"].tolist() == ["bags", "lock"]  # of two equal ones the first
    one = ContentRecommender(HALVES, 1, item_transformer=TAGS).fit(CHOSEN)
    # of bags the most similar item is assam, sencha counts no more
    assert_allclose(one.predict(asked.assign(user="ann"))[2], 1, rtol=1e-6)
    why = one.explain("ann", "bags")
    assert why.loc[why["contribution"] > 0, "reason"].tolist() == ["chose assam"]


def test_only_what_was_chosen_is_a_neighbor():
    # mount and lamp are alike, and nobody chose mount: of lock it is not the nearest
    table = HALVES.assign(words=HALVES["words"].where(HALVES["item"] != "mount"))
    table.loc[table["item"] == "mount", "words"] = [["bike"]]
    model = ContentRecommender(table, 1, item_transformer=TAGS).fit(CHOSEN)
    asked = pd.DataFrame({"user": ["bob"], "item": ["lock"]})
    assert_allclose(model.predict(asked), [0.5**0.5], atol=1e-6)


@pytest.fixture(scope="module")
def films():
    """Users of two tastes, and films whose words say which taste they are of."""
    rng = np.random.default_rng(0)
    kinds = [["space", "robot", "planet"], ["love", "wedding", "letters"]]
    words = [" ".join(rng.choice(kinds[i % 2], 4)) + " film" for i in range(40)]
    films = pd.DataFrame({"item": range(40), "words": words})
    pairs = [(u, i) for u in range(60) for i in rng.choice(40, 9) if u % 2 == i % 2]
    return films, pd.DataFrame(pairs, columns=["user", "item"]).drop_duplicates()


@for_each("n_similar", [None, 20])
@for_each("transformer", [None, WORDS], ids=["default", "tf-idf"])
def test_new_items_are_found_by_their_words(films, n_similar, transformer):
    table, X = films
    train, test = next(ColdItemSplit(0.3, random_state=0).split(X))
    X, later = X.iloc[train], X.iloc[test]
    later = later[later["user"].isin(X["user"])]
    how = {"item_transformer": transformer, "n_neighbors": 3}
    model = ContentRecommender(table, n_similar, **how).fit(X)
    new = later["item"].unique()
    lists = model.recommend(later["user"].unique(), candidates=new)
    assert (lists["user"] % 2 == lists["item"] % 2).all()
    alone = clone(model).fit(X).set_catalog(new)
    again = alone.recommend(later["user"].unique())
    assert_allclose(again["score"], lists["score"], rtol=1e-6)
    assert alone.score(later) > 0.2


def test_a_new_user_is_served_by_history_or_by_popularity(X, items):
    model = ContentRecommender(items, item_transformer=AS_THEY_ARE).fit(X)
    popular = PopularityRecommender().fit(X).recommend(["nobody"], n_neighbors=5)
    found = model.recommend(["nobody"], n_neighbors=5)
    assert found["item"].tolist() == popular["item"].tolist()
    assert (found["score"] == 0).all()
    user = model.user_ids_[0]
    past = X.loc[X["user"] == user, "item"].tolist()
    known = model.recommend([user], n_neighbors=4)
    told = model.recommend([-1], n_neighbors=4, history={-1: past})
    assert told["item"].tolist() == known["item"].tolist()
    assert_allclose(told["score"], known["score"])
    # an item without events counts in a profile, too
    cold = [item for item in items["item"] if item not in set(X["item"])]
    asked = model.recommend([-1], n_neighbors=15, history={-1: cold[:1]})
    assert (asked["score"] > 0).any() and cold[0] not in set(asked["item"])


@for_each("n_similar", [None, 4])
def test_explanations_add_up(X, items, n_similar):
    model = ContentRecommender(items, n_similar, item_transformer=AS_THEY_ARE).fit(X)
    user, item = model.user_ids_[3], items["item"].iloc[0]
    why = model.explain(user, item, names={item: "none", "i1": "one"})
    score = model.predict(pd.DataFrame({"user": [user], "item": [item]}))[0]
    assert why["contribution"].sum() == pytest.approx(score, abs=1e-5)
    assert why.attrs["score"] == pytest.approx(score, abs=1e-5)
    assert len(why) == (X["user"] == user).sum()
    # an item that comes later, as the same item under another id
    new = items.iloc[[0]].assign(item="new")
    of_new = model.explain(user, new)
    if n_similar is None:
        assert of_new.attrs["score"] == pytest.approx(score, abs=1e-5)
    with pytest.raises(ValueError, match="not known from fit.*pass a table of one row"):
        model.explain(user, "new")


def test_similar_items_by_hand():
    model = ContentRecommender(HALVES, item_transformer=TAGS).fit(CHOSEN)
    found = model.similar_items(["sencha", "lock"], n_neighbors=5)
    assert found["similar_item"].tolist() == ["assam", "bags", "lamp"]
    assert_allclose(found["score"], [0.5, 0.5, 0.5**0.5], atol=1e-6)
    new = pd.DataFrame({"item": ["pot"], "words": [["tea", "pot"]]})
    found = model.similar_items(new)  # "pot" is not known
    # equal ones by popularity, then by place
    assert found["similar_item"].tolist() == ["sencha", "assam", "bags"]
    with pytest.raises(ValueError, match="The item 'oil' is not known from fit"):
        model.similar_items(["oil"])


@for_each("n_similar", [None, 2])
def test_a_catalog_that_changes(n_similar):
    model = ContentRecommender(HALVES, n_similar, item_transformer=TAGS).fit(CHOSEN)
    before = model.recommend(["ann", "bob"], n_neighbors=9)
    model.set_catalog(["bags", "mount", "sencha"])
    assert model.item_ids_.tolist() == ["bags", "mount", "sencha"]
    some = model.recommend(["ann", "bob"], n_neighbors=9)
    kept = before[before["item"].isin(model.item_ids_)]
    pd.testing.assert_frame_equal(
        some.drop(columns="rank"), kept.drop(columns="rank").reset_index(drop=True)
    )
    # what has left the catalog counts in profiles, and is scored
    asked = pd.DataFrame({"user": ["ann", "bob"], "item": ["assam", "lamp"]})
    whole = clone(model).fit(CHOSEN)
    assert_array_equal(model.predict(asked), whole.predict(asked))
    assert model.seen_items(["bob"])["item"].tolist() == ["lamp"]
    new = pd.DataFrame({"item": ["pot", "bags"], "words": [["green"], ["lamp"]]})
    model.set_catalog(new)
    top = model.recommend(["ann", "bob"], n_neighbors=1)
    assert top["item"].tolist() == ["pot", "bags"]  # which are lamps now
    back = model.set_catalog(HALVES).recommend(["ann", "bob"], n_neighbors=9)
    columns = ["user", "item", "score"]
    order = [frame[columns].sort_values(["user", "item"]) for frame in (back, before)]
    assert_array_equal(*(frame.to_numpy() for frame in order))


@for_each(
    ("given", "message"),
    [
        ([], "a catalog needs at least one item"),
        (["bags", "bags"], "each id once, but 1 are duplicated: 'bags'"),
        (["bags", "oil"], "'oil' is not known from fit. Pass a table with features"),
        (pd.DataFrame({"item": ["oil"]}), "'oil' is not known from fit"),
        (pd.DataFrame({"thing": ["oil"]}), "items has no column 'item'"),
        (pd.DataFrame({"item": ["oil"], "word": ["x"]}), "Did you mean 'words'"),
    ],
)
def test_a_catalog_that_is_refused_changes_nothing(given, message):
    model = ContentRecommender(HALVES, item_transformer=TAGS).fit(CHOSEN)
    before = model.predict(CHOSEN)
    with pytest.raises(ValueError, match=message):
        model.set_catalog(given)
    assert_array_equal(model.predict(CHOSEN), before)
    assert_array_equal(model.item_ids_, HALVES["item"])


def assert_same(model, other, users):
    assert_array_equal(model.item_ids_, other.item_ids_)
    assert_array_equal(model.user_ids_, other.user_ids_)
    asked = {"n_neighbors": 20, "exclude_seen": False}
    pd.testing.assert_frame_equal(
        model.recommend(users, **asked), other.recommend(users, **asked)
    )


@for_each("n_similar", [None, 3])
def test_further_events_are_those_of_one_fit(X, items, n_similar):
    params = {"items": items, "n_similar": n_similar, "item_transformer": AS_THEY_ARE}
    whole = ContentRecommender(**params).fit(X)
    model = ContentRecommender(**params)
    for part in np.array_split(np.arange(len(X)), 3):
        model.partial_fit(X.iloc[part])
    assert_same(model, whole, [*whole.user_ids_, -1])
    assert model.partial_fit(X[:0]) is model
    assert_same(model, whole, whole.user_ids_)


def test_further_events_with_a_longer_table(films):
    table, X = films
    old = X[X["item"] < 30]
    model = ContentRecommender(table[:30]).fit(old)
    lacking = "ids in column 'item' of X are missing from items"
    with pytest.raises(ValueError, match=lacking):
        model.partial_fit(X)
    assert len(model.item_ids_) == 30
    model.set_params(items=table).partial_fit(X[X["item"] >= 30])
    assert_same(model, ContentRecommender(table).fit(X), range(60))


def test_a_shorter_table_keeps_what_was_chosen(films):
    table, X = films
    X = X[X["item"] < 30]
    model = ContentRecommender(table).fit(X)
    model.set_params(items=table[20:]).partial_fit(X[:1])
    assert set(model.item_ids_) == {*range(20, 40)} | {*X["item"]}
    assert_array_equal(model.item_ids_[:20], range(20, 40))


def test_what_a_catalog_left_out_stays_out(films):
    table, X = films
    model = ContentRecommender(table).fit(X)
    new = pd.DataFrame({"item": [99], "words": ["space robot film"]})
    catalog = pd.concat([table[10:], new])
    model.set_catalog(catalog).partial_fit(X[:3])
    assert set(model.item_ids_) == {*range(10, 40), 99}
    both = pd.concat([table, new])
    ids = model.item_ids_
    assert_same(model, ContentRecommender(both).fit(X).set_catalog(ids), range(60))


def test_files_and_pickles(films, tmp_path):
    table, X = films
    for n_similar in (None, 3):
        model = ContentRecommender(table, n_similar).fit(X)
        model.set_catalog(table[5:])
        io.dump(model, tmp_path / "model.sktt")
        read = io.load(tmp_path / "model.sktt")
        assert_same(read, model, range(60))
        assert_same(pickle.loads(pickle.dumps(model)), model, range(60))
        for each in (read, model):
            each.partial_fit(X[:2])
        assert_same(read, model, range(60))
        with pytest.raises(ValueError, match="holds a ContentRecommender, and numpy"):
            runtime.load(tmp_path / "model.sktt")


def test_tables_of_other_libraries(films):
    table, X = films
    model = ContentRecommender(pl.from_pandas(table)).fit(pl.from_pandas(X))
    found = model.recommend(range(5))
    assert isinstance(found, pl.DataFrame)
    expected = ContentRecommender(table).fit(X).recommend(range(5))
    assert_array_equal(found.to_numpy(), expected.to_numpy())
    new = pl.DataFrame({"item": [99], "words": ["space robot film"]})
    assert isinstance(model.similar_items(new), pl.DataFrame)
    assert model.set_catalog(new).item_ids_.tolist() == [99]


def test_users_are_forgotten(films):
    table, X = films
    model = ContentRecommender(table).fit(X)
    expected = model.recommend([3], n_neighbors=4)
    model.forget_users([2])
    assert 2 not in model.user_ids_
    found = model.recommend([3], n_neighbors=4)
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.slow
def test_candidates_of_two_stages(films):
    table, X = films
    X = X.assign(when=np.arange(len(X)))
    model = TwoStageRecommender(
        ContentRecommender(table), n_candidates=10, time="when", random_state=0
    )
    assert len(model.fit(X).recommend(range(5), n_neighbors=3)) == 15


def test_a_clone_has_the_parameters_and_shares_the_table(films):
    table, X = films
    model = ContentRecommender(table, 7, normalize=False, n_neighbors=3)
    copied = clone(model)
    assert copied.items is table
    assert copied.get_params() == model.get_params()
    scores = LastNSplit(1)
    train, test = next(scores.split(X))
    assert 0 < copied.fit(X.iloc[train]).score(X.iloc[test]) <= 1
    attributes = {name for name in dir(copied) if name[-1] == "_" != name[0]}
    documented = entries(sections(ContentRecommender)["Attributes"])
    assert set(documented) == attributes
    assert "items=<DataFrame of 40 rows, 2 columns>" in repr(model)


def test_the_id_is_no_feature_unless_it_is_named(films):
    table, X = films
    model = ContentRecommender(table, item_transformer=TowerVectorizer()).fit(X)
    assert model.item_transformer_.kinds_["item"] == "drop"
    named = TowerVectorizer(kinds={"item": "id"})
    model = ContentRecommender(table, item_transformer=named).fit(X)
    assert model.item_transformer_.kinds_["item"] == "id"
    assert named.kinds == {"item": "id"}


def test_without_a_table_it_warns():
    with pytest.warns(UserWarning, match="items=None: nothing describes the items"):
        model = ContentRecommender().fit(CHOSEN)
    popular = PopularityRecommender().fit(CHOSEN)
    found = model.recommend(["zoe"])
    assert found["item"].tolist() == popular.recommend(["zoe"])["item"].tolist()
    assert (found["score"] == 0).all()


@for_each(
    ("params", "error", "message"),
    [
        ({"items": HALVES[:1]}, ValueError, "2 ids in column 'item' of X are missing"),
        (
            {"items": HALVES.drop(columns="item")},
            ValueError,
            "items has no column 'item'",
        ),
        ({"items": pd.concat([HALVES, HALVES])}, ValueError, "one row per id, but 6"),
        ({"items": HALVES, "n_similar": 0}, ValueError, "'n_similar' parameter"),
        ({"items": HALVES, "normalize": 2}, ValueError, "'normalize' parameter"),
        (
            {"items": HALVES, "item_transformer": "words"},
            TypeError,
            "has fit and trans",
        ),
        ({"items": [1, 2]}, TypeError, "items must be"),
    ],
)
def test_what_is_refused(params, error, message):
    model = ContentRecommender(**params)
    with pytest.raises(error, match=message):
        model.fit(CHOSEN)
    with pytest.raises(NotFittedError):
        model.recommend(["ann"])


def test_features_that_are_not_finite_are_refused():
    table = TEAS.assign(price=[1, 2, np.nan, 3, 4, 5])
    model = ContentRecommender(
        table, item_transformer=make_column_transformer(("passthrough", ["price"]))
    )
    with pytest.raises(ValueError, match="item_transformer returned NaN or infinity"):
        model.fit(CHOSEN)


def test_items_without_a_known_word_have_no_score():
    model = ContentRecommender(HALVES, item_transformer=TAGS).fit(CHOSEN)
    new = pd.DataFrame({"item": ["x", "bags"], "words": [["zzz"], ["tea"]]})
    model.set_catalog(new)
    assert model.recommend(["ann"])["score"].tolist()[1] == 0
