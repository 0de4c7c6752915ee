"""What does it help to know the request: where a user is in the app, and when?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_context.py --data DIR [--only NAMES]
[--seeds 3] [--quick]`` with DIR holding one folder of parquet files per data set;
``--only online-retail`` needs no DIR. Each model is fitted without and with
``context``, with the same seeds, and judged by the same requests: the distinct pairs of
a user and a context in what is held out, whole catalog ranked, what the user has in
train left out.

- ``kuairand``: what was shown until 30 April, and what was watched for long after it.
  The context is the tab of the app and the hour. Nine tenths of train are a history
  that lacks both.
- ``ml-100k-last``, ``ml-latest-last``: the last event of each user; the context is the
  time of asking. ML-1M and Amazon have no times, only an order, so they are not here.
- ``online-retail``: the last fifth of the first purchases of a product; the context is
  the time of asking and the country.

"unknown" is the model with context, asked without any. Two other models have, in place
of the context, a column that is known where the context is: "noise" six random letters,
"constant" one word. In ``kuairand`` they say what it is worth to know only *that* there
is a context: it means that the request is not of the history. Where all contexts are
known, a constant says nothing and is left out. Gains are over the model without
context, and, of the model with context, also over noise and over the constant. The
interval is that of the mean difference over requests, clustered by user; seeds are
averaged first.

``--variants`` fits other ways for a context to act, on validation data: the same cut
once more. Test data is not touched. KuaiRand then has the parameters of
bench_impressions.py, which take a quarter of the time.

``--items`` makes a column of the item the context (see `_item_context`): the kind of a
product of the shop, by a word of its name, and the genres of films. A request is a user
and a kind of what is held out, and the list has ten items of that kind (recall@10): by
``where``, of a model without context; by ``context``; and by both. Gains are over
``where``. Lists of all kinds are compared with those of the model without context.

Failure: the gain over noise, or over the constant, is below 5 % on KuaiRand or below
zero on ML-100K; or any other set is significantly below the model without context, also
asked in the unknown.
"""

import argparse
import time
from contextlib import ExitStack
from types import SimpleNamespace
from unittest.mock import patch

import _item_context
import numpy as np
import pandas as pd
from _common import (
    PAIR,
    clock,
    load_ordered,
    machine,
    read_results,
    shop,
    write_results,
)
from _quick import assert_claims, parse_options
from bench_impressions import PARAMS

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import ndcg_at_k, recall_at_k
from sktwotower.metrics._hits import standard_error
from sktwotower.recommender import _contexts
from sktwotower.towers.batches import _request_batches
from sktwotower.towers.parts import _context_layer, _start

NONE, WITH, UNKNOWN = "without", "with context", "unknown"
NOISE, CONSTANT = "noise", "constant"
FIGURES = ["recall@20", "ndcg@10", "recall@10"]
CHINA = pd.Timedelta(hours=8)


def kuairand(folder, tuning):
    """Return events to fit on and to find, with tab and hour where they are known."""
    path = f"{folder}/kuairand-pure-std"
    shown, history = (
        pd.read_parquet(f"{path}/{name}.parquet").rename(
            columns={"user_id": "user", "item_id": "item"}
        )
        for name in ("interactions", "train_history")
    )
    hours = (pd.to_datetime(shown["time_ms"], unit="ms") + CHINA).dt.hour
    shown["hour"], shown["tab"] = hours.astype("Int64"), shown["tab"].astype("Int64")
    shown["y"] = shown["long_view"].astype(float)
    history = history.assign(y=history["long_watch"].astype(float))
    columns = [*PAIR, "y", "tab", "hour"]
    history = history.reindex(columns=columns).astype({"tab": "Int64", "hour": "Int64"})
    before = shown[shown["split"] == "val"].sort_values("time_ms")
    after = shown[shown["split"] == "test"]
    if tuning:
        cut = int(0.7 * len(before))
        before, after = before.iloc[:cut], before.iloc[cut:]
    train = pd.concat([history, before[columns]], ignore_index=True)
    known = [after[side].isin(train[side]) for side in PAIR]
    chosen = pd.MultiIndex.from_frame(train.loc[train["y"] > 0, PAIR])
    new = ~pd.MultiIndex.from_frame(after[PAIR]).isin(chosen)
    return train, after.loc[known[0] & known[1] & new & (after["y"] > 0), columns]


def in_time(name):
    """Return the function that loads a set whose context is the time of asking."""

    def load(folder, tuning):
        events = load_ordered(name, folder)
        return events.tuning if tuning else (events.train, events.test)

    return load


def retail(folder, tuning):
    """Return the purchases of the shipped shop, with the country of the customer."""
    parts = in_time("online-retail")(folder, tuning)
    customers = shop().customers.set_index("customer")["country"]
    return tuple(part.assign(country=part["user"].map(customers)) for part in parts)


