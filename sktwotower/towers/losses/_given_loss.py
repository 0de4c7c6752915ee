"""A loss of the user: what it must have, and what files say of it.

Input: ``net_params["criterion"]``, a class; or its name in a file.
Output: the class, after its checks; or a ``NamedLoss``, with which nothing is learnt.
"""

import copy
import inspect
import math
from numbers import Real

import torch
from skorch import NeuralNet

from sktwotower._records import frozen
from sktwotower._records._named_classes import trusted_class
from sktwotower._tables._messages import warn
from sktwotower.towers.processes._group import GroupError, current_group

from ._losses import SampledSoftmaxLoss

PREFIX = "criterion__"
# What the constructor must accept, and what it is for.
NEEDED = {
    "temperature": (
        "the divisor of the scores, which temperature_, the log, fold-in and files read"
    ),
    "impression_weight": "how much rows with y = 0 count, the parameter of that name",
}
GUIDE = 'See the page "A loss of your own" of the guide.'
# Stands for a temperature of "auto" until it is known.
USUAL_TEMPERATURE = 0.15
# Relative difference that rounding may make in float32.
ROUNDING = 1e-3


@frozen
class NamedLoss:
    """The name of a loss that a file was written with, and that is not trusted.

    In place of the class it makes a loss that has a temperature and cannot be computed.

    Parameters
    ----------
    module, qualname : str
        Where the class is.
    """

    module: str
    qualname: str

    @classmethod
    def of(cls, loss):
        """Return the name of a loss: a class, or a name already."""
        if isinstance(loss, NamedLoss):
            return loss
        return cls(loss.__module__, loss.__qualname__)

    @property
    def name(self):
        """The name as `sktwotower.io.load` takes it."""
        return f"{self.module}.{self.qualname}"

    def __repr__(self):
        return f"<loss {self.name}, not loaded>"

    def __call__(self, temperature, **others):
        """Return what stands for the loss."""
        return UnknownLoss(self.name, temperature)

    def cannot_learn(self):
        """Return the error for an attempt to learn with it."""
        class_name = self.qualname.rpartition(".")[2]
        return ValueError(
            f"The model was trained with the loss {self.name}, which its file names "
            "and does not hold. So it answers requests, and cannot learn. If you know "
            f"that class, load it: sktwotower.io.load(path, trusted=[{self.name!r}]). "
            "Or set it: model.set_params(net_params={**(model.net_params or {}), "
            f"'criterion': {class_name}}})."
        )


class UnknownLoss(torch.nn.Module):
    """Stands for a loss of which only the name and the temperature are known."""

    def __init__(self, name, temperature):
        super().__init__()
        self.name = name
        self.temperature = temperature

    def forward(self, users, items, targets):
        """Raise ``ValueError``."""
        raise ValueError(f"The loss {self.name} was not loaded. {GUIDE}")


def is_given(loss):
    """Return whether a loss, a class or a name, is not the one of this package."""
    return loss is not SampledSoftmaxLoss


def check_loss(recipe):
    """Raise ``ValueError`` unless the loss of a ``Recipe`` can be made and be used.

    It is made once, without data: what is missing is said before X is read.
    """
    net_params = recipe.net_params or {}
    if "criterion" not in net_params:
        return
    loss = net_params["criterion"]
    if isinstance(loss, NamedLoss):
        raise loss.cannot_learn()
    if not isinstance(loss, type) or not issubclass(loss, torch.nn.Module):
        raise ValueError(
            "net_params['criterion'] must be a class that derives from "
            "torch.nn.Module; its parameters are further arguments, such as "
            f"criterion__margin=0.1. Got {loss!r}. {GUIDE}"
        )
    accepted = inspect.signature(loss).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
    missing = [name for name in NEEDED if name not in accepted]
    if missing and not takes_any:
        listed = "; ".join(f"{name} ({NEEDED[name]})" for name in missing)
        raise ValueError(
            f"The constructor of the loss {_name(loss)} must accept "
            f"{' and '.join(NEEDED)}. It lacks: {listed}. {GUIDE}"
        )
    params = {"temperature": USUAL_TEMPERATURE, "impression_weight": 1.0}
    for name in params:
        if getattr(recipe, name) != "auto":
            params[name] = getattr(recipe, name)
    for name, value in net_params.items():
        if name.startswith(PREFIX):
            params[name.removeprefix(PREFIX)] = value
    try:
        made = loss(**params)
    except Exception as error:  # of the user's code
        arguments = ", ".join(f"{name}={value!r}" for name, value in params.items())
        raise ValueError(
            f"The loss {_name(loss)} cannot be made with {arguments}: "
            f"{type(error).__name__}: {error}. Arguments of net_params that begin with "
            f"{PREFIX} are those of its constructor."
        ) from error
    check_made(made)


