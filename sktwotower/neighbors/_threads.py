"""Contexts that set, or keep, the number of threads of torch.

Input: ``n_jobs``.
Output: a context in which torch runs on that many threads.
"""

import os
import threading
from contextlib import contextmanager, nullcontext

import torch
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend


def _count(n_jobs):
    """Return what ``n_jobs`` stands for: at most one thread for each processor.

    More would be slower, and far more end the process.
    """
    most = 1
    if not _TorchThreads.has_one:
        most = os.cpu_count() or 1
    return min(effective_n_jobs(n_jobs), most)


def numba_threads(n_jobs):
    """Return ``n_jobs`` as pynndescent takes it: no more threads than numba has."""
    from numba import config  # importing it takes long

    return n_jobs and min(_count(n_jobs), config.NUMBA_NUM_THREADS)


@contextmanager
def torch_threads_kept():
    """Restore torch's number of threads after a block of code.

    numba changes it when it starts its own threads, if both use the same runtime.
    """
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


class _TorchThreads:
    """Reference count of active `threads` blocks, and the thread count to restore.

    The number of threads belongs to the whole process: the last block restores it. The
    threads of OpenMP are not those of a process that is forked, which would wait for
    them for ever: if there were ``many``, it ``has_one``.
    """

    lock = threading.Lock()
    n_active = 0
    before = None
    many = False
    has_one = False

    @classmethod
    def after_fork(cls):
        """Forget the blocks of the threads that are gone."""
        cls.lock = threading.Lock()
        cls.n_active = 0
        cls.has_one = cls.many
        if cls.has_one:
            torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TorchThreads.after_fork)


def threads(n_jobs):
    """Run torch on ``n_jobs`` threads, then restore the number. None changes nothing.

    In a worker of joblib negative numbers, such as -1 for all processors, change
    nothing either: joblib has given each worker its share of the processors.
    """
    _TorchThreads.many |= n_jobs not in (None, 1) or torch.get_num_threads() > 1
    if n_jobs is None or (n_jobs < 0 and get_active_backend()[0].nesting_level > 0):
        return nullcontext()
    return _threads(n_jobs)


@contextmanager
def _threads(n_jobs):
    with _TorchThreads.lock:
        if _TorchThreads.n_active == 0:
            _TorchThreads.before = torch.get_num_threads()
        _TorchThreads.n_active += 1
        torch.set_num_threads(_count(n_jobs))
    try:
        yield
    finally:
        with _TorchThreads.lock:
            _TorchThreads.n_active -= 1
            if _TorchThreads.n_active == 0:
                torch.set_num_threads(_TorchThreads.before)
