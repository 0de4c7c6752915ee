"""Interactions drawn from known probabilities, so that the best recall is known.

Input: numbers of users, items, clusters and events.
Output: a frame (n_events, 3) sorted by time, the tables of its users and items, and the
recall of the ranking by the true probabilities.
"""

from functools import partial
from numbers import Integral, Real

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state

from sktwotower._sklearn_compat import COUNT, Interval, checks_arguments

_BLOCK = 4_000_000  # entries of a (users, items) array that are held at once
_START = np.datetime64("2024-01-01", "s")
_SPAN = 365 * 24 * 3600  # in seconds
_TAGS_PER_CLUSTER = 4
_WORDS_PER_CLUSTER = 12
_N_COMMON = 20  # tags and words of all clusters
_CITIES = np.array(["Arles", "Bergen", "Cork", "Delft", "Evora"])


@checks_arguments(
    n_users=[COUNT],
    n_items=[COUNT],
    n_clusters=[COUNT],
    interactions_per_user=[Interval(Integral, 2, None, closed="left")],
    noise=[Interval(Real, 0, 1, closed="both")],
    zipf_exponent=[Interval(Real, 0, 4, closed="both")],
    n_impressions=[Interval(Integral, 0, None, closed="left")],
    test_size=[Interval(Real, 0, 1, closed="neither")],
    random_state=["random_state"],
)
def make_interactions(
    n_users=1000,
    n_items=500,
    *,
    n_clusters=10,
    interactions_per_user=20,
    noise=0.1,
    zipf_exponent=1.0,
    n_impressions=0,
    test_size=0.2,
    random_state=None,
) -> Bunch:
    """Generate users who choose items by known probabilities.

    Each user and each item belongs to a cluster. Users mostly choose items of their own
    cluster, popular ones more often. As the probabilities are known, so is the recall
    of the best possible recommender, with which one that has only seen the events can
    be compared.

    Parameters
    ----------
    n_users : int, default=1000
        Number of users, >= 1.
    n_items : int, default=500
        Number of items, >= `n_clusters`.
    n_clusters : int, default=10
        Number of clusters, >= 1. Their sizes differ by at most 1.
    interactions_per_user : int, default=20
        Number of items that each user chooses, all different, >= 2.
    noise : float, default=0.1
        Share of the probability that is spread evenly over all items, in [0, 1].
    zipf_exponent : float, default=1.0
        How much popularity differs within a cluster, in [0, 4]; 0: not at all.
    n_impressions : int, default=0
        Number of items shown and not chosen with each chosen item, >= 0.
    test_size : float, default=0.2
        Share of each user's events, the last ones, that is held out, in (0, 1). It is
        rounded to whole events; at least one is held out and at least one is not.
    random_state : int, RandomState instance or None, default=None
        Seed of all draws. Pass an int for reproducible results.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes, where `n_events` is
        ``n_users * interactions_per_user * (1 + n_impressions)``.

        data : DataFrame of shape (n_events, 3)
            The events by time. Columns: `user` (int), `item` (int), `time`
            (datetime64[s], within the year 2024). A user's choices have different
            times; an impression has the time of the choice it was shown with.
        target : Series of shape (n_events,)
            1: chosen; 0: shown and not chosen. No pair of user and item has both.
        test_mask : bool ndarray of shape (n_events,)
            Which events are held out.
        user_table : DataFrame of shape (n_users, 3)
            Columns `user`, `segment` (the cluster of 80 % of the users, a random one
            for the others) and `city` (random).
        item_table : DataFrame of shape (n_items, 5)
            Columns `item`, `category` (the cluster), `tags` (lists of str, two of the
            cluster and one that is common to all), `title` (str, words drawn as the
            tags are) and `price` (float, > 0, higher in some clusters than in others).
        best_recall : callable
            ``best_recall(k)`` is the recall at `k` on the held-out choices of the
            ranking by the true probabilities.
        user_cluster : int ndarray of shape (n_users,)
            The cluster of each user, in the order of `user_table`.
        item_probabilities : ndarray of shape (n_clusters, n_items)
            The probability that a user of the cluster chooses the item first. Rows
            sum to 1.

    Raises
    ------
    ValueError
        If there are more clusters than items, or if a user is to choose (or be shown)
        more items than there are.

    Notes
    -----
    The probability of item i for a user of cluster c is

        p(i | c) = (1 - noise) [i in c] r(i)^-a / Z(c) + noise / n_items

    with r(i) = 1, 2, ... the rank of i within its cluster, a the `zipf_exponent` and
    Z(c) the sum of r^-a over the cluster. A user draws one item after the other from
    p( . | c), without replacement; impressions are drawn uniformly from the items that
    the user never chooses.

    `best_recall` ranks the items by p( . | c), without those of the user's events that
    are not held out, chosen or shown; equal ones are ranked by id. It divides the
    number of held-out choices among the first k by the number of held-out choices, and
    averages over the users. No ranking has a higher expected recall. On one sample
    another ranking may be better by chance, but hardly by more than a few standard
    errors.

    The draw takes O(n_users n_items) time, in blocks of bounded memory: the items with
    the smallest E(i) / p(i), in this order, are such a sample, if the E(i) are
    independent and exponentially distributed [1]_.

    References
    ----------
    .. [1] P. S. Efraimidis and P. G. Spirakis, "Weighted random sampling with a
       reservoir", Information Processing Letters 97(5), 2006,
       doi:10.1016/j.ipl.2005.11.003.

    Examples
    --------
    >>> from sktwotower.datasets import make_interactions
    >>> shop = make_interactions(n_users=200, n_items=500, random_state=0)
    >>> shop.data.head(3)
       user  item                time
    0    73   154 2024-01-01 01:33:32
    1     0   465 2024-01-01 01:43:19
    2   153   216 2024-01-01 02:16:58
    >>> shop.item_table.head(3)
       item   category                      tags                    title  price
    0     0  category0   [tag0-3, tag0-2, tag-7]  word0-2 word0-0 word-17  10.68
    1     1  category0  [tag0-2, tag0-0, tag-16]   word0-1 word0-5 word-2  10.63
    2     2  category0  [tag0-3, tag0-0, tag-18]   word0-5 word0-0 word-3  15.18
    >>> int(shop.test_mask.sum())  # events to hold out
    800
    >>> round(shop.best_recall(10), 2)  # the best that a model can reach; chance: .02
    0.41
    """
    _check_sizes(n_items, n_clusters, interactions_per_user, noise, n_impressions)
    # The Generator draws exponentials three times as fast, and in single precision.
    seed = check_random_state(random_state).randint(2**32, size=4, dtype="u8")
    rng = np.random.default_rng(seed)
    user_cluster = rng.permutation(np.arange(n_users) % n_clusters)
    item_cluster = rng.permutation(np.arange(n_items) % n_clusters)
    p = _probabilities(rng, item_cluster, n_clusters, noise, zipf_exponent)
    n_shown = interactions_per_user * n_impressions
    chosen, shown = _draw(rng, p, user_cluster, interactions_per_user, n_shown)
    n_test = round(test_size * interactions_per_user)
    n_train = interactions_per_user - min(max(n_test, 1), interactions_per_user - 1)
    chosen_in_train = chosen[:, :n_train]
    shown_in_train = shown[:, : n_train * n_impressions]
    train = np.hstack([chosen_in_train, shown_in_train])
    ranks = _ranks(p, user_cluster, train, chosen[:, n_train:])
    data, target, test_mask = _to_events(rng, chosen, shown, n_train)
    return Bunch(
        data=data,
        target=target,
        test_mask=test_mask,
        user_table=_make_users(rng, user_cluster, n_clusters),
        item_table=_make_items(rng, item_cluster),
        best_recall=partial(_recall_at, ranks),
        user_cluster=user_cluster,
        item_probabilities=p,
    )


