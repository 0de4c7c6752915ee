"""The context of a request, such as the hour, the device and the words of a search.

Input: distinct contexts (n_distinct, n_columns) of events; later, contexts of requests.
Output: feature rows, CSR (n, width). All that is unknown of a request has no entry.
"""

import math
from dataclasses import replace
from math import ceil
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._records import UpTo, array, frozen, integer, require
from sktwotower._tables._frames import as_frame, is_missing
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import side_by_side

from ._after_fit import with_keys, without_keys
from ._cells import read_cells
from ._context_columns import ContextColumns, distinct_contexts, without_marks
from ._request_clock import RequestClock
from ._tower_vectorizer import TowerVectorizer
from ._transformers import prepared
from ._value_encoders import spread

# The transformer sees each distinct context so many times at most, or as many as an
# integer min_frequency. Then that and the choice of a kind count events, also where
# only distinct contexts are read from disk; and as a frequent context is not repeated
# further, fit stays quick.
REPEATS = 10
# So many contexts are encoded in less time than it takes to find the distinct ones.
FEW = 8


def fit_context(columns, time, clock, distinct, counts, transformer, memory):
    """Learn the context of requests from that of events.

    Parameters
    ----------
    columns, time, clock
        As in `RequestContext`.
    distinct : DataFrame of shape (n_distinct, n_columns)
        The distinct contexts, as of `distinct_contexts`.
    counts : int array of shape (n_distinct,)
        The number of events of each.
    transformer : transformer or None
        Maps a table of contexts to feature rows. None: ``TowerVectorizer()``.
    memory : str, joblib.Memory or None
        Cache of fitted transformers and their output, as in `Described`.

    Returns
    -------
    context : RequestContext
    rows : CSR matrix of shape (n_distinct, own_width), float32
        Those of the distinct contexts; the first one, of no known cell, is empty.
    """
    context = RequestContext(list(columns), time, None, clock=clock)
    if not columns:
        return context, context._empty(len(distinct))
    transformer = prepared(transformer, "context", None)
    if len(distinct) == 1:
        names = ", ".join(map(repr, columns))
        warn(f"All cells of the context columns {names} are missing: they say nothing.")
        return context, context._empty(1)
    # missing cells matter to the choice of a kind; other transformers may refuse them
    is_vectorizer = isinstance(transformer, TowerVectorizer)
    cells = distinct[context.columns]
    start = 1
    if is_vectorizer:
        start = 0
    most = REPEATS
    if is_vectorizer and isinstance(transformer.min_frequency, Integral):
        most = transformer.min_frequency
    table = _repeated(cells, counts, start, most)
    dtypes = tuple(map(str, table.dtypes))
    context = replace(context, dtypes=dtypes, transformer=transformer)
    transformer, output = context.fit_transform(table, memory)
    if is_vectorizer:
        shares = np.average(_are_missing(cells), axis=0, weights=counts).tolist()
        transformer = without_marks(transformer, context.columns, shares)
        width = sum(len(encoder.names) for _, encoder in transformer.encoders_)
    else:
        incomplete = _are_missing(table).any(axis=1)
        width = context.checked_rows(output, len(table), incomplete).shape[1]
    context = replace(context, transformer=transformer, own_width=width)
    context = replace(context, ranges=context.ranges_of(_known_cells(cells)))
    return context, context._of_distinct(distinct)


