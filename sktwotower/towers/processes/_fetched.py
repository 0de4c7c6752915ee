"""Rows of tables that a process fetches from their owners, and gradients for these.

Input: the columns of each table that a batch needs.
Output: layers that compute with these rows, and sparse gradients of the owners' rows.
"""

import numpy as np
import torch

from sktwotower.towers.operators._autograd import COALESCED
from sktwotower.towers.operators._positions import distinct


def columns_of(batch, layers, is_tied=False):
    """Return the ascending columns that a ``Batch`` needs of tables, a dict by layer.

    ``layers``: by name. That says which rows of the batch a layer maps. ``is_tied``:
    whether that of past items maps candidates as well.
    """
    rows = {"user_tower": [batch.user_rows], "item_tower": [batch.item_rows]}
    rows["history"] = [batch.history_items] + is_tied * [batch.item_rows]
    rows["context"] = [batch.requests and batch.requests.rows]
    columns = {}
    for owner, (first, *others) in rows.items():
        if first is not None:
            used = [first.indices.numpy(), *(each.indices.numpy() for each in others)]
            columns[owner] = distinct(np.concatenate(used), first.n_columns)
    owners = {name: name.partition(".")[0] for name in layers}
    return {name: columns[of] for name, of in owners.items() if of in columns}


