import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
)
from torch import nn

from sktwotower import TwoTowerRecommender
from sktwotower.datasets import make_interactions
from sktwotower.recommender import _fit
from sktwotower.recommender._fit import auto_temperature
from sktwotower.towers._modules import SparseLinear, Tower
from sktwotower.towers._net import (
    build_module,
    embed_items,
    embed_users,
    optimizer_class,
    seeded,
)
from sktwotower.towers._optimizer import RowwiseAdam


def small(**params):
    defaults = {
        "embedding_dim": 8,
        "max_epochs": 3,
        "batch_size": 5,
        "n_neighbors": 3,
        "random_state": 0,
    }
    return TwoTowerRecommender(**defaults | params)


def test_default_module():
    module = build_module(small(hidden_layer_sizes=(6,), normalize=False), 4, 5)
    assert isinstance(module.user_tower, Tower) and not module.normalize
    assert tuple(module.user_tower.sparse.weight.shape) == (4, 6)
    assert tuple(module.item_tower.sparse.weight.shape) == (5, 6)
    assert tuple(module.history.weight.shape) == (5, 6)  # joins the first layer
    assert build_module(small(history=None), 4, 5).history is None


def test_own_module_is_copied_and_a_callable_is_called():
    own = nn.Sequential(nn.LazyLinear(8))
    module = build_module(
        small(user_tower=own, item_tower=lambda p: nn.Linear(p, 8)), 4, 5
    )
    assert module.user_tower[0].in_features == 4
    assert isinstance(own[0].weight, nn.UninitializedParameter)
    assert module.item_tower.in_features == 5
    assert tuple(module.history.weight.shape) == (5, 8)  # joins the output


class Flat(nn.Module):
    def forward(self, rows):
        return rows.to_dense().sum(dim=1)


class Text(nn.Module):
    def forward(self, rows):
        return "vectors"


@pytest.mark.parametrize(
    ("tower", "error", "message"),
    [
        (nn.Linear(3, 8), ValueError, r"user_tower failed .* shape \(2, 4\).*LazyLin"),
        (nn.LazyLinear(7), ValueError, r"of 7 numbers and item_tower of 8.*\(= 8\)"),
        (Flat(), ValueError, r"user_tower must map .*For n = 2 it gave torch.Size"),
        (Text(), ValueError, r"user_tower must map .*For n = 2 it gave str"),
        ("deep", TypeError, "user_tower must be a torch.nn.Module.*Got 'deep'"),
        (lambda p: p, TypeError, "user_tower must be a torch.nn.Module, or a callable"),
    ],
)
def test_unfit_tower_is_refused_by_name(tower, error, message):
    with pytest.raises(error, match=message):
        build_module(small(user_tower=tower), 4, 5)


def test_unfit_item_tower_is_named_too():
    with pytest.raises(ValueError, match="item_tower failed on a sparse tensor"):
        build_module(small(item_tower=nn.Linear(3, 8)), 4, 5)


def test_optimizer_class():
    assert optimizer_class("adamw") is torch.optim.AdamW
    assert optimizer_class("SGD") is torch.optim.SGD
    assert optimizer_class(torch.optim.RMSprop) is torch.optim.RMSprop
    for wrong in ("adamm", "optimizer_", BaseEstimator, 3):
        with pytest.raises(ValueError, match="optimizer must be a class of torch.opt"):
            optimizer_class(wrong)


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
    small(lr=0.1, callbacks=[*callbacks, rates], max_epochs=10, **params).fit(events)
    return rates.rates


def test_learning_rate_goes_up_and_down_once(events):
    rates = rates_of(events)
    assert len(rates) == 10 * 4  # 20 users in batches of 5
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(0.1, rel=0.01) and 0 < peak <= 5
    assert rates[0] < 0.01 and rates[-1] < 0.001
    assert (np.diff(rates[: peak + 1]) > 0).all() and (np.diff(rates[peak:]) < 0).all()


def test_own_scheduler_takes_the_place_of_the_one_cycle(events):
    halve = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    rates = rates_of(events, halve)
    np.testing.assert_allclose(rates, np.repeat(0.1 * 0.5 ** np.arange(10), 4))
    rates = rates_of(events, ("halve", halve))
    np.testing.assert_allclose(rates[:8], [0.1] * 4 + [0.05] * 4)


def test_loss_that_is_no_number_names_lr(events):
    model = small(lr=1e8, weight_decay=1.0, max_epochs=30)
    with pytest.raises(ValueError, match=r"loss became nan in epoch \d.*lr \(it is 1"):
        model.fit(events)
    assert not hasattr(model, "net_")


