"""Do default settings rank a whole catalog better than tuned baselines do?

Call ``python benchmarks/bench_quality.py --data DIR [--only NAMES] [--seeds 3]`` with
DIR holding one folder of parquet files per data set; ``--only online-retail`` needs
no DIR. Every system but popularity and ours is tuned by a random search of
``--trials`` trials, the first its defaults, on a part of train that is cut off as test
is; a search begins no trial after ``--tuning-seconds`` of the processor. Where the best
is at the edge of the space, further trials go past it, until that gains less than 1 %.
What ranks best, by the figure in TUNED_BY, is fitted on all of train. ``--trials 0``:
with the settings that an earlier search has written; ``--go-on``: that search goes on,
to as many trials and past the edges. Ours is fitted with its defaults, once per seed,
and with ``--tune-ours`` a second time with the result of a search of its own. The
figure by which systems are tuned is written for each user (``results/per_user``). iALS
and GF-CF are fitted a second time, with the cheapest setting of their search whose
figure was within 1 % of the best; that row counts as one more system.

``--system mine.py``: a system of yours (`_own_system.py` says what the file defines) is
measured like the others, searched first if the file has ``GRID``, and printed beside
their kept results. ``--systems`` names others to be measured with it. Nothing is
written.

``shown`` in a row: nothing to tune, or 20 trials and no best value at an edge of its
space (`_search.py` says what is none). Tables and the comparison with the best other
system take shown rows only.

Each search and each fit has a process of its own. ``fit_s`` is the wall time of fit,
``fit_cpu_s`` its CPU seconds, which other work on the machine hardly changes,
and ``fit_mb`` the peak of resident memory in fit above what the process, with its
libraries and the events loaded, held before. A package that is not installed is left
out, unless one of the interpreters given by ``--python PATH`` has it.

Failure: popularity's figures differ from the published ones of the protocol (then the
split or a metric is wrong), or ours stay below the floors in FLOORS, which on
online-retail is twice the recall@20 of popularity.
"""

import argparse
import subprocess
import sys

import pandas as pd
from _common import PROTOCOLS, load, machine, read_results, replaced, write_results
from _own_system import HELP, OPTION, checked_path, is_own, label, print_beside
from _per_user import against_the_best, keep, read
from _processes import call, interpreter_with
from _quick import assert_claims, parse_options
from _search import TRIALS, is_settled
from _systems import OURS, SYSTEMS, TUNED, system_of

# Recall@10 is divided by min(10, relevant items) here, as published figures are.
TRUNCATED = {"ml-100k"}
SHOWN = {
    "ml-100k": ["recall@10", "recall@20", "ndcg@10", "ndcg@20"],
    "ml-100k-last": ["hit_rate@10", "ndcg@10", "ndcg@20"],
}
SHOWN_ELSEWHERE = ["recall@10", "recall@20", "ndcg@10", "ndcg@20"]
# The figure of a row by which systems are tuned.
TUNED_BY = {
    "ml-100k": "ndcg@10",
    "ml-100k-last": "ndcg@10",
    "online-retail": "ndcg@10",
    "lastfm": "ndcg@20",
    "ml-1m": "ndcg@20",
    "gowalla": "ndcg@20",
    "gowalla-random": "ndcg@20",
    "sports-random": "ndcg@20",
    "citeulike-random": "ndcg@20",
}
CHEAPEST = ["iALS", "GF-CF"]  # systems with a second row, which counts as another
SEARCHED = ["params", "validation", "validation of defaults", "trials", "tuning_s"]
SEARCHED += ["at_the_edge", "cheapest"]
# Popularity has no settings, so its figures show whether split and metrics are right.
POPULARITY = {
    "ml-100k": {"recall@10": 0.216, "recall@20": 0.169, "ndcg@10": 0.220},
    "ml-100k-last": {"hit_rate@10": 0.086, "ndcg@10": 0.045},
    "online-retail": {"recall@20": 0.037, "ndcg@10": 0.038},
    "lastfm": {"recall@20": 0.037, "ndcg@20": 0.021},
    "ml-1m": {},
    "gowalla": {},
    "gowalla-random": {},
    "sports-random": {},
    "citeulike-random": {},
}
FLOORS = {
    "ml-100k": {"recall@20": 0.352, "ndcg@10": 0.430},
    "ml-100k-last": {"hit_rate@10": 0.137, "ndcg@10": 0.066},
    "online-retail": {},
    "lastfm": {"recall@20": 0.264, "ndcg@20": 0.209},
    "ml-1m": {"recall@20": 0.265, "ndcg@20": 0.395},
    "gowalla": {"recall@20": 0.163, "ndcg@20": 0.138},  # published, MF-BPR
    "gowalla-random": {},
    "sports-random": {},
    "citeulike-random": {},
}


