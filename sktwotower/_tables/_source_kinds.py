"""The kinds of events on disk, each with its way to be read.

Input: X (n_events, n_columns): Parquet files, a pyarrow Dataset, a polars LazyFrame or
    a Dask dataframe; a connection of DuckDB, and a folder for temporary files.
Output: a ``Source``: names of columns, and answers to SQL queries, as Arrow tables.
"""

import glob
import os
import re
import sys
from contextlib import contextmanager
from importlib import import_module
from itertools import groupby
from pathlib import Path

import pandas as pd

from ._frames import (
    DASK_FRAME,
    DATASET,
    ENDINGS,
    LAZY_FRAME,
    are_paths,
    as_frame,
    is_of,
)
from ._messages import did_you_mean, shorten
from ._partitions import write_partitions
from ._temporary import full_error, says_full

# Number of rows of a batch that is read from a query.
BATCH = 1_000_000


def _quoted(text):
    """Return a text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


class Source:
    """Events on disk. Subclasses define how they are read.

    Parameters
    ----------
    X : object
        Where they are.
    connection : DuckDB connection
    folder : str
        For temporary files.

    Attributes
    ----------
    empty : DataFrame of shape (0, n_columns)
        The columns of the events and their types.
    """

    # What messages call it, what they advise if it cannot be read, and whether reading
    # it runs functions of the user.
    called, remedy, runs_code = "X", "", False

    def __init__(self, X, connection, folder):
        self.X, self.connection, self.folder = X, connection, folder
        self.columns = {}
        with self.explained():
            self.empty = as_frame(self.empty_table(), "X")

    def select(self, **columns):
        """Choose the columns (name in queries: name in X) that queries may read.

        Names of X stay out of queries: SQL takes "Rating" and "rating" for one.
        """
        self.columns = columns
        for name, dtype in self.empty.dtypes[list(columns.values())].items():
            if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype):
                raise TypeError(
                    f"Column {name!r} of X is {dtype}, of which DuckDB reads "
                    "only numbers. Write dates (Series.dt.to_timestamp), or text."
                )
        self.prepare()

    def refuse_durations(self, names):
        """Raise ``TypeError`` if columns hold durations, which files hold as integers.

        ``names``: those of columns of which later tables have durations, not integers.
        """
        for name, dtype in self.empty.dtypes[list(names)].items():
            if dtype.kind == "m":
                raise TypeError(
                    f"Column {name!r} of X is {dtype}, of which DuckDB reads only "
                    "integers. Write numbers (Series.dt.total_seconds())."
                )

    def prepare(self):
        """Do once what all queries need."""

    def query(self, sql, batches=False, **tables):
        """Return the answer to a query of the table ``events`` as an Arrow table.

        ``tables``: further Arrow tables of the query. ``batches``: yield parts of the
        answer instead.
        """
        with self.explained():
            for name, table in tables.items():
                self.connection.register(name, table)
            answer = self.connection.sql(f"with events as ({self.relation()}) {sql}")
            return self._parts(answer) if batches else answer.to_arrow_table()

    def _parts(self, answer):
        with self.explained():
            yield from answer.to_arrow_reader(BATCH)

    @contextmanager
    def explained(self):
        """Turn errors of the libraries that read X into ``ValueError``."""
        duckdb, pyarrow = import_module("duckdb"), import_module("pyarrow")
        try:
            yield
        except (MemoryError, duckdb.OutOfMemoryException):
            raise
        except Exception as error:
            if says_full(error):  # reading needs no space, but the copies do
                raise full_error() from None
            reading = isinstance(error, (duckdb.Error, pyarrow.ArrowException, OSError))
            if not reading and (isinstance(error, ValueError) or not self.runs_code):
                raise
            raise ValueError(
                f"{self.called} cannot be read: {first_line(error)}{self.remedy}"
            ) from None

    def file_where(self, condition):
        """Return the first file with an event that meets a condition, or None.

        The condition is SQL, on the columns by the names of `select`.
        """
        return None


def first_line(error):
    """Return the type of an error and the first line of its message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


