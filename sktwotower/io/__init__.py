"""Files of fitted models without pickle, of their vectors and of their towers.

`dump` writes any fitted recommender of this package. `load` reads it, and runs no code
from the file. `LatestModel` loads it again when it is replaced, for a service.
`export_vectors` writes ids and vectors for other programs, `export_onnx` a tower for
other languages.
"""

from ._latest import LatestModel
from ._onnx_file import export_onnx
from ._persist import dump, load
from ._vector_file import export_vectors

__all__ = ["LatestModel", "dump", "export_onnx", "export_vectors", "load"]
