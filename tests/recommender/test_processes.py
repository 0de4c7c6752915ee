"""Several processes train one model: what they learn, and how they end and go on."""

import os
import zipfile
from io import BytesIO

import numpy as np
import pytest

from tests.processes import run_in_process
from tests.recommender.failing_processes import MOMENTS, SIGNALS
from tests.recommender.processes import (
    FEW_SETTINGS,
    FEW_WEIGHED,
    SETTINGS,
    WEIGHED,
    play,
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot fork here")
pytestmark = [pytest.mark.slow, needs_fork]


def run(folder, *args):
    """Play scenes in a process of their own, and return what they print."""
    env = {"OMP_NUM_THREADS": "1"}
    done = run_in_process(play, str(folder), *args, env=env, seconds=1200)
    assert done.code == 0, done.err
    return done.out


def returned(folder):
    """Return what processes have written into a folder, by the name of the file."""
    return {
        path.stem: dict(np.load(path, allow_pickle=False))
        for path in folder.glob("*.npz")
    }


@pytest.fixture(scope="module")
def scenes_of(tmp_path_factory):
    """Return a function that plays few or all scenes, once.

    It returns what each process has returned, by scene, size and rank.
    """
    found = {}

    def get(which):
        if which not in found:
            found[which] = None  # they are not played again if they fail
            folder = tmp_path_factory.mktemp(which)
            printed = run(folder, which)
            found[which] = returned(folder) | {"folder": folder, "printed": printed}
        assert found[which] is not None, "the scenes have failed before"
        return found[which]

    return get


@pytest.fixture
def scenes(request, scenes_of):
    """Return the few scenes that run each time, or all for the mark fuzz."""
    is_fuzz = request.node.get_closest_marker("fuzz") is not None
    return scenes_of("all" if is_fuzz else "few")


def with_sizes(few, names=()):
    """Return cases of names in 2 and 3 processes; all except few in 2 are fuzz."""
    cases = []
    for name in [*few, *(name for name in names if name not in few)]:
        for size in (2, 3):
            marks = () if name in few and size == 2 else pytest.mark.fuzz
            cases.append(pytest.param(name, size, marks=marks))
    return cases


SIZES = [2, pytest.param(3, marks=pytest.mark.fuzz)]


def all_of(scenes, name, size):
    """Return what each process of a scene has returned."""
    return [scenes[f"{name}-{size}-{rank}"] for rank in range(size)]


def assert_equal(a, b, except_of=()):
    assert a.keys() == b.keys()
    for name in a.keys() - {*except_of}:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("name, size", with_sizes(FEW_SETTINGS, SETTINGS))
def test_with_the_same_weights_and_nothing_drawn_they_learn_as_one(name, size, scenes):
    one = scenes["curves-1-0"]
    assert one[f"{name}/losses"].std() > 0.001
    for found in all_of(scenes, "curves", size):
        for key in ("losses", "epochs", "items", "users"):
            both = found[f"{name}/{key}"], one[f"{name}/{key}"]
            np.testing.assert_allclose(*both, rtol=0, atol=1e-5, err_msg=key)


@pytest.mark.parametrize("size", SIZES)
def test_a_loss_of_the_user_must_add_up(size, scenes):
    found = all_of(scenes, "own_losses", size)
    for each in found:
        assert each["error"] == "ValueError"
        expected = "must divide the sum over users by targets.total"
        assert expected in str(each["message"])
        np.testing.assert_array_equal(each["items"], found[0]["items"])


@pytest.mark.parametrize(
    "name, size", with_sizes(["curves", "defaults", "more_together", "weighed_of"])
)
def test_all_have_the_same_model(name, size, scenes):
    first, *others = all_of(scenes, name, size)
    for other in others:
        assert_equal(first, other)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["pooled", "auto"])
def test_each_process_writes_the_same_file(kind, size, scenes):
    paths = [scenes["folder"] / f"{kind}-{size}-{r}.sktt" for r in range(size)]
    first, *others = map(arrays_of, paths)
    assert len(first) > 20
    for other in others:
        assert_equal(first, other)


def arrays_of(path):
    """Return the arrays of a file; seconds and seeds of batches are not among them."""
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name.endswith(".npy")]
        return {name: np.load(BytesIO(file.read(name))) for name in names}


@pytest.mark.parametrize("size", SIZES)
def test_further_events_are_learnt_as_by_one(size, scenes):
    (one,) = all_of(scenes, "more_together", 1)
    for found in all_of(scenes, "more_together", size):
        for key in ("items", "users", "losses"):
            np.testing.assert_array_equal(found[key], one[key])
        assert found["error"] == "ValueError"
        assert "Numbers of events, by process: [0, 3" in str(found["message"])


