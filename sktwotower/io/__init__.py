"""Files of fitted models without pickle, of their vectors and of their towers.

`dump` writes any fitted recommender of this package. `load` reads it, and runs no code
from the file. `export_vectors` writes ids and vectors for other programs,
`export_onnx` a tower for other languages.
"""

from ._onnx import export_onnx
from ._persist import dump, load
from ._vectors import export_vectors

__all__ = ["dump", "export_onnx", "export_vectors", "load"]
