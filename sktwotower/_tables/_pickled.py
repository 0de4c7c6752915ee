"""A stamp of versions in pickles of estimators, and a warning where they differ.

Input: the state of an estimator.
Output: the state with the versions that wrote it, or a warning; for skops, a file.
"""

import copyreg
import threading
from importlib import import_module

import sklearn

from sktwotower import __version__

from ._messages import warn

# Keys of what is written: the versions, and the bytes of a file in place of attributes.
STAMP = "_written_by"
FILE = "_file_of_sktwotower"
# What decides whether a pickle can be read.
VERSIONS = {"sktwotower": __version__, "scikit-learn": sklearn.__version__}


class VersionedMixin:
    """Add versions to the pickle of an estimator, and compare them when it is read.

    Scikit-learn does so only for its own estimators. A mixin of a class that has
    ``__getstate__`` and ``__setstate__``.
    """

    def __getstate__(self):
        return super().__getstate__() | {STAMP: VERSIONS}

    def __setstate__(self, state):
        state = dict(state)
        written_by = state.pop(STAMP, None)
        if written_by != VERSIONS:
            warn(
                f"A pickled estimator was written by {_names(written_by)}, and is read "
                f"by {_names(VERSIONS)}. It may fail or return other results: install "
                "those versions, or fit again. Files of sktwotower.io.dump can be read "
                "by later versions."
            )
        super().__setstate__(state)


class RecommenderStateMixin(VersionedMixin):
    """Let skops, and so MLflow, write a recommender as the file of ``io.dump``.

    skops cannot write the ids, tables and towers of its attributes one by one. It asks
    for ``__getstate__``; pickle and copy ask for ``__reduce_ex__``, and get attributes.
    So ``__getstate__`` of a recommender that is being pickled returns these, and
    otherwise a file.
    """

    # Per thread, as ``owner``: the recommender that is being pickled.
    _pickled = threading.local()

    def __reduce__(self):
        return copyreg.__newobj__, (type(self),)

    def __reduce_ex__(self, protocol):
        outer_owner = getattr(self._pickled, "owner", None)  # one that holds this one
        self._pickled.owner = self
        try:
            return (*self.__reduce__(), self.__getstate__())
        finally:
            self._pickled.owner = outer_owner

    def __getstate__(self):
        is_pickled = getattr(self._pickled, "owner", None) is self
        if is_pickled:
            return super().__getstate__()
        return {FILE: _files().to_state(self)}

    def __setstate__(self, state):
        if FILE in state:
            read = _files().from_state(state[FILE])
            state = vars(read) | {STAMP: VERSIONS}
        super().__setstate__(state)


def _files():
    """Return the module that writes recommenders as files, for skops."""
    # by its name: that room is built upon this one
    return import_module("sktwotower.io._skops_state")


def _names(versions):
    """Return what to call the versions that wrote a pickle."""
    if not isinstance(versions, dict):
        return "an unknown version"
    return " and ".join(f"{name} {version}" for name, version in versions.items())
