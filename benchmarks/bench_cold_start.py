"""Do features make new items and new users findable, without harm to the others?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_cold_start.py --data DIR [--only
PARTS] [--seeds 3] [--python PATH]``. Parts, all with default settings of ours:

``citeulike-t``: a fifth of the articles is withheld with all events; users find them by
their words. Content baselines, LightFM and irspack's iALS, both with the same words,
are chosen among a few settings on another fifth withheld of train. And a tenth of the
events withheld: recall of known articles with and without hidden ids.
``strong``: MovieLens 1M, a tenth of the users unseen in fit, 80 % of their events given
as ``history``, compared with the same users in fit and with EASE on that history.
``kuairand``: split by time, with side tables of both: features on and off.
``films``: MovieLens latest, the last fifth of each user, with a table of all films:
what those without an event in train cost (``cold_item_weight``).
``vectorise``: a million rows of ten mixed columns.

Failure: recall@20 of withheld articles under 0.348, or hidden ids cost known articles
1 %; unseen users lose 3 % or fall behind EASE; KuaiRand takes two minutes to fit or
gains nothing; films without events cost 1 %; a million rows take a minute or 4 GiB.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from _baselines import _ones
from _cold import NEEDS, SCORERS, Setting
from _common import PAIR, _ml_1m, _read, clock, machine, write_results
from _processes import call, interpreter_with, peak_memory
from bench_impressions import load as load_kuairand
from bench_ratings import HIGH
from bench_ratings import load as load_ratings
from sklearn.feature_extraction.text import TfidfVectorizer

from sktwotower import EASERecommender, TowerVectorizer, TwoTowerRecommender
from sktwotower.metrics import ndcg_at_k, recall_at_k

K = 20
K_OF_FEW = 100  # of 3,700 films no rare one ends up among the first 20
OURS, WITHOUT = "ours", "ours, ids never hidden"


def table_of(folder, name, side):
    """Return a side table, with the id column named as in the events."""
    table = pd.read_parquet(Path(folder) / name / f"{side}s.parquet")
    return table.rename(columns={f"{side}_id": side})


def cut_rows(events, share, seed):
    """Part rows at random; what is held out is of known users and items."""
    order = np.random.default_rng(seed).permutation(len(events))
    train, rest = np.split(order, [int((1 - share) * len(events))])
    train, test = events.iloc[train], events.iloc[rest]
    known = [test[side].isin(train[side]) for side in PAIR]
    return train, test[known[0] & known[1]]


def figures(truth, indices):
    """Return recall and NDCG of each user, (n_users,) each."""
    return {
        "recall@20": recall_at_k(truth, indices, K, per_user=True),
        "ndcg@20": ndcg_at_k(truth, indices, K, per_user=True),
    }


def ranking_of(model, test):
    """Rank the whole catalog for the users of test, what they chose left out."""
    users = np.sort(test["user"].unique())
    return users, model.kneighbors(users, K_OF_FEW)[1]


def judge(model, test):
    """Return each user's figures on held-out pairs, and which are in the first 100."""
    users, indices = ranking_of(model, test)
    rows = np.searchsorted(users, test["user"])
    columns = pd.Index(model.item_ids_).get_indexer(test["item"])
    truth = _ones(rows, columns, (len(users), len(model.item_ids_)))
    found = (indices[rows] == columns[:, None]).any(axis=1)
    return figures(truth, indices[:, :K]), found


def means(by_user):
    return {name: float(np.mean(values)) for name, values in by_user.items()}


# ---------------------------------------------------------------- withheld articles


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

    def of_ours(self, items, seed, **params):
        """Fit ours on train, and return the figures of articles unseen in fit."""
        known = items["item"].isin(self.train["item"])
        table = items[["item", "words"]]
        model = TwoTowerRecommender(items=table[known], random_state=seed, **params)
        with clock() as watch:
            model.fit(self.train)
        model.set_catalog(table[~known & items["item"].isin(self.cold)])
        scores = model.embed_users(self.users) @ model.item_embeddings_.T
        assert np.array_equal(model.item_ids_, self.cold)
        return self.figures(scores) | {"fit_s": watch.seconds}

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


def citeulike(own):
    """Withheld articles, and what hiding ids costs known ones."""
    events, items = articles(own.data)
    train, test, cold = withhold(events)
    part = Articles(train, test, cold)
    tuning = Articles(*withhold(train, seed=1))
    words, all_items = rows_of_words(items), items["item"].to_numpy()
    rows = []
    for name, (_, choices) in SCORERS.items():
        python = interpreter_with(NEEDS.get(name, ()), own.python)
        if python is None:
            print(f"{name}: left out, not installed")
            continue
        given = python, words, all_items
        params = choices[0]
        if len(choices) > 1:
            tried = [tuning.of_baseline(name, p, *given)["recall@20"] for p in choices]
            params = choices[int(np.argmax(tried))]
        row = part.of_baseline(name, params, *given)
        rows.append({"system": name, "params": str(params)} | row)
        print(rows[-1], flush=True)
    for seed in range(own.seeds):
        row = part.of_ours(items, seed)
        rows.append({"system": OURS, "seed": seed, "users": len(part.users)} | row)
        print(rows[-1], flush=True)
    rows += known_articles(own, train, items)
    ours = pd.DataFrame(rows).groupby("system")["recall@20"].mean()
    return rows, {
        "withheld articles: recall@20 of 0.348": ours[OURS] >= 0.348,
        "hidden ids cost known articles less than 1 %": ours["known, " + OURS]
        > 0.99 * ours["known, " + WITHOUT],
    }


