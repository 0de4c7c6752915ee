"""Towers as ONNX files: the vectors of the model, in another runtime."""

import sys
from itertools import accumulate

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from sktwotower import PopularityRecommender, TwoTowerRecommender, __version__, runtime
from sktwotower.io import dump, export_onnx
from sktwotower.towers import PooledHistory, RecentHistory
from tests.builders import chain, dated, first_fast, ordered, random_events, small

EVENTS = random_events()
WITH_FEATURES = chain().assign(
    age=lambda X: X["user"].str[1:].astype(float),
    color=lambda X: np.where(X["item"] < "i05", "red", "blue"),
)


def hidden_history():
    """Fit a recent history with a hidden layer that does something."""
    model = ordered(hidden_layer_sizes=(6,)).fit(chain(n_users=3, n_events=2000))
    history = model.net_.module_.first.history
    assert history.n_hidden
    with torch.no_grad():
        history.out.normal_(generator=torch.Generator().manual_seed(0))
    return model


MODELS = {
    "pooled": lambda: small().fit(EVENTS),
    "two pairs": lambda: ordered(
        history=RecentHistory(second_share=0.4, max_length=3)
    ).fit(chain()),
    "popularity": lambda: ordered(history=RecentHistory(popularity_half_life=2.0)).fit(
        chain()
    ),
    "filter": lambda: small(
        history=PooledHistory(second_share=0.4), embedding_dim=12
    ).fit(EVENTS),
    "faded filter": lambda: (
        small(history=PooledHistory(second_share=0.4), embedding_dim=12)
        .fit(EVENTS)
        .partial_fit(pd.DataFrame({"user": ["v1", "v2"], "item": ["j1", "i2"]}))
    ),
    "no history": lambda: small(history=None).fit(EVENTS),
    "any length": lambda: small(normalize=False).fit(EVENTS),
    "hidden layers": lambda: small(hidden_layer_sizes=(8, 8, 5)).fit(EVENTS),
    "recent": lambda: ordered(history=RecentHistory(second_share=0)).fit(chain()),
    "hidden history": hidden_history,
    "features": lambda: ordered(user_features=["age"], item_features=["color"]).fit(
        WITH_FEATURES
    ),
    "other catalog": lambda: small().fit(EVENTS).set_catalog(["i3", "i1"]),
    "grown": lambda: (
        small()
        .fit(EVENTS)
        .partial_fit(pd.DataFrame({"user": ["v1", "v2"], "item": ["j1", "i2"]}))
    ),
}


@pytest.fixture
def exported(tmp_path):
    """Return a function that exports a tower and returns how to call it."""
    onnxruntime = pytest.importorskip("onnxruntime")

    def export(model, side, n_threads=0):
        export_onnx(model, tmp_path / "tower.onnx", side=side)
        assert [each.name for each in tmp_path.iterdir()] == ["tower.onnx"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        session = onnxruntime.InferenceSession(tmp_path / "tower.onnx", options)
        return lambda **inputs: session.run(None, inputs)[0]

    return export


def csr(matrix):
    return {
        "indices": matrix.indices.astype(np.int64),
        "offsets": matrix.indptr.astype(np.int64),
        "values": matrix.data.astype(np.float32),
    }


def past(model, items):
    """Return the inputs for lists of past items of users, one basket per item."""
    codes = [model.item_ids_.tolist().index(item) for own in items for item in own]
    sizes = [len(own) for own in items]
    inputs = {
        "history": np.array(codes, dtype=np.int64),
        "history_offsets": np.array([0, *accumulate(sizes)], dtype=np.int64),
    }
    if model.history_kind_ == "recent":
        lags = [lag for n in sizes for lag in range(n, 0, -1)]
        inputs["lags"] = np.array(lags, dtype=np.float32)
    return inputs if model.history_kind_ else {}


def of_contexts(model, table):
    """Return the inputs for the contexts of requests, without a time."""
    found = csr(model.context_transformer_.transform(table))
    return {f"context_{name}": values for name, values in found.items()}


def rows_of(model, side, ids, features):
    table = pd.DataFrame({side: ids, **features})
    return csr(getattr(model, f"{side}_transformer_").transform(table))


EACH = "pooled", "two pairs", "hidden layers", "features", "grown"
of_models = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in EACH else pytest.mark.grid)
        for name in MODELS
    ],
)


