"""The command line: ``python -m sktwotower``.

Input: the shipped purchases, or a person's own table of events.
Output: a printed report, recommendations, a saved model and a picture.
"""

import argparse
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

from sktwotower._disk_task import DiskTask, is_on_disk
from sktwotower.baselines import (
    EASERecommender,
    ItemKNNRecommender,
    PopularityRecommender,
)
from sktwotower.datasets import load_online_retail
from sktwotower.metrics import retrieval_report
from sktwotower.model_selection import LastNSplit, TimeSplit

# Codes among the shipped purchases that are not goods.
NOT_GOODS = ["POST", "DOT", "C2", "M", "BANK CHARGES"]
# EASE takes minutes on a catalog that needs more bytes than this.
MAX_EASE_MEMORY = 1e9
# With fewer users, a recall of .1 has a standard error of more than .03.
FEW_USERS = 100
COLUMNS = ["recall@10", "recall@20", "ndcg@10", "coverage@10"]

DESCRIPTION = """\
Train a two-tower recommender, compare it on held-out events with popularity, EASE and
item-kNN, and recommend.

Without options it uses the shipped purchases of a UK gift shop and takes about a minute
on two cores. With --data it uses your own table: one row per event, several per user.
With times the model also learns from the order of each user's events, and is compared
with popularity in the last tenth of the time as well.

Several processes can train it together, here or on several machines:
torchrun --nproc-per-node 2 -m sktwotower
"""
EXAMPLES = """\
examples:
  python -m sktwotower
  python -m sktwotower --data plays.csv --user listener --item track
  python -m sktwotower --data plays.parquet --user listener --item track \\
      --time played_at --time-format '%d/%m/%Y %H:%M' --item-name title
  python -m sktwotower --data 'plays/*.parquet' --user listener --item track \\
      --time played_at

A folder or a pattern of Parquet files is learnt from on disk, so that it may be larger
than memory (pip install 'sktwotower[scale]'); it needs --time.
"""
OWN_OPTIONS = [
    ("--data", "FILE", "CSV, TSV or Parquet file; several Parquet files: see below"),
    ("--user", "COL", "column of the user id"),
    ("--item", "COL", "column of the item id"),
    ("--time", "COL", "column of the time; without it rows are in order of time"),
    ("--time-format", "FORMAT", "format of its dates, as in pandas.to_datetime"),
    ("--item-name", "COL", "column with item names to show"),
]


