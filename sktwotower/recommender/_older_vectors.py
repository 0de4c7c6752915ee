"""The item vectors of an older model, from the model itself or from a file.

Input: a fitted model, what `runtime.load` returns, or a file of `export_vectors`.
Output: ids (n,), vectors (n, d), the id of the model, and how it embeds users.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._tables._messages import imported, shorten
from sktwotower.retrieval._fitted_state import fitted_of

EXPECTED = (
    "a fitted TwoTowerRecommender, what runtime.load returns, or the path of a file of "
    "io.export_vectors that ends with .npz or .parquet"
)


class OlderVectors(NamedTuple):
    """The item vectors of an older model.

    ``embed``: maps a list of known users to vectors (m, d); None: they are not known.
    """

    ids: pd.Index
    vectors: np.ndarray
    model_id: str
    user_ids: np.ndarray | None = None
    embed: Callable | None = None


def older_vectors(older):
    """Return the `OlderVectors` of the argument of `align_to`."""
    if isinstance(older, str | Path):
        path = Path(older)
        ending = path.suffix.lower()
        if ending not in (".npz", ".parquet"):
            raise ValueError(
                f"older must be {EXPECTED}. Got {str(path)!r}: read the file of a "
                "model with io.load first."
            )
        read = _read_numpy
        if ending == ".parquet":
            read = _read_parquet
        ids, vectors, scales, model_id = read(path)
        vectors = vectors.astype(np.float32)
        if scales is not None:
            vectors *= scales[:, None]
        return OlderVectors(pd.Index(ids), vectors, model_id)
    if hasattr(older, "embed_items"):
        fitted_of(older)  # raises if it is not fitted
        embed = older.embed_users
    elif hasattr(older, "embed"):
        embed = older.embed
    else:
        raise TypeError(f"older must be {EXPECTED}. Got {shorten(older)}.")
    vectors = np.asarray(older.item_embeddings_)
    ids = pd.Index(older.item_ids_)
    return OlderVectors(ids, vectors, older.model_id_, older.user_ids_, embed)


def _read_numpy(path):
    """Return ids (n,), vectors (n, d), scales (n,) or None, and the id of the model."""
    with np.load(path, allow_pickle=False) as file:
        missing = {"ids", "vectors", "model_id"} - set(file.files)
        if missing:
            raise _without(path, missing)
        ids = file["ids"]
        if ids.dtype.kind == "U":
            ids = ids.astype(object)
        scales = None
        if "scales" in file.files:
            scales = file["scales"]
        return ids, file["vectors"], scales, str(file["model_id"])


def _read_parquet(path):
    """Return what `_read_numpy` does, of a Parquet file."""
    message = "Parquet needs pyarrow: pip install 'sktwotower[parquet]'."
    table = imported("pyarrow.parquet", message).read_table(path)
    model_id = (table.schema.metadata or {}).get(b"model_id")
    if model_id is None or "vector" not in table.column_names[1:]:
        raise _without(path, {"vector", "model_id"})
    ids = table.column(0).to_pandas().to_numpy()
    vectors = table["vector"].combine_chunks()
    vectors = vectors.values.to_numpy().reshape(len(ids), -1)
    scales = None
    if "scale" in table.column_names:
        scales = table["scale"].to_numpy()
    return ids, vectors, scales, model_id.decode()


def _without(path, missing):
    """Return the error of a file that lacks some of what `export_vectors` writes."""
    names = json.dumps(sorted(missing))
    return ValueError(f"{str(path)!r} is no file of io.export_vectors: no {names}.")
