"""Writing the partitions of a Dask dataframe to files that this process can read.

Input: a Dask dataframe, and a folder.
Output: paths of Parquet files.
"""

import os
from importlib import import_module
from itertools import repeat

from sktwotower._records._atomic import replaced_file

# So many partitions of Dask are computed together: the cluster computes them in
# parallel, and this process holds them in memory.
N_TOGETHER = 8


def write_partitions(X, folder):
    """Write a Dask dataframe to Parquet files in a folder; return their paths.

    Workers that see the folder write their partitions themselves. Otherwise all pass
    through this process, block by block. Types are those that X declares; of columns
    that it declares as objects or categories, those of the first partition with values.
    """
    dask, n, types = import_module("dask"), X.npartitions, _types(X)
    paths = [os.path.join(folder, f"{i}.parquet") for i in range(n)]
    if _is_shared(X, folder):
        dask.compute(*map(dask.delayed(_write), X.to_delayed(), paths, repeat(types)))
        return paths
    for start in range(0, n, N_TOGETHER):
        _write(X.partitions[start : start + N_TOGETHER].compute(), paths[start], types)
    return paths[::N_TOGETHER]


def _is_shared(X, folder):
    """Return whether all that compute X can write to a folder of this machine."""
    get = import_module("dask.base").get_scheduler(collections=[X])
    client = getattr(get, "__self__", None)
    if client is None:  # threads or processes of this machine, or an unknown cluster
        return get.__module__.startswith("dask.")
    seen = client.run(_sees, folder, on_error="return").values()
    return bool(seen) and all(each is True for each in seen)


def _sees(folder):
    import_module("pyarrow.parquet")
    return os.access(folder, os.W_OK)


def _write(part, path, types):
    # a worker that was given up may still write when another one begins
    with replaced_file(path) as file:
        import_module("pyarrow.parquet").write_table(_arrow(part, types), file)


def _types(X):
    """Return the Arrow types that a Dask dataframe declares, or else those found."""
    pyarrow = import_module("pyarrow")
    types = pyarrow.Schema.from_pandas(X._meta, preserve_index=False)
    is_null, is_level = pyarrow.types.is_null, pyarrow.types.is_dictionary
    names = [f.name for f in types if is_null(f.type) or is_level(f.type)]
    for part in X[names].partitions if names else ():
        found = _arrow(part.compute(), None).schema
        if not any(map(is_null, found.types)):
            break
    return pyarrow.schema(found.field(f.name) if f.name in names else f for f in types)


def _arrow(block, schema):
    """Return a pandas frame as an Arrow table; categories become their values."""
    levels = block.dtypes[block.dtypes == "category"]
    block = block.astype({name: kind.categories.dtype for name, kind in levels.items()})
    table = import_module("pyarrow").Table
    return table.from_pandas(block, schema=schema, preserve_index=False)
