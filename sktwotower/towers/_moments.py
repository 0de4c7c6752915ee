"""What the default optimizer has learnt of the gradients, kept from call to call.

Input: a trained ``TwoTowerNet``.
Output: its *moments*: a dict of arrays for each parameter, by its name.
"""

import numpy as np
import torch

from ._optimizer import RowwiseAdam
from ._sparse_rows import placed_rows

__all__ = [
    "grown_moments",
    "moments_fit",
    "moments_of",
    "set_moments",
    "touched_rows",
    "without_rows",
]


def moments_of(net):
    """Return the moments of a net, a dict; empty unless trained by ``RowwiseAdam``.

    Its moments are small: a number for each row of a table, and two arrays for each
    other parameter. Those of other optimizers are twice as large as the weights.
    """
    if not isinstance(net.optimizer_, RowwiseAdam):
        return {}
    found = {}
    for name, parameter in net.module_.named_parameters():
        state = net.optimizer_.state.get(parameter)
        if state:
            found[name] = {key: _as_array(value) for key, value in state.items()}
    return found


def set_moments(net):
    """Let the optimizer of a net start with the moments that fit its parameters."""
    if not isinstance(net.optimizer_, RowwiseAdam):
        return
    moments, tables = net.module_.moments, _names(net.module_.tables)
    for name, parameter in net.module_.named_parameters():
        state = moments.get(name)
        if state and _fits(state, parameter, name in tables):
            net.optimizer_.state[parameter] = {
                key: _as_tensor(value, parameter) for key, value in state.items()
            }


def moments_fit(moments, module):
    """Return whether all moments are dicts of those of parameters of a module."""
    parameters, tables = dict(module.named_parameters()), _names(module.tables)
    return all(
        name in parameters
        and isinstance(state, dict)
        and _fits(state, parameters[name], name in tables)
        and all(np.isfinite(value).all() for value in state.values())
        for name, state in moments.items()
    )


def grown_moments(moments, tables, users, items):
    """Return moments for towers with more columns.

    ``tables``: the side of each table, by the name of its layer. ``users`` and
    ``items``: pairs of the new positions (p,) of columns and their number now.
    """
    inputs = {"user": users, "item": items}
    inputs = {f"{name}.weight": inputs[side] for name, side in tables.items()}
    return {
        name: _placed(state, *inputs[name]) if name in inputs else state
        for name, state in moments.items()
    }


def _placed(state, places, n):
    """Return the moments of a table whose rows are now at places (p,) of n."""
    return {
        key: placed_rows(torch.from_numpy(rows), places, n).numpy()
        for key, rows in state.items()
    }


def touched_rows(before, now, places, name):
    """Return which rows (p,) of a table have been trained between two moments.

    ``name``: that of its weights. ``places``: where its rows before are now. None if
    the optimizer does not keep it.
    """
    steps = now.get(name, {}).get("steps")
    if steps is None:
        return None
    earlier = np.zeros_like(steps)
    if name in before:
        earlier[places] = before[name]["steps"]
    return steps != earlier


def without_rows(moments, side, left):
    """Return moments without those of some columns (p,) of a side, "user" or "item".

    Of parameters that are not tables of rows, those of the tower start anew.
    """
    if left.all():
        return moments
    kept = {}
    tables = f"{side}_tower", "history" if side == "item" else f"{side}_tower"
    for name, state in moments.items():
        if "steps" in state and name.startswith(tables):
            kept[name] = {key: rows[left] for key, rows in state.items()}
        elif not name.startswith(f"{side}_tower"):
            kept[name] = state
    return kept


def _as_array(value):
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    return int(value)


def _as_tensor(value, parameter):
    if isinstance(value, np.ndarray):  # a copy, as the optimizer changes it in place
        return torch.tensor(value, device=parameter.device)
    return value


def _fits(state, parameter, is_table):
    """Return whether a state is that of a table (p, width), or of another parameter."""
    arrays, shape = {"first", "second"}, parameter.shape
    if is_table:
        arrays, shape = {"steps", "second"}, shape[:1]
    names = arrays if is_table else arrays | {"step"}
    return {*state} == names and all(
        isinstance(state[name], np.ndarray)
        and state[name].dtype == np.float32
        and state[name].shape == shape
        for name in arrays
    )


def _names(tables):
    return {f"{name}.weight" for name in tables}
