"""Vectors of texts as a column: with or without words, and how they are treated.

Input: items with their texts, and which of them are known; a file of other vectors.
Output: rows of figures of withheld items, for each treatment.

TF-IDF and a truncated SVD stand in for a language model. A file of ``--vectors``, made
by ``encode.py``, holds what one has made of the texts. CiteULike-t has bags of words
only, the most frequent ones left out, and so no sentence for a model to read.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from _articles import articles, rows_of_words, table_of
from _common import PAIR, _online_retail, _read, shop
from _content import fit_content, scores_of
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import FunctionTransformer, normalize

from sktwotower import TowerVectorizer

N_NUMBERS = 384  # of the small models of sentence-transformers
WORDS, LARGE = "words", "words, default size"
VECTORS, WHITENED = "vectors", "vectors, whitened"
BOTH, BOTH_WHITENED = "words and vectors", "words and vectors, whitened"
BOTH_LARGE = "words and vectors, whitened, default size"
# 384 dense numbers make a step several times as long as words do.
SIZE = {"embedding_dim": 64, "max_epochs": 10}


class Described(NamedTuple):
    """Events, and a table of items sorted by ``item``.

    ``words`` is the whole text of an item, ``columns`` are those that ours gets.
    """

    events: pd.DataFrame
    items: pd.DataFrame
    columns: tuple = ("words",)


def described_articles(folder):
    """Return articles, with words of title and abstract."""
    return Described(*articles(folder))


def described_products(folder):
    """Return products of Online Retail with a description in capital letters."""
    items = shop().products.sort_values("product")
    items = items.rename(columns={"product": "item", "description": "words"})
    return Described(_online_retail(folder)[PAIR], items.reset_index(drop=True))


def described_films(folder):
    """Return rated films of MovieLens latest, with title, genres and year."""
    name = "ml-latest-small-2018"
    events, items = _read(folder, name)[PAIR], table_of(folder, name, "item")
    items = items[items["item"].isin(events["item"])].sort_values("item")
    genres = items["genres"].map(", ".join)
    items["words"] = items["title"] + ". " + genres
    return Described(events, items, ("title", "genres", "year"))


class Treatment(NamedTuple):
    """What a table has, how many numbers are whitened, and parameters."""

    has_words: bool
    has_vectors: bool = True
    n_whitened: int = 0
    params: dict = {}
    size: dict = SIZE


def stacked(column):
    """Return a column of vectors (n,) as an array (n, d)."""
    return np.stack(column.to_numpy())


AS_THEY_ARE = make_column_transformer(
    (TowerVectorizer(kinds={"item": "id"}), ["item"]),
    (FunctionTransformer(stacked), "vector"),
)
ALL_KEPT = {"net_params": {"iterator_train__feature_dropout": 0.0}}
TREATMENTS = {
    WORDS: Treatment(True, False),
    LARGE: Treatment(True, False, size={}),
    VECTORS: Treatment(False),
    WHITENED: Treatment(False, n_whitened=N_NUMBERS),
    BOTH: Treatment(True),
    BOTH_WHITENED: Treatment(True, n_whitened=N_NUMBERS),
    BOTH_LARGE: Treatment(True, n_whitened=N_NUMBERS, size={}),
    "vectors, not of length 1": Treatment(
        False, params={"item_transformer": AS_THEY_ARE}
    ),
    "vectors, whitened, 128 numbers": Treatment(False, n_whitened=128),
    "vectors, none hidden": Treatment(False, params=ALL_KEPT),
    "vectors, hidden layer": Treatment(False, params={"hidden_layer_sizes": (256,)}),
}
# Judged on test as well: today's default, and what is best in validation.
ON_TEST = WORDS, LARGE, VECTORS, WHITENED, BOTH, BOTH_WHITENED, BOTH_LARGE


def stand_in(words, known):
    """Return vectors (n, 384) of texts, fitted on those that are ``known`` (n,).

    Of fewer words than that, vectors have a number for each but one.
    """
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2).fit(words[known])
    n_numbers = min(N_NUMBERS, len(tfidf.vocabulary_) - 1)
    svd = TruncatedSVD(n_numbers, random_state=0).fit(tfidf.transform(words[known]))
    return svd.transform(tfidf.transform(words))


def read_vectors(file, items):
    """Return the vectors (n, d) of items in a file."""
    stored = np.load(file)
    places = {item: place for place, item in enumerate(stored["item"].tolist())}
    return stored["vector"][[places[item] for item in items["item"]]]


def source_of(items, known, own):
    """Return where vectors of items come from, and the vectors (n, d)."""
    if own.vectors:
        return own.vectors_name, read_vectors(own.vectors, items)
    return "TF-IDF and SVD", stand_in(items["words"], known)


def whitened(vectors, known, n_numbers=N_NUMBERS):
    """Return vectors (n, n_numbers) whose numbers are not correlated if ``known``.

    They are fewer where the vectors, or those that are known, are fewer.
    """
    n_numbers = min(n_numbers, *vectors[known].shape)
    pca = PCA(n_numbers, whiten=True, random_state=0).fit(vectors[known])
    return pca.transform(vectors)


def table_of_treatment(data, vectors, known, treatment):
    """Return the side table of items that a treatment asks for."""
    table = data.items[["item", *(data.columns if treatment.has_words else ())]]
    if not treatment.has_vectors:
        return table
    if treatment.n_whitened:
        vectors = whitened(vectors, known, treatment.n_whitened)
    return table.assign(vector=list(vectors.astype(np.float32)))


def profile_scores(part, items, rows):
    """Return scores (n_users, n_cold) by the sums of the ``rows`` that users chose.

    ``rows``: an array or a sparse matrix (n_items, d).
    """
    model = fit_content(part.train, items["item"].to_numpy(), rows)
    return scores_of(model, part.users, part.cold)


def rows_of_profiles(parts, data, own):
    """Yield a row of the profile of words and of each treatment, by part."""
    for name, part in parts.items():
        known = part.known(data.items)
        source, vectors = source_of(data.items, known, own)
        treated = {
            WORDS: rows_of_words(data.items),
            "vectors, not of length 1": vectors,
            VECTORS: normalize(vectors),
            WHITENED: normalize(whitened(vectors, known)),
        }
        for system, rows in treated.items():
            row = {"system": f"profile, {system}", "source": source, "part": name}
            scores = profile_scores(part, data.items, rows)
            yield row | part.figures(scores)


def rows_of_vectors(parts, data, own):
    """Yield a row for each part, treatment of vectors and seed.

    ``parts``: ``Articles`` by name, "validation" and "test".
    """
    for name, part in parts.items():
        known = part.known(data.items)
        source, vectors = source_of(data.items, known, own)
        for system, treatment in TREATMENTS.items():
            if name == "test" and system not in ON_TEST:
                continue
            table = table_of_treatment(data, vectors, known, treatment)
            for seed in range(own.seeds if system in ON_TEST else 1):
                row = {"system": system, "source": source, "part": name}
                found = part.of_ours(table, seed, **treatment.size | treatment.params)
                yield row | {"seed": seed} | found
