"""How well are lists of the next hour, and of the next day, ordered?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_lists.py [--data DIR] [--only NAMES]
[--seeds 3]`` with DIR holding the folder ``kuairand-pure-std``; ``--only news`` needs
no DIR. All systems are fitted on the days before, and judged on what comes later:

- ``news``: made news (`_news.py`), of which items live for hours; the last day is
  judged. Each seed makes other news.
- ``kuairand``: the short videos that were shown from May on, as in
  ``bench_two_stage.py``; what each user was shown is one list. ``auc of days``: what
  a user was shown on a day is one list, so that scores of one day are compared only.

Each system is asked in the order of time, and learns what came of it after each day
("by day"), after each hour ("by hour"), or never ("fitted once"). "counts in 10 min":
it only counts, by ``update_counts``, every ten minutes. What counts is the
mean over lists of the area under the ROC curve and of NDCG@10; intervals are of the
mean over seeds, by lists. ``learn_s``: CPU seconds of all that is learnt after fit;
``call_ms``: those of one call, in milliseconds, the median.

Failure: on news two stages are not above the click rate, or by hour or with counts in
10 min not above that with a half-life, beyond the interval; on KuaiRand the AUC of two
stages, fitted once, is less than .015 above that of the click rate, or they are not
above it by day.
"""

import argparse

import numpy as np
import pandas as pd
from _common import clock, machine, read_results, replaced, write_results
from _news import make_news
from _quick import assert_claims, is_quick, parse_options
from bench_two_stage import PAIR_COLUMNS, kuairand

from sktwotower import ClickRateRecommender, PopularityRecommender, TwoStageRecommender
from sktwotower.metrics import ndcg_by_list, roc_auc_by_list

FIGURES = {"auc": roc_auc_by_list, "ndcg@10": ndcg_by_list}
EVERY = {"fitted once": None, "by day": "D", "by hour": "h"}
COUNTS = "counts in 10 min"
EVERY[COUNTS] = "10min"
RATE, STAGES = "click rate", "two stages"
# Columns of the videos' rows: of who sees them, and of what they are.
OF_USERS = ["user_active_degree", "fans_user_num_range"]
OF_ITEMS = ["video_duration", "video_type", "upload_type", "music_type"]


def news(seed, folder):
    """Return what was shown before and on the last day, and the systems."""
    shown = make_news(seed, lists_per_day=100 if is_quick() else 2_000)
    last = shown["time"] >= shown["time"].max().floor("D")
    columns = PAIR_COLUMNS | {"time": "time"}
    hours = pd.Timedelta(hours=6)
    stages = TwoStageRecommender(
        PopularityRecommender(**PAIR_COLUMNS),
        time="time",
        lists="list",
        row_features=["group", "topic"],
        random_state=seed,
    )
    systems = {
        RATE: ClickRateRecommender(**columns),
        f"{RATE}, half-life 6 h": ClickRateRecommender(**columns, half_life=hours),
        STAGES: stages,
    }
    return shown[~last], shown[last], "list", systems


def kuairand_lists(seed, folder):
    """Return the same of short videos; each seed draws the ranker's users anew."""
    data = kuairand(folder, lists=True)
    before = data.X.assign(y=np.asarray(data.y, float))
    later = data.shown.sort_values("time", ignore_index=True)
    of_users = data.towers["users"][["user", *OF_USERS]]
    of_items = data.towers["items"][["item", *OF_ITEMS]]
    before, later = (
        part.merge(of_users, "left").merge(of_items, "left") for part in (before, later)
    )
    stages = TwoStageRecommender(
        PopularityRecommender(**PAIR_COLUMNS),
        time="time",
        row_features=[*OF_USERS, *OF_ITEMS],
        random_state=seed,
        **data.stages,
    )
    rate = ClickRateRecommender(**PAIR_COLUMNS, time="time")
    return before, later, "user", {RATE: rate, STAGES: stages}


DATA = {"news": news, "kuairand": kuairand_lists}


