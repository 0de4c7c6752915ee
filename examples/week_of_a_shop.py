"""Seven days of a shop, from the first fit to the next: all that a service needs.

Input: the purchases of the shipped shop.
Output: for each day what happened, and at the end what other lists would have earned.

Each day customers get lists that are drawn by chance, which are logged with what was
bought of them, and the columns of requests are watched. Each night ``nightly.py``
teaches the model the day, if its gates let it pass, the service loads the file, and an
index in faiss gets the vectors that have moved. On Sunday a new fit takes over. It is
aligned to the model before, so that vectors of users that are kept elsewhere stay in
use. ``python examples/week_of_a_shop.py`` takes about a minute of one core.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
import pandas as pd

from sktwotower import TwoTowerRecommender, io, runtime
from sktwotower.datasets import load_online_retail
from sktwotower.metrics import off_policy_value
from sktwotower.neighbors import check_model_id

PAIR = ["customer", "product"]
DAYS = pd.date_range("2011-11-28", periods=7)  # Monday to Sunday
DAY = pd.Timedelta(days=1)
LENGTH = 3  # of lists
TEMPERATURE = 0.05  # of what is drawn: a twentieth of the range of scores
TOLERANCE = 0.05  # by which vectors in the index may be off
MAX_UNKNOWN = 0.5  # share of requests of customers that the model does not know
BROKEN = DAYS[3]  # on this day a program of the shop sends other numbers of customers


def fit(events, seed):
    """Return a model whose scores are products of vectors, as the index needs."""
    params = {"embedding_dim": 64, "max_epochs": 10, "sparse_parts": None}
    model = TwoTowerRecommender(**params, exclude_seen=False, random_state=seed)
    return model.fit(events[PAIR].drop_duplicates())


class ItemIndex:
    """The vectors of items in faiss, which knows of which model they are."""

    def __init__(self, model):
        d = model.item_embeddings_.shape[1]
        self.index = faiss.IndexIDMap2(faiss.IndexFlatIP(d))
        self.items = pd.Index([])  # the item of each number in the index
        self.built_from = model.model_id_
        self.put(model, model.item_ids_)

    def put(self, model, items):
        """Put the vectors of items into the index, in place of older ones."""
        self.items = self.items.append(pd.Index(items).difference(self.items))
        numbers = self.items.get_indexer(items)
        self.index.remove_ids(numbers)
        self.index.add_with_ids(np.asarray(model.embed_items(items)), numbers)
        self.model_id = model.model_id_

    def update(self, model):
        """Put in what has moved since the index was built; return how many items."""
        changed = model.changed_items_since(self.built_from, tolerance=TOLERANCE)
        self.put(model, changed)
        return len(changed)

    def search(self, users, k=10):
        """Return the best items (n, k) of vectors of users of the same model."""
        check_model_id(users, self.model_id)
        _, numbers = self.index.search(np.ascontiguousarray(users), k)
        return self.items.to_numpy()[numbers]


class Service:
    """Answers by the latest model of a file, as ``service.py`` does behind HTTP."""

    def __init__(self, latest):
        self.latest = latest

    def reload(self, model_id):
        """Wait until the model of an id is served."""
        while self.latest.current.model.model_id_ != model_id:
            time.sleep(0.05)

    def lists(self, customers, rng):
        """Return lists that are drawn by chance, with the probability of each item."""
        drawn = self.latest.current.model.recommend(
            customers, LENGTH, explore=TEMPERATURE, random_state=rng
        )
        names = ["product", "score", "propensity"]
        columns = dict(zip(names, map(np.concatenate, drawn), strict=True))
        ranks = np.tile(np.arange(1, LENGTH + 1), len(customers))
        whose = np.repeat(customers, LENGTH)
        return pd.DataFrame({"customer": whose, "rank": ranks, **columns})

    def unknown_share(self, customers):
        """Return which share of requests is of customers that nobody knows."""
        requests = [{"user": customer} for customer in customers]
        return self.latest.current.model.coverage(requests)["customer"]["unknown"]


def night(path, day, purchases):
    """Let ``nightly.py`` teach the model a day; return what it did."""
    events = Path(path).with_name(f"{day:%Y-%m-%d}.csv")
    purchases[PAIR].to_csv(events, index=False)
    script = Path(__file__).with_name("nightly.py")
    done = subprocess.run(
        [sys.executable, script, path, events], capture_output=True, text=True
    )
    words = {0: "learnt", 3: "refused, worse", 4: "refused, unlike", 5: "too small"}
    assert done.returncode in words, done.stderr
    return words[done.returncode]


def served_day(service, today, day, rng):
    """Return the log of a day: lists, their propensities, and what was bought."""
    customers = today["customer"].drop_duplicates().tolist()
    if not customers:  # the shop is closed
        return None
    sent = [customer + 1_000_000 * (day == BROKEN) for customer in customers]
    unknown = service.unknown_share(sent)
    print(f"  {unknown:.0%} of them are unknown")
    if unknown > MAX_UNKNOWN:
        print("  ALARM: look at what requests send")
    lists = service.lists(customers, rng)
    bought = pd.MultiIndex.from_frame(today[PAIR])
    hits = pd.MultiIndex.from_frame(lists[PAIR]).isin(bought)
    return lists.assign(day=day, reward=hits.astype(float))


def take_over(path, events, model, customers):
    """Publish a new fit, aligned to a model; return it and its index.

    Vectors of customers that others keep are of the model before.
    """
    kept = np.asarray(model.embed_users(customers))  # without the id of their model
    newer = fit(events, seed=1)
    lists = ItemIndex(newer).search(newer.embed_users(customers))
    before = ItemIndex(newer).search(kept)
    newer.align_to(model)
    index = ItemIndex(newer)
    for name, others in (("without", before), ("with", index.search(kept))):
        same = (lists[:, :, None] == others[:, None]).any(axis=2).mean()
        print(f"  lists of old vectors {name} alignment: {same:.0%} as by new ones")
    print(newer.alignment_.round(2).to_string())
    io.dump(newer, path)
    return newer, index


def run(folder):
    """Live through the week; return the log of all lists, and the first model."""
    path = folder / "model.sktt"
    purchases = load_online_retail().data.sort_values("time")
    past = purchases[purchases["time"] < DAYS[0]]
    first = model = fit(past, seed=0)
    io.dump(model, path)
    index = ItemIndex(model)
    rng = np.random.default_rng(0)
    logs = []
    with io.LatestModel(path, load=runtime.load, seconds=0.1) as latest:
        service = Service(latest)
        for day in DAYS:
            is_today = (purchases["time"] >= day) & (purchases["time"] < day + DAY)
            today = purchases[is_today].drop_duplicates(PAIR)
            print(f"{day:%A}: {today['customer'].nunique()} customers")
            logs.append(served_day(service, today, day, rng))
            done = night(path, day, today)
            model = io.load(path)
            n_moved = index.update(model)
            print(f"  night: {done}; {n_moved} of {len(model.item_ids_)} vectors moved")
            service.reload(model.model_id_)
        customers = model.user_ids_[-200:].tolist()
        so_far = purchases[purchases["time"] < DAYS[-1] + DAY]
        newer, index = take_over(path, so_far, model, customers)
        service.reload(newer.model_id_)
    try:
        index.search(model.embed_users(customers[:1]))
    except ValueError as error:
        print(f"  refused: {str(error).split(',')[0]}")
    return pd.concat(logs), first


def judge(log, model):
    """Print what other lists of the week would have earned, without showing them."""
    for times in (0.5, 0.7):
        value = off_policy_value(
            model, log, explore=times * TEMPERATURE, user="customer", item="product"
        )
        print(f"\nthe model of Monday at {times:g} times the temperature, per list:")
        print(value.table[["value", "lower", "upper"]].round(3).to_string())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        judge(*run(Path(folder)))
