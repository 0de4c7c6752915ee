"""Vectors have versions: what changed since, and vectors turned to an older model."""

import copy
import threading

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import orthogonal_procrustes
from sklearn.exceptions import NotFittedError

from sktwotower import PopularityRecommender, io, runtime
from sktwotower.towers import RecentHistory
from tests.builders import random_events, small, spelt
from tests.shared import once

EVENTS = random_events(n_users=40, n_items=30, density=0.3)
MORE = random_events(n_users=44, n_items=30, density=0.3, seed=1)


@once
def older():
    return small(max_epochs=5).fit(EVENTS)


@once
def newer():
    return small(max_epochs=5, random_state=1).fit(MORE)


@once
def aligned():
    return copy.deepcopy(newer()).align_to(older())


def distances(before, after):
    """Return how far the vectors of the items of ``before`` are in ``after``."""
    now = after.embed_items(before.item_ids_)
    return np.linalg.norm(now - before.item_embeddings_, axis=1)


def test_a_night_that_moves_no_item_keeps_the_id():
    model = copy.deepcopy(older()).set_params(lr=0)
    model.partial_fit(spelt("zoe:v").replace("v", "i1"))
    assert model.model_id_ == older().model_id_
    assert len(model.changed_items_since(older().model_id_)) == 0
    assert "zoe" in model.user_ids_


def test_changed_items_are_those_with_other_vectors_and_new_ones(tmp_path):
    first = older()
    model = copy.deepcopy(first)
    ids = [model.model_id_]
    states = [first]
    for night in (spelt("u1:v u2:v"), MORE[:40], MORE[40:90]):
        model = copy.deepcopy(model).partial_fit(night)
        ids.append(model.model_id_)
        states.append(model)
    assert len(set(ids)) == 4
    io.dump(model, tmp_path / "model.sktt")
    for each in (model, io.load(tmp_path / "model.sktt")):
        for model_id, state in zip(ids, states, strict=True):
            n = len(state.item_ids_)
            differ = (state.item_embeddings_ != model.item_embeddings_[:n]).any(axis=1)
            is_new = ~np.isin(model.item_ids_, state.item_ids_)
            expected = model.item_ids_[np.append(differ, is_new[n:])]
            assert set(expected) <= set(each.changed_items_since(model_id))
            # no other item is further away than the tolerance
            found = each.changed_items_since(model_id, tolerance=0.01)
            others = ~np.isin(state.item_ids_, found)
            assert (distances(state, model)[others] <= 0.01).all()
            assert np.isin(model.item_ids_[is_new], found).all()
    last = model.changed_items_since(ids[2])
    before = states[2].item_embeddings_
    assert_array_equal(last, model.item_ids_[(before != model.item_embeddings_).any(1)])


def test_changed_items_follow_the_catalog():
    model = copy.deepcopy(older())
    fewer = [f"i{i}" for i in (5, 3, 9)]
    model.set_catalog(fewer)
    assert len(model.changed_items_since(older().model_id_)) == 0
    narrow = model.model_id_
    model.set_catalog([*fewer, "i7"])
    assert model.changed_items_since(narrow).tolist() == ["i7"]
    model.forget_items(["i5"])
    assert model.changed_items_since(narrow).tolist() == ["i7"]
    assert len(model.changed_items_since(older().model_id_)) == 1  # it had left