@dataclass
class Task:
    """Events, what they are called, and how to hold some of them out."""

    title: str
    events: pd.DataFrame  # one row per event: user, item and, if known, time
    user: str  # column of the user ids
    item: str  # column of the item ids
    time: str | None = None  # column of the times; None: rows are in order of time
    users: pd.DataFrame | None = None  # side table of the users
    names: pd.Series | None = None  # name of each item, by its id
    which = "the last "  # of a user's items, which are shown

    def split(self) -> tuple[pd.DataFrame, pd.DataFrame, str]:
        """Return events to learn from, events held out, and how they were chosen."""
        known = {
            "user_id": self.user,
            "item_id": self.item,
            "drop_unseen_users": True,
            "drop_unseen_items": True,
        }
        if self.time is not None:
            splitter = TimeSplit(test_size=0.2, time=self.time, **known)
            how = f"the last 20 % by {self.time}"
        else:
            splitter = LastNSplit(n=0.2, **known)
            how = f"the last 20 % of each {self.user}'s rows"
        try:
            train, test = next(splitter.split(self.events))
        except ValueError as error:
            raise ValueError(
                f"No events can be held out ({how}): their {self.user} and {self.item} "
                f"must occur in other events. Are there enough events? {error}"
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

    def examples(self, model, train) -> pd.DataFrame:
        """Return the events of the users to recommend to, the latest last."""
        return train

    def name(self, item) -> str:
        """Return an item's id with its name."""
        text = "" if self.names is None else str(self.names.get(item, ""))
        return f"{item!s:<12} {text.strip()}".rstrip()


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
        named = (args.user, args.item, args.time, args.item_name)
        return DiskTask(args.data, *named)
    path = Path(args.data)
    columns = [args.user, args.item]
    events = read_table(path)
    for option, column in own_columns(args).items():
        if column not in events.columns:
            known = ", ".join(map(str, events.columns[:10]))
            raise ValueError(f"{option}: {path} has no column {column!r}, but {known}.")
    names = None
    if args.item_name is not None:
        names = read_names(events, args.item, args.item_name)
    if args.time is not None:
        columns.append(args.time)
        events[args.time] = read_times(events[args.time], args.time, args.time_format)
        events = events.sort_values(args.time, kind="stable")
    missing = events[columns].isna().any(axis=1)
    if missing.any():
        print(f"{missing.sum():,} rows without {' or '.join(columns)} are left out.")
    events = events.loc[~missing, columns].drop_duplicates([args.user, args.item])
    for column in (args.user, args.item):
        events[column] = read_ids(events[column])
    print(f"{path}: {len(events):,} distinct pairs of {args.user} and {args.item}.")
    events = events.reset_index(drop=True)
    return Task(path.stem, events, args.user, args.item, args.time, names=names)


def read_names(table, item, name) -> pd.Series:
    """Return the last name of each item in a table, by its id."""
    names = table.dropna(subset=[item, name]).drop_duplicates(item, keep="last")
    names = names.set_index(item)[name]
    return names.set_axis(read_ids(names.index.to_series()))


def own_columns(args) -> dict:
    """Return the columns of the person's file, by the option that names them."""
    named = {
        "--user": args.user,
        "--item": args.item,
        "--time": args.time,
        "--item-name": args.item_name,
    }
    return {option: column for option, column in named.items() if column is not None}


def read_table(path) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file."""
    if not path.is_file():
        raise ValueError(f"--data: the file {path} does not exist.")
    if path.suffix not in (".csv", ".tsv", ".txt", ".parquet", ".pq"):
        raise ValueError(f"--data: {path} must be a .csv, .tsv or .parquet file.")
    try:
        if path.suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        with path.open(encoding="utf-8", newline="") as file:
            header = file.readline()
        separator = max(",;\t|", key=header.count)
        # as text, so that ids such as 00141 keep their zeros
        return pd.read_csv(path, sep=separator, dtype=str)
    except ImportError:
        raise ValueError(f"{path} needs pyarrow: pip install pyarrow.") from None
    except ValueError as error:  # of pandas, or not UTF-8
        raise ValueError(f"--data: {path} does not read as a table: {error}") from None


def read_ids(ids) -> pd.Series:
    """Return ids that are whole numbers, written without leading zeros, as integers.

    A column with gaps is often written as 7.0, which is 7 as well.
    """
    text = ids.astype(str)
    if not text.str.fullmatch(r"(0|-?[1-9]\d{0,17})(\.0)?").all():
        return text
    return text.str.removesuffix(".0").astype("int64")


def read_times(times, column, form=None) -> pd.Series:
    """Return times as numbers or as dates, which are read as UTC.

    ``form`` is a format of `pandas.to_datetime`. None: numbers if all are numbers, and
    otherwise the one format that pandas infers from the first date.
    """
    if form is None and not is_datetime64_any_dtype(times):
        numbers = pd.to_numeric(times, errors="coerce")
        if numbers.notna().sum() == times.notna().sum():
            return numbers
    try:
        return pd.to_datetime(times, utc=True, format=form)
    except ValueError as error:
        expected = "numbers or dates in one format" if form is None else repr(form)
        hint = "" if form else " Give the format: --time-format '%d/%m/%Y %H:%M'."
        # pandas goes on with advice for its callers
        reason = str(error).partition("You might want to try")[0].strip(" .")
        raise ValueError(
            f"--time: the values of {column!r} must be {expected}. {reason}.{hint}"
        ) from None


def fit(task, train, epochs):
    """Fit a recommender with default settings and print how long it took."""
    from sktwotower import TwoTowerRecommender  # torch takes seconds to import

    model = TwoTowerRecommender(
        user_id=task.user,
        item_id=task.item,
        users=task.users,
        time=task.time,
        random_state=0,
        verbose=1,
    )
    if epochs is not None:
        model.set_params(max_epochs=epochs)
    started = time.perf_counter()
    model.fit(train)
    print(f"Fitted in {time.perf_counter() - started:.0f} s.")
    return model


def fit_baselines(task, train) -> dict:
    """Fit what the recommender is compared with, except popularity of all events."""
    columns = {"user_id": task.user, "item_id": task.item}
    baselines = {}
    times = [] if task.time is None else train[task.time]
    if len(times) and (span := times.max() - times.min()):
        popularity = PopularityRecommender(window=span / 10, time=task.time, **columns)
        baselines["popularity, last tenth"] = popularity.fit(train)
    baselines["item-kNN"] = ItemKNNRecommender(**columns).fit(train)
    try:
        ease = EASERecommender(max_memory=MAX_EASE_MEMORY, **columns)
        baselines["EASE"] = ease.fit(train)
    except ValueError as error:
        print(f"No comparison with EASE: {error}")
    return baselines


def show_quality(model, test, baselines) -> None:
    """Print the figures of the model and of the baselines, and what they mean."""
    report = retrieval_report(model, test, baselines=baselines).loc["all"]
    n_users = int(report["users"].iloc[0])
    print(
        f"\nHeld-out events of {n_users:,} users. For each of them all "
        f"{len(model.item_ids_):,} items were ranked, except those that the user has:\n"
    )
    print(report[COLUMNS].T.to_string(float_format="{:.4f}".format))
    found, error = report[["recall@20", "recall@20 se"]].iloc[0]
    best_sellers = report.loc["popularity", "recall@20"]
    ratio = f", {found / best_sellers:.1f} times popularity's" if best_sellers else ""
    print(
        f"\nrecall@20: {found:.1%} of a user's held-out items are among the first 20 "
        f"recommendations{ratio} (standard error {error:.1%}).\n"
        "coverage@10: the share of the catalog that is among the first 10 of some user."
    )
    if n_users < FEW_USERS:
        print("With so few users the figures are not reliable.")


def show_recommendations(model, task, train, n_users=3) -> None:
    """Print recommendations for a few users, and items like the most popular one."""
    sizes = train[task.user].value_counts()
    # Users with a middling number of events show what is typical.
    order = sizes.index[sizes >= 5] if (sizes >= 5).any() else sizes.index
    places = [len(order) * (i + 1) // (n_users + 1) for i in range(n_users)]
    chosen = list(dict.fromkeys(order[place] for place in places))
    top = model.recommend(chosen, n_neighbors=10)
    for user in chosen:
        last = train.loc[train[task.user] == user, task.item].tail(5)
        print(f"\n{task.user} {user}, {task.which}{len(last)} of {sizes[user]} items:")
        for item in last:
            print(f"            {task.name(item)}")
        print_ranked("recommended", task, top[top[task.user] == user])
    item = train[task.item].value_counts().index[0]
    print(f"\n{task.item} {task.name(item)}:")
    print_ranked("similar", task, model.similar_items([item], n_neighbors=5))


def print_ranked(title, task, top) -> None:
    """Print rank, score and name of ranked items."""
    print(f"rank  score {title}")
    for row in top.itertuples(index=False):
        print(f"{row.rank:4d}  {row.score:5.2f} {task.name(row[1])}")


def save(model, task, test, baselines, folder) -> None:
    """Write the model and, with Matplotlib, a picture; print where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / "model.joblib")
    print(
        f"\nSaved {folder / 'model.joblib'} (load it with joblib.load). "
        "It has not learnt from the held-out events."
    )
    try:
        import matplotlib
    except ImportError:
        print("No picture: Matplotlib is missing. pip install 'sktwotower[plot]'")
        return
    matplotlib.use("Agg")
    figure = draw(model, task, test, baselines)
    figure.savefig(folder / "report.png", dpi=120)
    print(f"Saved {folder / 'report.png'}")


