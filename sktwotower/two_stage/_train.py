"""How a ranker is trained on candidates that are labelled by what came later.

Input: ``ReadEvents``, a retriever and a ranker.
Output: what is ``Ranked``: a ``Training``, with the weight of the ranker, and rankers.
"""

import os
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from sktwotower._tables._messages import logger, warn

from ._blend import choose_weight, gains_of_orders
from ._candidate_table import Describer, build_describer
from ._context import learn_context
from ._labelled import (
    LaterCandidates,
    Training,
    candidates_of,
    described,
    judge_rankers,
)
from ._list_stage import ListStage
from ._ranker import FittedRanker
from ._read_events import ReadEvents
from ._sources import fitted_sources_of, sources_of, with_sources
from ._train_lists import train_on_lists

# Parameters that are chosen by short fits if they are "auto", and what was chosen.
CHOSEN = ("impression_weight", "reward_scale")
AUTO = {name: f"{name}_" for name in CHOSEN}
# Largest share of the events before the cut that an earlier cut cuts off.
MAX_EARLIER = 0.5


class Cut(NamedTuple):
    """Events before and after a cut, ``ReadEvents``, and how they were cut.

    Parameters
    ----------
    before, later : ReadEvents
    kind : {"time", "user"}
    first : estimator or None
        The retriever, fitted on those before.
    reason : str
        Why it could not be fitted, if it is None.
    """

    before: ReadEvents
    later: ReadEvents
    kind: str
    first: object
    reason: str

    @property
    def where(self):
        """Where it fell, for messages: " at" a date, if it is one moment for all."""
        if self.kind != "time" or not self.later.dates:
            return ""
        return f" at {pd.Timestamp(self.later.times.min())}"


class Ranked(NamedTuple):
    """What fit learns from later events: as in ``FittedStages``.

    Parameters
    ----------
    training : Training
    describer : Describer, default=None
        That of the events before the cut.
    ranker : FittedRanker, default=None
    lists : ListStage, default=None
    """

    training: Training
    describer: Describer | None = None
    ranker: FittedRanker | None = None
    lists: ListStage | None = None


def cut_events(recipe, retriever, events, columns):
    """Return the ``Cut`` of all events, with the retriever fitted on those before.

    ``columns``: ``ShownColumns``. If there are any, the share is one of their rows.
    """
    judged = None
    if columns.lists is not None:
        judged = columns.mixed(events)
    before, later, kind = events.cut(recipe.cut, recipe.later_size, judged)
    first = None
    reason = "to cut off the later ones of users who have earlier ones."
    if kind == "time":
        reason = "with y > 0 on one side of the cut."
    if before.chosen.any() and later.chosen.any():
        try:
            first = retriever.fit(before.frame, before.rewards, before.weights)
        except ValueError as error:
            n_before = len(before.frame)
            reason = f"to fit the retriever on the {n_before} before the cut ({error})."
    return Cut(before, later, kind, first, reason)


def with_choices(retriever, final):
    """Return a clone of the retriever with the values that "auto" took on all events.

    A ranker can only order the candidates of a retriever like the one it learnt from,
    and fewer events are less evidence. ``final``: the retriever, fitted on all events.
    """
    changed = []
    pairs = zip(sources_of(retriever), fitted_sources_of(final), strict=True)
    for source, fitted in pairs:
        chosen = {}
        for name, attribute in AUTO.items():
            is_auto = getattr(source, name, None) == "auto"
            if is_auto and hasattr(fitted, attribute):
                chosen[name] = getattr(fitted, attribute)
        if getattr(source, "checkpoint", None) is not None:
            # the fit on all events has removed its own
            chosen["checkpoint"] = os.path.join(source.checkpoint, "before_the_cut")
        changed.append(clone(source).set_params(**chosen))
    return with_sources(retriever, changed)


def train_rankers(recipe, cut, columns, row_columns):
    """Return what is ``Ranked``; parts are None, after a warning, if they cannot be.

    Parameters
    ----------
    recipe : StageRecipe
    cut : Cut
    columns : ShownColumns
    row_columns : Context
        Columns of the rows of lists.
    """
    if cut.first is None:
        none = LaterCandidates(None, f"there are too few events {cut.reason}")
        return Ranked(_without_ranker(cut, none))
    before = cut.before
    describer = build_describer(
        recipe,
        cut.first,
        before,
        columns,
        by_user=cut.kind == "user",
        context=learn_context(before.frame, recipe.context, before.columns),
    )
    later = candidates_of(recipe, describer, cut.later)
    if later.candidates is None:
        ranked = Ranked(_without_ranker(cut, later), describer)
    else:
        ranked = _with_ranker(recipe, describer, cut, columns, later)
    if columns.lists is None:
        return ranked
    lists, describer = train_on_lists(
        recipe, columns, cut, ranked.describer, row_columns
    )
    return ranked._replace(lists=lists, describer=describer)


def _without_ranker(cut, later):
    """Return the ``Training`` without a ranker, after a warning that says why.

    ``later``: ``LaterCandidates``.
    """
    fell = ""
    if cut.where:
        fell = f" The cut fell{cut.where}: change later_size."
    warn(
        f"No ranker was trained: {later.reason}{fell} "
        "The order of items is the retriever's."
    )
    return Training(cut.kind, 0.0, later.n_positive, later.recall)


