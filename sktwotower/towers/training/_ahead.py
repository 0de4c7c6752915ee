"""Batches that a thread makes while the ones before them are computed.

Input: an iterable of batches.
Output: the same batches, in the same order.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import torch

from sktwotower.towers.batches._batches import UserBatches

# Number of batches that are ready, or being made.
N_AHEAD = 2
_END = object()


def pays(batches, device):
    """Return whether to make batches ahead of their use.

    On a CPU all threads of torch would wait for the one that shares a core with it.
    Batches that an ``ItemStream`` counts are not made before they are needed: training
    may end without them.
    """
    ours = isinstance(batches, UserBatches) and batches.dataset.stream is None
    return ours and torch.device(device).type != "cpu"


def ahead(batches):
    """Yield batches of an iterable, whose iterator runs in one thread of its own.

    An error of the thread is raised where its batch would have come. When the generator
    is closed, the thread has ended.
    """
    iterator = iter(batches)
    with ThreadPoolExecutor(1, "sktwotower batches") as thread:
        made = deque(thread.submit(next, iterator, _END) for _ in range(N_AHEAD))
        try:
            while (batch := made.popleft().result()) is not _END:
                made.append(thread.submit(next, iterator, _END))
                yield batch
        finally:
            for each in made:
                each.cancel()
