"""Data sets to learn and test with: shipped, downloaded once, or generated.

Input: the name of an edition, or sizes.
Output: a `Bunch` whose `data` has one row per event, with tables of users and items.
"""

from ._movielens import fetch_movielens
from ._online_retail import load_online_retail
from ._samples_generator import make_interactions

__all__ = ["fetch_movielens", "load_online_retail", "make_interactions"]
