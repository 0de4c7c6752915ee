"""How `TwoTowerRecommender` is copied, restored and shown.

Input: its parameters.
Output: a clone, text, or HTML for a notebook.
"""

from sklearn.base import BaseEstimator

from sktwotower._tables._versions import VersionedMixin

from ._display import cloned, parameters_html, shown, visual_block

__all__ = ["ShownEstimator"]


class ShownEstimator(VersionedMixin, BaseEstimator):
    """An estimator whose side tables are shared by clones and shown by their shape."""

    def __sklearn_clone__(self):
        return cloned(self)

    def __repr__(self, N_CHAR_MAX=700):
        """Show the parameters that are not defaults; of side tables only the shape."""
        return BaseEstimator.__repr__(shown(self), N_CHAR_MAX)

    def _get_params_html(self, *args, **kwargs):
        """Show the parameters in a notebook; of side tables only the shape."""
        return parameters_html(super()._get_params_html(*args, **kwargs))

    def _sk_visual_block_(self):
        """Return both towers as scikit-learn draws them."""
        return visual_block(self)
