"""What is written to a file and read again is the same model."""

import copy
import datetime
import errno
import json
import os
import stat
import sys
import uuid
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sktwotower import (
    ChebyshevFilterRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
    TowerVectorizer,
    TwoStageRecommender,
    TwoTowerRecommender,
)
from sktwotower.io import dump, load
from sktwotower.neighbors import ExactNeighbors, NNDescentNeighbors
from sktwotower.towers import RecentHistory, StreamingFrequency
from tests.builders import chain, dated, first_fast, ordered, random_events, small
from tests.cases import for_each

from .builders import (
    MODELS,
    NAMES,
    OF_SQUARES,
    again,
    array_of,
    assert_same_answers,
    contexts_of,
    forged,
    in_context,
    members_of,
    products,
)

MAPPED = {"mmap": True, "verify": False}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.sktt"


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_was_read_returns_the_same_answers(name, path):
    how = {} if NAMES.index(name) % 2 else MAPPED
    read = again(MODELS[name], path, load_params=how)
    assert_same_answers(MODELS[name], read)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pooled", "recent", "side table", "no history"])
def test_all_methods_return_the_same(name, path):
    model = MODELS[name]
    read = again(model, path)
    events = chain(n_users=8, n_events=5) if name == "recent" else random_events()
    user, items = model.user_ids_[0], model.item_ids_[:3]
    for call in (
        lambda m: m.predict(events),
        lambda m: m.transform(events),
        lambda m: m.embed_users([user, "new"], history={"new": items[:2].tolist()}),
        lambda m: m.embed_items(items),
        lambda m: m.kneighbors([user], 3)[0],
        lambda m: m.score(events),
        lambda m: m.explain(user, items[0]).select_dtypes("number"),
        lambda m: m.explain(user, items[0])["reason"],
        lambda m: m.similar_items(items)["score"],
        lambda m: m.item_embeddings_,
    ):
        np.testing.assert_array_equal(call(read), call(model))
    for name in ("history_", "temperature_", "candidate_sampling_", "history_kind_"):
        assert getattr(read, name) == getattr(model, name)
    assert read.get_params().keys() == model.get_params().keys()
    assert read.net_.history[:] == model.net_.history[:]


@pytest.mark.each_time("context in order")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["context", "context in order"])
def test_a_context_means_the_same(name, path):
    model = copy.copy(MODELS[name])
    read = again(model, path, load_params=MAPPED)
    user, new = model.user_ids_[0], {"new": model.item_ids_[:2].tolist()}
    events = in_context(random_events() if name == "context" else dated(OF_SQUARES))
    for context in contexts_of(model):
        for call in (
            lambda m, c=context: m.embed_users([user, "new"], history=new, context=c),
            lambda m, c=context: m.explain(user, m.item_ids_[0], context=c)["reason"],
            lambda m: m.predict(events),
            lambda m: m.transform(events),
            lambda m: m.score(events),
        ):
            np.testing.assert_array_equal(call(read), call(model))
    more = events.iloc[::5].assign(user="v1", place="at sea", level=7.0)
    for each in (model, read):
        each.partial_fit(more)
    at_sea = {"place": "at sea"}
    asked = [each.embed_users([user], context=at_sea) for each in (model, read)]
    np.testing.assert_array_equal(*asked)
    assert not np.array_equal(asked[0], model.embed_users([user]))
    assert_same_answers(model, read)
    kept = model.item_ids_[[2, 0, 1, 3]]
    for each in (model, read):
        each.forget_users(["v1"]).set_catalog(kept)
    for each in (model, read):
        asked = each.embed_users([user], context=at_sea)
        np.testing.assert_array_equal(asked, each.embed_users([user]))
    assert_same_answers(model, read)
    assert_same_answers(read, again(read, path))


