"""What the command line learns from: the shipped purchases, or a person's own events.

Input: the command line.
Output: events, their side tables, and how to hold some of them out.
"""

import glob
import os
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower._tables._columns import codes_of_rows
from sktwotower._tables._frames import as_frame
from sktwotower._tables._messages import format_ids
from sktwotower._tables._sources import opened
from sktwotower.datasets import load_online_retail
from sktwotower.model_selection import LastNSplit, TimeSplit

from . import _files as files
from ._chosen_columns import (
    DiskValues,
    TableValues,
    check_users,
    choose_ids,
    said_of_few,
)
from ._options import own_columns

# Codes among the shipped purchases that are not goods.
NOT_GOODS = ["POST", "DOT", "C2", "M", "BANK CHARGES"]
ONE_EACH = " Each {side} has one event. Is --{side} the right column?"
AT_RANDOM = "Rows were held out at random: do not trust small leads."
AHEAD_OF_TIME = "The models know later events of other users, as they would not in use."
FEW_COME_BACK = "Few users come back, or many items are new."
SPLIT_LAST = "To judge more users by their own last events: --split last."
# Held-out events of those on disk are read into memory: a fifth of all, or so many.
MAX_TEST_ROWS = 1_000_000
# Number of users of events on disk, drawn at random, from which examples are chosen.
N_EXAMPLES = 1_000


@dataclass
class Task:
    """Events in memory, what they are called, and how to hold some of them out."""

    title: str
    events: pd.DataFrame | str  # one row per event: user, item and, if known, time
    user: str  # column of the user ids
    item: str  # column of the item ids
    time: str | None = None  # column of the times; None: rows are in order of time
    users: pd.DataFrame | None = None  # side table of the users
    items: pd.DataFrame | None = None  # side table of the items
    names: pd.Series | None = None  # name of each item, by its id
    context: list[str] = field(default_factory=list)  # columns that describe the event
    # of a user's items, which are shown; "": they have no order
    which: str = "the last "
    caution: str = ""  # what to say next to the verdict
    # whether the last events of each user are held out, and not the last of all
    by_user: bool = False

    def known(self) -> dict:
        """Return parameters of a splitter, so that held-out ids are known."""
        columns = {"user_id": self.user, "item_id": self.item}
        return columns | {"drop_unseen_users": True, "drop_unseen_items": True}

    def split(self) -> tuple[pd.DataFrame, pd.DataFrame, str]:
        """Return events to learn from, events held out, and how they were chosen."""
        if self.cuts_time:
            splitter = TimeSplit(test_size=0.2, time=self.time, **self.known())
            how = f"the last 20 % by {self.time}"
        else:
            n = 0.2
            share = "20 %"
            most = self.events[self.user].value_counts().max()
            if most < 5:  # a fifth of them, rounded down, is none
                n = 1
                share = "one"
            splitter = LastNSplit(n=n, time=self.time, **self.known())
            how = f"{self.which}{share} of each {self.user}'s rows"
            if not self.which:
                how += ", at random"
            if self.time is not None:
                how += f" by {self.time}"
        try:
            train, test = next(splitter.split(self.events))
        except ValueError as error:
            raise ValueError(self._why_not(how)) from error
        return self.events.iloc[train], self.events.iloc[test], how

    @property
    def cuts_time(self) -> bool:
        """Whether what is held out comes after a point in time, the same for all."""
        return self.time is not None and not self.by_user

    @property
    def offers_last(self) -> bool:
        """Whether the last events of each user could be held out instead."""
        return self.cuts_time

    def _why_not(self, how) -> str:
        """Return why no event can be held out, and what may be done."""
        n_events = len(self.events)
        n_users = self.events[self.user].nunique()
        n_items = self.events[self.item].nunique()
        other = "other"
        if self.cuts_time:
            other = "earlier"
        hint = said_of_few(self.user, TableValues(self.events))
        if n_users == n_events:
            hint += ONE_EACH.format(side="user")
        elif n_items == n_events:
            hint += ONE_EACH.format(side="item")
        elif self.offers_last:
            hint += f" {SPLIT_LAST}"
        return (
            f"No events can be held out ({how}): their {self.user} and {self.item} "
            f"must occur in {other} events. Events: {n_events:,}, users: "
            f"{n_users:,}, items: {n_items:,}.{hint}"
        )

    def summary(self, train, test, how) -> str:
        """Return what there is to learn from, and what is held out."""
        n_users = train[self.user].nunique()
        n_items = train[self.item].nunique()
        learnt = f"{len(train):,} events of {n_users:,} users and {n_items:,} items"
        n_held_out = len(self.events) - len(train)
        return _summary(learnt, how, n_held_out, len(test), self.offers_last)

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

    def name(self, item) -> str:
        """Return an item's id with its name."""
        text = ""
        if self.names is not None:
            text = str(self.names.get(item, ""))
        return f"{item!s:<12} {text.strip()}".rstrip()


