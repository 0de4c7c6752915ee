"""The default optimizer, and what it has learnt of the gradients.

Input: parameters with gradients, dense or sparse; or a trained ``TwoTowerNet``.
Output: the parameters after a step, changed in place; or *moments*: a dict of arrays
for each parameter, by its name, which are kept from call to call.
"""

import inspect

import numpy as np
import torch

from sktwotower import _sklearn_compat as compat
from sktwotower.towers._recipe import NOT_NEGATIVE, SHARE_BELOW_1
from sktwotower.towers.operators._autograd import ascend
from sktwotower.towers.operators._devices import on_cpu
from sktwotower.towers.operators._sparse_rows import placed_rows

# Learning-rate multiplier for table rows: they have no momentum, so a step uses one
# gradient where Adam averages about ten.
TABLE_RATE = 4.0
RATES = dict.fromkeys(("lr", "eps", "weight_decay"), [NOT_NEGATIVE])
RATES["row_beta"] = [SHARE_BELOW_1]


def _unwrapped(method):
    """Return a method of torch without its decorator, which imports torch._dynamo.

    That takes longer than a first small fit.
    """
    return getattr(method, "__wrapped__", method)


def _check(given):
    """Raise ``ValueError`` for a rate that is out of range."""
    rates = {name: given[name] for name in RATES}
    compat.validate_parameter_constraints(RATES, rates, "RowwiseAdam")
    betas = given["betas"]
    is_pair = isinstance(betas, tuple | list) and len(betas) == 2
    if not is_pair or not all(map(SHARE_BELOW_1.is_satisfied_by, betas)):
        raise ValueError(
            f"betas must be a pair of numbers, at least 0 and below 1. Got {betas!r}."
        )


