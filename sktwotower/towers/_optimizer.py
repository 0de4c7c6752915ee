"""Enters: the towers' parameters with their gradients, dense or of a few rows.

Leaves: the parameters, one step further. Next: net.py, which drives it.
"""

import torch

__all__ = ["RowwiseAdam"]

# Without momentum a step carries one gradient, not the mean of ten: what the rate of
# Adam is for layers is this many times as much for the rows of a table.
TABLE_STEP = 4.0


class RowwiseAdam(torch.optim.Optimizer):
    r"""Adam with one second moment per row for tables, and AdamW for all else.

    A step costs what the batch touches: rows of a table without a gradient, and their
    state, stay as they are, whether the gradient is dense or sparse.

    Parameters
    ----------
    params : iterable of parameters, or of parameter groups
        Groups with ``rowwise=True`` hold tables (p, width) of embeddings.
    lr : float, default=0.005
        Learning rate, > 0.
    betas : pair of floats, default=(0.9, 0.999)
        Decay of the first and second moments of parameters that are no tables.
    row_beta : float, default=0.99
        Decay of the second moment of a row, in [0, 1).
    eps : float, default=1e-12
        Added to the root of the second moment.
    weight_decay : float, default=0.01
        Decoupled weight decay; in a table, of the rows that a batch touches.
    rowwise : bool, default=False
        Default for groups that do not say.

    Notes
    -----
    With :math:`g` the gradient of a table's row of width d in its n-th step,

    .. math::
        v \leftarrow \beta v + (1 - \beta) |g|^2 / d, \qquad
        w \leftarrow (1 - \eta \lambda) w - 4 \eta\, g / \sqrt{v / (1 - \beta^n)}

    where :math:`\beta` is ``row_beta``, :math:`\eta` the learning rate and
    :math:`\lambda` the weight decay. There is no momentum, so that a table needs one
    number of state per row. Such moments per row are those of row-wise Adagrad; Adam
    with a single moment per block of parameters is as good as Adam (Zhang et al.,
    Adam-mini, ICLR 2025).

    Examples
    --------
    >>> import torch
    >>> from sktwotower.towers import RowwiseAdam
    >>> table = torch.nn.Parameter(torch.ones(2, 4))
    >>> optimizer = RowwiseAdam([table], lr=0.1, weight_decay=0.0, rowwise=True)
    >>> table[0].sum().backward()
    >>> optimizer.step()
    >>> table.detach()[:, 0].round(decimals=4)  # 1 - 4 * 0.1, and no step
    tensor([0.6000, 1.0000])
    """

    def __init__(
        self,
        params,
        lr=0.005,
        betas=(0.9, 0.999),
        row_beta=0.99,
        eps=1e-12,
        weight_decay=0.01,
        rowwise=False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "row_beta": row_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "rowwise": rowwise,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure=None):
        """Take a step; gives the loss of ``closure``, if there is one."""
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
        grad, rows = table.grad, None
        if grad.is_sparse:
            rows, grad = _rows_of(grad)
        state = self.state[table]
        if not state:
            state["steps"] = table.new_zeros(len(table))
            state["second"] = table.new_zeros(len(table))
        steps, second = state["steps"], state["second"]
        if rows is not None:
            steps, second = (x.index_select(0, rows) for x in (steps, second))
        square = torch.linalg.vector_norm(grad, dim=1).square_().div_(grad.shape[1])
        touched = square > 0
        steps = steps + touched
        beta = group["row_beta"]
        second = torch.where(touched, second.lerp(square, 1 - beta), second)
        root = (second / (1 - beta**steps)).sqrt_() + group["eps"]
        factor = torch.where(touched, -TABLE_STEP * group["lr"] / root, 0.0)[:, None]
        shrink = touched.to(table.dtype)[:, None]
        shrink = shrink * (group["lr"] * group["weight_decay"])
        if rows is None:
            state["steps"], state["second"] = steps, second
            table.mul_(1 - shrink).addcmul_(grad, factor)
        else:
            state["steps"].index_copy_(0, rows, steps)
            state["second"].index_copy_(0, rows, second)
            move = table.index_select(0, rows).mul_(-shrink).addcmul_(grad, factor)
            table.index_add_(0, rows, move)

    def _step_dense(self, parameter, group):
        grad, state = parameter.grad, self.state[parameter]
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


def _rows_of(grad):
    """Return rows that a sparse gradient touches, each once, and their gradients."""
    rows = grad._indices()[0]
    # Autograd forgets that the rows were distinct; to sort them again is the dearest
    # part of a step.
    if not (rows[1:] > rows[:-1]).all():
        grad = grad.coalesce()
        rows = grad.indices()[0]
    return rows, grad._values()