@pytest.mark.slow
@pytest.mark.parametrize("dtype, tolerance", [("float16", 2e-3), ("int8", 2e-2)])
def test_a_context_in_fewer_bits_is_close(dtype, tolerance, path):
    model = MODELS["context"]
    read = again(model, path, vector_dtype=dtype)
    for context in contexts_of(model):
        vectors = (each.embed_users(["u1"], context=context) for each in (model, read))
        np.testing.assert_allclose(*vectors, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pooled", "recent", "side table"])
def test_training_goes_on_with_the_same_result(name, path):
    model = copy.copy(MODELS[name])
    read = again(model, path, load_params=MAPPED)
    before = path.read_bytes()
    if name == "recent":
        more = chain(n_users=9, n_events=6).iloc[-20:]
    else:
        more = random_events(n_users=14, seed=1)
    for each in (model, read):
        each.partial_fit(more)
    assert_same_answers(model, read)
    kept = model.item_ids_[[4, 2, 0]]
    for each in (model, read):
        each.set_catalog(kept)
    assert_same_answers(model, read)
    assert path.read_bytes() == before  # what is mapped stays in the process
    assert_same_answers(read, again(read, path))  # a fold-in outside the catalog


@pytest.mark.parametrize("name", first_fast(["pooled", "item-knn", "two stages"]))
def test_a_forgotten_user_is_in_no_file(name, path):
    read = again(MODELS[name], path, load_params=MAPPED)
    user = read.user_ids_[2]
    vector = getattr(read, "net_", None)
    dump(read, path)
    assert json.dumps(user).encode() in path.read_bytes()
    if vector is not None:
        tower = vector.module_.first.user_tower
        vector = tower.sparse.weight[2].detach().numpy().tobytes()
        assert vector in path.read_bytes()
    dump(read.forget_users([user]), path)
    assert json.dumps(user).encode() not in path.read_bytes()
    assert vector is None or vector not in path.read_bytes()
    assert_same_answers(read, load(path))


@pytest.mark.slow
def test_a_fit_from_the_weights_of_a_file_is_the_same(path):
    model = small(warm_start=True).fit(random_events())
    read = again(model, path)
    assert_same_answers(model.fit(random_events()), read.fit(random_events()))


def test_the_net_of_a_file_has_the_same_settings(path):
    net, read = (m.net_ for m in (MODELS["pooled"], again(MODELS["pooled"], path)))
    assert type(read.module_) is type(net.module_) and not read.module_.training
    params, expected = (each.get_params(deep=False) for each in (read, net))
    kinds = "criterion", "optimizer", "iterator_train"
    names = [name for name in expected if name.split("__")[0] in kinds]
    for name in [*names, "lr", "max_epochs", "device"]:
        assert params[name] == expected[name], name


@pytest.mark.slow
def test_a_model_in_half_precision_is_close(path):
    model = small(embedding_dim=64).fit(random_events())
    dump(model, path)
    size = path.stat().st_size
    read = again(model, path, vector_dtype="float16")
    assert path.stat().st_size < size
    assert read.item_embeddings_.dtype == np.float32
    assert not np.array_equal(read.item_embeddings_, model.item_embeddings_)
    np.testing.assert_allclose(
        read.item_embeddings_, model.item_embeddings_, atol=2**-11
    )
    events = random_events()
    np.testing.assert_allclose(read.predict(events), model.predict(events), atol=2e-3)


def test_integers_take_a_quarter_of_the_room(path):
    rows = np.random.default_rng(0).normal(size=(500, 256)).astype(np.float32)
    index = ExactNeighbors().fit(rows)
    dump(index, path)
    size = path.stat().st_size
    read = again(index, path, vector_dtype="int8")
    assert path.stat().st_size < 0.26 * size
    half_steps = abs(rows).max(axis=1, keepdims=True) / 254
    assert (abs(read.vectors_ - rows) <= half_steps * 1.0001).all()


@pytest.mark.parametrize("how", first_fast([{}, MAPPED, {"mmap": True}]))
def test_integers_become_vectors_of_float32(how, path):
    model = MODELS["filtered"]
    read = again(model, path, load_params=how, vector_dtype="int8")
    vectors, expected = read.item_embeddings_, model.item_embeddings_
    assert vectors.dtype == np.float32
    assert np.shares_memory(
        read.neighbors_.vectors_, vectors
    )  # in the file and memory once
    np.testing.assert_allclose(vectors, expected, atol=1 / 254)
    assert not np.array_equal(vectors, expected)
    # what is rounded once is not rounded further
    assert_same_answers(read, again(read, path, load_params=how))
    read.partial_fit(random_events(n_users=14, seed=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recent", "side table", "no history"])
def test_vectors_of_users_are_close_in_integers(name, path):
    model = MODELS[name]
    read = again(model, path, vector_dtype="int8")
    vectors = [each.embed_users(model.user_ids_) for each in (read, model)]
    np.testing.assert_allclose(*vectors, atol=0.02 * abs(vectors[1]).max())


def test_what_fewer_bits_cannot_hold_is_refused(path):
    index = ExactNeighbors().fit(np.full((2, 2), 1e6))
    with pytest.raises(ValueError, match="65,504.*vector_dtype='float32'"):
        dump(index, path, vector_dtype="float16")
    again(index, path, vector_dtype="int8")
    path.unlink()
    index.vectors_ = np.full((2, 2), np.nan, dtype=np.float32)
    with pytest.raises(ValueError, match="3.37e38.*vector_dtype='float32'"):
        dump(index, path, vector_dtype="int8")
    with pytest.raises(ValueError, match="one of.*'int8'.*Got 'half'"):
        dump(index, path, vector_dtype="half")
    assert not path.exists()


def test_each_array_is_in_the_file_once(path):
    dump(MODELS["pooled"], path)
    members = members_of(path.read_bytes())
    arrays = [array_of(data) for name, data in members.items() if name[-3:] == "npy"]
    vectors = MODELS["pooled"].item_embeddings_
    assert sum(np.array_equal(each, vectors) for each in arrays) == 1
    read = load(path)
    assert np.shares_memory(read.neighbors_.vectors_, read.item_embeddings_)


def test_a_side_table_is_in_the_file_once_and_comes_back(path):
    model = MODELS["side table"]
    read = again(model, path)
    pd.testing.assert_frame_equal(read.items, model.items)
    assert "price" in read.item_transformer_.summary()["column"].tolist()


def test_arrays_begin_at_multiples_of_64_bytes_and_are_not_compressed(path):
    dump(MODELS["pooled"], path)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            start = data.index(archive.read(info), info.header_offset)
            assert start % 64 == 0


def test_the_same_model_gives_the_same_bytes(path, tmp_path):
    dump(MODELS["recent"], path)
    dump(MODELS["recent"], tmp_path / "other")
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.slow
def test_what_is_mapped_is_not_read_into_memory(path):
    model = small(embedding_dim=64).fit(random_events())
    mapped = again(model, path, load_params=MAPPED).item_embeddings_
    while isinstance(mapped.base, np.ndarray):
        mapped = mapped.base
    assert "mmap" in repr(getattr(mapped.base, "obj", mapped.base))


# Models that are not fitted, and parameters


@pytest.mark.parametrize(
    "model",
    [
        TwoTowerRecommender(hidden_layer_sizes=(4,), random_state=3),
        TwoTowerRecommender(net_params={"optimizer__betas": (0.9, 0.98)}),
        TwoTowerRecommender(
            user_features=slice(2, 4),
            history=RecentHistory(half_life=pd.Timedelta("30D")),
        ),
        TwoTowerRecommender(item_transformer=TowerVectorizer(n_hashed=4)),
        TwoTowerRecommender(neighbors=NNDescentNeighbors(target_recall=0.9)),
        PopularityRecommender(window=datetime.timedelta(days=7), time=2),
        EASERecommender(l2=30),
        ItemKNNRecommender(similarity="jaccard"),
        RP3betaRecommender(50, alpha=1),
        GraphFilterRecommender(16, alpha=1),
        ChebyshevFilterRecommender(16, degree=3),
        OrderedRidgeRecommender(30, n_last=9),
        RepeatRecommender(half_life=datetime.timedelta(days=7), time=2),
        TowerVectorizer(kinds={"a": "id"}, min_frequency=0.1),
        ExactNeighbors(3),
        StreamingFrequency(0.1, n_buckets=7, n_hashes=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_that_is_not_fitted_keeps_its_parameters(model, path):
    read = again(model, path)
    assert type(read) is type(model)
    assert repr(read) == repr(model)
    assert str(read.get_params()) == str(model.get_params())


@pytest.mark.parametrize(
    "params", [{}, {"n_buckets": 5, "n_hashes": 2}, {"initial_gap": 9.0}]
)
def test_a_stream_goes_on_where_it_was(params, path):
    frequency = StreamingFrequency(**params).fit(["a", "b"]).partial_fit(["b"])
    read = again(frequency, path)
    assert vars(read).keys() == vars(frequency).keys()
    for each in frequency, read:
        each.partial_fit(["a", "c"])
    ids = ["a", "b", "c", "d"]
    assert read.predict(ids).tolist() == frequency.predict(ids).tolist()
    frequency.gaps_[0].gap[:] = 0
    dump(frequency, path)
    with pytest.raises(ValueError, match=r"gaps_\[0\] must be positive gaps"):
        load(path)


@for_each("place", [None, 0, 624])
def test_a_random_state_goes_on_where_it_was(place, path):
    state = np.random.RandomState(5)
    state.standard_normal(3)
    if place is not None:
        _, key, _, has_gauss, gauss = state.get_state()
        state.set_state(("MT19937", key, place, has_gauss, gauss))
    read = again(TwoTowerRecommender(random_state=state), path).random_state
    assert read.standard_normal(5).tolist() == state.standard_normal(5).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        small(embedding_dim=np.int64(8), hidden_layer_sizes=[np.int64(4)]),
        ordered(history=RecentHistory(max_length=np.int64(5)), lr=np.float32(0.01)),
        small(item_transformer=TowerVectorizer(max_features=np.int64(5))),
        TwoStageRecommender(PopularityRecommender(), n_candidates=np.int64(9)),
    ],
    ids=["towers", "history", "vectorizer", "stages"],
)
def test_parameters_may_be_numbers_of_numpy(model, path):
    events = chain(n_users=99, n_items=30, noise=0.3)
    model = again(model.fit(events), path)
    assert len(model.recommend(["u00"], 3)) == 3


def test_a_vectorizer_and_an_index_with_numbers_of_numpy(path):
    table = pd.DataFrame({"kind": list("abcb")})
    vectorizer = TowerVectorizer(n_hashed=np.int64(2)).fit(table)
    expected = vectorizer.transform(table).toarray()
    np.testing.assert_array_equal(
        again(vectorizer, path).transform(table).toarray(), expected
    )
    index = NNDescentNeighbors(search_tree_leaf_budget=np.int64(4)).fit(np.eye(3))
    assert again(index, path).search_tree_leaf_budget_ == 4


def test_output_and_metadata_settings_are_kept(path):
    from sklearn import config_context

    model = TwoTowerRecommender().set_output(transform="pandas")
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight="weight")
        read = again(model, path)
        requests = read.get_metadata_routing().fit.requests
    assert requests["sample_weight"] == "weight"
    assert read._sklearn_output_config == {"transform": "pandas"}


@pytest.mark.slow
def test_optimizers_and_dtypes_of_torch_are_kept(path):
    params = {"criterion__matmul_dtype": torch.bfloat16}
    model = small(optimizer=torch.optim.AdamW, net_params=params).fit(random_events())
    read = again(model, path)
    assert read.optimizer is torch.optim.AdamW
    assert read.net_params == params
    assert read.net_.criterion_.matmul_dtype is torch.bfloat16
    assert_same_answers(model, read)


def test_a_file_names_no_folder_and_starts_no_compiler(path):
    params = {"verbose": 1, "compile": True, "compile__dynamic": True}
    model = small(checkpoint=Path("folder"), net_params=params)
    read = again(model, path)
    assert (read.checkpoint, read.net_params) == (None, {"verbose": 1})

    def compiles(meta):
        written = meta["model"]["parts"]["params"]["net_params"]
        written["keys"].append("compile")
        written["values"].append(True)

    def names_a_folder(meta):
        meta["model"]["parts"]["params"]["checkpoint"] = "folder"

    members = members_of(path.read_bytes())
    path.write_bytes(forged(members, compiles))
    assert load(path).net_params == {"verbose": 1}
    path.write_bytes(forged(members, names_a_folder))
    with pytest.raises(ValueError, match="'checkpoint' must be one of"):
        load(path)


NOT_WRITTEN = [
    ({"callbacks": [print]}, r"'callbacks' of TwoTowerRecommender\[0\]"),
    ({"user_features": len}, "'user_features'"),
    ({"memory": "folder"}, "'memory'"),
    ({"net_params": {"iterator_train": dict}}, r"'net_params'.*'iterator_train'"),
    ({"optimizer": dict}, "'optimizer'"),
    ({"users": pd.DataFrame({"u": pd.interval_range(0, 2)})}, "'users'"),
]


def test_what_cannot_be_written_is_refused_by_name(path):
    for params, part in NOT_WRITTEN:
        with pytest.raises(ValueError, match=f"{part}.*cannot be written to a file: "):
            dump(TwoTowerRecommender(**params), path)
        assert list(path.parent.iterdir()) == []


def test_parameters_out_of_range_are_refused_before_they_are_in_a_file(path):
    model = copy.copy(MODELS["pooled"])
    vars(model)["n_neighbors"] = -1
    with pytest.raises(ValueError, match="n_neighbors"):
        dump(model, path)
    assert not path.exists()


def test_other_objects_are_refused(path):
    from sklearn.pipeline import make_pipeline

    class Own(PopularityRecommender):
        pass

    for model in (make_pipeline(TowerVectorizer()), Own(), {"a": 1}, None):
        with pytest.raises(ValueError, match="estimators of sktwotower itself.*Got"):
            dump(model, path)


# Ids and tables

IDS = {
    "int": [3, 1, 2],
    "uint8": np.array([3, 1, 2], dtype=np.uint8),
    "float": [0.5, 2.0, -1.0],
    "str": ["b", "ä", "a\n\0"],
    "bool": [True, False],
    "bytes": [b"a", b"\xc3\xa4"],
    "date": [datetime.date(2020, 1, 2), datetime.date(1999, 1, 1)],
    "datetime": pd.to_datetime(["2020-01-01 00:00:00.1", "1999-12-31 23:59:59.5"]),
    "datetime in seconds": np.array(["2020-01-01", "9999-01-01"], "datetime64[s]"),
    "aware": pd.to_datetime(["2020-06-01", "2020-01-01"]).tz_localize("Europe/Paris"),
    "utc": pd.to_datetime(["2020-06-01", "2020-01-01"], utc=True),
    "offset": pd.to_datetime(["2020-06-01 00:00+01:30", "2020-01-01 00:00+01:30"]),
    "timedelta": pd.to_timedelta([3, 1], "h"),
    "period": pd.period_range("2020-01", periods=2, freq="M"),
    "uuid": [uuid.UUID(int=5), uuid.UUID(int=1)],
    "decimal": [Decimal("1.10"), Decimal("0.3")],
    "nullable": pd.array([5, 3], dtype="Int64"),
    "category": pd.Categorical(["y", "x"]),
}


@pytest.mark.parametrize("kind", first_fast(IDS, 6))
def test_ids_of_all_kinds_come_back(kind, path):
    ids = pd.Series(IDS[kind])
    items = [f"i{i}" for i in range(len(ids))]
    events = pd.DataFrame({"user": ids, "item": items})
    events = pd.concat([events, events.assign(item="common")], ignore_index=True)
    model = PopularityRecommender().fit(events)
    read = again(model, path)
    np.testing.assert_array_equal(read.user_ids_, model.user_ids_)
    assert read.user_ids_.dtype == model.user_ids_.dtype
    pd.testing.assert_frame_equal(read.recommend(), model.recommend())
    turned = PopularityRecommender().fit(events[["item", "user"]])
    pd.testing.assert_frame_equal(again(turned, path).recommend(), turned.recommend())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uint8", "aware", "period", "decimal", "category"])
def test_ids_of_all_kinds_are_features_of_towers(kind, path):
    ids = pd.Series(IDS[kind])
    events = pd.DataFrame({"user": ids, "item": [f"i{i}" for i in range(len(ids))]})
    model = small().fit(events)
    pd.testing.assert_frame_equal(again(model, path).recommend(), model.recommend())


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, None], dtype="Int8"),
        pd.array([True, None], dtype="boolean"),
        pd.array([1.5, None], dtype="Float32"),
        pd.Categorical(["a", None], categories=["b", "a"], ordered=True),
        pd.to_datetime(["2020-01-01", None]).tz_localize("Asia/Tokyo"),
        pd.to_timedelta(["1h", None]),
        pd.PeriodIndex(["2020Q1", None], freq="Q"),
        ["text", None],
        [{"tag": 2.0}, {"x", "y"}],
        [(1, "a"), np.array([1.0, np.nan])],
        [float("inf"), -0.0],
        [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime.time(3, 4)],
    ],
)
def test_columns_of_all_kinds_come_back(values, path):
    table = pd.DataFrame({"user": [1, 2]})
    table[7] = pd.Series(values)
    read = again(TwoTowerRecommender(users=table), path).users
    pd.testing.assert_frame_equal(read, table)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_tables_of_other_libraries_come_back_as_pandas(library, path):
    module = pytest.importorskip(library)
    table = products()[["item", "color", "price", "tags"]]
    other = (
        module.from_pandas(table)
        if library == "polars"
        else module.Table.from_pandas(table)
    )
    model = small(items=other).fit(random_events())
    read = again(model, path)
    assert type(read.items) is pd.DataFrame
    assert_same_answers(model, read)
    for each in (model, read):
        each.partial_fit(random_events(seed=3))
    assert_same_answers(model, read)


