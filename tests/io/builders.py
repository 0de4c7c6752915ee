"""Small models, and files that are changed in many ways."""

import functools
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower import (
    ChebyshevFilterRecommender,
    ClickRateRecommender,
    ContentRecommender,
    EASERecommender,
    GraphFilterRecommender,
    ItemKNNRecommender,
    OrderedRidgeRecommender,
    PopularityRecommender,
    RepeatRecommender,
    RP3betaRecommender,
    TwoStageRecommender,
)
from sktwotower.io import dump, load
from sktwotower.towers import PooledHistory, RecentHistory
from tests.builders import chain, dated, ordered, random_events, small
from tests.shared import once

META = "meta.json"
EVENTS = random_events()
IN_ORDER = chain(n_users=8, n_events=5)
OF_SQUARES = IN_ORDER.assign(when=IN_ORDER["when"] ** 2)  # with gaps of several lengths


def products():
    """Return a side table of the items of `random_events`, all kinds of columns."""
    n = 9
    return pd.DataFrame(
        {
            "item": [f"i{i}" for i in range(n)],
            "color": ["red", "blue", "red"] * 3,
            "tags": [["a"], ["b", "c"], ["a", "c"]] * 3,
            "words": [f"{a} chair {b}" for a in ("old", "new", "red") for b in "xyz"],
            "price": [1.5, None, 2.5] * 3,
            "new": [True, False, True] * 3,
            "since": pd.to_datetime(["2020-01-01", "2021-05-03", None] * 3),
            "vector": [[0.5, 1.0], [1.0, 0.0], [0.0, 1.0]] * 3,
            "level": pd.Categorical(["x", "y", None] * 3),
        }
    )


def in_context(events):
    """Return events in contexts of all kinds: levels, words, tags, numbers."""
    places = np.arange(len(events)) % 4
    cells = {
        "place": np.array(["home", "work", "way", None], dtype=object)[places],
        "words": [f"{a} chair" for a in np.array(["old", "new"])[places % 2]],
        "tags": [[["a"], ["b", "c"], [], ["c"]][place] for place in places],
        "level": np.array([0.5, np.nan, 2.5, 4.0])[places],
    }
    return events.assign(**cells)


# Contexts of a request, of which a model may know a part.
CONTEXTS = [
    {"place": "work"},
    {"place": "nowhere", "words": "a new old chair", "tags": ["c", "z"]},
    {"level": 3.0, "place": None, "when": pd.Timestamp("2020-04-05 17:30")},
]


def contexts_of(model):
    """Return what a model can be asked for, a list of dicts."""
    retriever = getattr(model, "retriever", None) or model
    known = getattr(retriever, "context", None)
    if not isinstance(known, list):  # None, or "auto": only the time, if at all
        return []
    return [{k: v for k, v in each.items() if k in known} for each in CONTEXTS]


def stages(retriever=None, events=None, y=None, **params):
    """Return a fitted `TwoStageRecommender` with the default ranker, which has weight.

    ``retriever`` None: EASE. ``events`` None: dated ones without context. ``y``: their
    outcomes.
    """
    if events is None:
        events = dated(chain(n_users=40, n_items=12, n_events=6))
    retriever = EASERecommender() if retriever is None else retriever
    params = {"n_candidates": 8, "time": "when", "random_state": 0} | params
    model = TwoStageRecommender(retriever, **params)
    return model.fit(events, y)


