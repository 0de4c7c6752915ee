"""A linear map of past items, in closed form (EASE).

Input: past items, CSR (n_users, n_items).
Output: dense weights (n_items, n_items) of past items.
"""

from dataclasses import KW_ONLY, dataclass

from sktwotower._records import array, frozen, record
from sktwotower._sklearn_compat import COUNT, POSITIVE, parameter
from sktwotower._tables._arguments import hinted
from sktwotower._tables._memory import check_memory
from sktwotower.item_weights import ease_weights
from sktwotower.item_weights._ease_weights import bytes_of_ease, seconds_of_ease
from sktwotower.retrieval._fitted_state import fitted_attribute
from sktwotower.retrieval._similar_items import SimilarItemsMixin

from ._fitted_matrix import ItemScores, positive
from ._matrix_recommender import MatrixRecommender


@record
@hinted
@dataclass(eq=False, repr=False)
class EASERecommender(SimilarItemsMixin, MatrixRecommender):
    r"""Recommend by a linear map of a user's past items, in closed form (EASE).

    A strong baseline for small catalogs and users with a history. Fit inverts one dense
    matrix, of all items or of all users if they are fewer.

    Parameters
    ----------
    l2 : float, default=300.0
        Weight :math:`\lambda` of the squared weights in the loss, > 0; higher for
        sparser data. The one parameter to tune: 30 to 3,000, on a logarithmic scale.
    user_id, item_id : str or int, default=None
        Columns of X that name the user and the item (or their positions). None: the
        first column for the user, the second for the item.
    time : str or int, default=None
        Column of X that says when (or its position): dates or finite numbers. It is not
        used, but later tables may lack it.
    n_neighbors : int, default=10
        Number of items that retrieval returns, and that count in `score`, >= 1.
    exclude_seen : bool, default=True
        Never recommend items that the user chose in fit.
    max_memory : float, default=8e9
        Limit of the memory of fit, in bytes, > 0; larger catalogs raise an error, as do
        those for which the machine has too little. 28 bytes per pair of items are
        needed: 8e9 are enough for 16,900 items. Where users are much fewer than items,
        4 bytes per pair of items are enough.
    max_items : int or None, default=15000
        Limit of the time of fit, as a number of items, >= 1; larger catalogs of as many
        users raise an error that says how long they would take: about a minute and a
        half for 15,000 items on one core, eight times as long for twice as many. With
        fewer users than items it is a limit of the number of users. None: no limit.

    Attributes
    ----------
    user_ids_, item_ids_ : ndarray of shape (n_users,) and (n_items,)
        Known ids, sorted.
    item_weights_ : ndarray of shape (n_items, n_items), float32
        The matrix B of the notes: how much a past item (row) adds to the score of an
        item (column).
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if they are all strings.

    See Also
    --------
    ItemKNNRecommender : A sparse model, for catalogs of any size.

    Notes
    -----
    Let X be the 0/1 matrix (n_users, n_items) of what users chose. B minimizes

    .. math::
        \| X - X B \|_F^2 + \lambda \| B \|_F^2, \quad \mathrm{diag}(B) = 0

    With :math:`P = (X^T X + \lambda I)^{-1}` the solution is :math:`B_{ij} = -P_{ij} /
    P_{jj}` off the diagonal. The score of item j for user u is :math:`X_u B_j`, near 1
    for likely choices. Equal scores are ordered by popularity, so that users without
    past items get the most popular ones.

    Where users are fewer than items, the same weights are computed from the inverse of
    a matrix of users: with :math:`G = X^T (X X^T + \lambda I)^{-1} X` they are
    :math:`B_{ij} = G_{ij} / (1 - G_{jj})` off the diagonal. Time grows with the cube of
    the number of items or of users, of whichever there are fewer, and memory with the
    square of the number of items.

    References
    ----------
    Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019.

    Examples
    --------
    >>> from sktwotower import EASERecommender
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["bob", "jam"],
    ...      ["cid", "egg"], ["cid", "ham"], ["dan", "tea"]]
    >>> EASERecommender(l2=1).fit(X).recommend(["dan"], n_neighbors=1)
      user item  score  rank
    0  dan  jam    0.5     1
    """

    item_weights_ = fitted_attribute("model.weights")

    l2: float = parameter(300.0, POSITIVE)
    _: KW_ONLY
    max_memory: float = parameter(8e9, POSITIVE)
    max_items: int | None = parameter(15_000, COUNT, None)

    def _learn(self, seen, events):
        n_users, n_items = seen.shape
        n_inverted = min(n_users, n_items)
        if self.max_items is not None and n_inverted > self.max_items:
            seconds = seconds_of_ease(n_users, n_items, seen.nnz)
            raise ValueError(
                f"EASE of {n_items:,} items and {n_users:,} users takes about "
                f"{seconds:,.0f} s of one core, more than max_items={self.max_items} "
                "allows. It inverts a matrix of all items, or of all users if they are "
                "fewer. Leave out rare items, raise max_items (None: no limit), or use "
                "the sparse ItemKNNRecommender."
            )
        check_memory(
            bytes_of_ease(n_users, n_items),
            f"EASE holds dense matrices of n_items x n_items: {n_items:,} items",
            "Leave out rare items, raise max_memory, or use ItemKNNRecommender, which "
            "is sparse.",
            self.max_memory,
        )
        return _Linear(ease_weights(seen, self.l2))


@frozen
class _Linear(ItemScores):
    """Scores that add up a dense row of weights (n_items,) for each past item."""

    weights: array("float32", "n_items n_items")

    def scores(self, past):
        """Return scores (n, n_items) of users with past items (n, n_items)."""
        return past @ self.weights

    def similarities(self, one_hot):
        """Return similarities (n, n_items) to the item of each row of ``one_hot``."""
        return positive(one_hot @ self.weights)
