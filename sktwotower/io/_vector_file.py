"""Vectors with their ids, for vector databases and other indexes.

Input: a fitted `TwoTowerRecommender`.
Output: a Parquet or numpy file with ids (n,) and vectors (n, d).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower._records._atomic import replaced_file
from sktwotower._records._rounded import check_vector_dtype, rounded
from sktwotower._tables._messages import format_ids, imported, warn
from sktwotower.retrieval._fitted_state import fitted_of


def export_vectors(
    model, path, *, side="item", vector_dtype="float32", sparse=None
) -> None:
    """Write the vectors of all items or users with their ids to a file.

    The dot product of the vectors of a user and an item is their score, except for what
    sparse parts of the model add. That is the product of sparse vectors. Of a model
    without sparse parts, a search by inner product in the item vectors returns the same
    items as `recommend` with ``exclude_seen=False``.

    Parameters
    ----------
    model : TwoTowerRecommender
        A fitted model.
    path : str or path-like
        The file, whose name ends with ".parquet" or ".npz"; an old one is replaced.
        Parquet (``pip install 'sktwotower[parquet]'``): a column of ids, named as in
        fit, and the column ``vector``, lists of d float32. numpy: the arrays ``ids``
        (n,) and ``vectors`` (n, d), which `numpy.load` reads. Both hold ``model_id_``
        of the model: in the metadata of the schema, and as the array ``model_id``.
    side : {"item", "user"}, default="item"
        The items of the catalog, in the order of ``item_ids_``, or the users of fit
        with their histories, in the order of ``user_ids_``.
    vector_dtype : {"float32", "float16", "int8"}, default="float32"
        How vectors are stored, as in `dump`. "int8": codes from -127 to 127, and one
        array or column more, ``scales`` (n,) in numpy and ``scale`` in Parquet, each
        row's float32. The vectors are ``codes * scales[:, None]``.
    sparse : bool, default=None
        Write sparse vectors as well, as `TwoTowerRecommender.embed_items` returns them:
        in Parquet the columns ``sparse_indices`` and ``sparse_values``, lists of int32
        and float32; in numpy the arrays ``sparse_indptr``, ``sparse_indices`` and
        ``sparse_values`` of a CSR matrix. None: do not, and warn if sparse parts are
        thereby lost.

    Raises
    ------
    NotFittedError
        If fit has not been called.
    TypeError
        If the model has no vectors, as baselines.
    ValueError
        If the name ends with something else, ``side`` or ``vector_dtype`` is another
        word, the file has no type for the ids or such numbers, or the column of ids in
        Parquet would be called "vector" or "scale", too.
    ImportError
        If pyarrow is not installed, for Parquet.
    OSError
        If the file cannot be written.

    See Also
    --------
    dump : Writes the whole model.
    export_onnx : Writes a tower, which computes vectors of new users and items.

    Notes
    -----
    Vectors of users without a place in the file, such as new ones, come from
    `TwoTowerRecommender.embed_users`. Sparse vectors are for stores that search both
    kinds at once, such as Qdrant and Milvus; for others, fit with
    ``sparse_parts=None``, so that nothing is missing. Of a
    model with ``context`` the file has the vectors of users whose context is unknown;
    ``embed_users(context=...)`` returns those of a request. With ``normalize`` (the
    default) vectors have length 1: cosine, inner product and Euclidean distance find
    the same items. The guide has recipes for faiss, hnswlib, Qdrant, pgvector, Milvus
    and LanceDB.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sktwotower import TwoTowerRecommender, io
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
    ...      ["dan", "glue"], ["dan", "paint"]]
    >>> model = TwoTowerRecommender(random_state=1).fit(X)
    >>> path = Path(tempfile.mkdtemp()) / "items.npz"
    >>> io.export_vectors(model, path)

    Another program reads the file, and searches by products of vectors:

    >>> with np.load(path) as items:
    ...     ids, vectors = items["ids"], items["vectors"]
    >>> scores = model.embed_users(["ann"]) @ vectors.T
    >>> for product, score in zip(ids, scores[0]):
    ...     print(f"{product:6}{score:5.2f}")
    bread  0.02
    glue  -0.71
    jam    0.77
    nails -0.81
    paint -0.59
    tea    0.74
    """
    if side not in ("item", "user"):
        raise ValueError(f"side must be 'item' or 'user'. Got {side!r}.")
    check_vector_dtype(vector_dtype)
    writers = {".parquet": _write_parquet, ".npz": _write_numpy}
    ending = Path(path).suffix.lower()
    if ending not in writers:
        raise ValueError(
            f"The name of the file must end with {' or '.join(writers)}. Got "
            f"{str(path)!r}."
        )
    fitted = fitted_of(model)
    if not hasattr(model, "embed_users"):
        raise TypeError(f"{type(model).__name__} has no vectors of users and items.")
    if sparse is None and fitted.model.sparse is not None:
        parts = ", ".join(part.in_words for part in fitted.model.sparse.parts)
        warn(
            f"The file has no sparse vectors, so that what {parts} add to scores is "
            "lost. sparse=True writes them, too. A model of sparse_parts=None has no "
            "such parts. sparse=False silences this warning."
        )
    if side == "user":
        ids = fitted.user_ids
        embed = model.embed_users
        vectors = embed(ids)
    else:
        ids = fitted.item_ids
        embed = model.embed_items
        vectors = fitted.item_embeddings
    vectors = np.asarray(vectors)
    columns = {"vector": rounded(vectors, vector_dtype, f"the vectors of {side}s")}
    if vector_dtype == "int8":
        columns["vector"], columns["scale"] = columns["vector"]
    if sparse:
        columns["sparse"] = embed(ids, sparse=True)
    name = str(getattr(fitted, f"{side}s").label)
    if name in columns and ending == ".parquet":
        raise ValueError(
            f"The column of {side}s in fit is called {name!r}, as one of their vectors "
            "in the file. Fit with another name, or write '.npz'."
        )
    try:
        writers[ending](path, name, ids, columns, fitted.model_id)
    except (TypeError, OverflowError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"{ending} has no type for these ids: {format_ids(ids, 3)} ({error}). Fit "
            "on text or on integers of 64 bits."
        ) from error


def _write_numpy(path, name, ids, columns, model_id):
    """Write ids (n,) and columns to a file of numpy."""
    ids = np.asarray(ids)
    if ids.dtype == object:
        is_text = pd.api.types.infer_dtype(ids, skipna=False) == "string"
        if not is_text or any("\0" in text for text in ids):
            raise TypeError("objects that are not text")
        ids = ids.astype(str)
    matrix = columns.pop("sparse", None)
    arrays = {f"{column}s": values for column, values in columns.items()}
    if matrix is not None:
        arrays["sparse_indptr"] = matrix.indptr
        arrays["sparse_indices"] = matrix.indices
        arrays["sparse_values"] = matrix.data
    with replaced_file(path) as file:
        np.savez(file, ids=ids, **arrays, model_id=model_id)  # none of objects


def _write_parquet(path, name, ids, columns, model_id):
    """Write ids (n,), in the column of a name, and columns to a Parquet file."""
    message = "Parquet needs pyarrow: pip install 'sktwotower[parquet]'."
    pyarrow = imported("pyarrow", message)
    parquet = imported("pyarrow.parquet", message)
    matrix = columns.pop("sparse", None)
    table = {name: pyarrow.array(pd.Series(ids))}
    for column, values in columns.items():
        table[column] = pyarrow.array(np.ascontiguousarray(values).reshape(-1))
    width = columns["vector"].shape[1]
    table["vector"] = pyarrow.FixedSizeListArray.from_arrays(table["vector"], width)
    if matrix is not None:
        lists_of = pyarrow.LargeListArray.from_arrays
        offsets = matrix.indptr.astype(np.int64)
        indices = matrix.indices.astype(np.int32)
        table["sparse_indices"] = lists_of(offsets, indices)
        table["sparse_values"] = lists_of(offsets, matrix.data)
    with replaced_file(path) as file:
        written = pyarrow.table(table, metadata={"model_id": model_id})
        parquet.write_table(written, file)
