"""The ground truth of held-out events: their users and relevant items.

Input: held-out events X (n_events, n_columns) and the ids of a catalog (n_items,).
Output: users (n_users,), their relevant items and their past items (n_users, n_items);
a row for each request, if users have several.
"""

from functools import partial

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import Bunch, check_random_state

from sktwotower._tables._columns import as_table, codes_of_rows, column_position
from sktwotower._tables._frames import as_frame, is_frame
from sktwotower._tables._ids import check_ids, known_positions
from sktwotower._tables._messages import check_count, format_ids, refuse_misspelled
from sktwotower._tables._outcomes import outcomes
from sktwotower._tables._ratings import warn_of_rated_hits
from sktwotower._tables._sparse import column_counts, with_empty_row
from sktwotower.retrieval._fitted_state import state_of


def held_out_truth(
    X,
    y=None,
    sample_weight=None,
    *,
    item_ids,
    user_ids=None,
    seen=None,
    user_id=None,
    item_id=None,
    exclude_seen=True,
    max_users=None,
    random_state=None,
    requests=None,
) -> Bunch:
    """Return all parts of a `HeldOutRanking` except ranked items and their vectors.

    A wrapper around another library calls this in its ``rank_held_out``.

    Parameters
    ----------
    X : dataframe or array-like of shape (n_events, n_columns)
        Held-out events.
    y : array-like of shape (n_events,), default=None
        Outcome of each event; positives are those > 0. None: all are positive.
    sample_weight : array-like of shape (n_events,), default=None
        Weight of each event within its user's recall; those with weight 0 are left out.
        None: each relevant item counts once, however often it occurs.
    item_ids : array of shape (n_items,)
        Ids of the catalog, distinct: ``item_ids_`` of the wrapper.
    user_ids : array of shape (n_known_users,), default=None
        Ids of the rows of `seen`, distinct. Needed with `seen`.
    seen : sparse matrix of shape (n_known_users, n_items), default=None
        Nonzero where a user has an item in the training events. None: not known; then
        popularity and the groups of `retrieval_report` are not known, either.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    exclude_seen : bool, default=True
        Whether the ranking will leave out the training items of a user.
    max_users : int, default=None
        Judge a random sample of this many users, or requests, >= 1. None: all.
    random_state : int, RandomState instance or None, default=None
        Draws the sample.
    requests : str, int or list of them, default=None
        Columns of X (or their positions) that tell the requests of a user apart: each
        distinct combination of user and these columns is a row of its own, judged by
        its own events. None: each user is one row.

    Returns
    -------
    judged : Bunch
        The parameters of `HeldOutRanking`, by name, without `indices` and
        `item_vectors`. ``users`` are sorted, the requests of a user in the order of
        their first positive event; ``seen`` holds the items that the ranking should
        leave out: the user's training items, except those that are relevant in the row.

    Raises
    ------
    ValueError
        If X has no positive event, ids are missing, a column is not found, ids in
        `item_ids` or `user_ids` are not distinct, `seen` does not fit to them, or
        `max_users` < 1.
    TypeError
        If ids are of mixed types, `max_users` is not an integer, or a column of
        `requests` holds lists.

    Warns
    -----
    UserWarning
        If no item of X is in `item_ids`, or no user in `user_ids`, because their ids
        have another type.

    See Also
    --------
    HeldOutRanking : The value that ``rank_held_out`` returns, with an example of a
        wrapper.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower.metrics import held_out_truth
    >>> X = [["ann", "tea"], ["ann", "egg"], ["bob", "jam"]]
    >>> judged = held_out_truth(X, item_ids=["egg", "ham", "tea"], user_ids=["ann"],
    ...                         seen=np.array([[0, 1, 1]]))
    >>> judged.users.tolist()
    ['ann', 'bob']
    >>> judged.truth.toarray()
    array([[1., 0., 1.],
           [0., 0., 0.]])
    >>> judged.seen.toarray()  # tea is to be found: it is not left out
    array([[False,  True, False],
           [False, False, False]])
    >>> judged.n_unreachable.tolist()  # jam is not in the catalog
    [0, 1]

    What ann chooses in the morning and in the evening is to be found by two rankings:

    >>> X = [["ann", "tea", 8], ["ann", "egg", 8], ["ann", "ham", 20]]
    >>> judged = held_out_truth(X, item_ids=["egg", "ham", "tea"], requests=[2])
    >>> judged.users.tolist()
    ['ann', 'ann']
    >>> judged.truth.toarray()
    array([[1., 0., 1.],
           [0., 1., 0.]])
    """
    frame, users, items = ids_of_rows(X, user_id, item_id)
    catalog = _distinct(item_ids, "item_ids")
    if seen is None:
        seen = sparse.csr_matrix((0, len(catalog)))
    if user_ids is None:
        user_ids = []
    known = _distinct(user_ids, "user_ids")
    seen = sparse.csr_matrix(seen, copy=True)
    seen.eliminate_zeros()
    if seen.shape != (len(known), len(catalog)):
        raise ValueError(
            "seen must have one row for each of user_ids and one column for each of "
            f"item_ids, shape {(len(known), len(catalog))}. Got {seen.shape}."
        )
    seen = with_empty_row(seen)  # for unknown users
    encode = partial(
        known_positions,
        known=catalog,
        name=f"column {items.name!r} of X",
        source="item_ids",
    )
    judged = judge(
        users,
        items,
        encode,
        len(catalog),
        y,
        sample_weight,
        max_users=max_users,
        random_state=random_state,
        contexts=codes_of_rows(frame, requests, "requests"),
    )
    name = f"column {users.name!r} of X"
    owners = check_ids(judged.users, "the users of X")
    past = seen[known_positions(owners, known, name, "user_ids")]
    judged.update(fields_of_past(seen, past, judged.truth, exclude_seen))
    return judged


