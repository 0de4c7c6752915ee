"""The explanation of one score by features and past items.

Input: a fitted estimator, a user and an item.
Output: a table (n_rows, 5 or 6), one row per feature and past item.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from sktwotower._tables._arguments import hinted
from sktwotower._tables._messages import format_ids, shorten
from sktwotower._tables._output import in_library, library_for

from ._fitted_state import fitted_of
from ._requests import past_of, read_query, read_users

RANKER = "ranker"  # the side of a ranker's rows
COLUMNS = ["side", "feature", "value", "lag", "contribution", "reason"]
# The rows that are neither features nor past items.
WORDS = {
    ("user", "(bias)"): "what all users have in common",
    ("item", "(bias)"): "what all items have in common",
    ("user", "(rest)"): "what no single reason explains",
    ("item", "(rest)"): "what no single reason explains",
    ("history", "(fold-in)"): "the past of a new user as a whole",
    (RANKER, "(bias)"): "what is usual among this user's candidates",
}


@hinted
def explain(
    estimator, user, item, history=None, *, names=None, context=None
) -> pd.DataFrame:
    r"""Return how much each past item and each feature adds to the score of a pair.

    Parameters
    ----------
    estimator : recommender
        A fitted model. As a method of the model: left out.
    user : id, or dataframe of one row
        The user: an id, or a table with the id column and, optionally, all feature
        columns. An unknown user is described by these and by ``history``.
    item : id, or dataframe of one row
        The item, likewise; with ``names`` also its name, if no other item has it.
        `TwoTowerRecommender` and `ContentRecommender` take items unknown to fit, if
        they have features.
    history : dataframe, dict, list or None, default=None
        Events of this user that fit has not seen, as in `recommend`.
    names : str, dict or Series, default=None
        What people call the items, for the column ``reason``: the name of a column of
        the side table ``items``, or a dict or a pandas Series of item id to name. None,
        and for items without a name: their ids.
    context : dict, default=None
        What is known of the request, as in `recommend`. None: what the table ``user``
        says of it.

    Returns
    -------
    DataFrame
        One row per nonzero feature and past item, largest absolute contribution
        first. Columns: ``side`` ("user", "history", "item" or "context"; "ranker", see
        the notes), ``feature`` (its name, such as "genres_Action"; the id of a past
        item), ``value`` (of the feature; the weight of a past item: 1 / n of two
        towers, unless their order counts, otherwise 1), ``lag`` (only if their order
        counts: 1 for the user's latest time, 2 for the one before), ``contribution``
        and ``reason``, the feature in
        words: "taste not explained by the past" for the user's id, "chose Dune",
        "genres: Action". The contributions add up to the score, which tables of pandas
        also hold in ``attrs["score"]``. It is a table of the library of ``user``,
        ``item`` or ``history``, see `recommend`.

    Raises
    ------
    NotFittedError
        If fit has not been called.
    ValueError
        If there are several users or items, an item is unknown to fit (of two towers:
        and has no features), several items have the name, ``names`` is not a column of
        ``items``, there is a ``context`` and the model knows none, or a tower of your
        own has no gradient with respect to its input.
    TypeError
        If the user or the item is neither an id nor a table, or ``names`` is of another
        type.

    See Also
    --------
    TwoTowerRecommender.feature_importance : Recall lost without a column, over all
        users.
    TwoStageRecommender.feature_importance : NDCG lost without a group of features.

    Notes
    -----
    **Two towers.** The score is the product of two vectors, :math:`s = \langle a /
    |a|, c / |c| \rangle` (without the lengths unless ``normalize``), where a sums up
    the user's features and past items and c the item's features. Each side explains the
    whole score: with :math:`a = \sum_j x_j w_j`,

    .. math::
        s = \sum_j \langle x_j w_j / |a|, c / |c| \rangle

    and likewise for c. Each side is therefore given half of the score. The row
    "(bias)" of a side is the contribution of its constant. In a known context the half
    of the user is that of user, past and context together. The row "(fold-in)" of the
    history is the change by ``fold_in``, for a user without events in fit. What
    ``sparse_parts`` add to the score is added to the rows of the past items that it
    comes from, where the last event of an item counts for all.

    With hidden layers, and with towers of your own, a contribution is gradient times
    input, with the lengths held fixed. "(rest)" is the remainder of the half: the
    constants, and the nonlinear part of the tower. If it is large, the other rows
    explain little.

    **Baselines.** The score of item j is a sum over past items i, of :math:`B_{ij}` for
    `EASERecommender`, of :math:`w_i s_{ji}` for `ItemKNNRecommender` and
    `RP3betaRecommender`, and of what the filters of `GraphFilterRecommender` and
    `ChebyshevFilterRecommender` or the weights of `OrderedRidgeRecommender` make of
    item i; these are the contributions. Of `ContentRecommender` they are the
    similarities of the features; of `RepeatRecommender` the item itself has the whole
    score. Nothing of the user counts in popularity and in click rates: the score is one
    row "(bias)".

    **Two stages.** The first rows explain the ranker's score, the others that of the
    retriever. The notes of `TwoStageRecommender` say how.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower import TwoTowerRecommender
    >>> X = pd.DataFrame({
    ...     "reader": ["ann", "ann", "bob", "bob", "cid", "cid", "dan", "dan"],
    ...     "book": [1, 2, 1, 2, 3, 4, 3, 5],
    ... })
    >>> books = pd.DataFrame({"book": [1, 2, 3, 4, 5]})
    >>> books["genre"] = ["romance", "romance", "space", "space", "space"]
    >>> titles = {1: "Emma", 2: "Persuasion", 3: "Dune", 4: "Solaris", 5: "Ubik"}
    >>> model = TwoTowerRecommender(items=books, embedding_dim=16, random_state=0)
    >>> why = model.fit(X).explain("cid", 5, names=titles)

    Why Ubik, for a person, here side by side (the table begins with the largest
    contribution, and has it as a number):

    >>> in_words = why.sort_values(["side", "reason"])[["side", "reason"]]
    >>> print(in_words.to_string(index=False))
       side                          reason
    history                      chose Dune
    history                   chose Solaris
       item                     Ubik itself
       item                    genre: space
       item   what all items have in common
       user taste not explained by the past
       user   what all users have in common

    And for a program:

    >>> sorted(why.loc[why["side"] == "item", "feature"])
    ['(bias)', 'book_5', 'genre_space']
    >>> bool(abs(why["contribution"].sum() - why.attrs["score"]) < 1e-6)
    True

    What others who chose the same chose as well:

    >>> from sktwotower import ItemKNNRecommender
    >>> why = ItemKNNRecommender().fit(X).explain("cid", "Ubik", names=titles)
    >>> why[["reason", "contribution"]].round(2)
              reason  contribution
    0     chose Dune          0.71
    1  chose Solaris          0.00
    """
    fitted = fitted_of(estimator)
    names = names_of_items(fitted.items, names)
    owner = one_query(fitted, "user", user, context)
    chosen = one_query(fitted, "item", _id_of_name(item, names, fitted.items.ids))
    by_features = fitted.scores_new_items and fitted.items.has_features
    has_features = by_features and chosen.described is not None
    if chosen.codes[0] < 0 and not has_features:
        remedy = "Check the id and its type"
        if by_features:
            remedy += ", or pass a table of one row with its features"
        raise ValueError(
            f"The item {format_ids(chosen.ids)} is not known from fit. {remedy}."
        )
    past = past_of(fitted, owner, history)
    rows, score = fitted.explained(owner, chosen, past, names, estimator)
    table = _in_order(pd.concat(rows))
    table.attrs["score"] = float(score)
    return in_library(table, library_for(estimator, fitted, user, item, history))


def _id_of_name(item, names, ids):
    """Return the id of the only item with a name; ``item`` itself if none has it."""
    if not isinstance(item, str) or item in ids:
        return item
    with_name = [known for known in names if name_of(known, names) == item]
    if len(with_name) == 0:
        return item
    if len(with_name) > 1:
        raise ValueError(
            f"{len(with_name)} items have the name {item!r}: {format_ids(with_name)}. "
            "Pass the id of one of them."
        )
    return with_name[0]


def one_query(fitted, side, given, context=None):
    """Return the ``Query`` for one user, in a context, or item."""
    if given is None or isinstance(given, Mapping | set | frozenset):
        raise TypeError(
            f"{side} must be an id, or a table of one row. Got {shorten(given)}."
        )
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        given = [given]
    if side == "user":
        query = read_users(fitted, given, side, context)
    else:
        query = read_query(fitted.items, given, side, fitted.schema)
    if len(query) != 1:
        raise ValueError(
            f"{side} must be one {side}: an id, or a table of one row such as "
            f"table.iloc[[0]]. Got {len(query)}."
        )
    return query


def _in_order(table):
    """Return the rows of a table, those of a ranker first, then by contribution."""
    size = table["contribution"].abs().to_numpy()
    is_later = (table["side"] != RANKER).to_numpy()
    order = np.lexsort((-size, is_later))
    columns = [name for name in COLUMNS if name in table]
    return table[columns].iloc[order].reset_index(drop=True)


def rows_of_table(side, features, values, added, reasons=None):
    """Return rows of the table of `explain`, a DataFrame.

    ``reasons`` None: those in ``WORDS``, otherwise the features are in words already.
    """
    if reasons is None:
        reasons = [WORDS.get((side, feature), feature) for feature in features]
    return pd.DataFrame(
        {
            "side": side,
            "feature": pd.Series(list(features), dtype=object),
            "value": np.asarray(values, dtype=float),
            "contribution": np.asarray(added, dtype=float),
            "reason": pd.Series(reasons, dtype=object),
        }
    )


def rows_of_past(ids, values, added, names, lags):
    """Return rows of the table of past items; ``lags`` None: their order is not known.

    ``values`` (n_past,): their weights.
    """
    reasons = [f"chose {name_of(item, names)}" for item in ids]
    rows = rows_of_table("history", ids, values, added, reasons)
    if lags is not None:
        rows = rows.assign(lag=np.asarray(lags, dtype=float))
    return rows


def names_of_items(items, names):
    """Return a dict of item id to its name; ``names`` as in `explain`."""
    if names is None or isinstance(names, Mapping):
        return names or {}
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


def name_of(item, names):
    """Return the name of an item, or its id if it has none."""
    name = names.get(item)
    is_missing = name is None or name is pd.NA or name != name
    if is_missing:
        return str(item)
    return str(name)
