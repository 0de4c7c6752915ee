"""The parts of a model: what is learnt of users and items, and gives their vectors.

A model is a list of parts, also if there is one. A kind of part is one class in one
file, which owns everything that is known of it: when it is used, how it is learnt, what
becomes of it later, how it is written, exported and explained. `Part` says what it is
asked for.
"""

from ._contributions import Contributions, Pair, PastOfOne
from ._given_tower import TowerParameter
from ._group_popularity import shared_columns
from ._model import Model, moved_items
from ._part import Part
from ._plan import (
    KINDS,
    Plan,
    SharedSpectrum,
    lengths,
    main_kind,
    plans_of,
    with_kept_back,
)
from ._recent_popularity import OverallPopularity, log_ratios, raises_items
from ._vectors import Users, distinct_ones, embed_items, embed_users, in_context
