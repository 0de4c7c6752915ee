"""How fit trains: learning rates, callbacks, seeds, temperature."""

import numpy as np
import pytest
import torch
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
)

from sktwotower.towers._auto import auto_temperature
from tests.builders import batched
from tests.cases import for_each
from tests.recommender.builders import few


class Rates(Callback):
    """Collect the learning rate of each batch."""

    def __init__(self):
        self.rates = []

    def on_batch_begin(self, net, training, **kwargs):
        if training:
            self.rates.append(net.optimizer_.param_groups[0]["lr"])


def rates_of(events, *callbacks, **params):
    # skorch keeps the instance that it is given.
    rates = Rates()
    batched(lr=0.1, callbacks=[*callbacks, rates], max_epochs=10, **params).fit(events)
    return rates.rates


@pytest.mark.slow
def test_own_scheduler_takes_the_place_of_the_one_cycle(events):
    halve = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    rates = rates_of(events, halve)
    np.testing.assert_allclose(rates, np.repeat(0.1 * 0.5 ** np.arange(10), 4))
    rates = rates_of(events, ("halve", halve))
    np.testing.assert_allclose(rates[:8], [0.1] * 4 + [0.05] * 4)


@pytest.mark.slow
def test_loss_that_is_no_number_names_lr(events):
    model = batched(lr=1e8, weight_decay=1.0, max_epochs=30)
    with pytest.raises(ValueError, match=r"loss became nan in epoch \d.*lr \(it is 1"):
        model.fit(events)
    assert not hasattr(model, "net_")


@pytest.mark.slow
@for_each("monitor", ["valid_loss", "valid_recall"])
def test_callback_that_monitors_validation_gets_it(events, monitor):
    stop = EarlyStopping(
        monitor, patience=2, lower_is_better=monitor == "valid_loss", sink=lambda _: 0
    )
    model = batched(max_epochs=60, callbacks=[("stop", stop)], lr=0.05).fit(events)
    values = [row[monitor] for row in model.history_]
    assert len(values) < 60 and all(0 <= value < np.inf for value in values)
    better = np.argmin if monitor == "valid_loss" else np.argmax
    assert len(values) - 1 - better(values) == 2


@pytest.mark.slow
def test_callback_that_monitors_training_holds_nothing_out(events):
    stop = EarlyStopping("train_loss", patience=50, sink=lambda _: 0)
    model = batched(callbacks=[stop]).fit(events)
    plain = batched().fit(events)
    assert "valid_loss" not in model.history_[0]
    np.testing.assert_array_equal(model.item_embeddings_, plain.item_embeddings_)


@pytest.mark.slow
def test_failed_fit_leaves_global_state_alone(events):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(ValueError, match="loss became"):
        batched(n_jobs=2, lr=1e8, weight_decay=1.0, max_epochs=30).fit(events)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_result_does_not_depend_on_the_global_seed(events):
    torch.manual_seed(1)
    first = batched(hidden_layer_sizes=(4,)).fit(events).item_embeddings_
    torch.manual_seed(2)
    second = batched(hidden_layer_sizes=(4,)).fit(events).item_embeddings_
    np.testing.assert_array_equal(first, second)
    other = batched(hidden_layer_sizes=(4,), random_state=1).fit(events)
    assert not np.allclose(first, other.item_embeddings_)


@pytest.mark.slow
def test_fitted_net_holds_the_weights_and_little_else(events):
    model = batched(embedding_dim=64, max_epochs=20, early_stopping=True).fit(events)
    assert not model.net_.optimizer_.state
    assert all("batches" not in row for row in model.net_.history)
    names = [name for name, _ in model.net_.callbacks_]
    assert not {"valid_recall", "loss_check", "early_stopping"} & set(names)
    assert not model.net_.module_.training


@pytest.mark.parametrize("n_epochs", few([1, 2, 9, 10, 19, 20, 21]))
def test_one_cycle_rises_to_lr_and_falls_for_any_number_of_steps(events, n_epochs):
    rates = []

    class Rates(Callback):
        def on_batch_begin(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    batched(max_epochs=n_epochs, batch_size=1000, callbacks=[Rates()]).fit(events)
    assert len(rates) == n_epochs
    assert max(rates) <= 0.01 * (1 + 1e-9)
    if n_epochs > 1:
        assert max(rates) == pytest.approx(0.01)
        assert rates.index(max(rates)) == max(1, round(0.1 * n_epochs))
        assert rates[0] < max(rates) and (rates[-1] < max(rates) or n_epochs == 2)


@pytest.mark.slow
def test_checkpoint_keeps_the_epoch_of_the_best_validation_recall(events, tmp_path):
    checkpoint = Checkpoint(monitor="valid_recall_best", dirname=str(tmp_path))
    model = batched(callbacks=[checkpoint], max_epochs=5).fit(events)
    best = np.argmax([row["valid_recall"] for row in model.history_]) + 1
    saved = [row["epoch"] for row in model.net_.history if row["event_cp"]]
    assert saved[-1] == best
    assert (tmp_path / "params.pt").exists()


@pytest.mark.slow
def test_gradients_can_be_clipped(events):
    model = batched(callbacks=[GradientNormClipping(0.1)], batch_size=1).fit(events)
    assert np.isfinite(model.item_embeddings_).all()


@pytest.mark.slow
def test_matmul_dtype_of_net_params_reaches_loss_and_towers(events):
    model = batched(net_params={"criterion__matmul_dtype": torch.float32}).fit(events)
    assert model.net_.criterion_.matmul_dtype == torch.float32
    assert model.net_.module_.first.matmul_dtype == torch.float32


@for_each("n_items, expected", [(16, 0.2), (1000, 0.1867), (10**6, 0.05)])
def test_temperature_follows_the_number_of_items(n_items, expected):
    assert auto_temperature(n_items) == pytest.approx(expected, abs=1e-4)


@for_each("n_items, expected", [(12_101, 0.1512), (40_981, 0.0929), (10**6, 0.09)])
def test_temperature_of_large_catalogs(n_items, expected):
    # 6.5 * 12_101 ** -0.4 = 0.1512
    found = auto_temperature(n_items, large_catalog=True)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_temperature_is_that_of_fit_and_of_net_params(events):
    assert batched(temperature=0.3).fit(events).temperature_ == 0.3
    assert batched().fit(events).temperature_ == 0.2
    given = {"criterion__temperature": 0.7}
    assert batched(net_params=given).fit(events).temperature_ == 0.7
