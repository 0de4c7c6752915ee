"""How far does training by several processes scale?

Call ``python benchmarks/bench_distributed.py [--quick] [--simulated 1,2,4,8,16]``. Two
processes on this machine train by gloo, and their seconds are measured. More are
simulated: each is a thread with its own copy of the towers, which exchanges its
gradients by memory. A thread's processor time, the bytes that it would send and receive
and the number of its exchanges are measured; what a step takes is calculated from them
for a network, as if each process had a core of its own:

    step = processor time + bytes / bandwidth + number of exchanges * latency

A sum over n processes moves 2 (n - 1) / n times its size through each of them, a
gathering n - 1 times what one contributes.

Failure: the simulated processes do not end with equal towers.
"""

import argparse
import os
import tempfile
import threading
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from _common import machine, write_results
from scipy import sparse
from torch import distributed

from sktwotower.towers import _shares
from sktwotower.towers._batches import TrainingSet, UserBatches
from sktwotower.towers._exchange import Exchange
from sktwotower.towers._group import Group, current_group
from sktwotower.towers._losses import SampledSoftmaxLoss
from sktwotower.towers._optimizer import RowwiseAdam
from sktwotower.towers.parts._pooled import PooledTowers

N_USERS, N_ITEMS, EVENTS_PER_USER, WIDTH = 100_000, 200_000, 20, 64
USERS_PER_BATCH, N_NEGATIVES = 1024, 2048
# Bytes per second of each direction, and seconds of one exchange.
NETWORKS = {"10 Gbit/s": (1.25e9, 1e-4), "100 Gbit/s": (1.25e10, 2e-5)}
RECIPE = SimpleNamespace(
    history="pooled",
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


def made_data(quick):
    """Return a training set of users who choose items with long-tailed odds."""
    n_users, n_items = (size // (10 if quick else 1) for size in (N_USERS, N_ITEMS))
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(n_users), EVENTS_PER_USER)
    items = (n_items * rng.random(len(users)) ** 3).astype(int)
    ones = np.ones(len(users), dtype=np.float32)
    chosen = sparse.csr_matrix((ones, (users, items)), shape=(n_users, n_items))
    chosen.data[:] = 1
    chosen.sort_indices()
    rows = (sparse.identity(n, np.float32, "csr") for n in (n_users, n_items))
    return TrainingSet(*rows, chosen, chosen)


class Threads:
    """What threads that stand for processes exchange."""

    def __init__(self, size):
        self.size, self.barrier = size, threading.Barrier(size)
        self.values = [None] * size

    def all(self, rank, value, merge=list):
        """Return ``merge(values)`` of the values of all threads."""
        self.values[rank] = value
        if self.barrier.wait() == 0:
            self.merged = merge(self.values)
        self.barrier.wait()
        return self.merged


class ThreadGroup(Group):
    """A group of threads, which counts what processes would send."""

    def __init__(self, rank, threads):
        super().__init__(rank, threads.size)
        self.threads = threads
        self.reset()

    def reset(self):
        """Count from now on."""
        self.n_bytes, self.n_exchanges, self.seconds = 0.0, 0, 0.0

    def device(self, module_device):
        """Return where tensors must be to be exchanged."""
        return "cpu"

    def run(self, call, first, *others):
        """Do what a function of torch.distributed does."""
        start = time.thread_time()
        self.n_exchanges += 1
        if call is distributed.all_gather:
            own = others[0]
            values = self.threads.all(self.rank, own)
            for part, value in zip(first, values, strict=True):
                part.copy_(value)
            self.n_bytes += (self.size - 1) * own.nbytes
        elif call is distributed.all_reduce:
            first.copy_(self.threads.all(self.rank, first.clone(), _total))
            self.n_bytes += 2 * (self.size - 1) / self.size * first.nbytes
        else:
            first.copy_(self.threads.all(self.rank, first)[0])
        self.threads.barrier.wait()
        self.seconds += time.thread_time() - start


def _total(values):
    total = values[0].clone()
    for value in values[1:]:
        total += value
    return total


class Trainer:
    """One process's training: its batches, towers and optimizer."""

    def __init__(self, group, data, batch_size):
        torch.manual_seed(0)
        widths = data.user_rows.shape[1], data.item_rows.shape[1]
        module = PooledTowers.build(RECIPE, *widths)
        self.net = SimpleNamespace(
            module_=module.train(), criterion_=SampledSoftmaxLoss(0.1), device="cpu"
        )
        tables = [module.get_submodule(name).weight for name in module.tables]
        known = set(tables)
        others = [p for p in module.parameters() if p not in known]
        groups = [{"params": tables, "rowwise": True}, {"params": others}]
        self.optimizer = RowwiseAdam(groups)
        self.group, self.exchange = group, None
        sampling = {"candidate_sampling": "mixed", "n_negatives": N_NEGATIVES}
        kind = UserBatches if group is None else _shares.SharedUserBatches
        self.batches = kind(data, batch_size, shuffle=True, **sampling)
        if group is not None:
            self.batches.rank, self.batches.size = group.rank, group.size
            interruption = SimpleNamespace(received=None)
            self.exchange = Exchange(group, self.net, interruption)

    def compute(self, batch, targets):
        loss = self.net.criterion_(*self.net.module_(batch), targets)
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

    def run(self, n_steps, seconds=time.thread_time):
        """Return the seconds of a step, after two that do not count."""
        batches = iter(self.batches)
        for _ in range(2):
            self.step(batches)
        if isinstance(self.group, ThreadGroup):
            self.group.reset()
        start = seconds()
        for _ in range(n_steps):
            self.step(batches)
        return (seconds() - start) / n_steps


def simulated(data, size, batch_size, n_steps):
    """Return a row of results for threads that stand for processes."""
    threads, times = Threads(size), [0.0] * size
    trainers = [Trainer(ThreadGroup(r, threads), data, batch_size) for r in range(size)]

    def work(rank):
        trainer = trainers[rank]
        # what threads copy in memory goes over the network
        times[rank] = trainer.run(n_steps) - trainer.group.seconds / n_steps

    workers = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    states = [trainer.net.module_.state_dict() for trainer in trainers]
    for state in states[1:]:
        assert all(torch.equal(state[k], v) for k, v in states[0].items())
    group = trainers[0].group
    return {
        "processes": size,
        "users per batch": batch_size,
        "cpu_ms": max(times) * 1e3,
        "mb": group.n_bytes / n_steps / 1e6,
        "exchanges": group.n_exchanges / n_steps,
    }


def with_networks(rows):
    """Return a table of rows, with what a step takes in each network."""
    table = pd.DataFrame(rows)
    table.loc[table["processes"] == 1, "exchanges"] = 0
    for name, (bandwidth, latency) in NETWORKS.items():
        network = table["mb"] * 1e6 / bandwidth + table["exchanges"] * latency
        seconds = table["cpu_ms"] / 1e3 + network
        table[f"ms, {name}"] = seconds * 1e3
        users = table["users per batch"] / seconds
        table[f"times one, {name}"] = users / users.iloc[0]
    return table


def measured(quick, n_steps, batch_size, store=None, rank=None):
    """Return seconds and processor time of a step of this process; rank None: alone."""
    torch.set_num_threads(1)
    if rank is not None:
        distributed.init_process_group(
            "gloo", init_method=f"file://{store}", rank=rank, world_size=2
        )
    trainer = Trainer(current_group(), made_data(quick), batch_size)
    started = time.process_time()
    seconds = trainer.run(n_steps, time.perf_counter)
    used = time.process_time() - started
    return {"wall_ms": seconds * 1e3, "cpu_ms": used / (n_steps + 2) * 1e3}


def measured_pair(quick, n_steps, batch_size):
    """Return what `measured` does, alone and in two forked processes."""
    rows = []
    for size in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            children = []
            for rank in range(size):
                child = os.fork()
                if not child:
                    place = (f"{folder}/store", rank) if size > 1 else ()
                    row = measured(quick, n_steps, batch_size, *place)
                    pd.Series(row).to_json(f"{folder}/{rank}.json")
                    os._exit(0)
                children.append(child)
            codes = [os.waitpid(child, 0)[1] for child in children]
            assert codes == [0] * size, codes
            first = pd.read_json(f"{folder}/0.json", typ="series")
        rows.append({"processes": size, "users per batch": batch_size} | dict(first))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulated", default="1,2,4,8,16", help="numbers of them")
    parser.add_argument("--quick", action="store_true", help="small, not written")
    arguments = parser.parse_args()
    sizes = [1, 2] if arguments.quick else map(int, arguments.simulated.split(","))
    where, n_steps = machine(), 3 if arguments.quick else 10
    # first: a process with threads of torch may not be forked
    pair = measured_pair(arguments.quick, n_steps, USERS_PER_BATCH)
    print(pd.DataFrame(pair).to_string(float_format="{:,.2f}".format))
    torch.set_num_threads(1)
    data, kept, grown = made_data(arguments.quick), [], []
    for size in sizes:
        kept.append(simulated(data, size, USERS_PER_BATCH, n_steps))
        grown.append(simulated(data, size, size * USERS_PER_BATCH // 4, n_steps))
    for title, rows in {"one batch for all": kept, "a batch for each": grown}.items():
        table = with_networks(rows)
        print(title)
        print(table.to_string(index=False, float_format="{:,.2f}".format))
        pair += [{"batch": title} | row for row in table.to_dict("records")]
    if not arguments.quick:
        write_results("distributed", [row | where for row in pair])


if __name__ == "__main__":
    main()
