"""How much time do halving and the cache of transformers save in a search?

Call ``python benchmarks/bench_search.py --data DIR [--only PARTS] [--draws 3]``. Parts:

``halving`` (ML-100K): 27 candidates drawn from ``search_space`` by NDCG@10 on the
validation part that bench_quality.py tunes on; all of them with 27 epochs, then
scikit-learn's halving over epochs (3, 9, 27). The choice of each is fitted on all of
train and judged on test. ``memory`` (CiteULike-t,
text and tags): a grid of four learning rates on two folds, 3 epochs, with and without
``memory``. ``threads``: how many threads torch has in each of two workers.

Failure: halving trains no fewer epochs than all candidates, or chooses a candidate that
is worse by more than TOLERANCE on validation, by the mean over draws, than the best of
all; a result changes by ``memory``; two workers have more threads than there are cores.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _common import PAIR, clock, load, machine, write_results
from _quick import assert_claims, is_quick, parse_options, results_folder
from joblib import Parallel, delayed
from sklearn.decomposition import TruncatedSVD
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    ParameterSampler,
    PredefinedSplit,
)
from sklearn.pipeline import make_pipeline

from sktwotower import TowerVectorizer, TwoTowerRecommender
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import search_space
from sktwotower.neighbors._threads import threads

N_CANDIDATES, EPOCHS, TOLERANCE = 27, 27, 0.002
QUICK = 9  # candidates, and epochs, with --quick
NDCG = make_retrieval_scorer("ndcg", k=10)


def n_candidates():
    return QUICK if is_quick() else N_CANDIDATES


def n_epochs():
    return QUICK if is_quick() else EPOCHS


def halving(own):
    """Search both ways among the same candidates, once per draw of them."""
    events = load("ml-100k", own.data)
    X = pd.concat(events.tuning, ignore_index=True)
    held = np.arange(len(X)) >= len(events.tuning[0])
    cv = PredefinedSplit(np.where(held, 0, -1))
    space = search_space(6, drop="max_epochs")
    return [
        {"draw": draw} | row
        for draw in range(own.draws)
        for row in _searched(events, X, cv, _drawn(space, draw))
    ]


def _drawn(space, seed):
    """Draw candidates, the defaults the first, each as a grid of one."""
    drawn = ParameterSampler(space, n_candidates() - 1, random_state=seed)
    return [{}] + [{name: [value] for name, value in each.items()} for each in drawn]


def _searched(events, X, cv, candidates):
    model = TwoTowerRecommender(max_epochs=n_epochs(), random_state=0)
    common = {"cv": cv, "scoring": NDCG, "refit": False}
    budget = {"resource": "max_epochs", "min_resources": 3, "max_resources": n_epochs()}
    searches = {
        "all candidates, 27 epochs": GridSearchCV(model, candidates, **common),
        "halving": HalvingGridSearchCV(
            model, candidates, **budget, **common, error_score="raise"
        ),
    }
    full = None
    for name, search in searches.items():
        with clock() as watch:
            search.fit(X)
        if full is None:
            full = search.cv_results_
            keys = map(_key, full["params"])
            scores = dict(zip(keys, full["mean_test_score"], strict=True))
        # a search without refit has no best candidate where refit is a callable
        at = _best(search.cv_results_)
        params = search.cv_results_["params"][at]
        chosen = TwoTowerRecommender(
            random_state=0, **params | {"max_epochs": n_epochs()}
        )
        validation = scores[_key(params)]
        yield {
            "search": name,
            "epochs": _epochs(search),
            "seconds": watch.seconds,
            "validation": validation,
            "best of all": max(scores.values()),
            "rank": 1 + sum(score > validation for score in scores.values()),
            "test": NDCG(chosen.fit(events.train), events.test),
        }


def _key(params):
    return str(sorted((k, v) for k, v in params.items() if k != "max_epochs"))


def _best(results):
    last = results.get("iter", np.zeros(len(results["params"])))
    scores = np.where(last == last.max(), results["mean_test_score"], -np.inf)
    return int(np.argmax(scores))


def _epochs(search):
    """Return how many epochs a search has trained in all."""
    rungs = getattr(search, "n_resources_", [n_epochs()])
    numbers = getattr(search, "n_candidates_", [n_candidates()])
    return int(np.dot(rungs, numbers))


def memory(own):
    """Time a grid over lr, with and without a cache of the transformed tables."""
    folder = Path(own.data) / "citeulike-t"
    events = pd.read_parquet(folder / "interactions.parquet")
    X = events.rename(columns={"user_id": "user", "item_id": "item"})[PAIR]
    items = pd.read_parquet(folder / "items.parquet")[["item_id", "text", "tags"]]
    items = items.rename(columns={"item_id": "item"})
    words = TowerVectorizer(kinds={"item": "drop"})
    transformers = {
        "TowerVectorizer": None,
        "the same, TruncatedSVD": make_pipeline(
            words, TruncatedSVD(128, random_state=0)
        ),
    }
    for name, transformer in transformers.items():
        row = {"transformer": name}
        for cached in (False, True):
            with tempfile.TemporaryDirectory() as cache:
                model = TwoTowerRecommender(
                    items=items,
                    item_transformer=transformer,
                    memory=cache if cached else None,
                    candidate_sampling="mixed",
                    embedding_dim=64,
                    max_epochs=3,
                    random_state=0,
                )
                grid = {"lr": [0.003, 0.01, 0.02, 0.03]}
                cv = KFold(2, shuffle=True, random_state=0)
                search = GridSearchCV(model, grid, cv=cv, refit=False)
                with clock() as watch:
                    search.fit(X)
            end = "with memory" if cached else "without"
            row[f"seconds {end}"] = watch.seconds
            row[f"recall {end}"] = search.cv_results_["mean_test_score"].tolist()
        yield row


def worker_threads(own):
    """Return how many threads torch has in two workers at a time."""
    asked = [None, -1]
    found = Parallel(n_jobs=2)(delayed(_threads)(n_jobs) for n_jobs in asked)
    for n_jobs, number in zip(asked, found, strict=True):
        yield {"n_jobs of the estimator": n_jobs, "threads of a worker": number}


def _threads(n_jobs):
    with threads(n_jobs):
        return torch.get_num_threads()


def failures(part, rows):
    """Name what contradicts what the module promises."""
    table = pd.DataFrame(rows)
    if part == "threads":
        most = max(1, os.cpu_count() // 2)
        return ["too many threads"] * bool((table["threads of a worker"] > most).any())
    if part == "memory":
        same = table["recall with memory"] == table["recall without"]
        return [] if same.all() else ["memory changes results"]
    mean = table.groupby("search", sort=False).mean(numeric_only=True)
    halved, full = mean.loc["halving"], mean.loc["all candidates, 27 epochs"]
    wrong = []
    if halved["epochs"] >= full["epochs"]:
        wrong.append("halving saves no epochs")
    if halved["validation"] < halved["best of all"] - TOLERANCE:
        wrong.append("halving chooses a worse candidate")
    return wrong


PARTS = {"halving": halving, "memory": memory, "threads": worker_threads}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, by comma")
    parser.add_argument("--draws", type=int, default=3)
    own = parse_options(parser)
    own.draws = 1 if own.quick else own.draws
    wrong = []
    for part in own.only.split(","):
        before = machine()
        rows = [row | before for row in PARTS[part](own)]
        shown = pd.DataFrame(rows).drop(columns=list(before))
        print(f"\n{part}\n{shown.to_string(index=False)}", flush=True)
        if part == "halving":
            mean = shown.groupby("search", sort=False).mean(numeric_only=True)
            print(mean.drop(columns="draw").to_string())
        write_results(f"search_{part}", rows)
        wrong += failures(part, rows)
    assert_claims(wrong)
    print(f"\nrows in {results_folder()}")


if __name__ == "__main__":
    main()
