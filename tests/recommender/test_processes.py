"""Several processes train one model: what they learn, and how they end and go on."""

import os
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.recommender.failing_processes import (
    MOMENTS,
    PHASES,
    PHASES_OF_THREE,
    SIGNALS,
)
from tests.recommender.processes import MORE_THAN_ONE, OF_THREE, SETTINGS, events

ROOT = Path(__file__).parents[2]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot fork here")
pytestmark = [pytest.mark.slow, needs_fork]
KILLED = [*((name, 2) for name in PHASES), *((name, 3) for name in PHASES_OF_THREE)]
STOPPED = [*((name, 2) for name in SIGNALS), ("interrupted", 3)]


def run(folder, *args):
    """Run the scenes in a process of their own, and return what they print."""
    command = [sys.executable, "-m", "tests.recommender.processes", str(folder), *args]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def returned(folder):
    """Return what processes have written into a folder, by the name of the file."""
    return {
        path.stem: dict(np.load(path, allow_pickle=False))
        for path in folder.glob("*.npz")
    }


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Return what the processes of each scene have returned, by scene and rank."""
    folder = tmp_path_factory.mktemp("scenes")
    printed = run(folder)
    output = {"printed": printed, "written": os.listdir(folder / "output")}
    return returned(folder) | output | {"folder": folder}


def all_of(scenes, name, size):
    """Return what each process of a scene has returned."""
    return [scenes[f"{name}-{size}-{rank}"] for rank in range(size)]


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize(
    "name, size", [*((name, 2) for name in SETTINGS), *((name, 3) for name in OF_THREE)]
)
def test_with_the_same_weights_and_nothing_drawn_they_learn_as_one(name, size, scenes):
    one = scenes["curves-1-0"]
    assert one[f"{name}/losses"].std() > 0.01
    # validation loss and recall are figures
    assert (one[f"{name}/epochs"] > 0).all()
    for found in all_of(scenes, "curves", size):
        for key in ("losses", "epochs", "items", "users"):
            both = found[f"{name}/{key}"], one[f"{name}/{key}"]
            np.testing.assert_allclose(*both, rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", ["recent", "recent, context"])
def test_and_so_they_do_in_a_last_pass_over_the_latest_events(name, size, scenes):
    one = scenes["latest-1-0"]
    assert one[f"{name}/moved"] > 1e-3
    for found in all_of(scenes, "latest", size):
        for key in ("items", "users"):
            both = found[f"{name}/{key}"], one[f"{name}/{key}"]
            np.testing.assert_allclose(*both, rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("name", [name for name in SETTINGS if "context" in name])
def test_and_contexts_say_the_same(name, scenes):
    one = scenes["curves-1-0"]
    assert abs(one[f"{name}/asked"] - one[f"{name}/users"]).max() > 1e-3
    for found in all_of(scenes, "curves", 2):
        both = found[f"{name}/asked"], one[f"{name}/asked"]
        np.testing.assert_allclose(*both, rtol=0, atol=1e-5)


def test_a_loss_of_the_user_must_add_up(scenes):
    for size in (2, 3):
        found = all_of(scenes, "own_losses", size)
        for each in found:
            assert each["error"] == "ValueError"
            assert "must divide the sum over users by targets.total" in str(
                each["message"]
            )
            np.testing.assert_array_equal(each["items"], found[0]["items"])


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(
    "name", ["curves", "defaults", "more_together", "whole half-life"]
)
def test_all_have_the_same_model(name, size, scenes):
    first, *others = all_of(scenes, name, size)
    for other in others:
        if name == "more_together":  # one of them has no events in its first call
            assert first["error"] == other["error"] == "ValueError"
        assert_equal(first, other)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", ["pooled", "auto"])
def test_the_files_of_gathered_models_are_equal(kind, size, scenes):
    paths = [scenes["folder"] / f"gathered-{kind}-{size}-{r}.sktt" for r in range(size)]
    first, *others = map(arrays_of, paths)
    assert len(first) > 20
    for other in others:
        assert_equal(first, other)


def arrays_of(path):
    """Return the arrays of a file; seconds and seeds of batches are not among them."""
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name.endswith(".npy")]
        return {name: np.load(BytesIO(file.read(name))) for name in names}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("grads", ["sparse", "dense"])
@pytest.mark.parametrize("kind, error", [("exact", 1e-6), ("short", 4e-3)])
def test_sums_of_known_gradients(kind, error, grads, size, scenes):
    # of process r: r + 1, divided by the sum of weights 1, 2 ...
    shares = (np.arange(size) + 1) / np.sum(np.arange(size) + 1) * MORE_THAN_ONE
    users, items = np.zeros((6, 1)), np.zeros((10, 1))
    users[:size, 0], items[1 : size + 1, 0] = shares, shares
    users[5], items[[0, 9]] = shares.sum(), shares.sum()
    for rank, found in enumerate(all_of(scenes, "sums", size)):
        found = {key: found[f"{kind}/all/{grads}/{key}"] for key in KEYS}
        assert found["loss"] == sum(range(1, size + 1)) and found["n_users"] == 2 * size
        both = found["user_tower"], np.repeat(users, 2, axis=1)
        np.testing.assert_allclose(*both, rtol=error)
        both = found["item_tower"], np.repeat(items, 2, axis=1)
        np.testing.assert_allclose(*both, rtol=error)
        assert found["item_tower is sparse"] == (grads == "sparse")
        np.testing.assert_allclose(found["bias"], [shares.sum()] * 2, rtol=1e-6)
        np.testing.assert_array_equal(found["unused"], [0])
        # the rows of the whole tables, whose numbers are small enough to be exact
        np.testing.assert_array_equal(found["order"].sum(), rank + 10)
        expected = 2 * found["order"][:, None] + [0, 1]
        np.testing.assert_array_equal(found["items"], expected)
        np.testing.assert_array_equal(
            found["users"], [[2 * rank, 2 * rank + 1], [10, 11]]
        )


KEYS = ["loss", "n_users", "user_tower", "item_tower", "item_tower is sparse", "bias"]
KEYS += ["unused", "order", "items", "users"]


@pytest.mark.parametrize("size", [2, 3])
def test_sums_are_rounded_as_the_products_that_follow(size, scenes):
    found = all_of(scenes, "sums", size)[0]
    exact, short = (found[f"{k}/all/sparse/item_tower"] for k in ("exact", "short"))
    assert abs(exact - short).max() > 1e-4


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("grads", ["sparse", "dense"])
def test_a_process_without_users_adds_nothing(grads, size, scenes):
    users, items = np.zeros((6, 2)), np.zeros((10, 2))
    users[[size - 1, 5]], items[[0, size, 9]] = MORE_THAN_ONE, MORE_THAN_ONE
    for rank, found in enumerate(all_of(scenes, "sums", size)):
        name = f"exact/last/{grads}"
        assert found[f"{name}/loss"] == size and found[f"{name}/n_users"] == 2
        np.testing.assert_allclose(found[f"{name}/user_tower"], users, rtol=1e-6)
        np.testing.assert_allclose(found[f"{name}/item_tower"], items, rtol=1e-6)
        assert found[f"{name}/context"].shape == (0, 2)  # an empty table
        np.testing.assert_allclose(found[f"{name}/bias"], [MORE_THAN_ONE] * 2)
        assert (f"{name}/items" in found) == (rank == size - 1)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("kind", ["pooled", "auto"])
def test_models_of_own_users_serve_them_as_the_whole_one(kind, size, scenes):
    (found,) = all_of(scenes, f"served_alone_{size}", 1)
    users = []
    for rank in range(size):
        for key in ("items", "users", "scores", "past", "top"):
            both = (found[f"{who}/{kind}/{rank}/{key}"] for who in ("own", "gathered"))
            np.testing.assert_array_equal(*both, err_msg=key)
        users += found[f"own/{kind}/{rank}/user_ids"].tolist()
        # a user of another process is as one whom nobody knows
        nobody, other = found[f"unknown/{kind}/{rank}"]
        np.testing.assert_array_equal(nobody, other)
        assert len(found[f"more/{kind}/{rank}"]) == 10
    whole = found[f"gathered/{kind}/0/user_ids"].tolist()
    assert sorted(users) == sorted(whole) == sorted(set(events()[0]["user"]))


@pytest.mark.parametrize("size", [2, 3])
def test_further_events_are_learnt_as_by_one(size, scenes):
    (one,) = all_of(scenes, "more_together", 1)
    for found in all_of(scenes, "more_together", size):
        for key in ("items", "users", "losses"):
            np.testing.assert_array_equal(found[key], one[key])
        assert "Numbers of events, by process: [0, 3" in str(found["message"])


@pytest.mark.parametrize("size", [2, 3])
def test_a_planted_structure_is_found_as_by_one(size, scenes):
    one = all_of(scenes, "recalls", 1)[0]["recall"]
    several = all_of(scenes, "recalls", size)[0]["recall"]
    assert one.mean() > 0.25  # chance: 0.05
    error = (several - one).std(ddof=1) / np.sqrt(len(one))
    assert several.mean() > one.mean() - max(3 * error, 0.03)


def test_what_differs_is_refused_before_training(scenes):
    expected = {
        "events": "differ in: the events (X, y, sample_weight)",
        "parameters": "differ in: lr (0.01 in process 0, 0.02 in process 1)",
        "features": "differ in: the features of users",
        "no users": "divide the 1 users of X among them, and process ",
        "gradients": "callbacks that read gradients (on_grad_computed) need those",
    }
    for found in all_of(scenes, "refused", 2):
        for name, message in expected.items():
            assert found[f"{name}/error"] == "ValueError", name
            assert message in str(found[f"{name}/message"])


FAILURES = [
    *((f"fails {moment}", 2, 1, "KeyError") for moment in MOMENTS),
    *(("fails within step", size, 1, "MemoryError") for size in (2, 3)),
    ("fails within _recall", 2, 1, "MemoryError"),
    *((f"disk full {rank}", 2, rank, "OSError") for rank in (0, 1)),
]


@pytest.mark.parametrize("name, size, failed, error", FAILURES)
def test_an_error_in_one_process_ends_all(name, size, failed, error, scenes):
    for rank, found in enumerate(all_of(scenes, name, size)):
        assert found["error"] == (error if rank == failed else "GroupError")
        if rank != failed:
            assert f"Process {failed} has failed" in str(found["message"])


@pytest.mark.parametrize("name, size", KILLED)
def test_a_process_that_is_killed_ends_the_others(name, size, scenes):
    killed = 0 if name == "half-life" else size // 2
    assert f"killed {name}-{size}-{killed}" not in scenes
    others = [rank for rank in range(size) if rank != killed]
    for found in (scenes[f"killed {name}-{size}-{rank}"] for rank in others):
        assert found["error"] == "GroupError"
        who, _, why = str(found["message"]).partition(" has died or cannot be reached")
        assert str(killed) in who.rpartition("process")[2]
        if size == 2:
            assert who.endswith(f"process {killed}")
        assert "fit goes on from the end of the last epoch" in why


@pytest.mark.parametrize("name, size", KILLED)
def test_and_all_together_go_on_to_the_same_model(name, size, scenes):
    kind = name if name == "singular vectors" else "half-life"
    found = all_of(scenes, f"goes on {name}", size)
    for own, expected in zip(found, all_of(scenes, f"whole {kind}", size), strict=True):
        assert_equal_model(own, expected)


def assert_equal_model(found, expected):
    """Compare all except the losses of batches, of which a part was before the end."""
    parts = [{k: v for k, v in d.items() if k != "losses"} for d in (found, expected)]
    assert_equal(*parts)


@pytest.mark.parametrize("name, size", STOPPED)
def test_a_signal_to_one_process_stops_all_after_the_same_batch(name, size, scenes):
    for found in all_of(scenes, name, size):
        (message,) = found["messages"]
        assert "interrupted in epoch 2 of 2" in message
        assert "goes on after epoch 1" in message
        if name == "terminated":
            assert found["code"] == 143
        else:
            assert found["interrupted"] and len(found["epochs"]) == 1
            whole = scenes[f"whole half-life-{size}-0"]["losses"]
            # of the first epoch, and one batch
            n_batches = len(found["losses"])
            assert 2 <= n_batches < len(whole)
            assert n_batches == len(scenes[f"{name}-{size}-0"]["losses"])


@pytest.mark.parametrize("name, size", STOPPED)
def test_and_the_same_call_goes_on(name, size, scenes):
    found = all_of(scenes, f"goes on {name}", size)
    whole = all_of(scenes, "whole half-life", size)
    for own, expected in zip(found, whole, strict=True):
        assert_equal_model(own, expected)


@pytest.mark.parametrize("size", [1, 3])
def test_another_number_of_processes_does_not_go_on(size, scenes):
    for found in all_of(scenes, "other_size", size):
        message = f"differ in: number of processes (2 there, {size} here). Repeat"
        assert message in str(found["message"])


def test_a_process_may_look_late_for_what_was_left(scenes):
    for found in all_of(scenes, "reads_late", 2):
        assert found["message"] == ""


def test_torchrun_on_the_command_line(scenes):
    # fitted twice: on the earlier events, then on all of them
    printed = scenes["printed"].count
    assert printed("The models learn from") == 1
    assert printed("Fitting two towers ...") == 1
    assert printed("Fitting again, on all events ...") == 1
    assert printed("report.html and ") == printed("model.sktt: ") == 1
    assert "model.sktt" in scenes["written"]


def test_what_was_killed_at_two_random_places_goes_on(scenes):
    for place in range(2):
        assert_equal(scenes[str(place)], scenes["whole"])


@pytest.mark.fuzz
def test_killed_at_twenty_random_places(tmp_path):
    run(tmp_path, "20")
    found = returned(tmp_path)
    for place in range(20):
        assert_equal(found[str(place)], found["whole"])
