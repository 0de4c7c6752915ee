"""Questions about the columns of a context of requests, and about their features.

Input: columns of X, a fitted transformer of them, and a clock of the time.
Output: names and positions of features, feature rows without some columns, and errors
of what a request names.
"""

import numpy as np
import pandas as pd

from sktwotower._tables._messages import refuse_misspelled
from sktwotower.runtime._context_cells import StoredContext

from ._cells import to_objects
from ._transformers import Described, blocks_of, without_entries


class ContextColumns(Described, StoredContext):
    """The part of a `RequestContext`, whose fields it reads, that encodes nothing."""

    @property
    def sees_gaps(self):
        """Return whether the time since the user's last event is a feature."""
        return self.clock is not None and len(self.clock.knots) > 0

    def of_mapping(self, mapping, columns=(), name="X"):
        """Return the context of one request as a table (1, n_given).

        ``mapping``: the parameter ``context``, names of columns to cells; a list is one
        cell. ``columns``: those that the table ``name`` of requests has already.
        """
        self.check_mapping(mapping)
        for key in mapping:
            if key in columns:
                raise ValueError(
                    f"context names {key!r}, which is also a column of {name}. Pass "
                    "it once: as a column, or as one value for all."
                )
        cells = {key: to_objects([cell]) for key, cell in mapping.items()}
        return pd.DataFrame(cells, index=[0]).infer_objects()

    def check_spelling(self, columns, known, name):
        """Raise if a column has almost the name of one of the context.

        ``columns``: those of a request. ``known``: further names that it may have.
        ``name``: what errors call the request.
        """
        own = self.all_columns
        others = [c for c in columns if c not in known and c not in own]
        refuse_misspelled(others, own, "context column", name)

    def feature_names(self):
        """Return the name of each feature column, a list, or None if there are none."""
        names = super().feature_names() if self.own_width else []
        if names is None or self.clock is None:
            return names
        return names + self.clock.names(self.time)

    def columns_out(self):
        """Return which feature columns come from which columns without the time.

        A list of pairs: names, a list, and positions of features, an int array. Each
        column is in a pair of its own unless the transformer mixes them.
        """
        blocks = [] if self.transformer is None else blocks_of(self.transformer)
        every = np.arange(self.own_width)
        if blocks is None or any(len(i) > 1 and len(every[o]) for i, o in blocks):
            return [(self.columns, every)]
        places = {column: [np.zeros(0, dtype=int)] for column in self.columns}
        for inputs, outputs in blocks:
            places[self.columns[inputs[0]]].append(every[outputs])
        return [([column], np.concatenate(own)) for column, own in places.items()]

    def removable(self):
        """Return columns that can be removed without the others, a dict of lists.

        Each is alone, under its own name, unless the transformer mixes columns. Then
        they are together, as "context".
        """
        together = [names for names, _ in self.columns_out()]
        together += [] if self.time is None else [[self.time]]
        return {names[0] if len(names) == 1 else self.side: names for names in together}

    def blocks(self):
        """Return the positions of features that belong together, int arrays.

        They are those of each column, or of all if the transformer mixes them, and of
        the hour, the weekday and the month. Those of the gap are in none.
        """
        blocks = [places for _, places in self.columns_out()]
        if self.clock is not None:
            blocks += [self.own_width + part for part in self.clock.parts()]
        return [block for block in blocks if len(block)]

    def without_columns(self, rows, columns):
        """Return feature rows, CSR (n, width), without the entries of some columns.

        If there are none, the rows themselves are returned.
        """
        dropped = np.zeros(self.width, dtype=bool)
        dropped[self.own_width :] = self.time in columns
        for names, places in self.columns_out():
            found = [column for column in columns if column in names]
            if {*found} == {*names}:
                dropped[places] = True
            elif found:
                raise ValueError(
                    f"Cannot remove {found[0]!r} from the context: context_transformer "
                    "does not encode each column on its own. Use TowerVectorizer or "
                    "ColumnTransformer."
                )
        return without_entries(rows, dropped[rows.indices])
