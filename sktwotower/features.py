"""Enters: a users or an items table, one row per entity, (n_rows, n_columns).

Leaves: a CSR float32 matrix (n_rows, n_features_out), one block per column.
Next: sampling.py, which draws batches from the rows of two such matrices.
"""

import re
from difflib import get_close_matches
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, RealNotInt
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from sktwotower.encoders import ENCODERS, LISTS, find_delimiter
from sktwotower.frames import as_frame, is_frame, read_cells

ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
WORD = re.compile(r"\w")
ID_NAME = re.compile(r"(?i:(^|[\W_])(id|code))$|[a-z](Id|ID|Code)$")
MAX_LEVELS = 50  # integers with more distinct values are quantities


class TowerVectorizer(TransformerMixin, BaseEstimator):
    """Turn a table of users or items into one sparse row per entity.

    Each column of the table becomes a block of output columns whose rows have norm
    1 (numbers and dates: about 1), so that no column dominates the sum of embeddings
    that a tower's first layer computes. How a column is encoded, its *kind*, is
    chosen in `fit` from its dtype and content, is shown by `kinds_` and can be
    forced by `kinds`.

    Parameters
    ----------
    kinds : dict of str to str, default=None
        Column name -> kind, for columns whose kind is to be forced; the columns of
        a nameless array are called 'x0', 'x1', ... Kinds are 'id', 'category',
        'number', 'boolean', 'datetime', 'list', 'text' and 'drop' (see Notes).
    min_frequency : int or float, default=2
        Levels of a category seen in fewer rows are grouped into one column, tags of
        a list and words of a text seen in fewer rows are left out (unless that
        would leave none). An int >= 1 counts rows; a float in (0.0, 1.0) is a share
        of the rows. Ids are never grouped.
    max_features : int, default=20000
        Most output columns of one list or text column, >= 1; the most frequent are
        kept.

    Attributes
    ----------
    kinds_ : dict of str to str
        Column name -> the kind used, one entry per column of X.
    encoders_ : list of (int, encoder) pairs
        Position in X and fitted encoder of each column that is not dropped.
    n_features_in_ : int
        Number of columns of X in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names of X in `fit`; only if they are all strings.

    Notes
    -----
    What a cell becomes, and which columns get that kind by themselves:

    - 'id': one-hot, unknown or missing -> zeros. Integers and single words that are
      all different.
    - 'category': one-hot. Rare levels share the column `<name>_infrequent`, which
      unknown levels get too (zeros if there is none). Categorical dtypes, strings
      that repeat, integers of at most 50 values seen 5 times or more on average,
      and integers whose name ends in 'id' or 'code'.
    - 'number': z = clip((x - median) / IQR, -3, 3), where IQR is the interquartile
      range, or the standard deviation if the IQR is 0, or 1 if both are. Floats,
      time spans (in seconds), all other integers.
    - 'boolean': 1 or -1. Booleans only; whole numbers 0 and 1 are a category.
    - 'datetime': days since 1970 scaled as a number, and the angles 2 pi
      (month - 1) / 12 and 2 pi weekday / 7 (Monday is 0) as sine and cosine, all
      divided by sqrt(3). Dates, ISO 8601 strings. Time zones are turned into UTC.
    - 'list': multi-hot, 1 / sqrt(n) for each of the n known tags of a cell; a dict
      cell gives tag -> weight, divided by the norm of its known weights. Lists,
      tuples, sets, arrays, dicts; strings such as 'Action|Comedy', 'a;b' or 'a, b':
      a third of the distinct cells (for commas half of them) have the delimiter,
      its parts have at most 2.5 words on average, and parts between commas are no
      more varied than the cells.
    - 'text': TF-IDF with sublinear term frequency and norm 1. Strings with 1.5 words
      or more on average, of which more than half the rows, or more than 200, differ.
    - 'drop': no column. Columns that are all missing (even if forced), or
      constant in a table of more than one row.

    A float column that holds missing values, and else whole numbers that repeat,
    counts as integers, for that is how pandas stores integers with gaps. The integer
    5, 5.0 and a nullable 5 are the same id or level; the string '5' is another.

    Where `fit` has seen missing cells, `<name>_missing` is 1 for them (not for
    ids); the rest of their block is 0. Memory is O(nonzeros).

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower.features import TowerVectorizer
    >>> items = pd.DataFrame({
    ...     "movie": [11, 12, 13],
    ...     "genres": ["Action|Comedy", "Drama", "Action|Drama"],
    ...     "price": [1.0, None, 3.0],
    ... })
    >>> vectorizer = TowerVectorizer(kinds={"movie": "id"}).fit(items)
    >>> vectorizer.kinds_
    {'movie': 'id', 'genres': 'list', 'price': 'number'}
    >>> vectorizer.get_feature_names_out().tolist()
    ['movie_11', 'movie_12', 'movie_13', 'genres_Action', 'genres_Drama', 'price', \
'price_missing']
    >>> vectorizer.transform(items).toarray().round(2)
    array([[ 1.  ,  0.  ,  0.  ,  1.  ,  0.  , -1.  ,  0.  ],
           [ 0.  ,  1.  ,  0.  ,  0.  ,  1.  ,  0.  ,  1.  ],
           [ 0.  ,  0.  ,  1.  ,  0.71,  0.71,  1.  ,  0.  ]], dtype=float32)
    """

    _parameter_constraints = {
        "kinds": [dict, None],
        "min_frequency": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "max_features": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, *, kinds=None, min_frequency=2, max_features=20_000):
        self.kinds = kinds
        self.min_frequency = min_frequency
        self.max_features = max_features

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Choose the kind of each column and learn its levels, words or scale.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_rows, n_columns)
            One row per entity. pandas, polars, pyarrow or an array.
        y : None
            Ignored.

        Returns
        -------
        self : TowerVectorizer
            The fitted vectorizer.

        Raises
        ------
        ValueError
            If X is empty, has an infinite number or two columns of one name; if
            `kinds` names no column of X or no kind.
        TypeError
            If the cells of a column do not suit its kind.
        """
        table = _check_table(self, X, reset=True)
        names = _check_feature_names_in(self).tolist()
        forced = _check_kinds(self.kinds or {}, names)
        min_count = self.min_frequency
        if not isinstance(min_count, Integral):
            min_count = min_count * len(table)
        self.kinds_, self.encoders_ = {}, []
        for position, name in enumerate(names):
            if forced.get(name) == "drop":
                self.kinds_[name] = "drop"
                continue
            column = table.iloc[:, position]
            cells, missing = _read_finite(name, column)
            kind = forced.get(name) or _choose_kind(name, column, cells)
            self.kinds_[name] = kind = "drop" if len(cells) == 0 else kind
            if kind != "drop":
                encoder = ENCODERS[kind](name, kind, min_count, self.max_features)
                self.encoders_.append((position, encoder.fit(cells, missing)))
        return self

    def transform(self, X):
        """Encode each row of a table with the columns of `fit`.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_rows, n_features_in_)
            Rows may be new; unknown ids, levels, tags and words are no error.

        Returns
        -------
        Xt : CSR matrix of shape (n_rows, n_features_out), float32
            A row depends on that row of X alone.

        Raises
        ------
        ValueError
            If the columns of X are not those of `fit`, or a number is infinite.
        TypeError
            If the cells of a column do not suit its kind.
        """
        check_is_fitted(self)
        table = _check_table(self, X, reset=False)
        blocks, width = [], 0
        for position, encoder in self.encoders_:
            cells, missing = _read_finite(encoder.name, table.iloc[:, position])
            rows, columns, data = encoder.encode(cells, missing)
            blocks.append((rows, columns + width, data))
            width += len(encoder.names)
        return _assemble(blocks, (len(table), width))

    def get_feature_names_out(self, input_features=None):
        """Name the output columns, such as 'price' or 'genres_Action'.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features_in_,), default=None
            Names to use where X in `fit` had none; None: 'x0', 'x1', ... With
            `feature_names_in_` it must be equal to that.

        Returns
        -------
        names : ndarray of str of shape (n_features_out,)
            One name per output column.

        Raises
        ------
        ValueError
            If `input_features` does not fit the columns of X in `fit`.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        return np.array(
            [
                f"{names[position]}_{suffix}" if suffix != "" else names[position]
                for position, encoder in self.encoders_
                for suffix in encoder.names
            ],
            dtype=object,
        )

    def __sklearn_tags__(self):
        """Tell scikit-learn that strings, levels and missing cells are welcome."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_table(vectorizer, X, reset):
    """Return X as a pandas DataFrame; its columns are set (reset) or checked."""
    if is_frame(X) and not isinstance(X, pd.DataFrame):
        X = as_frame(X, "X")
    min_rows = 1 if reset else 0
    if not isinstance(X, pd.DataFrame):
        X = validate_data(
            vectorizer,
            X,
            reset=reset,
            dtype=None,
            ensure_all_finite=False,
            ensure_min_samples=min_rows,
        )
        return pd.DataFrame(X)
    if not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()].unique().tolist()
        raise ValueError(f"X has more than one column of the name {twice}. Rename one.")
    _check_names(vectorizer, X, reset)
    bounds = ((len(X), min_rows, "sample"), (X.shape[1], 1, "feature"))
    for size, least, what in bounds:
        if size < least:
            raise ValueError(
                f"Found array with {size} {what}(s) (shape={X.shape}) while a minimum "
                f"of {least} is required by {type(vectorizer).__name__}."
            )
    return X


def _check_names(vectorizer, table, reset):
    """Let scikit-learn check the column names; tell which of them may be misspelt."""
    try:
        validate_data(vectorizer, table, reset=reset, skip_check_array=True)
    except ValueError as error:
        known = getattr(vectorizer, "feature_names_in_", np.empty(0)).tolist()
        missing = [name for name in known if name not in table.columns]
        hints = [
            f"{name!r} was not a column in fit.{hint}"
            for name in table.columns
            if name not in known and (hint := _did_you_mean(name, missing))
        ]
        raise ValueError("\n".join([str(error).rstrip(), *hints])) from None


def _check_kinds(kinds, names):
    """Return kinds if its keys are names of columns and its values are kinds."""
    for name, kind in kinds.items():
        if name not in names:
            raise ValueError(
                f"kinds names {name!r}, which is not a column of X. Columns of X: "
                f"{names}.{_did_you_mean(name, names)}"
            )
        if kind not in (allowed := [*ENCODERS, "drop"]):
            raise ValueError(
                f"kinds[{name!r}] must be one of {allowed}. Got {kind!r} instead."
                f"{_did_you_mean(kind, allowed)}"
            )
    return kinds


def _did_you_mean(name, names):
    """Return a sentence that suggests the closest of names, or ''."""
    close = get_close_matches(str(name), names, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def _read_finite(name, column):
    """Return the present cells (n_present,) and the mask of missing ones (n_rows,)."""
    cells, missing = read_cells(column)
    if cells.dtype.kind == "f" and np.isinf(cells).any():
        raise ValueError(
            f"Column {name!r} holds an infinite number. Expected finite numbers or "
            "missing cells; replace inf by NaN."
        )
    return cells, missing


def _assemble(blocks, shape):
    """Put triplets (rows, columns, data), one per block, into one CSR matrix."""
    if not blocks:
        return sparse.csr_matrix(shape, dtype=np.float32)
    rows, columns, data = map(np.concatenate, zip(*blocks, strict=True))
    data = data.astype(np.float32)
    matrix = sparse.coo_matrix((data, (rows, columns)), shape=shape).tocsr()
    matrix.eliminate_zeros()
    return matrix


def _choose_kind(name, column, cells):
    """Choose the kind of a column from its dtype and its present cells (n,)."""
    if len(cells) == 0:
        return "drop"
    if cells.dtype == object and any(isinstance(cell, LISTS) for cell in cells):
        return "drop" if _are_same_lists(cells) and len(column) > 1 else "list"
    distinct = set(cells.tolist())
    if len(distinct) == 1 and len(cells) == len(column) > 1:
        return "drop"
    if column.dtype.type is pd.CategoricalDtype.type:  # a dictionary of pyarrow, too
        return "category"
    if cells.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: column {name!r} is complex.")
    if cells.dtype == object:
        return _choose_object_kind(cells, distinct)
    if cells.dtype.kind == "f" and len(cells) < len(column):
        whole = np.array_equal(cells, np.floor(cells)) and np.isfinite(cells).all()
        whole = whole and len(distinct) < len(cells)
    else:
        whole = cells.dtype.kind in "iu"
    if whole:
        return _choose_integer_kind(name, len(cells), distinct)
    return {"b": "boolean", "M": "datetime"}.get(cells.dtype.kind, "number")


def _are_same_lists(cells):
    """Tell whether every cell is a list equal to the first one."""
    first = cells[0]
    if isinstance(first, (dict, set, frozenset)):
        return all(type(cell) is type(first) and cell == first for cell in cells)
    return all(isinstance(c, LISTS) and list(c) == list(first) for c in cells)


def _choose_integer_kind(name, n_cells, distinct):
    """Tell flags, ids and levels from quantities."""
    if distinct == {0, 1}:  # not boolean: a 2 may come one day
        return "category"
    if len(distinct) == n_cells:
        return "id"
    few = len(distinct) <= MAX_LEVELS and n_cells >= 5 * len(distinct)
    return "category" if few or ID_NAME.search(name) else "number"


def _choose_object_kind(cells, distinct):
    """Tell lists, dates, texts and ids from levels."""
    inferred = pd.api.types.infer_dtype(cells, skipna=False)
    if inferred in ("datetime", "datetime64", "date"):
        return "datetime"
    if inferred == "string":
        if find_delimiter(distinct):
            return "list"
        if _are_dates(distinct):
            return "datetime"
        n_words = np.mean([len(cell.split()) for cell in distinct])
        varied = len(distinct) > min(len(cells) / 2, 200)
        if n_words >= 1.5 and varied and any(map(WORD.search, distinct)):
            return "text"
    return "id" if len(distinct) == len(cells) else "category"


def _are_dates(distinct):
    """Tell whether every string is a date in ISO 8601, not just shaped like one."""
    if not all(ISO_DATE.fullmatch(cell) for cell in distinct):
        return False
    dates = pd.to_datetime([*distinct], utc=True, errors="coerce", format="mixed")
    return not dates.hasnans
