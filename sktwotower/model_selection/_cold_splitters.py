"""The splitters for a cold start: by items, or users, all of whose events are held out.

Input: an interaction table X (n_events, n_columns) with users and items.
Output: row positions of train and test, 1-D each, for `cv=` of scikit-learn.
"""

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from sktwotower._tables._columns import codes

from ._base import COUNT, SHARE, InteractionSplit


@dataclass(eq=False, repr=False)
class _ColdSplit(InteractionSplit):
    """Hold out all events of a random share of the users, or of the items."""

    _remedy = "Choose another test_size."
    _parameter_constraints = InteractionSplit._parameter_constraints | {
        "test_size": [SHARE, COUNT],
        "random_state": ["random_state"],
    }
    # The held-out users or items are always unseen.
    drop_unseen_users = drop_unseen_items = False

    test_size: int | float = 0.2
    _: KW_ONLY
    random_state: Any = None

    def _sides(self, X):
        side, place = self._held_out
        groups = codes(X, getattr(self, side), place, side)
        n_ids = groups.max(initial=-1) + 1
        least = self.test_size + 1 if isinstance(self.test_size, Integral) else 2
        if n_ids < least:
            raise ValueError(
                f"{self!r} needs at least {least} ids to hold some out. Got {n_ids}."
            )
        splitter = GroupShuffleSplit(
            self.n_splits, test_size=self.test_size, random_state=self.random_state
        )
        for _, held in splitter.split(groups, groups=groups):
            test = np.zeros(len(groups), dtype=bool)
            test[held] = True
            yield ~test, test


@dataclass(kw_only=True, eq=False, repr=False)
class ColdItemSplit(_ColdSplit):
    """Hold out all events of a random share of the items.

    This tests a recommender on items without any event, which it knows only by their
    features, from the ``items`` table.

    Parameters
    ----------
    test_size : float or int, default=0.2
        Share of the items, in (0.0, 1.0), or their number, >= 1.
    n_splits : int, default=1
        Number of folds, >= 1, each drawn independently.
    user_id : str or int, default=None
        Column of the users, a position if X is an array. None: the first. Used by
        `drop_unseen_users`.
    item_id : str or int, default=None
        Column of the items, a position if X is an array. None: the second.
    random_state : int, RandomState instance or None, default=None
        Draws the items.
    drop_unseen_users : bool, default=False
        Leave out test rows whose user has no train row.

    See Also
    --------
    ColdUserSplit : The same for users.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.model_selection import ColdItemSplit
    >>> X = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": ["a", "b", "a", "c", "b"]})
    >>> train, test = next(ColdItemSplit(test_size=1, random_state=0).split(X))
    >>> X["item"].iloc[test].tolist(), X["item"].iloc[train].tolist()
    (['c'], ['a', 'b', 'a', 'b'])
    """

    _held_out = "item_id", 1
    drop_unseen_users: bool = False


@dataclass(kw_only=True, eq=False, repr=False)
class ColdUserSplit(_ColdSplit):
    """Hold out all events of a random share of the users.

    This tests a recommender on users it has never seen, which it knows only by their
    features, or by a history that comes with the request.

    Parameters
    ----------
    test_size : float or int, default=0.2
        Share of the users, in (0.0, 1.0), or their number, >= 1.
    n_splits : int, default=1
        Number of folds, >= 1, each drawn independently.
    user_id : str or int, default=None
        Column of the users, a position if X is an array. None: the first.
    item_id : str or int, default=None
        Column of the items, a position if X is an array. None: the second. Used by
        `drop_unseen_items`.
    random_state : int, RandomState instance or None, default=None
        Draws the users.
    drop_unseen_items : bool, default=False
        Leave out test rows whose item has no train row.

    See Also
    --------
    ColdItemSplit : The same for items.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.model_selection import ColdUserSplit
    >>> X = pd.DataFrame({"user": [1, 1, 2, 2, 3], "item": ["a", "b", "a", "c", "b"]})
    >>> train, test = next(ColdUserSplit(test_size=1, random_state=0).split(X))
    >>> X["user"].iloc[test].tolist(), X["user"].iloc[train].tolist()
    ([3], [1, 1, 2, 2])
    """

    _held_out = "user_id", 0
    drop_unseen_items: bool = False
