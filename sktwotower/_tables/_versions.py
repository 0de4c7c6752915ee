"""A stamp of versions in pickles of estimators, and a warning where they differ.

Input: the state of an estimator.
Output: the state with the versions that wrote it, or a warning.
"""

import sklearn

from sktwotower import __version__

from ._messages import warn

__all__ = ["VersionedMixin"]

STAMP = "_written_by"


class VersionedMixin:
    """Add versions to the pickle of an estimator, and compare them when it is read.

    Scikit-learn does so only for its own estimators. A mixin of a class that has
    ``__getstate__`` and ``__setstate__``.
    """

    def __getstate__(self):
        return super().__getstate__() | {STAMP: versions()}

    def __setstate__(self, state):
        state = dict(state)
        written_by, now = state.pop(STAMP, None), versions()
        if written_by != now:
            warn(
                f"A pickled estimator was written by {_names(written_by)}, and is read "
                f"by {_names(now)}. It may fail or return other results: install those "
                "versions, or fit again. Files of sktwotower.io.dump can be read by "
                "later versions."
            )
        super().__setstate__(state)


def versions():
    """Return the versions that decide whether a pickle can be read, by package."""
    return {"sktwotower": __version__, "scikit-learn": sklearn.__version__}


def _names(versions):
    if not isinstance(versions, dict):
        return "an unknown version"
    return " and ".join(f"{name} {version}" for name, version in versions.items())
