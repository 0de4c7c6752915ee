"""What goes on from fit through every partial_fit, and what a call costs."""

import copy
import warnings
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import io
from sktwotower.recommender import _catalog
from sktwotower.towers import id_shares
from sktwotower.towers._dropout import FeatureDropout
from tests.builders import chain, first_fast, many, ordered, random_events, small

X = random_events()
MORE = pd.DataFrame({"user": ["u1", "u2", "new"], "item": ["i3", "j1", "i3"]})


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X)


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


# Nothing to learn.


@pytest.mark.parametrize("time", first_fast([None, "when"]))
def test_a_day_without_rows_changes_nothing(time):
    events = chain(n_users=5).assign(when=lambda t: t["when"] + 0.5)
    model = ordered(time=time, history="auto").fit(events)
    fitted, empty = model._fitted, events.iloc[:0]
    assert model.partial_fit(empty) is model
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        model.partial_fit([])
    assert model.partial_fit(empty, y=[], sample_weight=[]) is model
    model.partial_fit(events.iloc[:2], sample_weight=[0, 0])
    assert model._fitted is fitted


@pytest.mark.slow
def test_an_array_without_rows():
    model = small().fit(X.to_numpy())
    fitted = model._fitted
    assert model.partial_fit(np.empty((0, 2), dtype=object))._fitted is fitted
    with pytest.raises(ValueError, match="X has 3 features"):
        model.partial_fit(np.empty((0, 3)))
    with pytest.raises(ValueError, match="feature names"):
        small().fit(X).partial_fit(pd.DataFrame({"user": [], "thing": []}))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        small().partial_fit(X.iloc[:0])


@pytest.mark.parametrize("time", first_fast([None, "when"]))
def test_items_that_are_only_shown_join_the_catalog(time):
    events = chain(n_users=5)
    model = ordered(time=time).fit(events)
    vectors, n_epochs = model.item_embeddings_, len(model.history_)
    shown = pd.DataFrame({"user": ["u00", "z"], "item": ["j1", "i01"], "when": 99})
    model.partial_fit(shown, y=[0, 0])
    assert_array_equal(model.item_embeddings_[:-1], vectors)
    assert model.item_ids_[-1] == "j1" and model.user_ids_[-1] == "z"
    assert len(model.history_) == n_epochs
    assert "j1" in model.recommend(["z"], 99)["item"].tolist()
    model.partial_fit(shown.assign(when=100))
    assert len(model.history_) == n_epochs + 1


@pytest.mark.slow
def test_a_replay_is_reported(tmp_path):
    model = small().fit(X).partial_fit(MORE)
    io.dump(model, tmp_path / "model.sktt")
    for each in (model, io.load(tmp_path / "model.sktt")):
        with pytest.warns(UserWarning, match="3 events were given to an earlier"):
            each.partial_fit(MORE.sample(frac=1, random_state=0))
        each.partial_fit(MORE, y=[1, 2, 1])
        each.partial_fit(MORE.iloc[:2])


@pytest.mark.parametrize("history", first_fast(["pooled", "recent", None]))
def test_the_same_pairs_at_another_time_are_no_replay(history):
    model = small(time="when", history=history).fit(chain(n_users=5))
    more = MORE.assign(when=50)
    model.partial_fit(more)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.partial_fit(more.assign(when=51))
    with pytest.warns(UserWarning, match="3 events were given to an earlier"):
        model.partial_fit(more)


