"""Write the files that later versions must be able to read, and their answers.

Call, in the root of the repository: ``python -m tests.io.make_format_file``. It writes
the files of today's format, N, to ``tests/data/format_N``; those of lower numbers stay.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower import ClickRateRecommender, PopularityRecommender
from sktwotower.io import dump, load
from sktwotower.towers import PooledHistory
from tests.builders import chain, dated, ordered, small
from tests.two_stage.builders import shown

from .builders import (
    EVENTS,
    META,
    OF_SQUARES,
    contexts_of,
    in_context,
    members_of,
    products,
    stages,
)

DATA = Path(__file__).parents[1] / "data"


def recent():
    """Return two pairs of towers that know the order, with all kinds of columns."""
    events = dated(chain(n_users=8, n_items=9, n_events=5))
    events["item"] = events["item"].str.replace("i0", "i")
    params = {"items": products(), "hidden_layer_sizes": (6,), "history": "recent"}
    return ordered(**params).fit(events)


def filtered():
    """Return towers with a pooled history and a linear filter, and dates as users."""
    days = pd.to_timedelta(EVENTS["user"].str[1:].astype(int), "D")
    events = EVENTS.assign(user=pd.Timestamp("2020-01-01") + days)
    return small(history=PooledHistory(second_share=0.4), embedding_dim=12).fit(events)


def two_stages():
    """Return two stages; counts retrieve, so that no processor cuts elsewhere."""
    return stages(PopularityRecommender())


def context():
    """Return towers that know contexts of all kinds, dates and gaps among them."""
    events = in_context(dated(OF_SQUARES))
    columns = ["place", "words", "tags", "level", "when"]
    return ordered(context=columns, history="recent", max_epochs=4).fit(events)


def click_rates():
    """Return click rates with a half-life."""
    events, half_life = shown(10, 2), pd.Timedelta(days=1)
    model = ClickRateRecommender(half_life=half_life, time="when")
    return model.fit(events[["user", "item", "when"]], events["y"])


def lists():
    """Return two stages that order lists, by a ranker and by counts."""
    events = shown(25, 10)
    events, clicked = events[["user", "item", "when", "list"]], events["y"]
    return stages(PopularityRecommender(), events, y=clicked, lists="list")


MAKE = {
    "click_rates": click_rates,
    "context": context,
    "filtered": filtered,
    "int8": filtered,
    "lists": lists,
    "recent": recent,
    "two_stages": two_stages,
}


def answers(model):
    """Return what a model must answer, as lists of numbers.

    Nothing in it jumps where a processor rounds otherwise: no ranks of vectors, and
    trees get numbers that are no means of others.
    """
    if getattr(model, "lists", None) is not None:
        features = model.candidate_features().select_dtypes("number").to_numpy()
        shape = 20, model.list_ranker_.n_features_in_
        rows = np.random.default_rng(0).integers(-8, 9, size=shape) / 4
        of_ranker = model.list_ranker_.predict_proba(rows)[:, 1:]
        found = features[:20], of_ranker
    elif hasattr(model, "ranker_"):
        features = model.candidate_features().select_dtypes("number").to_numpy()
        shape = 20, model.ranker_.n_features_in_
        rows = np.random.default_rng(0).integers(-8, 9, size=shape) / 4
        found = features[:20], model.ranker_.predict_proba(rows)[:, 1:]
    else:
        users, items = model.user_ids_[:4], model.item_ids_
        pairs = pd.DataFrame({"user": np.repeat(users, len(items))})
        scores = model.predict(pairs.assign(item=np.tile(items, len(users))))
        found = [scores.reshape(len(users), -1)]
        for asked in contexts_of(model):
            vectors = model.embed_users(users, context=asked)
            found.append(vectors @ model.item_embeddings_.T)
    return [np.round(numbers.astype(float), 6).tolist() for numbers in found]


def format_of(path):
    """Return the number of the format of a file."""
    return json.loads(members_of(path.read_bytes())[META])["format_version"]


def format_of_now(folder):
    """Return the number of the format that is written today."""
    path = Path(folder) / "any.sktt"
    dump(PopularityRecommender(), path)
    return format_of(path)


def main():
    """Write a file of each model, and one with the answers of all."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = DATA / f"format_{format_of_now(temporary)}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.sktt" for name in MAKE}
    for name, path in paths.items():
        vector_dtype = "int8" if name == "int8" else "float32"
        dump(MAKE[name](), path, vector_dtype=vector_dtype)
    text = json.dumps({name: answers(load(path)) for name, path in paths.items()})
    (folder / "answers.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
