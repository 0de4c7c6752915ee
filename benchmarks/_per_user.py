"""Figures of each user, kept so that intervals can be recomputed.

Input: for each system the figure of each user, (n_users,), in the same order.
Output: ``results/per_user/NAME.npz`` with one float16 array per system, or per system
and figure; intervals.
"""

import numpy as np
from _quick import results_folder


def keep(name, figures):
    """Write the figures of some systems; those of others stay, if users are as many."""
    n_users = {len(values) for values in figures.values()}
    before = {k: v for k, v in read(name).items() if {len(v)} == n_users}
    arrays = before | {k: np.asarray(v, dtype=np.float16) for k, v in figures.items()}
    folder = results_folder() / "per_user"
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / f"{name}.npz", **arrays)


def read(name, folder=None):
    """Return what was kept, a dict of float64 arrays; empty if there is nothing."""
    path = (folder or results_folder() / "per_user") / f"{name}.npz"
    if not path.exists():
        return {}
    with np.load(path) as arrays:
        return {key: arrays[key].astype(np.float64) for key in arrays.files}


def named(system, figure):
    """Return the name of an array where a file has several figures of a system."""
    return f"{system}, {figure}"


def interval(difference, repeats=2000):
    """Return the 95 % interval of the mean of (n_users,), by bootstrap over users."""
    rng = np.random.default_rng(0)
    means = [rng.choice(difference, len(difference)).mean() for _ in range(repeats)]
    return np.quantile(means, [0.025, 0.975])


def gain(after, before):
    """Return the mean difference of users' figures and half its 95 % interval."""
    difference = np.asarray(after) - np.asarray(before)
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return {"gained": difference.mean(), "half_interval": 1.96 * error}


def against_the_best(figures, ours):
    """Return which other system is best, and how far ours is from it, as a row.

    The best is chosen by the very figure compared, which favors the others.
    """
    others = {k: np.mean(v) for k, v in figures.items() if not k.startswith(ours)}
    best = max(others, key=others.get)
    difference = np.asarray(figures[ours]) - np.asarray(figures[best])
    low, high = interval(difference)
    return {"best": best, "gained": difference.mean(), "low": low, "high": high}
