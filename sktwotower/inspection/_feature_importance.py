"""The importance of columns: the recall that a fitted model loses without each.

Input: a fitted model and held-out events X (n_events, n_columns).
Output: a table (n_user_columns + n_item_columns + 1, 5), one row per column.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._messages import check_count, did_you_mean
from sktwotower._tables._output import in_library, library_for
from sktwotower._tables._schema import read_table
from sktwotower._tables._sparse import rows_of, slices
from sktwotower.features._transformers import blocks_of, without_entries
from sktwotower.metrics import HeldOutRanking
from sktwotower.metrics._groups import GroupRanking, everyone
from sktwotower.metrics._held_out import read_held_out
from sktwotower.metrics._hits import table_of_losses
from sktwotower.metrics._truth import columns_of_fit
from sktwotower.neighbors._threads import threads
from sktwotower.neighbors._top_k import top_k
from sktwotower.retrieval._fitted_state import fitted_of
from sktwotower.retrieval._requests import Query
from sktwotower.towers.parts import embed_items, embed_users, in_context
from sktwotower.towers.sparse_parts import users_at_once

HISTORY = "history"
CONTEXT = "context"
# Relative to the largest value: fit_transform and transform may differ by rounding.
TOLERANCE = 1e-3


def feature_importance(
    estimator,
    X,
    y=None,
    *,
    groups=None,
    n_neighbors=None,
    max_users=None,
    random_state=None,
) -> pd.DataFrame:
    """Return how much recall the fitted model loses without each column.

    The whole catalog is ranked for the users of held-out events, as in `score`, with
    all columns and with one column removed at a time. The model is not refitted.

    Parameters
    ----------
    estimator : TwoTowerRecommender
        A fitted model. As a method of the model: left out.
    X : dataframe or array-like of shape (n_events, n_columns)
        Held-out events with the columns of fit.
    y : array-like of shape (n_events,), default=None
        As in `fit`; only events with y > 0 are to be found.
    groups : dict of str to list of str, default=None
        Name -> columns of users, items or context, or "history", that are dropped
        together instead of one by one. A column that users and items both have is
        dropped from both. None: each column on its own.
    n_neighbors : int, default=None
        Number of items that count, >= 1. None: the constructor's.
    max_users : int, default=None
        Size of a random sample of users, or requests of a model with context, the same
        for all columns. None: all.
    random_state : int, RandomState instance or None, default=None
        Draws the sample.

    Returns
    -------
    DataFrame
        One row per column of the users, the items and the context, the ids among
        them, and one for the history; the largest loss first. Columns: ``side``
        ("user", "item", "history", "context"; joined by "+" for a group of several),
        ``column`` (or the name of a group), ``recall_lost`` (mean over users of the
        recall with all columns minus the recall without this one), ``lower`` and
        ``upper`` (its 95 % interval, from the standard error of the users'
        differences). It is a table of the library of X, see `recommend`. ``attrs``,
        which only tables of pandas have, holds the ``recall`` with all columns and
        ``n_neighbors``.

    Raises
    ------
    NotFittedError
        If fit has not been called.
    ValueError
        If X has no positive event, ``groups`` names unknown columns, or a transformer
        mixes columns and fails if one of them is missing.
    TypeError
        If ``groups`` is not a dict of lists, or ``estimator`` is another recommender.

    See Also
    --------
    TwoTowerRecommender.explain : Contributions to the score of one pair.
    sktwotower.plots.FeatureImportanceDisplay : A picture of the table.

    Notes
    -----
    A column is dropped by setting the outputs of `TowerVectorizer` or
    `ColumnTransformer` for it to zero. With other transformers, the column's cells are
    set to missing and the table is transformed again; all columns of the context are
    then one row, "context". A column dropped from the items is also dropped from the
    past items in the users' histories.

    The figures show which columns this model uses, not the recall of a fit without
    them: if two columns hold the same information, either can replace the other.

    A model with ``context`` ranks for each distinct request, as in `score`; requests of
    one user count as one cluster in the interval.

    The search is exact, regardless of ``neighbors``. The time is that of `score` times
    the number of columns.

    Examples
    --------
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.datasets import make_interactions
    >>> made = make_interactions(100, 50, n_clusters=3, random_state=0)
    >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
    >>> model = TwoTowerRecommender(
    ...     items=made.item_table, max_epochs=15, random_state=0
    ... )
    >>> model.fit(X).feature_importance(held_out).round(2).head(1)
          side   column  recall_lost  lower  upper
    0  history  history         0.34   0.27   0.42
    """
    table = lost_recalls(
        estimator,
        X,
        y,
        groups=groups,
        n_neighbors=n_neighbors,
        max_users=max_users,
        random_state=random_state,
    )
    return in_library(table, library_for(estimator, fitted_of(estimator), X))


def lost_recalls(estimator, X, y, *, groups, n_neighbors, **sample):
    """Return the table of `feature_importance`, which has its parameters, of pandas."""
    fitted = fitted_of(estimator)
    if not hasattr(estimator, "embed_users"):
        got = f"Got {type(estimator).__name__}, which has no towers."
        raise TypeError(f"estimator must be a TwoTowerRecommender. {got}")
    if n_neighbors is None:
        n_neighbors = estimator.n_neighbors
    k = check_count(n_neighbors, "n_neighbors")
    dropped = _to_drop(fitted, groups)
    given = columns_of_fit(estimator, X)
    frame, _ = read_table(type(estimator).__name__, given, fitted.schema)
    sample["exclude_seen"] = estimator.exclude_seen
    held_out = read_held_out(fitted, frame, y, **sample)
    _, _, judged = held_out
    features = frame.iloc[judged.last_rows][fitted.users.features]
    rows = []
    with threads(estimator.n_jobs):
        complete = _recalls(fitted, held_out, features, k, {})
        for name, columns in dropped:
            recalls = _recalls(fitted, held_out, features, k, columns, complete)
            sides = "+".join(side for side in columns if columns[side])
            rows.append((sides, name, complete - recalls, judged.users))
    return table_of_losses(rows, ["side", "column"], "recall", complete, k)


def _to_drop(fitted, groups):
    """Return (name, columns by side) of each column or group to drop."""
    known = {"user": _columns_of(fitted.users), HISTORY: []}
    if fitted.model.sees_past:
        known[HISTORY] = [HISTORY]
    known["item"] = _columns_of(fitted.items)
    removable = {side: {name: [name] for name in known[side]} for side in known}
    known[CONTEXT] = []
    removable[CONTEXT] = {}
    if fitted.context is not None:
        known[CONTEXT] = fitted.context.all_columns
        removable[CONTEXT] = fitted.context.removable()
    given = _check_groups(groups, known)
    taken = {column for columns in given.values() for column in columns}
    to_drop = []
    for name, columns in given.items():
        by_side = {}
        for side, known_of_side in known.items():
            by_side[side] = [column for column in columns if column in known_of_side]
        to_drop.append((name, by_side))

    # all other columns one by one
    for side, removable_of_side in removable.items():
        for name, columns in removable_of_side.items():
            if taken.isdisjoint(columns):
                to_drop.append((name, {side: columns}))
    return to_drop


def _recalls(fitted, held_out, features, k, columns, complete=None):
    """Return the recalls (m,) of users without some ``columns``, a dict by side.

    ``held_out``: as returned by ``read_held_out``. ``features``: those of the users in
    X, (m, n_features). ``complete``: the recalls with all columns, returned if no
    feature row changes.
    """
    owners, past_of_owners, judged = held_out
    catalog = fitted.items
    everything = Query(catalog.ids, np.arange(len(catalog)), catalog.rows[:-1])
    users = _rows_without(fitted.users, owners, columns.get("user", ()), features)
    items = _rows_without(catalog, everything, columns.get("item", ()))
    changed = users is not owners.rows or items is not everything.rows
    past = None
    if fitted.model.sees_past:
        past = past_of_owners.input
    if columns.get(HISTORY):
        past = past * 0
        past.eliminate_zeros()
        changed = True
    known = fitted.context_rows(owners.asked, past_of_owners.latest, len(owners))
    context = known
    if known is not None:
        context = fitted.context.without_columns(known, columns.get(CONTEXT, ()))
        changed |= context is not known
    if complete is not None and not changed:
        return complete

    # the best items, by exact search
    model = fitted.model
    codes = np.arange(fitted.n_items)
    vectors = fitted.weighted(embed_items(model, items[: len(codes)]), codes)
    n_users = users.shape[0]
    indices = np.empty((n_users, min(k, fitted.n_items)), dtype=np.int64)
    for block in slices(n_users, users_at_once(len(codes))):
        block_past = rows_of(past, block)
        queries = embed_users(model, users[block], block_past, items)
        long_before = None
        if past_of_owners.long_before is not None:
            long_before = past_of_owners.long_before[block]
            n_past = np.zeros(len(queries), dtype=np.int64)
            if past is not None:
                n_past = np.diff(block_past.indptr)
            queries = fitted.as_asked(queries, n_past, long_before)
        if context is not None:
            queries = in_context(model, queries, context[block])
        added = None
        if past is not None:
            added = model.added(block_past, len(codes), long_before)
        hidden = rows_of(judged.seen, block)
        _, indices[block] = top_k(
            queries, vectors, indices.shape[1], hidden, added=added
        )
    ranking = HeldOutRanking(indices=indices, **judged)
    return GroupRanking(ranking, everyone(ranking)).values("recall", k)


def _check_groups(groups, known):
    """Return groups of columns after checks; ``known``: the columns of each side."""
    if groups is None:
        return {}
    if not isinstance(groups, Mapping):
        expected = "a dict of lists of columns"
        raise TypeError(f"groups must be {expected}. Got {type(groups).__name__}.")
    names = [column for columns in known.values() for column in columns]
    given = {}
    for name, columns in groups.items():
        if isinstance(columns, str | bytes) or not isinstance(columns, Iterable):
            raise TypeError(
                f"groups must map each name to a list of columns. Got {columns!r} for "
                f"{name!r}; write [{columns!r}] for a single column."
            )
        given[name] = list(columns)
        unknown = [column for column in given[name] if column not in names]
        if unknown or not given[name]:
            got = "Got no column"
            if unknown:
                got = f"Got {unknown[0]!r}"
            hint = ""
            if unknown:
                hint = did_you_mean(unknown[0], names)
            raise ValueError(
                f"groups must name columns of the users or the items, which are "
                f"{names}. {got} in {name!r}.{hint}"
            )
    return given


def _columns_of(entities):
    """Return the names of the columns in the transformer's input, id column first."""
    return [entities.label, *entities.features, *entities.side_features]


