"""The two towers and how they are trained.

Input: sparse feature rows (n, p) of users and items, and the pairs of both that were
chosen.
Output: vectors (n, d). Public: `RowwiseAdam`, `SampledSoftmaxLoss` and `id_shares`.
"""

from ._dropout import id_shares
from ._losses import SampledSoftmaxLoss
from ._optimizer import RowwiseAdam

__all__ = ["RowwiseAdam", "SampledSoftmaxLoss", "id_shares"]
