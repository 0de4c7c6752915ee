"""The protocol of ColdRec: known and new items, apart and in one list.

Input: the name of a data set.
Output: rows of figures of ours and of a content baseline, for each of three tasks.

As its `data/split.py <https://github.com/YuanchenBei/ColdRec>`_ cuts (2026): a fifth of
the items is cold, half of it to choose settings by and half to test. Of the events of
the other items 80 % are train, and a tenth each is to choose settings by and to test;
what has a user or an item that train lacks goes to train. *cold* ranks all cold items
for users with one in test, *warm* all others, *all* every item for users with both.
What a user has in train is left out. Nothing is chosen here.

The cut depends on the numbers that ColdRec gives to items. These, and its contents, are
in files that a person has to fetch, so that no published figure can be compared.
"""

import random

import numpy as np
import pandas as pd
from _articles import K, articles, figures, means, rows_of_words, table_of
from _baselines import _ones
from _common import PAIR, _read, clock
from _content import fit_content, scores_of

from sktwotower import TowerVectorizer, TwoTowerRecommender

SEED, WARM, HELD_OUT = 42, 0.8, 0.1
N_TOGETHER = 500  # users whose scores are in memory at a time


def coldrec_split(events):
    """Return train, warm and cold events of test, and all cold items."""
    items = np.unique(events["item"]).tolist()
    rng = random.Random(SEED)
    rng.shuffle(items)
    n_warm = int(WARM * len(items))
    cold = items[n_warm:]
    of_cold = events[events["item"].isin(cold[len(cold) // 2 :])]
    warm = events[~events["item"].isin(cold)]
    order = np.random.default_rng(SEED).permutation(len(warm))
    n_held = int(HELD_OUT * len(warm))
    parts = np.split(order, [len(warm) - 2 * n_held, len(warm) - n_held])
    train, *held = (warm.iloc[rows] for rows in parts)
    for place, part in enumerate(held):
        for side in PAIR:
            known = part[side].isin(train[side])
            train, part = pd.concat([train, part[~known]]), part[known]
        held[place] = part
    return train, held[1], of_cold, np.sort(cold)


class Tasks:
    """The three tasks: what is to be found, and which items are ranked."""

    def __init__(self, events):
        self.train, warm, of_cold, cold = coldrec_split(events)
        self.items = np.unique(events["item"])
        is_cold = np.isin(self.items, cold)
        both = np.intersect1d(warm["user"], of_cold["user"])
        together = pd.concat([warm, of_cold])
        together = together[together["user"].isin(both)]
        self.of_task = {
            "all": (together, np.ones_like(is_cold)),
            "cold": (of_cold, is_cold),
            "warm": (warm, ~is_cold),
        }

    def figures(self, scorer):
        """Yield the name and the figures of each task.

        ``scorer(users)`` returns scores (n, n_items) of ``items``.
        """
        for name, (test, ranked) in self.of_task.items():
            users = np.unique(test["user"])
            blocks = np.array_split(users, len(users) // N_TOGETHER + 1)
            found = [self._of_users(block, test, ranked, scorer) for block in blocks]
            by_user = {key: np.concatenate([f[key] for f in found]) for key in found[0]}
            yield name, {"users": len(users)} | means(by_user)

    def _of_users(self, users, test, ranked, scorer):
        """Return the figures of each of some users, arrays (n,)."""
        seen, truth = self.matrix(self.train, users), self.matrix(test, users)
        scores = np.where(ranked, scorer(users), -np.inf)
        scores[seen.nonzero()] = -np.inf
        return figures(truth, np.argsort(-scores, axis=1, kind="stable")[:, :K])

    def matrix(self, events, users):
        """Return ones for the events of sorted users, CSR (n, n_items)."""
        events = events[events["user"].isin(users)]
        rows = np.searchsorted(users, events["user"])
        columns = np.searchsorted(self.items, events["item"])
        return _ones(rows, columns, (len(users), len(self.items)))


def load(name, folder):
    """Return events, side tables, and rows of the contents of all items, by id."""
    if name == "citeulike-t":
        events, items = articles(folder)
        return events, {"items": items[["item", "words"]]}, rows_of_words(items)
    events = _read(folder, name)[PAIR]
    items, users = (table_of(folder, name, side) for side in ("item", "user"))
    items = items[items["item"].isin(events["item"])].sort_values("item")
    items = items[["item", "title", "genres", "year"]]
    contents = TowerVectorizer(kinds={"item": "drop"}).fit_transform(items)
    return events, {"items": items, "users": users}, contents


def rows_of_coldrec(name, own):
    """Yield the rows of the content profile, and of ours by seed."""
    events, tables, contents = load(name, own.data)
    tasks, items = Tasks(events), tables["items"]

    content = fit_content(tasks.train, tasks.items, contents)

    def profile(users):
        return scores_of(content, users, tasks.items)

    for task, found in tasks.figures(profile):
        yield {"system": "content profile", "task": task} | found
    known = items[items["item"].isin(tasks.train["item"])]
    for seed in range(own.seeds):
        model = TwoTowerRecommender(**tables | {"items": known}, random_state=seed)
        with clock() as watch:
            model.fit(tasks.train)
        model.set_catalog(items)
        assert np.array_equal(model.item_ids_, tasks.items)

        def score(users, model=model):
            # all items in order: vectors do not hold what sparse parts add
            distances, places = model.kneighbors(users, n_neighbors=len(tasks.items))
            scores = np.full(distances.shape, -np.inf, dtype=np.float32)
            rows, columns = np.nonzero(places >= 0)
            scores[rows, places[rows, columns]] = 1 - distances[rows, columns]
            return scores

        for task, found in tasks.figures(score):
            row = {"system": "ours", "seed": seed, "task": task}
            yield row | {"fit_s": watch.seconds} | found