def scores_in_time(model, later, how):
    """Return the scores of rows that are asked in time, and CPU seconds of each call.

    ``how``: a key of ``EVERY``.
    """
    if EVERY[how] is None:
        return model.predict(later.drop(columns="y")), [0.0]
    learn = model.update_counts if how == COUNTS else model.partial_fit
    scores, seconds = [], []
    for _, part in later.groupby(later["time"].dt.floor(EVERY[how])):
        X = part.drop(columns="y")
        scores.append(model.predict(X))
        with clock() as watch:
            learn(X, part["y"])
        seconds.append(watch.cpu_seconds)
    return np.concatenate(scores), seconds


def measure(model, parts, lists, how):
    """Return a row of results, and the figures of each list, a DataFrame."""
    before, later = parts
    with clock() as watch:
        model.fit(before.drop(columns="y"), before["y"])
    row = {"fit_s": watch.cpu_seconds}
    if isinstance(model, TwoStageRecommender):
        row["order"] = model.list_order_
    scores, seconds = scores_in_time(model, later, how)
    row["learn_s"], row["call_ms"] = sum(seconds), 1000 * float(np.median(seconds))
    days = later[lists].astype(str) + later["time"].dt.strftime(" %d")
    row["auc of days"] = roc_auc_by_list(later["y"], scores, days)
    figures = pd.DataFrame(
        {
            name: figure(later["y"], scores, later[lists], per_list=True)
            for name, figure in FIGURES.items()
        }
    )
    return row | figures.mean().to_dict(), figures


def systems_of(name, seed, folder):
    """Yield name, key of ``EVERY``, the column of lists, the events and the model."""
    before, later, lists, models = DATA[name](seed, folder)
    for system, model in models.items():
        for how in EVERY:
            yield f"{system}, {how}", how, lists, (before, later), model


def run(name, own):
    """Return the rows of a data set, each with the interval of the mean over seeds."""
    rows, figures = [], {}
    for seed in range(own.seeds):
        for system, how, lists, parts, model in systems_of(name, seed, own.data):
            where = machine()
            row, found = measure(model, parts, lists, how)
            row = {"data": name, "system": system, "seed": seed} | row | where
            print({k: row[k] for k in row if k not in where}, flush=True)
            rows.append(row)
            figures.setdefault(system, []).append(found)
    for row in rows:
        found = figures[row["system"]]
        # lists of made news differ by seed, those of videos do not
        joined = pd.concat(found) if name == "news" else sum(found) / len(found)
        for each in FIGURES:
            half = 1.96 * joined[each].sem()
            row[f"{each} interval"] = [joined[each].mean() + s * half for s in (-1, 1)]
    return rows, figures


def failures(name, figures):
    """Return the claims that figures of lists contradict."""
    found = {s: pd.concat(each)["auc"] for s, each in figures.items()}

    def lead(how, rate=RATE):
        """Return the lower end of the interval of the lead over a click rate."""
        leads = found[f"{STAGES}, {how}"] - found[f"{rate}, {how}"]
        return leads.mean() - 1.96 * leads.sem()

    if name == "news":
        aged = f"{RATE}, half-life 6 h"
        leads = {"fitted once": lead("fitted once")}
        leads |= {how: lead(how, aged) for how in ("by hour", COUNTS)}
        return [
            f"news: two stages {how} do not lead" for how in leads if leads[how] < 0
        ]
    wrong = [] if lead("by day") > 0 else ["kuairand: two stages by day do not lead"]
    leads = found[f"{STAGES}, fitted once"] - found[f"{RATE}, fitted once"]
    if leads.mean() < 0.015:
        wrong.append("kuairand: two stages are hardly above the click rate")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with kuairand-pure-std")
    parser.add_argument("--only", default=",".join(DATA), help="names, by comma")
    parser.add_argument("--seeds", type=int, default=3)
    own = parse_options(parser)
    wrong = []
    for name in own.only.split(","):
        rows, figures = run(name, own)
        write_results("lists", replaced(read_results("lists"), rows))
        wrong += failures(name, figures)
    assert_claims(wrong)


if __name__ == "__main__":
    main()
