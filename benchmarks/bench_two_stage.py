"""Does a ranker order the candidates of a retriever better, and is it never worse?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_two_stage.py --data DIR [--only NAMES]
[--retrievers NAMES] [--seeds 3]`` with DIR holding one folder of parquet files per data
set; ``--only online-retail`` needs no DIR. Over the whole catalog, without the items
that the user has in train:

- ``*-last``: each user's last event is to be found, the others are train;
- ``ml-latest-fifth``: the last fifth of each user's events, by time;
- ``online-retail`` and ``tweets-time``: the last fifth of all events, for users and
  items known from train;
- ``kuairand``: short videos that are watched for long, from May on. All that was shown
  is train (y = 0 too), with side tables for the towers. The tab of the app and the hour
  are columns of the request; they are missing until 24 April, when only the time of
  each user's last event is known: earlier ones count as one second before the next.
- ``kuairand-lists``: the same, where what each user was shown is one list (``lists``)
  and the ranker learns from the last tenth. What counts is the AUC within the lists
  of test, next to the click rate's.

`TwoStageRecommender` has its defaults, and gets the times. Its own ``retriever_``,
which is fitted on all of train, is the retrieval it is compared with, user by user;
intervals are of the mean over seeds. Behind the retriever "shuffled", which is EASE,
the ranker learns from shuffled labels. The rows of these data sets and retrievers
replace those of earlier runs, and so do each user's figures (``results/per_user``), of
both stages and of retrieval alone. By them, two stages behind one retriever are
compared with another retriever. The retriever "several" is a list of three sources: two
towers, EASE and the best sellers of the last week before the latest event (of all time
where times are no dates). What it is compared with is the best one of these sources
by itself.

Failure: over the whole catalog, NDCG@10, or recall@20, is lower than retrieval's,
beyond the 95 % interval; behind several sources they are lower than those of the best
one; the AUC within lists is not above that of the click rate; or shuffled labels get a
weight.
"""

import argparse
import time
from pathlib import Path
from types import SimpleNamespace

import bench_impressions
import numpy as np
import pandas as pd
from _common import (
    EVENT,
    ORDERED,
    clock,
    load_ordered,
    machine,
    read_results,
    write_results,
)
from _per_user import keep, named
from _quick import assert_claims, parse_options
from pandas.api.types import is_datetime64_any_dtype
from sklearn.ensemble import HistGradientBoostingClassifier

from sktwotower import (
    ClickRateRecommender,
    EASERecommender,
    PopularityRecommender,
    TwoStageRecommender,
    TwoTowerRecommender,
    metrics,
)
from sktwotower.model_selection import LastNSplit

FIFTH = "ml-latest-fifth"
PAIR_COLUMNS = {"user_id": "user", "item_id": "item"}
LISTS = "kuairand-lists"
DATA = [
    FIFTH,
    "ml-100k-last",
    "online-retail",
    "ml-1m-last",
    "tweets-time",
    "kuairand",
    LISTS,
]
KS = 1, 10, 20
BY_THE_CLOCK = "fit_s", "retriever_fit_s", "request_ms", "retriever_request_ms"
JUDGED = "ndcg@10", "recall@20"
N_REQUESTS = 200


class Shuffled(HistGradientBoostingClassifier):
    """Learns from shuffled labels."""

    def fit(self, X, y):
        return super().fit(X, np.random.default_rng(0).permutation(y))


SEVERAL = "several"
WEEK = pd.Timedelta("7D")
RETRIEVERS = {
    "TwoTowerRecommender": lambda seed, tables: (
        TwoTowerRecommender(random_state=seed, **tables),
        None,
    ),
    "EASE": lambda seed, tables: (EASERecommender(**PAIR_COLUMNS), None),
    "popularity": lambda seed, tables: (PopularityRecommender(**PAIR_COLUMNS), None),
    "shuffled": lambda seed, tables: (
        EASERecommender(**PAIR_COLUMNS),
        Shuffled(random_state=seed),
    ),
    SEVERAL: lambda seed, tables: (
        [
            ("towers", TwoTowerRecommender(random_state=seed, **tables)),
            ("ease", EASERecommender(**PAIR_COLUMNS)),
            (
                "best_sellers",
                PopularityRecommender(**PAIR_COLUMNS, window=WEEK, time="time"),
            ),
        ],
        None,
    ),
}