class Files(Source):
    """Parquet files: a file, the files in a folder, or those that match a pattern.

    Or a list of these, one after the other.
    """

    def __init__(self, X, connection, folder):
        if isinstance(X, list | tuple):
            texts = [os.fspath(entry) for entry in X]
            self.called = f"X={shorten(texts)}"
            self.paths = _paths_of_list(texts)
        else:
            self.called = f"X={os.fspath(X)!r}"
            self.paths = _paths(os.fspath(X))
        super().__init__(X, connection, folder)

    def empty_table(self):
        """Return the columns, an empty Arrow table, after a check of all files."""
        parquet = import_module("pyarrow.parquet")
        self.schemas = [_schema(parquet, path) for path in self.paths]
        return self.schemas[0].empty_table()

    def prepare(self):
        """Check that the chosen columns are of the same type in all files."""
        for path, schema in zip(self.paths, self.schemas, strict=True):
            for name in self.columns.values():
                if name not in schema.names:
                    raise ValueError(
                        f"The files of {self.called} have different columns: {path} "
                        f"has no column {name!r}, unlike {self.paths[0]}."
                        f"{did_you_mean(name, schema.names)}"
                    )
                types = self.schemas[0].field(name).type, schema.field(name).type
                if types[0] != types[1]:
                    raise ValueError(
                        f"The files of {self.called} have different types: column "
                        f"{name!r} is {types[1]} in {path}, but {types[0]} in "
                        f"{self.paths[0]}. Write all files with one schema."
                    )

    def dataset(self):
        """Return the events as a pyarrow Dataset."""
        return import_module("pyarrow.dataset").dataset(self.paths, format="parquet")

    def relation(self):
        """Return the query of the chosen columns."""
        files = zip(self.paths, self.schemas, strict=True)
        alike = groupby(files, lambda file: file[1].names)
        parts = [self._part([path for path, _ in of], names) for names, of in alike]
        return " union all ".join(parts)

    def _part(self, paths, names):
        """Return the query of the chosen columns of files whose ``names`` are equal."""
        texts = ", ".join(_quoted(path) for path in paths)
        places = ", ".join(f"c{i}" for i in range(len(names)))
        chosen = (f"c{names.index(c)} as {name}" for name, c in self.columns.items())
        return (
            f"select {', '.join(chosen)} from "
            f"read_parquet([{texts}], hive_partitioning = false) as files({places})"
        )

    def file_where(self, condition):
        """Return the first file with an event that meets a condition, or None."""
        for path, schema in zip(self.paths, self.schemas, strict=True):
            part = self._part([path], schema.names)
            sql = f"select 1 from ({part}) where {condition} limit 1"
            if self.connection.sql(sql).fetchall():
                return path
        return None


def _schema(parquet, path):
    try:
        return parquet.read_schema(path)
    except (import_module("pyarrow").ArrowException, OSError) as error:
        remedy = "Write it again, or leave it out"
        if str(path).lower().endswith(".csv"):
            remedy = "Read it with pandas.read_csv first"
        raise ValueError(
            f"{path} is not a Parquet file, or was cut off before its end "
            f"({first_line(error)}). {remedy}."
        ) from None


def _paths_of_list(texts):
    """Return the Parquet files of paths and patterns, in the order of the list."""
    paths = []
    for text in texts:
        if _is_for_arrow(text):
            raise ValueError(
                f"X is a list with {text!r}, a URL or a folder whose folders stand for "
                "columns (day=1). A list may hold files, folders and patterns of this "
                "machine; pass this one on its own, or all as a pyarrow Dataset."
            )
        paths += _paths(text, f"{text!r} in the list X")
    seen = set()
    for path in paths:
        real = os.path.realpath(path)
        if real in seen:
            raise ValueError(
                f"X is a list of paths that name the file {path!r} twice, so that its "
                "events would count twice. Name it once."
            )
        seen.add(real)
    return paths


def _paths(path, called=None):
    """Return the sorted Parquet files of a path or a pattern.

    ``called``: what errors call it. None: "X=..."
    """
    called = called or f"X={path!r}"
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        return _files_in(Path(path))
    if os.path.isfile(path):
        return [path]
    if not glob.has_magic(path):
        raise ValueError(
            f"{called} is not a table, and there is no file or folder of that name. "
            "Pass events as a dataframe or an array, or a path of Parquet files."
        )
    paths = sorted(p for p in glob.glob(path, recursive=True) if os.path.isfile(p))
    if not paths:
        raise ValueError(f"No file matches the pattern {called}.")
    return paths


