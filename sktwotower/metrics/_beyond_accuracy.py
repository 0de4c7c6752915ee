"""Metrics of ranked ids that need no relevant ids: coverage, novelty, diversity.

Input: ranked ids per user (n_users, >= k), best first.
Output: one number per metric.
"""

import numpy as np
import pandas as pd

from sktwotower._tables._messages import check_count

from ._hits import check_positions, factorize, flatten, mean_over_users
from ._places import OF_ITEMS, check_vectors, gini, places_of, row_diversity, row_means


def coverage_at_k(y_pred, n_items, k=10) -> float:
    """Compute the share of the catalog that is in the first k places of any user.

    Parameters
    ----------
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first; -1 and None are empty places.
    n_items : int
        Number of items that can be recommended, >= 1.
    k : int, default=10
        Number of places that count, >= 1.

    Returns
    -------
    value : float in [0, 1]

    Raises
    ------
    ValueError
        If `k` or `n_items` < 1, or `y_pred` holds more distinct ids than `n_items`.
    TypeError
        If `k` or `n_items` is not an integer, or a user's ids are not a list.

    Notes
    -----
    ``coverage = |union over users u of T_u| / n_items``, where T_u are the first k of
    u's ranking.

    Denominator: n_items.

    Users left out: none.

    Examples
    --------
    >>> from sktwotower.metrics import coverage_at_k
    >>> coverage_at_k([["a", "b"], ["a", "c"]], n_items=6, k=2)
    0.5
    """
    return len(_counts(y_pred, n_items, k)) / int(n_items)


def gini_at_k(y_pred, n_items, k=10) -> float:
    r"""Compute how unequally the first k places are shared among the items.

    The Gini index of how often each item of the catalog is recommended. Lower is more
    even, not better: random recommendations are the most even.

    Parameters
    ----------
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first; -1 and None are empty places.
    n_items : int
        Number of items that can be recommended, >= 1.
    k : int, default=10
        Number of places that count, >= 1.

    Returns
    -------
    value : float in [0, 1]
        0 if all items are recommended equally often, 1 if only one is (and the catalog
        holds others).

    Raises
    ------
    ValueError
        If `k` or `n_items` < 1, or `y_pred` holds no ids, or more distinct ones than
        `n_items`.
    TypeError
        If `k` or `n_items` is not an integer, or a user's ids are not a list.

    Notes
    -----
    With the counts :math:`c_1 \le \dots \le c_n` of the n items in the first k places
    of all users, the Gini index is :math:`\frac{1}{(n - 1) \sum c_j} \sum_j (2 j - n -
    1) c_j`. Items that nobody is recommended have the count 0.

    Denominator: n - 1, so that 1 is reached, times the number of filled places. Others
    divide by n, which is less by the factor 1 - 1 / n.

    Users left out: none.

    References
    ----------
    Shani and Gunawardana (2011). Evaluating recommendation systems. Recommender
    Systems Handbook, section 8.3.3.

    Examples
    --------
    >>> from sktwotower.metrics import gini_at_k
    >>> gini_at_k([["a", "b"], ["c", "d"]], n_items=4, k=2)
    0.0
    >>> gini_at_k([["a", "b"], ["a", "c"]], n_items=4, k=1)
    1.0
    """
    counts = _counts(y_pred, n_items, k)
    if not len(counts):
        raise ValueError("y_pred holds no ids, so there is nothing to count.")
    return gini(counts, int(n_items))


def _counts(y_pred, n_items, k):
    """Return how often each id is in the first k places, (n_ids,)."""
    _, _, ids, _ = flatten(y_pred, "y_pred", check_count(k, "k"))
    codes, _ = factorize(ids)
    counts = pd.Series(codes[codes >= 0]).value_counts().to_numpy()
    if check_count(n_items, "n_items") < len(counts):
        expected = f"at least the number of distinct ids in y_pred, {len(counts)}"
        raise ValueError(f"n_items must be {expected}. Got {n_items}.")
    return counts