def load(name, folder):
    """Return the events to fit on, their outcomes or None, and those to find.

    Also the parameters of both stages and of the towers, and lists that were shown, if
    there are any.
    """
    plain = {"stages": {}, "towers": PAIR_COLUMNS, "shown": None}
    if name in ("kuairand", LISTS):
        return kuairand(folder, name == LISTS)
    if name != FIFTH:
        events = load_ordered(name, folder)
        parts = events.train[EVENT], events.train.get("y"), events.test
    else:
        events = ORDERED["ml-latest-last"][0](folder)[EVENT]
        split = LastNSplit(0.2, user_id="user", time="time", drop_unseen_items=True)
        train, test = next(split.split(events))
        parts = events.iloc[train], None, events.iloc[test]
    return SimpleNamespace(**dict(zip(("X", "y", "test"), parts, strict=True)), **plain)


def kuairand(folder, lists):
    """Return the same of what was shown, with the tab and the hour of each request.

    ``lists``: whether the ranker learns from what was shown, too.
    """
    data = bench_impressions.load(folder)
    folder = Path(folder) / "kuairand-pure-std"
    history = pd.read_parquet(folder / "train_history.parquet")
    shown = pd.read_parquet(folder / "interactions.parquet")
    steps = history.groupby("user_id")["pos"].transform("max") - history["pos"]
    last = pd.to_datetime(history["last_time_ms"], unit="ms")
    history["time"] = last - pd.to_timedelta(steps, unit="s")
    shown["time"] = pd.to_datetime(shown["time_ms"], unit="ms")
    shown["hour"] = shown["time"].dt.hour + shown["time"].dt.minute / 60
    before = shown[shown["split"] == "val"]
    train = pd.concat([history, before], ignore_index=True)
    train = train.rename(columns={"user_id": "user", "item_id": "item"})
    columns = [*EVENT, "tab", "hour"]
    test = shown.loc[data.test.index, ["time", "tab", "hour"]]
    return SimpleNamespace(
        X=train[columns],
        y=data.train["y"],
        test=data.to_find,
        stages={"context": ["tab", "hour"]}
        | ({"lists": "user", "later_size": 0.1} if lists else {}),
        towers=PAIR_COLUMNS
        | bench_impressions.PARAMS
        | {"users": data.users, "items": data.items},
        shown=data.test.join(test)[[*columns, "y"]] if lists else None,
    )


def figures_of_lists(model, events):
    """Return the AUC of each user's list, a DataFrame, of a model and of baselines."""
    rate = ClickRateRecommender(**PAIR_COLUMNS, time="time").fit(events.X, events.y)
    shown = events.shown.drop(columns="y")
    scores = {
        "auc": model.predict(shown),
        "retrieval auc": model.retriever_.predict(shown),
        "click rate auc": rate.predict(shown),
    }
    parts = events.shown["y"], events.shown["user"]
    return pd.DataFrame(
        {
            name: metrics.roc_auc_by_list(parts[0], each, parts[1], per_list=True)
            for name, each in scores.items()
        }
    )


def timed(retriever):
    """Return a retriever that notes the seconds of each fit, and the list of these."""
    seconds, kind = [], type(retriever)

    class Timed(kind):
        def fit(self, X, y=None, sample_weight=None):
            with clock() as watch:
                super().fit(X, y, sample_weight)
            seconds.append(watch.seconds)
            return self

    Timed.__name__ = kind.__name__
    return Timed(**retriever.get_params(deep=False)), seconds


