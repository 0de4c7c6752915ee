"""Ranking methods that all recommenders share, as a mixin.

Input: n users, as ids or tables, and an estimator with a ``Fitted`` value.
Output: ranked items, as arrays (n, k) or as a table with one row per recommendation.
"""

from importlib import import_module
from os import PathLike
from typing import Any, TypedDict, Unpack, overload

import pandas as pd
from sklearn.utils import check_random_state

from sktwotower._sklearn_compat import without_output
from sktwotower._tables._arguments import hinted
from sktwotower._tables._frames import DASK_FRAME, DASK_SERIES, PANDAS, is_of
from sktwotower._tables._messages import check_flag
from sktwotower._tables._output import library_for
from sktwotower._tables._sparse import blocks
from sktwotower.runtime._exploration import Exploration
from sktwotower.runtime._rules import NO_RULES

from ._explained_score import explain
from ._fitted_state import Serving, fitted_attribute, fitted_of
from ._kneighbors import KNeighborsMixin, drawn_lists_of, lists_of
from ._known_users import KnownUsersMixin
from ._requests import read_request
from ._similar_items import check_ending, ranked_table, write_parquet
from ._why_not import why_not


class _Rest(TypedDict, total=False):
    """Types of the other arguments of ``recommend``: what comes back is the same."""

    exclude_seen: bool | None
    candidates: Any
    unknown_candidates: str
    history: Any
    exclude: Any
    context: Any
    where: Any
    max_per: dict[str, int] | None
    diversity: float | None
    explore: float | None
    random_state: Any


