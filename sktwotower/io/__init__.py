"""Files of models without pickle, and of their vectors.

Input: a fitted estimator, or a path.
Output: a file, or an equal estimator. Public: `dump`, `load` and `export_vectors`.
"""

from ._persist import dump, load
from ._vectors import export_vectors

__all__ = ["dump", "export_vectors", "load"]
