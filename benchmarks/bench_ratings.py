"""What should be done with low ratings: dropped, weighed down, or excluded?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_ratings.py --data DIR [--seeds 3]``
with DIR holding the folders ``ml-100k`` and ``ml-latest-small-2018``. The last fifth of
each user's ratings by time is held out; those of at least 4 are to be found. Films that
the user rated lower before are known to be disliked: how many are recommended again?

Failure: leaving disliked films out of the ranking, or giving them little weight, does
not find more than a fit on the high ratings only, beyond its interval.
"""

import argparse

import numpy as np
import pandas as pd
from _common import PAIR, _read, clock, machine, write_results
from _per_user import gain
from _quick import assert_claims, parse_options

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import ndcg_at_k, recall_at_k
from sktwotower.preprocessing import ratings_to_events

K, HIGH = 10, 4
DATA = ["ml-100k", "ml-latest-small-2018"]
ONLY_HIGH = "fit(X[ratings >= 4])"
EXCLUDED = "the same, recommend(exclude=X[ratings < 4])"
LITTLE = "ratings_to_events(X, ratings)"


def load(folder, name):
    """Return ratings before, and those of the last fifth of each user."""
    events = _read(folder, name, value="rating", timestamp="time")
    events = events.sort_values(["user", "time"], kind="stable")
    place = events.groupby("user").cumcount() + 1
    size = events.groupby("user")["item"].transform("size")
    late = place > 0.8 * size
    return events[~late], events[late & (events["rating"] >= HIGH)]


def fits(train):
    """Return the events, outcomes and excluded pairs of each way, by name."""
    rating = train["rating"].to_numpy(dtype=float)
    high, pairs = rating >= HIGH, train[PAIR]
    return {
        ONLY_HIGH: (pairs[high], None, None),
        EXCLUDED: (pairs[high], None, pairs[~high]),
        "all ratings alike": (pairs, None, None),
        "y = ratings / 5": (pairs, rating / 5, None),
        "y = ratings >= 4": (pairs, high, None),
        LITTLE: (*ratings_to_events(pairs, rating, HIGH), None),
    }


def ranked(model, users, exclude):
    """Return the first ten items of each user, a list of lists."""
    table = model.recommend(users, K, exclude=exclude)
    lists = table.groupby("user")["item"].agg(list)
    return [lists.get(user, []) for user in users]


def measure(train, test, seed):
    """Yield the row and the NDCG of each user, for each way."""
    wanted = test.groupby("user")["item"].agg(list)
    users = wanted.index.to_numpy()
    low = train[train["rating"] < HIGH]
    disliked = low.groupby("user")["item"].agg(set)
    for name, (X, y, exclude) in fits(train).items():
        with clock() as watch:
            model = TwoTowerRecommender(random_state=seed).fit(X, y)
        found = ranked(model, users, exclude)
        again = [
            len(disliked.get(user, set()).intersection(items)) / K
            for user, items in zip(users, found, strict=True)
        ]
        ndcg = ndcg_at_k(list(wanted), found, K, per_user=True)
        row = {
            "system": name,
            "seed": seed,
            "ndcg@10": float(ndcg.mean()),
            "recall@10": recall_at_k(list(wanted), found, K),
            "disliked": float(np.mean(again)),
            "fit_s": watch.seconds,
        }
        print(row, flush=True)
        yield row, pd.Series(ndcg, users)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parse_options(parser, needs_data=True)
    where, rows, wrong = machine(), [], []
    for name in DATA:
        train, test = load(arguments.data, name)
        values = {}
        for seed in range(arguments.seeds):
            for row, ndcg in measure(train, test, seed):
                rows.append({"data": name} | row)
                values.setdefault(row["system"], []).append(ndcg)
        users = {system: sum(each) / len(each) for system, each in values.items()}
        for system, mean in users.items():
            row = {"data": name, "system": system} | gain(mean, users[ONLY_HIGH])
            print(row)
            rows.append(row)
            lost = row["gained"] < row["half_interval"]
            if lost and system in (EXCLUDED, LITTLE):
                wrong.append(f"{name}: {system} is not better than {ONLY_HIGH}")
    fits = pd.DataFrame(rows).dropna(subset="seed")
    table = fits.groupby(["data", "system"], sort=False)
    figures = ["ndcg@10", "recall@10", "disliked", "fit_s"]
    print(table[figures].mean().round(4).to_string())
    write_results("ratings", [row | where for row in rows])
    assert_claims(wrong)


if __name__ == "__main__":
    main()
