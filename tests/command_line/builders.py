"""What the command line makes of options, without the fits that follow."""

from sktwotower._command_line import _options, _tasks

__all__ = ["task_of", "task_of_options"]


def task_of_options(*options):
    """Return what is learnt: the events and the columns that are taken."""
    return _tasks.own_task(_options.parse([*map(str, options)]))


def task_of(folder, table, *options):
    """Return what is learnt from a table, written to a text file of a folder."""
    path = folder / "events.csv"
    table.to_csv(path, index=False)
    return task_of_options("--data", path, *options)
