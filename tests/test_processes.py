"""Processes that tests start: what the helper promises to tests."""

import os
import signal
import sys
import time

import pytest

from tests.processes import run_in_process, started

pytestmark = pytest.mark.slow
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows")


def show(text):
    print(text, os.environ.get("COLOR"), os.getcwd())
    os.write(2, b"aside\n")  # as a library in C does


def fail(code):
    if code is None:
        raise ValueError("the lights went out")
    sys.exit(code)


def wait_for_ctrl_c():
    print("ready")
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted")


def fork_and_wait():
    child = os.fork()
    print(child or os.getpid())
    time.sleep(60)


def test_outputs_and_surroundings(tmp_path):
    ended = run_in_process(show, "tea", env={"COLOR": "red"}, cwd=tmp_path)
    assert ended == (0, f"tea red {tmp_path}\n", "aside\n")
    assert "COLOR" not in os.environ and os.getcwd() != str(tmp_path)


def test_codes_of_failures():
    assert run_in_process(fail, 3) == (3, "", "")
    ended = run_in_process(fail, None)
    assert ended.code == 1 and "ValueError: the lights went out" in ended.err


@needs_fork
def test_signals_reach_the_process_alone():
    with started(wait_for_ctrl_c) as process:
        assert process.line() == "ready"
        process.send(signal.SIGINT)
        assert process.wait() == (0, "ready\ninterrupted\n", "")
    with started(wait_for_ctrl_c) as process:
        process.line()
        assert process.kill().code == -signal.SIGKILL


@needs_fork
def test_what_a_process_has_forked_ends_with_the_block():
    with started(fork_and_wait) as process:
        printed = {int(process.line(1)), int(process.line(2))}
        assert len(printed) == 1
    (child,) = printed
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if "Z" in state_of(child):
            return
        time.sleep(0.01)
    raise AssertionError("the forked process lives on")


def state_of(pid):
    """Return the state of a process on Linux: Z if it has ended and nobody waits."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2]
    except OSError:
        return ""


def test_a_process_that_does_not_end_is_an_error():
    with pytest.raises(AssertionError, match=r"no end in 0\.1 s"):
        run_in_process(time.sleep, 60, seconds=0.1)
