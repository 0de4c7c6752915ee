"""The state of a training after each epoch, from which it goes on.

Input: a ``TwoTowerNet`` in training, and something that keeps its state.
Output: the state, a dict of numbers, text, arrays and tensors; or the net in it.
"""

from types import SimpleNamespace

import torch
from skorch.callbacks import Callback

from sktwotower.towers.operators._tensors import StateWriter

from ._callbacks import Interruption

# What has learnt, as the net names it.
PARTS = "module", "criterion", "optimizer"


class Saver(Callback):
    """Keep the state of training after each epoch, and begin with one that was kept.

    It must be the last callback: others change the state at the end of an epoch.

    Parameters
    ----------
    saved : object
        ``write(state)`` keeps a state, a dict; ``read()`` returns the last one, or
        None.

    Attributes
    ----------
    state : dict or None
        The state to begin with; None: begin anew.
    n_epochs : int
        Number of epochs in the state that was kept last.
    """

    def __init__(self, saved):
        self.saved = saved
        self.state = saved.read()
        self.n_epochs = 0
        if self.state is not None:
            self.n_epochs = len(self.state["history"])

    def train(self, net, training):
        """Train an initialized net on a ``TrainingSet``, unless that was finished."""
        if self.state is not None and self.state["finished"]:
            _take_finished(net, self.state)
            return
        net.epochs_before_ = self.n_epochs
        net.partial_fit(training, y=None)
        if not net.interrupted_:
            self.saved.write(_finished_state(net))

    def on_train_begin(self, net, **kwargs):
        """Bring the net to the kept state, after the other callbacks have begun."""
        if self.state is None:
            return
        _take_finished(net, self.state)
        for callback_name, callback in net.callbacks_:
            state = self.state["callbacks"].get(callback_name, {})
            for name, kept in state.items():
                if "value" in kept:
                    setattr(callback, name, kept["value"])
                elif hasattr(getattr(callback, name, None), "load_state_dict"):
                    getattr(callback, name).load_state_dict(kept["state"])

    def on_epoch_begin(self, net, **kwargs):
        """Bring the generators of random numbers to the kept state, once."""
        if self.state is None:
            return
        states = self.state["generators"]
        net.batches_.rng.bit_generator.state = states["batches"]
        torch.set_rng_state(states["torch"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], net.device)
        self.state = None

    def on_epoch_end(self, net, **kwargs):
        """Keep the state."""
        generators = {
            "batches": net.batches_.rng.bit_generator.state,
            "torch": torch.get_rng_state(),
        }
        if torch.device(net.device).type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(net.device)
        state = _finished_state(net)
        state["finished"] = False
        state["callbacks"] = {n: _callback_state(c) for n, c in net.callbacks_}
        state["generators"] = generators
        self.saved.write(state)
        self.n_epochs = len(net.history)


def _finished_state(net):
    """Return what is left of a net when its training has ended."""
    state = {"finished": True}
    for name in PARTS:
        state[name] = dict(getattr(net, f"{name}_").state_dict())
    history = []
    for row in net.history:
        history.append({name: row[name] for name in row if name != "batches"})
    state["history"] = history
    return state


def _take_finished(net, state):
    """Bring an initialized net to a state after its training, or after an epoch."""
    for name in PARTS:
        getattr(net, f"{name}_").load_state_dict(state[name])
    net.history.extend(state["history"])


def _callback_state(callback):
    """Return the attributes of a callback that can be kept.

    Schedules of the learning rate are kept as their own state. Functions and data of
    the fit are made anew by it, and so is this callback.
    """
    if isinstance(callback, Interruption | Saver):
        return {}
    no_file = SimpleNamespace(add_array=lambda array, place: "")
    state = {}
    for name, value in vars(callback).items():
        if hasattr(type(value), "load_state_dict"):
            state[name] = {"state": value.state_dict()}
            continue
        try:
            StateWriter(no_file).write(value, "")
        except ValueError:  # it cannot be kept
            continue
        state[name] = {"value": value}
    return state