def check_made(made):
    """Raise ``ValueError`` if a loss lacks its temperature, or has weights to learn."""
    name = _name(type(made))
    temperature = getattr(made, "temperature", None)
    is_number = isinstance(temperature, Real) and not isinstance(temperature, bool)
    if not is_number or not 0 < temperature < math.inf:
        got = "It has none"
        if hasattr(made, "temperature"):
            got = f"It is {temperature!r}"
        raise ValueError(
            f"The loss {name} must have the attribute temperature, a number > 0: "
            f"{NEEDED['temperature']}. {got}. Set self.temperature = temperature in "
            "its constructor."
        )
    learnt = [key for key, weight in made.named_parameters() if weight.requires_grad]
    if learnt:
        raise ValueError(
            f"The loss {name} has weights that are trained: {', '.join(learnt)}. Each "
            "training makes the loss anew, so that partial_fit and a second pair of "
            "towers would lose them. Let them be fixed numbers: arguments of "
            f"net_params that begin with {PREFIX}."
        )


def parameters_of(net_params):
    """Return the arguments of a net that belong to a loss of the user, a dict.

    ``impression_weight`` is left out: short fits try several.
    """
    if not is_given(net_params.get("criterion", SampledSoftmaxLoss)):
        return {}
    kept = {}
    for name, value in net_params.items():
        if name == "criterion" or name.startswith(PREFIX):
            kept[name] = value
    kept.pop(f"{PREFIX}impression_weight", None)
    return kept


def check_goes_on(net, recipe):
    """Raise ``ValueError`` if training would go on with our loss in place of another.

    ``net``: the one that was trained before. A loss that the caller names is taken,
    with a warning if it has another name.
    """
    before = net.criterion
    now = (recipe.net_params or {}).get("criterion")
    if now is None:
        if isinstance(before, NamedLoss):
            raise before.cannot_learn()
        if is_given(before):
            raise ValueError(
                f"The model was trained with the loss {_name(before)}, and net_params "
                "names none: it would learn on with another one. Name the loss: "
                f"net_params={{'criterion': {before.__name__}}}. Or start anew with "
                "the default loss: call fit, with warm_start=False."
            )
    elif NamedLoss.of(now).name != NamedLoss.of(before).name:
        warn(
            f"The model was trained with the loss {_name(before)}, and learns on with "
            f"{_name(now)}, as net_params says."
        )


def try_loss(net, training, width):
    """Compute a loss of the user on the first batch, before the first epoch.

    The batch is a real one, and vectors are random: nothing is trained, and no number
    is drawn that training draws. In several processes all raise an error if one does.

    Parameters
    ----------
    net : TwoTowerNet
        Not initialized.
    training : TrainingSet
        With its impressions, if it has some.
    width : int
        Length of the vectors.
    """
    trial = copy.copy(training)
    trial.stream = copy.deepcopy(training.stream)  # it goes on with each batch

    # Each process makes a batch, even if it does not need it: they count together.
    batches = NeuralNet.get_iterator(net, trial, training=True)
    first = next(iter(batches), None)

    error = None
    if first is not None:
        batch, targets = first
        devices = []
        if str(net.device).startswith("cuda"):
            devices = [torch.device(net.device)]
        try:
            with torch.random.fork_rng(devices=devices):
                _try_on(net, batch, targets, width)
        except ValueError as raised:
            error = raised

    # No process goes on if another one has failed.
    group = current_group()
    failures = []
    if group is not None:
        failures = group.gather(None if error is None else str(error))
    if error is not None:
        raise error
    for number, failure in enumerate(failures):
        if failure is not None:
            raise GroupError(f"Process {number} has failed: {failure}")