@pytest.mark.parametrize("monitor", ["valid_loss", "valid_recall"])
def test_callback_that_monitors_validation_gets_it(events, monitor):
    stop = EarlyStopping(
        monitor, patience=2, lower_is_better=monitor == "valid_loss", sink=lambda _: 0
    )
    model = small(max_epochs=60, callbacks=[("stop", stop)], lr=0.05).fit(events)
    values = [row[monitor] for row in model.history_]
    assert len(values) < 60 and all(0 <= value < np.inf for value in values)
    better = np.argmin if monitor == "valid_loss" else np.argmax
    assert len(values) - 1 - better(values) == 2


def test_callback_that_monitors_training_holds_nothing_out(events):
    stop = EarlyStopping("train_loss", patience=50, sink=lambda _: 0)
    model = small(callbacks=[stop]).fit(events)
    plain = small().fit(events)
    assert "valid_loss" not in model.history_[0]
    np.testing.assert_array_equal(model.item_embeddings_, plain.item_embeddings_)


def test_own_scoring_callback_sees_each_epoch(events):
    def mean_norm(net, X, y):
        return net.module_.item_tower.sparse.weight.norm(dim=1).mean().item()

    scoring = EpochScoring(mean_norm, name="norm", use_caching=False, on_train=True)
    model = small(callbacks=[scoring]).fit(events)
    assert len(model.net_.history[:, "norm"]) == 3


class Interrupt(Callback):
    def __init__(self, epoch, batch):
        self.epoch, self.batch = epoch, batch

    def on_batch_end(self, net, training, **kwargs):
        place = len(net.history), len(net.history[-1, "batches"])
        if place == (self.epoch, self.batch):
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [1, 3])
def test_interrupt_leaves_a_usable_model(events, epoch):
    model = small(max_epochs=6, callbacks=[Interrupt(epoch, 2)])
    with pytest.warns(
        UserWarning, match=f"interrupted in epoch {epoch} of 6"
    ) as caught:
        model.fit(events)
    assert caught[0].filename == __file__
    assert len(model.history_) == epoch - 1
    assert np.isfinite(model.item_embeddings_).all()
    assert len(model.recommend(["u00", "u11"])) == 6
    assert len(pickle.loads(pickle.dumps(model)).recommend(["u00"])) == 3


def test_no_warning_without_interrupt(events):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small().fit(events)


def test_failed_fit_leaves_global_state_alone(events):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with pytest.raises(ValueError, match="loss became"):
        small(n_jobs=2, lr=1e8, weight_decay=1.0, max_epochs=30).fit(events)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_result_does_not_depend_on_the_global_seed(events):
    torch.manual_seed(1)
    first = small(hidden_layer_sizes=(4,)).fit(events).item_embeddings_
    torch.manual_seed(2)
    second = small(hidden_layer_sizes=(4,)).fit(events).item_embeddings_
    np.testing.assert_array_equal(first, second)
    other = small(hidden_layer_sizes=(4,), random_state=1).fit(events).item_embeddings_
    assert not np.allclose(first, other)


def test_seeded_puts_the_generator_back_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"), seeded(3):
        torch.rand(1)
        raise RuntimeError("inside")
    assert torch.equal(torch.get_rng_state(), before)


def test_fitted_net_holds_the_weights_and_little_else(events):
    model = small(embedding_dim=64, max_epochs=20, early_stopping=True).fit(events)
    assert not model.net_.optimizer_.state
    assert all("batches" not in row for row in model.net_.history)
    names = [name for name, _ in model.net_.callbacks_]
    assert not {"valid_recall", "loss_check", "early_stopping"} & set(names)
    assert not model.net_.module_.training


def test_embed_block_by_block():
    rng = np.random.default_rng(0)
    users, items = (
        sparse.random(n, p, 0.4, "csr", np.float32, rng) for n, p in ((23, 5), (11, 7))
    )
    history = sparse.random(23, 11, 0.3, "csr", np.float32, rng)
    module = build_module(small(hidden_layer_sizes=(6,)), 5, 7)
    with torch.no_grad():  # a past item counts once, for any weight
        dense_items = torch.tensor(items.toarray())
        past = torch.tensor((history.toarray() > 0).astype(np.float32))
        past /= past.sum(dim=1, keepdim=True).clamp_min(1)
        tower = module.user_tower
        first = torch.tensor(users.toarray()) @ tower.sparse.weight + tower.bias
        hidden = first + past @ dense_items @ module.history.weight
        out = tower.layers[0](hidden.relu()) + tower.shortcuts[0](hidden)
        expected = nn.functional.normalize(out, dim=1).numpy()
    for block in (4, 100):
        vectors = embed_users(module, users, history, items, block=block)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-6)
    blocks = [embed_items(module, items, block=block) for block in (4, 100)]
    np.testing.assert_allclose(*blocks, rtol=0, atol=1e-7)
    assert embed_items(module, items[:0]).shape == (0, 8)
    assert embed_users(module, users[:0], history[:0], items).shape == (0, 8)


