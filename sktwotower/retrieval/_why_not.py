"""What keeps an item out of a user's list.

Input: a fitted estimator, a user and an item, and the rules of the list.
Output: a table with one row per check.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._arguments import hinted
from sktwotower._tables._messages import check_flag
from sktwotower._tables._output import in_library, library_for
from sktwotower.runtime._rules import NO_RULES

from ._explained_score import names_of_items, one_query
from ._fitted_state import fitted_of
from ._requests import candidate_positions, past_of, read_exclude


@hinted
def why_not(
    estimator,
    user,
    item,
    n_neighbors=None,
    *,
    exclude_seen=None,
    candidates=None,
    history=None,
    exclude=None,
    context=None,
    where=None,
) -> pd.DataFrame:
    """Return what keeps an item out of a user's list.

    Parameters
    ----------
    estimator : recommender
        A fitted model. As a method of the model: left out.
    user : id, or dataframe of one row
        The user, as in `explain`.
    item : id
        The item; it may be unknown.
    n_neighbors : int, default=None
        Number of items of the list, as in `recommend`.
    exclude_seen, candidates, history, exclude, context, where
        The other arguments of the request, as in `recommend`. Candidates that are not
        in the catalog are ignored.

    Returns
    -------
    DataFrame
        One row per check, in this order. Columns: ``check``, ``kept_out`` (whether it
        keeps the item out), ``value`` and ``reason``, the same in words.

        - "catalog": whether the item is known, and has not been removed. If not, there
          are no further rows.
        - "seen": whether the user chose it, and ``exclude_seen`` leaves it out.
        - "exclude", "candidates" and, for each column of a dict, "where: column", if
          the request has them.
        - "rank": among all items that the request may show, and this one; ``value`` is
          the rank, which keeps it out if it is larger than ``n_neighbors``.
        - "score: side": only if the rank keeps it out, and for each side of `explain`:
          ``value`` is what its rows add to the score, less what they add to that of the
          last item of the list. What is missing is negative.

        It is a table of the library of ``user`` or ``history``, see `recommend`. Tables
        of pandas hold the ``rank``, the ``score`` and the ``last_score`` of the list in
        ``attrs``.

    Raises
    ------
    NotFittedError
        If fit has not been called.
    ValueError, TypeError
        As in `explain` and `recommend`.

    Notes
    -----
    ``max_per``, ``diversity`` and ``explore`` are not asked for: they compare the items
    of a list with each other. For the rank all items are scored, which takes as long as
    the longest list.

    Examples
    --------
    >>> from sktwotower import ItemKNNRecommender
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["bob", "bread"], ["cid", "nails"], ["cid", "tea"], ["dan", "nails"]]
    >>> model = ItemKNNRecommender().fit(X)
    >>> why = model.why_not("ann", "nails", n_neighbors=1)
    >>> print(why[["check", "kept_out", "reason"]].to_string(index=False))
             check  kept_out                                       reason
           catalog     False                         it is in the catalog
              seen     False                   the user did not choose it
              rank      True        rank 2 of 2 items, and the list has 1
    score: history     False 0.88 less than for the last item of the list
    >>> model.why_not("ann", "tea")["reason"][1]
    'the user chose it'
    >>> model.why_not("ann", "gold")["reason"][0]
    'it is not known from fit'
    """
    fitted = fitted_of(estimator)
    library = library_for(estimator, fitted, user, history)
    k = estimator._k(n_neighbors, fitted)
    owner = one_query(fitted, "user", user, context)
    chosen = one_query(fitted, "item", item)
    code = int(chosen.codes[0])
    rows = [_row_of_catalog(fitted, code)]
    attrs = {}
    if not rows[0][1]:
        past = past_of(fitted, owner, history)
        hidden = estimator.exclude_seen
        if exclude_seen is not None:
            hidden = check_flag(exclude_seen, "exclude_seen")
        rows.append(_row_of_past(past, code, hidden))
        left_out = None
        if exclude is not None:
            left_out = read_exclude(exclude, owner, fitted)
            is_excluded = bool(left_out[0, code])
            reason = "exclude names it" if is_excluded else "exclude does not name it"
            rows.append(("exclude", is_excluded, np.nan, reason))
        rules = NO_RULES
        if where is not None:
            rules = fitted.item_table.rules(where, None, None, k)
            rows.extend(_rows_of_rules(fitted, where, code, k))
        allowed = rules.qualifying
        if candidates is not None:
            allowed = candidate_positions(candidates, owner, fitted, True, rules)
            rows.append(_row_of_candidates(fitted, candidates, owner, code))
        excluded = _excluded(past, left_out, hidden, code)
        ranked, attrs = _rows_of_rank(
            estimator, fitted, (owner, chosen, past), k, excluded, allowed
        )
        rows.extend(ranked)
    table = pd.DataFrame(rows, columns=["check", "kept_out", "value", "reason"])
    table["value"] = table["value"].astype(float)
    table.attrs.update(attrs)
    return in_library(table, library)


def _row_of_catalog(fitted, code):
    """Return the row that says whether an item is in the catalog."""
    if code < 0:
        return "catalog", True, np.nan, "it is not known from fit"
    if code >= fitted.n_items:
        return "catalog", True, np.nan, "it was removed from the catalog"
    return "catalog", False, np.nan, "it is in the catalog"


def _row_of_past(past, code, hidden):
    """Return the row that says whether a user chose an item."""
    was_chosen = bool(past.seen[0, code])
    if not was_chosen:
        return "seen", False, np.nan, "the user did not choose it"
    if hidden:
        return "seen", True, np.nan, "the user chose it"
    return "seen", False, np.nan, "the user chose it, and exclude_seen is False"


def _rows_of_rules(fitted, where, code, k):
    """Return the rows that say which rules of ``where`` an item fulfils."""
    rules = {"where": where}
    if isinstance(where, Mapping):
        rules = {f"where: {column}": {column: rule} for column, rule in where.items()}
    rows = []
    for check, rule in rules.items():
        qualifying = fitted.item_table.rules(rule, None, None, k).qualifying
        qualifies = code in qualifying
        reason = "it qualifies" if qualifies else "it does not qualify"
        if isinstance(where, Mapping):
            ((column, wanted),) = rule.items()
            cell = fitted.item_table.as_frame()[column].iloc[code]
            reason = f"{column} is {cell!s}, asked for was {wanted!r}"
        rows.append((check, not qualifies, np.nan, reason))
    return rows


def _row_of_candidates(fitted, candidates, owner, code):
    """Return the row that says whether an item is among the candidates."""
    allowed = candidate_positions(candidates, owner, fitted, True, NO_RULES)
    if sparse.issparse(allowed):
        allowed = allowed.nonzero()[1]
    is_there = bool(np.isin(code, allowed))
    reason = "it is a candidate" if is_there else "it is not among the candidates"
    return "candidates", not is_there, np.nan, reason


def _excluded(past, left_out, hidden, code):
    """Return what is left out of the list, CSR (1, n), without an item; or None."""
    if not hidden and left_out is None:
        return None
    excluded = left_out
    if hidden:
        excluded = past.seen
        if left_out is not None:
            excluded = (past.seen + left_out).sign()
    excluded = excluded.tolil(copy=True)
    excluded[0, code] = 0
    return excluded.tocsr()


def _rows_of_rank(estimator, fitted, request, k, excluded, allowed):
    """Return the rows about the rank and the score of an item, and ``attrs``.

    ``request``: the ``Query`` of the user and of the item, and the ``Past``.
    """
    owner, chosen, past = request
    code = int(chosen.codes[0])
    if sparse.issparse(allowed):
        allowed = np.unique(allowed.nonzero()[1])
    if allowed is not None:
        allowed = np.union1d(allowed, [code])
    serving = estimator._serving()._replace(is_exact=True)
    found = fitted.search(owner, past, fitted.n_items, serving, excluded, allowed)
    scores = found[0][0]
    positions = found[1][0]
    scores = scores[positions >= 0]
    positions = positions[positions >= 0]
    places = np.flatnonzero(positions == code)
    if len(places) == 0:
        reason = "the model finds no reason to list it: nothing links it to the user"
        return [("rank", True, np.nan, reason)], {}
    rank = int(places[0]) + 1
    is_out = rank > k
    reason = f"rank {rank:,} of {len(positions):,} items, and the list has {k}"
    rows = [("rank", is_out, rank, reason)]
    last = min(k, len(positions)) - 1
    attrs = {
        "rank": rank,
        "score": float(scores[rank - 1]),
        "last_score": float(scores[last]),
    }
    if is_out:
        rows.extend(_rows_of_score(estimator, fitted, request, positions[last]))
    return rows, attrs


def _rows_of_score(estimator, fitted, request, last):
    """Return what each side of a score lacks, compared with the item at ``last``."""
    owner, chosen, past = request
    names = names_of_items(fitted.items, None)
    other = one_query(fitted, "item", fitted.item_ids[last])
    sums = []
    for each in (chosen, other):
        try:
            tables, _ = fitted.explained(owner, each, past, names, estimator)
        except ValueError:  # of a recommender that does not say
            return []
        table = pd.concat(tables)
        sums.append(table.groupby("side", sort=False)["contribution"].sum())
    rows = []
    difference = sums[0].sub(sums[1], fill_value=0)
    for side, missing in difference.items():
        word = "less" if missing < 0 else "more"
        reason = f"{abs(missing):.2g} {word} than for the last item of the list"
        rows.append((f"score: {side}", False, missing, reason))
    return rows
