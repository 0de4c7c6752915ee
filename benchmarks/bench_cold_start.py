"""Do features make new items and new users findable, without harm to the others?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_cold_start.py --data DIR [--only
PARTS] [--seeds 3] [--ours-only] [--python PATH] [--vectors FILE --vectors-name
NAME]``. Parts, all with default settings of ours:

``citeulike-t``: a fifth of the articles is withheld with all events; users find them by
their words. Content baselines, LightFM and irspack's iALS, both with the same words,
are chosen among a few settings on another fifth withheld of train. And a tenth of the
events withheld: recall of known articles with and without hidden ids.
``words``: the same on the other fifth, one change of the model at a time (with
``--change NAME``, also several times, only these; other rows stay as written).
``vectors``: the same articles, described by vectors of their texts (TF-IDF and SVD, or
those of ``--vectors``), as they are, whitened, or with words (`_text_vectors.py`); with
``--seeds 0`` only untrained profiles of these vectors.
``products``, ``titles``: the same for products of Online Retail and their descriptions,
and for films of MovieLens latest. ``encode.py`` makes the file of ``--vectors``.
``coldrec_citeulike-t``, ``coldrec_ml-1m``: the protocol of ColdRec (`_coldrec.py`).
``strong``: MovieLens 1M, a tenth of the users unseen in fit, 80 % of their events given
as ``history``, compared with the same users in fit and with EASE on that history.
``kuairand``: split by time, with side tables of both: features on and off.
``films``: MovieLens latest, the last fifth of each user, with a table of all films:
what those without an event in train cost (``cold_item_weight``).
``vectorise``: a million rows of ten mixed columns.

Failure: recall@20 of withheld articles under 0.36, or hidden ids cost known articles
1 %; unseen users lose 3 % or fall behind EASE; KuaiRand takes two minutes to fit or
gains nothing; films without events cost 1 %; a million rows take a minute or 4 GiB.
"""

import argparse
import sys
from functools import partial
from itertools import chain

import numpy as np
import pandas as pd
from _articles import (
    Articles,
    K,
    articles,
    figures,
    means,
    rows_of_words,
    table_of,
    withhold,
)
from _baselines import _ones
from _cold import NEEDS, SCORERS
from _coldrec import rows_of_coldrec
from _common import PAIR, _ml_1m, clock, machine, read_results, write_results
from _processes import interpreter_with, peak_memory
from _quick import assert_claims, parse_options
from _text_vectors import (
    BOTH,
    BOTH_WHITENED,
    WORDS,
    described_articles,
    described_films,
    described_products,
    rows_of_profiles,
    rows_of_vectors,
)
from _word_starts import rows_of_changes
from bench_impressions import WEIGHT
from bench_impressions import load as load_kuairand
from bench_ratings import HIGH
from bench_ratings import load as load_ratings

from sktwotower import EASERecommender, TowerVectorizer, TwoTowerRecommender
from sktwotower.metrics import ndcg_at_k

K_OF_FEW = 100  # of 3,700 films no rare one ends up among the first 20
OURS, WITHOUT = "ours", "ours, ids never hidden"


def cut_rows(events, share, seed):
    """Part rows at random; what is held out is of known users and items."""
    order = np.random.default_rng(seed).permutation(len(events))
    train, rest = np.split(order, [int((1 - share) * len(events))])
    train, test = events.iloc[train], events.iloc[rest]
    known = [test[side].isin(train[side]) for side in PAIR]
    return train, test[known[0] & known[1]]


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


# ---------------------------------------------------------------- withheld articles


