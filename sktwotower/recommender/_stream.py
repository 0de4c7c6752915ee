"""What training knows of the stream of events, from `fit` through every `partial_fit`.

Input: ``Events`` of fit.
Output: a ``Stream`` value.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sktwotower._records import integer, record
from sktwotower._tables._messages import warn
from sktwotower._tables._sparse import BLOCK, slices
from sktwotower.towers.batches._gaps import Gaps
from sktwotower.towers.processes._group import summed

# Number of calls of partial_fit whose tables are recognized.
MAX_PASSES = 64
# With a larger share of known events a table overlaps those before. A few may be alike:
# two of one day.
OVERLAP = 0.1


@record
class Stream(NamedTuple):
    """How often each item comes, and the latest tables.

    Parameters
    ----------
    gaps : Gaps
        Mean number of events from one of an item to the next, (n_items,).
    n_events : int
        Number of positive events so far.
    passes : tuple of int
        Fingerprints of the tables of the latest calls of `partial_fit`.
    """

    gaps: Gaps
    n_events: integer(0)
    passes: tuple[integer(0, 2**63 - 1), ...]

    def with_items(self, places, n_items):
        """Return the same with item j at position ``places[j]`` of n_items."""
        order = pd.Index(places).get_indexer(np.arange(n_items))
        return self._replace(gaps=self.gaps.take(order))

    def without_users(self, events):
        """Return the same without users whose events are the entries of a CSR matrix.

        ``events``: (n, n_items), in whose rows an item may occur more than once.
        """
        counts = np.bincount(events.indices, minlength=events.shape[1])
        n_left = max(1, self.n_events - events.nnz)
        gaps = self.gaps.without(counts, n_left / max(1, self.n_events))
        return self._replace(gaps=gaps, n_events=n_left)

    def without_items(self, kept):
        """Return the same with the items at positions ``kept`` (m,) only."""
        shares = 1 / self.gaps.gap
        share_left = max(shares[kept].sum(), 1e-9) / max(shares.sum(), 1e-9)
        n_left = int(np.ceil(self.n_events * share_left))
        gaps = self.gaps.take(kept).shorter(share_left)
        return self._replace(gaps=gaps, n_events=n_left)

    def with_pass(self, frame, outcomes, known):
        """Return the same after a table; warn if one of the latest calls had it.

        ``frame``: the columns that tell events apart. ``outcomes``: rewards and weights
        (n,), the first of them 0 if nothing is learnt. The same rows in another order
        are the same table. ``known``: whether an event (n,) has the user, the item and
        the time of an earlier one.
        """
        if len(frame) == 0:
            return self
        mark = _mark(frame, *outcomes)
        (rewards, weights) = outcomes
        only_past = _mark(frame[known], 0 * rewards[known], weights[known])
        if mark in self.passes:
            warn(
                f"These {len(frame)} events were given to an earlier partial_fit "
                "already, so they count twice. To repeat a pass that failed, start "
                "from a copy of the model before it."
            )
        # what was only past may be learnt later
        elif known.mean() >= OVERLAP and only_past not in self.passes:
            warn(
                f"{known.sum()} of these {len(frame)} events are known: earlier ones "
                "have their user, item and time. They count twice. Pass each event "
                "once."
            )
        return self._replace(passes=(*self.passes, mark)[-MAX_PASSES:])


def _mark(frame, *outcomes):
    """Return the fingerprint of a table and of numbers (n,) of its rows."""
    table = frame.assign(**{f"outcome {i}": y for i, y in enumerate(outcomes)})
    hashes = pd.util.hash_pandas_object(table, index=False).to_numpy(np.uint64)
    return int(hashes.sum(dtype=np.uint64) >> np.uint64(1))


def first_stream(events):
    """Return the ``Stream`` after fit.

    An item's share is that of the weights of its events, which may fall with age.
    """
    n_items = events.positives.shape[1]
    in_order = events.ordered
    if in_order is None:
        items = events.positives.indices
    else:
        items = in_order.items
    counts = np.zeros(n_items, dtype=np.int64)
    sums = np.zeros(n_items)
    for part in slices(len(items), BLOCK):  # they may be larger than memory
        counts += np.bincount(items[part], minlength=n_items)
        own = None
        if in_order is not None:
            own = in_order.weights[part]
        sums += np.bincount(items[part], own, minlength=n_items)
    counts = summed(counts)
    sums = summed(sums)
    return Stream(Gaps.of_shares(sums / sums.sum(), counts), summed(len(items)), ())