def figures_of(model, test):
    """Return each user's figures, a DataFrame, of a model on what is to be found."""
    ranking = model.rank_held_out(test, n_neighbors=max(KS))
    parts = ranking.truth, ranking.indices
    figures = {f"ndcg@{k}": metrics.ndcg_at_k(*parts, k, per_user=True) for k in KS} | {
        f"recall@{k}": metrics.recall_at_k(*parts, k, per_user=True) for k in KS[1:]
    }
    return pd.DataFrame(figures)


def request_ms(model, users):
    """Return the median time of a request of one user, in milliseconds."""
    times = []
    for user in users:
        start = time.perf_counter()
        model.recommend([user])
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


def gain_later(model):
    """Return the gain of the weight that was taken, in a later time, or None."""
    gains = model.blend_gains_later_
    if gains is None:
        return None
    return float(gains.set_index("weight")["gain"][model.blend_])


def gain_in_validation(model):
    """Return the largest gain for other users, or None if no ranker was trained."""
    if model.blend_gains_ is None:
        return None
    return float(model.blend_gains_["gain"].max())


def measure(name, seed, events):
    """Return a row of results and each user's figures, of both stages and of one."""
    retriever, ranker = RETRIEVERS[name](seed, events.towers)
    seconds = [None]
    if name == SEVERAL:
        if not is_datetime64_any_dtype(events.X["time"]):  # then there are no weeks
            retriever[-1] = "best_sellers", PopularityRecommender(**PAIR_COLUMNS)
    else:
        retriever, seconds = timed(retriever)
    model = TwoStageRecommender(
        retriever, ranker, time="time", random_state=seed, **events.stages
    )
    with clock() as watch:
        model.fit(events.X, events.y)
    test = events.test.reindex(columns=events.X.columns.drop("time"))
    alone, both = (figures_of(m, test) for m in (model.retriever_, model))
    some = pd.unique(test["user"])[:N_REQUESTS]
    row = {
        "retriever": name,
        "seed": seed,
        "blend": model.blend_,
        "cut": model.cut_,
        "candidate_recall": model.candidate_recall_,
        "positive_candidates": model.n_positive_candidates_,
        "gain_in_validation": gain_in_validation(model),
        "gain_later": gain_later(model),
        "fit_s": watch.seconds,
        "fit_cpu_s": watch.cpu_seconds,
        "retriever_fit_s": seconds[0],  # on all of train; the next is before the cut
        "request_ms": request_ms(model, some),
        "retriever_request_ms": request_ms(model.retriever_, some),
        "users": len(both),
    }
    row |= both.mean().to_dict()
    row |= {f"retrieval {name}": value for name, value in alone.mean().items()}
    if name == SEVERAL:
        alone, of_sources = best_of_sources(model, test)
        row |= of_sources
    lists = None
    if events.shown is not None:
        lists = figures_of_lists(model, events)
        row |= lists.mean().to_dict() | {"list_order": model.list_order_}
    print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    return row, alone, both, lists


def best_of_sources(model, test):
    """Return each user's figures of the best source by itself, and a part of a row."""
    figures = {key: figures_of(each, test) for key, each in model.sources_.items()}
    of_sources = {}
    for key, each in figures.items():
        for metric in JUDGED:
            of_sources[f"{key} {metric}"] = each[metric].mean()
    report = model.source_report_.set_index("source")
    for key, line in report.iterrows():
        of_sources |= {f"{key} {figure}": float(line[figure]) for figure in report}
    best = max(figures, key=lambda key: figures[key]["ndcg@10"].mean())
    of_sources["best_source"] = best
    for metric in JUDGED:
        of_sources[f"best source {metric}"] = of_sources[f"{best} {metric}"]
    return figures[best], of_sources


