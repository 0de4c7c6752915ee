"""Two pairs of towers in one model: one sees the order of events, one pools them."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch import nn

from sktwotower import io
from sktwotower.towers import RecentHistory
from tests.builders import chain, first_fast, ordered
from tests.cases import for_each

X = chain(n_users=30)


TWO = ["towers, recent history", "towers, pooled history"]


def names_of(model):
    """Return the names of the parts of a model whose parts have the usual weights."""
    return model.weights_.index.tolist()


def pieces_of(model, first=6):
    """Return the vectors of items of both pairs, each of length 1."""
    pieces = np.split(model.item_embeddings_, [first], axis=1)
    return [piece / np.linalg.norm(piece, axis=1, keepdims=True) for piece in pieces]


@pytest.mark.parametrize(("d", "first"), first_fast([(8, 6), (7, 6), (2, 1)]))
def test_two_pairs_share_the_entries_of_a_vector(d, first):
    model = ordered(embedding_dim=d, max_epochs=1).fit(X)
    assert names_of(model) == TWO
    assert model.item_embeddings_.shape[1] == d == model.embed_users(["u00"]).shape[1]
    squares = np.split(model.item_embeddings_**2, [first], axis=1)
    assert_allclose(squares[0].sum(axis=1), 0.9, atol=1e-6)
    assert_allclose(squares[1].sum(axis=1), 0.1, atol=1e-6)


@pytest.mark.parametrize(
    "params",
    first_fast(
        [
            {"history": RecentHistory(second_share=0)},
            {"embedding_dim": 1},
            {"item_tower": nn.LazyLinear(8)},
            {"history": "pooled"},
            {"history": None},
        ]
    ),
)
def test_one_pair_where_two_make_no_sense(params):
    model = ordered(max_epochs=1, **params).fit(X)
    assert len(names_of(model)) == 1 and model.second_share_ == 0


def test_one_pair_where_everything_was_chosen():
    everything = chain(n_users=20, n_events=12)
    assert len(everything.drop_duplicates(["user", "item"])) == 20 * 12
    model = ordered(validation_events=None).fit(everything)
    assert names_of(model) == TWO[:1]


@pytest.mark.slow
def test_the_share_moves_the_score_from_one_pair_to_the_other():
    few, many = (
        ordered(history=RecentHistory(second_share=s)).fit(X) for s in (0.2, 0.8)
    )
    for left, right in zip(pieces_of(few), pieces_of(many), strict=True):
        assert_allclose(left, right, atol=1e-6)
    assert many.second_share_ == 0.8
    assert np.abs(few.predict(X) - many.predict(X)).max() > 0.01


def test_partial_fit_trains_both_pairs():
    model = ordered(exclude_seen=False, validation_events=None).fit(X)
    before = pieces_of(model)
    model.set_params(history=RecentHistory(second_share=0.9)).partial_fit(
        X.iloc[:40].assign(when=1000)
    )
    assert names_of(model) == TWO and model.second_share_ == 0.1
    for after, earlier in zip(pieces_of(model), before, strict=True):
        assert np.abs(after - earlier).max() > 1e-4


@pytest.mark.slow
def test_warm_start_goes_on_with_both_pairs():
    model = ordered(warm_start=True, max_epochs=1).fit(X)
    first = model.item_embeddings_
    cold = ordered(max_epochs=1, random_state=1).fit(X).item_embeddings_
    model.set_params(random_state=1, lr=1e-9).fit(X)
    assert_allclose(model.item_embeddings_, first, atol=1e-3)
    assert np.abs(cold - first).max() > 0.1
    model.set_params(history=RecentHistory(second_share=0))
    with pytest.raises(
        ValueError, match="parts of the model .second_share. as the fit before"
    ):
        model.fit(X)
    assert_allclose(model.item_embeddings_, first, atol=1e-3)


@pytest.mark.slow
def test_callbacks_and_epochs_are_those_of_the_first_pair():
    seen = []

    class Count(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(type(net.module_.history).__name__)

    model = ordered(callbacks=[Count()], max_epochs=2).fit(X)
    assert seen == ["RecentLayer"] * 2 and len(model.history_) == 2


@pytest.mark.slow
def test_an_interruption_of_the_first_pair_ends_training(tmp_path):
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    model = ordered(callbacks=[Stop()], warm_start=True)
    with pytest.warns(UserWarning, match="fit was interrupted in epoch 1") as caught:
        model.fit(X)
    assert sum("was interrupted" in str(each.message) for each in caught) == 1
    assert model.interrupted_ and model.second_share_ == 0
    # the score is that of the first pair
    lengths = np.linalg.norm(model.item_embeddings_[:, :6], axis=1)
    assert_allclose(lengths, 1, atol=1e-6)
    assert not model.item_embeddings_[:, 6:].any()
    model.set_params(callbacks=None)
    io.dump(model, tmp_path / "model.sktt")
    again = io.load(tmp_path / "model.sktt")
    assert_array_equal(again.item_embeddings_, model.item_embeddings_)
    again.partial_fit(X.iloc[:40].assign(when=1000))
    assert again.second_share_ == 0
    model.partial_fit(X.iloc[:40].assign(when=1000))
    model.fit(X)
    assert not model.interrupted_ and model.second_share_ == 0.1


@pytest.mark.slow
def test_a_pickle_answers_alike():
    model = ordered().fit(X)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.slow
def test_items_before_the_latest_count_in_the_second_pair_only():
    model = ordered(history=RecentHistory(max_length=2)).fit(X)
    why = model.explain("u00", "i01")
    past = why[why["side"] == "history"]
    assert len(past) == 8 and past["lag"].max() == 8
    assert why["contribution"].sum() == pytest.approx(why.attrs["score"], abs=1e-6)
    one_pair = RecentHistory(max_length=2, second_share=0)
    alone = ordered(history=one_pair).fit(X).explain("u00", "i01")
    assert (alone["side"] == "history").sum() == 2


@for_each("share", [-0.1, 1, "half", None])
def test_shares_out_of_range(share):
    with pytest.raises(ValueError, match="second_share"):
        ordered(history=RecentHistory(second_share=share)).fit(X)
