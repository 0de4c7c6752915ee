"""The parameters that files hold in part: folders, what compiles, a loss of the user.

Input: a parameter, or what JSON holds in its place.
Output: the other one.
"""

from sktwotower._records import Codec, cannot_write, one_of
from sktwotower.towers.losses._given_loss import NamedLoss, loaded_loss


def _write_none(value, writer, place):
    """Return None."""


def _read_none(spec, reader, place):
    """Return None."""
    return one_of(None)(spec, place)


def _refuse_folder(value, writer, place):
    """Raise ``ValueError`` if there is a folder."""
    if value is not None:
        raise cannot_write(value, place, ", a folder of pickles")


def _write_params(value, writer, place):
    """Return what JSON holds for the parameters that start no compiler.

    Of a loss of the user it is the name.
    """
    params = _not_compiled(value)
    if isinstance(params, dict) and isinstance(params.get("criterion"), type):
        params = params | {"criterion": NamedLoss.of(params["criterion"])}
    return writer.write(params, place)


def _read_params(spec, reader, place):
    """Return the parameters that start no compiler, with the loss if it is trusted."""
    params = _not_compiled(reader.read(spec, place))
    if isinstance(params, dict) and isinstance(params.get("criterion"), NamedLoss):
        loss = loaded_loss(params["criterion"], reader.trusted)
        params = params | {"criterion": loss}
    return params


def _not_compiled(params):
    if not isinstance(params, dict):
        return params
    return {k: v for k, v in params.items() if not str(k).startswith("compile")}


# ``checkpoint``, a folder of one machine, becomes None. ``memory`` is a folder of
# pickles, which no file may name. ``net_params`` lack what starts a compiler, and hold
# the name of a loss.
CHECKPOINT = Codec(_read_none, _write_none)
MEMORY = Codec(_read_none, _refuse_folder)
NET_PARAMS = Codec(_read_params, _write_params)
