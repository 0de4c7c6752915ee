"""Several processes learn the same weights of parts, from the same kept-back events."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.recommender.weighing_processes import FITS

ROOT = Path(__file__).parents[2]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="cannot fork here")
pytestmark = [pytest.mark.slow, needs_fork]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return what each process has returned, by the number of processes and rank."""
    folder = tmp_path_factory.mktemp("weighing")
    command = [sys.executable, "-m", "tests.recommender.weighing_processes", folder]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {
        (size, rank): dict(np.load(folder / f"fits-{size}-{rank}.npz"))
        for size in (1, 2, 3)
        for rank in range(size)
    }


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", FITS)
def test_all_have_the_same_weights(name, size, found):
    first = found[size, 0]
    assert first[f"{name}/weights"].shape[1] > 1
    for rank in range(1, size):
        for key in (key for key in first if key.startswith(f"{name}/")):
            np.testing.assert_array_equal(found[size, rank][key], first[key], key)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", FITS)
def test_they_keep_back_what_one_would(name, size, found):
    one, several = found[1, 0], found[size, 0]
    assert several[f"{name}/asked"] == one[f"{name}/asked"]
    np.testing.assert_array_equal(several[f"{name}/start"], one[f"{name}/start"])
    n_users = [each[f"{name}/score"][-1] for each in (several, one)]
    if np.isfinite(one[f"{name}/start"]):
        assert n_users[0] == n_users[1]
    assert n_users[0] == pytest.approx(n_users[1], rel=0.1)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", FITS)
def test_lists_are_about_as_good_as_those_of_one(name, size, found):
    ndcg = [found[key][f"{name}/score"][1] for key in ((size, 0), (1, 0))]
    assert ndcg[0] == pytest.approx(ndcg[1], rel=0.4)


def test_several_processes_have_no_sparse_parts(found):
    for (size, _), of_process in found.items():
        for name in FITS if size > 1 else ():
            rows = of_process[f"{name}/rows"]
            assert not any("past items" in row or "had" in row for row in rows)
