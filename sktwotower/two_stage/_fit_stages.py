"""How `TwoStageRecommender.fit` fits the retriever twice, and a ranker in between.

Input: an interaction table X (n_events, n_columns) with outcomes y; a ``StageRecipe``.
Output: ``FittedStages``: a retriever fitted on all events, and a ranker.
"""

from collections import namedtuple

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from sktwotower.retrieval._retrieval import RetrievalMixin

from ._candidate_table import build_describer, check_own_features
from ._context import learn_context
from ._fitted_stages import FittedStages
from ._ranker import check_ranker, default_ranker
from ._read_events import read
from ._shown_rows import ShownColumns
from ._stage_parameters import TwoStageParameters
from ._train import cut_events, train_rankers, with_choices
from ._train_lists import rescaled


class StageRecipe(namedtuple("StageRecipe", TwoStageParameters._get_param_names())):
    """Parameters of `TwoStageRecommender`, by the same names."""


def learn(owner, recipe, X, y, sample_weight):
    """Return ``FittedStages`` of events.

    Parameters
    ----------
    owner : str
        Name of the estimator in messages.
    recipe : StageRecipe
    X, y, sample_weight
        As in `TwoStageRecommender.fit`.
    """
    rng = check_random_state(recipe.random_state)
    seed = rng.randint(np.iinfo(np.int32).max)
    recipe = recipe._replace(random_state=seed)
    retriever = _prepared_retriever(recipe)
    ranker = default_ranker(seed) if recipe.ranker is None else recipe.ranker
    check_ranker(ranker)
    check_own_features(recipe.features)
    events = read(owner, retriever, X, y, sample_weight)
    context = learn_context(events.frame, recipe.context, events.columns)
    columns = ShownColumns.of(events, recipe)
    rows = [] if recipe.row_features is None else recipe.row_features
    rows = learn_context(events.frame, rows, events.columns, "row_features")
    cut = cut_events(recipe, retriever, events, columns)
    # before any warning: errors are those of a fit without a second stage
    final = with_choices(retriever, cut.first).fit(X, y, sample_weight)
    ranked = train_rankers(recipe, ranker, cut, columns, rows)
    training, before, stage, lists = ranked
    if lists is not None:
        lists = rescaled(lists, cut.first, final, cut.later)
    by_user = training.cut == "user"
    describer = build_describer(
        recipe, final, events, columns, by_user=by_user, context=context, before=before
    )
    learnt = {"ranker": stage, "training": training, "lists": lists}
    given = {"n_candidates": int(recipe.n_candidates), "columns": columns}
    return FittedStages.of(final, describer, **learnt, **given)


def _prepared_retriever(recipe):
    """Return a clone of the retriever with the time column, after checks."""
    retriever = recipe.retriever
    if retriever is None:
        from sktwotower.recommender import TwoTowerRecommender

        retriever = TwoTowerRecommender(random_state=recipe.random_state)
    if isinstance(retriever, type) or not isinstance(retriever, RetrievalMixin):
        raise TypeError(
            "retriever must be a recommender of this package, such as "
            f"TwoTowerRecommender() or EASERecommender(). Got {retriever!r}."
        )
    retriever = clone(retriever)
    if recipe.time is not None:
        if retriever.time is not None and retriever.time != recipe.time:
            raise ValueError(
                f"time={recipe.time!r} is another column than the retriever's "
                f"time={retriever.time!r}. Name it once, as time of the "
                "TwoStageRecommender."
            )
        retriever.set_params(time=recipe.time)
    return retriever
