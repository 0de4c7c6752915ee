"""What the frequency of items in a stream consists of.

Input: a `StreamingFrequency` or ``Gaps``, or what JSON holds for them.
Output: the other one of both.
"""

import numpy as np

from sktwotower.towers import StreamingFrequency
from sktwotower.towers._gaps import Gaps

from ._errors import array, integer, refuse, require
from ._frames import IndexCodec
from ._kinds import Estimator, Maybe

__all__ = ["GapsCodec"]


class GapsCodec:
    """How ``Gaps`` are written and read."""

    @staticmethod
    def write(gaps, writer, place):
        """Return what JSON holds for ``Gaps``."""
        return writer.write(gaps._asdict(), place)

    @staticmethod
    def read(spec, n_places, reader, place):
        """Return the ``Gaps`` of n_places; only that of one without hits is inf.

        ``n_places`` None: of any number of places.
        """
        parts = reader.read(spec, place)
        if type(parts) is not dict or set(parts) != set(Gaps._fields):
            refuse(place, "gaps", parts)
        for values in parts.values():
            array("float64", 1)(values, place)
            n_places = len(values) if n_places is None else n_places
            fits = len(values) == n_places and not (values < 0).any()
            require(fits, place, "numbers >= 0 of all places")
        finite = np.isfinite(parts["last"]) & np.isfinite(parts["n_gaps"])
        fits = finite.all() and not np.isnan(parts["gap"]).any()
        require(fits and not (parts["gap"] == 0).any(), place, "positive gaps")
        return Gaps(**parts)


class TablesCodec:
    """How the tables of a `StreamingFrequency`, a list of ``Gaps``, are written."""

    @staticmethod
    def write(tables, writer, place):
        """Return what JSON holds for a list of ``Gaps``."""
        return [GapsCodec.write(gaps, writer, place) for gaps in tables]

    @staticmethod
    def read(specs, reader, place):
        """Return the list of ``Gaps``, of the same number of places."""
        require(type(specs) is list and len(specs), place, "a list of gaps")
        tables = [GapsCodec.read(spec, None, reader, place) for spec in specs]
        require(len({len(gaps.gap) for gaps in tables}) == 1, place, "equal sizes")
        return tables


STATE = {
    "n_steps_": integer(),
    "ids_": Maybe(IndexCodec),
    "gaps_": TablesCodec,
    "_keys": array("int64", 2),
    "_example": Maybe(IndexCodec),
}


def check_frequency(frequency, place):
    """Raise unless tables, hash functions and ids fit together."""
    require(set(STATE) <= set(vars(frequency)), place, "all attributes of fit")
    n_tables, n_places = len(frequency.gaps_), len(frequency.gaps_[0].gap)
    shape = n_tables, 2
    require(frequency._keys.shape == shape, f"{place}._keys", f"of shape {shape}")
    ids, example = frequency.ids_, frequency._example
    if ids is not None:
        fits = n_tables == 1 and len(ids) == n_places and ids.is_unique
        require(fits and not ids.hasnans, f"{place}.ids_", "a distinct id per place")
    if example is not None:
        require(len(example) == 1, f"{place}._example", "one id")


KINDS = [Estimator(StreamingFrequency, STATE, check=check_frequency)]