def ids_of_rows(X, user_id, item_id):
    """Return X as a DataFrame, and the users and items of its rows, two Indexes.

    ``user_id`` and ``item_id`` name their columns; None: the first two.
    """
    if is_frame(X):
        frame = as_frame(X, "X")
    else:
        frame = pd.DataFrame(as_table(X))
    frame = frame.infer_objects()
    ids = []
    for place, (side, key) in enumerate([("user", user_id), ("item", item_id)]):
        column = frame.iloc[:, column_position(frame, key, place, f"{side}_id")]
        ids.append(check_ids(column, f"the {side}s of X").rename(column.name))
    return frame, *ids


def columns_of_fit(estimator, X):
    """Return a dataframe without columns that fit has not seen, other X as they are.

    If a column is missing that is needed, nothing is left out: the error names both.
    Raise if a column of the context is missing: held-out events have all of them.
    """
    names = getattr(estimator, "feature_names_in_", None)
    schema = None
    context = ()
    fitted = state_of(estimator)
    if fitted is not None:
        schema = fitted.schema
        context = fitted.event_context
    if names is None or not is_frame(X):
        # of nameless columns only the time may be missing
        if schema is not None and schema.time in context and schema.lacks_time(X):
            raise ValueError(_without_context(schema.time, "fill its place with nan"))
        return X
    frame = as_frame(X, "X")
    further = [name for name in frame.columns if name not in {*names}]
    optional = {*context}
    if schema is not None:
        optional |= {schema.time, *schema.context}
    missing = [name for name in names if name not in frame.columns]
    if not {*missing} <= optional:
        return X
    refuse_misspelled(further, missing, "column", "X")
    lost = [name for name in missing if name in context]
    if lost:
        remedy = f"X.assign(**{{{lost[0]!r}: None}}), in pandas"
        raise ValueError(_without_context(lost[0], remedy))
    if not further:
        return X
    return frame.drop(columns=further)


def _without_context(name, remedy):
    """Return the message about a column of the context that X lacks."""
    return (
        f"X lacks the context column {name!r} of fit. Held-out events have it: without "
        "it, they are not judged in the requests that were made. Pass the column. To "
        "score the model as if it were unknown, set it to missing: "
        f"{remedy}."
    )


