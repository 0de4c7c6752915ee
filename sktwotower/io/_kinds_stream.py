"""What `partial_fit` goes on with: frequencies, the optimizer's state, latest tables.

Input: a ``Stream``, or what JSON holds for it.
Output: the other one of both.
"""

import numpy as np

from sktwotower.recommender._parts import modules_of
from sktwotower.recommender._stream import Stream, stream_of_pairs
from sktwotower.towers._frequency import Gaps
from sktwotower.towers._moments import moments_fit

from ._errors import array, instance, integer, list_of, refuse, require

__all__ = ["StreamCodec"]


class StreamCodec:
    """How a ``Stream`` is written and read."""

    @staticmethod
    def write(stream, writer, place):
        """Return what JSON holds for a ``Stream``."""
        return {
            "gaps": writer.write(stream.gaps._asdict(), f"{place}.gaps"),
            "n_events": writer.write(stream.n_events, f"{place}.n_events"),
            "moments": writer.write(list(stream.moments), f"{place}.moments"),
            "passes": writer.write(list(stream.passes), f"{place}.passes"),
        }

    @staticmethod
    def read(spec, seen, module, reader, place):
        """Return the ``Stream`` that JSON holds.

        ``spec`` None, in files of version 0.1.0: the one that follows from ``seen``.
        """
        if spec is None:
            return stream_of_pairs(seen)
        if type(spec) is not dict or set(spec) != set(Stream._fields):
            refuse(place, "a stream", spec)
        parts = {name: reader.read(spec[name], f"{place}.{name}") for name in spec}
        moments = tuple(list_of(instance(dict))(parts["moments"], f"{place}.moments"))
        modules = modules_of(module)
        fits = len(moments) <= len(modules) and all(
            moments_fit(each, own) for each, own in zip(moments, modules, strict=False)
        )
        require(fits, f"{place}.moments", "those of the parameters of the towers")
        passes = list_of(integer(0, 2**63 - 1))(parts["passes"], f"{place}.passes")
        n_events = integer(0)(parts["n_events"], f"{place}.n_events")
        gaps = _gaps(parts["gaps"], seen.shape[1], f"{place}.gaps")
        return Stream(gaps, n_events, moments, tuple(passes))


def _gaps(parts, n_items, place):
    """Return ``Gaps`` of n_items; only the gap of an item without events is inf."""
    if type(parts) is not dict or set(parts) != set(Gaps._fields):
        refuse(place, "gaps", parts)
    for values in parts.values():
        array("float64", 1)(values, place)
        require(
            len(values) == n_items and not (values < 0).any(), place, "of all items"
        )
    finite = np.isfinite(parts["last"]) & np.isfinite(parts["n_gaps"])
    fits = finite.all() and not np.isnan(parts["gap"]).any()
    require(fits and not (parts["gap"] == 0).any(), place, "positive gaps")
    return Gaps(**parts)