def test_events_of_fit_are_reported_if_they_come_again():
    events = chain(n_users=5)
    with pytest.warns(UserWarning, match="^2 of these 5 events are known: .* twice"):
        more = pd.concat([events[:2], MORE.assign(when=50)])
        model = small(time="when", history="recent").fit(events).partial_fit(more)
    with pytest.warns(UserWarning, match="^1 of these 2 events are known"):
        model.partial_fit(pd.concat([more[-1:], more[-1:].assign(when=60)]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        new = pd.DataFrame({"user": "u01", "item": "i02", "when": range(100, 110)})
        model.partial_fit(pd.concat([new, more[-1:]]))  # a few may be alike
        # what was past is learnt now
        day = more.assign(when=70)
        model.set_params(lr=0).partial_fit(day).set_params(lr=0.01)
        model.partial_fit(pd.concat([more.assign(when=80), day]))


@pytest.mark.parametrize(
    "changed", [{"user_id": "who"}, {"time": "nope"}, {"item_id": "color"}]
)
def test_columns_that_are_others_than_in_fit(changed):
    model = ordered().fit(chain(n_users=5)).set_params(**changed)
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name}=.*, but fit had .* Restore"):
        model.partial_fit(MORE.assign(when=50))
    known = {"user_id": "user", "time": "when", "item_id": "item"}
    model.set_params(**{name: known[name]}).partial_fit(MORE.assign(when=50))


# What goes on.


@pytest.mark.slow
def test_the_optimizer_goes_on(model):
    name = "item_tower.sparse.weight"
    before = model._fitted.model.first.moments
    assert before["history.weight"]["steps"].sum() > 0
    model.partial_fit(MORE)
    after = model._fitted.model.first.moments
    assert len(after[name]["steps"]) == 10 == len(after[name]["second"])
    grown = after[name]["steps"][:9] - before[name]["steps"]
    assert set(grown) <= {0, 1} and grown.sum() > 0
    # a step of a new optimizer is as large for a small gradient as for a large one
    other = small().fit(X)
    other._fitted.model.first.moments = {}
    other.partial_fit(MORE)
    assert abs(other.item_embeddings_ - model.item_embeddings_).max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("params", [{}, {"time": "when", "second_share": 0.3}])
def test_a_file_goes_on_as_the_model_does(params, tmp_path):
    events = chain(n_users=12, noise=0.3)
    model = small(max_epochs=2, candidate_sampling="mixed", **params).fit(events)
    model.partial_fit(events.iloc[:9].assign(when=50))
    io.dump(model, tmp_path / "model.sktt")
    read, more = io.load(tmp_path / "model.sktt"), events.iloc[20:40].assign(when=60)
    stream, same = model._fitted.stream, read._fitted.stream
    kept = [[{*part.moments} for part in m._fitted.model.parts] for m in (model, read)]
    assert kept[0] == kept[1] and len(kept[0]) == (2 if params else 1)
    assert all(kept[0])
    for mine, theirs in zip(stream.gaps, same.gaps, strict=True):
        assert_array_equal(mine, theirs)
    vectors = model.partial_fit(more).item_embeddings_
    assert_array_equal(read.partial_fit(more).item_embeddings_, vectors)


def test_frequencies_go_on_and_follow_the_items(model):
    stream = model._fitted.stream
    counts = X["item"].value_counts().reindex(model.item_ids_).to_numpy()
    assert stream.n_events == len(X)
    assert_allclose(1 / stream.gaps.gap, counts / len(X))
    model.partial_fit(MORE)
    gaps = dict(zip(model.item_ids_, model._fitted.stream.gaps.gap, strict=True))
    place = model.item_ids_.tolist().index("i3")
    assert gaps["i3"] < stream.gaps.gap[place] and gaps["j1"] == 10
    model.set_catalog(["j1", "i3"])
    assert_array_equal(model._fitted.stream.gaps.gap[:2], [10, gaps["i3"]])
    ids = model._fitted.items.ids
    now = dict(zip(ids, model._fitted.stream.gaps.gap, strict=True))
    assert now == gaps


def test_forgotten_users_leave_neither_moments_nor_hits():
    only = pd.DataFrame({"user": ["u4"], "item": ["rare"]})
    model = small().fit(pd.concat([X, only]))
    name = "user_tower.sparse.weight"
    before = model._fitted.model.first.moments
    model.forget_users(["u4"])
    after, moments = model._fitted.stream, model._fitted.model.first.moments
    kept = np.array([user != "u4" for user in sorted(set(X["user"]))])
    for key in ("steps", "second"):
        assert_array_equal(moments[name][key], before[name][key][kept])
    place = model.item_ids_.tolist().index("rare")
    assert np.isinf(after.gaps.gap[place]) and after.gaps.n_gaps[place] == 0
    others = X[X["user"] != "u4"]
    assert after.n_events == len(others)
    counts = others["item"].value_counts().reindex(model.item_ids_[:place])
    assert_allclose(1 / after.gaps.gap[:place], counts / len(others))


@pytest.mark.slow
def test_all_events_of_a_pair_are_forgotten():
    events = chain(n_users=8, noise=0.3)
    often = pd.DataFrame({"user": "u03", "item": "i01", "when": np.arange(50, 90)})
    model = ordered(half_life=None).fit(pd.concat([events, often]))
    stream = model.forget_users(["u03"])._fitted.stream
    others = ordered(half_life=None).fit(events[events["user"] != "u03"])
    expected = others._fitted.stream
    assert stream.n_events == expected.n_events
    for mine, theirs in zip(stream.gaps, expected.gaps, strict=True):
        assert_allclose(mine, theirs)


def test_shares_after_items_were_forgotten():
    model = small().fit(X).forget_items(["i0", "i1"])
    others = X[~X["item"].isin(["i0", "i1"])]
    counts = others["item"].value_counts().reindex(model.item_ids_)
    assert_allclose(1 / model._fitted.stream.gaps.gap, counts / len(others))
    assert model._fitted.stream.n_events == len(others)


@pytest.mark.slow
def test_a_heavy_user_is_forgotten_and_the_stream_goes_on(tmp_path):
    events = pd.DataFrame({"user": np.arange(1200) % 400, "item": np.arange(1200) % 2})
    heavy = pd.DataFrame({"user": 999, "item": np.arange(700)})
    model = small().fit(pd.concat([events, heavy])).forget_users([999])
    model.partial_fit(pd.DataFrame({"user": [1, 2], "item": [0, 0]}))
    gap = model._fitted.stream.gaps.gap[0]
    assert gap == pytest.approx(2, abs=0.02)
    io.dump(model, tmp_path / "model.sktt")
    assert io.load(tmp_path / "model.sktt")._fitted.stream.gaps.gap[0] == gap


@pytest.mark.slow
def test_one_pass_in_the_given_order():
    def vectors(events):
        model = small(batch_size=1, dropout=0.0, id_dropout=0.0).fit(X)
        return model.partial_fit(events).item_embeddings_

    same = vectors(X.iloc[:20])
    assert_array_equal(vectors(X.iloc[:20]), same)
    assert abs(vectors(X.iloc[19::-1]) - same).max() > 1e-5


@pytest.mark.slow
def test_each_call_draws_other_numbers():
    found = []
    for _ in range(2):
        model, events = many()
        model.partial_fit(events[:5])
        found.append(model.item_embeddings_)
    assert_array_equal(*found)
    touched = [(found[0] != many()[0].item_embeddings_).any(axis=1)]
    before = model.item_embeddings_
    model.partial_fit(events[5:10])
    touched.append((model.item_embeddings_ != before).any(axis=1))
    assert (touched[0] != touched[1]).sum() > 20


# The rate, and batches.


def test_the_rate():
    model = small(lr=0.02).fit(X).partial_fit(MORE)
    assert model.net_.lr == pytest.approx(0.004)
    model.set_params(lr=0.05).partial_fit(MORE[:1])
    assert model.net_.lr == pytest.approx(0.01)


@pytest.mark.parametrize(("given", "expected"), first_fast([("auto", 128), (7, 7)]))
def test_batches_are_smaller_than_those_of_fit(given, expected):
    model = small(batch_size=given).fit(X)
    assert model.net_.batch_size == (512 if given == "auto" else 7)
    assert model.partial_fit(MORE).net_.batch_size == expected


def test_batches_of_a_recent_history_are_larger():
    events = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 2, 3, 1]})
    model = ordered(batch_size="auto").fit(events.assign(when=range(5)))
    assert model.net_.batch_size == 256
    assert model.partial_fit(events.assign(when=9)).net_.batch_size == 512