def known_articles(own, events, items):
    """Return rows for a tenth of the events withheld."""
    train, test = cut_rows(events, 0.1, seed=1)
    table = items.loc[items["item"].isin(train["item"]), ["item", "words"]]
    systems = {
        OURS: {"items": table},
        WITHOUT: {"items": table, "id_dropout": 0.0},
        "ours, features off": {},
    }
    rows = []
    for name, params in systems.items():
        for seed in range(own.seeds if name != "ours, features off" else 1):
            model = TwoTowerRecommender(**params, random_state=seed).fit(train)
            row = {"system": f"known, {name}", "seed": seed}
            rows.append(row | means(judge(model, test)[0]))
            print(rows[-1], flush=True)
    return rows


# ---------------------------------------------------------------- unseen users


def strong(own):
    """Users unseen in fit, known by their history."""
    events = _ml_1m(own.data)[PAIR]
    users = np.sort(events["user"].unique())
    unseen = np.random.default_rng(0).permutation(users)[: len(users) // 10]
    mine = events["user"].isin(unseen)
    train, theirs = events[~mine], events[mine]
    theirs = theirs[theirs["item"].isin(train["item"])]
    history, test = cut_rows(theirs, 0.2, seed=0)
    rows = []
    for seed in range(own.seeds):
        model = TwoTowerRecommender(random_state=seed).fit(train)
        table = model.recommend(np.sort(test["user"].unique()), K, history=history)
        rows.append({"system": "unseen", "seed": seed} | of_table(table, test))
        model.fit(pd.concat([train, history]))
        rows.append({"system": "in fit", "seed": seed} | means(judge(model, test)[0]))
        print(rows[-2:], flush=True)
    rows.append({"system": "EASE"} | of_ease(train, history, test))
    ours = pd.DataFrame(rows).groupby("system")["recall@20"].mean()
    print(ours)
    return rows, {
        "unseen users lose less than 3 %": ours["unseen"] > 0.97 * ours["in fit"],
        "unseen users: above EASE": ours["unseen"] > ours["EASE"],
    }


def of_table(table, test):
    """Return the figures of a table of recommendations."""
    users, items = (np.sort(test[side].unique()) for side in PAIR)
    items = np.union1d(items, table["item"])
    shape = len(users), len(items)
    indices = np.full((len(users), K), -1)
    place = np.searchsorted(users, table["user"]), table["rank"] - 1
    indices[place] = np.searchsorted(items, table["item"])
    rows = np.searchsorted(users, test["user"]), np.searchsorted(items, test["item"])
    return means(figures(_ones(*rows, shape), indices))


def of_ease(train, history, test):
    """Return EASE's figures, its weight chosen by the same cut within train."""
    users = np.sort(train["user"].unique())
    held = np.random.default_rng(1).permutation(users)[: len(users) // 10]
    mine = train["user"].isin(held)
    inner, theirs = train[~mine], train[mine]
    before, after = cut_rows(theirs[theirs["item"].isin(inner["item"])], 0.2, seed=1)

    def found(weight, train, history, test):
        model = EASERecommender(weight).fit(train)
        people = np.sort(test["user"].unique())
        known = history[history["user"].isin(people)]
        return of_table(model.recommend(people, K, history=known), test)

    weights = (100.0, 300.0, 1000.0)
    tried = [found(w, inner, before, after)["recall@20"] for w in weights]
    return found(weights[int(np.argmax(tried))], train, history, test)


# ---------------------------------------------------------------- KuaiRand


def kuairand(own):
    """Side tables of many columns, rows split by time."""
    data, rows = load_kuairand(own.data), []
    tables = {"users": data.users, "items": data.items}
    for name, given in (("features on", tables), ("features off", {})):
        for seed in range(own.seeds):
            model = TwoTowerRecommender(random_state=seed, **given)
            with clock() as watch:
                model.fit(data.train[PAIR], data.train["y"])
            ranking = model.rank_held_out(data.to_find, n_neighbors=K)
            row = {"system": name, "seed": seed, "fit_s": watch.seconds}
            rows.append(row | means(figures(ranking.truth, ranking.indices)))
            print(rows[-1], flush=True)
    by = pd.DataFrame(rows).groupby("system")[["recall@20", "fit_s"]].mean()
    return rows, {
        "KuaiRand is fitted in two minutes": by["fit_s"]["features on"] < 120,
        "KuaiRand: features gain": by["recall@20"]["features on"]
        > by["recall@20"]["features off"],
    }


# ---------------------------------------------------------------- films nobody has seen


def films(own):
    """A table of all films, of which some have no event in train, and ratings."""
    name = "ml-latest-small-2018"
    train, test = load_ratings(own.data, name)
    table = table_of(own.data, name, "item")[["item", "title", "genres", "year"]]
    chosen = table[table["item"].isin(train["item"])]
    systems = {
        "ids only": {},
        "films with events": {"items": chosen},
        "all films, weight 1": {"items": table, "cold_item_weight": 1.0},
        "all films": {"items": table},
    }
    rows, y = [], np.where(train["rating"] >= HIGH, 1, 0.01)
    for seed in range(own.seeds):
        for system, params in systems.items():
            model = TwoTowerRecommender(random_state=seed, **params)
            model.fit(train[PAIR], y)
            row = {"system": system, "seed": seed, "weight": model.cold_item_weight_}
            rows.append(row | places(model, test, chosen["item"]))
            print(rows[-1], flush=True)
    ndcg = pd.DataFrame(rows).groupby("system")["ndcg@10"].mean()
    return rows, {
        "films without events cost less than 1 %": ndcg["all films"]
        > 0.99 * max(ndcg["ids only"], ndcg["films with events"]),
        "the weight gains": ndcg["all films"] > ndcg["all films, weight 1"],
    }


def places(model, test, chosen):
    """Return the NDCG, and how many of the first ten places other items take."""
    users, indices = ranking_of(model, test)
    items = np.asarray(model.item_ids_)[indices[:, :10]]
    truth = test.groupby("user")["item"].agg(list)[users].to_list()
    hits = np.array([np.isin(*pair) for pair in zip(items, truth, strict=True)])
    cold = ~np.isin(items, chosen)
    return {
        "ndcg@10": ndcg_at_k(truth, items, 10),
        "cold_places": cold.mean(),
        "right_when_cold": hits[cold].mean() if cold.any() else np.nan,
        "right_when_warm": hits[~cold].mean(),
    }


# ---------------------------------------------------------------- a million rows


def mixed_table(n, seed=0):
    """Return n rows of ten columns, one of nearly each kind."""
    rng = np.random.default_rng(seed)

    def draw(name, n_levels, size=n):
        levels = np.array([f"{name}{i}" for i in range(n_levels)], dtype=object)
        return levels[rng.integers(n_levels, size=size)]

    tags, words = draw("tag", 500, (n, 3)), draw("word", 5000, (n, 6))
    pairs = draw("shelf", 300, (n, 2))
    return pd.DataFrame(
        {
            "id": np.arange(n),
            "colour": draw("colour", 50),
            "brand": draw("brand", 5000),
            "price": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(3, 1, n)),
            "stock": rng.integers(0, 10_000, n),
            "new": rng.random(n) < 0.5,
            "added": np.datetime64("2020-01-01", "s") + rng.integers(0, 10**8, n),
            "tags": tags.tolist(),
            "shelves": ["|".join(pair) for pair in pairs.tolist()],
            "title": [" ".join(each) for each in words.tolist()],
        }
    )


def vectorise(own):
    """Time the vectoriser on a million rows."""
    table = mixed_table(1_000_000)
    with peak_memory() as memory, clock() as watch:
        rows = TowerVectorizer(kinds={"id": "id"}).fit_transform(table)
    row = {
        "system": "TowerVectorizer",
        "rows": rows.shape[0],
        "stored": rows.nnz,
        "seconds": watch.seconds,
        "peak_gib": memory.peak_mb * 1e6 / 2**30,
    }
    print(row, flush=True)
    return [row], {
        "a million rows in a minute": row["seconds"] < 60,
        "and in 4 GiB": row["peak_gib"] < 4,
    }


PARTS = {
    "citeulike-t": citeulike,
    "strong": strong,
    "kuairand": kuairand,
    "films": films,
    "vectorise": vectorise,
}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder with one folder per data set")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, by comma")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--python", action="append", default=[], help="interpreters")
    own = parser.parse_args()
    own.only = own.only.split(",")
    if unknown := set(own.only) - set(PARTS):
        parser.error(f"--only knows {list(PARTS)}, not {sorted(unknown)}")
    own.python = (sys.executable, *own.python)
    return own


def main():
    own, where, wrong = parse(), machine(), []
    for part in own.only:
        print(f"\n{part}", flush=True)
        rows, claims = PARTS[part](own)
        table = pd.DataFrame(rows)
        keys = [name for name in ("system", "data") if name in table]
        numbers = table.groupby(keys, sort=False).mean(numeric_only=True)
        print(numbers.round(4).to_string(), flush=True)
        write_results(f"cold_start_{part}", [row | where for row in rows])
        wrong += [claim for claim, holds in claims.items() if not holds]
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    main()
