"""The model of a file, loaded anew when the file is another one.

Input: the path of a file that is published again and again.
Output: the latest model that could be loaded, and its version.
"""

import os
import threading
from numbers import Real
from typing import Any, NamedTuple

from sktwotower._tables._messages import logger

from . import _shared_copy

# Larger files are mapped if ``mmap`` is "auto": 64 MiB.
MAX_READ_BYTES = 64 * 1024**2
# A file that cannot be loaded is tried again after at most so many seconds.
MAX_PAUSE = 300


class Loaded(NamedTuple):
    """A model, and when its file was written, in nanoseconds since 1970."""

    model: Any
    version: int


class LatestModel:
    """The model of a file, for a service that never stops.

    Within a ``with`` block a thread looks for a new file, loads it, and puts the new
    model in place of the old one in a single assignment. A request that reads `current`
    once is answered by one model. A file may be published in any way: by `dump`, by
    renaming, or by a program that writes into it, such as cp, scp or rsync --inplace.
    Only a whole file is served. One that cannot be loaded changes nothing, and is
    written to the log, by the logger ``sktwotower``. See the Notes.

    Parameters
    ----------
    path : str or path-like
        The file, which may not be there yet.
    seconds : float, default=0.5
        Time between two looks, > 0; inf: only the first look is taken.
    load : callable, default=None
        Reads the file, or a copy of it: ``load(path, mmap=mmap, verify=verify)``, such
        as `sktwotower.runtime.load`, which serves with numpy only. None:
        `sktwotower.io.load`, with ``trusted`` and ``towers``.
    check : callable, default=None
        Is called with each new model before it is served, for example to ask it for a
        first answer. If it raises an error, the old model stays. None: no check.
    trusted : sequence of str or type, default=()
        As in `load`.
    towers : dict, default=None
        As in `load`.
    mmap : {"auto"} or bool, default="auto"
        Map a copy of the file into memory, so that processes share the vectors. False:
        read the file into the memory of each process. "auto": map files of more than 64
        MiB. Files are always read on Windows, and so are those that `dump` has not
        written.
    verify : bool, default=True
        As in `load`. False: leave out the checksums of vectors, only if nobody ever
        writes into the file: part of a new model would be served.

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
        If ``seconds`` is not a number > 0, ``mmap`` is of another value, or the block
        is begun twice.

    See Also
    --------
    load : Reads the file once.

    Notes
    -----
    The first look is taken when the block begins, in the calling thread. Where a server
    forks its processes, begin the block in each process: threads are not inherited.

    A file that is being written fails its checksums. It is loaded once it has not
    changed between two looks. If it cannot be loaded even then, it is tried again after
    ``seconds``, then after twice as long, and so on, at most 300 seconds. Each state of
    the file is counted and written to the log once.

    A file that is written into while it is mapped ends the process by SIGBUS. So a copy
    is mapped. Its name is the checksum of the file, in the folder ``sktwotower-UID`` of
    the temporary folder, which only this user can read. All processes of a user share
    the copy. It is removed when the last of them has another model or ends. So the
    folder must have room for one file, and for two while models change. If it has not,
    or cannot be written to, the old model stays, and the log says so. The environment
    variable ``TMPDIR`` names another folder.

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
        mmap: Any = "auto",
        verify=True,
    ) -> None:
        if not isinstance(seconds, Real) or not seconds > 0:
            raise ValueError(f"seconds must be a number > 0. Got {seconds!r}.")
        if mmap != "auto" and not isinstance(mmap, bool):
            raise ValueError(f'mmap must be "auto", True or False. Got {mmap!r}.')
        self.path = path
        self.seconds = seconds
        self.check = check
        self.mmap = mmap
        self.options = {"verify": verify}
        if load is None:
            from ._persist import load  # not where `sktwotower.runtime` is enough

            self.options |= {"trusted": trusted, "towers": towers}
        self.load = load
        self.current: Any = None  # before a first model; checkers need not ask
        self.n_refused = 0
        self._served: Any = None  # state of the file that `current` was read from
        self._looked: Any = None  # state of the file at the last look
        self._refused: Any = None  # state that was counted and logged last
        self._is_failing = False
        self._looks_left = 0  # until a file that failed is tried again
        self._pause = 1  # after the next failure, in looks
        self._copy: Any = None  # the file that `current` maps
        self._thread: Any = None
        self._ended = threading.Event()

    def __enter__(self):
        if self._thread is not None:
            raise ValueError("This LatestModel looks for new files already.")
        self._ended.clear()
        self._looked = None
        self._looks_left = 0
        self._pause = 1
        self._look()

        def keep_looking():
            # inf: never
            pause = min(self.seconds, threading.TIMEOUT_MAX)
            while not self._ended.wait(pause):
                self._look()

        self._thread = threading.Thread(target=keep_looking, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()
        self._thread = None
        self._hold(None)

    def _look(self):
        """Load the file if it is another one, and is not being written."""
        state = _state(self.path)
        is_still = self._looked is None or state == self._looked
        self._looked = state
        if state == self._served:
            return
        if not is_still:
            self._looks_left = 0
            self._pause = 1
            if self._is_failing:  # it is being written
                return
        if self._looks_left > 0:
            self._looks_left -= 1
            return

        try:
            self._load()
        except Exception:
            self._is_failing = True
            if is_still:
                self._refuse()
        else:
            self._is_failing = False
            logger.info("serving version %d of %s", self.current.version, self.path)

    def _refuse(self):
        """Count and log the state of the file once, and say when it is tried again."""
        if self._looked != self._refused:
            self._refused = self._looked
            self.n_refused += 1
            served = "no model is served yet"
            if self.current is not None:
                served = f"version {self.current.version} is still served"
            logger.exception("%s cannot be served: %s", self.path, served)
        self._looks_left = self._pause - 1
        self._pause = min(2 * self._pause, max(1, int(MAX_PAUSE / self.seconds)))

    def _load(self):
        """Serve the model of the file, once it was read between two equal states."""
        while True:
            state = _state(self.path)
            self._looked = state
            is_mapped = self.mmap
            if self.mmap == "auto":
                is_mapped = state.size > MAX_READ_BYTES
            copy = None  # the file is read
            path = self.path
            if is_mapped and state.digest is not None and _shared_copy.fcntl:
                copy = _shared_copy.SharedCopy(path, state.digest)
                path = copy.path
            try:
                model = self.load(path, mmap=copy is not None, **self.options)
                is_same = state == _state(self.path)
                if is_same and self.check is not None:
                    self.check(model)
            except BaseException:
                if copy is not None:
                    copy.close(remove=True)
                raise
            if is_same:
                break
            if copy is not None:
                copy.close()
        self.current = Loaded(model, state.time)
        self._served = state
        self._hold(copy)

    def _hold(self, copy):
        """Hold a ``SharedCopy`` or None, in place of the one that was held."""
        last_copy = self._copy
        self._copy = copy
        if last_copy is not None:
            last_copy.close()


class _State(NamedTuple):
    """What is another one for another file; all zero if there is none."""

    time: int = 0
    inode: int = 0
    size: int = 0
    readable: bool = False  # a file that may be read only later is loaded then
    digest: str | None = None  # where times are coarse, files of a size differ in it


def _state(path):
    """Return the ``_State`` of a file."""
    try:
        about = os.stat(path)
    except OSError:
        return _State()
    readable = os.access(path, os.R_OK)
    digest = None
    if readable:
        digest = _shared_copy.digest_of(path)
    return _State(about.st_mtime_ns, about.st_ino, about.st_size, readable, digest)