FITS = {
    "popularity": lambda: PopularityRecommender().fit(EVENTS),
    "click rate": lambda: ClickRateRecommender().fit(
        EVENTS, np.arange(len(EVENTS)) % 2
    ),
    "content": lambda: ContentRecommender(products(), 4).fit(EVENTS),
    "ease": lambda: EASERecommender(l2=1).fit(EVENTS),
    "item-knn": lambda: ItemKNNRecommender(decay=2.0, time="when").fit(IN_ORDER),
    "walk": lambda: RP3betaRecommender(alpha=1, time="when").fit(IN_ORDER),
    "filters": lambda: GraphFilterRecommender(2, alpha=1).fit(EVENTS),
    "polynomial": lambda: ChebyshevFilterRecommender(2).fit(EVENTS),
    "ridge": lambda: OrderedRidgeRecommender(time="when").fit(IN_ORDER),
    "repeats": lambda: RepeatRecommender(time="when", half_life=3.0).fit(IN_ORDER),
    "pooled": lambda: small().fit(EVENTS),
    # two pairs of towers, and recent popularity
    "recent": lambda: ordered(history=RecentHistory(popularity_half_life=4.0)).fit(
        IN_ORDER
    ),
    "filtered": lambda: small(
        history=PooledHistory(second_share=0.4), embedding_dim=12
    ).fit(EVENTS),
    # with matrices, and parts that score past items
    "sparse parts": lambda: ordered(max_epochs=4, exclude_seen=False).fit(
        chain(n_users=30, n_events=7, noise=0.6)
    ),
    "recent only": lambda: ordered(history="recent", embedding_dim=1).fit(IN_ORDER),
    "side table": lambda: small(items=products(), hidden_layer_sizes=(6,)).fit(EVENTS),
    "two stages": lambda: stages(),
    "no history": lambda: small(history=None, normalize=False).fit(EVENTS),
    "context": lambda: small(context=["place", "words", "tags"], max_epochs=3).fit(
        in_context(EVENTS)
    ),
    # with dates, gaps and two pairs of towers
    "context in order": lambda: ordered(
        context=["place", "level", "when"], history="recent", hidden_layer_sizes=(6,)
    ).fit(in_context(dated(OF_SQUARES))),
    "context of both": lambda: stages(
        small(context=["place", "words"]), events=in_context(dated(chain(40, 6)))
    ),
}
NAMES = sorted(FITS)


@once
def fitted(name):
    return FITS[name]()


class Models(Mapping):
    """Fitted models by name, one for each way a file can be made up.

    A model is fitted when it is first asked for. All tests share it: copy what you
    change.
    """

    def __getitem__(self, name):
        return fitted(name)

    def __iter__(self):
        return iter(FITS)

    def __len__(self):
        return len(FITS)


MODELS = Models()


@functools.cache
def file_of(name, vector_dtype="float32"):
    """Return the bytes of the file of a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        return dumped(MODELS[name], path, vector_dtype=vector_dtype)


def dumped(model, path, **how):
    """Return the bytes of the file of a model."""
    dump(model, path, **how)
    return path.read_bytes()


def again(model, path, *, load_params=None, **how):
    """Return a model as it is after it was written and read."""
    dump(model, path, **how)
    return load(path, **(load_params or {}))


def assert_same_answers(model, other):
    """Check that two recommenders rank and score exactly alike."""
    users = [*model.user_ids_[:4], "somebody"]
    history = {"somebody": model.item_ids_[:3].tolist()}
    asked = [{"context": context} for context in contexts_of(model) if context]
    for more in ({}, {"history": history}, {"exclude_seen": False}, *asked):
        expected = model.recommend(users, n_neighbors=4, **more)
        got = other.recommend(users, n_neighbors=4, **more)
        pd.testing.assert_frame_equal(got, expected, check_exact=True)


def members_of(data):
    """Return the members of a file, name -> bytes, in their order."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def assembled(members, comment=None, compression=zipfile.ZIP_STORED):
    """Return the bytes of a file with these members, pairs of name and bytes.

    ``comment`` None: the checksum of the last meta.json.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
        meta = [data for name, data in members if name == META]
        checksum = hashlib.sha256(meta[-1]).hexdigest().encode() if meta else b""
        archive.comment = checksum if comment is None else comment
    return buffer.getvalue()


def forged(members, change=None):
    """Return a file of changed members whose checksums are right.

    ``change(meta)``: changes the JSON, too.
    """
    members = dict(members)
    meta = json.loads(members.pop(META))
    meta["checksums"] = {n: hashlib.sha256(d).hexdigest() for n, d in members.items()}
    if change is not None:
        change(meta)
    members[META] = json.dumps(meta).encode()
    return assembled([*members.items()])


def find(node, test, path=()):
    """Yield (parent, key) of all nodes of JSON that pass a test."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(pairs):
        if test(key, value):
            yield node, key
        if isinstance(value, dict | list):
            yield from find(value, test)


def array_bytes(array):
    """Return an array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def array_of(data):
    """Return the array of the bytes of a .npy file."""
    return np.load(io.BytesIO(data), allow_pickle=False)
