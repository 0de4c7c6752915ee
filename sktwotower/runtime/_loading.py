"""Reading of a model, to serve it with numpy only.

Input: the path of a file of `sktwotower.io.dump`.
Output: a ``Runtime``.
"""

from sktwotower._records._model_file import read_model

from ._runtime import Runtime
from ._stored_state import MODEL, ServingReader


def load(path, mmap=False, verify=True) -> Runtime:
    """Read a model from a file that `sktwotower.io.dump` has written, to serve it.

    Only numpy is imported. Loading runs no code of the file. Only types of a fixed list
    are made, and the shape, dtype and range of every array that is used is checked.

    Parameters
    ----------
    path : str or path-like
        The file.
    mmap : bool, default=False
        Map arrays of floats into memory instead of reading them, so that processes
        share them. Never write into a file that is mapped, and do not copy another one
        over it (cp, scp, rsync --inplace): answers would be those of neither model, and
        the process would end by SIGBUS. Replace it by `sktwotower.io.dump` or by mv, or
        serve it by `sktwotower.io.LatestModel`, which maps a copy.
    verify : bool, default=True
        Check the checksums of all arrays, and that item vectors are finite. False: only
        those of arrays of integers and of all that is not an array.

    Returns
    -------
    model : Runtime

    Raises
    ------
    ValueError
        If the file is damaged or forged, of a later format, or holds what needs more
        than numpy: a tower or a ``context_transformer`` of your own, a
        `TwoStageRecommender`, a baseline.
    TypeError
        If ``path`` is no path.
    OSError
        If the file cannot be read.

    See Also
    --------
    sktwotower.io.load : Reads the estimator itself.
    sktwotower.io.LatestModel : Loads the file again when it is another one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sktwotower import TwoTowerRecommender, io, runtime
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["bob", "bread"], ["cid", "nails"], ["cid", "glue"], ["dan", "nails"],
    ...      ["dan", "glue"], ["dan", "paint"]]
    >>> path = Path(tempfile.mkdtemp()) / "model.sktt"
    >>> io.dump(TwoTowerRecommender(random_state=1).fit(X), path)
    >>> model = runtime.load(path)
    >>> ids, scores = model.recommend("ann", 2)
    >>> ids
    array(['bread', 'paint'], dtype=object)
    >>> scores.round(2)
    array([ 0.02, -0.59], dtype=float32)
    """
    return Runtime(*read_model(path, mmap, verify, _reader_of))


def _reader_of(file, name):
    if name != MODEL:
        raise ValueError(
            f"The file holds a {name.rpartition('.')[2]}, and numpy can serve only a "
            "TwoTowerRecommender. Load it by sktwotower.io.load."
        )
    return ServingReader(file)