SETS = {
    "kuairand": (kuairand, ["tab", "hour"], {}),
    "ml-100k-last": (in_time("ml-100k-last"), ["time"], {"time": "time"}),
    "ml-latest-last": (in_time("ml-latest-last"), ["time"], {"time": "time"}),
    "online-retail": (retail, ["time", "country"], {"time": "time"}),
}


def load(name, folder, tuning=False):
    """Return train, test, the context columns and the parameters of a data set.

    Both tables have the columns "noise" and "constant", and one that numbers the
    contexts.
    """
    read, context, params = SETS[name]
    tables = [table.copy() for table in read(folder, tuning)]
    rng = np.random.default_rng(0)
    for table in tables:
        known = table[context].notna().any(axis=1)
        table["noise"] = pd.Series(rng.choice(list("abcdef"), len(table)), table.index)
        table["noise"] = table["noise"].where(known)
        table["constant"] = pd.Series("known", table.index).where(known)
        groups = table.groupby(context, dropna=False)
        table["request"] = groups.ngroup()
    if tuning and name == "kuairand":
        params = PARAMS
    return SimpleNamespace(
        train=tables[0], test=tables[1], context=context, params=params
    )


def figures(model, test):
    """Return the figures of each request, arrays (n,), and whose they are."""
    ranking = model.rank_held_out(test, n_neighbors=20, requests="request")
    truth, found = ranking.truth, ranking.indices
    values = [recall_at_k(truth, found, 20, per_user=True)]
    values += [f(truth, found, 10, per_user=True) for f in (ndcg_at_k, recall_at_k)]
    return np.array(values), ranking.users


def measure(data, context, seed):
    """Return a fitted model, the figures of its requests and CPU seconds."""
    table = data.train.drop(columns="y", errors="ignore")
    model = TwoTowerRecommender(**data.params, context=context, random_state=seed)
    with clock() as watch:
        model.fit(table, data.train.get("y"))
    test = data.test.drop(columns="y", errors="ignore")
    found, owners = figures(model, test)
    return SimpleNamespace(
        model=model, found=found, owners=owners, test=test, cpu=watch.cpu_seconds
    )


def request_ms(model, data):
    """Return median CPU ms of a request without and with a context, of known users."""
    users = data.test["user"].drop_duplicates()[:300].tolist()
    row = data.test[data.context].iloc[0]
    context = {name: value for name, value in row.items() if pd.notna(value)}
    times = {NONE: [], WITH: []}
    for _ in range(2):  # the first time for each user computes the user's vector
        for name, given in ((NONE, None), (WITH, context)):
            times[name] = []
            for user in users:
                start = time.process_time()
                model.recommend([user], context=given)
                times[name].append(1000 * (time.process_time() - start))
    return {name: float(np.median(each)) for name, each in times.items()}


def compare(name, folder, seeds):
    """Return the rows of results of a data set."""
    data, found, rows = load(name, folder), {}, []
    owners, request = None, {}
    contexts = {NONE: None, WITH: data.context, NOISE: "noise"}
    if data.train["constant"].isna().any():
        contexts[CONSTANT] = "constant"
    for seed in range(seeds):
        for system, context in contexts.items():
            run = measure(data, context, seed)
            owners = run.owners
            found.setdefault(system, []).append((run.found, run.cpu))
            if system == WITH:
                blank = run.test.copy()
                for column in data.context:
                    blank[column] = blank[column].mask(blank[column].notna())
                unknown, _ = figures(run.model, blank)
                found.setdefault(UNKNOWN, []).append((unknown, run.cpu))
                request = request or request_ms(run.model, data)
    means = {
        system: np.mean([values for values, _ in runs], axis=0)
        for system, runs in found.items()
    }
    cpu = np.mean([seconds for _, seconds in found[NONE]])
    for system, runs in found.items():
        values = means[system]
        seconds = np.mean([each for _, each in runs])
        row = {"data": name, "system": system, "seeds": seeds, "requests": len(owners)}
        row |= {"fit_cpu_s": seconds, "fit_ratio": seconds / cpu}
        if system == WITH:
            ms = request[WITH], request[NONE]
            row |= {"request_ms": ms[0], "request_ratio": ms[0] / ms[1]}
        for place, figure in enumerate(FIGURES):
            row |= {figure: values[place].mean()}
            row |= gain(figure, values[place], means[NONE][place], owners)
            controls = [NOISE, CONSTANT] if system == WITH else []
            for control in (name for name in controls if name in means):
                over = f"{figure} over {control}"
                row |= gain(over, values[place], means[control][place], owners)
        rows.append(row)
        print(summary(row), flush=True)
    return rows