def draw(model, task, test, baselines):
    """Return a figure of the recall by number of recommendations and by popularity."""
    import matplotlib.pyplot as plt

    from sktwotower.plots import RecallByPopularityDisplay, RecallCurveDisplay

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    figure.suptitle(f"{task.title}: {len(test):,} held-out events")
    displays = RecallCurveDisplay, RecallByPopularityDisplay
    for display, ax in zip(displays, axes, strict=True):
        display.from_estimator(model, test, baselines=baselines, ax=ax)
    return figure


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sktwotower",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    own = parser.add_argument_group(
        "your own data", "Without --time-format, 05/01/2024 is read month first."
    )
    for option, metavar, text in OWN_OPTIONS:
        own.add_argument(option, metavar=metavar, help=text)
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the users (default: auto)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("sktwotower_output"),
        metavar="DIR",
        help="folder for the model and the picture (default: %(default)s)",
    )
    return parser


def parse(arguments) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser()
    args = parser.parse_args(arguments)
    named = list(own_columns(args).values())
    if args.output.exists() and not args.output.is_dir():
        parser.error(f"--output: {args.output} is not a folder")
    if args.epochs is not None and args.epochs < 1:
        parser.error("--epochs must be at least 1")
    if args.data is not None and (args.user is None or args.item is None):
        parser.error("--data needs --user and --item, the names of its id columns")
    if args.data is None and (named or args.time_format):
        parser.error("--user, --item, --time... and --item-name describe a --data file")
    if args.time is None and args.time_format is not None:
        parser.error("--time-format is the format of --time, which is missing")
    ids = [column for column in (args.user, args.item, args.time) if column is not None]
    if len(set(ids)) < len(ids):
        parser.error("--user, --item and --time must be three different columns")
    return args


def main(arguments=None) -> int:
    """Run the command line and return the exit status."""
    args = parse(arguments)
    try:
        with joined() as is_first, output_of(is_first):
            run(args, is_first)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(args, is_first) -> None:
    """Fit, and in the first of several processes print and save the result."""
    task = shipped_task() if args.data is None else own_task(args)
    train, test, how = task.split()
    print(task.summary(train, test, how))
    model = fit(task, train, args.epochs)
    if not is_first:
        return
    # baselines need all events in memory
    on_disk = isinstance(task, DiskTask)
    baselines = {} if on_disk else fit_baselines(task, train)
    show_quality(model, test, baselines)
    show_recommendations(model, task, task.examples(model, train))
    save(model, task, test, baselines, args.output)


@contextlib.contextmanager
def joined():
    """Join the processes that torchrun has started; yield whether this is the first."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield True
        return
    from sktwotower.recommender import _together  # torch takes seconds to import

    with _together.joined() as is_first:
        yield is_first


@contextlib.contextmanager
def output_of(is_first):
    """Let only the first process print."""
    if is_first:
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


if __name__ == "__main__":
    sys.exit(main())