def novelty_at_k(y_pred, item_counts, k=10, *, n_users=None) -> float:
    """Compute how unexpected the first k places are, in bits.

    The mean self-information of the recommended items: an item that has a share of
    2^-b of the training events counts b bits. Higher is more novel, not better.

    Parameters
    ----------
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first; -1 and None are empty places.
    item_counts : mapping, Series or array of shape (n_items,)
        Training events per item, >= 0, keyed by id; an id that is missing has none.
        With an array `y_pred` holds positions in it.
    k : int, default=10
        Number of places that count, >= 1.
    n_users : int, default=None
        Number of training users, where `item_counts` are users per item: p(i) is then
        the item's share of the users. None: its share of the events.

    Returns
    -------
    value : float, >= 0
        In bits.

    Raises
    ------
    ValueError
        If `k` < 1, if `y_pred` is empty or holds positions outside of `item_counts`, if
        `item_counts` is negative, not finite, all zero, above `n_users` or names an id
        twice.
    TypeError
        If `k` is not an integer, `n_users` not a number, or a user's ids not a list.

    Notes
    -----
    novelty = mean over users of the mean over T_u of -log2 p(i), where T_u are the
    first k of user u's ranking, p(i) = c_i / C is item i's share of the events, c_i its
    count and C the sum of the counts, or `n_users`. An item without events is counted
    as half of the rarest item that has some: one bit more novel.

    Denominator: the number of filled places of the user, then the number of users.

    Users left out: those without any filled place.

    References
    ----------
    Zhou et al. (2010). Solving the apparent diversity-accuracy dilemma of recommender
    systems. PNAS 107(10), "surprisal".

    Examples
    --------
    >>> from sktwotower.metrics import novelty_at_k
    >>> novelty_at_k([["a", "b"]], {"a": 2, "b": 1, "c": 1}, k=2)
    1.5
    """
    return _mean_over_places("novelty", y_pred, item_counts, k, n_users=n_users)


def long_tail_share_at_k(y_pred, item_counts, k=10, *, head=0.8) -> float:
    """Compute the share of the first k places that items of the long tail take.

    The head are the most popular items, the long tail all others.

    Parameters
    ----------
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first; -1 and None are empty places.
    item_counts : mapping, Series or array of shape (n_items,)
        Training events per item, >= 0, keyed by id; an id that is missing has none.
        With an array `y_pred` holds positions in it.
    k : int, default=10
        Number of places that count, >= 1.
    head : float, default=0.8
        The share of the training events that the head holds, in (0, 1].

    Returns
    -------
    value : float in [0, 1]
        Higher is less popular, not better.

    Raises
    ------
    ValueError
        If `k` < 1, if `head` is out of range, if `y_pred` is empty or holds positions
        outside of `item_counts`, if `item_counts` is negative, not finite, all zero or
        names an id twice.
    TypeError
        If `k` is not an integer, or a user's ids are not a list.

    See Also
    --------
    novelty_at_k : How rare the items are, in bits.

    Notes
    -----
    long tail share = mean over users of the share of T_u that is not in the head H,
    where T_u are the first k of user u's ranking. With the items sorted by their
    counts, the highest first and equal ones in the order of `item_counts`, H are the
    first m items, and m is the least number for which their counts add up to `head` of
    the sum of all counts. In `retrieval_report` the groups of items are cut at a half.

    Denominator: the number of filled places of the user, then the number of users.

    Users left out: those without any filled place.

    References
    ----------
    Abdollahpouri, Burke and Mobasher (2019). Managing popularity bias in recommender
    systems with personalized re-ranking. FLAIRS, "average percentage of long tail
    items".

    Examples
    --------
    >>> from sktwotower.metrics import long_tail_share_at_k
    >>> item_counts = {"a": 6, "b": 2, "c": 1, "d": 1}  # a and b hold 80 % of 10
    >>> long_tail_share_at_k([["a", "c"], ["a", "b"]], item_counts, k=2)
    0.25
    """
    return _mean_over_places("long_tail_share", y_pred, item_counts, k, head=head)


