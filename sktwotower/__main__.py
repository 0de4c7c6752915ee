"""The command line: ``sktwotower``, or ``python -m sktwotower``.

Input: the shipped purchases, or a person's own table of events.
Output: a printed report, recommendations, a saved model, a picture and a page.
"""

import contextlib
import io
import os
import sys

from sktwotower._command_line import _models, _options, _printed, _tasks, _written
from sktwotower._command_line._steps import step, stopped_by_signal
from sktwotower.metrics import retrieval_report


def main(arguments=None) -> int:
    """Run the command line and return the exit status; Ctrl-C raises ``SystemExit``."""
    args, saved = _options.parse(arguments), []
    if isinstance(sys.stdout, io.TextIOWrapper):  # which may lack letters of names
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with joined() as is_first, stopped_by_signal(saved):
            run(args, is_first, saved)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(args, is_first, saved) -> None:
    """Fit, and in the first of several processes print and save the result.

    ``saved``: a list that gets the path of each file as soon as it is written.
    """
    task = _tasks.shipped_task() if args.data is None else _tasks.own_task(args)
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
        _printed.show_next_steps(args, task, report)
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
        with contextlib.redirect_stdout(sys.stdout if is_first else io.StringIO()):
            yield is_first


if __name__ == "__main__":
    sys.exit(main())
