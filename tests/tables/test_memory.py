"""How much memory a process may use."""

import math
import os

import numpy as np
import pandas as pd
import pytest

import sktwotower._tables._memory as memory
from sktwotower import EASERecommender, PopularityRecommender
from tests.processes import run_in_process


def events_of(n_items):
    return pd.DataFrame({"user": np.arange(n_items) % 7, "item": np.arange(n_items)})


@pytest.mark.parametrize(
    "groups, files, expected",
    [
        ("0::/\n", {"memory.max": "5000"}, 5000),
        ("0::/a/b\n", {"memory.max": "max", "a/memory.max": "70"}, 70),
        ("0::/a/b\n", {"a/memory.max": "70", "a/b/memory.max": "60"}, 60),
        ("0::/of/the/host\n", {}, math.inf),
        (
            "4:memory:/c\n2:cpu:/x:y\n0::/\n",
            {"memory/c/memory.limit_in_bytes": "90", "cpu/memory.max": "1"},
            90,
        ),
    ],
)
def test_limits_of_control_groups(groups, files, expected, tmp_path):
    listed, root = tmp_path / "cgroup", tmp_path / "root"
    listed.write_text(groups)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "memory.max").write_text("1")  # above the root: not read
    assert min(memory._of_cgroups(listed, root), default=math.inf) == expected
    assert list(memory._of_cgroups(tmp_path / "missing", root)) == []


@pytest.mark.parametrize("text", ["64MiB", " .07 GB", "0.0625 gib", "67.2mb"])
def test_a_fit_that_needs_more_than_the_environment_allows_is_refused(
    text, monkeypatch
):
    monkeypatch.setenv("SKTWOTOWER_MEMORY", text.replace(" .", " 0."))
    message = r"take .* GB, more than the 0.1 GB that this process may use"
    with pytest.raises(ValueError, match=message):
        EASERecommender().fit(events_of(5000))
    EASERecommender().fit(events_of(100))


def test_the_least_of_all_limits_counts(monkeypatch):
    monkeypatch.setenv("SKTWOTOWER_MEMORY", "64GB")
    with pytest.raises(ValueError, match="more than max_memory=1000 bytes"):
        EASERecommender(max_memory=1000).fit(events_of(100))


def test_sizes_that_are_none(monkeypatch):
    for text in ("2", "much", "-2GB", "1e3GB", "2 KB", "10 MB", "infGB"):
        monkeypatch.setenv("SKTWOTOWER_MEMORY", text)
        with pytest.raises(ValueError, match=f"such as '2GB' or '500MB'. Got '{text}'"):
            EASERecommender().fit(events_of(5000))
        PopularityRecommender().fit(events_of(100))  # asks for no limit


def fit_with_little_memory_left(limit):
    """Print the error of a fit that needs more than the limit of this process."""
    import resource

    os.environ.pop("SKTWOTOWER_MEMORY", None)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    with pytest.raises(ValueError) as error:
        EASERecommender().fit(events_of(50_000))
    print(error.value)


@pytest.mark.slow
def test_a_limit_of_the_data_of_this_process():
    pytest.importorskip("resource")
    # far more than a process has at its begin, less than the 10 GB of the matrices
    ended = run_in_process(fit_with_little_memory_left, 7_100_000_000)
    assert ended.code == 0, ended.err
    assert "more than the 7.1 GB that this process" in ended.out
