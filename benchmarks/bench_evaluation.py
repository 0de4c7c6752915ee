"""Does judging a model cost less than training it, and does a search take minutes?

Call ``python benchmarks/bench_evaluation.py --data DIR``. On MovieLens 1M a model with
default parameters ranks the whole catalog for all users of the test events. Five
metrics with their standard errors are computed from that ranking; their time is
compared with the median epoch of the training. Then a report compares the model with
popularity, EASE and item-kNN. On MovieLens 100K a grid search of 8 candidates x 3 folds
(each user's last events) is scored by two metrics, in one process and in two.

Failure: the five metrics take 3 s, or as long as two epochs; a search takes 3 minutes;
two processes return other figures than one.
"""

import argparse

import numpy as np
from _common import PAIR, _read, clock, load, machine, write_results
from _quick import assert_claims, parse_options
from sklearn.model_selection import GridSearchCV

from sktwotower import EASERecommender, ItemKNNRecommender, TwoTowerRecommender
from sktwotower.metrics import make_retrieval_scorer, retrieval_report
from sktwotower.model_selection import LastNSplit

FIVE = ["recall@20", "ndcg@20", "reciprocal_rank@20", "coverage@20", "novelty@20"]
GRID = {"temperature": [0.12, 0.16, 0.2, 0.24], "embedding_dim": [64, 256]}
MAX_SECONDS = 3
MAX_SECONDS_OF_SEARCH = 180
REPEATS = 5


def judging(folder):
    """Return a row of seconds on ML-1M: an epoch, five metrics, a report."""
    events = load("ml-1m", folder)
    model = TwoTowerRecommender(random_state=0).fit(events.train)
    scorer = make_retrieval_scorer(FIVE, standard_error=True)
    seconds = []
    for _ in range(REPEATS):
        with clock() as watch:
            scores = scorer(model, events.test)
        seconds.append(watch.seconds)
    others = [
        kind().fit(events.train) for kind in (EASERecommender, ItemKNNRecommender)
    ]
    with clock() as watch:
        report = retrieval_report(model, events.test, baselines=others)
    print(report)
    return {
        "data": "ml-1m",
        "users": int(report["users"].iloc[0]),
        "items": len(model.item_ids_),
        "metrics_s": float(np.median(seconds)),
        "epoch_s": float(np.median([epoch["dur"] for epoch in model.history_])),
        "report_s": watch.seconds,
    } | scores


def searching(folder, n_jobs):
    """Return a row of the search on ML-100K and its figures by candidate."""
    X = _read(folder, "ml-100k")[[*PAIR, "timestamp"]]
    search = GridSearchCV(
        TwoTowerRecommender(random_state=0),
        GRID,
        scoring=make_retrieval_scorer(["recall@20", "ndcg@10"]),
        refit="ndcg@10",
        cv=LastNSplit(0.1, n_splits=3, time="timestamp"),
        n_jobs=n_jobs,
    )
    with clock() as watch:
        search.fit(X)
    found = search.cv_results_["mean_test_ndcg@10"]
    row = {
        "data": "ml-100k",
        "n_jobs": n_jobs,
        "candidates": len(found),
        "folds": search.n_splits_,
        "search_s": watch.seconds,
        "best": search.best_params_,
        "best ndcg@10": search.best_score_,
        "worst ndcg@10": float(found.min()),
    }
    return row, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the data sets")
    own = parse_options(parser, needs_data=True)
    where = machine()
    rows = [judging(own.data)]
    print(rows[0], flush=True)
    found = []
    for n_jobs in (1, 2):
        row, figures = searching(own.data, n_jobs)
        print(row, flush=True)
        rows.append(row)
        found.append(figures)
    write_results("evaluation", [row | where for row in rows])
    judged, *searches = rows
    claims = {
        f"metrics take less than {MAX_SECONDS} s": judged["metrics_s"] < MAX_SECONDS,
        "metrics take less than two epochs": judged["metrics_s"]
        < 2 * judged["epoch_s"],
        f"a search takes less than {MAX_SECONDS_OF_SEARCH} s": all(
            row["search_s"] < MAX_SECONDS_OF_SEARCH for row in searches
        ),
    }
    assert_claims([claim for claim, holds in claims.items() if not holds])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


if __name__ == "__main__":
    main()