def judge(
    users,
    items,
    encode,
    n_items,
    y,
    sample_weight,
    *,
    contexts=None,
    max_users=None,
    random_state=None,
):
    """Return the fields of a `HeldOutRanking` that held-out events determine, a Bunch.

    ``users`` and ``items`` are Series or Indexes (n_events,). ``encode`` maps items to
    positions; those outside of 0 .. n_items - 1 are not in the catalog. ``contexts``
    (n_events,): integers that tell the requests of a user apart; None: there is one.
    """
    rewards, weights = outcomes(y, sample_weight, len(users))
    warn_of_rated_hits(rewards)
    names = "events not positive", "users without a positive event"
    left_out = _left_out(users, rewards * weights > 0, names)
    positive = np.flatnonzero(rewards * weights > 0)
    rows, ids = pd.factorize(users.take(positive), sort=True)
    requests = None
    name = "users"
    if contexts is not None:
        name = "requests"
        rows, users_of_requests, requests = _by_request(rows, contexts[positive])
        ids = ids[users_of_requests]

    # a sample of the users, or of the requests
    sampled = sample_of(len(ids), max_users, "max_users", random_state)
    if len(sampled) < len(ids):
        sampled_rows = pd.Index(sampled).get_indexer(rows)
        is_sampled = sampled_rows >= 0
        names = f"events of {name} not sampled", f"{name} not sampled"
        left_out |= _left_out(pd.Series(rows), is_sampled, names)
        rows = sampled_rows[is_sampled]
        positive = positive[is_sampled]
        ids = ids[sampled]
    last_rows = np.zeros(len(ids), dtype=np.int64)
    last_rows[rows] = positive  # the last assignment wins
    if sample_weight is None:
        weights = None
    else:
        weights = weights[positive]
    if requests is not None:
        requests = requests[sampled]
    shape = len(ids), n_items
    truth, lost = _relevant(rows, items.take(positive), weights, encode, shape)
    repeats = {"repeats of a user and an item": len(rows) - truth.nnz - lost.nnz}
    return Bunch(
        users=ids.to_numpy(),
        truth=truth,
        n_unreachable=lost.getnnz(axis=1),
        unreachable_weight=np.asarray(lost.sum(axis=1)).ravel(),
        last_rows=last_rows,
        requests=requests,
        left_out=left_out | repeats,
    )


def fields_of_past(seen, past, truth, exclude_seen):
    """Return the fields of a `HeldOutRanking` that training events determine, a dict.

    ``seen``: CSR (n_known_users + 1, >= n_items), all training events; ``past``: the
    rows of the judged users. Items from ``n_items`` on are no longer in the catalog.
    """
    n_items = truth.shape[1]
    chosen = past[:, :n_items].astype(bool)
    hidden = sparse.csr_matrix(chosen.shape, dtype=bool)
    if exclude_seen:
        hidden = chosen > truth.astype(bool)
    counts = {"item_counts": column_counts(seen)[:n_items]}
    counts["user_counts"] = past.getnnz(axis=1)  # removed items count as well
    return {"seen": hidden, "past": chosen, **counts}


def _by_request(rows, contexts):
    """Return each event's row among the requests, and the requests' users and numbers.

    ``rows`` and ``contexts``, (n,) each: user and context of each event. Requests are
    sorted by user, then by their first event, and numbered within each user, from 0.
    """
    pairs = pd.DataFrame({"row": rows, "context": contexts})
    requests = pairs.groupby(["row", "context"], sort=False).ngroup().to_numpy()
    _, first_events = np.unique(requests, return_index=True)
    users = rows[first_events]
    order = np.argsort(users, kind="stable")
    new_positions = np.argsort(order)
    users = users[order]
    numbers = np.arange(len(users)) - np.searchsorted(users, users)
    return new_positions[requests], users, numbers


def sample_of(n, most, name, random_state, minimum=1):
    """Return ascending positions of a random sample of n; all of them if ``most`` >= n.

    ``name``: of the parameter ``most``, an integer of at least ``minimum``. None: all.
    """
    if most is None or check_count(most, name, minimum) >= n:
        return np.arange(n)
    return np.sort(check_random_state(random_state).choice(n, most, replace=False))


def _left_out(users, kept, names):
    """Return how many events are not kept, and how many users have no others."""
    if kept.all():
        return {}
    without = users.nunique() - users[kept].nunique()
    return dict(zip(names, (int((~kept).sum()), without), strict=True))


def _relevant(rows, items, weights, encode, shape):
    """Return the weights of relevant items, in the catalog and outside of it, CSR.

    The shapes are (n_users, n_items) and (n_users, number of items outside).
    """
    n_users, n_items = shape
    columns = encode(items)
    outside = (columns < 0) | (columns >= n_items)
    codes, names = pd.factorize(items[outside])
    columns = np.where(outside, n_items, columns)
    columns[outside] += codes
    values = weights
    if weights is None:
        values = np.ones(len(rows))
    shape = n_users, n_items + len(names)
    relevant = sparse.csr_matrix((values, (rows, columns)), shape=shape)
    if weights is None:
        relevant.data[:] = 1  # however often it occurs
    return relevant[:, :n_items], relevant[:, n_items:]


def _distinct(ids, name):
    """Return ids as an Index of one plain type, each once."""
    ids = check_ids(ids, name)
    if not ids.is_unique:
        twice = format_ids(ids[ids.duplicated()].unique(), 2)
        raise ValueError(f"{name} must be distinct. Got {twice} more than once.")
    return ids