class RetrievalMixin(KNeighborsMixin, KnownUsersMixin):
    """Ranking methods shared by all recommenders.

    The estimator keeps its fitted state as ``_fitted``, a subclass of `Fitted`, which
    each method reads once. It has the parameters ``n_neighbors`` and ``exclude_seen``.
    """

    n_features_in_ = fitted_attribute("schema.n_columns")
    feature_names_in_ = fitted_attribute("schema.names")
    user_ids_ = fitted_attribute("user_ids")
    item_ids_ = fitted_attribute("item_ids")

    def __sklearn_is_fitted__(self):
        return vars(self).get("_fitted") is not None

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    explain = explain
    why_not = why_not

    def _serving(self):
        """Return the parameters that are read at the time of a request."""
        return Serving()

    @overload
    def recommend(
        self, X=None, n_neighbors=None, *, path: None = None, **rest: Unpack[_Rest]
    ) -> pd.DataFrame: ...
    @overload
    def recommend(
        self, X=None, n_neighbors=None, *, path: str | PathLike, **rest: Unpack[_Rest]
    ) -> None: ...
    @hinted
    def recommend(
        self,
        X=None,
        n_neighbors=None,
        *,
        exclude_seen=None,
        candidates=None,
        unknown_candidates="error",
        history=None,
        exclude=None,
        context=None,
        where=None,
        max_per=None,
        diversity=None,
        explore=None,
        random_state=None,
        path=None,
    ) -> pd.DataFrame | None:
        r"""Recommend items to users.

        Parameters
        ----------
        X : list, array, Series, dataframe or None, default=None
            Users, as in `kneighbors`, or a Dask dataframe or Series of them. None:
            every user known from fit or, with ``history``, every user who occurs in it.
        n_neighbors : int, default=None
            Number of items per user, >= 1. None: the constructor's.
        exclude_seen : bool, default=None
            Leave out items that the user chose in fit or in ``history``. None: the
            constructor's.
        candidates : list, array, dict or dataframe, default=None
            Recommend only these items: one list of ids for all users, or a list for
            each user, as a dict of users to lists, an array of (user, item) rows or a
            table with both columns. Users without candidates get no rows. None: the
            whole catalog.
        unknown_candidates : {"error", "ignore"}, default="error"
            Whether candidates that are not in the catalog raise an error or are
            ignored.
        history : dataframe, dict, array, list or None, default=None
            Events of these users that fit has not seen: a table with the user and the
            item column, a dict of users to lists of items, an array of (user, item)
            rows or, for a single user, a list of items. They are added to the events of
            fit, so that new users can be served without refitting. Items unknown to
            fit are ignored. If order counts (``time``), a table needs the time column;
            lists and arrays are in order, oldest first, and later than all events of
            fit.
        exclude : dataframe, dict, array, list or None, default=None
            Pairs that are never recommended, such as what a user disliked or was shown
            today, in a form that ``history`` may have. Unlike it they do not count as
            taste. Pairs of users who are not asked for, and of items that are not in
            the catalog, are ignored. None: no pairs.
        context : dict, default=None
            What is known of the request, for all users: columns that
            ``TwoTowerRecommender(context=...)`` names, with a value for each. A table X
            may have these columns instead, with a value for each row. None: what X
            does not say is unknown.
        where : dict or callable, default=None
            Recommend only items that qualify by the item table: the ids, named as in X
            of fit, and the features of items, from the side table ``items``, from X or
            from `set_catalog`. A dict of columns to what their cells must be: a value;
            a list, of which any will do; or an interval, a tuple (low, high) of numbers
            or dates, both inclusive, None where it is open. Missing values never
            qualify; a cell that is a list qualifies by any of its values. Dates may be
            text, such as "2024-05-31"; those with a time zone are compared as UTC. Or a
            function, which gets the item table, one row for each of ``item_ids_``, and
            returns booleans (n_items,). It is called in each request, as what it reads
            may have changed. A function with the attribute ``keep_answer = True`` is
            called once for each catalog: its answer must depend on the item table only.
            None: all items.
        max_per : dict, default=None
            How many items of a list may have the same value: a dict of columns of the
            item table to numbers >= 1. The best ones are kept. Items whose value is
            missing are not limited. None: no limit.
        diversity : float, default=None
            How much the items of a list are to differ, from 0 to 1; lists have at most
            1,000 items then. 0 or None is the order by score. See the Notes.
        explore : float, default=None
            Draw each list by chance, from the softmax of the scores divided by this
            temperature, and return how probable its items were: at least 1e-6, for at
            most 1,000 items per list. Near 0 lists are those of the best items; the
            larger it is, the more often others are shown. None: nothing is drawn. See
            the Notes.
        random_state : int, RandomState instance or None, default=None
            Draws with ``explore``: the same int, the same lists. Leave it None where
            requests are answered one by one, as each would draw the same numbers.
        path : str or path, default=None
            Write the table to this Parquet file, one block of users after the other,
            instead of returning it. Its name ends in .parquet or .pq, or has no ending.
            Needs pyarrow.

        Returns
        -------
        DataFrame, or None with ``path``
            One row per recommendation, users in the order given, best first. Columns:
            the user and the item column, named as in X of fit, ``score`` (as of
            ``predict``) and ``rank`` (from 1). A user for whom fewer items are left has
            fewer rows, and none if no item qualifies. With ``diversity``, ``rank`` is
            the order in which items were chosen, and ``score``, which stays that of the
            model, need not fall with it; so it is with ``explore``, which adds the
            column ``propensity``. The table is of the library (pandas, polars,
            pyarrow) that ``set_output`` chose or, by default, of X, ``history``,
            ``candidates`` or ``exclude``: the first that is a table or a Series. If
            only ids are passed, it is of X in fit. It is of pandas, with a warning, if
            that library is not installed or has no type for the ids. If X is of Dask,
            so is the table, not yet computed: each partition is ranked on one thread by
            the model as it is now.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If a table lacks columns, ``history`` or ``candidates`` do not name their
            users, candidates are not in the catalog, ``n_neighbors`` < 1, ``where`` or
            ``max_per`` names a column that the item table lacks, or ``max_per`` one
            that holds lists, a value of ``where`` does not fit its column, a function
            as ``where`` returns anything but booleans (n_items,), a limit of
            ``max_per`` is < 1, ``diversity`` is not from 0 to 1, ``n_neighbors`` is >
            1,000 with one of these two or with ``explore``, ``explore`` is < 1e-6 or
            comes with ``diversity``, ``path`` has another ending, or ``path`` or
            ``explore`` is set and X is of Dask.
        TypeError
            If X, ``history``, ``candidates``, ``exclude``, ``exclude_seen``,
            ``where``, ``max_per``, ``diversity`` or ``explore`` are of another type, or
            ids do not fit into Parquet.
        ImportError
            If ``path`` is set and pyarrow is not installed.
        OSError
            If ``path`` cannot be written.

        Warns
        -----
        UserWarning
            If none of the ids in an argument is known, and they have another type; or
            if no item of the catalog qualifies by ``where``.

        Notes
        -----
        ``diversity`` is maximal marginal relevance [1]_. Candidates are the max(5 k,
        50) best items that qualify. Items are chosen one by one, each the one with the
        largest

        .. math:: (1 - d) \, \frac{s - s_{min}}{s_{max} - s_{min}}
                  - d \, \max_{j \in chosen} \cos(v, v_j)

        where d is ``diversity``, s the item's score, the smallest and the largest one
        are those of the candidates, and v is the item's vector; the maximum is 0 for
        the first item. `TwoStageRecommender` takes the vectors of its retriever.
        Recommenders without vectors take the columns of the matrix of ones where a user
        chose an item. If ``max_per`` leaves a list short, there are four times as many
        candidates, until it is full or all items were looked at.

        ``explore`` draws the items of a list one after the other, each from the items
        that are left:

        .. math:: p(i) = \frac{\exp(s_i / t)}{\sum_{j \in left} \exp(s_j / t)}

        where t is the temperature, and those that are left are all items that the
        request may show, without those above, and without those of which ``max_per``
        allows no more. ``propensity`` is this p: the probability of the item at its
        rank, given the items above it. For the first item it is that of the softmax;
        the product over a list is the probability of the list. All items are scored,
        also with an index, and the largest sums of s / t and random numbers are taken
        [2]_. `metrics.off_policy_value` estimates from a log of such lists what other
        lists would have earned.

        References
        ----------
        .. [1] Carbonell, J. and Goldstein, J. (1998). The use of MMR, diversity-based
           reranking for reordering documents and producing summaries. SIGIR 1998,
           335-336.
        .. [2] Kool, W., van Hoof, H. and Welling, M. (2019). Stochastic beams and where
           to find them: the Gumbel-top-k trick for sampling sequences without
           replacement. ICML 2019.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> model.recommend(["ann", "cid"], n_neighbors=2).round(2)
          user   item  score  rank
        0  ann  bread   0.02     1
        1  ann  paint  -0.59     2
        2  cid  paint   0.06     1
        3  cid  bread  -0.51     2

        A new user, who has put nails into the basket, choosing from three items:

        >>> basket, offers = {"zoe": ["nails"]}, ["tea", "glue", "paint"]
        >>> model.recommend(["zoe"], 2, history=basket, candidates=offers).round(2)
          user   item  score  rank
        0  zoe   glue   0.33     1
        1  zoe  paint   0.11     2

        The same without glue, which this user has turned down:

        >>> refused = {"zoe": ["glue"]}
        >>> model.recommend(["zoe"], 1, history=basket, exclude=refused).round(2)
          user   item  score  rank
        0  zoe  paint   0.11     1

        Only items in stock; one of each shelf; items that differ:

        >>> import pandas as pd
        >>> items = ["tea", "jam", "bread", "nails", "glue", "paint"]
        >>> shop = pd.DataFrame({"item": items, "shelf": ["food"] * 3 + ["tools"] * 3,
        ...                      "stock": [0, 7, 3, 90, 12, 0]})
        >>> model = TwoTowerRecommender(items=shop, random_state=1, exclude_seen=False)
        >>> model = model.fit(X)
        >>> model.recommend(["ann"], 2, where={"stock": (1, None)}).round(2)
          user   item  score  rank
        0  ann    jam   0.93     1
        1  ann  bread   0.56     2
        >>> model.recommend(["ann"], 2, max_per={"shelf": 1}).round(2)
          user  item  score  rank
        0  ann   jam   0.93     1
        1  ann  glue  -0.18     2
        >>> model.recommend(["ann"], 3, diversity=0.5).round(2)
          user   item  score  rank
        0  ann    jam   0.93     1
        1  ann  nails  -0.30     2
        2  ann  paint  -0.36     3

        Lists by chance, which show what else would be chosen:

        >>> model.recommend(["ann"], 3, explore=0.5, random_state=0).round(2)
          user   item  score  rank  propensity
        0  ann    tea   0.84     1        0.32
        1  ann    jam   0.93     2        0.58
        2  ann  bread   0.56     3        0.64
        """
        of_request = {
            "candidates": candidates,
            "unknown_candidates": unknown_candidates,
            "history": history,
            "exclude": exclude,
            "context": context,
        }
        of_rules = {"where": where, "max_per": max_per, "diversity": diversity}
        if is_of(X, DASK_FRAME, DASK_SERIES):
            if explore is not None:
                raise ValueError(
                    "explore draws lists of users in memory, and X is of Dask. Pass "
                    "X.compute(), or leave explore out."
                )
            options = {
                "n_neighbors": n_neighbors,
                "exclude_seen": exclude_seen,
                **of_request,
                **of_rules,
            }
            return _recommend_lazily(self, X, path, options)
        fitted = fitted_of(self)
        if path is not None:
            check_ending(path)
        k = self._k(n_neighbors, fitted)
        serving = self._serving()
        hidden = self.exclude_seen
        if exclude_seen is not None:
            hidden = check_flag(exclude_seen, "exclude_seen")
        rules = NO_RULES
        if any(rule is not None for rule in of_rules.values()):
            rules = fitted.item_table.rules(k=k, **of_rules)
        exploration = None
        if explore is not None:
            random = check_random_state(random_state)
            exploration = Exploration.of(explore, random, diversity, k)
        # a file is written block by block, and all items are scored for a draw
        is_lazy = path is None and exploration is None
        request = read_request(fitted, X, rules=rules, lazy=is_lazy, **of_request)
        if path is not None:
            tables = _tables(fitted, request, k, serving, hidden, rules, exploration)
            return write_parquet(tables, path)
        if request.past is not None:  # of several users
            request.check_size(k)
        library = library_for(self, fitted, X, history, candidates, exclude)
        if exploration is not None:
            drawn = drawn_lists_of(
                fitted, request, k, serving, hidden, rules, exploration
            )
            return ranked_table(fitted, library, request.users.ids, *drawn)
        scores, indices = lists_of(fitted, request, k, serving, hidden, rules)
        return ranked_table(fitted, library, request.users.ids, scores, indices)


