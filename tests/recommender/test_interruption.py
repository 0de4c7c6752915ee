"""Ctrl-C and SIGTERM end training after a batch, and are reported.

Kills are in test_processes.py.
"""

import signal
import threading

import pytest
from skorch.callbacks import Callback

from tests.builders import batched, random_events
from tests.recommender.builders import few
from tests.recommender.test_checkpoint import assert_equal

pytestmark = pytest.mark.usefixtures("interruptible")

X = random_events(n_users=30)  # six batches of five users


class Signals(Callback):
    """Send a signal in a method, in the second epoch, and count the batches.

    In ``on_batch_begin`` it comes in the first batch.
    """

    is_active = True

    def __init__(self, number, method, n_times=1):
        self.number, self.method, self.n_times = number, method, n_times

    def initialize(self):
        self.n_batches = 0
        return self

    def _at(self, method, net):
        second = len(net.history) == 2 or method == "on_train_end"
        if self.is_active and method == self.method and second:
            if method == "on_batch_begin" and self.n_batches % 6:
                return
            for _ in range(self.n_times):
                signal.raise_signal(self.number)

    def on_batch_begin(self, net, **kwargs):
        self._at("on_batch_begin", net)

    def on_batch_end(self, net, **kwargs):
        self.n_batches += 1

    def on_epoch_end(self, net, **kwargs):
        self._at("on_epoch_end", net)

    def on_train_end(self, net, **kwargs):
        self._at("on_train_end", net)


def handlers():
    return [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]


@pytest.fixture
def received():
    """Handle SIGTERM; return a list of the handled ones."""
    calls = []

    def handle(number, frame):
        calls.append(number)

    before = signal.signal(signal.SIGTERM, handle)
    yield calls
    assert signal.signal(signal.SIGTERM, before) is handle


@pytest.mark.parametrize(
    "method, n_batches", few([("on_batch_begin", 7), ("on_epoch_end", 12)])
)
def test_ctrl_c_ends_training_after_the_batch(method, n_batches):
    signals, before = Signals(signal.SIGINT, method), handlers()
    model = batched(callbacks=[signals])
    with pytest.warns(UserWarning, match="interrupted in epoch 2 of 3; the model is k"):
        model.fit(X)
    assert model.interrupted_ and signals.n_batches == n_batches
    assert handlers() == before


def test_a_second_ctrl_c_does_not_wait_for_the_batch():
    signals = Signals(signal.SIGINT, "on_batch_begin", n_times=2)
    with pytest.warns(UserWarning, match="interrupted in epoch 2 of 3"):
        batched(callbacks=[signals]).fit(X)
    assert signals.n_batches == 6


def test_ctrl_c_after_training_ends_fit():
    before = handlers()
    with pytest.raises(KeyboardInterrupt):
        batched(callbacks=[Signals(signal.SIGINT, "on_train_end")]).fit(X)
    assert handlers() == before


@pytest.mark.slow
def test_a_handler_of_the_caller_for_ctrl_c_stays():
    calls = []
    before = signal.signal(signal.SIGINT, lambda *args: calls.append(args))
    try:
        model = batched(callbacks=[Signals(signal.SIGINT, "on_batch_begin")]).fit(X)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(calls) == 1 and not model.interrupted_


@pytest.mark.each_time("2-on_epoch_end", "15-on_batch_begin")
@pytest.mark.slow
@pytest.mark.parametrize(
    "number, method",
    [
        (signal.SIGINT, "on_batch_begin"),
        (signal.SIGINT, "on_epoch_end"),
        (signal.SIGTERM, "on_batch_begin"),
    ],
)
def test_fit_goes_on_after_a_signal(number, method, received, monkeypatch, tmp_path):
    model = batched(checkpoint=tmp_path, callbacks=[Signals(number, method)])
    finished = 2 if method == "on_epoch_end" else 1
    with pytest.warns(UserWarning, match=f"call goes on after epoch {finished}[.]"):
        model.fit(X)
    assert model.interrupted_ and received == [number] * (number == signal.SIGTERM)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(Signals, "is_active", False)
    assert_equal(model.fit(X), batched().fit(X))
    assert not model.interrupted_ and not tmp_path.exists()


@pytest.mark.slow
def test_sigterm_without_checkpoint_is_left_to_the_caller(received):
    model = batched(callbacks=[Signals(signal.SIGTERM, "on_batch_begin")]).fit(X)
    assert received == [signal.SIGTERM] and not model.interrupted_


def test_sigterm_exits_where_nobody_handles_it(tmp_path):
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        model = batched(
            checkpoint=tmp_path, callbacks=[Signals(signal.SIGTERM, "on_batch_begin")]
        )
        with pytest.warns(UserWarning, match="interrupted in epoch 2 of 3"):
            with pytest.raises(SystemExit) as caught:
                model.fit(X)
        assert caught.value.code == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_fit_in_another_thread(tmp_path):
    models, before = [], handlers()

    def fit():
        models.append(batched(checkpoint=tmp_path / "folder").fit(X))

    thread = threading.Thread(target=fit)
    thread.start()
    thread.join()
    assert_equal(models[0], batched().fit(X))
    assert handlers() == before