class Run:
    """Measures systems on one data set; keeps rows of results and users' figures."""

    def __init__(self, data, arguments):
        self.data, self.arguments = data, arguments
        self.rows, self.figures = [], {}

    def go(self):
        """Measure all systems that can be measured."""
        for name in self.arguments.systems:
            system = system_of(name)
            python = interpreter_with(system.needs, self.arguments.python)
            if python is None:
                print(f"{name}: left out, {' or '.join(system.needs)} not installed")
            elif self.data in system.left_out:
                print(f"{name}: left out, {system.left_out[self.data]}")
            else:
                self._survive(name, python)
        return self

    def _survive(self, name, python):
        """Measure a system; the failure of another's leaves only that one out."""
        try:
            self._measure(name, python)
        except subprocess.CalledProcessError:
            if name.startswith(OURS):
                raise
            if is_own(name):
                sys.exit(f"{name} failed as shown above")
            print(f"{name}: left out, it failed as shown above")

    def _measure(self, name, python):
        searched = self._tune(name, python)
        by_seed = []
        for seed in range(self.arguments.seeds if name.startswith(OURS) else 1):
            params = dict(searched.get("params", {}))
            if name.startswith(OURS):
                params["random_state"] = seed
            row, figures = self._call("measure", name, python, params=params)
            by_seed.append(pd.DataFrame(figures))
            row["system"] = label(name)
            self.rows.append(searched | row | summary(by_seed[-1]))
            print(f"{label(name)}: fitted in {row['fit_s']:.1f} s", flush=True)
        self.figures[label(name)] = sum(by_seed) / len(by_seed)
        if name in CHEAPEST and searched.get("cheapest"):
            low = f"{name} (cheapest within 1 %)"
            params = {"params": searched["cheapest"]}
            row, figures = self._call("measure", name, python, **params)
            self.figures[low] = pd.DataFrame(figures)
            row |= {"system": low} | summary(self.figures[low])
            self.rows.append(searched | row)

    def _tune(self, name, python):
        """Return the result of the search; empty if there is none.

        Without trials it is that of the search whose result was written, which others
        may go on with.
        """
        own, earlier = self.arguments, None
        if not system_of(name).space:
            return {}
        if own.trials == 0 or own.go_on:
            written = read_results(f"quality_{self.data}")
            row = next((row for row in written if row["system"] == name), {})
            earlier = {key: row[key] for key in SEARCHED if key in row}
        if own.trials == 0:
            return earlier
        searched = self._call("tune", name, python, earlier=earlier)
        print(
            f"{name}: {searched['trials']} trials in {searched['tuning_s']:.0f} s, "
            f"validation {searched['validation']:.4f} (defaults "
            f"{searched['validation of defaults']:.4f}); at the edge of the space: "
            f"{', '.join(searched['at_the_edge']) or 'nothing'}",
            flush=True,
        )
        return searched

    def _call(self, function, name, python, **more):
        own = self.arguments
        if function == "tune":
            more |= {"figure": TUNED_BY[self.data], "trials": own.trials}
            more |= {"seconds": own.tuning_seconds}
        else:
            more |= {"truncated": self.data in TRUNCATED}
        return call(
            f"_systems:{function}",
            python,
            name=name,
            data=self.data,
            folder=own.data,
            **more,
        )


def summary(figures):
    """Return means and standard errors over users (n_users, n_figures)."""
    errors = {f"{metric} se": error for metric, error in figures.sem().items()}
    return {"users": len(figures)} | figures.mean().to_dict() | errors


def report(run):
    """Print the table of a data set, and ours against the best baseline."""
    shown = SHOWN.get(run.data, SHOWN_ELSEWHERE)
    table = pd.DataFrame(
        {
            name: {m: f"{each[m].mean():.4f} ± {each[m].sem():.4f}" for m in shown}
            for name, each in run.figures.items()
        }
    ).T
    rows = pd.DataFrame(run.rows)
    for column in ("coverage@10", "fit_s", "fit_mb", "tuning_s"):
        if column in rows:
            mean = rows.groupby("system", sort=False)[column].mean()
            table[column] = mean.round(3 if "@" in column else 1)
    print(f"\n{table.to_string(na_rep='')}")
    if run.data in TRUNCATED:
        print("recall@10: hits / min(10, relevant items)")
    print(f"± standard error over {int(rows['users'].iloc[0])} users")
    if OURS in run.figures:
        for metric in shown:
            print(line(run.figures, OURS, metric))


