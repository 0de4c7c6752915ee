"""Tables that a person passes to the command line.

Input: a CSV, TSV or Parquet file.
Output: a table, with ids, times and features read from text.
"""

import gzip
import math
import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype
from pandas.tseries.api import guess_datetime_format

from sktwotower._tables._messages import did_you_mean, format_ids
from sktwotower._tables._time_units import NumberFigures
from sktwotower._tables._times import as_dates, kind_of_times

from ._steps import step

# Whole numbers without leading zeros, which would be a code such as 00141.
NUMBER = r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?"
DATE = r"\d{4}-\d\d-\d\d([T ].*)?"
# Names of times, such as timestamp, ts, created, created_at, InvoiceDate, but not
# candidate.
TIME_NAME = (
    r"(?i:time)|(?<![A-Za-z])((?i:date|ts)(?![a-z])|(?i:at)$)|[a-z](Date|At)(?![a-z])"
    r"|^(?i:created|epoch|datum|zeit|heure|horodatage)$"
)
# Names of dates in any form.
DATE_NAME = r"(?i:date|time|datetime|timestamp)"
# Dates that are not those of events.
OTHER_DATE = r"(?i)birth|born|dob|expir|release"
# Dates with a year of four digits.
EVENT_DATE = (
    r"((19|20)\d\d[-/.]\d\d?[-/.]\d\d?"
    r"|\d\d?[-/. ](\d\d?|[A-Za-z]{3})[-/. ](19|20)\d\d)([T ,].*)?"
)
AS_TEXT = "A spreadsheet program saves a sheet as 'CSV UTF-8'."
MAX_UNLIKE = 0.01  # share of times that may be left out, as they cannot be read
# What programs write for a number or a date that is missing; among text it is text.
GAPS = "NA", "N/A", "#N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None"


