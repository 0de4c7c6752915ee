"""Opening events that lie on disk or on a cluster, and are read bit by bit.

Input: X (n_events, n_columns): a path, a pattern or a URL of Parquet files, a pyarrow
    Dataset, a polars LazyFrame or a Dask dataframe.
Output: a ``Source``: names of columns, and answers to SQL queries, as Arrow tables.
"""

import math
import tempfile
from contextlib import contextmanager

import joblib

from ._columns import position_of
from ._frames import DASK_FRAME, as_frame, is_of, is_source
from ._memory import VARIABLE, memory_of_process
from ._messages import imported
from ._source_kinds import first_line, kind_of
from ._temporary import full_error, says_full, temporary_files

# DuckDB sorts and groups within this share of the memory that this process may use, and
# beyond it on disk; each of its threads needs some of it.
MEMORY_SHARE = 0.25
BYTES_OF_THREAD = 2**27
# The memory if it is not known how much there is, as on Windows.
USUAL_MEMORY = 3e9


@contextmanager
def opened(X, together=None):
    """Yield the ``Source`` of X; files that it needs are deleted at the end.

    ``together(make)`` returns the paths of files that ``make()`` writes, in one of
    several processes or in each. None: this one writes them.
    """
    extra = "dask" if is_of(X, DASK_FRAME) else "scale"
    duckdb = _imported("duckdb", extra)
    _imported("pyarrow", extra)
    available = memory_of_process()
    memory = available * MEMORY_SHARE
    if math.isinf(available):
        memory = USUAL_MEMORY
    with temporary_files():
        temporary = tempfile.TemporaryDirectory(prefix="sktwotower_")
    with temporary as folder:
        config = {
            "memory_limit": f"{memory:.0f}B",
            "temp_directory": folder,
            "threads": min(joblib.cpu_count(), math.ceil(memory / BYTES_OF_THREAD)),
        }
        try:
            with duckdb.connect(config=config) as connection:
                connection.execute("set TimeZone = 'UTC'")
                source = kind_of(X)(X, connection, folder)
                source.together = together or (lambda make: make())
                yield source
        except (MemoryError, duckdb.OutOfMemoryException) as error:
            if says_full(error):
                raise full_error() from None
            raise ValueError(
                f"Reading X needs more memory than the {available / 1e9:.3g} GB that "
                f"this process may use ({first_line(error)}). If there is more, raise "
                f"the environment variable {VARIABLE}; if {tempfile.gettempdir()} is "
                "full, set the environment variable TMPDIR to another folder."
            ) from None


def _imported(name, extra):
    """Return a library; ``extra``: the extra of this package that installs it."""
    return imported(
        name,
        "Events on disk, and those of Dask, are read by DuckDB and pyarrow, and "
        f"{name} is not installed. Install both: pip install 'sktwotower[{extra}]'.",
    )


def held_in_memory(X, y, sample_weight, schema):
    """Return a table, rewards and weights in memory of events that lie on disk.

    ``y`` and ``sample_weight`` are then names of columns. ``schema``: that of fit;
    only its columns are read. Other X are returned as they are.
    """
    if not is_source(X):
        return X, y, sample_weight
    with opened(X) as source:
        outcomes = outcome_columns(source, y=y, sample_weight=sample_weight)
        names = list(source.empty.columns.drop(list(outcomes.values())))
        if schema.names is not None:
            names = [name for name in names if name in schema.names]
        source.refuse_durations(name for name in schema.context if name in names)
        selected = {}
        for i, name in enumerate([*names, *outcomes.values()]):
            selected[f"c{i}"] = name
        source.select(**selected)
        frame = as_frame(source.query("select * from events"), "X")
    frame.columns = [*names, *outcomes]
    rewards = None
    if "y" in outcomes:
        rewards = frame["y"].to_numpy()
    weights = None
    if "sample_weight" in outcomes:
        weights = frame["sample_weight"].to_numpy()
    return frame[names], rewards, weights


def outcome_columns(source, **parameters):
    """Return the columns that ``y`` and ``sample_weight`` name, if any, a dict."""
    columns = {}
    for parameter, name in parameters.items():
        if name is None:
            continue
        if not isinstance(name, str):
            raise TypeError(
                f"{parameter} must be the name of a column of X, as X is read from "
                f"disk. Got {type(name).__name__}."
            )
        position_of(source.empty.columns, name, parameter)  # there is such a column
        columns[parameter] = name
    return columns
