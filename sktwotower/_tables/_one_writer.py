"""One change of an estimator after the other.

Input: an estimator whose fitted state a call is about to replace.
Output: a lock of its own, which pickles, copies and clones do not have.
"""

import threading
from weakref import WeakKeyDictionary

_LOCKS = WeakKeyDictionary()
_ADDING = threading.Lock()


def one_writer(estimator):
    """Return the lock that a call holds while it replaces the fitted state.

    A state never changes, so that who reads needs no lock. But two calls that read one
    state and write two would lose what one of them has learnt.
    """
    with _ADDING:
        return _LOCKS.setdefault(estimator, threading.RLock())
