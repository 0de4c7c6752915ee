"""The systems that are compared, their requirements and their search spaces.

Input: the names of a system and of a data set.
Output: the best parameters of a search; the figures of a fit, (n_users,) each.
"""

import time
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
from _common import clock, load, versions
from _own_system import is_own
from _own_system import load as load_own
from _processes import peak_memory
from _search import (
    Trial,
    at_the_edge,
    beyond_the_edges,
    cheaper,
    cheapest,
    random_search,
)
from scipy.stats import loguniform

from sktwotower import metrics

OURS = "TwoTowerRecommender"
TUNED = "TwoTowerRecommender (tuned)"
K = 20
MAX_USERS = 10_000  # of a search; a ranking of 41k items takes 2 ms for each user


@dataclass(frozen=True)
class System:
    """Where its class is, where its parameters may lie, and what it asks for."""

    kind: str
    space: dict = field(default_factory=dict)
    needs: tuple = ()
    costs: tuple = ()  # parameters on which its seconds depend
    left_out: dict = field(default_factory=dict)

    def load(self):
        if is_own(self.kind):
            return load_own(self.kind).kind
        module, name = self.kind.split(":")
        return getattr(import_module(module), name)


# A space is that of `_search`; a search goes past its ends where that pays.
OUR_SPACE = {
    "temperature": loguniform(0.05, 0.25),
    "weight_decay": loguniform(1e-3, 8),
    "dropout": [0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
    "lr": loguniform(0.002, 0.02),
    "embedding_dim": [128, 256, 384, 768],
    "max_epochs": [15, 30, 60],
}
GOWALLA = "gowalla", "gowalla-random"
SYSTEMS = {
    "popularity": System("sktwotower:PopularityRecommender"),
    "item-kNN": System(
        "sktwotower:ItemKNNRecommender",
        {
            "n_similar": [10, 20, 50, 100, 200, 400, 800, 1600],
            "shrinkage": [0, 1, 3, 10, 30, 100, 300],
        },
    ),
    "RP3beta": System(
        "sktwotower:RP3betaRecommender",
        {
            "n_similar": [25, 50, 100, 200, 400, 800],
            "alpha": [0.25, 0.35, 0.5, 0.6, 0.75, 0.9, 1.1],
            "beta": [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8],
        },
    ),
    "EASE": System(
        "sktwotower:EASERecommender",
        {"l2": loguniform(3, 10_000)},
        left_out=dict.fromkeys(GOWALLA, "the inverse of 41k x 41k numbers takes 13 GB"),
    ),
    "SLIM": System(
        "_peers:SLIM",
        {
            "alpha": loguniform(1e-4, 1),
            "l1_ratio": loguniform(1e-3, 1),
            "n_neighbors": [25, 50, 100, 200, 400, 800],
        },
        needs=("skrecsys",),
        left_out=dict.fromkeys(GOWALLA, "it holds 41k x 41k numbers, 13 GB"),
    ),
    "iALS": System(
        "_peers:IALS",
        {
            "factors": [8, 16, 32, 64, 128, 256, 512],
            "regularization": loguniform(1, 300),
            "alpha": loguniform(1, 60),
            "iterations": [1, 2, 4, 7, 15, 30, 60],
        },
        needs=("implicit",),
        costs=("factors", "iterations"),
    ),
    "GF-CF": System(
        "sktwotower:GraphFilterRecommender",
        {
            "n_components": [16, 32, 64, 128, 256, 512, 1024],
            "alpha": loguniform(0.01, 100),
        },
    ),
    "GF-CF (defaults)": System("sktwotower:GraphFilterRecommender"),
    "ChebyCF (defaults)": System("sktwotower:ChebyshevFilterRecommender"),
    "BPR": System(
        "_peers:BPR",
        {
            "factors": [16, 32, 64, 128, 256],
            "learning_rate": loguniform(0.003, 0.3),
            "regularization": loguniform(1e-4, 0.3),
            "iterations": [25, 50, 100, 200, 400],
        },
        needs=("implicit",),
    ),
    "LightFM": System(
        "_peers:LightFM",
        {
            "no_components": [16, 32, 64, 128, 256],
            "learning_rate": loguniform(0.005, 0.2),
            "regularization": loguniform(1e-7, 3e-3),
            "max_sampled": [1, 2, 5, 10, 30, 100],
            "epochs": [10, 20, 40, 80, 160],
        },
        needs=("lightfm",),
    ),
    "Mult-VAE": System(
        "_deep_peers:MultVAE",
        {
            "dim_z": [16, 32, 64, 128, 256],
            "enc_hidden_dims": [64, 128, 256, 512],
            "kl_anneal_goal": loguniform(0.02, 1),
            "dropout_p": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
            "learning_rate": loguniform(3e-4, 1e-2),
            "train_epochs": [12, 25, 50, 100],
        },
        needs=("irspack", "haiku", "optax"),
    ),
    "XSimGCL": System(
        "_deep_peers:XSimGCL",
        {
            "n_factors": [32, 64, 128, 256],
            "n_layers": [1, 2, 3],
            "contrastive_weight": loguniform(0.003, 1),
            "temperature": loguniform(0.05, 0.5),
            "eps": loguniform(0.02, 0.6),
            "learning_rate": loguniform(5e-4, 2e-2),
            "max_iter": [10, 20, 40],
        },
        needs=("skrecsys", "torch"),
    ),
    "RecTools DSSM": System(
        "_peers:RecToolsDSSM",
        {
            "n_factors": [32, 64, 128, 256],
            "max_epochs": [10, 30, 100, 300],
            "lr": loguniform(3e-4, 0.03),
            "triplet_loss_margin": loguniform(0.1, 3),
            "weight_decay": loguniform(1e-8, 1e-3),
        },
        needs=("rectools", "pytorch_lightning"),
        left_out=dict.fromkeys(
            GOWALLA, "it makes a dense row of 41k numbers of every item"
        ),
    ),
    OURS: System("sktwotower:TwoTowerRecommender"),
    TUNED: System("sktwotower:TwoTowerRecommender", OUR_SPACE),
}


def system_of(name):
    """Return a system of the tables, or that of a file."""
    if is_own(name):
        return System(name, load_own(name).grid)
    return SYSTEMS[name]


def judge(model, test, truncated=False):
    """Return each user's figures, a list by metric, and the coverage."""
    ranking = model.rank_held_out(test, n_neighbors=K)
    truth, found = ranking.truth, ranking.indices
    users = {"per_user": True}
    figures = {
        "recall@10": metrics.recall_at_k(truth, found, 10, truncated=truncated, **users)
    }
    figures["recall@20"] = metrics.recall_at_k(truth, found, 20, **users)
    for k in (10, 20):
        figures[f"ndcg@{k}"] = metrics.ndcg_at_k(truth, found, k, **users)
    figures["hit_rate@10"] = metrics.hit_rate_at_k(truth, found, 10, **users)
    coverage = metrics.coverage_at_k(found, len(model.item_ids_), 10)
    return figures, coverage


def tune(name, data, folder, figure, trials, seconds, earlier=None):
    """Return the parameters that the search found for a system on a data set.

    ``earlier``: the result of a search, which goes on: to as many trials, and past the
    ends of the space. Its best is tried again, on what the others are judged by.
    """
    system = system_of(name)
    kind, events = system.load(), load(data, folder)
    if kind.__name__ == OURS:
        kind = _seeded(kind)
    fitted_on, held_out = events.tuning
    attempt = _attempts(kind, (fitted_on, _of_some_users(held_out)), figure)
    defaults = kind().get_params()
    before = earlier or {"trials": 0, "at_the_edge": [], "tuning_s": 0}
    with clock() as watch:
        known = [attempt(earlier["params"])] if earlier else []
        how = {"earlier": known, "done": before["trials"], "seconds": seconds}
        found = random_search(attempt, system.space, trials, **how)
        left = at_the_edge(system.space, defaults | found[0].params)
        if before["trials"] + len(found) - len(known) >= trials:  # else not shown
            open_ones = before["at_the_edge"] if found[0] in known else []
            found, left = beyond_the_edges(
                attempt, system.space, found, defaults, open_ones=open_ones
            )
            own = attempt, system.space, found[0], defaults, system.costs
            found = sorted([*found, *cheaper(*own)], key=lambda t: -t.quality)
    quality, params, _ = found[0]
    of_defaults = [trial.quality for trial in found if not trial.params]
    low = cheapest(found) or found[0]
    return {
        "params": params,
        "validation": quality,
        "validation of defaults": (
            of_defaults[0] if of_defaults else earlier["validation of defaults"]
        ),
        "trials": before["trials"] + len(found) - len(known),
        "tuning_s": before["tuning_s"] + watch.seconds,
        "at_the_edge": left,
        "cheapest": low.params,
    }


def _of_some_users(events):
    """Return the events of `MAX_USERS` users at most, drawn at random."""
    users = events["user"].unique()
    if len(users) <= MAX_USERS:
        return events
    drawn = np.random.default_rng(0).choice(users, MAX_USERS, replace=False)
    return events[events["user"].isin(drawn)]


def _attempts(kind, tuning, figure):
    """Return a function that fits with some parameters, and returns a `Trial`.

    One that ends in a ``ValueError``, for example because the loss is not finite, has
    quality 0.
    """
    fitted_on, held_out = tuning

    def attempt(params):
        try:
            with clock() as watch:
                model = kind(**params).fit(fitted_on)
            quality = float(np.mean(judge(model, held_out)[0][figure]))
        except ValueError as error:
            print(f"{kind.__name__}: {params} failed: {error}", flush=True)
            return Trial(0.0, params)
        said = f"{kind.__name__}: {quality:.4f} in {watch.cpu_seconds:.1f} CPU s"
        print(said, params, flush=True)
        return Trial(quality, params, watch.cpu_seconds)

    return attempt


def _seeded(kind):
    """Make repeated searches return the same result."""

    def make(**params):
        return kind(**params, random_state=0)

    make.__name__ = kind.__name__
    return make


def measure(name, data, folder, params, truncated):
    """Fit a system and judge it; return a row of results and each user's figures.

    A fit of few events comes before, so that time and memory are without imports.
    """
    events, kind = load(data, folder), system_of(name).load()
    kind(**params).fit(events.train[:500])
    model = kind(**params)
    cpu = time.process_time()
    with peak_memory() as memory, clock() as watch:
        model.fit(events.train)
    cpu = time.process_time() - cpu
    figures, coverage = judge(model, events.test, truncated)
    params = model.get_params() if hasattr(model, "get_params") else {}
    row = {
        "system": name,
        "params": {k: v for k, v in params.items() if v is not None},
        "coverage@10": coverage,
        "fit_s": watch.seconds,
        "fit_cpu_s": cpu,
        "fit_mb": memory.more_mb,
        "process_mb": memory.peak_mb,
        "versions of the system": versions(),  # it may have an interpreter of its own
    }
    return row, {metric: list(values) for metric, values in figures.items()}
