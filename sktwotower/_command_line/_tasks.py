"""What the command line learns from: the shipped purchases, or a table in memory.

Input: the command line.
Output: events, their side tables, and how to hold some of them out.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sktwotower._tables._columns import codes_of_rows
from sktwotower.datasets import load_online_retail
from sktwotower.model_selection import LastNSplit, TimeSplit

from . import _files as files
from ._disk_task import DiskTask, is_on_disk, of_known
from ._options import own_columns

# Codes among the shipped purchases that are not goods.
NOT_GOODS = ["POST", "DOT", "C2", "M", "BANK CHARGES"]


@dataclass
class Task:
    """Events, what they are called, and how to hold some of them out."""

    title: str
    events: pd.DataFrame  # one row per event: user, item and, if known, time
    user: str  # column of the user ids
    item: str  # column of the item ids
    time: str | None = None  # column of the times; None: rows are in order of time
    users: pd.DataFrame | None = None  # side table of the users
    items: pd.DataFrame | None = None  # side table of the items
    names: pd.Series | None = None  # name of each item, by its id
    context: list[str] = field(default_factory=list)  # columns that describe the event
    which = "the last "  # of a user's items, which are shown
    name = DiskTask.name

    def split(self) -> tuple[pd.DataFrame, pd.DataFrame, str]:
        """Return events to learn from, events held out, and how they were chosen."""
        if self.time is not None:
            splitter = TimeSplit(test_size=0.2, time=self.time, **of_known(self))
            how = f"the last 20 % by {self.time}"
        else:
            splitter = LastNSplit(n=0.2, **of_known(self))
            how = f"the last 20 % of each {self.user}'s rows"
        try:
            train, test = next(splitter.split(self.events))
        except ValueError as error:
            raise ValueError(
                f"No events can be held out ({how}): their {self.user} and {self.item} "
                f"must occur in other events. There are {len(self.events):,} events of "
                f"{self.events[self.user].nunique():,} users and "
                f"{self.events[self.item].nunique():,} items, which are too few."
            ) from error
        return self.events.iloc[train], self.events.iloc[test], how

    def summary(self, train, test, how) -> str:
        """Return what there is to learn from, and what is held out."""
        left_out = len(self.events) - len(train) - len(test)
        return (
            f"Learning from {len(train):,} events of {train[self.user].nunique():,} "
            f"users and {train[self.item].nunique():,} items. Held out: {how}, "
            f"{len(test) + left_out:,} events; {left_out:,} of these have an unknown "
            "user or item and are left out."
        )

    def everything(self) -> pd.DataFrame:
        """Return all events."""
        return self.events

    def examples(self, model) -> pd.DataFrame:
        """Return the events of the users to recommend to, the latest last."""
        return self.events

    def requests(self, users) -> pd.DataFrame | None:
        """Return requests of users in the context of their last events, or None.

        If the time is context, they ask at the end of the data.
        """
        if not self.context:
            return None
        last = self.events.groupby(self.user).tail(1).set_index(self.user)
        requests = last.loc[users, self.context].reset_index()
        if self.time in self.context:
            requests[self.time] = self.events[self.time].max()
        return requests


def shipped_task() -> Task:
    """Return the shipped purchases: a customer's first purchase of each product."""
    data = load_online_retail()
    events = data.data[["customer", "product", "time"]]
    events = events.drop_duplicates(["customer", "product"])
    goods = ~events["product"].isin(NOT_GOODS)
    print(
        f"Online Retail (Chen et al. 2012, CC0): {len(data.data):,} purchase lines. "
        f"First purchases of a product: {len(events):,}; {(~goods).sum():,} of these, "
        "for carriage, manual entries and bank charges, are left out."
    )
    return Task(
        "Online Retail",
        events[goods].reset_index(drop=True),
        "customer",
        "product",
        "time",
        users=data.customers,
        names=data.products.set_index("product")["description"],
    )


def own_task(args) -> Task | DiskTask:
    """Return the events of the person's own file or files."""
    if is_on_disk(args.data):
        return DiskTask(args, *side_tables(args))
    path = Path(args.data)
    columns = [args.user, args.item]
    events = files.read_table(path)
    users, items = side_tables(args)
    names, named = None, {} if items is None else items
    for option, column in own_columns(args):
        if column != args.item_name or column not in named:
            files.check_column(events, column, option, path)
    if args.time is not None:
        columns.append(args.time)
        times = files.read_times(events[args.time], args.time, args.time_format)
        events[args.time] = times
        events = events.sort_values(args.time, kind="stable")
    missing = events[columns].isna().any(axis=1)
    if missing.any():
        print(f"{missing.sum():,} rows without {' or '.join(columns)} are left out.")
    events, users, items = with_ids(events[~missing], args, users, items)
    if args.item_name is not None:
        of = items if args.item_name in named else events
        names = files.read_names(of, args.item, args.item_name)
    context = [column for column in args.context if column != args.time]
    for column in context:
        events[column] = files.read_feature(events[column])
    pair = [args.user, args.item]
    events = events[columns + context]
    repeated = codes_of_rows(events, [*pair, *args.context], "--context")
    events = events[~pd.Series(repeated, events.index).duplicated()]
    if events.empty:
        raise ValueError(f"--data: {path} has no row with {' and '.join(columns)}.")
    within = f", each once in a context of {', '.join(args.context)}"
    print(
        f"{path}: {len(events.drop_duplicates(pair)):,} distinct pairs of {args.user} "
        f"and {args.item}{within if args.context else ''}."
    )
    events, context = events.reset_index(drop=True), args.context
    others = {"users": users, "items": items, "names": names, "context": context}
    return Task(path.stem, events, args.user, args.item, args.time, **others)


def with_ids(events, args, users, items) -> tuple:
    """Return events and side tables, whose ids are numbers or text in both."""
    tables = []
    for column, table in ((args.user, users), (args.item, items)):
        ids, table = files.of_one_type(files.read_ids(events[column]), table, column)
        events = events.assign(**{column: ids})
        tables.append(table)
    return events, *tables


def side_tables(args) -> tuple:
    """Return the tables of users and of items, None where there is none."""
    sides = (args.users, args.user, "--users"), (args.items, args.item, "--items")
    return tuple(
        None if path is None else files.read_side_table(Path(path), column, option)
        for path, column, option in sides
    )
