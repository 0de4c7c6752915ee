"""The options of the command line.

Input: arguments.
Output: checked options.
"""

import argparse
from pathlib import Path

from sktwotower import __version__
from sktwotower._tables._messages import closest

DESCRIPTION = """\
Train a two-tower recommender, compare it on held-out events with popularity, EASE and
item-kNN, and recommend.

Without options it uses the shipped purchases of a UK gift shop and takes about two
minutes on two cores: it fits without the held-out events, and then with them. With
--data it uses your own table: one row per event, several per user.
With times the model also learns from the order of each user's events, and is compared
with recent popularity (the last tenth of the time) and with a ranker behind EASE, too.

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
  python -m sktwotower --data plays.csv --user listener --item track \\
      --items tracks.csv --users listeners.csv --recommendations top.csv
  python -m sktwotower --data plays.csv --user listener --item track \\
      --time played_at --context device,played_at

A folder, a pattern or a URL of Parquet files is learnt from on disk, so that it may be
larger than memory (pip install 'sktwotower[scale]'); it needs --time.
"""
OWN_OPTIONS = [
    ("--data", "FILE", "CSV, TSV or Parquet file; several Parquet files: see below"),
    ("--user", "COL", "column of the user id"),
    ("--item", "COL", "column of the item id"),
    ("--time", "COL", "column of the time; without it rows are in order of time"),
    ("--time-format", "FORMAT", "format of its dates, as in pandas.to_datetime"),
    ("--context", "COL,...", "columns that describe the event and not the user"),
    ("--item-name", "COL", "column with item names to show, of --data or --items"),
    ("--users", "FILE", "table of features of the users, with the column --user"),
    ("--items", "FILE", "table of features of the items, with the column --item"),
]

OUTPUT = Path("sktwotower_output")
SHOWN = "(default: %(default)s)"
TOP = ".csv or .parquet file of recommendations"
OPTIONS = [
    ("--epochs", int, None, "N", "passes over the users (default: auto)"),
    ("--output", Path, OUTPUT, "DIR", f"folder for model, picture and page {SHOWN}"),
    ("--recommendations", Path, None, "FILE", f"{TOP} for every user"),
    ("--k", int, 10, "K", f"number of them {SHOWN}"),
    ("--seed", int, 0, "N", f"of the random numbers {SHOWN}"),
]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sktwotower",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    note = "Without --time-format, 05/01/2024 is read month first."
    own_data = parser.add_argument_group("your own data", note)
    for option, metavar, text in OWN_OPTIONS:
        how = {"type": Path} if option in ("--users", "--items") else {}
        how = {"type": names, "default": []} if option == "--context" else how
        own_data.add_argument(option, metavar=metavar, help=text, **how)
    for option, kind, default, name, text in OPTIONS:
        parser.add_argument(option, type=kind, default=default, metavar=name, help=text)
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
    if args.epochs is not None and args.epochs < 1:
        parser.error("--epochs must be at least 1")
    if args.k < 1:
        parser.error("--k must be at least 1")
    if not 0 <= args.seed < 2**32:
        parser.error("--seed must be at least 0 and less than 2**32")
    top = args.recommendations
    if top is not None and (top.suffix not in (".csv", ".parquet") or top.is_dir()):
        parser.error(f"--recommendations: {top} must be a .csv or .parquet file")
    if args.data is not None and (args.user is None or args.item is None):
        parser.error("--data needs --user and --item, the names of its id columns")
    describing = [*named, args.time_format, args.users, args.items]
    if args.data is None and any(describing):
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


def names(text) -> list[str]:
    """Return names of columns, separated by commas."""
    columns = [name.strip() for name in text.split(",")]
    if "" in columns:
        raise argparse.ArgumentTypeError(f"expected COL or COL,COL, got {text!r}")
    return columns
