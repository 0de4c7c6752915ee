"""How `TwoTowerRecommender` is cloned, restored, printed and drawn as a diagram.

Input: an estimator with side tables ``users`` and ``items`` among its parameters.
Output: clones that share the tables, a repr with their shapes, and an HTML diagram.
"""

from typing import NamedTuple, Self

from sklearn.base import BaseEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from sktwotower._sklearn_compat import drawn_as, visual_block_of
from sktwotower._tables._pickled import RecommenderStateMixin
from sktwotower.features import TowerVectorizer
from sktwotower.features._side_tables import SideTablesMixin
from sktwotower.towers._auto import WIDTH
from sktwotower.towers.histories import history_of

from ._events import noted_repeats
from ._moved_parameters import where_moved


class ShownEstimator(SideTablesMixin, RecommenderStateMixin, BaseEstimator):
    """An estimator with side tables, which is drawn as a diagram in notebooks."""

    _moved = staticmethod(where_moved)

    def set_params(self, **params) -> Self:
        """Set parameters, also those of an estimator among them: ``neighbors__n_jobs``.

        Parameters
        ----------
        **params : dict
            Parameters by name.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter, it has left, or what it belongs to is no
            estimator.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.neighbors import NNDescentNeighbors
        >>> model = TwoTowerRecommender(neighbors=NNDescentNeighbors())
        >>> model.set_params(neighbors__target_recall=0.98)
        TwoTowerRecommender(neighbors=NNDescentNeighbors(target_recall=0.98))
        """
        known = self.get_params(deep=False) | params
        moved = self._moved(known)
        if moved is not None:
            raise ValueError(moved)
        for name in params:
            owner, is_nested, _ = name.partition("__")
            if is_nested and owner in known and not hasattr(known[owner], "set_params"):
                kind = type(known[owner]).__name__
                found = f"{owner} is none. Got {kind}. Pass one first: {owner}=..."
                if owner == "net_params":
                    found = "net_params is a dict. Pass all of it: net_params={...}"
                raise ValueError(f"{name} is a parameter of an estimator, but {found}")
        return super().set_params(**params)

    def _sk_visual_block_(self):
        """Return a diagram: each side's transformer above its tower, then the score.

        The columns of the context, if there are any, stand next to both sides.
        Transformers are drawn as passed by the user, not as fitted: the diagram of a
        fitted one lists all of its output columns, one per word and id.
        """
        fitted = vars(self).get("_fitted")
        columns = []
        for side in ("user", "item"):
            tower = drawn_as(
                f"{side.title()}Tower", _tower_in_words(self, side, fitted)
            )
            transformer = getattr(self, f"{side}_transformer")
            columns.append((f"{side} side", _steps(transformer, "tower", tower)))
        context = _context_in_words(self, fitted)
        if context is not None:
            request = drawn_as("RequestedContext", context)
            steps = _steps(self.context_transformer, "request", request)
            columns.append(("context", steps))
        score = drawn_as("Score", _score_in_words(self, fitted))
        steps = [("vectors", BothTowers(columns)), ("score", score)]
        return visual_block_of(Pipeline(steps))


def _steps(transformer, name, drawn):
    """Return a transformer, and what its rows go into, as a Pipeline."""
    if transformer is None:
        transformer = TowerVectorizer()
    return Pipeline([("features", transformer), (name, drawn)])


class BothTowers(NamedTuple):
    """Represents both sides in the diagram, which also shows the class name."""

    columns: list

    def __str__(self):
        return "a vector of the user and a vector of the item"

    def _sk_visual_block_(self):
        return visual_block_of(FeatureUnion(self.columns))


def _tower_in_words(estimator, side, fitted):
    """Return the steps from a feature row to the vector of a user or an item."""
    if fitted is None:
        row = "feature row"
        width = WIDTH
        history = history_of(estimator.history)
    else:
        entities = getattr(fitted, f"{side}s")
        row = f"{entities.width} features"
        width = fitted.catalog.vectors.shape[1]
        history = fitted.model.history
    if estimator.embedding_dim != "auto":
        width = estimator.embedding_dim
    if side == "user" and history.sees_past:
        row += f" + {history.in_words}"
    if side == "user" and fitted is not None and fitted.schema.time is not None:
        row += f", {fitted.schema.time} as {fitted.schema.time_kind}"
    given = getattr(estimator, f"{side}_tower")
    if given is None:
        layers = [*estimator.hidden_layer_sizes, width]
    else:
        layers = [given]
    if estimator.normalize:
        layers.append("unit length")
    return " → ".join(map(str, [row, *layers]))


def _score_in_words(estimator, fitted):
    """Return what a score is, and whether lists leave out many repeated choices."""
    text = "dot product of the user vector and the item vector"
    if estimator.normalize:
        text += " (their cosine)"
    if fitted is None:
        return text
    if fitted.model.sparse is not None:
        names = ", ".join(part.in_words for part in fitted.model.sparse.parts)
        text += f" + sparse parts ({names})"
    if estimator.exclude_seen and fitted.sequences is not None:
        share = noted_repeats(fitted.sequences.lags.nnz, fitted.seen.nnz)
        if share is not None:
            text += (
                f". {share:.0%} of the events repeat an earlier one of the same user "
                "and item; lists leave these out (exclude_seen=True)"
            )
    return text


def _context_in_words(estimator, fitted):
    """Return the columns of the context, and what they do; None if there are none."""
    columns = estimator.context
    if fitted is not None:
        columns = []
        if fitted.context is not None:
            columns = fitted.context.all_columns
    elif isinstance(columns, str) and columns == "auto":
        columns = None
    if isinstance(columns, list | tuple):
        columns = ", ".join(map(str, columns)) or None
    if columns is None:
        return None
    row = "feature row"
    if fitted is not None:
        row = f"{fitted.context.width} features"
    return f"{columns} → {row} → changes the user vector"
