"""Rankings of several models for the same users.

Input: an estimator, held-out events X (n_events, n_columns), and other estimators or
rankings that were made elsewhere.
Output: the ranked items (n_users, k) of each model, for the users and items of the
first; rows are requests if a model has context.
"""

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_random_state

from sktwotower._tables._frames import as_frame, is_frame
from sktwotower._tables._ids import same_kind
from sktwotower._tables._messages import format_ids, warn
from sktwotower._tables._pairs import read_pairs
from sktwotower._tables._schema import read_table
from sktwotower._tables._sparse import column_counts, pair_matrix, rows_of, slices
from sktwotower.retrieval._any_recommender import is_recommender, parameters_of
from sktwotower.retrieval._dense_scores import BLOCK_SIZE, best_of, hide
from sktwotower.retrieval._fitted_state import state_of
from sktwotower.retrieval._item_contents import (
    profile_scores,
    rows_without_ids,
    unit_rows,
)

from ._groups import may_repeat, popular_items
from ._places import check_vectors
from ._ranking import keys_of
from ._scorers import rank, recommender_in, unwrap
from ._truth import columns_of_fit

# The name of the baseline of contents, and the share of the events to be found from
# which on it is added: those of items without an event in fit.
CONTENT = "content"
MIN_COLD_SHARE = 0.1
# The name of the baseline that counts what each user has chosen before.
OWN_COUNTS = "own counts"
# What libraries call the second parameter of ``recommend``, the length of a list.
NUMBER_OF_ITEMS = {
    *("n_neighbors", "k", "K", "n", "N", "n_items", "num_items", "top_n", "topn"),
    *("top_k", "topk", "n_recommendations"),
}
REMEDY = (
    "To compare with a model of another library, pass its ranking in baselines: a dict "
    "of users to ranked items, or a table of users and items, best first."
)


def rank_models(
    estimator,
    X,
    y,
    k,
    *,
    baselines=None,
    name=None,
    item_vectors=None,
    with_content=False,
    **params,
):
    """Rank for the users of held-out events, by the estimator and by its baselines.

    Return the estimator's `HeldOutRanking`, and the ranked positions (n_users, k) of
    each model by name: the estimator, popularity, if ``with_content`` what
    `ranked_by_own_counts` and `ranked_by_content` return, unless None, then
    `baselines`. All are positions in the estimator's `item_ids_`. k is at most the size
    of the catalog. ``params``: those of ``rank_held_out``. All rank for the same
    ``requests``; None: those that the context of any model tells apart.
    ``item_vectors``: those of the `HeldOutRanking`, or a table by id; None: the
    estimator's.
    """
    seed = params.get("random_state")
    if not isinstance(seed, Integral):
        # one seed for all models: they must be compared on the same users
        params["random_state"] = check_random_state(seed).randint(2**31 - 1)
    is_ranking = is_table(estimator) or only_recommends(estimator)
    recommender, inner = unwrap(catalog_model(estimator, baselines), X)
    if name is None:
        name = name_of(estimator)
    if not isinstance(name, str) or name == "popularity":
        expected = "a string, and not 'popularity', which is a model already"
        raise ValueError(f"name must be {expected}. Got {name!r}.")
    others = named(baselines, {name, "popularity"})
    check_columns(others, X)
    if params.get("requests") is None:
        params["requests"] = context_of(recommender, *others.values())
    given = {param: value for param, value in params.items() if value is not None}
    params = {"max_users": None} | given

    ranking = rank(recommender, inner, y, n_neighbors=k, **params)
    if item_vectors is not None:
        vectors = check_vectors(item_vectors, "item_vectors", recommender.item_ids_)
        ranking = replace(ranking, item_vectors=vectors)
    k = min(k, ranking.truth.shape[1])
    if is_ranking:
        indices = _given(name, estimator, recommender, ranking, k)
        ranking = replace(ranking, indices=indices)
    models = {name: ranking.indices, "popularity": popular_items(ranking, k)}
    if with_content:
        by_own_counts = ranked_by_own_counts(recommender, ranking, others, k)
        by_content = ranked_by_content(recommender, ranking, others, k)
        if by_own_counts is not None:
            models[OWN_COUNTS] = by_own_counts
        if by_content is not None:
            models[CONTENT] = by_content
    params |= {"X": X, "y": y, "n_neighbors": k}
    for label, baseline in others.items():
        if is_table(baseline) or only_recommends(baseline):
            models[label] = _given(label, baseline, recommender, ranking, k)
        else:
            models[label] = _ranked(label, baseline, recommender, ranking, **params)
    return ranking, models


