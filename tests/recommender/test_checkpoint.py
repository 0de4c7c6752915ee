"""A fit that was ended goes on, and ends as if nothing had happened."""

import errno
import json
import os
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR

from sktwotower import io
from sktwotower.towers import History, RecentHistory
from tests import builders, losses
from tests.builders import ordered, random_events, with_share
from tests.io.builders import META, forged, members_of
from tests.two_stage.builders import follows, stages

from .builders import Dies, few, killed_after

X = random_events(n_users=30)
X["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(
    np.random.default_rng(0).integers(0, 10**6, len(X)), "s"
)
Y = (np.arange(len(X)) % 5 > 0).astype(float)


def batched(callbacks=(), **params):
    """Build a recommender that may be killed, and makes no short fits."""
    params = {"impression_weight": 5.0, "callbacks": [*callbacks, Dies()]} | params
    return builders.batched(**params)


def fitted_in_steps(model):
    """Fit again and again, each time killed after an epoch; return how often."""
    for n_fits in range(1, 100):
        if not killed_after(1, model, X, Y):
            return n_fits
    raise AssertionError("no fit ended")


def figures(model):
    """Return what is recorded of each epoch, except how long it took."""
    return [{k: v for k, v in row.items() if k != "dur"} for row in model.history_]


def assert_equal(a, b):
    np.testing.assert_array_equal(a.item_embeddings_, b.item_embeddings_)
    np.testing.assert_array_equal(*(m.embed_users(m.user_ids_) for m in (a, b)))
    assert figures(a) == figures(b)
    assert a.half_life_ == b.half_life_ and a.interrupted_ == b.interrupted_


RECIPES = {
    "pooled": {},
    "two pairs": {"time": "when", "hidden_layer_sizes": (6,)},
    "stops early": {"early_stopping": True, "n_iter_no_change": 2, "max_epochs": 9},
    "adamw": {"optimizer": "adamw", "history": None},
    "own loss": {"net_params": {"criterion": losses.MarginLoss}},
    "callbacks": {
        "optimizer": torch.optim.SGD,
        "callbacks": [
            LRScheduler(CosineAnnealingLR, T_max=3),
            EarlyStopping("train_loss", patience=2, load_best=True),
        ],
    },
}


@pytest.mark.parametrize(
    "name",
    few(["two pairs", "callbacks", "stops early", "pooled", "adamw", "own loss"]),
)
def test_fit_in_steps_equals_fit_without_a_break(name, tmp_path):
    folder = tmp_path / "made" / "here"
    params = RECIPES[name]
    expected = batched(**params).fit(X, Y)
    model = batched(checkpoint=folder, **params)
    assert fitted_in_steps(model) >= 3
    assert_equal(model, expected)
    assert not folder.exists()
    # the optimizer goes on as well
    more = X[:40], Y[:40]
    assert_equal(model.partial_fit(*more), expected.partial_fit(*more))


@pytest.mark.slow
def test_epochs_are_not_trained_twice_and_attributes_of_callbacks_go_on(tmp_path):
    seen = []

    class Sums(Callback):
        def on_train_begin(self, net, **kwargs):
            self.losses, self.weights = [], None

        def on_epoch_end(self, net, **kwargs):
            seen.append(len(net.history))
            self.losses.append(net.history[-1, "train_loss"])
            self.weights = net.module_.item_tower.bias.detach().clone()
            self.unkept = iter(())

    sums = Sums()
    model = batched([sums], checkpoint=tmp_path, max_epochs=4)
    fitted_in_steps(model)
    assert seen == [1, 2, 3, 4]
    assert sums.losses == [row["train_loss"] for row in model.history_]


@pytest.mark.slow
def test_what_auto_stands_for_is_chosen_once(tmp_path):
    class Counts(Callback):
        def on_train_begin(self, net, **kwargs):
            trained.append(net.max_epochs)

    trained = []
    goal = {"impression_weight": "shown"}
    batched([Counts()], **goal).fit(X, Y)
    n_trainings, trained = len(trained), []
    model = batched([Counts()], checkpoint=tmp_path, **goal)
    n_fits = fitted_in_steps(model)
    assert len(trained) == n_trainings + n_fits - 1


@pytest.mark.slow
def test_fit_from_disk_goes_on(tmp_path):
    pytest.importorskip("duckdb")
    path, folder = tmp_path / "events.parquet", tmp_path / "folder"
    X.assign(y=Y).to_parquet(path)
    expected = batched(time="when").fit(path, "y")
    model = batched(time="when", checkpoint=folder)
    for _ in range(2):
        assert killed_after(1, model, path, "y")
    assert_equal(model.fit(path, "y"), expected)


