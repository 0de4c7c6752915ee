"""The parameters that files hold in part: folders of a machine, and what compiles.

Input: a parameter, or what JSON holds in its place.
Output: the other one.
"""

from sktwotower._records import one_of
from sktwotower._records._values import cannot_write


class Dropped:
    """The parameter ``checkpoint``: a folder of one machine, which becomes None."""

    @staticmethod
    def write(value, writer, place):
        """Return None."""
        return None

    @staticmethod
    def read(spec, reader, place):
        """Return None."""
        return one_of(None)(spec, place)


class NoFolder(Dropped):
    """The parameter ``memory``: a folder of pickles, which no file may name."""

    @staticmethod
    def write(value, writer, place):
        """Raise ``ValueError`` if there is a folder."""
        if value is not None:
            raise cannot_write(value, place, ", a folder of pickles")


class NetParams:
    """The parameter ``net_params``, without what starts a compiler."""

    @staticmethod
    def write(value, writer, place):
        """Return what JSON holds for the others."""
        return writer.write(_not_compiled(value), place)

    @staticmethod
    def read(spec, reader, place):
        """Return the others."""
        return _not_compiled(reader.read(spec, place))


def _not_compiled(params):
    if not isinstance(params, dict):
        return params
    return {k: v for k, v in params.items() if not str(k).startswith("compile")}
