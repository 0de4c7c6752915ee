"""The number of threads of torch, also in a process that is forked."""

import os
import signal

import pytest
import torch

from sktwotower.neighbors._threads import threads


def counts():
    """Compute on two threads, and on as many as torch has; return how many it had."""
    found = []
    for n_jobs in (2, None):
        with threads(n_jobs):
            torch.ones(200_000).add_(1)
            found.append(torch.get_num_threads())
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_of_its_parent():
    had = counts()[0]
    child = os.fork()
    if child == 0:
        code = 2
        try:
            signal.alarm(20)  # ends a process that waits for ever
            code = int(counts() != [1, 1])
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert counts()[0] == had == min(2, os.cpu_count())
