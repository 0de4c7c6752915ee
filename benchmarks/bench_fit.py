"""What does fit cost compared with a torch loop and with the matrix products only?

Call ``python benchmarks/bench_fit.py [--data DIR] [--quick] [--float32] [--curves
NAMES]``: events are made, about as many as in ML-100K; with DIR (a folder that holds
``ml-1m``) an epoch of ML-1M follows. The plain loop goes over the same batches with the
same towers, loss, optimizer and schedule, but without skorch and callbacks; the matrix
products are the three of a step (scores, and both gradients), in the type that training
multiplies in: with ``--float32`` in float32, as on a CPU without bfloat16 products. All
are measured by turns on the same threads, and the best turn counts, since load only
ever adds. Imports are timed in fresh processes.

With ``--curves NAMES`` (data sets of bench_quality.py, by comma) only curves are made:
quality on validation data against seconds, for fits of 2 to 60 epochs, for the defaults
and shorter vectors, next to item-kNN, EASE and iALS with the settings that the search
of bench_quality.py found. Wall and CPU seconds are both written.

Failure: a step takes more than 1.25 times that of the plain loop, or more than 3 (in
float32) or 10 times its matrix products; `import sktwotower` takes over 0.3 s more than
`import sklearn`; the metrics load torch.
"""

import argparse
import subprocess
import sys

import pandas as pd
import torch
from _common import PAIR, clock, load, machine, write_results
from _curves import curve, printed
from _quick import assert_claims, parse_options

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.towers._auto import values_of_kind
from sktwotower.towers._recipe import BATCH_PARAMETERS
from sktwotower.towers.batches._batches import TrainingSet, UserBatches
from sktwotower.towers.histories import history_of, recipe_with_history
from sktwotower.towers.losses._losses import SampledSoftmaxLoss
from sktwotower.towers.operators._autograd import padded, product_dtype
from sktwotower.towers.training._optimizer import RowwiseAdam

MAX_RATIO_TO_PLAIN_LOOP = 1.25
MAX_RATIO_TO_MATRIX_PRODUCTS = 3.0  # in float32
MAX_RATIO_TO_FAST_PRODUCTS = 10.0  # in bfloat16: products are several times as fast
MAX_RATIO_TO_IMPORT = 0.3
IMPORTS = [
    "import sklearn",
    "import sktwotower",
    "import sklearn, pandas, scipy.sparse",
    "import sktwotower.metrics",
    "import torch, skorch, pandas, sklearn.compose",
    "from sktwotower import TwoTowerRecommender",
]


class PlainLoop:
    """The training of a fitted estimator once more, in a loop of one's own."""

    def __init__(self, estimator):
        fitted = estimator._fitted
        users, items = fitted.users.rows[:-1], fitted.items.rows[:-1]
        chosen = fitted.seen[:-1]
        recipe = recipe_with_history(estimator)._replace(
            history=history_of(estimator.history_kind_)
        )
        part = fitted.model.first  # without the filter, if any
        recipe = values_of_kind(recipe)._replace(embedding_dim=part.width)
        data = TrainingSet(users, items, positives=chosen, history=chosen)
        self.batches = UserBatches(
            data,
            recipe.batch_size,
            estimator.candidate_sampling_,
            BATCH_PARAMETERS["n_negatives"].default,
            history_dropout=recipe.dropout,
            shuffle=True,
        )
        self.module = type(part).build(recipe, users.shape[1], items.shape[1])
        dtype = (recipe.net_params or {}).get("criterion__matmul_dtype")
        self.loss = SampledSoftmaxLoss(estimator.temperature_, matmul_dtype=dtype)
        tables = [self.module.get_submodule(name).weight for name in self.module.tables]
        others = [
            p for p in self.module.parameters() if all(p is not t for t in tables)
        ]
        self.optimizer = RowwiseAdam(
            [{"params": [*tables], "rowwise": True}, {"params": [*others]}],
            lr=estimator.lr,
            weight_decay=estimator.weight_decay,
        )
        self.epochs, self.batch_size = recipe.max_epochs, recipe.batch_size

    def run(self):
        """Train for all epochs; return the seconds of each part."""
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=self.optimizer.defaults["lr"],
            total_steps=self.epochs * len(self.batches) + 1,
            pct_start=0.1,
        )
        seconds = dict.fromkeys(["batch", "forward", "backward", "optimizer"], 0.0)
        self.module.train()
        for _ in range(self.epochs):
            batches = iter(self.batches)
            for _ in range(len(self.batches)):
                self._step(batches, schedule, seconds)
        return seconds

    def _step(self, batches, schedule, seconds):
        with clock() as watch:
            batch, targets = next(batches)
        seconds["batch"] += watch.seconds
        with clock() as watch:
            self.optimizer.zero_grad()
            loss = self.loss(*self.module(batch), targets)
        seconds["forward"] += watch.seconds
        with clock() as watch:
            loss.backward()
        seconds["backward"] += watch.seconds
        with clock() as watch:
            self.optimizer.step()
            schedule.step()
        seconds["optimizer"] += watch.seconds


