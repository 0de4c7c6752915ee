"""Columns that are spelt almost as in fit, in all methods that read tables."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from sktwotower import EASERecommender, PopularityRecommender, io, runtime
from sktwotower.metrics import make_retrieval_scorer, retrieval_report
from tests.builders import small
from tests.cases import for_each
from tests.two_stage.builders import stages

from .builders import asking, few, planted, stirred

X = planted(12, 6).rename(columns={"slot": "page_type"})
X["age"] = X["user"].str[1:].astype(int)
SPELLINGS = [
    "PAGE_TYPE",
    "Page_Type",
    "page-type",
    "page type",
    "pagetype",
    " page_type",
    "page_type\t",
    "page__type",
    "PageType",
    "\uff50\uff41\uff47\uff45_type",  # full-width letters
    "p\u0430ge_typ\u0435",  # two Cyrillic letters
    "\u03a1AGE_TYPE",  # a Greek letter
    "page\u200b_type",  # a blank without width
    "page\u2010type",  # a hyphen of Unicode
    "page_tpye",
]
METHODS = {
    "recommend": lambda model, X: model.recommend(X, 2),
    "kneighbors": lambda model, X: model.kneighbors(X, 2),
    "kneighbors_graph": lambda model, X: model.kneighbors_graph(X, 2),
    "embed_users": lambda model, X: model.embed_users(X),
    "transform": lambda model, X: model.transform(X),
    "predict": lambda model, X: model.predict(X),
    "partial_fit": lambda model, X: model.partial_fit(X),
    "explain": lambda model, X: model.explain(X.iloc[[0]], "i00"),
    "score": lambda model, X: model.score(X),
    "rank_held_out": lambda model, X: model.rank_held_out(X, n_neighbors=2),
    "scorer": lambda model, X: make_retrieval_scorer("recall", k=2)(model, X),
    "report": lambda model, X: retrieval_report(model, X, k=2),
    "importance": lambda model, X: model.feature_importance(X),
}


@pytest.fixture(scope="module")
def fitted():
    return stirred(asking(max_epochs=1, context=["page_type", "device"]).fit(X))


def assert_both_are_named(call, given, known):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert repr(given) in message and known in message, message


@for_each(
    ("spelling", "method"),
    few(
        [(spelling, "recommend") for spelling in SPELLINGS]
        + [("page-type", method) for method in list(METHODS)[1:]],
        len(SPELLINGS) + len(METHODS),
    ),
)
def test_a_context_column_in_a_table(fitted, method, spelling):
    state, table = (
        fitted.item_embeddings_,
        X.iloc[:6].rename(columns={"page_type": spelling}),
    )
    assert_both_are_named(lambda: METHODS[method](fitted, table), spelling, "page_type")
    assert fitted.item_embeddings_ is state


@pytest.mark.parametrize(
    "spelling", few([SPELLINGS[4], SPELLINGS[10], SPELLINGS[14]], 3)
)
def test_a_context_column_in_a_dict(fitted, spelling, tmp_path):
    context = {spelling: "noon"}
    io.dump(fitted, tmp_path / "model.sktt")
    served = runtime.load(tmp_path / "model.sktt")
    for call in (
        lambda: fitted.recommend(["u00"], context=context),
        lambda: fitted.embed_users(["u00"], context=context),
        lambda: served.recommend("u00", context=context),
        lambda: served.embed("u00", context=context),
        lambda: served.score("u00", ["i00"], context=context),
    ):
        with pytest.raises(ValueError, match="Did you mean 'page_type'"):
            call()


def test_a_single_letter(fitted):
    model = asking(max_epochs=1, context="q").fit(X.rename(columns={"page_type": "q"}))
    for given in ("Q", " q", "_q", "\uff51"):
        table = X[["user"]].assign(**{given: "noon"})
        assert_both_are_named(lambda table=table: model.recommend(table), given, "q")


def test_columns_of_no_relation_are_ignored_as_before(fitted):
    users = X[["user", "page_type"]].iloc[:5]
    expected = fitted.embed_users(users)
    table = users.assign(price=3.0, PAGE=1, Type=2, hour=4, users=5)
    np.testing.assert_array_equal(fitted.embed_users(table), expected)
    # the column of fit is there, so that another one of almost its name is another one
    table = users.assign(PAGE_TYPE="?", device2="?").assign(device="tv")
    right = fitted.embed_users(users.assign(device="tv"))
    np.testing.assert_array_equal(fitted.embed_users(table), right)


def test_a_column_of_fit_is_not_misspelt():
    both = X.assign(PAGE_TYPE=np.arange(len(X)) % 3)
    model = asking(max_epochs=1, context="page_type").fit(both)
    table = both[["user", "PAGE_TYPE"]].iloc[:5]
    expected = model.embed_users(table[["user"]])
    np.testing.assert_array_equal(model.embed_users(table), expected)


# Held-out events


SCORES = {n: METHODS[n] for n in ("score", "rank_held_out", "scorer", "report")}
SCORES["importance"] = METHODS["importance"]


@for_each("method", SCORES)
def test_held_out_events_without_a_context_column(fitted, method):
    for lacking in (["page_type"], ["device"], ["page_type", "device"]):
        with pytest.raises(ValueError, match=rf"(?s){lacking[0]}|{lacking[-1]}"):
            SCORES[method](fitted, X.drop(columns=lacking))


def test_what_to_do_where_a_context_column_is_not_known(fitted):
    with pytest.raises(ValueError, match="X lacks the context column 'page_type'"):
        fitted.score(X.drop(columns="page_type"))
    for requests in (None, [], ["device"]):
        with pytest.raises(ValueError, match="X lacks the context column 'page_type'"):
            fitted.rank_held_out(
                X.drop(columns="page_type"), n_neighbors=2, requests=requests
            )
    unknown = X.assign(**{"page_type": None, "device": None})  # as the message says
    top = fitted.kneighbors(X[["user"]].drop_duplicates(), 2, return_distance=False)
    ranking = fitted.rank_held_out(unknown, n_neighbors=2)
    users = X["user"].drop_duplicates()
    order = np.searchsorted(ranking.users, users)
    np.testing.assert_array_equal(ranking.indices[order], top)


def test_a_time_that_is_context_and_is_missing():
    params = {"max_epochs": 1, "context": "time", "time": "time"}
    table = X[["user", "item", "time"]]
    for events in (table, table.to_numpy(object)):
        named = events is table
        model = asking(**params | ({} if named else {"context": 2, "time": 2}))
        model.fit(events)
        assert 0 <= model.score(events) <= 1
        lacking = table[["user", "item"]] if named else events[:, :2]
        with pytest.raises(ValueError, match="X lacks the context column"):
            model.score(lacking)


# Features, and the other recommenders


@pytest.fixture(scope="module")
def described():
    items = pd.DataFrame({"item": X["item"].unique()})
    items["price"] = np.arange(len(items), dtype=float)
    return small(user_features=["age"], items=items).fit(X[["user", "item", "age"]])


@for_each("given", ["AGE", "\u0430ge"])
@for_each("user", ["u00", "new"])
def test_a_feature_of_users(described, given, user):
    table = pd.DataFrame({"user": [user], given: [3]})
    for method in (described.recommend, described.kneighbors, described.embed_users):
        assert_both_are_named(lambda method=method: method(table), given, "age")


@for_each("given", ["pri-ce", "\uff50rice"])
def test_a_feature_of_items(described, given):
    table = pd.DataFrame({"item": ["i00", "i01"], given: [3.0, 4.0]})
    for call in (
        lambda: described.embed_items(table),
        lambda: described.similar_items(table),
        lambda: described.set_catalog(table),
    ):
        assert_both_are_named(call, given, "price")


@for_each("given", ["USER", "us\u0435r"])
def test_the_column_of_ids(fitted, given):
    table = X[["user", "page_type"]].rename(columns={"user": given})
    for method in ("recommend", "kneighbors", "embed_users"):
        with pytest.raises(ValueError, match="has no column 'user'.* mean"):
            METHODS[method](fitted, table)


@pytest.mark.filterwarnings("ignore:No ranker was trained")
@for_each("spelling", ["page-type"])
@for_each(
    "retriever", [None, PopularityRecommender(), asking(max_epochs=1, context="device")]
)
def test_a_context_column_of_the_second_stage(two_stages, retriever, spelling):
    model = two_stages(retriever)
    table = X.iloc[:6].rename(columns={"page_type": spelling})
    for method in ("recommend", "kneighbors", "score", "report"):
        call = METHODS[method]
        assert_both_are_named(lambda call=call: call(model, table), spelling, "page_")
    with pytest.raises(ValueError, match="Did you mean 'page_type'"):
        model.recommend(["u00"], context={spelling: "noon"})
    with pytest.raises(ValueError, match="X lacks the context column 'page_type'"):
        model.score(X.drop(columns="page_type"))


@pytest.fixture(scope="module")
def two_stages():
    """Return a function that fits two stages, once for each retriever."""
    kept = {}

    def fit(retriever):
        name = type(retriever).__name__
        if name not in kept:
            model = stages(
                retriever, LogisticRegression(), time="time", context=["page_type"]
            )
            kept[name] = model.fit(X)
        return kept[name]

    return fit


@for_each("model", [EASERecommender(), PopularityRecommender()])
def test_models_without_context_ignore_further_columns(model):
    model.fit(X[["user", "item"]])
    users = X[["user"]].iloc[:4]
    found = model.recommend(users.assign(Page_Type="noon", ITEM="i00"), 2)
    pd.testing.assert_frame_equal(found, model.recommend(users, 2))
    assert model.score(X) == model.score(X[["user", "item"]])