def _with_ranker(recipe, describer, cut, columns, later):
    """Return what is ``Ranked`` of the candidates of users with later events.

    If the ranker's order gains among users of one time, it is judged in another time: a
    ranker that learns from an earlier cut orders the candidates of this one, and the
    other way around. The ranker that is kept learns from the earlier cut as well,
    unless that harms users of this one. ``later``: ``LaterCandidates``.
    """
    table, describer = described(describer, later.candidates, recipe.features)
    orders, held_out = judge_rankers(recipe, table)
    gains = orders.gains()
    rows = table.rows()
    weight = choose_weight(gains)
    figures = {}
    earlier = None
    if weight > 0:
        earlier = earlier_candidates(recipe, cut, describer, columns)
    if earlier is not None:
        with_both, held_out_of_both = judge_rankers(recipe, table, earlier.rows())
        if with_both.ndcg(1.0).mean() >= orders.ndcg(1.0).mean():
            rows = rows.followed_by(earlier.rows())
            gains = with_both.gains()
            held_out = held_out_of_both
        # each is ordered by a ranker that learnt from the other only
        k = recipe.n_neighbors
        by_earlier = table.judged_by(earlier.rows().fit(recipe), k)
        by_later = earlier.judged_by(table.rows().fit(recipe), k)
        later_gains = by_earlier.gains()
        weight = choose_weight(gains, later_gains, by_later.gains())
        order_gains = gains_of_orders(gains, by_earlier, by_later)
        figures = {"later_gains": later_gains, "order_gains": order_gains}
        _say_what_lasts(recipe, cut, weight, figures | {"gains": gains})
    if recipe.keep_training_table:
        figures["table"] = _frame_of(describer, table)
    training = Training(
        cut.kind,
        weight,
        later.n_positive,
        later.recall,
        gains=gains,
        held_out=held_out,
        **figures,
    )
    return Ranked(training, describer, rows.fit(recipe))


def _frame_of(describer, table):
    """Return ids, features and labels of ``Candidates``, a DataFrame."""
    rows, places = np.nonzero(table.indices >= 0)
    items = table.indices[rows, places]
    named = describer.with_ids(table.query, table.features, rows, items)
    return named.assign(chosen=table.labels)


def _say_what_lasts(recipe, cut, weight, figures):
    """Log the figures of both orders; warn if the ranker pays only among users.

    ``figures``: the tables of ``Training``.
    """
    orders = figures["order_gains"].set_index("order")["ndcg"]
    logger.info(
        "fit: NDCG@%d of kept-back later events is %.4f in retrieval's order, %.4f in "
        "the ranker's and %.4f in their blend; blend_ is %.2f",
        recipe.n_neighbors,
        orders["retriever"],
        orders["ranker"],
        orders["blend"],
        weight,
    )
    if weight > 0 or cut.kind != "time":
        return
    gains = figures["gains"]
    later = figures["later_gains"]
    best = gains["gain"].idxmax()
    k = recipe.n_neighbors
    warn(
        f"The ranker's order gains {gains['gain'][best]:.3f} NDCG@{k} over retrieval's "
        "in the time that it learns from, but not, beyond noise, in another time "
        f"({later['gain'][best]:+.3f} +- {later['standard_error'][best]:.3f}, see "
        "blend_gains_later_). So blend_ is 0: the order of items is the retriever's. "
        "What is chosen seems to change within days: let the ranker learn from a "
        f"longer time than later_size={recipe.later_size:g}."
    )


def earlier_candidates(recipe, cut, describer, columns):
    """Return the ``Candidates`` of an earlier cut, with features; None: too few.

    It cuts off as many events once more, those before the cut that came last. So there
    are two times in which the whole way is gone as tomorrow: a retriever that is fitted
    on all events up to then, and choices that come as long after them.

    Parameters
    ----------
    recipe : StageRecipe
    cut : Cut
    describer : Describer
        That of the events before the cut.
    columns : ShownColumns
    """
    judged = None
    if columns.lists is not None:
        judged = columns.mixed(cut.before)
    share = min(recipe.later_size / (1 - recipe.later_size), MAX_EARLIER)
    before, later, kind = cut.before.cut(cut.kind, share, judged)
    if not (before.chosen.any() and later.chosen.any()):
        return None
    sources = []
    for source in sources_of(cut.first):
        source = clone(source)
        if getattr(source, "checkpoint", None) is not None:
            # each fit has one of its own
            folder = os.path.dirname(source.checkpoint)
            folder = os.path.join(folder, "before_an_earlier_cut")
            source.set_params(checkpoint=folder)
        sources.append(source)
    retriever = with_sources(cut.first, sources)
    try:
        retriever.fit(before.frame, before.rewards, before.weights)
        earlier = build_describer(
            recipe, retriever, before, columns, by_user=kind == "user", before=describer
        )
        labelled = candidates_of(recipe, earlier, later)
    except ValueError as error:
        labelled = LaterCandidates(None, str(error))
    if labelled.candidates is None:
        logger.info("fit: no earlier cut judges the ranker: %s", labelled.reason)
        return None
    table, _ = described(earlier, labelled.candidates)
    return table