@dataclass
class DiskTask(Task):
    """Events on disk: ``events`` is a folder, a pattern or a URL of Parquet files."""

    n_events: int = 0
    which: str = ""
    offers_last = False

    def split(self):
        """Return events to learn from, events held out, and how they were chosen."""
        share = min(0.2, MAX_TEST_ROWS / max(1, self.n_events))
        splitter = TimeSplit(test_size=share, time=self.time, **self.known())
        train, test = next(splitter.split(self.events))
        test = as_frame(test.to_table(), "test")
        return train, test, f"the last {share:.2%} by {self.time}"

    def summary(self, train, test, how):
        """Return what there is to learn from, and what is held out."""
        n = train.count_rows()
        n_held_out = self.n_events - n
        return _summary(f"{n:,} events on disk", how, n_held_out, len(test))

    def examples(self, model):
        """Return the events of some users as a table."""
        rng = np.random.default_rng(0)
        users = model.user_ids_
        n_users = min(N_EXAMPLES, len(users))
        return model.seen_items(rng.choice(users, n_users, replace=False))

    def requests(self, users):
        """Return None: examples are without context, as of `examples`."""


def _summary(learnt, how, n_held_out, n_used, offers_last=False):
    """Return what is learnt from and held out, and a hint if little of it counts."""
    text = (
        f"The models learn from {learnt}. {n_held_out:,} events are held out: {how}. "
        f"Of these, {n_used:,} are judged: their user and their item are known."
    )
    if n_used > n_held_out / 2:
        return text
    text += f" {FEW_COME_BACK}"
    if offers_last:
        text += f" {SPLIT_LAST}"
    return text


def shipped_task() -> Task:
    """Return the shipped purchases: a customer's first purchase of each product."""
    data = load_online_retail()
    columns = ["customer", "product", "time"]
    events = data.data[columns].drop_duplicates(columns[:2])
    goods = ~events["product"].isin(NOT_GOODS)
    print(f"Online Retail (Chen et al. 2012, CC0) has {len(data.data):,} lines.")
    print(f"{len(events):,} of them are a customer's first purchase of a product.")
    print(f"{(~goods).sum():,} are left out: carriage, manual entries, bank charges.")
    events = events[goods].reset_index(drop=True)
    names = data.products.set_index("product")["description"]
    return Task("Online Retail", events, *columns, users=data.customers, names=names)


def own_task(args) -> Task:
    """Return the events of the person's own file or files."""
    path = args.data
    several = "://" in args.data or glob.has_magic(args.data)
    on_disk = os.path.isdir(path) or (several and not os.path.isfile(path))
    if on_disk:
        if args.split == "last":
            raise ValueError(f"--split last needs one file, but {path} is several.")
        with opened(path) as source:
            events = source.empty
            dates = columns_of_times(events)
            choose_ids(args, events.columns, dates, DiskValues(source))
    else:
        events = files.read_table(Path(path), encoding=args.encoding)
        dates = columns_of_times(events)
        values = TableValues(events)
        lists = [column for column in events if values.holds_lists(column)]
        choose_ids(args, events.columns, [*dates, *lists], values)
    in_events = args.encoding, events.columns
    users = files.read_side_table(args.users, args.user, "--users", *in_events)
    items = files.read_side_table(args.items, args.item, "--items", *in_events)
    columns_of_items = ()
    if items is not None:
        columns_of_items = items.columns
    for option, column in own_columns(args, columns_of_items):
        files.check_column(events, column, option, path)
    if files.are_times(events[args.user], ""):
        raise ValueError(f"--user: {args.user!r} holds dates. Name a column of users.")
    if not on_disk and args.time is None and not args.in_order:
        # the first dates that are those of events
        ids = args.user, args.item
        times = (column for column in dates if files.are_of_events(events, column, ids))
        args.time = next(times, None)
        if args.time is not None:
            taken = shlex.join(["--time", args.time])
            print(f"A column of times is taken: {taken}. To ignore it: --time none.")
    unused = events.columns.drop([c for _, c in own_columns(args)], errors="ignore")
    if len(unused):
        print(f"Columns not used: {format_ids(unused, 10)}.")
    like_time = next(filter(files.is_time_name, unused), None)
    args.time_option = None
    if like_time is not None:
        args.time_option = shlex.join(["--time", like_time])
    if on_disk:
        return disk_task(args, users, items)
    return memory_task(args, events, users, items)


def columns_of_times(events) -> list:
    """Return the columns that hold dates, or Unix times."""
    return [column for column in events if files.are_times(events[column], column)]


