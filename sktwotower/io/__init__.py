"""Files of models without pickle, of their vectors and of their towers.

Input: a fitted estimator, or a path.
Output: a file, or an equal estimator. Public: `dump`, `load`, `export_onnx` and
`export_vectors`.
"""

from ._onnx import export_onnx
from ._persist import dump, load
from ._vectors import export_vectors

__all__ = ["dump", "export_onnx", "export_vectors", "load"]
