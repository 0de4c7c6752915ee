"""What does it gain to learn each night, and what does it cost?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_stream.py --data DIR [--only NAMES]
[--models NAMES] [--strategies NAMES] [--seeds 3]``; ``--only online-retail`` needs no
DIR. Models answer for the next slice of events, and then learn it
(`prequential_validate`):

- ``online-retail``: first purchases; fitted on the first 80 % by time, then by week.
  Items come with their descriptions, in a side table;
- ``kuairand``: what was shown and watched for long, fitted on the days before 2 May
  (China), then by day. The history before 24 April has no times and is left out;
- ``ml-100k``: films with five stars, as published: the first fifth is fitted, the next
  tenth is learnt without being counted, then each event is to be found among the first
  ten, by a model that knows all events before it. Weights are updated after each 500
  events; until then the events reach the model as history.

"refit by age" is a refit whose events weigh half after each half-life, which is chosen
on slices before those that count. All else is default.

Rows of the same data and system replace those of earlier runs.

Failure: if measured, `partial_fit` on Online Retail finds less than .145 (recall@20, of
at most 20), or less than the refits; less than .13 on ML-100K.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from _common import EVENT, clock, machine, read_results, replaced, shop, write_results
from _quick import assert_claims, parse_options

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import make_retrieval_scorer
from sktwotower.model_selection import prequential_validate
from sktwotower.towers import PooledHistory

OURS, IN_TIME, UNFILTERED = "ours", "ours(time)", "ours(second_share=0)"
MODELS = {
    OURS: {},
    IN_TIME: {"time": "time"},
    UNFILTERED: {"history": PooledHistory(second_share=0)},
}
STRATEGIES = ["frozen", "history", "partial_fit", "refit", "popularity"]
BY_AGE = "refit by age"
SCORING = {
    "recall@20": "recall@20",
    # of users with more than 20 purchases in a week, 20 can be found
    "truncated recall@20": make_retrieval_scorer("recall@20", truncated=True),
    "ndcg@10": "ndcg@10",
}
HALF_LIVES = [10, 20, 40, 80]  # days
TRAINED, CHECKED = 0.2, 0.3  # shares of the events, as published
EVENTS_PER_UPDATE = 500


def online_retail():
    """Return first purchases by time, and the descriptions of the products."""
    purchases = shop()
    events = purchases.data.rename(columns={"customer": "user", "product": "item"})
    events = events.drop_duplicates(EVENT[:2])[EVENT]
    events = events.sort_values("time", kind="stable")
    return events, purchases.products.rename(columns={"product": "item"})


def kuairand(folder):
    """Return what was shown by the time in China, and what was watched for long."""
    shown = pd.read_parquet(Path(folder) / "kuairand-pure-std" / "interactions.parquet")
    utc = pd.to_datetime(shown["time_ms"], unit="ms")
    shown = shown.assign(time=utc + pd.Timedelta(hours=8))
    shown = shown.rename(columns={"user_id": "user", "item_id": "item"})
    return shown[EVENT], shown["long_view"].astype(float)


def events_of(data, folder):
    """Return X, y, parameters of side tables, and the slices of a data set."""
    if data == "online-retail":
        X, items = online_retail()
        return X, None, {"items": items}, {"freq": "7D", "train_size": 0.8}
    X, y = kuairand(folder)
    early = int((X["time"] < pd.Timestamp("2022-05-02")).sum())
    return X, y, {}, {"freq": "D", "train_size": early}


def five_stars(folder):
    """Return the events with five stars, by time."""
    ratings = pd.read_parquet(Path(folder) / "ml-100k" / "interactions.parquet")
    best = ratings[ratings["value"] == 5].assign(
        time=pd.to_datetime(ratings["timestamp"], unit="s")
    )
    best = best.rename(columns={"user_id": "user", "item_id": "item"})[EVENT]
    return best.sort_values("time", kind="stable", ignore_index=True)


def weights_by_age(times, half_life):
    """Return weights that halve with each half-life; refits use their proportions."""
    age = (times.max() - times) / pd.Timedelta(days=1)
    return (0.5 ** (age / half_life)).to_numpy()


def chosen_half_life(model, X):
    """Return the half-life that is best on three slices at the end of X."""
    found = {}
    for half_life in HALF_LIVES:
        results = prequential_validate(
            model,
            X,
            time="time",
            n_slices=3,
            train_size=0.75,
            scoring="recall@20",
            strategies=["refit"],
            sample_weight=weights_by_age(X["time"], half_life),
        )
        found[half_life] = results["test_score"].mean()
    print(f"recall@20 by half-life, on earlier slices: {found}", flush=True)
    return max(found, key=found.get)


def summary(results, data, model, seed):
    """Return a row for each strategy: means over the slices after the first one.

    In the first slice, all that are fitted are the same model.
    """
    later = results[results["slice"] > 0]
    rows = []
    for strategy, own in later.groupby("strategy", sort=False):
        system = strategy if strategy == "popularity" else f"{model}, {strategy}"
        row = {"data": data, "system": system, "seed": seed}
        row |= {name[5:]: own[name].mean() for name in own if name[:5] == "test_"}
        row["by slice"] = own["test_recall@20"].round(4).tolist()
        rows.append(row | {"fit_s": own["fit_time"].mean(), "slices": len(own)})
    return rows


def rows_of_seed(data, name, model, X, y, strategies, half_life, **slices):
    """Return the rows of one seed; ``half_life``: that of "refit by age", or None."""
    validate = {"time": "time", "scoring": SCORING} | slices
    rows = []
    if strategies := [s for s in strategies if s != BY_AGE]:
        results = prequential_validate(model, X, y, strategies=strategies, **validate)
        rows += summary(results, data, name, model.random_state)
    if half_life is not None:
        weights = weights_by_age(X["time"], half_life)
        results = prequential_validate(
            model, X, y, strategies=["refit"], sample_weight=weights, **validate
        )
        results = results.replace("refit", BY_AGE)
        aged = summary(results, data, name, model.random_state)
        rows += [row | {"half_life": half_life} for row in aged]
    return rows


def stream_rows(data, name, params, X, y, arguments, **slices):
    """Return the rows of a model in slices, for each seed."""
    rows, half_life, strategies = [], None, arguments.strategies
    if name != arguments.models[0]:
        strategies = [s for s in strategies if s != "popularity"]  # it is the same
    if BY_AGE in strategies and y is None:
        model = TwoTowerRecommender(**params, random_state=0)
        half_life = chosen_half_life(model, X[: int(0.8 * len(X))])
    for seed in range(arguments.seeds):
        model = TwoTowerRecommender(**params, random_state=seed)
        rows += rows_of_seed(data, name, model, X, y, strategies, half_life, **slices)
        print(pd.DataFrame(rows).drop(columns="by slice").to_string(), flush=True)
        strategies = [s for s in strategies if s != "popularity"]  # it has no seed
    return rows


def popularity_as_it_grows(X, start):
    """Return the share of events from ``start`` on that are among the ten most popular.

    The user's items so far are left out.
    """
    users, items = (pd.factorize(X[side])[0] for side in EVENT[:2])
    counts, seen = np.zeros(items.max() + 1), {}
    hits = []
    for row, (user, item) in enumerate(zip(users, items, strict=True)):
        own = seen.setdefault(user, [])
        if row >= start:
            scores = counts.copy()
            scores[own] = -1
            hits.append(item in np.argsort(-scores, kind="stable")[:10])
        counts[item] += 1
        own.append(item)
    return float(np.mean(hits))


def hits_in_block(model, block):
    """Return which events of a block are among the first ten, bool (n_events,).

    The events before, within the block too, are the history of the user.
    """
    place = block.groupby("user").cumcount()
    hits = pd.Series(False, block.index)
    for nth in range(place.max() + 1):
        now = block[place == nth]
        before = block[(place < nth) & block["user"].isin(now["user"])]
        found = model.recommend(
            now["user"].to_numpy(), n_neighbors=10, history=before if nth else None
        )
        found = pd.MultiIndex.from_frame(found[EVENT[:2]])
        hits[now.index] = pd.MultiIndex.from_frame(now[EVENT[:2]]).isin(found)
    return hits.to_numpy()


def event_by_event(model, X, learns=True):
    """Return the share of events that are found, and the seconds of an update."""
    hits, seconds = [], []
    for start in range(0, len(X), EVENTS_PER_UPDATE):
        block = X[start : start + EVENTS_PER_UPDATE]
        hits.append(hits_in_block(model, block))
        if learns:
            with clock() as watch:
                model.partial_fit(block)
            seconds.append(watch.seconds)
    return float(np.concatenate(hits).mean()), float(np.mean(seconds or [0]))


def five_star_rows(arguments):
    """Return the rows of ML-100K, event by event."""
    X = five_stars(arguments.data)
    found = popularity_as_it_grows(X, int(CHECKED * len(X)))
    rows = [{"data": "ml-100k", "system": "popularity as it grows", "recall@10": found}]
    for name in arguments.models:
        for seed in range(arguments.seeds):
            params = MODELS[name] | {"random_state": seed}
            for way in ("partial_fit", "history"):
                rows.append(five_star_row(name, params, X, way))
                print(rows[-1], flush=True)
    return rows


def five_star_row(name, params, X, way):
    """Return the row of a model that learns, or of one that only gets histories."""
    trained, checked = (int(share * len(X)) for share in (TRAINED, CHECKED))
    model = TwoTowerRecommender(**params).fit(X[:trained])
    model.partial_fit(X[trained:checked])
    recall, seconds = event_by_event(model, X[checked:], way == "partial_fit")
    return {
        "data": "ml-100k",
        "system": f"{name}, {way}",
        "seed": params["random_state"],
        "recall@10": recall,
        "fit_s": seconds,
    }


def failures(rows):
    """Return what is not as it should be, of what was measured."""
    table = pd.DataFrame(rows)
    wrong = []
    shop = table[table["data"] == "online-retail"]
    if f"{OURS}, partial_fit" in set(shop["system"]):
        means = shop.groupby("system")["truncated recall@20"].mean()
        ours = means[f"{OURS}, partial_fit"]
        refits = means[means.index.str.contains("refit")]
        if ours < max([0.145, *refits]):
            wrong.append(f"online-retail: partial_fit {ours:.4f}, refits {refits}")
    films = table[table["data"] == "ml-100k"]
    if len(films):
        best = films.groupby("system")["recall@10"].mean().max()
        if best < 0.13:
            wrong.append(f"ml-100k: {best:.4f}")
    return wrong


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    known = {
        "only": ["online-retail", "kuairand", "ml-100k"],
        "models": list(MODELS),
        "strategies": [*STRATEGIES, BY_AGE],
    }
    for name, values in known.items():
        parser.add_argument(f"--{name}", default=",".join(values), help="by comma")
    parser.add_argument("--seeds", type=int, default=3)
    own = parse_options(parser)
    for name, values in known.items():
        setattr(own, name, getattr(own, name).split(","))
        if unknown := set(getattr(own, name)) - set(values):
            parser.error(f"--{name} knows {values}, not {sorted(unknown)}")
    if own.quick:
        own.models = own.models[:2]
    if own.data is None and own.only != ["online-retail"]:
        parser.error("--data is needed for all but --only online-retail")
    return own


def measure(data, arguments):
    """Return the rows of a data set."""
    if data == "ml-100k":
        return five_star_rows(arguments)
    rows = []
    for name in arguments.models:
        X, y, items, slices = events_of(data, arguments.data)
        params = MODELS[name] | items
        rows += stream_rows(data, name, params, X, y, arguments, **slices)
    return rows


def main():
    arguments, measured = parse(), []
    for data in arguments.only:
        where = machine()
        rows = [row | where for row in measure(data, arguments)]
        measured += rows
        write_results("stream", replaced(read_results("stream"), rows))
    means = pd.DataFrame(measured).groupby(["data", "system"], sort=False)
    figures = means.mean(numeric_only=True).dropna(axis=1, how="all")
    print(figures.drop(columns=["seed", "cores", "load_before"]).to_string())
    wrong = failures(measured)
    assert_claims(wrong)


if __name__ == "__main__":
    main()
