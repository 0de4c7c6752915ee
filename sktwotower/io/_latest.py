"""The model of a file, loaded anew when the file is replaced.

Input: the path of a file that `dump` writes again and again.
Output: the latest model that could be loaded, and its version.
"""

import os
import threading
from numbers import Real
from typing import Any, NamedTuple

from sktwotower._tables._messages import logger


class Loaded(NamedTuple):
    """A model, and when its file was written, in nanoseconds since 1970."""

    model: Any
    version: int


class LatestModel:
    """The model of a file, for a service that never stops.

    Within a ``with`` block a thread looks for a new file, loads it, and puts the new
    model in place of the old one in a single assignment. A request that reads `current`
    once is answered by one model. A file that cannot be loaded changes nothing, and is
    written to the log once, by the logger ``sktwotower``.

    Parameters
    ----------
    path : str or path-like
        The file, which may not be there yet. Publish a model by `dump` to the same
        path, or by renaming a file; never write into it: it is mapped into memory.
    seconds : float, default=0.5
        Time between two looks, > 0; inf: only the first look is taken.
    load : callable, default=None
        Reads the file: ``load(path, mmap=mmap, verify=verify)``, such as
        `sktwotower.runtime.load`, which serves with numpy only. None:
        `sktwotower.io.load`, with ``trusted`` and ``towers``.
    check : callable, default=None
        Is called with each new model before it is served, for example to ask it for a
        first answer. If it raises an error, the old model stays. None: no check.
    trusted : sequence of str or type, default=()
        As in `load`.
    towers : dict, default=None
        As in `load`.
    mmap : bool, default=True
        As in `load`: processes share the vectors.
    verify : bool, default=False
        As in `load`: checksums of vectors are left out, so that loading takes the same
        time for any number of them.

    Attributes
    ----------
    current : tuple of (model, version) or None
        Named ``model`` and ``version``: the time at which the file was written, in
        nanoseconds since 1970. None before a model could be loaded.
    n_refused : int
        Number of files that could not be loaded, or did not pass the check.

    Raises
    ------
    ValueError
        If ``seconds`` is not a number > 0, or the block is begun twice.

    See Also
    --------
    load : Reads the file once.

    Notes
    -----
    The first look is taken when the block begins, in the calling thread. Where a server
    forks its processes, begin the block in each process: threads are not inherited.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sktwotower import PopularityRecommender, io
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"]]
    >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
    >>> io.dump(PopularityRecommender().fit(X), path)
    >>> with io.LatestModel(path) as latest:
    ...     latest.current.model.recommend(["bob"], n_neighbors=1)
      user item  score  rank
    0  bob  jam    0.5     1
    """

    def __init__(
        self,
        path,
        *,
        seconds=0.5,
        load=None,
        check=None,
        trusted: Any = (),
        towers=None,
        mmap=True,
        verify=False,
    ) -> None:
        if not isinstance(seconds, Real) or not seconds > 0:
            raise ValueError(f"seconds must be a number > 0. Got {seconds!r}.")
        self.path, self.seconds, self.check = path, seconds, check
        self.options = {"mmap": mmap, "verify": verify}
        if load is None:
            from ._persist import load  # not where `sktwotower.runtime` is enough

            self.options |= {"trusted": trusted, "towers": towers}
        self.load = load
        self.current: Any = None  # before a first model; checkers need not ask
        self.n_refused = 0
        self._seen = self._thread = None
        self._ended = threading.Event()

    def __enter__(self):
        if self._thread is not None:
            raise ValueError("This LatestModel looks for new files already.")
        self._ended.clear()
        self._look()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()
        self._thread = None

    def _keep_looking(self):
        # inf: never
        while not self._ended.wait(min(self.seconds, threading.TIMEOUT_MAX)):
            self._look()

    def _look(self):
        """Load the file if it is another one than at the last look."""
        if _state(self.path) == self._seen:
            return
        try:
            self.current = self._load()
        except Exception:
            self.n_refused += 1
            logger.exception("%s cannot be served", self.path)
        else:
            logger.info("serving version %d of %s", self.current.version, self.path)

    def _load(self):
        """Return the model of the file, and remember the state it was read from."""
        while True:
            self._seen = _state(self.path)
            model = self.load(self.path, **self.options)
            if self._seen == _state(self.path):  # not replaced meanwhile
                break
        if self.check is not None:
            self.check(model)
        return Loaded(model, self._seen[0])


def _state(path):
    """Return what is another one for another file; zeros if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0, False
    # a file that may be read only later is loaded then
    readable = os.access(path, os.R_OK)
    return found.st_mtime_ns, found.st_ino, found.st_size, readable
