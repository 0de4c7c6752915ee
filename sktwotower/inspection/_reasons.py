"""The reasons of a recommendation, in words.

Input: features of a user or an item, and past items.
Output: one text per feature (nnz,) and per past item (n_past,).
"""

from collections.abc import Mapping

import pandas as pd

from sktwotower._tables._messages import shorten
from sktwotower.features import TowerVectorizer
from sktwotower.features._words import features_in_words

# The user's id, by what it adds to the past items.
TASTE = "taste not explained by the past"
# The rows that are neither features nor past items.
WORDS = {
    ("user", "(bias)"): "what all users have in common",
    ("item", "(bias)"): "what all items have in common",
    ("user", "(rest)"): "what no single reason explains",
    ("item", "(rest)"): "what no single reason explains",
    ("history", "(fold-in)"): "the past of a new user as a whole",
}


def names_of_items(items, names):
    """Return a dict of item id to its name; ``names`` as in `explain`."""
    if names is None:
        return {}
    if isinstance(names, Mapping):
        return names
    if isinstance(names, pd.Series):
        return names.to_dict()
    if not isinstance(names, str):
        got = type(names).__name__ if hasattr(names, "columns") else shorten(names)
        raise TypeError(
            "names must be a column of the side table items, or a dict or a pandas "
            f"Series of item id to name. Got {got}."
        )
    remedy = "Pass a dict of item id to name."
    return items.side_column(names, "names", remedy).to_dict()


def reasons_of_side(entities, query, features, names, sees_history):
    """Return the reasons (nnz,) of one user or item, the ``Query``, a list.

    ``features`` (nnz,): their names, which are the reasons if the transformer is not a
    `TowerVectorizer`.
    """
    if not isinstance(entities.transformer, TowerVectorizer):
        return list(features)
    rows = query.rows
    found = features_in_words(entities.transformer, rows.indices, rows.data)
    if entities.side == "item":
        of_id = f"{_name(query.ids[0], names)} itself"
    else:
        of_id = TASTE if sees_history else "this user's taste"
    return [of_id if column == entities.id_column else text for column, text in found]


def reasons_of_context(context, rows, features):
    """Return the reasons (nnz,) of the context of one request, CSR (1, p), a list.

    ``features`` (nnz,): their names, which are the reasons of the time.
    """
    own = rows.indices < context.own_width
    if not isinstance(context.transformer, TowerVectorizer):
        return list(features)
    found = features_in_words(context.transformer, rows.indices[own], rows.data[own])
    return [text for _, text in found] + list(features[~own])


def reasons_of_past(ids, names):
    """Return the reasons (n_past,) that are past items, a list."""
    return [f"chose {_name(item, names)}" for item in ids]


def _name(item, names):
    """Return the name of an item, or its id if it has none."""
    name = names.get(item)
    return str(item if name is None or name is pd.NA or name != name else name)
