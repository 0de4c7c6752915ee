"""What training waits for, counted on a CPU that passes for another device."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from sktwotower import TwoTowerRecommender
from sktwotower.towers import _autograd, _losses, _sparse_rows
from sktwotower.towers._devices import is_on, moved
from sktwotower.towers._net import TwoTowerNet
from sktwotower.towers._sparse_rows import SparseRows

# Operators whose result, or the size of it, Python has to know.
WAITING = {
    *("_local_scalar_dense", "equal", "nonzero", "masked_select", "_coalesce"),
    *("_unique2", "unique_dim", "unique_consecutive"),
}
# Functions that copy numbers between Python and a device, of no operator of their own.
COPYING = {"numpy", "tolist", "__array__", "cpu", "tensor", "as_tensor", "new_tensor"}


class Operators(TorchDispatchMode):
    """Records the operators that wait for a device."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, operator.overloadpacket.__name__
        waits = name in WAITING
        if name == "repeat_interleave":
            waits = kwargs.get("output_size") is None
        if name.startswith(("index", "_index")) and isinstance(args[1], list | tuple):
            masks = (torch.bool, torch.uint8)
            waits = any(each is not None and each.dtype in masks for each in args[1])
        if waits:
            self.found.append(name)
        return operator(*args, **kwargs)


class Functions(TorchFunctionMode):
    """Records the functions that copy numbers."""

    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in COPYING:
            self.found.append(function.__name__)
        return function(*args, **kwargs or {})


@pytest.fixture
def waits(monkeypatch):
    """The waits of all steps of training, one list for each epoch, and their steps."""
    for module in (_autograd, _losses):
        monkeypatch.setattr(module, "on_cpu", lambda tensor: False)
    monkeypatch.setattr(_sparse_rows, "is_on", lambda tensor, device: False)
    epochs, run = [], TwoTowerNet.run_single_epoch

    def run_counted(self, iterator, training, *args, **kwargs):
        if not training:
            return run(self, iterator, training, *args, **kwargs)
        # what is known on the CPU is read before the batch is moved
        batches = [[part.to("cpu") for part in batch] for batch in iterator]
        found = []
        epochs.append((found, len(batches)))
        with Operators(found), Functions(found):
            return run(self, batches, training, *args, **kwargs)

    monkeypatch.setattr(TwoTowerNet, "run_single_epoch", run_counted)
    return epochs


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(0)
    n = 300
    data = {"user": rng.integers(30, size=n), "item": rng.integers(900, size=n)}
    data |= {"time": np.arange(n), "place": rng.choice(list("abc"), n)}
    return pd.DataFrame(data)


ITEMS = pd.DataFrame({"item": range(900), "tag": [f"t{i % 9}" for i in range(900)]})
MIXED = {
    "candidate_sampling": "mixed",
    "net_params": {"iterator_train__n_negatives": 9},
}
KINDS = {
    "full": {},
    "mixed": MIXED,
    "recent": {"time": "time", "second_share": 0.3},
    "features": MIXED | {"items": ITEMS},
    "impressions": MIXED | {"impression_weight": 1.0, "impression_start": 0.0},
    "context": MIXED | {"context": ["place"]},
    "context and time": {"time": "time", "context": ["place"]},
    "early stopping": {"early_stopping": True},
    "any length": {"normalize": False},
    "hidden layer": {"hidden_layer_sizes": (4,)},
    "further events": MIXED,
    "another optimizer": {"optimizer": "adamw"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_training_waits_once_for_its_device(kind, events, waits):
    params = {"embedding_dim": 4, "max_epochs": 1, "batch_size": 8} | KINDS[kind]
    names = {"time", "context"} & params.keys()
    columns = ["user", "item", *("time" for n in names if n == "time")]
    columns += ["place"] if "context" in names else []
    y = np.arange(len(events)) % 4 > 0 if kind == "impressions" else None
    model = TwoTowerRecommender(random_state=0, **params).fit(events[columns], y)
    if kind == "further events":
        waits.clear()
        model.partial_fit(events[columns][::-7].assign(user=range(43)))
    assert waits
    for found, n_steps in waits:
        assert found == ["_local_scalar_dense"] * n_steps  # the loss


def test_is_on():
    tensor = torch.empty(0, device="meta")
    assert is_on(tensor, "meta") and is_on(tensor, torch.device("meta"))
    assert not is_on(tensor, "cpu") and not is_on(tensor, "cuda:0")
    assert is_on(torch.empty(0), "cpu")


def test_tensors_are_pinned_only_on_their_way_to_a_gpu(monkeypatch):
    calls = []

    class Recorded(torch.Tensor):
        def pin_memory(self):
            calls.append("pin_memory")
            return self

        def to(self, device, **options):
            calls.append((str(device), options))
            return self

    tensor = torch.ones(2).as_subclass(Recorded)
    for device in ("cpu", "meta"):
        moved(tensor, device)
        assert calls.pop() == (device, {"non_blocking": False}) and calls == []
    assert moved((tensor, None, 3), "cuda:1")[1:] == (None, 3)
    assert calls == ["pin_memory", ("cuda:1", {"non_blocking": True})]


def test_what_was_known_of_rows_is_known_on_the_device():
    rows = SparseRows(*map(torch.tensor, ([0, 1], [0, 1, 2], [1.0, 1.0])), 9)
    there = rows.to("meta")
    assert there.indices.device.type == "meta" and len(there) == 2
    assert there.is_identity is False and there.touched[2] is True
    assert {each.device.type for each in there.touched[:2]} == {"meta"}
    assert there.to(torch.device("meta")) is there
    scaled = there.scaled(torch.ones(9, device="meta"))
    assert scaled.touched[2] is False and rows.touched[2] is True