def test_as_much_of_the_past_is_hidden_as_in_fit():
    baskets = [(u, f"i{(u + i) % 9}", i // 6) for u in range(6) for i in range(12)]
    events = pd.DataFrame(baskets, columns=["user", "item", "when"])
    model = small(time="when", second_share=0.0).fit(events)
    assert model.net_.iterator_train__history_dropout == 0.7
    model.partial_fit(events[:2].assign(when=9))
    assert model.net_.iterator_train__history_dropout == 0.7


@pytest.mark.slow
@pytest.mark.parametrize("time", [None, "when"])
def test_ids_are_hidden_as_often_as_in_fit(time):
    rng = np.random.default_rng(0)
    n_users, n_items = 100, 40
    users, items = np.divmod(rng.choice(4000, 1200, replace=False), n_items)
    events = pd.DataFrame({"user": users, "item": items, "when": np.arange(1200)})
    # features say nothing of who chooses what: ids are hidden rarely
    side = pd.DataFrame({"item": range(n_items), "color": np.arange(n_items) % 4})
    params = {"items": side, "time": time, "second_share": 0.0, "history": "auto"}
    params["exclude_seen"] = False
    model, seen = ordered(**params).fit(events), []

    def watched(id_dropout, n_events, worth):
        seen.append(id_shares(id_dropout, n_events, worth))
        return seen[-1]

    new = pd.DataFrame({"user": [*range(11), n_users], "item": 1, "when": 2000})
    with patch("sktwotower.towers._batches.id_shares", watched):
        model.partial_fit(new)
    of_items = seen[1]
    counts = np.bincount(np.append(items, new["item"]), minlength=n_items)
    assert_allclose(of_items, id_shares(0.5, counts, worth=0.02), rtol=1e-6)


@pytest.mark.parametrize(("id_dropout", "features"), [(0.5, 0.5), (1.0, 0.0)])
def test_ids_of_few_events_are_not_hidden(id_dropout, features):
    model = small(id_dropout=id_dropout).fit(X).partial_fit(X[:10])
    batches = model.net_.get_params()
    assert batches["iterator_train__id_dropout"] == (id_dropout == 1)
    assert batches.get("iterator_train__feature_dropout", 0.5) == features
    model.partial_fit(X[:11])
    assert model.net_.iterator_train__id_dropout == id_dropout


# Two users and two items that differ in nothing except their ids.
TWO = pd.DataFrame(
    {"user": ["u01", "u03"], "item": ["i01", "i03"], "when": 99, "land": "True"}
)
KINDS = pd.DataFrame({"item": [f"i{i:02}" for i in range(12)], "kind": list("ab") * 6})


def preferences(model, history=None):
    """Return by how much each of the two users prefers the own item to the other."""
    users = model.embed_users(TWO, history=history)
    scores = users @ model.embed_items(TWO["item"]).T
    return np.diag(scores) - np.diag(scores[:, ::-1])


@pytest.mark.parametrize("are_alike", [False, True])
@pytest.mark.parametrize(
    ("time", "seeds"),
    [
        (None, [0, 1]),
        pytest.param(None, range(2, 20), marks=pytest.mark.slow),
        pytest.param("when", range(20), marks=pytest.mark.slow),
    ],
)
def test_two_events_are_learnt(time, seeds, are_alike):
    events = chain(n_users=5).assign(
        land=lambda X: X["user"].isin(TWO["user"]).map(str)
    )
    if are_alike:  # items without an event have one vector
        events = TWO.assign(item=["i00", "i02"], when=1)
        if time is not None:  # so that there is a next item
            later = events.assign(item=["i02", "i00"], when=2)
            events = pd.concat([events, later])
    history = "pooled" if time is None else "recent"
    params = {"user_features": ["land"], "second_share": 0.0, "history": history}
    params["embedding_dim"] = 8 if time is None or are_alike else 16
    params["exclude_seen"] = False
    model = ordered(items=KINDS, time=time, **params).fit(events)
    for seed in seeds:
        after = copy.copy(model).set_params(random_state=seed).partial_fit(TWO)
        moved = after.embed_items(KINDS) - model.embed_items(KINDS)
        assert (preferences(after) > preferences(model, TWO) + 1e-3).all()
        assert (np.abs(moved[[1, 3]]).max(axis=1) > 1e-3).all()
        if not are_alike:
            users = model.embed_users(TWO, history=TWO)
            moved = np.abs(after.embed_users(TWO) - users).max(axis=1)
            assert (moved > 1e-3).all()


@pytest.mark.slow
def test_rows_of_users_are_hidden_in_fit_only():
    found = []

    def watched(matrix, id_shares, feature_dropout=0.0, row_dropout=0.0):
        found.append(row_dropout)
        return FeatureDropout(matrix, id_shares, feature_dropout, row_dropout)

    with patch("sktwotower.towers._batches.FeatureDropout", watched):
        small().fit(X).partial_fit(MORE)
    assert found == [0.4, 0, 0, 0]


# The cost follows the new events.


@pytest.mark.parametrize("layers", [(), pytest.param((4,), marks=pytest.mark.slow)])
def test_only_touched_items_are_computed(layers):
    model, events = many(hidden_layer_sizes=layers)
    before = model.item_embeddings_
    with patch.object(_catalog, "embed_items", wraps=_catalog.embed_items) as embedded:
        model.partial_fit(events[:5])
    n_computed = embedded.call_args_list[0].args[1].shape[0]
    moved = (model.item_embeddings_ != before).any(axis=1)
    assert 0 < moved.sum() <= n_computed <= 5 + 20
    module = model.net_.module_
    everything = _catalog.embed_items(module, model._fitted.items.rows[:-1])
    assert_allclose(model.item_embeddings_, everything, atol=1e-6)
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("params", [{"batch_size": 2}, {"optimizer": "adamw"}])
def test_vectors_are_those_of_the_tower(params):
    side = pd.DataFrame({"item": np.arange(400), "kind": np.arange(400) % 7})
    model, events = many(items=side, **params)
    new = pd.DataFrame({"item": [400], "kind": [3]})
    model.partial_fit(events[:5]).set_catalog(np.arange(50, 300))
    model.set_params(items=pd.concat([side, new]))
    model.partial_fit(pd.DataFrame({"user": [1, 2, 2], "item": [400, 1, 60]}))
    assert model.item_ids_.tolist() == [*range(50, 300), 400]
    fitted = model._fitted
    everything = _catalog.embed_items(fitted.net.module_, fitted.items.rows[:251])
    assert_allclose(model.item_embeddings_, everything, atol=1e-6)
    assert set(model.seen_items([2])["item"]) >= {1, 60}


def test_a_copy_does_not_change_the_original():
    model, events = many()
    before, fitted = model.recommend(n_neighbors=5), model._fitted
    gaps = fitted.stream.gaps.gap.copy()
    moments = copy.deepcopy(fitted.model.first.moments)
    copy.copy(model).partial_fit(events[:50])
    assert model._fitted is fitted
    pd.testing.assert_frame_equal(model.recommend(n_neighbors=5), before)
    assert_array_equal(fitted.stream.gaps.gap, gaps)
    for name, state in fitted.model.first.moments.items():
        for key, value in state.items():
            assert_array_equal(value, moments[name][key])
