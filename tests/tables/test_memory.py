"""How much memory a process may use."""

import math

import pytest

from sktwotower._tables import _memory


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
    own, root = tmp_path / "cgroup", tmp_path / "root"
    own.write_text(groups)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (tmp_path / "memory.max").write_text("1")  # above the root: not read
    assert min(_memory._of_cgroups(own, root), default=math.inf) == expected
    assert list(_memory._of_cgroups(tmp_path / "missing", root)) == []


@pytest.mark.parametrize(
    "text, expected", [("2GB", 2e9), (" 1.5 GiB", 1.5 * 2**30), ("64mib", 2**26)]
)
def test_the_environment_says_how_much(text, expected, monkeypatch):
    monkeypatch.setenv("SKTWOTOWER_MEMORY", text)
    assert _memory.memory_of_process() == expected
    with pytest.raises(ValueError, match="more than the .* GB that this process may"):
        _memory.check_memory(expected + 1, "Tables", "Use less.")


@pytest.mark.parametrize(
    "text", ["2", "much", "-2GB", "1e3GB", "2 KB", "10 MB", "infGB"]
)
def test_sizes_that_are_none(text, monkeypatch):
    monkeypatch.setenv("SKTWOTOWER_MEMORY", text)
    with pytest.raises(ValueError, match=f"such as '2GB' or '500MB'. Got '{text}'"):
        _memory.memory_of_process()


def test_a_limit_of_the_data_of_this_process(monkeypatch):
    resource = pytest.importorskip("resource")
    limits = {resource.RLIMIT_DATA: (5000, 9000)}
    none = (resource.RLIM_INFINITY,) * 2
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits.get(kind, none))
    assert _memory.memory_of_process() == 5000


def test_the_least_of_all_limits_counts(monkeypatch):
    assert 1e7 < _memory.memory_of_process() < math.inf
    monkeypatch.setattr(_memory, "_of_cgroups", lambda: [2000.0, 9e99])
    _memory.check_memory(2001, "Tables", "Use less.")  # too small to be looked up
    monkeypatch.setattr(_memory, "SMALL", 0)
    _memory.check_memory(2000, "Tables", "Use less.")
    with pytest.raises(ValueError, match="Tables take .* than the 0.0 GB .* Use less."):
        _memory.check_memory(2001, "Tables", "Use less.")
    with pytest.raises(ValueError, match="more than max_memory=1000 bytes"):
        _memory.check_memory(2001, "Tables", "Use less.", max_memory=1000)
