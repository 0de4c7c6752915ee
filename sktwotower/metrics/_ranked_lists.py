"""Ranked items within lists that were shown, and the formulas of their metrics.

Input: outcomes, scores and the list of each shown item, (n_rows,) each.
Output: each metric per list, (n_lists,), nan where a list does not count.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import gammaln

from sktwotower._tables._frames import as_array, list_as_array
from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import format_ids
from sktwotower._tables._sequences import starts


class RankedLists:
    """The items of each list by descending score, as blocks of equal scores.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Outcomes, finite and >= 0; those > 0 are positive.
    y_score : array-like of shape (n_rows,)
        Finite scores.
    groups : array-like of shape (n_rows,)
        Id of the list of each row.
    names : tuple of three str, default=("y_true", "y_score", "groups")
        What errors call the three.

    Attributes
    ----------
    ids : Index of shape (n_lists,)
        Ids of the lists, in the order in which they begin.
    codes : int array of shape (n_rows,)
        Position in ``ids`` of the list of each row.
    sizes, positives : int array of shape (n_lists,)
        Number of items, and of positive ones, of each list.
    """

    def __init__(self, y_true, y_score, groups, names=("y_true", "y_score", "groups")):
        outcome, score, group = names
        positive = column_of_numbers(y_true, outcome, "finite outcomes >= 0", 0) > 0
        scores = column_of_numbers(y_score, score, "finite scores")
        ids = check_ids(_as_column(groups, group), group)
        if not len(positive) == len(scores) == len(ids) > 0:
            raise ValueError(
                f"{outcome}, {score} and {group} must have one entry per row each, and "
                f"at least one. Got {len(positive)}, {len(scores)} and {len(ids)}."
            )
        self.codes, self.ids = pd.factorize(ids)
        self.sizes = np.bincount(self.codes, minlength=len(self.ids))
        self.positives = np.bincount(self.codes[positive], minlength=len(self.ids))
        # list, first place and size of each block of rows with equal scores
        order = np.lexsort((-scores, self.codes))
        lists = self.codes[order]
        scores = scores[order]
        first = np.flatnonzero(starts(lists, scores))
        before = np.cumsum(self.sizes) - self.sizes
        self.block_list = lists[first]
        self.block_start = first - before[self.block_list]
        self.block_size = np.diff(first, append=len(order))
        self.block_positives = np.add.reduceat(positive[order].astype(int), first)

    def values(self, metric, k=None):
        """Return a metric of each list, (n_lists,), nan for those left out."""
        values, counts = METRICS[metric](self, k)
        return np.where(counts, values, np.nan)

    def has_choice(self):
        """Return which lists have more than one item and a positive one."""
        return (self.sizes > 1) & (self.positives > 0)

    def has_both(self):
        """Return which lists have a positive item and one that is not."""
        return (self.positives > 0) & (self.positives < self.sizes)

    def sum_of_blocks(self, values):
        """Return sums (n_lists,) of one value for each block."""
        return np.bincount(self.block_list, values, minlength=len(self.ids))


def _roc_auc(lists, k):
    """Return the share of pairs in the right order, and which lists count."""
    total = np.cumsum(lists.block_positives)
    of_others = np.cumsum(lists.positives) - lists.positives
    above = total - lists.block_positives - of_others[lists.block_list]
    level = lists.block_size - lists.block_positives
    negatives = lists.sizes - lists.positives
    below = negatives[lists.block_list] - (lists.block_start - above) - level
    won = lists.sum_of_blocks(lists.block_positives * (below + level / 2))
    return won / np.maximum(lists.positives * negatives, 1), lists.has_both()


def _ndcg(lists, k):
    """Return the expected gain over the best one, and which lists count."""
    longest = int(lists.sizes.max())
    if k is None:
        k = longest
    k = min(k, longest)
    gains = np.zeros(longest + 1)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    gains[1 : k + 1] = np.cumsum(discounts)
    gains[k + 1 :] = gains[k]
    ends = lists.block_start + lists.block_size
    mean_gain = (gains[ends] - gains[lists.block_start]) / lists.block_size
    gain = lists.sum_of_blocks(lists.block_positives * mean_gain)
    return gain / gains[np.maximum(lists.positives, 1)], lists.has_choice()


def _reciprocal_rank(lists, k):
    """Return the expected 1 / place of the first positive, and which lists count."""
    blocks = np.flatnonzero(lists.block_positives)
    # blocks are in order: the first one of a list is its best
    blocks = blocks[np.diff(lists.block_list[blocks], prepend=-1) != 0]
    size = lists.block_size[blocks]
    chosen = lists.block_positives[blocks]
    # the first of p positives among m equal scores is at one of the m - p + 1 places
    n_places = size - chosen + 1
    at = np.repeat(np.arange(len(blocks)), n_places)
    first_places = np.cumsum(n_places) - n_places
    passed = np.arange(len(at)) - np.repeat(first_places, n_places)
    all_ways = _log_choices(size[at], chosen[at])
    ways = _log_choices(size[at] - 1 - passed, chosen[at] - 1)
    chance = np.exp(ways - all_ways)
    places = lists.block_start[blocks][at] + passed + 1
    if k is not None:
        chance[places > k] = 0
    owners = lists.block_list[blocks][at]
    expected = np.bincount(owners, chance / places, minlength=len(lists.ids))
    return expected, lists.has_choice()


def _log_choices(n, k):
    """Return the logarithm of the number of ways to choose k of n."""
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


# Each takes ``RankedLists`` and k, and returns values and whether a list counts,
# (n_lists,) each.
METRICS = {"roc_auc": _roc_auc, "ndcg": _ndcg, "reciprocal_rank": _reciprocal_rank}


def mean_over_lists(values, otherwise=None):
    """Return the mean of values (n_lists,) without nan.

    ``otherwise``: what is returned if there is none. None: an error is raised.
    """
    counted = values[~np.isnan(values)]
    if len(counted) == 0 and otherwise is not None:
        return otherwise
    if len(counted) == 0:
        raise ValueError(
            f"None of the {len(values)} lists counts. The area under the ROC curve "
            "needs a list with a positive item and one that is not. Other metrics need "
            "a list of two items or more, one of them positive (y_true > 0)."
        )
    return float(counted.mean())


def check_one_user(lists, users):
    """Return the user (n_lists,) of each list; raise if a list has several.

    ``lists``: ``RankedLists``. ``users``: the user (n_rows,) of each row.
    """
    codes, ids = pd.factorize(users)
    first = codes[np.unique(lists.codes, return_index=True)[1]]
    mixed = np.unique(lists.codes[codes != first[lists.codes]])
    if len(mixed):
        raise ValueError(
            f"{len(mixed)} of {len(lists.ids)} lists hold rows of several users: "
            f"{format_ids(lists.ids[mixed])}. A list is what one user was shown: name "
            "a column of lists, or make their ids different between users."
        )
    return ids[first]


def _as_column(values, name):
    """Return a column of any library as a Series, Index or array."""
    values = as_array(values)
    if isinstance(values, np.ndarray | pd.Series | pd.Index):
        return values
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        expected = "an array, one entry per row"
        raise TypeError(f"{name} must be {expected}. Got {type(values).__name__}.")
    return list_as_array(values)


def column_of_numbers(values, name, expected, lowest=-np.inf, highest=np.inf):
    """Return finite numbers from ``lowest`` to ``highest`` as float64 (n_rows,)."""
    values = _as_column(values, name)
    if values.ndim != 1:
        raise ValueError(
            f"{name} must be one-dimensional, one entry per row. Got {values.shape}."
        )
    try:
        if values.dtype.kind in "cmM":  # numpy would turn dates into numbers
            raise TypeError
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must hold numbers, {expected}. Got dtype {values.dtype}."
        ) from None
    wrong = ~(np.isfinite(numbers) & (numbers >= lowest) & (numbers <= highest))
    if wrong.any():
        raise ValueError(
            f"{name} must hold {expected}. Got {numbers[wrong][0]} in row "
            f"{np.flatnonzero(wrong)[0]}, and {wrong.sum()} such rows in all."
        )
    return numbers