class _WantedRows:
    """What a process wants of one table: ascending columns (m,).

    Attributes
    ----------
    places : list of int64 arrays
        Where the wanted columns are in their owners' parts of the table: own ones, then
        those of each process.
    """

    def __init__(self, layer, division, columns, rank):
        self.layer, device = layer, layer.weight.device
        owners, places = division.places_of(columns)
        turns = owners.astype(np.int16) + 1  # a short type is sorted by its digits
        turns[owners == rank] = 0
        order = np.argsort(turns, kind="stable")
        self.sizes = np.bincount(turns, minlength=division.size + 1).tolist()
        self.places = np.split(places[order], np.cumsum(self.sizes)[:-1])
        turns = np.empty_like(order)  # of the columns, among the rows
        turns[order] = np.arange(len(order))
        self.columns, self.order, self.turns = (
            torch.from_numpy(each).to(device) for each in (columns, order, turns)
        )

    def parts(self):
        """Return rows (n, width) of the ``places``; those of others are to be set."""
        weight = self.layer.weight.detach()
        own = torch.from_numpy(self.places[0]).to(weight.device)
        self.rows = weight.new_empty(len(self.columns), weight.shape[1])
        torch.index_select(weight, 0, own, out=self.rows[: len(own)])
        return self.rows.split(self.sizes)

    def lay(self):
        """Let the layer compute with the rows, in the order of the columns."""
        self.rows = self.rows.index_select(0, self.turns).requires_grad_()
        self.layer.fetched = self

    def of(self, rows):
        """Return what the layer computes with: a table, and its rows (n, m)."""
        places = torch.arange(len(self.columns), device=self.rows.device)
        if not torch.equal(rows.indices, self.columns):
            places = torch.searchsorted(self.columns, rows.indices)
        return self.rows, rows.with_columns(places, len(self.columns))

    def gradients(self):
        """Return those of the ``places``."""
        grad = self.rows.grad
        grad = torch.zeros_like(self.rows) if grad is None else grad
        self.grad = grad.index_select(0, self.order)
        return self.grad.split(self.sizes)

    def add_up(self, asked, grads):
        """Set the gradient of the rows of this process, once that of others is sent.

        ``asked`` (n,), ``grads`` (n, width): places and gradients from others.
        """
        weight, known, n = self.layer.weight, self.places[0], self.sizes[0]
        asked = asked.cpu().numpy()
        at = np.searchsorted(known, asked)
        is_new = np.append(known, -1)[at] != asked
        new, at_new = np.unique(asked[is_new], return_inverse=True)
        at[is_new] = n + at_new
        values = torch.cat([self.grad[:n], weight.new_zeros(len(new), weight.shape[1])])
        values.index_add_(0, torch.from_numpy(at).to(weight.device), grads.to(weight))
        ids = torch.from_numpy(np.append(known, new)).to(weight.device)
        made = ids[None], values, weight.shape
        weight.grad = torch.sparse_coo_tensor(*made, **COALESCED)
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
        self.group, self.device = exchange.group, exchange.device
        nothing, rank = np.zeros(0, dtype=np.int64), self.group.rank
        divisions = exchange.divisions
        self.tables = [
            _WantedRows(layer, divisions[name], columns.get(name, nothing), rank)
            for name, layer in exchange.layers.items()
        ]
        self.widths = np.array([t.layer.weight.shape[1] for t in self.tables])
        self.dtype = exchange.dtype
        self.ones = np.ones_like(self.widths)
        self.others = [r for r in range(self.group.size) if r != rank]
        self.wanted = np.zeros((self.group.size, len(self.tables)), dtype=np.int64)
        for r in self.others:
            self.wanted[r] = [table.sizes[1 + r] for table in self.tables]

    @torch.no_grad()
    def __enter__(self):
        asked = [t.places[1 + r] for r in self.others for t in self.tables]
        asked = torch.from_numpy(np.concatenate([*asked, []]).astype(np.int32))
        asked = self._swap(asked.to(self.device), self.wanted, self.given, self.ones)
        self.asked, rows = asked.long(), self._buffer(self.given)
        asked = dict(self._parts(self.asked, self.given, self.ones))
        for (r, t), part in self._parts(rows, self.given, self.widths):
            weight = self.tables[t].layer.weight
            part.copy_(weight.index_select(0, asked[r, t].flatten().to(weight.device)))
        rows = self._swap(rows, self.given, self.wanted, self.widths)
        parts = [table.parts() for table in self.tables]
        for (r, t), part in self._parts(rows, self.wanted, self.widths):
            parts[t][1 + r].copy_(part)
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
        rows = self._buffer(self.wanted)
        for (r, t), part in self._parts(rows, self.wanted, self.widths):
            part.copy_(grads[t][1 + r])
        rows = self._swap(rows, self.wanted, self.given, self.widths)
        asked = self._by_table(self.asked, self.ones)
        found = self._by_table(rows, self.widths)
        for table, places, part in zip(self.tables, asked, found, strict=True):
            table.add_up(places.flatten(), part)

    def _by_table(self, flat, widths):
        """Return what all others have sent for each table, of a flat tensor."""
        parts = dict(self._parts(flat, self.given, widths))
        return [
            torch.cat([flat[:0].view(0, width), *(parts[r, t] for r in self.others)])
            for t, width in enumerate(widths.tolist())
        ]

    def _buffer(self, counts):
        n_numbers = int((counts * self.widths).sum())
        return torch.empty(n_numbers, dtype=self.dtype, device=self.device)

    def _parts(self, flat, counts, widths):
        """Yield the part (n, width) of each process and table, of a flat tensor."""
        start = 0
        for r in self.others:
            for t, n in enumerate(counts[r]):
                stop = start + int(n * widths[t])
                yield (r, t), flat[start:stop].view(-1, int(widths[t]))
                start = stop

    def _swap(self, flat, sent, received, widths):
        """Return what others have for this process, of the form of what they get.

        ``sent`` and ``received`` (size, n_tables): numbers of rows, to and from each.
        """
        sizes = [(counts * widths).sum(axis=1) for counts in (received, sent)]
        values = flat.new_empty(int(sizes[0].sum()))
        bits = flat.dtype if flat.dtype != torch.bfloat16 else torch.float16
        pair = values.view(bits), flat.view(bits)  # gloo does not know bfloat16
        swap = torch.distributed.all_to_all_single
        self.group.run(swap, *pair, *(each.tolist() for each in sizes))
        return values
