"""Does the order of events help to find what a user chooses next?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_next.py --data DIR [--only NAMES]
[--models NAMES] [--seeds 3] [--max-epochs N]`` with DIR holding one folder of parquet
files per data set; ``--only online-retail`` needs no DIR. Two kinds of protocols, each
over the whole catalog without the items that the user has in train:

- ``*-last``: each user's last event is to be found, the others are train;
- ``*-time`` and ``online-retail``: the last tenth of all events (of ``online-retail``
  and ``tweets-time`` the last fifth) is to be found, for users and items known from
  train;
- ``kuairand``: short videos that are watched for long, from May on; train is what was
  shown before. Its history has positions, not times (see `_common`).

Models with a grid are fitted with each of its values on train, cut once more as test
is, and with values past its ends while these gain 1 %; the best by NDCG@10 is fitted on
all of train. Ours is fitted with its defaults, once per seed, without and with
``time``. All of these are asked now, whatever the time of what is to be found;
"(time of asking)" is ours, asked for each user at that time.

Transformers of RecTools need an interpreter that has it, ``--python PATH``, and are
measured on ``*-last`` only. Their settings and numbers of epochs are searched on the
same cut, for ``--tuning-minutes`` of CPU time each, in which trials of earlier runs
(``results/next_trials.jsonl``) count. eSASRec(authors) has its authors' settings, and
learns until ten epochs have brought nothing on that cut, however long that takes; a
trial of an earlier run is not made again. HSTU(time) is told the time of what is to be
found.

The rows of these data sets and models replace those of earlier runs, and so do each
user's figures (``results/per_user``), of which those that the tables show are kept, a
mean over seeds. With ``--max-epochs`` nothing is written.

``--system mine.py``: a system of yours (`_own_system.py` says what the file defines)
gets the events with the column ``time``, its ``GRID`` is searched as those of the
others are, and its figures are printed beside their kept results. ``--models`` names
others to be measured with it. Nothing is written.

Failure: if both are measured, ours with ``time`` is not better than ours without.
"""

import argparse
import sys
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from _common import (
    EVENT,
    ORDERED,
    PAIR,
    clock,
    load_ordered,
    machine,
    read_results,
    replaced,
    write_results,
)
from _next_baselines import MarkovChain, NextItemRidge
from _own_system import HELP, OPTION, checked_path, is_own, label, print_beside
from _own_system import load as load_own
from _per_user import keep, named, read
from _processes import call, interpreter_with
from _quick import assert_claims, parse_options
from _search import Trial, beyond_the_edges
from _sequence_trials import AUTHORS, BY_AUTHORS
from _sequence_trials import NAMES as TRANSFORMERS
from _systems import OURS, judge
from bench_quality import line, summary
from sklearn.model_selection import ParameterGrid

from sktwotower import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
    TwoTowerRecommender,
)

IN_TIME = f"{OURS}(time)"
TOLD_TIME = f"{OURS}(time of asking)"
NEXT_ITEM = ["recall@10", "ndcg@10"]
LATER = ["recall@20", "ndcg@10"]
# No absolute times, so no window of time.
WITHOUT_DATES = {"ml-1m-last", "beauty-last", "sports-last", "kuairand"}
NEEDS_DATES = {"recent popularity", "HSTU(time)", TOLD_TIME}
# Twenty settings of each model that is searched, but EASE.
DAYS = [1, 2, 3, 5, 7, 10, 14, 20, 30, 45, 60, 90, 120, 150, 180, 240, 365, 500]
DAYS = [pd.Timedelta(days=days) for days in [*DAYS, 730, 1000]]
SHRINKAGES = [0, 10, 30, 100]
BACKOFFS = np.geomspace(0.01, 1000, 20).round(3).tolist()


@dataclass(frozen=True)
class Model:
    """A class, its fixed parameters, those to choose from, and what it is fitted on.

    ``in_time``: it gets the times. ``takes_shown``: it gets what was shown and not
    chosen, where that is known; others get positive events only. ``is_told``: it is
    asked at the times of what is to be found.
    """

    kind: type
    params: dict = field(default_factory=dict)
    grid: dict = field(default_factory=dict)
    in_time: bool = False
    takes_shown: bool = False
    is_told: bool = False


