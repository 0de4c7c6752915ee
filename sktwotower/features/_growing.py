"""Columns for ids, levels, tags and words that come after fit.

Input: a fitted transformer, and further ids or rows (n, n_columns) of its table.
Output: one with more columns if it is a ``TowerVectorizer``, and where those of before
are now, positions (p,).
"""

import copy

import numpy as np

from ._cells import read_cells
from ._key_encoders import VocabularyEncoder
from ._tower_vectorizer import TowerVectorizer

__all__ = ["with_ids", "with_keys"]


def with_ids(transformer, width, column, ids):
    """Return a transformer with a column for each of the distinct ids (n,).

    ``width``: the number of its columns p. ``column``: that of the ids.

    Returns
    -------
    transformer
        The same one if it is not a ``TowerVectorizer``.
    places : int array of shape (p,)
    fresh : Index of shape (m,)
        The ids that got a column.
    """
    if not isinstance(transformer, TowerVectorizer):
        return transformer, np.arange(width), ids[:0]
    cells, _ = read_cells(ids.to_series(), column)
    fresh = np.zeros(len(ids), dtype=bool)

    def extended(position, encoder):
        nonlocal fresh
        if encoder.kind == "id" and encoder.name == column:
            encoder, fresh = encoder.extended(cells)
        return encoder

    transformer, places, _ = _grown(transformer, extended)
    return transformer, places, ids[fresh]


def with_keys(transformer, width, table):
    """Return a transformer with a column for each level, tag and word of a table.

    Those that ``min_frequency`` rows have get one, up to ``max_features``; none if
    there are hashed columns for them. ``width`` and the first two results are those of
    `with_ids`; the third one is the number of columns now.
    """
    if not isinstance(transformer, TowerVectorizer):
        return transformer, np.arange(width), width

    def grown(position, encoder):
        takes = isinstance(encoder, VocabularyEncoder) and encoder.kind != "id"
        if not takes or encoder.n_hashed:
            return encoder
        cells, _ = read_cells(table.iloc[:, position], encoder.name)
        return encoder.grown(cells) if len(cells) else encoder

    return _grown(transformer, grown)


def _grown(vectorizer, grow):
    """Return a vectorizer whose encoders are ``grow(position, encoder)``, and the rest.

    That is what `with_keys` returns. New columns follow the other keys of an encoder.
    """
    vectorizer, start = copy.copy(vectorizer), 0
    encoders, places = [], [np.zeros(0, dtype=int)]
    for position, before in vectorizer.encoders_:
        encoder = grow(position, before)
        own = start + np.arange(len(before.names))
        if encoder is not before:
            own[len(before.columns) :] += len(encoder.columns) - len(before.columns)
        places.append(own)
        encoders.append((position, encoder))
        start += len(encoder.names)
    vectorizer.encoders_ = encoders
    return vectorizer, np.concatenate(places), start
