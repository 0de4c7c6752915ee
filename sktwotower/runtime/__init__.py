"""Recommendations of a file with numpy only, for a process that serves.

`load` reads a file that `sktwotower.io.dump` has written, and imports no torch, SciPy,
scikit-learn and pandas. The answers are those of the estimator.
"""

from ._loading import load
from ._runtime import Runtime

__all__ = ["Runtime", "load"]
