"""Do side tables cost known users and items anything, and do they help rare ones?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_features.py --data DIR [--only NAMES]
[--seeds 3] [--tuning] [--importance]``. Each set is fitted with side tables (*on*) and
without (*off*), with default settings otherwise and the same seeds. Rows are split at
random 80/20; KuaiRand is split by time, and y = 0 is what was shown and not watched.
Ranked is the whole catalog; a user's figure is the mean of the seeds.

The differences are paired: for all users, for the fifth of users with the fewest events
in train, and for items with under five events in train (by user: the share of those
items among the first 100). ``--tuning`` cuts train once more and judges on that part.
``--importance`` compares `feature_importance` with a fit without the column, instead.

Failure: side tables cost more than the 95 % interval of the difference, in recall@20 or
NDCG@20 of all users or of users with few events; or items with few events gain less
than 10 % although there are 500 such pairs in test; or a column whose importance and
whose refit both are beyond their intervals differ in sign.
"""

import argparse

import numpy as np
import pandas as pd
from _common import PAIR, _read, clock, machine, read_results, replaced, write_results
from _per_user import gain
from _quick import assert_claims, parse_options
from bench_cold_start import K_OF_FEW, cut_rows, judge, table_of
from bench_impressions import WEIGHT
from bench_impressions import load as load_kuairand

from sktwotower import TwoTowerRecommender

FEW, MIN_PAIRS = 5, 500
FIGURES = ["recall@20", "ndcg@20"]
IMPORTANCE_OF = ["ml-100k", "hetrec-lastfm-2k", "amazon-beauty-s3rec"]


def _with_columns(name, **columns):
    """Return a reader of events and side tables with some columns, None for all."""

    def read(folder):
        tables = {}
        for key, wanted in columns.items():
            table = table_of(folder, name, key[:-1])
            tables[key] = table if wanted is None else table[[key[:-1], *wanted]]
        return _read(folder, name)[PAIR], tables

    return read


def _lastfm(folder):
    """Read tags as dicts of counts."""
    events, tables = _with_columns("hetrec-lastfm-2k", items=["tags", "tag_counts"])(
        folder
    )
    items = tables["items"]
    pairs = zip(items["tags"], items.pop("tag_counts"), strict=True)
    tags = [None if t is None else dict(zip(t, n, strict=True)) for t, n in pairs]
    return events, {"items": items.assign(tags=tags)}


FILM = ["title", "genres", "year"]
SETS = {
    "ml-100k": _with_columns("ml-100k", items=FILM, users=None),
    "ml-latest-small-2018": _with_columns("ml-latest-small-2018", items=FILM),
    "hetrec-lastfm-2k": _lastfm,
    "ml-1m": _with_columns("ml-1m", items=FILM, users=None),
    "amazon-beauty-s3rec": _with_columns("amazon-beauty-s3rec", items=["attributes"]),
    "kuairand": None,
}


def load(name, folder, tuning=False):
    """Return train, its y or None, test, and side tables of what is in train."""
    if name == "kuairand":
        data = load_kuairand(folder)
        train, test = data.train, data.to_find
        tables = {"users": data.users, "items": data.items}
        if tuning:
            train, test = cut_rows(train, 0.2, seed=1)
            test = test[test["y"] > 0]
        return train[PAIR], train["y"], test[PAIR], tables
    events, tables = SETS[name](folder)
    train, test = cut_rows(events, 0.2, seed=0)
    if tuning:
        train, test = cut_rows(train, 0.2, seed=1)
    tables = {
        key: table[table[key[:-1]].isin(train[key[:-1]])]
        for key, table in tables.items()
    }
    return train, None, test, tables


def fitted(train, y, seed, **tables):
    """Return a model with default settings, and the seconds of its fit."""
    shown = {} if y is None else {"impression_weight": WEIGHT}
    model = TwoTowerRecommender(random_state=seed, **tables, **shown)
    with clock() as watch:
        model.fit(train, y)
    return model, watch.seconds


def by_user(model, test, few):
    """Return the figures of each user of test, a DataFrame (n_users, 3).

    ``few``: which rows of test are of items with few events; NaN for users without.
    """
    figures, found = judge(model, test)
    users = np.sort(test["user"].unique())
    table = pd.DataFrame(figures, index=users)
    return table.assign(
        few=pd.Series(found[few]).groupby(test["user"].to_numpy()[few]).mean()
    )