@of_models
def test_items_have_the_vectors_of_the_model(name, exported):
    model = MODELS[name]()
    embed = exported(model, "item")
    items = model.item_ids_[[1, 0, 1]]
    for ids in (items, items[:1], [*items, "never seen"]):
        features = {} if name != "features" else {"color": ["red", "blue"] * 2}
        features = {column: cells[: len(ids)] for column, cells in features.items()}
        vectors = embed(**rows_of(model, "item", ids, features))
        table = pd.DataFrame({"item": ids, **features})
        np.testing.assert_allclose(vectors, model.embed_items(table), atol=1e-6)
        assert vectors.dtype == np.float32


# Positions of past items, for each user.
HISTORIES = [[[1, 3, 1, 0], [], [3]], [[0]], [[]]]


@pytest.mark.each_time(
    "pooled", "two pairs", "popularity", "filter", "recent", "features"
)
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_users_have_the_vectors_of_the_model(name, exported, tmp_path):
    """Those of torch (several users), of numpy (one, or served) and of ONNX."""
    model = MODELS[name]().set_params(history=PooledHistory(fold_in=False))
    embed = exported(model, "user")
    dump(model, tmp_path / "model.sktt")
    served, catalog = runtime.load(tmp_path / "model.sktt"), model.item_ids_
    for history in HISTORIES:
        items = [[catalog[i % len(catalog)] for i in own] for own in history]
        users = [f"new{i}" for i in range(len(items))]
        features = {} if name != "features" else {"age": np.arange(len(items)) * 9.0}
        table = pd.DataFrame({"user": users, **features})
        rows = rows_of(model, "user", users, features)
        vectors = embed(**rows, **past(model, items))
        own = dict(zip(users, items, strict=True)) if any(items) else None
        wanted = model.embed_users(table, None if name == "no history" else own)
        np.testing.assert_allclose(vectors, wanted, atol=1e-6)
        if not features:
            found = served.embed(users, history=own)
            np.testing.assert_allclose(found, wanted, atol=1e-6)


PLACES = {"place": ["home", "work"] * 30, "words": ["a b", "b c", "d a"] * 20}
IN_CONTEXT = {
    "pooled": {},
    "two pairs": {
        "time": "when",
        "history": RecentHistory(second_share=0.4, max_length=3),
    },
    "filter": {"history": PooledHistory(second_share=0.4), "embedding_dim": 12},
    "any length": {"normalize": False},
    "any length, two pairs": {
        "normalize": False,
        "time": "when",
        "history": RecentHistory(second_share=0.4),
    },
    "hidden layers": {"hidden_layer_sizes": (8, 5)},
    "recent": {
        "time": "when",
        "history": RecentHistory(second_share=0),
        "hidden_layer_sizes": (6,),
    },
    "no history": {"history": None},
}


@pytest.mark.each_time("two pairs-1", "filter-0", "recent-0")
@pytest.mark.parametrize(
    "name, n_threads",
    [("pooled", 0), ("two pairs", 1), ("filter", 0)]
    + [("any length, two pairs", 1), ("recent", 0), ("no history", 0)],
)
def test_users_have_the_vectors_of_their_context(name, n_threads, exported):
    events = chain(n_users=15, n_events=4).assign(**PLACES)
    params = {"context": ["place", "words"], "max_epochs": 3, "lr": 0.05}
    model = small(**params, **IN_CONTEXT[name]).fit(events)
    model.set_params(history=PooledHistory(fold_in=False))
    embed, catalog = exported(model, "user", n_threads), model.item_ids_
    items = [[catalog[i] for i in own] for own in ([1, 3, 0], [], [3], [2, 1], [0])]
    users = [f"new{i}" for i in range(5)]
    asked = pd.DataFrame(
        {
            "place": ["home", None, "nowhere", "work", None],
            "words": ["b c", "d a", "unknown", None, None],
        }
    )
    inputs = rows_of(model, "user", users, {}) | past(model, items)
    vectors = embed(**inputs, **of_contexts(model, asked))
    own = None if name == "no history" else dict(zip(users, items, strict=True))
    wanted = model.embed_users(asked.assign(user=users), own)
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    unknown = embed(**inputs, **of_contexts(model, asked[4:].iloc[[0] * 5]))
    without = model.embed_users(users, own)
    np.testing.assert_allclose(unknown, without, atol=1e-6)
    np.testing.assert_allclose(unknown[[2, 4]], vectors[[2, 4]], atol=1e-6)
    for place in range(4):
        far = np.abs(unknown[place] - vectors[place]).max()
        assert (far > 1e-3) == (place != 2)
    for request in ({"place": "home"}, {"place": "work", "words": "a b"}):
        table = pd.DataFrame(request, index=range(5)).reindex(columns=asked.columns)
        vectors = embed(**inputs, **of_contexts(model, table.astype(object)))
        wanted = model.embed_users(users, own, context=request)
        np.testing.assert_allclose(vectors, wanted, atol=1e-6)


