"""What fills the places of rankings: formulas that need no relevant ids.

Input: row and item of each filled place, (n_places,) each, in the order of the rows.
Output: one value per row (n_rows,), such as novelty, and the Gini index of items.
"""

from numbers import Real

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.extmath import row_norms

from sktwotower._tables._messages import format_ids

# Number of entries of the vectors of lists that are held in memory at a time.
BLOCK = 4_000_000


def check_counts(counts):
    """Return the number of events of each item, float (n_items,), after a check."""
    counts = np.asarray(counts, dtype=float)
    if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.any()):
        raise ValueError(
            "item_counts must be finite, >= 0 and above zero for at least one item."
        )
    return counts


def self_information(counts, n_users=None):
    """Return -log2 of each item's share of the events or users, (n_items,), in bits."""
    counts = check_counts(counts)
    if not isinstance(n_users, Real | None):
        raise TypeError(f"n_users must be a number or None. Got {n_users!r}.")
    total = n_users
    if n_users is None:
        total = counts.sum()
    if counts.max() > total:
        raise ValueError(
            f"n_users must be at least the largest of item_counts, {counts.max():g}, "
            f"which then are users per item. Got {n_users!r}."
        )
    rarest = counts[counts > 0].min()
    counts = np.where(counts > 0, counts, rarest / 2)
    return -np.log2(counts / total)


def in_tail(counts, head=0.8):
    """Return which items are not in the head, bool (n_items,); see `head_of`."""
    if not isinstance(head, Real) or not 0 < head <= 1:
        raise ValueError(f"head must be a share of events, in (0, 1]. Got {head!r}.")
    return ~head_of(check_counts(counts), head)


# Each takes counts (n_items,) and returns a value of each item, (n_items,).
OF_ITEMS = {"novelty": self_information, "long_tail_share": in_tail}


def head_of(counts, share):
    """Return which items hold a share of the events, bool (n_items,).

    They are the most popular ones, the fewest that hold at least the share; of equal
    ones the first.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = np.empty(len(counts), dtype=bool)
    # a little less than the share, whose product may have been rounded up
    head[order] = before < share * counts.sum() * (1 - 1e-12)
    return head


def gini(counts, n_items):
    """Return the Gini index of counts >= 0; items without a count have zero.

    Nan if all counts are zero.
    """
    counts = np.sort(np.asarray(counts, dtype=float))
    total = counts.sum()
    ranks = np.arange(n_items - len(counts) + 1, n_items + 1)
    weights = (2 * ranks - n_items - 1) / max(n_items - 1, 1)
    if total == 0:
        return np.nan
    return float(weights @ counts / total)


def row_means(rows, values, n_rows):
    """Return the mean over each row's places, (n_rows,), nan without any.

    ``values`` (n_places,): of the item in each place.
    """
    sizes = np.bincount(rows, minlength=n_rows)
    if not sizes.any():
        raise ValueError("y_pred holds no ids, so there is nothing to average.")
    totals = np.bincount(rows, weights=values, minlength=n_rows)
    return np.where(sizes > 0, totals / np.maximum(sizes, 1), np.nan)


def check_vectors(vectors, name, ids=None):
    """Return a vector for each item, (n_items, d), as an array of floats or as CSR.

    ``ids`` (n_items,): a DataFrame is by id, other vectors are in this order.
    """
    expected = f"{name} must hold a vector for each item, shape (n_items, d)"
    if ids is not None and isinstance(vectors, pd.DataFrame):
        places = places_of(ids, vectors.index, name)
        if (places < 0).any():
            lost = format_ids(np.asarray(ids)[places < 0], 2)
            raise ValueError(f"{expected}, by id. The index of its table lacks {lost}.")
        vectors = vectors.iloc[places]
    kinds = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}
    try:
        vectors = check_array(vectors, input_name=name, **kinds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{expected}. {error}") from error
    if ids is not None and vectors.shape[0] != len(ids):
        raise ValueError(f"{expected}, of {len(ids)} items. Got {vectors.shape}.")
    return vectors


def places_of(ids, index, name):
    """Return where ids (n,) are in an Index of distinct ids, -1 for others."""
    if not index.is_unique:
        raise ValueError(f"{name} names an id twice. Keep one entry for each.")
    return index.get_indexer(ids)


def row_diversity(rows, items, vectors, n_rows):
    """Return the mean distance of the pairs of each row, (n_rows,), nan without any.

    The distance is 1 - cosine. The cosines of all pairs of unit vectors add up to the
    square of their sum, less the square of each: no pair is looked at. ``vectors``:
    as returned by `check_vectors`.
    """
    sizes = np.bincount(rows, minlength=n_rows)
    if sizes.max(initial=0) < 2:
        raise ValueError(
            "Diversity needs two items in a list, but no list of y_pred has them in "
            "the first k places."
        )
    lengths = row_norms(vectors)
    scales = np.divide(1, lengths, where=lengths > 0, out=np.zeros_like(lengths))
    scales = scales.astype(vectors.dtype)[items]
    offsets = np.append(0, np.cumsum(sizes))
    squares = np.empty(len(sizes))
    step = max(BLOCK // vectors.shape[1], 1)
    for start in range(0, len(sizes), step):
        ends = offsets[start : start + step + 1]
        part = slice(ends[0], ends[-1])
        shape = len(ends) - 1, vectors.shape[0]
        entries = scales[part], items[part], ends - ends[0]
        lists = sparse.csr_matrix(entries, shape)
        squares[start : start + step] = row_norms(lists @ vectors, squared=True)
    n_unit = np.bincount(rows, weights=lengths[items] > 0, minlength=n_rows)
    pairs = sizes * (sizes - 1)
    cosine = (squares - n_unit) / np.maximum(pairs, 1)
    return np.where(pairs > 0, np.clip(1 - cosine, 0, 2), np.nan)