TIME = {"time": "time"}
# In messages of baselines that cannot be measured: too many items, or some that are in
# no positive event of train.
CANNOT = "max_memory", "max_items", "that fit has not seen"
MODELS = {
    "popularity": Model(PopularityRecommender),
    "recent popularity": Model(PopularityRecommender, TIME, {"window": DAYS}, True),
    "item-kNN": Model(
        ItemKNNRecommender,
        grid={"n_similar": [50, 100, 200, 400, 800], "shrinkage": SHRINKAGES},
    ),
    "item-kNN (decay)": Model(
        ItemKNNRecommender,
        TIME,
        {"decay": [0.5, 1.0, 2.0, 5.0, 10.0], "shrinkage": SHRINKAGES},
        True,
    ),
    "Markov chain": Model(MarkovChain, grid={"backoff": BACKOFFS}, in_time=True),
    # bench_quality.py searches 20 values; in the shop, three lead to the higher figure
    "EASE": Model(
        EASERecommender,
        {"max_items": None, "max_memory": 1.2e10},
        grid={"l2": [100.0, 300.0, 1000.0]},
    ),
    "ridge": Model(
        NextItemRidge,
        grid={"decay": [1.0, 2.0, 5.0, 10.0, 20.0], "l2": [30.0, 100.0, 300.0, 1000.0]},
        in_time=True,
    ),
    OURS: Model(TwoTowerRecommender, takes_shown=True),
    IN_TIME: Model(TwoTowerRecommender, TIME, in_time=True, takes_shown=True),
    TOLD_TIME: Model(TwoTowerRecommender, TIME, in_time=True, is_told=True),
}


def fitted(model, params, train):
    """Return a model that is fitted on events, and the watch that timed it."""
    events = train[EVENT if model.in_time else PAIR]
    outcome = train.get("y")
    if outcome is not None and not model.takes_shown:
        events, outcome = events[outcome > 0], None
    with clock() as watch:
        recommender = model.kind(**params).fit(events, outcome)
    return recommender, watch


def choose(model, tuning):
    """Return the parameters that are best on the cut for tuning, and of what search.

    Each value of the grid is tried, and values past its ends where that pays.
    """
    if not model.grid:
        return model.params, {}
    train, held_out = tuning

    def attempt(values):
        recommender, _ = fitted(model, model.params | values, train)
        figures, _ = judge(recommender, held_out[PAIR])
        return Trial(float(np.mean(figures["ndcg@10"])), values)

    found = map(attempt, ParameterGrid(model.grid))
    found = sorted(found, key=lambda trial: -trial.quality)
    found, left = beyond_the_edges(attempt, model.grid, found, {})
    searched = {"trials": len(found), "at_the_edge": left}
    return model.params | found[0].params, searched


class Run:
    """Measures models on one data set; keeps rows of results and users' figures."""

    def __init__(self, data, arguments):
        self.data, self.arguments = data, arguments
        self.events = load_ordered(data, arguments.data)
        self.rows, self.figures = [], {}

    def go(self):
        """Measure all models that can be measured."""
        for name in self.arguments.models:
            if name in NEEDS_DATES and self.data in WITHOUT_DATES:
                continue
            if name == BY_AUTHORS and self.data not in AUTHORS:
                continue
            try:
                if name in TRANSFORMERS:
                    self._measure_transformer(name)
                elif is_own(name):
                    own = load_own(name)
                    model = Model(own.kind, grid=own.grid, in_time=True)
                    self._measure(label(name), model)
                else:
                    self._measure(name, MODELS[name])
            except ValueError as error:
                if not any(text in str(error) for text in CANNOT):
                    raise
                print(f"{name}: left out, {error}")
        return self

    def _measure(self, name, model):
        (params, searched), seeds = choose(model, self.events.tuning), [{}]
        if name.startswith(OURS):
            seeds = [{"random_state": seed} for seed in range(self.arguments.seeds)]
            epochs = self.arguments.max_epochs
            params = params | ({"max_epochs": epochs} if epochs else {})
        by_seed = []
        for seed in seeds:
            recommender, watch = fitted(model, params | seed, self.events.train)
            columns = EVENT if model.is_told else PAIR
            figures, _ = judge(recommender, self.events.test[columns])
            by_seed.append(pd.DataFrame(figures))
            row = {"system": name, "params": _plain(params | seed)} | searched
            row |= {"fit_s": watch.seconds, "fit_cpu_s": watch.cpu_seconds}
            self.rows.append(row | _choices(recommender) | summary(by_seed[-1]))
        self.figures[name] = sum(by_seed) / len(by_seed)
        print(f"{name}: {_plain(params)}, fitted in {watch.seconds:.1f} s", flush=True)

    def _measure_transformer(self, name):
        python = interpreter_with(
            ("rectools", "pytorch_lightning"), self.arguments.python
        )
        if python is None or not self.data.endswith("-last"):
            print(f"{name}: left out, needs RecTools and one held-out event a user")
            return
        where = {"name": name, "data": self.data, "folder": self.arguments.data}
        trials = self._trials(name, python, where)
        best = max(trials, key=lambda trial: trial["validation"])
        params = best["params"] | {"epochs": best["epochs"]}
        row, figures = call("_sequence_trials:measure", python, params=params, **where)
        row |= {"validation": best["validation"], "trials": len(trials)}
        row["tuning_cpu_s"] = sum(trial["cpu_s"] for trial in trials)
        self.figures[name] = pd.DataFrame(figures)
        self.rows.append(row | summary(self.figures[name]))
        print(f"{name}: {params}, fitted in {row['fit_s']:.1f} s", flush=True)

    def _trials(self, name, python, where):
        """Return the trials of a model, earlier ones first; new ones are written."""
        written, at = read_results("next_trials"), {"data": self.data, "system": name}
        tried = [row for row in written if row | at == row]
        seconds = 60 * self.arguments.tuning_minutes
        found = call(
            "_sequence_trials:tune", python, seconds=seconds, tried=tried, **where
        )
        write_results(
            "next_trials", [*written, *(at | row | machine() for row in found)]
        )
        return [*tried, *found]


