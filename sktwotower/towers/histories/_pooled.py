"""The mean of past items as an input of the user tower.

Input: feature rows of past items (m, q), and the past of users.
Output: what it adds to the first layer of the user tower, (n, width).
"""

from sktwotower._records import record
from sktwotower.runtime._tower_arrays import PooledArrays
from sktwotower.towers.operators._autograd import product_dtype, weighted_sum
from sktwotower.towers.operators._sparse_rows import SparseLinear
from sktwotower.towers.training._stored_weights import StoredModule

from ._history import History


class PooledHistory(History):
    """The mean of past items; ``history="pooled"``.

    Training predicts each item of a user from the others, whatever their order.

    Parameters
    ----------
    second_share : float or "auto", default="auto"
        Share of a linear filter in the score, in [0, 1). It is computed and not
        trained. 0: there is none. "auto": it is learnt on ``validation_events``; see
        the table in the guide.
    fold_in : bool, default=True
        Improve the vector of a new user by the ``history`` of the request
        (`sktwotower.recommender.FoldIn`). It needs ``normalize``, and may be set after
        fit.

    Examples
    --------
    >>> from sktwotower import TwoTowerRecommender
    >>> from sktwotower.towers import PooledHistory
    >>> X = [["ann", "tea"], ["ann", "jam"], ["bob", "tea"], ["cid", "jam"]]
    >>> model = TwoTowerRecommender(history=PooledHistory(second_share=0)).fit(X)
    >>> model.history_kind_
    'pooled'
    """

    kind = "pooled"
    sees_order = False
    in_words = "mean of past items"

    def __init__(self, *, second_share: float | str = "auto", fold_in: bool = True):
        self.second_share = second_share
        self.fold_in = fold_in

    def _layer(self, recipe, n_features, width, n_hidden, sparse_grad):
        """Return a new `PooledLayer`."""
        return PooledLayer(n_features, width, sparse_grad)


@record
class PooledLayer(StoredModule, SparseLinear):
    """The mean of the vectors of a user's distinct past items.

    The parameters are those of `SparseLinear`, which maps an item's feature row to its
    vector.
    """

    _stored_as = PooledArrays
    _stored_name = "PooledHistory"
    _tables = {"weights": "weight"}
    sees_order = False
    is_linear = True
    max_history = None
    n_hidden = 0

    @property
    def made_by(self):
        """The `History` that makes such layers."""
        return PooledHistory()

    @property
    def table(self):
        """The ``SparseLinear`` of past items."""
        return self

    def pool_batch(self, item_rows, bag, matmul_dtype=None):
        """Return the input (n, width) of the users of a batch.

        ``item_rows``: feature rows (m, q) of distinct past items; ``bag``: the weights
        (n, m) of each user's past items.
        """
        vectors, dtype = self(item_rows), None
        if self.training:
            dtype = product_dtype(vectors, len(bag) * vectors.numel(), matmul_dtype)
        return weighted_sum(vectors, bag, dtype)

    def seen(self, users):
        """Return what it reads of the past of ``Users``, as `pool` takes it."""
        return users.bag

    def pool(self, item_rows, bag):
        """Return the input (n, width) of users whose past is complete.

        ``item_rows``: feature rows (m, q) of past items; ``bag``: their weights (n, m).
        """
        return weighted_sum(self(item_rows), bag)
