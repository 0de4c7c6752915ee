"""Candidates of users who have events on both sides of a cut.

Input: a retriever that was fitted on the events before, and `ReadEvents` after the cut.
Output: ``Candidates`` of n users, of whom each chose one later.
"""

from dataclasses import replace

import numpy as np

from sktwotower.metrics._held_out import read_held_out

from ._context import StagedAsked
from ._labelled import retrieved

# A ranker is trained on as many users as have this many candidates together.
MAX_PAIRS = 200_000
# How many times as many users are asked for candidates: not all have a positive one.
USERS_PER_RANKED = 2
# With fewer users who have a positive candidate, what a ranker learns is noise.
MIN_USERS = 20


class Fallback(Exception):
    """Says why no ranker can be trained.

    Parameters
    ----------
    reason : str
        What is said in the warning after "No ranker was trained: ".
    n_positive : int, default=0
        Number of candidates that were chosen later.
    recall : float, default=None
        Share of the items chosen later that are candidates; None: not known.
    """

    def __init__(self, reason, n_positive=0, recall=None):
        super().__init__(reason)
        self.n_positive = n_positive
        self.recall = np.nan if recall is None else recall


def candidates_of(recipe, retriever, context, later):
    """Return the ``Candidates`` of users who have events before and later.

    The columns of a request, also those of the ranker's ``context``, are those of the
    user's first later event.
    """
    users = retriever._fitted.users
    known = users.codes(later.frame[users.id_column], "X") >= 0
    known &= np.isin(later.users, later.users[later.chosen & known])
    if not known.any():
        raise Fallback(
            "there are too few events, as no user has some on both sides of the cut."
        )
    later = later.part(known)
    later = later.part(np.argsort(-later.times, kind="stable"))  # the last row counts
    fitted, frame = retriever._fitted, later.frame
    how = {"exclude_seen": False, "contexts": None, "random_state": recipe.random_state}
    how["max_users"] = USERS_PER_RANKED * _max_users(recipe)
    found = read_held_out(fitted, frame, later.chosen, later.weights, **how)
    query, past, judged = found
    numbers = context.encode(frame.iloc[judged.last_rows])
    query = replace(query, asked=StagedAsked(query.asked, numbers))
    return retrieved(recipe, retriever, query, past, judged.truth)


def _max_users(recipe):
    return max(MIN_USERS, MAX_PAIRS // recipe.n_candidates)


def users_to_rank(recipe, found):
    """Return the candidates of users with a positive one, at most ``MAX_PAIRS``."""
    n, n_positive, recall = recipe.n_candidates, int(found.hits.sum()), found.recall()
    positive, reason = np.flatnonzero(found.hits.any(axis=1)), None
    if n_positive == 0:
        reason = (
            "none of the items that users chose later is among their "
            f"{n} candidates (recall 0). Raise n_candidates."
        )
    elif len(positive) < MIN_USERS:
        reason = (
            f"there are too few events, as only {len(positive)} users chose one of "
            f"their {n} candidates later (recall {recall:.3f}), and {MIN_USERS} are "
            "required. Raise n_candidates, or pass more events."
        )
    elif (found.hits | (found.indices < 0))[positive].all():
        reason = (
            f"there is nothing to order, as users chose all of their {n} candidates "
            "later. Raise n_candidates, or lower later_size."
        )
    if reason is not None:
        raise Fallback(reason, n_positive, recall)
    rng = np.random.default_rng(recipe.random_state)
    return found.of_rows(np.sort(rng.permutation(positive)[: _max_users(recipe)]))
