"""The transformer that encodes each column of a table of users or items by its kind.

Input: a table (n_rows, n_columns) with one row per user or item.
Output: a CSR float32 matrix (n_rows, n_features_out), one block per column.

The encoders of scikit-learn and skrub are not used (OneHotEncoder, TfidfVectorizer,
KBinsDiscretizer, RobustScaler, DatetimeEncoder do parts of the work). Here the rows of
each block have norm about 1 and are sparse float32; ids of later events get columns of
their own (`partial_fit`); and levels, tags and words that fit has not seen can share
hashed columns.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sktwotower import _records as stored
from sktwotower import _sklearn_compat as compat
from sktwotower._tables._frames import LIBRARIES, is_missing, library_of
from sktwotower._tables._output import in_library
from sktwotower._tables._pickled import VersionedMixin
from sktwotower._tables._sparse import side_by_side

from ._cells import check_table, read_cells
from ._column_kind import ColumnKind
from ._kinds import CLASSES, ENCODERS, check_kinds, choose_kind, make_encoder
from ._value_encoders import Settings

NUMBERS = compat.StrOptions({"scaled", "quantiles"})


@dataclass(kw_only=True, eq=False, repr=False)
class VectorizerParameters(VersionedMixin, TransformerMixin, BaseEstimator):
    """The parameters of `TowerVectorizer`."""

    _parameter_constraints = compat.ParameterConstraints()
    kinds: Mapping[str, str | ColumnKind] | None = compat.parameter(None, dict, None)
    min_frequency: int | float = compat.parameter(2, compat.COUNT, compat.SHARE)
    max_features: int = compat.parameter(20_000, compat.COUNT)
    n_hashed: int | None = compat.parameter(None, compat.COUNT, None)
    numbers: str = compat.parameter("scaled", NUMBERS)


@stored.record
class TowerVectorizer(VectorizerParameters):
    """Turn a table of users or items into one sparse row per entity.

    Each column of the table becomes a block of output columns. The rows of a block
    have norm 1 (numbers and dates: about 1), so that no column dominates the others.
    `fit` chooses how a column is encoded, its *kind*, by its dtype and content.
    `kinds_` shows the choice and `kinds` overrides it.

    Parameters
    ----------
    kinds : dict of str to str or ColumnKind, default=None
        Column name -> kind, to override the chosen kind; the columns of
        a nameless array are called 'x0', 'x1', ... Kinds are 'id', 'category',
        'number', 'boolean', 'datetime', 'list', 'text', 'vector' and 'drop' (see
        Notes), and objects of kinds of your own, `sktwotower.features.ColumnKind`.
    min_frequency : int or float, default=2
        Levels of a category seen in fewer rows are grouped into one column, tags of
        a list and words of a text seen in fewer rows are left out (unless that
        would leave none). An int >= 1 counts rows; a float in (0.0, 1.0) is a share
        of the rows. Ids are never grouped.
    max_features : int, default=20000
        Maximum number of output columns of one category, list or text, >= 1; those
        seen in the most rows are kept. Further levels of a category are grouped as
        rare ones are, with a warning. Every id has a column.
    n_hashed : int, default=None
        Number of additional hashed columns, >= 1, of each category, list and text,
        for vocabularies that keep growing: levels, tags and words without a column of
        their own (rare, beyond `max_features` or unknown in `fit`) share them and are
        neither grouped nor left out. None: no such columns. Ids are never hashed.
    numbers : {'scaled', 'quantiles'}, default='scaled'
        How columns of the kind 'number' are encoded: one scaled column, or one-hot
        by 10 quantile bins, from which a linear layer can learn any step function.

    Attributes
    ----------
    kinds_ : dict of str to str
        Column name -> the kind used, one entry per column of X; of a kind of your own
        the name of its class.
    encoders_ : list of (int, encoder) pairs
        Position in X and fitted encoder of each column that is not dropped.
    n_features_in_ : int
        Number of columns of X in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names of X in `fit`; only if they are all strings.

    Notes
    -----
    How a cell of each kind is encoded, and which columns get that kind by default:

    - 'id': one-hot, unknown or missing -> zeros. Integers and single words that are
      all different.
    - 'category': one-hot. Rare levels share the column `<name>_infrequent`, which
      unknown levels get too (zeros if there is none). Categorical dtypes, strings
      that repeat, integers of at most 50 values seen 5 times or more on average,
      and integers whose name ends in 'id' or 'code'.
    - 'number': z = clip((x - median) / IQR, -3, 3), where IQR is the interquartile
      range, or the standard deviation if the IQR is 0, or 1 if both are. With
      `numbers='quantiles'`: one-hot by up to 10 bins `<name>_bin0`, ..., whose edges
      are deciles of `fit`, equal ones merged; an edge belongs to the bin above it.
      Floats, time spans (in seconds), pandas' sparse columns, all other integers.
    - 'boolean': 1 or -1. Booleans only; whole numbers 0 and 1 are a category.
    - 'datetime': days since 1970 scaled as a number; `<name>_age`, the logarithm of 1
      + the days until the newest date of `fit` (0 for newer ones), scaled as a number,
      so that last week differs from last month; and sine and cosine of the angles
      2 pi (month - 1) / 12 and 2 pi weekday / 7 (Monday is 0); all divided by 2.
      Dates, ISO 8601 strings. Time zones are converted to UTC.
    - 'list': multi-hot, 1 / sqrt(n) for each of the n known tags of a cell; a dict
      cell maps tag -> weight, divided by the norm of its known weights. Lists,
      tuples, sets, arrays, dicts; strings such as 'Action|Comedy', 'a;b' or 'a, b':
      a third of the distinct cells (for commas half of them) have the delimiter,
      its parts have at most 2.5 words on average, and parts between commas are no
      more varied than the cells.
    - 'text': TF-IDF with sublinear term frequency and norm 1. Strings with 1.5 words
      or more on average, if more than half the rows, or more than 200, differ.
    - 'vector': the numbers of a vector scaled to norm 1; zeros stay zeros. Lists,
      tuples or 1-d arrays of floats, or scipy sparse rows, all of one length >= 2;
      lists of integers are tags.
    - 'drop': no column. Columns that are all missing (even if forced), or
      constant, no cell missing, in a table of more than one row.

    A float column of missing values and of whole numbers that repeat counts as
    integers, since pandas stores integers with gaps like that. The integer 5, 5.0 and
    a nullable 5 are the same id or level; the string '5' is another one. Bytes are
    read as UTF-8. In names of output columns lone surrogates are escaped.

    The hashed column of a level, tag or word is `<name>_hash<h>`, where h is the
    MurmurHash3 of its name, 32 bits, modulo `n_hashed`: the same in every process and
    version. Tags and words of one cell that share a hashed column are added up there
    before the logarithm and the norm are taken, as if they were one; the rarity of
    a hashed word is the rarity of its column in `fit`.

    Where `fit` has seen missing cells, `<name>_missing` is 1 for them (not for
    ids); the rest of their block is 0. Memory is O(nonzeros).

    Examples
    --------
    >>> import pandas as pd
    >>> from sktwotower import TowerVectorizer
    >>> items = pd.DataFrame({
    ...     "movie": [11, 12, 13],
    ...     "genres": ["Action|Comedy", "Drama", "Action|Drama"],
    ...     "price": [1.0, None, 3.0],
    ... })
    >>> vectorizer = TowerVectorizer(kinds={"movie": "id"}).fit(items)
    >>> vectorizer.kinds_
    {'movie': 'id', 'genres': 'list', 'price': 'number'}
    >>> vectorizer.get_feature_names_out()
    array(['movie_11', 'movie_12', 'movie_13', 'genres_Action',
           'genres_Drama', 'price', 'price_missing'], dtype=object)
    >>> vectorizer.transform(items).toarray().round(2)
    array([[ 1.  ,  0.  ,  0.  ,  1.  ,  0.  , -1.  ,  0.  ],
           [ 0.  ,  1.  ,  0.  ,  0.  ,  1.  ,  0.  ,  1.  ],
           [ 0.  ,  0.  ,  1.  ,  0.71,  0.71,  1.  ,  0.  ]], dtype=float32)

    Tags that `fit` has not seen go to the hashed columns, if there are any:

    >>> hashing = TowerVectorizer(kinds={"movie": "drop"}, n_hashed=2).fit(items)
    >>> hashing.get_feature_names_out()
    array(['genres_Action', 'genres_Drama', 'genres_hash0', 'genres_hash1',
           'price', 'price_missing'], dtype=object)
    >>> hashing.transform(items.assign(genres="Western")).toarray()[0].tolist()
    [0.0, 0.0, 1.0, 0.0, -1.0, 0.0]
    """

    kinds_: dict[str, str]
    encoders_: list[tuple[stored.integer(), stored.instance(*CLASSES)]]
    _shares_missing: stored.list_of(stored.number(0), "n_features_in_")
    _library: stored.one_of(*LIBRARIES)  # of X in fit
    n_features_in_: stored.integer(1)
    feature_names_in_: stored.array("object", "n_features_in_")

    def _check_stored(self, place):
        n = self.n_features_in_
        fits = len(self.kinds_) == n
        stored.require(fits, f"{place}.kinds_", f"the kinds of {n} columns")
        known = {*ENCODERS, "drop"}
        known |= {encoder.kind for _, encoder in self.encoders_}
        for name, kind in self.kinds_.items():
            stored.one_of(*sorted(known))(kind, f"{place}.kinds_.{name}")
        names = list(vars(self).get("feature_names_in_", []))
        stored.list_of(str)(names, f"{place}.feature_names_in_")
        for position, _ in self.encoders_:
            stored.integer(0, n - 1)(position, f"{place}.encoders_")

    @compat.fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None) -> Self:
        """Choose the kind of each column, and learn its levels, words or scale.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_rows, n_columns)
            One row per entity. pandas, polars, pyarrow or an array.
        y : None
            Ignored.

        Returns
        -------
        self : TowerVectorizer
            The fitted vectorizer. A call that fails leaves it as it was before.

        Raises
        ------
        ValueError
            If X is empty, holds an infinite number or has two columns of one name;
            if `kinds` names a column that X lacks or an unknown kind; if bytes are not
            UTF-8 or vectors have different lengths.
        TypeError
            If the cells of a column do not suit its kind.

        Warns
        -----
        UserWarning
            If a category has more than `max_features` levels that are seen in
            `min_frequency` rows.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TowerVectorizer
        >>> films = pd.DataFrame({"genres": ["Action|Comedy", "Drama", "Action|Drama"],
        ...                       "price": [1.5, 2.5, 4.0]})
        >>> TowerVectorizer().fit(films).kinds_
        {'genres': 'list', 'price': 'number'}
        """
        new = copy.copy(self)  # a call that fails leaves self as it was
        new._learn(X)
        self.__dict__ = vars(new)
        return self

    def _learn(self, X):
        """Set all fitted attributes."""
        table = check_table(self, X, reset=True)
        self._library = library_of(X)
        names = compat.check_feature_names_in(self).tolist()
        forced = check_kinds(self.kinds or {}, names)
        min_count = self.min_frequency
        if not isinstance(min_count, Integral):
            min_count = min_count * len(table)
        n_hashed = None if self.n_hashed is None else int(self.n_hashed)
        settings = Settings(min_count, int(self.max_features), n_hashed, self.numbers)
        self.kinds_ = {}
        self.encoders_ = []
        self._shares_missing = []
        for position, name in enumerate(names):
            column = table.iloc[:, position]
            kind = forced.get(name)
            if kind == "drop":
                missing = is_missing(column, f"Column {name!r}")
            else:
                cells, missing = read_cells(column, name)
                if kind is None or len(cells) == 0:
                    kind = choose_kind(name, column, cells)
            self.kinds_[name] = kind
            self._shares_missing.append(missing.mean())
            if kind != "drop":
                encoder = make_encoder(name, kind, settings).fit(cells, missing)
                self.kinds_[name] = encoder.kind
                self.encoders_.append((position, encoder))

    def transform(self, X) -> sparse.csr_matrix:
        """Encode each row of a table with the columns of `fit`.

        Parameters
        ----------
        X : dataframe or array-like of shape (n_rows, `n_features_in_`)
            Rows may be new; unknown ids, levels, tags and words are allowed.

        Returns
        -------
        Xt : CSR matrix of shape (n_rows, n_features_out), float32
            Each row depends only on the same row of X.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If X has other columns than in `fit`, a number is infinite, bytes are not
            UTF-8, or a vector has another length than in `fit`.
        TypeError
            If the cells of a column do not suit its kind.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TowerVectorizer
        >>> films = pd.DataFrame({"genres": ["Action|Comedy", "Drama", "Action|Drama"],
        ...                       "price": [1.5, 2.5, 4.0]})
        >>> vectorizer = TowerVectorizer(min_frequency=1).fit(films)
        >>> new = pd.DataFrame({"genres": ["Comedy", "Western"], "price": [4.0, None]})
        >>> encoded = vectorizer.transform(new).toarray().round(2)
        >>> pd.DataFrame(encoded, columns=vectorizer.get_feature_names_out())
           genres_Action  genres_Comedy  genres_Drama  price
        0            0.0            1.0           0.0    1.2
        1            0.0            0.0           0.0    0.0
        """
        check_is_fitted(self)
        table = check_table(self, X, reset=False)
        blocks = [
            encoder.encode(*read_cells(table.iloc[:, position], encoder.name))
            for position, encoder in self.encoders_
        ]
        return side_by_side(blocks, len(table))

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Name the output columns, such as 'price' or 'genres_Action'.

        Parameters
        ----------
        input_features : array-like of str of shape (`n_features_in_`,), default=None
            Names to use where X in `fit` had none; None: 'x0', 'x1', ... With
            `feature_names_in_` it must be equal to that.

        Returns
        -------
        names : ndarray of str of shape (n_features_out,)
            One name per output column.

        Raises
        ------
        NotFittedError
            If fit has not been called.
        ValueError
            If `input_features` does not fit the columns of X in `fit`.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TowerVectorizer
        >>> films = pd.DataFrame({"genres": ["Action|Comedy", "Drama", "Action|Drama"],
        ...                       "price": [1.5, 2.5, 4.0]})
        >>> TowerVectorizer().fit(films).get_feature_names_out().tolist()  # one comedy
        ['genres_Action', 'genres_Drama', 'price']
        """
        check_is_fitted(self)
        names = compat.check_feature_names_in(self, input_features)
        outputs = []
        for position, encoder in self.encoders_:
            outputs += _name_outputs(names[position], encoder.names)
        return np.array(outputs, dtype=object)

    def summary(self) -> pd.DataFrame:
        """Return how each column of X was encoded in `fit`.

        Returns
        -------
        table : DataFrame of shape (`n_features_in_`, 5)
            One row per column of X: 'column', its name; 'kind'; 'n_features_out', the
            number of its output columns; 'examples', the names of the first three of
            them; 'missing', the share of its cells that were missing in `fit`. It is a
            table of the library of X in `fit` (pandas, polars, pyarrow); in a
            recommender, of the library of the side table or else of pandas.

        Raises
        ------
        NotFittedError
            If fit has not been called.

        Examples
        --------
        >>> import pandas as pd
        >>> from sktwotower import TowerVectorizer
        >>> items = pd.DataFrame({"color": ["red", "blue", "red", "blue"],
        ...                       "price": [1.5, None, 2.5, 3.0]})
        >>> print(TowerVectorizer().fit(items).summary().to_string(index=False))
        column     kind  n_features_out              examples  missing
         color category               2 color_blue, color_red     0.00
         price   number               2  price, price_missing     0.25
        """
        check_is_fitted(self)
        suffixes = {position: encoder.names for position, encoder in self.encoders_}
        rows = []
        for position, (name, kind) in enumerate(self.kinds_.items()):
            of_column = suffixes.get(position, [])
            examples = ", ".join(_name_outputs(name, of_column[:3]))
            share = float(self._shares_missing[position])
            rows.append((name, kind, len(of_column), examples, share))
        columns = ["column", "kind", "n_features_out", "examples", "missing"]
        return in_library(pd.DataFrame(rows, columns=columns), self._library)

    def __sklearn_tags__(self):
        """Return the tags of scikit-learn: strings and missing cells are allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _name_outputs(name, suffixes):
    """Return the names of the output columns of one column of X."""
    return [f"{name}_{suffix}" if suffix else name for suffix in suffixes]
