"""A vectorizer of contexts, which has no entries for what is unknown of a request.

Input: a ``TowerVectorizer`` that was fitted on contexts of events.
Output: one without columns for missing and rare cells, and without columns of noise.
"""

import copy
from math import ceil

from sktwotower._tables._messages import warn

from ._key_encoders import LevelEncoder


def without_marks(vectorizer, columns, shares):
    """Return a TowerVectorizer that has no entries for missing and for rare cells.

    They would be known to training only: later, a context that is unknown and a level
    that fit has not seen have no entries either. Warn of ``columns`` that say nothing.
    ``shares`` (n_columns,): that of the events in which each is missing.
    """
    vectorizer = copy.copy(vectorizer)
    forced, kinds, encoders = vectorizer.kinds or {}, dict(vectorizer.kinds_), []
    for position, encoder in vectorizer.encoders_:
        finding = None if encoder.name in forced else _finding(encoder)
        if finding is None:
            encoders.append((position, _without_mark(encoder)))
            continue
        column, kinds[encoder.name] = columns[position], "drop"
        other = "number" if _has_numbers(encoder) else "text"
        warn(
            f"The context column {column!r} has {finding}, so that no value says "
            "anything of a later request; it is left out. Bin it, or set its kind: "
            f"TowerVectorizer(kinds={{{encoder.name!r}: {other!r}}})."
        )
    vectorizer._shares_missing = shares
    found = zip(columns, shares, vectorizer.kinds_.items(), strict=True)
    for column, share, (name, kind) in found:
        if kind == "drop" and name not in forced:
            state = "missing in all events" if share == 1 else "constant"
            warn(f"The context column {column!r} is {state}: it says nothing.")
    vectorizer.kinds_, vectorizer.encoders_ = kinds, encoders
    return vectorizer


def _finding(encoder):
    """Return why nothing can be learnt from the column of an encoder, or None."""
    if encoder.kind == "id":
        return "as many values as rows"
    if encoder.kind == "category" and not encoder.n_names - (encoder.other >= 0):
        return f"no value that {ceil(encoder.settings.min_count)} rows share"
    return None


def _has_numbers(encoder):
    """Return whether the keys of an encoder are numbers."""
    return bool(encoder.columns) and all(
        isinstance(key, int | float) for key in encoder.columns
    )


def _without_mark(encoder):
    """Return an encoder without the columns of missing cells and of rare levels."""
    encoder = copy.copy(encoder)
    if encoder.marks_missing:
        encoder.marks_missing, encoder.names = False, encoder.names[:-1]
    if isinstance(encoder, LevelEncoder) and encoder.other >= 0:
        encoder.names = encoder.names[: encoder.other]
        encoder.other = -1
    return encoder
