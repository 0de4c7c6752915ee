"""Rows of tables, and gradients, that several processes exchange in a step.

Input: in each process, a batch of its own users, and its rows of the tables.
Output: the loss of all batches together, and gradients of the process's own rows.
"""

from contextlib import suppress
from itertools import zip_longest

import numpy as np
import torch
from torch import distributed

from sktwotower.towers.operators._autograd import has_bfloat16_products

from ._fetched import Fetched, columns_of
from ._group import GroupError

# What a process says at the start of each step; or it is the number of a signal.
GOES_ON, ENDED, FAILED = 0, -1, -2


class Share:
    """The batch of one process in a step, or None if it has no users left.

    ``n_users`` becomes the number of users of all processes together.
    """

    def __init__(self, batch):
        self.batch = batch
        self.n_users = 0

    def __len__(self):
        return self.n_users


class Shares:
    """Batches of one process, and empty ones until all processes have ended a pass.

    Before each pass they are counted: events that were kept back may have joined.
    """

    def __init__(self, batches, exchange):
        self.batches = batches
        self.exchange = exchange

    def __iter__(self):
        self.exchange.header(GOES_ON)  # all have begun, and can count together
        # the number of batches of the process that has most
        n_batches = range(len(self.batches))
        pairs = zip_longest(self.batches, n_batches, fillvalue=(None, None))
        for (batch, targets), _ in pairs:
            yield Share(batch), targets