@pytest.mark.slow
def test_two_stages_go_on_with_either_fit_of_the_retriever(tmp_path):
    folder, table = tmp_path / "folder", follows()
    retriever = ordered(history=RecentHistory(second_share=0), callbacks=[Dies()])
    expected = stages(retriever).fit(table)
    model = stages(retriever.set_params(checkpoint=folder))
    for n_epochs in (1, 2):  # in the first fit, and as far in the second
        assert killed_after(n_epochs, model, table)
    assert [path.name for path in folder.iterdir()] == ["before_the_cut"]
    assert model.fit(table).blend_ == expected.blend_
    assert_equal(model.retriever_, expected.retriever_)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_random_state_goes_on(random_state, tmp_path):
    model = batched(checkpoint=tmp_path / "a", random_state=random_state)
    assert killed_after(1, model, X)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    other = batched(checkpoint=tmp_path / "b", random_state=random_state)
    assert_equal(model.fit(X), other.fit(X))
    if random_state is not None:
        expected = np.random.RandomState(0)
        assert_equal(model, batched(random_state=expected).fit(X))
        assert random_state.randint(10**9) == expected.randint(10**9)


# What is refused


@pytest.fixture(scope="module")
def after_one_epoch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("after_one_epoch")
    assert killed_after(1, batched(checkpoint=folder), X, Y)
    assert len(list(folder.iterdir())) == 2
    return folder


@pytest.fixture
def unfinished(after_one_epoch, tmp_path):
    """Return a folder with the checkpoint of a fit after one epoch."""
    return shutil.copytree(after_one_epoch, tmp_path, dirs_exist_ok=True)


@pytest.mark.parametrize(
    "params, changed, message",
    [
        ({"lr": 0.02}, {}, r"differ in: lr \(0.01 there, 0.02 here\)\. Repeat"),
        ({"max_epochs": 4, "random_state": 1}, {}, "max_epochs .3.* random_state .0"),
        ({"user_tower": torch.nn.LazyLinear(8)}, {}, r"user_tower \(None there, Lazy"),
        ({}, {"y": 1 - Y}, "differ in: the chosen pairs .*; the pairs that were shown"),
        ({}, {"X": X.replace("i3", "i10")}, "differ in: the ids of items"),
        ({"time": "when"}, {}, "history .Pooled.* there, Recent.* here.; the order of"),
    ],
)
def test_another_fit_is_refused(params, changed, message, unfinished):
    with pytest.raises(ValueError, match=message) as caught:
        batched(checkpoint=unfinished, **params).fit(**{"X": X, "y": Y} | changed)
    assert "delete this one to start from the beginning" in str(caught.value)


@pytest.mark.filterwarnings("ignore:The context column")
@pytest.mark.parametrize("history", few(["recent", "pooled"], 2))
def test_other_contexts_are_refused(history, tmp_path):
    params = {"context": "place", "time": "when"}
    params["history"] = with_share(history, 0)
    model = batched(checkpoint=tmp_path, **params)
    table = X.assign(place=np.resize(["home", "work", "bus"], len(X)))
    assert killed_after(1, model, table, Y)
    swapped = np.arange(len(X))
    swapped[[11, 12]] = 12, 11  # the distinct contexts are the same
    some = table["place"].where(np.arange(len(X)) != 1)
    for place in (table["place"].to_numpy()[swapped], "home", some):
        with pytest.raises(
            ValueError, match=r"differ in: the (contexts|order) of even"
        ):
            model.fit(table.assign(place=place), Y)
    model.fit(table, Y)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("torch", "9.9.9", r"torch \(9\.9\.9 there, \d.* here\)"),
        ("format_version", 2, r"format of the checkpoint \(2 there, 1 here"),
    ],
)
def test_another_version_is_refused(name, value, message, unfinished):
    path = unfinished / "start.checkpoint"

    def change(meta):
        where = meta if name in meta else meta["depends_on"]
        assert name in where
        where[name] = value

    path.write_bytes(forged(members_of(path.read_bytes()), change))
    with pytest.raises(ValueError, match=message):
        batched(checkpoint=unfinished).fit(X, Y)


def of_notebook(code):
    """Return the class ``Loss`` that a cell of a notebook defines."""
    names = {"MarginLoss": losses.MarginLoss, "__name__": "__main__"}
    exec(code, names)
    return names["Loss"]


CELL = """
class Loss(MarginLoss):
    scale = 2
    def forward(self, users, items, targets, power=1):
        return self.scale * super().forward(users, items, targets) ** power
"""


def with_loss(code, folder):
    net_params = {"criterion": of_notebook(code)}
    return batched(checkpoint=folder, net_params=net_params)


