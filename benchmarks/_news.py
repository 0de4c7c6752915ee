"""Made news: items live for hours, most users come once, and rates differ by group.

Input: a seed.
Output: events, one row per item of a list that was shown: list, user, its group, item,
its topic, time, and whether it was read.
"""

import numpy as np
import pandas as pd

N_TOPICS, N_GROUPS = 8, 4
START = pd.Timestamp("2030-01-01")


def make_news(seed, n_days=6, lists_per_day=2_000, items_per_day=80, n_shown=20):
    """Return the rows of lists in order of time.

    An item appears at some hour and loses half of its readers' interest within twelve.
    It is read with the probability ``sigmoid(a + quality + taste - age / 12 h)``, where
    quality is normal with standard deviation .6, and taste that of the user's group for
    the topic, .6.
    """
    rng = np.random.default_rng(seed)
    n_items = n_days * items_per_day
    born = np.sort(rng.uniform(0, 24 * n_days, n_items))
    quality = rng.normal(0, 0.6, n_items)
    topics = rng.integers(0, N_TOPICS, n_items)
    taste = rng.normal(0, 0.6, (N_GROUPS, N_TOPICS))
    n_lists = n_days * lists_per_day
    hours = np.sort(rng.uniform(3, 24 * n_days, n_lists))
    # a fifth of the lists is of users who come back
    users = rng.integers(0, n_lists // 10, n_lists)
    once = rng.uniform(size=n_lists) < 0.8
    users[once] = n_lists + np.arange(once.sum())
    groups = rng.permutation(np.arange(users.max() + 1) % N_GROUPS)[users]
    # what is shown is drawn from the latest day, new items more often
    n_known = np.searchsorted(born, hours)
    width = np.minimum(n_known, items_per_day)
    back = np.argsort(rng.uniform(size=(n_lists, items_per_day)), axis=1)
    back = np.where(back < width[:, None], back, -1)
    kept = np.argsort(back < 0, axis=1, kind="stable")[:, :n_shown]
    back = np.take_along_axis(back, kept, 1)
    rows, _ = np.nonzero(back >= 0)
    items = n_known[rows] - 1 - back[back >= 0]
    age = (hours[rows] - born[items]) / 12
    interest = quality[items] + taste[groups[rows], topics[items]] - age
    read = rng.uniform(size=len(rows)) < 1 / (1 + np.exp(2.2 - interest))
    return pd.DataFrame(
        {
            "list": rows,
            "user": users[rows],
            "group": groups[rows].astype(str),
            "item": items,
            "topic": topics[items].astype(str),
            "time": START + pd.to_timedelta(hours[rows], unit="h").round("s"),
            "y": read.astype(float),
        }
    )