def test_the_time_of_a_request_is_three_columns(exported):
    events = dated(chain(n_users=15, n_events=4)).assign(**PLACES)
    hours = pd.to_timedelta(np.arange(60) * 31, "h")
    events = events.assign(when=pd.Timestamp("2020-01-01") + hours)
    params = {"context": ["place", "when"], "time": "when", "max_epochs": 3, "lr": 0.05}
    model = small(**params, history=PooledHistory(fold_in=False)).fit(events)
    embed = exported(model, "user")
    users = ["new0", "new1"]
    when = pd.to_datetime(["2020-02-02 17:59", "2020-12-31 00:00"])  # Sunday, Thursday
    asked = pd.DataFrame({"place": ["work", None], "when": when})
    own = model.context_transformer_.transform(asked[["place"]]).toarray()
    clock = np.zeros((2, 43))
    clock[0, [17, 24 + 6, 30 + 2]] = clock[1, [0, 24 + 3, 30 + 12]] = 0.5
    rows = csr(sparse.csr_matrix(np.hstack([own, clock])))
    rows = {f"context_{name}": values for name, values in rows.items()}
    inputs = rows_of(model, "user", users, {}) | past(model, [[], []])
    wanted = model.embed_users(asked.assign(user=users))
    np.testing.assert_allclose(embed(**inputs, **rows), wanted, atol=1e-6)
    assert np.abs(wanted - model.embed_users(users)).max() > 1e-3


def test_items_have_no_context(exported):
    events = chain(n_users=15, n_events=4).assign(**PLACES)
    model = small(context=["place"]).fit(events)
    items = model.item_ids_[:2]
    vectors = exported(model, "item")(**rows_of(model, "item", items, {}))
    np.testing.assert_allclose(vectors, model.embed_items(items), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pooled", "two pairs"])
def test_known_users_and_none_at_all(name, exported):
    model = MODELS[name]()
    embed = exported(model, "user")
    seen = model.seen_items(model.user_ids_) if name == "pooled" else chain()
    items = [seen["item"][seen["user"] == user].tolist() for user in model.user_ids_]
    rows = rows_of(model, "user", model.user_ids_, {})
    vectors = embed(**rows, **past(model, items))
    np.testing.assert_allclose(vectors, model.embed_users(model.user_ids_), atol=1e-6)
    nothing = csr(model.user_transformer_.transform(pd.DataFrame({"user": ["u1"]}))[:0])
    assert embed(**nothing, **past(model, [])).shape == (0, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["filter", "two pairs", "features"])
def test_rows_of_all_lengths_in_several_blocks(name, exported):
    # a block has at most 8,192 past items
    model = MODELS[name]().set_params(history=PooledHistory(fold_in=False))
    catalog, sizes = model.item_ids_, [0, 8000, 1, 0, 200, 3, 9000, 0]
    items = [[catalog[i % 5] for i in range(n)] for n in sizes]
    users = [f"new{i}" for i in range(len(sizes))]
    features = {"age": np.arange(len(sizes)) * 9.0} if name == "features" else {}
    inputs = rows_of(model, "user", users, features) | past(model, items)
    vectors = exported(model, "user")(**inputs)
    wanted = model.embed_users(
        pd.DataFrame({"user": users, **features}), dict(zip(users, items, strict=True))
    )
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)


