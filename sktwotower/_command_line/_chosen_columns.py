"""Which columns of a person's table are the users and the items.

Input: names of columns, their values, and what the options name.
Output: two columns; printed, if they were taken without an option.
"""

import re
import shlex
from collections.abc import Hashable

import pandas as pd

from sktwotower._tables._usual_names import (
    is_measure,
    is_number_of_occasions,
    plain_name,
    rank_of_item_name,
    rank_of_user_name,
)

from . import _files as files
from ._options import own_columns

# Numbers of visits, which stand for users where there are no accounts.
SESSION = r"(session|visit|sitzung|besuch|seance|visite).*"
FRACTION = r"-?\d*[.,]\d*[1-9]\d*"  # of no whole number
# Values among which a repeat is looked for first.
N_FIRST = 10_000


class TableValues:
    """What is asked of the columns of a table in memory."""

    def __init__(self, events):
        self.events = events

    def holds_lists(self, column) -> bool:
        """Return whether a column holds lists or the like, which are no ids."""
        values = self.events[column].dropna()
        return bool(len(values)) and not isinstance(values.iloc[0], Hashable)

    def __len__(self):
        return len(self.events)

    def all_differ(self, column) -> bool:
        """Return whether no value of a column occurs twice."""
        values = self.events[column].dropna()
        return values[:N_FIRST].is_unique and values.is_unique

    def n_values(self, column) -> int:
        """Return how many different values a column has, 3 for three or more."""
        values = self.events[column].dropna()
        n_values = values[:N_FIRST].nunique()
        if n_values < 3:  # there may be others later
            n_values = values.nunique()
        return min(n_values, 3)

    def has_fractions(self, column) -> bool:
        """Return whether a column holds numbers that are not whole."""
        values = self.events[column].dropna()[:N_FIRST]
        if pd.api.types.is_float_dtype(values):
            return bool((values % 1 != 0).any())
        text = values.astype(str)
        numbers = text.str.fullmatch(r"-?\d*[.,]?\d+").all()
        return bool(numbers and text.str.fullmatch(FRACTION).any())


class DiskValues:
    """What is asked of the columns of events on disk; ``source``: an open one."""

    def __init__(self, source):
        self.source = source
        self.n_rows = self._count("*", source.empty.columns[0])

    def __len__(self):
        return self.n_rows

    def all_differ(self, column) -> bool:
        """Return whether no value of a column occurs twice."""
        part = f"(select c from events where c is not null limit {N_FIRST})"
        for table in (part, "events"):
            n_values = self._count("c", column, table)
            n_distinct = self._count("distinct c", column, table)
            if n_distinct < n_values:
                return False
        return True

    def n_values(self, column) -> int:
        """Return how many different values a column has, 3 for three or more."""
        some = "(select distinct c from events where c is not null limit 3)"
        return self._count("c", column, some)

    def has_fractions(self, column) -> bool:
        """Return whether a column holds numbers that are not whole."""
        if not pd.api.types.is_float_dtype(self.source.empty[column]):
            return False
        part = f"(select c from events limit {N_FIRST})"
        return self._count("c", column, f"{part} where c % 1 <> 0") > 0

    def _count(self, what, column, table="events"):
        """Return a count of the values of a column, called c, by SQL."""
        self.source.select(c=column)
        counted = self.source.query(f"select count({what}) as n from {table}")
        return counted["n"][0].as_py()


def choose_ids(args, columns, dates, values) -> None:
    """Take columns without another option as --user and --item, and print them.

    They are those with a usual name, or else the first that may hold ids, which is
    said to be a guess. ``dates``: columns of dates. ``values``: answers what is asked
    of their values, such as ``TableValues``.
    """
    if None not in (args.user, args.item):
        return
    taken = {column for _, column in own_columns(args)}
    taken.update(dates)
    free = []
    for column in columns:
        is_date = re.fullmatch(files.DATE_NAME, column) is not None
        if not is_date and column not in taken:
            free.append(column)
    flaws = {}
    guessed = []

    def by_name(rank_of):
        """Return the column with the most usual name that is no key of rows."""
        ranks = {column: rank_of(column) for column in free}
        named = [column for column in free if ranks[column] is not None]
        for column in sorted(named, key=ranks.get):
            if len(values) < 2 or not values.all_differ(column):
                return column
            flaws[column] = f"has another value in each of the {len(values):,} rows"
        return None

    def by_place(option):
        """Return the first other column that may hold ids, as a guess."""
        for column in free:
            if column not in ids and _may_hold_ids(column, values, flaws):
                guessed.append((option, column))
                return column
        return None

    user = args.user or by_name(rank_of_user_name)
    item = args.item or by_name(rank_of_item_name)
    ids = [user, item]
    if user in free:
        check_users(args, user, values)
    if not user:
        user = by_place("--user")
        ids[0] = user  # so that it is not taken for the items as well
    if not item:
        item = by_place("--item")
    for option, column in (("--user", user), ("--item", item)):
        if column is None:
            message = _without(args, option, flaws)
            if user in columns:
                message += said_of_few(user, values)
            raise ValueError(message)
    args.user = user
    args.item = item
    options = shlex.join(["--user", user, "--item", item])
    print(f"These columns are taken: {options}.")
    if guessed:
        options = " and ".join(shlex.join(pair) for pair in guessed)
        others = " ".join(f"{option} COL" for option, _ in guessed)
        print(
            f"A guess, by the place of the column and not by its name: {options}. "
            f"To name another one: {others}."
        )


def check_users(args, column, values) -> None:
    """Raise ``ValueError`` if the column of the users holds a single one."""
    if len(values) > 1 and values.n_values(column) == 1:
        raise ValueError(
            f"--data: {args.data} has one user only: all of its {len(values):,} events "
            f"have the same {column!r}. What to recommend is learnt from what several "
            "users have chosen. If another column has the users, name it: --user COL."
        )


def said_of_few(column, values) -> str:
    """Return a sentence if the column of the users holds two of them, else ""."""
    if values.n_values(column) != 2:
        return ""
    return f" There are only two users in {column!r}, too few to learn from."


def _may_hold_ids(column, values, flaws):
    """Return whether a column with no usual name may hold ids; else note its flaw."""
    if is_number_of_occasions(column):
        flaws[column] = "is named like a number of rows, orders or sessions"
    elif is_measure(column):
        flaws[column] = "is named like an amount"
    elif len(values) < 2:
        return True
    elif values.all_differ(column):
        flaws[column] = f"has another value in each of the {len(values):,} rows"
    elif values.n_values(column) < 2:
        flaws[column] = "has a single value"
    elif values.has_fractions(column):
        flaws[column] = "holds numbers that are not whole"
    else:
        return True
    return False


def _without(args, option, flaws):
    """Return the message that no column was found for an option."""
    message = f"--data: {args.data} has no column for {option}."
    if flaws:
        reasons = [f"{column!r} {flaw}" for column, flaw in flaws.items()]
        message += f" Not taken: {'; '.join(reasons)}."
    visits = [column for column in flaws if re.fullmatch(SESSION, plain_name(column))]
    if visits and option == "--user":
        choice = shlex.join([option, visits[0]])
        return f"{message} If each visit counts as a user: {choice}."
    return f"{message} If there is one, name it: {option} COL."
