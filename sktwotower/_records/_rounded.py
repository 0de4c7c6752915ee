"""Vectors in fewer bits than float32: halves, or integers with a scale for each row.

Input: vectors (n, d), float32, and the name of a dtype.
Output: (n, d) in float16, or codes (n, d), int8, with scales (n,), float32; and back.
"""

import numpy as np

from ._checks import array, check_of, require

VECTOR_DTYPES = "float32", "float16", "int8"
MAX_SCALE = np.finfo(np.float32).max / 128  # its product with any code is finite
CODED = check_of(tuple[array("int8", "n d"), array("float32", "n")])


def check_vector_dtype(dtype):
    """Raise ``ValueError`` unless this is one of ``VECTOR_DTYPES``."""
    if dtype not in VECTOR_DTYPES:
        raise ValueError(f"vector_dtype must be one of {VECTOR_DTYPES}. Got {dtype!r}.")


def rounded(vectors, vector_dtype, place):
    """Return vectors (n, d) of a dtype; of "int8" the pair of codes and scales."""
    if vector_dtype == "float32":
        return vectors
    with np.errstate(over="ignore", invalid="ignore"):
        if vector_dtype == "float16":
            stored = vectors.astype(np.float16)
            fits = np.isfinite(stored).all()
            limit = "65,504"
        else:
            codes, scales = _coded(vectors)
            stored = (codes, scales)
            fits = (scales <= MAX_SCALE).all()
            limit = "3.37e38"
    if not fits:
        raise ValueError(
            f"{place} has numbers that are nan or beyond {limit}, which {vector_dtype} "
            "cannot hold: write it with vector_dtype='float32'."
        )
    return stored


def _coded(vectors):
    """Return codes (n, d), ``rint(x / scale)``, and scales (n,), ``max |x| / 127``."""
    highest = vectors.max(axis=1, initial=0)
    lowest = vectors.min(axis=1, initial=0)
    scales = np.maximum(highest, np.abs(lowest)) / np.float32(127)
    quotients = vectors / np.where(scales > 0, scales, 1)[:, None]
    np.rint(quotients, out=quotients)
    # a scale has few digits where numbers are next to zero, and quotients exceed 127
    np.clip(quotients, -127, 127, out=quotients)
    return quotients.astype(np.int8), scales


def restored(stored, place):
    """Return float32 vectors (n, d) of what `rounded` made, all else as it is."""
    if isinstance(stored, np.ndarray) and stored.dtype == np.float16:
        return stored.astype(np.float32)
    if type(stored) is not tuple:
        return stored
    codes, scales = CODED(stored, place)
    fits = len(codes) == len(scales)
    fits = fits and ((scales >= 0) & (scales <= MAX_SCALE)).all()
    require(fits, place, "rows of int8 with a scale each, from 0 to 2.65e36")
    vectors = codes.astype(np.float32)
    vectors *= scales[:, None]
    return vectors
