"""The explanation of one score by features and past items.

Input: a fitted model, a user and an item.
Output: a table (n_features + n_past, 5), one row per feature and past item.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from sktwotower._tables._messages import format_ids, shorten
from sktwotower._tables._output import in_library, library_for
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import past_of, read_query, read_users
from sktwotower.towers._sequence_batches import latest_events
from sktwotower.towers.parts import Pair, PastOfOne

from ._reasons import TASTE, WORDS, name_of, names_of_items, reasons_of, reasons_of_past

# Name of the row for what no feature and no past item explains: if a tower is linear it
# is the bias.
BIAS, REST = "(bias)", "(rest)"


def explain(
    estimator, user, item, history=None, *, names=None, context=None
) -> pd.DataFrame:
    r"""Return how much each past item and each feature adds to the score of a pair.

    Parameters
    ----------
    estimator : TwoTowerRecommender
        A fitted model. As a method of the model: left out.
    user : id, or dataframe of one row
        The user: an id, or a table with the id column and, optionally, all feature
        columns. An unknown user is described by these and by ``history``.
    item : id, or dataframe of one row
        The item, likewise. For an item unknown to fit, features are required.
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
        first. Columns: ``side`` ("user", "history", "item" or "context"), ``feature``
        (its name, such as "genres_Action"; the id of a past item), ``value`` (of the
        feature; the weight of a past item: 1 / n, or 1 if their order counts), ``lag``
        (only if their order counts: 1 for the user's latest time, 2 for the one
        before), ``contribution`` and ``reason``, the feature in words: "taste not
        explained by the past" for the user's id, "chose Dune", "genres: Action". The
        contributions add up to the score, which tables of pandas also hold in
        ``attrs["score"]``. It is a table of the library of ``user``, ``item`` or
        ``history``, see `recommend`.

    Raises
    ------
    NotFittedError
        If fit has not been called.
    ValueError
        If there are several users or items, an item unknown to fit has no features,
        ``names`` is not a column of ``items``, or a tower of your own has no gradient
        with respect to its input.
    TypeError
        If the user or the item is neither an id nor a table, or ``names`` is of another
        type.

    See Also
    --------
    TwoTowerRecommender.feature_importance : Recall lost without a column, over all
        users.

    Notes
    -----
    The score is the product of two vectors, :math:`s = \langle a / |a|, c / |c|
    \rangle` (without the lengths unless ``normalize``), where a sums up the user's
    features and past items and c the item's features. Each side explains the whole
    score: with :math:`a = \sum_j x_j w_j`,

    .. math::
        s = \sum_j \langle x_j w_j / |a|, c / |c| \rangle

    and likewise for c. Each side is therefore given half of the score. The row
    "(bias)" of a side is the contribution of its constant. In a known context the half
    of the user is that of user, past and context together. The row "(fold-in)" of the
    history is the change by ``fold_in``, for a user without events in fit.

    With hidden layers, and with towers of your own, a contribution is gradient times
    input, with the lengths held fixed. "(rest)" is the remainder of the half: the
    constants, and the nonlinear part of the tower. If it is large, the other rows
    explain little.

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
    """
    fitted, serving = fitted_of(estimator), estimator._serving()
    owner = _one(fitted, "user", user, context)
    chosen = _one(fitted, "item", item)
    if chosen.lacks_information()[0] and chosen.described is None:
        table = ", or pass a table of one row with its features"
        raise ValueError(
            f"The item {format_ids(chosen.ids)} is not known from fit. Check the id "
            f"and its type{table if fitted.items.has_features else ''}."
        )
    names = names_of_items(fitted.items, names)
    past = past_of(fitted, owner, history)
    table = _table(fitted, owner, past, chosen, serving, names)
    return in_library(table, library_for(estimator, fitted, user, item, history))


def _one(fitted, side, given, context=None):
    """Return the ``Query`` for one user, in a context, or item."""
    if given is None or isinstance(given, Mapping | set | frozenset):
        raise TypeError(
            f"{side} must be an id, or a table of one row. Got {shorten(given)}."
        )
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    given = given if several else [given]
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


def _table(fitted, owner, past, chosen, serving, names):
    """Return the table of contributions; ``past``: past items, CSR (1, n_items)."""
    items = fitted.items
    with threads(serving.n_jobs):
        vector = None
        if serving.fold_in and len(fitted.fold_in_rows(owner, past)):
            vector = fitted.without_context(owner, past, serving)[0]
        seen, lags = _past_events(fitted, past)
        last = ~pd.Series(seen).duplicated(keep="last").to_numpy()
        of_past = PastOfOne(items.rows[seen], lags, last)
        context = None
        if owner.asked is not None:
            context = fitted.context_rows(owner.asked, past.latest)
        pair = Pair(owner.rows, of_past, chosen.rows, vector, context)
        contributions = fitted.model.contributions(pair)
    rows = _rows_of_sides(fitted, owner, chosen, contributions, names)
    weights = np.full(len(seen), 1 / max(1, len(seen)) if lags is None else 1.0)
    past_ids = items.ids[seen]
    chose = reasons_of_past(past_ids, names)
    rows.append(_part("history", past_ids, weights, contributions.history, chose))
    if context is not None:
        rows.append(_part_of(fitted.context, context, contributions, {}))
    if vector is not None:
        rows.append(_part("history", ["(fold-in)"], [1.0], [contributions.fold_in]))
    table = pd.concat(rows, ignore_index=True)
    if lags is not None:
        table.insert(3, "lag", np.nan)
        table.loc[(table["side"] == "history").to_numpy(), "lag"] = lags
    order = np.argsort(-table["contribution"].abs().to_numpy(), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    table.attrs["score"] = contributions.score
    return table


def _rows_of_sides(fitted, owner, chosen, contributions, names):
    """Return the rows of the user's and the item's features, a list of tables."""
    taste = "this user's taste" if fitted.history_kind is None else TASTE
    itself = f"{name_of(chosen.ids[0], names)} itself"
    tables = []
    for entities, query, reason in (
        (fitted.users, owner, taste),
        (fitted.items, chosen, itself),
    ):
        side, of_ids = entities.side, {entities.id_column: reason}
        tables.append(_part_of(entities, query.rows, contributions, of_ids))
        # what belongs to no feature
        linear = all(part.is_linear(side) for part in fitted.model.parts)
        remainder = getattr(contributions, f"{side}_rest")
        tables.append(_part(side, [BIAS if linear else REST], [1.0], [remainder]))
    return tables


def _part_of(described, rows, contributions, of_ids):
    """Return the rows of the table that are of the features in one feature row.

    The parameters are those of `reasons_of`.
    """
    side, names = described.side, described.feature_names()
    if names is None:
        names = [f"{side}_{i}" for i in range(rows.shape[1])]
    features = np.asarray(names, dtype=object)[rows.indices]
    reasons = reasons_of(described, rows, features, of_ids)
    return _part(side, features, rows.data, getattr(contributions, side), reasons)


def _past_events(fitted, past):
    """Return items (n_past,) of the one user's past, and their lags or None."""
    kind, events = fitted.history_kind, past.input
    if kind == "recent":
        limit = fitted.model.max_history
        events = events if limit is None else latest_events(events, limit)
        return events.indices, events.data
    return events.indices if kind == "pooled" else events.indices[:0], None


def _part(side, features, values, added, reasons=None):
    """Return rows of the table; ``reasons`` None: the features are none of the data."""
    if reasons is None:
        reasons = [WORDS[side, feature] for feature in features]
    return pd.DataFrame(
        {
            "side": side,
            "feature": pd.Series(list(features), dtype=object),
            "value": np.asarray(values, dtype=float),
            "contribution": np.asarray(added, dtype=float),
            "reason": pd.Series(reasons, dtype=object),
        }
    )
