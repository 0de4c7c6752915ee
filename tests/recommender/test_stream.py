"""What goes on from fit through every partial_fit, and what a call costs."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sktwotower import io
from sktwotower.towers import RecentHistory
from tests.builders import chain, many, ordered, random_events, small, with_share
from tests.cases import for_each
from tests.recommender.builders import few

X = random_events()
MORE = pd.DataFrame({"user": ["u1", "u2", "new"], "item": ["i3", "j1", "i3"]})


@pytest.fixture(scope="module")
def fitted():
    return small().fit(X)


@pytest.fixture
def model(fitted):
    return copy.deepcopy(fitted)


# Nothing to learn.


@pytest.mark.parametrize("time", few([None, "when"]))
def test_a_day_without_rows_changes_nothing(time):
    events = chain(n_users=5).assign(when=lambda t: t["when"] + 0.5)
    model = ordered(time=time, history="auto").fit(events)
    before, empty = model.item_embeddings_, events.iloc[:0]
    assert model.partial_fit(empty) is model
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        model.partial_fit([])
    assert model.partial_fit(empty, y=[], sample_weight=[]) is model
    model.partial_fit(events.iloc[:2], sample_weight=[0, 0])
    assert model.item_embeddings_ is before


@pytest.mark.parametrize("time", few([None, "when"]))
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


@pytest.mark.parametrize("history", few(["pooled", "recent", None]))
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


@for_each("changed", [{"user_id": "who"}, {"time": "nope"}, {"item_id": "color"}])
def test_columns_that_are_others_than_in_fit(changed):
    model = ordered().fit(chain(n_users=5)).set_params(**changed)
    (name,) = changed
    with pytest.raises(ValueError, match=f"{name}=.*, but fit had .* Restore"):
        model.partial_fit(MORE.assign(when=50))
    known = {"user_id": "user", "time": "when", "item_id": "item"}
    model.set_params(**{name: known[name]}).partial_fit(MORE.assign(when=50))


# What goes on.


@pytest.mark.slow
@pytest.mark.parametrize(
    "params", [{}, {"time": "when", "history": RecentHistory(second_share=0.3)}]
)
def test_a_file_goes_on_as_the_model_does(params, tmp_path):
    events = chain(n_users=12, noise=0.3)
    model = small(max_epochs=2, candidate_sampling="mixed", **params).fit(events)
    model.partial_fit(events.iloc[:9].assign(when=50))
    io.dump(model, tmp_path / "model.sktt")
    read, more = io.load(tmp_path / "model.sktt"), events.iloc[20:40].assign(when=60)
    vectors = model.partial_fit(more).item_embeddings_
    assert_array_equal(read.partial_fit(more).item_embeddings_, vectors)


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


@pytest.mark.parametrize(("given", "expected"), few([("auto", 128), (7, 7)]))
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
    model = small(time="when", history=RecentHistory(second_share=0.0)).fit(events)
    assert model.net_.iterator_train__history_dropout == 0.7
    model.partial_fit(events[:2].assign(when=9))
    assert model.net_.iterator_train__history_dropout == 0.7


@for_each(("id_dropout", "features"), [(0.5, 0.5), (1.0, 0.0)])
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


@pytest.mark.each_time("None-seeds0-True", "when-seeds2-False")
@pytest.mark.parametrize("are_alike", [False, True])
@pytest.mark.parametrize(
    ("time", "seeds"),
    [
        (None, [0, 1]),
        pytest.param(None, range(2, 5), marks=pytest.mark.slow),
        pytest.param("when", range(4), marks=pytest.mark.slow),
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
    history = with_share("pooled" if time is None else "recent", 0.0)
    params = {"user_features": ["land"], "history": history}
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


# The cost follows the new events.


@pytest.mark.parametrize("layers", [(), pytest.param((4,), marks=pytest.mark.slow)])
def test_only_touched_items_are_computed(layers):
    model, events = many(hidden_layer_sizes=layers)
    before = model.item_embeddings_
    model.partial_fit(events[:5])
    moved = (model.item_embeddings_ != before).any(axis=1)
    assert 0 < moved.sum() <= 5 + 20
    everything = model.embed_items(model.item_ids_)
    assert_allclose(model.item_embeddings_, everything, atol=1e-6)
    assert all(p.requires_grad for p in model.net_.module_.parameters())


@pytest.mark.slow
@for_each("params", [{"batch_size": 2}, {"optimizer": "adamw"}])
def test_vectors_are_those_of_the_tower(params):
    side = pd.DataFrame({"item": np.arange(400), "kind": np.arange(400) % 7})
    model, events = many(items=side, **params)
    new = pd.DataFrame({"item": [400], "kind": [3]})
    model.partial_fit(events[:5]).set_catalog(np.arange(50, 300))
    model.set_params(items=pd.concat([side, new]))
    model.partial_fit(pd.DataFrame({"user": [1, 2, 2], "item": [400, 1, 60]}))
    assert model.item_ids_.tolist() == [*range(50, 300), 400]
    everything = model.embed_items(model.item_ids_)
    assert_allclose(model.item_embeddings_, everything, atol=1e-6)
    assert set(model.seen_items([2])["item"]) >= {1, 60}


def test_a_copy_does_not_change_the_original():
    model, events = many()
    before, vectors = model.recommend(n_neighbors=5), model.item_embeddings_.copy()
    other, _ = many()
    expected = other.partial_fit(events[50:60]).item_embeddings_
    copy.copy(model).partial_fit(events[:50])
    assert_array_equal(model.item_embeddings_, vectors)
    pd.testing.assert_frame_equal(model.recommend(n_neighbors=5), before)
    # what goes on was not changed either
    assert_array_equal(model.partial_fit(events[50:60]).item_embeddings_, expected)
