"""Rows of tables, and gradients, that several processes exchange in a step.

Input: in each process, a batch of its own users, and its rows of the tables.
Output: the loss of all batches together, and gradients of the process's own rows.
"""

from contextlib import suppress
from itertools import zip_longest

import numpy as np
import torch
from torch import distributed

from sktwotower.towers.operators._autograd import COALESCED, has_bfloat16_products
from sktwotower.towers.operators._positions import distinct

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


def columns_of(batch, layers, is_tied=False):
    """Return the ascending columns that a ``Batch`` needs of tables, a dict by layer.

    ``layers``: by name. That says which rows of the batch a layer maps. ``is_tied``:
    whether that of past items maps candidates as well.
    """
    rows_by_module = {
        "user_tower": [batch.user_rows],
        "item_tower": [batch.item_rows],
        "history": [batch.history_items],
        "context": [None],
    }
    if is_tied:
        rows_by_module["history"].append(batch.item_rows)
    if batch.requests is not None:
        rows_by_module["context"] = [batch.requests.rows]
    columns_by_module = {}
    for module, all_rows in rows_by_module.items():
        if all_rows[0] is not None:
            used = np.concatenate([rows.indices.numpy() for rows in all_rows])
            columns_by_module[module] = distinct(used, all_rows[0].n_columns)
    columns = {}
    for name in layers:
        module = name.partition(".")[0]
        if module in columns_by_module:
            columns[name] = columns_by_module[module]
    return columns


class _WantedRows:
    """What a process wants of one table: ascending columns (m,).

    Attributes
    ----------
    places : list of int64 arrays
        Where the wanted columns are in their owners' parts of the table: own ones, then
        those of each process.
    """

    def __init__(self, layer, division, columns, rank):
        self.layer = layer
        owners, places = division.places_of(columns)
        turns = owners.astype(np.int16) + 1  # a short type is sorted by its digits
        turns[owners == rank] = 0
        order = np.argsort(turns, kind="stable")
        self.sizes = np.bincount(turns, minlength=division.size + 1).tolist()
        self.places = np.split(places[order], np.cumsum(self.sizes)[:-1])
        row_of_column = np.empty_like(order)
        row_of_column[order] = np.arange(len(order))
        device = layer.weight.device
        self.columns = torch.from_numpy(columns).to(device)
        self.order = torch.from_numpy(order).to(device)
        self.row_of_column = torch.from_numpy(row_of_column).to(device)

    def parts(self):
        """Return rows (n, width) of the ``places``; those of others are to be set."""
        weight = self.layer.weight.detach()
        places_here = torch.from_numpy(self.places[0]).to(weight.device)
        self.rows = weight.new_empty(len(self.columns), weight.shape[1])
        rows_here = self.rows[: len(places_here)]
        torch.index_select(weight, 0, places_here, out=rows_here)
        return self.rows.split(self.sizes)

    def lay(self):
        """Let the layer compute with the rows, in the order of the columns."""
        self.rows = self.rows.index_select(0, self.row_of_column).requires_grad_()
        self.layer.fetched = self

    def of(self, rows):
        """Return what the layer computes with: a table, and its rows (n, m)."""
        places = torch.arange(len(self.columns), device=self.rows.device)
        if not torch.equal(rows.indices, self.columns):
            places = torch.searchsorted(self.columns, rows.indices)
        return self.rows, rows.with_columns(places, len(self.columns))

    def gradients(self):
        """Return the gradients of rows of the ``places``."""
        grad = self.rows.grad
        if grad is None:
            grad = torch.zeros_like(self.rows)
        self.grad = grad.index_select(0, self.order)
        return self.grad.split(self.sizes)

    def add_up(self, places, grads):
        """Set the gradient of the rows of this process, once that of others is sent.

        ``places`` (n,), ``grads`` (n, width): places and gradients from others.
        """
        weight = self.layer.weight
        places = places.cpu().numpy()
        # Rows that the batch of this process has needed as well, and further ones.
        used_here = self.places[0]
        positions = np.searchsorted(used_here, places)
        is_further = np.append(used_here, -1)[positions] != places
        further, at_further = np.unique(places[is_further], return_inverse=True)
        positions[is_further] = len(used_here) + at_further

        zeros = weight.new_zeros(len(further), weight.shape[1])
        values = torch.cat([self.grad[: len(used_here)], zeros])
        positions = torch.from_numpy(positions).to(weight.device)
        values.index_add_(0, positions, grads.to(weight))
        rows = torch.from_numpy(np.append(used_here, further)).to(weight.device)
        weight.grad = torch.sparse_coo_tensor(
            rows[None], values, weight.shape, **COALESCED
        )
        if not self.layer.sparse_grad:
            weight.grad = weight.grad.to_dense()


