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
        self.saved, self.state = saved, saved.read()
        self.n_epochs = 0 if self.state is None else len(self.state["history"])

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
        if self.state is not None:
            _take_finished(net, self.state)
            for name, callback in net.callbacks_:
                _take_callback(callback, self.state["callbacks"].get(name, {}))

    def on_epoch_begin(self, net, **kwargs):
        """Bring the generators of random numbers to the kept state, once."""
        if self.state is not None:
            _take_generators(net, self.state["generators"])
            self.state = None

    def on_epoch_end(self, net, **kwargs):
        """Keep the state."""
        self.saved.write(_state(net))
        self.n_epochs = len(net.history)


def _state(net):
    """Return the state of a net after an epoch."""
    callbacks = {name: _callback_state(each) for name, each in net.callbacks_}
    state = {"finished": False, "callbacks": callbacks, "generators": _generators(net)}
    return _finished_state(net) | state


def _finished_state(net):
    """Return what is left of a net when its training has ended."""
    parts = {name: dict(getattr(net, f"{name}_").state_dict()) for name in PARTS}
    rows = [{n: row[n] for n in row if n != "batches"} for row in net.history]
    return {"finished": True, **parts, "history": rows}


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
    state = {}
    for name, value in vars(callback).items():
        if hasattr(type(value), "load_state_dict"):
            state[name] = {"state": value.state_dict()}
        elif _can_be_kept(value):
            state[name] = {"value": value}
    return state


def _can_be_kept(value):
    no_file = SimpleNamespace(add_array=lambda array, place: "")
    try:
        StateWriter(no_file).write(value, "")
    except ValueError:
        return False
    return True


def _take_callback(callback, state):
    for name, kept in state.items():
        if "value" in kept:
            setattr(callback, name, kept["value"])
        elif hasattr(getattr(callback, name, None), "load_state_dict"):
            getattr(callback, name).load_state_dict(kept["state"])


def _generators(net):
    """Return the states of the generators that training draws from."""
    states = {"batches": net.batches_.rng.bit_generator.state}
    states["torch"] = torch.get_rng_state()
    if torch.device(net.device).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(net.device)
    return states


def _take_generators(net, states):
    net.batches_.rng.bit_generator.state = states["batches"]
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], net.device)
