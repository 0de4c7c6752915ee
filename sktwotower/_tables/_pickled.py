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

STAMP, FILE = "_written_by", "_file_of_sktwotower"
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
    """

    _pickled = threading.local()

    def __reduce__(self):
        return copyreg.__newobj__, (type(self),)

    def __reduce_ex__(self, protocol):
        outer, self._pickled.owner = getattr(self._pickled, "owner", None), self
        try:
            return (*self.__reduce__(), self.__getstate__())
        finally:
            self._pickled.owner = outer

    def __getstate__(self):
        if getattr(self._pickled, "owner", None) is self:
            return super().__getstate__()
        return {FILE: _files().to_state(self)}

    def __setstate__(self, state):
        if FILE in state:
            state = vars(_files().from_state(state[FILE])) | {STAMP: VERSIONS}
        super().__setstate__(state)


def _files():
    # by its name: only skops needs that room, which is built upon this one
    return import_module("sktwotower.io._skops_state")


def _names(versions):
    if not isinstance(versions, dict):
        return "an unknown version"
    return " and ".join(f"{name} {version}" for name, version in versions.items())
