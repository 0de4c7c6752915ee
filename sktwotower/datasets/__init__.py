"""Data sets to learn and test with: shipped, downloaded once, or generated.

Each comes as a `Bunch` whose ``data`` has one row per event, with the tables of users
and items that belong to it.
"""

from ._movielens import fetch_movielens
from ._online_retail import load_online_retail
from ._samples_generator import make_interactions

__all__ = ["fetch_movielens", "load_online_retail", "make_interactions"]