class RowwiseAdam(torch.optim.Optimizer):
    r"""Adam with one second moment per row for tables, AdamW for everything else.

    A step costs only what the batch touches. Table rows with a zero gradient, and their
    state, do not change, whether the gradient is dense or sparse.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter, or of dict
        Parameters or parameter groups. Groups with ``rowwise=True`` hold tables
        (p, width) of embeddings.
    lr : float, default=0.005
        Learning rate, >= 0.
    betas : pair of floats, default=(0.9, 0.999)
        Decay of the first and the second moment outside tables, in [0, 1).
    row_beta : float, default=0.99
        Decay of the second moment of a table row, in [0, 1).
    eps : float, default=1e-12
        Added to the root of the second moment, >= 0.
    weight_decay : float, default=0.01
        Decoupled weight decay, >= 0. In a table it applies to the touched rows only.
    rowwise : bool, default=False
        Value of ``rowwise`` for groups without one.
    compiled : bool, default=False
        Whether tables of float32 on a CPU are updated by a function that numba
        compiles, in half of the time. Results differ by roundings. Groups may have
        their own value.

    Raises
    ------
    ValueError
        A rate is not a number, or out of its range.

    Notes
    -----
    The n-th step of a table row :math:`w` of width d with gradient :math:`g` and second
    moment :math:`v`, which starts at 0, is

    .. math::
        v \leftarrow \beta v + (1 - \beta) |g|^2 / d, \qquad
        w \leftarrow (1 - \eta \lambda) w
        - 4 \eta\, g / (\sqrt{v / (1 - \beta^n)} + \epsilon)

    where :math:`\beta` is ``row_beta``, :math:`\eta` is ``lr``, :math:`\lambda` is
    ``weight_decay`` and :math:`\epsilon` is ``eps``. Without momentum, the state of a
    row is only v and n; the factor 4 makes up for it. A table may have an attribute
    ``rates`` (p,), a further factor of the steps of each row; it is read in the first
    step, and stays in the state. Row-wise Adagrad keeps one moment per row, too. Adam
    with one moment per block of parameters is as good as Adam (Adam-mini).

    References
    ----------
    Zhang et al., Adam-mini: Use Fewer Learning Rates To Gain More, ICLR 2025.

    Examples
    --------
    >>> import torch
    >>> from sktwotower.towers import RowwiseAdam
    >>> table = torch.nn.Parameter(torch.ones(2, 4))
    >>> optimizer = RowwiseAdam([table], lr=0.1, weight_decay=0.0, rowwise=True)
    >>> table[0].sum().backward()
    >>> optimizer.step()
    >>> table.detach()[:, 0].round(decimals=4)  # 1 - 4 * 0.1, and not touched
    tensor([0.6000, 1.0000])
    """

    add_param_group = _unwrapped(torch.optim.Optimizer.add_param_group)
    zero_grad = _unwrapped(torch.optim.Optimizer.zero_grad)
    state_dict = _unwrapped(torch.optim.Optimizer.state_dict)
    load_state_dict = _unwrapped(torch.optim.Optimizer.load_state_dict)

    def __init__(
        self,
        params,
        lr=0.005,
        betas=(0.9, 0.999),
        row_beta=0.99,
        eps=1e-12,
        weight_decay=0.01,
        rowwise=False,
        compiled=False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "row_beta": row_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "rowwise": rowwise,
            "compiled": compiled,
        }
        _check(defaults)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None) -> torch.Tensor | None:
        """Take one optimization step.

        Parameters
        ----------
        closure : callable, default=None
            Recomputes the loss and the gradients. None: the gradients are available.

        Returns
        -------
        Tensor or None
            The return value of ``closure``; None without it.

        Examples
        --------
        >>> import torch
        >>> from sktwotower.towers import RowwiseAdam
        >>> price = torch.nn.Parameter(torch.tensor([[5.0]]))
        >>> optimizer = RowwiseAdam([price], lr=1.0)
        >>> for _ in range(3):
        ...     optimizer.zero_grad()
        ...     ((price - 2) ** 2).sum().backward()
        ...     optimizer.step()
        >>> price.detach().round(decimals=1)  # on its way from 5 to 2
        tensor([[2.]])
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if group["rowwise"]:
                    self._step_rows(parameter, group)
                else:
                    self._step_dense(parameter, group)
        return loss

    def _step_rows(self, table, group):
        """Update a table (p, width) by row, in place."""
        grad = table.grad
        rows = None
        if grad.is_sparse:
            rows, grad = rows_of(grad)
        state = self.state[table]
        if not state:
            state["steps"] = table.new_zeros(len(table))
            state["second"] = table.new_zeros(len(table))
            if hasattr(table, "rates"):
                state["slowness"] = 1 - table.rates.to(table)
        if group["compiled"] and on_cpu(table) and table.dtype == torch.float32:
            _compiled_step(table, rows, grad, state, group)
            return
        steps = state["steps"]
        second = state["second"]
        if rows is not None:
            steps = steps.index_select(0, rows)
            second = second.index_select(0, rows)
        square = torch.linalg.vector_norm(grad, dim=1).square_().div_(grad.shape[1])
        touched = square > 0
        steps = steps + touched
        beta = group["row_beta"]
        second = torch.where(touched, second.lerp(square, 1 - beta), second)
        root = (second / (1 - beta**steps)).sqrt_() + group["eps"]
        rate = -TABLE_RATE * group["lr"]
        if "slowness" in state:
            slowness = state["slowness"]
            if rows is not None:
                slowness = slowness[rows]
            rate = rate * (1 - slowness)
        factor = torch.where(touched, rate / root, 0.0)[:, None]
        shrink = touched.to(table.dtype)[:, None]
        shrink = shrink * (group["lr"] * group["weight_decay"])
        if rows is None:
            state["steps"] = steps
            state["second"] = second
            table.mul_(1 - shrink).addcmul_(grad, factor)
        else:
            state["steps"].index_copy_(0, rows, steps)
            state["second"].index_copy_(0, rows, second)
            move = table.index_select(0, rows).mul_(-shrink).addcmul_(grad, factor)
            # twice as fast as index_add_
            table.scatter_add_(0, rows[:, None].expand_as(move), move)

    def _step_dense(self, parameter, group):
        """Update a parameter by AdamW, in place."""
        grad = parameter.grad
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["first"] = torch.zeros_like(parameter)
            state["second"] = torch.zeros_like(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        state["first"].lerp_(grad, 1 - beta1)
        state["second"].lerp_(grad.square(), 1 - beta2)
        first = state["first"] / (1 - beta1 ** state["step"])
        second = state["second"] / (1 - beta2 ** state["step"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.addcdiv_(first, second.sqrt_() + group["eps"], value=-group["lr"])


def _compiled_step(table, rows, grad, state, group):
    """Update rows (m,) of a table, or all if they are None, by one compiled pass."""
    from sktwotower.towers.operators import _row_kernels  # it takes half a second

    if rows is None:
        rows = torch.arange(len(table))
    slowness = state.get("slowness", table.new_empty(0))
    rate = -TABLE_RATE * group["lr"]
    shrink = group["lr"] * group["weight_decay"]
    _row_kernels.step_rows(
        table.detach().numpy(),
        rows.numpy(),
        grad.contiguous().numpy(),
        state["steps"].numpy(),
        state["second"].numpy(),
        slowness.numpy(),
        np.float32(rate),
        np.float32(group["row_beta"]),
        np.float32(group["eps"]),
        np.float32(shrink),
    )


def rows_of(grad):
    """Return the distinct rows (m,) of a sparse gradient and their gradients."""
    rows = grad._indices()[0]
    # Autograd may mark gradients as not coalesced even if their rows ascend. Sorting
    # them again would dominate the step.
    if not grad.is_coalesced() and not ascend(rows):
        grad = grad.coalesce()
        rows = grad.indices()[0]
    return rows, grad._values()


def optimizer_class(optimizer):
    """Return the class for a name such as ``"adamw"``, or the class itself."""
    kinds = [RowwiseAdam, *filter(_is_optimizer, vars(torch.optim).values())]
    known = {kind.__name__.lower(): kind for kind in kinds}
    # abstract, or not for dense gradients of batches
    unfit = [known.pop(n, None) for n in ("optimizer", "lbfgs", "sparseadam", "muon")]
    named = optimizer
    if isinstance(optimizer, str):
        named = known.get(optimizer.lower())
    if _is_optimizer(named) and named not in unfit:
        return named
    raise ValueError(
        "optimizer must be a class of torch.optim for dense gradients, or its name in "
        f"lower case: {sorted(known)}. Got {optimizer!r}."
    )


def _is_optimizer(value):
    """Return whether a value is a class of optimizers."""
    return isinstance(value, type) and issubclass(value, torch.optim.Optimizer)


def n_moments(optimizer):
    """Return how many numbers an optimizer, or its name, keeps for each of a table."""
    optimizer = optimizer_class(optimizer)
    has_moments = "betas" in inspect.signature(optimizer).parameters
    if not has_moments or optimizer is RowwiseAdam:
        return 0
    return 2


def moments_of(net):
    """Return the moments of a net, a dict; empty unless trained by ``RowwiseAdam``.

    Its moments are small: a number for each row of a table, and two arrays for each
    other parameter. Those of other optimizers are twice as large as the weights.
    """
    if not isinstance(net.optimizer_, RowwiseAdam):
        return {}
    moments = {}
    for name, parameter in net.module_.named_parameters():
        state = net.optimizer_.state.get(parameter)
        if state:
            moments[name] = {key: _as_array(value) for key, value in state.items()}
    return moments


def without_direction(moments):
    """Return moments that remember how large gradients were, and not where they led.

    A few new events would otherwise be followed by a step that earlier ones asked for.
    """
    without = {}
    for name, state in moments.items():
        without[name] = dict(state)
        if "first" in state:
            without[name]["first"] = np.zeros_like(state["first"])
    return without


def set_moments(net):
    """Let the optimizer of a net start with the moments that fit its parameters."""
    if not isinstance(net.optimizer_, RowwiseAdam):
        return
    tables = _names(net.module_.tables)
    for name, parameter in net.module_.named_parameters():
        state = net.module_.moments.get(name)
        if not state or not _fits(state, parameter, name in tables):
            continue
        # copies, as the optimizer changes them in place
        copied = {}
        for key, value in state.items():
            copied[key] = value
            if key != "step":
                copied[key] = torch.tensor(value, device=parameter.device)
        net.optimizer_.state[parameter] = copied


def moments_fit(moments, module):
    """Return whether all moments are dicts of those of parameters of a module."""
    parameters = dict(module.named_parameters())
    tables = _names(module.tables)
    for name, state in moments.items():
        if name not in parameters or not isinstance(state, dict):
            return False
        if not _fits(state, parameters[name], name in tables):
            return False
        if not all(np.isfinite(value).all() for value in state.values()):
            return False
    return True


def grown_moments(moments, tables, inputs):
    """Return moments for towers with more columns.

    ``tables``: the side of each table, by the name of its layer. ``inputs``: pairs of
    the new positions (p,) of columns and their number now, by side.
    """
    side_of = {f"{name}.weight": side for name, side in tables.items()}
    grown = {}
    for name, state in moments.items():
        grown[name] = state
        if name in side_of:
            positions, n_columns = inputs[side_of[name]]
            grown[name] = {}
            for key, rows in state.items():
                placed = placed_rows(torch.from_numpy(rows), positions, n_columns)
                grown[name][key] = placed.numpy()
    return grown


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


def without_rows(moments, tables, side, left):
    """Return moments without those of some columns (p,) of a side.

    ``tables``: as in `grown_moments`. Other parameters of a tower of the side start
    anew.
    """
    if left.all():
        return moments
    of_side = _names(name for name, its_side in tables.items() if its_side == side)
    kept = {}
    for name, state in moments.items():
        if "steps" in state and name in of_side:
            kept[name] = {key: rows[left] for key, rows in state.items()}
        elif not name.startswith(f"{side}_tower"):
            kept[name] = state
    return kept


def _as_array(value):
    """Return a moment as an array, and a number of steps as an int."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    return int(value)


def _fits(state, parameter, is_table):
    """Return whether a state is that of a table (p, width), or of another parameter."""
    names = set(state)
    shape = parameter.shape
    if is_table:
        shape = parameter.shape[:1]
        if names - {"slowness"} != {"steps", "second"}:
            return False
    elif names != {"first", "second", "step"}:
        return False
    for name, value in state.items():
        if name == "step":
            continue
        if not isinstance(value, np.ndarray) or value.dtype != np.float32:
            return False
        if value.shape != shape:
            return False
    return True


def _names(tables):
    """Return the names of the weights of tables, by the names of their layers."""
    return {f"{name}.weight" for name in tables}
