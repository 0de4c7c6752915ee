"""How a model is written to a file, and read from it.

Input: a fitted estimator, or a path.
Output: a file, or an equal estimator.
"""

from typing import Any

import numpy as np

from sktwotower._records import require
from sktwotower._records._atomic import replaced_file
from sktwotower._records._container import WrittenFile
from sktwotower._records._format_version import about_writer
from sktwotower._records._kinds import EstimatorKind
from sktwotower._records._model_file import check_path, read_model
from sktwotower._records._registry import kind_of, kind_of_name
from sktwotower._records._rounded import check_vector_dtype
from sktwotower._records._values import Reader, Writer

from ._skops import check_trusted

# What of a model files do not hold the code of.
GIVEN = "user_tower", "item_tower", "history"


def dump(model, path, *, vector_dtype="float32") -> None:
    """Write an estimator of this package to a file, without pickle.

    The file is a zip archive: arrays as ``.npy`` members, not compressed, and all else
    as JSON in ``meta.json``. It holds what fit has learnt, side tables and parameters.
    Each array is in it once. It is written under another name in the same folder, and
    renamed when it is on the disk: if the disk is full, an old file stays as it was.

    Parameters
    ----------
    model : estimator
        `TwoTowerRecommender`, `TwoStageRecommender`, a baseline, `TowerVectorizer`,
        `ExactNeighbors`, `NNDescentNeighbors` or `StreamingFrequency`; fitted or not.
    path : str or path-like
        The file; an old one is replaced.
    vector_dtype : {"float32", "float16", "int8"}, default="float32"
        How item vectors, and the tables of vectors in the towers, are stored. With
        "float16" they take half the room, and numbers are rounded to 11 bits: scores
        change by about 1e-4. With "int8" they take a quarter, and 4 bytes a row: a row
        x is stored as ``rint(x / scale)``, with ``scale = max |x| / 127``. No number
        changes by more than half a step, ``max |x| / 254``, scores by about 1e-3.

    Raises
    ------
    ValueError
        If the model is not an estimator of this package, or a parameter is out of range
        or cannot be written: callbacks, functions, the folder ``memory``, also that of
        a Pipeline, estimators that skops refuses; or if vectors have numbers that
        ``vector_dtype`` cannot hold. The message names it.
    TypeError
        If ``path`` is no path.
    ImportError
        If a transformer, index or ranker is of another package, and skops is not
        installed: ``pip install 'sktwotower[io]'``. The default ranker of
        `TwoStageRecommender` needs no skops.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : Reads the file.

    Notes
    -----
    Towers of the user are written as their weights; `load` needs their class. Of a loss
    in ``net_params`` its name and parameters are written; `load` imports it if it is
    trusted. Side
    tables come back as pandas frames, with rows numbered from 0. An index of another
    package is written without what it has learnt, and fitted again by `load`. Of the
    optimizer only moments of the default one are kept, with which `partial_fit` goes
    on; it also starts without those of others. The default ranker is written as the
    arrays of its trees; `load` trusts other trees of scikit-learn only if they are
    named. The past items of all users of fit are in the file, and which features of a
    ``context`` each user's events have; ``checkpoint``, and ``compile`` in
    ``net_params``, are not.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sktwotower import PopularityRecommender, io
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"]]
    >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
    >>> io.dump(PopularityRecommender().fit(X), path)
    >>> io.load(path).recommend(["bob"], n_neighbors=1)
      user item  score  rank
    0  bob  jam    0.5     1
    """
    check_path(path)
    check_vector_dtype(vector_dtype)
    if not isinstance(kind_of(model), EstimatorKind):
        raise ValueError(
            "Files hold estimators of sktwotower itself, no subclasses, searches or "
            f"pipelines of them. Got {type(model).__qualname__}. Of a search, write "
            "best_estimator_; of a pipeline, the step."
        )
    with replaced_file(path) as file, WrittenFile(file) as written:
        spec = Writer(written, vector_dtype).write(model, "model")
        written.finish(about_writer() | {"model": spec})


