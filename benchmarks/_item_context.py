"""``bench_context.py --items``: a column of the item as context, against ``where``.

Input: a data set in time order, and a table of its items with a column ``kind``.
Output: rows of results: figures of lists inside a kind, and of lists of all kinds.
"""

import numpy as np
import pandas as pd
from _common import clock, data_file, load_ordered, shop
from scipy import sparse

from sktwotower import TwoTowerRecommender
from sktwotower.metrics import ndcg_at_k, recall_at_k
from sktwotower.metrics._hits import standard_error

WHERE, CONTEXT, BOTH = "where", "context of items", "context of items and where"
WITHOUT, UNKNOWN = "without, all kinds", "unknown, all kinds"
FIGURES = ["recall@10", "ndcg@10"]
FUNCTIONS = recall_at_k, ndcg_at_k
K = 10
MIN_PRODUCTS = 20  # of a word that is a kind of product


def kinds_of_shop(folder):
    """Return the products of the shipped shop, with a word of the name as kind.

    It is the last word that at least twenty products have, as in "set of 4 tea mugs".
    """
    products = shop().products.rename(columns={"product": "item"})
    words = products["description"].str.lower().str.findall("[a-z]{3,}")
    n_products = words.map(set).explode().value_counts()
    common = set(n_products.index[n_products >= MIN_PRODUCTS])

    def kind_of(words):
        return next((word for word in reversed(words) if word in common), None)

    return products[["item"]].assign(kind=words.map(kind_of))


def genres(name):
    """Return the function that reads the films of a data set, with genres as kind."""

    def read(folder):
        films = pd.read_parquet(data_file(folder, name, "items.parquet"))
        films = films.rename(columns={"item_id": "item", "genres": "kind"})
        films["kind"] = films["kind"].map(list)
        return films[["item", "kind"]]

    return read


SETS = {"online-retail": kinds_of_shop, "ml-100k-last": genres("ml-100k")}


def requests_of(test, items):
    """Return each user and kind of what was held out, with the items, a Series."""
    of_kind = test.merge(items, on="item").explode("kind").dropna(subset="kind")
    return of_kind.groupby(["user", "kind"])["item"].agg(list)


def figures(model, asked, of_context=False, of_where=False):
    """Return the figures (2, n) of requests ``asked``, a Series as of `requests_of`."""
    holds_lists = model.items["kind"].map(lambda kind: isinstance(kind, list)).any()
    positions = pd.Series(np.arange(len(model.item_ids_)), index=model.item_ids_)
    found = np.full((len(asked), K), -1)
    kinds = asked.index.get_level_values("kind")
    users = asked.index.get_level_values("user")
    for kind in kinds.unique():
        rows = np.flatnonzero(kinds == kind)
        top = model.recommend(
            users[rows].tolist(),
            n_neighbors=K,
            context={"kind": [kind] if holds_lists else kind} if of_context else None,
            where={"kind": kind} if of_where else None,
        )
        places = pd.Series(rows, index=users[rows])
        columns = top["rank"].to_numpy() - 1
        owners = places.loc[top["user"]].to_numpy()
        found[owners, columns] = positions.loc[top["item"]]
    answers = positions.loc[asked.explode()].to_numpy()
    rows = np.repeat(np.arange(len(asked)), asked.map(len))
    ones = np.ones(len(rows))
    truth = sparse.csr_matrix((ones, (rows, answers)), (len(asked), len(positions)))
    return np.array([f(truth, found, K, per_user=True) for f in FUNCTIONS])


def compare(name, folder, seeds):
    """Return the rows of results of a data set."""
    data = load_ordered(name, folder)
    items = SETS[name](folder)
    asked = requests_of(data.test, items)
    of_users = data.test.groupby("user")["item"].agg(list)
    owners = {True: asked.index.get_level_values("user"), False: of_users.index}
    found, seconds = {}, {}
    for seed in range(seeds):
        for system, context in ((WHERE, None), (CONTEXT, ["kind"])):
            model = TwoTowerRecommender(
                time="time", items=items, context=context, random_state=seed
            )
            with clock() as watch:
                model.fit(data.train)
            seconds.setdefault(system, []).append(watch.cpu_seconds)
            measured = figures_of(model, asked, of_users, data.test, context)
            for each, values in measured.items():
                found.setdefault(each, []).append(values)
    rows = []
    means = {system: np.mean(values, axis=0) for system, values in found.items()}
    for system, values in means.items():
        is_inside = system not in (WITHOUT, UNKNOWN)
        base = means[WHERE if is_inside else WITHOUT]
        fitted = WHERE if system in (WHERE, WITHOUT) else CONTEXT
        row = {"data": name, "system": system, "seeds": seeds}
        row |= {"requests": values.shape[1], "kinds": asked.index.unique("kind").size}
        row |= {"fit_cpu_s": np.mean(seconds[fitted])}
        for place, figure in enumerate(FIGURES):
            row[figure] = values[place].mean()
            difference = values[place] - base[place]
            percent = 100 / base[place].mean()
            error = standard_error(difference, owners[is_inside])
            row[f"{figure} gain"] = percent * difference.mean()
            row[f"{figure} half"] = 1.96 * percent * error
        rows.append(row)
        shown = ", ".join(
            f"{f} {row[f]:.4f} ({row[f'{f} gain']:+.1f} ± {row[f'{f} half']:.1f} %)"
            for f in FIGURES
        )
        print(f"{name}, {system}: {shown}", flush=True)
    return rows


def figures_of(model, asked, of_users, test, context):
    """Return the figures of a model in each way of asking, by the name of the way."""
    ranking = model.rank_held_out(test, n_neighbors=K)
    order = pd.Index(ranking.users).get_indexer(of_users.index)
    of_all = [f(ranking.truth, ranking.indices, K, per_user=True) for f in FUNCTIONS]
    of_all = np.array(of_all)[:, order]
    if context is None:
        return {WHERE: figures(model, asked, of_where=True), WITHOUT: of_all}
    return {
        CONTEXT: figures(model, asked, of_context=True),
        BOTH: figures(model, asked, of_context=True, of_where=True),
        UNKNOWN: of_all,
    }
