"""A fit that was ended goes on, and ends as if nothing had happened."""

import errno
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
from sktwotower.recommender import _checkpoint, _fit
from sktwotower.recommender._checkpoint import Checkpoint
from sktwotower.recommender._fingerprint import _described
from sktwotower.towers._recipe import Recipe
from tests import builders, losses
from tests.builders import first_fast, ordered, random_events, small
from tests.two_stage.builders import follows, stages

X = random_events(n_users=30)
X["when"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(
    np.random.default_rng(0).integers(0, 10**6, len(X)), "s"
)
Y = (np.arange(len(X)) % 5 > 0).astype(float)


class Killed(BaseException):
    """Ends a fit, as the end of the process would, except that the test goes on."""


def batched(**params):
    """Build a recommender that keeps no choice: a write is that of an epoch."""
    return builders.batched(**{"impression_weight": 5.0} | params)


def killed_after_writes(monkeypatch, n_writes):
    """End each later fit when it has written n times."""
    written, write = [], Checkpoint.write

    def write_and_die(self, name, state):
        write(self, name, state)
        written.append(name)
        if len(written) == n_writes:
            raise Killed

    monkeypatch.setattr(Checkpoint, "write", write_and_die)
    return written


def fitted_in_steps(monkeypatch, model, n_writes=2):
    """Fit again and again, each time killed after some writes, until a fit ends."""
    for n_fits in range(1, 100):
        with monkeypatch.context() as patch:
            killed_after_writes(patch, n_writes)
            try:
                return model.fit(X, Y), n_fits
            except Killed:
                pass
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


@pytest.mark.parametrize("name", first_fast(RECIPES))
def test_fit_in_steps_equals_fit_without_a_break(name, monkeypatch, tmp_path):
    folder = tmp_path / "made" / "here"
    params = RECIPES[name]
    expected = batched(**params).fit(X, Y)
    model, n_fits = fitted_in_steps(monkeypatch, batched(checkpoint=folder, **params))
    assert n_fits >= 3
    assert_equal(model, expected)
    assert not folder.exists()


@pytest.mark.slow
def test_both_learn_the_same_from_further_events(monkeypatch, tmp_path):
    params = {"time": "when", "max_epochs": 2}
    model, _ = fitted_in_steps(monkeypatch, batched(checkpoint=tmp_path, **params))
    expected = batched(**params).fit(X, Y)
    assert_equal(
        model.partial_fit(X[:40], Y[:40]), expected.partial_fit(X[:40], Y[:40])
    )


@pytest.mark.slow
def test_epochs_are_not_trained_twice(monkeypatch, tmp_path):
    seen = []

    class Counts(Callback):
        def on_epoch_begin(self, net, **kwargs):
            seen.append(len(net.history))

    model = batched(checkpoint=tmp_path, callbacks=[Counts()], max_epochs=5)
    fitted_in_steps(monkeypatch, model, n_writes=1)
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_attributes_of_callbacks_go_on(monkeypatch, tmp_path):
    class Sums(Callback):
        def on_train_begin(self, net, **kwargs):
            self.losses, self.weights = [], None

        def on_epoch_end(self, net, **kwargs):
            self.losses.append(net.history[-1, "train_loss"])
            self.weights = net.module_.item_tower.bias.detach().clone()
            self.unkept = iter(())

    sums = Sums()
    model = batched(checkpoint=tmp_path, callbacks=[sums])
    fitted_in_steps(monkeypatch, model)
    assert sums.losses == [row["train_loss"] for row in model.history_]
    assert len(sums.losses) == 3


@pytest.mark.slow
def test_what_auto_stands_for_is_chosen_once(monkeypatch, tmp_path):
    chosen = []

    def choose(*args):
        chosen.append(args)
        return 20.0

    monkeypatch.setattr(_fit, "impression_weight", choose)
    model = batched(checkpoint=tmp_path, impression_weight="auto")
    fitted_in_steps(monkeypatch, model)
    assert len(chosen) == 1 and model.impression_weight_ == 20.0


@pytest.mark.slow
def test_fit_from_disk_goes_on(monkeypatch, tmp_path):
    pytest.importorskip("duckdb")
    path, folder = tmp_path / "events.parquet", tmp_path / "folder"
    X.assign(y=Y).to_parquet(path)
    expected = batched(time="when").fit(path, y="y")
    for n_writes in (2, 5):  # in the first pair of towers, and in the second
        with monkeypatch.context() as patch, pytest.raises(Killed):
            killed_after_writes(patch, n_writes)
            batched(time="when", checkpoint=folder).fit(path, y="y")
    assert_equal(batched(time="when", checkpoint=folder).fit(path, y="y"), expected)


@pytest.mark.slow
def test_two_stages_go_on_with_either_fit_of_the_retriever(monkeypatch, tmp_path):
    folder, table = tmp_path / "folder", follows()
    expected = stages(ordered(second_share=0)).fit(table)
    model = stages(ordered(second_share=0, checkpoint=folder))
    # the start, one epoch; the other one, the end, and as far in the second fit
    for n_writes in (2, 4):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            killed_after_writes(patch, n_writes)
            model.fit(table)
    assert [path.name for path in folder.iterdir()] == ["before_the_cut"]
    assert model.fit(table).blend_ == expected.blend_
    assert_equal(model.retriever_, expected.retriever_)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_random_state_goes_on(random_state, monkeypatch, tmp_path):
    model = batched(checkpoint=tmp_path / "a", random_state=random_state)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after_writes(patch, 2)
        model.fit(X)
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
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_after_writes(patch, 2)
        batched(checkpoint=folder).fit(X, Y)
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
        (
            {"net_params": {"criterion": losses.MarginLoss}},
            {},
            r"net_params \(None there, .*MarginLoss",
        ),
        ({}, {"y": 1 - Y}, "differ in: the chosen pairs .*; the pairs that were shown"),
        ({}, {"X": X.replace("i3", "i10")}, "differ in: the ids of items"),
        ({"time": "when"}, {}, "history .'pooled' there, 'recent' here.; the order of"),
    ],
)
def test_another_fit_is_refused(params, changed, message, unfinished):
    with pytest.raises(ValueError, match=message) as caught:
        batched(checkpoint=unfinished, **params).fit(**{"X": X, "y": Y} | changed)
    assert "delete this one to start from the beginning" in str(caught.value)


