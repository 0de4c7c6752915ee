"""What several processes exchange in a step, worked out by hand.

With one process here: a group of one. Those of several are in
``tests/recommender/test_processes.py``.
"""

from types import SimpleNamespace

from sktwotower.towers._exchange import Shares


class Batches(list):
    """Batches, of which another process has more."""

    def __len__(self):
        return 3


def test_a_process_with_fewer_batches_goes_on_with_empty_ones():
    headers = []
    exchange = SimpleNamespace(header=headers.append)
    found = list(Shares(Batches([("batch", "targets")]), exchange))
    assert len(headers) == 1  # all count together
    assert [(share.batch, targets) for share, targets in found] == [
        ("batch", "targets"),
        (None, None),
        (None, None),
    ]
