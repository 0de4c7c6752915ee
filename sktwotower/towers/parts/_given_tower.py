"""A tower that the user has given: any torch module.

Input: ``SparseRows`` (n, p), and a pooled history (n, d) if any.
Output: vectors (n, d).
"""

import copy

import numpy as np
import torch
from scipy import sparse
from torch import nn

from sktwotower._records import Check, Kind, add_kind, array, integer, one_of
from sktwotower._records._checks import check_of, text, values_of
from sktwotower.towers.operators._sparse_rows import SparseRows
from sktwotower.towers.training._stored_weights import array_by_name

SIDES = ("user_tower", "item_tower")
# Number of rows for which it must return the same vectors without some columns.
N_PROBED = 20


class GivenTower(nn.Module):
    """A module of the user that maps a sparse COO tensor (n, p) to (n, d).

    A pooled history is added to its output.

    Parameters
    ----------
    module : torch.nn.Module
    name : {"user_tower", "item_tower"}
        Which parameter it was given as, for errors.
    n_features : int
        Number of columns of the rows. Torch's lazy layers are initialized for them.

    Raises
    ------
    ValueError
        If it does not map (2, n_features) to (2, d).
    """

    is_linear = False

    def __init__(self, module, name, n_features):
        super().__init__()
        self.module = module
        self.name = name
        self.n_features = n_features
        # a pooled history joins the output
        self.widths = [_output_width(module, name, n_features)]

    @classmethod
    def made(cls, given, name, n_features):
        """Return the tower of a module, or of a callable that makes one."""
        if isinstance(given, nn.Module):
            return cls(copy.deepcopy(given).float(), name, n_features)
        module = given
        if callable(given):
            module = given(n_features)
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{name} must be a torch.nn.Module, or a callable that takes the "
                f"number of features and returns one. Got {given!r}."
            )
        # like the rows, regardless of torch's default dtype
        return cls(module.float(), name, n_features)

    def forward(self, rows, pooled=None, owners=None):
        """Map rows (n, p), and a pooled history (n, d) if any, to (n, d).

        ``owners``: the row (n,) of each pooled history, if several have the same.
        """
        vectors = self._output(rows)
        if owners is not None:
            vectors = vectors[owners]
        if pooled is not None:
            vectors = vectors + pooled
        return vectors

    def _output(self, rows):
        """Return the output (n, d) of the module, with a gradient if ``rows`` have."""
        if not rows.values.requires_grad:
            return self.module(rows.to_torch())
        for is_dense in (False, True):  # few operators lack a gradient for sparse ones
            tensor = rows.to_torch()
            if is_dense:
                tensor = tensor.to_dense()
            try:
                output = self.module(tensor)
                if output.requires_grad:
                    torch.autograd.grad(
                        output.sum(), rows.values, retain_graph=True, allow_unused=True
                    )
                return output
            except (RuntimeError, AttributeError, TypeError) as failure:
                error = failure
        raise ValueError(
            f"{self.name} has no gradient with respect to its input, sparse or dense, "
            "which explaining a tower of your own needs. Use torch operators with a "
            f"gradient. The error was: {error}"
        ) from error

    def drop_columns(self, left, unused, rows):
        """Keep the weights of columns where ``left`` (p,), of ``unused`` ones zeros.

        ``rows``: CSR (n, p), feature rows that have neither. Raise ``ValueError`` if
        the vectors of these are then others.
        """
        rows = rows[:N_PROBED]
        before = self._vectors(rows)
        after = None
        layer = None
        for module in self.module.modules():
            if isinstance(module, nn.Linear) and module.in_features == len(left):
                layer = module  # the first one that takes the columns
                break
        if layer is not None:
            weight = layer.weight.data
            weight[:, unused] = 0
            layer.weight.data = weight[:, left]
            self.n_features = int(left.sum())
            layer.in_features = self.n_features
            after = self._vectors(rows[:, np.flatnonzero(left)])
        fails = before is None or after is None
        if fails or not torch.allclose(before, after, rtol=1e-4, atol=1e-5):
            side = self.name.removesuffix("_tower")
            raise ValueError(
                f"The module given as {self.name} has no torch.nn.Linear that its "
                f"input reaches first. So forget_{side}s cannot remove what it has "
                f"learnt of single {side}s: fit anew without them."
            )

    def _vectors(self, rows):
        """Return the vectors (n, d) of rows, CSR (n, p); None if it fails on them."""
        device = next(self.parameters()).device
        with torch.inference_mode():
            try:
                return self.eval()(SparseRows.from_csr(rows).to(device))
            except (RuntimeError, TypeError, ValueError, IndexError):
                return None

    def vector(self, row, pooled=None):
        """Raise ``TypeError``: what the module does is not known."""
        raise TypeError(
            f"Only the towers of this package are exported, but {self.name} is a "
            f"{type(self.module).__name__}. Export it with torch.onnx.export."
        )