@pytest.mark.filterwarnings("ignore:The context column")
@pytest.mark.parametrize("history", first_fast(["pooled", "recent"]))
def test_other_contexts_are_refused(history, tmp_path, monkeypatch):
    params = {"context": "place", "history": history, "time": "when"}
    model = batched(checkpoint=tmp_path, second_share=0, **params)
    table = X.assign(place=np.resize(["home", "work", "bus"], len(X)))
    swapped = np.arange(len(X))
    swapped[[11, 12]] = 12, 11  # the distinct contexts are the same
    with monkeypatch.context() as patch:
        killed_after_writes(patch, 2)
        with pytest.raises(Killed):
            model.fit(table, Y)
    others = table["place"].to_numpy()[swapped], "home"
    some = table["place"].where(np.arange(len(X)) != 1)
    for place in (*others, some):
        with pytest.raises(
            ValueError, match=r"differ in: the (contexts|order) of even"
        ):
            model.fit(table.assign(place=place), Y)


def test_another_version_is_refused(unfinished, monkeypatch):
    from sktwotower.recommender import _fingerprint

    monkeypatch.setattr(_fingerprint, "version", lambda name: "9.9.9")
    with pytest.raises(ValueError, match=r"torch \(\d.* there, 9\.9\.9 here\); numpy"):
        batched(checkpoint=unfinished).fit(X, Y)


def test_another_format_is_refused(unfinished, monkeypatch):
    monkeypatch.setattr(_checkpoint, "FORMAT_VERSION", 2)
    with pytest.raises(ValueError, match=r"format of the checkpoint \(1 there, 2 her"):
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


@pytest.mark.parametrize(
    "now",
    [
        "class Loss(MarginLoss): pass",
        CELL.replace("scale = 2", "scale = 3"),
        CELL.replace("power=1", "power=3"),
        CELL.replace("** power", "* power"),
        CELL.replace("(MarginLoss)", "(MarginLoss.__base__)"),
    ],
)
def test_a_loss_that_was_written_anew_is_another_one(now):
    recipe = Recipe.of(small(net_params={"criterion": of_notebook(CELL)}))
    other = Recipe.of(small(net_params={"criterion": of_notebook(now)}))
    same = Recipe.of(small(net_params={"criterion": of_notebook("\n# one\n" + CELL)}))
    described = [_described(each.net_params) for each in (recipe, other, same)]
    assert described[0] == described[2] != described[1]
    assert all("__main__.Loss" in each for each in described)


@pytest.mark.slow
def test_a_fit_with_a_loss_that_was_written_anew_does_not_go_on(tmp_path, monkeypatch):
    def fit(code):
        own = {"net_params": {"criterion": of_notebook(code)}}
        batched(checkpoint=tmp_path, **own).fit(X, Y)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after_writes(patch, 2)
        fit(CELL)
    with pytest.raises(ValueError, match="differ in: net_params .*__main__.Loss"):
        fit(CELL.replace("scale = 2", "scale = 3"))
    fit(CELL)


@pytest.mark.slow
def test_other_weights_to_start_from_are_refused(monkeypatch, tmp_path):
    model = batched(checkpoint=tmp_path, warm_start=True).fit(X, Y)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after_writes(patch, 2)
        model.fit(X, Y)
    with pytest.raises(ValueError, match="differ in: the weights to start from"):
        batched(checkpoint=tmp_path, warm_start=True).fit(X, Y)
    model.fit(X, Y)


@pytest.mark.slow
def test_order_of_rows_and_verbosity_do_not_matter(unfinished):
    rows = np.random.default_rng(1).permutation(len(X))
    model = batched(checkpoint=unfinished, verbose=1).fit(X.iloc[rows], Y[rows])
    assert_equal(model, batched().fit(X, Y))


@pytest.mark.parametrize("place", first_fast([0.0, 0.3, 0.7, 0.999]))
@pytest.mark.parametrize("cut", [False, True])
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
    io.dump(batched().fit(X), path)
    with pytest.raises(ValueError, match="checkpoint cannot be read.*Delete the fold"):
        batched(checkpoint=unfinished).fit(X, Y)


def test_files_hold_arrays_and_json_only(unfinished):
    for path in unfinished.iterdir():
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            assert "meta.json" in names and len(names) > 1
            for name in set(names) - {"meta.json"}:
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
    model = batched(checkpoint=unfinished)
    assert_equal(fitted_in_steps(monkeypatch, model)[0], batched().fit(X, Y))


def test_folder_that_cannot_be_made(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    model = batched(checkpoint=file / "folder")
    with pytest.raises(OSError, match="must be a folder that can be written: Not a di"):
        model.fit(X)
    with pytest.raises(OSError, match="must be a folder that can be written: File ex"):
        model.set_params(checkpoint=file).fit(X)