@pytest.mark.slow
def test_an_encoder_keeps_what_it_learnt(path):
    table = products().rename(columns={"item": "key"})
    for params in ({}, {"n_hashed": 3}, {"numbers": "quantiles", "min_frequency": 4}):
        encoder = TowerVectorizer(**params).fit(table)
        read = again(encoder, path)
        other = table.assign(color="green", price=[7.0, None, -1.0] * 3)
        for rows in (table, other):
            expected, got = encoder.transform(rows), read.transform(rows)
            assert (expected != got).nnz == 0
        pd.testing.assert_frame_equal(read.summary(), encoder.summary())
        pairs = zip(read.encoders_, encoder.encoders_, strict=True)
        for (_, got), (_, expected) in [*pairs, ((0, read), (0, encoder))]:
            assert type(got) is type(expected)
            assert vars(got).keys() >= vars(expected).keys()


@pytest.mark.slow
def test_dated_events_keep_their_half_life(path):
    events = dated(chain(n_users=12, n_events=6))
    model = ordered(history=RecentHistory(half_life=pd.Timedelta("20D"))).fit(events)
    read = again(model, path)
    assert read.half_life_ == pd.Timedelta("20D")
    assert_same_answers(model, read)


# The file


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    dump(MODELS["popularity"], path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "full")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="full"):
                dump(MODELS["pooled"], path)
        assert path.read_bytes() == before
        assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
def test_a_full_disk_leaves_the_old_file(path):
    import resource

    model = MODELS["popularity"]
    dump(model, path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            dump(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions of POSIX")
def test_a_file_has_the_permissions_of_the_umask(path):
    before = os.umask(0o027)
    try:
        dump(MODELS["popularity"], path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="needs symlinks")
def test_a_symlink_is_replaced_and_not_followed(path, tmp_path):
    target = tmp_path / "target"
    target.write_text("untouched")
    path.symlink_to(target)
    dump(MODELS["popularity"], path)
    assert target.read_text() == "untouched" and not path.is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_what_is_not_a_file_is_not_replaced(tmp_path):
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in folder, pipe:
        with pytest.raises(FileExistsError, match=f"{path.name} is not a file"):
            dump(MODELS["popularity"], path)
    assert folder.is_dir() and pipe.is_fifo() and len(list(tmp_path.iterdir())) == 2


def test_a_missing_file_is_an_error_of_the_system(path):
    with pytest.raises(FileNotFoundError):
        load(path)
    with pytest.raises(FileNotFoundError):
        dump(MODELS["popularity"], Path(path) / "no" / "folder")
