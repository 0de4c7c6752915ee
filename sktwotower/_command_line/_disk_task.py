"""The command line's task with several Parquet files, which are not read into memory.

Input: a folder, a pattern or a URL of Parquet files, and the names of columns.
Output: a train side on disk, a test side as a table, and what is printed of them.
"""

import glob
import os

import numpy as np
import pandas as pd

from sktwotower._tables._frames import as_frame
from sktwotower._tables._sources import opened
from sktwotower.model_selection import TimeSplit

from ._files import of_one_type, read_names
from ._options import own_columns

# The held-out events are read into memory: a fifth of all, but no more than these.
MAX_TEST_ROWS = 1_000_000
# Number of users, drawn at random, from which examples are chosen.
N_EXAMPLES = 1_000


def is_on_disk(path):
    """Return whether a path is a folder, a pattern or a URL."""
    several = "://" in path or glob.has_magic(path)
    return os.path.isdir(path) or (not os.path.isfile(path) and several)


def of_known(task):
    """Return parameters of a splitter, by which held-out users and items are known."""
    columns = {"user_id": task.user, "item_id": task.item}
    return columns | {"drop_unseen_users": True, "drop_unseen_items": True}


class DiskTask:
    """Events on disk, what they are called, and how to hold some of them out.

    Parameters
    ----------
    args : Namespace
        The options: ``data`` is a folder, a pattern or a URL of Parquet
        files.
    users, items : DataFrame or None
        Side tables.
    """

    which = ""  # the order of a user's items is not shown

    def __init__(self, args, users, items):
        path, item = args.data, args.item
        if args.time is None:
            raise ValueError(
                f"--data: {path} is several files, of which the latest events are held "
                "out. Name the column of the time: --time."
            )
        self.title, self.path = path, path
        self.user, self.item, self.time = args.user, item, args.time
        self.context, named = args.context, args.item_name
        in_items = items is not None and named in items
        with opened(path) as source:
            for option, column in own_columns(args):
                if option != "--item-name" or not in_items:
                    source.position(column, option)
            own_name = item if named is None or in_items else named
            source.select(i=item, t=args.time, n=own_name)
            counted = source.query("select count(*) as n from events")
            self.n_events = counted["n"][0].as_py()
            self.users = _of_type(source, args.user, users)
            self.items = _of_type(source, item, items)
            if in_items:
                self.names = read_names(self.items, item, named)
            else:
                self.names = None if named is None else _names(source, item)

    def split(self):
        """Return events to learn from, events held out, and how they were chosen."""
        share = min(0.2, MAX_TEST_ROWS / max(1, self.n_events))
        splitter = TimeSplit(test_size=share, time=self.time, **of_known(self))
        train, test = next(splitter.split(self.path))
        test = as_frame(test.to_table(), "test")
        return train, test, f"the last {share:.2%} by {self.time}"

    def summary(self, train, test, how):
        """Return what there is to learn from, and what is held out."""
        n_train = train.count_rows()
        return (
            f"Learning from {n_train:,} events on disk. Held out: {how}, "
            f"{self.n_events - n_train:,} events; {len(test):,} of these have a known "
            "user and item and are used."
        )

    def everything(self):
        """Return all events: where they are."""
        return self.path

    def examples(self, model):
        """Return the events of some users as a table."""
        rng = np.random.default_rng(0)
        n_users = min(N_EXAMPLES, len(model.user_ids_))
        return model.seen_items(rng.choice(model.user_ids_, n_users, replace=False))

    def requests(self, users):
        """Return None: examples are without context, as of `examples`."""

    def name(self, item):
        """Return an item's id with its name."""
        text = "" if self.names is None else str(self.names.get(item, ""))
        return f"{item!s:<12} {text.strip()}".rstrip()


def _of_type(source, column, table):
    """Return a side table with text as ids, if the events on disk have it."""
    ids = source.empty.iloc[:, source.position(column, column)]
    return of_one_type(ids, table, column)[1]


def _names(source, item):
    """Return a name of each item, by its id."""
    frame = as_frame(source.query("select i, max(n) as n from events group by i"), "X")
    return pd.Series(frame["n"].to_numpy(), index=frame["i"].rename(item))
