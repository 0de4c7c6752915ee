"""How `TwoTowerRecommender` is copied, restored and shown.

Input: its parameters.
Output: a clone, text, or HTML for a notebook.
"""

from typing import Self

from sklearn.base import BaseEstimator

from sktwotower._tables._versions import RecommenderStateMixin

from ._display import cloned, parameters_html, shown, visual_block

__all__ = ["ShownEstimator"]


class ShownEstimator(RecommenderStateMixin, BaseEstimator):
    """An estimator whose side tables are shared by clones and shown by their shape."""

    def __sklearn_clone__(self):
        return cloned(self)

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
            If there is no such parameter, or what it belongs to is no estimator.

        Examples
        --------
        >>> from sktwotower import TwoTowerRecommender
        >>> from sktwotower.neighbors import NNDescentNeighbors
        >>> model = TwoTowerRecommender(neighbors=NNDescentNeighbors())
        >>> model.set_params(neighbors__target_recall=0.98)
        TwoTowerRecommender(neighbors=NNDescentNeighbors(target_recall=0.98))
        """
        known = self.get_params(deep=False) | params
        for name in params:
            owner, is_nested, _ = name.partition("__")
            if is_nested and owner in known and not hasattr(known[owner], "set_params"):
                raise ValueError(
                    f"{name} is a parameter of an estimator, but {owner} is none. Got "
                    f"{type(known[owner]).__name__}. Pass one first: {owner}=..."
                )
        return super().set_params(**params)

    def __repr__(self, N_CHAR_MAX=700):
        """Show the parameters that are not defaults; of side tables only the shape."""
        return BaseEstimator.__repr__(shown(self), N_CHAR_MAX)

    def _get_params_html(self, *args, **kwargs):
        """Show the parameters in a notebook; of side tables only the shape."""
        return parameters_html(super()._get_params_html(*args, **kwargs))

    def _sk_visual_block_(self):
        """Return both towers as scikit-learn draws them."""
        return visual_block(self)
