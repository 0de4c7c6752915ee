"""A context that is a column of the chosen item: "more of this kind"."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.base import clone

from sktwotower import TwoStageRecommender, TwoTowerRecommender, io, runtime
from sktwotower.metrics import retrieval_report
from tests.cases import for_each

KINDS = ["bread", "jam", "tea"]
N_GROUPS, N_OF_BLOCK, N_USERS = 4, 5, 120
N_OF_KIND = N_GROUPS * N_OF_BLOCK


def shop(seed=0):
    """Return purchases and products: of each kind a customer buys from one block.

    Also return this block (n_users, n_kinds), a number from 0.
    """
    rng = np.random.default_rng(seed)
    n_items = len(KINDS) * N_OF_KIND
    items = pd.DataFrame({"product": [f"p{i:02}" for i in range(n_items)]})
    items["kind"] = np.repeat(KINDS, N_OF_KIND)
    taste = rng.integers(N_GROUPS, size=(N_USERS, len(KINDS)))
    blocks = N_GROUPS * np.arange(len(KINDS)) + taste
    rows = []
    for user, of_user in enumerate(blocks):
        for block in of_user:
            chosen = rng.choice(N_OF_BLOCK, 3, replace=False)
            rows += [(f"u{user:03}", f"p{N_OF_BLOCK * block + i:02}") for i in chosen]
    X = pd.DataFrame(rows, columns=["customer", "product"])
    X = X.sample(frac=1, random_state=seed, ignore_index=True)
    return X.assign(time=np.arange(len(X))), items, blocks


X, ITEMS, BLOCKS = shop()
USERS = [f"u{user:03}" for user in range(N_USERS)]
RECENT = {"time": "time", "history": "recent"}


def asking(**params):
    params = {"items": ITEMS, "context": ["kind"], "random_state": 0} | params
    return TwoTowerRecommender(**params)


def small(**params):
    return asking(**{"max_epochs": 2, "embedding_dim": 8, "n_neighbors": 3} | params)


def shares(model, place, **asked):
    """Return which share of lists of two is of a kind, and of what the user buys."""
    top = model.recommend(USERS, n_neighbors=2, **asked)
    block = top["product"].str[1:].astype(int) // N_OF_BLOCK
    owners = top["customer"].str[1:].astype(int)
    is_of_kind = block // N_GROUPS == place
    is_bought = block.to_numpy() == BLOCKS[owners, place]
    return is_of_kind.mean(), is_bought.mean()


@pytest.mark.slow
def test_the_kind_fills_a_page_with_what_the_user_buys_of_it():
    vectors = asking(sparse_parts=None).fit(X)  # other parts know no context
    whole = asking().fit(X)
    for place, kind in enumerate(KINDS):
        asked = {"kind": kind}
        assert min(shares(vectors, place, context=asked)) > 0.9
        assert shares(vectors, place)[0] < 0.6
        of_kind = shares(whole, place, context=asked)[0]
        assert of_kind > shares(whole, place)[0] + 0.2
        assert min(shares(whole, place, context=asked, where=asked)) > 0.9


@pytest.mark.slow
@for_each("params", [{}, RECENT])
def test_without_a_kind_the_model_is_as_good_as_another(params):
    is_later = X["time"] >= 0.8 * len(X)
    train, later = X[~is_later], X[is_later]
    params = {"max_epochs": 10, "embedding_dim": 32} | params
    found = []
    for context in (["kind"], None):
        models = [asking(context=context, random_state=s, **params) for s in range(2)]
        found.append(np.mean([m.fit(train).score(later) for m in models]))
    assert found[0] > found[1] - 0.03


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X)


@pytest.fixture(scope="module")
def in_order():
    return small(**RECENT).fit(X)


@for_each("params", [{}, {"history": None}])
def test_it_is_the_model_of_events_with_that_column(params):
    params = {"validation_events": None, "sparse_parts": None} | params
    joined = X.merge(ITEMS, on="product")
    known = {"user_id": "customer", "item_id": "product"}
    of_items = small(**params, **known).fit(X)
    of_events = small(**params, **known).fit(joined)
    assert_array_equal(of_items.item_embeddings_, of_events.item_embeddings_)
    for asked in (None, {"kind": "tea"}):
        lists = [m.recommend(USERS, context=asked) for m in (of_items, of_events)]
        assert_frame_equal(*lists)


def test_a_column_of_X_comes_first():
    turned = X.assign(kind=np.where(X["time"] % 2, "odd", "even"))
    model = small().fit(turned)
    names = model.context_transformer_.get_feature_names_out().tolist()
    assert names == ["kind_even", "kind_odd"]


def test_columns_of_both_tables():
    model = small(context=["kind", "slot"])
    model.fit(X.assign(slot=np.where(X["time"] % 2, "am", "pm")))
    assert model.context_weights_.index.tolist() == ["slot", "kind"]
    answers = [
        model.recommend(["u001"], context=asked)
        for asked in ({"kind": "tea"}, {"slot": "am"}, {"slot": "am", "kind": "tea"})
    ]
    assert not answers[0].equals(answers[1])
    assert not answers[1].equals(answers[2])


@for_each("name", ["fitted", "in_order"])
def test_tables_and_dicts_ask_alike(name, request):
    model = request.getfixturevalue(name)
    asked = pd.DataFrame({"customer": USERS[:3], "kind": ["tea", None, "jam"]})
    together = model.recommend(asked)
    each = [
        model.recommend(USERS[:1], context={"kind": "tea"}),
        model.recommend(USERS[1:2]),
        model.recommend(USERS[2:3], context={"kind": "jam"}),
    ]
    assert_frame_equal(together, pd.concat(each, ignore_index=True), check_exact=False)


def test_an_unknown_kind_is_as_none(fitted):
    unknown = fitted.recommend(USERS[:5], context={"kind": "nails"})
    assert_frame_equal(unknown, fitted.recommend(USERS[:5]))


@for_each("name", ["fitted", "in_order"])
def test_files_pickles_and_the_runtime_answer_alike(name, request, tmp_path):
    model = request.getfixturevalue(name)
    io.dump(model, tmp_path / "m.sktt")
    served = runtime.load(tmp_path / "m.sktt")
    for asked in (None, {"kind": "tea"}):
        expected = model.recommend(USERS[:4], context=asked)
        loaded = io.load(tmp_path / "m.sktt").recommend(USERS[:4], context=asked)
        assert_frame_equal(loaded, expected)
        copied = pickle.loads(pickle.dumps(model)).recommend(USERS[:4], context=asked)
        assert_frame_equal(copied, expected)
        items, scores = served.recommend(USERS[0], 3, context=asked)
        first = expected[expected["customer"] == USERS[0]]
        assert_array_equal(items, first["product"])
        assert_allclose(scores, first["score"], rtol=1e-5)
    kinds = served.request_schema()["properties"]["context"]["properties"]["kind"]
    assert kinds["examples"] == KINDS


def test_clones_and_parameters():
    model = clone(asking())
    assert model.get_params()["context"] == ["kind"]
    assert clone(small().fit(X)).fit(X).context_weights_["kind"] == 1


def test_an_explanation_names_the_kind(fitted):
    told = fitted.explain("u001", "p45", context={"kind": "tea"})
    of_context = told[told["side"] == "context"]
    assert of_context["reason"].tolist() == ["kind: tea"]
    score = fitted.predict(
        pd.DataFrame({"customer": ["u001"], "product": "p45"}).assign(time=0)
    )
    unknown = fitted.explain("u001", "p45")
    assert_allclose(unknown["contribution"].sum(), score[0], atol=1e-5)


def test_names_of_X_are_those_of_X(fitted):
    assert fitted.feature_names_in_.tolist() == ["customer", "product", "time"]
    assert fitted.n_features_in_ == 3


# Evaluation: what is held out must not say which kind it is


def test_scores_and_reports_do_not_look_at_the_kind(fitted):
    later = X.assign(product=X["product"].sample(frac=1, random_state=0).to_numpy())
    later = later.drop_duplicates(["customer", "product"])
    with_kind = later.merge(ITEMS, on="product")
    assert fitted.score(later) == fitted.score(with_kind)
    ranking = fitted.rank_held_out(with_kind, n_neighbors=3)
    assert ranking.requests is None
    report = retrieval_report(fitted, later, k=3)
    recall = report.loc["all"].loc["TwoTowerRecommender", "recall@3"]
    assert recall == pytest.approx(fitted.score(later))


@for_each("params", [RECENT, {}])
def test_requests_that_judge_a_model_do_not_say_the_kind(params):
    known = {"user_id": "customer", "item_id": "product", "items": ITEMS} | params
    size = {"max_epochs": 15, "embedding_dim": 32, "n_neighbors": 3}
    joined = X.merge(ITEMS, on="product").sort_values("time")
    of_events = asking(**known | size).fit(joined)
    of_items = asking(**known | size).fit(X)
    without = asking(context=None, **known | size).fit(X)
    told, asked, plain = (
        model.validation_score_["ndcg@10"] for model in (of_events, of_items, without)
    )
    assert told > plain + 0.07
    assert asked == pytest.approx(plain, abs=0.03)


def test_contexts_that_differ_in_the_kind_only_are_one_request():
    slots = X.assign(slot=np.where(X["time"] % 2, "am", "pm"))
    models = [small(context=c, **RECENT).fit(slots) for c in (["slot", "kind"], "slot")]
    asked = [model.validation_score_["n_users"] for model in models]
    assert asked[0] == asked[1]


# Further events


@for_each("params", [{}, RECENT])
def test_further_events_teach_new_kinds(params):
    new_items = pd.DataFrame({"product": ["x0", "x1", "x2"], "kind": "nails"})
    model = small(sparse_parts=None, **params).fit(X)
    known = model.recommend(USERS[:5], context={"kind": "nails"})
    assert_frame_equal(known, model.recommend(USERS[:5]))
    model.set_params(items=pd.concat([ITEMS, new_items]), lr=0.5)
    rows = [(user, item) for user in USERS for item in new_items["product"]]
    more = pd.DataFrame(rows, columns=["customer", "product"])
    more["time"] = len(X) + np.arange(len(more))
    model.partial_fit(more)
    names = model.context_transformer_.get_feature_names_out().tolist()
    assert names == ["kind_bread", "kind_jam", "kind_tea", "kind_nails"]
    asked = model.kneighbors(["u001"], 63, return_distance=True)
    of_nails = model.kneighbors(
        pd.DataFrame({"customer": ["u001"], "kind": "nails"}), 63, return_distance=True
    )
    assert not np.allclose(asked[0], of_nails[0])


def test_a_loaded_model_looks_kinds_up_in_its_own_table(fitted, tmp_path):
    io.dump(fitted, tmp_path / "m.sktt")
    more = X[:20].assign(customer="new")
    learnt = [io.load(tmp_path / "m.sktt").partial_fit(more)]
    learnt.append(pickle.loads(pickle.dumps(fitted)).partial_fit(more))
    asked = [model.recommend(["new"], context={"kind": "tea"}) for model in learnt]
    assert_frame_equal(*asked)


def test_kinds_of_items_that_a_new_table_lacks_are_those_of_before():
    more = X[:20].assign(customer="new")
    more.loc[0, "product"] = "x0"
    new_item = pd.DataFrame({"product": ["x0"], "kind": ["tea"]})
    learnt = []
    for table in (new_item, pd.concat([ITEMS, new_item])):
        model = small().fit(X).set_params(items=table)
        learnt.append(model.partial_fit(more))
    asked = [model.recommend(["new"], context={"kind": "tea"}) for model in learnt]
    assert_frame_equal(*asked)


# Tables of other kinds


@for_each("library", ["polars", "pyarrow"])
def test_items_of_other_libraries(library, fitted):
    module = pytest.importorskip(library)
    convert = {"polars": "from_pandas", "pyarrow": "table"}[library]
    table = getattr(module, convert)(ITEMS)
    found = small(items=table).fit(X).recommend(USERS, context={"kind": "tea"})
    assert_frame_equal(found, fitted.recommend(USERS, context={"kind": "tea"}))


def test_lists_and_missing_cells():
    tags = ITEMS.assign(kind=[[kind, "all"] for kind in ITEMS["kind"]])
    tags.loc[::7, "kind"] = None
    model = small(items=tags).fit(X)
    names = model.context_transformer_.get_feature_names_out().tolist()
    assert names == ["kind_all", "kind_bread", "kind_jam", "kind_tea"]
    assert len(model.recommend(["u001"], context={"kind": ["tea"]})) == 3


def test_arrays_without_names():
    items = ITEMS.rename(columns={"product": "item"})
    model = small(items=items).fit(X[["customer", "product"]].to_numpy())
    assert model.context_weights_.index.tolist() == ["kind"]
    assert len(model.recommend(["u001"], context={"kind": "tea"})) == 3


def test_a_first_stage_may_have_it():
    retriever = small(sparse_parts=None)
    model = TwoStageRecommender(retriever, n_candidates=20, random_state=0).fit(X)
    first = model.recommend(["u001"], 5)
    asked = model.recommend(["u001"], 5, context={"kind": "tea"})
    assert len(asked) == len(first) == 5


# Bad input


@for_each(
    ("params", "message"),
    [
        ({"context": "knid"}, "'knid', which is neither a column of X .* mean 'kind'"),
        ({"context": ["kind", "product"]}, "context names 'product', which is the it"),
        ({"items": None}, "context names 'kind', which is not a column of X"),
    ],
)
def test_columns_that_no_table_has(params, message):
    with pytest.raises(ValueError, match=message):
        small(**params).fit(X)


def test_requests_with_a_misspelt_column(fitted):
    with pytest.raises(ValueError, match="'kin'.*'kind'"):
        fitted.recommend(["u001"], context={"kin": "tea"})


def test_events_on_disk_have_to_be_joined(tmp_path):
    pytest.importorskip("duckdb")
    X.to_parquet(tmp_path / "events.parquet")
    with pytest.raises(ValueError, match="'kind', a column of items, .* Join items"):
        small().fit(str(tmp_path / "events.parquet"))
