"""What a model asks of a kind of history, and of having none.

Input: parameters.
Output: an object that says what training and requests need.
"""

from sklearn.base import BaseEstimator
from torch import nn

from sktwotower._sklearn_compat import validate_parameter_constraints
from sktwotower.towers._recipe import AUTO, SHARE_BELOW_1, SIZE, plain

from ._own_layer import OwnLayer

# What parameters of a history may be; half-lives are checked with the times.
VALUES = {
    "max_length": [SIZE],
    "second_share": [SHARE_BELOW_1, AUTO],
    "fold_in": ["boolean"],
}
# Number of a user's latest events that training predicts.
MAX_LEARNT = 1000


class History(BaseEstimator):
    """How the user tower sees the past items of a user; the base of kinds of your own.

    A subclass is a value of the parameter ``history`` of `TwoTowerRecommender`.
    Training then predicts each event of a user from those before it, so that ``time``
    is needed. What the subclass defines is `module`: a torch module that turns the
    vectors of past items into an input of the first layer of the user tower. All else
    is done for it: batches, vectors of past items, early stopping, requests with
    histories of their own, `partial_fit`, forgetting, explanations and files.

    Attributes
    ----------
    max_length : int
        Number of latest past items that `module` gets, >= 1. A parameter or an
        attribute of the class; 50 by default.
    second_share, half_life, popularity_half_life
        As of `RecentHistory`; "auto" by default.

    Notes
    -----
    Files hold the weights, but not the code: `sktwotower.io.load` gets the object
    again, as in ``load(path, towers={"history": LastThree()})``. `sktwotower.runtime`
    and ONNX cannot run code of others, and refuse.

    Examples
    --------
    The mean of the last three items:

    >>> import torch
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.towers import History
    >>> class Mean(torch.nn.Module):
    ...     def forward(self, vectors, lags, is_item):
    ...         return vectors.sum(1) / is_item.sum(1, keepdim=True).clamp(min=1)
    >>> class LastThree(History):
    ...     max_length = 3
    ...     def module(self, width):
    ...         return Mean()
    >>> X = [["ann", "tea", 1], ["ann", "jam", 2], ["bob", "tea", 1], ["bob", "jam", 3]]
    >>> model = TwoTowerRecommender(time=2, history=LastThree(), random_state=0).fit(X)
    >>> model.history_kind_
    'LastThree'
    """

    sees_past = True
    sees_order = True
    may_have_hidden_layer = False
    max_length = 50
    second_share = half_life = popularity_half_life = "auto"
    fold_in = True
    in_words = "past items"

    @property
    def kind(self):
        """What ``history_kind_`` says: the name of the class."""
        return type(self).__name__

    def module(self, width) -> nn.Module:
        """Return a new torch module for vectors of past items with ``width`` numbers.

        Parameters
        ----------
        width : int
            Numbers of a vector, and of the output.

        Returns
        -------
        torch.nn.Module
            Its ``forward(vectors, lags, is_item)`` returns a tensor (n, width), one row
            for each prediction. ``vectors``, float32 (n, m, width), are those of the
            latest m past items, oldest first; places without an item come first, and
            are zeros. ``lags``, float32 (n, m), is the number of baskets from each to
            the prediction, 0 in the same basket. ``is_item``, bool (n, m), says where
            there is an item.

        Examples
        --------
        >>> import torch
        >>> from sktwotower.towers import History
        >>> class Nothing(torch.nn.Module):
        ...     def forward(self, vectors, lags, is_item):
        ...         return 0 * vectors.sum(1)
        >>> class Blind(History):
        ...     def module(self, width):
        ...         return Nothing()
        >>> Blind().module(8)
        Nothing()
        """
        raise NotImplementedError(f"{type(self).__name__} must define module(width).")

    def _layer(self, recipe, n_features, width, n_hidden, sparse_grad):
        """Return the layer of past items with random weights.

        ``n_features``: of an item's row. ``width``: of the first layer of the user
        tower. ``n_hidden``: width of a hidden layer, if it has one.
        """
        return OwnLayer(self, n_features, width, sparse_grad)

    def _check(self):
        """Raise ``ValueError`` for a parameter that is out of range."""
        given = {name: plain(getattr(self, name)) for name in VALUES}
        validate_parameter_constraints(VALUES, given, type(self).__name__)

    def _of_recipe(self):
        """Return what a ``Recipe`` knows of it, a dict."""
        return {
            "history": self,
            "max_history": MAX_LEARNT,
            "second_share": plain(self.second_share),
            "half_life": plain(self.half_life),
            "popularity_half_life": plain(self.popularity_half_life),
        }

    def _n_weights(self, width, n_hidden):
        """Return the least number of weights beside the table of items."""
        return 0


class NoHistory(History):
    """Past items are no input: ``history=None``."""

    sees_past = False
    sees_order = False
    kind = None
    in_words = ""

    def _layer(self, recipe, n_features, width, n_hidden, sparse_grad):
        """Return None."""


class AutoHistory(History):
    """The data are to say which history it is: ``history="auto"``."""

    sees_order = False
    kind = "auto"
