"""Several processes train one model, as a single one would; and killed ones go on."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.recommender.processes import ASKING, CURVES, PLAIN, events, model

ROOT = Path(__file__).parents[2]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot fork here")
pytestmark = [pytest.mark.slow, needs_fork]


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
    return returned(folder) | output


def both(scenes, name):
    return [scenes[f"{name}-2-{rank}"] for rank in (0, 1)]


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("name", CURVES)
def test_two_processes_have_the_losses_of_one(name, scenes):
    one, two = scenes["curves-1-0"], scenes["curves-2-0"]
    losses = [scene[f"{name}/losses"][:20] for scene in (one, two)]
    assert len(losses[0]) >= 20 and losses[0].std() > 0.1
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(two[f"{name}/epochs"], one[f"{name}/epochs"], rtol=1e-5)


@pytest.mark.parametrize("name", sorted(CURVES.keys() - {"order"}))
def test_and_those_of_a_fit_without_a_group(name, scenes):
    fitted = model(**PLAIN | CURVES[name]).fit(*events())
    losses = fitted.callbacks[0].losses
    expected = scenes["curves-2-0"][f"{name}/losses"]
    np.testing.assert_allclose(losses[:20], expected[:20], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ASKING)
def test_and_so_have_models_with_context(name, scenes):
    one, two = scenes["everything_asks-1-0"], scenes["everything_asks-2-0"]
    losses = [scene[f"{name}/losses"][:20] for scene in (one, two)]
    assert losses[0].std() > 0.1
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-5)
    for scene in (one, two):
        changes = scene[f"{name}/asked"] - scene[f"{name}/users"]
        assert abs(changes).max() > 1e-3


@pytest.mark.parametrize(
    "name", ["curves", "everything_asks", "defaults", "goes_on", "stops"]
)
def test_all_processes_have_the_same_model(name, scenes):
    assert_equal(*both(scenes, name))


def test_sums_of_known_gradients(scenes):
    # process 0 has the weight 1, process 1 the weight 3
    first = np.zeros((40, 2))
    first[1], first[3] = [0.75, 1.5], [0.25 * 8 + 0.75 * 3, 0.25 * 8 + 0.75 * 4]
    for found in both(scenes, "sums"):
        assert found["both/loss"] == 0.25 * 2 + 0.75 * 3
        assert found["both/is_sparse"]
        np.testing.assert_allclose(found["both/first"], first)
        np.testing.assert_allclose(found["both/second"], [[0.25 + 0.75 * 2]] * 4)
        np.testing.assert_allclose(found["both/bias"], [1, 0.75])
        np.testing.assert_array_equal(found["both/unused"], [0])
        # weights are those of process 0
        np.testing.assert_array_equal(found["bias"], [0, 0])


def test_a_process_without_users_adds_nothing(scenes):
    for found in both(scenes, "sums"):
        assert found["one/loss"] == 3
        np.testing.assert_allclose(found["one/first"][[1, 3]], [[1, 2], [3, 4]])
        np.testing.assert_allclose(found["one/second"], [[2]] * 4)
        np.testing.assert_allclose(found["one/bias"], [1, 1])


def test_other_data_or_parameters_are_refused_before_training(scenes):
    for found in both(scenes, "other_data"):
        assert found["error"] == "ValueError"
        assert "Processes 0 and 1 differ in: the chosen pairs" in str(found["message"])
    for found in both(scenes, "other_parameters"):
        assert found["error"] == "ValueError"
        message = "differ in: lr (0.01 in process 0, 1.01 in process 1)"
        assert message in str(found["message"])


def test_a_day_that_is_empty_in_one_process_is_refused(scenes):
    for found in both(scenes, "an_empty_day"):
        assert found["error"] == "ValueError"
        assert "events, by process: [0, 3]" in str(found["message"])
    assert_equal(*both(scenes, "an_empty_day"))


@pytest.mark.parametrize("name, failed", [("fails", 1), ("disk_full", 0)])
def test_an_error_in_one_process_ends_all(name, failed, scenes):
    error = "KeyError" if name == "fails" else "OSError"
    own, other = (both(scenes, name)[rank] for rank in (failed, 1 - failed))
    assert own["error"] == error and other["error"] == "GroupError"
    assert f"Process {failed} has failed" in str(other["message"])


def test_a_process_that_dies_ends_the_others(scenes):
    assert "dies-2-1" not in scenes
    found = scenes["dies-2-0"]
    assert found["error"] == "GroupError"
    assert "another process has died" in str(found["message"])
    assert "fit goes on from the end of the last epoch" in str(found["message"])


def test_a_signal_to_one_process_stops_all_after_the_same_batch(scenes):
    for found in both(scenes, "stops"):
        assert found["interrupted"]
        assert len(found["losses"]) == 6 + 2 and len(found["epochs"]) == 1
        (message,) = found["messages"]
        assert "interrupted in epoch 2 of 4" in message
        assert "goes on after epoch 1" in message


def test_what_was_killed_and_stopped_goes_on_to_the_same_model(scenes):
    pairs = zip(both(scenes, "goes_on"), both(scenes, "without_a_break"), strict=True)
    for found, expected in pairs:
        assert_equal(found, expected)


def test_torchrun_on_the_command_line(scenes):
    # fitted twice: on the earlier events, then on all of them
    printed = scenes["printed"].count
    assert printed("Learning from") == 1 and printed("Fitted in") == 2
    assert printed("Once more, ") == printed("report.html, ") == 1
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