def _choices(recommender):
    """Return what fit chose, for ours with the order of events."""
    if not (isinstance(recommender, TwoTowerRecommender) and recommender.time):
        return {}
    half_life = recommender.half_life_
    chosen = {
        "history_kind": recommender.history_kind_,
        "half_life": half_life and str(half_life),
        "second_share": recommender.second_share_,
    }
    print(chosen, flush=True)
    return chosen


def _plain(params):
    """Return parameters that JSON can hold."""
    return {
        name: str(value) if isinstance(value, pd.Timedelta) else value
        for name, value in params.items()
    }


def shown_of(data):
    """Return the names of the figures that the table of a data set shows."""
    return NEXT_ITEM if data.endswith("-last") else LATER


def keep_users(run):
    """Keep the shown figures of each user; those of models not measured now stay."""
    if run.figures:
        arrays = {
            named(system, figure): users[figure]
            for system, users in run.figures.items()
            for figure in shown_of(run.data)
        }
        keep(f"next_{run.data}", arrays)


def report(run):
    """Print the table of a data set, and ours against the best baseline."""
    shown = shown_of(run.data)
    rows = pd.DataFrame(run.rows).groupby("system", sort=False)
    table = pd.DataFrame(
        {
            name: {m: f"{each[m].mean():.4f} ± {each[m].sem():.4f}" for m in shown}
            for name, each in run.figures.items()
        }
    ).T
    table["fit_s"] = rows["fit_s"].mean().round(1)
    if rows.size().max() > 1:
        for metric in shown:
            lowest, highest = rows[metric].min(), rows[metric].max()
            table[f"{metric} by seed"] = [
                f"{low:.4f} to {high:.4f}" if low < high else ""
                for low, high in zip(lowest, highest, strict=True)
            ]
    print(f"\n{table.to_string()}")
    print(f"± standard error over {int(run.rows[0]['users'])} users")
    for ours in (name for name in run.figures if name.startswith(OURS)):
        for metric in shown:
            print(line(run.figures, ours, metric))


def report_beside(run):
    """Print a system of somebody else beside the results of earlier runs."""
    first, *others = reversed(shown_of(run.data))
    rows = [row for row in read_results("next") if row["data"] == run.data]
    users = read(f"next_{run.data}")
    systems = {row["system"] for row in rows}
    arrays = {system: named(system, first) for system in systems}
    kept = {system: users[name] for system, name in arrays.items() if name in users}
    own = run.arguments.system
    print_beside(own, run.figures[label(own)], rows, kept, [first, *others])


def failures(run):
    """Name the data on which ours with the order of events is not the better one."""
    plain, in_time = (run.figures[name]["ndcg@10"].mean() for name in (OURS, IN_TIME))
    if in_time > plain:
        return []
    return [f"{run.data}: NDCG@10 {in_time:.4f} with time, {plain:.4f} without"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", default=",".join(ORDERED), help="names, by comma")
    parser.add_argument("--models", help="names, by comma")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--max-epochs", type=int, help="of ours, to try")
    parser.add_argument(
        "--tuning-minutes", type=float, default=10, help="a transformer"
    )
    parser.add_argument("--python", action="append", default=[], help="interpreter")
    parser.add_argument(OPTION, help=HELP)
    own = parse_options(parser)
    own.python = (sys.executable, *own.python)
    own.written = own.max_epochs is None and own.system is None
    own.only = own.only.split(",")
    all_models = [*MODELS, *TRANSFORMERS]
    own.models = own.models.split(",") if own.models else []
    if own.system is not None:
        own.system = checked_path(parser, own.system)
        own.models.append(own.system)
    own.models = own.models or all_models
    for option, known in (("only", ORDERED), ("models", all_models)):
        if unknown := set(getattr(own, option)) - set(known) - {own.system}:
            parser.error(f"--{option} knows {list(known)}, not {sorted(unknown)}")
    if own.data is None and own.only != ["online-retail"]:
        parser.error("--data is needed for all but --only online-retail")
    return own


def main():
    arguments, wrong = parse(), []
    for data in arguments.only:
        print(f"\n{data}")
        where = machine()
        run = Run(data, arguments).go()
        report(run)
        if arguments.system is not None:
            report_beside(run)
        rows = [{"data": data} | row | where for row in run.rows]
        if arguments.written:
            wrong += failures(run) if {OURS, IN_TIME} <= set(run.figures) else []
            write_results("next", replaced(read_results("next"), rows))
            keep_users(run)
    assert_claims(wrong)


if __name__ == "__main__":
    main()
