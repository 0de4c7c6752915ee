"""Lists that were shown: which rows belong to one, and the features of their items.

Input: events or requests (n_rows, n_columns), and a fitted retriever.
Output: ``ShownColumns``, and ``ShownRows`` with features (n_rows, n_features).
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._records import record
from sktwotower._tables._columns import name_of
from sktwotower._tables._sparse import slices
from sktwotower.metrics._ranked_lists import RankedLists, check_one_user
from sktwotower.retrieval._requests import Query, query_of_events

from ._blend import ranks_among
from ._candidate_table import find_candidates
from ._features import CandidatePairs
from ._log import StagedPast
from ._side_columns import is_date

# Users whose rows are described together.
USER_BLOCK = 1024
# Parameters that say something of lists.
NEED_LISTS = {"position": "is the place of an item in its list"}
NEED_LISTS["row_features"] = "are columns of the rows of lists"
# Features that are known for items that fit has not seen, by how their names begin.
KNOWN_OF_NEW_ITEMS = "history_", "user__", "context__"


@record
class ShownColumns(NamedTuple):
    """The columns of X with the list, and the place in it, of items shown, or None."""

    lists: str | int | None
    position: str | int | None

    @classmethod
    def of(cls, events, recipe):
        """Return the columns that a recipe names, after checks of the events."""
        frame = events.frame
        if recipe.lists is None:
            for name, meaning in NEED_LISTS.items():
                given = getattr(recipe, name)
                if given is not None:
                    remedy = "name the column of lists as well, lists=..."
                    raise ValueError(f"{name}={given!r} {meaning}: {remedy}")
            return cls(None, None)
        lists = name_of(list(frame), recipe.lists, "lists")
        columns = cls(lists, name_of(list(frame), recipe.position, "position"))
        rows = columns.rows(frame)
        if rows.any():
            names = "y", "scores", "the column of lists"
            scores = np.zeros(rows.sum())
            groups = frame.loc[rows, columns.lists]
            lists = RankedLists(events.rewards[rows], scores, groups, names)
            check_one_user(lists, events.users[rows])
        columns.positions(frame)
        return columns

    def rows(self, frame):
        """Return which rows of a table belong to a list, bool (n_rows,)."""
        return frame[self.lists].notna().to_numpy()

    def mixed(self, events):
        """Return which rows are of lists that hold both outcomes, bool (n_rows,)."""
        lists = pd.factorize(events.frame[self.lists])[0]
        chosen = pd.Series(events.chosen).groupby(lists)
        mixed = chosen.transform("any") & ~chosen.transform("all")
        return mixed.to_numpy() & (lists >= 0)

    def positions(self, frame):
        """Return the position of each row, float (n_rows,), nan where it is missing."""
        if self.position is None:
            return np.full(len(frame), np.nan)
        values = frame[self.position]
        try:
            if is_date(values):
                raise TypeError
            numbers = pd.to_numeric(values).astype("Float64")
            return numbers.to_numpy(float, na_value=np.nan)
        except (TypeError, ValueError):
            raise ValueError(
                f"The position column {self.position!r} must hold numbers, the first "
                f"place the smallest one. Got dtype {values.dtype}."
            ) from None


class ShownRows(NamedTuple):
    """Rows of n requests, one request after the other.

    A request is a user, or one in a context of the retriever.

    Parameters
    ----------
    query : Query
        n requests, as the retriever reads them.
    past : StagedPast
        Their past items.
    order : int array of shape (n_rows,)
        Position of each row in the table.
    rows : int array of shape (n_rows,)
        Position of its request, ascending.
    items : int array of shape (n_rows,)
        Position of its item, -1 for items that fit has not seen.
    scores : float array of shape (n_rows,)
        The retriever's score.
    context : float32 array of shape (n_rows, n_numbers)
        Columns of the request, for the ranker.
    """

    query: Query
    past: StagedPast
    order: np.ndarray
    rows: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    context: np.ndarray

    @classmethod
    def of(cls, fitted, context, frame, scores, past_of_query):
        """Return the rows of a table.

        ``fitted``: what the retriever knows; ``context``: the ranker's `Context`.
        ``past_of_query``: a function that returns the ``StagedPast`` of a query.
        """
        keys = requests_of(fitted, frame)
        first = np.unique(keys, return_index=True)[1]
        query = query_of_events(fitted, frame.iloc[first])
        order = np.argsort(keys, kind="stable")
        codes = fitted.items.codes(frame[fitted.items.id_column], "X")
        arrays = keys, codes, scores.astype(float), context.encode(frame)
        arrays = (each[order] for each in arrays)
        return cls(query, past_of_query(query), order, *arrays)

    @property
    def users(self):
        """A number for the user of each row, (n_rows,)."""
        return pd.factorize(self.query.ids)[0][self.rows]

    def blocks(self):
        """Yield the rows of some requests after the others."""
        for users in slices(len(self.query), USER_BLOCK):
            begin, end = np.searchsorted(self.rows, [users.start, users.stop])
            part = self.part(slice(begin, end))
            query = self.query[users]
            past = self.past[users]
            yield part._replace(query=query, past=past, rows=part.rows - users.start)

    def part(self, kept):
        """Return the rows that are ``kept``, a slice or bool (n_rows,)."""
        return ShownRows(self.query, self.past, *(each[kept] for each in self[2:]))


def requests_of(fitted, frame):
    """Return which request each event of a table belongs to, int (n_events,).

    Events of one user belong together, unless columns of the context differ. Requests
    are in the order of their first event. ``fitted``: as in `Fitted`.
    """
    keys = pd.factorize(frame[fitted.users.id_column])[0].astype(np.int64)
    codes = fitted.request_codes(frame)
    if codes is None:
        return keys
    return pd.factorize(keys * (int(codes.max(initial=0)) + 1) + codes)[0]


def describe_rows(describer, n_candidates, shown):
    """Return the features (n_rows, n_features) of ``ShownRows``, a DataFrame.

    The retriever's rank and score are relative to its best candidates for the user, of
    which there are ``n_candidates``. Features of the caller are not among them.
    """
    tables = []
    describer = replace(describer, own=None)
    for query, past, _, rows, items, scores, context in shown.blocks():
        best, _ = find_candidates(describer.retriever, query, past.first, n_candidates)
        ranks = ranks_among(best[rows], scores)
        gaps = scores - best[rows, 0]
        new = items < 0
        pairs = CandidatePairs(rows, np.where(new, 0, items), ranks, gaps, past)
        table = describer.features(query, pairs, context)
        if new.any():
            unknown = [c for c in table if not c.startswith(KNOWN_OF_NEW_ITEMS)]
            table.loc[new, unknown] = np.nan
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
