"""Sums of the gradients that several processes have computed.

Input: in each process, the gradients of the loss of its own users of a batch.
Output: in all processes, the gradients of the loss of the whole batch.
"""

import numpy as np
import torch
from torch import distributed

from ._group import GroupError
from ._optimizer import rows_of
from ._sparse_rows import SparseLinear

# What a process says at the start of each exchange.
GOES_ON, STOPS, ENDED, FAILED = range(4)
# What it says of a table whose gradient is not sparse.
DENSE = -1


class Exchange:
    """The training of one net by a ``Group``, as a context.

    At the start of each step all processes exchange a header: whether they go on, the
    weight and the loss of their users, and the number of rows that they touched in each
    table. So a process that ends or fails is noticed by all others.

    Parameters
    ----------
    group : Group
    net : TwoTowerNet
        Initialized. It takes the weights of process 0.
    interruption : Interruption
        Says whether this process has been asked to stop.
    """

    def __init__(self, group, net, interruption):
        self.group, self.net, self.interruption = group, net, interruption
        self.device = group.device(net.device)
        modules = [net.module_, net.criterion_]
        tables = [
            part.weight
            for module in modules
            for part in module.modules()
            if isinstance(part, SparseLinear)
        ]
        self.tables = list(dict.fromkeys(tables))
        known = set(self.tables)
        self.dense = [
            p
            for module in modules
            for p in module.parameters()
            if p.requires_grad and p not in known
        ]
        self.stops = False

    def __enter__(self):
        self._share_weights()
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            self._header(ENDED)
            self._share_weights()
        elif not isinstance(error, GroupError):
            self._fail()

    def _fail(self):
        try:
            self._header(FAILED)
        except GroupError:
            pass  # the others have ended as well

    def _share_weights(self):
        """Take weights and buffers of process 0."""
        for module in (self.net.module_, self.net.criterion_):
            for value in module.state_dict().values():
                moved = value.detach().to(self.device)
                self.group.run(distributed.broadcast, moved, 0)
                value.copy_(moved)

    def step(self, compute, share, targets):
        """Return skorch's result of a step, with the loss of the whole batch.

        ``compute(batch, targets)`` computes the loss and the gradients of this
        process's part, a ``Share``; it is called unless that has no users.
        """
        weight = loss = 0.0
        step = {"y_pred": None}
        if share.batch is not None:
            step = compute(share.batch, targets)
            weight, loss = float(targets.total_weight), step["loss"].item()
        rows = [_touched(table) for table in self.tables]
        counts = [DENSE if each is None else len(each[0]) for each in rows]
        status = GOES_ON if self.interruption.received is None else STOPS
        header = self._header(status, weight, weight * loss, *counts)
        self.stops = bool((header[:, 0] == STOPS).any())
        total = header[:, 1].sum()
        self._sum(rows, header[:, 3:].astype(np.int64), weight / total)
        return step | {"loss": torch.tensor(header[:, 2].sum() / total)}

    def _header(self, status, *values):
        """Return the headers (size, 3 + n_tables) of all processes."""
        values = [status, *values, *[0.0] * (2 + len(self.tables) - len(values))]
        own = torch.tensor(values, dtype=torch.float64, device=self.device)
        header = torch.stack(self._gather(own)).cpu().numpy()
        for rank in np.flatnonzero(header[:, 0] == FAILED):
            if status != FAILED:
                raise GroupError(f"Process {rank} has failed: its error says why.")
        ended = header[:, 0] == ENDED
        if ended.any() and not ended.all():
            raise GroupError(
                f"Processes {np.flatnonzero(ended).tolist()} have ended training "
                "before the others. A callback must end it in all of them."
            )
        return header

    def _gather(self, own):
        """Return the tensors of all processes, which have the same shape."""
        parts = [torch.empty_like(own) for _ in range(self.group.size)]
        self.group.run(distributed.all_gather, parts, own.contiguous())
        return parts

    def _gather_padded(self, own, sizes):
        """Return the flat tensors of all processes, of which the sizes are known."""
        filled = own.new_zeros(max(sizes))
        filled[: len(own)] = own
        parts = self._gather(filled)
        return [part[:size] for part, size in zip(parts, sizes, strict=True)]

    def _sum(self, rows, counts, factor):
        """Replace each gradient by its weighted sum over the processes.

        ``rows``: ids and gradients of the touched rows of each table. ``counts``
        (size, n_tables): their numbers in each process. ``factor``: multiplies what
        this process has computed.
        """
        touched = [t for t in range(len(self.tables)) if counts[:, t].any()]
        sparse = [t for t in touched if self._is_sparse(t, counts[:, t])]
        ids = self._gather_ids(rows, counts, sparse)
        apart = [t for t in sparse if _is_apart(ids[t])]
        self._gather_rows(apart, rows, ids, factor)
        dense = [self.tables[t] for t in touched if t not in ids]
        together = [t for t in sparse if t not in apart]
        self._reduce(together, rows, ids, [*self.dense, *dense], factor)

    def _is_sparse(self, t, counts):
        """Return whether the ids of touched rows are shorter than the whole table."""
        n_numbers = 2 * counts.sum()  # an id takes as many bytes as two numbers
        return (counts != DENSE).all() and n_numbers < self.tables[t].numel()

    def _gather_ids(self, rows, counts, sparse):
        """Return the touched rows of each process, by table: a dict of lists."""
        if not sparse:
            return {}
        own = torch.cat([rows[t][0] for t in sparse]).to(self.device)
        sizes = counts[:, sparse].tolist()
        parts = self._gather_padded(own, list(map(sum, sizes)))
        parts = [part.split(each) for part, each in zip(parts, sizes, strict=True)]
        return {t: [part[i] for part in parts] for i, t in enumerate(sparse)}

    def _gather_rows(self, tables, rows, ids, factor):
        """Gather the gradients of touched rows, and add those of the same row."""
        if not tables:
            return
        values = [(rows[t][1] * factor).reshape(-1) for t in tables]
        widths = [self.tables[t].shape[1] for t in tables]
        sizes = [
            [len(ids[t][rank]) * w for t, w in zip(tables, widths, strict=True)]
            for rank in range(self.group.size)
        ]
        own = torch.cat(values).to(self.device)
        parts = self._gather_padded(own, [sum(each) for each in sizes])
        parts = [part.split(each) for part, each in zip(parts, sizes, strict=True)]
        for i, t in enumerate(tables):
            values = torch.cat([part[i] for part in parts]).view(-1, widths[i])
            self._set_rows(self.tables[t], torch.cat(ids[t]), values)

    def _reduce(self, tables, rows, ids, dense, factor):
        """Sum the gradients of touched rows of some tables, and dense ones."""
        distinct = [torch.unique(torch.cat(ids[t])) for t in tables]
        summed = [
            _placed(*rows[t], of_all)
            for t, of_all in zip(tables, distinct, strict=True)
        ]
        others = [table for t, table in enumerate(self.tables) if t not in ids]
        dense = [*self.dense, *others]
        summed += [_dense_gradient(parameter) for parameter in dense]
        flat = torch.cat([each.reshape(-1) for each in summed]).mul_(factor)
        flat = flat.to(self.device)
        self.group.run(distributed.all_reduce, flat)
        parts = iter(flat.split([each.numel() for each in summed]))
        for t, of_all in zip(tables, distinct, strict=True):
            values = next(parts).view(-1, self.tables[t].shape[1])
            self._set_rows(self.tables[t], of_all, values)
        for parameter in dense:
            part = next(parts).view(parameter.shape)
            parameter.grad = part.to(parameter.device)

    @staticmethod
    def _set_rows(table, ids, values):
        """Set a sparse gradient, in which a row may occur several times."""
        table.grad = torch.sparse_coo_tensor(
            ids[None].to(table.device),
            values.to(table.device),
            table.shape,
            check_invariants=False,
        ).coalesce()


def _is_apart(ids):
    """Return whether the touched rows of a table are better gathered than summed.

    Each process receives all rows if they are gathered, and twice the distinct ones if
    they are summed.
    """
    n_rows = len(ids) * max(map(len, ids))
    return n_rows < 2 * len(torch.unique(torch.cat(ids)))


def _placed(own, values, ids):
    """Return the gradients (n, width) of the rows ``ids`` (n,), some of which are own.

    The result is where ``values`` are, the gradients of the rows ``own``.
    """
    placed = values.new_zeros(len(ids), values.shape[1])
    placed[torch.searchsorted(ids.to(own.device), own)] = values
    return placed


def _touched(table):
    """Return ids and gradients of the touched rows of a table; None if it is dense."""
    if table.grad is None:
        none = torch.zeros(0, dtype=torch.int64, device=table.device)
        return none, table.detach()[:0]
    return rows_of(table.grad) if table.grad.is_sparse else None


def _dense_gradient(parameter):
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad.to_dense()
