"""Enters: the shipped purchases, or a person's own table of events.

Leaves: a printed report, recommendations, a saved model and a picture.
Next: a notebook of your own.
"""

import argparse
import contextlib
import sys
import textwrap
import time
import warnings
from pathlib import Path

import joblib
import pandas as pd

from sktwotower.datasets import load_online_retail
from sktwotower.metrics import retrieval_report
from sktwotower.model_selection import LastNSplit, TimeSplit

# How dates may be written: the first way that fits all of them is taken. Slashes are
# more often written month first, dots and dashes day first. None: as pandas guesses.
MONTH_FIRST, DAY_FIRST = "%m{0}%d{0}%Y", "%d{0}%m{0}%Y"
DATE_FORMATS = [
    "ISO8601",
    *(
        day.format(separator) + clock
        for separator in "/.-"
        for day in (MONTH_FIRST, DAY_FIRST)[:: 1 if separator == "/" else -1]
        for clock in ("", " %H:%M", " %H:%M:%S")
    ),
    None,
]
# Below, a recall of .1 has a standard error of about a third of itself.
FEW_USERS = 100
COLUMNS = ["recall@10", "recall@20", "ndcg@10", "coverage@10"]


class Task:
    """Events, what they are called, and how to hold some of them out.

    Parameters
    ----------
    events : DataFrame
        One row per event.
    user, item : str
        Its id columns.
    time : str or None
        Its time column.
    users, items : DataFrame or None
        Side tables.
    names : Series or None
        Name of each item, by its id.
    """

    def __init__(
        self, events, user, item, time=None, users=None, items=None, names=None
    ):
        self.events = events
        self.user = user
        self.item = item
        self.time = time
        self.users = users
        self.items = items
        self.names = names

    def split(self):
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
                f"No events can be held out ({how}) whose {self.user} and {self.item} "
                f"are known from the others. Are there enough events? {error}"
            ) from error
        return self.events.iloc[train], self.events.iloc[test], how

    def name(self, item):
        """Return an item's id with its name."""
        text = "" if self.names is None else str(self.names.get(item, ""))
        return f"{item!s:<12} {text.strip()}".rstrip()


def shipped_task():
    """Return the shipped purchases: a customer's first purchase of each product."""
    data = load_online_retail()
    events = data.data.drop_duplicates(["customer", "product"])
    goods = events["product"].str.contains(r"\d")
    print(
        f"Online Retail (Chen et al. 2012, CC0): {len(data.data):,} purchase lines; "
        f"first purchases of a product: {len(events):,}, of which {(~goods).sum():,} "
        "for postage and the like are left out."
    )
    return Task(
        events[goods].reset_index(drop=True),
        "customer",
        "product",
        "time",
        users=data.customers,
        names=data.products.set_index("product")["description"],
    )


def own_task(args):
    """Return the events of the person's own file."""
    path = Path(args.data)
    columns = [args.user, args.item]
    events = read_table(path)
    for option, column in own_columns(args).items():
        if column not in events.columns:
            known = ", ".join(map(str, events.columns[:10]))
            raise ValueError(f"{option}: {path} has no column {column!r}, but {known}.")
    names = None
    if args.item_name is not None:
        names = events.dropna(subset=[args.item, args.item_name])
        names = names.drop_duplicates(args.item, keep="last")
        names = names.set_index(args.item)[args.item_name]
        names = names.set_axis(read_ids(names.index.to_series()))
    if args.time is not None:
        columns.append(args.time)
        events[args.time] = read_times(events[args.time], args.time)
        events = events.sort_values(args.time, kind="stable")
    missing = events[columns].isna().any(axis=1)
    if missing.any():
        print(f"{missing.sum():,} rows without {' or '.join(columns)} are left out.")
    events = events.loc[~missing, columns].drop_duplicates([args.user, args.item])
    for column in (args.user, args.item):
        events[column] = read_ids(events[column])
    print(f"{path}: {len(events):,} distinct pairs of {args.user} and {args.item}.")
    return Task(
        events.reset_index(drop=True), args.user, args.item, args.time, names=names
    )