def load(path, *, trusted: Any = (), towers=None, mmap=False, verify=True) -> Any:
    """Read an estimator from a file that `dump` has written.

    Loading runs no code of the file. Only types of a fixed list are made, and the
    shape, dtype and range of every array of positions is checked.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : sequence of str or type, default=()
        Types that skops does not trust by itself, such as
        ``"mypackage.MyTransformer"``, but that may be made, and the loss of a model
        that was fitted with ``net_params={"criterion": MyLoss}``. Without its loss a
        model answers requests, and does not learn. Name only what you know: code of
        these types runs.
    towers : dict, default=None
        ``{"user_tower": ..., "item_tower": ..., "history": ...}``: what was given to
        the estimator as towers of your own, modules or functions that make them, and
        as a `sktwotower.towers.History`. They get the weights of the file. None: there
        is nothing of your own.
    mmap : bool, default=False
        Map arrays of floats into memory instead of reading them: vectors are read when
        they are needed, and processes share them. What is written to them stays in the
        process. Never write into a file that is mapped, and do not copy another one
        over it (cp, scp, rsync --inplace): answers would be those of neither model, and
        the process would end by SIGBUS. `dump` and mv replace it. Vectors of a smaller
        ``vector_dtype`` are not mapped: they become float32.
    verify : bool, default=True
        Check the checksums of all arrays, and that item vectors are finite. False:
        only those of arrays of integers and of all that is not an array. With ``mmap``,
        loading then takes the same time for vectors of any size.

    Returns
    -------
    model : estimator
        Returns the same answers as the one that was written, and can be trained
        further, unless its loss is one of the user and not ``trusted``.

    Raises
    ------
    ValueError
        If the file is damaged or forged, of a later format, or holds types that are not
        trusted, or if a tower is missing or another one. The message says which.
    TypeError
        If ``path`` is no path, or ``towers`` is no dict.
    ImportError
        If the file holds estimators of another package, and skops is not installed:
        ``pip install 'sktwotower[io]'``.
    OSError
        If the file cannot be read.

    See Also
    --------
    dump : Writes the file.

    Notes
    -----
    The format of files has a number. Files of this number and of lower ones are read,
    those of a later one are refused. Estimators of other packages are as safe as skops
    and these packages are: with ``trusted=()`` no code of the file runs, but a forged
    tree or neighbor index of scikit-learn may end the process.

    A forged file can hold wrong answers: the checks keep the process safe, the
    checksums find accidents. Get files from where you would get a library from.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sktwotower import EASERecommender, io
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"]]
    >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
    >>> io.dump(EASERecommender(l2=1).fit(X), path)
    >>> model = io.load(path, mmap=True, verify=False)
    >>> model.recommend(["bob"])
      user item     score  rank
    0  bob  jam  0.333333     1

    A file that was cut off on its way:

    >>> path.write_bytes(path.read_bytes()[:1000])
    1000
    >>> io.load(path)
    Traceback (most recent call last):
    ...
    ValueError: ... it is not a valid zip file (File is not a zip file).
    """
    _check_towers(towers)
    trusted = _checked_types(trusted)

    def reader_of(file, name):
        is_known = isinstance(kind_of_name(name), EstimatorKind)
        require(is_known, "the model", "an estimator of this package", name)
        reader = Reader(file, trusted, towers)
        check_trusted(reader)
        return reader

    return read_model(path, mmap, verify, reader_of)


def _check_towers(towers):
    """Raise unless towers are a dict of what files do not hold the code of."""
    message = f"towers must be a dict with the keys {GIVEN}. Got "
    if not isinstance(towers, dict | None):
        raise TypeError(f"{message}{towers!r}.")
    unknown = set(towers or {}) - set(GIVEN)
    if unknown:
        raise ValueError(f"{message}{unknown}.")


def _checked_types(trusted):
    """Return types, or their names, as a list."""
    if not isinstance(trusted, str) and np.iterable(trusted):
        types = list(trusted)
        if all(isinstance(trusted_type, str | type) for trusted_type in types):
            return types
    raise ValueError(f"trusted must be a list of types. Got {trusted!r}.")
