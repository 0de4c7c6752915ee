"""The skorch net that trains two towers.

Input: a ``Recipe``, a part of a model, and ``TrainingData``.
Output: a trained ``TwoTowerNet``.
"""

import inspect
import math
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from typing import NamedTuple

import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split

from sktwotower._tables._messages import prints_epochs, warn
from sktwotower.towers._recipe import (
    BATCH_PARAMETERS,
    OF_BATCHES,
    OF_NET,
    check_net_arguments,
    plain,
)
from sktwotower.towers.batches._batches import TrainingSet, UserBatches
from sktwotower.towers.batches._sequence_batches import SequenceBatches
from sktwotower.towers.losses._given_loss import is_given, try_loss
from sktwotower.towers.losses._losses import SampledSoftmaxLoss
from sktwotower.towers.operators._compiled import COMPILED_FROM
from sktwotower.towers.processes._exchange import GOES_ON, Exchange, Shares
from sktwotower.towers.processes._group import current_group, is_first

from ._callbacks import Interruption, looks_at_gradients, n_first_epochs, own_callbacks
from ._optimizer import RowwiseAdam, moments_of, optimizer_class, set_moments
from ._resuming import Saver

# Each of several processes makes batches of the size that one process would make, but
# smaller ones if an epoch had fewer batches than this.
MIN_BATCHES = 12
# Of the loss while tables of items are tied; other fits gain nothing.
ROBUSTNESS = 0.1
# Numbers in the tables of a part from which on compiled steps of them pay.
COMPILED_TABLES = 4_000_000
# Number of batches that are ready, or being made, before they are used.
N_AHEAD = 2
_END = object()
_GENERATOR_LOCK = threading.RLock()


