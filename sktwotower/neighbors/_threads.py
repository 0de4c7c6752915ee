"""The number of torch's threads during a call.

Input: ``n_jobs``.
Output: a context in which torch runs on that many threads.
"""

import threading
from contextlib import contextmanager

import torch
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend


@contextmanager
def torch_threads_kept():
    """Put torch's number of threads back where a block of code has changed it.

    The threads of numba, where they share a runtime with torch's, do so at their start.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


class _TorchThreads:
    """How many calls run on a number of torch's threads of their own, and what was.

    The number is one for the whole process: the last call to end puts it back.
    """

    lock, n_calls, before = threading.Lock(), 0, None


@contextmanager
def threads(n_jobs):
    """Run torch on ``n_jobs`` threads, then put the number back. None: as it is.

    So it is, too, for "all processors" in a worker of joblib: torch has been given its
    share of them there, and each worker would take them all.
    """
    in_worker = get_active_backend()[0].nesting_level > 0
    if n_jobs is None or (n_jobs < 0 and in_worker):
        yield
        return
    with _TorchThreads.lock:
        if _TorchThreads.n_calls == 0:
            _TorchThreads.before = torch.get_num_threads()
        _TorchThreads.n_calls += 1
        torch.set_num_threads(effective_n_jobs(n_jobs))
    try:
        yield
    finally:
        with _TorchThreads.lock:
            _TorchThreads.n_calls -= 1
            if _TorchThreads.n_calls == 0:
                torch.set_num_threads(_TorchThreads.before)