def read_table(path, option="--data", encoding=None) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet file, or text that gzip has compressed.

    ``encoding``: that of text, such as cp1252. None: UTF-8.
    """
    encoding = encoding or "utf-8"
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if not path.is_file():
        raise ValueError(f"{option}: the file {path} does not exist.")
    if suffix not in (".csv", ".tsv", ".txt", ".data", ".parquet", ".pq"):
        raise ValueError(f"{option}: {path} must be .csv, .tsv or .parquet. {AS_TEXT}")
    if path.stat().st_size == 0:
        raise ValueError(f"{option}: the file {path} is empty.")
    try:
        with step(f"Reading {path}"):
            if suffix not in (".parquet", ".pq"):
                return _read_text(path, encoding)
            table = pd.read_parquet(path)
            # pandas may have stored some columns as row names
            named = [name for name in table.index.names if name is not None]
            return table.reset_index(named).rename(columns=str)
    except ImportError:
        raise ValueError(f"{path} needs pyarrow: pip install pyarrow.") from None
    except UnicodeDecodeError as error:
        place = f"from byte {error.start} on"
        if encoding == "utf-8":
            name = "UTF-8"
            remedy = f"{AS_TEXT} Or name its encoding: --encoding {_likely(path)}."
        else:
            name = encoding
            remedy = f"Without --encoding {encoding} it is read as UTF-8."
        raise ValueError(f"{option}: {path} is not {name} {place}. {remedy}") from None
    except (ValueError, OSError, EOFError) as error:  # of pandas and of gzip
        reason = str(error).rpartition("C error: ")[2].strip()
        raise ValueError(f"{option}: {path} cannot be read: {reason}") from None


def _likely(path):
    """Return a likely encoding of a file that is not UTF-8."""
    with _opener(path)(path, "rb") as file:
        begin = file.read(1 << 16)
    if begin.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        begin.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _opener(path):
    """Return the function that opens a file, which gzip may have compressed."""
    if path.suffix.lower() == ".gz":
        return gzip.open
    return open


def _read_text(path, encoding):
    """Read a file of text, all cells as text: ids such as 00141 keep their zeros."""
    with _opener(path)(path, "rt", encoding=encoding, newline="") as file:
        header = next((line for line in file if line.strip()), "")
    separator = max(",;\t|", key=header.count)
    as_text = {
        "sep": separator,
        "dtype": str,
        "keep_default_na": False,
        "na_values": [""],
        "encoding": encoding,
    }
    table = pd.read_csv(path, **as_text)
    # pandas takes the first column for row names if rows have a cell more than the
    # header has, and what is missing at the end
    last_column = table.iloc[:, -1:].isna()
    has_row_names = type(table.index) is pd.Index
    if table.shape[1] and last_column.all(axis=None):
        # rows that end with a separator
        table = pd.read_csv(path, **as_text, index_col=False)
    elif has_row_names and last_column.any(axis=None):
        raise ValueError(
            f"some rows have a cell too many. Quote cells with {separator!r}, or name "
            "all columns."
        )
    if all(re.fullmatch(NUMBER, name) for name in table.columns):
        raise ValueError("it begins with numbers. Write names of columns above them.")
    for column in table:
        # pandas numbers equal names: a.1 is the second a
        if column not in header and re.search(r".\.\d+$", column):
            name = column.rpartition(".")[0]
            raise ValueError(f"two columns are called {name}. Rename one of them.")
    return table.apply(_with_gaps)


def _with_gaps(values):
    """Return text, in which words such as NA are gaps if all else is numbers or dates.

    Otherwise they may be ids or levels: a customer, or the code of Namibia. Spaces
    around a cell are no part of it.
    """
    values = values.astype(object).str.strip().replace("", None)
    known = values.where(~values.isin(GAPS))
    rest = known.dropna()
    if len(rest) == values.notna().sum():
        return values
    for form in (NUMBER, DATE):
        if rest.str.fullmatch(form).all():
            return known
    return values


def read_names(table, item, name) -> pd.Series:
    """Return the last name of each item in a table, by its id."""
    names = table.dropna(subset=[item, name]).drop_duplicates(item, keep="last")
    return names.set_index(item, drop=False)[name]


def read_ids(ids) -> pd.Series:
    """Return ids that are whole numbers, written without leading zeros, as integers.

    A column with gaps is often written as 7.0, which is 7 as well.
    """
    text = ids.astype(str)
    if not text.str.fullmatch(r"(0|-?[1-9]\d{0,17})(\.0)?").all():
        return text
    return text.str.removesuffix(".0").astype("int64")


def of_one_type(ids, table, column) -> tuple:
    """Return ids of events and a side table, with text as ids if one of them has it.

    A catalog may hold a code such as POST that no event has. ``table`` may be None.
    """
    if table is None or (is_numeric_dtype(ids) and is_numeric_dtype(table[column])):
        return ids, table
    table = table.assign(**{column: table[column].astype(str)})
    return ids.astype(str), table


def check_ids(ids, table, option):
    """Raise ``ValueError`` if a side table, which may be None, lacks ids of events."""
    missing = []
    if table is not None:
        missing = ids[~ids.isin(table[ids.name])].unique()
    if len(missing):
        lacks = f"{len(missing):,} ids of {ids.name!r}: {format_ids(missing)}"
        raise ValueError(
            f"{option} lacks {lacks}. Add a row for each; it may be empty."
        )


def is_time_name(name) -> bool:
    """Return whether a name is that of the times of events."""
    return bool(re.search(TIME_NAME, name)) and not re.search(OTHER_DATE, name)


def are_times(values, name) -> bool:
    """Return whether all values are dates, or Unix times under the name of a time."""
    if is_datetime64_any_dtype(values):
        return True
    for part in (values.dropna()[:100], values.dropna()):  # the first says most
        text = part.astype(str)
        text = text[~text.isin(GAPS)]
        if text.empty:
            return False
        if text.str.fullmatch(EVENT_DATE).all():
            continue
        numbers = pd.to_numeric(text, errors="coerce").to_numpy(float)
        if not is_time_name(name) or not np.isfinite(numbers).all():
            return False
        if max(NumberFigures.of(numbers).in_unit.values()) < len(numbers):
            return False  # no instants in one unit
    return True


def are_of_events(events, column, ids) -> bool:
    """Return whether dates differ for the same user and for the same item, ``ids``.

    Those of birth and of release do not. Those of what few events have are others, too.
    """
    if re.search(OTHER_DATE, column) or events[column].isna().mean() > 0.1:
        return False
    for column_of_ids in ids:
        if not events.groupby(column_of_ids)[column].nunique().mean() > 1.05:
            return False
    return True


def read_times(times, column, form=None) -> pd.Series:
    """Return times as numbers or as dates, which are read as UTC.

    ``form`` is a format of `pandas.to_datetime`. None: numbers if all are numbers, and
    otherwise the one format of the first date, month first if that and all others fit.
    If few values do not fit, they become missing, and what they are is printed.
    """
    times = times.where(~times.isin(GAPS))
    if form is None and not is_datetime64_any_dtype(times):
        numbers = pd.to_numeric(times, errors="coerce")
        if numbers.notna().sum() == times.notna().sum():
            return numbers.where(numbers.abs() < math.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that an order is guessed
        try:
            if form is None and re.match(r"\d{1,2}\D", str(times.dropna().iloc[0])):
                return _read_either_way(times, column)
            return pd.to_datetime(times, utc=True, format=form)
        except (ValueError, TypeError) as error:
            unlike = _unlike_most(times, form)
            reason = str(error)
    n_unlike = unlike.sum()
    n_given = times.notna().sum()
    if 0 < n_unlike <= MAX_UNLIKE * n_given:
        row = unlike.to_numpy().argmax()
        first = f"{times.iloc[row]!r} in row {row + 1:,}"
        few = f"{n_unlike:,} of {n_given:,} values"
        print(f"{column}: {few} are no such times: {first}.")
        return read_times(times.where(~unlike), column, form)
    expected = "numbers or dates in one format"
    if form is not None:
        expected = repr(form)
    hint = ""
    if not form:
        hint = " Give --time-format '%d/%m/%Y %H:%M' or --time none."
    # pandas goes on with advice for its callers
    reason = reason.partition("You might want to try")[0].strip(" .")
    what = f"--time: the values of {column!r} must be {expected}"
    raise ValueError(f"{what}. {reason}.{hint}")


def span_of(times) -> str:
    """Return from when to when times are, and what numbers are taken as."""
    span = f"from {times.min()} to {times.max()}"
    known = times.dropna()
    if known.empty or is_datetime64_any_dtype(known):
        return span
    kind = kind_of_times(known, "auto", known.name)
    if not kind.dates:
        return f"{span}, {kind}"
    first, last = as_dates(known, known.name, kind).agg(["min", "max"])
    return f"{kind}, from {first} to {last}"


def _unlike_most(times, form):
    """Return which of the times cannot be read in the way that fits most of them."""
    options = {"utc": True, "errors": "coerce", "format": form}
    readings = [
        pd.to_datetime(times, dayfirst=False, **options),
        pd.to_datetime(times, dayfirst=True, **options),
    ]
    if form is None:
        readings.append(pd.to_numeric(times, errors="coerce"))
    best = max(readings, key=lambda reading: reading.notna().sum())
    return times.notna() & best.isna()


def _read_either_way(times, column):
    """Return dates such as 05/01/2024, month first if all fit; print what they are."""
    first = times.dropna().iloc[0]
    month_first = pd.to_datetime(times, utc=True, errors="coerce")
    day_first = pd.to_datetime(times, utc=True, errors="coerce", dayfirst=True)
    n_given = times.notna().sum()
    readings = []  # those that fit all times
    for dates in (month_first, day_first):
        if dates.notna().sum() == n_given:
            readings.append(dates)
    if not readings:
        return pd.to_datetime(times, utc=True)  # raises
    chosen = readings[0]
    hint = ""
    if not chosen.equals(readings[-1]):
        form = guess_datetime_format(first, dayfirst=True)
        if form is None:
            raise ValueError(f"{first!r} can be read month first and day first")
        hint = f" If the day comes first: --time-format {form!r}."
    date = chosen[times.notna()].iloc[0]
    print(f"{column}: {first} is read as {date:%Y-%m-%d}.{hint}")
    return chosen


def check_column(table, column, option, path, advice=""):
    """Raise ``ValueError`` if a table lacks a column; ``advice``: how to mend it."""
    if column not in table.columns:
        columns = ", ".join(map(str, table.columns[:10]))
        hint = did_you_mean(column, table.columns)
        if "Did you mean" not in hint:
            hint = ""
        lacks = f"{path} has no column {column!r}, but {columns}"
        raise ValueError(f"{option}: {lacks}.{hint}{advice}")


def read_side_table(
    path, column, option, encoding=None, columns_of_events=()
) -> pd.DataFrame | None:
    """Return one row of features for each id, the last of several; None for None."""
    if path is None:
        return None
    table = read_table(path, option, encoding)
    shared = [name for name in table.columns if name in columns_of_events]
    advice = ""
    if shared:
        named = shlex.join([option.removesuffix("s"), shared[0]])
        advice = f" Both tables have {shared[0]!r}; if that is the id: {named}."
    check_column(table, column, option, path, advice)
    table = table.dropna(subset=[column])
    table[column] = read_ids(table[column])
    repeated = table[column].duplicated(keep="last")
    if repeated.any():
        print(f"{path}: of {repeated.sum():,} repeated ids the last row counts.")
    table = table[~repeated].reset_index(drop=True)
    for name in table.columns.drop(column):
        table[name] = read_feature(table[name])
    return table


def read_feature(values) -> pd.Series:
    """Return text as numbers or dates if all of it is, and anything else as it is."""
    text = values.dropna()
    if text.empty or not all(isinstance(value, str) for value in text):
        return values
    if text.str.fullmatch(NUMBER).all():
        return pd.to_numeric(values)
    if text.str.fullmatch(DATE).all():
        dates = pd.to_datetime(values, errors="coerce", utc=True, format="ISO8601")
        if dates.notna().sum() == len(text):
            return dates
    return values