def is_table(model):
    """Return whether a model is a ranking that was made elsewhere."""
    return is_frame(model) or isinstance(model, Mapping)


def only_recommends(model):
    """Return whether an object ranks items, but does not say for which catalog.

    Its ``recommend`` takes users, and how many items to rank for each.
    """
    if isinstance(model, type) or hasattr(model, "rank_held_out"):
        return False
    if is_recommender(model) and hasattr(model, "fit") and hasattr(model, "item_ids_"):
        return False
    second = parameters_of(model, "recommend")[1:2]
    return bool(NUMBER_OF_ITEMS.intersection(second))


def catalog_model(estimator, baselines):
    """Return the model whose catalog is ranked, and whose events of fit are left out.

    It is the estimator or, if that is a table or has ``recommend`` only, the first of
    the baselines that knows both.
    """
    if not (is_table(estimator) or only_recommends(estimator)):
        return estimator
    others = baselines or []
    if isinstance(others, Mapping):
        others = others.values()
    for other in others:
        inside = recommender_in(other)
        if hasattr(inside, "item_ids_") and hasattr(inside, "fit"):
            return other
    subject = "A ranking" if is_table(estimator) else name_of(estimator)
    raise TypeError(
        f"{subject} does not say which items are ranked, nor which are left out. Put "
        "a recommender that was fitted on the same events into baselines, such as "
        "EASERecommender().fit(X): its catalog and events then count for both."
    )


def name_of(estimator):
    """Return what a report calls its first model, if nobody says."""
    if is_table(estimator):
        return "ranking"
    if only_recommends(estimator):
        return type(estimator).__name__
    return type(unwrap(estimator, None)[0]).__name__


def check_columns(baselines, X):
    """Raise if X lacks a column of the fit of any model, before one of them is asked.

    ``baselines``: models by name. Only recommenders and dataframes are looked at.
    """
    first = None
    if is_frame(X):
        first = as_frame(X, "X").head(1)
    for name, baseline in baselines.items():
        fitted = state_of(baseline)
        if first is not None and fitted is not None:
            optional = [c for c in getattr(fitted, "columns", ()) if c is not None]
            given = columns_of_fit(baseline, first)
            owner = type(baseline).__name__
            with _blaming(name):
                read_table(owner, given, fitted.schema, optional=optional)


@contextmanager
def _blaming(name):
    """Say in errors which baseline has raised them."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.add_note(f"Raised by the baseline {name!r}.")
        raise


def context_of(*models):
    """Return the columns of X that are context to any fitted model, or None.

    Models that are no recommenders, such as rankings, have none.
    """
    columns = []
    for model in models:
        fitted = state_of(recommender_in(model))
        if fitted is None:
            continue
        names = fitted.event_context
        if names and fitted.schema.names is None:
            names = [int(name[1:]) for name in names]  # x0, x1, ...
        columns += [name for name in names if name not in columns]
    return columns or None


def _class_of(baseline):
    """Return the class of the recommender inside a Pipeline or search."""
    if only_recommends(baseline):
        return type(baseline)
    return type(unwrap(baseline, None, hint=REMEDY)[0])


def named(baselines, taken, class_of=_class_of):
    """Return the baselines by name; in a list, what ``class_of`` returns names them."""
    if baselines is None:
        return {}
    if isinstance(baselines, Mapping):
        for name in baselines:
            if not isinstance(name, str):
                raise TypeError(f"baselines must have strings as names. Got {name!r}.")
            if name in taken:
                raise ValueError(f"baselines names {name!r}, which is a model already.")
        return dict(baselines)
    if not isinstance(baselines, (list, tuple)):
        raise TypeError(
            "baselines must be a list of fitted estimators, or a dict of names to "
            f"estimators or rankings. Got {type(baselines).__name__}."
        )
    named = {}
    for baseline in baselines:
        if is_table(baseline):
            raise TypeError(
                "A ranking among baselines needs a name: baselines={'name': ranking}."
            )
        unnumbered = class_of(baseline).__name__
        name = unnumbered
        number = 2
        while name in taken or name in named:
            name = f"{unnumbered} {number}"
            number += 1
        named[name] = baseline
    return named


def _ranked(name, baseline, recommender, ranking, *, X, y, **params):
    """Return an estimator's ranking by the rows and items of another one."""
    other, X = unwrap(baseline, X, hint=REMEDY)
    with _blaming(name):
        theirs = rank(other, X, y, **params)
    rows = keys_of(theirs).get_indexer(keys_of(ranking))
    if (rows < 0).any():
        what = "users"
        if ranking.requests is not None:
            what = "requests"
        raise ValueError(
            f"The baseline {name!r} ranks for other {what} than the estimator: "
            f"{(rows < 0).sum()} of {len(rows)} are missing. Fit it on the same "
            "columns, or set max_users=None."
        )

    # What is to be found is never left out. So lists without all else that users had
    # are no ranking of what users choose again.
    hides = ranking.seen.nnz > 0
    they_hide = theirs.seen.nnz > 0
    if hides != they_hide and ranking.past.nnz and theirs.past.nnz:
        verb = "does not leave out"
        if they_hide:
            verb = "leaves out"
        warn(
            f"The baseline {name!r} {verb} what users had, unlike the estimator, so "
            "that figures cannot be compared. Set exclude_seen alike for all models, "
            f"for example by set_params(exclude_seen={not they_hide})."
        )

    # the last entry is where the padding -1 points to
    positions = np.append(_positions(name, recommender, other.item_ids_, True), -1)
    return positions[theirs.indices[rows]]


