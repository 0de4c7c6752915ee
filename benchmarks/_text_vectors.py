"""Vectors of texts as a column: with or without words, and how they are treated.

Input: articles with their words, and which of them are known; a file of other vectors.
Output: rows of figures of withheld articles, for each treatment.

TF-IDF and a truncated SVD stand in for a language model. A file of ``--vectors``, made
by numpy's ``savez(file, item=..., vector=...)``, holds what one has made of the words,
(n_items,) and (n_items, d). CiteULike-t has bags of words only, the most frequent ones
left out, and so no sentence for a model to read.
"""

from typing import NamedTuple

import numpy as np
from _baselines import _ones
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, normalize

from sktwotower import TowerVectorizer

# 384 dense numbers make a step several times as long as words do.
SIZE = {"embedding_dim": 64, "max_epochs": 10}
N_NUMBERS = 384  # of the small models of sentence-transformers
WORDS, VECTORS, WHITENED = "words", "vectors", "vectors, whitened"
BOTH, BOTH_WHITENED = "words and vectors", "words and vectors, whitened"


class Treatment(NamedTuple):
    """Which columns a table has, whether vectors are whitened, and parameters."""

    columns: tuple
    n_whitened: int = 0
    params: dict = {}


def stacked(column):
    """Return a column of vectors (n,) as an array (n, d)."""
    return np.stack(column.to_numpy())


AS_THEY_ARE = make_column_transformer(
    (TowerVectorizer(kinds={"item": "id"}), ["item"]),
    (FunctionTransformer(stacked), "vector"),
)
ALL_KEPT = {"net_params": {"iterator_train__feature_dropout": 0.0}}
TREATMENTS = {
    WORDS: Treatment(("words",)),
    VECTORS: Treatment(("vector",)),
    WHITENED: Treatment(("vector",), N_NUMBERS),
    BOTH: Treatment(("words", "vector")),
    BOTH_WHITENED: Treatment(("words", "vector"), N_NUMBERS),
    "vectors, not of length 1": Treatment(
        ("vector",), params={"item_transformer": AS_THEY_ARE}
    ),
    "vectors, whitened, 128 numbers": Treatment(("vector",), 128),
    "vectors, none hidden": Treatment(("vector",), params=ALL_KEPT),
    "vectors, hidden layer": Treatment(
        ("vector",), params={"hidden_layer_sizes": (256,)}
    ),
}
# Judged on test as well: today's default, and what is best in validation.
ON_TEST = WORDS, VECTORS, WHITENED, BOTH, BOTH_WHITENED


def stand_in(words, known):
    """Return vectors (n, 384) of texts, fitted on those that are ``known`` (n,)."""
    svd = TruncatedSVD(N_NUMBERS, random_state=0)
    steps = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), svd)
    return steps.fit(words[known]).transform(words)


def read_vectors(file, items):
    """Return the vectors (n, d) of articles in a file."""
    stored = np.load(file)
    places = {item: place for place, item in enumerate(stored["item"].tolist())}
    return stored["vector"][[places[item] for item in items["item"]]]


def table_of_treatment(items, vectors, known, treatment):
    """Return the side table of articles that a treatment asks for."""
    if treatment.n_whitened:
        pca = PCA(treatment.n_whitened, whiten=True, random_state=0)
        vectors = pca.fit(vectors[known]).transform(vectors)
    table = items[["item", "words"]].assign(vector=list(vectors.astype(np.float32)))
    return table[["item", *treatment.columns]]


def profile(part, items, rows):
    """Return the figures of the sums of the ``rows`` (n_items, d) that users chose."""
    ids = items["item"].to_numpy()
    users = np.unique(part.train["user"])
    places = np.searchsorted(users, part.train["user"])
    columns = np.searchsorted(ids, part.train["item"])
    past = _ones(places, columns, (len(users), len(ids)))
    past = past[np.searchsorted(users, part.users)]
    return part.figures((past @ rows) @ rows[np.searchsorted(ids, part.cold)].T)


def rows_of_profiles(parts, items):
    """Yield a row of the profile for each part and treatment of the stand-in."""
    for name, part in parts.items():
        known = part.known(items)
        vectors = stand_in(items["words"], known)
        pca = PCA(N_NUMBERS, whiten=True, random_state=0).fit(vectors[known])
        treated = {
            "vectors, not of length 1": vectors,
            VECTORS: normalize(vectors),
            WHITENED: normalize(pca.transform(vectors)),
        }
        for system, rows in treated.items():
            row = {"system": f"profile, {system}", "part": name}
            yield row | profile(part, items, rows)


def rows_of_vectors(parts, items, own):
    """Yield a row for each part, source of vectors, treatment and seed.

    ``parts``: ``Articles`` by name, "validation" and "test".
    """
    for name, part in parts.items():
        known = part.known(items)
        sources = {"TF-IDF and SVD": stand_in(items["words"], known)}
        if own.vectors:
            sources[own.vectors_name] = read_vectors(own.vectors, items)
        for source, vectors in sources.items():
            for system, treatment in TREATMENTS.items():
                if name == "test" and system not in ON_TEST:
                    continue
                if system == WORDS and source != "TF-IDF and SVD":
                    continue
                table = table_of_treatment(items, vectors, known, treatment)
                for seed in range(own.seeds if name == "test" else 1):
                    row = {"system": system, "source": source, "part": name}
                    found = part.of_ours(table, seed, **SIZE | treatment.params)
                    yield row | {"seed": seed} | found