def test_an_unknown_id_says_which_are_known():
    model = copy.deepcopy(older()).partial_fit(MORE[:30])
    with pytest.raises(ValueError, match=f"'0'.*{older().model_id_}.*from item_emb"):
        model.changed_items_since("0")
    for tolerance, error in ((-1, ValueError), (np.nan, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="tolerance must be a number >= 0"):
            model.changed_items_since(model.model_id_, tolerance=tolerance)
    with pytest.raises(NotFittedError):
        small().changed_items_since("0")


@pytest.mark.grid
def test_the_latest_thirty_states_are_known():
    model = copy.deepcopy(older())
    ids = [model.model_id_]
    for night in range(len(MORE)):
        model.partial_fit(MORE[night : night + 2])
        if model.model_id_ not in ids:
            ids.append(model.model_id_)
        if len(ids) == 32:
            break
    assert len(model.changed_items_since(ids[1])) > 0
    with pytest.raises(ValueError, match="is not known"):
        model.changed_items_since(ids[0])


def test_turned_vectors_are_those_of_procrustes_and_scores_stay():
    new, old, model = newer(), older(), aligned()
    new_vectors = np.asarray(new.item_embeddings_, dtype=float)
    old_vectors = np.asarray(old.embed_items(new.item_ids_), dtype=float)
    turn, _ = orthogonal_procrustes(new_vectors, old_vectors)
    assert_allclose(model.item_embeddings_, new_vectors @ turn, atol=1e-6)
    users = [*new.user_ids_, "new"]
    assert_allclose(model.embed_users(users), new.embed_users(users) @ turn, atol=1e-6)
    assert_allclose(model.embed_users(["u1"]), model.embed_users(users)[[1]], atol=1e-6)
    assert_allclose(model.transform(MORE), new.transform(MORE) @ turn, atol=1e-6)
    scores = model.embed_users(users) @ model.item_embeddings_.T
    before = new.embed_users(users) @ new.item_embeddings_.T
    assert_allclose(scores, before, atol=1e-6)
    pd.testing.assert_frame_equal(model.recommend(users), new.recommend(users))
    assert_array_equal(model.predict(MORE), new.predict(MORE))
    assert model.aligned_to_ == old.model_id_
    assert new.aligned_to_ is None and new.alignment_ is None
    assert model.model_id_ not in (new.model_id_, old.model_id_)


def test_the_report_says_how_comparable_vectors_are():
    report = aligned().alignment_
    assert report.index.tolist() == ["before", "after"]
    new = aligned().item_embeddings_
    old = older().embed_items(aligned().item_ids_)
    cosines = (np.asarray(new) * np.asarray(old)).sum(axis=1)
    assert_allclose(report.loc["after", "cosine"], cosines.mean(), atol=1e-6)
    assert_allclose(
        report.loc["after", "lowest_tenth"], np.quantile(cosines, 0.1), atol=1e-6
    )
    for figure in ("cosine", "lowest_tenth"):
        assert report.loc["after", figure] > report.loc["before", figure]
    known = [user for user in newer().user_ids_ if user in older().user_ids_]
    lists = []
    for users in (aligned(), older()):
        scores = np.asarray(users.embed_users(known)) @ np.asarray(new).T
        lists.append(np.argsort(-scores, axis=1, kind="stable")[:, :10])
    shares = [len(np.intersect1d(*pair)) / 10 for pair in zip(*lists, strict=True)]
    assert_allclose(report.loc["after", "overlap_old_users"], np.mean(shares))


def test_an_aligned_model_stays_so_in_nights_files_and_the_runtime(tmp_path):
    model = copy.deepcopy(aligned()).partial_fit(EVENTS[:40])
    plain = copy.deepcopy(newer()).partial_fit(EVENTS[:40])
    # the same nights, the same scores, and vectors in the frame of before
    assert_array_equal(model.predict(MORE), plain.predict(MORE))
    turn, _ = orthogonal_procrustes(
        np.asarray(newer().item_embeddings_), np.asarray(aligned().item_embeddings_)
    )
    expected = np.asarray(plain.item_embeddings_) @ turn
    assert_allclose(model.item_embeddings_, expected, atol=1e-5)
    path = tmp_path / "model.sktt"
    io.dump(model, path)
    io.export_vectors(model, tmp_path / "items.npz", sparse=False)
    io.export_vectors(model, tmp_path / "users.npz", side="user", sparse=False)
    served = runtime.load(path)
    read = io.load(path)
    items = np.load(tmp_path / "items.npz")
    for vectors in (read.item_embeddings_, served.item_embeddings_, items["vectors"]):
        assert_allclose(vectors, model.item_embeddings_, atol=1e-6)
    users = np.load(tmp_path / "users.npz")["vectors"]
    for vectors in (read.embed_users(read.user_ids_), served.embed(read.user_ids_)):
        assert_allclose(vectors, users, atol=1e-6)
    assert {read.model_id_, served.model_id_, str(items["model_id"])} == {
        model.model_id_
    }
    pd.testing.assert_frame_equal(read.alignment_, aligned().alignment_)
    again = copy.deepcopy(newer()).align_to(served)
    for older in (tmp_path / "items.npz", str(path.with_name("items.npz"))):
        other = copy.deepcopy(newer()).align_to(older)
        assert_allclose(other.item_embeddings_, again.item_embeddings_, atol=1e-6)
        assert other.model_id_ and other.aligned_to_ == model.model_id_
        assert np.isnan(other.alignment_["overlap_old_users"]).all()
    # the next fit is not aligned
    assert small().fit(EVENTS).aligned_to_ is None


@pytest.mark.parametrize(
    "params", [{}, {"history": RecentHistory(), "time": "time"}], ids=["pairs", "time"]
)
def test_onnx_files_give_turned_vectors(params, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    events = EVENTS
    if params:
        events = EVENTS.assign(time=np.arange(len(EVENTS)))
    model = small(**params).fit(events)
    model.align_to(small(**params, random_state=1).fit(events))
    path = tmp_path / "items.onnx"
    io.export_onnx(model, path)
    rows = model.item_transformer_.transform(pd.DataFrame({"item": model.item_ids_}))
    inputs = {
        "indices": rows.indices.astype(np.int64),
        "offsets": rows.indptr.astype(np.int64),
        "values": rows.data.astype(np.float32),
    }
    (vectors,) = onnxruntime.InferenceSession(path).run(None, inputs)
    assert_allclose(vectors, model.item_embeddings_, atol=1e-6)


def test_vectors_in_files_of_other_types_align(tmp_path):
    expected = aligned().item_embeddings_
    for ending in (".npz", ".parquet"):
        for dtype, close in (("float32", 1e-6), ("float16", 0.01), ("int8", 0.05)):
            path = tmp_path / f"items{ending}"
            io.export_vectors(older(), path, vector_dtype=dtype, sparse=False)
            model = copy.deepcopy(newer()).align_to(path)
            assert_allclose(model.item_embeddings_, expected, atol=close)
            assert model.aligned_to_ == older().model_id_


def test_the_next_model_is_aligned_to_an_aligned_one():
    third = small(max_epochs=5, random_state=2).fit(EVENTS)
    third.align_to(aligned())
    turn, _ = orthogonal_procrustes(
        np.asarray(small(max_epochs=5, random_state=2).fit(EVENTS).item_embeddings_),
        np.asarray(aligned().embed_items(third.item_ids_)),
    )
    plain = small(max_epochs=5, random_state=2).fit(EVENTS)
    assert_allclose(third.item_embeddings_, plain.item_embeddings_ @ turn, atol=1e-5)
    # all items have moved a little since the older model
    assert len(third.changed_items_since(aligned().model_id_)) == len(third.item_ids_)


def test_the_index_inside_refuses_turned_vectors():
    model = aligned()
    with pytest.raises(ValueError, match=f"{model.model_id_}.*{newer().model_id_}"):
        model.neighbors_.kneighbors(model.embed_users(["u1"]))


def test_what_cannot_be_aligned_is_refused(tmp_path):
    model = copy.deepcopy(newer())
    others = MORE.assign(item="other " + MORE["item"])
    expected = r"numbers, 10\. Got 0 of 30 items here, such as .*Fit both on the same"
    with pytest.raises(ValueError, match=expected):
        model.align_to(small(max_epochs=5).fit(others))
    with pytest.raises(ValueError, match="10 numbers here and .* there.*embedding_dim"):
        model.align_to(small(embedding_dim=4).fit(EVENTS))
    with pytest.raises(TypeError, match="older must be a fitted TwoTowerRecommender"):
        model.align_to(PopularityRecommender().fit(EVENTS))
    with pytest.raises(NotFittedError):
        model.align_to(small())
    with pytest.raises(ValueError, match=r"read the file of a model with io\.load"):
        model.align_to(tmp_path / "model.sktt")
    np.savez(tmp_path / "other.npz", ids=["a"])
    with pytest.raises(ValueError, match=r'no file of .*\["model_id", "vectors"\]'):
        model.align_to(tmp_path / "other.npz")
    with pytest.raises(NotFittedError):
        small().align_to(older())
    assert model.model_id_ == newer().model_id_


def test_vectors_and_their_id_are_of_one_state_while_models_change():
    frames = [older(), newer()]
    served = copy.deepcopy(newer())
    expected = {}
    for frame in frames:
        served.align_to(frame)
        expected[served.model_id_] = np.asarray(served.embed_users(["u1", "u2"]))
    assert len(expected) == 2
    stop = threading.Event()

    def change():
        while not stop.is_set():
            frames.reverse()
            served.align_to(frames[0])

    thread = threading.Thread(target=change)
    thread.start()
    for _ in range(200):
        found = served.embed_users(["u1", "u2"])
        assert_allclose(found, expected[found.model_id], atol=1e-6)
    stop.set()
    thread.join()
