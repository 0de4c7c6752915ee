import pytest
import torch
from sklearn.base import BaseEstimator

from sktwotower.towers._net import seeded
from sktwotower.towers._optimizer import optimizer_class


def test_optimizer_class():
    assert optimizer_class("adamw") is torch.optim.AdamW
    assert optimizer_class("SGD") is torch.optim.SGD
    assert optimizer_class(torch.optim.RMSprop) is torch.optim.RMSprop
    for wrong in ("adamm", "optimizer_", BaseEstimator, 3):
        with pytest.raises(ValueError, match="optimizer must be a class of torch.opt"):
            optimizer_class(wrong)


def test_seeded_puts_the_generator_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"), seeded(3):
        torch.rand(1)
        raise RuntimeError("inside")
    assert torch.equal(torch.get_rng_state(), before)


def test_on_a_cpu_generators_of_other_devices_are_left_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", None)
    with seeded(3):
        drawn = torch.rand(2)
    with seeded(3):
        assert torch.equal(torch.rand(2), drawn)
    assert torch.equal(torch.rand(2, generator=torch.Generator().manual_seed(3)), drawn)