def _tables(fitted, request, k, serving, hidden, rules, exploration):
    """Yield a table of recommendations for each block of the users of a request."""
    serving = serving._replace(n_users=len(request))
    for block in blocks(len(request), serving.verbose):
        part = request[block]
        if exploration is None:
            lists = lists_of(fitted, part, k, serving, hidden, rules)
        else:
            lists = drawn_lists_of(fitted, part, k, serving, hidden, rules, exploration)
        yield ranked_table(fitted, PANDAS, part.users.ids, *lists)


def _recommend_lazily(model, X, path, options):
    """Return ``model.recommend(X, **options)`` as a Dask dataframe.

    The model and the options are one node of the graph: the scheduler sends them once
    to each worker that needs them, and again to a worker that takes the place of one
    that was lost.

    Parameters
    ----------
    model : recommender
        Fitted. What it learns after this call does not change the result.
    X : Dask DataFrame or Series
    path : None
        Anything else is refused.
    options : dict
        Further arguments of `recommend`.
    """
    fitted = fitted_of(model)
    if path is not None:
        raise ValueError(
            f"path must be None where X is of Dask. Got {path!r}. Nothing is computed "
            "yet; write the result: model.recommend(X).to_parquet(path)."
        )
    model = without_output(model)
    if "n_jobs" in model.get_params(deep=False):
        model.set_params(n_jobs=1)  # the tasks of a worker share its processors already
    model.recommend(X._meta, **options)  # errors of arguments come at once
    # a table without rows would not show the types of ids; a Series chooses pandas
    first = pd.Series(fitted.user_ids[:1])
    meta = model.recommend(first, 1, exclude_seen=False).iloc[:0]
    shared = import_module("dask").delayed((model, options), traverse=False)
    return X.map_partitions(
        _recommend_to, shared, meta.dtypes, meta=meta, clear_divisions=True
    )


def _recommend_to(users, shared, dtypes):
    """Return the recommendations to the users of one partition, a pandas frame.

    It is a function of the module, so that workers can import it.
    """
    model, options = shared
    return model.recommend(users, **options).astype(dtypes)
