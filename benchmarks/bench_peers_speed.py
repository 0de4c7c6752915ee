"""How many positives per second does training take, compared with other packages?

Call ``python benchmarks/bench_peers_speed.py --data DIR [--only ml-1m] [--width 64]
[--python PATH]``. All train towers of one width, with ids only, on the same events and
threads, each in a process of its own: ours with its defaults, RecTools' DSSM (an epoch
shows one positive of each user), TensorFlow Recommenders' basic retrieval model as in
its tutorial (two embeddings, in-batch softmax, Adagrad), without metrics in training.
The others run with several batch sizes and the fastest counts: the scores of TFRS grow
with the square of it, and its tutorial's is 8192. Whole epochs of training are timed,
the first left out, for it traces graphs and fills caches; reading and encoding the
events is not counted. A package that is not installed is left out, unless an
interpreter given by ``--python`` has it.

Failure: ours trains fewer than 50 times the positives per second of RecTools' DSSM, or
fewer than 5 times those of TensorFlow Recommenders.
"""

import argparse
import os
import sys

import numpy as np
import pandas as pd
from _common import clock, load, machine, write_results
from _processes import call, interpreter_with, peak_memory
from _quick import assert_claims, parse_options

# name -> function, the packages it needs, batch sizes, the least of ours / it
SYSTEMS = {
    "TwoTowerRecommender": ("ours", (), [128], 0),
    "RecTools DSSM": ("rectools", ("rectools", "pytorch_lightning"), [128, 1024], 50),
    "TFRS retrieval": (
        "tfrs",
        ("tensorflow", "tensorflow_recommenders"),
        [128, 512, 2048, 8192],
        5,
    ),
}


def ours(data, folder, width, epochs, batch_size):
    """Train ours; return a row of results."""
    from sktwotower import TwoTowerRecommender

    train = load(data, folder).train
    model = TwoTowerRecommender(
        embedding_dim=width,
        max_epochs=1 + epochs,
        batch_size=batch_size,
        random_state=0,
    )
    with peak_memory() as memory:
        model.fit(train)
    seconds = sum(epoch["dur"] for epoch in model.history_[1:])
    n_positives = len(train.drop_duplicates())
    return _row(n_positives, epochs, seconds, memory)


def rectools(data, folder, width, epochs, batch_size):
    """Train RecTools' DSSM; return a row of results."""
    from _peers import RecToolsDSSM, rectools_dataset
    from pytorch_lightning import Callback

    seconds = []

    class Watch(Callback):
        def on_train_epoch_start(self, *_):
            self.clock = clock()
            self.watch = self.clock.__enter__()

        def on_train_epoch_end(self, *_):
            self.clock.__exit__(None, None, None)
            seconds.append(self.watch.seconds)

    dataset = rectools_dataset(_matrix(load(data, folder).train))
    model = RecToolsDSSM(width, max_epochs=1 + epochs, batch_size=batch_size)
    with peak_memory() as memory:
        model.train(dataset, [Watch()])
    n_users = len(dataset.user_id_map.external_ids)
    return _row(n_users, epochs, sum(seconds[1:]), memory)


def tfrs(data, folder, width, epochs, batch_size):
    """Train the retrieval model of TFRS' tutorial; return a row of results."""
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import tensorflow as tf

    threads = int(os.environ.get("OMP_NUM_THREADS", 0))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    train = load(data, folder).train.astype(str)
    events = tf.data.Dataset.from_tensor_slices(dict(train))
    batches = events.shuffle(100_000).batch(batch_size).cache()
    model = _retrieval_model(train, width)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.1))
    with peak_memory() as memory:
        model.fit(batches, epochs=1, verbose=0)
        with clock() as watch:
            model.fit(batches, epochs=epochs, verbose=0)
    return _row(len(train), epochs, watch.seconds, memory)


def _retrieval_model(train, width):
    import tensorflow as tf
    import tensorflow_recommenders

    def tower(ids):
        return tf.keras.Sequential(
            [
                tf.keras.layers.StringLookup(vocabulary=np.unique(ids)),
                tf.keras.layers.Embedding(len(np.unique(ids)) + 1, width),
            ]
        )

    class Retrieval(tensorflow_recommenders.Model):
        def __init__(self):
            super().__init__()
            self.user, self.item = tower(train["user"]), tower(train["item"])
            self.task = tensorflow_recommenders.tasks.Retrieval()

        def compute_loss(self, features, training=False):
            vectors = self.user(features["user"]), self.item(features["item"])
            return self.task(*vectors, compute_metrics=False)

    return Retrieval()


def _matrix(events):
    from sktwotower import PopularityRecommender

    return PopularityRecommender().fit(events)._fitted.seen[:-1]


def _row(n_positives, epochs, seconds, memory):
    return {
        "positives": n_positives,
        "epoch_s": seconds / epochs,
        "positives_per_s": n_positives * epochs / seconds,
        "training_mb": memory.more_mb,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds the data set")
    parser.add_argument("--only", default="ml-1m", help="ml-1m or ml-100k")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3, help="after the first")
    parser.add_argument("--python", action="append", default=[], help="interpreter")
    own, where, rows = parse_options(parser, needs_data=True), machine(), []
    sizes = {"width": own.width, "epochs": own.epochs}
    for name, (function, needs, batch_sizes, _) in SYSTEMS.items():
        python = interpreter_with(needs, (sys.executable, *own.python))
        if python is None:
            print(f"{name}: left out, {' or '.join(needs)} not installed")
            continue
        for batch_size in batch_sizes:
            row = call(
                f"bench_peers_speed:{function}",
                python,
                data=own.only,
                folder=own.data,
                batch_size=batch_size,
                **sizes,
            )
            row = {"data": own.only, "system": name, "batch_size": batch_size} | row
            rows.append(row)
            row["ours / it"] = rows[0]["positives_per_s"] / row["positives_per_s"]
    print(pd.DataFrame(rows).to_string(float_format="{:,.2f}".format))
    write_results(f"peers_speed_{own.only}", [row | where for row in rows])
    wrong = failures(rows)
    assert_claims(wrong)


def failures(rows):
    """Return the packages compared with which ours is not fast enough."""
    return [
        f"ours trains {row['ours / it']:.1f} times the positives per second of "
        f"{row['system']} with batches of {row['batch_size']}, less than {least}"
        for row in rows
        if row["ours / it"] < (least := SYSTEMS[row["system"]][-1])
    ]


if __name__ == "__main__":
    main()