def memory_task(args, events, users, items) -> Task:
    """Return the events of one file; ``users`` and ``items``: side tables or None."""
    path = Path(args.data)
    pair = [args.user, args.item]
    columns = pair
    if args.time is not None:
        columns = [*pair, args.time]
        times = files.read_times(events[args.time], args.time, args.time_format)
        events[args.time] = times
        events = events.sort_values(args.time, kind="stable")
        print(f"{args.time}: {files.span_of(times)}.")

    # ids of one type in all tables
    missing = events[columns].isna().any(axis=1)
    if missing.any():
        print(f"{missing.sum():,} rows without {' or '.join(columns)} are left out.")
    events = events[~missing].copy()
    ids = files.read_ids(events[args.user])
    events[args.user], users = files.of_one_type(ids, users, args.user)
    ids = files.read_ids(events[args.item])
    events[args.item], items = files.of_one_type(ids, items, args.item)
    files.check_ids(events[args.user], users, "--users")
    files.check_ids(events[args.item], items, "--items")
    names = None
    if args.item_name is not None:
        table = events
        if items is not None and args.item_name in items:
            table = items
        names = files.read_names(table, args.item, args.item_name)

    # each pair once, in each context
    context = [column for column in args.context if column != args.time]
    for column in context:
        events[column] = files.read_feature(events[column])
    events = events[columns + context]
    repeated = codes_of_rows(events, [*pair, *args.context], "--context")
    events = events[~pd.Series(repeated, events.index).duplicated()]
    if events.empty:
        raise ValueError(f"--data: {path} has no row with {' and '.join(columns)}.")
    check_users(args, args.user, TableValues(events))
    if few := said_of_few(args.user, TableValues(events)):
        print(few.strip())
    n_pairs = len(events.drop_duplicates(pair))
    what = f"distinct pairs of {args.user} and {args.item}"
    if args.context:
        what += f", each once in a context of {', '.join(args.context)}"
    print(f"{path}: {n_pairs:,} {what}.")

    # which events are held out
    others = {"users": users, "items": items, "names": names, "context": args.context}
    if args.split == "time" and args.time is None:
        raise ValueError("--split time needs a column of times: --time COL.")
    if args.split == "last" and args.time is not None:
        others |= {"by_user": True, "caution": AHEAD_OF_TIME}
    if args.time is None:
        how = "taken as in order of time"
        missed = args.time_option or "times"
        if is_sorted(events, *pair):
            how = f"held out at random: those of most users are sorted by {args.item}"
            events = events.sample(frac=1, random_state=args.seed)
            others |= {"which": "", "caution": AT_RANDOM}
        print(f"Without {missed}, rows are {how}.")
    title = path.stem.encode(errors="replace").decode()
    return Task(title, events.reset_index(drop=True), *pair, args.time, **others)


def is_sorted(events, user, item) -> bool:
    """Return whether the rows of most users ascend or descend by item."""
    users = pd.factorize(events[user])[0]
    order = np.argsort(users, kind="stable")
    users = users[order]
    is_within = np.diff(users) == 0  # a step from one event of a user to the next
    ranks = pd.factorize(events[item], sort=True)[0]
    steps = np.diff(ranks[order])
    n_up = np.bincount(users[1:], (steps > 0) & is_within)
    n_down = np.bincount(users[1:], (steps < 0) & is_within)
    # of five rows or more: by chance, those of one user in 60
    has_many = n_up + n_down >= 4
    goes_one_way = np.minimum(n_up, n_down)[has_many] == 0
    return goes_one_way.sum() > len(goes_one_way) / 2


def disk_task(args, users, items) -> DiskTask:
    """Return events on disk; ``users`` and ``items``: side tables or None."""
    path = args.data
    item = args.item
    named = args.item_name
    names = None
    if args.time is None:
        raise ValueError(f"--data: {path} is several files, which need --time COL.")
    columns_of_items = ()
    if items is not None:
        columns_of_items = items.columns
    is_of_events = named is not None and named not in columns_of_items
    with opened(path) as source:
        check_users(args, args.user, DiskValues(source))
        name_column = item
        if is_of_events:
            name_column = named
        source.select(i=item, t=args.time, n=name_column)
        counted = source.query("select count(*) as n from events")["n"][0].as_py()
        _, users = files.of_one_type(source.empty[args.user], users, args.user)
        _, items = files.of_one_type(source.empty[item], items, item)
        if named in columns_of_items:
            names = files.read_names(items, item, named)
        elif is_of_events:
            last = source.query("select i, max(n) as n from events group by i")
            names = as_frame(last, "X").set_index("i")["n"]
    return DiskTask(
        path,
        path,
        args.user,
        item,
        args.time,
        n_events=counted,
        users=users,
        items=items,
        names=names,
        context=args.context,
    )
