"""Reading of a model, to serve it with numpy only.

Input: the path of a file of `sktwotower.io.dump`.
Output: a ``Runtime``.
"""

import os

from sktwotower._records import refuse
from sktwotower._records._container import ReadFile
from sktwotower._records._format_version import check_versions

from ._runtime import Runtime
from ._stored_state import KINDS, ServedModel, ServingReader

# What a part that does not fit may raise, if no check has found it before.
UNEXPECTED = ArithmeticError, AttributeError, LookupError, RecursionError, TypeError


def load(path, mmap=False, verify=True) -> Runtime:
    """Read a model from a file that `sktwotower.io.dump` has written, to serve it.

    Only numpy is imported. Loading runs no code of the file. Only types of a fixed list
    are made, and the shape, dtype and range of every array that is used is checked.

    Parameters
    ----------
    path : str or path-like
        The file.
    mmap : bool, default=False
        Map arrays of floats into memory instead of reading them, as
        `sktwotower.io.load` does.
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
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a path-like object. Got {path!r}.")
    with ReadFile(path, mmap, verify) as file:
        check_versions(file.meta)
        spec = file.meta.get("model")
        name = spec.get("type") if type(spec) is dict else None
        if type(name) is not str:
            refuse("the model", "an estimator of this package", name)
        if KINDS.get(name) is not ServedModel:
            raise ValueError(
                f"The file holds a {name.rpartition('.')[2]}, and only a "
                "TwoTowerRecommender can be served with numpy. Load it by "
                "sktwotower.io.load."
            )
        try:
            return Runtime(*ServingReader(file).read(spec, "model"))
        except ValueError:
            raise
        except UNEXPECTED as error:
            raise file.damaged(f"its parts do not fit together ({error})") from error
