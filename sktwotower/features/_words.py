"""Features in words that a person understands.

Input: a fitted `TowerVectorizer`, and the stored entries (nnz,) of one feature row.
Output: for each of them, the name of its column and a text, such as "genres: Action".
"""

import numpy as np

from sktwotower.runtime._cell_encoders import CLIP

from ._value_encoders import BinEncoder

PARTS_OF_DATES = {
    "age": "how long ago",
    "month_sin": "time of the year",
    "month_cos": "time of the year",
    "weekday_sin": "day of the week",
    "weekday_cos": "day of the week",
}


def features_in_words(vectorizer, columns, values):
    """Return (name of the column, text) for entries of a feature row, a list.

    ``columns`` and ``values`` (nnz,): positions among the features, which ascend, and
    what is there. Entries after the last feature are left out.
    """
    encoders = [encoder for _, encoder in vectorizer.encoders_]
    starts = np.cumsum([0, *(len(encoder.names) for encoder in encoders)])
    n_own, found = np.searchsorted(columns, starts[-1]), []
    for column, value in zip(columns[:n_own], values[:n_own], strict=True):
        block = np.searchsorted(starts, column, side="right") - 1
        encoder, place = encoders[block], column - starts[block]
        found.append((encoder.name, f"{encoder.name}: {_text(encoder, place, value)}"))
    return found


def _text(encoder, place, value):
    """Return what a value in one of the columns of an encoder means."""
    if encoder.marks_missing and place == len(encoder.names) - 1:
        return "missing"
    if isinstance(encoder, BinEncoder):
        return _bin(encoder.edges, place)
    if encoder.kind == "boolean":
        return "yes" if value > 0 else "no"
    if encoder.kind == "datetime":
        return _date(encoder, place, value)
    if encoder.kind == "number":
        return _unscaled(value, encoder.scale, _short, ("or less", "or more"))
    if encoder.kind == "vector":
        return f"entry {place} of the vector"
    return _key(encoder, place)


def _key(encoder, place):
    """Return the name of a level, a tag or a word."""
    if place >= len(encoder.columns):
        return "a rare or a new one"
    name = encoder.names[place]
    return f'"{name}"' if encoder.kind == "text" else name


def _date(encoder, place, value):
    name = encoder.names[place]
    if name in PARTS_OF_DATES:
        return PARTS_OF_DATES[name]
    return _unscaled(2 * value, encoder.days_scale, _day, ("or earlier", "or later"))


def _bin(edges, place):
    """Return the limits of a bin."""
    if len(edges) == 0:
        return "any number"
    if place == 0:
        return f"less than {_short(edges[0])}"
    if place == len(edges):
        return f"{_short(edges[-1])} or more"
    return f"{_short(edges[place - 1])} to {_short(edges[place])}"


def _unscaled(score, scale, write, ends):
    """Return the number, or date, of a clipped robust score."""
    text = write(score * scale[1] + scale[0])
    if abs(score) < CLIP:
        return text
    return f"{text} {ends[int(score > 0)]}"


def _short(number):
    return f"{number:.6g}"


def _day(days):
    try:
        return str(np.datetime64(round(days * 24), "h").astype("M8[D]"))
    except OverflowError:
        return "a date"
