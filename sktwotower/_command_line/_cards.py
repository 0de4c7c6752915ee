"""A few users as cards of HTML: what they chose, what was suggested, what was right.

Input: a recommender, its events and those that were held out from it.
Output: HTML.
"""

from html import escape

import pandas as pd

from sktwotower._tables._frames import as_frame

from ._printed import typical_users

MANY = 1_000  # users among whom typical ones are looked for


def cards(model, task, train, test) -> str:
    """Return a card for each of three typical users of the held-out events."""
    user, users = task.user, pd.unique(test[task.user])[:MANY]
    # events on disk are not read again; the model knows them without their order
    known = train if isinstance(train, pd.DataFrame) else model.seen_items(users)
    known = as_frame(known, "known")
    known = known[known[user].isin(users)]
    known = known.drop_duplicates([user, task.item], keep="last")
    chosen = typical_users(known[user].value_counts())
    later = test[test[user].isin(chosen)]
    asked = later.drop_duplicates(user)[[user, *task.context]]
    tables = known, model.recommend(asked, n_neighbors=10), later
    parts = [table.groupby(user)[task.item].agg(list) for table in tables]
    return "".join(_card(task, u, *(p.get(u, []) for p in parts)) for u in chosen)


def _card(task, user, known, top, later):
    """Return the card of a user, from lists of items; ``top``: best first."""
    last, right = known[-5:], set(later)
    return (
        f"<section><h3>{escape(f'{task.user} {user}')}</h3>"
        f"<p>Known: {task.which}{len(last)} of {len(known)} items</p>"
        f"<ul>{_entries(task, last)}</ul>"
        f"<p>Suggested (✓: one of {len(right)} chosen later)</p>"
        f"<ol>{_entries(task, top, right)}</ol></section>"
    )


def _entries(task, items, right=()):
    """Return the names of items as entries of a list, those in ``right`` marked."""
    names = {item: escape(task.name(item)) for item in items}
    names |= {item: f"<b>{names[item]} ✓</b>" for item in names if item in right}
    return "".join(f"<li>{names[item]}</li>" for item in items)
