import threading
import traceback

import numpy as np
import pytest
from skorch.callbacks import Callback

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.towers import _net
from sktwotower.towers._ahead import N_AHEAD, ahead, pays
from sktwotower.towers._batches import UserBatches


def n_threads():
    return sum("sktwotower" in each.name for each in threading.enumerate())


def test_the_batches_are_the_same_in_the_same_order():
    assert list(ahead([])) == []
    assert list(ahead(range(7))) == list(range(7))
    assert n_threads() == 0


def test_an_error_comes_where_its_batch_would_have_come():
    def broken():
        yield "first"
        raise ValueError("the second")

    batches = ahead(broken())
    assert next(batches) == "first"
    with pytest.raises(ValueError, match="the second") as error:
        next(batches)
    assert "in broken" in "".join(traceback.format_tb(error.value.__traceback__))
    assert n_threads() == 0


def test_when_it_is_closed_the_thread_has_ended():
    made = []
    batches = ahead(made.append(i) or i for i in range(99))
    assert next(batches) == 0
    assert n_threads() == 1
    batches.close()
    assert n_threads() == 0
    assert made == list(range(len(made))) and len(made) <= 2 + N_AHEAD


class Generators(Callback):
    """Keeps the state of the generator of batches at the end of each epoch."""

    def __init__(self):
        self.states = []

    def on_epoch_end(self, net, **kwargs):
        self.states.append(net.batches_.rng.bit_generator.state["state"]["state"])


class Interrupt(Callback):
    """Interrupts the second batch, and keeps how many threads there are."""

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history[-1, "batches"]) == 2:
            self.n_threads = n_threads()
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def events():
    return make_interactions(n_users=60, n_items=200, random_state=0).data


def fitted(events, **params):
    options = {"embedding_dim": 4, "max_epochs": 2, "batch_size": 8, "random_state": 0}
    options["validation_events"] = None
    return TwoTowerRecommender(**options | params).fit(events)


@pytest.mark.parametrize(
    "params",
    [
        {"candidate_sampling": "mixed", "id_dropout": 0.2},
        pytest.param({"time": "time"}, marks=pytest.mark.slow),
    ],
    ids=["pooled", "recent"],
)
def test_training_is_the_same_to_the_last_bit(params, events, monkeypatch):
    columns = list(events) if "time" in params else ["user", "item"]
    vectors, states = [], []
    for there in (False, True):
        monkeypatch.setattr(_net, "pays", lambda *given, there=there: there)
        generators = Generators()
        model = fitted(events[columns], callbacks=[generators], **params)
        vectors.append(model.item_embeddings_)
        states.append(generators.states)
    np.testing.assert_array_equal(*vectors)
    assert states[0] == states[1] and len(states[0]) == 2


def test_an_interrupted_training_leaves_no_thread(events, monkeypatch):
    monkeypatch.setattr(_net, "pays", lambda *given: True)
    interrupt = Interrupt()
    with pytest.warns(UserWarning, match="fit was interrupted in epoch 1 of 2"):
        fitted(events[["user", "item"]], callbacks=[interrupt])
    assert interrupt.n_threads == 1 and n_threads() == 0


def test_it_pays_only_next_to_another_device(events):
    batches = object.__new__(UserBatches)
    batches.dataset = type("Set", (), {"stream": None})
    assert pays(batches, "cuda:1") and not pays(batches, "cpu")
    assert not pays([], "cuda")  # may be no iterator of ours
    batches.dataset.stream = object()
    assert not pays(batches, "cuda")