def gain(name, values, base, owners):
    """Return the gain over ``base`` in percent, and half of its interval."""
    percent = 100 / base.mean()
    half = 1.96 * standard_error(values - base, owners)
    return {
        f"{name} gain": percent * (values - base).mean(),
        f"{name} half": percent * half,
    }


def summary(row):
    """Return a row of results as text."""
    shown = ", ".join(
        f"{f} {row[f]:.4f} ({row[f'{f} gain']:+.1f} ± {row[f'{f} half']:.1f} %)"
        for f in FIGURES
    )
    fit = f"; fit {row['fit_ratio']:.2f}" if "fit_ratio" in row else ""
    for name in (name for name in row if " over " in name and name.endswith("gain")):
        half = row[name.replace("gain", "half")]
        fit += f"; {name.removesuffix(' gain')} {row[name]:+.1f} ± {half:.1f} %"
    return f"{row['data']}, {row['system']}: {shown}{fit}"


def only(kept):
    """Return ``forward`` of a layer in which only one of the two tables acts."""
    forward = _context_layer.ContextLayer.forward

    def one(self, users, rows):
        other = {"add": self.multiply, "multiply": self.add}[kept]
        with patch.object(other, "forward", lambda rows: 0 * users.detach()):
            return forward(self, users, rows)

    return one


LAYER = _context_layer.ContextLayer
VARIANTS = {
    WITH: [],
    "added only": [(LAYER, "forward", only("add"))],
    "multiplied only": [(LAYER, "forward", only("multiply"))],
    "the same scale for any number of steps": [(_start, "scale_of", lambda n: 1.0)],
    "noise counts in full": [
        (_contexts, "context_shares", lambda rows, *_: np.ones(rows.shape[1], "f4"))
    ],
    "hidden one time in five": [(_request_batches, "HIDDEN", 0.2)],
    "one draw in eight": [(_request_batches, "DRAWN", 1 / 8)],
}


def compare_variants(name, folder, seeds):
    """Return the rows of the variants of a data set, on validation data."""
    data, rows, base = load(name, folder, tuning=True), [], None
    for system, patches in {NONE: None, **VARIANTS}.items():
        context = None if patches is None else data.context
        with ExitStack() as stack:
            for owner, attribute, value in patches or []:
                stack.enter_context(patch.object(owner, attribute, value))
            runs = [measure(data, context, seed) for seed in range(seeds)]
        values = np.mean([run.found for run in runs], axis=0)
        base = values if base is None else base
        row = {"data": name, "system": f"validation: {system}", "seeds": seeds}
        row |= {"requests": len(runs[0].owners)}
        for place, figure in enumerate(FIGURES):
            row |= {figure: values[place].mean()}
            row |= gain(figure, values[place], base[place], runs[0].owners)
        rows.append(row)
        print(summary(row), flush=True)
    return rows


def failures(rows):
    """Return the claims of the benchmark that the results contradict."""
    wrong = []
    for row in rows:
        least = {"kuairand": 5.0, "ml-100k-last": 0.0}.get(row["data"])
        figure = "recall@20" if row["data"] == "kuairand" else "ndcg@10"
        found, half = row[f"{figure} gain"], row[f"{figure} half"]
        for control in (NOISE, CONSTANT) if least is not None else ():
            over = row.get(f"{figure} over {control} gain", least)
            if over < least:
                wrong.append(f"{row['data']}: gain over {control} {over:.1f} %")
        if row["system"] in (WITH, UNKNOWN) and found + half < 0:
            wrong.append(f"{row['data']}, {row['system']}: {found:.1f} %")
    return wrong


def no_claims(rows):
    """Return nothing: these results back no claim."""
    return []


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", help="names, by comma; all without it")
    parser.add_argument("--seeds", type=int, help="3; of --items 1")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--variants", action="store_true")
    way.add_argument("--items", action="store_true")
    own = parse_options(parser)
    sets = _item_context.SETS if own.items else SETS
    if own.seeds is None:
        own.seeds = 1 if own.items else 3
    own.only = list(sets) if own.only is None else own.only.split(",")
    if unknown := set(own.only) - set(sets):
        parser.error(f"--only knows {list(sets)}, not {sorted(unknown)}")
    if own.data is None and own.only != ["online-retail"]:
        parser.error("--data is needed for all but --only online-retail")
    return own


def main():
    arguments, wrong = parse(), []
    name, run, claims = "context", compare, failures
    if arguments.variants:
        name, run, claims = "context_variants", compare_variants, no_claims
    elif arguments.items:
        name, run, claims = "context_items", _item_context.compare, no_claims
    for data in arguments.only:
        where = machine()
        rows = run(data, arguments.data, arguments.seeds)
        before = [row for row in read_results(name) if row["data"] != data]
        write_results(name, before + [row | where for row in rows])
        wrong += claims(rows)
    assert_claims(wrong)


if __name__ == "__main__":
    main()
