"""Enters: a fitted estimator, and a pair of user and item or held-out events.

Leaves: what each feature adds to a score, and what a column is worth, as tidy tables.
Next: plots, where the second table is drawn.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from sktwotower._tables._events import event_table
from sktwotower._tables._messages import did_you_mean, format_ids
from sktwotower._tables._sparse import rows_of
from sktwotower.metrics import HeldOutRanking
from sktwotower.metrics._groups import values_of
from sktwotower.metrics._held_out import read_held_out
from sktwotower.metrics._hits import ERRORS_IN_INTERVAL, standard_error
from sktwotower.neighbors import ExactNeighbors
from sktwotower.neighbors._search import search
from sktwotower.neighbors._threads import threads
from sktwotower.retrieval._requests import Query, check_n_neighbors, read_query
from sktwotower.towers._net import embed_items, embed_users

from ._ablation import columns_of, rows_without
from ._contributions import contributions, is_linear

__all__ = ["ExplanationMixin"]

HISTORY = "history"


class ExplanationMixin:
    """Why a score is what it is, and what the columns of the tables are worth.

    The estimator is a ``VectorsMixin`` and an ``EvaluationMixin``.
    """

    def explain(self, user, item, history=None):
        r"""Return how much each past item and each feature adds to the score of a pair.

        Parameters
        ----------
        user : id, or dataframe of one row
            The user: an id, or a table with the id column and, optionally, all feature
            columns. An unknown user is known by what is given.
        item : id, or dataframe of one row
            The item, likewise; of an item unknown to fit the features are needed.
        history : dataframe, dict, list or None, default=None
            Events of this user that fit has not seen, as in `recommend`.

        Returns
        -------
        DataFrame
            One row per nonzero feature and past item, largest absolute contribution
            first. Columns: ``side`` ("user", "history" or "item"), ``feature`` (its
            name, such as "genres_Action"; the id of a past item), ``value`` (of the
            feature; the weight of a past item, 1 / n) and ``contribution``. The
            contributions add up to the score, which is in ``attrs["score"]``.

        Raises
        ------
        ValueError
            Several users or items, an item unknown to fit without features, or a tower
            of your own without a gradient with respect to its input.
        TypeError
            What is no id and no table.

        See Also
        --------
        TwoTowerRecommender.feature_importance : What a column is worth over all users.

        Notes
        -----
        The score is the product of two vectors, :math:`s = \langle a / |a|, c / |c|
        \rangle` (without the lengths unless ``normalize``), where a sums up the user's
        features and past items and c the item's features. Either side explains all of
        it: with :math:`a = \sum_j x_j w_j`,

        .. math::
            s = \sum_j \langle x_j w_j / |a|, c / |c| \rangle

        and likewise for c. So each side gets half of the score, and the halves add up
        to it once. The row "(bias)" of a side is the part of its constant. "(fold-in)"
        of the history is what ``fold_in`` has changed, for a user without events in
        fit.

        With hidden layers, and with towers of your own, a contribution is gradient
        times input, the lengths held fixed; "(rest)" is what is left of the half: the
        constants, and how far the tower is from linear. A large rest says that the
        other rows tell little.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TwoTowerRecommender
        >>> X = pd.DataFrame({
        ...     "reader": ["ann", "ann", "bob", "bob", "cid", "cid", "dan", "dan"],
        ...     "book": ["emma", "persuasion", "emma", "persuasion",
        ...              "dune", "solaris", "dune", "ubik"],
        ... })
        >>> model = TwoTowerRecommender(embedding_dim=16, random_state=0).fit(X)
        >>> why = model.explain("cid", "ubik")
        >>> why[["side", "feature", "value"]].sort_values(["side", "feature"])
              side     feature  value
        4  history        dune    0.5
        2  history     solaris    0.5
        3     item      (bias)    1.0
        0     item   book_ubik    1.0
        5     user      (bias)    1.0
        1     user  reader_cid    1.0
        >>> bool(abs(why["contribution"].sum() - why.attrs["score"]) < 1e-6)
        True
        """
        check_is_fitted(self)
        owner = self._one(self._users, user)
        chosen = self._one(self._items, item)
        if chosen.is_nothing()[0] and not chosen.described:
            raise ValueError(
                f"The item {format_ids(chosen.ids)} is not known from fit. Give a "
                "table of "
                "one row with its features instead."
            )
        module = self.net_.module_
        added = self._added(history, owner)
        past = self._past(owner, added)
        moved = None
        if len(self._to_fold_in(owner, added)):
            moved = self._embed_user_query(owner, added)[0]
        past = np.zeros(0, dtype=int) if past is None else past.indices
        with threads(self.n_jobs):
            parts = contributions(
                module, owner.rows, self._items.rows[past], chosen.rows, moved
            )
        rest = {
            side: "(bias)" if is_linear(tower) else "(rest)"
            for side, tower in [
                ("user", module.user_tower),
                ("item", module.item_tower),
            ]
        }
        folded = ([], []) if moved is None else (["(fold-in)"], [1.0])
        weights = np.full(len(past), 1 / max(1, len(past)))
        table = pd.concat(
            [
                _part("user", *_named(self._users, owner.rows), parts.user),
                _part(HISTORY, self._items.ids[past], weights, parts.history),
                _part("user", [rest["user"]], [1.0], [parts.user_rest]),
                _part(HISTORY, *folded, [parts.fold_in] * len(folded[0])),
                _part("item", *_named(self._items, chosen.rows), parts.item),
                _part("item", [rest["item"]], [1.0], [parts.item_rest]),
            ],
            ignore_index=True,
        )
        order = np.argsort(-table["contribution"].abs().to_numpy(), kind="stable")
        table = table.iloc[order].reset_index(drop=True)
        table.attrs["score"] = parts.score
        return table

    def _one(self, entities, given):
        """Read one user or item; gives a ``Query``."""
        side = entities.side
        if given is None or isinstance(given, Mapping | set | frozenset):
            raise TypeError(
                f"{side} must be an id, or a table of one row. Got {given!r}."
            )
        several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
        query = read_query(
            entities, given if several else [given], side, self.n_features_in_
        )
        if len(query) != 1:
            raise ValueError(
                f"{side} must be one {side}: an id, or a table of one row such as "
                f"table.iloc[[0]]. Got {len(query)}."
            )
        return query

    def feature_importance(
        self,
        X,
        y=None,
        *,
        groups=None,
        n_neighbors=None,
        max_users=None,
        random_state=None,
    ):
        """Return how much recall the fitted model loses without each column.

        The whole catalog is ranked for the users of held-out events, as in `score`,
        with all columns and without one at a time; nothing is learnt anew.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_events, n_columns)
            Held-out events with the columns of fit.
        y : array-like of shape (n_events,), default=None
            As in `fit`; only events with y > 0 are looked for.
        groups : dict of str to list of str, default=None
            Name -> columns of the users or the items, or "history", that are dropped
            together, and not one by one. A column that users and items both have is
            dropped from both. None: every column on its own.
        n_neighbors : int, default=None
            Number of items that count, >= 1. None: the constructor's.
        max_users : int, default=None
            Look at a random sample of so many users, the same for all columns. None:
            all.
        random_state : int, RandomState instance or None, default=None
            Draws the sample of users.

        Returns
        -------
        DataFrame
            One row per column of the users and the items, the ids among them, and one
            for the history; the largest loss first. Columns: ``side`` ("user", "item",
            "history"; joined by "+" for a group of several), ``column`` (or the name of
            a group), ``recall_lost`` (mean over users of the recall with all columns
            minus the recall without this one), ``lower`` and ``upper`` (its 95 %
            interval, from the standard error of the users' differences). ``attrs`` tell
            the ``recall`` with all columns and ``n_neighbors``.

        Raises
        ------
        ValueError
            No positive event in X, a group of columns that there are not, or a
            transformer that mixes columns and fails without one of them.
        TypeError
            Groups that are not a dict of lists.

        See Also
        --------
        TwoTowerRecommender.explain : What adds to the score of one pair.
        sktwotower.plots.FeatureImportanceDisplay : A picture of the table.

        Notes
        -----
        To drop a column is to set to zero what `TowerVectorizer`, or a
        `ColumnTransformer`, makes of it; for other transformers the column's cells are
        missing and the table is transformed again. What the items lack, past items in
        the users' histories lack, too.

        The figures tell what this model uses, not what a fit without the column would
        reach: of two columns that say the same, each can stand in for the other.

        The search is exact, whatever ``neighbors`` is. The time is that of `score`
        times the number of columns.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.datasets import make_interactions
        >>> made = make_interactions(100, 50, random_state=0)
        >>> X, held_out = made.data[~made.test_mask], made.data[made.test_mask]
        >>> model = TwoTowerRecommender(items=made.item_table, random_state=0).fit(X)
        >>> importance = model.feature_importance(held_out)
        >>> importance.columns.tolist()
        ['side', 'column', 'recall_lost', 'lower', 'upper']
        """
        check_is_fitted(self)
        k = check_n_neighbors(self.n_neighbors if n_neighbors is None else n_neighbors)
        dropped = self._to_drop(groups)
        frame = event_table(self, X, reset=False)
        query, _, judged = read_held_out(
            frame,
            y,
            None,
            users=self._users,
            items=self._items,
            seen=self._seen,
            n_items=len(self.item_ids_),
            exclude_seen=self.exclude_seen,
            max_users=max_users,
            random_state=random_state,
        )
        own = frame.iloc[judged.last_rows][self._users.features]
        complete = self._recalls(query, own, judged, k)
        rows = []
        for name, columns in dropped:
            recalls = self._recalls(query, own, judged, k, columns, complete)
            sides = "+".join(side for side in columns if columns[side])
            rows.append((sides, name, *_mean_and_interval(complete - recalls)))
        names = ["side", "column", "recall_lost", "lower", "upper"]
        table = pd.DataFrame(rows, columns=names)
        table = table.sort_values("recall_lost", ascending=False, kind="stable")
        table = table.reset_index(drop=True)
        table.attrs = {"recall": float(complete.mean()), "n_neighbors": k}
        return table

    def _to_drop(self, groups):
        """Return (name, columns by side) of everything that is dropped in turn."""
        known = {
            "user": columns_of(self._users),
            HISTORY: [] if self.net_.module_.history is None else [HISTORY],
            "item": columns_of(self._items),
        }
        given = _check_groups(groups, known)
        taken = {column for columns in given.values() for column in columns}
        together = [
            (name, {side: [c for c in columns if c in known[side]] for side in known})
            for name, columns in given.items()
        ]
        alone = [
            (column, {side: [column]})
            for side, columns in known.items()
            for column in columns
            if column not in taken
        ]
        return together + alone

    def _recalls(self, owners, own, judged, k, columns=None, complete=None):
        """Return the users' recalls (m,) without some columns, named by side.

        ``own``: the users' features of X, (m, n_features); ``complete``: the recalls
        with all columns, returned where nothing changes.
        """
        columns, past = columns or {}, self._past(owners)
        everything = Query(
            self._items.ids, np.arange(len(self._items.ids)), self._items.rows[:-1]
        )
        users = rows_without(self._users, owners, columns.get("user", ()), own)
        items = rows_without(self._items, everything, columns.get("item", ()))
        if columns.get(HISTORY):
            past = past * 0
            past.eliminate_zeros()
        elif complete is not None and users is owners.rows and items is everything.rows:
            return complete
        indices = self._ranked(users, past, items, k, judged.seen)
        return values_of(HeldOutRanking(indices=indices, **judged), "recall", k)

    def _ranked(self, users, past, items, k, excluded):
        """Rank the catalog exactly, by rows that need not be those of fit."""
        module = self.net_.module_

        def embed(block):
            return embed_users(module, users[block], rows_of(past, block), items)

        with threads(self.n_jobs):
            vectors = embed_items(module, items[: len(self.item_ids_)])
            index = ExactNeighbors().fit(vectors)
            return search(index, embed, users.shape[0], vectors, k, excluded)[1]


def _named(entities, rows):
    """Return the names and values of the stored entries of one feature row."""
    n_features = rows.shape[1]
    try:
        names = entities.transformer.get_feature_names_out()
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        names = ()  # many transformers have no names, some only fail to give them
    if len(names) != n_features:
        names = [f"{entities.side}_{i}" for i in range(n_features)]
    return np.asarray(names, dtype=object)[rows.indices], rows.data


def _part(side, features, values, added):
    return pd.DataFrame(
        {
            "side": side,
            "feature": pd.Series(list(features), dtype=object),
            "value": np.asarray(values, dtype=float),
            "contribution": np.asarray(added, dtype=float),
        }
    )


def _check_groups(groups, known):
    """Return groups of columns after checks; ``known`` are the columns by side."""
    if groups is None:
        return {}
    if not isinstance(groups, Mapping):
        raise TypeError(
            "groups must be a dict of names to lists of columns. Got "
            f"{type(groups).__name__}."
        )
    names = [column for columns in known.values() for column in columns]
    for name, columns in groups.items():
        if isinstance(columns, str | bytes) or not isinstance(columns, Iterable):
            raise TypeError(
                f"groups must give each name a list of columns. Got {columns!r} for "
                f"{name!r}; write [{columns!r}] for a single column."
            )
    given = {name: list(columns) for name, columns in groups.items()}
    for name, columns in given.items():
        unknown = [column for column in columns if column not in names]
        if unknown or not columns:
            got = f"Got {unknown[0]!r}" if unknown else "Got no column"
            hint = did_you_mean(unknown[0], names) if unknown else ""
            raise ValueError(
                f"groups must name columns of the users or the items, which are "
                f"{names}. {got} in {name!r}.{hint}"
            )
    return given


def _mean_and_interval(differences):
    """Return the mean of (m,) and the ends of its 95 % interval, nan for one user."""
    mean, half = differences.mean(), ERRORS_IN_INTERVAL * standard_error(differences)
    return mean, mean - half, mean + half
