"""The options of the command line.

Input: arguments.
Output: checked options.
"""

import argparse
import codecs
from itertools import combinations
from pathlib import Path

from sktwotower import __version__
from sktwotower._tables._messages import closest


def names(text) -> list[str]:
    """Return names of columns, separated by commas."""
    columns = [name.strip() for name in text.split(",")]
    if "" in columns:
        raise argparse.ArgumentTypeError(f"expected COL or COL,COL, got {text!r}")
    return columns


def encoding(text) -> str:
    """Return the name of an encoding of text, if Python knows it."""
    try:
        if codecs.lookup(text)._is_text_encoding:
            return text
    except LookupError:
        pass
    raise argparse.ArgumentTypeError(
        f"expected an encoding such as cp1252, latin-1 or utf-16, got {text!r}"
    )


def way_to_split(text) -> str:
    """Return which events are held out, "time" or "last"."""
    if text not in ("time", "last"):
        raise argparse.ArgumentTypeError(f"expected time or last, got {text!r}")
    return text


# What stands above and below the list of options.
HELP = Path(__file__).with_name("help.txt").read_text(encoding="utf-8")
ABOVE, BELOW = HELP.split("\n...\n")
OUTPUT = Path("sktwotower_output")
SHOWN = "(default: %(default)s)"
OF_OWN_DATA = [
    ("--data", None, None, "FILE", "CSV, TSV or Parquet file, or several: see below"),
    ("--user", None, None, "COL", "column of the user id (default: see above)"),
    ("--item", None, None, "COL", "column of the item id (default: see above)"),
    ("--time", None, None, "COL", "column of the time, or none (default: see above)"),
    ("--time-format", None, None, "FORMAT", "of dates, as in pandas.to_datetime"),
    ("--context", names, (), "COL,...", "columns of the event that a request has, too"),
    ("--item-name", None, None, "COL", "column with names, of --data or --items"),
    (
        "--split",
        way_to_split,
        None,
        "WAY",
        "time or last: which are held out, see above",
    ),
    ("--encoding", encoding, None, "NAME", "of text that is not UTF-8, such as cp1252"),
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
        description=ABOVE,
        epilog=BELOW,
    )
    note = "Dates such as 05/01/2024 are read month first, if all dates can be."
    own = parser.add_argument_group("your own data", note)
    for group, options in ((own, OF_OWN_DATA), (parser, OPTIONS)):
        for option, kind, default, name, text in options:
            group.add_argument(
                option, type=kind, default=default, metavar=name, help=text
            )
    version = f"sktwotower {__version__}"
    parser.add_argument("--version", action="version", version=version)
    return parser


def parse(arguments) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser()
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        options = [f"--{name.replace('_', '-')}" for name in vars(args)]
        is_file = not unknown[0].startswith("-") and Path(unknown[0]).exists()
        meant = closest(unknown[0].partition("=")[0], options)
        if is_file:
            meant = f"--data {unknown[0]}"
        hint = ""
        if meant is not None:
            hint = f". Did you mean {meant}?"
        parser.error(f"unknown: {unknown[0]}{hint}")
    args.in_order = args.time == "none"
    args.time = None if args.in_order else args.time
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
    others = args.in_order, args.time_format, args.users, args.items
    others = *others, args.split, args.encoding
    if args.data is None and any([*named, *others]):
        parser.error("options of your own data need a --data file, which is missing")
    if args.time is None and args.time_format is not None:
        parser.error("--time-format is the format of --time, which is missing")
    if args.in_order and args.split == "time":
        parser.error("--split time needs times, and --time none takes none")
    for (first, column), (second, same) in combinations(named, 2):
        may = second == "--item-name" or (first, second) == ("--time", "--context")
        if column == same and not may:
            parser.error(f"{first} and {second} name the same column, {column!r}")
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