def _rows_without(entities, query, columns, features=None):
    """Return the feature rows (n, p) of a ``Query`` without the effect of some columns.

    If it is known which outputs of the transformer come from these columns, they are
    set to zero. Otherwise the cells of the columns are set to missing and the table is
    transformed again. ``features``: those of the query in X, (n, n_features), if
    available. If the columns have no effect, ``query.rows`` itself is returned.
    """
    if not columns:
        return query.rows
    names = _columns_of(entities)
    positions = [names.index(column) for column in columns]
    blocks = blocks_of(entities.transformer)
    if blocks is None:
        return _transformed_without(entities, query, columns, features)
    dropped = np.zeros(query.rows.shape[1], dtype=bool)
    for inputs, outputs in blocks:
        is_dropped = np.isin(inputs, positions)
        if is_dropped.any() and not is_dropped.all():  # encoded with others
            return _transformed_without(entities, query, columns, features)
        dropped[outputs] |= is_dropped.all()
    return without_entries(query.rows, dropped[query.rows.indices])


def _transformed_without(entities, query, columns, features):
    """Return the feature rows of a ``Query`` of which some cells are missing."""
    side = entities.side
    if features is None and entities.features:
        raise ValueError(
            f"Cannot remove {columns[0]!r}: {side}_transformer encodes columns of X "
            f"together, and those of {side}s are not kept after fit. Use "
            f"TowerVectorizer, ColumnTransformer or a side table, {side}s=..."
        )
    # in a table without names, fit names the id column itself
    names = {entities.label: entities.id_column}
    columns = [names.get(column, column) for column in columns]
    if features is None:
        features = pd.DataFrame(index=range(len(query)))
    _check_table(entities, query, features)
    try:
        return _transformed(entities, query, features, columns)
    except Exception as error:
        raise ValueError(
            f"Cannot remove {columns}: {side}_transformer encodes columns together, "
            "and it fails if these cells are missing. Let it impute them, or use "
            f"TowerVectorizer or ColumnTransformer. The error was: {error}"
        ) from error


def _transformed(entities, query, features, columns):
    """Return the feature rows of a ``Query``, transformed again without columns."""
    rows = entities.describe_without(query.ids, features, columns)
    if entities.features:
        return rows
    known = sparse.diags((query.codes >= 0).astype(np.float32))
    return sparse.csr_matrix(known @ rows)  # rows of unknown ids were empty before


def _check_table(entities, query, features):
    """Raise if the query's rows come from another table than that of fit."""
    largest = 0.0
    if query.rows.nnz:
        largest = abs(query.rows).max()
    try:
        rows_now = _transformed(entities, query, features, [])
        error = abs(query.rows - rows_now).max()
    except ValueError:  # ids of the query may be missing from the table of fit
        error = np.inf
    if error > TOLERANCE * max(1.0, largest):
        side = entities.side
        raise ValueError(
            f"The features of the {side}s differ from those in the table of fit, and "
            f"{side}_transformer encodes columns together. Fit with the current table, "
            "or use TowerVectorizer or ColumnTransformer."
        )
