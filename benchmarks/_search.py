"""Random search, and steps past the ends of its space where the best trial is at one.

Input: a function that tries parameters; a space: by parameter, a list in ascending
order or a distribution of scipy.
Output: the trials, best first, and the parameters whose best value may lie beyond.
"""

import time
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import ParameterSampler

TRIALS = 20
FURTHER = 3.0  # a step of a distribution
NEARLY = 0.99  # of the best figure: as good as it


class Trial(NamedTuple):
    """The figure on held-out events, and CPU seconds of fit; nan: not measured."""

    quality: float
    params: dict
    fit_cpu_s: float = np.nan


def random_search(attempt, space, n_trials=TRIALS, *, earlier=(), done=0, seconds=None):
    """Return ``n_trials`` trials: the defaults, and others drawn from the space.

    ``earlier``: trials of a search that goes on, which were ``done`` in all; then only
    the rest is drawn, anew. None begins after ``seconds`` of the processor.
    """
    found, start = list(earlier), time.process_time()
    drawn = [] if found else [{}]
    if (left := n_trials - done - len(drawn)) > 0:
        sampler = ParameterSampler(space, left, random_state=done)
        drawn += [_plain(params) for params in sampler]
    for params in drawn:
        if found and seconds is not None and time.process_time() - start > seconds:
            break
        found.append(attempt(params))
    return sorted(found, key=lambda trial: -trial.quality)


def beyond_the_edges(attempt, space, found, defaults, *, open_ones=(), most=8):
    """Return the trials with further ones, best first, and what is still at an edge.

    A further trial has one parameter of the best set one step past the end of its list
    or range, which is repeated until that gains less than 1 %. With
    ``open_ones``, which were at the edge of an earlier, narrower space, a step is taken
    to both sides.
    """
    best, more, settled = found[0], [], set()
    while left := _unsettled(space, defaults | best.params, open_ones, settled):
        name, value = left[0], (defaults | best.params)[left[0]]
        tried = [(defaults | t.params)[name] for t in more]
        steps = [v for v in _steps(space[name], value) if v not in tried]
        if len(more) + len(steps) > most:
            break
        trials = [attempt(best.params | {name: step}) for step in steps]
        more += trials
        highest = max([best, *trials], key=lambda trial: trial.quality)
        if best.quality >= NEARLY * highest.quality:
            settled.add(name)
        best = highest
    return sorted(found + more, key=lambda trial: -trial.quality), left


def _unsettled(space, params, open_ones, settled):
    names = dict.fromkeys([*at_the_edge(space, params), *open_ones])
    return [name for name in names if name not in settled]


def at_the_edge(space, params):
    """Name the parameters at or past the end of their list, or in 5 % of a range.

    What cannot be less is no edge: zero, or one of whole numbers (iterations). A number
    of neighbors or of singular vectors above those there are is tried like any other,
    changes nothing and so is not better. "auto" has no place.
    """
    return [
        name
        for name, values in space.items()
        if any(_sides(values, params[name])) and not _is_least(params[name])
    ]


def _sides(values, value):
    """Return whether a value is at the lower and at the upper end."""
    if value == "auto":
        return False, False
    if isinstance(values, list):
        return value <= values[0], value >= values[-1]
    return values.cdf(value) < 0.05, values.cdf(value) > 0.95


def _is_least(value):
    return value == 0 or (value == 1 and isinstance(value, int))


def _steps(values, value):
    """Return the next values outside, or on both sides where it is not at an end."""
    low, high = _sides(values, value)
    both = not (low or high)
    steps = [_next(values, value, -1)] if low or both else []
    steps += [_next(values, value, 1)] if high or both else []
    return [step for step in steps if step != value]


def _next(values, value, way):
    """Return the next value of a list, or past its end by the ratio of its last two."""
    if not isinstance(values, list):
        return value * FURTHER**way
    inner = [v for v in values if (v > value if way > 0 else v < value)]
    if inner:
        return min(inner) if way > 0 else max(inner)
    step = value * (values[-1] / values[-2] if way > 0 else values[0] / values[1])
    return max(round(step), min(value, 1)) if isinstance(value, int) else step


def cheaper(attempt, space, best, defaults, costs):
    """Return trials of less and less of each of ``costs``, while they are as good."""
    low, more = best, []
    for name in costs:
        while not _is_least(value := (defaults | low.params)[name]):
            step = _next(space[name], value, -1)
            more.append(attempt(low.params | {name: step}))
            if more[-1].quality < NEARLY * best.quality:
                break
            low = more[-1]
    return more


def cheapest(found):
    """Return the trial of the fewest CPU seconds that is nearly as good as the best."""
    near = [
        trial
        for trial in found
        if trial.quality >= NEARLY * found[0].quality and trial.fit_cpu_s > 0
    ]
    return min(near, key=lambda trial: trial.fit_cpu_s, default=None)


def is_settled(row):
    """Return whether a row of results is of a search that is long and wide enough.

    Rows without trials are of systems that are not tuned.
    """
    return row.get("trials", TRIALS) >= TRIALS and not row.get("at_the_edge")


def _plain(params):
    """Turn numpy's numbers into Python's, which JSON can hold."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in params.items()}