def own_columns(args):
    """Return the columns of the person's file, by the option that names them."""
    named = {
        "--user": args.user,
        "--item": args.item,
        "--time": args.time,
        "--item-name": args.item_name,
    }
    return {option: column for option, column in named.items() if column is not None}


def read_table(path):
    """Read a CSV, TSV or Parquet file."""
    if not path.is_file():
        raise ValueError(f"--data: there is no file {path}.")
    if path.suffix in (".parquet", ".pq"):
        try:
            return pd.read_parquet(path)
        except ImportError:
            raise ValueError(
                f"Reading {path} needs pyarrow: pip install pyarrow."
            ) from None
    if path.suffix not in (".csv", ".tsv", ".txt"):
        raise ValueError(f"--data: {path} must be a .csv, .tsv or .parquet file.")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header = file.readline()
        separator = max(",;\t|", key=header.count)
        # As text, so that an id such as 00141 or 85123A stays what it is.
        return pd.read_csv(path, sep=separator, dtype=str)
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"--data: {path} does not read as a table: {error}") from None


def read_ids(ids):
    """Return ids that are whole numbers, written without leading zeros, as integers.

    A column with gaps is often written as 7.0, which is 7 as well.
    """
    text = ids.astype(str)
    if not text.str.fullmatch(r"(0|-?[1-9]\d{0,17})(\.0)?").all():
        return text
    return text.str.removesuffix(".0").astype("int64")


def read_times(times, column):
    """Return times as numbers, or as dates that are all written in one way.

    Days and months are not told apart date by date: what fits all dates is meant.
    """
    numbers = pd.to_numeric(times, errors="coerce")
    if numbers.notna().sum() == times.notna().sum():
        return numbers
    for form in DATE_FORMATS:
        with contextlib.suppress(ValueError, UserWarning), warnings.catch_warnings():
            warnings.simplefilter("error")  # of dates that pandas reads one by one
            return pd.to_datetime(times, utc=True, format=form)
    dates = pd.to_datetime(times, errors="coerce", format="mixed", utc=True)
    bad = dates.isna() & times.notna()
    if bad.any():
        raise ValueError(
            f"--time: {bad.sum():,} values of {column!r} are neither numbers nor "
            f"dates, {times[bad].iloc[0]!r} the first."
        )
    raise ValueError(
        f"--time: the dates of {column!r} are not all written in one way, such as "
        f"{times.iloc[0]!r}. Write them as 2024-05-31."
    )


def fit(task, train, epochs):
    """Fit a recommender with default settings and tell how long it took."""
    from sktwotower import TwoTowerRecommender  # torch takes seconds to import

    model = TwoTowerRecommender(
        user_id=task.user,
        item_id=task.item,
        users=task.users,
        items=task.items,
        random_state=0,
        verbose=1,
    )
    if epochs is not None:
        model.set_params(max_epochs=epochs)
    started = time.perf_counter()
    model.fit(train[[task.user, task.item]])
    print(f"Fitted in {time.perf_counter() - started:.0f} s.")
    return model


def show_quality(model, test):
    """Print the table of the model beside popularity."""
    report = retrieval_report(model, test).loc["all"]
    n_users = int(report["users"].iloc[0])
    print(
        f"\nHeld-out events of {n_users:,} users, whole catalog "
        f"of {len(model.item_ids_):,} items ranked without those the user has:\n"
    )
    table = report[COLUMNS].T
    table["ratio"] = (table.iloc[:, 0] / table.iloc[:, 1]).map("{:.1f}".format)
    table.loc["coverage@10", "ratio"] = ""
    print(table.to_string(float_format="{:.4f}".format))
    errors = " and ".join(f"{error:.4f}" for error in report["recall@20 se"])
    print(f"\nStandard error of recall@20 over users: {errors}")
    if n_users < FEW_USERS:
        print("With so few users the figures say little.")


