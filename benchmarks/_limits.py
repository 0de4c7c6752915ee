"""The settings that `bench_limits` varies one at a time, and what it aims at.

Input: the name of a data set.
Output: its curves: values by setting, which one is usual, and how far the others are
from it.
"""

import math

NAME = "limits"
EPOCHS, WIDTH = "max_epochs", "embedding_dim"
CANDIDATES, PAST = "candidates", "max_length"
# What we set out to reach on test.
AIMS = {
    "ml-100k": {"ndcg@10": 0.455},
    "lastfm": {"recall@20": 0.297, "ndcg@20": 0.236},
    "gowalla": {"ndcg@20": 0.154},
    "online-retail": {"ndcg@10": 0.104},
    "ml-1m-last": {"recall@10": 0.335, "ndcg@10": 0.200},
    "ml-100k-last": {"recall@10": 0.240, "ndcg@10": 0.132},
    "ml-latest-last": {"ndcg@10": 0.080},
    "beauty-last": {"recall@10": 0.110, "ndcg@10": 0.068},
    "sports-last": {"recall@10": 0.069, "ndcg@10": 0.041},
    "online-retail-time": {"recall@20": 0.103, "ndcg@10": 0.120},
}
# The values of each curve; the usual one is among them.
SMALL = {
    EPOCHS: [5, 10, 20, 40, 80],
    WIDTH: [128, 256, 384, 512, 768],
    CANDIDATES: [128, 512, 2048, "all"],
}
CURVES = {
    "ml-100k": SMALL | {CANDIDATES: [128, 512, "all"]},
    "lastfm": SMALL,
    "online-retail": SMALL,
    "gowalla": {EPOCHS: [15, 30]},
    "ml-100k-last": {
        EPOCHS: [2, 4, 8, 16],
        WIDTH: [128, 256, 344],
        PAST: [50, 200, 500, 1000],
    },
    "ml-1m-last": {EPOCHS: [4, 8], PAST: [50, 200, 500, 1000]},
    "ml-latest-last": {EPOCHS: [2, 4, 8, 16]},
    "beauty-last": {EPOCHS: [2, 4, 8, 16]},
    "sports-last": {EPOCHS: [4, 8]},
    "online-retail-time": {
        EPOCHS: [2, 4, 8, 16],
        WIDTH: [128, 256, 344],
        PAST: [50, 200, 500, 1000],
    },
}
# The values while another setting is varied: the defaults.
GENERAL = {EPOCHS: 20, WIDTH: 384, CANDIDATES: 512}
IN_TIME = {EPOCHS: 8, WIDTH: 256, PAST: 1000}
# What "all" candidates are.
SIZES = {
    ("ml-100k", "all"): 1682,
    ("lastfm", "all"): 4489,
    ("online-retail", "all"): 3603,
}
# Names of the same data in bench_next.py, where they differ.
IN_ORDER = {"online-retail-time": "online-retail"}
# Values of "auto" that differ from those of most data sets.
OTHERS = {
    "ml-100k": {CANDIDATES: "all"},
    "gowalla": {EPOCHS: 15},
    "ml-1m-last": {EPOCHS: 4},
}


def is_in_time(data):
    return data.endswith(("-last", "-time"))


def usual_of(data, curve):
    """Return the value while another setting is varied."""
    values = IN_TIME if is_in_time(data) else GENERAL
    return (values | OTHERS.get(data, {}))[curve]


def point_of(data, curve, value):
    """Return what names a value in rows; None: the usual one."""
    return None if value == usual_of(data, curve) else f"{curve} {value}"


def figure_of(data):
    """Return the name of the figure that a curve shows."""
    return list(AIMS[data])[-1]


def ratio(data, curve, value):
    """Return the logarithm, to the base 2, of a value divided by the usual one."""
    sizes = [SIZES.get((data, v), v) for v in (value, usual_of(data, curve))]
    return math.log2(sizes[0] / sizes[1])


def changes(rows):
    """Return by setting and data set: pairs of `ratio` and the change in percent.

    The change is that of the mean over seeds, on validation.
    """
    found = {}
    for data, curves in CURVES.items():
        seeds = {}
        for row in rows:
            if (row.get("part"), row["data"]) == ("validation", data):
                seeds.setdefault(row["point"], []).append(row[figure_of(data)])
        means = {point: sum(each) / len(each) for point, each in seeds.items()}
        for curve, values in curves.items():
            known = [v for v in values if point_of(data, curve, v) in means]
            known = known if None in means else []
            points = [
                (
                    ratio(data, curve, value),
                    100 * (means[point_of(data, curve, value)] / means[None] - 1),
                )
                for value in known
            ]
            if len(points) > 1:
                found.setdefault(curve, {})[data] = points
    return found
