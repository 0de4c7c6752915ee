"""How does training scale with the number of processes?

Call ``python benchmarks/bench_distributed.py [--quick] [--processes 1,2,4,8]
[--steps 20]``. Real processes train by gloo on this machine, each on as many users of
its own as the one process that trains alone: weak scaling. Their processor time per
step is measured, since they may be more than there are cores, and so are the bytes that
each sends, and the memory of its tables. How many users all of them train in a second
of processor time of each, relative to one process, says how they scale with a core for
each and a network that is not in the way.

What a step takes in a network is calculated from that:

    step = processor time + bytes / bandwidth + number of exchanges * latency

and so is a row for 64 processes: it is a calculation, with the time of the largest
number that was measured, and not a measurement.

Failure: two, four or eight processes train less than 1.7, 3.2 or 6 times as many users
as one; or a process has more than its share of the tables, plus 10 %.
"""

import argparse
import os
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from _common import machine, write_results
from _quick import assert_claims, parse_options
from scipy import sparse
from torch import distributed

from sktwotower.towers import PooledHistory, RowwiseAdam, SampledSoftmaxLoss
from sktwotower.towers.batches._batches import TrainingSet, UserBatches
from sktwotower.towers.parts._trained import PooledTowers
from sktwotower.towers.processes._division import Division
from sktwotower.towers.processes._exchange import Exchange, Shares
from sktwotower.towers.processes._group import Group, current_group

N_USERS, N_ITEMS, EVENTS_PER_USER, WIDTH = 100_000, 200_000, 20, 64
USERS_PER_BATCH, N_NEGATIVES = 256, 2048
# Bytes per second of each direction, and seconds of one exchange.
NETWORKS = {"10 Gbit/s": (1.25e9, 1e-4), "100 Gbit/s": (1.25e10, 2e-5)}
LEAST = {2: 1.7, 4: 3.2, 8: 6.0}
MORE_MEMORY = 1.1
CALCULATED = 64
N_EXCHANGES = 5
RECIPE = SimpleNamespace(
    history=PooledHistory(),
    user_tower=None,
    item_tower=None,
    embedding_dim=WIDTH,
    hidden_layer_sizes=(),
    dropout=0.0,
    normalize=True,
    optimizer="rowwiseadam",
    callbacks=None,
    net_params=None,
)


def made_data(quick, rank, size):
    """Return a training set of users who choose items with long-tailed odds.

    It has the events of the users of one process.
    """
    n_users, n_items = (n // (10 if quick else 1) for n in (N_USERS, N_ITEMS))
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(n_users), EVENTS_PER_USER)
    items = (n_items * rng.random(len(users)) ** 3).astype(int)
    own = users % size == rank
    entries = np.ones(own.sum(), dtype=np.float32), (users[own], items[own])
    chosen = sparse.csr_matrix(entries, shape=(n_users, n_items))
    chosen.data[:] = 1
    chosen.sort_indices()
    rows = (sparse.identity(n, np.float32, "csr") for n in (n_users, n_items))
    return TrainingSet(*rows, chosen, chosen)


class CountingGroup(Group):
    """A group that counts the bytes that this process sends to others."""

    def __init__(self, rank, size):
        super().__init__()  # ``Group`` is a tuple, which __new__ has made
        self.n_bytes = 0

    def run(self, call, first, *others, **kwargs):
        """Call a function of torch.distributed."""
        if call is distributed.all_to_all_single:
            self.n_bytes += others[0].nbytes
        elif call is distributed.all_gather:
            self.n_bytes += (self.size - 1) * others[0].nbytes
        elif call is distributed.all_reduce:
            self.n_bytes += 2 * (self.size - 1) / self.size * first.nbytes
        return super().run(call, first, *others, **kwargs)