def compare(name, own):
    """Yield one row per system and seed, then the differences."""
    train, y, test, tables = load(name, own.data, own.tuning)
    chosen = train if y is None else train[y > 0]
    n_events = [chosen[side].value_counts() for side in PAIR]
    few = (test["item"].map(n_events[1]).fillna(0) < FEW).to_numpy()
    found = {}
    for system, given in (("off", {}), ("on", tables)):
        for seed in range(own.seeds):
            model, seconds = fitted(train, y, seed, **given)
            found.setdefault(system, []).append(by_user(model, test, few))
            means = found[system][-1].mean().to_dict()
            row = {"system": f"features {system}", "seed": seed, "fit_s": seconds}
            yield row | means
    on, off = (sum(found[system]) / own.seeds for system in ("on", "off"))
    events = n_events[0].reindex(on.index).fillna(0)
    rare = (events <= events.quantile(0.2)).to_numpy()
    for group, kept in (("all users", slice(None)), ("users with few events", rare)):
        for figure in FIGURES:
            yield difference(group, figure, on[figure][kept], off[figure][kept])
    has = on["few"].notna()
    if has.any():
        group = f"items with under {FEW} events"
        row = difference(group, f"found in {K_OF_FEW}", on["few"][has], off["few"][has])
        yield row | {"pairs": int(few.sum())}


def difference(group, figure, on, off):
    """Return a row for the paired difference of figures of users (n,)."""
    return {
        "system": "difference",
        "group": group,
        "figure": figure,
        "users": len(on),
        "on": on.mean(),
        "off": off.mean(),
    } | gain(on, off)


def failures(name, rows):
    """Name the groups that side tables cost more than the interval, or do not help."""
    wrong = []
    for row in rows:
        if row["system"] != "difference":
            continue
        if row["gained"] < -row["half_interval"]:
            wrong.append(f"{name}: {row['group']} lose {row['figure']}")
        if row.get("pairs", 0) >= MIN_PAIRS and row["on"] < 1.1 * row["off"]:
            wrong.append(f"{name}: {row['group']} gain less than 10 %")
    return wrong


# ---------------------------------------------------------------- importance


def importance(name, own):
    """Yield one row per column: its importance, and the loss of a fit without it."""
    train, y, test, tables = load(name, own.data, own.tuning)
    models = [fitted(train, y, seed, **tables)[0] for seed in range(own.seeds)]
    shown = [model.feature_importance(test, n_neighbors=20) for model in models]
    shown = pd.concat(shown).groupby(["side", "column"])["recall_lost"]
    complete = np.mean([judge(m, test)[0]["recall@20"] for m in models], axis=0)
    for key, table in tables.items():
        for column in table.columns[1:]:
            rest = tables | {key: table.drop(columns=column)}
            rest = {k: t for k, t in rest.items() if t.shape[1] > 1}
            without = [
                judge(fitted(train, y, seed, **rest)[0], test)[0]["recall@20"]
                for seed in range(own.seeds)
            ]
            lost = gain(complete, np.mean(without, axis=0))
            yield {
                "system": "importance",
                "side": key[:-1],
                "column": column,
                "recall_lost": shown.mean()[key[:-1], column],
                "spread": shown.std()[key[:-1], column],
                "refit_lost": lost["gained"],
                "half_interval": lost["half_interval"],
            }


def contradictions(name, rows):
    """Name the columns whose importance and refit differ in sign beyond chance."""
    return [
        f"{name}: importance of {row['column']} and its refit differ in sign"
        for row in rows
        if abs(row["refit_lost"]) > row["half_interval"]
        and np.sign(row["refit_lost"]) != np.sign(row["recall_lost"])
    ]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--only", help="names, by comma")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tuning", action="store_true", help="leave test untouched")
    parser.add_argument("--importance", action="store_true", help="compare with refits")
    own = parse_options(parser, needs_data=True)
    names = IMPORTANCE_OF if own.importance else list(SETS)
    own.only = names if own.only is None else own.only.split(",")
    if unknown := set(own.only) - set(SETS):
        parser.error(f"--only knows {list(SETS)}, not {sorted(unknown)}")
    return own


def main():
    own, where, wrong = parse(), machine(), []
    measure, judged = compare, failures
    if own.importance:
        measure, judged = importance, contradictions
    file = "features_importance" if own.importance else "features"
    for name in own.only:
        rows = []
        for row in measure(name, own):
            rows.append({"data": name} | row)
            print(rows[-1], flush=True)
        wrong += judged(name, rows)
        if not own.tuning:
            rows = [row | where for row in rows]
            write_results(file, replaced(read_results(file), rows))
    assert_claims(wrong)


if __name__ == "__main__":
    main()
