"""What users see of a call: errors about its numbers, warnings, log records and bars.

Input: values of parameters, names and ids.
Output: ints and bools, parts of messages, warnings that point at the user's line.
"""

import logging
import multiprocessing
import os
import reprlib
import sys
import threading
import warnings
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from importlib import import_module
from numbers import Integral

import numpy as np

from ._spelling import are_alike, closest

logger = logging.getLogger("sktwotower")

# With verbose="auto", what is done within these seconds shows no bar.
QUIET_SECONDS = 4.0
# What is trained, in the words of a progress bar.
_stage = ContextVar("stage", default="training")


def imported(module, message):
    """Return a module; raise ``ImportError`` with a message if it is not installed."""
    try:
        import_module(module.partition(".")[0])
        return import_module(module)
    except ImportError as error:
        raise ImportError(message) from error


def check_count(value, name, minimum=1, maximum=None):
    """Return an integer from `minimum` to `maximum` as an int; bools are refused.

    Raise ``TypeError`` if it is not an integer, ``ValueError`` if it is out of range.
    """
    if type(value) is int and value >= minimum and maximum is None:
        return value  # the most frequent case
    expected = f"an integer >= {minimum}"
    if maximum is not None:
        expected = f"an integer from {minimum} to {maximum}"
    message = f"{name} must be {expected}. Got {value!r} instead."
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(message)
    if value < minimum or (maximum is not None and value > maximum):
        raise ValueError(message)
    return int(value)


def check_flag(value, name):
    """Return True or False as a bool; raise ``TypeError`` for anything else."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False. Got {value!r}.")
    return bool(value)


def format_ids(ids, n=5):
    """Return the first ``n`` of many ids as text."""
    shown = [repr(value) for value in np.asarray(ids[:n]).tolist()]
    if len(ids) > n:
        shown.append("...")
    return ", ".join(shown)


def not_known(ids, side):
    """Return that ids of users or items are not known from fit, as text."""
    if len(ids) == 1:
        return f"The {side} {format_ids(ids)} is not known from fit"
    return f"{len(ids)} {side}s are not known from fit: {format_ids(ids)}"


_short = reprlib.Repr()
_short.maxlevel = 1
_short.maxdict = 5
_short.maxlist = 5
_short.maxtuple = 5
_short.maxset = 5
_short.maxfrozenset = 5


def shorten(value):
    """Return a value as short text: of many entries the first five, not nested."""
    return _short.repr(value)


def refuse_misspelled(columns, known, what, table, only_alike=False):
    """Raise if a column of a table has almost the name of ``what`` fit has known.

    ``columns``: those that mean nothing to fit. ``known``: names of fit; only those
    that the table lacks can be meant. ``only_alike``: look for names that differ in
    case, blanks, ``_``, ``-`` or look-alike letters, not for similar ones.
    """
    for column in columns:
        if only_alike:
            close = next((name for name in known if are_alike(column, name)), None)
        else:
            close = closest(column, known, cutoff=0.7)
        if close is not None:
            raise ValueError(
                f"{table} has a column {column!r}, which is not a {what} of fit. "
                f"Did you mean {close!r}?"
            )


def did_you_mean(name, known, what="Columns"):
    """Return ' Did you mean ...?', or the known names where none is similar."""
    close = closest(name, known)
    if close is not None:
        return f" Did you mean {close!r}?"
    names = [repr(str(known_name)) for known_name in known]
    if len(names) > 12:
        names = [*names[:12], "..."]
    return f" {what}: {', '.join(names)}."


# Packages whose frames are between the user's line and the warning.
_INNER = {"joblib", "sklearn", "skorch", "sktwotower"}
# What the parts of a call have warned of, if each warning is to be given once.
_said = ContextVar("said")


def one_call(function, *arguments, **options):
    """Return what a function returns, whose parts give each warning once."""
    context = copy_context()
    context.run(_said.set, set())
    return context.run(function, *arguments, **options)


def warn(message, category=UserWarning):
    """Warn at the line of the caller outside this package and those it builds on."""
    said = _said.get(set())
    if message in said:
        return
    said.add(message)
    frame = sys._getframe(1)
    level = 2
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _INNER:
            break
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def not_unicode(name, error):
    """Return the ``ValueError`` for text that caused a ``UnicodeEncodeError``."""
    return ValueError(
        f"{name} holds {error.object!r}, which is not Unicode text: it has half of a "
        "surrogate pair. Repair the text where it is read, or remove such rows."
    )


@contextmanager
def stage(name):
    """Name what is trained inside of the block, for its progress bars."""
    token = _stage.set(name)
    try:
        yield
    finally:
        _stage.reset(token)


def stage_now():
    """Return the name of what is trained now."""
    return _stage.get()


def prints_epochs(verbose):
    """Return whether a value of ``verbose`` asks for a line of each epoch."""
    return verbose != "auto" and verbose > 1


def verbose_inside(verbose):
    """Return ``verbose`` of a fit inside of `fit`: bars only if it takes long."""
    return 0 if prints_epochs(verbose) or not verbose else "auto"


def shows_bars(verbose):
    """Return whether a value of ``verbose`` asks for bars that somebody can see."""
    if verbose == "auto":
        is_silenced = os.environ.get("CI") or os.environ.get("TQDM_DISABLE")
        is_worker = multiprocessing.parent_process() is not None  # as those of joblib
        return _is_watched() and not is_silenced and not is_worker
    return bool(verbose) and _is_watched()


def _is_watched():
    """Return whether stderr is a terminal or a notebook."""
    is_notebook = type(sys.stderr).__module__.startswith("ipykernel")
    return is_notebook or sys.stderr.isatty()


def progress_bar(verbose, iterable=None, **options):
    """Return a tqdm bar, which shows nothing if ``shows_bars`` is false.

    With "auto" the bar comes after some seconds, and goes when all is done.
    """
    from tqdm import tqdm  # not where numpy has to be enough

    if verbose == "auto":
        options = {"delay": QUIET_SECONDS, "leave": False} | options
    return tqdm(iterable, disable=not shows_bars(verbose), **options)


@contextmanager
def status(verbose, text):
    """Show a line while the block runs, if it takes long and somebody can see it."""
    if not shows_bars(verbose):
        yield
        return
    shown = []

    def show():
        form = {"bar_format": "{desc} ...", "leave": False, "delay": 0.0}
        shown.append(progress_bar(verbose, desc=text, **form))

    timer = threading.Timer(QUIET_SECONDS, show)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for line in shown:
            line.close()
