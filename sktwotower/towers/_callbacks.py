"""The skorch callbacks of training, as a ``Recipe`` configures them.

Input: a ``Recipe`` and ``TrainingData``.
Output: a list of (name, callback) pairs.
"""

import inspect
import math

import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from skorch.utils import noop

from sktwotower._tables._progress import logger, progress_bar

__all__ = [
    "looks_at_gradients",
    "monitors_validation",
    "own_callbacks",
    "schedules",
]


def monitors_validation(callbacks):
    """Return whether any callback monitors a validation figure."""
    names = ("monitor", "_monitor")  # skorch's callbacks, and Optuna's for skorch
    watched = [str(getattr(c, n, "")) for c in _instances(callbacks) for n in names]
    return any(figure.startswith("valid") for figure in watched)


def looks_at_gradients(callbacks):
    """Return whether any callback uses gradients, for example to clip them."""
    kinds = [c if isinstance(c, type) else type(c) for c in _instances(callbacks)]
    own = Callback.on_grad_computed
    return any(getattr(kind, "on_grad_computed", own) is not own for kind in kinds)


def schedules(callbacks):
    """Return whether any callback sets the learning rate."""
    return any(
        isinstance(c, LRScheduler) or c is LRScheduler for c in _instances(callbacks)
    )


def _instances(callbacks):
    """Return the callbacks of a list that may hold (name, callback) pairs, or None."""
    return [c[1] if isinstance(c, tuple) else c for c in callbacks or []]


def own_callbacks(recipe, data, net, schedule=True):
    """Return the callbacks that a ``Recipe`` configures, with names.

    ``data``: the ``TrainingData``. Without ``schedule`` the learning rate is constant.
    """
    own = [("loss_check", _LossCheck())]
    if data.evaluate is not None:
        own.append(("valid_recall", _ValidationRecall(data.evaluate)))
    own.append(("log", _EpochLog()))
    waits = data.training.impressions is not None
    if waits:
        own.append(("impressions", _impression_start(recipe, net, data.training)))
    if schedule and not schedules(recipe.callbacks):
        own.append(
            ("one_cycle", _one_cycle(net, data.training.n_batches(net.batch_size)))
        )
    if recipe.early_stopping:
        own.append(("stop_on_recall", _early_stopping(recipe, waits)))
    if recipe.verbose == 1:
        own.append(("training_bar", _ProgressBar()))
    return own


def _one_cycle(net, n_batches):
    steps = max(1, net.max_epochs * n_batches)
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


def _impression_start(recipe, net, training):
    start = round(recipe.impression_start * net.max_epochs)
    # No later than the last epoch, otherwise impressions would never be used.
    return _ImpressionStart(training, min(start, net.max_epochs - 1))


def _early_stopping(recipe, waits):
    stop = _StopOnRecall(
        monitor="valid_recall",
        lower_is_better=False,
        patience=recipe.n_iter_no_change,
        load_best=True,
        threshold=0,
        sink=print if recipe.verbose > 1 else noop,
    )
    stop.waits = waits
    return stop


class _LossCheck(Callback):
    """Raise at the first batch whose loss is not finite."""

    def on_batch_end(self, net, training, loss, **kwargs):
        if training and not math.isfinite(loss.item()):
            raise ValueError(
                f"The training loss became {loss.item()} in epoch {len(net.history)}. "
                f"Lower lr (it is {net.lr!r}), raise temperature, or scale the "
                "output of the transformers."
            )


class _ProgressBar(Callback):
    """One bar for the whole training, with the figures of the last epoch next to it."""

    def on_train_begin(self, net, **kwargs):
        total, done = net.max_epochs, net.epochs_before_
        options = {"total": total, "initial": done, "desc": "training"}
        self.bar_ = progress_bar(**options, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        self.bar_.set_postfix(_figures(net.history[-1]))
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        self.bar_.close()
        del self.bar_


class _EpochLog(Callback):
    """A log record for each training and for each epoch."""

    def on_train_begin(self, net, X, **kwargs):
        logger.info(
            "training: %d epochs of %d batches",
            net.max_epochs,
            X.n_batches(net.batch_size),
        )

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        figures = "".join(f", {k} {v}" for k, v in _figures(row).items())
        logger.info(
            "epoch %d of %d%s, %.1f s",
            len(net.history),
            net.max_epochs,
            figures,
            row["dur"],
        )


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
        recall = self.evaluate(net.module_)
        before = [row["valid_recall"] for row in net.history[:-1]]
        net.history.record("valid_recall", recall)
        # read by Checkpoint(monitor="valid_recall_best")
        net.history.record("valid_recall_best", recall > max(before, default=-1))


class _ImpressionStart(Callback):
    """Let impressions join after ``start`` epochs."""

    def __init__(self, training, start):
        self.impressions, training.impressions = training.impressions, None
        self.start = start

    def on_epoch_begin(self, net, dataset_train, **kwargs):
        if len(net.history) > self.start:  # the last row is the epoch that begins
            dataset_train.impressions = self.impressions


class _StopOnRecall(EarlyStopping):
    """Early stopping that ignores the epochs before impressions join, if any will.

    Impressions change the recall that can be reached: an epoch without them could count
    as the best and be restored.
    """

    waits = False

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        if not self.waits or dataset_train.impressions is not None:
            super().on_epoch_end(net, **kwargs)