@pytest.mark.slow
def test_a_fit_with_a_loss_that_was_written_anew_does_not_go_on(tmp_path):
    assert killed_after(1, with_loss(CELL, tmp_path), X, Y)
    for now in (
        "class Loss(MarginLoss): pass",
        CELL.replace("scale = 2", "scale = 3"),
        CELL.replace("power=1", "power=3"),
        CELL.replace("** power", "* power"),
    ):
        with pytest.raises(ValueError, match="differ in: net_params .*__main__.Loss"):
            with_loss(now, tmp_path).fit(X, Y)
    with_loss("\n# one\n" + CELL, tmp_path).fit(X, Y)


def scaled_loss(scale):
    """Return a loss whose code reads a name of the function around it."""

    class Loss(losses.MarginLoss):
        def forward(self, users, items, targets):
            return scale * super().forward(users, items, targets)

    return Loss


@pytest.mark.slow
def test_a_fit_with_another_loss_of_the_same_function_does_not_go_on(tmp_path):
    def with_scale(scale):
        net_params = {"criterion": scaled_loss(scale)}
        return batched(checkpoint=tmp_path, net_params=net_params)

    assert killed_after(1, with_scale(2), X, Y)
    with pytest.raises(ValueError, match="differ in: net_params .*Loss"):
        with_scale(3).fit(X, Y)
    with_scale(2).fit(X, Y)


HISTORY_CELL = """
class Mean(torch.nn.Module):
    def forward(self, vectors, lags, is_item):
        return vectors.sum(1) * 2


class Means(History):
    def module(self, width):
        return Mean()
"""


def with_history(code, folder):
    names = {"torch": torch, "History": History, "__name__": "__main__"}
    exec(code, names)
    return batched(checkpoint=folder, time="when", history=names["Means"]())


@pytest.mark.slow
def test_a_fit_with_a_history_whose_module_was_written_anew_does_not_go_on(tmp_path):
    assert killed_after(1, with_history(HISTORY_CELL, tmp_path), X, Y)
    now = HISTORY_CELL.replace("* 2", "* 3")
    with pytest.raises(ValueError, match="differ in: history "):
        with_history(now, tmp_path).fit(X, Y)
    with_history("\n# one\n" + HISTORY_CELL, tmp_path).fit(X, Y)


@pytest.mark.slow
def test_other_weights_to_start_from_are_refused(tmp_path):
    model = batched(checkpoint=tmp_path, warm_start=True).fit(X, Y)
    assert killed_after(1, model, X, Y)
    with pytest.raises(ValueError, match="differ in: the weights to start from"):
        batched(checkpoint=tmp_path, warm_start=True).fit(X, Y)
    model.fit(X, Y)


@pytest.mark.slow
def test_order_of_rows_and_verbosity_do_not_matter(unfinished):
    rows = np.random.default_rng(1).permutation(len(X))
    model = batched(checkpoint=unfinished, verbose=1).fit(X.iloc[rows], Y[rows])
    assert_equal(model, batched().fit(X, Y))


@pytest.mark.parametrize(
    ("place", "cut"), few([(0.3, False), (0.7, True), (0.0, False), (0.999, True)], 2)
)
def test_damaged_file_is_refused(place, cut, unfinished):
    path = unfinished / "towers-0.checkpoint"
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checkpoint cannot be read.*Delete the fold"):
        batched(checkpoint=unfinished).fit(X, Y)


@pytest.mark.slow
def test_file_of_another_kind_is_refused(unfinished, tmp_path):
    path = unfinished / "start.checkpoint"
    io.dump(builders.small().fit(X), path)
    with pytest.raises(ValueError, match="checkpoint cannot be read.*Delete the fold"):
        batched(checkpoint=unfinished).fit(X, Y)


def test_files_hold_arrays_and_json_only(unfinished):
    for path in unfinished.iterdir():
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert META in names and len(names) > 1
            assert isinstance(json.loads(archive.read(META)), dict)
            for name in set(names) - {META}:
                assert name.endswith(".npy")
                with archive.open(name) as member:
                    np.lib.format.read_array(member, allow_pickle=False)


# Folders


@pytest.mark.slow
def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("keep")
    left = tmp_path / ".towers-0.checkpoint.0123.part"
    left.write_text("of a process that was killed")
    batched(checkpoint=str(tmp_path)).fit(X)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.slow
def test_full_disk_is_reported_and_fit_goes_on(unfinished, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="cannot be written: No space.*fit again"):
            batched(checkpoint=unfinished).fit(X, Y)
    assert_equal(batched(checkpoint=unfinished).fit(X, Y), batched().fit(X, Y))