def report_beside(run):
    """Print a system of somebody else beside the shown results of earlier runs."""
    figure = TUNED_BY[run.data]
    others = [each for each in SHOWN.get(run.data, SHOWN_ELSEWHERE) if each != figure]
    rows = [
        row
        for row in read_results(f"quality_{run.data}")
        if row["shown"] and row["system"] != "difference"
    ]
    kept = read(f"quality_{run.data}")
    own = run.arguments.system
    print_beside(own, run.figures[label(own)], rows, kept, [figure, *others])


def line(figures, ours, metric):
    """Return how far ours is from the best of the others, in one line."""
    by_user = {name: each[metric].to_numpy() for name, each in figures.items()}
    if all(name.startswith(OURS) for name in by_user):
        return f"{metric}: nothing to compare with"
    found = against_the_best({k: v for k, v in by_user.items() if k != TUNED}, ours)
    return (
        f"{metric}: {ours} - {found['best']} = {found['gained']:+.4f}, "
        f"95 % interval [{found['low']:+.4f}, {found['high']:+.4f}]"
    )


def failures(run):
    """Name what contradicts the published figures or stays below a floor."""
    wrong, floors = [], dict(FLOORS[run.data])
    if "popularity" in run.figures:
        found = run.figures["popularity"].mean()
        wrong += [
            f"{run.data}: popularity's {metric} is {found[metric]:.4f}, published "
            f"{value}"
            for metric, value in POPULARITY[run.data].items()
            if abs(found[metric] - value) > 0.0015
        ]
        if run.data == "online-retail":
            floors["recall@20"] = 2 * found["recall@20"]
    if OURS not in run.figures:
        return wrong
    ours = run.figures[OURS].mean()
    return wrong + [
        f"{run.data}: our {metric} is {ours[metric]:.4f}, below {floor:.4f}"
        for metric, floor in floors.items()
        if ours[metric] < floor
    ]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", default=",".join(PROTOCOLS), help="names, by comma")
    parser.add_argument("--systems", help="names, by comma; others stay as written")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--go-on", action="store_true", help="with written searches")
    parser.add_argument("--tuning-seconds", type=float, default=600)
    parser.add_argument("--tune-ours", action="store_true")
    parser.add_argument("--python", action="append", default=[], help="interpreter")
    parser.add_argument(OPTION, help=HELP)
    own = parse_options(parser)
    own.python = (sys.executable, *own.python)
    if own.system is not None:
        own.system = checked_path(parser, own.system)
    own.some = own.systems is not None
    own.trials = 1 if own.quick else own.trials
    own.systems = systems(own)
    own.only = own.only.split(",")
    for option, known in (("only", PROTOCOLS), ("systems", SYSTEMS)):
        if unknown := set(getattr(own, option)) - set(known) - {own.system}:
            parser.error(f"--{option} knows {list(known)}, not {sorted(unknown)}")
    if own.data is None and own.only != ["online-retail"]:
        parser.error("--data is needed for all but --only online-retail")
    return own


def systems(own):
    """Return the names of the systems that the options ask for."""
    named = own.systems.split(",") if own.systems is not None else []
    if own.system is not None:
        return [*named, own.system]
    if named:
        return named
    return [name for name in SYSTEMS if name != TUNED or own.tune_ours]


def with_difference(data, rows):
    """Return the rows and one that says how far ours is from the best of others.

    Only of rows that are shown, and if one of them is of a tuned system.
    """
    rows = [row for row in rows if row["system"] != "difference"]
    shown = {row["system"]: row for row in rows if row["shown"]}
    by_user = {k: v for k, v in read(f"quality_{data}").items() if k in shown}
    tuned = [k for k in by_user if "trials" in shown[k] and k != TUNED]
    if OURS not in by_user or not tuned:
        return rows
    found = against_the_best({k: v for k, v in by_user.items() if k != TUNED}, OURS)
    figure = {"data": data, "system": "difference", "figure": TUNED_BY[data]}
    figure["shown"] = True
    return [*rows, figure | found | {"users": len(by_user[OURS])}]


def main():
    arguments, wrong = parse(), []
    for data in arguments.only:
        load(data, arguments.data)  # exits if there is no such file
        where = machine()
        print(f"\n{data}")
        run = Run(data, arguments).go()
        report(run)
        if arguments.system is not None:
            report_beside(run)
            continue
        wrong += failures(run)
        rows = [{"data": data} | row | where for row in run.rows]
        if arguments.some:  # the others stay as they are
            rows = replaced(read_results(f"quality_{data}"), rows)
        rows = [row | {"shown": is_settled(row)} for row in rows]
        figure = TUNED_BY[data]
        keep(f"quality_{data}", {k: v[figure] for k, v in run.figures.items()})
        write_results(f"quality_{data}", with_difference(data, rows))
    assert_claims(wrong)


if __name__ == "__main__":
    main()
