"""How fit trains: learning rates, callbacks, seeds, temperature."""

import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.recommender import _fit
from sktwotower.towers import _auto
from sktwotower.towers._auto import auto_temperature
from sktwotower.towers._batches import UserBatches
from sktwotower.towers._optimizer import RowwiseAdam
from tests.builders import batched, first_fast


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
def test_learning_rate_goes_up_and_down_once(events):
    rates = rates_of(events)
    assert len(rates) == 10 * 4  # 20 users in batches of 5
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(0.1, rel=0.01) and 0 < peak <= 5
    assert rates[0] < 0.01 and rates[-1] < 0.001
    assert (np.diff(rates[: peak + 1]) > 0).all() and (np.diff(rates[peak:]) < 0).all()


@pytest.mark.slow
def test_numbers_of_numpy_are_numbers(events):
    plain = {"max_epochs": 2, "embedding_dim": 8, "lr": 0.5, "normalize": False}
    numpy = {name: np.array(value)[()] for name, value in plain.items()}
    sizes = [np.int64(4)], [4]
    models = [
        TwoTowerRecommender(**params, hidden_layer_sizes=own, random_state=0)
        for params, own in zip((numpy, plain), sizes, strict=True)
    ]
    vectors = [model.fit(events).item_embeddings_ for model in models]
    assert_allclose(*vectors)


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
@pytest.mark.parametrize("monitor", ["valid_loss", "valid_recall"])
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
def test_own_scoring_callback_sees_each_epoch(events):
    def mean_norm(net, X, y):
        return net.module_.item_tower.sparse.weight.norm(dim=1).mean().item()

    scoring = EpochScoring(mean_norm, name="norm", use_caching=False, on_train=True)
    model = batched(callbacks=[scoring]).fit(events)
    assert len(model.net_.history[:, "norm"]) == 3


@pytest.mark.slow
def test_no_warning_without_interrupt(events):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batched().fit(events)


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


@pytest.mark.parametrize("n_epochs", first_fast([1, 2, 9, 10, 19, 20, 21]))
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
def test_auto_takes_mixed_candidates_beyond_the_affordable(events, monkeypatch):
    assert batched().fit(events).candidate_sampling_ == "full"
    monkeypatch.setattr(_auto, "FULL_SOFTMAX_ITEMS", 2)
    assert batched().fit(events).candidate_sampling_ == "mixed"


@pytest.mark.slow
def test_gradients_of_touched_rows_alone_train_as_those_of_whole_tables(monkeypatch):
    X = make_interactions(n_users=200, n_items=100, random_state=0).data
    sparse_steps, step = [], RowwiseAdam._step_rows

    def watched(self, table, group):
        sparse_steps.append(table.grad.is_sparse)
        step(self, table, group)

    monkeypatch.setattr(RowwiseAdam, "_step_rows", watched)
    params = {"batch_size": 8, "candidate_sampling": "uniform"}
    params["validation_events"] = None
    params["net_params"] = {"iterator_train__n_negatives": 10}
    rows = batched(**params).fit(X)
    assert any(sparse_steps)

    class LooksAtGradients(Callback):
        def on_grad_computed(self, net, **kwargs):
            pass

    sparse_steps.clear()
    whole = batched(callbacks=[LooksAtGradients()], **params).fit(X)
    assert not any(sparse_steps)
    np.testing.assert_allclose(
        rows.item_embeddings_, whole.item_embeddings_, rtol=1e-3, atol=1e-4
    )


@pytest.mark.slow
def test_gradients_can_be_clipped(events):
    model = batched(callbacks=[GradientNormClipping(0.1)], batch_size=1).fit(events)
    assert np.isfinite(model.item_embeddings_).all()


@pytest.mark.slow
def test_matmul_dtype_of_net_params_reaches_loss_and_towers(events):
    model = batched(net_params={"criterion__matmul_dtype": torch.float32}).fit(events)
    assert model.net_.criterion_.matmul_dtype == torch.float32
    assert model.net_.module_.first.matmul_dtype == torch.float32


@pytest.mark.parametrize(
    "n_items, expected", [(16, 0.2), (1000, 0.1867), (10**6, 0.05)]
)
def test_temperature_follows_the_number_of_items(n_items, expected):
    assert auto_temperature(n_items) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "n_items, expected", [(12_101, 0.1512), (40_981, 0.0929), (10**6, 0.09)]
)
def test_temperature_of_large_catalogs(n_items, expected):
    # 6.5 * 12_101 ** -0.4 = 0.1512
    found = auto_temperature(n_items, large_catalog=True)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "n_users, n_each, expected", [(1000, 15, 0.75), (1000, 14, 1.0), (600, 15, 1.0)]
)
def test_users_count_less_than_their_events_in_dense_data(n_users, n_each, expected):
    """3 % of 500 items are dense, and 10,000 events enough; empty rows do not count."""
    chosen = np.zeros((2 * n_users, 700))
    for user in range(n_users):
        chosen[user, (np.arange(n_each) + user) % 500] = 1
    events = SimpleNamespace(positives=sparse.csr_matrix(chosen))
    assert _auto.user_power(events) == expected


@pytest.mark.parametrize("time", [None, "when"])
def test_the_power_is_that_of_events_without_order(events, monkeypatch, time):
    """A second pair of towers, validation and further events have all events alike."""
    made, batches = [], UserBatches.__post_init__

    def watched(self):
        made.append(self.dataset.user_power)
        batches(self)

    monkeypatch.setattr(UserBatches, "__post_init__", watched)
    X = events.assign(when=np.arange(len(events)))
    model = batched(time=time, early_stopping=time is None, max_epochs=1).fit(X)
    assert made == ([0.75, 1.0] if time is None else [1.0, 1.0])
    model.partial_fit(X[:3].assign(when=9999))
    assert set(made[2:]) == {1.0}


@pytest.mark.slow
def test_large_catalogs_have_values_of_their_own(monkeypatch):
    """More items than the limit: short weights at first, and other values of auto."""
    X = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 2, 3]})
    params = {
        "random_state": 0,
        "lr": 1e-9,
        "id_dropout": 0,
        "candidate_sampling": "full",
    }

    def fit():
        seen = {}
        monkeypatch.setattr(
            _fit,
            "train",
            lambda recipe, *rest, **given: (
                seen.update(recipe._asdict()) or train(recipe, *rest, **given)
            ),
        )
        model = TwoTowerRecommender(**params).fit(X)
        return seen, model.net_.module_.first.item_tower.sparse.weight.detach().numpy()

    train = _fit.train
    small, long = fit()
    monkeypatch.setattr(_auto, "LARGE_CATALOG", 2)
    large, short = fit()
    names = ["dropout", "max_epochs", "batch_size"]
    assert [small[n] for n in names] == [0.5, 20, 512]
    assert [large[n] for n in names] == [0.2, 15, 512]
    assert_allclose(short, 0.1 * long, atol=1e-5)


def test_items_that_nobody_chose_do_not_change_the_temperature(monkeypatch):
    monkeypatch.setattr(_auto, "auto_temperature", lambda n_items, _: 1 / n_items)
    X = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 2, 3]})
    many = pd.DataFrame({"item": range(50)})
    assert batched(items=many).fit(X).temperature_ == 1 / 3


@pytest.mark.slow
def test_temperature_is_that_of_fit_and_of_net_params(events):
    assert batched(temperature=0.3).fit(events).temperature_ == 0.3
    assert batched().fit(events).temperature_ == 0.2
    given = {"criterion__temperature": 0.7}
    assert batched(net_params=given).fit(events).temperature_ == 0.7