def _given(name, given, recommender, ranking, k):
    """Return a ranking that was made elsewhere, (n_users, k), padded with -1."""
    users = pd.Index(ranking.users).unique()
    if not is_table(given):
        with _blaming(name):
            given = given.recommend(users.to_numpy(), k)
    table, known = _as_table(name, given)
    missing = users[~users.isin(known)]
    if len(missing):
        raise ValueError(
            f"The ranking {name!r} lacks {len(missing)} of {len(users)} users with "
            f"positives in X ({format_ids(missing, 2)}); it has {len(known)} "
            f"({format_ids(known, 2)}). Rank for all of them, by ids of the same "
            "type; an empty list means that nothing is recommended."
        )
    place_in_list = table.groupby("user", sort=False).cumcount().to_numpy()
    longest = place_in_list.max(initial=-1) + 1
    if longest < k:
        raise ValueError(
            f"The ranking {name!r} holds {longest} items per user at most, but k={k} "
            "places count. Rank more items, or report at a smaller k."
        )
    rows = users.get_indexer(table["user"])
    items = _positions(name, recommender, table["item"])
    kept = (rows >= 0) & (place_in_list < k)
    indices = np.full((len(users), k), -1, dtype=np.int64)
    indices[rows[kept], place_in_list[kept]] = items[kept]
    indices = indices[users.get_indexer(ranking.users)]  # the same for all requests
    rows, places = np.nonzero(indices >= 0)
    seen = np.asarray(ranking.seen[rows, indices[rows, places]]).ravel() != 0
    if seen.any():
        warn(
            f"{seen.sum()} of the {len(seen)} items that {name!r} ranks were chosen by "
            "the same user in fit. They cannot be hits; the other models leave them "
            "out of their rankings."
        )
    return indices


def _positions(name, recommender, items, may_all_be_others=False):
    """Return the positions of items in the recommender's catalog, -1 for others.

    ``may_all_be_others``: whether none may be there, if their type is that of the
    catalog, which may hold new items only.
    """
    catalog = pd.Index(recommender.item_ids_)
    items = pd.Index(items)
    try:
        positions = catalog.get_indexer(items)
    except TypeError as error:
        raise TypeError(
            f"{name!r} must rank ids of items. Got {format_ids(items, 2)}: {error}."
        ) from error
    may_all_be_others = may_all_be_others and same_kind(items, catalog)
    if len(items) and (positions < 0).all() and not may_all_be_others:
        raise ValueError(
            f"None of the items of {name!r} is in the catalog of the estimator: "
            f"it holds {format_ids(items, 2)}, the catalog {format_ids(catalog, 2)}. "
            "Pass ids of the same type."
        )
    return positions