def intra_list_diversity_at_k(y_pred, item_vectors, k=10) -> float:
    """Compute how different the first k items of a list are from each other.

    The mean distance of two items of one list, averaged over the lists. Higher is more
    diverse, not better.

    Parameters
    ----------
    y_pred : array of shape (n_users, >= k), or list of n_users lists
        Ranked ids of each user, best first; -1 and None are empty places. An id given
        twice is at distance 0 from itself, and at distance 1 if its vector has only
        zeros.
    item_vectors : array or sparse matrix of shape (n_items, d), or DataFrame
        A vector for each item: ``item_embeddings_`` of a recommender, or any features,
        such as ones for the genres of a film. `y_pred` then holds positions in it. Of
        a DataFrame the index holds the ids, and `y_pred` as well.
    k : int, default=10
        Number of places that count, >= 1.

    Returns
    -------
    value : float in [0, 2]
        0 if all vectors of a list point in the same direction, 1 if they are at right
        angles. Without negative numbers in the vectors it is at most 1.

    Raises
    ------
    ValueError
        If `k` < 1, if `item_vectors` is not a matrix of finite numbers, lacks an item
        or names one twice, or if no list has two items in the first k places.
    TypeError
        If `k` is not an integer, or a user's ids are not a list.

    See Also
    --------
    sktwotower.plots.RecallDiversityDisplay : What more diverse lists cost in recall.

    Notes
    -----
    ild = mean over users of ``sum over pairs {i, j} of T_u of (1 - cos(v_i, v_j)) /
    (m (m - 1) / 2)``, where T_u are the m items in the first k of user u's ranking and
    v their vectors. The cosine with a vector of zeros is 0, also that of two of them.
    It takes time in proportion to the number of items, not of pairs: the cosines of all
    pairs are the square of the sum of the vectors of length one, less their number,
    divided by two.

    Denominator: the number of pairs of a list, then the number of users.

    Users left out: those with fewer than two filled places.

    References
    ----------
    Ziegler, McNee, Konstan and Lausen (2005). Improving recommendation lists through
    topic diversification. WWW; there the sum of the similarities.

    Smyth and McClave (2001). Similarity vs. diversity. ICCBR; the mean distance.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.metrics import intra_list_diversity_at_k
    >>> films = ["a", "b", "c"]
    >>> genres = pd.DataFrame({"comedy": [1, 1, 0], "crime": [0, 0, 1]}, index=films)
    >>> intra_list_diversity_at_k([["a", "b"], ["a", "c"]], genres, k=2)
    0.5
    """
    vectors = item_vectors
    name = "item_vectors"
    if not isinstance(vectors, pd.DataFrame):
        vectors = check_vectors(vectors, name)
    rows, items, ids = _filled(y_pred, k, vectors, name)
    if ids is not None:
        vectors = check_vectors(vectors, name, ids)
    return mean_over_users(row_diversity(rows, items, vectors, n_rows=0))


def _mean_over_places(metric, y_pred, item_counts, k, **params):
    """Return the mean over users of the mean of a metric over the first k places."""
    if hasattr(item_counts, "keys"):
        item_counts = pd.Series(item_counts, dtype=float)
    rows, items, ids = _filled(y_pred, k, item_counts, "item_counts")
    # the zero at the end stands for ids without a count
    values = OF_ITEMS[metric](np.append(item_counts, 0), **params)
    if ids is not None:
        values = values[places_of(ids, item_counts.index, "item_counts")]
    return mean_over_users(row_means(rows, values[items], n_rows=0))


def _filled(y_pred, k, values, name):
    """Return the row and the item of each filled place, (n_places,) each, and ids.

    Items are positions in ``values``; the ids are None. If these are a pandas object,
    items are positions in the ids (n_ids,) of ``y_pred``.
    """
    rows, _, ids, _ = flatten(y_pred, "y_pred", check_count(k, "k"))
    if not isinstance(values, pd.Series | pd.DataFrame):
        items = check_positions(ids, np.shape(values)[0], name)
        return rows[items >= 0], items[items >= 0], None
    codes, ids = factorize(ids)
    items, used = pd.factorize(codes[codes >= 0])  # without padding
    return rows[codes >= 0], items, ids[used]
