"""Which models can score what is to be found, and what the contents of items find.

Input: a `HeldOutRanking`, and the fitted models that are compared.
Output: names of models; ranked positions (n_users, k) by the features of items.
"""

import numpy as np
import pandas as pd
from scipy import sparse

from sktwotower._tables._sparse import column_counts, rows_of, slices
from sktwotower.retrieval._dense_scores import BLOCK_SIZE, best_of, hide
from sktwotower.retrieval._fitted_state import state_of
from sktwotower.retrieval._item_contents import (
    profile_scores,
    rows_without_ids,
    unit_rows,
)

from ._scorers import recommender_in

# The name of the baseline of contents, and the share of the events to be found from
# which on it is added: those of items without an event in fit.
CONTENT, MIN_COLD_SHARE = "content", 0.1


def without_scores(truth, models, item_counts):
    """Return the names of models that can score none of the relevant items, a tuple.

    Popularity and models of who chose what know nothing of items without an event in
    their fit: all of these are alike to them, or last, whatever a user likes.

    Parameters
    ----------
    truth : CSR matrix of shape (n_users, n_items)
        The relevant items.
    models : dict of str to estimator or ranking
        The first one has the items.
    item_counts : array of shape (n_items,)
        Number of events of each item in its fit.
    """
    wanted = np.flatnonzero(column_counts(truth))
    if len(wanted) == 0:
        return ()
    found = [] if np.asarray(item_counts)[wanted].any() else ["popularity"]
    subject = next(iter(models.values()))
    first = recommender_in(subject)
    if first is None:
        first = subject
    ids = np.asarray(first.item_ids_)[wanted]
    for name, model in models.items():
        model = recommender_in(model)
        if model is not None and not _can_score(model, ids):
            found.append(name)
    return tuple(found)


def _can_score(model, ids):
    """Return whether a recommender knows more than the ids of any of some items."""
    places = pd.Index(model.item_ids_).get_indexer(pd.Index(ids))
    places = places[places >= 0]
    if len(places) == 0:
        return False
    fitted = state_of(model)
    if fitted is None:  # of another library
        return True
    if fitted.scores_by_features:
        return True
    return bool(column_counts(fitted.seen)[places].any())


def ranked_by_content(recommender, ranking, baselines, k):
    """Return the items (n_users, k) whose features are like those of past ones.

    None if less than a tenth of the events to be found are of items without an event in
    fit, if the model has no features of items, or if a model ranks by content anyway.
    The features are those of the model, each item's scaled to length 1, without its id.
    """
    fitted = state_of(recommender)
    if fitted is None or not fitted.items.has_features or CONTENT in baselines:
        return None
    states = [fitted]
    for baseline in baselines.values():
        states.append(state_of(recommender_in(baseline)))
    if any(state is not None and state.is_content for state in states):
        return None
    cold = np.asarray(ranking.item_counts) == 0
    n_events = ranking.truth.nnz + ranking.n_unreachable.sum()
    if ranking.truth[:, cold].nnz < MIN_COLD_SHARE * n_events:
        return None
    return _profile_lists(fitted, ranking, k)


def _profile_lists(fitted, ranking, k):
    n_users, n_items = ranking.truth.shape
    codes = fitted.users.codes(ranking.users, "the users of X")
    past = fitted.seen_by(codes)
    # with what a history adds, and what has left the catalog
    known = (past[:, :n_items] + ranking.past.astype(np.float32)).sign()
    past = sparse.hstack([known, past[:, n_items:]], format="csr")
    vectors = unit_rows(rows_without_ids(fitted.items))
    order = np.lexsort((-np.asarray(ranking.item_counts),))
    indices = np.empty((n_users, k), dtype=np.int64)
    for block in slices(n_users, max(1, BLOCK_SIZE // max(n_items, vectors.shape[1]))):
        scores = profile_scores(past[block], vectors, vectors[:n_items])
        hide(scores, rows_of(ranking.seen, block))
        best, places = best_of(scores[:, order], k)
        indices[block] = np.where(np.isneginf(best), -1, order[places])
    return indices
