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


def reasons_of(described, rows, features, of_ids):
    """Return the reasons (nnz,) of a user, an item or the context of a request, a list.

    Parameters
    ----------
    described : Entities or RequestContext
    rows : CSR matrix of shape (1, p)
        Its feature row.
    features : array of shape (nnz,)
        The names of its features, which are the reasons of the time, and all reasons if
        the transformer is not a `TowerVectorizer`.
    of_ids : dict of str to str
        The reasons of columns by themselves, whatever is in their cells.
    """
    if not isinstance(described.transformer, TowerVectorizer):
        return list(features)
    found = features_in_words(described.transformer, rows.indices, rows.data)
    found = [of_ids.get(column, text) for column, text in found]
    return found + list(features[len(found) :])


def reasons_of_past(ids, names):
    """Return the reasons (n_past,) that are past items, a list."""
    return [f"chose {name_of(item, names)}" for item in ids]


def name_of(item, names):
    """Return the name of an item, or its id if it has none."""
    name = names.get(item)
    return str(item if name is None or name is pd.NA or name != name else name)
