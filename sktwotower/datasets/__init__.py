"""Data sets to learn and test with: shipped, fetched once, or made.

In: a name or sizes; out: a `Bunch` whose `data` has one row per event, with the tables
of its users and items. First file: ``_online_retail.py``. No torch is loaded here.
"""

from ._movielens import fetch_movielens
from ._online_retail import load_online_retail
from ._samples_generator import make_interactions

__all__ = ["fetch_movielens", "load_online_retail", "make_interactions"]
