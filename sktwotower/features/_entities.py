"""The users, or the items, of an interaction table with their feature rows.

Input: a table of events (n_events, n_columns), and optionally a side table.
Output: feature rows, CSR (n + 1, p), and the position of each event (n_events,).
"""

from dataclasses import replace
from operator import attrgetter

import numpy as np
import pandas as pd

from sktwotower._records import UpTo, array, csr, frozen, integer, one_of, require
from sktwotower._tables import _ids
from sktwotower._tables._columns import latest_rows
from sktwotower._tables._frames import as_frame, library_of
from sktwotower._tables._messages import did_you_mean, format_ids, refuse_misspelled
from sktwotower._tables._sparse import take_rows, with_empty_row
from sktwotower._tables._stored import index

from ._after_fit import with_keys
from ._tower_vectorizer import TowerVectorizer
from ._transformers import Described, prepared

# So many ids are looked up one by one in less time than their checks take.
MAX_PLAIN = 64
MAX_PLAIN_TEXT = 1000


def fit_entities(side, id_column, label, features, table, transformer, frame, memory):
    """Learn the users or the items of a table of events.

    Parameters
    ----------
    side, id_column, label, features, table
        As in `Entities`.
    transformer : transformer or None
        Maps a table of entities to feature rows. None: ``TowerVectorizer()``.
    frame : DataFrame of shape (n_events, n_columns)
        The events.
    memory : str, joblib.Memory or None
        Cache of fitted transformers and their output, as in `Described`.

    Returns
    -------
    entities : Entities
    codes : int array of shape (n_events,)
        Position of each event's user or item.
    """
    transformer = prepared(transformer, side, id_column)
    new = Entities(side, id_column, label, features, table, transformer)
    ids = _ids.check_ids(frame[id_column], f"{side} column {label!r}")
    side_table = new.side_table()
    if side_table is None:
        codes, known = pd.factorize(ids, sort=True)
        new = replace(new, ids=pd.Index(known))
    else:
        names = tuple(side_table.columns)
        new = replace(new, ids=side_table.index, side_features=names)
        codes = _ids.positions_of(ids, new.ids)
        new._check_missing(ids[codes < 0].unique())
    of_events = latest_rows(frame[features], codes, len(new.ids), f"column {label!r}")
    if side == "item" and features:
        new = replace(new, own=of_events.reset_index(drop=True))
    table = new._assemble(new.ids, of_events, side_table)
    return new._fitted(table, memory), codes