def _check_sizes(n_items, n_clusters, n_chosen, noise, n_impressions):
    """Raise ``ValueError`` if there are not enough items for a user."""
    if n_clusters > n_items:
        raise ValueError(
            f"n_clusters must be at most n_items. Got {n_clusters} and {n_items}."
        )
    n_needed = n_chosen * (1 + n_impressions)
    if n_needed > n_items:
        raise ValueError(
            "interactions_per_user * (1 + n_impressions) must be at most n_items, as "
            f"no item is drawn twice. Got {n_needed} and {n_items}."
        )
    n_of_cluster = n_items // n_clusters
    if noise == 0 and n_chosen > n_of_cluster:
        raise ValueError(
            "With noise=0 users choose only from their own cluster, so "
            "interactions_per_user must be at most n_items // n_clusters. Got "
            f"{n_chosen} and {n_of_cluster}. Raise noise or n_items."
        )


def _probabilities(rng, item_cluster, n_clusters, noise, zipf_exponent):
    """Return p(item | cluster), (n_clusters, n_items)."""
    n_items = len(item_cluster)
    p = np.zeros((n_clusters, n_items))
    for cluster in range(n_clusters):
        members = rng.permutation(np.flatnonzero(item_cluster == cluster))
        ranks = np.arange(1, len(members) + 1)
        p[cluster, members] = ranks ** -float(zipf_exponent)
    within_cluster = (1 - noise) * p / p.sum(axis=1, keepdims=True)
    return within_cluster + noise / n_items


