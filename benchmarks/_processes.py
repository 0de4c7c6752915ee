"""Calls of functions in a fresh process, and the peak memory of a block of code.

Input: the name of a function, ``"module:function"``, and arguments for JSON.
Output: the return value of the function, passed as JSON.
"""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

from _quick import is_quick, shorten_fits

CHECKOUT = Path(__file__).resolve().parents[1]


def call(function, python=sys.executable, **arguments):
    """Call a function of these scripts in a fresh process of an interpreter.

    Raises ``subprocess.CalledProcessError`` where it fails; its traceback is shown.
    With ``--quick`` this process calls it, which saves the imports.
    """
    if is_quick() and python == sys.executable:
        return json.loads(_answer(function, json.dumps(arguments)))
    environment = dict(os.environ)
    if python != sys.executable:  # the package need not be installed there
        environment["PYTHONPATH"] = str(CHECKOUT)
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        run = [python, __file__, function, json.dumps(arguments), answer]
        subprocess.run(run, check=True, env=environment)
        return json.loads(answer.read_text())


@cache
def interpreter_with(modules, pythons):
    """Return the first of the interpreters that has all modules, or None."""
    code = (
        "import sys; from importlib.util import find_spec; "
        "sys.exit(not all(map(find_spec, sys.argv[1:])))"
    )
    found = (
        python
        for python in pythons
        if subprocess.run([python, "-c", code, *modules]).returncode == 0
    )
    return next(found, None)


@contextmanager
def peak_memory():
    """Return an object that knows the block's memory once it ends, both in MB.

    ``peak_mb`` is the most that the process held in RAM during the block, libraries
    and data included; ``more_mb`` is how much that is above what it held before. Linux
    keeps the peak itself, so that nothing is sampled and threads are included.
    """
    watch = SimpleNamespace(peak_mb=None, more_mb=None)
    ctypes.CDLL(None).malloc_trim(0)  # or the block fills room freed before it, unseen
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    yield watch
    watch.peak_mb = _status("VmHWM")
    watch.more_mb = watch.peak_mb - before


def _status(name):
    """Read a line of /proc/self/status, which is in KiB, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6


def _answer(function, arguments):
    """Call a function with arguments in JSON, and return its answer in JSON."""
    module, name = function.split(":")
    result = getattr(import_module(module), name)(**json.loads(arguments))
    return json.dumps(result, default=lambda value: value.tolist())


def main():
    function, arguments, answer = sys.argv[1:]
    if is_quick():
        shorten_fits()
    Path(answer).write_text(_answer(function, arguments))


if __name__ == "__main__":
    main()
