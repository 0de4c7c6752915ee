"""What a fitted model answers, as labels in words and values that JSON can hold.

A value is a number, a list of numbers (a vector), a text, a list of texts, a ranked
list ``{"ranked": ids, "scores": numbers}``, or ``{"digest": text}`` of bytes.
"""

import hashlib
import tempfile
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower import io, runtime

from .comparison import TOLERANCE
from .tables import shop

N_BEST = 5
STRANGER = "stranger"
# What fit has found or chosen: texts and numbers.
FOUND = [
    *("candidate_sampling_", "cold_item_weight_", "history_kind_", "half_life_"),
    *("impression_weight_", "index_recall_", "popularity_half_life_"),
    *("reward_scale_", "second_share_", "temperature_", "time_unit_"),
    *("blend_", "candidate_recall_", "cut_", "list_order_", "n_positive_candidates_"),
    *("n_features_in_", "interrupted_"),
]
TABLES = [
    *("weights_", "blend_gains_", "blend_gains_later_", "order_gains_later_"),
    *("list_gains_", "list_gains_later_"),
]
# Arrays that only some kinds of models have.
ARRAYS = [
    *("item_weights_", "item_similarities_", "singular_vectors_", "item_features_"),
    "item_rates_",
]


@dataclass(frozen=True)
class Asked:
    """What a model is asked in addition to what all are asked.

    ``contexts`` are of requests, ``where`` and ``max_per`` rules of lists. Models with
    ``is_served`` are also written to a file and answer from it with numpy only.
    ``events`` are rows to score, None: of the shop. ``written`` says how files are
    written. ``tolerance`` is that of numbers by other processors. ``diversity`` None:
    no list is made of items that differ, as one near tie changes all of it.
    """

    contexts: tuple = ()
    where: dict | None = None
    max_per: dict | None = None
    is_served: bool = True
    has_file: bool = True
    trusted: tuple = ()
    events: pd.DataFrame | None = None
    written: tuple = ()
    tolerance: float = TOLERANCE
    diversity: float | None = 0.4


def answers_of(model, asked):
    """Return all that is asked of a fitted recommender, label -> value."""
    found = facts_of(model)
    found |= lists_of(model, asked)
    found |= scores_of(model, asked)
    if hasattr(model, "similar_items"):
        found |= similar_of(model)
    if hasattr(model, "embed_users"):
        found |= vectors_of(model, asked)
    if hasattr(model, "candidate_features"):
        found |= features_of(model)
    found |= explanations_of(model)
    if asked.has_file:
        found |= answers_of_files(model, asked)
    return found


# What is asked of all


