"""Files of fitted models without pickle, of their vectors and of their towers.

`dump` writes any fitted recommender of this package. `load` reads it, and runs no code
from the file. `LatestModel` loads it again when it is replaced, for a service.
`export_vectors` writes ids and vectors for other programs, `export_onnx` a tower for
other languages.
"""

import importlib
from typing import TYPE_CHECKING

from ._latest import LatestModel

if TYPE_CHECKING:  # for editors, which do not run __getattr__
    from ._onnx_file import export_onnx
    from ._persist import dump, load
    from ._vector_file import export_vectors

__all__ = ["LatestModel", "dump", "export_onnx", "export_vectors", "load"]

_LAZY = {
    "dump": "_persist",
    "export_onnx": "_onnx_file",
    "export_vectors": "_vector_file",
    "load": "_persist",
}


def __getattr__(name):
    # a service that loads by `sktwotower.runtime` does without scikit-learn
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return __all__