def keep_users(data, name, results):
    """Keep each user's judged figures, means over seeds; by the names of the rows."""
    _, alone, both, _ = zip(*results, strict=True)
    both, alone = (sum(each) / len(each) for each in (both, alone))
    compared = "retrieval"
    if name == SEVERAL:
        compared = "best source"
    both = both.join(alone.add_prefix(f"{compared} "))
    shown = [*JUDGED, *(f"{compared} {figure}" for figure in JUDGED)]
    keep(f"two_stage_{data}", {named(name, figure): both[figure] for figure in shown})


def report(name, results):
    """Print the means over seeds, with intervals; return NDCG@10's upper end."""
    rows, alone, both, lists = zip(*results, strict=True)
    alone, both = (sum(each) / len(each) for each in (alone, both))
    table = pd.DataFrame({"retrieval": alone.mean(), "two stages": both.mean()})
    difference = both - alone
    half = 1.96 * difference.sem()
    table["difference"] = difference.mean()
    table["lower"], table["upper"] = difference.mean() - half, difference.mean() + half
    table["in %"] = 100 * difference.mean() / alone.mean()
    print(f"\n{name}: mean of {len(rows)} seeds, {len(both)} users\n{table.round(4)}")
    if lists[0] is not None:
        lists = (sum(lists) / len(lists)).dropna()
        gain = lists["auc"] - lists["click rate auc"]
        half = 1.96 * gain.sem()
        print(f"within {len(lists)} lists\n{lists.mean().round(4)}")
        print(f"above the click rate: {gain.mean():.4f} +- {half:.4f}")
        table.attrs["above_rate"] = gain.mean() - half
    return table


def intervals(table):
    """Return the 95 % intervals of the gains in a report, which each row keeps."""
    return {
        f"{metric} gain {end}": float(table.loc[metric, end])
        for metric in JUDGED
        for end in ("lower", "upper")
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", default=",".join(DATA), help="names, by comma")
    parser.add_argument("--retrievers", default=",".join(RETRIEVERS))
    parser.add_argument("--seeds", type=int, default=3)
    own = parse_options(parser)
    own.only, own.retrievers = own.only.split(","), own.retrievers.split(",")
    for option, known in (("only", DATA), ("retrievers", RETRIEVERS)):
        if unknown := set(getattr(own, option)) - set(known):
            parser.error(f"--{option} knows {list(known)}, not {sorted(unknown)}")
    if own.data is None and own.only != ["online-retail"]:
        parser.error("--data is needed for all but --only online-retail")
    return own


def without_clock(row):
    """Return a row without what a clock says, if other jobs took all cores."""
    if row["load_before"] <= row["cores"]:
        return row
    return {name: value for name, value in row.items() if name not in BY_THE_CLOCK}


def main():
    arguments, wrong = parse(), []
    for data in arguments.only:
        events = load(data, arguments.data)
        for name in arguments.retrievers:
            print(f"\n{data}, {name}", flush=True)
            where = machine()
            seeds = range(arguments.seeds)
            results = [measure(name, seed, events) for seed in seeds]
            table = report(f"{data}, {name}", results)
            gains = intervals(table)
            rows = [
                without_clock({"data": data} | row | gains | where)
                for row, *_ in results
            ]
            new = {(row["data"], row["retriever"]) for row in rows}
            others = [
                row
                for row in read_results("two_stage")
                if (row["data"], row["retriever"]) not in new
            ]
            write_results("two_stage", others + rows)
            keep_users(data, name, results)
            for metric in JUDGED:
                if table.loc[metric, "upper"] < 0:
                    wrong.append(f"{data}, {name}: {metric} is lower than retrieval's")
            if name != "shuffled" and table.attrs.get("above_rate", 1) <= 0:
                wrong.append(f"{data}, {name}: AUC is not above the click rate's")
            if name == "shuffled" and any(row["blend"] for row in rows):
                wrong.append(f"{data}: shuffled labels got a weight")
    assert_claims(wrong)


if __name__ == "__main__":
    main()
