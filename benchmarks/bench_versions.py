"""Do vectors of one fit stay in use after the next, and an index after a night?

Call ``OMP_NUM_THREADS=1 python benchmarks/bench_versions.py [--settings NAME]
[--nights 5] [--models DIR]``; no data is needed. ``--models``: a folder that keeps the
fitted models, so that a call that was stopped goes on. ``--settings``: "small", vectors
of 64 numbers and ten epochs, as in the guide, or "time", all defaults with the times of
purchases. Both have no sparse parts, as indexes search vectors only. On the shop:

- ``refits``: a new fit each night, with another seed, on all purchases so far. Each is
  aligned to the one before. Lists of 20 by products of vectors of users and items, of
  which one side may be of the model before, are compared with what these customers buy
  in the next seven days. So are vectors of the first night with those of the last.
- ``nights``: `partial_fit` of each day. An index of the first night gets the vectors of
  `changed_items_since` with a tolerance, and is compared with one that has all.

All values are means over nights, and over customers that both models know. ``overlap``
is the share of the list of the newer model, on both sides, that stays.

Failure: old vectors of users lose more than a tenth of the recall of new ones, if
vectors are aligned, or less than a third if not; an index within a tolerance of 0.01
loses more than a hundredth.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from _common import machine, read_results, shop, write_results
from _quick import assert_claims, is_quick, parse_options

from sktwotower import TwoTowerRecommender, io

COLUMNS = ["customer", "product", "time"]
FIRST = pd.Timestamp("2011-11-27")
AHEAD = pd.Timedelta(days=7)
DAY = pd.Timedelta(days=1)
K = 20
SETTINGS = {"small": {"embedding_dim": 64, "max_epochs": 10}, "time": {"time": "time"}}
TOLERANCES = (0.0, 0.01, 0.02, 0.05, 0.1)


def fitted(purchases, products, night, own):
    """Return the model of all purchases before a night."""
    path = None
    if own.models is not None:
        path = Path(own.models) / f"{own.settings}_{night}.sktt"
    if path is not None and path.exists():
        return io.load(path)
    model = TwoTowerRecommender(
        user_id="customer",
        item_id="product",
        items=products,
        sparse_parts=None,
        random_state=night,
        **SETTINGS[own.settings],
    ).fit(purchases[purchases["time"] < FIRST + night * DAY])
    if path is not None:
        io.dump(model, path)
    return model


def later_purchases(purchases, night, users, items):
    """Return customers among ``users``, and which ``items`` they buy next (n, m)."""
    start = FIRST + night * DAY
    is_next = (purchases["time"] >= start) & (purchases["time"] < start + AHEAD)
    later = purchases[is_next]
    later = later[later["customer"].isin(users) & later["product"].isin(items)]
    rows, customers = pd.factorize(later["customer"])
    bought = np.zeros((len(customers), len(items)), dtype=bool)
    bought[rows, pd.Index(items).get_indexer(later["product"])] = True
    return customers, bought


def best(users, items):
    """Return positions (n, K) of the best items by products of vectors."""
    scores = np.asarray(users) @ np.asarray(items).T
    return np.argsort(-scores, axis=1, kind="stable")[:, :K]


def recall(lists, bought):
    """Return the mean share of what was bought that is in a list, of at most K."""
    hits = np.take_along_axis(bought, lists, axis=1).sum(axis=1)
    return (hits / np.minimum(bought.sum(axis=1), K)).mean()


def overlap(lists, others):
    """Return the mean share of items that are in both lists."""
    return (lists[:, :, None] == others[:, None]).any(axis=2).mean()


def compared(older, plain, model, purchases, night, pair):
    """Return a row for each choice of sides of an older and an aligned model.

    ``plain``: the vectors (n_items, d) of ``model`` before it was aligned.
    """
    places = np.flatnonzero(np.isin(model.item_ids_, older.item_ids_))
    items = model.item_ids_[places]
    both = np.intersect1d(older.user_ids_, model.user_ids_)
    customers, bought = later_purchases(purchases, night, both, items)
    old_users, users = older.embed_users(customers), model.embed_users(customers)
    old_items, turned = older.embed_items(items), model.item_embeddings_[places]
    sides = {
        "new users, new items": (users, turned),
        "old users, old items": (old_users, old_items),
        "old users, new items": (old_users, plain[places]),
        "old users, new items, aligned": (old_users, turned),
        "new users, old items, aligned": (users, old_items),
    }
    reference = best(users, turned)
    rows = []
    for system, vectors in sides.items():
        lists = best(*vectors)
        row = {"data": pair, "system": system, "night": night, "users": len(lists)}
        row["recall@20"] = recall(lists, bought)
        rows.append(row | {"overlap": overlap(lists, reference)})
    return rows


def refits(purchases, products, n_nights, own):
    """Return the rows of each night, and of the first night with the last."""
    first = older = fitted(purchases, products, 0, own)
    rows = []
    for night in range(1, n_nights + 1):
        model = fitted(purchases, products, night, own)
        plain = np.array(model.item_embeddings_)
        model.align_to(older)
        print(model.alignment_.round(3).to_string(), flush=True)
        rows += compared(older, plain, model, purchases, night, "refits")
        older = model
    rows += compared(first, plain, model, purchases, n_nights, "first and last")
    return rows


def nights(purchases, products, n_nights, own):
    """Return a row for each night and tolerance of an index that is updated."""
    model = fitted(purchases, products, 0, own)
    in_index = model.model_id_
    ids, of_build = model.item_ids_, np.array(model.item_embeddings_)
    rows = []
    for night in range(1, n_nights + 1):
        end = FIRST + night * DAY
        is_new = (purchases["time"] >= end - DAY) & (purchases["time"] < end)
        model.partial_fit(purchases[is_new])
        assert (model.item_ids_[: len(ids)] == ids).all()
        items = np.array(model.item_embeddings_)
        customers, bought = later_purchases(
            purchases, night, model.user_ids_, model.item_ids_
        )
        users = model.embed_users(customers)
        reference = best(users, items)
        for tolerance in TOLERANCES:
            changed = model.changed_items_since(in_index, tolerance=tolerance)
            is_changed = np.isin(model.item_ids_, changed)
            index = np.where(is_changed[: len(ids), None], items[: len(ids)], of_build)
            lists = best(users, np.vstack([index, items[len(ids) :]]))
            row = {"data": "nights", "system": f"tolerance {tolerance:g}"}
            row |= {"night": night, "users": len(users)}
            row |= {"recall@20": recall(lists, bought), "changed": is_changed.mean()}
            rows.append(row | {"overlap": overlap(lists, reference)})
    return rows


def failures(table):
    """Return which claims the means contradict."""
    of_refits, of_nights = table.loc["refits"], table.loc["nights"]["recall@20"]
    recalls = of_refits["recall@20"]
    new = recalls["new users, new items"]
    claims = {
        "aligned vectors stay in use": recalls["old users, new items, aligned"]
        >= 0.9 * new,
        "others do not": recalls["old users, new items"] <= 2 / 3 * new,
        "a tolerance of 0.01 costs nothing": of_nights["tolerance 0.01"]
        >= 0.99 * of_nights["tolerance 0"],
    }
    return [claim for claim, holds in claims.items() if not holds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", choices=SETTINGS, default="small")
    parser.add_argument("--nights", type=int, default=5)
    parser.add_argument("--models", help="folder that keeps the fitted models")
    own = parse_options(parser)
    where = machine()
    whole = shop()
    purchases, products = whole.data[COLUMNS], whole.products
    n_nights = 2 if is_quick() else own.nights
    rows = nights(purchases, products, n_nights, own)
    rows += refits(purchases, products, n_nights, own)
    table = pd.DataFrame(rows).drop(columns="night")
    table = table.groupby(["data", "system"], sort=False).mean()
    print(table.round(4).to_string())
    shown = table.reset_index().to_dict("records")
    for row in shown:
        if np.isnan(row["changed"]):
            del row["changed"]
    about = {"settings": own.settings, "nights": n_nights} | where
    rows = read_results("versions")
    rows = [row for row in rows if row["settings"] != own.settings]
    write_results("versions", rows + [row | about for row in shown])
    assert_claims(failures(table))


if __name__ == "__main__":
    main()