class TwoTowerNet(NeuralNet):
    """A skorch ``NeuralNet`` that trains two towers on batches of users.

    It differs from ``NeuralNet`` in six places: a batch holds the inputs of both
    towers, the loss gets the vectors of both, an interruption is recorded, training can
    go on after ``epochs_before_`` epochs of a checkpoint, batches may be made ahead of
    their use, and several processes add their gradients by an ``exchange_``. Everything
    else (callbacks, history, optimizers, ``save_params``) is skorch's.
    """

    interrupted_ = False
    epochs_before_ = 0
    exchange_ = None

    # What other rooms read of a trained net. ``net_params`` may have set it, so that it
    # is not always what the recipe says.

    @property
    def model(self):
        """The module that is trained: a ``Model``, or one of its parts."""
        return self.module_

    @property
    def loss(self):
        """The loss, a module."""
        return self.criterion_

    @property
    def temperature(self):
        """The divisor of the scores in the loss."""
        return self.criterion_.temperature

    @property
    def impression_weight(self):
        """Weight of the loss of impressions."""
        return self.criterion__impression_weight

    @property
    def candidate_sampling(self):
        """The way of sampling candidates."""
        return self.iterator_train__candidate_sampling

    @property
    def history_dropout(self):
        """Share of past items that were hidden."""
        return self.iterator_train__history_dropout

    def initialize_trained(self):
        """Initialize a net whose module is trained, without an optimizer; return it.

        The first optimizer of a process takes a second to import: ``fit_loop`` makes
        one if the net is trained further.
        """
        self._initialize_virtual_params()
        self._initialize_callbacks()
        self._initialize_module()
        self._initialize_criterion()
        self._initialize_history()
        self.module = type(self.module_)
        self.initialized_ = True
        return self

    def fit_loop(self, *args, **kwargs):
        """Run the epochs and record an interruption by the user, which skorch hides."""
        if not hasattr(self, "optimizer_"):
            self._initialize_optimizer()
        if self.epochs_before_:
            kwargs["epochs"] = self.max_epochs - self.epochs_before_
        try:
            return super().fit_loop(*args, **kwargs)
        except KeyboardInterrupt as error:
            # skorch's early stopping raises one, too
            *_, (frame, _) = traceback.walk_tb(error.__traceback__)
            raised_by = frame.f_locals.get("self")
            self.interrupted_ = not isinstance(raised_by, EarlyStopping)
            raise

    def get_iterator(self, dataset, training=False):
        """Return the batches; those of training are kept until it has ended."""
        if self.exchange_ is not None:
            self.exchange_.header(GOES_ON)  # all have begun, and can count together
        iterator = super().get_iterator(dataset, training)
        if training:
            self.batches_ = iterator
        if self.exchange_ is None:
            return iterator
        return Shares(iterator, self.exchange_)

    def run_single_epoch(self, iterator, training, *args, **kwargs):
        """Run an epoch; while a batch is computed, the next ones may be made."""
        if not training or not is_made_ahead(iterator, self.device):
            return super().run_single_epoch(iterator, training, *args, **kwargs)
        with closing(made_ahead(iterator)) as batches:
            return super().run_single_epoch(batches, training, *args, **kwargs)

    def train_step_single(self, batch, **fit_params):
        """Compute the loss of a batch and its gradients."""
        return self._step(super().train_step_single, batch, True)

    def validation_step(self, batch, **fit_params):
        """Compute the loss of a batch of validation."""
        return self._step(super().validation_step, batch, False)

    def _step(self, compute, batch, learns):
        """Return ``compute(batch)``, with what other processes add to it."""
        if self.exchange_ is None:
            return compute(batch)
        return self.exchange_.step(lambda *pair: compute(pair), *batch, learns=learns)

    def infer(self, x, **fit_params):
        """Return user vectors (b, d) and candidate item vectors (c, d) of ``Batch``."""
        return self.module_(x.to(self.device))

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss of user and item vectors, given their ``Targets``."""
        return self.criterion_(*y_pred, y_true.to(self.device))


@contextmanager
def seeded(seed, device="cpu"):
    """Seed torch's generators, and restore their state at the end of the block.

    They are global, so a lock allows only one thread at a time. Inference mode is
    switched off: parameters created in it cannot be trained. On a CPU, generators of
    other devices stay as they are.
    """
    cuda_devices = []
    if str(device).startswith("cuda"):
        cuda_devices = [torch.device(device)]
    restored = torch.random.fork_rng(devices=cuda_devices)
    with _GENERATOR_LOCK, restored, torch.inference_mode(False):
        if str(device) == "cpu":
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
        yield


class TrainingData(NamedTuple):
    """The data that a net is trained on, and validated on if there is validation.

    After each epoch, ``validation`` is used for the validation loss, and
    ``evaluate(module, exchange)`` returns the validation recall. Before the last epochs
    ``look(module, exchange)`` is called, and ``complete``, of the same users and items,
    takes the place of ``training``. None: neither happens.
    """

    training: TrainingSet
    validation: TrainingSet | None = None
    evaluate: Callable | None = None
    complete: TrainingSet | None = None
    look: Callable | None = None

    def n_steps(self, n_epochs, batch_size):
        """Return the number of batches of all epochs."""
        n_batches = self.training.n_batches(batch_size)
        if self.complete is None:
            return n_epochs * n_batches
        n_first = n_first_epochs(n_epochs)
        n_of_complete = self.complete.n_batches(batch_size)
        return n_first * n_batches + (n_epochs - n_first) * n_of_complete


def train(recipe, part, data, seed, schedule=True, saved=None):
    """Train a part on ``TrainingData`` and return the fitted ``TwoTowerNet``.

    ``recipe``: its ``candidate_sampling`` and ``temperature`` are not "auto".
    ``schedule``: whether the learning rate rises and falls. ``saved``: keeps the state
    of training, see `Saver`; None: nothing is kept. The optimizer starts with the
    ``moments`` of the part, which are replaced by those at the end.
    """
    if not is_first():
        recipe = recipe._replace(verbose=0)
    net = TwoTowerNet(**_net_params(recipe, part, data, seed))
    if is_given(net.criterion):
        try_loss(net, data.training, part.width)

    # Ours come first, so that the user's callbacks can read what ours record. The state
    # of an epoch is complete, and can be kept, after all others.
    first = own_callbacks(recipe, data, net, schedule)
    last = []
    saver = None
    if saved is not None:
        saver = Saver(saved)
        last.append(("checkpoint", saver))
    interruption = Interruption(terminable=saver is not None)
    last.append(("interruption", interruption))
    net.set_params(callbacks=first + list(recipe.callbacks or []) + last)
    try:
        net.initialize()
    except (RuntimeError, TypeError, ValueError) as error:
        if not recipe.net_params:
            raise
        raise ValueError(
            "net_params must hold arguments of skorch.NeuralNet. Got "
            f"{recipe.net_params}: {error}"
        ) from error
    set_moments(net)

    # several processes train in an exchange
    exchange = nullcontext()
    if current_group() is not None:
        exchange = Exchange(current_group(), net, interruption)
        net.exchange_ = exchange
        interruption.exchange = exchange
    with interruption, exchange:
        if saver is None:
            net.partial_fit(data.training, y=None)
        else:
            saver.train(net, data.training)
        net.module_.moments = moments_of(net)
    if net.exchange_ is not None:
        net.exchange_.gather()

    if net.interrupted_:
        message = (
            f"fit was interrupted in epoch {len(net.history)} of {net.max_epochs}; the "
            "model is kept as it was trained until then."
        )
        if saver is not None:
            message += f" The same call goes on after epoch {saver.n_epochs}."
        warn(message)
        interruption.end_process()
    _trim(net, {name for name, _ in first + last})
    net.callbacks = list(recipe.callbacks or [])
    return net


def check_net_params(net_params):
    """Raise ``ValueError`` for arguments that a net or its batches cannot take."""
    for name in net_params:
        if not isinstance(name, str):
            raise ValueError(f"net_params must have names of arguments. Got {name!r}.")
    known = list(inspect.signature(UserBatches).parameters)[1:]
    our_iterators = {"iterator_train", "iterator_valid"} - net_params.keys()
    for name in net_params:
        iterator, _, of_batches = name.partition("__")
        if iterator not in our_iterators:
            if name in OF_NET:
                raise ValueError(f"Pass {name} as {OF_NET[name]}=, not in net_params.")
            continue
        if of_batches in OF_BATCHES:
            parameter = OF_BATCHES[of_batches]
            raise ValueError(f"Pass {name} as {parameter}=, not in net_params.")
        if of_batches not in known:
            free = [name for name in known if name not in OF_BATCHES]
            raise ValueError(
                f"net_params has {name!r}, but batches have no {of_batches!r}. They "
                f"have {free}."
            )
    check_net_arguments(net_params)


def _net_params(recipe, part, data, seed):
    """Return the net's arguments; those in ``net_params`` take precedence."""
    given = recipe.net_params or {}
    batches = UserBatches
    if recipe.history.sees_order:
        batches = SequenceBatches
    split = None
    if data.validation is not None:
        split = predefined_split(data.validation)
    verbose = 0
    if prints_epochs(recipe.verbose):
        verbose = recipe.verbose - 1
    params = {
        "module": part,
        "criterion": SampledSoftmaxLoss,
        "criterion__temperature": recipe.temperature,
        "criterion__impression_weight": recipe.impression_weight,
        "iterator_train__shuffle": True,
        "iterator_train__history_dropout": recipe.dropout,
        "iterator_train__id_dropout": recipe.id_dropout,
        "iterator_train__seed": seed,
        "train_split": split,
        "verbose": verbose,
    }
    for name in ("lr", "max_epochs", "batch_size", "device"):
        params[name] = getattr(recipe, name)
    for name in ("iterator_train", "iterator_valid"):
        params[name] = batches
        params[f"{name}__candidate_sampling"] = recipe.candidate_sampling
        params[f"{name}__device"] = recipe.device
    if not prints_epochs(recipe.verbose):
        params["callbacks__print_log"] = None
    if not {"module", "criterion"} & given.keys():
        params["criterion__unit_vectors"] = recipe.normalize
        params["criterion__robustness"] = 0.0
        if part.is_tied:
            params["criterion__robustness"] = ROBUSTNESS
    params |= _optimizer_params(recipe, part, data.training, given)
    # in validation, parameters of batches are those of training
    for name, parameter in BATCH_PARAMETERS.items():
        value = given.get(f"iterator_train__{name}", parameter.default)
        params[f"iterator_train__{name}"] = value
        if parameter.in_validation:
            params[f"iterator_valid__{name}"] = value
    params |= given
    if current_group() is not None:
        _share_batches(params, recipe, data, current_group())
    return params


