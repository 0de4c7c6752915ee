"""What imports cost, for a process that has imported nothing yet.

Input: nothing.
Output: a row of results for each library, in the order of import.
"""

import time
from importlib import import_module

# scikit-learn loads SciPy and, where they are installed, pandas and pyarrow itself.
MODULES = {
    "numpy": "numpy",
    "pandas": "pandas",
    "scikit-learn": "sklearn.base",
    "torch": "torch",
    "skorch": "skorch",
    "sktwotower": "sktwotower.recommender",
}


def seconds():
    """Return what each library adds, seconds of CPU, and all of it, interpreter too."""
    rows, last = [], 0.0
    for library, module in MODULES.items():
        before = time.process_time()
        import_module(module)
        last = time.process_time()
        rows.append({"library": library, "cpu_s": last - before})
    return [*rows, {"library": "all", "cpu_s": last}]
