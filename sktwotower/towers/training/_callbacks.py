"""The skorch callbacks of training, and signals that end it between two batches.

Input: a ``Recipe`` and ``TrainingData``; Ctrl-C or SIGTERM, at any moment.
Output: (name, callback) pairs; a KeyboardInterrupt when weights are consistent.
"""

import inspect
import math
import signal
import threading

import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.utils import noop

from sktwotower._tables._messages import (
    logger,
    prints_epochs,
    progress_bar,
    shows_bars,
    stage_now,
)

# Share of the epochs in which events that were kept back are learnt, too.
LAST_EPOCHS = 0.25


def monitors_validation(callbacks):
    """Return whether any callback monitors a validation figure."""
    for callback in _instances(callbacks):
        for name in ("monitor", "_monitor"):  # skorch's callbacks, and Optuna's
            if str(getattr(callback, name, "")).startswith("valid"):
                return True
    return False


def looks_at_gradients(callbacks):
    """Return whether any callback uses gradients, for example to clip them."""
    of_skorch = Callback.on_grad_computed
    for kind in _kinds(callbacks):
        if getattr(kind, "on_grad_computed", of_skorch) is not of_skorch:
            return True
    return False


def schedules(callbacks):
    """Return whether any callback sets the learning rate."""
    return any(issubclass(kind, LRScheduler) for kind in _kinds(callbacks))


def _instances(callbacks):
    """Return the callbacks of a list that may hold (name, callback) pairs, or None."""
    return [c[1] if isinstance(c, tuple) else c for c in callbacks or []]


def _kinds(callbacks):
    """Return the classes of callbacks, of which a list may hold instances."""
    return [c if isinstance(c, type) else type(c) for c in _instances(callbacks)]


def own_callbacks(recipe, data, net, schedule):
    """Return the callbacks that a ``Recipe`` configures, with names.

    ``data``: the ``TrainingData``. Without ``schedule`` the learning rate is constant.
    """
    callbacks = [("loss_check", _LossCheck())]
    if data.evaluate is not None:
        callbacks.append(("valid_recall", _ValidationRecall(data.evaluate)))
    callbacks.append(("log", _EpochLog()))
    if data.complete is not None:
        callbacks.append(("last_epochs", _LastEpochs(data)))
    waits = data.training.impressions is not None
    if waits:
        begin = _ImpressionStart(data, recipe.impression_start, net.max_epochs)
        callbacks.append(("impressions", begin))
    if schedule and not schedules(recipe.callbacks):
        callbacks.append(("one_cycle", _one_cycle(net, data)))
    if recipe.early_stopping:
        callbacks.append(("stop_on_recall", _StopOnRecall(recipe, waits)))
    if shows_bars(recipe.verbose) and not prints_epochs(recipe.verbose):
        callbacks.append(("training_bar", _ProgressBar(recipe.verbose)))
    return callbacks


def _one_cycle(net, data):
    """Return the schedule in which the learning rate rises once, and falls."""
    steps = max(1, data.n_steps(net.max_epochs, net.batch_size))
    # The momentum goes down as the rate goes up, unless the user has set it.
    known = {"momentum", "betas"} & set(inspect.signature(net.optimizer).parameters)
    given = {name for name in known if hasattr(net, f"optimizer__{name}")}
    rising = max(1, round(0.1 * steps))
    return LRScheduler(
        policy=torch.optim.lr_scheduler.OneCycleLR,
        max_lr=net.lr,
        total_steps=steps + 1,
        pct_start=(rising + 1) / (steps + 1),
        cycle_momentum=bool(known) and not given,
        step_every="batch",
    )


class _LossCheck(Callback):
    """Raise at the first batch whose loss is not finite."""

    def on_batch_end(self, net, training, **kwargs):
        # skorch has read it from the device already
        if not training:
            return
        loss = net.history[-1, "batches", -1, "train_loss"]
        if not math.isfinite(loss):
            raise ValueError(
                f"The training loss became {loss} in epoch {len(net.history)}. "
                f"Lower lr (it is {net.lr!r}), raise temperature, or scale the "
                "output of the transformers."
            )


class _ProgressBar(Callback):
    """One bar for the whole training, which moves after each batch."""

    # n is the number of epochs so far, with a part of the present one
    FORMAT = (
        "{desc}: {bar:20} epoch {n:.1f} of {total} [{elapsed}<{remaining}{postfix}]"
    )

    def __init__(self, verbose):
        self.verbose = verbose

    def on_train_begin(self, net, X, **kwargs):
        self.share_ = 1 / X.n_batches(net.batch_size)
        self.bar_ = progress_bar(
            self.verbose,
            total=net.max_epochs,
            initial=net.epochs_before_,
            desc=stage_now(),
            bar_format=self.FORMAT,
        )

    def on_batch_end(self, net, training, **kwargs):
        if training:
            left = len(net.history) - self.bar_.n  # the last row is the present epoch
            self.bar_.update(min(self.share_, max(0.0, left)))

    def on_epoch_end(self, net, **kwargs):
        self.bar_.set_postfix(_figures(net.history[-1]), refresh=False)
        self.bar_.update(len(net.history) - self.bar_.n)

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
        del self.bar_


class _EpochLog(Callback):
    """A log record for each training and for each epoch."""

    def on_train_begin(self, net, X, **kwargs):
        n_batches = X.n_batches(net.batch_size)
        logger.info("training: %d epochs of %d batches", net.max_epochs, n_batches)

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        figures = "".join(f", {name} {value}" for name, value in _figures(row).items())
        n_done = len(net.history)
        text = "epoch %d of %d%s, %.1f s"
        logger.info(text, n_done, net.max_epochs, figures, row["dur"])