class Trainer:
    """One process's training: its batches, towers and optimizer."""

    def __init__(self, data, group):
        rank, size = (0, 1) if group is None else (group.rank, group.size)
        sides = {"user": data.user_rows.shape[1], "item": data.item_rows.shape[1]}
        divisions = {name: Division(n, size) for name, n in sides.items()}
        torch.manual_seed(rank)
        module = PooledTowers.build(
            RECIPE, *(len(division.of(rank)) for division in divisions.values())
        )
        module.divisions = divisions
        self.net = SimpleNamespace(
            model=module.train(), loss=SampledSoftmaxLoss(0.1), device="cpu"
        )
        self.tables = [module.get_submodule(name).weight for name in module.tables]
        known = set(self.tables)
        others = [p for p in module.parameters() if p not in known]
        groups = [{"params": self.tables, "rowwise": True}, {"params": others}]
        self.optimizer = RowwiseAdam(groups)
        # each process draws its share of the uniform candidates
        sampling = {"candidate_sampling": "mixed", "n_negatives": N_NEGATIVES // size}
        batches = UserBatches(
            data, USERS_PER_BATCH, shuffle=True, seed=rank, **sampling
        )
        self.batches, self.group, self.exchange = batches, None, None
        if group is not None:
            self.group = CountingGroup(rank, size)
            interruption = SimpleNamespace(received=None)
            self.exchange = Exchange(self.group, self.net, interruption)
            self.batches = Shares(batches, self.exchange)

    def compute(self, batch, targets):
        loss = self.net.loss(*self.net.model(batch), targets)
        loss.backward()
        return {"loss": loss}

    def step(self, batches):
        batch, targets = next(batches)
        self.optimizer.zero_grad()
        if self.exchange is None:
            self.compute(batch, targets)
        else:
            self.exchange.step(self.compute, batch, targets)
        self.optimizer.step()

    def run(self, n_steps):
        """Return what a step takes, after three that do not count."""
        batches = iter(self.batches)
        for _ in range(3):
            self.step(batches)
        before = 0 if self.group is None else self.group.n_bytes
        thread = time.thread_time()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(n_steps):
            self.step(batches)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        thread = time.thread_time() - thread
        n_bytes = 0 if self.group is None else self.group.n_bytes - before
        state = [v for t in self.tables for v in self.optimizer.state[t].values()]
        return {
            "cpu_ms": cpu / n_steps * 1e3,
            "thread_ms": thread / n_steps * 1e3,
            "wall_ms": wall / n_steps * 1e3,
            "mb": n_bytes / n_steps / 1e6,
            "table_mb": sum(each.nbytes for each in [*self.tables, *state]) / 1e6,
        }


def work(quick, n_steps, store, rank, size):
    """Return what a step of one of several processes takes; size 1: it is alone."""
    torch.set_num_threads(1)
    if size > 1:
        place = f"file://{store}"
        distributed.init_process_group(
            "gloo", init_method=place, rank=rank, world_size=size
        )
    return Trainer(made_data(quick, rank, size), current_group()).run(n_steps)


def measured(size, quick, n_steps):
    """Return a row of results: the slowest and largest of some forked processes."""
    with tempfile.TemporaryDirectory() as folder:
        children = []
        for rank in range(size):
            child = os.fork()
            if not child:
                row = work(quick, n_steps, f"{folder}/store", rank, size)
                pd.Series(row).to_json(f"{folder}/{rank}.json")
                os._exit(0)
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        assert codes == [0] * size, codes
        rows = [pd.read_json(f"{folder}/{r}.json", typ="series") for r in range(size)]
    return {"processes": size, "users per process": USERS_PER_BATCH} | dict(
        pd.DataFrame(rows).max()
    )


def with_rates(rows):
    """Return a table of rows, with what all processes train relative to one.

    The last row is calculated.
    """
    last = rows[-1]
    share = (
        (CALCULATED - 1)
        / CALCULATED
        * last["processes"]
        / (max(1, last["processes"] - 1))
    )
    calculated = {
        "processes": CALCULATED,
        "mb": last["mb"] * share,
        "table_mb": rows[0]["table_mb"] / CALCULATED,
    }
    table = pd.DataFrame([*rows, {**last, **calculated, "calculated": True}])
    table["calculated"] = table["calculated"].fillna(False).astype(bool)
    one = table["cpu_ms"].iloc[0]
    table["times one"] = table["processes"] * one / table["cpu_ms"]
    for name, (bandwidth, latency) in NETWORKS.items():
        network = table["mb"] * 1e6 / bandwidth + N_EXCHANGES * latency
        ms = table["cpu_ms"] + network.where(table["processes"] > 1, 0.0) * 1e3
        table[f"ms, {name}"] = ms
        table[f"times one, {name}"] = table["processes"] * one / ms
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", default="1,2,4,8", help="numbers of them")
    parser.add_argument("--steps", type=int, default=20, help="steps to measure")
    arguments = parse_options(parser)
    if arguments.quick:  # a process of several has few batches of few users
        arguments.processes, arguments.steps = "1,2", 3
    sizes = list(map(int, arguments.processes.split(",")))
    where = machine()
    rows = [measured(size, arguments.quick, arguments.steps) for size in sizes]
    table = with_rates(rows)
    print(table.to_string(index=False, float_format="{:,.2f}".format))
    write_results("distributed", [row | where for row in table.to_dict("records")])
    wrong = []
    for row in table[~table["calculated"]].to_dict("records"):
        size = row["processes"]
        if row["times one"] < LEAST.get(size, 0):
            wrong.append(f"{size} processes train {row['times one']:.2f} times as many")
        if row["table_mb"] > MORE_MEMORY * rows[0]["table_mb"] / size:
            wrong.append(
                f"{size} processes: one has {row['table_mb']:.1f} MB of tables"
            )
    assert_claims(wrong)


if __name__ == "__main__":
    main()