def show_recommendations(model, task, train, n_users=3):
    """Print the last events of a few users and what they are recommended."""
    sizes = train[task.user].value_counts()
    # Users with a middling number of events show what is typical.
    order = sizes.index[sizes >= 5] if (sizes >= 5).any() else sizes.index
    places = [len(order) * (i + 1) // (n_users + 1) for i in range(n_users)]
    chosen = list(dict.fromkeys(order[place] for place in places))
    top = model.recommend(chosen, n_neighbors=10)
    for user in chosen:
        print(f"\n{task.user} {user}: last of {sizes[user]} items")
        for item in train.loc[train[task.user] == user, task.item].tail(5):
            print(f"    {task.name(item)}")
        print("  recommended")
        for row in top[top[task.user] == user].itertuples(index=False):
            print(f"{row.rank:4d}  {row.score:.2f}  {task.name(row[1])}")


def show_similar(model, task, train):
    """Print what is similar to the most popular item."""
    item = train[task.item].value_counts().index[0]
    print(f"\nSimilar to {task.name(item)}")
    similar = model.similar_items([item], n_neighbors=5)
    for row in similar.itertuples(index=False):
        print(f"{row.rank:4d}  {row.score:.2f}  {task.name(row[1])}")


def save(model, task, test, folder):
    """Write the model and, with Matplotlib, a picture; says where they are."""
    joblib.dump(model, folder / "model.joblib")
    print(f"\nSaved {folder / 'model.joblib'} (load it with joblib.load)")
    try:
        import matplotlib
    except ImportError:
        print("No picture: Matplotlib is missing. pip install 'sktwotower[plot]'")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sktwotower.plots import RecallByPopularityDisplay, TrainingCurveDisplay

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    TrainingCurveDisplay.from_estimator(model, ax=axes[0])
    RecallByPopularityDisplay.from_estimator(
        model, test[[task.user, task.item]], ax=axes[1]
    )
    figure.savefig(folder / "report.png", dpi=120)
    print(f"Saved {folder / 'report.png'}")


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sktwotower",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=textwrap.dedent("""\
            Train a two-tower recommender, measure it on held-out events beside
            popularity, and recommend.

            Without options it uses the shipped purchases of a UK gift shop and takes
            about a minute on two cores. With --data it does the same for your own
            table of events, one row per event."""),
        epilog=textwrap.dedent("""\
            examples:
              python -m sktwotower
              python -m sktwotower --data plays.csv --user listener --item track
              python -m sktwotower --data plays.parquet --user listener --item track \\
                  --time played_at --item-name title"""),
    )
    own = parser.add_argument_group("your own data")
    own.add_argument("--data", metavar="FILE", help="CSV, TSV or Parquet file")
    own.add_argument("--user", metavar="COL", help="column of the user id")
    own.add_argument("--item", metavar="COL", help="column of the item id")
    own.add_argument(
        "--time",
        metavar="COL",
        help="column of the time; without it rows are taken to be in order of time",
    )
    own.add_argument(
        "--item-name", metavar="COL", help="column with item names to show"
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="passes over the users (default: 30)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("sktwotower_output"),
        metavar="DIR",
        help="folder for the model and the picture (default: %(default)s)",
    )
    args = parser.parse_args(arguments)
    if args.epochs is not None and args.epochs < 1:
        parser.error("--epochs must be at least 1")
    if args.data is not None and (args.user is None or args.item is None):
        parser.error("--data needs --user and --item, the names of its id columns")
    if args.data is None and any((args.user, args.item, args.time, args.item_name)):
        parser.error("--user, --item, --time and --item-name describe a --data file")
    named = list(own_columns(args).values())
    if len(set(named[:3])) < len(named[:3]):
        parser.error("--user, --item and --time must be three different columns")
    return args


def main(arguments=None):
    """Run the command line; gives the exit status."""
    args = parse(arguments)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        task = shipped_task() if args.data is None else own_task(args)
        train, test, how = task.split()
        left_out = len(task.events) - len(train) - len(test)
        print(
            f"Learning from {len(train):,} events of {train[task.user].nunique():,} "
            f"users and {train[task.item].nunique():,} items. Held out: {how}, "
            f"{len(test) + left_out:,} events, of which {left_out:,} have an unknown "
            "user or item and are left out."
        )
        model = fit(task, train, args.epochs)
        show_quality(model, test[[task.user, task.item]])
        show_recommendations(model, task, train)
        show_similar(model, task, train)
        save(model, task, test, args.output)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
