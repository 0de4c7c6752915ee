"""Several processes learn the same weights of parts, from the same kept-back events."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.recommender.weighing_processes import FITS, OF_THREE

ROOT = Path(__file__).parents[2]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot fork here")
pytestmark = [pytest.mark.slow, needs_fork]
FITS_OF = [*((name, 2) for name in FITS), *((name, 3) for name in OF_THREE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run the fits, and return the folder of what they have returned."""
    folder = tmp_path_factory.mktemp("weighing")
    command = [sys.executable, "-m", "tests.recommender.weighing_processes", folder]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def found(folder):
    """Return what each process has returned, by the number of processes and rank."""
    return {
        (size, rank): dict(np.load(folder / f"fits-{size}-{rank}.npz"))
        for size in (1, 2, 3)
        for rank in range(size)
    }


@pytest.mark.parametrize("name, size", FITS_OF)
def test_all_have_the_same_weights(name, size, found):
    first = found[size, 0]
    assert first[f"{name}/weights"].shape[1] > 1
    for rank in range(1, size):
        for key in (key for key in first if key.startswith(f"{name}/")):
            np.testing.assert_array_equal(found[size, rank][key], first[key], key)


@pytest.mark.parametrize("name, size", FITS_OF)
def test_they_keep_back_what_one_would(name, size, found):
    one, several = found[1, 0], found[size, 0]
    assert several[f"{name}/asked"] == one[f"{name}/asked"]
    np.testing.assert_array_equal(several[f"{name}/start"], one[f"{name}/start"])
    n_users = [each[f"{name}/score"][-1] for each in (several, one)]
    if np.isfinite(one[f"{name}/start"]):
        assert n_users[0] == n_users[1]
        # in as many contexts
        assert several[f"{name}/n_requests"] == one[f"{name}/n_requests"]
    assert n_users[0] == pytest.approx(n_users[1], rel=0.1)


@pytest.mark.parametrize("name, size", FITS_OF)
def test_lists_are_about_as_good_as_those_of_one(name, size, found):
    ndcg = [found[key][f"{name}/score"][1] for key in ((size, 0), (1, 0))]
    assert ndcg[0] == pytest.approx(ndcg[1], rel=0.4)


WITH_HISTORY = [pair for pair in FITS_OF if pair[0] != "no history"]
MATRICES = "linear model of past items", "walks from past items"
MATRICES = (*MATRICES, "successors of past items")


@pytest.mark.parametrize("name, size", [*WITH_HISTORY, ("later", 2), ("later", 3)])
def test_sparse_parts_are_those_of_the_events_of_all(name, size, found):
    one, several = found[1, 0], found[size, 0]
    compared = [
        f"{name}/{kind}"
        for kind in MATRICES
        if f"{name}/{kind}" in one and f"{name}/{kind}" in several
    ]
    assert len(compared) >= 1
    for key in compared:
        assert several[key].max() > 0.5
        np.testing.assert_allclose(several[key], one[key], atol=1e-6, err_msg=key)
    assert several[f"{name}/n_events"] == one[f"{name}/n_events"]


@pytest.mark.parametrize("size", [2, 3])
def test_and_all_compute_them_anew_of_further_events(size, found):
    first = found[size, 0]
    assert first["later/n_events"] > 1.02 * first["latest/n_events"]
    keys = [key for key in first if key.startswith("later/")]
    assert len(keys) > 1
    for rank in range(1, size):
        for key in keys:
            np.testing.assert_array_equal(found[size, rank][key], first[key], key)


def test_what_users_had_is_a_sparse_part_as_well(found):
    rows = found[2, 0]["repeats/rows"]
    assert {"had before", "how often had", "had lately"} & {*rows}


@pytest.mark.parametrize("size", [2, 3])
def test_processes_without_a_request_learn_the_same_weights(size, found):
    counts = [found[size, rank]["requests, one process asks"] for rank in range(size)]
    assert counts[0] >= 20 and not any(counts[1:])
    # nor have they one of the latest events, and there was a pass over these
    assert found[size, 0]["one process asks/rate"] == 0.5


@pytest.mark.parametrize("name, size", FITS_OF)
def test_lists_are_about_those_of_one(name, size, found):
    one = found[1, 0]
    lists_of_one = dict(zip(one[f"users, {name}"], one[f"lists, {name}"], strict=True))
    shared = []
    for rank in range(size):
        several = found[size, rank]
        lists = zip(several[f"users, {name}"], several[f"lists, {name}"], strict=True)
        for user, items in lists:
            shared.append(len({*items} & {*lists_of_one[user]}) / len(items))
    assert np.mean(shared) > 0.6


@pytest.mark.parametrize("size", [2, 3])
def test_models_of_own_users_give_the_lists_of_that_of_all(size, found):
    whole = found[size, 0]
    lists = dict(zip(whole["users, latest"], whole["lists, latest"], strict=True))
    n_users = 0
    for rank in range(size):
        own = found[size, rank]
        n_users += len(own["users, own users"])
        expected = [lists[user] for user in own["users, own users"]]
        np.testing.assert_array_equal(own["lists, own users"], expected)
    assert n_users == len(lists)


@pytest.mark.parametrize("size", [2, 3])
def test_own_users_have_few_of_the_events_of_sparse_parts(size, found):
    # so many more would have the tables computed anew, of them alone
    for rank in range(size):
        own = found[size, rank]
        assert 0 < own["gone"] < 1000
        assert own["left"] == own["own users/n_events"] - own["gone"]


def test_ctrl_c_in_the_last_pass_of_one_process_ends_that_of_all(folder):
    first, second = (np.load(folder / f"pressed-2-{rank}.npz") for rank in range(2))
    for each in (first, second):
        assert each["interrupted"] and each["passes"] == 3
        (message,) = each["messages"]
        assert "fit was interrupted" in message
    np.testing.assert_array_equal(first["items"], second["items"])
