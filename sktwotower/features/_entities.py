"""Enters: a table of events (n_events, n_columns) and perhaps a side table.

Leaves: one sparse feature row per user or item, and the events' positions (n_events,).
Next: sampling.py.
"""

from contextlib import contextmanager
from difflib import get_close_matches

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone

from sktwotower._tables._events import latest_rows
from sktwotower._tables._frames import as_frame
from sktwotower._tables._ids import check_ids
from sktwotower._tables._messages import did_you_mean, format_ids, warn
from sktwotower._tables._sparse import take_rows

from ._caching import fit_transform
from ._tower_vectorizer import TowerVectorizer

__all__ = ["Entities"]

# Rows that are encoded twice in fit, and what two answers may differ by, relatively:
# a decomposition gives nearly the same in fit_transform and in transform.
N_REPEATED, TOLERANCE = 5, 1e-3


class Entities:
    """The users, or the items: their ids, their features, and where they come from.

    Parameters
    ----------
    side : {"user", "item"}
        Which of the two.
    id_column : str
        Column of X that holds the ids.
    label : str
        What that column is called for the user of the package.
    features : list
        Further columns of X that describe the entity.
    table : dataframe or None
        Side table with one row per entity: the id column, then features. Kept by
        reference, never changed.
    transformer : transformer or None
        Maps a table of entities to feature rows. None: ``TowerVectorizer()``.

    Attributes
    ----------
    ids : Index of shape (n,)
        Distinct ids: sorted, or in the order of the side table.
    rows : CSR matrix of shape (n + 1, p), float32
        Feature rows; the last, empty one stands for unknown entities.
    width : int
        Number of columns p.
    dtypes : list of str
        Type of each column that the transformer was fitted on.
    transformer : fitted transformer
    """

    def __init__(self, side, id_column, label, features, table, transformer):
        self.side = side
        self.id_column = id_column
        self.label = label
        self.features = features
        self.table = table
        self.transformer = self._prepare(transformer)

    def _prepare(self, transformer):
        transformer = TowerVectorizer() if transformer is None else transformer
        needed = ("fit", "transform", "get_params")
        if isinstance(transformer, type) or not all(
            hasattr(transformer, method) for method in needed
        ):
            raise TypeError(
                f"{self.side}_transformer must be a scikit-learn transformer, which "
                f"has fit and transform. Got {transformer!r}."
            )
        transformer = clone(transformer)
        if isinstance(transformer, TowerVectorizer):
            kinds = {self.id_column: "id"} | (transformer.kinds or {})
            transformer.set_params(kinds=kinds)
        return transformer

    def fit(self, frame, memory=None):
        """Learn from a table of events; gives each event's position (n_events,).

        ``memory`` keeps fitted transformers and what they gave, as in `fit_transform`.
        """
        ids = check_ids(frame[self.id_column], f"{self.side} column {self.label!r}")
        side = self._side_table()
        if side is None:
            codes, known = pd.factorize(ids, sort=True)
            self.ids = pd.Index(known)
        else:
            self.ids = side.index
            codes = self._codes_in_table(ids)
        own = latest_rows(
            frame[self.features], codes, len(self.ids), f"column {self.label!r}"
        )
        self.side_features = [] if side is None else list(side.columns)
        self._fit_transformer(self._assemble(self.ids, own, side), memory)
        return codes

    def _side_table(self):
        """Return the side table's features, indexed by id, after its checks."""
        if self.table is None:
            return None
        name = f"{self.side}s"
        side = as_frame(self.table, name)
        named = self.label == self.id_column
        if self.label not in side.columns and (named or side.shape[1] == 0):
            raise ValueError(
                f"{name} has no column {self.label!r}, which holds the ids in X."
                f"{did_you_mean(self.label, side.columns)}"
            )
        column = self.label if self.label in side.columns else side.columns[0]
        ids = check_ids(side[column], f"column {column!r} of {name}")
        repeated = ids[ids.duplicated()].unique()
        if len(repeated):
            raise ValueError(
                f"{name} must have one row per id, but {len(repeated)} ids are "
                f"duplicated: {format_ids(repeated)}. Keep one row of each, for "
                "example with "
                f"{name}.drop_duplicates({column!r})."
            )
        clash = [c for c in self.features if c in side.columns]
        if clash:
            raise ValueError(
                f"{clash[0]!r} is a column of {name} and is named in "
                f"{self.side}_features too. Take it from one place only."
            )
        side = side.drop(columns=column).set_axis(ids, axis="index")
        return side.set_axis([str(c) for c in side.columns], axis="columns")

    def _codes_in_table(self, ids):
        codes = self.ids.get_indexer(ids)
        self._check_missing(ids[codes < 0].unique())
        return codes

    def _check_missing(self, missing):
        """Refuse ids of X that the side table lacks."""
        if len(missing):
            remedy = (
                f"They would be found as another type: {self.side}s holds "
                f"{self.ids.dtype}, X {missing.dtype}. Convert one of them."
                if self.known_as_text(missing)
                else "Add a row for each (its features may be missing), or drop their "
                "events."
            )
            raise ValueError(
                f"{len(missing)} ids in column {self.label!r} of X are missing from "
                f"{self.side}s: {format_ids(missing)}. {remedy}"
            )

    def describe_anew(self, changed, own):
        """Return feature rows (n, p) of positions ``changed``, by today's side table.

        ``own``: their features of X, (n, n_features).
        """
        ids, side = self.ids[changed], self._side_table()
        if side is not None:
            self._check_missing(ids[~ids.isin(side.index)])
            lost = [c for c in self.side_features if c not in side.columns]
            if lost:
                raise ValueError(
                    f"{self.side}s lacks the column {lost[0]!r}, which it had in fit."
                    f"{did_you_mean(lost[0], side.columns)}"
                )
            side = side[self.side_features].reindex(ids)
        return self._transform(self._assemble(ids, own, side))

    def describe_without(self, ids, own, columns):
        """Return feature rows (n, p) with all cells of some columns missing.

        ``own``: the features of X, (n, n_features); ids that the side table lacks have
        missing features.
        """
        side = self._side_table()
        if side is not None:
            side = side[self.side_features].reindex(ids)
        table = self._assemble(pd.Index(ids), own, side)
        for column in columns:
            table[column] = table[column].where(np.zeros(len(table), dtype=bool))
        return self._transform(table)

    def _assemble(self, ids, own, side):
        """Put the id column, features of X and features of the side table together."""
        table = pd.DataFrame({self.id_column: ids.to_numpy()})
        parts = [table, own.reset_index(drop=True)]
        if side is not None:
            parts.append(side.reset_index(drop=True))
        return pd.concat(parts, axis=1)

    def _fit_transformer(self, table, memory):
        self.dtypes = list(map(str, table.dtypes))  # one of levels holds them all
        with self._explained(table):
            self.transformer, output = fit_transform(self.transformer, table, memory)
        rows = self._check_rows(output, len(table))
        self.width = rows.shape[1]
        self._check_repeatable(table, rows)
        empty = sparse.csr_matrix((1, self.width), dtype=np.float32)
        self.rows = sparse.vstack([rows, empty], format="csr")

    @contextmanager
    def _explained(self, table):
        """Add to an error of the transformer what it was given."""
        try:
            yield
        except Exception as error:
            now = list(map(str, table.dtypes))
            columns = list(zip(table, self.dtypes, now, strict=True))
            given = ", ".join(f"{name!r} ({dtype})" for name, _, dtype in columns)
            changed = [
                f"{name!r} was {before} in fit and is {dtype} now."
                for name, before, dtype in columns
                if before != dtype
            ]
            told = f"{self.side}_transformer was given {given}."
            error.add_note(" ".join([told, *changed]))
            raise

    def _check_repeatable(self, table, rows):
        """Warn if a few rows of fit, encoded once more, are not what they were."""
        # not all rows, if that can be: what they give may depend on their company
        n = min(N_REPEATED, max(len(table) - 1, 1))
        before, again = rows[:n], self._transform(table.iloc[:n])
        scale = max(abs(before).max(), abs(again).max()) if self.width else 0
        if scale and abs(before - again).max() > TOLERANCE * scale:
            warn(
                f"{self.side}_transformer gives other numbers for the same rows when "
                f"they come again: a request for {self.side}s with their features will "
                "get other vectors than fit learnt. Expected: a row depends on that "
                "row alone, as by random_state=0, or by a fit_transform that is fit, "
                "then transform."
            )

    def _check_rows(self, output, n_rows):
        """Return a transformer's output as float32 CSR after its checks."""
        name = f"{self.side}_transformer"
        try:
            rows = _as_csr(output)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must give numbers, as a matrix (n_rows, n_features). Got "
                f"{type(output).__name__}: {error}"
            ) from error
        if rows.shape[0] != n_rows:
            raise ValueError(
                f"{name} must give one row per {self.side}: expected {n_rows} rows, "
                f"got {rows.shape[0]}."
            )
        if not np.isfinite(rows.data).all():
            raise ValueError(
                f"{name} gave NaN or infinity. Impute or clip before it ends, for "
                "example with SimpleImputer."
            )
        return rows

    def codes(self, values, name):
        """Return positions (n,) of ids; -1 for unknown ones."""
        ids = check_ids(values, name)
        codes = self.ids.get_indexer(ids)
        if len(ids) and (codes < 0).all() and self.known_as_text(ids):
            warn(
                f"None of the ids in {name} is known, but some would be if they had "
                f"another type: they are {ids.dtype}, those of fit {self.ids.dtype}. "
                "Convert them."
            )
        return codes

    def known_as_text(self, ids):
        """Return whether ids of another type look the same as known ones."""
        # comparing all of them as text costs too much where the types agree
        numeric = [pd.api.types.is_numeric_dtype(i.dtype) for i in (ids, self.ids)]
        if numeric[0] == numeric[1]:
            return False
        return bool(self.ids.map(str).isin(ids.map(str)).any())

    def describe(self, frame, name, events=False):
        """Return ids (n,), positions (n,) and feature rows (n, p) of a table.

        Also tells whether the table itself has features. The rows are made of them, or
        come from fit where it holds the ids alone. In a table of events only columns
        that fit took from X count.
        """
        if self.id_column not in frame.columns:
            raise ValueError(
                f"{name} has no column {self.label!r}, which names the {self.side}."
                f"{did_you_mean(self.label, frame.columns)}"
            )
        values = frame[self.id_column]
        codes = self.codes(values, f"column {self.label!r} of {name}")
        wanted = [*self.features, *self.side_features]
        own = self.features if events else wanted
        given = [c for c in own if c in frame.columns]
        if not given:
            if not events and (codes < 0).any():
                others = [c for c in frame.columns if c != self.id_column]
                self._check_spelling(others, wanted, name)
            return values.to_numpy(), codes, take_rows(self.rows, codes), False
        table = self._complete(frame.reset_index(drop=True), wanted, codes, name)
        return values.to_numpy(), codes, self._transform(table), True

    @staticmethod
    def _check_spelling(columns, wanted, name):
        """Refuse columns that look like features of fit: they would be ignored."""
        for column in columns:
            close = get_close_matches(str(column), wanted, n=1, cutoff=0.7)
            if close:
                raise ValueError(
                    f"{name} has a column {column!r}, which is no feature of fit. Did "
                    f"you mean {close[0]!r}?"
                )

    def _complete(self, table, wanted, codes, name):
        """Add the columns that a table of known entities lacks, from the side table."""
        missing = [c for c in wanted if c not in table.columns]
        unknown = self.table is None or (codes < 0).any()
        lost = [c for c in missing if c in self.features or unknown]
        if lost:
            raise ValueError(
                f"{name} lacks the {self.side} feature {lost[0]!r}. Give all of "
                f"{wanted} (missing values are fine), or only {self.label!r} for "
                f"{self.side}s known from fit.{did_you_mean(lost[0], table.columns)}"
            )
        if missing:
            side = self._side_table()[missing].reindex(table[self.id_column])
            table = pd.concat([table, side.reset_index(drop=True)], axis=1)
        return table[[self.id_column, *wanted]]

    def _transform(self, table):
        if len(table) == 0:
            return sparse.csr_matrix((0, self.width), dtype=np.float32)
        with self._explained(table):
            output = self.transformer.transform(table)
        rows = self._check_rows(output, len(table))
        if rows.shape[1] != self.width:
            raise ValueError(
                f"{self.side}_transformer must give as many columns as in fit: "
                f"expected {self.width}, got {rows.shape[1]} for {len(table)} rows. "
                "Their number must not depend on the rows: pandas.get_dummies makes a "
                "column of each level at hand, OneHotEncoder(handle_unknown='ignore') "
                "of each level of fit."
            )
        return rows


def _as_csr(output):
    """Return a transformer's output, of any kind, as a canonical float32 CSR matrix."""
    if isinstance(output, pd.DataFrame):
        output = output.to_numpy(na_value=np.nan)
    if np.iscomplexobj(output):
        raise TypeError("complex numbers.")
    if sparse.issparse(output) and output.ndim != 2:
        raise TypeError(f"shape {output.shape}.")
    rows = sparse.csr_matrix(output, dtype=np.float32)
    if not rows.has_canonical_format:
        rows = rows.copy()  # the transformer may keep what it gave
        rows.sum_duplicates()
    return rows
