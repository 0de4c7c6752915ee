"""A kind of part that the package does not know goes through all that it does."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback

from sktwotower import io
from sktwotower._records._checks import vectors
from sktwotower._records._registry import record
from sktwotower.towers._sparse_rows import SparseLinear
from sktwotower.towers.parts import Contributions, Part, _plan
from tests.builders import batched, chain, first_fast, ordered, random_events

SHARE = 0.25


@record
class Popularity(Part):
    """Two numbers: how popular an item is, and what gives its vector length one."""

    counts: vectors("p one")  # what files hold of it

    width = 2

    def __init__(self, counts):
        super().__init__()
        self.item_counts = SparseLinear(len(counts), 1)
        self.item_counts.weight = torch.nn.Parameter(torch.as_tensor(counts))

    def _stored_parts(self):
        return {"counts": self.item_counts.weight.detach().numpy()}

    @classmethod
    def _of_stored(cls, counts):
        return cls(counts).eval()

    @classmethod
    def share(cls, recipe, events, kinds):
        return SHARE

    @classmethod
    def widths(cls, embedding_dim):
        return embedding_dim, 2

    @classmethod
    def start(cls, plan, training, spectrum):
        part = cls(np.zeros((training.item_rows.shape[1], 1), dtype=np.float32))
        part._count(training.positives, training.item_rows)
        return part

    def _count(self, positives, item_rows):
        counts = item_rows.T @ np.asarray(positives.sum(axis=0)).ravel()
        with torch.no_grad():
            self.item_counts.weight += torch.as_tensor(counts[:, None]).float()

    def learn_more(self, events, past, seen):
        self._count(events.positives, events.items.rows[:-1])

    def embed_users(self, users):
        return torch.tensor([[1.0, 0.0]]).expand(len(users.rows), 2)

    def embed_items(self, rows):
        popular = self.item_counts(rows) / (10 + self.item_counts(rows))
        return torch.cat([popular, (1 - popular**2).sqrt()], 1)

    def contributions(self, pair):
        rows = pair.item_rows
        weights = self.item_counts.weight.detach().numpy()
        count = float((rows @ weights).sum())
        score, none = count / (10 + count), np.zeros(0)
        history = np.zeros(len(pair.past.last))
        of_user = np.zeros(pair.user_rows.nnz)
        of_item = np.full(rows.nnz, score / rows.nnz) if rows.nnz else none
        return Contributions(score, of_user, history, 0.0, of_item, 0.0, 0.0)

    def arrays(self):
        return self

    def of_item(self, row):
        counts = row.sums(self.item_counts.weight.detach().numpy())
        popular = counts / (10 + counts)
        return np.concatenate([popular, np.sqrt(1 - popular * popular)], axis=-1)

    def of_user(self, row, past, context=None):
        return row.full(np.array([1.0, 0.0]))


@pytest.fixture(autouse=True)
def known_kind(monkeypatch):
    monkeypatch.setattr(_plan, "KINDS", [*_plan.KINDS, Popularity])


def pooled(**params):
    return batched(second_share=0, **params)


def recent(**params):
    return ordered(second_share=0, **params)


EVENTS = random_events(n_users=14, n_items=9)
ORDERED = chain(n_users=20)
MODELS = {"pooled": (pooled, EVENTS), "recent": (recent, ORDERED)}


@pytest.fixture(params=first_fast(MODELS))
def fitted(request):
    make, X = MODELS[request.param]
    return make().fit(X), X


def counts_of(model):
    return model._fitted.model.parts[-1].item_counts.weight.detach().numpy()[:, 0]


def popularity(X, ids):
    """Return what the part should say of items, counted by hand: distinct pairs."""
    ids = list(ids)
    counts = X.drop_duplicates(["user", "item"])["item"].value_counts()
    counts = counts.reindex(ids, fill_value=0).to_numpy(dtype=float)
    return counts / (10 + counts)


def scores_of(model, X):
    """Return the scores of all pairs from both parts, added by hand."""
    first, second = model._fitted.model.parts
    assert type(second) is Popularity
    return first, popularity(X, model.item_ids_)


def test_the_score_has_its_share(fitted):
    model, X = fitted
    shares = model._fitted.model.shares
    assert shares == [1 - SHARE, SHARE] and model.second_share_ == SHARE
    _, popular = scores_of(model, X)
    n = model.item_embeddings_.shape[1]
    assert n == model._fitted.model.first.width + 2
    if model.history_kind_ == "pooled":  # a count of distinct pairs
        assert_allclose(model.item_embeddings_[:, -2], SHARE**0.5 * popular, atol=1e-6)
    users = model.embed_users(model.user_ids_)
    assert_allclose(users[:, -2], SHARE**0.5, atol=1e-6)
    assert_allclose(np.linalg.norm(users, axis=1), 1, atol=1e-6)
    towers = users[:, :-2] @ model.item_embeddings_[:, :-2].T
    whole = users @ model.item_embeddings_.T
    added = whole - towers
    assert_allclose(added, np.tile(added[0], (len(added), 1)), atol=1e-6)
    assert np.ptp(added[0]) > 0.01
    best = model.recommend(model.user_ids_[:1], n_neighbors=1, exclude_seen=False)
    assert best["item"][0] == model.item_ids_[np.argmax(whole[0])]


@pytest.mark.parametrize("fold_in", first_fast([True, False]))
def test_fold_in(fold_in):
    X = EVENTS
    model = pooled(fold_in=fold_in).fit(X)
    alone = model.embed_users(["zoe"], history={"zoe": ["i1", "i2", "i3"]})
    assert_allclose(alone[:, -2:], [[SHARE**0.5, 0]], atol=1e-6)
    other = model.set_params(fold_in=not fold_in)
    moved = other.embed_users(["zoe"], history={"zoe": ["i1", "i2", "i3"]})
    assert np.abs(moved[:, :-2] - alone[:, :-2]).max() > 1e-4
    assert_allclose(moved[:, -2:], alone[:, -2:], atol=1e-6)


def test_partial_fit_counts_on(fitted):
    model, X = fitted
    before = counts_of(model).copy()
    new = X.iloc[:3].assign(item=["new", "new", X["item"].iloc[2]])
    new["user"] = ["x", "y", "x"]
    model.partial_fit(new)
    ids, counts = list(model.item_ids_), counts_of(model)
    assert counts.sum() == before.sum() + 3
    rows = model._fitted.items.rows[: len(ids)]
    assert (rows @ counts)[ids.index("new")] == 2
    fresh = model.embed_items(ids)  # also of items whose vectors were kept
    assert_allclose(model.item_embeddings_, fresh, atol=1e-7)


def test_catalog_and_forgetting(fitted):
    model, X = fitted
    kept = [item for item in model.item_ids_ if item != "i3"]
    vectors = model.embed_items(kept)
    model.set_catalog(kept)
    assert_allclose(model.item_embeddings_, vectors, atol=1e-7)
    before = model.embed_users(model.user_ids_[2:])
    model.forget_users(model.user_ids_[:2])
    assert_allclose(model.embed_users(model.user_ids_), before, atol=1e-6)
    model.forget_items(["i1"])
    assert "i1" not in model.item_ids_ and len(counts_of(model)) == len(
        model._fitted.items.rows[0].toarray()[0]
    )
    left = [item for item in kept if item != "i1"]
    known = [vectors[kept.index(item)] for item in left]
    assert_allclose(model.item_embeddings_, known, atol=1e-6)


def test_files(fitted, tmp_path):
    model, X = fitted
    io.dump(model, tmp_path / "model.sktt")
    again = io.load(tmp_path / "model.sktt")
    assert type(again._fitted.model.parts[-1]) is Popularity
    users = list(model.user_ids_)
    assert_array_equal(again.embed_users(users), model.embed_users(users))
    assert_array_equal(again.item_embeddings_, model.item_embeddings_)
    new = X.iloc[:3].assign(item="new")
    assert_array_equal(
        again.partial_fit(new).item_embeddings_, model.partial_fit(new).item_embeddings_
    )


def test_explanations(fitted):
    model, X = fitted
    user, item = X["user"].iloc[0], X["item"].iloc[1]
    why = model.explain(user, item)
    score = model.predict(X.iloc[:1].assign(item=item))[0]
    assert why.attrs["score"] == pytest.approx(score, abs=1e-6)
    assert why["contribution"].sum() == pytest.approx(score, abs=1e-6)
    importance = model.feature_importance(X.iloc[:20])
    drops = importance.select_dtypes("number").to_numpy()
    assert len(importance) >= 2 and np.isfinite(drops).all()


class PowerCut(Callback):
    comes = True

    def on_epoch_begin(self, net, **kwargs):
        if self.comes and len(net.history) == 2:
            raise RuntimeError("the power failed")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint(name, tmp_path, monkeypatch):
    make, X = MODELS[name]
    whole = make(max_epochs=3).fit(X)
    broken = make(max_epochs=3, callbacks=[PowerCut()], checkpoint=tmp_path / "fit")
    with pytest.raises(RuntimeError, match="the power failed"):
        broken.fit(X)
    assert any((tmp_path / "fit").iterdir())
    monkeypatch.setattr(PowerCut, "comes", False)
    again = broken.fit(X)
    assert_array_equal(again.item_embeddings_, whole.item_embeddings_)
    assert_array_equal(counts_of(again), counts_of(whole))


@pytest.mark.parametrize("side", first_fast(["item", "user"]))
def test_onnx(fitted, side, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model, X = fitted
    io.export_onnx(model, tmp_path / "tower.onnx", side=side)
    session = onnxruntime.InferenceSession(tmp_path / "tower.onnx")
    state = model._fitted
    rows = (state.items if side == "item" else state.users).rows[:-1]
    given = {
        "indices": rows.indices.astype(np.int64),
        "offsets": rows.indptr.astype(np.int64),
        "values": rows.data,
    }
    if side == "user":
        recent = state.sequences is not None
        past = state.sequences.lags[:-1] if recent else state.seen[:-1]
        given["history"] = past.indices.astype(np.int64)
        given["history_offsets"] = past.indptr.astype(np.int64)
        if recent:
            given["lags"] = past.data
    (found,) = session.run(None, given)
    expected = model.item_embeddings_
    if side == "user":
        expected = model.embed_users(model.user_ids_)
    assert_allclose(found, expected, atol=1e-5)