@pytest.mark.slow
def test_threads_lose_nothing(exported):
    items = [*range(1500)]
    X = pd.DataFrame({"user": ["ann"] * 1500 + ["bob"] * 3, "item": items + items[:3]})
    model = small(embedding_dim=256).fit(X)
    embed = exported(model, "user", n_threads=2)
    inputs = rows_of(model, "user", ["ann"], {}) | past(model, [items])
    wanted = model.embed_users(["ann"])
    found = np.stack([embed(**inputs) for _ in range(200)])
    np.testing.assert_allclose(found, np.stack([wanted] * 200), atol=1e-5)


@pytest.mark.parametrize("name", first_fast(["two pairs", "filter"]))
def test_nothing_is_added_at_positions_that_repeat(name, tmp_path):
    # onnxruntime does it in several threads without a lock
    onnx = pytest.importorskip("onnx")
    model = MODELS[name]()
    for side in ("user", "item"):
        export_onnx(model, tmp_path / side, side=side)
        used = operators(onnx.load(tmp_path / side).graph)
        assert "Gather" in used
        assert not {each for each in used if each.startswith("Scatter")}


def operators(graph):
    """Return the names of all operators of a graph, also of those in its loops."""
    found = {node.op_type for node in graph.node}
    inner = [each.g for node in graph.node for each in node.attribute]
    return found.union(*(operators(each) for each in inner if each.node))


def test_of_many_events_the_latest_count(exported):
    days = [("i07", 1), ("i02", 5), ("i09", 5), ("i04", 5), ("i01", 5), ("i03", 8)]
    events = pd.DataFrame(days, columns=["item", "when"]).assign(user="long")
    model = ordered(history=RecentHistory(second_share=0.4, max_length=3)).fit(
        pd.concat([chain(), events])
    )
    embed = exported(model, "user")
    rows = rows_of(model, "user", ["long"], {})
    lags = {"lags": np.array([3, 2, 2, 2, 2, 1], dtype=np.float32)}

    def vectors(items):
        return embed(**rows, **past(model, [items]) | lags)

    wanted = model.embed_users(["long"])
    inputs = ["i07", "i01", "i02", "i04", "i09", "i03"]  # equal times by item_ids_
    np.testing.assert_allclose(vectors(inputs), wanted, atol=1e-6)
    others = ["i07", "i09", "i04", "i02", "i01", "i03"]
    assert np.abs(vectors(others) - wanted).max() > 1e-3


def test_towers_without_a_feature(exported):
    nothing = FunctionTransformer(lambda X: sparse.csr_matrix((len(X), 0)))
    model = small(item_transformer=nothing).fit(EVENTS)
    embed = exported(model, "item")
    empty = rows_of(model, "item", ["i1", "i2"], {})
    assert len(empty["indices"]) == 0
    np.testing.assert_allclose(
        embed(**empty), model.embed_items(["i1", "i2"]), atol=1e-6
    )


def test_indices_out_of_range_are_refused_by_the_runtime(exported):
    model = MODELS["pooled"]()
    embed = exported(model, "item")
    inputs = rows_of(model, "item", ["i1"], {})
    with pytest.raises(Exception, match="out of|bounds|range"):
        embed(**inputs | {"indices": inputs["indices"] + 1000})


def test_the_file_says_where_it_is_from(tmp_path):
    onnx = pytest.importorskip("onnx")
    export_onnx(MODELS["pooled"](), tmp_path / "a", side="user")
    found = {p.key: p.value for p in onnx.load(tmp_path / "a").metadata_props}
    assert found == {"sktwotower": __version__, "side": "user"}


def test_own_towers_other_models_and_sides_are_refused(tmp_path):
    pytest.importorskip("onnx")
    path = tmp_path / "tower.onnx"
    model = small(item_tower=nn.LazyLinear(8)).fit(EVENTS)
    with pytest.raises(TypeError, match="item_tower is a Linear. Export it with torch"):
        export_onnx(model, path)
    export_onnx(model, path, side="user")
    with pytest.raises(ValueError, match="'item' or 'user'. Got 'items'"):
        export_onnx(model, path, side="items")
    with pytest.raises(TypeError, match="PopularityRecommender has no towers"):
        export_onnx(PopularityRecommender().fit(EVENTS), path)
    with pytest.raises(NotFittedError):
        export_onnx(TwoTowerRecommender(), path)


def test_without_onnx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'sktwotower\[onnx\]'"):
        export_onnx(MODELS["pooled"](), tmp_path / "a")