def _draw(rng, p, user_cluster, n_chosen, n_shown):
    """Return chosen (n_users, n_chosen) and shown items (n_users, n_shown).

    Chosen ones are in the order in which they were drawn.
    """
    n_users = len(user_cluster)
    n_items = p.shape[1]
    chosen = np.empty((n_users, n_chosen), dtype=np.int64)
    shown = np.empty((n_users, n_shown), dtype=np.int64)
    with np.errstate(divide="ignore"):
        scale = (1 / p).astype(np.float32)
    step = max(_BLOCK // n_items, 1)
    for start in range(0, n_users, step):
        rows = slice(start, start + step)
        keys = scale[user_cluster[rows]]
        keys *= rng.standard_exponential(keys.shape, dtype=np.float32)
        chosen[rows] = _smallest(keys, n_chosen)
        if n_shown:
            rng.random(out=keys, dtype=np.float32)
            np.put_along_axis(keys, chosen[rows], np.inf, axis=1)
            shown[rows] = _smallest(keys, n_shown)
    return chosen, shown


def _smallest(keys, n):
    """Return the columns of the `n` smallest keys of each row, ascending."""
    columns = np.argpartition(keys, n - 1, axis=1)[:, :n]
    order = np.argsort(np.take_along_axis(keys, columns, axis=1), axis=1)
    return np.take_along_axis(columns, order, axis=1)


def _ranks(p, user_cluster, train, test):
    """Return the rank (from 0) of each test item among those not in train.

    ``train`` (n_users, n_train) and ``test`` (n_users, n_test) : positions of items.
    """
    rank = np.argsort(np.argsort(-p, axis=1, kind="stable"), axis=1)
    train_rank = rank[user_cluster[:, None], train]
    ranks = rank[user_cluster[:, None], test]
    for column in ranks.T:
        column -= (train_rank < column[:, None]).sum(axis=1)
    return ranks


def _recall_at(ranks, k):
    """Return the share of the ranks, (n_users, n_test), that are below `k`."""
    return float((ranks < k).mean())


def _to_events(rng, chosen, shown, n_train):
    """Return the events sorted by time, their target, and which are held out."""
    n_users, n_chosen = chosen.shape
    # One second more per choice: the times of a user's choices differ.
    seconds = np.sort(rng.integers(_SPAN - n_chosen, size=chosen.shape), axis=1)
    seconds += np.arange(n_chosen)
    # At each time one item is chosen, the first of those that are shown.
    shown = shown.reshape(n_users, n_chosen, -1)
    items = np.concatenate([chosen[:, :, None], shown], axis=2)
    n_shown_together = items.shape[2]
    rows = np.argsort(np.repeat(seconds.ravel(), n_shown_together), kind="stable")
    choice = rows // n_shown_together
    data = pd.DataFrame({"user": choice // n_chosen, "item": items.ravel()[rows]})
    data["time"] = _START + seconds.ravel()[choice]
    is_chosen = rows % n_shown_together == 0
    target = pd.Series(is_chosen.astype(np.int64), name="chosen")
    return data, target, choice % n_chosen >= n_train


def _make_users(rng, user_cluster, n_clusters):
    """Return the table of the users: id, an informative and a random attribute."""
    n_users = len(user_cluster)
    stray = rng.random(n_users) < 0.2
    segment = np.where(stray, rng.integers(n_clusters, size=n_users), user_cluster)
    table = pd.DataFrame({"user": np.arange(n_users)})
    table["segment"] = np.array([f"segment{c}" for c in range(n_clusters)])[segment]
    return table.assign(city=rng.choice(_CITIES, size=n_users))


def _make_items(rng, item_cluster):
    """Return the table of the items: id, category, tags, title and price."""
    n_items = len(item_cluster)
    tags = _pick_words(rng, item_cluster, "tag", _TAGS_PER_CLUSTER)
    words = _pick_words(rng, item_cluster, "word", _WORDS_PER_CLUSTER)
    dearness = rng.normal(size=item_cluster.max() + 1)[item_cluster]
    price = np.exp(2 + dearness + 0.5 * rng.normal(size=n_items))
    table = pd.DataFrame({"item": np.arange(n_items)})
    table["category"] = [f"category{cluster}" for cluster in item_cluster]
    table["tags"] = tags
    table["title"] = [" ".join(title) for title in words]
    return table.assign(price=np.maximum(price.round(2), 0.01))


def _pick_words(rng, item_cluster, prefix, n_of_cluster):
    """Return a list per item: two different words of its cluster, one of all."""
    n_items = len(item_cluster)
    first = rng.integers(n_of_cluster, size=n_items)
    second = (first + rng.integers(1, n_of_cluster, size=n_items)) % n_of_cluster
    common = rng.integers(_N_COMMON, size=n_items)
    words = []
    for item, cluster in enumerate(item_cluster):
        of_cluster = f"{prefix}{cluster}"
        words_of_item = [f"{of_cluster}-{first[item]}", f"{of_cluster}-{second[item]}"]
        words_of_item.append(f"{prefix}-{common[item]}")
        words.append(words_of_item)
    return words
