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

from sktwotower._records._atomic import replaced_file

from ._frames import DASK_FRAME, ENDINGS, LAZY_FRAME, are_paths, as_frame, is_of
from ._messages import did_you_mean, shorten
from ._temporary import full_error, says_full

# Number of rows of a batch that is read from a query.
BATCH = 1_000_000
# So many partitions of Dask are computed together: the cluster computes them in
# parallel, and this process holds them in memory.
N_TOGETHER = 8


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

    called = "X"  # in messages
    remedy = ""  # what they advise if it cannot be read
    runs_code = False  # whether reading it runs functions of the user

    def __init__(self, X, connection, folder):
        self.X = X
        self.connection = connection
        self.folder = folder
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
            if batches:
                return self._parts(answer)
            return answer.to_arrow_table()

    def _parts(self, answer):
        """Yield parts of an answer, Arrow tables."""
        with self.explained():
            yield from answer.to_arrow_reader(BATCH)

    @contextmanager
    def explained(self):
        """Turn errors of the libraries that read X into ``ValueError``."""
        duckdb = import_module("duckdb")
        pyarrow = import_module("pyarrow")
        try:
            yield
        except (MemoryError, duckdb.OutOfMemoryException):
            raise
        except Exception as error:
            if says_full(error):  # reading needs no space, but the copies do
                raise full_error() from None
            errors_of_reading = (duckdb.Error, pyarrow.ArrowException, OSError)
            if not isinstance(error, errors_of_reading):
                if isinstance(error, ValueError) or not self.runs_code:
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
                first_type = self.schemas[0].field(name).type
                dtype = schema.field(name).type
                if dtype != first_type:
                    raise ValueError(
                        f"The files of {self.called} have different types: column "
                        f"{name!r} is {dtype} in {path}, but {first_type} in "
                        f"{self.paths[0]}. Write all files with one schema."
                    )

    def dataset(self):
        """Return the events as a pyarrow Dataset."""
        return import_module("pyarrow.dataset").dataset(self.paths, format="parquet")

    def relation(self):
        """Return the query of the chosen columns."""
        files = zip(self.paths, self.schemas, strict=True)
        parts = []
        for names, alike in groupby(files, lambda file: file[1].names):
            parts.append(self._part([path for path, _ in alike], names))
        return " union all ".join(parts)

    def _part(self, paths, names):
        """Return the query of the chosen columns of files whose ``names`` are equal."""
        texts = ", ".join(_quoted(path) for path in paths)
        numbered = ", ".join(f"c{i}" for i in range(len(names)))
        chosen = []
        for name, column in self.columns.items():
            chosen.append(f"c{names.index(column)} as {name}")
        return (
            f"select {', '.join(chosen)} from "
            f"read_parquet([{texts}], hive_partitioning = false) as files({numbered})"
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
    """Return the schema of a Parquet file."""
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
    if called is None:
        called = f"X={path!r}"
    path = os.path.expanduser(path)
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        folder = Path(path)
        paths = []
        for file in sorted(folder.rglob("*")):
            # as for Spark and pyarrow, names that begin with "_" or "." are of no table
            names = file.relative_to(folder).parts
            is_hidden = any(name[0] in "._" for name in names)
            if file.suffix in ENDINGS and file.is_file() and not is_hidden:
                paths.append(str(file))
        if not paths:
            raise ValueError(
                f"The folder {path!r} holds no Parquet files (*.parquet or *.pq)."
            )
        return paths
    if not glob.has_magic(path):
        raise ValueError(
            f"{called} is not a table, and there is no file or folder of that name. "
            "Pass events as a dataframe or an array, or a path of Parquet files."
        )
    paths = sorted(p for p in glob.glob(path, recursive=True) if os.path.isfile(p))
    if not paths:
        raise ValueError(f"No file matches the pattern {called}.")
    return paths


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
            files = dataset(path, format="parquet", partitioning="hive")
            if not files.files:
                raise FileNotFoundError("it holds no files")
        super().__init__(files, connection, folder)


class Frame(Copied):
    """A polars LazyFrame."""

    called = "X, a polars LazyFrame,"
    runs_code = True
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
        """Compute the chosen columns; return the paths of several files.

        Workers that see the folder write their partitions themselves. Otherwise all
        pass through this process, some partitions at a time. Types are those that X
        declares; of columns that it declares as objects or categories, those of the
        first partition with values.
        """
        dask = import_module("dask")
        chosen = {name: self.X[column] for name, column in self.columns.items()}
        X = self.X.assign(**chosen)[list(chosen)]
        types = _arrow_types(X)
        paths = []
        for i in range(X.npartitions):
            paths.append(os.path.join(self.folder, f"{i}.parquet"))
        if _all_workers_see(X, self.folder):
            write = dask.delayed(_write_partition)
            tasks = []
            for part, path in zip(X.to_delayed(), paths, strict=True):
                tasks.append(write(part, path, types))
            dask.compute(*tasks)
            return paths
        paths = paths[::N_TOGETHER]
        for i, path in enumerate(paths):
            start = i * N_TOGETHER
            part = X.partitions[start : start + N_TOGETHER].compute()
            _write_partition(part, path, types)
        return paths


def _all_workers_see(X, folder):
    """Return whether all that compute X can write to a folder of this machine."""
    get = import_module("dask.base").get_scheduler(collections=[X])
    client = getattr(get, "__self__", None)
    if client is None:  # threads or processes of this machine, or an unknown cluster
        return get.__module__.startswith("dask.")
    answers = list(client.run(_can_write, folder, on_error="return").values())
    return len(answers) > 0 and all(answer is True for answer in answers)


def _can_write(folder):
    """Return whether a worker can write Parquet files to a folder."""
    import_module("pyarrow.parquet")
    return os.access(folder, os.W_OK)


def _write_partition(part, path, types):
    """Write a partition, a pandas frame, to a Parquet file of some Arrow types."""
    # a worker that was given up may still write when another one begins
    with replaced_file(path) as file:
        import_module("pyarrow.parquet").write_table(_as_arrow(part, types), file)


def _arrow_types(X):
    """Return the Arrow types that a Dask dataframe declares, or else those it has."""
    pyarrow = import_module("pyarrow")
    is_null = pyarrow.types.is_null
    is_level = pyarrow.types.is_dictionary
    declared = pyarrow.Schema.from_pandas(X._meta, preserve_index=False)
    unclear = [f.name for f in declared if is_null(f.type) or is_level(f.type)]
    if not unclear:
        return pyarrow.schema(list(declared))
    for part in X[unclear].partitions:
        seen = _as_arrow(part.compute(), None).schema
        if not any(map(is_null, seen.types)):
            break
    fields = [seen.field(f.name) if f.name in unclear else f for f in declared]
    return pyarrow.schema(fields)


def _as_arrow(frame, schema):
    """Return a pandas frame as an Arrow table; categories become their values."""
    levels = frame.dtypes[frame.dtypes == "category"]
    types = {name: dtype.categories.dtype for name, dtype in levels.items()}
    table = import_module("pyarrow").Table
    return table.from_pandas(frame.astype(types), schema=schema, preserve_index=False)


def kind_of(X):
    """Return the ``Source`` class of events on disk."""
    if are_paths(X):
        return Files
    if isinstance(X, str | os.PathLike):
        if _is_for_arrow(X):
            return ArrowFiles
        return Files
    if is_of(X, DASK_FRAME):
        return DaskFrame
    if is_of(X, LAZY_FRAME):
        return Frame
    return DatasetSource


def _is_for_arrow(path):
    """Return whether a path is a URL, or has folders such as day=1."""
    path = os.path.expanduser(path)
    return "://" in path or any(Path(path).rglob("*=*/"))
