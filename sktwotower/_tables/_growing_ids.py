"""Ids in the order in which they came, to which a few can be added in little time.

Input: an Index (n,) of distinct ids, and later further ids.
Output: the position (m,) of each id of another Index, and all ids as one Index.
"""

from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from ._ids import positions_of


class GrowingIds(NamedTuple):
    """Distinct ids, part after part.

    Further ids become a part of their own. Parts of similar sizes are joined, so that
    there are few of them; the first one stays as it is. An id keeps its position.

    Parameters
    ----------
    parts : tuple of Index
        Of each of them the table of positions is made before others see it: pandas
        would make it with the first search, and not safely in several threads.
    """

    parts: tuple[pd.Index, ...]

    def __len__(self):
        return sum(len(part) for part in self.parts)

    def positions(self, ids) -> np.ndarray:
        """Return the position (m,) of each id of an Index, -1 for others."""
        positions = np.full(len(ids), -1, np.int64)
        n_before = 0
        for part in self.parts:
            within = positions_of(ids, part)
            positions = np.where(within >= 0, within + n_before, positions)
            n_before += len(part)
        return positions

    def plus(self, ids) -> Self:
        """Return the same with the ids of an Index that are not known yet."""
        new = ids[self.positions(ids) < 0].unique()
        if len(new) == 0:
            return self
        parts = [*self.parts, new]
        while len(parts) > 2 and len(parts[-2]) < 2 * len(parts[-1]):
            newest = parts.pop()
            parts[-1] = parts[-1].append(newest)
        for part in parts:
            positions_of(part[:1], part)
        return GrowingIds(tuple(parts))

    def joined(self) -> pd.Index:
        """Return all ids as one Index."""
        parts = [part for part in self.parts if len(part)]
        if len(parts) == 0:
            return self.parts[0]
        return parts[0].append(parts[1:])
