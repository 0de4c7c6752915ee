"""What `partial_fit` goes on with: frequencies, the optimizer's state, latest tables.

Input: a ``Stream``, or what JSON holds for it.
Output: the other one of both.
"""

from sktwotower._records._checks import instance, integer, list_of, refuse, require
from sktwotower.recommender._parts import modules_of
from sktwotower.recommender._stream import Stream
from sktwotower.towers._gaps import Gaps
from sktwotower.towers._moments import moments_fit

__all__ = ["StreamCodec"]


class StreamCodec:
    """How a ``Stream`` is written and read."""

    @staticmethod
    def write(stream, writer, place):
        """Return what JSON holds for a ``Stream``."""
        return {
            "gaps": writer.write(stream.gaps, f"{place}.gaps"),
            "n_events": writer.write(stream.n_events, f"{place}.n_events"),
            "moments": writer.write(list(stream.moments), f"{place}.moments"),
            "passes": writer.write(list(stream.passes), f"{place}.passes"),
        }

    @staticmethod
    def read(spec, n_items, module, reader, place):
        """Return the ``Stream`` that JSON holds."""
        if type(spec) is not dict or set(spec) != set(Stream._fields):
            refuse(place, "a stream", spec)
        gaps = instance(Gaps)(reader.read(spec["gaps"], f"{place}.gaps"), place)
        fits = len(gaps.gap) == n_items
        require(fits, f"{place}.gaps", "numbers >= 0 of all places")
        others = [name for name in Stream._fields if name != "gaps"]
        parts = {name: reader.read(spec[name], f"{place}.{name}") for name in others}
        moments = tuple(list_of(instance(dict))(parts["moments"], f"{place}.moments"))
        modules = modules_of(module)
        fits = len(moments) <= len(modules) and all(
            moments_fit(each, own) for each, own in zip(moments, modules, strict=False)
        )
        require(fits, f"{place}.moments", "those of the parameters of the towers")
        passes = list_of(integer(0, 2**63 - 1))(parts["passes"], f"{place}.passes")
        n_events = integer(0)(parts["n_events"], f"{place}.n_events")
        return Stream(gaps, n_events, moments, tuple(passes))