def some_of(ids):
    """Return the first id, the last one, and one between them."""
    return [ids[0], ids[len(ids) // 2], ids[-1]]


def plain(value):
    """Return a number or a text of Python."""
    if value is None or isinstance(value, bool | np.bool_ | str):
        return str(value)
    if isinstance(value, pd.Timedelta | np.timedelta64):
        return str(pd.Timedelta(value))
    if isinstance(value, int | float | np.number):
        return float(value)
    return str(value)


def vector(values):
    """Return numbers as a list of floats of 32 bits."""
    if sparse.issparse(values):
        values = values.toarray()
    values = np.asarray(values, dtype=np.float32).ravel()
    return [float(value) for value in values]


def numbers_of_table(title, table):
    """Return the cells of a table, by row and column."""
    table = in_pandas(table)
    cells = {}
    for row, (name, values) in enumerate(table.iterrows()):
        at = name if isinstance(name, str) else f"row {row}"
        for column, value in values.items():
            cells[f"{title}: {column} of {at}"] = plain(value)
    return cells


def in_pandas(table):
    """Return a table of any library as one of pandas."""
    return table if isinstance(table, pd.DataFrame) else pd.DataFrame(table.to_dict())


def ranked(table, item_column):
    """Return a ranked list: the items and scores of a table."""
    table = in_pandas(table)
    items = [str(item) for item in table[item_column]]
    return {"ranked": items, "scores": vector(table["score"])}


def item_column(model):
    """Return the name of the column of items in tables of a model."""
    return model.recommend(model.user_ids_[:1], 1, exclude_seen=False).columns[1]


# What fit has found


def facts_of(model):
    """Return the fitted attributes that are a number, a text or a small table."""
    found = {}
    for name in FOUND:
        if hasattr(model, name):
            found[f"{name}"] = plain(getattr(model, name))
    for name in TABLES:
        if getattr(model, name, None) is not None:
            found |= numbers_of_table(name, getattr(model, name))
    for name in ARRAYS:
        if hasattr(model, name):
            array = getattr(model, name)
            array = array[0] if isinstance(array, tuple) else array
            found |= figures_of(f"{name}", array)
    found["users"] = f"{len(model.user_ids_)}, the last one {model.user_ids_[-1]}"
    found["items"] = f"{len(model.item_ids_)}, the last one {model.item_ids_[-1]}"
    weights = getattr(model, "context_weights_", None)
    for name, weight in () if weights is None else weights.items():
        found[f"weight of the context {name}"] = float(weight)
    for name, value in (getattr(model, "validation_score_", None) or {}).items():
        found[f"validation_score_: {name}"] = float(value)
    for epoch in getattr(model, "history_", ()):
        for name in ("train_loss", "valid_loss", "valid_recall"):
            if name in epoch:
                found[f"{name} of epoch {epoch['epoch']}"] = float(epoch[name])
    return found


def figures_of(name, array):
    """Return what a large array is: shape, sum of absolute values, some entries."""
    array = array.toarray() if sparse.issparse(array) else np.asarray(array)
    places = np.linspace(0, array.size - 1, min(array.size, 12)).astype(int)
    return {
        f"shape of {name}": str(array.shape),
        f"sum of absolute values of {name}": float(np.abs(array).sum()),
        f"twelve entries of {name}": vector(array.ravel()[places]),
    }


# Lists, scores and vectors


def lists_of(model, asked):
    """Return lists of known and new users, with histories, candidates and rules."""
    users, items = some_of(model.user_ids_), some_of(model.item_ids_)
    name, first = item_column(model), users[:1]
    past = {STRANGER: items[:2]} | {users[0]: items[2:]}
    if model.user_ids_.dtype != object:
        past = {users[0]: items[1:]}
    requests = {
        "": {"X": users},
        ", seen items included": {"X": first, "exclude_seen": False},
        f", chosen before {' '.join(map(str, items))}": {"history": past},
        " of ten candidates": {"X": users, "candidates": model.item_ids_[:10]},
        " without some": {"X": first, "exclude": {users[0]: model.item_ids_[::2]}},
    }
    if asked.diversity is not None:
        words = f", diversity {asked.diversity}"
        requests[words] = {"X": first, "diversity": asked.diversity}
    if asked.where is not None:
        requests[f" where {asked.where}"] = {"X": users, "where": asked.where}
    if asked.max_per is not None:
        limits = {"X": users, "max_per": asked.max_per, "exclude_seen": False}
        requests[f", at most {asked.max_per}"] = limits
    for context in asked.contexts:
        of_users = {"X": users, "context": context}
        requests[f" in the context {words_of(context)}"] = of_users
    if model.user_ids_.dtype == object:
        requests[" as a stranger"] = {"X": [STRANGER]}
    found = {}
    for words, request in requests.items():
        table = in_pandas(model.recommend(n_neighbors=N_BEST, **request))
        for user, rows in table.groupby(table.columns[0], sort=False):
            found[f"list of user {user}{words}"] = ranked(rows, name)
    distances, places = model.kneighbors(users, 3)
    for user, far, near in zip(users, distances, places, strict=True):
        # scores of a ranked list fall
        best = [str(model.item_ids_[place]) for place in near]
        answer = {"ranked": best, "scores": vector(-far)}
        found[f"neighbors of user {user}, negative distances"] = answer
    seen = in_pandas(model.seen_items(first))
    found[f"past of user {users[0]}"] = [str(item) for item in seen[name]]
    return found


def words_of(context):
    return ", ".join(f"{name} {value}" for name, value in context.items())


def scores_of(model, asked):
    """Return scores of pairs: of events, and of items that nobody knows."""
    events = shop().iloc[5::75] if asked.events is None else asked.events
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        events = events[list(names)]
    scores = model.predict(events)
    found = {}
    for pair, score in zip(events.to_numpy()[:, :2], scores, strict=True):
        found[f"score of user {pair[0]} and item {pair[1]}"] = float(score)
    if hasattr(model, "classes_"):
        chances = model.predict_proba(events)[:, 1]
        for pair, chance in zip(events.to_numpy()[:, :2], chances, strict=True):
            found[f"chance of user {pair[0]} and item {pair[1]}"] = float(chance)
    return found


def similar_of(model):
    """Return items that are similar to some."""
    found = {}
    for item in some_of(model.item_ids_):
        table = in_pandas(model.similar_items([item], N_BEST))
        found[f"items similar to {item}"] = ranked(table, table.columns[1])
    return found


def vectors_of(model, asked):
    """Return vectors of users and items, dense and sparse ones."""
    users, items = some_of(model.user_ids_), some_of(model.item_ids_)
    found = {}
    for user, values in zip(users, model.embed_users(users), strict=True):
        found[f"vector of user {user}"] = vector(values)
    for item, values in zip(items, model.embed_items(items), strict=True):
        found[f"vector of item {item}"] = vector(values)
    known = [*model.item_ids_]
    of_catalog = model.item_embeddings_[[known.index(item) for item in items]]
    found["item_embeddings_ of three"] = vector(of_catalog)
    if model.user_ids_.dtype == object:
        past = {STRANGER: items[:2]}
        values = model.embed_users([STRANGER], history=past)
        found[f"vector of a stranger who chose {items[:2]}"] = vector(values)
    for context in asked.contexts:
        values = model.embed_users(users[:1], context=context)
        words = f"vector of user {users[0]} in the context {words_of(context)}"
        found[words] = vector(values)
    if getattr(model, "sparse_parts", None) is not None:
        values = model.embed_users(users[:1], sparse=True)
        found |= figures_of(f"the sparse vector of user {users[0]}", values)
        values = model.embed_items(items[:1], sparse=True)
        found |= figures_of(f"the sparse vector of item {items[0]}", values)
    return found


def features_of(model):
    """Return the features of the first candidates of a user."""
    table = in_pandas(model.candidate_features(model.user_ids_[:1]))[:4]
    return numbers_of_table("candidate", table)


def explanations_of(model):
    """Return what each reason adds to a score."""
    user, item = model.user_ids_[0], model.item_ids_[2]
    why = in_pandas(model.explain(user, item))
    found = {}
    for row in why.to_dict("records"):
        reason = f"{row['side']} {row['feature']}"
        added = next(row[name] for name in ("contribution", "added") if name in row)
        label = f"why {item} for user {user}: added by {reason}"
        # two events of one item have the same words
        found[label] = found.get(label, 0.0) + float(added)
    return found


# Files


def answers_of_files(model, asked):
    """Return the arrays of a file, and what is answered from it."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.sktt"
        for dtype in (*asked.written, "float32"):
            io.dump(model, path, vector_dtype=dtype)
            read = io.load(path, trusted=asked.trusted)
            table = read.recommend(read.user_ids_[:1], N_BEST)
            label = f"list of user {read.user_ids_[0]} from a file of {dtype}"
            found[label] = ranked(table, item_column(read))
        found |= arrays_of(path.read_bytes())
        if hasattr(model, "embed_users"):
            io.export_vectors(model, Path(folder) / "vectors.npz", sparse=False)
            with np.load(Path(folder) / "vectors.npz", allow_pickle=True) as exported:
                for name in exported.files:
                    if exported[name].dtype.kind == "f":
                        found |= figures_of(f"exported {name}", exported[name])
            if asked.is_served:
                found |= served_by(runtime.load(path), asked)
    return found


def arrays_of(data):
    """Return shape, type, sum and digest of each array of a file."""
    found = {}
    with zipfile.ZipFile(BytesIO(data)) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy"):
                continue
            array = np.load(BytesIO(archive.read(member)), allow_pickle=False)
            # "arrays/13.model.users.npy": the number only says the order
            name = member.removesuffix(".npy").partition(".")[2]
            found[f"array {name} of the file"] = f"{array.dtype} {array.shape}"
            digest = hashlib.sha256(array.tobytes()).hexdigest()[:8]
            found[f"digest of array {name} of the file"] = {"digest": digest}
            is_text = array.dtype == np.uint8  # such as an estimator of scikit-learn
            if array.dtype.kind in "fiu" and array.size and not is_text:
                total = float(np.abs(array.astype(float)).sum())
                found[f"sum of absolute values of array {name} of the file"] = total
    return found


def served_by(served, asked):
    """Return what a process answers that has numpy only."""
    users, items = some_of(served.user_ids_), some_of(served.item_ids_)
    past = {"history": items[:2]}
    requests = {
        f"user {users[0]}": (users[0], {}),
        f"user {users[2]}, chosen before {items[:2]}": (users[2], past),
        "a stranger": (STRANGER, {}),
        f"a stranger, chosen before {items[:2]}": (STRANGER, past),
    }
    if asked.diversity is not None:
        words = f"user {users[1]}, diversity {asked.diversity}"
        requests[words] = (users[1], {"diversity": asked.diversity})
    if asked.where is not None:
        words = f"user {users[0]} where {asked.where}"
        requests[words] = (users[0], {"where": asked.where})
    if asked.max_per is not None:
        limits = {"max_per": asked.max_per, "exclude_seen": False}
        requests[f"user {users[0]}, at most {asked.max_per}"] = (users[0], limits)
    for context in asked.contexts:
        words = f"user {users[0]} in the context {words_of(context)}"
        requests[words] = (users[0], {"context": context})
    found = {}
    for words, (user, request) in requests.items():
        if user is STRANGER and served.user_ids_.dtype != object:
            continue
        best, scores = served.recommend(user, N_BEST, **request)
        answer = {"ranked": [str(item) for item in best], "scores": vector(scores)}
        found[f"runtime: list of {words}"] = answer
    near, cosines = served.similar_items(items[0], N_BEST)
    answer = {"ranked": [str(item) for item in near], "scores": vector(cosines)}
    found[f"runtime: items similar to {items[0]}"] = answer
    scores = served.score(users[0], items)
    found[f"runtime: scores of user {users[0]}"] = vector(scores)
    found[f"runtime: vector of user {users[0]}"] = vector(served.embed(users[0]))
    return found
