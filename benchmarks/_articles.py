"""Articles of CiteULike-t, of which some are withheld with all their events.

Input: the folder of the data; which articles are withheld.
Output: events and words of articles; figures of the withheld ones, ranked for users.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from _baselines import _ones
from _cold import Setting
from _common import PAIR, _read, clock
from _processes import call
from sklearn.feature_extraction.text import TfidfVectorizer

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import ndcg_at_k, recall_at_k

K = 20


def table_of(folder, name, side):
    """Return a side table, with the id column named as in the events."""
    table = pd.read_parquet(Path(folder) / name / f"{side}s.parquet")
    return table.rename(columns={f"{side}_id": side})


def figures(truth, indices):
    """Return recall and NDCG of each user, (n_users,) each."""
    return {
        "recall@20": recall_at_k(truth, indices, K, per_user=True),
        "ndcg@20": ndcg_at_k(truth, indices, K, per_user=True),
    }


def means(by_user):
    return {name: float(np.mean(values)) for name, values in by_user.items()}


def articles(folder):
    """Return events of CiteULike-t, and articles with words of title and abstract."""
    events, items = (
        _read(folder, "citeulike-t")[PAIR],
        table_of(folder, "citeulike-t", "item"),
    )
    vocabulary = pd.read_parquet(Path(folder) / "citeulike-t" / "vocabulary.parquet")
    words = vocabulary["word"].to_numpy()
    pairs = zip(items["bow_words"], items["bow_counts"], strict=True)
    items["words"] = [" ".join(np.repeat(words[w], n)) for w, n in pairs]
    return events, items[items["item"].isin(events["item"])].sort_values("item")


def withhold(events, seed=0, share=0.2):
    """Withhold a share of the items with all events; return train, test and items."""
    items = np.sort(events["item"].unique())
    order = np.random.default_rng(seed).permutation(len(items))
    cold = np.sort(items[order[: int(share * len(items))]])
    held = events["item"].isin(cold)
    return events[~held], events[held], cold


def rows_of_words(items):
    """Return TF-IDF rows (n_items, n_words), unit length, sublinear in the counts."""
    return TfidfVectorizer(sublinear_tf=True).fit_transform(items["words"])


class Articles:
    """Rank only the withheld articles for each user."""

    def __init__(self, train, test, cold):
        self.train, self.test, self.cold = train, test, cold
        users = np.intersect1d(train["user"], test["user"])
        test = test[test["user"].isin(users)]
        rows = np.searchsorted(users, test["user"])
        columns = np.searchsorted(cold, test["item"])
        self.users = users
        self.truth = _ones(rows, columns, (len(users), len(cold)))

    def figures(self, scores):
        """Return figures from scores (n_users, n_cold)."""
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        order = np.take_along_axis(-scores, best, 1).argsort(1, kind="stable")
        return means(figures(self.truth, np.take_along_axis(best, order, 1)))

    def known(self, items):
        """Return which rows (n_items,) of a table of articles train holds."""
        return items["item"].isin(self.train["item"]).to_numpy()

    def of_ours(self, table, seed, **params):
        """Fit ours on train, and return the figures of articles unseen in fit."""
        scores, seconds = self.scores_of_ours(table, seed, **params)
        return self.figures(scores) | {"fit_s": seconds}

    def scores_of_ours(self, table, seed, **params):
        """Fit ours on train; return scores (n_users, n_cold), and the seconds of fit.

        ``table``: the side table of all articles.
        """
        known = self.known(table)
        model = TwoTowerRecommender(items=table[known], random_state=seed, **params)
        with clock() as watch:
            model.fit(self.train)
        model.set_catalog(table[table["item"].isin(self.cold)])
        scores = model.embed_users(self.users) @ model.item_embeddings_.T
        assert np.array_equal(model.item_ids_, self.cold)
        return scores, watch.seconds

    def of_baseline(self, name, params, python, words, all_items):
        """Score by a baseline in a process of its own."""
        users = np.unique(self.train["user"])
        pairs = (
            np.searchsorted(users, self.train["user"]),
            np.searchsorted(all_items, self.train["item"]),
        )
        cold = np.searchsorted(all_items, self.cold)
        setting = Setting(pairs, (len(users), len(all_items)), words, cold)
        with tempfile.TemporaryDirectory() as folder:
            file, answer = Path(folder) / "setting.npz", Path(folder) / "scores.npy"
            setting.write(file)
            arguments = {"file": str(file), "answer": str(answer)}
            call("_cold:score", python, name=name, params=params, **arguments)
            scores = np.load(answer)
        return self.figures(scores[np.searchsorted(users, self.users)])