def _figures(row):
    """Return the figures of an epoch as text, by name."""
    names = ("train_loss", "valid_loss", "valid_recall")
    return {name: f"{row[name]:.4f}" for name in names if name in row}


class _ValidationRecall(Callback):
    """Record the result of ``evaluate(module)`` at the end of each epoch."""

    def __init__(self, evaluate):
        self.evaluate = evaluate

    def on_epoch_end(self, net, **kwargs):
        net.module_.eval()
        recall = self.evaluate(net.module_, net.exchange_)
        before = [row["valid_recall"] for row in net.history[:-1]]
        net.history.record("valid_recall", recall)
        # read by Checkpoint(monitor="valid_recall_best")
        net.history.record("valid_recall_best", recall > max(before, default=-1))


def n_first_epochs(n_epochs):
    """Return after how many epochs events that were kept back join."""
    return n_epochs - max(1, round(LAST_EPOCHS * n_epochs))


class _LastEpochs(Callback):
    """Look at the towers before the last epochs, in which all events are learnt."""

    def __init__(self, data):
        self.look = data.look
        self.complete = data.complete

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        n_first = n_first_epochs(net.max_epochs)
        n_done = len(net.history) - 1  # the last row is the epoch that begins
        if n_done == n_first:
            net.module_.eval()
            self.look(net.module_, net.exchange_)
        if n_done >= n_first:
            dataset_train.become(self.complete)


class _ImpressionStart(Callback):
    """Let impressions join after a ``share`` of the epochs."""

    def __init__(self, data, share, n_epochs):
        self.impressions = data.training.impressions
        data.training.impressions = None
        self.of_complete = None
        self.n_first = n_epochs
        if data.complete is not None:
            self.of_complete = data.complete.impressions
            self.n_first = n_first_epochs(n_epochs)
            data.complete.impressions = None
        # No later than the last epoch, otherwise impressions would never be used.
        self.start = min(round(share * n_epochs), n_epochs - 1)

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        n_done = len(net.history) - 1  # the last row is the epoch that begins
        if n_done < self.start:
            return
        impressions = self.impressions
        if n_done >= self.n_first:
            impressions = self.of_complete
        dataset_train.impressions = impressions


class _StopOnRecall(EarlyStopping):
    """Early stopping that ignores the epochs before impressions join, if any will.

    Impressions change the recall that can be reached: an epoch without them could count
    as the best and be restored.
    """

    def __init__(self, recipe, waits):
        super().__init__(
            monitor="valid_recall",
            lower_is_better=False,
            patience=recipe.n_iter_no_change,
            load_best=True,
            threshold=0,
            sink=print if prints_epochs(recipe.verbose) else noop,
        )
        self.waits = waits

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        if not self.waits or dataset_train.impressions is not None:
            super().on_epoch_end(net, **kwargs)


# Exit status of a process that SIGTERM has ended.
TERMINATED = 128 + signal.SIGTERM


class Interruption(Callback):
    """End training after the batch in which a signal comes.

    It is a skorch callback and a context: handlers of signals are set at its start, and
    put back at its end. Only the main thread may set them: in others it does nothing. A
    handler of the caller for SIGINT stays. A second Ctrl-C does not wait for the batch.

    Parameters
    ----------
    terminable : bool
        Whether SIGTERM ends training, too.

    Attributes
    ----------
    received : int or None
        The signal that has come.
    exchange : Exchange or None
        Several processes end training after the same batch, of which it knows.
    """

    def __init__(self, terminable):
        self.terminable = terminable
        self.is_raised = False
        self.received = None
        self.exchange = None
        self.before = {}  # the handlers of signals

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._handle(signal.SIGINT)
            handler = signal.getsignal(signal.SIGTERM)
            if self.terminable and handler not in (signal.SIG_IGN, None):
                self._handle(signal.SIGTERM)
        return self

    def __exit__(self, kind, error, trace):
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.received is not None and not self.is_raised and error is None:
            # It came after the last batch: what it means is not for training to say.
            signal.raise_signal(self.received)

    def _handle(self, number):
        """Handle a signal, and keep the handler of before."""
        self.before[number] = signal.signal(number, self._receive)

    def _receive(self, number, frame):
        """Note a signal; the second Ctrl-C raises at once."""
        if self.received == number == signal.SIGINT and self.exchange is None:
            self.is_raised = True
            raise KeyboardInterrupt
        self.received = number

    def on_batch_end(self, net, **kwargs):
        """Raise KeyboardInterrupt if a signal has come."""
        stops = self.received is not None
        if self.exchange is not None:
            stops = self.exchange.stops
        if stops:
            self.is_raised = True
            raise KeyboardInterrupt

    def on_epoch_end(self, net, **kwargs):
        """Raise KeyboardInterrupt if a signal has come, to any of the processes."""
        if self.exchange is not None:
            self.exchange.share_signal()
        self.on_batch_end(net)

    def end_process(self):
        """Go on with a SIGTERM that has ended training, after the block.

        A handler of the caller is called. Without one the process ends, with the status
        143 and after its `finally` blocks.
        """
        if self.received == signal.SIGTERM and self.is_raised:
            handler = self.before.get(signal.SIGTERM)  # None: another process got it
            if handler is signal.SIG_DFL:
                raise SystemExit(TERMINATED)
            if handler is not None:
                signal.raise_signal(signal.SIGTERM)
