"""Files of models without pickle: loading one runs no code of the file.

Input: a fitted estimator, or a path.
Output: a file, or an equal estimator. Public: `dump` and `load`.
"""

from ._persist import dump, load

__all__ = ["dump", "load"]
