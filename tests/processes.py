"""Processes of tests: forked from one process that has imported the package.

A new interpreter imports torch for seconds. Here this happens once for all processes
that the tests of one pytest process start. Where a system cannot fork, each of them is
a new interpreter.

    ended = run_in_process(function, *args)      # ended.code, ended.out, ended.err
    with started(function, *args) as process:
        assert process.line() == "ready"         # the first line that it prints
        process.kill()

The function is one of a module of tests, and its arguments can be pickled. What it
returns is lost: it prints its answer, or writes a file. Tests of what a new interpreter
imports use ``subprocess``.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# What the processes import before they are forked.
PRELOADED = [
    "pytest",
    "torch._dynamo",
    "torch.distributed",
    "skorch",
    "sktwotower.recommender",
    "sktwotower.io",
    "tests.builders",
]
SECONDS = 120  # until a process that does not end is killed


class Ended(NamedTuple):
    """A process that has ended: its exit code, and what it has printed.

    The code is negative if a signal has ended it: -9 after SIGKILL.
    """

    code: int
    out: str
    err: str


def fork_method():
    """Return the name of the best start method, and import in its server once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    multiprocessing.set_forkserver_preload(PRELOADED)
    return "forkserver"


class Process:
    """A process that has begun to call a function."""

    def __init__(self, function, args, folder, env, cwd):
        self.out, self.err = Path(folder) / "out", Path(folder) / "err"
        for path in (self.out, self.err):
            path.touch()
        context = multiprocessing.get_context(fork_method())
        outputs = str(self.out), str(self.err)
        self.process = context.Process(
            target=call, args=(function, args, outputs, env, cwd)
        )
        self.process.start()
        self.pid = self.process.pid

    def line(self, n=1):
        """Return the n-th line that is printed, as soon as it is there."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            lines = self.out.read_text("utf-8").split("\n")[:-1]
            if len(lines) >= n:
                return lines[n - 1]
            if self.process.exitcode is not None:
                break
            time.sleep(0.005)
        code = self.process.exitcode
        message = f"line {n} was not printed, exit code {code}: {self.err.read_text()}"
        raise AssertionError(message)

    def send(self, number):
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self):
        """Kill the process, wait until it is gone, and return what is left of it."""
        self.process.kill()
        return self.wait()

    def wait(self, seconds=SECONDS):
        """Wait for the end; a process that takes longer is killed, and an error."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"no end in {seconds} s: {self.err.read_text()}")
        texts = self.out.read_text("utf-8"), self.err.read_text("utf-8")
        return Ended(self.process.exitcode, *texts)


def call(function, args, outputs, env, cwd):
    """Call a function where everything is as in a new interpreter of a terminal."""
    # a group of its own: what it forks can be killed with it
    if hasattr(os, "setsid"):
        os.setsid()
    # a job in the background begins without a handler
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, path in zip((1, 2), outputs, strict=True):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
    function(*args)


@contextmanager
def started(function, *args, env=None, cwd=None):
    """Call a function in another process, which is killed at the end of the block.

    ``env``: further variables of the environment. ``cwd``: the folder that it is in.
    """
    with tempfile.TemporaryDirectory() as folder:
        process = Process(function, args, folder, dict(env or {}), cwd)
        try:
            yield process
        finally:
            kill_group(process)


def kill_group(process):
    """Kill a process, and all that it has forked."""
    if process.process.exitcode is None:
        process.process.kill()
        process.process.join()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError):  # Windows; nothing is left
        pass


def run_in_process(function, *args, env=None, cwd=None, seconds=SECONDS):
    """Call a function in another process, and return its exit code and outputs."""
    with started(function, *args, env=env, cwd=cwd) as process:
        return process.wait(seconds)
