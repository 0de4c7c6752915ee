"""The options of the command line.

Input: arguments.
Output: checked options.
"""

import argparse
from pathlib import Path

from sktwotower import __version__
from sktwotower._tables._messages import closest


def names(text) -> list[str]:
    """Return names of columns, separated by commas."""
    columns = [name.strip() for name in text.split(",")]
    if "" in columns:
        raise argparse.ArgumentTypeError(f"expected COL or COL,COL, got {text!r}")
    return columns


DESCRIPTION = """\
Learn from a table of events what to recommend, and compare on held-out events.

Without options, the events are the shipped purchases of a UK gift shop. A model of
two towers, popularity, item-kNN and EASE learn from the earlier ones. They are
compared on the later ones. At the end the two towers learn from all events, and are
saved. All of it takes about two minutes on two cores.

With --data the events are yours: one row per event, several rows per user. The
first two columns are the users and the items, unless --user and --item name others.
With --time the model learns from the order of events, too. It is then also compared
with recent popularity (the last tenth of the time) and with a ranker behind EASE.

Several processes can train together, on one machine or on several:
torchrun --nproc-per-node 2 -m sktwotower
"""
EXAMPLES = r"""
for example:
  sktwotower
  sktwotower --data plays.csv
  sktwotower --data plays.csv --user listener --item track --time played_at
  sktwotower --data plays.csv.gz --time played_at --time-format '%d/%m/%Y %H:%M'
  sktwotower --data plays.csv --items tracks.csv --item-name title \
      --users listeners.csv --recommendations top.csv
  sktwotower --data plays.csv --time played_at --context device,played_at
  sktwotower --data 'plays/*.parquet' --time played_at

The last one learns from files on disk, which may be larger than memory. It needs
--time, and pip install 'sktwotower[scale]'. A folder or a URL will do as well.

The text has colors on a terminal, if NO_COLOR is not set, or with FORCE_COLOR=1.
The exit status is 2 after an error, and 130 after Ctrl-C.
"""
OUTPUT, SHOWN = Path("sktwotower_output"), "(default: %(default)s)"
OF_OWN_DATA = [
    ("--data", None, None, "FILE", "CSV, TSV or Parquet file, or several: see below"),
    ("--user", None, None, "COL", "column of the user id (default: the first)"),
    ("--item", None, None, "COL", "column of the item id (default: the next one)"),
    ("--time", None, None, "COL", "column of the time (default: the order of rows)"),
    ("--time-format", None, None, "FORMAT", "of dates, as in pandas.to_datetime"),
    ("--context", names, (), "COL,...", "columns of the event that a request has, too"),
    ("--item-name", None, None, "COL", "column with names, of --data or --items"),
    ("--users", Path, None, "FILE", "table of features of the users, with their ids"),
    ("--items", Path, None, "FILE", "table of features of the items, with their ids"),
]
OPTIONS = [
    ("--epochs", int, None, "N", "passes over the users (default: auto)"),
    ("--output", Path, OUTPUT, "DIR", f"folder for model, picture and page {SHOWN}"),
    ("--recommendations", Path, None, "FILE", ".csv or .parquet file for every user"),
    ("--k", int, 10, "K", f"number of recommendations per user {SHOWN}"),
    ("--seed", int, 0, "N", f"of the random numbers {SHOWN}"),
]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are two lines."""

    def error(self, message):
        """End with two lines, without the usage, which is longer."""
        self.exit(2, f"error: {message}\nsktwotower --help shows all options.\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="sktwotower",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    note = "Dates such as 05/01/2024 are read month first, if all dates can be."
    own = parser.add_argument_group("your own data", note)
    for group, options in ((own, OF_OWN_DATA), (parser, OPTIONS)):
        for option, kind, default, name, text in options:
            how = {"type": kind, "default": default, "metavar": name, "help": text}
            group.add_argument(option, **how)
    version = f"sktwotower {__version__}"
    parser.add_argument("--version", action="version", version=version)
    return parser


def parse(arguments) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser()
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        options = [f"--{name.replace('_', '-')}" for name in vars(args)]
        meant = closest(unknown[0].partition("=")[0], options)
        hint = "" if meant is None else f". Did you mean {meant}?"
        parser.error(f"unknown: {unknown[0]}{hint}")
    named = own_columns(args)
    if args.output.exists() and not args.output.is_dir():
        parser.error(f"--output: {args.output} is not a folder")
    for option, number in (("--epochs", args.epochs), ("--k", args.k)):
        if number is not None and number < 1:
            parser.error(f"{option} must be at least 1")
    if not 0 <= args.seed < 2**32:
        parser.error("--seed must be at least 0 and less than 2**32")
    top = args.recommendations
    if top is not None:
        is_other = top.exists() and not top.is_file()
        if top.suffix not in (".csv", ".parquet") or is_other:
            parser.error(f"--recommendations: {top} must be a .csv or .parquet file")
        read = [path for path in (args.data, args.users, args.items) if path]
        if top.resolve() in [Path(path).resolve() for path in read]:
            parser.error(f"--recommendations: {top} is to be read, too")
    if args.data is None and any([*named, args.time_format, args.users, args.items]):
        parser.error(
            "--user, --item, --time..., --context, --item-name, --users and --items "
            "describe a --data file, which is missing"
        )
    if args.time is None and args.time_format is not None:
        parser.error("--time-format is the format of --time, which is missing")
    ids = [column for column in (args.user, args.item, args.time) if column is not None]
    if len(set(ids)) < len(ids):
        parser.error("--user, --item and --time must be three different columns")
    repeated = [column for column in args.context if args.context.count(column) > 1]
    if repeated:
        parser.error(f"--context names {repeated[0]!r} twice")
    for option, column in named:
        if option not in ("--time", "--context") and column in args.context:
            parser.error(
                f"--context names {column!r}, the column of {option}, which does not "
                "describe the event"
            )
    return args


def own_columns(args, of_items=()) -> list[tuple[str, str]]:
    """Return each column of the person's events, after the option that names it.

    ``of_items``: columns of a side table, which may have the names of the items.
    """
    named = [("--user", args.user), ("--item", args.item), ("--time", args.time)]
    if args.item_name not in of_items:
        named.append(("--item-name", args.item_name))
    named += [("--context", column) for column in args.context]
    return [(option, column) for option, column in named if column is not None]
