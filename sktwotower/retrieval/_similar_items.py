"""Tables of ranked items, and items that are similar to given ones, as a mixin.

Input: ranked positions and scores (n, k); n items, as ids or a table, and an estimator
with a ``Fitted`` value.
Output: a table with one row per item.
"""

import functools
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd

from sktwotower._records._atomic import replaced_file
from sktwotower._records._model_file import check_path
from sktwotower._tables._arguments import hinted
from sktwotower._tables._messages import format_ids, imported, not_known
from sktwotower._tables._output import library_for, table_of
from sktwotower._tables._sparse import ones_at

from ._fitted_state import fitted_of
from ._requests import as_ids, one_known, read_query


def ranked_table(
    fitted, library, ids, scores, indices, propensities=None, labels=None, ranked=None
):
    """Return ranked positions (n, k) as a table: id, item, score and rank.

    ``propensities`` (n, k): a further column; None: there is none. ``labels``: what the
    first two columns are called; None: as in fit. ``ranked``: the ids that positions
    are of; None: those of the catalog.
    """
    if labels is None:
        labels = (fitted.users.label, fitted.items.label)
    if ranked is None:
        ranked = fitted.item_ids
    is_item = indices >= 0
    owners = np.repeat(ids, is_item.sum(axis=1))
    items = ranked[indices[is_item]]
    ranks = np.nonzero(is_item)[1] + 1
    columns = [owners, items, scores[is_item], ranks]
    names = [*labels, "score", "rank"]
    if propensities is not None:
        columns.append(propensities[is_item])
        names.append("propensity")
    return table_of(_names(*names), columns, library)


@functools.lru_cache(maxsize=16)
def _names(*names):
    """Return names as a pandas Index, cached since it costs as much as the table."""
    return pd.Index(names)


def check_ending(path):
    """Raise for what is no path, or if the name of a file is of another format."""
    check_path(path)
    if Path(path).suffix.lower() not in ("", ".parquet", ".pq"):
        raise ValueError(
            f"path must end in .parquet or .pq. Got {path!r}. For another format, "
            "leave path out and write the table."
        )


def write_parquet(tables, path):
    """Write an iterable of tables with the same columns to one Parquet file.

    The file gets its name when the last one is written (`replaced_file`).
    """
    message = "path= writes Parquet by pyarrow: pip install 'sktwotower[parquet]'."
    parquet = imported("pyarrow.parquet", message)
    import pyarrow

    writer = None
    with replaced_file(path) as file, ExitStack() as stack:
        for ranked in _with_rows(tables):
            try:
                table = pyarrow.Table.from_pandas(ranked, preserve_index=False)
            except (pyarrow.ArrowException, OverflowError) as error:
                users = format_ids(ranked.iloc[:, 0], 2)
                items = format_ids(ranked.iloc[:, 1], 2)
                raise TypeError(
                    "path= writes Parquet, which has no type for these ids: "
                    f"{users} and {items}. Fit on text or on integers of 64 bits, or "
                    "leave path out."
                ) from error
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(file, table.schema))
            writer.write_table(table.cast(writer.schema))
        if writer is None:
            raise ValueError(f"X holds no users: there is nothing to write to {path}.")


def _with_rows(tables):
    """Yield the tables with rows; if none has any, the last: it may show no types."""
    table = None
    has_rows = False
    for table in tables:
        if len(table):
            has_rows = True
            yield table
    if table is not None and not has_rows:
        yield table


class SimilarItemsMixin:
    """The method ``similar_items``.

    The estimator is a ``RetrievalMixin`` whose ``Fitted`` has ``search_similar(query,
    k, itself, serving)``. It returns scores and positions (n, k) of the items most
    similar to those of a ``Query``, except those at nonzeros of ``itself``, CSR (n,
    n_items).
    """

    @hinted
    def similar_items(self, items, n_neighbors=None) -> pd.DataFrame:
        """Find the items that are most similar to given items.

        Parameters
        ----------
        items : list, array, Series or dataframe of n items
            Ids known from fit, or a table with the id and all feature columns.
        n_neighbors : int, default=None
            Number of items per item, >= 1. None: the constructor's.

        Returns
        -------
        DataFrame
            Columns: the item column, ``similar_`` + its name, ``score`` (the
            similarity; for two towers the mean cosine of the parts that have vectors,
            apart from popularity) and ``rank`` (from 1). The item itself is left out.
            An item with fewer similar items has fewer rows. The table is of the library
            of ``items`` or, for ids, of X in fit, see `recommend`.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If items are unknown to fit and have no features, a table lacks columns, or
            ``n_neighbors`` < 1.
        TypeError
            If ``items`` is neither ids nor a table, or ``n_neighbors`` is not an
            integer.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
        ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
        ...      ["dan", "glue"], ["dan", "paint"]]
        >>> model = TwoTowerRecommender(random_state=1).fit(X)
        >>> model.similar_items(["tea", "paint"], n_neighbors=2).round(2)
            item similar_item  score  rank
        0    tea          jam   0.70     1
        1    tea        bread   0.33     2
        2  paint         glue   0.58     1
        3  paint        nails   0.55     2
        """
        fitted = fitted_of(self)
        k = self._k(n_neighbors, fitted)
        library = library_for(self, fitted, items)
        label = fitted.items.label
        labels = label, f"similar_{label}"
        serving = self._serving()

        # the most frequent request, one known item, takes a shorter way
        code = one_known(fitted.items, items)
        lists = None
        if code is not None:
            lists = fitted.similar_to_known(code, k, serving)
        if lists is not None:
            scores, indices = lists
            ids = as_ids(items)
            return ranked_table(fitted, library, ids, scores, indices, labels=labels)

        query = read_query(fitted.items, items, "items", fitted.schema)
        if query.described is None:
            unknown = query.ids[query.lacks_information()]
            if len(unknown):
                remedy = "Check the ids and their type"
                if fitted.items.has_features:
                    remedy += ", or pass a table with the features of new items"
                raise ValueError(f"{not_known(unknown, 'item')}. {remedy}.")
        is_known = (query.codes >= 0) & (query.codes < fitted.n_items)
        rows = np.flatnonzero(is_known)
        itself = ones_at(rows, query.codes[is_known], (len(query), fitted.n_items))
        scores, indices = fitted.search_similar(query, k, itself, serving)
        return ranked_table(fitted, library, query.ids, scores, indices, labels=labels)
