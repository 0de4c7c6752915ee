"""A kind of column that a user defines, and the encoder that calls it.

Input: the present cells of one column (n_present,).
Output: a CSR block (n_present, n_names); in files the name of the class, and what it
has learnt.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from sktwotower._records import Check, Codec, add_codec, instance, record, require
from sktwotower._records._checks import text, values_of
from sktwotower._records._named_classes import trusted_class

from ._value_encoders import ColumnEncoder, from_dense


class ColumnKind(ABC):
    """Base class of a kind of column of your own, for `sktwotower.TowerVectorizer`.

    ``TowerVectorizer(kinds={"hour": MyKind()})`` encodes the column "hour" by a copy of
    this object. Missing cells never reach it: they become zeros and, where ``fit`` has
    seen some, a 1 in a column of their own.

    Attributes
    ----------
    names : list of str
        Suffixes of the output columns, "" for none: an attribute of the class, or set
        by the constructor or by `learn`.
    takes_numbers : bool, default=True
        Whether cells come as finite floats, and others are refused; time spans in
        seconds. False: cells come as they are in the table.

    See Also
    --------
    sktwotower.TowerVectorizer : Takes such objects as ``kinds``.

    Notes
    -----
    Rows should have norm 1 or less, as those of other kinds have. All attributes of the
    object are written to files: numbers, text, lists, dicts and arrays. Its code is
    not: ``sktwotower.io.load(path, trusted=["mymodule.MyKind"])`` imports it.
    `sktwotower.runtime` runs no code of yours. It refuses models with such a column in
    the context of requests, and serves all others.

    Examples
    --------
    >>> import numpy as np
    >>> from sktwotower import TowerVectorizer
    >>> from sktwotower.features import ColumnKind
    >>> class Angle(ColumnKind):
    ...     names = ["sin", "cos"]
    ...
    ...     def values(self, cells):
    ...         angles = np.radians(cells)
    ...         return np.column_stack([np.sin(angles), np.cos(angles)])
    >>> X = [[90.0], [180.0]]
    >>> vectorizer = TowerVectorizer(kinds={"x0": Angle()}).fit(X)
    >>> vectorizer.transform(X).toarray().round(2) + 0.0
    array([[ 1.,  0.],
           [ 0., -1.]], dtype=float32)
    """

    names: Sequence[str] = ()
    takes_numbers = True

    def __repr__(self):
        attributes = ", ".join(f"{n}={value!r}" for n, value in vars(self).items())
        return f"{type(self).__name__}({attributes})"

    def learn(self, cells) -> None:
        """Learn from the present cells of ``fit``; by default nothing.

        Parameters
        ----------
        cells : array of shape (n,)
            At least one cell.

        Examples
        --------
        >>> from sktwotower.features import ColumnKind
        >>> class Share(ColumnKind):
        ...     names = [""]
        ...
        ...     def learn(self, cells):
        ...         self.largest = float(cells.max())
        ...
        ...     def values(self, cells):
        ...         return cells[:, None] / self.largest
        """
        return

    @abstractmethod
    def values(self, cells) -> np.ndarray:
        """Return the numbers of cells; each subclass defines it.

        Parameters
        ----------
        cells : array of shape (n,)
            Present cells, of ``fit`` or of later rows.

        Returns
        -------
        values : array or sparse matrix of shape (n, len(names))
            Finite numbers. A row depends on its own cell only.

        Examples
        --------
        >>> from sktwotower.features import ColumnKind
        >>> class Length(ColumnKind):
        ...     names, takes_numbers = [""], False
        ...
        ...     def values(self, cells):
        ...         return [[min(len(cell) / 100, 1)] for cell in cells]
        """

    def in_words(self, place, value) -> str:
        """Return what a number means, for ``explain``.

        Parameters
        ----------
        place : int
            Position of the output column among ``names``.
        value : float
            The number there.

        Returns
        -------
        text : str
            By default the name of the output column, and the number.

        Examples
        --------
        >>> from sktwotower.features import ColumnKind
        >>> class Share(ColumnKind):
        ...     names = [""]
        ...
        ...     def values(self, cells):
        ...         return cells[:, None] / 100
        ...
        ...     def in_words(self, place, value):
        ...         return f"{value:.0%}"
        >>> Share().in_words(0, 0.5)
        '50%'
        """
        return f"{self.names[place]} {value:.6g}".strip()


def _write_kind(kind, writer, place):
    """Return what JSON holds for a kind: the name of its class, and its attributes."""
    cls = type(kind)
    return {
        "module": cls.__module__,
        "qualname": cls.__qualname__,
        "attributes": writer.write(vars(kind), f"{place} ({cls.__qualname__})"),
    }


def _read_kind(spec, reader, place):
    """Return the kind that JSON holds, if its class is trusted."""
    names = "module", "qualname", "attributes"
    module, qualname, attributes = values_of(spec, names, place, "a kind of column")
    name = f"{text(module, place)}.{text(qualname, place)}"
    otherwise = "the file cannot be read"
    cls = trusted_class(module, qualname, reader.trusted, "kind of column", otherwise)
    if cls is None:
        raise ValueError(
            f"The file holds a column of the kind {name}, which it names without its "
            "code. If you know that class and the origin of the file, name it: "
            f"sktwotower.io.load(path, trusted=[{name!r}])."
        )
    if not isinstance(cls, type) or not issubclass(cls, ColumnKind):
        raise ValueError(
            f"The file names the kind of column {name}, but that is not a class that "
            f"derives from sktwotower.features.ColumnKind: {cls!r}."
        )
    kind = cls.__new__(cls)
    attributes = instance(dict).read(attributes, reader, f"{place}.attributes")
    for attribute in attributes:
        text(attribute, f"{place}.attributes")
    vars(kind).update(attributes)
    return kind


def is_column_kind(value):
    """Return whether a value is a kind of the user."""
    return isinstance(value, ColumnKind)


def _check_kind(value, place):
    """Raise unless a value is a kind of the user."""
    require(is_column_kind(value), place, "a kind of column")


add_codec(Codec(_read_kind, _write_kind, "features.ColumnKind", is_column_kind))


@record
class GivenEncoder(ColumnEncoder):
    """A column of a kind of the user."""

    expects = "numbers"
    given: Check(_check_kind)

    def __init__(self, name, given, settings):
        super().__init__(name, type(given).__name__, settings)
        self.given = copy.deepcopy(given)  # that of the parameter learns nothing

    def _check_stored(self, place):
        kind = type(self.given).__name__
        require(self.kind == kind, f"{place}.kind", f"{kind!r}")

    def learn(self, cells):
        """Let the kind learn, and check the names of its columns."""
        self.given.learn(self._as_taken(cells))
        names = list(self.given.names)
        are_texts = all(isinstance(name, str) for name in names)
        if not are_texts or len({*names}) < len(names):
            raise ValueError(
                f"{self.kind}.names must be distinct strings, one for each output "
                f"column. Got {names} for column {self.name!r}."
            )
        self.names = names

    def block(self, cells):
        """Return the numbers of the kind as CSR rows, after their checks."""
        values = self.given.values(self._as_taken(cells))
        if not sparse.issparse(values):
            values = np.asarray(values)
        expected = len(cells), len(self.names) - self.marks_missing
        if values.shape != expected or values.dtype.kind not in "biuf":
            raise ValueError(
                f"{self.kind}.values must return numbers of shape {expected}, a row "
                "for each cell and a column for each of names. Got shape "
                f"{values.shape} and dtype {values.dtype} for column {self.name!r}."
            )
        if sparse.issparse(values):
            rows = sparse.csr_matrix(values)
        else:
            rows = from_dense(values.astype(float))
        if not np.isfinite(rows.data).all():
            raise ValueError(
                f"{self.kind}.values returned NaN or infinity for column "
                f"{self.name!r}. Expected finite numbers."
            )
        return rows

    def in_words(self, place, value):
        """Return what the kind says."""
        return str(self.given.in_words(place, value))

    def _as_taken(self, cells):
        """Return cells as the kind takes them: as floats, or as they are."""
        if not self.given.takes_numbers:
            return cells
        return self.to_floats(cells)
