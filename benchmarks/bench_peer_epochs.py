"""What does one epoch of the networks cost that were not searched on large data?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_peer_epochs.py --data DIR [--only
NAMES] [--models NAMES] [--python PATH]``. Mult-VAE (`irspack`) has its second epoch
timed, as its first compiles. XSimGCL (`skrecsys`) has a fit of one epoch. Both have the
settings that a search of bench_quality.py begins with. ``search_h`` is what 20 trials
of ``EPOCHS`` epochs would take. A package that is not installed is left out, unless an
interpreter given by ``--python`` has it.

Failure: none, as nothing is compared.
"""

import argparse
import sys

import numpy as np
import pandas as pd
from _common import clock, load, machine, read_results, replaced, write_results
from _processes import call, interpreter_with
from _quick import parse_options

NAME, TRIALS, EPOCHS = "peer_epochs", 20, 50
# name -> function, the packages it needs, data sets
SYSTEMS = {
    "Mult-VAE": ("mult_vae", ("irspack",), "gowalla"),
    "XSimGCL": ("xsimgcl", ("skrecsys",), "lastfm,ml-1m"),
}


def _seen(data, folder):
    """Return the matrix (n_users, n_items) of the training events."""
    from sktwotower import PopularityRecommender

    return PopularityRecommender().fit(load(data, folder).train)._fitted.seen[:-1]


def mult_vae(data, folder):
    """Return the processor seconds of the second epoch of Mult-VAE."""
    from _deep_peers import MultVAE
    from irspack.recommenders.multvae import MultVAERecommender

    params = MultVAE().get_params()
    model = MultVAERecommender(_seen(data, folder), **params)
    model.start_learning()
    model.run_epoch()
    with clock() as watch:
        model.run_epoch()
    return watch.cpu_seconds


def xsimgcl(data, folder):
    """Return the processor seconds of a fit of XSimGCL of one epoch."""
    from _deep_peers import XSimGCL
    from skrecsys.nn import XSimGCL as Model

    params = XSimGCL(max_iter=1).get_params()
    model = Model(**params, n_jobs=1, random_state=0, early_stopping=False)
    events = np.column_stack(_seen(data, folder).nonzero())
    with clock() as watch:
        model.fit(events)
    return watch.cpu_seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds the data sets")
    parser.add_argument("--only", help="names of data sets, by comma")
    parser.add_argument("--models", default=",".join(SYSTEMS))
    parser.add_argument("--python", action="append", default=[], help="interpreter")
    own, where = parse_options(parser, needs_data=True), machine()
    for name in own.models.split(","):
        function, needs, usual = SYSTEMS[name]
        python = interpreter_with(needs, (sys.executable, *own.python))
        if python is None:
            print(f"{name}: left out, {' or '.join(needs)} not installed")
            continue
        for data in (own.only or usual).split(","):
            call_of = f"bench_peer_epochs:{function}"
            seconds = call(call_of, python, data=data, folder=own.data)
            row = {"data": data, "system": f"epoch of {name}", "epoch_cpu_s": seconds}
            row["search_h"] = seconds * TRIALS * EPOCHS / 3600
            write_results(NAME, replaced(read_results(NAME), [row | where]))
    shown = ["data", "system", "epoch_cpu_s", "search_h"]
    print(pd.DataFrame(read_results(NAME), columns=shown).to_string())


if __name__ == "__main__":
    main()