class Exchange:
    """The training of one net by a ``Group``, as a context.

    A process holds some rows of each table. In a step it fetches those that its batch
    needs from their owners, and sends them the gradients. All other parameters are the
    same in all processes, and their gradients are added up.

    At the start of each step all processes exchange a header: whether they go on, the
    weight of their users, and how many rows they fetch of whom. So a process that ends
    or fails is noticed by all others.

    Parameters
    ----------
    group : Group
    net : TwoTowerNet
        Initialized; its module holds the rows of this process, and its ``divisions``
        say which ones they are.
    interruption : Interruption
        Says whether this process has been asked to stop.
    """

    def __init__(self, group, net, interruption):
        self.group = group
        self.net = net
        self.interruption = interruption
        self.device = group.device
        # a loss of the user need not have it
        wanted = getattr(net.loss, "matmul_dtype", None)
        short = has_bfloat16_products() if wanted is None else wanted == torch.bfloat16
        # what the products that follow are computed in
        self.dtype = torch.bfloat16 if short else torch.float32
        module = net.model
        self.layers = {}
        self.divisions = {}
        for name, side in module.tables.items():
            self.layers[name] = module.get_submodule(name)
            self.divisions[name] = module.divisions[side]
        tables = {layer.weight for layer in self.layers.values()}
        parameters = [*module.parameters(), *net.loss.parameters()]
        self.dense = [weights for weights in parameters if weights not in tables]
        self.stops = False

    def __enter__(self):
        self._share_others()
        return self

    def _share_others(self):
        """Take what is no row of a table, parameters and buffers, of process 0."""
        for value in [*self.dense, *self.net.model.buffers()]:
            moved = value.detach().to(self.device)
            self.group.run(distributed.broadcast, moved, 0)
            value.data.copy_(moved)

    def __exit__(self, kind, error, trace):
        if error is None:
            self.header(ENDED)
        elif not isinstance(error, GroupError):
            with suppress(GroupError):  # the others may have ended as well
                self.header(FAILED)

    def step(self, compute, share, targets, learns=True):
        """Return skorch's result of a step, with the loss of all processes together.

        ``compute(batch, targets)`` returns that of this process, with its loss and, if
        it ``learns``, gradients; it is called unless the ``share`` is empty.
        """
        columns = {}
        weight = 0.0
        n_users = 0
        if share.batch is not None:
            columns = columns_of(share.batch, self.layers, self.net.model.is_tied)
            weight = float(targets.total_weight)
            n_users = len(share.batch)
        step = {"y_pred": None}
        loss = 0.0
        failure = None
        with self.fetched(columns, weight, n_users) as fetched:
            share.n_users = fetched.n_users
            if share.batch is not None:
                targets.total_weight = fetched.total_weight
                try:
                    step = compute(share.batch, targets)
                    loss = step["loss"].item()
                except BaseException as error:  # the others wait for this step's rows
                    failure = error
            if learns:
                fetched.send_gradients()
        loss = self._reduce(loss, learns)
        if failure is not None:
            raise failure
        return step | {"loss": torch.tensor(loss)}

    def fetched(self, columns, weight=0.0, n_users=0):
        """Return a context in which layers have some columns (m,) of their tables.

        ``columns``: ascending, by the name of the layer. ``weight`` and ``n_users``: of
        this process; those of all are added up.
        """
        status = self.interruption.received or GOES_ON
        fetched = Fetched(self, columns)
        header = self.header(status, weight, n_users, fetched.wanted)
        self._receive(header)
        fetched.total_weight = header[:, 1].sum() or 1.0
        fetched.n_users = int(header[:, 2].sum())
        fetched.given = header[:, 3:].astype(np.int64)
        return fetched

    def share_signal(self):
        """Let a signal to one process be one to all, as each step does.

        After the last step there is no other one that would.
        """
        self._receive(self.header(self.interruption.received or GOES_ON))

    def _receive(self, header):
        """Stop if a header says that another process has received a signal."""
        received = int(header[:, 0].max())
        if received != GOES_ON:
            self.stops = True
            self.interruption.received = received

    def header(self, status, weight=0.0, n_users=0, wanted=0):
        """Return the headers (size, 3 + n_tables) of all processes for this one.

        ``wanted`` (size, n_tables): how many rows this one fetches of each.
        """
        sent = np.empty((self.group.size, 3 + len(self.layers)))
        sent[:, :3] = (status, weight, n_users)
        sent[:, 3:] = wanted
        sent = torch.from_numpy(sent).to(self.device)
        header = torch.empty_like(sent)
        self.group.run(distributed.all_to_all_single, header, sent)
        header = header.cpu().numpy()
        failed = np.flatnonzero(header[:, 0] == FAILED)
        if len(failed) and status != FAILED:
            raise GroupError(f"Process {failed[0]} has failed: its error says why.")
        ended = header[:, 0] == ENDED
        if ended.any() and not ended.all():
            raise GroupError(
                f"Processes {np.flatnonzero(ended).tolist()} have ended training "
                "before the others. A callback must end it in all of them."
            )
        return header

    def _reduce(self, loss, learns):
        """Add up the gradients of what all processes have; return the sum of losses."""
        learnt = []
        if learns:
            learnt = [weights for weights in self.dense if weights.requires_grad]
        flat = []
        for weights in learnt:
            grad = weights.grad
            if grad is None:
                grad = torch.zeros_like(weights)
            flat.append(grad.reshape(-1).to(self.device, torch.float32))
        flat.append(torch.tensor([loss], device=self.device))
        summed = self.group.add_up(torch.cat(flat))
        *grads, total = summed.split([len(part) for part in flat])
        for weights, grad in zip(learnt, grads, strict=True):
            weights.grad = grad.view(weights.shape).to(weights)
        return total.item()

    def gather(self):
        """Let the module, and its moments, have the rows of all processes."""
        module = self.net.model
        self._share_others()
        for name, layer in self.layers.items():
            layer.weight.data = self._whole(name, layer.weight.detach())
            moments = module.moments.get(f"{name}.weight", {})
            for key, rows in moments.items():
                moments[key] = self._whole(name, torch.from_numpy(rows)).numpy()
        del module.divisions  # it has all rows

    def _whole(self, name, rows):
        """Return the rows (p, ...) of a table, given those of this process (m, ...)."""
        division = self.divisions[name]
        whole = rows.new_zeros(division.n_columns, *rows.shape[1:])
        whole[division.of(self.group.rank)] = rows
        for rank in range(self.group.size):
            columns = division.of(rank)
            part = whole[columns].to(self.device)
            self.group.run(distributed.broadcast, part, rank)
            whole[columns] = part.to(rows)
        return whole