@frozen
class RequestContext(ContextColumns):
    """What was known of a request, and how it is encoded.

    Parameters
    ----------
    columns : list
        The columns of X that describe a request, without the time.
    time : str or None
        The column of times, if it is one of the context.
    transformer : fitted transformer or None
        Maps a table of these columns to feature rows. None: there is nothing to encode.
    dtypes : tuple of str, default=()
        Type of each column that the transformer was fitted on.
    own_width : int, default=0
        Number of columns of the transformer's output.
    clock : RequestClock or None, default=None
        How times are encoded, whose columns come last. None if ``time`` is.
    is_auto : bool, default=False
        Whether only the time is known, and nobody has asked for it: then requests
        without a time are ones at the latest time of all.
    ranges : float64 array of shape (n_columns, 2), default=None
        The least and the largest number of each column in fit; nan: none. None: they
        are not known.
    """

    columns: list[str | int]
    time: str | int | None
    transformer: object | None
    dtypes: tuple[str, ...] = ()
    own_width: integer() = 0
    clock: RequestClock | None = None
    is_auto: bool = False
    ranges: array("float64", "n_ranges 2") | None = None

    side = "context"
    _older_formats = (UpTo(1, lacking={"is_auto": False, "ranges": None}),)

    def _check_stored(self, place):
        super()._check_stored(place)
        self.check_ranges(place)
        if self.transformer is None:
            require(self.own_width == 0, place, "a transformer")
            return
        n = len(self.columns)
        require(n == len(self.dtypes) > 0, f"{place}.dtypes", f"types of {n} columns")
        self.check_transformer(place)
        if isinstance(self.transformer, TowerVectorizer):
            n_features = vars(self.transformer).get("n_features_in_")
            require(n_features == n, f"{place}.transformer", f"one of {n} columns")

    def encode(self, table, name):
        """Return feature rows of a table, without those of the time.

        Parameters
        ----------
        table : dataframe of shape (n, n_columns)
            Has any of the columns; those it lacks are unknown, others are ignored.
        name : str
            What errors call the table.

        Returns
        -------
        rows : CSR matrix of shape (n, own_width), float32
        """
        table = as_frame(table, name)
        given = [column for column in self.columns if column in table.columns]
        if self.transformer is None or not given:
            return self._empty(len(table))
        if len(table) <= FEW:
            # as of the distinct ones, so that an answer is not that of fewer rows
            return self._transform(table[given].infer_objects())
        distinct, codes, _ = distinct_contexts(table[given])
        return self._of_distinct(distinct)[codes]

    def _of_distinct(self, distinct):
        """Return rows (n_distinct, own_width) of distinct contexts, the first empty."""
        if self.transformer is None:
            return self._empty(len(distinct))
        given = [column for column in self.columns if column in distinct.columns]
        table = distinct[given].iloc[1:].reset_index(drop=True)
        rows = self._transform(table.infer_objects())
        return sparse.vstack([self._empty(1), rows], format="csr")

    def _transform(self, table):
        """Return rows (n, own_width) of a table of some of the columns, in order.

        A ``TowerVectorizer`` encodes the columns that there are. With other
        transformers the row of a request of which nothing is known is empty.
        """
        n_rows = len(table)
        if isinstance(self.transformer, TowerVectorizer):
            # without its checks, which take most of the time of a single row
            blocks = []
            with self.explained(table):
                for position, encoder in self.transformer.encoders_:
                    column = self.columns[position]
                    if column in table.columns:
                        cells, missing = read_cells(table[column], encoder.name)
                        block = encoder.encode(cells, missing)
                    else:
                        shape = n_rows, len(encoder.names)
                        block = sparse.csr_matrix(shape, dtype=np.float32)
                    blocks.append(block)
                return side_by_side(blocks, n_rows)
        table = self._completed(table)
        is_missing = _are_missing(table)
        is_known = ~is_missing.all(axis=1)
        if not is_known.any():
            return self._empty(n_rows)
        incomplete = is_missing[is_known].any(axis=1)
        return spread(self.transform(table[is_known], incomplete), is_known)

    def _completed(self, table):
        """Return a table of exactly the columns: those that it lacks are missing.

        Those without a known cell get the type of fit: a transformer may not take
        another one, such as the floats that missing text becomes.
        """
        is_known = ~_are_missing(table).all(axis=0)
        known = set(table.columns[is_known])
        cells = {}
        for column, dtype in zip(self.columns, self.dtypes, strict=True):
            if column in known:
                cells[column] = table[column]
            else:
                cells[column] = _missing_cells(table.index, dtype)
        return pd.DataFrame(cells, columns=self.columns)

    def empty(self, n):
        """Return the rows (n, own_width) of requests of which no column is known."""
        return self._empty(n)

    def _empty(self, n):
        return sparse.csr_matrix((n, self.own_width), dtype=np.float32)

    def rows(self, encoded, times=None, gaps=None):
        """Return feature rows with those of the time.

        Parameters
        ----------
        encoded : CSR matrix of shape (n, own_width)
            What `encode` returns.
        times, gaps : float arrays of shape (n,), default=None
            As in `RequestClock.rows`. None: unknown.

        Returns
        -------
        rows : CSR matrix of shape (n, width), float32
        """
        if self.clock is None:
            return encoded
        if times is None and gaps is None:
            arrays = (encoded.data, encoded.indices, encoded.indptr)
            return sparse.csr_matrix(arrays, shape=(encoded.shape[0], self.width))
        if times is None:
            times = np.full(encoded.shape[0], np.nan)
        of_time = self.clock.rows(times, gaps)
        return sparse.hstack([encoded, of_time], format="csr", dtype=np.float32)

    def row_of_one(self, encoded, times, gaps):
        """Return columns and values, (m,) each, of what `rows` returns for one row."""
        if self.clock is None or (times is None and gaps is None):
            return encoded.indices, encoded.data
        time = math.nan
        if times is not None:
            time = float(times[0])
        gap = None
        if gaps is not None:
            gap = float(gaps[0])
        columns, values = self.clock.of_one(time, gap)
        columns = [self.own_width + column for column in columns]
        columns = np.array(columns, encoded.indices.dtype)
        values = np.array(values, np.float32)
        indices = np.concatenate([encoded.indices, columns])
        return indices, np.concatenate([encoded.data, values])

    def grown(self, distinct, counts):
        """Return a context with columns for levels, tags and words of later events.

        Parameters
        ----------
        distinct, counts
            As in `fit_context`, but of the later events.

        Returns
        -------
        context : RequestContext
        places : int array of shape (width,)
            Where the feature columns so far are among those now.
        rows : CSR matrix of shape (n_distinct, own_width), float32
            Those of the distinct contexts now.
        """
        context = self
        width = self.own_width
        places = np.arange(width)
        if self.transformer is not None:
            # a new level needs no more rows than that
            most = REPEATS
            if isinstance(self.transformer, TowerVectorizer):
                for _, encoder in self.transformer.encoders_:
                    most = max(most, ceil(encoder.settings.min_count))
            table = _repeated(distinct[self.columns], counts, 1, most)
            transformer, places, width = with_keys(self, table)
            ranges = self.wider_ranges(_known_cells(distinct[self.columns]))
            context = replace(
                self, transformer=transformer, own_width=width, ranges=ranges
            )
        places = np.append(places, width + np.arange(self.clock_width))
        return context, places, context._of_distinct(distinct)

    def without(self, unused):
        """Return a context without the levels, tags and words that nobody has any more.

        ``unused`` (width,): feature columns without an entry. Also return which feature
        columns are left, bool (width,). Columns of numbers and of the time always are.
        """
        is_unused = unused[: self.own_width]
        transformer, left = without_keys(self, is_unused, "values of the events")
        context = replace(self, transformer=transformer, own_width=int(left.sum()))
        return context, np.append(left, np.ones(self.clock_width, dtype=bool))


def _repeated(distinct, counts, start, most):
    """Return distinct contexts from ``start`` on, as often as events, up to a limit.

    The limit is ``most``, or REPEATS if that is more.
    """
    most = min(max(REPEATS, most), counts.max(initial=0))
    times = np.minimum(counts[start:], most)
    places = np.repeat(np.arange(start, len(distinct)), times)
    return distinct.iloc[places].reset_index(drop=True).infer_objects()


def _known_cells(distinct):
    """Return distinct contexts without the first one, of which nothing is known."""
    return distinct.iloc[1:].infer_objects()


def _are_missing(table):
    """Return which cells of a table are missing, bool (n, n_columns)."""
    columns = []
    for name, cells in table.items():
        columns.append(is_missing(cells.to_numpy(), f"Column {name!r}"))
    return np.stack(columns, axis=1)


def _missing_cells(index, dtype):
    """Return missing cells for a column of a dtype of fit, given as text."""
    if dtype.startswith(("datetime64", "timedelta64")):
        return pd.Series(pd.NaT, index=index, dtype=dtype)
    if dtype.lower().startswith(("int", "uint", "float", "bool")):
        return pd.Series(np.nan, index=index, dtype=float)
    return pd.Series(np.nan, index=index, dtype=object)
