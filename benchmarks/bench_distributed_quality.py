"""Are several processes as good as one, and at what cost of processor time?

Call ``python benchmarks/bench_distributed_quality.py --data DIR [--only gowalla]
[--processes 1,2,4]``. Each fit has its default settings, and each of SEEDS. The
processor time is that of all processes together, from reading to the complete model in
each. Since several processes cost more, they are fitted once more with as many epochs
as make that time equal to that of one process.

Failure: the mean NDCG@20 of several processes is more than 1 % below that of one at
default settings, or below it at equal processor time.
"""

import argparse
import os
import pickle
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from _common import load, machine, write_results
from _quick import assert_claims, parse_options
from torch import distributed

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import ndcg_at_k, recall_at_k

SEEDS = 0, 1, 2
K = 20
DATA = ["gowalla", "ml-1m"]
MAX_LOSS = 0.01


def fitted(data, folder, rank, size, store, params):
    """Return seconds of this process and, of the first one, figures on test."""
    torch.set_num_threads(1)
    if size > 1:
        place = f"file://{store}"
        distributed.init_process_group(
            "gloo", init_method=place, rank=rank, world_size=size
        )
    events = load(data, folder)
    start = time.process_time()
    model = TwoTowerRecommender(**params).fit(events.train)
    row = {"cpu_s": time.process_time() - start}
    if rank == 0:
        test = events.test[events.test.iloc[:, 1].isin(model.item_ids_)]
        ranking = model.rank_held_out(test, n_neighbors=K)
        pair = ranking.truth, ranking.indices
        row |= {"ndcg@20": ndcg_at_k(*pair, K), "recall@20": recall_at_k(*pair, K)}
        row["epochs"] = len(model.history_)
    if size > 1:
        distributed.destroy_process_group()
    return row


def measured(data, folder, size, seed, **params):
    """Return a row of results of a fit by forked processes."""
    params = {"random_state": seed} | params
    with tempfile.TemporaryDirectory() as place:
        children = []
        for rank in range(size):
            child = os.fork()
            if not child:
                row = fitted(data, folder, rank, size, f"{place}/store", params)
                Path(f"{place}/{rank}").write_bytes(pickle.dumps(row))
                os._exit(0)
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        assert codes == [0] * size, codes
        rows = [pickle.loads(Path(f"{place}/{r}").read_bytes()) for r in range(size)]
    cpu_s = sum(row["cpu_s"] for row in rows)
    row = {"data": data, "processes": size, "seed": seed} | rows[0] | {"cpu_s": cpu_s}
    print(row, flush=True)
    return row


def with_equal_time(data, folder, size, seed, one, usual):
    """Return a row of a fit that takes about the processor time of one process.

    ``one`` and ``usual``: rows of one process and of several, at default settings.
    """
    brief = measured(data, folder, size, seed, max_epochs=1)
    n_epochs = 1
    if usual["epochs"] > 1:
        of_epoch = (usual["cpu_s"] - brief["cpu_s"]) / (usual["epochs"] - 1)
        n_epochs = 1 + (one["cpu_s"] - brief["cpu_s"]) / of_epoch
    row = measured(data, folder, size, seed, max_epochs=max(1, int(n_epochs)))
    return row | {"time": "that of one process"}


def of_data(data, folder, sizes):
    """Return rows of all fits of a data set."""
    rows = []
    for seed in SEEDS:
        one = measured(data, folder, 1, seed) | {"time": "default"}
        rows.append(one)
        for size in sizes:
            usual = measured(data, folder, size, seed) | {"time": "default"}
            equal = with_equal_time(data, folder, size, seed, one, usual)
            rows += [usual, equal]
    for row in rows:
        first = next(
            each
            for each in rows
            if each["seed"] == row["seed"] and each["processes"] == 1
        )
        for name in ("ndcg@20", "cpu_s"):
            row[f"{name} of one"] = row[name] / first[name]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--only", choices=DATA, help="one data set, not written")
    parser.add_argument("--processes", default="2,4", help="numbers of them")
    arguments = parse_options(parser, needs_data=True)
    sizes = list(map(int, arguments.processes.split(",")))
    names = [arguments.only] if arguments.only else DATA
    where, rows = machine(), []
    for name in names:
        rows += of_data(name, arguments.data, sizes)
    table = pd.DataFrame(rows)
    keys = ["data", "processes", "time"]
    means = table.groupby(keys, sort=False)[
        ["ndcg@20", "recall@20", "cpu_s", "epochs", "ndcg@20 of one", "cpu_s of one"]
    ].mean()
    print(means.to_string(float_format="{:,.4f}".format))
    if not arguments.only:
        write_results("distributed_quality", [row | where for row in rows])
    least = {"default": 1 - MAX_LOSS}
    assert_claims(
        [
            f"{case}: NDCG@20 is {row['ndcg@20 of one']:.3f} of that of one process"
            for case, row in means.iterrows()
            if row["ndcg@20 of one"] < least.get(case[-1], 1)
        ]
    )


if __name__ == "__main__":
    main()
