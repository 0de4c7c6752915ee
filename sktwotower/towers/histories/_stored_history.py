"""Histories in files: the parameter, and the layer of a history of the user.

Input: a `History` or a layer, or what JSON holds in its place.
Output: the other one of both.
"""

import numpy as np
import torch

from sktwotower._records import Check, Kind, add_kind, array, integer, one_of
from sktwotower._records._checks import check_of, refusing, text, values_of
from sktwotower._records._named_classes import name_of_class
from sktwotower.towers.training._stored_weights import array_by_name

from ._history import History
from ._own_layer import OwnLayer
from ._short_names import SHORT_NAMES


def parameters_of(history):
    """Return the parameters of a history as text, the same in each process."""
    texts = []
    for name, value in sorted(history.get_params(deep=False).items()):
        # searches try numbers of numpy
        value = value.item() if isinstance(value, np.generic) else value
        text = repr(value)
        if " at 0x" in text:
            text = type(value).__qualname__
        texts.append(f"{name}={text}")
    return ", ".join(texts)


def given_history(reader, name):
    """Return the history that was given to `load`; ``name``: the class in the file."""
    history = reader.towers.get("history")
    if not isinstance(history, History):
        raise ValueError(
            f"The model was fitted with a history of the class {name}, which files do "
            "not hold. Give it to load: towers={'history': history}, as it was given "
            "to the estimator."
        )
    if name_of_class(type(history)) != name:
        raise ValueError(
            f"The model was fitted with a history of the class {name}. Got one of "
            f"{name_of_class(type(history))} in towers={{'history': ...}}."
        )
    return history


class HistoryParameter:
    """How the parameter ``history`` is written and read."""

    def write(self, value, writer, place):
        """Return what JSON holds: a short name, or the name of a class."""
        if not isinstance(value, History):
            return value
        if SHORT_NAMES.get(value.kind) is type(value):
            params = writer.write(value.get_params(deep=False), f"{place}.params")
            return {"kind": value.kind, "params": params}
        return {"class": name_of_class(type(value))}

    def read(self, spec, reader, place):
        """Return the value of the parameter."""
        if not isinstance(spec, dict):
            return spec
        if "kind" in spec:
            kind, params = values_of(spec, ["kind", "params"], place, "a history")
            kind = one_of("pooled", "recent").read(kind, reader, f"{place}.kind")
            params = reader.read(params, f"{place}.params")
            with refusing(place, "a history with its parameters", TypeError):
                return SHORT_NAMES[kind](**params)
        (name,) = values_of(spec, ["class"], place, "a history")
        return given_history(reader, text(name, place))


class OwnLayerKind(Kind):
    """How the layer of a history of the user is written and read: its weights.

    Its history is given to `sktwotower.io.load`.
    """

    def read(self, specs, reader, place):
        """Return the layer around the module of what was given to `load`."""
        parts = super().read(specs, reader, place)
        history = given_history(reader, parts["class"])
        before, now = parts["parameters"], parameters_of(history)
        if before != now:
            raise ValueError(
                f"The model was fitted with the history {parts['class']}({before}). "
                f"Got one with ({now}) in towers={{'history': ...}}, which computes "
                "other vectors. Give it the parameters that it had in fit."
            )
        layer = OwnLayer(history, parts["n_features"], parts["width"])
        weights = {name: torch.tensor(each) for name, each in parts["weights"].items()}
        try:
            layer.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                "The history given by towers={'history': ...} is not the one that was "
                f"written: {error}"
            ) from None
        return layer.eval()


def _parts_of(layer):
    """Return the values that files hold of a layer."""
    return {
        "class": name_of_class(type(layer.made_by)),
        "parameters": parameters_of(layer.made_by),
        "n_features": len(layer.items.weight),
        "width": layer.width,
        "weights": array_by_name(layer),
    }


ARRAY = array("bool int64 int32 float32 float64")
PARTS = {
    "class": text,
    "parameters": text,
    "n_features": integer(),
    "width": integer(1),
    "weights": Check(check_of(dict[str, ARRAY])),
}
add_kind(OwnLayerKind(OwnLayer, PARTS, take=_parts_of, build=dict))