class Fetched:
    """Rows of tables that a process has fetched, as a context; see `Exchange`.

    Parameters
    ----------
    exchange : Exchange
    columns : dict
        The ascending columns (m,) that are wanted, by the name of the layer.

    Attributes
    ----------
    wanted : int64 array of shape (size, n_tables)
        How many rows of each table this process gets of each other one.
    given : int64 array of shape (size, n_tables)
        How many it gives to each.
    n_users, total_weight
        Sums of what all processes have in this step.
    """

    def __init__(self, exchange, columns):
        self.group = exchange.group
        self.device = exchange.device
        self.dtype = exchange.dtype
        rank = self.group.rank
        no_columns = np.zeros(0, dtype=np.int64)
        self.tables = []
        for name, layer in exchange.layers.items():
            wanted = columns.get(name, no_columns)
            division = exchange.divisions[name]
            self.tables.append(_WantedRows(layer, division, wanted, rank))
        self.widths = np.array([table.layer.weight.shape[1] for table in self.tables])
        self.ones = np.ones_like(self.widths)  # widths of places
        self.others = [other for other in range(self.group.size) if other != rank]
        self.wanted = np.zeros((self.group.size, len(self.tables)), dtype=np.int64)
        for other in self.others:
            self.wanted[other] = [table.sizes[1 + other] for table in self.tables]

    @torch.no_grad()
    def __enter__(self):
        # Ask all others for rows, by their places there; learn what they ask for.
        places = []
        for other in self.others:
            places += [table.places[1 + other] for table in self.tables]
        places = np.concatenate([*places, []]).astype(np.int32)
        places = torch.from_numpy(places).to(self.device)
        asked = self._swap(places, self.wanted, self.given, self.ones)
        self.asked = asked.long()

        # Send the rows that they ask for, and receive those asked for.
        asked = dict(self._parts(self.asked, self.given, self.ones))
        sent = self._buffer(self.given)
        for (other, t), part in self._parts(sent, self.given, self.widths):
            weight = self.tables[t].layer.weight
            places = asked[other, t].flatten().to(weight.device)
            part.copy_(weight.index_select(0, places))
        received = self._swap(sent, self.given, self.wanted, self.widths)

        parts = [table.parts() for table in self.tables]
        for (other, t), part in self._parts(received, self.wanted, self.widths):
            parts[t][1 + other].copy_(part)
        for table in self.tables:
            table.lay()
        return self

    def __exit__(self, kind, error, trace):
        for table in self.tables:
            table.layer.fetched = None

    @torch.no_grad()
    def send_gradients(self):
        """Set the gradients of the rows of each table, added up over processes."""
        grads = [table.gradients() for table in self.tables]
        sent = self._buffer(self.wanted)
        for (other, t), part in self._parts(sent, self.wanted, self.widths):
            part.copy_(grads[t][1 + other])
        received = self._swap(sent, self.wanted, self.given, self.widths)
        asked = self._by_table(self.asked, self.ones)
        grads = self._by_table(received, self.widths)
        for table, places, part in zip(self.tables, asked, grads, strict=True):
            table.add_up(places.flatten(), part)

    def _by_table(self, flat, widths):
        """Return what all others have sent for each table, of a flat tensor."""
        parts = dict(self._parts(flat, self.given, widths))
        by_table = []
        for t, width in enumerate(widths.tolist()):
            none = flat[:0].view(0, width)  # there may be no others
            by_table.append(torch.cat([none, *(parts[r, t] for r in self.others)]))
        return by_table

    def _buffer(self, counts):
        """Return an empty tensor for rows of all tables, of which there are counts."""
        n_numbers = int((counts * self.widths).sum())
        return torch.empty(n_numbers, dtype=self.dtype, device=self.device)

    def _parts(self, flat, counts, widths):
        """Yield the part (n, width) of each process and table, of a flat tensor."""
        start = 0
        for other in self.others:
            for t, width in enumerate(widths.tolist()):
                stop = start + int(counts[other, t]) * width
                yield (other, t), flat[start:stop].view(-1, width)
                start = stop

    def _swap(self, flat, sent, received, widths):
        """Return what others have for this process, of the form of what they get.

        ``sent`` and ``received`` (size, n_tables): numbers of rows, to and from each.
        """
        sizes_received = (received * widths).sum(axis=1).tolist()
        sizes_sent = (sent * widths).sum(axis=1).tolist()
        values = flat.new_empty(sum(sizes_received))
        # gloo does not know bfloat16, and only moves the bits
        bits = torch.float16 if flat.dtype == torch.bfloat16 else flat.dtype
        self.group.run(
            torch.distributed.all_to_all_single,
            values.view(bits),
            flat.view(bits),
            sizes_received,
            sizes_sent,
        )
        return values