def _try_on(net, batch, targets, width):
    """Compute the loss on a batch, with and without impressions, and check it."""
    loss = net.criterion(**net.get_params_for("criterion"))
    if isinstance(loss, torch.nn.Module):
        loss = loss.to(net.device)
    targets = targets.to(net.device)
    name = _name(type(loss))

    generator = torch.Generator().manual_seed(0)
    vectors = []
    for size in (len(targets), len(batch.item_rows)):
        drawn = torch.randn(size, width, generator=generator)
        unit = torch.nn.functional.normalize(drawn).to(net.device)
        vectors.append(unit.requires_grad_())
    value = _value(loss, vectors, targets)

    if targets.impressions is not None:
        without = copy.copy(targets)
        without.impressions = None
        if _value(loss, vectors, without) == value:
            warn(
                f"The loss {name} is the same with impressions as "
                "without: rows with y = 0 only put their items into the catalog. Use "
                "targets.impressions in forward, or set impression_weight=0."
            )

    if current_group() is not None and targets.total_weight is not None:
        twice = copy.copy(targets)
        twice.total_weight = 2 * targets.total_weight
        expected = value / 2
        half = _value(loss, vectors, twice)
        if not math.isclose(half, expected, rel_tol=ROUNDING, abs_tol=1e-6):
            raise ValueError(
                f"The loss {name} must divide the sum over users by "
                "targets.total_weight where several processes train one model, as "
                f"their losses are added up. With twice the weight it is {half:.4g} in "
                f"place of {expected:.4g}. Train in one process, or divide by it."
            )


def _value(loss, vectors, targets):
    """Return the loss, a float, after a check of what was computed."""
    users, items = vectors
    name = _name(type(loss))
    preposition = "without" if targets.impressions is None else "with"
    about = (
        f"users {tuple(users.shape)}, items {tuple(items.shape)} and the targets of "
        f"{len(targets)} requests {preposition} impressions"
    )
    try:
        value = loss(users, items, targets)
    except Exception as error:  # of the user's code
        raise ValueError(
            f"The loss {name} failed before the first epoch, on {about}: "
            f"{type(error).__name__}: {error}. {GUIDE}"
        ) from error
    if not isinstance(value, torch.Tensor) or value.shape != ():
        got = type(value).__name__
        if hasattr(value, "shape"):
            got = f"shape {tuple(value.shape)}"
        raise ValueError(
            f"The loss {name} must return a tensor of shape (), the loss of all users "
            f"of a batch. Got {got} for {about}."
        )
    gradients = [None]
    if value.requires_grad:
        gradients = torch.autograd.grad(value, vectors, allow_unused=True)
    gradients = [gradient for gradient in gradients if gradient is not None]
    if not gradients:
        raise ValueError(
            f"The loss {name} has no gradient by users or items, so that nothing would "
            "be learnt. Compute it of both by torch, without detach() or item()."
        )
    if not all(torch.isfinite(numbers).all() for numbers in [value, *gradients]):
        raise ValueError(
            f"The loss {name} is {value.item()}, or its gradient is not finite, for "
            f"{about}: unit vectors in random directions."
        )
    return value.item()


def loaded_loss(named, trusted):
    """Return the class of a ``NamedLoss`` if it is trusted, else its name.

    ``trusted``: types and names, as in `sktwotower.io.load`. Nothing else is imported.
    """
    if named.name == NamedLoss.of(SampledSoftmaxLoss).name:
        return SampledSoftmaxLoss
    otherwise = "the model answers requests, and does not learn"
    loss = trusted_class(named.module, named.qualname, trusted, "loss", otherwise)
    if loss is None:
        return named
    if not isinstance(loss, type) or not issubclass(loss, torch.nn.Module):
        raise ValueError(
            f"The file names the loss {named.name}, but that is not a class that "
            f"derives from torch.nn.Module: {loss!r}."
        )
    return loss


def _name(loss):
    """Return the name of a loss, a class or a ``NamedLoss``, for messages."""
    return NamedLoss.of(loss).name