@frozen
class Entities(Described):
    """The users, or the items: their ids, feature rows, transformer and side table.

    Parameters
    ----------
    side : {"user", "item"}
        Which of the two.
    id_column : str
        Column of X that holds the ids.
    label : str
        Name of that column in messages and results.
    features : list
        Further columns of X that describe the entity.
    table : dataframe or None
        Side table with one row per entity: the id column, then features. Kept by
        reference, never changed.
    transformer : fitted transformer
        Maps a table of entities to feature rows.
    side_features : tuple of str, default=()
        Feature columns of the side table.
    dtypes : tuple of str, default=()
        Type of each column that the transformer was fitted on.
    ids : Index of shape (n,), default=None
        Distinct ids: sorted, or in the order of the side table.
    width : int, default=0
        Number of columns p of the feature rows.
    rows : CSR matrix of shape (n + 1, p), default=None
        Feature rows, float32; the last, empty row is for unknown entities.
    own : DataFrame of shape (n, n_features), default=None
        Of items, features that do not come from the side table, or are newer.
    ranges : float64 array of shape (n_columns, 2), default=None
        Of users, the least and the largest number of each column in fit; nan: none.
        None: they are not known.
    """

    side: one_of("user", "item")
    id_column: str
    label: str | int
    features: list[str]
    table: pd.DataFrame | None  # or that of another library; files hold one of pandas
    transformer: object
    side_features: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    ids: index("n") = None
    width: integer() = 0
    rows: csr("n+1 width", empty_last=True) = None
    own: pd.DataFrame | None = None
    ranges: array("float64", "n_ranges 2") | None = None

    _older_formats = (UpTo(1, lacking={"ranges": None}),)
    # Number of output columns of the transformer: all columns are its own.
    own_width = property(attrgetter("width"))

    def _check_stored(self, place):
        require(len(self.ids), place, "at least one id")
        fits = self.own is None or len(self.own) == len(self.ids)
        require(fits, f"{place}.own", "a row for each id")
        self.check_transformer(place)
        self.check_ranges(place)

    def __len__(self):
        return len(self.ids)

    @property
    def columns(self):
        """Return the columns of the transformer's tables, the id first, a list."""
        return [self.id_column, *self.features, *self.side_features]

    def side_table(self):
        """Return the side table's features, indexed by id, after its checks."""
        if self.table is None:
            return None
        name = f"{self.side}s"
        side = as_frame(self.table, name)
        named = self.label == self.id_column
        if self.label not in side.columns and (named or side.shape[1] == 0):
            hint = did_you_mean(self.label, side.columns)
            if getattr(getattr(self.table, "index", None), "name", None) == self.label:
                hint = f" It is the index: pass {name}.reset_index()."
            raise ValueError(
                f"{name} has no column {self.label!r}, which holds the ids in X.{hint}"
            )
        column = self.label
        if column not in side.columns:
            column = side.columns[0]
        ids = _ids.check_ids(side[column], f"column {column!r} of {name}")
        repeated = ids[ids.duplicated()].unique()
        if len(repeated):
            raise ValueError(
                f"{name} must have one row per id, but {len(repeated)} ids are "
                f"duplicated: {format_ids(repeated)}. Keep one row of each, for "
                f"example with {name}.drop_duplicates({column!r})."
            )
        clash = [c for c in self.features if c in side.columns]
        if clash:
            raise ValueError(
                f"{clash[0]!r} is a column of {name} and is named in "
                f"{self.side}_features too. Take it from one place only."
            )
        side = side.drop(columns=column).set_axis(ids, axis="index")
        return side.set_axis([str(c) for c in side.columns], axis="columns")

    def feature_table(self, n=None):
        """Return ids and features of the first n entities; None: of all.

        A DataFrame (n, 1 + n_features), with what the side table holds now.
        """
        side = self.side_table()
        if self.own is None:
            own = pd.DataFrame(index=self.ids[:n])
        else:
            own = self.own[:n]
        if side is not None:
            side = side.drop(columns=own.columns, errors="ignore")
        return self._joined(self.ids[:n], own, side)

    def side_column(self, name, parameter, remedy):
        """Return the column of the side table that a parameter names, by id."""
        table = self.side_table()
        tables = f"{self.side}s"
        if table is None:
            raise ValueError(
                f"{parameter}={name!r} names a column of the side table {tables}, but "
                f"the model was fitted without one. {remedy}"
            )
        if name not in table.columns:
            raise ValueError(
                f"{parameter}={name!r} is not a column of the side table {tables}: it "
                f"has {list(table.columns)}. {remedy}"
                f"{did_you_mean(name, table.columns)}"
            )
        return table[name]

    def _check_missing(self, missing):
        """Raise if the side table lacks ids of X."""
        if not len(missing):
            return
        remedy = (
            "Add a row for each (its features may be missing), or drop their events."
        )
        if _ids.known_as_text(missing, self.ids):
            remedy = (
                f"They have another type there: {self.side}s holds {self.ids.dtype}, "
                f"X {missing.dtype}. Convert one of them."
            )
        raise ValueError(
            f"{len(missing)} ids in column {self.label!r} of X are missing from "
            f"{self.side}s: {format_ids(missing)}. {remedy}"
        )

    def describe_anew(self, changed, own):
        """Return feature rows (n, p) at positions ``changed``, by the side table now.

        Also return, before them, the entities with columns for new levels, tags and
        words, and where the columns so far are among these, positions.

        ``own``: their features of X, (n, n_features).
        """
        side = self._side_rows(changed)
        table = self._assemble(self.ids[changed], own, side)
        transformer, places, width = with_keys(self, table)
        features = self.own
        if features is not None:
            source = np.arange(len(self.ids))
            source[changed] = len(features) + np.arange(len(changed))
            features = rows_of_tables(source, features, table)
        grown = replace(
            self,
            transformer=transformer,
            width=width,
            own=features,
            ranges=self.wider_ranges(table),
        )
        return grown, places, grown.transform(table)

    def _side_rows(self, positions):
        """Return what the side table says of entities at positions, by id, or None.

        Features that were given after fit (`set_catalog`) count instead.
        """
        side = self._checked_side_table()
        if side is None:
            return None
        ids = self.ids[positions]
        columns = list(self.side_features)
        is_given = np.zeros(len(ids), dtype=bool)
        if self._has_given_features():
            is_given = positions < len(self.own)
        others = ids[~is_given]
        self._check_missing(others[~others.isin(side.index)])
        rows = side.loc[others, columns]
        if is_given.any():
            given = self.own.iloc[positions[is_given]][columns]
            given = given.set_axis(ids[is_given], axis="index")
            if len(others) == 0:
                return given
            rows = pd.concat([rows, given])
        return rows

    def _has_given_features(self):
        """Return whether features of the side table were given after fit."""
        if self.own is None or not self.side_features:
            return False
        return set(self.side_features) <= set(self.own.columns)

    def _checked_side_table(self):
        """Return the side table's features, by id, with all columns of fit, or None."""
        side = self.side_table()
        if side is not None:
            lost = [c for c in self.side_features if c not in side.columns]
            if lost:
                raise ValueError(
                    f"{self.side}s lacks the column {lost[0]!r}, which it had in fit."
                    f"{did_you_mean(lost[0], side.columns)}"
                )
        return side

    def with_side_table(self, table):
        """Return entities with another side table, whose rows count from now on.

        Of entities that it lacks, features that were given after fit stay.
        """
        updated = replace(self, table=table)
        if not self._has_given_features():
            return updated
        features = self.own[self.features]
        side = updated._checked_side_table()
        is_listed = self.ids.isin(side.index)
        if is_listed.all() and not self.features:
            return replace(updated, own=None)
        if is_listed.all():
            return replace(updated, own=features)
        listed = self._assemble(self.ids[is_listed], features[is_listed], side)
        source = np.arange(len(self.ids))
        source[is_listed] = len(self.ids) + np.arange(is_listed.sum())
        return replace(updated, own=rows_of_tables(source, self.own, listed))

    def describe_without(self, ids, own, columns):
        """Return feature rows (n, p) with all cells of some columns missing.

        ``own``: the features of X, (n, n_features); ids that the side table lacks have
        missing features.
        """
        table = self._assemble(pd.Index(ids), own, self.side_table())
        for column in columns:
            table[column] = table[column].where(np.zeros(len(table), dtype=bool))
        return self.transform(table)

    def _assemble(self, ids, own, side):
        """Put ids, features of X and those features of the side table together."""
        if side is not None:
            side = side[list(self.side_features)]
        return self._joined(ids, own, side)

    def _joined(self, ids, own, side):
        """Return a table of ids (n,), features (n, m) and, by id, the side table's."""
        parts = [pd.Series(ids.to_numpy(), name=self.id_column), own]
        if side is not None:
            parts.append(side.reindex(ids))
        return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)

    def _fitted(self, table, memory):
        """Return these entities with a transformer fitted on their table."""
        new = replace(self, dtypes=tuple(map(str, table.dtypes)))
        transformer, output = new.fit_transform(table, memory)
        if isinstance(transformer, TowerVectorizer):  # it was fitted on pandas
            transformer._library = library_of(self.table)
        rows = self.checked_rows(output, len(table))
        new = replace(new, transformer=transformer, width=rows.shape[1])
        if self.side == "user":
            new = replace(new, ranges=new.ranges_of(table))
        new.warn_of_changes(table, rows)
        # a copy: the transformer may keep its output
        return replace(new, rows=with_empty_row(rows.copy()))

    @property
    def has_features(self):
        """Return whether more than ids is known."""
        return bool(self.features or self.side_features)

    def codes(self, values, name):
        """Return positions (n,) of ids; -1 for unknown ones."""
        most = 0
        if type(values) is np.ndarray:
            most = MAX_PLAIN
            if values.dtype == object:
                most = MAX_PLAIN_TEXT
        if most and len(values) <= most:
            codes = _ids.plain_positions(values.tolist(), self.ids)
            if codes is not None:
                return np.array(codes, dtype=np.int64)
        return _ids.known_positions(_ids.check_ids(values, name), self.ids, name, "fit")

    def describe(self, frame, name, events=False, known=()):
        """Return ids (n,), positions (n,), feature rows (n, p) and a table of features.

        It is None if the frame has no features: then rows are those of fit, otherwise
        they are computed. In a table of events (``events``), only columns that fit took
        from X are used; features that the side table lacks are missing. ``known``:
        further names of fit, which are not misspelt features.
        """
        if self.id_column not in frame.columns:
            raise ValueError(
                f"{name} has no column {self.label!r}, which names the {self.side}."
                f"{did_you_mean(self.label, frame.columns)}"
            )
        values = frame[self.id_column]
        codes = self.codes(values, f"column {self.label!r} of {name}")
        all_known = bool((codes >= 0).all())
        wanted = self.columns[1:]
        expected = wanted
        if events:
            expected = self.features
        if not any(column in frame.columns for column in expected):
            if not events:
                names = {self.id_column, *known}
                others = [column for column in frame.columns if column not in names]
                refuse_misspelled(others, wanted, "feature", name, all_known)
            return values.to_numpy(), codes, take_rows(self.rows, codes), None
        table = frame.reset_index(drop=True)
        in_side_table = events or (self.table is not None and all_known)
        table = self._complete(table, wanted, in_side_table, name)
        return values.to_numpy(), codes, self.transform(table), table

    def _complete(self, table, wanted, in_side_table, name):
        """Return a table with the features it lacks, from the side table or refused."""
        missing = [c for c in wanted if c not in table.columns]
        lost = [c for c in missing if c in self.features or not in_side_table]
        if lost:
            raise ValueError(
                f"{name} lacks the {self.side} feature {lost[0]!r}. Pass all of "
                f"{wanted} (missing values are fine), or only {self.label!r} for "
                f"{self.side}s known from fit.{did_you_mean(lost[0], table.columns)}"
            )
        if missing:
            side = self.side_table()[missing].reindex(table[self.id_column])
            table = pd.concat([table, side.reset_index(drop=True)], axis=1)
        return table[[self.id_column, *wanted]]


def rows_of_tables(source, first, *others):
    """Return rows (m,) of tables that follow one another, a frame.

    ``source``: positions (m,) among the rows of all. The columns are those of the first
    one; None stays None.
    """
    if first is None:
        return None
    parts = [first]
    for table in others:
        parts.append(table[first.columns])
    rows = pd.concat(parts, ignore_index=True).take(source)
    return rows.reset_index(drop=True)
