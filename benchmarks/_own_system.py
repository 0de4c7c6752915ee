"""A system of somebody else, in a file of theirs, beside those of the tables.

Input: the file. It defines either a function ``recommend(train, users, n)`` or one
class with ``fit`` and ``recommend``, and may have ``GRID``, by parameter of the class a
list of values to choose from.
Output: a class as those of `_systems`; a table of its figures beside the kept ones.

``train`` (n_events, 2) has the columns ``user`` and ``item`` and, in protocols in the
order of time, ``time``. The function returns a table of n items for each user, the user
in the first column and the item in the second, best first, or a dict of users to items.
"""

import importlib.util
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from _baselines import Baseline
from _per_user import gain

from sktwotower.base import RecommenderMixin
from sktwotower.retrieval._any_recommender import is_recommender

OPTION = "--system"
HELP = "file with a system of yours, measured beside the kept results of the others"
LISTED = 20  # items that the function is asked for


def is_own(name):
    """Return whether a name of a system is that of a file."""
    return name.endswith(".py")


def label(name):
    """Return what a table calls a system: a file by its name."""
    return Path(name).stem if is_own(name) else name


def checked_path(parser, path):
    """Return the whole path of a file, which other processes read as well."""
    if not is_own(path) or not Path(path).exists():
        parser.error(f"{OPTION} needs a file that ends in .py, not {path!r}")
    try:
        load(path)
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    return str(Path(path).resolve())


@cache
def load(path):
    """Return the class of a file, ``kind``, and what to choose from, ``grid``."""
    path = Path(path).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses look there
    spec.loader.exec_module(module)
    grid = getattr(module, "GRID", {})
    function = getattr(module, "recommend", None)
    if function is not None and grid:
        raise ValueError(f"{path} has GRID, which needs a class in place of recommend.")
    if function is not None:
        return SimpleNamespace(kind=of_function(function), grid={})
    classes = [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__ == path.stem and hasattr(each, "fit")
    ]
    if len(classes) != 1:
        names = ", ".join(each.__name__ for each in classes) or "none"
        raise ValueError(
            f"{path} must define a function recommend(train, users, n) or one class "
            f"with fit and recommend. Classes with fit in it: {names}."
        )
    (kind,) = classes
    if hasattr(kind, "rank_held_out") or is_recommender(kind):
        return SimpleNamespace(kind=of_class(kind), grid=grid)
    if grid:
        raise ValueError(
            f"{path} has GRID, which needs a class whose recommend has the parameter "
            "n_neighbors, and which has item_ids_ after fit."
        )
    return SimpleNamespace(kind=of_function(as_function(kind)), grid={})


def of_class(kind):
    """Return the class, with a ``rank_held_out`` if it has none."""
    if hasattr(kind, "rank_held_out"):
        return kind
    return type(kind.__name__, (RecommenderMixin, kind), {})


def as_function(kind):
    """Return the function of a class with ``fit(X)`` and ``recommend(users, n)``."""

    def recommend(train, users, n):
        model = kind()
        model.fit(train)
        return model.recommend(users, n)

    return recommend


def of_function(function):
    """Return a class whose fit asks the function for lists of all users of train."""

    class Listed(Baseline):
        def fit(self, X, y=None):
            super().fit(X)
            users = pd.Index(self.user_ids_)
            given = function(X.copy(), users.to_numpy(), LISTED)
            if isinstance(given, Mapping):
                given = [(user, item) for user in given for item in given[user]]
            table = pd.DataFrame(given)
            if table.shape[1] < 2:
                raise ValueError(
                    "recommend must return a table with the user in the first column "
                    f"and the item in the second. Got columns {list(table.columns)}."
                )
            table = table.iloc[:, :2].set_axis(["user", "item"], axis=1)
            self._lists = self._positions(table, users)
            return self

        def _learn(self, seen):
            """Do nothing: the function reads the events."""

        def _positions(self, table, users):
            """Return positions of items (n_users, LISTED), -1 where there is none."""
            rows = users.get_indexer(table["user"])
            items = pd.Index(self.item_ids_).get_indexer(table["item"])
            strange = (rows < 0) | (items < 0)
            if strange.any():
                raise ValueError(
                    "recommend must return users and items of train. "
                    f"{strange.sum()} of {len(table)} rows have others, the first is "
                    f"{table[strange].iloc[0].tolist()}."
                )
            had = np.asarray(self._seen[rows, items]).ravel() > 0
            if had.any():
                print(f"{had.sum()} items are left out: their user has them in train")
            kept = table[~had].assign(row=rows[~had], position=items[~had])
            kept = kept.drop_duplicates(["row", "position"])
            place = kept.groupby("row").cumcount()
            kept = kept[place < LISTED]
            lists = np.full((len(users), LISTED), -1, dtype=np.int64)
            lists[kept["row"], place[place < LISTED]] = kept["position"]
            return lists

        def _best(self, users, k):
            return self._lists[users, :k]

    return Listed


def print_beside(path, figures, rows, kept, shown):
    """Print the figures of a system beside kept ones, and what it gains over each.

    ``figures``: those of its users (n_users, n_figures), ``rows``: the kept rows,
    ``kept``: by system the kept figure ``shown[0]`` of each user, (n_users,).
    """
    mine, first = label(path), shown[0]
    if not rows:
        print("There are no kept results to set it beside.")
        return
    means = pd.DataFrame(rows).groupby("system")[shown].mean()
    means.loc[mine] = figures[shown].mean()
    means = means.sort_values(first, ascending=False)
    means[f"{mine} gains"] = ""
    for name, values in kept.items():
        if name in means.index and len(values) == len(figures):
            found = gain(figures[first], values)
            text = f"{found['gained']:+.4f} ± {found['half_interval']:.4f}"
            means.loc[name, f"{mine} gains"] = text
    print(f"\nBeside the results that are kept, by {first}:")
    print(means.round(4).rename_axis(None).to_string())
    print(f"± half of the 95 % interval over users, of the difference in {first}")
