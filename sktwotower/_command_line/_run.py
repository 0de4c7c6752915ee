"""A run of the command line, from its arguments to the last file.

Input: arguments.
Output: a printed report, and files.
"""

import contextlib
import functools
import io
import os
import sys
import warnings

from sktwotower.metrics import retrieval_report

from . import _models, _options, _printed, _tasks, _written
from ._steps import step


def run(arguments, saved) -> None:
    """Do what the arguments say.

    ``saved``: a list that gets the path of each file as soon as it is written.
    """
    args = _options.parse(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # which may lack letters of names
        sys.stdout.reconfigure(errors="backslashreplace")
    with joined() as is_first, warnings.catch_warnings():
        # a line for each text, as both fits may warn of the same
        once = functools.cache(lambda line: print(line, file=sys.stderr))
        warnings.showwarning = lambda message, *_, **__: once(f"\nWarning: {message}")
        fit_and_save(args, is_first, saved)


def fit_and_save(args, is_first, saved) -> None:
    """Fit, and in the first of several processes print and save the result."""
    if args.data is None:
        task = _tasks.shipped_task()
    else:
        task = _tasks.own_task(args)
    train, test, how = task.split()
    summary = task.summary(train, test, how)
    print(summary)
    if is_first:
        _written.make_folders(args)
    how_to_fit = {"epochs": args.epochs, "seed": args.seed}
    model = _models.fit(task, train, "Fitting two towers", **how_to_fit)
    if is_first:
        baselines = {}
        if not isinstance(task, _tasks.DiskTask):  # in memory, as the baselines need
            seconds = sum(epoch["dur"] for epoch in model.history_)
            baselines = _models.fit_baselines(task, train, seconds, args.seed)
        with step("Judging all of them"):
            report = retrieval_report(model, test, baselines=baselines)
        report.attrs["split"] = summary
        _printed.show_quality(model, report)
        print(task.caution)
        losses = [epoch["train_loss"] for epoch in model.history_]
        _printed.show_next_steps(args, task, report, losses)
        picture = _written.draw(model, task, test, baselines)
        page = _written.page(model, task, train, test, report, picture)
        _written.save_report(picture, page, args.output, saved)
    model = _models.fit(task, task.events, "Fitting again, on all events", **how_to_fit)
    if is_first:
        _printed.show_recommendations(model, task)
        _written.save_model(model, args.output, saved)
        if args.recommendations is not None:
            _written.write_recommendations(model, task, args.recommendations, args.k)


@contextlib.contextmanager
def joined():
    """Join the processes that torchrun has started, of which the first one prints.

    Yield whether this is the first.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield True
        return
    from sktwotower.recommender import _processes  # torch takes seconds to import

    with _processes.joined() as is_first:
        printed = sys.stdout
        if not is_first:
            printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            yield is_first