@pytest.mark.parametrize("name, size", with_sizes(FEW_WEIGHED, WEIGHED))
def test_they_learn_weights_of_parts_from_the_requests_of_all(name, size, scenes):
    one, several = scenes["weighed_of-1-0"], scenes[f"weighed_of-{size}-0"]
    assert several[f"{name}/weights"].shape[1] > 1
    _, ndcg, n_users = several[f"{name}/score"]
    _, ndcg_of_one, n_users_of_one = one[f"{name}/score"]
    assert n_users == pytest.approx(n_users_of_one, rel=0.1)
    if name == "latest":
        assert n_users == n_users_of_one
    # the two differ in what is drawn, and a few dozen users judge
    assert ndcg == pytest.approx(ndcg_of_one, abs=0.1)
    lists = zip(several[f"{name}/lists"], one[f"{name}/lists"], strict=True)
    assert np.mean([len({*ours} & {*theirs}) / 10 for ours, theirs in lists]) > 0.6


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


@pytest.mark.parametrize("moment, size", with_sizes(MOMENTS[:1], MOMENTS))
def test_an_error_in_one_process_ends_all(moment, size, scenes):
    for rank, found in enumerate(all_of(scenes, f"fails {moment}", size)):
        assert found["error"] == ("KeyError" if rank == 1 else "GroupError")
        if rank != 1:
            assert "Process 1 has failed" in str(found["message"])


@pytest.mark.parametrize("moment, size", with_sizes(MOMENTS[:1], MOMENTS))
def test_a_process_that_is_killed_ends_the_others_who_go_on(moment, size, scenes):
    killed = 0 if moment == "on_epoch_end" else 1
    assert f"killed {moment}-{size}-{killed}" not in scenes
    others = [rank for rank in range(size) if rank != killed]
    for found in (scenes[f"killed {moment}-{size}-{rank}"] for rank in others):
        assert found["error"] == "GroupError"
        who, _, why = str(found["message"]).partition(" has died or cannot be reached")
        assert str(killed) in who.rpartition("process")[2]
        assert "fit goes on from the end of the last epoch" in why
    assert_all_go_on(f"killed {moment}", size, scenes)


def assert_all_go_on(name, size, scenes):
    """Compare models with that of a fit without a break."""
    found = all_of(scenes, f"goes on {name}", size)
    for own, expected in zip(found, all_of(scenes, "whole", size), strict=True):
        # a part of the batches was before the end
        assert_equal(own, expected, except_of=["losses"])


@pytest.mark.parametrize("name, size", with_sizes(["interrupted"], SIGNALS))
def test_a_signal_to_one_process_stops_all_after_the_same_batch(name, size, scenes):
    for found in all_of(scenes, name, size):
        (message,) = found["messages"]
        assert "interrupted in epoch 2 of 2" in message
        assert "goes on after epoch 1" in message
        if name == "terminated":
            assert found["code"] == 143
        else:
            assert found["interrupted"] and len(found["epochs"]) == 1
            whole = scenes[f"whole-{size}-0"]["losses"]
            # of the first epoch, and one batch
            n_batches = len(found["losses"])
            assert 2 <= n_batches < len(whole)
            assert n_batches == len(scenes[f"{name}-{size}-0"]["losses"])
    assert_all_go_on(name, size, scenes)


def test_another_number_of_processes_does_not_go_on(scenes):
    (found,) = all_of(scenes, "other_size", 1)
    message = "differ in: number of processes (2 there, 1 here). Repeat"
    assert message in str(found["message"])


@pytest.mark.fuzz
def test_torchrun_on_the_command_line(scenes):
    # fitted twice: on the earlier events, then on all of them
    printed = scenes["printed"].count
    assert printed("The models learn from") == 1
    assert printed("Fitting two towers ...") == 1
    assert printed("Fitting again, on all events ...") == 1
    assert printed("report.html and ") == printed("model.sktt: ") == 1
    assert "model.sktt" in os.listdir(scenes["folder"] / "output")


@pytest.mark.fuzz
def test_killed_at_twenty_random_places_it_goes_on(tmp_path):
    run(tmp_path, "killed", 20)
    found = returned(tmp_path)
    for size in (1, 2):
        for place in range(20):
            for own, expected in zip(
                all_of(found, f"place {place}", size),
                all_of(found, "whole", size),
                strict=True,
            ):
                assert_equal(own, expected)
