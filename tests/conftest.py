import functools
import gc
import inspect
import logging
import multiprocessing
import os
import pathlib
import signal
import sys

# What is imported and collected stays: to look for garbage in it takes seconds.
gc.disable()
# Tiny data: more threads only wait for one another. Libraries read this when they are
# imported, and so do the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
# Dozens of processes import the package: without this, each of them compiles it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# Suites of their own: they run where they are named, `pytest tests/docs` or `-m docs`.
SUITES = ("docs", "clients", "examples")
# Marks of tests that only run where one of these is named, as in CI's last part.
LEFT_OUT = ("fuzz", "graph", "grid", "soak")
# Files that fork processes: one process of pytest runs them, whose server imports once.
FORKING = {
    "tests/recommender/test_processes.py",
    "tests/recommender/test_folder_lock.py",
    "tests/recommender/test_side_tables.py",
    "tests/retrieval/test_output.py",
    "tests/tables/test_memory.py",
    "tests/test_dask.py",
    "tests/test_processes.py",
}
hypothesis.settings.register_profile(
    "tests", database=None, deadline=None, derandomize=True, max_examples=30
)
hypothesis.settings.load_profile("tests")


def pytest_configure(config):
    """Import libraries, except in the process that only hands out the tests."""
    if config.getoption("numprocesses", None) in (None, 0):
        prepare_libraries()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand out files, and all those together that fork processes."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "forking" if file in FORKING else file

    return Files(config, log) if config.getoption("dist") == "loadfile" else None


def prepare_libraries():
    import torch
    from sklearn.base import BaseEstimator

    torch.set_num_threads(1)
    # Tests look for messages of INFO. log_level of pytest would set it six times for
    # each test, and each time all loggers forget which messages they let pass.
    logging.root.setLevel(logging.INFO)
    # A class has the same parameters each time; each fit asks a dozen times for them.
    names_of = functools.cache(BaseEstimator._get_param_names.__func__)
    BaseEstimator._get_param_names = classmethod(lambda cls: list(names_of(cls)))
    # scikit-learn asks for the whole docstring once for each parameter that it shows
    inspect.cleandoc = functools.cache(inspect.cleandoc)
    # pytest attaches itself, before and after each test, to each logger that does not
    # propagate: those of torch
    for logger in logging.root.manager.loggerDict.values():
        logger.propagate = True


def pytest_ignore_collect(collection_path, config):
    """Leave out a suite of its own, unless it is named."""
    suite = collection_path.name
    if collection_path.parent != pathlib.Path(__file__).parent or suite not in SUITES:
        return None
    names = [argument.partition("::")[0] for argument in config.args]
    paths = [(config.invocation_params.dir / name).resolve() for name in names]
    is_named = any(collection_path in (path, *path.parents) for path in paths)
    return None if is_named or suite in config.option.markexpr else True


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    value = yield
    if fixturedef.scope != "function":
        from tests.shared import GUARD

        GUARD.watch_fixture(fixturedef.argname, value)
    return value


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Let a test fail that changes a model which other tests use."""
    from tests.shared import GUARD, SHARED

    fixtures = getattr(item, "fixturenames", ())  # an example has none
    try:
        result = yield
    except BaseException:
        GUARD.changed(fixtures)
        raise
    names = GUARD.changed(fixtures)
    if names:
        pytest.fail(f"{item.name} {SHARED.format(', '.join(names))}", pytrace=False)
    return result


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def events():
    """Two groups of ten users; each user chose four of the six items of the group."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = [
        (f"u{group}{user}", f"i{group}{item}")
        for group in range(2)
        for user in range(10)
        for item in rng.choice(6, 4, replace=False)
    ]
    return pd.DataFrame(rows, columns=["user", "item"])


@pytest.fixture(scope="session")
def start_method():
    """Return how workers start: forked from a process that imports once, if possible.

    None: as the library chooses.
    """
    from tests.processes import PRELOADED, fork_method

    if fork_method() != "forkserver":
        return None
    imports = ["distributed", "polars", "sklearn.model_selection"]
    multiprocessing.set_forkserver_preload([*PRELOADED, *imports])
    return "forkserver"


@pytest.fixture
def interruptible():
    """Let SIGINT interrupt, also where the tests are a job in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def leave_to_grid(config, items):
    """Mark those cases of a test as `grid` that its mark `each_time` does not name."""
    missing = set()
    found = set()
    for item in items:
        mark = item.get_closest_marker("each_time")
        if mark is None:
            continue
        test = item.nodeid.partition("[")[0]
        missing.update((test, case) for case in mark.args)
        found.add((test, item.callspec.id))
        if item.callspec.id not in mark.args:
            item.add_marker(pytest.mark.grid)
    one_case_is_named = any("[" in argument for argument in config.args)
    if missing - found and not one_case_is_named:
        test, case = min(missing - found)
        raise pytest.UsageError(f"{test} has no case {case!r}, which each_time names.")


@pytest.hookimpl(tryfirst=True)  # before tests are left out by their marks
def pytest_collection_modifyitems(config, items):
    leave_to_grid(config, items)
    # -m "not slow" takes the place of the marks that pyproject.toml leaves out
    for item in items:
        if "docs" in item.path.relative_to(item.config.rootpath).parts[:2]:
            item.add_marker(pytest.mark.docs)
        if any(item.get_closest_marker(mark) for mark in LEFT_OUT):
            item.add_marker(pytest.mark.slow)
    # The neighbor graph compiles for a minute or two: begin with it, so that other
    # tests can run in parallel.
    items.sort(key=lambda item: item.path.name != "test_graph.py")


def pytest_collection_finish():
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000)  # and not 700: each search takes a millisecond


@pytest.fixture
def refuses(tmp_path):
    """Return a function that checks that bytes of a file are refused with a message."""
    from sktwotower.io import load

    def check(data, message, **how):
        path = tmp_path / "model.sktt"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=message):
            load(path, **how)

    return check