class GivenTowerKind(Kind):
    """How a trained tower of the user is written and read: its weights.

    Its class is given to `sktwotower.io.load`.
    """

    def read(self, specs, reader, place):
        """Return the tower that is made of what was given to `load`."""
        parts = super().read(specs, reader, place)
        name = parts["name"]
        class_name = parts["class"]
        given = given_to_load(reader, name, class_name)
        tower = GivenTower.made(given, name, parts["n_features"])
        weights = parts["weights"]
        try:
            tensors = {key: torch.tensor(weights[key]) for key in weights}
            tower.module.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(
                f"The tower given by towers={{{name!r}: ...}} is not the one that was "
                f"written, a {class_name}: {error}"
            ) from None
        return tower.eval()


def _parts_of(tower):
    """Return what files hold of a given tower."""
    return {
        "name": tower.name,
        "class": name_of(tower.module),
        "n_features": tower.n_features,
        "weights": array_by_name(tower.module),
    }


ARRAY = array("bool int64 int32 float32 float64")
PARTS = {
    "name": one_of(*SIDES),
    "class": text,
    "n_features": integer(),
    # a dict as any other one in files
    "weights": Check(check_of(dict[str, ARRAY])),
}
add_kind(GivenTowerKind(GivenTower, PARTS, take=_parts_of, build=dict))


def name_of(given):
    """Return the name of the class of a module, or of a function that makes it."""
    named = given
    if not hasattr(given, "__qualname__"):
        named = type(given)
    return f"{named.__module__}.{named.__qualname__}"


def given_to_load(reader, name, class_name):
    """Return what was given to `load` as a tower, next to the class in the file."""
    if name not in reader.towers:
        raise ValueError(
            f"The model was fitted with a {name} of the class {class_name}, which "
            f"files do not hold. Give it to load: towers={{{name!r}: tower}}, as it "
            "was given to the estimator."
        )
    return reader.towers[name]


class TowerParameter:
    """How the parameter ``user_tower`` or ``item_tower`` is written and read."""

    def __init__(self, name):
        self.name = name

    def write(self, value, writer, place):
        """Return what JSON holds: the name of the class."""
        if value is None:
            return None
        return {"class": name_of(value)}

    def read(self, spec, reader, place):
        """Return what was given to `load`."""
        if spec is None:
            return None
        (name,) = values_of(spec, ["class"], place, "a tower")
        return given_to_load(reader, self.name, text(name, place))


def _output_width(module, name, n_features):
    """Return d of a module; also initializes torch's lazy layers by a forward pass."""
    probe = SparseRows.from_csr(sparse.csr_matrix((2, n_features), dtype=np.float32))
    try:
        with torch.no_grad():
            vectors = module.eval()(probe.to_torch())
    except Exception as error:
        raise ValueError(
            f"{name} failed on a sparse tensor of shape (2, {n_features}), which it "
            f"must accept (torch.nn.LazyLinear fits any width): {error}"
        ) from error
    if not isinstance(vectors, torch.Tensor) or vectors.shape[:-1] != (2,):
        got = getattr(vectors, "shape", type(vectors).__name__)
        raise ValueError(f"{name} must map (n, p) to (n, d). For n = 2, got {got}.")
    return vectors.shape[1]