def citeulike(own):
    """Withheld articles, and what hiding ids costs known ones."""
    events, items = articles(own.data)
    train, test, cold = withhold(events)
    part = Articles(train, test, cold)
    tuning = Articles(*withhold(train, seed=1))
    words, all_items = rows_of_words(items), items["item"].to_numpy()
    rows = []
    others = {} if own.ours_only else SCORERS
    for name, (_, choices) in others.items():
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
        row = part.of_ours(items[["item", "words"]], seed)
        rows.append({"system": OURS, "seed": seed, "users": len(part.users)} | row)
        print(rows[-1], flush=True)
    rows += known_articles(own, train, items)
    ours = pd.DataFrame(rows).groupby("system")["recall@20"].mean()
    return rows, {
        "withheld articles: recall@20 of 0.36": ours[OURS] >= 0.36,
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


def words(own):
    """Words of new articles, one change at a time, on validation data."""
    events, items = articles(own.data)
    part = Articles(*withhold(withhold(events)[0], seed=1))
    rows = []
    if own.change:
        kept = read_results("cold_start_words")
        rows = [row for row in kept if row["system"] not in own.change]
    for row in rows_of_changes(part, items, own):
        rows.append(row)
        print(row, flush=True)
    by = pd.DataFrame(rows).groupby("system")["recall@20"].mean()
    return rows, {
        "words that start from singular vectors gain": by["defaults"]
        > by["words start near zero"]
    }


def vectors(read, own):
    """Vectors of texts as a column, treated in several ways."""
    data = read(own.data)
    train, test, cold = withhold(data.events)
    parts = {
        "validation": Articles(*withhold(train, seed=1)),
        "test": Articles(train, test, cold),
    }
    rows = []
    of_ours = rows_of_vectors(parts, data, own) if own.seeds else ()
    for row in chain(rows_of_profiles(parts, data, own), of_ours):
        rows.append(row)
        print(row, flush=True)
    found = pd.DataFrame(rows).query("part == 'test'")
    found = found.groupby("system")["recall@20"].max()
    gains = not own.seeds or found[[BOTH, BOTH_WHITENED]].max() > found[WORDS]
    return rows, {"vectors next to words gain": gains}


def coldrec(name, own):
    """Known and new items, by the protocol of ColdRec."""
    rows = []
    for row in rows_of_coldrec(name, own):
        rows.append(row)
        print(row, flush=True)
    by = pd.DataFrame(rows).groupby(["task", "system"])["recall@20"].mean()
    return rows, {
        f"ColdRec, {task}: above the content profile": by[task, OURS]
        > by[task, "content profile"]
        for task in by.index.levels[0]
    }


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
    tables, shown = {"users": data.users, "items": data.items}, {}
    shown["impression_weight"] = WEIGHT
    for name, given in (("features on", tables), ("features off", {})):
        for seed in range(own.seeds):
            model = TwoTowerRecommender(random_state=seed, **given | shown)
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
    "words": words,
    "vectors": partial(vectors, described_articles),
    "products": partial(vectors, described_products),
    "titles": partial(vectors, described_films),
    "coldrec_citeulike-t": partial(coldrec, "citeulike-t"),
    "coldrec_ml-1m": partial(coldrec, "ml-1m"),
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
    parser.add_argument("--change", action="append", default=[], help="see words")
    parser.add_argument(
        "--ours-only", action="store_true", help="rows of others stay as written"
    )
    parser.add_argument("--vectors", help="file of vectors of items, made by encode.py")
    parser.add_argument("--vectors-name", default="a language model")
    parser.add_argument("--python", action="append", default=[], help="interpreters")
    own = parse_options(parser)
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
        keys = [
            name
            for name in ("system", "data", "source", "part", "task")
            if name in table
        ]
        numbers = table.groupby(keys, sort=False).mean(numeric_only=True)
        print(numbers.round(4).to_string(), flush=True)
        rows = [where | row for row in rows]
        if own.ours_only:
            kept, anew = read_results(f"cold_start_{part}"), set(table["system"])
            rows = [row for row in kept if row["system"] not in anew] + rows
        write_results(f"cold_start_{part}", rows)
        wrong += [claim for claim, holds in claims.items() if not holds]
    assert_claims(wrong)


if __name__ == "__main__":
    main()
