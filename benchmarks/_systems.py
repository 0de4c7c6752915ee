"""The systems that are compared, their requirements and their search spaces.

Input: the names of a system and of a data set.
Output: the best parameters of a random search; the figures of a fit, (n_users,) each.
"""

import time
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
from _common import clock, load, versions
from _processes import peak_memory
from scipy.stats import loguniform
from sklearn.model_selection import ParameterSampler

from sktwotower import metrics

OURS = "TwoTowerRecommender"
TUNED = "TwoTowerRecommender (tuned)"
K = 20


@dataclass(frozen=True)
class System:
    """Where its class is, where its parameters may lie, and what it asks for."""

    kind: str
    space: dict = field(default_factory=dict)
    needs: tuple = ()
    left_out: dict = field(default_factory=dict)

    def load(self):
        module, name = self.kind.split(":")
        return getattr(import_module(module), name)


# A space is a list in ascending order, or a distribution of scipy, by parameter.
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
    "EASE": System(
        "sktwotower:EASERecommender",
        {"l2": loguniform(3, 10_000)},
        left_out=dict.fromkeys(GOWALLA, "the inverse of 41k x 41k numbers takes 13 GB"),
    ),
    "iALS": System(
        "_peers:IALS",
        {
            "factors": [16, 32, 64, 128, 256, 512],
            "regularization": loguniform(3, 300),
            "alpha": loguniform(1, 60),
            "iterations": [3, 7, 15, 30, 60],
        },
        needs=("implicit",),
    ),
    "GF-CF": System(
        "_peers:GFCF",
        {
            "n_components": [16, 32, 64, 128, 256, 512, 1024],
            "low_pass": loguniform(0.01, 100),
        },
    ),
    "BPR": System(
        "_peers:BPR",
        {
            "factors": [16, 32, 64, 128, 256],
            "learning_rate": loguniform(0.003, 0.3),
            "regularization": loguniform(1e-4, 0.3),
            "iterations": [50, 100, 200, 400],
        },
        needs=("implicit",),
    ),
    "LightFM": System(
        "_peers:LightFM",
        {
            "no_components": [16, 32, 64, 128, 256],
            "learning_rate": loguniform(0.005, 0.2),
            "regularization": loguniform(1e-7, 3e-3),
            "max_sampled": [2, 5, 10, 30, 100],
            "epochs": [10, 20, 40, 80, 160],
        },
        needs=("lightfm",),
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


def random_search(
    kind, space, tuning, trials=20, *, figure="ndcg@10", seconds=np.inf, seed=0
):
    """Return the result of each trial, (quality, parameters), best first.

    The first trial is the kind's defaults, the others are drawn from the space. None
    begins after ``seconds``. A trial that ends in a ``ValueError``, for example because
    the loss is not finite, has quality 0.
    """
    fitted_on, held_out = tuning
    drawn = ParameterSampler(space, trials - 1, random_state=seed) if trials > 1 else []
    found, end = [], time.perf_counter() + seconds
    for params in [{}, *map(_plain, drawn)]:
        if found and time.perf_counter() > end:
            break
        try:
            figures, _ = judge(kind(**params).fit(fitted_on), held_out)
            quality = float(np.mean(figures[figure]))
        except ValueError as error:
            print(f"{kind.__name__}: {params} failed: {error}", flush=True)
            quality = 0.0
        found.append((quality, params))
    return sorted(found, key=lambda trial: -trial[0])


def _plain(params):
    """Turn numpy's numbers into Python's, which JSON can hold."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}


def at_the_edge(space, params):
    """Name the parameters at the end of their list, or in the last 5 % of a range.

    Zero is the end of what a parameter can be, not of the list; "auto" has no place.
    """

    def outer(values, value):
        if value == "auto":
            return False
        if isinstance(values, list):
            return value in (values[0], values[-1]) and value != 0
        return not 0.05 <= values.cdf(value) <= 0.95

    return [name for name, values in space.items() if outer(values, params[name])]


def tune(name, data, folder, figure, trials, seconds):
    """Return the parameters that the search found for a system on a data set."""
    system = SYSTEMS[name]
    kind, events = system.load(), load(data, folder)
    if kind.__name__ == OURS:
        kind = _seeded(kind)
    with clock() as watch:
        found = random_search(
            kind, system.space, events.tuning, trials, figure=figure, seconds=seconds
        )
    quality, params = found[0]
    return {
        "params": params,
        "validation": quality,
        "validation of defaults": next(q for q, params in found if not params),
        "trials": len(found),
        "tuning_s": watch.seconds,
        "at_the_edge": at_the_edge(system.space, kind().get_params() | params),
    }


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
    events, kind = load(data, folder), SYSTEMS[name].load()
    kind(**params).fit(events.train[:500])
    model = kind(**params)
    cpu = time.process_time()
    with peak_memory() as memory, clock() as watch:
        model.fit(events.train)
    cpu = time.process_time() - cpu
    figures, coverage = judge(model, events.test, truncated)
    row = {
        "system": name,
        "params": {k: v for k, v in model.get_params().items() if v is not None},
        "coverage@10": coverage,
        "fit_s": watch.seconds,
        "fit_cpu_s": cpu,
        "fit_mb": memory.more_mb,
        "process_mb": memory.peak_mb,
        "versions of the system": versions(),  # it may have an interpreter of its own
    }
    return row, {metric: list(values) for metric, values in figures.items()}