def _optimizer_params(recipe, part, training, given):
    """Return the optimizer and its parameters; ``given``: what ``net_params`` has.

    ``training``: a ``TrainingSet``.
    """
    optimizer = optimizer_class(recipe.optimizer)
    params = {"optimizer": optimizer}
    accepted = inspect.signature(optimizer).parameters
    if "weight_decay" in accepted:
        params["optimizer__weight_decay"] = recipe.weight_decay
    if optimizer is RowwiseAdam:
        # compiled steps pay for large tables that learn many events
        tables = [part.get_submodule(name) for name in part.tables]
        n_numbers = sum(table.weight.numel() for table in tables)
        is_large = n_numbers >= COMPILED_TABLES
        compiles = is_large and training.positives.nnz >= COMPILED_FROM
        of_tables = {"rowwise": True, "compiled": compiles}
        names = [f"*{name}.weight" for name in part.tables]  # also of a part of a model
        params["optimizer__param_groups"] = [(name, of_tables) for name in names]
    if "fused" in accepted and "optimizer__foreach" not in given:
        params["optimizer__fused"] = True  # several times faster on a CPU too
    return params


def _share_batches(params, recipe, data, group):
    """Let each process make batches of its own users, in place."""
    if looks_at_gradients(recipe.callbacks):
        raise ValueError(
            "callbacks that read gradients (on_grad_computed) need those of all rows, "
            "and each of several processes has its own. Train in one, or leave them "
            "out."
        )
    if not issubclass(params["iterator_train"], UserBatches):
        raise ValueError(
            "Several processes train on the batches of this package only. Got "
            f"net_params={{'iterator_train': {params['iterator_train']!r}}}: train in "
            "one process, or leave it out."
        )
    size = params["batch_size"]
    smaller = math.ceil(size * min(1, data.training.n_batches(size) / MIN_BATCHES))
    params["batch_size"] = max(smaller, math.ceil(size / group.size))
    n_drawn = "iterator_train__n_negatives"  # of all processes together
    params[n_drawn] = math.ceil(params[n_drawn] / group.size)
    params["iterator_train__seed"] = params["iterator_train__seed"] + group.rank


