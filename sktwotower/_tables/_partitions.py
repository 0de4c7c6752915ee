"""Writing the partitions of a Dask dataframe to one file of this machine.

Input: a Dask dataframe, and the path of a file.
Output: a Parquet file.
"""

from importlib import import_module

# So many partitions of Dask are computed together: the cluster computes them in
# parallel, and this process holds them in memory.
N_TOGETHER = 8


def write_partitions(X, path):
    """Write a Dask dataframe to a Parquet file of this machine, block by block.

    Workers on other machines need no folder in common with this one. Types are those
    that X declares; of columns that it declares as objects or categories, those of the
    first block that has rows.
    """
    parquet = import_module("pyarrow.parquet")
    writer = None
    try:
        for start in range(0, X.npartitions, N_TOGETHER):
            block = X.partitions[start : start + N_TOGETHER].compute()
            is_last = start + N_TOGETHER >= X.npartitions
            if writer is None and (len(block) or is_last):
                writer = parquet.ParquetWriter(path, _types(X._meta, block))
            if len(block):
                writer.write_table(_arrow(block, writer.schema))
    finally:
        if writer is not None:
            writer.close()


def _types(declared, block):
    """Return the Arrow types that a Dask dataframe declares, or else those found."""
    pyarrow = import_module("pyarrow")
    types = pyarrow.Schema.from_pandas(declared, preserve_index=False)
    found = _arrow(block, None).schema
    open_types = pyarrow.types.is_null, pyarrow.types.is_dictionary
    return pyarrow.schema(
        found.field(field.name) if any(is_(field.type) for is_ in open_types) else field
        for field in types
    )


def _arrow(block, schema):
    """Return a pandas frame as an Arrow table; categories become their values."""
    categories = {
        name: dtype.categories.dtype
        for name, dtype in block.dtypes.items()
        if dtype == "category"
    }
    block = block.astype(categories)
    table = import_module("pyarrow").Table
    return table.from_pandas(block, schema=schema, preserve_index=False)