def _as_table(name, given):
    """Return ranked pairs, columns user and item, and all users that are named."""
    name = f"The ranking {name!r}"
    if is_frame(given):
        given = as_frame(given, name)
        if "rank" in given.columns:
            if not pd.api.types.is_numeric_dtype(given["rank"]):
                raise TypeError(
                    f"The column 'rank' of {name[0].lower()}{name[1:]} must hold "
                    f"numbers. Got dtype {given['rank'].dtype}."
                )
            given = given.sort_values("rank", kind="stable")
    pairs = read_pairs(given, name, order="best first")
    table = pd.DataFrame({"user": list(pairs.users), "item": list(pairs.items)})
    return table, pd.Index(pairs.named).unique()


def without_scores(truth, models, item_counts, item_ids):
    """Return the names of models that can score none of the relevant items, a tuple.

    Popularity and models of who chose what know nothing of items without an event in
    their fit: all of these are alike to them, or last, whatever a user likes.

    Parameters
    ----------
    truth : CSR matrix of shape (n_users, n_items)
        The relevant items.
    models : dict of str to estimator or ranking
    item_counts : array of shape (n_items,)
        Number of events of each item in fit.
    item_ids : array of shape (n_items,)
    """
    wanted = np.flatnonzero(column_counts(truth))
    if len(wanted) == 0:
        return ()
    without = []
    if not np.asarray(item_counts)[wanted].any():
        without.append("popularity")
    ids = np.asarray(item_ids)[wanted]
    for name, model in models.items():
        model = recommender_in(model)
        if model is None or only_recommends(model):
            continue
        positions = pd.Index(model.item_ids_).get_indexer(pd.Index(ids))
        positions = positions[positions >= 0]
        fitted = state_of(model)  # None: of another library, which may know anything
        can_score = len(positions) > 0
        if can_score and fitted is not None and not fitted.scores_by_features:
            can_score = column_counts(fitted.seen)[positions].any()
        if not can_score:
            without.append(name)
    return tuple(without)


def _states_of(recommender, baselines):
    """Return the fitted states of all models that have one, a list."""
    models = [recommender, *map(recommender_in, baselines.values())]
    return [state for state in map(state_of, models) if state is not None]


def ranked_by_content(recommender, ranking, baselines, k):
    """Return the items (n_users, k) whose features are like those of past ones.

    None if less than a tenth of the events to be found are of items without an event in
    fit, if the model has no features of items, or if a model ranks by content anyway.
    The features are those of the model, each item's scaled to length 1, without its id.
    """
    fitted = state_of(recommender)
    if fitted is None or not fitted.items.has_features or CONTENT in baselines:
        return None
    if any(state.is_content for state in _states_of(recommender, baselines)):
        return None
    cold = np.asarray(ranking.item_counts) == 0
    n_events = ranking.truth.nnz + ranking.n_unreachable.sum()
    if ranking.truth[:, cold].nnz < MIN_COLD_SHARE * n_events:
        return None

    # the sums of the features of what users had, compared with each item's
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
        best_scores, places = best_of(scores[:, order], k)
        indices[block] = np.where(np.isneginf(best_scores), -1, order[places])
    return indices


def ranked_by_own_counts(recommender, ranking, baselines, k):
    """Return the items (n_users, k) that each user has chosen most often.

    Equal counts, and what a user has not had, come in the order of popularity. None if
    lists must not hold what users had, or none of it is to be found, and if a
    `RepeatRecommender` is among the models anyway. Only models that are fitted with
    ``time`` know how often; of others, and in a history, an item counts once.
    """
    if OWN_COUNTS in baselines or not may_repeat(ranking):
        return None
    if any(state.counts_repeats for state in _states_of(recommender, baselines)):
        return None
    n_users, n_items = ranking.truth.shape
    counts = ranking.past.astype(np.float32)
    fitted = state_of(recommender)
    sequences = getattr(fitted, "sequences", None)
    if sequences is not None:
        codes = fitted.users.codes(ranking.users, "the users of X")
        codes = np.where(codes < 0, len(fitted.users), codes)  # the empty row
        rows, items, _ = sequences.events(codes)
        is_left = items < n_items  # in the catalog
        rows = rows[is_left]
        items = items[is_left]
        of_fit = pair_matrix(rows, items, np.ones(len(rows)), (n_users, n_items))
        counts = counts.maximum(of_fit).tocsr()
    order = np.lexsort((-np.asarray(ranking.item_counts),))
    indices = np.empty((n_users, k), dtype=np.int64)
    for block in slices(n_users, max(1, BLOCK_SIZE // n_items)):
        _, positions = best_of(counts[block].toarray()[:, order], k)
        indices[block] = order[positions]
    return indices