def matrix_products(estimator, size, dtype=None):
    """Return the seconds that the products of a whole training take on their own."""
    n_users = len(estimator.user_ids_)
    vectors = torch.from_numpy(estimator.item_embeddings_)
    dtype = product_dtype(vectors, size * vectors.numel(), dtype)
    items = padded(vectors, dtype)
    with clock() as watch:
        for _ in range(len(estimator.history_)):
            for start in range(0, n_users, size):
                rows = min(size, n_users - start)
                users = torch.ones(rows, items.shape[1], dtype=dtype)
                slope = torch.mm(users, items.T)
                torch.mm(slope, items)
                torch.mm(slope.T, users)
    return watch.seconds


def bench_steps(data, X, max_epochs, rounds, dtype=None):
    """Measure ours, the loop and the products by turns; return a row of results."""
    net_params = {"criterion__matmul_dtype": dtype}
    estimator = TwoTowerRecommender(
        max_epochs=max_epochs, net_params=net_params, random_state=0
    ).fit(X)
    loop = PlainLoop(estimator)
    steps = max_epochs * len(loop.batches)
    ours, fits, plain, products = [], [], [], []
    for _ in range(rounds):
        with clock() as watch:
            estimator.fit(X)
        fits.append(watch.seconds)
        ours.append(sum(epoch["dur"] for epoch in estimator.history_))
        plain.append(loop.run())
        products.append(matrix_products(estimator, loop.batch_size, dtype))
    parts = min(plain, key=lambda each: sum(each.values()))
    loop_seconds = sum(parts.values())
    row = {
        "data": data,
        "positives": int(estimator._fitted.seen.nnz),
        "steps": steps,
        "positives_per_s": estimator._fitted.seen.nnz * max_epochs / min(fits),
        "step_ms": min(ours) / steps * 1e3,
        "plain_loop_ms": loop_seconds / steps * 1e3,
        "matrix_products_ms": min(products) / steps * 1e3,
        "ours / plain loop": min(ours) / loop_seconds,
        "ours / matrix products": min(ours) / min(products),
    }
    return row | {f"{k}_ms of loop": v / steps * 1e3 for k, v in parts.items()}


def seconds_to_import(statement, rounds):
    """Return the seconds of an import in a fresh process, the best of some rounds."""
    code = (
        f"import time; start = time.perf_counter(); {statement}; "
        "print(time.perf_counter() - start)"
    )
    run = [sys.executable, "-c", code]
    return min(float(subprocess.check_output(run)) for _ in range(rounds))


def metrics_load_torch():
    """Return whether torch is loaded once the metrics are."""
    code = "import sys, sktwotower.metrics; print('torch' in sys.modules)"
    return subprocess.check_output([sys.executable, "-c", code], text=True) != "False\n"


def failures(rows, imports, float32):
    """Name what costs more than it may."""
    most_of_products = MAX_RATIO_TO_FAST_PRODUCTS
    if float32:
        most_of_products = MAX_RATIO_TO_MATRIX_PRODUCTS
    found = [
        f"{row['data']}: a step takes {row[ratio]:.2f} times the {ratio[7:]}"
        for row in rows
        for ratio, most in [
            ("ours / plain loop", MAX_RATIO_TO_PLAIN_LOOP),
            ("ours / matrix products", most_of_products),
        ]
        if row[ratio] > most
    ]
    more = imports["import sktwotower"] - imports["import sklearn"]
    if more > MAX_RATIO_TO_IMPORT:
        found.append(f"import sktwotower takes {more:.2f} s more than sklearn")
    if metrics_load_torch():
        found.append("import sktwotower.metrics loads torch")
    return found


def write_curves(names, folder, where):
    """Print the curve of each data set, and write all of them."""
    for name in names:
        rows = curve(name, folder)
        print(f"{name}, on {where['threads']} threads\n{printed(rows)}", flush=True)
        write_results(f"curve_{name}", [row | where for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds ml-1m")
    parser.add_argument("--float32", action="store_true", help="no bfloat16")
    parser.add_argument("--curves", help="names of data sets, by comma")
    arguments = parse_options(parser)
    where, rounds = machine(), 1 if arguments.quick else 5
    if arguments.curves:
        return write_curves(arguments.curves.split(","), arguments.data, where)
    dtype, kind = (torch.float32, "float32_") if arguments.float32 else (None, "")
    made = make_interactions(943, 1682, interactions_per_user=106, random_state=0)
    rows = [bench_steps("made, as ML-100K", made.data[PAIR], 5, rounds, dtype)]
    if arguments.data:
        train = load("ml-1m", arguments.data).train
        rows.append(bench_steps("ml-1m", train, 1, min(rounds, 2), dtype))
    table = pd.DataFrame(rows).set_index("data").T
    threads = f"threads_{torch.get_num_threads()}"
    print(f"{threads}, load before {where['load_before']} on {where['cores']} cores")
    print(table.to_string(float_format="{:,.2f}".format))
    imports = {each: seconds_to_import(each, rounds) for each in IMPORTS}
    for statement, seconds in imports.items():
        print(f"{seconds:6.2f} s  {statement}")
    write_results(
        f"fit_{kind}{threads}", [row | where for row in rows] + [imports | where]
    )
    wrong = failures(rows, imports, arguments.float32)
    assert_claims(wrong)


if __name__ == "__main__":
    main()