def test_embedding_leaves_training_mode_off_and_no_gradient():
    module = build_module(small(history=None), 4, 5).train()
    items = sparse.eye(5, format="csr", dtype=np.float32)
    embed_items(module, items)
    assert not module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    assert isinstance(module.item_tower.sparse, SparseLinear)


@pytest.mark.parametrize("n_epochs", [1, 2, 9, 10, 19, 20, 21])
def test_one_cycle_rises_to_lr_and_falls_for_any_number_of_steps(events, n_epochs):
    rates = []

    class Rates(Callback):
        def on_batch_begin(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    small(max_epochs=n_epochs, batch_size=1000, callbacks=[Rates()]).fit(events)
    assert len(rates) == n_epochs
    assert max(rates) <= 0.01 * (1 + 1e-9)
    if n_epochs > 1:
        assert max(rates) == pytest.approx(0.01)
        assert rates.index(max(rates)) == max(1, round(0.1 * n_epochs))
        assert rates[0] < max(rates) and (rates[-1] < max(rates) or n_epochs == 2)


def test_checkpoint_keeps_the_epoch_of_the_best_validation_recall(events, tmp_path):
    checkpoint = Checkpoint(monitor="valid_recall_best", dirname=str(tmp_path))
    model = small(callbacks=[checkpoint], max_epochs=5).fit(events)
    best = np.argmax([row["valid_recall"] for row in model.history_]) + 1
    saved = [row["epoch"] for row in model.net_.history if row["event_cp"]]
    assert saved[-1] == best
    assert (tmp_path / "params.pt").exists()


def test_auto_takes_mixed_candidates_beyond_the_affordable(events, monkeypatch):
    assert small().fit(events).candidate_sampling_ == "full"
    monkeypatch.setattr(_fit, "FULL_SOFTMAX_ITEMS", 2)
    assert small().fit(events).candidate_sampling_ == "mixed"


@pytest.mark.slow
def test_gradients_of_touched_rows_alone_train_as_those_of_whole_tables(monkeypatch):
    X = make_interactions(n_users=200, n_items=100, random_state=0).data
    sparse_steps, step = [], RowwiseAdam._step_rows

    def watched(self, table, group):
        sparse_steps.append(table.grad.is_sparse)
        step(self, table, group)

    monkeypatch.setattr(RowwiseAdam, "_step_rows", watched)
    params = {"batch_size": 8, "candidate_sampling": "uniform", "n_negatives": 10}
    rows = small(**params).fit(X)
    assert any(sparse_steps)

    class LooksAtGradients(Callback):
        def on_grad_computed(self, net, **kwargs):
            pass

    sparse_steps.clear()
    whole = small(callbacks=[LooksAtGradients()], **params).fit(X)
    assert not any(sparse_steps)
    np.testing.assert_allclose(
        rows.item_embeddings_, whole.item_embeddings_, rtol=1e-3, atol=1e-4
    )


def test_gradients_can_be_clipped(events):
    model = small(callbacks=[GradientNormClipping(0.1)], batch_size=1).fit(events)
    assert np.isfinite(model.item_embeddings_).all()


def test_matmul_dtype_of_net_params_reaches_loss_and_towers(events):
    model = small(net_params={"criterion__matmul_dtype": torch.float32}).fit(events)
    assert model.net_.criterion_.matmul_dtype == torch.float32
    assert model.net_.module_.matmul_dtype == torch.float32


@pytest.mark.parametrize(
    "n_items, expected", [(16, 0.2), (1000, 0.1867), (10**6, 0.05)]
)
def test_temperature_follows_the_number_of_items(n_items, expected):
    assert auto_temperature(n_items) == pytest.approx(expected, abs=1e-4)


def test_items_that_nobody_chose_do_not_change_the_temperature(monkeypatch):
    monkeypatch.setattr(_fit, "auto_temperature", lambda n_items: 1 / n_items)
    X = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 2, 3]})
    many = pd.DataFrame({"item": range(50)})
    assert small(items=many).fit(X).temperature_ == 1 / 3