def _files_in(folder):
    """Return the sorted Parquet files in a folder and the folders in it.

    As for Spark and pyarrow, names that begin with "_" or "." are of no table.
    """
    files = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part[0] in "._" for part in path.relative_to(folder).parts)
        if path.suffix in ENDINGS and path.is_file() and not hidden:
            files.append(path)
    if not files:
        raise ValueError(
            f"The folder {str(folder)!r} holds no Parquet files (*.parquet or *.pq)."
        )
    return [str(path) for path in files]


class Copied(Source):
    """What is computed once, the chosen columns into temporary Parquet files."""

    def prepare(self):
        """Write the files, and keep their paths."""
        with self.explained():
            path = os.path.join(self.folder, "events.parquet")
            self.paths = self.together(lambda: self.written(path))

    def relation(self):
        """Return the query of the chosen columns."""
        return f"from read_parquet([{', '.join(map(_quoted, self.paths))}])"


class DatasetSource(Copied):
    """A pyarrow Dataset, which may be filtered."""

    called = "X, a pyarrow Dataset,"

    def dataset(self):
        """Return the events as a pyarrow Dataset."""
        return self.X

    def empty_table(self):
        """Return the columns, an empty Arrow table."""
        return self.X.schema.empty_table()

    def written(self, path):
        """Write the chosen columns, batch by batch."""
        field = import_module("pyarrow.dataset").field
        columns = {name: field(column) for name, column in self.columns.items()}
        reader = self.X.scanner(columns=columns).to_reader()
        parquet = import_module("pyarrow.parquet")
        with parquet.ParquetWriter(path, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        return [path]


class ArrowFiles(DatasetSource):
    """Parquet files at a URL, or in folders that stand for columns."""

    remedy = ". Check the address and the credentials, or pass a pyarrow Dataset."

    def __init__(self, X, connection, folder):
        path = os.path.expanduser(os.fspath(X))
        shown = re.sub("//[^/@]*:[^/@]*@", "//***@", path)  # without a password
        self.called = f"X={shown!r}"
        with self.explained():
            dataset = import_module("pyarrow.dataset").dataset
            found = dataset(path, format="parquet", partitioning="hive")
            if not found.files:
                raise FileNotFoundError("it holds no files")
        super().__init__(found, connection, folder)


class Frame(Copied):
    """A polars LazyFrame."""

    called, runs_code = "X, a polars LazyFrame,", True
    remedy = ". X.collect() shows the whole error."

    def empty_table(self):
        """Return the columns, an empty frame of polars."""
        return sys.modules["polars"].DataFrame(schema=self.X.collect_schema())

    def written(self, path):
        """Compute the chosen columns, in the streaming engine of polars."""
        # polars.col would read some names as patterns
        column = sys.modules["polars"].selectors.by_name
        chosen = [column(c).alias(name) for name, c in self.columns.items()]
        self.X.select(chosen).sink_parquet(path)
        return [path]


class DaskFrame(Frame):
    """A Dask dataframe."""

    called = "X, a Dask dataframe,"
    remedy = ". X.compute() shows the whole error."

    def empty_table(self):
        """Return the columns as Dask declares them, an empty frame of pandas."""
        return self.X._meta

    def written(self, path):
        """Compute the chosen columns, by the workers or some partitions at a time."""
        chosen = {name: self.X[column] for name, column in self.columns.items()}
        return write_partitions(self.X.assign(**chosen)[list(chosen)], self.folder)


def kind_of(X):
    """Return the ``Source`` class of events on disk."""
    if are_paths(X):
        return Files
    if isinstance(X, str | os.PathLike):
        return ArrowFiles if _is_for_arrow(X) else Files
    kinds = {DASK_FRAME: DaskFrame, LAZY_FRAME: Frame, DATASET: DatasetSource}
    return next(kind for name, kind in kinds.items() if is_of(X, name))


def _is_for_arrow(path):
    """Return whether a path is a URL, or has folders such as day=1."""
    path = os.path.expanduser(path)
    return "://" in path or any(Path(path).rglob("*=*/"))
