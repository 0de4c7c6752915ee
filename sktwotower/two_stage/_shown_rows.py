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
from ._candidate_table import find_candidates, numbers_of_pairs
from ._features import CandidatePairs
from ._log import StagedPast
from ._side_columns import is_date

# Users whose rows are described together.
USER_BLOCK = 1024
# Parameters that say something of lists.
NEED_LISTS = {
    "position": "is the place of an item in its list",
    "row_features": "are columns of the rows of lists",
}
# Features that are known for items that fit has not seen, by how their names begin.
KNOWN_OF_NEW_ITEMS = ("history_", "user__", "context__")


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
                    raise ValueError(
                        f"{name}={given!r} {meaning}: name the column of lists as "
                        "well, lists=..."
                    )
            return cls(None, None)
        columns = cls(
            lists=name_of(list(frame), recipe.lists, "lists"),
            position=name_of(list(frame), recipe.position, "position"),
        )
        is_of_list = columns.rows(frame)
        if is_of_list.any():
            ranked = RankedLists(
                events.rewards[is_of_list],
                np.zeros(is_of_list.sum()),
                frame.loc[is_of_list, columns.lists],
                ("y", "scores", "the column of lists"),
            )
            check_one_user(ranked, events.users[is_of_list])
        columns.positions(frame)
        return columns

    def rows(self, frame):
        """Return which rows of a table belong to a list, bool (n_rows,)."""
        return frame[self.lists].notna().to_numpy()

    def mixed(self, events):
        """Return which rows are of lists that hold both outcomes, bool (n_rows,)."""
        lists, _ = pd.factorize(events.frame[self.lists])
        chosen = pd.Series(events.chosen).groupby(lists)
        is_mixed = chosen.transform("any") & ~chosen.transform("all")
        return is_mixed.to_numpy() & (lists >= 0)

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
        _, first = np.unique(keys, return_index=True)
        query = query_of_events(fitted, frame.iloc[first])
        items = fitted.items.codes(frame[fitted.items.id_column], "X")
        order = np.argsort(keys, kind="stable")
        return cls(
            query=query,
            past=past_of_query(query),
            order=order,
            rows=keys[order],
            items=items[order],
            scores=scores.astype(float)[order],
            context=context.encode(frame)[order],
        )

    @property
    def users(self):
        """A number for the user of each row, (n_rows,)."""
        users_of_requests, _ = pd.factorize(self.query.ids)
        return users_of_requests[self.rows]

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
        return self._replace(
            order=self.order[kept],
            rows=self.rows[kept],
            items=self.items[kept],
            scores=self.scores[kept],
            context=self.context[kept],
        )


def requests_of(fitted, frame):
    """Return which request each event of a table belongs to, int (n_events,).

    Events of one user belong together, unless columns of the context differ. Requests
    are in the order of their first event. ``fitted``: as in `Fitted`.
    """
    users, _ = pd.factorize(frame[fitted.users.id_column])
    users = users.astype(np.int64)
    codes = fitted.request_codes(frame)
    if codes is None:
        return users
    n_codes = int(codes.max(initial=0)) + 1
    requests, _ = pd.factorize(users * n_codes + codes)
    return requests


def describe_rows(describer, n_candidates, shown):
    """Return the features (n_rows, n_features) of ``ShownRows``, a DataFrame.

    The retriever's rank and score are relative to its best candidates for the user, of
    which there are ``n_candidates``. Features of the caller are not among them.
    """
    tables = []
    describer = replace(describer, own=None)
    for block in shown.blocks():
        found = find_candidates(
            describer.retriever, block.query, block.past.first, n_candidates
        )
        scores_of_user = found.scores[block.rows]
        is_new = block.items < 0
        pairs = CandidatePairs(
            rows=block.rows,
            items=np.where(is_new, 0, block.items),
            ranks=ranks_among(scores_of_user, block.scores),
            gaps=block.scores - scores_of_user[:, 0],
            past=block.past,
            sources=numbers_of_pairs(found, block.rows, block.items, n_candidates),
        )
        table = describer.features(block.query, pairs, block.context)
        if is_new.any():
            unknown = []
            for name in table:
                if not name.startswith(KNOWN_OF_NEW_ITEMS):
                    unknown.append(name)
            table.loc[is_new, unknown] = np.nan
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