def test_temperature_is_that_of_fit_and_of_net_params(events):
    assert small(temperature=0.3).fit(events).temperature_ == 0.3
    assert small().fit(events).temperature_ == 0.2
    given = {"criterion__temperature": 0.7}
    assert small(net_params=given).fit(events).temperature_ == 0.7


# When impressions join


def with_impressions(events):
    """Every user was shown an item of the other group, too."""
    users = events["user"].drop_duplicates()
    other = users.str[1].map({"0": "i10", "1": "i00"})
    shown = pd.DataFrame({"user": users, "item": other})
    y = np.r_[np.ones(len(events)), np.zeros(len(shown))]
    return pd.concat([events, shown], ignore_index=True), y


class Joined(Callback):
    """Collect for each epoch whether impressions took part."""

    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, net, dataset_train=None, **kwargs):
        self.epochs.append(dataset_train.impressions is not None)


def joined(events, **params):
    witness = Joined()
    model = small(callbacks=[witness], **params).fit(*with_impressions(events))
    return witness.epochs, model


@pytest.mark.parametrize(
    ("start", "first"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.99, 3), (1.0, 4), (0, 0)]
)
def test_impressions_join_after_a_share_of_training(events, start, first):
    took_part, model = joined(events, max_epochs=4, impression_start=start)
    assert took_part == [epoch >= first for epoch in range(4)]
    assert "valid_recall" not in model.history_[0]


def test_impressions_without_weight_change_nothing_but_the_catalog(events):
    params = {"impression_start": "plateau", "impression_weight": 0.0}
    took_part, model = joined(events, **params)
    assert not any(took_part) and "valid_recall" not in model.history_[0]
    # Each item was chosen by somebody, so that the catalog is the same as well.
    plain = small().fit(events)
    np.testing.assert_array_equal(model.item_embeddings_, plain.item_embeddings_)


def plateau_of(recalls, patience, latest):
    """The first epoch after ``patience`` epochs that brought no new best recall."""
    for epoch in range(latest):
        best = int(np.argmax(recalls[:epoch])) if epoch else 0
        if epoch and epoch - 1 - best >= patience:
            return epoch
    return latest


@pytest.mark.slow
@pytest.mark.parametrize("patience", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_plateau_is_found_on_held_out_pairs(events, patience, seed):
    took_part, model = joined(
        events,
        max_epochs=40,
        lr=0.05,
        validation_fraction=0.3,
        impression_start="plateau",
        n_iter_no_change=patience,
        random_state=seed,
    )
    recalls = [row["valid_recall"] for row in model.history_]
    first = plateau_of(recalls, patience, latest=20)
    assert 0 < first < 20
    assert took_part == [epoch >= first for epoch in range(40)]


def test_without_a_plateau_impressions_join_at_half_time(events):
    params = {"impression_start": "plateau", "n_iter_no_change": 50}
    took_part, _ = joined(events, max_epochs=6, **params)
    assert took_part == [False] * 3 + [True] * 3


def test_plateau_without_impressions_holds_nothing_out(events):
    model = small(impression_start="plateau").fit(events)
    assert "valid_recall" not in model.history_[0]


@pytest.mark.slow
@pytest.mark.parametrize("start", [0.5, "plateau"])
def test_early_stopping_waits_for_impressions(events, start):
    took_part, model = joined(
        events,
        max_epochs=40,
        lr=0.05,
        early_stopping=True,
        validation_fraction=0.3,
        impression_start=start,
        n_iter_no_change=2,
    )
    first = took_part.index(True)
    recalls = [row["valid_recall"] for row in model.history_][first:]
    assert len(recalls) == int(np.argmax(recalls)) + 1 + 2
    if start == 0.5:  # without waiting it would have stopped long before
        assert first == 20


def test_early_stopping_does_not_wait_for_what_never_comes(events):
    took_part, _ = joined(
        events,
        max_epochs=40,
        lr=0.05,
        early_stopping=True,
        impression_start=1.0,
        n_iter_no_change=2,
    )
    assert len(took_part) < 20


def test_a_fitted_net_keeps_no_impressions(events):
    _, model = joined(events)
    names = [name for name, _ in model.net_.callbacks_]
    assert "impressions" not in names
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.item_embeddings_, model.item_embeddings_)
