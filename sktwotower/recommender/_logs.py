"""Log records of training: sizes, choices and seconds, never an id.

Input: events, or the fitted state that training has led to.
Output: records of the logger ``sktwotower`` at level INFO.
"""

import time
from contextlib import contextmanager

from sktwotower._tables._progress import logger

__all__ = ["log_events", "log_result", "stopwatch"]


@contextmanager
def stopwatch():
    """Return a function that returns the seconds since the block began."""
    start = time.perf_counter()
    yield lambda: time.perf_counter() - start


def log_events(call, n_events, events):
    """Log the size of what is learnt from; ``events``: the ``Events`` of fit."""
    logger.info(
        "%s: %d events of %d users and %d items, %d pairs chosen, %d shown",
        call,
        n_events,
        len(events.users),
        len(events.items),
        events.positives.nnz,
        events.impressions.nnz,
    )


def log_result(call, fitted, seconds):
    """Log what fit chose by itself, and the last epoch; ``fitted``: the new state."""
    last = fitted.epochs[-1] if fitted.epochs else {}
    figures = [
        f"{k} {last[k]:.4f}" for k in ("train_loss", "valid_recall") if k in last
    ]
    logger.info(
        "%s took %.1f s: %d users, %d items, history %s, candidates %s, temperature "
        "%.3g, half-life %s, impression weight %s, %d epochs%s, index %s with recall "
        "%.3f",
        call,
        seconds,
        len(fitted.user_ids),
        fitted.n_items,
        fitted.history_kind,
        fitted.candidate_sampling,
        fitted.temperature,
        fitted.half_life,
        fitted.net.criterion__impression_weight,
        len(fitted.epochs),
        "".join(f", {figure}" for figure in figures),
        type(fitted.catalog.index).__name__,
        fitted.catalog.index_recall,
    )