def _trim(net, ours):
    """Remove what only training needs, so that pickles hold little except the weights.

    The optimizer's moments are twice as large as the weights. The validation set, and
    the callbacks named in ``ours`` that read it, hold data.
    """
    for name in ("batches_", "epochs_before_", "exchange_"):
        vars(net).pop(name, None)
    net.optimizer_.state.clear()  # small ones are kept as ``moments`` of the part
    net.optimizer_.zero_grad(set_to_none=True)
    net.train_split = None
    net.module = type(net.module_)
    net.callbacks_ = [c for c in net.callbacks_ if c[0] not in ours]
    for row in net.history:
        row.pop("batches", None)
    net.module_.eval()


def joined(nets, model):
    """Return the first of the nets that have trained parts of a model, with all."""
    first = nets[0]
    first.module_ = model.eval()
    first.module = type(model)
    first.interrupted_ = any(net.interrupted_ for net in nets)
    return first


def with_model(net, model, before=None):
    """Return a net with another module, whose history follows that of one before."""
    new = object.__new__(type(net))  # copy.copy would write all weights to memory
    vars(new).update(vars(net))
    # the optimizer would keep the parameters of the module that is replaced
    vars(new).pop("optimizer_", None)
    new.module_ = model.eval()
    new.module = type(model)
    if before is not None:
        new.history = type(net.history)([*before.history, *net.history])
    return new


def epochs(net):
    """Return the figures of each finished epoch, a list of dicts."""
    names = ("epoch", "train_loss", "valid_loss", "valid_recall", "dur")
    finished = []
    for row in net.history:
        if "dur" in row:
            finished.append({name: plain(row[name]) for name in names if name in row})
    return finished


def is_made_ahead(batches, device):
    """Return whether to make batches ahead of their use.

    On a CPU all threads of torch would wait for the one that shares a core with it.
    Batches that an ``ItemStream`` counts are not made before they are needed: training
    may end without them.
    """
    ours = isinstance(batches, UserBatches) and batches.dataset.stream is None
    return ours and torch.device(device).type != "cpu"


def made_ahead(batches):
    """Yield batches of an iterable, whose iterator runs in one thread of its own.

    An error of the thread is raised where its batch would have come. When the generator
    is closed, the thread has ended.
    """
    iterator = iter(batches)
    with ThreadPoolExecutor(1, "sktwotower batches") as thread:
        made = deque(thread.submit(next, iterator, _END) for _ in range(N_AHEAD))
        try:
            while (batch := made.popleft().result()) is not _END:
                made.append(thread.submit(next, iterator, _END))
                yield batch
        finally:
            for future in made:
                future.cancel()
