"""The parts of the command line.

Input: its arguments.
Output: a printed report, and files.
"""

from ._models import fit, fit_baselines
from ._options import parse
from ._printed import show_quality, show_recommendations
from ._tasks import own_task, shipped_task
from ._written import draw, make_folders, page, save, write_recommendations

__all__ = [
    "draw",
    "fit",
    "fit_baselines",
    "make_folders",
    "own_task",
    "page",
    "parse",
    "save",
    "shipped_task",
    "show_quality",
    "show_recommendations",
    "write_recommendations",
]
