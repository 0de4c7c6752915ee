"""How long does ours take to rank as well as tuned iALS does, in iALS's own time?

Call ``python benchmarks/bench_against_ials.py --data DIR [--only ml-1m]``. iALS (by
`implicit`) has the parameters that bench_quality.py found, or else those of a random
search as there, whose trials and seconds ``--trials`` and ``--tuning-seconds`` bound.
It is fitted on all of train. Ours is fitted with its defaults and each of EPOCHS as
``max_epochs`` in turn, until its NDCG@20 on test reaches that of iALS. Every fit has a
process of its own, on the same threads, and counts with the wall time of fit; tuning
counts on neither side.

With ``--curve`` both are fitted at several lengths instead, and count with CPU seconds:
iALS with each of FACTORS and ITERATIONS, and its other parameters as above; ours with
each of LENGTHS as ``max_epochs``, and with its defaults.

Failure: ours never gets there, or takes longer than iALS; on the curve, iALS has ranked
better than any fit of ours as short as that, at any time from 5 s on.
"""

import argparse
from itertools import product

import pandas as pd
from _common import PROTOCOLS, machine, read_results, write_results
from _processes import call
from _quick import assert_claims, is_left_out, parse_options
from _systems import OURS

EPOCHS = [3, 5, 8, 12, 20, 30]
FIGURE, FIGURES = "ndcg@20", ["ndcg@20", "recall@20"]
TIMES = "of iALS's time"
MAX_RATIO_TO_IALS = 1.0
# Lengths of fits on the curve, and the seconds from which on ours is to be ahead.
FACTORS, ITERATIONS = [64, 128, 256, 512], [2, 4, 7]
LENGTHS = [1, 2, 4, 8]
AHEAD_FROM = 5.0


def fitted(system, case, params):
    """Return a row with the quality and the seconds of a fit."""
    row, figures = call(
        "_systems:measure", name=system, params=params, truncated=False, **case
    )
    row |= {figure: sum(figures[figure]) / len(figures[figure]) for figure in FIGURES}
    seconds = f"{row['fit_s']:.2f} s, {row['fit_cpu_s']:.2f} s of CPU"
    print(f"{system}: {FIGURE} {row[FIGURE]:.4f} in {seconds}", flush=True)
    return row


def best_params(case, trials, seconds):
    """Return iALS's parameters, those of bench_quality.py if they are written."""
    for row in read_results(f"quality_{case['data']}"):
        if row["system"] == "iALS":
            return row["params"]
    limits = {"trials": trials, "seconds": seconds, "figure": FIGURE}
    return call("_systems:tune", name="iALS", **case, **limits)["params"]


def race(case, trials, seconds):
    """Return a row of iALS and one of each fit of ours until it is level."""
    params = best_params(case, trials, seconds)
    rows = [fitted("iALS", case, params)]
    for max_epochs in EPOCHS:
        params = {"max_epochs": max_epochs, "random_state": 0}
        row = fitted(OURS, case, params) | {"max_epochs": max_epochs}
        rows.append(row | {"level": row[FIGURE] >= rows[0][FIGURE]})
        if rows[-1]["level"]:
            break
    return [row | {TIMES: row["fit_s"] / rows[0]["fit_s"]} for row in rows]


def curve(case, trials, seconds):
    """Return rows of short and long fits of both."""
    tuned, rows = best_params(case, trials, seconds), []
    for factors, iterations in product(FACTORS, ITERATIONS):
        params = tuned | {"factors": factors, "iterations": iterations}
        row = fitted("iALS", case, params)
        rows.append(row | {"fit": f"iALS {factors} x {iterations}"})
    for max_epochs in [*LENGTHS, "auto"]:
        params = {"max_epochs": max_epochs, "random_state": 0}
        row = fitted(OURS, case, params)
        rows.append(row | {"fit": f"ours {max_epochs}"})
    return rows


def behind(rows):
    """Return the seconds, from 5 on, at which the best fit so far is one of iALS."""
    times = {max(AHEAD_FROM, row["fit_cpu_s"]) for row in rows}
    found = []
    for time in sorted(times):
        best = max((r for r in rows if r["fit_cpu_s"] <= time), key=lambda r: r[FIGURE])
        if best["system"] != OURS:
            found.append(round(time, 1))
    return found


def write_curve(own, case, where):
    """Measure and write the curve; fail where iALS is ahead."""
    rows = curve(case, own.trials, own.tuning_seconds)
    shown = ["fit", *FIGURES, "fit_cpu_s"]
    print(pd.DataFrame(rows)[shown].sort_values("fit_cpu_s").to_string(index=False))
    write_results(f"against_ials_curve_{own.only}", [row | where for row in rows])
    seconds = behind(rows)
    assert_claims([f"iALS is ahead after {seconds} s"] if seconds else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder that holds the data set")
    parser.add_argument("--only", default="ml-1m", choices=list(PROTOCOLS))
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--tuning-seconds", type=float, default=600)
    parser.add_argument("--curve", action="store_true", help="fits of many lengths")
    own, where = parse_options(parser, needs_data=True), machine()
    case = {"data": own.only, "folder": own.data}
    if is_left_out("iALS"):
        return
    if own.curve:
        write_curve(own, case, where)
        return
    rows = race(case, own.trials, own.tuning_seconds)
    table = pd.DataFrame(rows)
    shown = ["system", FIGURE, "fit_s", "fit_mb", TIMES]
    print(f"{own.only}, threads {where['threads']}, load {where['load_before']}")
    print(table[shown].to_string())
    write_results(f"against_ials_{own.only}", [row | where for row in rows])
    wrong = [] if rows[-1]["level"] else ["ours does not reach iALS"]
    if (ratio := rows[-1][TIMES]) > MAX_RATIO_TO_IALS:
        wrong.append(f"ours takes {ratio:.1f} times as long as iALS")
    assert_claims(wrong)


if __name__ == "__main__":
    main()
